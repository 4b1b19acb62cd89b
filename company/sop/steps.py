"""Links the steps of a procedure, block by block, each with what it reads, changes and waits for.

Work, commands and gates: `work.py`; ways back and cascades: `repeats.py`; references: `references.py`; order and scope:
`scopes.py`; the procedure around the steps: `linker.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from company.sop import checks
from company.sop.declares import is_single, kind_of
from company.sop.diagnostics import Diagnostics, did_you_mean
from company.sop.expressions import Expression
from company.sop.library import Library
from company.sop.loader import Entry, Node
from company.sop.procedure import Step
from company.sop.references import expression_of
from company.sop.repeats import AGAIN, after_of, back, leave_loop, tries, ways_back
from company.sop.scopes import Order, Scope, Uses
from company.sop.spec import (
    KINDS,
    ForEachStep,
    GateStep,
    LoopStep,
    RoleStep,
    RunStep,
    StepSpec,
    UseStep,
    WorkSpec,
    read,
    read_limits,
)
from company.sop.types import FLOAT, STR, UNKNOWN, ListOf, Nullable, Type, Unknown, fits
from company.sop.units import Unit, Units
from company.sop.work import WorkLinker

MOST_USES = 100
"""Times that a procedure is used by another, all together: a chain in which each uses the next twice grows without end."""


class StepLinker:
    """Builds the steps of one unit, and of those that it uses. `uses`: what each reads and changes, by path."""

    def __init__(
        self, library: Library, unit: Unit, units: Units, report: Diagnostics, around: StepLinker | None = None
    ) -> None:
        self.uses: dict[str, Uses] = around.uses if around else {}
        self.units: dict[str, Unit] = around.units if around else {}
        """The procedures that were used, by name."""
        self.linked: list[str] = around.linked if around else []
        self.limited: dict[str, Node] = around.limited if around else {}
        """Where steps with limits of their own are written, by path."""
        self.work: WorkLinker = WorkLinker(library, unit.roles, unit.resolve, report, around.work if around else None)
        self._library = library
        self._unit = unit
        self._files = units
        self.resolve = unit.resolve
        self.report = report
        self.ways_back = 0
        """Gates' ways back around the block that is being linked."""
        self._names: tuple[str, ...] = (*(around._names if around else ()), unit.name)

    def block(self, block: Node, scope: Scope, inside: str = "") -> tuple[tuple[Step, ...], Uses]:
        """The steps of a block, and what they use together. `inside`: the gate whose way back the block is."""
        order, steps, together = Order(scope.prefix), [], Uses()
        groups = ways_back(block, inside, self.report)
        names = list(block.entries)
        places: dict[str, int] = {}
        above = wall = ""
        place = 0
        while place < len(names):
            name = names[place]
            end = groups.get(name, name)
            several = end != name
            if several:
                span = names[place : names.index(end) + 1]
                sound, uses, fields = back(self, end, {each: block.entries[each] for each in span}, block, scope)
                follows = _follows(block.entries[name].node, self.uses.get(scope.prefix + name, uses))
                name = f"{end}{AGAIN}"
                after = [each for one in span for each in after_of(block.entries[one].node) if each in scope.steps]
                order.inside.update(dict.fromkeys(span, name))
            else:
                span, entry = [name], block.entries[name]
                self.resolve.name(name, entry.key, scope)
                earlier = names[:place] if kind_of(entry.node) == "gate" else []
                sound, uses, fields = self.step(name, entry, scope, earlier)
                after = self.resolve.after(entry.node, name, scope)
                follows = _follows(entry.node, uses)
            waits = order.waits(name, uses) | set(after)
            if above and not follows and not after:
                waits.add(above)
            if wall:
                waits.add(wall)
            fields["waits"] = tuple(sorted(waits & places.keys(), key=places.__getitem__))
            if sound:
                steps.append(Step(**{**fields, "name": name} if several else fields))
                if any(inner.kind == "gate" for inner in steps[-1].walk()):
                    wall = name
            self.uses[scope.prefix + name] = uses
            together.add(uses)
            places[name] = len(places)
            for each in span:
                scope.steps[each] = scope.declares.step(block.entries[each].node, each)
            above = name
            place += len(span)
        return tuple(steps), together

    # --- one step

    def step(
        self, name: str, entry: Entry, scope: Scope, earlier: Sequence[str] = (), prompt: str = ""
    ) -> tuple[bool, Uses, dict[str, Any]]:
        """Whether a step is sound enough to build, what it uses, and its fields."""
        node, path, uses = entry.node, scope.prefix + name, Uses()
        kind = self._kind(name, entry)
        fields: dict[str, Any] = {"name": name, "path": path, "kind": kind, "span": entry.key}
        if not kind:
            return False, uses, fields
        spec = read(KINDS[kind], node, self.report, f"the step `{name}`")
        fields["when"] = self.resolve.condition(node.get("when"), scope, path, uses)
        if isinstance(spec, StepSpec):
            fields.update(retry=spec.retry, timeout=spec.timeout)
            if "limits" in node.entries:
                fields["limits"], self.limited[path] = read_limits(node, self.report), node
        sound = spec is not None
        match kind:
            case "role" | "run":
                before = self.report.failed
                self.work.in_and_out(node, path, scope, uses, fields, spec if isinstance(spec, WorkSpec) else None)
                if isinstance(spec, RunStep):
                    fields["command"] = spec.run
                if kind == "role":
                    clean = before == self.report.failed
                    asked = spec if isinstance(spec, RoleStep) else None
                    self.work.role(prompt or name, node, scope, uses, fields, asked, sound=clean)
                    if "cascade" in node.entries or "accept" in node.entries:
                        return tries(self, node, scope, uses, fields, asked)
            case "gate":
                asks = spec if isinstance(spec, GateStep) else None
                self.work.gate(name, node, scope, uses, fields, asks, earlier)
            case "for_each":
                self._for_each(name, node, scope, uses, fields, spec if isinstance(spec, ForEachStep) else None)
            case "loop":
                self._loop(node, scope, uses, fields, spec if isinstance(spec, LoopStep) else None)
            case _:
                self._use(node, scope, uses, fields, spec if isinstance(spec, UseStep) else None)
        return sound, uses, fields

    def _kind(self, name: str, entry: Entry) -> str | None:
        node = entry.node
        if not node.is_map:
            label = "write `{role: …, out: …}`"
            self.report.error("SOP303", f"the step `{name}` must be a mapping", node.span, label)
            return None
        kind = kind_of(node)
        given = [key for key in node.entries if key in KINDS]
        if len(given) > 1:
            message = f"the step `{name}` has both `{given[0]}` and `{given[1]}`"
            self.report.error("SOP305", message, node.entries[given[1]].key, "make two steps of it")
        elif not given:
            known = {key for key in node.entries for model in KINDS.values() if key in model.model_fields}
            near = next((key for key in node.entries if key not in known and did_you_mean(key, KINDS)), None)
            message = f"the step `{name}` does not say what it is"
            label = did_you_mean(near, KINDS) if near else ""
            span = node.entries[near].key if near else entry.key
            self.report.error("SOP305", message, span, label, f"it needs one of {', '.join(f'`{k}:`' for k in KINDS)}")
        return kind

    # --- blocks of steps

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
            found = self.resolve.typed(over, scope, path)
            uses.add(scope.uses(over.references()))
            uses.inputs = True
            fields["over"] = over
            if isinstance(found, ListOf):
                item, fields["least"] = found.item, found.least
            elif not isinstance(found, Unknown):
                self._not_a_list(over, found)
        single = do is not None and is_single(do)
        inner = Scope(f"{path}.", None if single else do, scope.declares, scope)
        bind = as_node.text if as_node else ""
        if as_node:
            self.resolve.name(bind, as_node.span, scope)
            inner.names[bind] = item
        for key, wanted, words in (("key", STR, "text"), ("needs", ListOf(STR), "a list of texts")):
            if value := node.get(key):
                expression = expression_of(value)
                found = self.resolve.typed(expression, inner, path)
                uses.add(scope.uses(r for r in expression.references() if r.parts[0] != bind))
                fields[key] = expression
                if not fits(found, wanted):
                    self.report.error("SOP602", f"`{key}` must be {words}, not {found}", value.span)
        if "needs" in node.entries and "key" not in node.entries and not fits(item, STR):
            self.report.error("SOP602", "`needs` without `key`", node.entries["needs"].key, f"add `key: {bind}.…`")
        if spec:
            fields.update(bind=bind, parallel=spec.parallel, max=spec.max, on_error=spec.on_error)
        if not do or not do.entries:
            if do and do.is_map:
                self.report.error("SOP302", f"the `do` of `{name}` is empty", do.span)
            return
        result = scope.declares.item(do)
        self._gathered(node, inner, result)
        fields["out"] = ListOf(result)
        fields["body"], inside = self._do(name, do, inner, single)
        if spec and spec.parallel > 1:
            for target, span in inside.writes.items():
                if not target.startswith(f"{path}."):
                    message = f"the items of `{name}` change `{target}` at the same time"
                    self.report.error("SOP606", message, span, "set `parallel: 1`")
        uses.add(inside)

    def _not_a_list(self, over: Expression, found: Type) -> None:
        fields = getattr(found, "fields", {})
        lists = [f"`{over.text}.{name}`" for name, kind in fields.items() if isinstance(kind, ListOf)]
        label = f"did you mean {' or '.join(lists[:2])}?" if lists else ""
        if isinstance(found, Nullable):
            label = "a list that may be null cannot be gone through"
        self.report.error("SOP601", f"`for_each` needs a list, and `{over.text}` is {found}", over.span, label)

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
        sound, uses, fields = self.step("do", Entry(do.span, do), inner, (), name)
        self.resolve.after(do, "do", inner)
        self.uses[f"{inner.prefix}do"] = uses
        return ((Step(**fields),) if sound else ()), uses

    def _loop(self, node: Node, scope: Scope, uses: Uses, fields: dict[str, Any], spec: LoopStep | None) -> None:
        path, block, until_node = fields["path"], node.get("loop"), node.get("until")
        if spec:
            fields.update(max=spec.max, on_max=spec.on_max if until_node else "continue")
        if not until_node and "on_max" in node.entries:
            span = node.entries["on_max"].key
            self.report.error("SOP616", "`on_max` without `until`: every round is run", span, "leave it out")
        if not block or not block.is_map:
            return
        if not block.entries:
            self.report.error("SOP302", f"the loop `{fields['name']}` is empty", block.span)
        inner = Scope(f"{path}.", block, scope.declares, scope, path)
        fields["out"] = scope.declares.block(block, history=True)
        fields["body"], inside = self.block(block, inner)
        deciding = Uses()
        fields["until"] = self.resolve.condition(until_node, inner, path, deciding)
        if fields["until"] and fields["until"].references():
            names = list(block.entries)
            parts = [self.uses[f"{path}.{name}"] for name in names if f"{path}.{name}" in self.uses]
            if len(parts) == len(names):
                checks.until(fields["until"], path, deciding, parts, names, self.report)
        if best := node.get("best"):
            fields["best"] = expression_of(best)
            measure = self.resolve.typed(fields["best"], inner, path)
            deciding.add(inner.uses(fields["best"].references()))
            if not fits(measure, FLOAT):
                self.report.error("SOP303", f"`best` must be a number, not {measure}", best.span)
        inside.add(deciding)
        leave_loop(inside, lambda read: read.startswith(f"{path}."))
        uses.add(inside)

    def _use(self, node: Node, scope: Scope, uses: Uses, fields: dict[str, Any], spec: UseStep | None) -> None:
        """Another procedure: its steps, linked with its own roles and names, see its inputs and nothing else."""
        given = {}
        if source := node.get("with"):
            uses.inputs = True
            fields["inputs"] = self.resolve.inputs(source, fields["path"], scope, uses)
            given = {item.name: item for item in fields["inputs"]}
        if not spec or not (name_node := node.get("use")):
            return
        if spec.use in self._names:
            circle = " → ".join([*self._names[self._names.index(spec.use) :], spec.use])
            self.report.error("SOP614", f"`{spec.use}` uses itself: {circle}", name_node.span, "break the circle")
            return
        unit = self._files.used(spec.use, name_node.span)
        if not unit or not unit.steps:
            return
        self.units[spec.use] = unit
        fields["used"] = spec.use
        place = node.place("with") if "with" in node.entries else name_node.span
        for name, kind in unit.inputs.items():
            if name not in given:
                note = f"declared in {unit.source.shown}"
                label = f"add `{name}`" if name in scope else f"add `{name}: …`"
                self.report.error("SOP615", f"`{spec.use}` needs the input `{name}`: {kind}", place, label, note)
            elif not fits(found := self.resolve.quietly(given[name].expr, scope), kind):
                message = f"the input `{name}` of `{spec.use}` is {kind}, not {found}"
                self.report.error("SOP615", message, given[name].expr.span)
        for name, item in given.items():
            if name not in unit.inputs:
                message = f"`{spec.use}` has no input `{name}`"
                label = did_you_mean(name, unit.inputs)
                note = f"it has {', '.join(f'`{each}`' for each in unit.inputs) or 'none'}"
                self.report.error("SOP615", message, item.expr.span, label, note)
        self.linked.append(spec.use)
        if len(self.linked) > MOST_USES:
            message = f"more than {MOST_USES} procedures are used within one another"
            self.report.error("SOP105", message, name_node.span, "one that uses another twice doubles it each time")
            return
        linker = StepLinker(self._library, unit, self._files, self.report, self)
        fields["out"] = unit.declares.block(unit.steps)
        fields["body"], inside = linker.block(unit.steps, unit.scope(f"{fields['path']}."))
        uses.histories.update(inside.histories)


def _follows(node: Node, uses: Uses) -> bool:
    """Whether a step's place in the order follows from what it reads, rather than from where it is written."""
    if kind_of(node) in ("loop", "for_each", "use"):
        return uses.inputs
    return bool({"in", "show"} & node.entries.keys())
