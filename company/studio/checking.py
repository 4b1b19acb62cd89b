"""A procedure's text → everything that its page shows of it: findings with their places, drawing, cost, what differs from the shipped one.

The checker itself: `company/sop/`. The page: `editor.py`. Each text is looked at in a process of its own: `apart.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from company.cli_check import not_there
from company.costs import estimated
from company.errors import CompanyError, SopError
from company.sop.compare import compare
from company.sop.completion import complete
from company.sop.diagnostics import LINE_BREAK, Diagnostic, SourceText, Span
from company.sop.diagram import END, START, block_edges
from company.sop.library import Library
from company.sop.linker import link, load_procedure
from company.sop.procedure import Procedure, Step
from company.sop.svg import piece, svg
from company.studio.apart import TooMuch, apart
from company.studio.pages import path_to

LARGEST = 200_000
"""Characters of a text that is looked at while somebody types."""
_SECONDS = 8.0
_ANSWER = 8_000_000
"""Bytes."""
_FINDINGS = 100
"""Findings that are shown; who has more mends these first."""
_STEPS, _EDGES = 200, 1000
"""Of a procedure that is drawn: a larger picture shows nobody anything, and takes minutes."""
_CHANGES = 2000
"""Lines of a difference."""


def check(name: str, text: str, path: Path, user_dir: Path | None) -> dict[str, Any]:
    """Everything about a text; in a thread, please.

    Args:
        path: the file that it is, or will be.

    Returns:
        `checks`: whether it does. `findings`, in the order of the source, and how many `more` there are. `picture` (SVG),
        `steps` (path to place) and `inputs` of one that checks; `undrawn` says why there is no picture. `worst_calls`, `estimate`. `meaning` and `changes`:
        what differs from the shipped procedure, by meaning and line by line; `shipped` says whether there is one.
    """
    try:
        if len(text) > LARGEST:
            raise TooMuch(f"the text is larger than {LARGEST} characters", hint="use parts of it: `use:`")
        found: dict[str, Any] = apart(_examined, name, text, path, user_dir, seconds=_SECONDS, most=_ANSWER)
    except TooMuch as error:
        return _empty() | {"findings": [_about_all(f"the text was not checked: {error.message}", error.hint)]}
    return found


def options(text: str, at: int, user_dir: Path | None) -> dict[str, Any]:
    """What may be written at a place, counted as browsers do; in a thread, please."""
    try:
        if len(text) > LARGEST:
            return {"letters": 0, "options": []}
        offered: dict[str, Any] = apart(_offered, text, at, user_dir, seconds=_SECONDS / 4, most=_ANSWER)
    except TooMuch:
        return {"letters": 0, "options": []}
    return offered


def listed(user_dir: Path | None) -> list[dict[str, Any]]:
    """The procedures by name; in a thread, please."""
    found: list[dict[str, Any]] = apart(_listed, user_dir, seconds=4 * _SECONDS, most=4 * _ANSWER)
    return found


def _empty() -> dict[str, Any]:
    return {
        "checks": False, "findings": [], "more": 0, "picture": "", "undrawn": "", "steps": {}, "inputs": {}, "worst_calls": None,
        "estimate": [], "shipped": False, "meaning": [], "changes": [],
    }  # fmt: skip


# --- in the other process ---------------------------------------------------------------------------


def _listed(user_dir: Path | None) -> list[dict[str, Any]]:
    library, found = Library(user_dir), []
    for name, path in library.sops().items():
        one = {"name": name, "own": bool(user_dir and path.is_relative_to(user_dir.resolve())), "about": "", "picture": "",
               "worst_calls": None, "fault": ""}  # fmt: skip
        found.append(one)
        try:
            procedure = load_procedure(name, library)
        except CompanyError as error:
            one["fault"] = error.message
            continue
        one |= {"about": procedure.description, "worst_calls": procedure.worst_calls}
        if not _too_large(procedure):
            one["picture"] = svg(procedure, styled=False)
    return found


def _offered(text: str, at: int, user_dir: Path | None) -> dict[str, Any]:
    before = text.encode("utf-16-le", "surrogatepass")[: 2 * at].decode("utf-16-le", "ignore")
    found = complete(text, len(before), Library(user_dir))
    return {"letters": found.letters, "options": [each._asdict() for each in found.options]}


def _examined(name: str, text: str, path: Path, user_dir: Path | None) -> dict[str, Any]:
    library, places = Library(user_dir), _Places(text)
    shown = f"sops/{name}.yaml"
    answer = _empty()
    shipped = Library(None)
    original = shipped.sop(name) if name in shipped.sops() else None
    if original:
        answer |= {"shipped": True, "changes": _changes(original.text, text)}
    try:
        procedure = link(SourceText(path, shown, text), library)
    except SopError as error:
        return answer | places.all([*error.diagnostics], shown)
    answer |= places.all([*procedure.warnings], shown)
    for missing in not_there(procedure):
        answer["findings"].append(places.of_settings(missing, shown))
    answer["findings"] = answer["findings"][:_FINDINGS]
    answer["checks"] = not any(each["severity"] == "error" for each in answer["findings"])
    answer["undrawn"] = _too_large(procedure)
    if not answer["undrawn"]:
        answer["picture"] = piece(procedure, lambda _: f"{path_to('sops', name)}#text")
    answer["steps"] = {step.path: places.of(step.span) for step in procedure.walk() if step.span.path == shown}
    answer["worst_calls"] = procedure.worst_calls
    answer["inputs"] = {key: str(kind) for key, kind in procedure.inputs.items()}
    try:
        answer["estimate"] = estimated(procedure)
    except CompanyError as error:
        answer["estimate"] = [f"{error}; {error.hint}".removesuffix("; ")]
    if original:
        answer["meaning"] = compare(link(original, shipped), procedure)[:_CHANGES]
    return answer


def _too_large(procedure: Procedure) -> str:
    steps = sum(1 for _ in islice(procedure.walk(), _STEPS + 1))
    if steps > _STEPS:
        return f"it has more than {_STEPS} steps, too many for a drawing"
    edges = sum(1 for _ in islice(block_edges(procedure.steps, START, END), _EDGES + 1))
    return f"it has more than {_EDGES} edges, too many for a drawing" if edges > _EDGES or _ways_back(procedure) else ""


def _ways_back(procedure: Procedure) -> bool:
    """Whether loops alone have too many edges."""
    return sum(len(step.body) ** 2 for step in _loops(procedure)) > 40 * _EDGES


def _loops(procedure: Procedure) -> Iterator[Step]:
    return (step for step in procedure.walk() if step.kind == "loop")


def _changes(old: str, new: str) -> list[str]:
    if old == new:
        return []
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "shipped", "this text", lineterm="")
    return [*islice(lines, _CHANGES)]


def _about_all(message: str, hint: str) -> dict[str, Any]:
    return {
        "severity": "error", "code": "", "message": message, "place": "", "line": 1, "here": False, "from": 0, "to": 0,
        "label": hint, "notes": [],
    }  # fmt: skip


class _Places:
    """Where lines and columns are in a text as browsers count: in units of UTF-16."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in LINE_BREAK.finditer(text))]

    def all(self, diagnostics: list[Diagnostic], shown: str) -> dict[str, Any]:
        shown_ones = [self._of(each, shown) for each in diagnostics[:_FINDINGS]]
        order = sorted(shown_ones, key=lambda each: (not each["here"], each["from"]))
        return {"findings": order, "more": len(diagnostics) - len(shown_ones)}

    def of_settings(self, error: CompanyError, shown: str) -> dict[str, Any]:
        """What a step names and the settings do not have: its place is a line."""
        path, _, line = error.place.rpartition(":")
        number = int(line)
        here = path == shown
        start = self._at(number, 1) if here else 0
        return _about_all(error.message, error.hint) | {
            "place": error.place, "line": number, "here": here, "from": start, "to": self._end(number) if here else 0,
        }  # fmt: skip

    def _of(self, found: Diagnostic, shown: str) -> dict[str, Any]:
        span, data = found.span, found.data()
        here = span.path == shown
        return {
            "severity": found.severity, "code": found.code, "message": found.message, "place": str(span),
            "line": span.line, "here": here, "label": found.label,
            "from": self._at(span.line, span.column) if here else 0,
            "to": self._at(span.end_line, span.end_column) if here else 0,
            "notes": [*found.notes, *(f"{one['message']} at line {one['line']}" for one in data.get("related", ()))],
        }  # fmt: skip

    def of(self, span: Span) -> int:
        """Where a place of the text begins."""
        return self._at(span.line, span.column)

    def _at(self, line: int, column: int) -> int:
        start = self._starts[min(line, len(self._starts)) - 1]
        return self._units(min(start + column - 1, len(self._text)))

    def _end(self, line: int) -> int:
        start = self._starts[min(line, len(self._starts)) - 1]
        match = re.compile(LINE_BREAK).search(self._text, start)
        return self._units(match.start() if match else len(self._text))

    def _units(self, index: int) -> int:
        return len(self._text[:index].encode("utf-16-le", "surrogatepass")) // 2
