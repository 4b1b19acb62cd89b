"""Diagnostics of the SOP checker: places in a source, codes, and their rendering with carets and a way out.

Who finds them: `loader.py`, `spec.py`, `expressions.py`, the linker. The error: `company/errors.py`.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

CODES = {
    "SOP101": "not YAML",
    "SOP102": "a key is written twice",
    "SOP103": "a word that YAML 1.1 reads as true or false",
    "SOP104": "an anchor, alias, merge key or tag",
    "SOP105": "too large or too deep",
    "SOP106": "not text, or nothing in it",
    "SOP201": "an expression does not parse",
    "SOP202": "an expression uses something outside the language",
    "SOP203": "an expression is not true or false",
    "SOP204": "an artifact has no such field",
    "SOP205": "an expression is constant",
    "SOP206": "an operator or function is applied to the wrong type",
    "SOP207": "a value may be null",
    "SOP301": "unknown key",
    "SOP302": "missing key",
    "SOP303": "wrong type",
    "SOP304": "out of range",
    "SOP305": "a step is not of exactly one kind",
    "SOP306": "a name that cannot be used",
    "SOP308": "a literal secret",
    "SOP309": "an artifact that cannot be declared so",
    "SOP310": "the name differs from the file's",
    "SOP401": "unknown role",
    "SOP402": "unknown prompt",
    "SOP403": "unknown type",
    "SOP404": "unknown model tier",
    "SOP405": "a prompt that cannot be read as a template",
    "SOP406": "unknown tool",
    "SOP407": "a tool that the role was not given",
    "SOP408": "unknown procedure",
    "SOP409": "a role that is chosen during the run, of a type that does not say which there are",
    "SOP501": "reference to something that does not exist",
    "SOP502": "reference to a later step",
    "SOP503": "reference to a step that is out of scope",
    "SOP504": "reading a step that may be skipped",
    "SOP505": "a name that exists only inside a loop or a for_each",
    "SOP506": "an `in:` entry that is no reference, or is given twice",
    "SOP601": "for_each over something that is no list",
    "SOP602": "`key` or `needs` of the wrong type",
    "SOP603": "a loop without a bound",
    "SOP604": "a loop whose `until` nothing in it can change",
    "SOP605": "`updates` of something that this step cannot change",
    "SOP606": "two concurrent writers of one artifact",
    "SOP607": "the limits and the worst case do not fit",
    "SOP608": "an output that nobody uses",
    "SOP609": "a role that nobody uses",
    "SOP610": "an `out` that this kind of step cannot give",
    "SOP611": "candidates that would all be the same",
    "SOP612": "a gate whose choices do not lead on, or that nobody answers in a headless run",
    "SOP613": "a cascade that nothing judges, or that is judged by no single bool",
    "SOP614": "a procedure that uses itself",
    "SOP615": "a `with:` that does not fit the inputs",
    "SOP616": "settings of a step that do not go together",
    "SOP617": "a gate that sends work back with words that nobody reads",
    "SOP618": "an acceptance by a test that was run before the last change",
    "SOP701": "a prompt needs something that is not in `in:`",
    "SOP702": "an `in:` that the prompt does not use",
    "SOP703": "a prompt reads a field that what it is given has not",
}
"""Every code and what it is about."""

LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
"""The line breaks of YAML; counting others would put every caret of the file in the wrong place."""
SECRET = re.compile(
    r"sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""The shapes of credentials that are worth stopping for."""
WIDEST = 160
"""Columns of a source line that are shown; the rest of a longer line is cut."""


@dataclass(frozen=True)
class Span:
    """A place in a source, start to end. Lines and columns (in characters) count from 1."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"

    def inside(self, text: str, start: int, end: int) -> Span:
        """The place of `text[start:end]`, where `text` is the value of the scalar at this span.

        Falls back to the whole span when the scalar is not written letter for letter (escapes, lines).
        """
        width = self.end_column - self.column
        quotes = {0: 0, 2: 1}.get(width - len(text))
        if self.line != self.end_line or quotes is None:
            return self
        first = self.column + quotes + start
        return replace(self, column=first, end_column=max(first + 1, self.column + quotes + end))


@dataclass(frozen=True)
class SourceText:
    """A file as it was read. `shown` is its path as diagnostics show it."""

    path: Path
    shown: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without their breaks."""
        return LINE_BREAK.split(self.text)

    def whole(self) -> Span:
        """The first character: the place of a mistake that has no better one."""
        return Span(self.shown, 1, 1, 1, 2)


