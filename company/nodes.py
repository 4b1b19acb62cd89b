"""What happens when a step's turn comes: it is skipped, taken from an earlier sitting, or done, with retries and time limit.

Which step comes when: `compiler.py`. The work: `asking.py` (roles), `items.py` (lists), `gates.py` (people), commands here;
loops: `rounds.py`. A result is a reference; the journal's `step_finished` says what it was, so none is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from company import publish
from company.artifacts import ChangePlan, Checks, Selection, SourceFile, TestFile, TestRun, flat
from company.asking import tree, updated, who_works, work
from company.assemble import definition
from company.beside import planned, run_beside
from company.cache import digest
from company.commits import commit, commit_again
from company.errors import DeadlineExceeded, EndpointError, Refused, StepFailed
from company.examples import placeholders_in
from company.gates import decide
from company.ingredients import KEYED, Ingredients, ingredients, reason
from company.items import Child, for_each
from company.keys import holds_together
from company.lint import findings
from company.llm.heads import not_as_shown
from company.llm.names import is_test
from company.rounds import end_round, enter, tell
from company.sandbox import Limits as SandboxLimits
from company.sandbox import run_command, run_tests
from company.selection import select, without
from company.sop.declares import is_pytest
from company.sop.procedure import Role, Step
from company.state import Edit, RunContext, RunState, Scope, Site, pack, round_of, step_id, unpack
from company.survey import survey

__all__ = ["Child", "end_round", "enter", "perform"]

Values = dict[str, str | None]
"""Step path → reference of its result."""
_TRIED_AGAIN = (StepFailed, EndpointError, DeadlineExceeded)


async def perform(site: Site, state: RunState, context: RunContext, child: Child | None = None) -> RunState:
    """Do one step: skip it, take what an earlier sitting left, or do it, with its retries and its time limit."""
    step, ident = site.step, step_id(site, state)
    if ident in context.done:
        return {"values": context.done[ident]}
    scope = Scope(site, state, context.objects)
    where = {"step": step.path, "item": state.get("item", ""), "round": round_of(site, state)}
    if step.when and not step.when.evaluate(scope):
        context.journal.emit("step_skipped", **where, reason=f"when {step.when.text}")
        return {"values": {step.path: None}}
    around = site.blocks[-1].owner
    if around and around.is_cascade and step is not around.body[0] and scope["answer"] is None:
        context.journal.emit("step_skipped", **where, reason="there is no answer")
        return {"values": {step.path: None}}
    await context.gateway.refuse_if_stopped("the next step")
    began = asyncio.get_running_loop().time()
    who = who_works(step, scope)
    files = await _files_seen(step, context, scope)
    kept, made_of = _looked_up(site, state, context, scope, who, files)
    edit = context.earlier.edits.get(ident)
    why = "you edited it" if edit else reason(ident, made_of, context, kept["run"] if kept else "") if made_of else ""
    about = {"kind": step.kind, "role": who[0].name if who[0] else "", "why": why, "made_of": made_of}
    context.journal.emit("step_started", **where, id=ident, **about)
    try:
        if kept:
            values = await _taken(site, context, kept, ident)
        elif edit:
            values, edit = _over(site, state, context, edit)
            context.journal.emit(
                "notice", text=f"{ident}: kept as you edited it, though {reason(ident, made_of, context, '')}"
            )
        else:
            values = await _with_retries(site, state, context, scope, child, ident, files)
    except StepFailed as error:
        if not (onward := _without(site, state, error)):
            raise
        context.journal.emit("notice", text=f"{step.path}: {error.message}; {onward}")
        values = {step.path: None}
    made = context.made.pop(ident, None)
    if edit:
        values = {**values, **edit.values}
        await commit_again(context, f"{ident}@edit", edit.made, {})
    elif made_of and not kept and not context.dry and values[step.path] is not None:
        model, _ = context.tokens.get(ident, ("", 0))
        tokens, cost = context.worth.get(ident, (0, 0.0))
        entry = {
            "run": context.run,
            "model": model,
            "tokens": tokens,
            "usd": cost,
            "values": values,
            "commit": made,
        }
        context.results.put(context.keys[ident], entry)
    seconds = round(asyncio.get_running_loop().time() - began, 3)
    saved = {}
    if kept:
        saved = {"kept_from": kept["run"], "saved_tokens": kept["tokens"], "saved_usd": kept.get("usd")}
    context.journal.emit("step_finished", **where, id=ident, values=values, seconds=seconds, **saved)
    return {"values": values}


def _without(site: Site, state: RunState, error: StepFailed) -> str:
    """How the rounds around a step that gave nothing go on; empty where it ends the run."""
    step, around = site.step, site.blocks[-1].owner
    if around and around.is_cascade and step is around.body[0]:
        best = state["values"].get(f"{around.path}@best/{step.path}")
        is_last = state["rounds"][around.path] == around.max and best is None
        return "" if is_last else "the next model is asked"  # a resumed run asks the last one anew
    if around and around.kind == "loop" and step.kind == "role" and step.when and not isinstance(error, Refused):
        return "this round goes on without it"
    return ""


async def _files_seen(step: Step, context: RunContext, scope: Scope) -> dict[str, bytes]:
    """The repository's files, for a step that works on them."""
    if step.kind != "run" and not step.tools:
        return {}
    return await asyncio.to_thread(tree, context, [entry.expr.evaluate(scope) for entry in step.inputs])


