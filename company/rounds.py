"""The way into a loop or a used procedure, and the end of a loop's round: go round again, or go on with the best.

Which nodes these are: `compiler.py`. A loop is also what a gate that leads back and a cascade are made into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from company import publish
from company.artifacts import Patch, SourceFile, TestRun, flat
from company.asking import who_works
from company.commits import commit, commit_files
from company.errors import StepFailed
from company.sop.procedure import named
from company.state import (
    SKIPPED,
    RunContext,
    RunState,
    Scope,
    Site,
    pack,
    pack_list,
    pack_record,
    reference,
    round_of,
    unpack,
)

if TYPE_CHECKING:
    from company.sop.procedure import Step


def paths_of(step: Step) -> list[str]:
    """The paths under which a step leaves results: its own, or those of the steps in it and whether it was skipped."""
    if step.kind in ("loop", "use"):
        return [step.path + SKIPPED, *(path for inner in step.body for path in paths_of(inner))]
    return [step.path]


async def enter(site: Site, state: RunState, context: RunContext) -> RunState:
    """Begin a loop's round or a used procedure, or pass it by where its `when:` says so (its round is 0 then)."""
    step = site.step
    number = state.get("rounds", {}).get(step.path, 0) + 1 if step.kind == "loop" else 1
    if number > 1:
        return {"rounds": {step.path: number}}
    scope = Scope(site, state, context.objects)
    _, *inside = paths_of(step)
    fresh: dict[str, str | None] = {step.path + SKIPPED: None}
    yes = pack(context.objects, True)
    if step.kind == "loop":  # there is no round before the first: a loop in it is null as a whole
        fresh |= {f"{step.path}@prev/{path}": yes if path.endswith(SKIPPED) else None for path in inside}
        fresh[f"{step.path}@history"] = pack_list(context.objects, [])
    if step.when and not step.when.evaluate(scope):
        context.journal.emit(
            "step_skipped", step=step.path, item=state.get("item", ""), reason=f"when {step.when.text}"
        )
        skipped = {path: yes if path.endswith(SKIPPED) else None for path in (step.path + SKIPPED, *inside)}
        return {"rounds": {step.path: 0}, "values": fresh | skipped}
    for given in step.inputs:
        fresh[f"{step.path}@in/{given.name}"] = pack(context.objects, given.expr.evaluate(scope))
    return {"rounds": {step.path: 1}, "values": fresh}


async def end_round(site: Site, state: RunState, context: RunContext, *, keeps: bool) -> RunState:
    """Judge a loop's round; `rounds` of the loop is 0 in the update where it is done.

    Args:
        site: of the loop's inside.
        keeps: whether somebody reads the rounds before the last.
    """
    loop = site.step
    values = dict(state.get("values", {}))
    number = state["rounds"][loop.path]
    scope = Scope(site, state, context.objects)
    answered = not loop.is_cascade or values.get(loop.result) is not None
    good = answered and (bool(loop.until.evaluate(scope)) if loop.until else number >= loop.max)
    forced = context.dry and loop.until is not None and not loop.body[-1].back
    if forced:
        good = number > 1 or loop.max == 1
    update: RunState = {"values": {}, "rounds": {}}
    happened = {inner.name: reference(context.objects, values, inner) for inner in named(loop.body)} if keeps else {}
    if not good and (loop.best or loop.is_cascade):
        score = (loop.best.evaluate(scope) if loop.best else number) if answered else None
        update = await _keep_best(site, state, context, score)
        values |= update["values"]
    said = {"forced": True} if forced else {}
    context.journal.emit("loop_round", step=loop.path, item=state.get("item", ""), round=number, until=good, **said)
    last = good or number >= loop.max
    if last and not good and loop.on_max == "fail":
        assert loop.until
        raise StepFailed(
            f"the loop `{loop.path}` is not done after {number} rounds: `{loop.until.text}` does not hold",
            place=str(loop.span),
            hint="raise its `max:`, or set `on_max: continue` to go on with what there is",
        )
    if last and loop.is_cascade:
        await _deliver(site, state, context, values)
    if keeps:  # also of a round that is undone: that it failed, and how, is what the next one has to know
        update["values"][f"{loop.path}@history"] = _longer(context, values.get(f"{loop.path}@history"), happened)
    if last:
        update["rounds"][loop.path] = 0
    else:
        for inner in loop.body:
            update["values"] |= {f"{loop.path}@prev/{path}": values.get(path) for path in paths_of(inner)}
    return update


