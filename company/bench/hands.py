"""What a machine of a cluster does: lays out one run as it was sent, makes it as any other, packs up what came of it.

Nothing here knows Ray. Who sends orders and takes answers: `cluster.py`. How a run is made: `making.py`. What is sent holds no
key: each machine reads keys where its own environment has them.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import socket
import tarfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from company.bench.making import Here, Job, given_beside, key_of, program
from company.bench.rows import Row
from company.bench.tasks import Task
from company.cache import digest
from company.errors import CompanyError, RunDamaged, UsageError, WorkspaceBusy
from company.llm.download import cache_dir
from company.paths import disk_errors
from company.records import keep_request, read_request
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.store import Folder

if TYPE_CHECKING:
    from company.settings import Settings

_KEPT = 7 * 24 * 3600.0
"""Seconds for which a run that a kill broke off stays on a machine, to be gone on with there."""
_PATIENCE = 60.0
"""Seconds in which a process that lost its cluster and makes the same run on this machine may end."""


@dataclass(frozen=True)
class Order:
    """All that a machine needs for a run."""

    task: Task
    library: Mapping[str, str]
    """The procedure with all that it uses, path → text."""
    sop: str
    """Path of the procedure in it."""
    settings: Settings
    """Where keys are, and no keys."""
    model: str
    seed: int
    variation: str
    key: str
    name: str
    """Of the run's folder."""
    files: Mapping[str, bytes]
    """Scripts and recordings that models are read from, by their relative path."""
    begun: bytes
    """The run's folder, packed, where it is gone on with; else empty."""
    unsafe_no_sandbox: bool


@dataclass(frozen=True)
class Answer:
    """What came of an order."""

    row: Row | None
    """Its places are those of the machine; None where the run was stopped or broke off."""
    error: CompanyError | None
    """Why it broke off."""
    folder: bytes
    """The run's folder, packed; empty where nothing was made."""


class Hand:
    """Makes one run at a time on its machine."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._open = AsyncExitStack()
        self._held: set[str] = set()

    async def ready(self, asked: str) -> str:
        """See that this machine has the program that asks; its name.

        Raises:
            ValueError: it has another one.
        """
        _tidy(cache_dir() / "bench")
        if asked != program():
            raise ValueError(f"{socket.gethostname()} has another version of company-sim than this machine")
        return socket.gethostname()

    async def make(self, order: Order) -> Answer:
        """Begin the run, or go on with it as it was sent or as it was left on this machine."""
        place = _place(order.key)
        row, fault = None, None
        try:
            async with _alone(place):
                here = Here(order.settings, unsafe_no_sandbox=order.unsafe_no_sandbox, user_dir=place / "library")
                try:
                    job = _laid_out(order, place)
                    await self._hold(here, job)
                    row = await here.make(job, self._stop, lambda: None)
                except CompanyError as error:
                    fault = error
                return Answer(row, fault, packed((place / "runs").glob("*")))
        except CompanyError as error:  # another process makes it, or there is no room
            return Answer(None, error, b"")

    async def stop(self) -> None:
        """Stop after the calls that are under way."""
        self._stop.set()

    async def forget(self, key: str) -> None:
        """What came of an order has arrived and need not be kept here."""
        shutil.rmtree(_place(key), ignore_errors=True)

    async def close(self) -> None:
        """Let go of what is held between runs."""
        await self._open.aclose()

    async def _hold(self, here: Here, job: Job) -> None:
        """An embedded model's server stays between runs."""
        if job.model not in self._held:
            self._held.add(job.model)
            await self._open.enter_async_context(here.open([job]))


def _place(key: str) -> Path:
    """Of the runs of a key by this program: what another one began is not gone on with."""
    return cache_dir() / "bench" / digest([key, program()])[:32]


