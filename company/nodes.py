"""What a step does when its turn comes: work by a role, a command, a list of items, the end of a loop's round.

Which step comes when: `compiler.py`. Asking a model: `llm/structured.py`; files and commits: `publish.py`,
`workspace.py`. A step's result is a reference; the journal's `step_finished` says what it was, so none is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from company import publish
from company.artifacts import FileSpec, Part, Patch, SourceFile, TestFile, TestRun, flat
from company.assemble import definition, merge
from company.errors import DeadlineExceeded, EndpointError, Interrupted, StepFailed
from company.examples import placeholders_in
from company.items import in_order, keyed
from company.lint import complaints
from company.llm.client import Message, StepLabel
from company.llm.gateway import Ask
from company.llm.names import is_test
from company.llm.parts import mend_part, write_parts
from company.llm.structured import obtain
from company.prompts import SYSTEM
from company.sandbox import Limits as SandboxLimits
from company.sandbox import run_command, run_tests
from company.sop.scopes import is_pytest
from company.state import RunContext, RunState, Scope, Site, pack, pack_list, round_of, step_id, unpack

if TYPE_CHECKING:
    from company.sop.procedure import Step

Values = dict[str, str | None]
"""Step path → reference of its result."""
Child = Callable[[RunState], Awaitable[Mapping[str, Any]]]
"""Runs the block of a for_each for one item; gives the state that it ends in."""
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
    if context.stop.is_set():
        raise Interrupted("stopped before the next step", hint="`company resume` goes on")
    began = asyncio.get_running_loop().time()
    context.journal.emit("step_started", **where, kind=step.kind, role=step.role.name if step.role else "")
    values = await _with_retries(site, state, context, scope, child, ident)
    seconds = round(asyncio.get_running_loop().time() - began, 3)
    context.journal.emit("step_finished", **where, id=ident, values=values, seconds=seconds)
    return {"values": values}


async def _with_retries(
    site: Site, state: RunState, context: RunContext, scope: Scope, child: Child | None, ident: str
) -> Values:
    step = site.step
    allowed = step.timeout or (None if child else context.step_timeout)
    salt = context.failures.get(ident, 0)
    for attempt in range(step.retry + 1):
        try:
            async with asyncio.timeout(allowed) as clock:
                if step.kind == "role":
                    return await _role(site, state, context, scope, salt)
                if step.kind == "run":
                    return await _run(site, state, context, scope)
                assert child
                return await _for_each(site, state, context, scope, child)
        except (*_TRIED_AGAIN, TimeoutError) as error:
            if isinstance(error, TimeoutError) and not clock.expired():
                raise
            fault = error if isinstance(error, _TRIED_AGAIN) else StepFailed(f"it took longer than {allowed:g} s")
            anew = isinstance(error, StepFailed)  # an outage is no reason to pay again for what was answered before it
            salt += anew
            if attempt == step.retry:
                context.journal.emit("step_failed", step=step.path, id=ident, reason=fault.message, anew=anew)
                fault.place = fault.place or f"step {ident}"
                raise fault from error
            context.journal.emit("notice", text=f"{ident}: {fault.message}; trying the step again")
    raise AssertionError("unreachable")


# --- a role -----------------------------------------------------------------------------------------


async def _role(site: Site, state: RunState, context: RunContext, scope: Scope, salt: int) -> Values:
    step = site.step
    variables = {entry.name: entry.expr.evaluate(scope) for entry in step.inputs}
    given = {"requirement": context.requirement, **variables}

    judged = next((name for name, value in variables.items() if isinstance(value, TestRun)), "")

    def question(part: Part | None = None, module: str = "", number: int = 0, run: TestRun | None = None) -> Ask:
        shown = {**variables, **({judged: run} if judged and run else {}), "part": part, "module": module}
        return replace(_ask(site, state, context, shown, salt, number), defines=part.name if part else "")

    assert step.out
    result: Any
    spec = next((value for value in variables.values() if isinstance(value, FileSpec)), None)
    if step.grain == "function" and spec:
        result = await write_parts(context.gateway, question, spec, context.requirement)
    elif step.grain == "function":
        files = [value for value in flat(list(variables.values())) if isinstance(value, SourceFile)]
        turn = max(0, int(round_of(site, state).rpartition(".")[2]) - 2) if site.loops else 0
        result = await mend_part(context.gateway, question, files, context.requirement, variables.get(judged), turn)
    else:
        result = await obtain(
            context.gateway, question(), step.out, given, lambda text: context.journal.emit("notice", text=text)
        )
    values: Values = {step.path: pack(context.objects, result)}
    changed = result
    if step.updates:
        target = unpack(context.objects, state["values"][step.updates])
        changed, updated = _updated(target, result)
        values[step.updates] = pack(context.objects, updated)
    await commit(site, state, context, changed)
    return values


def _ask(site: Site, state: RunState, context: RunContext, variables: Mapping[str, Any], salt: int, number: int) -> Ask:
    step = site.step
    assert step.role
    innermost = round_of(site, state).rpartition(".")[2]
    label = StepLabel(
        step.path.removesuffix(".do"), step.role.name, state.get("item", ""), int(innermost) if site.loops else 0
    )
    text = context.prompts.render(step.prompt, step.role, variables)
    return Ask(
        label=label,
        messages=(Message("system", SYSTEM), Message("user", text)),
        model=step.model,
        temperature=step.temperature,
        max_tokens=step.max_tokens,
        ident=step_id(site, state),
        # The same words in another round, part or try are another question.
        seed=100_000 * salt + 1000 * int(innermost) + 10 * number,
    )


def _updated(target: Any, result: Any) -> tuple[Any, Any]:
    """What a step changed, and the artifact that it updates as it is now."""
    changes = result.files if isinstance(result, Patch) else result
    if isinstance(target, SourceFile) and isinstance(changes, list):
        alike = [file for file in changes if file.path == target.path]
        return alike, alike[-1] if alike else target
    if not (isinstance(target, list) and isinstance(changes, list)):
        return result, result
    if not all(isinstance(file, SourceFile) for file in (*target, *changes)):
        return result, result
    files = {file.path: file for file in target}
    if isinstance(result, Patch):
        changes = [_merged(files.get(file.path), file) for file in changes]
    changed = [file for file in changes if files.get(file.path) != file]
    files.update({file.path: file for file in changed})
    return changed, list(files.values())


def _merged(old: SourceFile | None, new: SourceFile) -> SourceFile:
    """A patch's file whole: a model that is asked to mend often gives only the functions that it changed."""
    if old is None or not new.path.endswith(".py"):
        return new
    return SourceFile(path=new.path, content=merge(old.content, new.content))


