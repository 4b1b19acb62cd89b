"""One process and all that it starts, watched: wall time, output, memory of the tree; killed as a whole.

What is started and how it is confined: `bubblewrap.py`, `plain.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from company.sandbox.base import Limits

_PAGE = os.sysconf("SC_PAGE_SIZE")
_INTERVAL = 0.02
"""Seconds between two looks at the memory: memory fills at some 5 GB/s."""
_EXTRA_BYTES = 4 << 20
_INODE_BYTES = 1024
"""What an empty file in memory costs the kernel."""


Limit = Literal["timeout", "output_limit", "memory_limit"]


@dataclass(frozen=True)
class Outcome:
    """How a watched process ended, raw."""

    reason: Literal["exit"] | Limit
    exit_code: int
    stdout: bytes
    stderr: bytes
    extra: list[bytes]
    """What came out of each of the `Descriptors.pipe`s, in order."""
    seconds: float


class Descriptors(contextlib.ExitStack):
    """The descriptors that a child inherits; closed here when the block ends."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[int] = []
        self.pipes: list[tuple[int, int]] = []

    def data(self, content: bytes) -> int:
        """A descriptor to read `content` from, which whoever inherits it cannot change."""
        if sys.platform == "linux":
            fd = os.memfd_create("data", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            self.callback(os.close, fd)
        else:
            file = self.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
            fd = file.fileno()
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        if sys.platform == "linux":
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        self.inputs.append(fd)
        return fd

    def pipe(self) -> int:
        """The end to write to of a new pipe, whose other end `watch` reads and closes."""
        ends = os.pipe()
        self.pipes.append(ends)
        return ends[1]


async def watch(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    limits: Limits,
    descriptors: Descriptors,
    stdin: bytes,
    folder: str | None = None,
    volumes: Sequence[str] = (),
) -> Outcome:
    """Run `argv` until it ends or passes a limit; its tree is dead on return, on error and on cancellation.

    It is spawned by the thread of the running event loop, which outlives it: bubblewrap's `--die-with-parent`
    follows that thread. `volumes` are folders in memory, as its children see them, whose files count.
    `stdin` comes through a pipe: what was read once is gone, also where another process has the same end open, as bubblewrap's has.

    Raises:
        OSError: `argv` cannot be started.
    """
    started = time.monotonic()
    loop = asyncio.get_running_loop()
    given, giving = os.pipe()
    if sys.platform == "linux":  # where root's sandbox opens it again by the name /dev/stdin, as another user
        os.fchmod(given, 0o444)
    out, err = descriptors.pipe(), descriptors.pipe()
    extra = descriptors.pipes[:-2]
    pipes = [reader for reader, _ in (*descriptors.pipes[-2:], *extra)]
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=given,
            stdout=out,
            stderr=err,
            pass_fds=[*descriptors.inputs, *(writer for _, writer in extra)],
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    except BaseException:
        for reader in (*pipes, giving):
            os.close(reader)
        raise
    finally:
        os.close(given)
        for _, writer in descriptors.pipes:
            os.close(writer)
    reasons: list[Limit] = []

    def stop(reason: Limit) -> None:
        reasons.append(reason)
        if process.returncode is None:
            kill(process.pid)

    buffers = [bytearray() for _ in pipes]

    async def collect(index: int) -> None:
        stream = asyncio.StreamReader()
        source = os.fdopen(pipes[index], "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), source)
        try:
            while chunk := await stream.read(1 << 16):
                group, most = (buffers[:2], limits.output_bytes) if index < 2 else (buffers[2:], _EXTRA_BYTES)
                room = most - sum(map(len, group))
                buffers[index] += chunk[:room]
                if len(chunk) > room:
                    stop("output_limit")
                    return
        finally:
            transport.close()

    async def guard() -> None:
        while not reasons:
            await asyncio.sleep(_INTERVAL)
            if _memory_over(process.pid, limits.memory_mb << 20, volumes):
                stop("memory_limit")

    left = memoryview(stdin)

    def feed() -> None:
        """As much as the pipe takes by now; then it is closed."""
        nonlocal giving, left
        with contextlib.suppress(BlockingIOError):
            try:
                while left:
                    left = left[os.write(giving, left) :]
            except BrokenPipeError:
                pass  # nobody reads any more
            loop.remove_writer(giving)
            os.close(giving)
            giving = -1

    os.set_blocking(giving, False)
    loop.add_writer(giving, feed)
    readers = [asyncio.ensure_future(collect(index)) for index in range(len(pipes))]
    guarding = asyncio.ensure_future(guard())
    timer = loop.call_later(limits.seconds, stop, "timeout")
    try:
        exit_code = await process.wait()
        # A plain process may leave a daemon behind that holds the pipes open; a sandbox cannot.
        await asyncio.wait(readers, timeout=2.0)
    finally:
        timer.cancel()
        if giving >= 0:  # nobody read it all
            loop.remove_writer(giving)
            os.close(giving)
        if process.returncode is None:  # we are being cancelled
            kill(process.pid)
            await process.wait()
        for task in (guarding, *readers):
            task.cancel()
        await asyncio.gather(guarding, *readers, return_exceptions=True)
    seconds = time.monotonic() - started
    stdout, stderr, *rest = (bytes(buffer) for buffer in buffers)
    return Outcome(reasons[0] if reasons else "exit", exit_code, stdout, stderr, rest, seconds)


def kill(root: int) -> None:
    """SIGKILL a process that is not yet reaped, its group and everything below it."""
    for pid in reversed(_tree(root)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)


def _tree(root: int) -> list[int]:
    """A process and its descendants, parents first, without a look at every process of the machine."""
    found = [root]
    if sys.platform != "linux":
        with contextlib.suppress(psutil.Error):
            found += [child.pid for child in psutil.Process(root).children(recursive=True)]
        return found
    for pid in found:  # grows while we go through it
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _memory_over(root: int, limit: int, volumes: Sequence[str]) -> bool:
    """Whether the tree holds more than `limit` bytes; pages that processes share count once."""
    pids = _tree(root)
    used = count_files(pids[-1], volumes) * _INODE_BYTES
    return used + sum(map(_resident, pids)) > limit and used + sum(map(_proportional, pids)) > limit


def count_files(pid: int, volumes: Sequence[str]) -> int:
    """How many files a process has on volumes of its own.

    Until it is in its own root, what lies at their places is the machine's, and may be a million files.
    """
    count = 0
    for volume in volumes:
        with contextlib.suppress(OSError):
            place = os.open(f"/proc/{pid}/root{volume}", os.O_PATH | os.O_DIRECTORY)
            try:
                if os.fstat(place).st_dev not in _devices(volume):
                    usage = os.fstatvfs(place)
                    count += usage.f_files - usage.f_ffree
            finally:
                os.close(place)
    return count


def _devices(volume: str) -> Iterator[int]:
    """Those of the machine's root and of what it has at a volume's place."""
    for path in ("/", volume):
        with contextlib.suppress(OSError):
            yield Path(path).stat().st_dev


def _resident(pid: int) -> int:
    try:
        if sys.platform != "linux":
            return int(psutil.Process(pid).memory_info().rss)
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, psutil.Error):
        return 0


def _proportional(pid: int) -> int:
    """Resident bytes where a page that N processes share counts 1/N in each."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return _resident(pid)