def _looked_up(
    site: Site,
    state: RunState,
    context: RunContext,
    scope: Scope,
    who: tuple[Role | None, str],
    files: Mapping[str, bytes],
) -> tuple[dict[str, Any] | None, Ingredients]:
    """What is kept of a step that was made of the very same, and what it is made of; nothing for a step without a key.

    In a dry run nothing is looked for.
    """
    step, ident = site.step, step_id(site, state)
    if step.kind not in KEYED:
        return None, {}
    given = {entry.name: entry.expr.evaluate(scope) for entry in step.inputs}
    made_of = ingredients(site, state, context, who, given, files)
    if context.dry:
        return None, made_of
    context.keys[ident] = digest(made_of)
    kept = context.results.get(context.keys[ident])
    if kept and kept["run"] == context.run:  # a journal that lost it is told again what it cost
        kept = None
    needed = [*kept["values"].values(), (kept["commit"] or {}).get("files")] if kept else []
    if not (kept and context.objects.holds(needed)):
        return None, made_of
    try:
        holds_together(site, unpack(context.objects, kept["values"][step.path]))
    except StepFailed:  # what it was made for has changed: the role is told what does not hold
        return None, made_of
    return kept, made_of


def _over(site: Site, state: RunState, context: RunContext, edit: Edit) -> tuple[Values, Edit]:
    """What a step leaves that is taken as it was edited, though it would give something else now; with all of its files."""
    step = site.step
    own = unpack(context.objects, edit.values[step.path])
    values: Values = {step.path: edit.values[step.path]}
    if step.updates:
        _, whole = updated(unpack(context.objects, state["values"][step.updates]), own)
        values[step.updates] = pack(context.objects, whole)
    files = publish.files_of(
        step.path.removesuffix(".do"), state.get("item", ""), own, context.requirement,
        candidates=step.sample > 1, guest=context.guest,
    )  # fmt: skip
    texts = {path: content.decode() for path, content in files.items()}
    edited = context.objects.get(edit.made["files"])["value"]
    kept = context.objects.put({"kind": "files", "value": {**texts, **edited}})
    return values, Edit(values, {**edit.made, "files": kept})


async def _taken(site: Site, context: RunContext, kept: dict[str, Any], ident: str) -> Values:
    """What a step gave in an earlier run, its commit included."""
    values: Values = kept["values"]
    result = unpack(context.objects, values[site.step.path])
    if isinstance(result, TestRun):
        tell(context, site.step.path, ident, result)
    if kept["commit"]:
        model = {"Company-Model": kept["model"]} if kept["model"] else {}
        await commit_again(context, ident, kept["commit"], {**model, "Company-Kept-From": kept["run"]})
    return values