# --- a command --------------------------------------------------------------------------------------


async def _run(site: Site, state: RunState, context: RunContext, scope: Scope) -> Values:
    step = site.step
    values = list(flat([entry.expr.evaluate(scope) for entry in step.inputs]))
    tree = {path: data for path, data in context.repository.files().items() if not path.startswith(".company/")}
    tree |= {value.path: value.content.encode() for value in values if isinstance(value, SourceFile)}
    limits = SandboxLimits(seconds=step.timeout or context.test_seconds)
    assert step.command
    if not is_pytest(step.command):
        result: Any = await run_command(context.sandbox, tree, step.command, limits)
    else:
        tests = {value.path: value.content.encode() for value in values if isinstance(value, TestFile)}
        optional: list[str] = []
        for value in values:
            if made := publish.made_tests(value, context.requirement):
                tests[made.path] = made.text.encode()
                optional += made.optional
        if not tests:
            tests = {path: data for path, data in tree.items() if is_test(path)}
        result = await run_tests(context.sandbox, tree, tests, optional=optional, limits=limits)
        result = _with_findings(result, tests, [value for value in values if isinstance(value, SourceFile)], context)
        context.journal.emit(
            "verdict", step=step.path, passed=result.passed, summary=result.summary, sandbox=result.sandbox
        )
    await commit(site, state, context, result)
    return {step.path: pack(context.objects, result)}


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
                problems += [f"{file.path}: {line}" for line in complaints(file.content, (), placeholders)]
    return run.model_copy(update={"cases": cases, "problems": problems})


# --- once per item ----------------------------------------------------------------------------------


async def _for_each(site: Site, state: RunState, context: RunContext, scope: Scope, child: Child) -> Values:
    step = site.step
    assert step.over
    items = step.over.evaluate(scope)
    if len(items) > step.max:
        raise StepFailed(
            f"`{step.over.text}` has {len(items)} items and `{step.path}` allows {step.max}",
            place=str(step.span),
            hint="raise its `max:`, or let the step before make fewer",
        )
    keys, needs = keyed(step, items, scope)
    order = in_order(step, keys, needs)
    gate = asyncio.Semaphore(step.parallel)
    results: dict[str, str | None] = {}
    finished = {key: asyncio.Event() for key in keys}
    outside = {
        inner.updates for inner in step.walk() if inner.updates and not inner.updates.startswith(f"{step.path}.")
    }
    values = dict(state.get("values", {}))

    async def one(key: str, item: Any) -> None:
        for need in needs[key]:
            await finished[need].wait()
        async with gate:
            frame = {**state.get("frame", {}), step.bind: pack(context.objects, item)}
            frame["deps"] = pack_list(context.objects, [results[need] for need in needs[key]])
            if step.parallel == 1:  # the checker lets `done` be read only then
                frame["done"] = pack_list(context.objects, [results[done] for done in order if done in results])
            inner: RunState = {
                "values": dict(values),
                "rounds": {},
                "frame": frame,
                "item": "/".join(filter(None, [state.get("item", ""), key])),
                "outer_round": round_of(site, state) if site.loops or state.get("outer_round") else "",
            }
            ended = await child(inner)
        values.update({path: ended["values"][path] for path in outside})
        results[key] = ended["values"].get(step.body[-1].path)
        finished[key].set()

    tasks = [asyncio.create_task(one(key, items[keys.index(key)])) for key in order]
    try:
        await asyncio.gather(*tasks)
    finally:  # one that failed leaves the others no reason to go on
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    changed: Values = {path: values[path] for path in outside}
    return {**changed, step.path: pack_list(context.objects, [results[key] for key in keys])}


