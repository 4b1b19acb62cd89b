"""A run: begun, resumed, delivered. Everything concrete is handed in; which parts those are say `wiring.py`, `sitting.py`.

The graph: `compiler.py`. What a run leaves: `.company/` in its repository, and the journal beside the workspace's state.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from company import publish, remotes
from company.artifacts import Design, TestRun
from company.commits import START, commit_again, commit_files, make_again
from company.compiler import compile_procedure, longest
from company.errors import CompanyError, Interrupted, LimitReached, WorkspaceBusy
from company.gates import take
from company.people import Answer, Question
from company.report import Report
from company.rounds import paths_of
from company.sop.procedure import Procedure
from company.standing import checkpoint
from company.state import Block, RunContext, RunState, Scope, Site, pack, unpack
from company.store import Store

Status = Literal["delivered", "unaccepted", "failed", "limited", "interrupted"]


@dataclass(frozen=True)
class NewRun:
    """What `company run` was asked for."""

    inputs: Mapping[str, str]
    """The procedure's inputs as texts, `requirement` among them."""
    sop: str
    """Name or path of the procedure."""
    workspace: Path
    name: str = ""
    """Folder of the repository inside the workspace; empty: made from the requirement."""
    model: str = ""
    """``provider:model``; empty: the settings'."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """`calls`, `tokens`, `minutes`, `usd`, also of a step or a role (``steps.code.tokens``): in the place of the procedure's."""
    user_dir: Path | None = None
    """The folder with the user's own `sops/`, `roles/`, `prompts/`."""
    dry_run: bool = False
    headless: bool = False
    """Ask nobody: gates take the choice that they have for it."""
    unsafe_no_sandbox: bool = False
    into: Path | None = None
    """A repository that is there: the run begins from its last commit and leaves a branch in it."""
    recording: Path | None = None
    """A new file that keeps every exchange with a model."""
    seed: int = 1
    """Another number makes every question another one: the same run once more, as far as chance goes."""


@dataclass(frozen=True)
class Outcome:
    """How a run, or one sitting of it, ended."""

    run: str
    name: str
    status: Status
    reason: str
    """Why; empty when it was delivered."""
    hint: str
    repo: Path
    commit: str | None
    sop: str
    model: str
    accepted: bool
    verdict: str
    """The last test run that the acceptance rests on, in one line; empty without one."""
    calls: int
    retries: int
    """Tries of calls that broke off; what a server bills for them is not counted."""
    cached_steps: int
    """Steps whose result was kept, or whose replies had all been paid for before."""
    saved_tokens: int
    """What kept results and replies cost when they were paid for."""
    saved_usd: float | None
    """The same in US dollars; None where a price was unknown then."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_usd: float | None
    """None where a price is unknown."""
    seconds: float
    model_seconds: float
    sandbox: str
    entry_point: str
    replies: Mapping[str, int]
    """`first`: usable at the first try, `repaired`: after being told what was wrong, `failed`: never."""
    by_role: tuple[Mapping[str, Any], ...]
    """What each role used and what was saved, as `report.Sums` has it."""
    by_step: tuple[Mapping[str, Any], ...]
    """The same of each step, all its items and rounds together."""
    steps: tuple[Mapping[str, Any], ...]
    """Each execution of a step."""
    branch: str = ""
    """The branch with the result in the repository that the run was let into; empty where there is none."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {**asdict(self), "repo": str(self.repo)}


@dataclass(frozen=True)
class Sitting:
    """One sitting of a run: what `run` needs besides the context."""

    procedure: Procedure
    inputs: Mapping[str, Any]
    name: str
    model: str
    store: Store
    """Where the checkpoints are."""
    report: Report
    resumed: bool
    notes: tuple[str, ...] = ()
    """What to tell people when it begins."""
    answers: Sequence[tuple[Question, Answer]] = ()
    """What was decided since the last sitting, at gates that wait."""
    remote: str = ""
    """Address to which the branch is pushed when it ends; empty: nowhere."""
    hand_over: Callable[[], str] = lambda: ""
    """Brings the result to where it was asked for, and says which branch it is there; empty: nowhere else."""


