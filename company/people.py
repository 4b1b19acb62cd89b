"""What a person is asked at a gate and may answer, and artifacts as text that a person can edit.

When it is asked: `gates.py`. Who asks on a terminal: `cli_gates.py`; what waits, for whoever answers from elsewhere: `waiting.py`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from company.artifacts import SourceFile, TestFile, to_json
from company.errors import UsageError


@dataclass(frozen=True)
class Question:
    """A decision that is asked for."""

    id: str
    """The gate with item and round, as the journal has it: ``look#1``."""
    step: str
    """The gate's path."""
    item: str
    """Key of the item inside a for_each; empty outside."""
    round: str
    """Which time it is asked: ``1`` at first."""
    shown: Mapping[str, Any]
    """What the gate shows, by name; null for a step that was skipped."""
    editable: Mapping[str, str]
    """The names in `shown` whose values may be changed, each with the type that the new value must have."""
    choices: Mapping[str, str]
    """What may be chosen, and where it leads: ``next``, ``fail`` or the name of an earlier step."""
    used_up: frozenset[str] = frozenset()
    """Choices that lead back and may not any more: work was sent back as often as the gate allows."""
    left: int = 0
    """How often work may still be sent back."""
    fitting: Callable[[str, Any], Any] = lambda name, value: value
    """A new value for a name as the value that it must be; raises UsageError where it does not fit."""


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
    """What an edited text stands for, as data; `Question.fitting` makes a value of it. A file keeps its path.

    Raises:
        UsageError: it is no JSON where it must be.
    """
    if isinstance(old, SourceFile | TestFile):
        return type(old)(path=old.path, content=text)
    if isinstance(old, str):
        return text.strip()
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"it is no JSON: {error}") from error
