"""Links the steps of a procedure, block by block, each with what it reads, changes and waits for.

References: `references.py`; order and scope: `scopes.py`; the procedure around the steps: `linker.py`.
"""

from __future__ import annotations

from typing import Any

from company.sop import checks
from company.sop.diagnostics import Diagnostics, did_you_mean
from company.sop.expressions import Expression
from company.sop.library import Library
from company.sop.loader import Entry, Node
from company.sop.procedure import Step
from company.sop.references import Resolver, expression_of
from company.sop.resources import Roles, Templates, check_model, check_prompt, prompt_missing, prompt_name
from company.sop.scopes import Order, Scope, Uses, declared, is_pytest, is_single, kind_of, result_of
from company.sop.spec import (
    KINDS,
    NOT_RUN_YET,
    ForEachStep,
    LoopStep,
    RoleStep,
    RunStep,
    StepSpec,
    WorkSpec,
    read,
    refuse_not_run,
)
from company.sop.types import (
    COMMAND_RESULT,
    FILE_SPEC,
    FLOAT,
    PATCH,
    SOURCE_FILE,
    STR,
    TEST_RUN,
    UNKNOWN,
    ListOf,
    Nullable,
    Record,
    Type,
    Unknown,
    fits,
)

GRAIN_NAMES = ("part", "module")
"""What a prompt gets besides with `grain: function`: the part to write, and the file as far as it is written."""


