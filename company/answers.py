"""Answers to gates that wait, from a file of JSON: what each says, and which gate it is for.

Which gates wait, and whether an answer fits: `waiting.py`. What is done with one: `gates.take`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from company.errors import UsageError
from company.executions import Execution
from company.people import Answer, Question
from company.sop.diagnostics import did_you_mean, listing
from company.waiting import checked

_FORM = '{"gate": "look#1", "choice": "approve", "comment": "", "edited": {}}, or a list of such'


@dataclass(frozen=True)
class Given:
    """An answer that somebody gives to a gate that waits."""

    gate: str
    """The gate's id, or its path where only one of that path waits."""
    choice: str
    comment: str = ""
    edited: Mapping[str, Any] = field(default_factory=dict)
    """New values as JSON data, by the names under which they are shown."""
    place: str = ""
    """Where it is written, for messages."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    gate: str
    choice: str
    comment: str = ""
    edited: dict[str, Any] = {}


def read(file: str) -> list[Given]:
    """The answers of a file; ``-`` is standard input.

    Raises:
        UsageError: it cannot be read, or is no JSON of that form.
    """
    place = "standard input" if file == "-" else file
    try:
        text = (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode("utf-8")
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except OSError as error:
        raise UsageError(f"the answers cannot be read: {error.strerror}", place=place) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"it is not UTF-8 text (byte {error.start})", place=place, hint="save it as UTF-8") from error
    except UnicodeEncodeError as error:
        raise UsageError(
            "a text in it is not valid Unicode", place=place, hint="escape no half of a character"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"it is no JSON: {error}", place=place, hint=_FORM) from error
    entries = found if isinstance(found, list) else [found]
    if not entries:
        raise UsageError("there is no answer in it", place=place, hint=_FORM)
    return [
        _given(entry, f"{place}, answer {number}" if len(entries) > 1 else place)
        for number, entry in enumerate(entries, 1)
    ]


def _given(entry: Any, place: str) -> Given:
    try:
        return Given(**_Entry.model_validate(entry).model_dump(), place=place)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}{': ' if where else ''}{first['msg']}", place=place, hint=_FORM) from error


def matched(given: Iterable[Given], questions: Iterable[Question]) -> list[tuple[Question, Answer]]:
    """Each answer with the question that it is for, as it will be taken.

    Raises:
        UsageError: no such gate waits, several do, one is answered twice, or an answer does not fit.
    """
    waiting = {question.id: question for question in questions}
    names = {ident: Execution(ident).names for ident in waiting}
    found: dict[str, tuple[Question, Answer]] = {}
    for one in given:
        meant = [one.gate] if one.gate in waiting else [ident for ident in waiting if one.gate in names[ident]]
        try:
            if not meant:
                none = "none does; `company resume` goes on to where one opens"
                hint = did_you_mean(one.gate, waiting, f"what waits: {listing(waiting)}" if waiting else none)
                raise UsageError(f"no gate `{one.gate}` waits", hint=hint)
            if len(meant) > 1:
                raise UsageError(f"`{one.gate}` waits {len(meant)} times", hint=f"say which one: {listing(meant)}")
            if meant[0] in found:
                raise UsageError(f"`{meant[0]}` is answered twice", hint="leave one of them out")
            question = waiting[meant[0]]
            found[question.id] = question, checked(question, Answer(one.choice, one.comment, one.edited))
        except UsageError as error:
            error.place = one.place
            raise
    return [*found.values()]
