"""Expressions of procedures: parsed with `ast`, typed against a scope, evaluated by our own walker.

Which names a step sees: `scopes.py`. Types: `types.py`. No `eval`, no attribute that a type does not declare.
"""

from __future__ import annotations

import ast
import keyword
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from company.errors import SopError, StepFailed
from company.sop.diagnostics import Span
from company.sop.types import UNKNOWN, Type

LONGEST = 1000
"""Characters of an expression."""
DEEPEST = 30
"""Nesting of an expression; ``a.b.c`` is three deep."""
FUNCTIONS = ("len", "any", "all", "min", "max")
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


class Problem(NamedTuple):
    """A mistake in an expression, at ``text[start:end]``."""

    code: str
    message: str
    start: int
    end: int
    label: str = ""
    notes: tuple[str, ...] = ()


class Reference(NamedTuple):
    """A dotted name, without its leading ``maybe``."""

    parts: tuple[str, ...]
    maybe: bool
    start: int
    end: int


Explain = Callable[[str], tuple[str, str, str]]
"""Code, message and label for a name that is not there."""


@dataclass(frozen=True)
class Expression:
    """An expression as written. Two with the same text are equal."""

    text: str
    span: Span = field(compare=False)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value, with names looked up in `scope` (artifacts, lists, dicts, scalars, None).

        A field of null is null. Only names that the expression reaches are looked up.

        Raises:
            StepFailed: a name or field is not there, or an operator does not fit; a checked one never does.
        """
        tree = _parse(self.text)
        if isinstance(tree, Problem):
            raise StepFailed(f"`{self.text}`: {tree.message}", place=str(self.span))
        try:
            return _evaluate(tree, scope)
        except (KeyError, TypeError, ValueError) as error:
            raise StepFailed(
                f"`{self.text}` cannot be evaluated: {error}",
                place=str(self.span),
                hint="run `company sop check` on the procedure",
            ) from error

    def type_in(self, env: Mapping[str, Type]) -> Type:
        """Its type where the names have the types of `env`.

        Raises:
            SopError: it does not parse or does not fit; the message is the first mistake.
        """
        found, problems = self.check(env)
        if problems:
            raise SopError(problems[0].message, place=str(self.span), hint=problems[0].label)
        return found

    def check(self, env: Mapping[str, Type], explain: Explain | None = None) -> tuple[Type, list[Problem]]:
        """Its type, and every mistake in it; the type is `Unknown` where a mistake hides it."""
        from company.sop.typecheck import Typer  # it needs this module's `Problem`

        tree = _parse(self.text)
        if isinstance(tree, Problem):
            return UNKNOWN, [tree]
        typer = Typer(self.text, env, explain)
        return typer.check(tree), typer.problems

    def references(self) -> tuple[Reference, ...]:
        """The dotted names in it, in written order; none when it does not parse."""
        return _references(self.text)

    @property
    def names(self) -> frozenset[str]:
        """The names that its references begin with."""
        return frozenset(reference.parts[0] for reference in self.references())

    @property
    def is_reference(self) -> bool:
        """Whether it is a dotted name and nothing else."""
        tree = _parse(self.text)
        return not isinstance(tree, Problem) and chain(tree) is not None

    @property
    def normal(self) -> str:
        """The text in one spelling: expressions that differ in spaces, quotes or brackets alone have the same."""
        tree = _parse(self.text)
        return self.text if isinstance(tree, Problem) else ast.unparse(tree)

    @property
    def parses(self) -> bool:
        """Whether it is an expression at all."""
        return not isinstance(_parse(self.text), Problem)


def chain(node: ast.expr) -> tuple[str, ...] | None:
    """The parts of a dotted name, ``maybe`` included; None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None


def extent(text: str, node: ast.expr) -> tuple[int, int]:
    """Where a node stands in the text, in characters; `ast` counts bytes."""
    flat = _flat(text)
    lead = len(text) - len(flat)
    start, end = node.col_offset, node.end_col_offset or node.col_offset + 1
    if flat.isascii():
        return lead + start, lead + end
    data = flat.encode("utf-8", "replace")
    return lead + len(data[:start].decode("utf-8", "replace")), lead + len(data[:end].decode("utf-8", "replace"))


def last_name(text: str, node: ast.expr) -> tuple[int, int]:
    """Where the last name of a dotted name stands, as written: python may spell the same name with other letters."""
    start, end = extent(text, node)
    if not isinstance(node, ast.Attribute):
        return start, end
    after = extent(text, node.value)[1]
    return end - len(text[after:end].lstrip(" \n\r\t\x0b\x0c.)")), end