class StepLinker:
    """Builds steps. `uses`: what each reads and changes, by path. `prompts`: the templates they use."""

    def __init__(self, library: Library, roles: Roles, resolver: Resolver, report: Diagnostics) -> None:
        self.uses: dict[str, Uses] = {}
        self.prompts: dict[str, str] = {}
        self._library = library
        self._roles = roles
        self._resolve = resolver
        self._report = report
        self._templates = Templates(library)

    def block(self, block: Node, scope: Scope) -> tuple[tuple[Step, ...], Uses]:
        """The steps of a block, and what they use together."""
        order, steps, together = Order(scope.prefix), [], Uses()
        places: dict[str, int] = {}
        above = ""
        for name, entry in block.entries.items():
            self._resolve.name(name, entry.key, scope)
            step, uses, fields = self._step(name, entry, scope)
            after = self._resolve.after(entry.node, name, scope)
            waits = order.waits(name, uses) | set(after)
            follows = "in" in entry.node.entries or uses.inputs if fields.get("body") else "in" in entry.node.entries
            if above and not follows and not after:
                waits.add(above)
            fields["waits"] = tuple(sorted(waits & places.keys(), key=places.__getitem__))
            if step:
                steps.append(Step(**fields))
            self.uses[scope.prefix + name] = uses
            together.add(uses)
            places[name] = len(places)
            scope.steps[name] = declared(entry.node, name)
            above = name
        return tuple(steps), together

    def _step(self, name: str, entry: Entry, scope: Scope, prompt: str = "") -> tuple[bool, Uses, dict[str, Any]]:
        """Whether a step is sound enough to build, what it uses, and its fields."""
        node, path, uses = entry.node, scope.prefix + name, Uses()
        kind = self._kind(name, entry)
        fields: dict[str, Any] = {"name": name, "path": path, "kind": kind, "span": entry.key}
        if not kind:
            return False, uses, fields
        if kind in NOT_RUN_YET:
            read(KINDS[kind], node, self._report, f"the step `{name}`")
            refuse_not_run(node, self._report, {kind})
            return False, uses, fields
        spec = read(KINDS[kind], node, self._report, f"the step `{name}`")
        refused = refuse_not_run(node, self._report, NOT_RUN_YET if kind == "role" else set())
        fields["when"] = self._resolve.condition(node.get("when"), scope, path, uses)
        if isinstance(spec, StepSpec):
            fields.update(retry=spec.retry, timeout=spec.timeout)
        if kind in ("role", "run"):
            before = self._report.failed
            self._work(node, path, scope, uses, fields, spec if isinstance(spec, WorkSpec) else None)
            if kind == "role":
                sound = before == self._report.failed
                self._role(prompt or name, node, scope, fields, spec if isinstance(spec, RoleStep) else None, sound)
            elif isinstance(spec, RunStep):
                fields["command"] = spec.run
        elif kind == "for_each":
            self._for_each(name, node, scope, uses, fields, spec if isinstance(spec, ForEachStep) else None)
        else:
            self._loop(node, scope, uses, fields, spec if isinstance(spec, LoopStep) else None)
        return spec is not None and not refused, uses, fields

    def _kind(self, name: str, entry: Entry) -> str | None:
        node = entry.node
        if not node.is_map:
            label = "write `{role: …, out: …}`"
            self._report.error("SOP303", f"the step `{name}` must be a mapping", node.span, label)
            return None
        kind = kind_of(node)
        given = [key for key in node.entries if key in KINDS]
        if len(given) > 1:
            message = f"the step `{name}` has both `{given[0]}` and `{given[1]}`"
            self._report.error("SOP305", message, node.entries[given[1]].key, "make two steps of it")
        elif not given:
            known = {key for key in node.entries for model in KINDS.values() if key in model.model_fields}
            near = next((key for key in node.entries if key not in known and did_you_mean(key, KINDS)), None)
            message = f"the step `{name}` does not say what it is"
            label = did_you_mean(near, KINDS) if near else ""
            span = node.entries[near].key if near else entry.key
            self._report.error("SOP305", message, span, label, f"it needs one of {', '.join(f'`{k}:`' for k in KINDS)}")
        return kind

    def _work(
        self, node: Node, path: str, scope: Scope, uses: Uses, fields: dict[str, Any], spec: WorkSpec | None
    ) -> None:
        """`in`, `out`, `updates` and `commit` of a role's step or a command."""
        if source := node.get("in"):
            uses.inputs = True
            fields["inputs"] = self._resolve.inputs(source, path, scope, uses)
        out_node, command = node.get("out"), node.get("run")
        out = self._resolve.type(out_node) if out_node else UNKNOWN
        if command:
            gives = TEST_RUN if is_pytest(command.text) else COMMAND_RESULT
            if out_node and not fits(out, gives):
                message = f"`{command.text}` gives a {gives}, not {out}"
                self._report.error("SOP610", message, out_node.span, f"write `{gives}`, or leave `out` out")
            out = gives
        elif out_node and _holds(out, (TEST_RUN, COMMAND_RESULT)):
            message = f"{out} is measured, not written by a role"
            self._report.error("SOP610", message, out_node.span, "a step with `run:` gives it")
        fields["out"] = out
        if updates := node.get("updates"):
            fields["updates"] = self._resolve.updates(updates, out, path, scope, uses)
        if spec:
            fields["commit"] = spec.commit

    def _role(
        self, prompt: str, node: Node, scope: Scope, fields: dict[str, Any], spec: RoleStep | None, sound: bool
    ) -> None:
        """Role, model and prompt; the prompt is held against `in:` where that is `sound`."""
        role_node, prompt_node, model_node = node.get("role"), node.get("prompt"), node.get("model")
        role_name = role_node.text if role_node else ""
        role = self._roles.get(role_name, role_node.span) if role_node and role_name else None
        fields["role"] = role
        if spec and spec.model and model_node:
            check_model(spec.model, model_node.span, self._report)
        if spec:
            temperature = spec.temperature if spec.temperature is not None else role and role.temperature
            fields.update(
                model=spec.model or (role and role.model), temperature=temperature, max_tokens=spec.max_tokens
            )
            fields["grain"] = spec.grain
        prompt = prompt_node.text if prompt_node else prompt
        if not role_name or not role:
            return
        file = self._library.prompt(role_name, prompt)
        place = prompt_node.span if prompt_node else fields["span"]
        if not file:
            prompt_missing(self._library, role_name, prompt, place, self._report)
            return
        fields.update(prompt=f"{role_name}/{prompt}", prompt_file=file)
        template = self._templates.get(prompt_name(role_name, prompt))
        self.prompts.update({f"prompts/{path}": text for path, text in template.texts.items()})
        source = node.get("in")
        given = {item.name: item.expr.span for item in fields.get("inputs", ())}
        if sound and spec and spec.grain == "function":
            self._grain(node, scope, fields)
            given |= {name: node.place("grain") for name in GRAIN_NAMES if name in template.variables}
        if sound:
            reads = source.span if source else place
            check_prompt(template, fields["prompt"], place, reads, given, scope, self._report)

    def _grain(self, node: Node, scope: Scope, fields: dict[str, Any]) -> None:
        """One function at a time: a file of the design to write, or files of code to mend."""
        types = [self._resolve.quietly(item.expr, scope) for item in fields.get("inputs", ())]
        span, out = node.place("grain"), fields["out"]
        wanted: tuple[Type, ...] = (SOURCE_FILE, ListOf(SOURCE_FILE)) if out == PATCH else (FILE_SPEC,)
        if out not in (SOURCE_FILE, PATCH):
            self._report.error("SOP610", f"`grain: function` gives a SourceFile or a Patch, not {out}", span)
        elif sum(kind in wanted for kind in types) != 1:
            note = "for instance `for_each: design.files`, `as: file`, and `file` in `in:`" if out != PATCH else ""
            message = f"`grain: function` with `out: {out}` needs exactly one {' or '.join(map(str, wanted))} in `in:`"
            self._report.error("SOP303", message, span, "", note)

    def _for_each(
        self,
        name: str,
        node: Node,
        scope: Scope,
        uses: Uses,
        fields: dict[str, Any],
        spec: ForEachStep | None,
    ) -> None:
        path, over_node, as_node, do = fields["path"], node.get("for_each"), node.get("as"), node.get("do")
        item: Type = UNKNOWN
        if over_node:
            over = expression_of(over_node)
            found = self._resolve.typed(over, scope, path)
            uses.add(scope.uses(over.references()))
            uses.inputs = True
            fields["over"] = over
            if isinstance(found, ListOf):
                item = found.item
            elif not isinstance(found, Unknown):
                self._not_a_list(over, found)
        single = do is not None and is_single(do)
        inner = Scope(f"{path}.", None if single else do, scope)
        bind = as_node.text if as_node else ""
        if as_node:
            self._resolve.name(bind, as_node.span, scope)
            inner.names[bind] = item
        for key, wanted, words in (("key", STR, "text"), ("needs", ListOf(STR), "a list of texts")):
            if value := node.get(key):
                expression = expression_of(value)
                found = self._resolve.typed(expression, inner, path)
                uses.add(scope.uses(r for r in expression.references() if r.parts[0] != bind))
                fields[key] = expression
                if not fits(found, wanted):
                    self._report.error("SOP602", f"`{key}` must be {words}, not {found}", value.span)
        if "needs" in node.entries and "key" not in node.entries and not fits(item, STR):
            self._report.error("SOP602", "`needs` without `key`", node.entries["needs"].key, f"add `key: {bind}.…`")
        if spec:
            fields.update(bind=bind, parallel=spec.parallel, max=spec.max, on_error=spec.on_error)
        if not do or not do.entries:
            if do and do.is_map:
                self._report.error("SOP302", f"the `do` of `{name}` is empty", do.span)
            return
        result = result_of(do)
        self._gathered(node, inner, result)
        fields["out"] = ListOf(result)
        fields["body"], inside = self._do(name, do, inner, single)
        if spec and spec.parallel > 1:
            for target, span in inside.writes.items():
                if not target.startswith(f"{path}."):
                    message = f"the items of `{name}` change `{target}` at the same time"
                    self._report.error("SOP606", message, span, "set `parallel: 1`")
        uses.add(inside)

    def _not_a_list(self, over: Expression, found: Type) -> None:
        fields = getattr(found, "fields", {})
        lists = [f"`{over.text}.{name}`" for name, kind in fields.items() if isinstance(kind, ListOf)]
        label = f"did you mean {' or '.join(lists[:2])}?" if lists else ""
        if isinstance(found, Nullable):
            label = "a list that may be null cannot be gone through"
        self._report.error("SOP601", f"`for_each` needs a list, and `{over.text}` is {found}", over.span, label)

    @staticmethod
    def _gathered(node: Node, inner: Scope, result: Type) -> None:
        """The results of other items that an item sees."""
        if "needs" in node.entries:
            inner.names["deps"] = ListOf(result)
        else:
            inner.missing["deps"] = "add `needs:` to the `for_each`"
        parallel = node.get("parallel")
        if not parallel or parallel.value == 1:
            inner.names["done"] = ListOf(result)
        else:
            inner.missing["done"] = "it exists only with `parallel: 1`"

    def _do(self, name: str, do: Node, inner: Scope, single: bool) -> tuple[tuple[Step, ...], Uses]:
        if not single:
            return self.block(do, inner)
        sound, uses, fields = self._step("do", Entry(do.span, do), inner, name)
        self._resolve.after(do, "do", inner)
        self.uses[f"{inner.prefix}do"] = uses
        return ((Step(**fields),) if sound else ()), uses

    def _loop(self, node: Node, scope: Scope, uses: Uses, fields: dict[str, Any], spec: LoopStep | None) -> None:
        path, block, until_node = fields["path"], node.get("loop"), node.get("until")
        if spec:
            fields.update(max=spec.max, on_max=spec.on_max)
        if not block or not block.is_map:
            return
        if not block.entries:
            self._report.error("SOP302", f"the loop `{fields['name']}` is empty", block.span)
        inner = Scope(f"{path}.", block, scope, block)
        fields["out"] = Record({name: declared(entry.node, name) for name, entry in block.entries.items()})
        fields["body"], inside = self.block(block, inner)
        deciding = Uses()
        fields["until"] = self._resolve.condition(until_node, inner, path, deciding)
        if fields["until"] and fields["until"].references():
            names = list(block.entries)
            parts = [self.uses[f"{path}.{name}"] for name in names]
            checks.until(fields["until"], path, deciding, parts, names, self._report)
        if best := node.get("best"):
            fields["best"] = expression_of(best)
            measure = self._resolve.typed(fields["best"], inner, path)
            deciding.add(inner.uses(fields["best"].references()))
            if not fits(measure, FLOAT):
                self._report.error("SOP303", f"`best` must be a number, not {measure}", best.span)
        inside.add(deciding)
        outside = any(not read.startswith(f"{path}.") for read in inside.reads)
        inside.prev, inside.inputs = False, inside.inputs or outside
        uses.add(inside)


def _holds(found: Type, wanted: tuple[Type, ...]) -> bool:
    """Whether a type is one of some, or a list, mapping or null of it."""
    inner = getattr(found, "item", None) or getattr(found, "value", None)
    return found in wanted or (isinstance(inner, Type) and _holds(inner, wanted))