async def run(sitting: Sitting, context: RunContext) -> Outcome:
    """Run to the end or to what stops it; whatever it is, the outcome says it and the run can be resumed."""
    procedure, repository = sitting.procedure, context.repository
    context.journal.emit(
        "run_resumed" if sitting.resumed else "run_started",
        run=context.run,
        name=sitting.name,
        requirement=context.requirement,
        sop=procedure.name,
        model=sitting.model,
        sandbox=context.sandbox.name,
        repo=str(repository.path),
        steps=[step.path for step in procedure.walk() if not step.transparent],
        judges=sorted(procedure.judges) if procedure.accept else None,
        limits=context.gateway.budget.limits,
        pid=os.getpid(),
    )
    warnings = () if sitting.resumed else procedure.warnings
    said = [f"{warning.code}: {warning.message} ({warning.span})" for warning in warnings]
    for text in (*said, *sitting.notes):
        context.journal.emit("notice", text=text)
    status: Status = "failed"
    accepted, entry, reason, hint, fault = False, "", "", "", ""
    elsewhere = False
    try:
        take(sitting.answers, procedure, context)
        await _begin(sitting, context)
        state = await _drive(sitting, context)
        _whole(procedure, state)
        accepted, entry = await _deliver(sitting, context, state)
        _tell_of_the_rest(sitting, context)
        accepted = accepted and not context.dry
        status = "delivered" if accepted or context.dry else "unaccepted"
        if status == "unaccepted" and procedure.accept:
            reason = f"`{procedure.accept.text}` does not hold"
            hint = _unproved(procedure, state, context)
    except LimitReached as error:
        status, reason, hint = "limited", str(error), error.hint
    except (Interrupted, asyncio.CancelledError) as error:
        status, reason, hint = "interrupted", str(error) or "interrupted", getattr(error, "hint", "")
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
    except CompanyError as error:
        reason, hint, fault = str(error), error.hint, type(error).__name__
        elsewhere = isinstance(error, WorkspaceBusy)  # another machine has the run: its commits are those that count
    except Exception as error:  # noqa: BLE001 - a defect of ours must not cost the run
        reason = f"a defect of company: {type(error).__name__}: {error}"
        hint = "please report it with the run's events.jsonl, which has the details"
        context.journal.emit("notice", text=traceback.format_exc())
    if sitting.remote and not context.dry and not elsewhere:
        await _push(sitting, context)
    branch = ""
    try:
        branch = await asyncio.to_thread(sitting.hand_over)
    except CompanyError as error:
        if status in ("delivered", "unaccepted"):
            status, reason, hint = "failed", str(error), error.hint
        else:
            reason = f"{reason}; {error}"
    report = sitting.report
    if status in (
        "failed",
        "delivered",
        "unaccepted",
    ):  # who comes to them again asks other questions; not after a kill
        for ident, times in context.failures.items():
            if times and ident in context.keys and (status == "failed" or ident not in report.done):
                context.results.fail(context.keys[ident], times)
    context.journal.emit(
        "run_finished", status=status, reason=reason, hint=hint, fault=fault, accepted=accepted, seconds=round(report.seconds, 3)
    )  # fmt: skip
    return Outcome(
        run=context.run,
        name=sitting.name,
        status=status,
        reason=reason,
        hint=hint,
        repo=repository.path,
        commit=repository.head(),
        sop=procedure.name,
        model=sitting.model,
        accepted=accepted,
        verdict=report.verdict,
        calls=report.calls,
        retries=report.retries,
        cached_steps=report.cached_steps,
        saved_tokens=report.saved_tokens,
        saved_usd=report.saved_usd,
        prompt_tokens=report.prompt_tokens,
        completion_tokens=report.completion_tokens,
        cached_tokens=report.cached_tokens,
        cost_usd=report.usd,
        seconds=round(report.seconds, 3),
        model_seconds=round(report.model_seconds, 3),
        sandbox=context.sandbox.name,
        entry_point=entry,
        replies={"first": report.first, "repaired": report.repaired, "failed": report.failed},
        by_role=tuple(map(asdict, report.by_role)),
        by_step=tuple(map(asdict, report.by_step)),
        steps=tuple(asdict(cost) for cost in report.steps.values()),
        branch=branch,
    )


def _whole(procedure: Procedure, state: RunState) -> None:
    """See that every step has a result, if only null: a run that left one out must not count as finished."""
    missing = [path for step in procedure.steps for path in paths_of(step) if path not in state.get("values", {})]
    missing = [path for path in missing if "@" not in path]
    if missing:
        raise AssertionError(f"the graph ended before {', '.join(missing)}")


def _tell_of_the_rest(sitting: Sitting, context: RunContext) -> None:
    """Say which steps a dry run did not come to, and which edits of a person had no step to belong to."""
    for ident, edit in context.earlier.edits.items():
        if ident not in sitting.report.done:
            files = ", ".join(context.objects.get(edit.made["files"])["value"])
            text = f"your change of {files} was not taken over: this run did not come to {ident}. It is kept in git: "
            context.journal.emit("notice", text=f"{text}git log --all -- {files.split(', ')[0]}")
    done = {ident.partition("#")[0].partition("[")[0] for ident in sitting.report.done}
    left = [step.path for step in sitting.procedure.walk() if not step.body and step.path not in done]
    if context.dry and left:
        context.journal.emit("notice", text=f"a dry run did not come to {', '.join(left)}: their `when:` never held")