async def _with_retries(
    site: Site,
    state: RunState,
    context: RunContext,
    scope: Scope,
    child: Child | None,
    ident: str,
    files: Mapping[str, bytes],
) -> Values:
    step = site.step
    allowed = step.timeout or (None if child or step.kind == "gate" else context.step_timeout)
    key = context.keys.get(ident, "")
    salt = (context.results.failures(key) if key else 0) + context.failures.get(ident, 0)
    for attempt in range(step.retry + 1):
        try:
            async with asyncio.timeout(allowed) as clock:
                if step.kind == "role":
                    return await work(site, state, context, scope, salt)
                if step.kind == "run":
                    return await _run(site, state, context, scope, files)
                if step.kind == "gate":
                    return await decide(site, state, context, scope)
                assert child
                return await for_each(site, state, context, scope, child)
        except (*_TRIED_AGAIN, TimeoutError) as error:
            if isinstance(error, TimeoutError) and not clock.expired():
                raise
            fault = error if isinstance(error, _TRIED_AGAIN) else StepFailed(f"it took longer than {allowed:g} s")
            anew = isinstance(error, StepFailed)  # an outage is no reason to pay again for what was answered before it
            salt += anew
            context.failures[ident] = context.failures.get(ident, 0) + anew  # for a for_each that tries its items again
            if attempt == step.retry or isinstance(fault, Refused):
                context.journal.emit("step_failed", step=step.path, id=ident, reason=fault.message, anew=anew)
                fault.place = fault.place or f"step {ident}"
                raise fault from error
            context.journal.emit("notice", text=f"{ident}: {fault.message}; trying the step again")
    raise AssertionError("unreachable")


# --- a command --------------------------------------------------------------------------------------


async def _run(site: Site, state: RunState, context: RunContext, scope: Scope, files: Mapping[str, bytes]) -> Values:
    step = site.step
    values = list(flat([entry.expr.evaluate(scope) for entry in step.inputs]))
    limits = SandboxLimits(seconds=step.timeout or context.test_seconds)
    assert step.command
    result: Any
    if step.command.strip() == "survey":
        result = await asyncio.to_thread(
            survey, files, "\n".join(value for value in values if isinstance(value, str)) or context.requirement
        )
    elif step.command.strip() == "read":
        result = [file for value in values if isinstance(value, ChangePlan) for file in planned(value, files)]
        result += [file for value in values if isinstance(value, Selection) for file in value.files]
    elif step.command.strip() == "select":
        given = [entry.expr.evaluate(scope) for entry in step.inputs]
        result = await select(context.sandbox, given, context.requirement, limits.seconds)
        context.journal.emit("notice", text=f"{step_id(site, state)}: {result.summary}")
    elif not is_pytest(step.command):
        result = await run_command(context.sandbox, files, step.command, limits)
    else:
        tests = {value.path: value.content.encode() for value in values if isinstance(value, TestFile)}
        optional: list[str] = []
        aside = [name for value in values if isinstance(value, Selection) for name in value.set_aside]
        stated = 0
        for value in values:
            value = without(value, aside) if isinstance(value, Checks) and aside else value
            for made in publish.made_tests(value, context.requirement, context.guest.tests if context.guest else ""):
                tests[made.path] = made.text.encode()
                optional += made.optional
                stated += made.stated
        if context.guest:
            before = next((value for value in values if isinstance(value, TestRun)), None)
            result = await run_beside(context, files, tests, optional, limits, before)
            tests = {**context.guest.before, **tests}
        else:
            if not tests:
                tests = {path: data for path, data in files.items() if is_test(path)}
            result = await run_tests(context.sandbox, files, tests, optional=optional, limits=limits)
        result = result.model_copy(
            update={"stated": stated, "summary": _with_source(result, 1 if context.guest else stated, values)}
        )
        result = _with_findings(result, tests, [value for value in values if isinstance(value, SourceFile)], context)
        tell(context, step.path, step_id(site, state), result)
    await commit(site, state, context, result)
    return {step.path: pack(context.objects, result)}


def _with_source(run: TestRun, stated: int, values: list[Any]) -> str:
    """The run's line, which says where what passed is nothing that the requirement itself says."""
    guessed = run.passed and not stated and any(isinstance(value, Checks) for value in values)
    return f"{run.summary}, none of them an example of the requirement" if guessed else run.summary


def _with_findings(run: TestRun, tests: Mapping[str, bytes], code: list[SourceFile], context: RunContext) -> TestRun:
    """The run with the text of each test that did not pass, and with what a machine sees in the code."""
    cases = []
    for case in run.cases:
        path, _, name = case.id.partition("::")
        name = name.rpartition("::")[2].partition("[")[0]
        if case.outcome != "passed" and name and path in tests:
            case = case.model_copy(update={"source": definition(tests[path].decode(), name)})
        cases.append(case)
    problems = list(run.problems)
    placeholders = placeholders_in(context.requirement)
    for file in code:
        if file.path.endswith(".py"):
            with suppress(SyntaxError):  # reported already
                found = findings(file.content, (), placeholders)
                problems += [f"{file.path}:{each.line}: {each.text}" for each in found]
    problems += not_as_shown(context.requirement, code)
    return run.model_copy(update={"cases": cases, "problems": problems})
