"""Work by a role: its prompt, its tools, one answer or several, and what the answer changes.

How an answer is obtained: `llm/structured.py`, code part by part: `llm/parts.py`; tools: `tools/`. When a step is done:
`nodes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

from company.artifacts import FileSpec, Part, Patch, SourceFile, TestRun, flat
from company.commits import commit
from company.errors import CompanyError, StepFailed
from company.ingredients import again, asked_of
from company.keys import holds_together
from company.llm.ask import Ask
from company.llm.client import Message, StepLabel
from company.llm.parts import mend_part, write_parts
from company.llm.skeleton import fill_in, skeleton_of
from company.llm.structured import obtain
from company.prompts import SYSTEM
from company.sop.types import PATCH, SOURCE_FILE
from company.state import RunContext, RunState, Scope, Site, pack, round_of, step_id, unpack
from company.tools.base import Workbench
from company.tools.registry import resolve
from company.tools.talk import use_tools

if TYPE_CHECKING:
    from company.sop.procedure import Role, Step


def who_works(step: Step, scope: Scope) -> tuple[Role | None, str]:
    """A step's role and prompt, chosen now where the procedure leaves that to the run; no role for other kinds."""
    if step.chosen:
        return step.candidates[str(step.chosen.evaluate(scope))]
    return step.role, step.prompt


async def work(site: Site, state: RunState, context: RunContext, scope: Scope, salt: int) -> dict[str, str | None]:
    """The values that a role's step leaves. `salt` makes its questions other ones than before."""
    step = site.step
    role, _ = who_works(step, scope)
    if step.sample > 1:
        result: Any = await _samples(site, state, context, scope, salt)
    else:
        result = await _answer(site, state, context, scope, salt, 0)
    values: dict[str, str | None] = {step.path: pack(context.objects, result)}
    changed = result
    if step.updates:
        target = unpack(context.objects, state["values"][step.updates])
        changed, whole = updated(target, result)
        values[step.updates] = pack(context.objects, whole)
    if not step.cascade:  # its loop commits the answer that is taken
        await commit(site, state, context, changed, role)
    return values


async def _samples(site: Site, state: RunState, context: RunContext, scope: Scope, salt: int) -> list[Any]:
    """The answers of a step that samples: those that came of it, where one or more did."""

    grave: list[CompanyError] = []
    """An outage, a limit, a stop; the first comes first."""

    async def one(number: int) -> tuple[Any, StepFailed | None]:
        try:
            return await _answer(site, state, context, scope, salt, number), None
        except StepFailed as error:
            return None, error
        except CompanyError as error:  # the samples beside it go on: what they asked has been paid for
            grave.append(error)
            return None, None

    step = site.step
    answers = await asyncio.gather(*map(one, range(step.sample)))
    faults = [fault for _, fault in answers if fault]
    if grave:
        raise grave[0]
    if len(faults) == len(answers):
        raise faults[0]
    if faults:
        lost = f"{len(faults)} of {step.sample} samples never came"
        context.journal.emit("notice", text=f"{step_id(site, state)}: {lost} ({faults[0].message}); it goes on without")
    return [value for value, fault in answers if not fault]


async def _answer(site: Site, state: RunState, context: RunContext, scope: Scope, salt: int, sample: int) -> Any:
    step = site.step
    variables = {entry.name: entry.expr.evaluate(scope) for entry in step.inputs}
    given = {"requirement": context.requirement, **variables}
    judged = next((name for name, value in variables.items() if isinstance(value, TestRun)), "")
    who = who_works(step, scope)

    def question(part: Part | None = None, module: str = "", number: int = 0, run: TestRun | None = None) -> Ask:
        shown = {**variables, **({judged: run} if judged and run else {}), "part": part, "module": module}
        made = _ask(site, state, context, who, shown, salt, number + sample)
        return replace(made, defines=part.name if part else "")

    def notice(text: str) -> None:
        context.journal.emit("notice", text=text)

    assert step.out
    spec = next((value for value in variables.values() if isinstance(value, FileSpec)), None)
    if step.grain == "function" and step.out == SOURCE_FILE and spec:
        return await write_parts(context.gateway, question, spec, context.requirement)
    if step.grain == "function" and step.out == PATCH:
        files = [value for value in flat(list(variables.values())) if isinstance(value, SourceFile)]
        turn = max(0, int(round_of(site, state).rpartition(".")[2]) - 2) if site.loops else 0
        run = variables.get(judged)
        return await mend_part(context.gateway, question, files, context.requirement, run, turn, notice)
    if step.grain == "function" and (skeleton := skeleton_of(context.requirement)):
        return await fill_in(context.gateway, question, skeleton, context.requirement)
    ask = question()
    if step.tools:
        tools = await resolve(step.tools, context.servers)
        seen = await asyncio.to_thread(tree, context, list(variables.values()))
        bench = Workbench(seen, context.sandbox, context.test_seconds)
        most = step.tool_calls
        ask = await use_tools(context.gateway, ask, tools, bench, most, context.kept, context.journal.emit)
    out = step.out.item if step.sample > 1 else step.out  # type: ignore[attr-defined]  # a list of samples
    return await obtain(context.gateway, ask, out, given, notice, partial(holds_together, site))


def tree(context: RunContext, values: list[Any]) -> dict[str, bytes]:
    """The repository's files as a step sees them: without the run's own records, with the code that it was given."""
    files = {path: data for path, data in context.repository.files().items() if not path.startswith(".company/")}
    return files | {value.path: value.content.encode() for value in flat(values) if isinstance(value, SourceFile)}


def _ask(
    site: Site,
    state: RunState,
    context: RunContext,
    who: tuple[Role | None, str],
    variables: Mapping[str, Any],
    salt: int,
    number: int,
) -> Ask:
    step, (role, prompt) = site.step, who
    assert role
    ident, innermost = step_id(site, state), int(round_of(site, state).rpartition(".")[2])
    label = StepLabel(step.path.removesuffix(".do"), role.name, state.get("item", ""), innermost if site.loops else 0)
    asked = asked_of(site, state, role)
    text = context.prompts.render(prompt, role, variables)
    run = f"~{context.seed}" if context.seed != 1 else ""
    return Ask(
        label=label,
        messages=(Message("system", SYSTEM), Message("user", text)),
        model=asked.model,
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
        ident=ident,
        # The same words of another step, in another round, part, sample or try, are another question.
        seed=crc32(f"{ident}~{again(step, context)}{run}".encode()) % 2_000_000_000 + 100_000 * salt + 10 * number,
    )


def updated(target: Any, result: Any) -> tuple[Any, Any]:
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
    changed = [file for file in changes if files.get(file.path) != file]
    files.update({file.path: file for file in changed})
    return changed, list(files.values())
