"""Whether a task can be asked and judged at all, seen before a run is paid for: what fails here would fail every program alike.

What the folders hold: `folders.py`. How a judge decides: `judging.py`. What is not certain passes, and a judge that no program can
pass is not found.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from company.asked import LONGEST
from company.bench.tasks import Task
from company.errors import UsageError
from company.sandbox.checks import KNOWN, parse
from company.sandbox.verdict import expected_tests

_IN_FULL = "for instance `python check.py`, where check.py lies in judge/; `pytest` alone runs the tests in judge/"
_PYTHON = ("python", "python3", "python{}.{}".format(*sys.version_info[:2]))
"""As the sandbox calls its own."""


def check_requirement(text: str, place: str) -> None:
    """Refuse a requirement that no run would begin with.

    Raises:
        UsageError: it is empty or too long.
    """
    if not text.strip():
        raise UsageError("the requirement is empty", place=place, hint="say what is asked")
    if len(text.strip()) > LONGEST:
        raise UsageError(
            f"the requirement has {len(text.strip()):,} characters, and at most {LONGEST:,} are taken",
            place=place,
            hint="ask for less, or put what it speaks of into given/",
        )


def check_python(path: str, text: str) -> None:
    """Refuse a judge's file of Python that does not parse.

    Raises:
        UsageError: it is not Python.
    """
    problem = parse(path, text.encode())
    if isinstance(problem, str):
        line, _, fact = problem.removeprefix(f"{path}:").partition(": ")
        raise UsageError(fact, place=f"{path}:{line}", hint="what judges must be Python; data has another ending")


def check_tests(folder: Path, files: Mapping[str, str]) -> None:
    """Refuse a judge's tests where there are none.

    Raises:
        UsageError: a file is not Python, or none holds a test.
    """
    for path, text in files.items():
        if path.endswith(".py"):
            check_python(f"{folder}/{path}", text)
    if not any(path.endswith(".py") and expected_tests(path, text.encode()) for path, text in files.items()):
        raise UsageError(
            "there is no test among the judge's files",
            place=str(folder),
            hint="a test is a function `test_…` of a file named `.py`; for another judge name its `command` in judge.toml",
        )


def check_command(place: Path, task: Task, *, unsafe_no_sandbox: bool) -> None:
    """Refuse a judge's command that cannot start, whatever is delivered.

    Args:
        place: the `judge.toml` that says it.

    Raises:
        UsageError: it is empty, no command line, or runs what is nowhere, or a file of `judge/` that is no Python.
    """
    command = task.judge.command
    try:
        program, *words = shlex.split(command) or [""]
    except ValueError as error:
        raise UsageError(f"the command `{command}` is none: {error}", place=str(place), hint=_IN_FULL) from error
    if not program:
        raise UsageError("the command is empty", place=str(place), hint=_IN_FULL)
    if program in _PYTHON:
        missing = _python_misses(words, task, place.with_name("judge"))
    else:
        missing = _misses(program, task, None if unsafe_no_sandbox else "/usr/bin:/bin")
    if missing:
        raise UsageError(f"the command `{command}` cannot run: {missing}", place=str(place), hint=_IN_FULL)


def _misses(program: str, task: Task, path: str | None) -> str:
    """Why a program other than Python could not start; empty if it could.

    Args:
        path: where programs are; None is `$PATH`.
    """
    if "/" not in program:
        where = " in the sandbox" if path else ""
        return "" if shutil.which(program, path=path) else f"there is no program {program}{where}"
    file = posixpath.normpath(program)
    if file in task.judge.files:
        return "" if task.judge.files[file].startswith("#!") else f"{program} does not begin with `#!`"
    return _nowhere(program, [file], task)


def _python_misses(words: Sequence[str], task: Task, folder: Path) -> str:
    """What Python with these arguments would not find; empty if all is there, or nobody can say."""
    at = 0
    while at < len(words) and re.fullmatch("-[A-Za-z]|-[WX].+", words[at]) and words[at] not in ("-c", "-m"):
        at += 2 if words[at] in ("-W", "-X") else 1
    what, *more = words[at:] or [""]
    if what in ("", "-") or (what in ("-c", "-m") and not more):
        return "it names no file"
    if what == "-m" and more[0].partition(".")[0] not in KNOWN:
        said, path = f"a module {more[0]}", more[0].replace(".", "/")
        files = [f"{path}.py", f"{path}/__main__.py"]
    elif what.startswith("-"):
        return ""
    else:
        said, path = what, posixpath.normpath(what)
        files = [path, posixpath.normpath(f"{path}/__main__.py")]
    found = next((file for file in files if file in task.judge.files), "")
    if found:
        check_python(f"{folder}/{found}", task.judge.files[found])
    return "" if found else _nowhere(said, files, task)


def _nowhere(said: str, files: Sequence[str], task: Task) -> str:
    """That no such file can be there; empty where it may: as one that is given or delivered, or by a path of the sandbox.

    With `exit` whatever is delivered may be run; a token is said by nothing that the requirement does not even name.
    """
    there = files[0].startswith("/") or any(file in task.given for file in files)
    asked = {*re.findall(r"\w+", files[0])} & {*re.findall(r"\w+", task.requirement)} - {"py"}
    if there or asked or task.judge.verdict == "exit":
        return ""
    return f"{said} is in neither judge/ nor given/, and the requirement does not name it"
