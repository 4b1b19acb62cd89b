"""Every task by every procedure with every seed, each a whole run of the product, judged, and kept as a row.

One run: `making.py`. Runs go on wherever a `Place` makes them: in this process, or on the machines of a cluster (`cluster.py`);
rows are written here alone. A row that is there is not made again, and a run that was stopped is resumed. Rows: `rows.py`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from company.bench import rows
from company.bench.making import Job, is_begun, key_of, program
from company.bench.rows import Row
from company.bench.tasks import Task
from company.cache import digest
from company.errors import CompanyError, Interrupted
from company.sop.procedure import Procedure

if TYPE_CHECKING:
    from company.settings import Settings

_ENDURED = 3
"""Runs in a row that something beside the product broke off; the next ones would fare no better."""


class Place(Protocol):
    """Where runs are made."""

    def open(self, jobs: Sequence[Job]) -> AbstractAsyncContextManager[int]:
        """Be ready for these runs meanwhile; how many are made at once."""

    async def make(self, job: Job, stop: asyncio.Event, begins: Callable[[], None]) -> Row | None:
        """The row of a job, its run begun or gone on with; None where it was stopped. The run's folder is then the job's `home`.

        Args:
            begins: told when there is a machine for it, again where that was lost.

        Raises:
            CompanyError: it broke off for a reason that says nothing of the product.
        """


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
    place: Place
    out: Path
    tell: Callable[[Progress], None]
    stop: asyncio.Event
    rows: list[Row] = field(default_factory=list)
    """Those of the jobs, made now or before."""
    broken: list[tuple[Job, CompanyError]] = field(default_factory=list)
    """Runs that are no result yet."""
    _done: int = 0
    _took: dict[str, list[float]] = field(default_factory=dict)
    """Procedure → seconds of each of its runs."""
    _begun: dict[str, float] = field(default_factory=dict)
    """Key of a run → when a machine began with it, by the monotonic clock."""
    _in_a_row: int = 0
    _at_once: int = 1

    async def run(self) -> None:
        """Make what is not there.

        Raises:
            Interrupted: it was stopped; begun again it goes on.
            CompanyError: several runs in a row broke off for a reason of this kind.
        """
        with rows.alone(self.out):
            known = {row["key"]: row for row in rows.read(self.out)}
            todo: list[Job] = []
            for job in self.jobs:
                if job.key in known:
                    self.rows.append({**known[job.key], "split": job.task.half})  # halves were other ones once
                    self._count(job, None)
                else:
                    todo.append(job)
            if not todo:
                return
            async with self.place.open(todo) as self._at_once:
                queue = iter(todo)
                workers = [asyncio.create_task(self._work(queue)) for _ in range(self._at_once)]
                try:
                    await asyncio.gather(*workers)
                finally:
                    for worker in workers:
                        worker.cancel()
                    await asyncio.gather(*workers, return_exceptions=True)
        if self.stop.is_set():
            raise Interrupted("stopped before all runs were made", hint="the same command goes on where it stopped")

    async def _work(self, queue: Iterator[Job]) -> None:
        for job in queue:
            if self.stop.is_set():
                return
            try:
                row = await self.place.make(job, self.stop, partial(self._begins, job))
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
            self._took.setdefault(job.procedure.name, []).append(time.monotonic() - self._begun[job.key])
            self._count(job, row)

    def _begins(self, job: Job) -> None:
        self._begun[job.key] = time.monotonic()

    def _count(self, job: Job, row: Row | None, trouble: str = "") -> None:
        self._done += 1
        self.tell(Progress(self._done, len(self.jobs), row, job, self._left(), trouble))

    def _left(self) -> float | None:
        """About how many seconds the rest takes, by what runs of each procedure took so far."""
        every = [seconds for took in self._took.values() for seconds in took]
        if not every:
            return None
        known = {row["key"] for row in self.rows} | {job.key for job, _ in self.broken}
        now, left = time.monotonic(), [0.0]
        for job in self.jobs:
            if job.key not in known:
                took = self._took.get(job.procedure.name, every)
                left.append(max(0.0, sum(took) / len(took) - (now - self._begun.get(job.key, now))))
        return max(sum(left) / self._at_once, max(left))  # the longest of them is made by one alone


def by_others(jobs: Sequence[Job], out: Path) -> Counter[str]:
    """Of the runs that are in a file of results already: other program → how many it made. They are used as they are."""
    keys = {job.key for job in jobs}
    made = (rows.program_of(row) for row in rows.read(out) if row["key"] in keys)
    return Counter(each for each in made if each != program())


def begun_by_others(jobs: Sequence[Job], out: Path) -> int:
    """How many of the runs without a result another program began and did not end. They are made anew."""
    known = {row["key"] for row in rows.read(out)}
    anew = [job.home for job in jobs if job.key not in known and not job.home.exists()]
    return sum(any(map(is_begun, home.parent.glob(f"{home.name[:-6]}??????"))) for home in anew)


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
    key = key_of(task, procedure, settings, model, seed, variation)
    name = re.sub(r"[^A-Za-z0-9]+", "-", task.name).strip("-").lower()[:40]
    # A run is of one program: what another one began or made is not gone on with, so that a row can say whose it is.
    folder = f"{name}-s{seed}-{digest(key)[:10]}-{digest(program())[:6]}"
    home = workspace / "bench" / task.dataset / procedure.name / folder
    return Job(task, sop, procedure, model, seed, home, key, variation)
