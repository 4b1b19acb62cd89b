"""Text of a reply that was cut, and of the one that goes on with it: where it was cut, whether it went round, how they join.

What is asked for, and when: `cut.py`. Blocks and files: `fences.py`, `code_replies.py`. A join that is in doubt is none.
"""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from company.errors import ReplyError
from company.llm.code_replies import CodeFile, parse_code
from company.llm.fences import PYTHON, first_fence, inside_strings, open_block
from company.llm.fences import without_thoughts as plain_of

_LIKE_PYTHON = re.compile(r"(?:import|from|def|class|async def) \w|@\w|\"\"\"|#!")
_DATA = frozenset({"json", "toml"})
"""What a join of can be judged, beside Python: a page or a text with lines missing is one too."""
_TURNS = 3
"""Equal pieces in a row, at the end of a text, that are a circle; of short pieces as many as make `_ROUND` lines."""
_ROUND = 9
_CIRCLING = 2000
"""Characters of the same again, some 600 tokens: more than a table of equal lines in a program of this size has."""
_LOOKED_AT = 20_000
"""Characters at the end of a reply in which a circle is looked for: three turns of two hundred lines."""
_LONG_LINES = (400, 1200)
"""Characters at the end of a line that are looked at for a circle in itself: of words, of sentences."""
_SURE = 3
"""Lines that are said again, not all alike, from which on nobody means them twice."""
_QUOTES = re.compile(r".*?(?:\"\"\"|''')")
_DEFINED = re.compile(r"(?:(?:async )?def|class) (\w+)|(if __name__)\b")


class Cut(NamedTuple):
    """A reply of code up to a line whose next ones are known; its open block stands at the margin."""

    before: list[str]
    """The lines before the open block."""
    language: str
    path: str
    """The file that the block is; empty where nothing says so."""
    body: list[str]
    after: tuple[str, ...] = ()
    """What came of the lines after that: who goes on with the reply says them again, without having been told."""

    @property
    def text(self) -> str:
        """The whole of it; the fence is not closed."""
        return "\n".join([*self.before, f"```{self.language}", *self.body])

    @property
    def is_python(self) -> bool:
        """Whether the open block is Python."""
        suffix = self.path.rpartition(".")[2] or "py"
        return self.language in PYTHON or (not self.language and suffix in ("py", "pyi"))


def cut_of(text: str, expected: Sequence[str]) -> Cut | None:
    """Where a reply was cut; None where it cannot be gone on with: it is no code, or no line of its block is whole.

    A string that is open at the end is left out with the last line, as it may hold fences of its own.
    """
    lines = plain_of(text).split("\n")
    found = open_block("\n".join(lines))
    if found:
        before, block = found
        path = block.path or block.mentioned
        cut = Cut(before, block.language, path or (expected[0] if len(expected) == 1 else ""), block.body)
    else:
        first = next((line for line in lines if line.strip()), "")
        if first_fence(lines) or not _LIKE_PYTHON.match(first) or (expected and not expected[0].endswith(".py")):
            return None
        cut = Cut([], "python", "", lines)
    if not cut.is_python and not {cut.language, cut.path.rpartition(".")[2]} & _DATA:
        return None
    return _stepped_back(cut)


def _stepped_back(cut: Cut) -> Cut | None:
    """The cut with its last lines left out, so many that whoever says them again is known by them."""
    body, opened = cut.body, len(cut.body) - 1
    if cut.is_python:
        inside = inside_strings(body)
        while opened in inside:
            opened -= 1
    told = [row for row, line in enumerate(body[: opened + 1]) if line.strip()]
    if len(told) < 2 or (len(told) == 2 and told[1] == opened):
        return None
    at = told[-2] if told[-1] == opened else told[-1]
    after = [body[row] for row in told if row >= at]
    if opened < len(body) - 1 and (quotes := _QUOTES.match(after[-1])):
        after[-1] = quotes[0]
    end = told[told.index(at) - 1] + 1
    return cut._replace(body=body[:end], after=tuple(after))


