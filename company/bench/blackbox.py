"""Black-box checks of a program: commands that run in the sandbox, and whose output is compared outside it.

A file of checks is Python that lists them, ``from accept import Check, program, value, raises``, and is trusted as much as
this program. Judges of other kinds: `judging.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from company.errors import UsageError
from company.sandbox import Limits, Sandbox, Spec, broken

SECONDS = 10.0
_DRIVER = """
import json, subprocess, sys
done = []
for run in json.load(sys.stdin):
    argv = [sys.executable, *run["argv"]]
    try:
        p = subprocess.run(argv, input=run["stdin"], capture_output=True, text=True, timeout=8)
        done.append([p.returncode, p.stdout, p.stderr])
    except subprocess.TimeoutExpired:
        done.append([None, "", "timeout"])
print(json.dumps(done))
"""


@dataclass(frozen=True)
class Run:
    """One command: arguments of the Python interpreter, and what must come of it."""

    argv: tuple[str, ...]
    stdout: str | None = None
    """Exactly, but for white space at the end; None: anything."""
    status: int = 0
    stderr: str | None = None
    stdin: str = ""


@dataclass(frozen=True)
class Check:
    """Commands that share one copy of the repository. It passes if all of them do what they must."""

    name: str
    runs: tuple[Run, ...]


def program(script: str, *arguments: str, **expected: Any) -> Run:
    """``python SCRIPT ARGUMENTS``."""
    return Run((script, *arguments), **expected)


def value(imports: str, expression: str, expected: object) -> Run:
    """The value of an expression, compared by its `repr`."""
    return Run(("-c", f"{imports}\nprint(repr({expression}))"), stdout=repr(expected))


def raises(imports: str, expression: str, error: str, message: str | None = None) -> Run:
    """An expression that must raise an error, with its message where one is given."""
    code = (
        f"{imports}\ntry:\n    {expression}\nexcept {error} as error:\n    print('raised', str(error))\n"
        "else:\n    print('nothing raised')"
    )
    if message is None:
        code = code.replace("str(error)", "''")
    return Run(("-c", code), stdout=f"raised {message or ''}")


def checks_of(text: str, place: str = "acceptance.py") -> list[Check]:
    """The checks that a file lists under `CHECKS`."""
    space: dict[str, Any] = {"__name__": "acceptance"}
    with _named("accept"):
        exec(compile(text, place, "exec"), space)
    if not space.get("CHECKS"):
        raise UsageError("there is no list CHECKS", place=place)
    found: list[Check] = space["CHECKS"]
    return found


@contextmanager
def _named(name: str) -> Iterator[None]:
    """This module under the name by which files of checks import it."""
    before = sys.modules.get(name)
    sys.modules[name] = sys.modules[__name__]
    try:
        yield
    finally:
        if before:
            sys.modules[name] = before
        else:
            del sys.modules[name]


async def passes(sandbox: Sandbox, files: Mapping[str, bytes], check: Check, each: float = SECONDS) -> tuple[bool, str]:
    """Whether a check passes on a fresh copy of the files, and why not.

    Raises:
        SandboxUnavailable: the sandbox itself failed.
    """
    orders = [{"argv": list(run.argv), "stdin": run.stdin} for run in check.runs]
    limits = Limits(seconds=each * len(orders), cpu_seconds=int(each * len(orders)) + 1)
    result = await sandbox.run(Spec(("python", "-I", "-c", _DRIVER), files, json.dumps(orders).encode(), limits))
    if result.status == "setup_failed":
        raise broken(result)
    try:
        done = json.loads(result.stdout)
    except ValueError:
        return False, f"{result.status} {result.stderr[-200:]}"
    for run, (status, stdout, stderr) in zip(check.runs, done, strict=True):
        shown = " ".join(run.argv)[-80:]
        if run.stdout is not None and stdout.rstrip() != run.stdout.rstrip():
            return False, f"{shown}: printed {stdout.rstrip()[-120:]!r}, not {run.stdout.rstrip()!r} {stderr[-160:]!r}"
        if run.stderr is not None and stderr.rstrip() != run.stderr.rstrip():
            return False, f"{shown}: error output {stderr.rstrip()[-120:]!r}, not {run.stderr.rstrip()!r}"
        if status != run.status:
            return False, f"{shown}: exit status {status}, not {run.status}"
    return True, ""
