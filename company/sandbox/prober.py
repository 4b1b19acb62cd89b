"""Runs inside the sandbox: what each of several programs gives for the same inputs, each program in processes of its own.

`behaviour.py` sends its source as text, so it imports nothing of `company`. What it tells is no verdict: a program's own process
says what that program gives. Verdicts: `verdict.py`.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import itertools
import json
import os
import re
import resource
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Job = dict[str, Any]
_LONG = 60
"""Characters of a value that is told as it is; of a longer one a hash is."""
_DEATHS = 3
"""Times that a program may end the process that asks it, or take too long in it; what is left then is not asked."""


class Late(BaseException):
    """A probe took too long; no `except Exception` of the program's stops it."""


def main(job: Job) -> None:
    """Print, for each program, a line of JSON: twice a list, of each probe what it gave, and whether that was what it should be.

    `job`: ``programs`` (folders), ``probes``, ``seconds`` (processor time of a probe), ``memory`` (bytes of a process).
    """
    for folder in job["programs"]:
        one = _told(Path.cwd() / folder, job)
        two = one if any(text == "late" for text, _ in one) else _told(Path.cwd() / folder, job)
        sys.stdout.write(f"{json.dumps([one, two])}\n")


def _told(folder: Path, job: Job) -> list[list[Any]]:
    """One program's answers, from as many processes as it takes."""
    found: list[list[Any]] = []
    for _ in range(_DEATHS):
        if len(found) < len(job["probes"]):
            found += _from_child(folder, job, len(found))
    return [*found, *([["died", False]] * (len(job["probes"]) - len(found)))]


def _from_child(folder: Path, job: Job, first: int) -> list[list[Any]]:
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            os.close(read)
            _child(folder, job, first, write)
        finally:
            os._exit(0)
    os.close(write)
    found: list[list[Any]] = []
    pending, why = b"", "died"
    while len(found) < len(job["probes"]) - first:
        if not select.select([read], [], [], 5 * job["seconds"] + 5)[0]:
            why = "late"
            break
        chunk = os.read(read, 1 << 16)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            try:
                text, held = json.loads(line)
            except (ValueError, TypeError):
                text, held = "died", False
            found.append([str(text), held is True])
    os.close(read)
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    left = len(job["probes"]) - first
    more = left if why == "late" else 1  # one that stops every alarm is not asked again
    return [*found, *([[why, False]] * more)][:left]


def _child(folder: Path, job: Job, first: int, write: int) -> None:
    """Answer the probes from the first that is asked for, a line each."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv[:] = ["program"]
    send, dumps = os.write, json.dumps

    def late(*_: object) -> None:
        raise Late

    signal.signal(signal.SIGPROF, late)
    lates = 0
    for probe in job["probes"][first:]:
        if lates >= _DEATHS:
            told = ("late", False)
        elif probe["commands"]:
            told = _session(folder, probe)
        else:
            signal.setitimer(signal.ITIMER_PROF, job["seconds"])
            try:
                told = _call(probe)
            except Late:
                told = ("late", False)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        lates += told[0] == "late"
        send(write, dumps(told).encode() + b"\n")


def _call(probe: Job) -> tuple[str, bool]:
    """What an expression gives, and whether it is what the probe expects."""
    wanted = probe["expected"]
    try:
        space: dict[str, Any] = {"__name__": "probe"}
        exec(probe["setup"], space)
        value = eval(probe["expression"], space)
    except Late:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever generated code throws is what it gives
        names = [f"raises {each.__name__}" for each in type(error).__mro__]
        return names[0], wanted in names
    told = shortened(canonical(value))
    try:
        return told, bool(wanted and not wanted.startswith("raises ") and value == ast.literal_eval(wanted))
    except Exception:  # noqa: BLE001 - an `__eq__` of generated code
        return told, False


def _session(folder: Path, probe: Job) -> tuple[str, bool]:
    """What the last of some commands prints and its exit status, each begun where the one before it left things."""
    with tempfile.TemporaryDirectory() as home:
        place = Path(home, "project")
        shutil.copytree(folder, place)
        said, status = "", 0
        for command, typed in probe["commands"]:
            try:
                done = subprocess.run(
                    [sys.executable, *shlex.split(command)[1:]], cwd=place, input=typed, capture_output=True, text=True,
                    timeout=8, check=False,
                )  # fmt: skip
            except (subprocess.TimeoutExpired, UnicodeDecodeError):
                return "late", False
            status = done.returncode
            said = done.stdout.rstrip() or (done.stderr.rstrip() if probe["status"] else "")
        held = probe["expected"] is not None and (said, status) == (probe["expected"], probe["status"])
        if status and '  File "' in done.stderr:
            return f"raises {done.stderr.rstrip().rpartition(chr(10))[2].partition(':')[0]}", held
        if probe["expected"] is None and (done.stdout or done.stderr).lower().startswith("usage"):
            return "raises Usage", held
        return shortened(f"{status}: {said}"), held


def shortened(text: str) -> str:
    """A text, or a hash of it where it is long."""
    return text if len(text) <= _LONG else "#" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def canonical(value: Any, depth: int = 0) -> str:
    """A value as text that is the same for equal values, whatever their order or address."""
    if depth > 20:
        return "…"
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.9g}"

    def parts(values: Any) -> Iterator[str]:
        return (canonical(each, depth + 1) for each in values)

    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(parts(value))) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(sorted(":".join(parts(pair)) for pair in value.items())) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({','.join(parts(value))})"
    if isinstance(value, Iterator):
        return f"iterator({','.join(parts(itertools.islice(value, 1000)))})"
    if " object at 0x" in repr(value) and hasattr(value, "__dict__"):
        return f"{type(value).__name__}{canonical(vars(value), depth + 1)}"
    return re.sub(r" at 0x\w+", "", repr(value))
