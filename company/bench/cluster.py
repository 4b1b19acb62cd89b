"""Runs made on the machines of a Ray cluster: orders go out, answers come back, and what was lost is begun again elsewhere.

What a machine does with an order: `hands.py`. Who hands out jobs and alone writes rows: `runner.py`. Ray is the extra `ray`, loaded
when it is asked for. A hand is an actor of Ray's that is never restarted by Ray: what is tried again is decided and said here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from company.asked import source_of
from company.bench.hands import Answer, Hand, Order, packed, settle, unpacked
from company.bench.making import Job, alone, given_beside, program
from company.bench.rows import Row
from company.errors import MachineLost, UsageError, extra
from company.opening import model_names
from company.records import library_of, own_file

if TYPE_CHECKING:
    from company.settings import Settings

HERE = "ray"
"""The address of a cluster that is started on this machine, and ends with the measurement."""
_TRIES = 3
"""Of a run whose machine, or process there, goes away."""
_PATIENCE = 180.0
"""Seconds in which a cluster where no run is under way may find a machine: some start theirs only when they are asked."""
_SOON = 10.0
"""Seconds for what is let go of at the end."""
_STORE = 200 << 20
"""Bytes of the object store of a cluster that is started here: answers pass through it, each a small folder."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning at each start
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
_OURS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # its only effect: whatever listens does so on loopback
    "RAY_AUTH_MODE": "token",
    "RAY_enable_metrics_collection": "0",
}


def check_address(on: str) -> None:
    """See that it can be one of a cluster, and that Ray is there.

    Raises:
        UsageError: it cannot, or Ray is not installed.
    """
    if on != HERE and not re.fullmatch(r"(ray://)?([A-Za-z0-9_.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}", on):
        raise UsageError(
            f"there is no place `{on}` to run on",
            hint="--on ray starts a cluster on this machine; --on HOST:PORT and --on ray://HOST:PORT name a running one",
        )
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--on needs the extra `ray`", hint=extra("ray"))


