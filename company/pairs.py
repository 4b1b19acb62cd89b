"""Examples that a text gives as an input and an output: ``Input: a = [1], k = 1`` and ``Output: [1]``, or ``for a = 1 the result is 2``.

Whose they are is the function whose head comes before them, with as many parameters. Calls and sessions: `examples.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from company.literals import CALL, call_ends, literal_at

_INPUT = re.compile(r"\binputs?\s*:[ \t]*", re.IGNORECASE)
_OUTPUT = re.compile(r"\s*outputs?\s*:\s*", re.IGNORECASE)
_GIVEN = re.compile(r"\b(?:for|with|given|if|when)\s+(?=[A-Za-z_]\w*\s*=\s*)", re.IGNORECASE)
_RESULT = re.compile(
    r"[`'\"]*\s*[,:]?\s*(?:then\s+)?(?:the\s+)?(?:(?:output|result|answer|(?:return(?:ed)?\s+)?value|function|it)\s+)?"
    r"(?:(?:should|must|will|would)\s+(?:be|return|give)|returns?|gives?|is)\s*:?\s*[`]*",
    re.IGNORECASE,
)
_NAMED = re.compile(r"[ \t]*(?!outputs?\b)([a-z_]\w*)[ \t]*[=:][ \t]*", re.IGNORECASE)
_NEXT = re.compile(r"[ \t]*(?:,|\band\b|\n)[ \t]*")
_HEAD = re.compile(r"\bdef ([A-Za-z_]\w*)(\([^\n]*?\))(?: *->[^:\n]*)?:")


class Pair(NamedTuple):
    """A call, and the value that it gives."""

    name: str
    expression: str
    expected: str
    place: int
    """Where it stands in the text."""


def pairs_in(text: str, names: Collection[str]) -> Iterator[Pair]:
    """The inputs of a text with their outputs, as calls of the function before them, if that is one of `names`."""
    for match in [*_INPUT.finditer(text), *_GIVEN.finditer(text)]:
        is_block = match.re is _INPUT
        values, end = _values(text, match.end(), is_block=is_block)
        said = (_OUTPUT if is_block else _RESULT).match(text, end) if values else None
        head = _head_before(text, match.start(), names)
        if not said or not head or head[1] != len(values):
            continue
        if expected := literal_at(text[said.end() :]).text:
            yield Pair(head[0], f"{head[0]}({', '.join(values)})", expected, match.start())


def _values(text: str, place: int, *, is_block: bool) -> tuple[list[str], int]:
    """The literals that begin at a place, with or without a name each, and where they end."""
    found: list[str] = []
    end = place + (len(text) - place - len(text[place:].lstrip()) if is_block else 0)
    while True:
        named = _NAMED.match(text, end)
        if not named and (found or not is_block):
            break
        start = named.end() if named else end
        value = literal_at(text[start:])
        if not value.text:
            break
        found.append(value.text)
        place = end = start + value.end
        more = _NEXT.match(text, end)
        if not named or not more:
            break
        end = more.end()
    return found, place


def _head_before(text: str, place: int, names: Collection[str]) -> tuple[str, int] | None:
    """The last function whose head the text gives before a place, and how many values it wants; None if it is not of `names`."""
    heads: list[tuple[int, str, int]] = []
    for match in _HEAD.finditer(text[:place]):
        try:
            node = ast.parse(f"{match[0]} pass").body[0]
        except SyntaxError:
            continue
        if isinstance(node, ast.FunctionDef) and match[1] in names:
            wanted = [each.arg for each in node.args.args if each.arg != "self"]
            heads.append((match.start(), match[1], len(wanted)))
    for match in CALL.finditer(text[:place]):
        for end in call_ends(text, match.end() - 1):
            call = ast.parse(f"f{text[match.end() - 1 : end]}", mode="eval").body
            if match[1] in names and isinstance(call, ast.Call) and all(isinstance(one, ast.Name) for one in call.args):
                heads.append((match.start(), match[1], len(call.args)))
    return max(heads)[1:] if heads else None
