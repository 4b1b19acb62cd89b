"""Text that may be half written → what it seems to say: keys with their paths, and what stands at the cursor. Never fails.

The real reading, with every mistake: `loader.py`. Who needs this one: `completion.py`, while somebody types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Path = tuple[str, ...]
"""Keys from the top; ``[]`` is an item of a list."""
ITEM = "[]"
_KEY = re.compile(r"""(["']?)([^"'{}\[\],#:&*!|>%@`\s][^"'{}\[\],#:]*?)\1\s*:(?=\s|$)""")
_WORD = re.compile(r"[\w.$:/-]*$")
_SCALAR = re.compile(r"[|>][-+0-9]*\s*(#.*)?$")


@dataclass
class Cursor:
    """What is being written."""

    path: Path
    """Of a value, its own; of a key, that of the mapping it will be in."""
    what: Literal["key", "value"]
    word: str
    """What stands of it before the cursor."""


@dataclass
class Outline:
    """The keys of a text in their order."""

    values: dict[Path, str] = field(default_factory=dict)
    """Path to what is written there; empty for a mapping, a list and nothing."""
    lines: dict[Path, int] = field(default_factory=dict)
    """Path to its line, from 0."""
    cursor: Cursor | None = None
    """None inside a comment or a text of several lines."""

    def keys(self, path: Path) -> list[str]:
        """The keys of a mapping."""
        return list(dict.fromkeys(each[len(path)] for each in self.values if each[: len(path)] == path != each))


def outline(text: str, offset: int) -> Outline:
    """Read a text as far as it can be read.

    Args:
        offset: the cursor's place, in characters.
    """
    return _Reader(text, offset).read()


@dataclass
class _Frame:
    """An open bracket."""

    is_map: bool
    key: str = ""
    word: str = ""


class _Reader:
    def __init__(self, text: str, offset: int) -> None:
        self._lines = text.split("\n")
        self._line, self._column = text.count("\n", 0, offset), offset - (text.rfind("\n", 0, offset) + 1)
        self._open: list[tuple[int, str]] = []
        """Indentation and key of the mappings and lists around."""
        self._flow: list[_Frame] = []
        self._base: Path = ()
        self._scalar: int | None = None
        """Indentation of the key whose text of several lines is being read."""
        self._found = Outline()

    def read(self) -> Outline:
        for number, line in enumerate(self._lines):
            column = self._column if number == self._line else -1
            if self._flow:
                self._brackets(line, 0, number, column)
            elif not self._skipped(line):
                self._block(line, number, column)
            elif column >= 0 and not line.strip() and (self._scalar is None or column <= self._scalar):
                self._leave(column)
                self._found.cursor = Cursor(self._path(), "key", "")
        return self._found

    def _path(self) -> Path:
        return tuple(key for _, key in self._open)

    def _leave(self, indent: int) -> None:
        while self._open and self._open[-1][0] >= indent:
            self._open.pop()

    def _skipped(self, line: str) -> bool:
        """Whether it is empty, a comment, or part of a text of several lines."""
        inner = line.lstrip(" ")
        if not inner.strip():
            return True
        if self._scalar is not None:
            if len(line) - len(inner) > self._scalar:
                return True
            self._scalar = None
        return inner.startswith("#")

    def _note(self, path: Path, value: str, number: int) -> None:
        self._found.values.setdefault(path, value)
        self._found.lines.setdefault(path, number)

    def _block(self, line: str, number: int, column: int) -> None:
        indent = len(line) - len(line.lstrip(" "))
        self._leave(indent)
        while line[indent : indent + 2] in ("- ", "-"):
            self._open.append((indent, ITEM))
            indent += 1
            indent += len(line[indent:]) - len(line[indent:].lstrip(" "))
        match = _KEY.match(line, indent)
        start = indent
        if match:
            self._open.append((indent, match[2]))
            start = match.end()
            self._note(self._path(), "", number)
        value = line[start:].strip()
        if value[:1] in ("{", "["):
            self._base = self._path()
            self._brackets(line, line.index(value[0], start), number, column)
            return
        if match and _SCALAR.match(value):
            self._scalar = indent
        elif match:
            self._found.values[self._path()] = _plain(value)
        if column < 0 or column < indent:
            return
        before = line[start:column]
        if match and column >= start:
            if " #" not in before and not before.lstrip().startswith("#"):
                self._found.cursor = Cursor(self._path(), "value", _word(before))
        elif not match and column >= start:
            is_item = bool(self._open) and self._open[-1][1] == ITEM
            self._found.cursor = Cursor(self._path(), "value" if is_item else "key", _word(before))
        elif match:
            self._found.cursor = Cursor(self._path()[:-1], "key", line[indent:column])

    def _brackets(self, line: str, start: int, number: int, column: int) -> None:
        """The rest of a line from an open bracket on, or a whole line inside one."""
        quote = ""
        for place in range(start, len(line) + 1):
            if place == column and self._flow:
                self._here()
            char = line[place] if place < len(line) else "\n"
            frame = self._flow[-1] if self._flow else None
            if quote:
                quote = "" if char == quote else quote
                if frame and char not in "\"'":
                    frame.word += char
            elif char in "{[":
                self._flow.append(_Frame(char == "{"))
            elif not frame:
                return
            elif char in "\"'" and not frame.word.strip():
                quote = char
            elif char in "}],":
                self._end(frame, number)
                if char != ",":
                    self._flow.pop()
            elif char == ":" and frame.is_map and not frame.key and line[place + 1 : place + 2] in (" ", "", "\n"):
                frame.key, frame.word = frame.word.strip(), ""
                self._note(self._inside(), "", number)
            elif char == "#" and line[place - 1 : place] in (" ", ""):
                return
            else:
                frame.word += char if char != "\n" else " "

    def _inside(self) -> Path:
        return self._base + tuple(
            frame.key if frame.is_map else ITEM for frame in self._flow if frame.key or not frame.is_map
        )

    def _end(self, frame: _Frame, number: int) -> None:
        if frame.is_map and frame.key and frame.word.strip():
            self._found.values[self._inside()] = frame.word.strip()
            self._found.lines.setdefault(self._inside(), number)
        frame.key = frame.word = ""

    def _here(self) -> None:
        frame = self._flow[-1]
        what: Literal["key", "value"] = "key" if frame.is_map and not frame.key else "value"
        self._found.cursor = Cursor(self._inside(), what, _word(frame.word))


def _word(before: str) -> str:
    match = _WORD.search(before)
    return match[0] if match else ""


def _plain(value: str) -> str:
    value = re.split(r"\s#", value)[0].strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
