"""Inputs made by rule from those that checks have: a little longer, shorter, turned round, empty.

They ask nobody what comes of them: programs written independently are compared on them (`selection.py`).
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from company.artifacts import Check, SourceFile
from company.literals import is_call_of

Input = tuple[str, str]
"""Statements, the import among them, and an expression."""
_DEEP = 2
"""How far into lists of lists things are changed."""


_VALUES = {
    "list": (
        "[]",
        "[1, 2, 3]",
        "[3, 1, 2, 2]",
        "[-1, 0, 5, 4, 10]",
        "['b', 'a', 'abc']",
        "[(1, 2), (3, 1)]",
        "[[1, 2], [3, 4]]",
    ),
    "dict": ("{'a': 1, 'b': 2}", "{}", "{'x': 'y'}"),
    "tuple": ("(1, 2, 3)", "(5, 4, 4, 1)", "('a', 'b')"),
    "str": ("'a'", "'hello world'", "'Abc 123'", "'racecar'", "''", "'(())'", "'17'"),
    "bool": ("True", "False"),
    "float": ("2.5", "0.5", "10.0", "3.0"),
    "int": ("0", "1", "2", "3", "5", "12", "27", "100"),
}
"""Values by the type that an annotation names; a list of texts is a list first."""


def inputs_of(check: Check) -> Iterator[Input]:
    """The inputs that a check itself has, without what should come of them."""
    for call in check.calls:
        yield "\n".join(filter(None, (call.imports.strip(), check.setup))), call.expression.strip()


def derived(inputs: Iterable[Input], most: int) -> list[Input]:
    """Up to `most` other inputs, of each of the given ones in turn: the likelier to be meant come first."""
    known = list(inputs)
    more = [_changed(*each) for each in known]
    found: dict[Input, None] = {}
    for row in itertools.zip_longest(*more):
        found |= dict.fromkeys(each for each in row if each and each not in known)
        if len(found) >= most:
            break
    return list(found)[:most]


def from_heads(files: Iterable[SourceFile], most: int) -> list[Input]:
    """Up to `most` calls of the functions whose heads are shown, with values of the types that they name, or of any."""
    found: dict[Input, None] = {}
    for file in files:
        module = file.path.removesuffix(".py").replace("/", ".")
        for node in ast.parse(file.content).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            chance = random.Random(node.name)  # the same calls each time
            kinds = [ast.unparse(each.annotation).lower() if each.annotation else "" for each in node.args.args]
            for number in range(most * bool(kinds)):
                same = chance.choice(list(_VALUES))
                rows = [next((name for name in _VALUES if name in kind), same if number % 2 else "") for kind in kinds]
                values = [
                    chance.choice(_VALUES.get(row) or [one for each in _VALUES.values() for one in each])
                    for row in rows
                ]
                found[f"from {module} import {node.name}", f"{node.name}({', '.join(values)})"] = None
    return list(found)[:most]


def _changed(setup: str, expression: str) -> Iterator[Input]:
    """An input with one argument changed, each in turn; in the statements before it where it has none itself."""
    try:
        trees = (_subject(ast.parse(expression, mode="eval")), ast.parse(setup))
    except SyntaxError:
        return
    for tree in trees:
        places = list(_arguments(tree))
        if not places:
            continue
        others = [_variants(ast.literal_eval(getattr(owner, name)[at])) for owner, name, at in places]
        for row in itertools.zip_longest(*others, fillvalue=_NOTHING):
            for (owner, name, at), value in zip(places, row, strict=True):
                if value is _NOTHING:
                    continue
                old = getattr(owner, name)[at]
                getattr(owner, name)[at] = ast.parse(repr(value), mode="eval").body
                if tree is trees[0]:
                    yield setup, ast.unparse(tree)
                else:
                    yield ast.unparse(tree), expression
                getattr(owner, name)[at] = old
        return


def _subject(tree: ast.Expression) -> ast.Expression:
    """Of a comparison the call that it is about: most answers fail it alike, and would seem to agree."""
    made = tree.body
    compares = isinstance(made, ast.Compare | ast.BoolOp | ast.UnaryOp)
    if compares or is_call_of(made, "bool"):
        for node in ast.walk(made):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not hasattr(builtins, node.func.id):
                return ast.Expression(node)
    return tree


_NOTHING = object()


def _arguments(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
    """Where the arguments of calls are that are literals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for at, argument in enumerate(node.args):
                try:
                    ast.literal_eval(argument)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    continue
                yield node, "args", at


def _variants(value: Any, depth: int = 0) -> Iterator[Any]:
    """Values of the same type, near ones first."""
    seen = [value]
    for other in _others(value, depth):
        if not any(type(other) is type(each) and other == each for each in seen):
            seen.append(other)
            yield other


def _others(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        yield from _longer_and_shorter(value, type(value), depth)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value * 2, value + 7)
        if value > 1:
            yield from (value - 1, 1)
        if value < 0:
            yield from (-value, value - 1)
        yield 0
    elif isinstance(value, float):
        yield from (value + 0.5, value * 2, 1.0, 0.0)
    elif isinstance(value, str):
        if value:
            yield from (
                value[::-1],
                value + value,
                value[1:],
                value[:1],
                value[:-1],
                value.swapcase(),
                f"{value} {value}",
            )
        yield ""
    elif isinstance(value, dict):
        yield dict(list(value.items())[1:])
        for key, old in list(value.items())[:2]:
            for other in itertools.islice(_variants(old, depth + 1), 2):
                yield {**value, key: other}
        yield {}


def _longer_and_shorter(value: Sequence[Any], kind: Callable[[Iterable[Any]], Any], depth: int) -> Iterator[Any]:
    yield from (kind(value[::-1]), kind([*value, *value]), kind(value[1:]))
    for at in range(min(2, len(value)) if depth < _DEEP else 0):
        for other in itertools.islice(_variants(value[at], depth + 1), 2):
            yield kind([*value[:at], other, *value[at + 1 :]])
    yield kind(value[:1])
    with contextlib.suppress(TypeError):
        yield from (kind(sorted(value)), kind(sorted(value, reverse=True)))
    yield kind([])