@dataclass
class Cluster:
    """Runs are made on the machines of a cluster."""

    on: str
    """`ray`, ``HOST:PORT`` or ``ray://HOST:PORT``."""
    settings: Settings
    say: Callable[[str], None]
    parallel: int | None = None
    """Runs at once; by default one for each core of the cluster."""
    unsafe_no_sandbox: bool = False
    _ray: Any = None
    _folder: Path | None = None
    """Of a cluster that was started here: sockets and logs."""
    _door: threading.Lock = field(default_factory=threading.Lock)
    """Ray is entered and left one after the other, whatever is cancelled meanwhile."""
    _share: float = 1.0
    """Cores of a hand."""
    _idle: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    """Hands that have nothing to do, and why one could not be had."""
    _hands: set[Any] = field(default_factory=set)
    _busy: set[Any] = field(default_factory=set)
    """Hands that make a run."""
    _quiet: float = 0.0
    """When the last of them had nothing to do, by the monotonic clock."""
    _hiring: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def open(self, jobs: Sequence[Job]) -> AsyncIterator[int]:
        """Join or start the cluster; the number of hands."""
        try:
            cores = await asyncio.to_thread(self._enter)
            asked = self.parallel or cores
            self._share = min(1.0, int(1000 * cores / asked) / 1000)
            count = min(asked, len(jobs))
            for _ in range(count):
                self._hire()
            yield count
            await self._let_go()
        finally:
            for hiring in self._hiring:
                hiring.cancel()
            await asyncio.to_thread(self._leave)

    async def make(self, job: Job, stop: asyncio.Event, begins: Callable[[], None]) -> Row | None:
        """The row of a job; its folder comes back with it, and lies where a run of this process would.

        Raises:
            MachineLost: every machine that made it went away, or none is left.
            CompanyError: it broke off for a reason that says nothing of the product.
        """
        order = self._order(job)
        for number in range(1, _TRIES + 1):
            hand = await self._free(stop)
            if hand is None:
                return None
            begins()
            try:
                answer = await self._answer(hand, order, stop)
            except self._ray.exceptions.RayTaskError:  # a mistake in this program
                raise
            except self._ray.exceptions.RayError as error:
                self._rests(hand)
                self._hands.discard(hand)
                self._kill(hand)
                self._hire()
                if stop.is_set():
                    return None
                again = f"it is begun again, try {number + 1} of {_TRIES}" if number < _TRIES else "it is given up"
                self.say(f"{job.task.name} by {job.procedure.name}: its machine went away ({_why(error)}); {again}")
                continue
            try:
                row = self._arrived(job, answer)
                with suppress(self._ray.exceptions.RayError):  # the answer is here; who is gone is noticed later
                    await hand.forget.remote(order.key)
            finally:
                self._rests(hand)
                self._idle.put_nowait(hand)
            if answer.error:
                raise answer.error
            return row
        raise MachineLost(
            f"the machine that made it went away {_TRIES} times",
            place=job.task.name,
            hint="see whether its memory is enough for the runs at once (--parallel), and its node in `ray status`",
        )

    # --- orders and answers -------------------------------------------------------------------------

    def _order(self, job: Job) -> Order:
        names = model_names(job.procedure, self.settings, job.model).values()
        files = {}
        for name in names:
            provider, _, path = name.partition(":")
            if provider in ("script", "replay") and not Path(path).is_absolute():
                files[path] = Path(path).read_bytes()
        return Order(
            job.task, library_of(job.procedure), own_file(job.procedure.name), alone(self.settings), job.model, job.seed,
            job.variation, job.key, job.home.name, files, packed((job.home, given_beside(job.home))), self.unsafe_no_sandbox,
        )  # fmt: skip

    async def _answer(self, hand: Any, order: Order, stop: asyncio.Event) -> Answer:
        """What the hand makes of it; it is told when the measurement is to stop."""

        async def pass_on() -> None:
            await stop.wait()
            await hand.stop.remote()

        told = asyncio.create_task(pass_on())
        try:
            answer: Answer = await hand.make.remote(order)
            return answer
        finally:
            told.cancel()
            await asyncio.gather(told, return_exceptions=True)

    def _arrived(self, job: Job, answer: Answer) -> Row | None:
        home = job.home.resolve()
        if answer.folder:
            unpacked(answer.folder, home.parent)
            settle(home, source_of(job.sop), Path.cwd())
        if answer.row is None:
            return None
        return {**answer.row, "workspace": str(home), "repo": str(home / Path(answer.row["repo"]).name)}

    # --- hands --------------------------------------------------------------------------------------

    def _hire(self) -> None:
        task = asyncio.create_task(self._hired())
        self._hiring.add(task)
        task.add_done_callback(self._hiring.discard)

    async def _hired(self) -> None:
        """One more hand, wherever a core is free; else why there is none."""
        fault = ""
        for _ in range(_TRIES):
            hand = self._ray.remote(Hand).options(num_cpus=self._share, max_restarts=0, max_task_retries=0).remote()
            self._hands.add(hand)
            try:
                await hand.ready.remote(program())
            except self._ray.exceptions.RayError as error:
                self._hands.discard(hand)
                self._kill(hand)
                fault = _why(error)
                continue
            self._idle.put_nowait(hand)
            return
        self._idle.put_nowait(MachineLost(f"no process could be started in the cluster: {fault}", hint=_INSTALLED))

    async def _free(self, stop: asyncio.Event) -> Any:
        """A hand that has nothing to do; None where the measurement was stopped. Busy ones are waited for, however long they take.

        Raises:
            MachineLost: none can be had, and none is there or being had.
        """
        if not self._hands and not self._hiring and self._idle.empty():
            raise MachineLost("no machine of the cluster is left", hint="`ray status` shows them")
        began = time.monotonic()
        got, stopped = asyncio.create_task(self._idle.get()), asyncio.create_task(stop.wait())
        try:
            while not got.done():
                left = _PATIENCE if self._busy else max(began, self._quiet) + _PATIENCE - time.monotonic()
                if left <= 0:
                    hint = "`ray status` shows what is free, `ray start --address=…` adds a machine"
                    raise MachineLost(f"the cluster had no core free for {_PATIENCE:.0f} s", hint=hint)
                await asyncio.wait({got, stopped}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    return None
            hand = got.result()
            if isinstance(hand, MachineLost):
                if not self._hands and not self._hiring:
                    raise hand
                self.say(f"{hand}; the other machines go on")
                return await self._free(stop)
            self._busy.add(hand)
            return hand
        finally:
            for task in (got, stopped):
                task.cancel()

    def _rests(self, hand: Any) -> None:
        """The hand makes nothing more: it is free again, or gone."""
        self._busy.discard(hand)
        self._quiet = time.monotonic()

    def _kill(self, hand: Any) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(hand)

    async def _let_go(self) -> None:
        closing = [asyncio.ensure_future(_quietly(hand.close.remote())) for hand in self._hands]
        if closing:
            _, slow = await asyncio.wait(closing, timeout=_SOON)
            for task in slow:
                task.cancel()

    # --- the cluster --------------------------------------------------------------------------------

    def _enter(self) -> int:
        """Join or start the cluster; its cores. Takes seconds, and runs in a thread so that Ctrl-C is heard."""
        with self._door:
            os.environ.update(_QUIET)
            words: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
            if self.on == HERE:
                os.environ.update(_OURS, RAY_AUTH_TOKEN=secrets.token_hex(32))
                # below /tmp, for a socket's path may have only 107 letters
                self._folder = Path(tempfile.mkdtemp(prefix="company-ray-", dir="/tmp"))
                words |= {
                    "address": "local", "include_dashboard": False, "num_cpus": os.cpu_count(), "num_gpus": 0,
                    "object_store_memory": _STORE, "_temp_dir": str(self._folder), "_node_ip_address": "127.0.0.1",
                }  # fmt: skip
            else:
                self._knock()
                words["address"] = self.on
            self._ray = importlib.import_module("ray")
            try:
                self._ray.init(**words)
                cores = int(self._ray.cluster_resources().get("CPU", 0))
            except Exception as error:  # Ray raises whatever comes, plain ones too
                raise UsageError(f"Ray cannot be joined: {_why(error)}", place=self.on, hint=self._advice()) from error
            if not cores:
                raise UsageError("no machine of the cluster has a core", place=self.on, hint="`ray status` shows them")
            nodes = sum(bool(node["Alive"]) for node in self._ray.nodes())
            self.say(f"On Ray: machines: {nodes}, cores: {cores}")
            return cores

    def _knock(self) -> None:
        """Ray waits a minute for what is not there, and ends the process then."""
        host, _, port = self.on.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            raise UsageError(
                f"nothing answers there: {error}",
                place=self.on,
                hint="`ray start --head` starts a cluster and says where",
            ) from error

    def _advice(self) -> str:
        if self.on == HERE:
            return "a busy machine may start it too slowly: try again, or without --on"
        if self.on.startswith("ray://"):
            return "Python and Ray must be the same there, and `ray[client]` installed on the head"
        return "HOST:PORT is for a machine of the cluster; from another one it is ray://HOST:10001"

    def _leave(self) -> None:
        with self._door:
            if self._ray:
                for hand in self._hands:
                    self._kill(hand)
                self._ray.shutdown()
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)


_INSTALLED = "every machine needs company-sim in this version, in the Python that runs `ray start`"


async def _quietly(reference: Any) -> None:
    await asyncio.gather(reference, return_exceptions=True)


def _why(error: BaseException) -> str:
    """What Ray says, in one line: the last of many is the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