async def _deliver(site: Site, state: RunState, context: RunContext, values: dict[str, str | None]) -> None:
    """Commit the answer of a cascade: those that were not taken never were files of the repository."""
    candidate = site.step.body[0]
    answer = unpack(context.objects, values.get(candidate.path))
    if answer is None:
        raise StepFailed(f"no model of the cascade gave an answer to `{candidate.path}`", place=str(candidate.span))
    role, _ = who_works(candidate, Scope(site, state, context.objects))
    await commit(Site(candidate, site.blocks), state, context, answer, role)


def _longer(context: RunContext, history: str | None, refs: dict[str, str | None]) -> str:
    """The list of rounds with one more, all of them by reference."""
    before = context.objects.get(history)["value"] if history else []
    return pack_list(context.objects, [*before, pack_record(context.objects, refs)])


async def _keep_best(site: Site, state: RunState, context: RunContext, score: Any) -> RunState:
    """Remember a round that is better than all before; undo one that is not."""
    loop, values = site.step, state.get("values", {})
    own = [path for inner in loop.body for path in paths_of(inner)]
    changed = [inner.updates for top in loop.body for inner in top.walk() if inner.updates]
    known = state.get("scores", {}).get(loop.path) if state["rounds"][loop.path] > 1 else None
    measure = float(score) if score is not None else float("-inf")
    if known is None or measure > known:
        kept = {f"{loop.path}@best/{path}": values.get(path) for path in (*own, *changed)}
        return {"values": kept, "rounds": {}, "scores": {loop.path: measure}}
    back = {path: values.get(f"{loop.path}@best/{path}") for path in (*own, *changed)}
    files: dict[str, bytes | None] = {}
    item = state.get("item", "")
    if not loop.is_cascade:  # of a cascade nothing is committed yet
        before, now = (
            {
                name: text
                for path in (*own, *changed)
                for name, text in _files(context, path, item, source.get(path)).items()
            }
            for source in (back, values)
        )
        elsewhere = {
            name: text
            for path, ref in values.items()
            if "@" not in path and path not in (*own, *changed)
            for name, text in _code(context, ref).items()
        }
        before = {**{name: elsewhere[name] for name in now if name in elsewhere}, **before}
        files = {name: before.get(name) for name in {**before, **now} if before.get(name) != now.get(name)}
    ident = f"{loop.path}@best{f'[{item}]' if item else ''}#{round_of(site, state)}"
    await commit_files(context, ident, files, f"{loop.path}: go back to the best version so far", "company", "Company")
    what = "answer" if loop.is_cascade else "round"
    name = loop.name.partition("@")[0] if loop.is_cascade else loop.path
    context.journal.emit("notice", text=f"{name}: {what} {state['rounds'][loop.path]} was no better and is undone")
    for path in own:  # what is tested so is what stands again
        run = None if path.endswith(SKIPPED) or loop.is_cascade else unpack(context.objects, back[path])
        if isinstance(run, TestRun):
            tell(context, path, f"{path}{f'[{item}]' if item else ''}#{round_of(site, state)}@best", run)
    return {"values": back, "rounds": {}}


def tell(context: RunContext, path: str, ident: str, run: TestRun) -> None:
    """Say in the journal what a step's tests came to."""
    context.journal.emit("verdict", step=path, id=ident, passed=run.passed, summary=run.summary, sandbox=run.sandbox)


def _files(context: RunContext, path: str, item: str, ref: str | None) -> dict[str, bytes]:
    """The files that a step's value is; a patch is none, what it changed is."""
    value = None if path.endswith(SKIPPED) else unpack(context.objects, ref)
    if value is None or any(isinstance(one, Patch) for one in flat(value)):
        return {}
    return publish.files_of(path.removesuffix(".do"), item, value, context.requirement, guest=context.guest)


def _code(context: RunContext, ref: str | None) -> dict[str, bytes]:
    """The files of code that a value is, if it is code."""
    found = flat(unpack(context.objects, ref)) if ref else ()
    return {file.path: file.content.encode() for file in found if isinstance(file, SourceFile)}