Related = tuple[tuple[str, Span], ...]


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: the fact, where, and a way out. `str()` renders it."""

    severity: Literal["error", "warning"]
    code: str
    message: str
    span: Span
    label: str = ""
    """Said beside the caret: usually the way out."""
    notes: tuple[str, ...] = ()
    related: Related = ()
    """Other places that belong to it, each with what is there: ``first``."""
    source: SourceText | None = field(default=None, compare=False, repr=False)

    def data(self) -> dict[str, Any]:
        """The same for programs: plain JSON values, lines and columns from 1, the end exclusive."""
        span = self.span
        found: dict[str, Any] = {
            "severity": self.severity, "code": self.code, "message": self.message, "path": span.path,
            "line": span.line, "column": span.column, "end_line": span.end_line, "end_column": span.end_column,
            "label": self.label, "notes": [*self.notes],
        }  # fmt: skip
        if self.related:
            found["related"] = [
                {"path": place.path, "line": place.line, "column": place.column, "message": message}
                for message, place in self.related
            ]
        return found

    def __str__(self) -> str:
        lines = [f"{self.severity}[{self.code}]: {self.message}"]
        gutter = " " * len(str(self.span.line))
        lines.append(f"{gutter}--> {self.span}")
        if self.source and self.span.line <= len(self.source.lines):
            shown, caret = _snippet(self.source.lines[self.span.line - 1], self.span)
            lines += [
                f"{gutter} |",
                f"{self.span.line} | {shown}".rstrip(),
                f"{gutter} | {caret} {self.label}".rstrip(),
            ]
        elif self.label:
            lines.append(f"{gutter} = {self.label}")
        lines += [f"{gutter} = {note}" for note in (*self.notes, *(f"{what} at {at}" for what, at in self.related))]
        return "\n".join(lines)


class Diagnostics:
    """Collects what the stages find, so that everything is reported at once."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}
        self._sources: dict[str, SourceText] = {}
        self._failed = 0

    def add_source(self, source: SourceText) -> None:
        """Make the text behind a path known, for the snippets."""
        self._sources[source.shown] = source

    def error(self, code: str, message: str, span: Span, label: str = "", *notes: str, related: Related = ()) -> None:
        """Record a mistake that stops the procedure from running."""
        self._add("error", code, message, span, label, notes, related)

    def warning(self, code: str, message: str, span: Span, label: str = "", *notes: str) -> None:
        """Record something that is probably not meant."""
        self._add("warning", code, message, span, label, notes)

    def _add(
        self,
        severity: Literal["error", "warning"],
        code: str,
        message: str,
        span: Span,
        label: str,
        notes: tuple[str, ...],
        related: Related = (),
    ) -> None:
        assert code in CODES
        self._failed += severity == "error"
        source = self._sources.get(span.path)
        found = Diagnostic(severity, code, message, span, label, tuple(filter(None, notes)), related, source)
        self._found[found] = None

    @property
    def failed(self) -> int:
        """Number of errors so far: checks that guess from the whole are left out where there are any."""
        return self._failed

    def errors(self) -> list[Diagnostic]:
        """The errors, in the order of the source."""
        return sorted((d for d in self._found if d.severity == "error"), key=_order)

    def warnings(self) -> list[Diagnostic]:
        """The warnings, in the order of the source, less those at the very place of an error."""
        wrong = {d.span for d in self._found if d.severity == "error"}
        return sorted((d for d in self._found if d.severity == "warning" and d.span not in wrong), key=_order)


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """All of them as one report, in the order of the source, ending with a count."""
    found = sorted(diagnostics, key=_order)
    errors = sum(d.severity == "error" for d in found)
    counts = [_count(errors, "error"), _count(len(found) - errors, "warning")]
    return "\n\n".join([*map(str, found), ", ".join(filter(None, counts))])


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, or None; other letter case alone is surely it."""
    candidates = list(candidates)
    if alike := [each for each in candidates if each.lower() == word.lower()]:
        return alike[0]
    found = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, candidates: Iterable[str], otherwise: str = "") -> str:
    """A label: the probable candidate as a question, else `otherwise`."""
    found = closest(word, candidates)
    return f"did you mean `{found}`?" if found else otherwise


def listing(names: Iterable[str], most: int = 12) -> str:
    """Names for a note, in back quotes, cut after `most`."""
    all_names = list(names)
    most += len(all_names) == most + 1  # the last one takes no more room than "1 more"
    shown = ", ".join(f"`{name}`" for name in all_names[:most])
    return f"{shown} and {len(all_names) - most} more" if len(all_names) > most else shown or "none"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}" if number else ""


def _order(diagnostic: Diagnostic) -> tuple[str, int, int, str, str]:
    span = diagnostic.span
    return (span.path, span.line, span.column, diagnostic.code, diagnostic.message)


def _snippet(line: str, span: Span) -> tuple[str, str]:
    """The source line as shown and the carets below it."""
    line = SECRET.sub(lambda match: match[0][:4] + "*" * (len(match[0]) - 4), line)
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    end = max(start + 1, min(end, len(line)))
    cut = max(0, start - WIDEST // 2) if len(line) > WIDEST else 0
    if cut:
        line, start, end = "…" + line[cut:], start - cut + 1, end - cut + 1
    if len(line) > WIDEST:
        line, end = line[:WIDEST] + "…", min(end, WIDEST + 1)
    line = "".join(" " if char == "\t" else char if char.isprintable() else "\ufffd" for char in line)
    return line, " " * _width(line[:start]) + "^" * max(1, _width(line[start:end]))


def _width(text: str) -> int:
    """Columns on a terminal: east Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