@asynccontextmanager
async def _alone(place: Path) -> AsyncIterator[None]:
    """Be the only one that makes this run here: what lost its cluster may take a moment to end.

    Raises:
        WorkspaceBusy: it did not.
    """
    import filelock

    with disk_errors("make a folder for a run", place):
        place.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(place.with_suffix(".lock"), thread_local=False)
    try:
        await asyncio.to_thread(lock.acquire, timeout=_PATIENCE)
    except filelock.Timeout as error:
        raise WorkspaceBusy("another process makes this run", place=str(place), hint="wait for it") from error
    try:
        yield
    finally:
        lock.release()


def _laid_out(order: Order, place: Path) -> Job:
    """The order's files on this machine's disk, and the job that they are for.

    Raises:
        UsageError: with what is set on this machine, the result would be one of something else.
    """
    runs, library, cwd = place / "runs", place / "library", place / "here"
    home = runs / order.name
    with disk_errors("lay out a run", place):
        for folder in (library, cwd):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        texts = {path: text.encode() for path, text in order.library.items()}
        for top, files in ((library, texts), (cwd, order.files)):
            for name, data in files.items():
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                (top / name).write_bytes(data)
        if order.begun and not _goes_on(home, order.begun):
            shutil.rmtree(runs, ignore_errors=True)
            unpacked(order.begun, runs)
        os.chdir(cwd)  # whence a script's relative name is looked for
    sop = str(library / order.sop)
    settle(home, sop, cwd)
    procedure = load_procedure(sop, Library(library, library))
    if key_of(order.task, procedure, order.settings, order.model, order.seed, order.variation) != order.key:
        raise UsageError(
            f"{socket.gethostname()} would ask {order.model} in another way than this machine",
            hint="name the endpoint in company.toml, or set OPENAI_BASE_URL where `ray start` is called",
        )
    return Job(order.task, sop, procedure, order.model, order.seed, home, order.key, order.variation)


def _goes_on(home: Path, begun: bytes) -> bool:
    """Whether what is left of the run on this machine is what was sent, or came after it."""
    with tarfile.open(fileobj=io.BytesIO(begun), mode="r:*") as archive:
        parts = [Path(name).parts for name in archive.getnames()]
    sent = {part[3] for part in parts if len(part) > 3 and part[1:3] == (".company", "runs") and part[0] == home.name}
    return bool(sent) and all((home / ".company/runs" / run / "request.json").is_file() for run in sent)


def packed(folders: Iterable[Path]) -> bytes:
    """These folders in one archive; empty without any."""
    there = sorted(folder for folder in folders if folder.is_dir())
    if not there:
        return b""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as archive:
        for folder in there:
            archive.add(folder, folder.name)
    return data.getvalue()


def unpacked(data: bytes, parent: Path) -> None:
    """Put the folders of an archive below `parent`, each in the place of what was there."""
    coming = parent / f".arriving-{os.getpid()}-{time.time_ns()}"
    with disk_errors("unpack a run", parent):
        coming.mkdir(parents=True)
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
                archive.extractall(coming, filter="data")
            for folder in sorted(coming.iterdir()):
                old, place = coming / f"{folder.name}.old", parent / folder.name
                with suppress(FileNotFoundError):
                    place.rename(old)
                folder.rename(place)
        finally:
            shutil.rmtree(coming, ignore_errors=True)


def settle(home: Path, sop: str, folder: Path) -> None:
    """Let runs that came from another machine name their procedure, and what lies beside them, where they are here."""
    store = Folder(home.resolve() / ".company")
    for run in store.runs():
        with suppress(RunDamaged, UsageError):  # as it would be told if it had been made here
            request = read_request(store, run)
            into = str(given_beside(home).resolve()) if request.into else ""
            keep_request(store, replace(request, source=sop, folder=str(folder), into=into))


def _tidy(folder: Path) -> None:
    """Forget runs that nobody went on with."""
    for place in folder.glob("*") if folder.is_dir() else ():
        with suppress(OSError):
            if place.is_dir() and time.time() - place.stat().st_mtime > _KEPT:
                shutil.rmtree(place, ignore_errors=True)