async def _begin(sitting: Sitting, context: RunContext) -> None:
    """The first commit: what was asked for, and the procedure as it runs."""
    repository = context.repository
    if sitting.resumed:
        for mended in await asyncio.to_thread(repository.restore):
            context.journal.emit("notice", text=f"put right after the last stop: {mended}")
        taken_over = set(context.earlier.commits.values())
        for known in await asyncio.to_thread(repository.log):
            if known.sha == context.earlier.fork:
                break
            if known.trailers.get("Company-Run") == context.run or known.sha in taken_over:
                context.committed.setdefault(known.trailers["Company-Step"], known)
        if again := await make_again(context, sitting.report.commits.values()):
            context.journal.emit("notice", text=f"made {again} commits again that this repository did not have")
        if lost := [ident for ident in sitting.report.done if ident not in context.done]:
            text = f"what these steps made is missing or damaged, so they are done again: {', '.join(lost)}"
            context.journal.emit("notice", text=text)
    files: dict[str, bytes | None] = {
        f"{context.records}/sop.yaml": sitting.procedure.text.encode(),
        f"{context.records}/requirement.md": (context.requirement.strip() + "\n").encode(),
    }
    if not context.guest:
        files[".gitignore"] = publish.IGNORED
    await _company_commit(context, START, files, f"start: run {sitting.procedure.name}")
    if context.earlier.others:
        made = {
            "files": context.earlier.others,
            "subject": "change what no step made",
            "slug": "person",
            "title": "Person",
        }
        await commit_again(context, f"{START}@edit", made, {})


async def _push(sitting: Sitting, context: RunContext) -> None:
    """Move the remote's branch to what there is; that it cannot be done is no reason to fail."""
    try:
        await asyncio.to_thread(remotes.push, context.repository, sitting.remote)
    except CompanyError as error:
        by_hand = (
            f"git -C {context.repository.path} push {remotes.hidden(sitting.remote)} {context.repository.branch()}"
        )
        context.journal.emit("notice", text=f"not pushed; the next sitting does it, or {by_hand}: {error.message}")
    except asyncio.CancelledError:
        context.journal.emit("notice", text="stopped while the branch was pushed")


async def _drive(sitting: Sitting, context: RunContext) -> RunState:
    """The graph, from its beginning or from its last checkpoint; the state that it ends in."""
    procedure = sitting.procedure
    async with sitting.store.checkpoints(lambda text: context.journal.emit("notice", text=text)) as saver:
        graph = compile_procedure(procedure, saver)
        config: Any = {
            "configurable": {"thread_id": context.run},
            "recursion_limit": longest(procedure.steps) + 1,
        }
        known = await checkpoint(graph, config, procedure, context) if sitting.resumed else None
        values: dict[str, str | None] = {name: pack(context.objects, value) for name, value in sitting.inputs.items()}
        first: Any = None if known else {"values": values, "rounds": {}}
        ended: Any = await graph.ainvoke(first, config, context=context, durability="sync")
        if ended is None:  # nothing was left to do
            ended = known
    state: RunState = ended
    return state


def _unproved(procedure: Procedure, state: RunState, context: RunContext) -> str:
    """What helps where all tests that decide passed, and the acceptance asks for one that the requirement states; else nothing."""
    values = (unpack(context.objects, ref) for path, ref in state["values"].items() if path in procedure.judges)
    runs = [value for value in values if isinstance(value, TestRun)]
    if ".stated" not in (procedure.accept.text if procedure.accept else "") or not runs:
        return ""
    if not all(run.passed and not run.stated for run in runs):
        return ""
    return "give the requirement an example that can be executed, such as `add(2, 3)` returns 5: nothing else says what is right"


async def _deliver(sitting: Sitting, context: RunContext, state: RunState) -> tuple[bool, str]:
    """The last commit: README and `run.json`. Whether the run is accepted, and how its product is started."""
    procedure, objects = sitting.procedure, context.objects
    site = Site(procedure.steps[-1], (Block(procedure.steps),))
    accepted = True
    if procedure.accept:
        accepted = bool(procedure.accept.evaluate(Scope(site, state, objects)))
    values = {
        path: unpack(objects, ref)
        for path, ref in state.get("values", {}).items()
        if "@" not in path and ref is not None
    }
    design = next((value for value in values.values() if isinstance(value, Design)), None)
    report = sitting.report
    record = {
        "run": context.run,
        "sop": procedure.name,
        "model": sitting.model,
        "sandbox": context.sandbox.name,
        "accepted": accepted,
        "verdict": report.verdict,
        "calls": report.calls,
        "retries": report.retries,
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "cached_tokens": report.cached_tokens,
        "cost_usd": report.usd,
        "saved_tokens": report.saved_tokens,
        "saved_usd": report.saved_usd,
        "seconds": round(report.seconds, 1),
        "by_role": [asdict(sums) for sums in report.by_role],
        "by_step": [asdict(sums) for sums in report.by_step],
        "steps": [asdict(cost) for cost in report.steps.values()],
    }
    files: dict[str, bytes | None] = {f"{context.records}/run.json": (json.dumps(record, indent=1) + "\n").encode()}
    present = await asyncio.to_thread(context.repository.files)
    if not context.guest and not any(re.fullmatch(r"readme(\.\w+)?", path, re.IGNORECASE) for path in present):
        title = sitting.name.replace("-", " ").replace("_", " ").capitalize()
        files["README.md"] = publish.readme(title, context.requirement, design, report.verdict, present).encode()
    state_of = "accepted" if accepted else "not accepted"
    await _company_commit(context, "deliver", files, f"deliver: {report.verdict or state_of}")
    return accepted, design.entry_point if design else ""


async def _company_commit(context: RunContext, ident: str, files: Mapping[str, bytes | None], subject: str) -> None:
    await commit_files(context, ident, files, subject[:120], "company", "Company")
