"""The verdict on a delivered repository: hidden files over a copy of it in the sandbox, decided by this process.

What the judge is made of: `tasks.py`. Tests run under the product's own hardened runner (`sandbox/verdict.py`): a parent
that imports nothing delivered counts what a child reports, and probes afterwards whether that child still tells wrong from
right. Not covered: code that searches its own process's memory for the tests while they call it.
"""

from __future__ import annotations

import math
import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from company.artifacts import TestRun
from company.bench import failures
from company.bench.blackbox import checks_of, passes
from company.bench.failures import Failure
from company.bench.tasks import Judge, Task
from company.errors import SandboxUnavailable
from company.sandbox import Limits, Sandbox, Spec, broken, run_tests
from company.sandbox.checks import shadows
from company.sandbox.existing import SETTINGS

_DETAIL = 2000
_TRIES = 3
"""Of a judgement that was stopped before it began: that is the machine's doing."""
_NOT_JUDGED = ("tests", "docs")
"""Folders of a delivered repository that are no part of its program."""


@dataclass(frozen=True)
class Judged:
    """What came of a judgement."""

    passed: bool
    score: float
    """Share of the tests or checks that pass, 0 to 1."""
    status: str
    """`passed`, `failed`, or `not run` where there was nothing to judge."""
    detail: str = ""
    failure: Failure = ""


def visible(files: Mapping[str, bytes], *, all_folders: bool = False) -> dict[str, bytes]:
    """The delivered files that are judged: nothing hidden, no caches, and unless it was given any, no tests and documents."""
    found = {}
    for path, content in files.items():
        parts = path.split("/")
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if not hidden and (all_folders or len(parts) == 1 or parts[0] not in _NOT_JUDGED):
            found[path] = content
    return found


async def judge(sandbox: Sandbox, task: Task, delivered: Mapping[str, bytes]) -> Judged:
    """Judge what a run delivered.

    Raises:
        SandboxUnavailable: the sandbox itself failed; never taken for a failing program.
    """
    files = visible(delivered, all_folders=bool(task.given))
    match task.judge.kind:
        case "tests":
            return await _tests(sandbox, task, files)
        case "command":
            return await _command(sandbox, task, files)
        case "checks":
            return await _checks(sandbox, task, files)


def _judged(score: float, detail: str, failure: Failure, *, passed: bool) -> Judged:
    return Judged(
        passed, round(score, 4), "passed" if passed else "failed", detail.strip()[:_DETAIL], "" if passed else failure
    )


async def _tests(sandbox: Sandbox, task: Task, files: dict[str, bytes]) -> Judged:
    """The hidden tests, under the fixtures and settings of the repository that was given, as those were before the run."""
    hidden = _bytes(task.judge.files)
    limits = Limits(seconds=task.judge.seconds, cpu_seconds=int(task.judge.seconds) + 1)
    base = _bytes(task.given)
    steering = {path: data for path, data in base.items() if path.endswith("conftest.py") or path in SETTINGS}
    tree = {path: data for path, data in (files | steering).items() if path not in hidden}
    for number in range(1, _TRIES + 1):
        run = await run_tests(sandbox, tree, hidden, limits=limits, base=base or None, each=limits.seconds / 2)
        began = run.status == "ran" or not _never_began(run)
        if began and (number > 1 or not _timed_out(run)):  # what took too long on a busy machine gets one more try
            break
    else:
        if run.status == "timeout":  # what hangs while it is imported is told as that, and not so
            raise SandboxUnavailable(
                f"the judge of {task.name} did not come to its first test in {task.judge.seconds:.0f} s",
                hint="this machine is too busy to measure on; the same command goes on later",
            )
    required = [case for case in run.cases if case.required]
    failure = failures.of_tests(run, files, task.needs)
    passed = run.passed and failure != "forged"
    score = (
        sum(case.outcome == "passed" for case in required) / len(required) if required and failure != "forged" else 0.0
    )
    return _judged(score, _said(run), failure, passed=passed)


