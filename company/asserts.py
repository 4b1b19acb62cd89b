"""Lines ``assert …`` of a text, as checks: a call and its literal, or a comparison that must be true.

Taken is only what stands for itself: functions of the program with their arguments, some of Python's own, literals. Other
ways in which a text gives examples: `examples.py`.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from company.artifacts import Call, Check
from company.literals import LONGEST, is_call_of, is_literal, sides_of

_ASSERT = re.compile(r"^[ \t]*(?:[-*] |\d+[.)] )?[`]*(assert\b[^\n]*)", re.MULTILINE)
_MOST_LINES = 20
"""Of one statement."""
_TYPES = frozenset({"bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})
"""Python's own that may be asked about with `isinstance`."""
_FUNCTIONS = _TYPES | {
    "abs",
    "all",
    "any",
    "divmod",
    "isinstance",
    "len",
    "max",
    "min",
    "repr",
    "round",
    "sorted",
    "sum",
    "type",
}
"""Python's own that may be called."""
_REFUSED = (ast.Await, ast.Yield, ast.YieldFrom, ast.comprehension, ast.Lambda, ast.NamedExpr)


class Asserted(NamedTuple):
    """A statement of a text, from `start` to `end`."""

    start: int
    end: int
    check: Check | None
    """None where it needs what stands around it."""


def asserted_in(text: str, modules: Mapping[str, str]) -> Iterator[Asserted]:
    """The statements ``assert …`` that begin a line of a text.

    Args:
        modules: name of a function or class → the module that defines it.
    """
    end = 0
    for match in _ASSERT.finditer(text):
        if match.start(1) < end:
            continue  # inside the one before
        for source in _grown(text[match.start(1) : match.start(1) + LONGEST * 4]):
            try:
                body = ast.parse(source.rstrip().rstrip("`")).body
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                continue
            end = match.start(1) + len(source)
            (first, *more) = body
            test = first.test if isinstance(first, ast.Assert) and not more else None
            yield Asserted(match.start(1), end, _check(test, modules) if test else None)
            break


def _grown(text: str) -> Iterator[str]:
    """The first line, the first two, and so on."""
    lines = text.split("\n")[:_MOST_LINES]
    for count in range(1, len(lines) + 1):
        yield "\n".join(lines[:count])


def _check(test: ast.expr, modules: Mapping[str, str]) -> Check | None:
    needed = _imports(test, modules)
    if not needed or isinstance(test, ast.Tuple):
        return None
    subject, expected = test, "True"
    if sides := sides_of(test):
        for side, value in (sides, sides[::-1]):
            if is_literal(value) and not is_literal(side):
                subject, expected = side, ast.unparse(value)
    elif not isinstance(test, ast.Compare) and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        subject = ast.Call(ast.Name("bool"), [test], [])
    try:
        source, quote = ast.unparse(subject), f"assert {ast.unparse(test)}"[:200]
    except RecursionError:
        return None
    if max(len(source), len(expected)) > LONGEST:
        return None
    name = needed[0].rpartition(" ")[2]
    call = Call(imports=needed[0], expression=source, expected=expected)
    return Check(title=f"example of {name}"[:100], quote=quote, calls=[call], commands=[], setup="\n".join(needed[1:]))


def _imports(test: ast.expr, modules: Mapping[str, str]) -> list[str]:
    """The imports that an expression needs, the program's own first; none where it needs more than these, or none of its own."""
    nodes = list(ast.walk(test))
    if any(isinstance(node, _REFUSED) for node in nodes):
        return []
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    called = {id(call.func): call for call in calls}
    asked = {
        id(argument) for call in calls if is_call_of(call, "isinstance")
        for whole in call.args[1:] for argument in ast.walk(whole)
    }  # fmt: skip
    of_math = {id(node.value) for node in nodes if isinstance(node, ast.Attribute) and hasattr(math, node.attr)}
    own: dict[str, None] = {}
    others: dict[str, None] = {}
    for node in nodes:
        if not isinstance(node, ast.Name):
            continue
        call = called.get(id(node))
        if node.id == "math" and modules.get("math", "math") == "math" and id(node) in of_math:
            others["import math"] = None
        elif node.id in modules and call and (call.args or call.keywords):
            own[f"from {modules[node.id]} import {node.id}"] = None
        elif node.id in modules or not ((call and node.id in _FUNCTIONS) or (id(node) in asked and node.id in _TYPES)):
            return []
    return [*own, *others] if own else []
