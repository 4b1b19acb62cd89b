"""A requirement's text taken apart: what must stay letter for letter, where its prose is, where its sentences end.

Who rewrites it: `vary.py` and `renaming.py` by rules, `probing.py` by a model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from company.errors import UsageError
from company.examples import calls_in
from company.literals import CALL


class CannotVary(UsageError):
    """A variation does not fit a task: nothing is changed, and nobody is to believe that something was."""


@dataclass(frozen=True)
class Material:
    """What is varied of a task."""

    requirement: str
    given: Mapping[str, str] = field(default_factory=dict)
    """Files that the run is let into, path → text."""
    judge: Mapping[str, str] = field(default_factory=dict)
    """Files of the hidden judge."""
    needs: str = ""
    """The file that the judge imports; empty where that is not one file."""
    changes: tuple[str, ...] = ()
    """What was done, one line each."""


class Span(NamedTuple):
    """From where to where in a text; `doc`: inside a docstring."""

    start: int
    end: int
    doc: bool = False


_FENCE = re.compile(
    r"^([ \t]*)(```+|~~~+)[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\2[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_DOCSTRING = re.compile(r'("""|\'\'\')(.*?)\1', re.DOTALL)
_CODE_LINE = re.compile(
    r"(?: {4}|\t|[ \t]*(?:>>>|\.\.\. |(?:async )?def \w+\(|class \w+[(:]|from \S+ import |import \w+$|@\w|#))"
)
_PROTECTED = re.compile(
    r"`[^`\n]+`"
    r'|"[^"\n]*(?:\n[^"\n]*)?"|“[^”]*”|(?<!\w)\'[^\'\n]*\'(?!\w)'
    r"|(?<![\w.])[A-Za-z_][\w.]*\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)"  # calls
    r"|\[[^\]\n]*\]|\{[^}\n]*\}|<[\w-]+>"
    r"|\S*\w[/\\]\S*\w|(?<![\w-])--?[a-z][\w-]*"  # paths, options
    r"|-?\d[\w.,%:]*(?<=[\w%])"
    r"|\w+(?:\.\w+)+|\w*_\w*|\b[A-Z]{2,}\w*|\b[A-Za-z]+[a-z0-9][A-Z]\w*|\b\w+\d\w*"
)
"""What stands for itself inside prose: quotes, code, calls, values, paths, numbers, names that no English word looks like."""


def fences(text: str) -> Iterator[tuple[str, int, int]]:
    """The fenced blocks of code: language, and from where to where their content goes."""
    for block in _FENCE.finditer(text):
        yield block[3].lower(), block.start(4), block.end(4)


def prose(text: str) -> list[Span]:
    """Where the words are that may be put otherwise, line by line joined; in Python blocks those of docstrings."""
    spans: list[Span] = []
    at = 0
    for block in _FENCE.finditer(text):
        spans += _plain_lines(text, at, block.start(), doc=False)
        if block[3].lower() in ("python", "py", ""):
            for doc in _DOCSTRING.finditer(text, block.start(4), block.end(4)):
                spans += _plain_lines(text, doc.start(2), doc.end(2), doc=True)
        at = block.end()
    return [*spans, *_plain_lines(text, at, len(text), doc=False)]


def _plain_lines(text: str, start: int, end: int, *, doc: bool) -> Iterator[Span]:
    """Runs of lines between `start` and `end` that are neither code nor what a session of Python shows."""
    begun: int | None = None
    session = after_blank = False
    at = start
    for line in text[start:end].splitlines(keepends=True):
        stripped = line.strip()
        session = stripped.startswith(">>>") or (session and bool(stripped))
        code = session or (_CODE_LINE.match(line.lstrip() if doc else line) is not None)
        if code and not doc and line.startswith("    ") and begun is not None and not after_blank:
            code = session  # goes on with a list's entry
        if code or not stripped:
            if begun is not None:
                yield Span(begun, at, doc)
            begun = None
        elif begun is None:
            begun = at
        after_blank = not stripped
        at += len(line)
    if begun is not None:
        yield Span(begun, end, doc)


def protected(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """What must stay letter for letter inside a piece of prose."""
    found = _PROTECTED.finditer(text, start, len(text) if end is None else end)
    return [Span(match.start(), match.end()) for match in found]


def lost(before: str, after: str) -> list[str]:
    """What of one text's names, numbers, quoted strings, code and examples the other has not as often, or more often; in words."""
    was, is_now = _verbatim(before), _verbatim(after)
    return [*_other_values(before, after)] + [
        f"{one} is {'gone' if not is_now[one] else 'new' if not was[one] else f'there {is_now[one]} times, not {was[one]}'}"
        for one in was | is_now
        if was[one] != is_now[one]
    ]


def _verbatim(text: str) -> Counter[str]:
    """What must stay, and how often it is there."""
    found: Counter[str] = Counter()
    at = 0
    for span in [*prose(text), Span(len(text), len(text))]:
        for line in text[at : span.start].splitlines():
            if line.strip():
                found[f"the line `{line.strip()}`"] += 1
        for one in protected(text, span.start, span.end):
            found[f"`{text[one.start : one.end].strip('`')}`"] += 1
        at = span.end
    return found


def _other_values(before: str, after: str) -> Iterator[str]:
    """Examples to which the other text gives another value, or has their value nowhere: in words that no rule reads it may be as it was."""
    called = {match[1]: "it" for match in CALL.finditer(f"{before}\n{after}")}
    was, is_now = _examples(before, called), _examples(after, called)
    for mine, its, text, other, how in (was, is_now, before, after, "gone"), (is_now, was, after, before, "new"):
        for (setup, call), value in mine:
            values = [each for input_, each in its if input_ == (setup, call)]
            if value not in values and (values or (_has(text, value) and not _has(other, value))):
                yield f"`{call}` with `{value}`{setup and f' after `{setup}`'} is {how}"


def _examples(text: str, called: Mapping[str, str]) -> list[tuple[tuple[str, str], str]]:
    """What is called, after what, and the value that is said to come of it."""
    checks = calls_in(text, called)
    return [((check.setup, call.expression), call.expected) for check in checks for call in check.calls]


def _has(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value.removeprefix('raises '))}(?!\w)", text) is not None


# --- sentences -----------------------------------------------------------------------------------------

_END = re.compile(r"(?<=[.!?])(\s+)(?=[A-Z\"'`“(])")
_SHORT_FORM = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|approx|no|fig)\.$", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """A paragraph's sentences, each with the white space after it: joined they are the paragraph."""
    closed = protected(text)
    found, at = [], 0
    for end in _END.finditer(text):
        inside = any(span.start < end.start() < span.end for span in closed)
        brackets = text.count("(", at, end.start()) - text.count(")", at, end.start())
        if not inside and brackets <= 0 and not _SHORT_FORM.search(text[at : end.start()]):
            found.append(text[at : end.end()])
            at = end.end()
    return [*found, text[at:]] if at < len(text) else found
