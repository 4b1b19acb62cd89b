"""Resolves what a step refers to: `in:`, `after:`, `updates:`, expressions, types and names.

Which names there are: `scopes.py`. The steps themselves: `steps.py`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping

from company.sop.declares import type_of
from company.sop.diagnostics import Diagnostics, Span
from company.sop.expressions import Expression
from company.sop.loader import Node
from company.sop.procedure import Input
from company.sop.scopes import RESERVED, Explainer, Scope, Uses
from company.sop.typecheck import is_condition
from company.sop.types import ListOf, Record, Skipped, Type, updatable

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = {
    *map(str.lower, keyword.kwlist),
    "role",
    "loop",
    "self",
    "range",
    "dict",
    "lipsum",
    "cycler",
    "joiner",
    "namespace",
}
"""What templates have already."""
_BETTER = "choose another name: small letters, digits and `_`, a letter first"


class Resolver:
    """Resolves and reports; nothing stops at a mistake. `reader` is the path of the step that refers."""

    def __init__(self, explainer: Explainer, types: Mapping[str, Type], report: Diagnostics) -> None:
        self._explainer = explainer
        self._types = types
        self._report = report

    def condition(self, node: Node | None, scope: Scope, reader: str, uses: Uses) -> Expression | None:
        """An expression that must be true or false."""
        if not node or node.is_map or node.is_list:
            return None
        expression = expression_of(node)
        found = self.typed(expression, scope, reader)
        uses.add(scope.uses(expression.references()))
        if expression.parses and not expression.references():
            self._report.error("SOP205", f"`{expression.text}` is always the same", node.span, "it names no step")
        elif not is_condition(found):
            label = "a list is not true or false; write `len(…) > 0`" if isinstance(found, ListOf) else ""
            fields = getattr(found, "fields", {})
            bools = [f"`{expression.text}.{name}`" for name, kind in fields.items() if is_condition(kind)]
            label = f"did you mean {' or '.join(bools[:2])}?" if bools else label
            self._report.error("SOP203", f"`{expression.text}` is {found}, not true or false", node.span, label)
        return expression

    def typed(self, expression: Expression, scope: Scope, reader: str) -> Type:
        found, problems = expression.check(scope, lambda name: self._explainer.explain(name, scope, reader))
        for problem in problems:
            span = expression.span.inside(expression.text, problem.start, problem.end)
            self._report.error(problem.code, problem.message, span, problem.label, *problem.notes)
        return found.item if isinstance(found, Skipped) else found

    def quietly(self, expression: Expression, scope: Scope) -> Type:
        """The type of an expression whose mistakes are reported elsewhere."""
        return expression.check(scope)[0]

    def type(self, node: Node) -> Type:
        """The type that a node spells."""
        return type_of(node, self._types, self._report)

    def name(self, name: str, span: Span, scope: Scope | None, *, taken: Collection[str] = RESERVED) -> None:
        """See that a name can be used: that it is one, is none of `taken`, and means nothing yet."""
        if not _NAME.fullmatch(name):
            better = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
            label = f"write `{better}`" if _NAME.fullmatch(better) else ""
            message = f"`{name}` is no name: small letters, digits and `_`, a letter first"
            self._report.error("SOP306", message, span, label)
        elif name in taken:
            self._report.error("SOP306", f"`{name}` is a word of the language", span, "choose another name")
        elif scope is not None and (name in scope or name in scope.around):
            self._report.error("SOP306", f"`{name}` is a name already", span, "choose another name")

    def after(self, node: Node, reader: str, scope: Scope) -> list[str]:
        after = node.get("after") if node.is_map else None
        found = []
        for item in after.listed if after else []:
            name = item.text
            if scope.is_sibling(name):
                found.append(name)
            elif name and name in scope:
                message = f"`after` names steps of the same block, and `{name}` is none"
                self._report.error(
                    "SOP503", message, item.span, "leave it out: it is finished before this block begins"
                )
            elif name:
                code, message, label = self._explainer.explain(name, scope, reader)
                if "." in name and name.split(".")[0] in scope.steps:
                    label = f"write `{name.split('.')[0]}`"
                self._report.error(code, message, item.span, label)
        return found

    def inputs(self, node: Node, reader: str, scope: Scope, uses: Uses) -> tuple[Input, ...]:
        found: dict[str, Input] = {}
        for name, span, value in self._in_items(node):
            expression = expression_of(value)
            if not name:
                if expression.parses and not expression.is_reference:
                    label = f"give it a name: `{{NAME: {expression.text}}}`"
                    self._report.error("SOP506", f"`{expression.text}` is no name", span, label)
                    continue
                self.typed(expression, scope, reader)
                name = "_".join(expression.references()[0].parts) if expression.parses else ""
            else:
                if not _NAME.fullmatch(name) or name in _TAKEN:
                    self._report.error("SOP306", f"`{name}` cannot be a variable of a prompt", span, _BETTER)
                self.typed(expression, scope, reader)
            if name in found and name:
                self._report.error("SOP506", f"`{name}` is given twice", span, "give one of them a name of its own")
            elif name:
                found[name] = Input(name, Expression(expression.text, value.span))
            uses.add(scope.uses(expression.references()))
        return tuple(found.values())

    def _in_items(self, node: Node) -> list[tuple[str, Span, Node]]:
        """Name (empty for a plain reference), place and value of each entry of an `in:`."""
        found = []
        for item in node.listed:
            if item.is_map:
                pairs = [(name, entry.key, entry.node) for name, entry in item.entries.items()]
            else:
                pairs = [("", item.span, item)]
            for name, span, value in pairs:
                plain = value.is_list and all(not (one.is_map or one.is_list) for one in value.items)
                if name and plain and value.items:  # `reviews: [security, style]` is an expression too
                    text = f"[{', '.join(one.text for one in value.items)}]"
                    found.append((name, span, Node(text, value.span, text)))
                elif value.is_map or value.is_list or value.value is None:
                    self._report.error("SOP303", "an entry of `in` must be a name or `name: expression`", span)
                else:
                    found.append((name, span, value))
        return found

    def updates(self, node: Node, out: Type, reader: str, scope: Scope, uses: Uses) -> str | None:
        expression = expression_of(node)
        message = f"`{node.text}` is no earlier step"
        if not expression.is_reference or not expression.references() or expression.references()[0].maybe:
            self._report.error("SOP605", message, node.span, "name the step whose artifact changes")
            return None
        parts = expression.references()[0].parts
        if any(problem.code == "SOP504" for problem in expression.check(scope)[1]):
            message = f"`{node.text}` may be skipped, and then there is nothing to change"
            self._report.error("SOP605", message, node.span, "only a step without `when:` can be changed")
            return None
        target_type = self.typed(expression, scope, reader)
        if parts[0] not in scope:
            return None
        path = scope.path_of(parts)
        if not path or not f".{path}".endswith("." + ".".join(parts)):
            label = "only a step's whole result can be changed" if path else "name the step whose artifact changes"
            self._report.error("SOP605", message, node.span, label)
            return None
        if isinstance(target_type, Record):
            label = f"name a step inside it: {', '.join(f'`{node.text}.{name}`' for name in target_type.fields if name != 'history')}"
            self._report.error("SOP605", f"`{node.text}` is a loop", node.span, label)
            return None
        if not updatable(target_type, out):
            message = f"{out} cannot change `{node.text}`, which is {target_type}"
            note = f"`out` must be {target_type}" + (
                ", [SourceFile] or Patch" if "SourceFile" in str(target_type) else ""
            )
            self._report.error("SOP605", message, node.span, "", note)
        uses.writes[path] = node.span
        return path


def expression_of(node: Node) -> Expression:
    """A scalar as an expression; YAML's ``true`` is Python's ``True``."""
    return Expression(str(node.value) if isinstance(node.value, bool) else node.text, node.span)