# --- the end of a round -----------------------------------------------------------------------------


async def end_round(site: Site, state: RunState, context: RunContext) -> RunState:
    """Judge a loop's round; `rounds` of the loop is 0 in the update where it is done. `site` is of the loop's inside."""
    loop = site.step
    values = dict(state.get("values", {}))
    number = state["rounds"][loop.path]
    scope = Scope(site, state, context.objects)
    assert loop.until
    good = bool(loop.until.evaluate(scope))
    update: RunState = {"values": {}, "rounds": {}}
    if loop.best and not good:
        update = await _keep_best(site, state, context, loop.best.evaluate(scope))
        values |= update["values"]
    context.journal.emit("loop_round", step=loop.path, item=state.get("item", ""), round=number, until=good)
    last = good or number >= loop.max
    if last and not good and loop.on_max == "fail":
        raise StepFailed(
            f"the loop `{loop.path}` is not done after {number} rounds: `{loop.until.text}` does not hold",
            place=str(loop.span),
            hint="raise its `max:`, or set `on_max: continue` to go on with what there is",
        )
    if last:
        update["rounds"][loop.path] = 0
    else:
        for inner in loop.body:
            update["values"] |= {f"{loop.path}@prev/{path}": values.get(path) for path in paths_of(inner)}
    return update


def paths_of(step: Step) -> list[str]:
    """The paths under which a step of a loop leaves results: its own, or those of a loop's steps."""
    return [path for inner in step.body for path in paths_of(inner)] if step.kind == "loop" else [step.path]


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
    for path in changed:
        before, now = (_contents(context, source.get(path)) for source in (back, values))
        files |= {name: before.get(name) for name in {**before, **now} if before.get(name) != now.get(name)}
    ident = f"{loop.path}@best#{round_of(site, state)}"
    await commit_files(context, ident, files, f"{loop.path}: go back to the best version so far", "company", "Company")
    context.journal.emit("notice", text=f"{loop.path}: round {state['rounds'][loop.path]} was no better and is undone")
    return {"values": back, "rounds": {}}


def _contents(context: RunContext, ref: str | None) -> dict[str, bytes]:
    return publish.files_of("", "", unpack(context.objects, ref), context.requirement)


# --- commits ----------------------------------------------------------------------------------------


async def commit(site: Site, state: RunState, context: RunContext, value: Any) -> None:
    """Put a step's result into the repository as a commit by its role, once."""
    step = site.step
    if not step.commit:
        return
    name = step.path.removesuffix(".do")
    files: dict[str, bytes | None] = {**publish.files_of(name, state.get("item", ""), value, context.requirement)}
    slug, title = (step.role.name, step.role.title) if step.role else ("test-runner", "Test Runner")
    subject = publish.subject(name, value, step.updates)
    await commit_files(context, step_id(site, state), files, subject, slug, title)


async def commit_files(
    context: RunContext, ident: str, files: Mapping[str, bytes | None], subject: str, slug: str, title: str
) -> None:
    """One commit under the id of what it belongs to, unless the history has it already."""
    async with context.git:
        if ident in context.committed or not files:
            return
        trailers = {"Company-Run": context.run, "Company-Step": ident}
        if ident in context.tokens:
            model, tokens = context.tokens[ident]
            trailers |= {"Company-Model": model, "Company-Tokens": str(tokens)}
        made = await asyncio.to_thread(
            context.repository.commit,
            files,
            subject=subject,
            author=title,
            email_slug=slug.replace("_", "-"),
            trailers=trailers,
        )
        context.committed.add(ident)
        if made:
            context.journal.emit("commit", step=ident, sha=made.sha, author=title, subject=subject)


__all__ = ["Child", "commit", "commit_files", "end_round", "paths_of", "perform"]