def _timed_out(run: TestRun) -> bool:
    return any(failures.of_text(case.message) == "timeout" for case in run.cases if case.required)


def _never_began(run: TestRun) -> bool:
    """Whether no file of tests was even loaded before the run was stopped."""
    return all(case.outcome == "missing" and case.message.startswith(("not run:", "the same as")) for case in run.cases)


def _said(run: TestRun) -> str:
    wrong = [f"{case.id}: {case.message}" for case in run.cases if case.required and case.outcome != "passed"]
    return "\n".join([run.summary, *wrong])


async def _command(sandbox: Sandbox, task: Task, files: Mapping[str, bytes]) -> Judged:
    """A program of the judge's says how much is right, on a line that begins with a token which only it was given."""
    judge_, token = task.judge, secrets.token_hex(16)
    limits = Limits(seconds=judge_.seconds, cpu_seconds=int(judge_.seconds) + 1)
    laid_out = {
        path: content
        for path, content in files.items()
        if not _clashes(path, judge_) and (task.given.get(path, "").encode() == content or not _hides(path, judge_))
    }
    spec = Spec(tuple(shlex.split(judge_.command)), {**laid_out, **_bytes(judge_.files)}, f"{token}\n".encode(), limits)
    result = await sandbox.run(spec)
    if result.status == "setup_failed":
        raise broken(result)
    if judge_.verdict == "exit":
        score = float(result.status == "exit" and result.exit_status == 0)
    else:
        score = _share(result.stdout, token) if result.status == "exit" else 0.0
    output = (result.stdout + result.stderr).replace(token, "TOKEN")
    failure = failures.of_files(files, task.needs) or failures.of_text(output)
    failure = failure or (failures.of_status(result.status) if result.status != "exit" else "wrong value")
    return _judged(score, output[-_DETAIL:], failure, passed=score == 1.0)


def _share(output: str, token: str) -> float:
    """The share that the judge gave; nothing unless there is exactly one line with the token, and it holds a number."""
    lines = [line for line in output.splitlines() if line.startswith(token)]
    match = re.fullmatch(rf"{token} ([0-9.]+)", lines[0].strip()) if len(lines) == 1 else None
    try:
        share = float(match[1]) if match else 0.0
    except ValueError:
        return 0.0
    return share if math.isfinite(share) and 0 <= share <= 1 else 0.0


async def _checks(sandbox: Sandbox, task: Task, files: Mapping[str, bytes]) -> Judged:
    (text,) = task.judge.files.values()
    found = {check.name: await passes(sandbox, files, check, task.judge.seconds) for check in checks_of(text)}
    wrong = {name: why for name, (ok, why) in found.items() if not ok}
    score = (len(found) - len(wrong)) / len(found)
    detail = "\n".join(
        [f"{len(found) - len(wrong)} of {len(found)} checks pass", *(f"{n}: {w}" for n, w in wrong.items())]
    )
    first = next(iter(wrong.values()), "")
    failure = failures.of_files(files, task.needs) or failures.of_text(first) or "wrong value"
    return _judged(score, detail, failure, passed=not wrong)


def _bytes(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in files.items()}


def _clashes(path: str, judge_: Judge) -> bool:
    """Whether a delivered file is where one of the judge's is, or would be imported instead of it."""
    return any(
        path == own or path.startswith((f"{own}/", f"{own.removesuffix('.py')}/")) or own.startswith(f"{path}/")
        for own in judge_.files
    )


def _hides(path: str, judge_: Judge) -> bool:
    """Whether a delivered file would be run instead of what the judge imports of Python's own."""
    roots = tuple(dict.fromkeys(["", *(own.rpartition("/")[0] for own in judge_.files)]))
    return shadows(path, roots) is not None or path.endswith((".pyc", ".pth", ".so"))
