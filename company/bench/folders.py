"""Folders of tasks: the project's own eight programs, a clone of an exercism track, and a format for anybody's.

Sets that are one file: `formats.py`. What the folders must hold: `docs/bench.md`. Whether a judge can judge at all is seen here,
before a run is paid for: `fit.py`.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from company.bench.blackbox import checks_of
from company.bench.fit import check_command, check_python, check_tests
from company.bench.tasks import Judge, Task
from company.errors import UsageError
from company.paths import disk_errors

Notice = Callable[[str], None]
_REQUIREMENTS = ("requirement.md", "requirement.txt")
_OF_A_TASK = ("judge", "judge.toml", "given")


def projects(dataset: str, folder: Path, notice: Notice) -> Iterator[Task]:
    """`PROJECT/requirement.txt` and the checks in `PROJECT/acceptance.py`, which run outside the sandbox: only from who is trusted."""
    left_out = []
    for each in _folders(folder):
        checks = each / "acceptance.py"
        if not checks.is_file():
            left_out.append(f"{each.name} (no acceptance.py)")
            continue
        text = _text(checks)
        check_python(str(checks), text)
        checks_of(text, str(checks))
        yield Task(
            dataset=dataset,
            name=each.name,
            requirement=_text(each / "requirement.txt").strip(),
            judge=Judge("checks", {"acceptance.py": text}, seconds=10.0),
        )
    _say_left_out(left_out, notice)


def _folders(folder: Path) -> list[Path]:
    """Those in a folder, but for hidden ones and caches."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _say_left_out(left_out: list[str], notice: Notice) -> None:
    if left_out:
        notice(f"Left out, as no task: {', '.join(left_out)}")


# --- exercism ---------------------------------------------------------------------------------------


def exercism(dataset: str, folder: Path, notice: Notice) -> Iterator[Task]:
    """Practice exercises of a Python track: instructions and stub are shown, the tests judge, the example stays unread."""
    left_out = []
    root = next(
        (path for path in (folder / "exercises/practice", folder / "practice", folder) if path.is_dir()), folder
    )
    for each in _folders(root):
        files = _exercise_files(each)
        solution, tests = files.get("solution", []), files.get("test", [])
        if not (each / ".docs/instructions.md").is_file():
            left_out.append(f"{each.name} (no .docs/instructions.md)")
            continue
        if len(solution) != 1 or not tests:
            left_out.append(f"{each.name} ({'no tests' if len(solution) == 1 else 'not one file of a solution'})")
            continue
        _refuse_unfit_solution(each, solution[0], files)
        docs = [each / ".docs" / f"{name}.md" for name in ("introduction", "instructions", "instructions.append")]
        told = "\n\n".join(_text(path).strip() for path in docs if path.is_file())
        stub = _text(each / solution[0]).strip() if (each / solution[0]).is_file() else ""
        shown = f" It begins as:\n\n```python\n{stub}\n```" if stub else ""
        judge = {path: _text(each / path) for path in (*tests, *files.get("editor", []))}
        check_tests(each, judge)
        yield Task(
            dataset=dataset,
            name=each.name,
            requirement=f"A module {solution[0]} for this exercise.{shown}\n\n{told}\n",
            needs=solution[0],
            judge=Judge("tests", judge),
        )
    _say_left_out(left_out, notice)


def _exercise_files(exercise: Path) -> dict[str, list[str]]:
    try:
        data: dict[str, Any] = json.loads(_text(exercise / ".meta/config.json"))
        return {kind: [str(path) for path in paths] for kind, paths in data["files"].items()}
    except (UsageError, ValueError, KeyError, AttributeError, TypeError):
        tests = sorted(path.name for path in exercise.glob("*_test.py"))
        return {"solution": [f"{exercise.name.replace('-', '_')}.py"], "test": tests}


