"""Types an expression: which operators and functions fit which types, and what is wrong where they do not.

Parsing and evaluating: `expressions.py`. The types: `types.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from company.sop.diagnostics import did_you_mean
from company.sop.expressions import FUNCTIONS, Explain, Problem, chain, extent, last_name
from company.sop.types import (
    BOOL,
    FLOAT,
    INT,
    NULL,
    STR,
    UNKNOWN,
    ArtifactType,
    DictOf,
    ListOf,
    Nullable,
    OneOf,
    Record,
    Scalar,
    Skipped,
    Type,
    Unknown,
    fits,
)

NUMBERS = (INT, FLOAT)
OUTSIDE = "an expression is made of names, fields, literals, comparisons, `and or not in` and " + ", ".join(
    f"`{name}`" for name in FUNCTIONS
)
SPELLED = {"true": "True", "false": "False", "null": "None", "none": "None"}


class Typer:
    """Walks one expression. `problems` holds what it found."""

    def __init__(self, text: str, env: Mapping[str, Type], explain: Explain | None) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._env = env
        self._explain = explain
        self._sure: frozenset[tuple[str, ...]] = frozenset()
        self._strict = False
        """Whether this stands under a `not`, where null would count as true."""

    def check(self, node: ast.expr) -> Type:
        """The type of a node whose result is used as a value."""
        found, _ = self._reference(node) if chain(node) else (self._compound(node), False)
        if isinstance(found, Skipped):
            return self._skipped(node, found)
        return found

    def _problem(self, code: str, message: str, node: ast.expr, label: str = "", *notes: str) -> Type:
        self.problems.append(Problem(code, message, *extent(self._text, node), label, notes))
        return UNKNOWN

    def _skipped(self, node: ast.expr, found: Skipped) -> Type:
        written = ".".join(chain(node) or ())
        null = "it" if written == found.step else f"`{written}`"
        message = f"`{found.step}` may be skipped, and then {null} is null"
        return self._problem("SOP504", message, node, f"write `maybe.{written}`")

    # --- names and fields

    def _reference(self, node: ast.expr) -> tuple[Type, bool]:
        """The type of a dotted name as it stands, `Skipped` included, and whether it began with ``maybe``."""
        if isinstance(node, ast.Name):
            return self._name(node.id, node), False
        assert isinstance(node, ast.Attribute)
        if isinstance(node.value, ast.Name) and node.value.id == "maybe":
            found = self._unskipped(self._name(node.attr, node))
            sure = isinstance(found, Nullable) and chain(node) in self._sure
            return (found.item if isinstance(found, Nullable) and sure else found), True
        base, maybe = self._reference(node.value)
        if isinstance(base, Skipped):
            return self._skipped(node.value, base), maybe
        found = self._field(base, node)
        if maybe:
            found = self._unskipped(found)
        if isinstance(found, Nullable) and chain(node) in self._sure:
            found = found.item
        return found, maybe

    def _name(self, name: str, node: ast.expr) -> Type:
        if name in self._env:
            found = self._env[name]
            return found.item if isinstance(found, Nullable) and (name,) in self._sure else found
        if name in SPELLED:
            problem = ("SOP501", f"there is no `{name}` here", f"write `{SPELLED[name]}`")
        elif self._explain:
            problem = self._explain(name)
        else:
            problem = ("SOP501", f"there is no `{name}` here", did_you_mean(name, self._env))
        code, message, label = problem
        self.problems.append(Problem(code, message, *last_name(self._text, node), label))
        return UNKNOWN

    @staticmethod
    def _unskipped(found: Type) -> Type:
        if not isinstance(found, Skipped):
            return found
        why = f"`{found.step}` may be skipped"
        return found.item if isinstance(found.item, Nullable) else Nullable(found.item, why)

    def _field(self, base: Type, node: ast.Attribute) -> Type:
        if isinstance(base, Nullable):
            found = self._field(base.item, node)
            if isinstance(found, Skipped):
                found = found.item
            return found if isinstance(found, Nullable | Unknown) else Nullable(found, base.why)
        if isinstance(base, Unknown):
            return UNKNOWN
        fields = base.fields if isinstance(base, ArtifactType | Record) else {}
        if node.attr in fields:
            return fields[node.attr]
        what = str(base) if isinstance(base, ArtifactType) else f"`{ast.unparse(node.value)}` ({base})"
        if isinstance(base, Record):
            what = f"`{ast.unparse(node.value)}`"
        label, notes = did_you_mean(node.attr, fields), []
        near = label.split("`")[1] if label else ""
        if near and isinstance(base, ArtifactType):
            label = f"did you mean `{near}: {fields[near]}`?"
        elif fields and not near:
            notes.append(f"it has {', '.join(f'`{name}`' for name in fields)}")
        if isinstance(base, ArtifactType):
            notes.append(f"`{ast.unparse(node.value)}` is a {base}")
        kind = "step" if isinstance(base, Record) else "field"
        message = f"{what} has no {kind} `{node.attr}`"
        self.problems.append(Problem("SOP204", message, *last_name(self._text, node), label, tuple(notes)))
        return UNKNOWN

    # --- operators

    def _compound(self, node: ast.expr) -> Type:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.BoolOp():
                return self._logic(node)
            case ast.UnaryOp(op=ast.Not()):
                before, self._strict = self._strict, True
                self._need_bool(node.operand)
                self._strict = before
                return BOOL
            case ast.UnaryOp(op=ast.USub()):
                found = self._not_null(node.operand)
                if isinstance(found, Unknown) or found in NUMBERS:
                    return found
                return self._problem("SOP206", f"`-` takes a number, not {found}", node)
            case ast.Compare():
                return self._comparison(node)
            case ast.List() | ast.Tuple():
                return self._list(node.elts)
            case ast.Call():
                return self._call(node)
            case ast.Attribute():
                base = self.check(node.value)
                return self._field(base, node)
        return self._problem("SOP202", f"`{ast.unparse(node)}` is not part of the language", node, "", OUTSIDE)

    def _constant(self, node: ast.Constant) -> Type:
        if node.value is None:
            return NULL
        name = type(node.value).__name__
        if name in ("str", "int", "float", "bool"):
            return {"str": STR, "int": INT, "float": FLOAT, "bool": BOOL}[name]
        return self._problem("SOP202", f"`{ast.unparse(node)}` is not part of the language", node, "", OUTSIDE)

    def _need_bool(self, node: ast.expr) -> None:
        """A condition: a bool, or one that may be null (null counts as false)."""
        found = self.check(node)
        if self._strict and isinstance(found, Nullable) and is_condition(found):
            notes = (found.why,) if found.why else ()
            text = ast.unparse(node)
            message = f"`{text}` may be null, and null counts as false: under `not` it would hold"
            self._problem(
                "SOP207", message, node, f"say so: `{text} != None and not …` or `{text} == None or …`", *notes
            )
        if not is_condition(found):
            label = f"compare it: `{ast.unparse(node)} != None`" if isinstance(found, Nullable) else ""
            if isinstance(found, ListOf | DictOf) or found == STR:
                label = f"write `len({ast.unparse(node)}) > 0`"
            self._problem("SOP203", f"`{ast.unparse(node)}` is {found}, not true or false", node, label)

    def _logic(self, node: ast.BoolOp) -> Type:
        before = self._sure
        for value in node.values:
            self._need_bool(value)
            self._sure |= self._made_sure(value, isinstance(node.op, ast.And))
        self._sure = before
        return BOOL

    @classmethod
    def _made_sure(cls, node: ast.expr, holds: bool) -> frozenset[tuple[str, ...]]:
        """The names that are not null where this condition holds, or where it does not."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return cls._made_sure(operand, not holds)
            case ast.Compare(left=left, ops=[ast.NotEq() | ast.IsNot()], comparators=[ast.Constant(value=None)]):
                parts = chain(left) if holds else None
            case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[ast.Constant(value=None)]):
                parts = None if holds else chain(left)
            case _:
                parts = chain(node) if holds else None
        if not parts:
            return frozenset()
        # a field that is not null has an owner that is not null
        return frozenset(parts[:length] for length in range(1, len(parts) + 1))

    def _not_null(self, node: ast.expr) -> Type:
        found = self.check(node)
        if not isinstance(found, Nullable):
            return found
        written = ast.unparse(node)
        notes = (found.why,) if found.why else ()
        return self._problem(
            "SOP207", f"`{written}` may be null", node, f"test it first: `{written} != None and …`", *notes
        )

    def _comparison(self, node: ast.Compare) -> Type:
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
                self._equality(left, op, right, node)
            elif isinstance(op, ast.In | ast.NotIn):
                self._membership(left, right, node)
            else:
                self._ordering(left, right, node)
            left = right
        return BOOL

    def _equality(self, left: ast.expr, op: ast.cmpop, right: ast.expr, whole: ast.expr) -> None:
        if isinstance(op, ast.Is | ast.IsNot) and not (isinstance(right, ast.Constant) and right.value is None):
            self._problem("SOP202", "`is` compares only with None", whole, "write `==` or `!=`")
            return
        if self._bare_word(left, right) or self._bare_word(right, left):
            return
        one, two = self.check(left), self.check(right)
        for a, b, b_node in ((one, two, right), (two, one, left)):
            if b == NULL and not isinstance(a, Nullable | Unknown) and a != NULL:
                self._problem("SOP205", f"`{ast.unparse(left)}` is never null", whole)
                return
            self._one_word(a, b, b_node)
        if not self._comparable(one, two):
            self._problem("SOP206", f"{one} is never equal to {two}", whole)

    def _bare_word(self, node: ast.expr, word: ast.expr) -> bool:
        """Report one of a type's words that is written as a name."""
        if not isinstance(word, ast.Name) or word.id in self._env or not chain(node):
            return False
        before = len(self.problems)
        kind = self.check(node)
        del self.problems[before:]
        kind = kind.item if isinstance(kind, Nullable) else kind
        if not isinstance(kind, OneOf) or word.id not in kind.values:
            return False
        self._problem("SOP501", f"there is no `{word.id}` here", word, f'write `"{word.id}"`', f"the type is {kind}")
        return True

    def _one_word(self, kind: Type, other: Type, literal: ast.expr) -> None:
        kind = kind.item if isinstance(kind, Nullable) else kind
        if not (isinstance(kind, OneOf) and isinstance(literal, ast.Constant) and isinstance(literal.value, str)):
            return
        if literal.value not in kind.values:
            label = did_you_mean(literal.value, kind.values)
            self._problem("SOP206", f"`{literal.value}` is none of the values", literal, label, f"the type is {kind}")

    @staticmethod
    def _comparable(one: Type, two: Type) -> bool:
        if fits(one, two) or fits(two, one):
            return True
        one, two = (kind.item if isinstance(kind, Nullable) else kind for kind in (one, two))
        return fits(one, two) or fits(two, one) or (isinstance(one, OneOf) and isinstance(two, OneOf))

    def _membership(self, left: ast.expr, right: ast.expr, whole: ast.expr) -> None:
        item, container = self.check(left), self._not_null(right)
        if isinstance(container, Unknown) or isinstance(item, Unknown):
            return
        if isinstance(container, ListOf):
            for literal in right.elts if isinstance(right, ast.List | ast.Tuple) else ():
                self._one_word(item, STR, literal)
            good = self._comparable(item, container.item)
        else:
            good = (isinstance(container, DictOf) or container == STR) and fits(item, STR)
        if not good:
            self._problem("SOP206", f"{item} cannot be `in` {container}", whole)

    def _ordering(self, left: ast.expr, right: ast.expr, whole: ast.expr) -> None:
        one, two = self._not_null(left), self._not_null(right)
        if isinstance(one, Unknown) or isinstance(two, Unknown):
            return
        if not ((one in NUMBERS and two in NUMBERS) or (one == STR and two == STR)):
            self._problem("SOP206", f"{one} and {two} have no order", whole)

    # --- lists and functions

    def _list(self, nodes: Sequence[ast.expr]) -> Type:
        items = [self.check(node) for node in nodes]
        found: Type = items[0] if items else UNKNOWN
        for item, node in zip(items, nodes, strict=True):
            if fits(found, item):
                found = item
            elif not fits(item, found):
                self._problem("SOP206", f"a list of {found} cannot hold {item}", node)
        return ListOf(found)

    def _call(self, node: ast.Call) -> Type:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in FUNCTIONS:
            label = did_you_mean(name, FUNCTIONS)
            return self._problem("SOP202", f"`{name}` cannot be called", node, label, OUTSIDE)
        several = name in ("min", "max") and len(node.args) > 1
        if node.keywords or not (several or len(node.args) == 1) or any(isinstance(a, ast.Starred) for a in node.args):
            return self._problem("SOP206", f"`{name}` takes one argument", node)
        found = self._list([*node.args]) if several else self._not_null(node.args[0])
        if isinstance(found, Unknown):
            return UNKNOWN
        if name == "len":
            good, result, wants = (
                isinstance(found, ListOf | DictOf) or found == STR,
                INT,
                "a list, a mapping or text",
            )
        elif name in ("any", "all"):
            good, result, wants = found == ListOf(BOOL), BOOL, "a list of bool"
        else:
            item = found.item if isinstance(found, ListOf) else NULL
            good, wants = item in (*NUMBERS, STR), "numbers or texts"
            result = item if isinstance(item, Scalar) else INT
        if not good and not (isinstance(found, ListOf) and isinstance(found.item, Unknown)):
            return self._problem("SOP206", f"`{name}` takes {wants}, not {found}", node)
        return result


def is_condition(found: Type) -> bool:
    """Whether it can decide something: a bool, or a bool that may be null (null counts as false)."""
    return found == BOOL or found == Nullable(BOOL) or isinstance(found, Unknown)
