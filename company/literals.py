"""Python values as they stand in running text: where a call ends, which literal begins at a place, and what it is.

Examples that are put together of them: `examples.py` (calls with results), `pairs.py` (inputs with outputs).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

CALL = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")
LONGEST = 300
"""Characters of an expression, or of its value, that can be a check."""
_WORDS = {"true": "True", "false": "False", "null": "None"}
"""How other languages, and hurried people, write Python's constants."""
_WORD = re.compile(r"(true|false|null)\b")
_SUM = re.compile(r"[ \t]*(?:\*\*|//|[-+*/%])[ \t]*[-\d.(]")
_SUMS = re.compile(r"[ \t]*=[ \t]*([^=\n]+)")


class Value(NamedTuple):
    """A literal in a text."""

    text: str
    """As Python writes it; empty where there is none."""
    end: int
    """The place after it."""


def call_ends(text: str, opening: int) -> Iterator[int]:
    """The place after the bracket that closes the one at `opening`; brackets inside strings do not count."""
    for end in range(opening + 1, min(len(text), opening + 300) + 1):
        if text[end - 1] == ")":
            try:
                ast.parse("f" + text[opening:end], mode="eval")
            except (SyntaxError, ValueError):
                continue
            yield end
            return


def is_literal(node: ast.expr | str) -> bool:
    """Whether an expression, parsed or as text, is a Python literal."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def sides_of(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The two sides of ``a == b``; None of anything else."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
        return node.left, node.comparators[0]
    return None


def is_call_of(node: ast.expr, name: str) -> bool:
    """Whether an expression calls what stands under a plain name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def literal_at(rest: str) -> Value:
    """The literal at the beginning of a text; of a sum that is worked out, ``19 - 5 - 6 = 8``, what it comes to."""
    lead = len(rest) - len(rest.lstrip(" "))
    if word := _WORD.match(rest, lead):
        return Value(_WORDS[word[1]], word.end())
    best = Value("", 0)
    for end in range(1, min(len(rest), 200) + 1):
        candidate = rest[:end].strip()
        if not candidate or (end < len(rest) and (rest[end].isalnum() or rest[end] == "_")):
            continue
        if best.text and candidate.partition("#")[0].rstrip() == best.text:
            continue  # a comment
        if candidate[-1:] in ".,;" or re.search(r"\s(and|or|while|but)$", candidate):
            continue
        try:
            value = ast.literal_eval(candidate)
        except (ValueError, SyntaxError, TypeError, MemoryError):
            continue
        if isinstance(value, tuple) and not candidate.startswith("("):
            break  # `"a", f("x")`: the comma belongs to the sentence
        best = Value(candidate, len(rest[:end].rstrip()))
    return _worked_out(best, rest) if best.text and _SUM.match(rest, best.end) else best


def _worked_out(first: Value, rest: str) -> Value:
    """What the sum comes to that a number begins; nothing where the text does not say it."""
    line = rest[first.end :].partition("\n")[0]
    sums = list(_SUMS.finditer(line))
    if not sums:
        return Value("", 0)
    found = literal_at(sums[-1][1])
    return Value(found.text, first.end + sums[-1].start(1) + found.end) if found.text else found