def _refuse_unfit_solution(exercise: Path, path: str, files: dict[str, list[str]]) -> None:
    """The stub is shown to whoever solves it: it must not be a file from elsewhere, nor one that judges or answers."""
    parts = path.split("/")
    plain = "\\" not in path and not any(part in ("", ".", "..") for part in parts)
    hidden = any(part.startswith(".") for part in parts)
    linked = any((exercise / "/".join(parts[:count])).is_symlink() for count in range(1, len(parts) + 1))
    inside = plain and (exercise / path).resolve().is_relative_to(exercise.resolve())
    kept = {os.path.normcase(os.path.normpath(other)) for kind in ("test", "example") for other in files.get(kind, [])}
    if not plain or hidden or linked or not inside or os.path.normcase(path) in kept:
        raise UsageError(
            f"the solution `{path}` is no file of the exercise's own that may be shown",
            place=str(exercise / ".meta/config.json"),
            hint="`solution` is a plain relative path inside the exercise, no link, and in neither `test` nor `example`",
        )


# --- anybody's --------------------------------------------------------------------------------------


class JudgeFile(BaseModel):
    """What `judge.toml` may say."""

    model_config = ConfigDict(extra="forbid")
    command: str = "pytest"
    """What is run in a copy of the delivered files with those of `judge/` over them; `pytest` runs the tests among them."""
    verdict: Literal["token", "exit"] = "token"
    """Of another command than pytest: `token` or `exit`, see `tasks.Judge`."""
    seconds: float = Field(60.0, gt=0, le=3600)
    """Wall time of the judgement."""


def tasks_of(dataset: str, folder: Path, notice: Notice, *, unsafe_no_sandbox: bool) -> Iterator[Task]:
    """`TASK/requirement.md` (or `.txt`), `TASK/judge/`, and where they are there `TASK/given/` and `TASK/judge.toml`."""
    left_out = []
    for each in _folders(folder):
        said = next((each / name for name in _REQUIREMENTS if (each / name).is_file()), None)
        if not said and not any((each / name).exists() for name in _OF_A_TASK):
            left_out.append(f"{each.name} (no requirement.md)")
            continue
        if not said:
            raise UsageError(
                "this task has no requirement",
                place=str(each),
                hint="what is asked is in requirement.md, letter for letter",
            )
        judge = files_in(each / "judge")
        if not judge:
            raise UsageError(
                "this task has no judge",
                place=str(each),
                hint="put its hidden tests into judge/, for instance judge/test_it.py",
            )
        given = files_in(each / "given")
        task = Task(dataset, each.name, _text(said).strip(), _judge_of(each, judge), given, own=True)
        if task.judge.kind == "command":
            check_command(each / "judge.toml", task, unsafe_no_sandbox=unsafe_no_sandbox)
        yield task
    _say_left_out(left_out, notice)


def _judge_of(task: Path, files: dict[str, str]) -> Judge:
    path = task / "judge.toml"
    try:
        made = JudgeFile(**tomllib.loads(_text(path))) if path.is_file() else JudgeFile()
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        fact = str(error)
        if isinstance(error, ValidationError):
            fact = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UsageError(fact, place=str(path), hint="it may say command, verdict and seconds") from error
    if made.command == "pytest":
        if "verdict" in made.model_fields_set:
            raise UsageError(
                "a verdict is of another command than pytest",
                place=str(path),
                hint="leave `verdict` out, or name a command",
            )
        check_tests(task / "judge", files)
        return Judge("tests", files, seconds=made.seconds)
    return Judge("command", files, made.command, made.verdict, made.seconds)


def files_in(folder: Path) -> dict[str, str]:
    """The files below a folder, hidden ones and caches left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not path.is_symlink() and not any(p.startswith(".") or p == "__pycache__" for p in parts):
            found["/".join(parts)] = _text(path)
    return found


def _text(path: Path) -> str:
    with disk_errors("read a task", path):
        try:
            return path.read_text("utf-8")
        except FileNotFoundError as error:
            raise UsageError("this file is missing", place=str(path)) from error
        except UnicodeDecodeError as error:
            raise UsageError("this file is no UTF-8 text", place=str(path)) from error
