"""What a person is asked at a gate and may answer, and artifacts as text that a person can edit.

When it is asked: `gates.py`. Who asks on a terminal: `cli_gates.py`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from company.artifacts import SourceFile, TestFile, to_json
from company.errors import UsageError


@dataclass(frozen=True)
class Question:
    """A decision that is asked for."""

    step: str
    """The gate's path."""
    item: str
    """Key of the item inside a for_each; empty outside."""
    round: str
    """Which time it is asked: ``1`` at first."""
    shown: Mapping[str, Any]
    """What the gate shows, by name; null for a step that was skipped."""
    editable: frozenset[str]
    """The names in `shown` whose values may be changed."""
    choices: Mapping[str, str]
    """What may be chosen, and where it leads: ``next``, ``fail`` or the name of an earlier step."""


@dataclass(frozen=True)
class Answer:
    """What was decided."""

    choice: str
    comment: str = ""
    edited: Mapping[str, Any] = field(default_factory=dict)
    """New values for names in `Question.editable`."""


Person = Callable[[Question], Awaitable[Answer]]
"""Asks somebody. Cancelled where the run is stopped."""


def as_text(value: Any) -> str:
    """A value as a person edits it: a file's own text, other text as it is, everything else as JSON."""
    if isinstance(value, SourceFile | TestFile):
        return value.content
    return value if isinstance(value, str) else json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n"


def from_text(text: str, old: Any) -> Any:
    """The value that an edited text stands for, of the same kind as the old one.

    Raises:
        UsageError: it is none; the message names the first mistake.
    """
    if isinstance(old, SourceFile | TestFile):
        return type(old)(path=old.path, content=text)
    if isinstance(old, str):
        return text.strip()
    try:
        return TypeAdapter(_kind(old)).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{place}: {first['msg']}" if place else first["msg"]) from error


def _kind(value: Any) -> Any:
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        return list[_kind(value[0])] if len(kinds) == 1 else list  # type: ignore[misc]  # built at run time
    return type(value) if isinstance(value, BaseModel | bool | int | float | dict) else Any
