"""Every task by every procedure with every seed, each a whole run of the product, judged, and kept as a row.

Runs go on in this process, one after another or several at once; what is lost when it dies is the call under way: a row
that is there is not made again, and a run that was stopped is resumed. Rows: `rows.py`. Verdicts: `judging.py`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from company import records, wiring
from company.bench import rows
from company.bench.failures import Failure
from company.bench.judging import Judged, judge, visible
from company.bench.rows import Row
from company.bench.tasks import Task
from company.cache import digest
from company.engine import NewRun
from company.errors import CompanyError, Interrupted, RunDamaged
from company.llm.providers import asked_how
from company.opening import Notices, model_names, open_models
from company.records import FINISHED, RunRecord
from company.report import Report
from company.sandbox import choose
from company.sitting import Watch
from company.sop.procedure import Procedure
from company.store import Folder
from company.workspace import Repository

if TYPE_CHECKING:
    from company.settings import Settings

NAME = "product"
"""Folder of the repository in a run's own workspace."""
_ENDURED = 3
"""Runs in a row that something beside the product broke off; the next ones would fare no better."""
_NO_RESULT = frozenset(
    {
        "EndpointError",
        "DeadlineExceeded",
        "ModelError",
        "UsageError",
        "SandboxUnavailable",
        "WorkspaceError",
        "WorkspaceBusy",
    }
)
"""Faults that say nothing of procedure and model: such a run is no result, and is resumed the next time."""


@dataclass(frozen=True)
class Job:
    """One run that is to be made."""

    task: Task
    sop: str
    """The procedure as it was asked for."""
    procedure: Procedure
    model: str
    seed: int
    home: Path
    """The run's own workspace."""
    key: str
    """Hash of everything that the result depends on."""
    variation: str = ""


class Progress(NamedTuple):
    """What the runner tells while it goes on."""

    done: int
    total: int
    row: Row | None
    """The row that was made; None for one that was there, and for a run that broke off."""
    job: Job
    seconds_left: float | None
    trouble: str = ""
    """Why a run broke off."""


@dataclass
class Bench:
    """A measurement that is under way."""

    jobs: Sequence[Job]
    settings: Settings
    out: Path
    tell: Callable[[Progress], None]
    stop: asyncio.Event
    parallel: int = 1
    unsafe_no_sandbox: bool = False
    user_dir: Path | None = None
    progress: Callable[[int, int, str], None] | None = None
    """Told of downloads, and of an embedded model that is being loaded."""
    rows: list[Row] = field(default_factory=list)
    """Those of the jobs, made now or before."""
    broken: list[tuple[Job, CompanyError]] = field(default_factory=list)
    """Runs that are no result yet."""
    _done: int = 0
    _took: dict[str, list[float]] = field(default_factory=dict)
    _in_a_row: int = 0

    async def run(self) -> None:
        """Make what is not there.

        Raises:
            Interrupted: it was stopped; begun again it goes on.
            CompanyError: several runs in a row broke off for a reason of this kind.
        """
        # where a team's runs are kept, and where branches are pushed, is not for measurements
        self.settings = self.settings.model_copy(update={"remote": "", "state": SecretStr("")})
        with rows.alone(self.out):
            known = {row["key"]: row for row in rows.read(self.out)}
            todo: list[Job] = []
            for job in self.jobs:
                if job.key in known:
                    self.rows.append(known[job.key])
                    self._count(job, None)
                else:
                    todo.append(job)
            if not todo:
                return
            async with AsyncExitStack() as stack:
                await self._keep_open(todo, stack)
                queue = iter(todo)
                workers = [asyncio.create_task(self._work(queue)) for _ in range(min(self.parallel, len(todo)))]
                try:
                    await asyncio.gather(*workers)
                finally:
                    for worker in workers:
                        worker.cancel()
                    await asyncio.gather(*workers, return_exceptions=True)
        if self.stop.is_set():
            raise Interrupted("stopped before all runs were made", hint="the same command goes on where it stopped")

    async def _keep_open(self, jobs: Iterable[Job], stack: AsyncExitStack) -> None:
        """Hold the embedded model's server while runs come and go: each of them joins it."""
        names = {name for job in jobs for name in model_names(job.procedure, self.settings, job.model).values()}
        local: dict[str | None, str] = {name: name for name in names if name.startswith("local:")}
        if local:
            await stack.enter_async_context(open_models(local, self.settings, Path.cwd(), Notices(), self.progress))

    async def _work(self, queue: Iterator[Job]) -> None:
        for job in queue:
            if self.stop.is_set():
                return
            began = time.monotonic()
            try:
                row = await self._row(job)
            except CompanyError as error:
                self.broken.append((job, error))
                self._in_a_row += 1
                self._count(job, None, str(error))
                if self._in_a_row >= _ENDURED:
                    raise
                continue
            if row is None:  # stopped
                return
            rows.append(self.out, row)
            self.rows.append(row)
            self._in_a_row = 0
            self._took.setdefault(job.procedure.name, []).append(time.monotonic() - began)
            self._count(job, row)

    def _count(self, job: Job, row: Row | None, trouble: str = "") -> None:
        self._done += 1
        self.tell(Progress(self._done, len(self.jobs), row, job, self._left(), trouble))

    def _left(self) -> float | None:
        """About how many seconds the rest takes, by what runs of each procedure took so far."""
        every = [seconds for took in self._took.values() for seconds in took]
        if not every:
            return None
        known = {row["key"] for row in self.rows} | {job.key for job, _ in self.broken}
        left = 0.0
        for job in self.jobs:
            if job.key not in known:
                took = self._took.get(job.procedure.name, every)
                left += sum(took) / len(took)
        return left / self.parallel

    # --- one run ------------------------------------------------------------------------------------

    async def _row(self, job: Job) -> Row | None:
        """The row of a job, its run begun or gone on with; None where it was stopped.

        Raises:
            CompanyError: it broke off for a reason that says nothing of the product.
        """
        record = _record(job.home)
        watch = Watch(stop=self.stop, progress=self.progress)
        if record is None:
            await wiring.run(self._new(job), self.settings, watch)
        elif not _is_result(job.home, record):
            await wiring.resume(job.home, record.run, self.settings, watch, headless=True)
        record = _record(job.home)
        if record is None:
            raise RunDamaged("the run left nothing behind", place=str(job.home))
        if record.status == "interrupted":
            return None
        store = Folder(job.home.resolve() / ".company")
        report = Report.of(store.events(record.run))
        if not _is_result(job.home, record):
            raise CompanyError(report.reason or record.status, hint=report.hint)
        files = {path: text.encode() for path, text in records.files_of(store, record).items()}
        if record.status in FINISHED:
            judged = await judge(choose(unsafe_no_sandbox=self.unsafe_no_sandbox), job.task, files)
        else:
            failure: Failure = "limit" if record.status == "limited" else "run failed"
            judged = Judged(False, 0.0, "not run", report.reason[:2000], failure)
        return _made(job, record, report, judged, files)

    def _new(self, job: Job) -> NewRun:
        return NewRun(
            inputs={"requirement": job.task.requirement},
            sop=job.sop,
            workspace=job.home,
            name=NAME,
            model=job.model,
            user_dir=self.user_dir,
            headless=True,
            unsafe_no_sandbox=self.unsafe_no_sandbox,
            into=_given(job) if job.task.given else None,
            seed=job.seed,
        )


