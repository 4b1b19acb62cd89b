"""Runs the tests inside the sandbox: a process that never imports generated code judges children that do.

`verdict.py` sends its source to the sandbox as text and decides, so it imports nothing of `company`. A child
is forked for each test file; its word counts only if it ended properly and its canaries died as they must.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

_OUTCOMES = {"passed", "failed", "error", "missing"}
_SUBREAPER, _DUMPABLE = 36, 4
Message = dict[str, Any]


def main(job: Message, reporter: Message) -> None:
    """Run every file of `job` and write what happened, a JSON object a line, to the inherited pipe.

    `job`: ``nonce`` (each line carries it), ``files``, ``seconds`` (for all), ``each`` (for one test),
    ``memory`` (bytes, of a child), ``config`` (pytest's settings, if any count), ``roots`` (folders to import from).
    `reporter`: the names of `reporter.py`, which came along as text too.
    """
    pipe = int(os.environ.pop("COMPANY_REPORT_FD"))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    libc = ctypes.CDLL(None)
    # Orphans come to us, so that none outlives its file; and no other process may look into this one.
    if libc.prctl(_SUBREAPER, 1, 0, 0, 0) or libc.prctl(_DUMPABLE, 0, 0, 0, 0):
        raise OSError("prctl is refused")
    parts = reporter["machinery"]()
    end = time.monotonic() + job["seconds"]
    original = dict(_read_tree(Path.cwd()))

    def tell(message: Message) -> None:
        line = json.dumps({"nonce": job["nonce"], **message}) + "\n"
        view = line.encode()
        while view:
            view = view[os.write(pipe, view) :]

    for path in job["files"]:
        skip: set[str] = set()
        child = Child(
            path, skip, job["memory"], job["config"], job["roots"], functools.partial(reporter["plugin"], skip, parts)
        )
        while _run_file(child, min(job["each"], end - time.monotonic()), pipe, tell):
            _restore(Path.cwd(), original)
        _restore(Path.cwd(), original)
    tell({"event": "end"})


def _run_file(child: Child, each: float, pipe: int, tell: Callable[[Message], None]) -> bool:
    """Fork one child for one test file. Whether it must be run again, without the test that ended it."""
    path = child.path

    def void(message: str, *, tampered: bool = False) -> None:
        tell({"event": "void", "file": path, "message": message, "tampered": tampered})

    if each <= 0:
        void("not run: the time for all tests was used up before")
        return False
    nonce = os.urandom(16).hex()
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as stacks, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(pipe)
            os.close(reader)
            child.run(nonce, writer, stacks, home)
        os.close(writer)
        cases: list[Message] = []
        started: set[str] = set()
        running, probed, ended, tampered, fault = None, False, False, False, ""
        handle = os.pidfd_open(pid)
        for message in _messages(reader, handle, nonce, each):
            if ended or message["event"] == "forged":
                fault, tampered = "something other than the test runner wrote results", True
            elif message["event"] == "start" and running is None and message["id"] not in started:
                running = message["id"]
                started.add(running)
                tell(message)
            elif message["event"] == "case" and message["id"] == running and message["outcome"] in _OUTCOMES:
                cases.append(message)
                running = None
            elif message["event"] == "tampered":
                fault, tampered = message["message"], True
            elif message["event"] == "collect":
                tell({**message, "file": path})
            elif message["event"] == "probed":
                probed = True
            elif message["event"] == "end":
                ended = True
            elif message["event"] != "silent":
                fault, tampered = "something other than the test runner wrote results", True
            else:
                what = "this test" if running else "loading the file"
                fault = f"{what} did not finish within {each:.0f} s{_where(pid, stacks)}"
                break
        os.close(reader)
        os.close(handle)
        status = _end(pid, hangs=bool(fault))
    if fault and running is None:
        void(fault, tampered=tampered)
        return False
    if running is None and ended and (probed or not cases):
        for case in cases:
            tell(case)
        return False
    if running is None:
        how = "the test session was stopped" if ended else _how(status)
        void(f"{how} outside of any test")
        return False
    if not fault:
        fault = f"{_how(status)} during this test" if not ended else "this test ended the whole test session"
    tell({"event": "case", "id": running, "outcome": "failed", "message": fault})
    child.skip.add(running)
    return True


def _messages(reader: int, child: int, nonce: str, each: float) -> Iterator[Message]:
    """What a child says until it is gone; ``silent`` when it says nothing for `each` seconds."""
    pending = b""
    while True:
        # A process that a test leaves behind may hold the pipe open: the child's own end counts too.
        ready = select.select([reader, child], [], [], each)[0]
        if not ready:
            yield {"event": "silent"}
            return
        chunk = os.read(reader, 1 << 16) if reader in ready else b""
        if not chunk:
            if pending:
                yield {"event": "forged"}
            return
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict) or message.pop("nonce", None) != nonce:
                yield {"event": "forged"}
            else:
                yield message


def _where(child: int, stacks: IO[bytes]) -> str:
    """Where a hanging child is, in the lines of the repository."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGUSR1)
    time.sleep(0.1)
    stacks.seek(0)
    here = f'"{Path.cwd()}/'
    lines = [
        line.strip().replace(here, '"')
        for line in stacks.read().decode("utf-8", "replace").splitlines()
        if here in line
    ]
    return "; it was at:\n" + "\n".join(lines[:8]) if lines else ""


def _end(child: int, *, hangs: bool) -> int:
    """Kill a child, unless it is just leaving, and everything it left behind; its wait status."""
    for _ in range(0 if hangs else 30):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    while left := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
    return status


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"the process was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"the process ended itself with exit status {os.WEXITSTATUS(status)}"


def _read_tree(root: Path) -> Iterator[tuple[str, tuple[bytes, int]]]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(root)), (path.read_bytes(), path.stat().st_mode & 0o777)


