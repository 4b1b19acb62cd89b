"""One run of one task, from nothing or from where it stopped, to its row: the one way in which every place makes runs.

Which runs there are, and what is kept of them: `runner.py`. Other places than this process: `cluster.py`. Verdicts: `judging.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

import company
from company import records, wiring
from company.bench.failures import Failure
from company.bench.judging import Judged, judge, visible
from company.bench.rows import Row
from company.bench.tasks import Task
from company.cache import digest
from company.engine import NewRun
from company.errors import CompanyError, RunDamaged
from company.llm.providers import asked_how
from company.opening import Notices, model_names, open_models, servers_of
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
    """As of `key_of`."""
    variation: str = ""


def given_beside(home: Path) -> Path:
    """Where the repository lies that a run was let into."""
    return home.with_name(f"{home.name}.given")


def alone(settings: Settings) -> Settings:
    """The settings of a measurement: where a team's runs are kept, and where branches are pushed, is not for it."""
    return settings.model_copy(update={"remote": "", "state": SecretStr("")})


def key_of(task: Task, procedure: Procedure, settings: Settings, model: str, seed: int, variation: str) -> str:
    """Hash of everything that a result depends on, but for the program: a row says which one made it."""
    asked = [[name, *asked_how(name, settings)] for name in model_names(procedure, settings, model).values()]
    for name in sorted(servers_of(procedure)):
        server = settings.mcp.get(name)  # where there is none, the run says so
        asked.append([f"mcp.{name}", server.model_dump(exclude={"key"}) if server else None])
    bounds = [settings.temperature, settings.max_tokens, settings.context, settings.step_timeout, settings.test_seconds]
    return digest([task.digest, procedure.digest, asked, bounds, seed, variation])


@cache
def program() -> str:
    """The version and a hash of every line of this program: another one would measure something else."""
    top = Path(company.__file__).parent
    found = hashlib.sha256()
    for path in sorted(top.rglob("*.py")):
        found.update(f"{path.relative_to(top)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"{version('company-sim')} {found.hexdigest()[:12]}"


@dataclass(frozen=True)
class Here:
    """Runs are made in this process."""

    settings: Settings
    parallel: int = 1
    """Runs at once."""
    unsafe_no_sandbox: bool = False
    user_dir: Path | None = None
    progress: Callable[[int, int, str], None] | None = None
    """Told of downloads, and of an embedded model that is being loaded."""

    @asynccontextmanager
    async def open(self, jobs: Sequence[Job]) -> AsyncIterator[int]:
        """Hold the embedded model's server while runs come and go: each of them joins it."""
        names = {name for job in jobs for name in model_names(job.procedure, self.settings, job.model).values()}
        local: dict[str | None, str] = {name: name for name in names if name.startswith("local:")}
        async with open_models(local, self.settings, Path.cwd(), Notices(), self.progress):
            yield min(self.parallel, len(jobs))

    async def make(self, job: Job, stop: asyncio.Event, begins: Callable[[], None]) -> Row | None:
        """The row of a job, its run begun or gone on with; None where it was stopped.

        Raises:
            CompanyError: it broke off for a reason that says nothing of the product.
        """
        begins()
        record = _record(job.home)
        settings, watch = alone(self.settings), Watch(stop=stop, progress=self.progress)
        if record is None:
            await wiring.run(self._new(job), settings, watch)
        elif not _is_result(job.home, record):
            await wiring.resume(job.home, record.run, settings, watch, headless=True)
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


def is_begun(home: Path) -> bool:
    """Whether a run lies in a job's workspace that came to no result."""
    found = records.runs(Folder(home.resolve() / ".company")) if (home / ".company/runs").is_dir() else []
    return bool(found) and not _is_result(home, found[0])


def _is_result(home: Path, record: RunRecord) -> bool:
    """Whether a run came to an end that says something of procedure and model."""
    if record.status != "failed":
        return record.status in (*FINISHED, "limited")
    events = [*Folder(home.resolve() / ".company").events(record.run)]
    fault = next((event.get("fault", "") for event in reversed(events) if event["event"] == "run_finished"), "")
    return fault not in _NO_RESULT


def _given(job: Job) -> Path:
    """A repository with the task's files, made once."""
    path = given_beside(job.home).resolve()  # git is called in another folder
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
        "program": program(),
    }