def plan(
    tasks: Sequence[tuple[Task, str]],
    sops: dict[str, Procedure],
    settings: Settings,
    model: str,
    seeds: int,
    workspace: Path,
) -> list[Job]:
    """The runs of a measurement: a task by every procedure before the next, so that what is done can be compared at any time.

    Args:
        tasks: each with the name of what was varied in it; empty for a task as it is.
    """
    return [
        _job(task, variation, sop, procedure, settings, model, seed, workspace)
        for seed in range(1, seeds + 1)
        for task, variation in tasks
        for sop, procedure in sops.items()
    ]


def _job(
    task: Task,
    variation: str,
    sop: str,
    procedure: Procedure,
    settings: Settings,
    model: str,
    seed: int,
    workspace: Path,
) -> Job:
    names = [*model_names(procedure, settings, model).values()]
    asked = [[name, *asked_how(name, settings)] for name in names]
    bounds = [settings.temperature, settings.max_tokens, settings.context, settings.step_timeout, settings.test_seconds]
    key = digest([task.digest, procedure.digest, asked, bounds, seed, variation])
    name = re.sub(r"[^A-Za-z0-9]+", "-", task.name).strip("-").lower()[:40]
    home = workspace / "bench" / task.dataset / procedure.name / f"{name}-s{seed}-{key[:10]}"
    return Job(task, sop, procedure, model, seed, home, key, variation)


def _record(home: Path) -> RunRecord | None:
    """The run in a job's workspace; one that left no repository, or cannot be read, is set aside."""
    if not (home / ".company/runs").is_dir():
        return None
    found = records.runs(Folder(home.resolve() / ".company"))
    if found and found[0].status != "damaged" and (found[0].repo / ".git").is_dir():
        return found[0]
    if found:
        home.rename(home.with_name(f"{home.name}.set-aside-{time.time_ns()}"))
    return None


def _is_result(home: Path, record: RunRecord) -> bool:
    """Whether a run came to an end that says something of procedure and model."""
    if record.status != "failed":
        return record.status in (*FINISHED, "limited")
    events = [*Folder(home.resolve() / ".company").events(record.run)]
    fault = next((event.get("fault", "") for event in reversed(events) if event["event"] == "run_finished"), "")
    return fault not in _NO_RESULT


def _given(job: Job) -> Path:
    """A repository with the task's files, made once."""
    path = job.home.with_name(f"{job.home.name}.given")
    if not path.exists():

        def fill(made: Path) -> None:
            Repository(made).commit(
                {name: text.encode() for name, text in job.task.given.items()},
                subject="what was given",
                author="Company",
                email_slug="company",
                trailers={},
            )

        Repository.create(path, fill=fill).restore()
    return path


def _made(job: Job, record: RunRecord, report: Report, judged: Judged, files: dict[str, bytes]) -> Row:
    code = [text for path, text in visible(files).items() if path.endswith(".py")]
    lines = [line.strip() for text in code for line in text.decode("utf-8", "replace").splitlines()]
    return {
        "dataset": job.task.dataset,
        "split": job.task.half,
        "task": job.task.name,
        "sop": job.procedure.name,
        "sop_digest": job.procedure.digest,
        "model": job.model,
        "seed": job.seed,
        "variation": job.variation,
        "run": record.run,
        "workspace": str(job.home.resolve()),
        "repo": str(record.repo),
        "status": record.status,
        "accepted": record.accepted,
        "passed": judged.passed,
        "score": judged.score,
        "judged": {"status": judged.status, "detail": judged.detail},
        "calls": report.calls,
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "cached_tokens": report.cached_tokens,
        "usd": report.usd,
        "seconds": round(report.seconds, 3),
        "model_seconds": round(report.model_seconds, 3),
        "lines": sum(1 for line in lines if line and not line.startswith("#")),
        "failure": judged.failure,
        "time": round(time.time(), 3),
        "key": job.key,
    }