def _restore(root: Path, original: dict[str, tuple[bytes, int]]) -> None:
    """Make the working directory what it was: one file's tests cannot prepare the next one's."""
    for folder, names, _ in os.walk(root):
        for inside in (Path(folder, name) for name in names):
            if not inside.is_symlink():
                inside.chmod(0o700)  # or what it holds could not be removed
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink()
    if left := list(root.iterdir()):
        raise OSError(f"{left[0]} cannot be removed")
    for path, (content, mode) in original.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)


# From here on: what happens in the child, beside generated code.


class Child(NamedTuple):
    """The process that meets generated code."""

    path: str
    skip: set[str]
    memory: int
    config: str
    roots: list[str]
    plugin: Callable[[Callable[..., None]], object]

    def run(self, nonce: str, writer: int, stacks: IO[bytes], home: str) -> None:
        """Run pytest on one file and leave, past every handler that generated code may have put up."""
        me, write, leave, dumps = os.getpid(), os.write, os._exit, json.dumps

        def send(event: str, **fields: object) -> None:
            if os.getpid() == me:  # a fork made by a test has nothing to say
                write(writer, (dumps({"nonce": nonce, "event": event, **fields}) + "\n").encode())

        try:
            os.setsid()
            os.environ["HOME"] = home
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=False)
            resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
            sys.path[:0] = [str(Path.cwd() / root) for root in ("", *self.roots)]
            sys.argv[:] = ["pytest"]
            here = str(Path.cwd())
            options = [
                "-c",
                self.config or os.devnull,
                "-o",
                "addopts=",
                "-o",
                "required_plugins=",
                "--rootdir",
                here,
                "-p",
                "no:cacheprovider",
                "-p",
                "no:faulthandler",
            ]
            options += ["-q", "--tb=short", "--no-header", "--color=no", "-rN", "--disable-warnings"]
            pytest.main([*options, self.path], plugins=[self.plugin(send)])
            sys.stdout.flush()
        finally:
            leave(0)
