"""The embedded model's server: one llama.cpp process per model file and host, on loopback, shared by all who run it there.

Model files: `download.py`. The process: `server_process.py`. The wheel or a build that it loads: `runtime.py`. Whether
there is memory for it: `machine.py`. Requests: `calls.py`, as to any endpoint. Two servers at once on a small machine
are ten times slower than one, so whoever comes second joins the first's.

Three files per model file and host, in ``servers/`` of the cache folder, which hosts may share: `.lock` is held while a server is started or
joined; `.users` is held shared by every user, and the server ends when it has it alone; `.json` is the lease
with address and key, for this user's eyes only, held by the server. Locks are the kernel's: whatever is killed, they are free.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from company.errors import Broken, EndpointError, UsageError
from company.llm import machine, runtime, server_process
from company.llm.download import cache_dir

Progress = Callable[[float, str], None]
"""Called with seconds since the start and what is waited for, about once a second."""

_TICK_SECONDS = 1.0
_RETRY_SECONDS = 0.2
_GONE_SECONDS = 3.0
_WATCH_SECONDS = 5.0
_LOG_LINES = 12


class LocalServer:
    """A running server for one model file while inside ``async with``; joins one that runs already.

    Args:
        path: the model file, verified (see `download.locate`).
        name: what requests call the model.
        context: tokens, prompt and reply together, that one request may use.
        slots: requests served at the same time; more wait in the server.
        threads: 0 means as many as there are cores for us.
        port: 0 means any free one.
        api_key: empty means a random one.
        build: the folder of the runtime's build that is loaded; None is the installed wheel.
        falls_back: whether the wheel is loaded where the build does not start.
        deadline: seconds until a server must be ready.
        progress: told about once a second while it loads.
        notice: told, in one line for people, where the server is not as it was asked for.
    """

    base_url: str
    """OpenAI-compatible, ends in ``/v1``. Set inside ``async with``, like `api_key`."""
    api_key: str

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        context: int = 8192,
        slots: int = 2,
        threads: int = 0,
        port: int = 0,
        api_key: str = "",
        build: Path | None = None,
        falls_back: bool = True,
        deadline: float = 180.0,
        progress: Progress | None = None,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path, self.model, self.context, self.slots = path.resolve(), name, context, slots
        self._threads = threads or machine.usable_cores()
        self._port, self._wanted_key, self._build = port, api_key, build
        self._falls_back, self._notice = falls_back, notice
        self._deadline, self._progress = deadline, progress or (lambda seconds, what: None)
        here = os.fsencode(os.uname().nodename)  # what another host's lease calls 127.0.0.1 is no server of ours
        stem = f"{name}-{hashlib.sha256(here + b'/' + bytes(self.path)).hexdigest()[:8]}"
        self._folder = cache_dir() / "servers"
        self._lock = self._folder / f"{stem}.lock"
        self._users = self._folder / f"{stem}.users"
        self._lease = self._folder / f"{stem}.json"
        self.log = self._folder / f"{stem}.log"
        self._use: int | None = None
        """The descriptor that holds our share of `.users`."""
        self._child: int | None = None
        """The server's process id where we started it."""
        self._exit_code = 0

    async def __aenter__(self) -> Self:
        """Join the server, or start it.

        Raises:
            EndpointError: it died, or was not ready in time; the message ends with the log's last lines.
            UsageError: no runtime installed, too little memory, or a running server has other settings than those
                asked for.
            Broken: the cache folder cannot be written.
        """
        began = time.monotonic()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while not await self._join_or_start(began):
                if time.monotonic() - began > self._deadline:
                    raise EndpointError(
                        f"another process kept the server of {self.model} locked for {self._deadline:.0f} s",
                        place=str(self._lock),
                    )
                self._progress(time.monotonic() - began, f"another process is starting {self.model}")
                await asyncio.sleep(_RETRY_SECONDS)
        except OSError as broken:
            raise Broken(
                f"cannot start the model's server: {broken.strerror or broken}",
                place=str(self._folder),
                hint="XDG_CACHE_HOME names another cache folder",
            ) from broken
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the server; the last to leave waits until it has ended."""
        # Alone: no other user is left, or the server was quicker and has it alone itself.
        last = self._use is not None and (_lock(self._use, fcntl.LOCK_EX) or not _lock(self._use, fcntl.LOCK_SH))
        self._leave()
        if last:
            await self._wait_for_end()
        if self._child is not None:  # others use it: take note of its end, or it stays in the process table
            threading.Thread(target=os.waitpid, args=(self._child, 0), daemon=True).start()
            self._child = None

    async def alive(self) -> bool:
        """Whether the server that `base_url` names answers, with our key and for our model."""
        import httpx

        lease = self._read_lease()
        if lease is None or lease["base_url"] != self.base_url:
            return False  # what has its port now is another program, and is not told the key
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:  # no proxy on the way to loopback
                reply = await client.get(f"{self.base_url}/models", headers={"Authorization": f"Bearer {self.api_key}"})
        except httpx.TimeoutException:
            return True  # it accepts connections: busy, not gone
        except httpx.TransportError:
            return False
        return reply.status_code == 200 and any(each["id"] == self.model for each in reply.json()["data"])

    def last_words(self) -> str:
        """The end of the server's log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_LOG_LINES:])

    # --- joining -----------------------------------------------------------------------------------

    async def _join_or_start(self, began: float) -> bool:
        """One attempt; False when another process is starting, joining or ending it right now."""
        alone = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        joined = False
        try:
            if not _lock(alone, fcntl.LOCK_EX):
                return False
            self._use = os.open(self._users, os.O_RDWR | os.O_CREAT, 0o600)
            if _lock(self._use, fcntl.LOCK_SH):
                if not await self._found():
                    await self._start(began)
                joined = True
        finally:
            os.close(alone)
            if not joined:
                self._leave()
        return joined

    async def _found(self) -> bool:
        """Take the running server's address from its lease, if there is one."""
        lease = self._read_lease()
        if lease is None:
            return False
        self.base_url, self.api_key = lease["base_url"], lease["api_key"]
        if not await self.alive():
            return False
        other = ""
        if lease["context"] < self.context:
            other = f"{lease['context']} tokens per request, not {self.context}"
        elif self._port and f":{self._port}/" not in self.base_url:
            other = f"the address {self.base_url}, not port {self._port}"
        elif self._wanted_key not in ("", self.api_key):
            other = "another API key"
        if other:
            raise UsageError(
                f"a server of {self.model} is in use already, with {other}",
                hint=f"ask for the same, or first end what uses it (process {lease['pid']} is the server)",
            )
        asked = {"slots": self.slots, "threads": self._threads}
        others = [f"`{name} = {lease[name]}`, not {each}" for name, each in asked.items() if lease[name] != each]
        if lease["runtime"] != str(self._build or ""):
            others.append("another build of the runtime")
        if others:
            self._notice(
                f"a server of {self.model} is in use already and is shared as it is, with {', '.join(others)}; "
                "what was asked for holds once all who use it have ended"
            )
        self.context, self.slots = lease["context"], lease["slots"]
        return True

    def _read_lease(self) -> dict[str, Any] | None:
        """What the server says of itself; None where there is none, or a killed one left it: its lock on it is gone."""
        try:
            with self._lease.open() as file:
                lease: dict[str, Any] = json.load(file)
                return None if _lock(file.fileno(), fcntl.LOCK_SH) else lease
        except FileNotFoundError:
            return None

    def _leave(self) -> None:
        if self._use is not None:
            os.close(self._use)
            self._use = None

    # --- starting ----------------------------------------------------------------------------------

    async def _start(self, began: float) -> None:
        runtime.version()
        machine.refuse_too_little(self.path, self.model, self.context, self.slots)
        self._lease.unlink(missing_ok=True)
        try:
            await self._load(began)
        except EndpointError:
            if not self._falls_back or self._build is None or self._exit_code == -signal.SIGKILL:
                raise
            self._build = None
            await self._load(began)
            self._notice(
                "the runtime that was built for this processor does not start, so the installed one is used "
                "(company model build makes it anew)"
            )
        if not await self._found():
            raise EndpointError(f"the server of {self.model} started but does not answer", place=str(self.log))

    async def _load(self, began: float) -> None:
        answer = self._spawn()
        ready = False
        try:
            ready = await self._answered(answer, began)
        finally:
            os.close(answer)
            if not ready:
                self._kill()

    def orders(self) -> dict[str, Any]:
        """What the process is told: see `server_process.py`."""
        return {
            "path": str(self.path),
            "name": self.model,
            "port": self._port,
            "api_key": self._wanted_key or secrets.token_urlsafe(24),
            "context": self.context,
            "slots": self.slots,
            "threads": self._threads,
            "users": str(self._users),
            "lease": str(self._lease),
            "runtime": str(self._build or ""),
            "params": self.params(),
        }

    def params(self) -> dict[str, Any]:
        """llama.cpp's parameters that are not as it has them, by their dotted names: see decision 013."""
        needs = machine.needs(self.path)
        spare = machine.available() - (needs.total(self.context, self.slots) if needs else 0)
        return {
            "cpuparams.n_threads": self._threads,
            "cpuparams_batch.n_threads": self._threads,
            "cache_ram_mib": min(4096, max(0, spare) // 4 // 2**20),
            # What followed the same twelve tokens before is tried first: a file that is written again with a change.
            "speculative.types": ["common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE"],
        }

    def _spawn(self) -> int:
        """Start the process; returns the descriptor on which it says that it is ready."""
        order_out, order_in = os.pipe()
        answer_out, answer_in = os.pipe()
        try:
            # Not subprocess.Popen: the server may rightly outlive us, in the use of others.
            # -P: no module of the current folder is imported by accident.
            self._child = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", server_process.__file__],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, order_out, 0),
                    (os.POSIX_SPAWN_DUP2, answer_in, 1),
                    (os.POSIX_SPAWN_OPEN, 2, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                ],
            )
            os.write(order_in, json.dumps(self.orders()).encode())
        finally:
            for end in (order_out, order_in, answer_in):
                os.close(end)
        return answer_out

    async def _answered(self, answer: int, began: float) -> bool:
        """Wait for the process's answer, which is either `ready` or its end."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(answer, heard.set)
        try:
            while not heard.is_set():
                seconds = time.monotonic() - began
                if seconds > self._deadline:
                    raise EndpointError(
                        f"{self.model} was not loaded within {self._deadline:.0f} s\n{self.last_words()}",
                        place=str(self.log),
                        hint="another heavy program may slow the machine; a smaller model loads faster",
                    )
                self._progress(seconds, f"loading {self.model}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(heard.wait(), _TICK_SECONDS)
        finally:
            loop.remove_reader(answer)
        if os.read(answer, 16):
            return True
        await self._wait_for_end()
        code = self._exit_code
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        raise EndpointError(
            f"the server of {self.model} ended while it started ({how})\n{self.last_words()}",
            place=str(self.log),
            hint="too little memory is the usual reason: a smaller model or context needs less"
            if code == -signal.SIGKILL
            else "",
        )

    def _kill(self) -> None:
        """End the process that we started, unless it has ended."""
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = None

    async def _wait_for_end(self) -> None:
        for _ in range(int(_GONE_SECONDS / 0.02)):
            if self._ended():
                break
            await asyncio.sleep(0.02)

    def _ended(self) -> bool:
        if self._child is None:
            return not self._lease.exists()
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid:
            self._child, self._exit_code = None, os.waitstatus_to_exitcode(status)
        return bool(pid)


def serve_forever(server: LocalServer, *, ready: Callable[[LocalServer], None]) -> None:
    """Keep `server` up until Ctrl-C (KeyboardInterrupt is raised), for runs and for other programs.

    Calls `ready` once it can be used.

    Raises:
        EndpointError: it did not start, or ended under us.
        UsageError: see `LocalServer`.
    """

    async def hold() -> None:
        async with server:
            ready(server)
            while True:
                await asyncio.sleep(_WATCH_SECONDS)
                if await server.alive():
                    continue
                raise EndpointError(f"the server of {server.model} ended\n{server.last_words()}", place=str(server.log))

    asyncio.run(hold())


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