def without_circle(text: str) -> str:
    """A text that ends in the same lines, or letters, again and again, up to where they stand once; empty for any other."""
    lines = plain_of(text).split("\n")
    for length in _LONG_LINES:
        tail = lines[-1][-length:]
        if len(tail) == length and any(tail[period:] == tail[:-period] for period in range(1, length // _TURNS)):
            return "\n".join([*lines[:-1], lines[-1][:_ROUND]])
    kept = [(row, line.strip()) for row, line in enumerate(lines[:-1]) if line.strip()]
    said = [line for _, line in kept]
    for period in range(1, len(said) // _TURNS + 1):
        if said[-1] != said[-1 - period]:  # nearly always, and the slices of a long text cost much more
            continue
        turns = 1
        while said[-period:] == said[-period * (turns + 1) : -period * turns]:
            turns += 1
        if turns >= _TURNS and turns * period >= _ROUND:
            return "\n".join(lines[: kept[len(kept) - period * (turns - 1)][0]])
    return ""


def is_circling(pieces: Sequence[str]) -> bool:
    """Whether a reply that is being written has said the same for so long that nothing else is to be expected of it.

    Its end alone is looked at: that costs no more for a long reply, of which it is asked often.
    """
    text = "".join(pieces[-_LOOKED_AT:])[-_LOOKED_AT:]
    return len(text) >= _CIRCLING and (once := without_circle(text)) != "" and len(text) - len(once) >= _CIRCLING


def joins(cut: Cut, text: str) -> Iterator[Cut]:
    """What a cut reply and the one that goes on with it may come to; the second's lines are the body's end.

    The second is in a block, with prose before it or without; or its first fence is the one that closes the block. It may say
    again the last lines of what there was, or all of it.
    """
    lines = plain_of(text).split("\n")
    fence = first_fence(lines)
    parts = []
    if fence is None or not fence[2]:
        parts.append(lines if fence else [*lines, "```"])
    if fence and (fence[2] in ("", cut.language) or (cut.is_python and fence[2] in PYTHON)):
        row, indent, _ = fence
        parts.append([line[min(indent, len(line) - len(line.lstrip())) :] for line in lines[row + 1 :]])
    for rest in parts:
        yield from (cut._replace(body=[*cut.body, *way]) for way in _without_overlap(cut, rest) if _goes_on(cut, way))


def _without_overlap(cut: Cut, rest: list[str]) -> list[list[str]]:
    """The lines without those that are said again, and also as they stand where that may be meant."""
    blank = next((row for row, line in enumerate(rest) if line.strip()), len(rest))
    mine, theirs = [line.rstrip() for line in cut.body], [line.rstrip() for line in rest[blank:]]
    most = min(len(mine), len(theirs))
    same = next((count for count in range(most, 0, -1) if mine[-count:] == theirs[:count]), 0)
    again = [line for line in theirs[:same] if line]
    if len(again) >= _SURE and len(set(again)) > 1:
        return [rest[blank + same :]]
    return [rest[blank + same :], rest] if same else [rest]


def _goes_on(cut: Cut, rest: Sequence[str]) -> bool:
    """Whether lines begin with those that came next before, and define nothing that is there already."""
    first = [line.rstrip() for line in rest if line.strip()][: len(cut.after)]
    *whole, part = cut.after
    if first[:-1] != [line.rstrip() for line in whole] or not (first and first[-1].startswith(part.rstrip())):
        return False
    end = first_fence(list(rest))
    return not cut.is_python or not _defined(cut.body) & _defined(rest[: end[0]] if end else rest)


def _defined(lines: Sequence[str]) -> set[str]:
    """What lines define at the margin."""
    return {match[1] or match[2] for line in lines if (match := _DEFINED.match(line))}


def sound_files(text: str, expected: Sequence[str], *, needs_all: bool) -> dict[str, str]:
    """The files of a joined reply, by path; none where it is not whole, or one of them is not what its name says."""
    try:
        files = parse_code(text, expected=expected)
    except ReplyError:
        return {}
    paths = {file.path for file in files}
    if (needs_all and not paths >= set(expected)) or not all(map(_is_sound, files)):
        return {}
    return {file.path: file.content for file in files}


def _is_sound(file: CodeFile) -> bool:
    readers: dict[str, Callable[[str], object]] = {"json": json.loads, "toml": tomllib.loads}
    suffix = file.path.rpartition(".")[2].lower()
    if suffix in ("py", "pyi"):
        return compiles(file.content.split("\n"))
    try:
        readers.get(suffix, str)(file.content)
    except (ValueError, RecursionError):
        return False
    return True


def compiles(lines: Sequence[str]) -> bool:
    """Whether lines are a Python module, to the last rule: no `return` outside of a function."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile("\n".join([*lines, ""]), "<reply>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
