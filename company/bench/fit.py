"""Whether a task can be asked and judged at all, seen before a run is paid for: what fails here would fail every program alike.

What the folders hold: `folders.py`. How a judge decides: `judging.py`. A judge that no program can pass is not found.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from company.asked import LONGEST
from company.errors import UsageError
from company.sandbox.checks import KNOWN, parse
from company.sandbox.interpreter import SYSTEM
from company.sandbox.verdict import expected_tests

_IN_FULL = "for instance `python check.py`, where check.py lies in judge/; `pytest` alone runs the tests in judge/"


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
        raise UsageError(fact, place=f"{path}:{line}", hint="every file of a judge named `.py` must be Python")


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


def check_command(place: Path, command: str, files: Mapping[str, str]) -> None:
    """Refuse a judge's command that could not start.

    Args:
        place: the `judge.toml` that says it.
        files: those of `judge/`.

    Raises:
        UsageError: it is empty, not a command line, or it runs what is neither in the sandbox nor in `judge/`; or a file is no Python.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the command `{command}` is none: {error}", place=str(place), hint=_IN_FULL) from error
    if not words:
        raise UsageError("the command is empty", place=str(place), hint=_IN_FULL)
    if missing := _python_misses(words[1:], files) if words[0] == "python" else _misses(words[0], files):
        raise UsageError(f"the command `{command}` cannot run: {missing}", place=str(place), hint=_IN_FULL)
    for path, text in files.items():
        if path.endswith(".py"):
            check_python(str(place.with_name("judge") / path), text)


def _misses(program: str, files: Mapping[str, str]) -> str:
    """Why a program other than `python` could not start; empty if it could."""
    if "/" in program and not program.startswith("/"):
        if not files.get(program.removeprefix("./"), "").startswith("#!"):
            return f"{program} is no file of judge/ that begins with `#!`"
        return ""
    found = shutil.which(program, path="/usr/bin:/bin")
    if not found or not any(Path(found).is_relative_to(folder) for folder in SYSTEM):
        return f"the sandbox has no program {program}"
    return ""


def _python_misses(words: list[str], files: Mapping[str, str]) -> str:
    """What `python` with these arguments would not find; empty if all is there."""
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-c", "-m"):
        at += 2 if words[at] in ("-W", "-X") else 1
    what, *more = words[at:] or [""]
    if what == "-c" and more:
        return ""
    if what == "-m" and more:
        path = more[0].replace(".", "/")
        here = any(file == f"{path}.py" or file.startswith(f"{path}/") for file in files)
        return "" if here or more[0].split(".")[0] in KNOWN else f"there is no module {more[0]} in judge/"
    if what.startswith("-") or not what:
        return "it names no file"
    return "" if what.removeprefix("./") in files else f"{what} is not in judge/"