def _flat(text: str) -> str:
    """The text on one line and without leading space; what follows keeps its distance from the end."""
    return "".join(" " if char in "\n\r\t\x0b\x0c" else char for char in text).lstrip(" ")


@lru_cache(maxsize=4096)
def _parse(text: str) -> ast.expr | Problem:
    whole = (0, max(1, len(text)))
    if not text.strip():
        return Problem("SOP201", "an expression is empty", *whole)
    if len(text) > LONGEST:
        return Problem("SOP201", f"an expression is longer than {LONGEST} characters", *whole, "split it over steps")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # python's opinions about odd literals are not the operator's concern
            tree = ast.parse(_flat(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _not_parsed(text, error)
    if _depth(tree) > DEEPEST:
        return Problem("SOP201", f"an expression is nested more than {DEEPEST} deep", *whole, "split it over steps")
    return tree


def _not_parsed(text: str, error: Exception) -> Problem:
    for wrong, right in (("&&", "and"), ("||", "or"), ("!=", ""), ("!", "not"), ("===", "=="), ("{{", "")):
        at = text.find(wrong)
        if at >= 0 and right:
            return Problem("SOP201", f"`{text}` is no expression", at, at + len(wrong), f"write `{right}`")
        if at >= 0 and wrong == "{{":
            return Problem("SOP201", f"`{text}` is no expression", at, at + 2, "write the name without braces")
    for word in re.finditer(r"\.\s*(\w+)", text):
        if keyword.iskeyword(word[1]):
            label = "did you mean `passed`?" if word[1] == "pass" else "no field has this name"
            return Problem("SOP201", f"`{word[1]}` is a word of Python", *word.span(1), label)
    at = (error.offset or 1) - 1 if isinstance(error, SyntaxError) else 0
    at += len(text) - len(_flat(text))
    at = min(max(at, 0), len(text) - 1)
    bare = len(text) > at and text[at] == "=" and text[at : at + 2] != "=="
    return Problem("SOP201", f"`{text}` is no expression", at, at + 1, "write `==` to compare" if bare else "")


def _depth(tree: ast.expr) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return deepest


@lru_cache(maxsize=4096)
def _references(text: str) -> tuple[Reference, ...]:
    tree = _parse(text)
    if isinstance(tree, Problem):
        return ()
    return tuple(sorted(_find(text, tree), key=lambda reference: reference.start))


def _find(text: str, node: ast.expr) -> Iterator[Reference]:
    parts = chain(node)
    if parts:
        maybe = parts[0] == "maybe" and len(parts) > 1
        yield Reference(parts[1:] if maybe else parts, maybe, *extent(text, node))
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
            yield from _find(text, child)


def _evaluate(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return scope[node.id]
        case ast.Attribute(value=ast.Name(id="maybe")):
            return scope[node.attr]
        case ast.Attribute():
            return _member(_evaluate(node.value, scope), node.attr)
        case ast.BoolOp(op=ast.And()):
            return all(_evaluate(value, scope) for value in node.values)
        case ast.BoolOp():
            return any(_evaluate(value, scope) for value in node.values)
        case ast.UnaryOp(op=ast.Not()):
            return not _evaluate(node.operand, scope)
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluate(node.operand, scope)
        case ast.Compare():
            return _compare(node, scope)
        case ast.List() | ast.Tuple():
            return [_evaluate(item, scope) for item in node.elts]
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            arguments = [_evaluate(argument, scope) for argument in node.args]
            functions: dict[str, Callable[..., Any]] = {
                "len": len,
                "any": any,
                "all": all,
                "min": min,
                "max": max,
            }
            return functions[name](*arguments)
    raise TypeError(f"{type(node).__name__} is not part of the language")


def _compare(node: ast.Compare, scope: Mapping[str, Any]) -> bool:
    left = _evaluate(node.left, scope)
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = _evaluate(right_node, scope)
        if not COMPARE[type(op)](left, right):
            return False
        left = right
    return True


def _member(value: Any, name: str) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return value[name]
    if isinstance(value, BaseModel):
        declared = name in type(value).model_fields or isinstance(getattr(type(value), name, None), property)
        if declared and not name.startswith(("_", "model_")):
            return getattr(value, name)
    raise TypeError(f"{type(value).__name__} has no field `{name}`")
