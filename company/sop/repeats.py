"""Links what repeats steps without being written as a loop: a gate that leads back, a cascade with its judge.

Both become a loop that has no name of its own. Written loops: `steps.py`. How a loop runs: `company/rounds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from company.sop.declares import kind_of
from company.sop.diagnostics import Diagnostics
from company.sop.expressions import Expression
from company.sop.loader import Entry, Node
from company.sop.procedure import Step, named
from company.sop.scopes import Scope, Uses
from company.sop.spec import RoleStep
from company.sop.types import UNKNOWN, Record, Unknown
from company.sop.work import judged_by

if TYPE_CHECKING:
    from company.sop.steps import StepLinker

AGAIN, TRIES = "@again", "@tries"
"""Suffixes of the loops that a gate and a cascade make."""
DEEPEST = 12
"""Ways back inside one another."""


def ways_back(block: Node, inside: str, report: Diagnostics) -> dict[str, str]:
    """The outermost ways back: the first step of each, and its gate."""
    names = list(block.entries)
    found: dict[int, int] = {}
    for place, name in enumerate(names):
        node = block.entries[name].node
        choices = node.get("choices") if kind_of(node) == "gate" and name != inside else None
        targets = [entry.node.text for entry in choices.entries.values()] if choices else []
        starts = [names.index(target) for target in targets if target in names[:place]]
        if not starts:
            continue
        start = min(starts)
        if len(set(starts)) > 1:
            others = " and ".join(f"`{names[each]}`" for each in sorted(set(starts)))
            way = "let them lead to the same step, or make a gate for each"
            report.error("SOP612", f"the choices of `{name}` lead back to {others}", block.entries[name].key, way)
        for first, last in list(found.items()):
            if first < start <= last:
                message = f"`{name}` leads back to `{names[start]}`, which lies within the way back of `{names[last]}`"
                way = f"lead back to `{names[first]}`, or to a step after `{names[last]}`"
                report.error("SOP612", message, block.entries[name].key, way)
                start = first
            if first >= start:
                del found[first]
        found[start] = place
    return {names[start]: names[end] for start, end in found.items()}


def back(
    linker: StepLinker, gate: str, entries: Mapping[str, Entry], block: Node, scope: Scope
) -> tuple[bool, Uses, dict[str, Any]]:
    """The steps from where a gate leads back to, up to the gate: a loop without a name of its own."""
    name, node = f"{gate}{AGAIN}", entries[gate].node
    path = scope.prefix + name
    inner_block = Node(block.value, block.span, entries=dict(entries))
    inner = Scope(scope.prefix, inner_block, scope.declares, scope, path, shared=True)
    if linker.ways_back == DEEPEST:
        message = f"more than {DEEPEST} gates lead back over one another"
        linker.report.error("SOP105", message, entries[gate].key, "lead back to a step after the gate before")
        return False, Uses(), {"path": path}
    linker.ways_back += 1
    body, inside = linker.block(inner_block, inner, gate)
    linker.ways_back -= 1
    back = [choice for choice, step in body[-1].choices.items() if step in entries] if body else []
    if back and f"{scope.prefix}@prev.{gate}" not in inside.reads:
        message = f"`{back[0]}` leads back, and nobody reads what the person said"
        way = f"add `prev.{gate}` to the `in:` of `{next(iter(entries))}`"
        linker.report.warning("SOP617", message, entries[gate].node.entries["choices"].node.entries[back[0]].key, way)
    limit = node.get("max")
    times = limit.value if limit and isinstance(limit.value, int) else 1
    text = f"{gate}.choice not in {back!r}".replace("'", '"')
    fields = {
        "path": path,
        "kind": "loop",
        "span": next(iter(entries.values())).key,
        "until": Expression(text, entries[gate].key),
        "max": times + 1,
        "on_max": "continue",
        "transparent": True,
        "out": Record({}),
        "body": body,
    }
    leave_loop(inside, lambda read: read.removeprefix(scope.prefix).removeprefix("@prev.").split(".")[0] in entries)
    return [step.name for step in named(body)] == list(entries), inside, fields


def tries(
    linker: StepLinker, node: Node, scope: Scope, uses: Uses, fields: dict[str, Any], spec: RoleStep | None
) -> tuple[bool, Uses, dict[str, Any]]:
    """A cascade: the step, and who judges its answer, repeated with one model after another."""
    accept, models = node.get("accept"), node.get("cascade")
    if not accept or not models:
        given, other = ("cascade", "accept") if models else ("accept", "cascade")
        message = f"`{given}` without `{other}`"
        label = "say when an answer is good enough" if models else "say which models are asked, cheapest first"
        linker.report.error("SOP613", message, node.entries[given].key, label)
        return False, uses, fields
    inner = Scope(f"{fields['path']}.", None, scope.declares, scope)
    inner.names["answer"] = fields.get("out", UNKNOWN)
    when = fields.pop("when", None)
    until: Expression | None
    best = judge = None
    if accept.is_map:
        sound, more, judged = linker.step("accept", Entry(node.entries["accept"].key, accept), inner)
        uses.add(more)
        uses.reads[f"{inner.prefix}accept"] = None
        linker.uses[f"{inner.prefix}accept"] = more
        if not any("answer" in item.expr.names for item in judged.get("inputs", ())):
            message = "the judge does not read `answer`, so every answer would be the same to it"
            linker.report.error("SOP613", message, accept.span, "add `answer` to its `in:`")
        passed, score = judged_by(judged.get("out", UNKNOWN))
        kind = kind_of(accept)
        if kind not in ("role", "run", None):
            message = f"a step with `{kind}:` cannot judge an answer"
            linker.report.error("SOP613", message, accept.span, "a step with `role:` or `run:` can")
        elif sound and not passed and not isinstance(judged.get("out"), Unknown):
            message = f"{judged['out']} has no single `bool` that decides"
            linker.report.error("SOP613", message, accept.span, "", "a TestRun, a CommandResult and a Review have one")
        until = Expression(f"accept.{passed}", accept.span)
        best = Expression(f"accept.{score}", accept.span) if score else None
        judge = Step(**{**judged, "waits": (fields["name"],)}) if sound else None
    else:
        deciding = Uses()
        until = linker.resolve.condition(accept, inner, fields["path"], deciding)
        uses.add(deciding)
        sound = until is not None
    if not sound or not spec or (accept.is_map and not judge):
        return False, uses, fields
    candidate = Step(**fields)
    whole = {
        "name": fields["name"],
        "path": fields["path"] + TRIES,
        "kind": "loop",
        "span": fields["span"],
        "out": fields["out"],
        "when": when,
        "until": until,
        "best": best,
        "max": len(spec.cascade or ()),
        "on_max": "continue",
        "transparent": True,
        "body": (candidate, judge) if judge else (candidate,),
    }
    return True, uses, whole


def after_of(node: Node) -> list[str]:
    after = node.get("after") if node.is_map else None
    return [item.text for item in after.listed] if after else []


def leave_loop(inside: Uses, own: Callable[[str], bool]) -> None:
    """What a loop's steps use, as it is seen from outside: whether anything that is read there lies outside."""
    inside.inputs = inside.inputs or any(not own(read) for read in inside.reads)
    inside.prev = False
