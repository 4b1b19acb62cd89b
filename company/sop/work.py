"""Links a step that does something: a role's work, a command, a person's decision.

Blocks, and the steps that repeat them: `steps.py`. References: `references.py`; roles and prompts: `resources.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from company.sop.declares import given_by, is_measured
from company.sop.diagnostics import Diagnostics, Span, closest, did_you_mean, listing
from company.sop.expressions import Expression
from company.sop.library import PROMPT_SUFFIX, Library
from company.sop.loader import Node
from company.sop.procedure import Role
from company.sop.references import Resolver
from company.sop.resources import Roles, check_model, check_tool
from company.sop.scopes import Scope, Uses
from company.sop.spec import GateStep, RoleStep, WorkSpec
from company.sop.templates import Templates, check_prompt, prompt_missing
from company.sop.tool_names import granted
from company.sop.types import (
    CHANGE_PLAN,
    FILE_SPEC,
    PATCH,
    SELECTION,
    SOURCE_FILE,
    STR,
    TEST_RUN,
    UNKNOWN,
    ArtifactType,
    ListOf,
    OneOf,
    Record,
    Type,
    Unknown,
    fits,
)

GRAIN_NAMES: Mapping[str, Type] = {"part": ArtifactType("Part"), "module": STR}
"""What a prompt gets besides with `grain: function`: the part to write, and the file as far as it is written."""
SPREAD = 0.8
"""Temperature of a step that gives several candidates and sets none: at 0 they would be the same."""


class WorkLinker:
    """Fills in the fields of one step. `prompts`: the texts of the templates that were used, by path."""

    def __init__(
        self,
        library: Library,
        roles: Roles,
        resolver: Resolver,
        report: Diagnostics,
        around: WorkLinker | None = None,
    ) -> None:
        self.prompts: dict[str, str] = around.prompts if around else {}
        self._library = library
        self._roles = roles
        self._resolve = resolver
        self._report = report
        self._templates: Templates = around._templates if around else Templates(library)

    def in_and_out(
        self, node: Node, path: str, scope: Scope, uses: Uses, fields: dict[str, Any], spec: WorkSpec | None
    ) -> None:
        """`in`, `out`, `updates` and `commit` of a role's step or a command."""
        if source := node.get("in"):
            uses.inputs = True
            fields["inputs"] = self._resolve.inputs(source, path, scope, uses)
        out_node, command = node.get("out"), node.get("run")
        out = self._resolve.type(out_node) if out_node else UNKNOWN
        if command:
            gives = given_by(command.text)
            if out_node and not fits(out, gives):
                message, label = f"`{command.text}` gives a {gives}, not {out}", f"write `{gives}`, or leave `out` out"
                if out == TEST_RUN and (near := closest(command.text.partition(" ")[0], ["pytest"])):
                    label = f"did you mean `run: {near}`?"
                self._report.error("SOP610", message, out_node.span, label)
            out = gives
            kinds = [self._resolve.quietly(item.expr, scope) for item in fields.get("inputs", ())]
            if command.text.strip() == "read" and not any(kind in (CHANGE_PLAN, SELECTION, UNKNOWN) for kind in kinds):
                note = "it gives the files that a ChangePlan edits, as they are, or those of a Selection"
                message = "`run: read` needs a ChangePlan or a Selection in `in:`"
                self._report.error("SOP303", message, command.span, "", note)
            if command.text.strip() == "select" and not any(map(_has_code, kinds)):
                note = (
                    "the candidates: `[SourceFile]`, a step with `sample:`, or the `history` of a loop that drafts them"
                )
                self._report.error("SOP303", "`run: select` needs programs in `in:`", command.span, "", note)
        elif out_node and is_measured(out):
            made, by = ("made at a gate", "gate") if "Decision" in str(out) else ("measured", "run")
            message, way = f"{out} is {made}, not written by a role", f"a step with `{by}:` gives it"
            self._report.error("SOP610", message, out_node.span, way)
        if not command and PATCH in (out, getattr(out, "item", None)) and "updates" not in node.entries and out_node:
            message = "a Patch without `updates:` changes nothing"
            label = "add `updates: STEP`, the step whose code it mends"
            if {"sample", "cascade"} & node.entries.keys():
                label = "one of several answers is a whole file: `[SourceFile]`"
            self._report.error("SOP610", message, out_node.span, label)
        fields["out"] = out
        if updates := node.get("updates"):
            fields["updates"] = self._resolve.updates(updates, out, path, scope, uses)
        if spec:
            fields["commit"] = spec.commit

    def role(
        self,
        prompt: str,
        node: Node,
        scope: Scope,
        uses: Uses,
        fields: dict[str, Any],
        spec: RoleStep | None,
        *,
        sound: bool,
    ) -> None:
        """Role, model, tools and prompt; the prompt is held against `in:` where that is `sound`."""
        role_node = node.get("role")
        if not role_node or not role_node.text:
            return
        if role_node.text.startswith("$"):
            roles = self._chosen(role_node, scope, uses, fields)
        else:
            role = self._roles.get(role_node.text, role_node.span)
            roles, fields["role"] = [role] if role else [], role
        if spec:
            self._settings(node, roles, fields, spec)
        if sound and spec and spec.grain == "function":
            self._grain(node, scope, fields)
        for role in roles:
            self._prompt(role, prompt, node, scope, fields, spec, sound=sound)

    def _chosen(self, node: Node, scope: Scope, uses: Uses, fields: dict[str, Any]) -> list[Role]:
        """The roles that a `$step.field` may name."""
        span = node.span.inside(node.text, 1, len(node.text))
        expression = Expression(node.text[1:], span)
        found = self._resolve.typed(expression, scope, fields["path"])
        uses.add(scope.uses(expression.references()))
        uses.inputs = True
        if not isinstance(found, OneOf):
            if not isinstance(found, Unknown):
                note = "declare its field as `one_of(engineer, reviewer)`: each word is a role"
                message = f"`{expression.text}` is {found}, which does not say the roles there are"
                self._report.error("SOP409", message, span, "", note)
            return []
        fields["chosen"], fields["candidates"] = expression, {}
        return [role for name in found.values if (role := self._roles.get(name, span))]

    def _settings(self, node: Node, roles: list[Role], fields: dict[str, Any], spec: RoleStep) -> None:
        """Model, temperature, candidates and tools."""
        role = fields.get("role")
        temperature = spec.temperature if spec.temperature is not None else role and role.temperature
        cascade = spec.cascade or []
        several = spec.sample > 1 or len(set(cascade)) < len(cascade)
        if several and temperature is None:
            temperature = SPREAD
        elif several and temperature == 0:
            key = "temperature" if "temperature" in node.entries else "sample" if spec.sample > 1 else "cascade"
            message = "at temperature 0 every candidate would be the same"
            self._report.error("SOP611", message, node.place(key), f"leave it out: {SPREAD} is taken")
        places: dict[str, Span] = {}
        if (model_node := node.get("model")) and spec.model:
            check_model(spec.model, model_node.span, self._report)
            places[spec.model] = model_node.span
        if model_list := node.get("cascade"):
            for item in model_list.items:
                check_model(item.text, item.span, self._report)
                places.setdefault(item.text, item.span)
        for first, second in (
            ("sample", "cascade"),
            ("sample", "updates"),
            ("cascade", "updates"),
            ("model", "cascade"),
        ):
            if first in node.entries and second in node.entries:
                message = f"`{first}` and `{second}` do not go together"
                self._report.error("SOP616", message, node.entries[second].key, f"first at {node.entries[first].key}")
        if spec.grain == "function":
            for key in ("sample", "tools"):
                if key in node.entries:
                    message = f"`{key}` and `grain: function` do not go together"
                    self._report.error("SOP616", message, node.entries[key].key)
        fields.update(
            model=spec.model or (role and role.model),
            temperature=temperature,
            max_tokens=spec.max_tokens,
            grain=spec.grain,
            sample=spec.sample,
            cascade=tuple(cascade),
            places=places,
            tools=tuple(spec.tools or ()),
            tool_calls=spec.tool_calls if spec.tools else 0,
        )
        if spec.sample > 1:
            fields["out"] = ListOf(fields["out"])
        self._tools(node, roles)

    def _tools(self, node: Node, roles: list[Role]) -> None:
        tools = node.get("tools")
        if tools is None:
            if "tool_calls" in node.entries:
                self._report.error("SOP616", "`tool_calls` without `tools`", node.entries["tool_calls"].key)
            return
        for item in tools.listed:
            before = self._report.failed
            check_tool(item.text, item.span, self._report)
            if before != self._report.failed:
                continue
            for role in roles:
                if not granted(item.text, role.tools):
                    message = f"the role `{role.name}` was not given the tool `{item.text}`"
                    label = f"add `tools: [{', '.join([*role.tools, item.text])}]` to the role"
                    note = f"in `roles/{role.name}.yaml`, or for this procedure alone under `roles:`"
                    self._report.error("SOP407", message, item.span, label, note)

    def _prompt(
        self,
        role: Role,
        prompt: str,
        node: Node,
        scope: Scope,
        fields: dict[str, Any],
        spec: RoleStep | None,
        *,
        sound: bool,
    ) -> None:
        prompt_node = node.get("prompt")
        prompt = prompt_node.text if prompt_node else prompt
        place = prompt_node.span if prompt_node else fields["span"]
        found = self._library.prompt(role.name, prompt)
        if not found:
            prompt_missing(self._library, role.name, prompt, place, self._report)
            return
        name = found[0]
        fields["prompt"] = name
        if "candidates" in fields:
            fields["candidates"][role.name] = (role, name)
        template = self._templates.get(name + PROMPT_SUFFIX)
        self.prompts.update({f"prompts/{path}": text for path, text in template.texts.items()})
        source = node.get("in")
        given = {
            item.name: (item.expr.span, self._resolve.quietly(item.expr, scope)) for item in fields.get("inputs", ())
        }
        if spec and spec.grain == "function":
            grain = node.place("grain")
            given |= {name: (grain, kind) for name, kind in GRAIN_NAMES.items() if name in template.variables}
        if sound:
            reads = source.span if source else place
            check_prompt(template, name, place, reads, given, scope, self._report)

    def _grain(self, node: Node, scope: Scope, fields: dict[str, Any]) -> None:
        """One function at a time: a file of the design to write, files of code to mend, or what the requirement leaves empty."""
        types = [self._resolve.quietly(item.expr, scope) for item in fields.get("inputs", ())]
        span, out = node.place("grain"), fields["out"]
        wanted: tuple[Type, ...] = (SOURCE_FILE, ListOf(SOURCE_FILE)) if out == PATCH else (FILE_SPEC,)
        if out == ListOf(SOURCE_FILE):
            if FILE_SPEC in types:
                self._report.error("SOP303", f"a FileSpec is written as a SourceFile, not as {out}", span)
            elif all(item.name != "requirement" for item in fields.get("inputs", ())):
                message = f"`grain: function` with `out: {out}` needs the requirement in `in:`"
                self._report.error(
                    "SOP303", message, span, "", "the functions that it shows and leaves empty are written"
                )
        elif out not in (SOURCE_FILE, PATCH):
            message = f"`grain: function` gives a SourceFile, a list of them or a Patch, not {out}"
            self._report.error("SOP610", message, span)
        elif sum(kind in wanted for kind in types) != 1:
            note = "for instance `for_each: design.files`, `as: file`, and `file` in `in:`" if out != PATCH else ""
            message = f"`grain: function` with `out: {out}` needs exactly one {' or '.join(map(str, wanted))} in `in:`"
            self._report.error("SOP303", message, span, "", note)

    def gate(
        self,
        name: str,
        node: Node,
        scope: Scope,
        uses: Uses,
        fields: dict[str, Any],
        spec: GateStep | None,
        earlier: Sequence[str],
    ) -> None:
        """A person's decision. What it shows and a step of its own block made, the person may change."""
        fields["out"] = scope.declares.gate(node)
        if show := node.get("show"):
            uses.inputs = True
            fields["inputs"] = self._resolve.inputs(show, fields["path"], scope, uses)
            fields["edits"] = {}
            for item in fields["inputs"]:
                path = scope.path_of(item.expr.references()[0].parts) if item.expr.is_reference else None
                whole = path and f".{path}".endswith("." + ".".join(item.expr.references()[0].parts))
                kind = self._resolve.quietly(item.expr, scope)
                if path and whole and path.startswith(scope.prefix) and _editable(kind):
                    fields["edits"][item.name] = (path, kind)
                    uses.writes[path] = item.expr.span
        choices = node.get("choices")
        if not spec or not choices:
            return
        fields.update(choices=dict(spec.choices), headless=spec.headless, max=spec.max or 0)
        self._choices(name, node, choices, spec, earlier, scope)

    def _choices(
        self, name: str, node: Node, choices: Node, spec: GateStep, earlier: Sequence[str], scope: Scope
    ) -> None:
        targets = ("next", "fail")
        for choice, entry in choices.entries.items():
            target = entry.node.text
            self._resolve.name(choice, entry.key, None, taken=targets)
            if target in targets or target in earlier:
                continue
            known = [*targets, *earlier]
            message = f"`{choice}` leads to `{target}`, which is no earlier step of this block"
            if target == name or target in scope.written:
                message = f"`{choice}` leads to `{target}`, which does not come before the gate"
            label = did_you_mean(target, known)
            self._report.error("SOP612", message, entry.node.span, label, f"it may lead to {listing(known)}")
        back = [choice for choice, target in spec.choices.items() if target not in targets]
        if "next" not in spec.choices.values():
            way = "let one choice lead to `next`: nothing below can be reached"
            self._report.error("SOP612", f"no choice of the gate `{name}` leads on", choices.span, way)
        headless = node.place("headless")
        if spec.headless not in spec.choices:
            label = did_you_mean(spec.headless, spec.choices, f"one of {listing(spec.choices)}")
            self._report.error("SOP612", f"`{spec.headless}` is no choice of the gate", headless, label)
        elif spec.headless in back:
            message = f"`{spec.headless}` leads back, and nobody would ever choose otherwise"
            self._report.error("SOP612", message, headless, "take a choice that leads to `next` or `fail`")
        if back and spec.max is None:
            span = choices.entries[back[0]].key
            message = f"the gate `{name}` leads back and has no bound"
            self._report.error("SOP603", message, span, "add `max:`, how often work may be sent back")
        elif spec.max is not None and not back:
            message = "`max` bounds how often a choice leads back, and none does"
            self._report.error("SOP616", message, node.entries["max"].key, "leave it out")


def _has_code(kind: Type) -> bool:
    """Whether a type is files of code, or holds such in lists and rounds."""
    fields: Mapping[str, Type] = getattr(kind, "fields", {}) if isinstance(kind, Record) else {}
    inner = [*fields.values(), *(each for each in [getattr(kind, "item", None)] if isinstance(each, Type))]
    return kind in (SOURCE_FILE, UNKNOWN) or any(map(_has_code, inner))


def _editable(kind: Type) -> bool:
    """Whether a person may write such a value: a verdict is measured, never written."""
    return not is_measured(kind) and not isinstance(kind, Unknown | Record)


def judged_by(kind: Type) -> tuple[str, str]:
    """The one bool of a judge's result that decides, and the number that tells how good it is (empty for none)."""
    found: Mapping[str, Type] = getattr(kind, "fields", {})
    bools = [name for name, field in found.items() if str(field) == "bool"]
    score = "score" if str(found.get("score", "")) in ("float", "int") else ""
    return (bools[0] if len(bools) == 1 else ""), score
