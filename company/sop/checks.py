"""The checks that need more than one step: endless loops, outputs nobody reads, calls against limits.

Called by `linker.py` once the steps are linked. What a step reads and writes: `scopes.Uses`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set

from company.artifacts import MOST_FILES, MOST_PARTS
from company.sop.diagnostics import Diagnostics, Span
from company.sop.expressions import Expression
from company.sop.loader import Node
from company.sop.procedure import Step
from company.sop.scopes import Uses
from company.sop.types import COMMAND_RESULT, DESIGN, PATCH, REVIEW, TEST_RUN, ListOf, Scalar


def until(
    expression: Expression,
    path: str,
    deciding: Uses,
    parts: Sequence[Uses],
    names: Sequence[str],
    report: Diagnostics,
) -> None:
    """An `until` must read something of the loop, and that must change from round to round."""
    written = {target for uses in parts for target in uses.writes}
    inside = {read for read in deciding.reads if read.startswith(f"{path}.") or read in written}
    if not inside:
        message = f"nothing in the loop can change `{expression.text}`"
        report.error("SOP604", message, expression.span, "read a step of the loop")
        return
    way = "let a step of the loop read `prev.…`, or change an artifact with `updates:`"
    if report.failed:
        return
    moving = set(written)
    for _ in parts:
        grown = moving | {
            f"{path}.{name}"
            for name, uses in zip(names, parts, strict=True)
            if uses.prev or any(within(read, moving) for read in uses.reads)
        }
        if grown == moving:
            break
        moving = grown
    if not deciding.prev and not any(within(read, moving) for read in inside):
        message = f"every round asks the same: what `{expression.text}` depends on never changes"
        report.warning("SOP604", message, expression.span, "", way)


def within(path: str, places: Set[str]) -> bool:
    """Whether a path, an owner of it, or a part of it is among the places."""
    while path:
        if path in places:
            return True
        path = path.rpartition(".")[0]
    return False


def unused(
    steps: Sequence[Step],
    reads: Set[str],
    roles: Sequence[tuple[str, Span]],
    report: Diagnostics,
) -> None:
    """Warn of results that nobody reads and that reach no file, and of roles that no step has."""
    for name, span in roles:
        report.warning("SOP609", f"no step has the role `{name}`", span)
    last = {steps[-1].path} if steps else set()
    every = [step for top_step in steps for step in top_step.walk()]
    last |= {step.body[-1].path for step in every if step.kind == "for_each" and step.body}
    for step in every:
        if step.kind not in ("role", "run") or step.updates or step.path in last or within(step.path, reads):
            continue
        if step.kind == "run" and step.out != TEST_RUN and step.when is None:
            continue  # a command may be there for what it does: its failure stops the run
        opinion = isinstance(step.out, Scalar) or step.out in (
            TEST_RUN,
            COMMAND_RESULT,
            REVIEW,
        )
        if opinion or not step.commit:
            report.warning("SOP608", f"nobody uses the result of `{step.name}`", step.span)


def stale(
    steps: Sequence[Step], accept: Expression, read: Uses, by_path: Mapping[str, Uses], report: Diagnostics
) -> None:
    """An acceptance must not rest on a test of something that was changed afterwards and not tested again."""
    order = [one for top in steps for one in _placed(top, ()) if not one[0].body]
    place = {step.path: number for number, (step, _) in enumerate(order)}
    tests = [(step, around) for step, around in order if step.kind == "run" and step.path in read.reads]
    for change, around in order:
        targets = [change.updates] if change.updates else [path for path, _ in change.edits.values()]
        for target in targets:
            tested = [step for step, outer in tests if any(target in by_path[one.path].reads for one in (step, *outer))]
            if not tested or any(place[test.path] > place[change.path] for test in tested):
                continue
            whens = [step.when.text for step in (change, *around) if step.when]
            if any(_only_if_failed(when, test) for when in whens for test in tested):
                continue  # then the test has not passed, and the acceptance does not hold
            may = "lets a person change it" if change.kind == "gate" else "changes it"
            message = (
                f"`{tested[-1].path}` tested `{target}` before `{change.path}` {may}, and the acceptance rests on it"
            )
            way = f"test again after `{change.path}`, and let `accept` read that"
            report.error("SOP618", message, accept.span, "", f"changed at {change.span}", way)


def _placed(step: Step, around: tuple[Step, ...]) -> Iterator[tuple[Step, tuple[Step, ...]]]:
    """A step and those in it, in written order, each with the steps around it that have uses of their own."""
    yield step, around
    outer = around if step.transparent else (*around, step)
    for inner in step.body:
        yield from _placed(inner, outer)


def _only_if_failed(when: str, test: Step) -> bool:
    """Whether a condition holds only where a test has not passed: `not test.passed`, alone or joined by `and`."""
    parts = [part.strip().strip("()") for part in re.split(r"\band\b", when)] if " or " not in when else []
    names = (f"{test.name}.passed", f"{test.path}.passed")
    return any(part in (f"not {name}", f"not maybe.{name}", f"{name} == False") for part in parts for name in names)


def calls(steps: Sequence[Step], limit: float | None, place: Span, report: Diagnostics) -> int:
    """The most model calls that a run can make; reported where they do not fit the limit."""
    worst, least = sum(map(_worst, steps)), sum(map(_least, steps))
    _fits(limit, least, worst, place, "", report)
    return worst


def _fits(limit: float | None, least: int, worst: int, place: Span, whose: str, report: Diagnostics) -> None:
    if limit is not None and least > limit:
        message = f"even the shortest run makes {least} model calls{whose}, and the limit is {limit}"
        report.error("SOP607", message, place, f"at least `{least}`")
    elif limit is not None and worst > limit:
        message = f"the longest run makes {worst} model calls{whose}, and the limit is {limit}"
        report.warning("SOP607", message, place, "the limit may stop the run before it is done")


def limits(
    steps: Sequence[Step], around: Mapping[str, float], places: Mapping[str, Node], report: Diagnostics,
    whose: str = "the whole run", times: tuple[int, int] = (1, 1),
) -> None:  # fmt: skip
    """Steps' own limits, held against what they do and against the limits around them.

    Args:
        places: where a step with limits is written, by path.
        whose: of whom the limits around are.
        times: the fewest and the most executions of the steps.
    """
    for step in steps:
        limited = step.body[0] if step.is_cascade else step
        own, node = limited.limits, places.get(limited.path)
        if own and node:
            least, most = times[0] * _least(step), times[1] * _worst(step)
            if not most:
                message = f"`{limited.name}` asks no model, and its limits limit nothing"
                report.error("SOP616", message, node.entries["limits"].key, "leave it out")
            _higher(own, around, node, f"`{limited.name}`", whose, report)
            _fits(own.get("calls"), least, most, node.place("limits", "calls"), f" of `{limited.name}`", report)
        inner = {unit: min(most, own.get(unit, most)) for unit, most in {**own, **around}.items()}
        inside = step.body[1:] if step.is_cascade else step.body
        limits(inside, inner, places, report, f"`{limited.name}`" if own else whose, _repeated(step, times))


def role_limits(
    roles: Mapping[str, tuple[Node, dict[str, float]]], around: Mapping[str, float], report: Diagnostics
) -> None:
    """Roles' limits, held against the run's."""
    for name, (node, own) in roles.items():
        _higher(own, around, node, f"the role `{name}`", "the whole run", report)


def _higher(
    own: Mapping[str, float], around: Mapping[str, float], node: Node, who: str, whose: str, report: Diagnostics
) -> None:
    for unit, most in own.items():
        if unit in around and most > around[unit]:
            message = f"{who} may use {most:.15g} {unit}, and {whose} {around[unit]:.15g}"
            report.warning("SOP607", message, node.place("limits", unit), "this limit is never reached")


def _repeated(step: Step, times: tuple[int, int]) -> tuple[int, int]:
    """The fewest and the most executions of the steps in a step that is itself executed so often."""
    repeated = step.max if step.kind in ("loop", "for_each") else 1
    least = 0 if step.when or step.kind == "for_each" else step.max if step.kind == "loop" and not step.until else 1
    return times[0] * least, times[1] * repeated * (1 + step.retry)


def questions(step: Step) -> tuple[int, int]:
    """The fewest and the most model calls of one execution of a role's step, repairs not counted."""
    out = step.out.item if step.sample > 1 and isinstance(step.out, ListOf) else step.out
    least = most = 1
    if step.grain == "function":
        most = 2 if out == PATCH else MOST_PARTS
    elif out == DESIGN:  # the outline, then each file
        least, most = 2, 1 + MOST_FILES
    if step.tools:  # at least one reply to say that none is needed
        least, most = least + 1, most + step.tool_calls
    return least * step.sample, most * step.sample


def turns(step: Step) -> tuple[int, int]:
    """How often the steps inside one are done at the fewest and at the most, each time that it is."""
    if step.kind == "loop":  # one that a gate makes ends where the gate lets pass
        return (1 if step.until or step.transparent else step.max), step.max
    return (min(step.least, step.max), step.max) if step.kind == "for_each" else (1, 1)


def _worst(step: Step) -> int:
    once = questions(step)[1] if step.kind == "role" else turns(step)[1] * sum(map(_worst, step.body))
    return once * (1 + step.retry)


def _least(step: Step) -> int:
    if step.when:
        return 0
    return questions(step)[0] if step.kind == "role" else turns(step)[0] * sum(map(_least, step.body))
