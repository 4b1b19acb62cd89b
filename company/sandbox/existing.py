"""Tests of a repository that was there before: its own settings are in force, and what failed before blames nobody.

Running them: `verdict.py`, as it runs all tests. What counts as a test by its path: `llm/names.py`.
"""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Collection, Mapping

from company.artifacts import TestCase, TestRun
from company.sandbox.checks import static_problems

SETTINGS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
"""Files that may hold pytest's settings, in the order in which it looks at them."""
ROOTS = ["src"]
"""Folders that packages are imported from beside the top one, where they exist."""
_SECTIONS = {"tox.ini": "pytest", "setup.cfg": "tool:pytest"}
_BROKE = re.compile(r"^(?:E +)?(?!AssertionError)\w*(?:Error|Exception)\b|Traceback \(most recent", re.MULTILINE)
_MISSING = re.compile(r"No module named '([\w.]+)'")


def config_of(base: Mapping[str, bytes]) -> str:
    """The file with pytest's settings; empty where there is none."""
    return next((name for name in SETTINGS if name in base and _holds_settings(name, base[name])), "")


def _holds_settings(name: str, content: bytes) -> bool:
    try:
        text = content.decode()
        if name.endswith("pytest.ini"):
            return True
        if name.endswith(".toml"):
            return "ini_options" in tomllib.loads(text).get("tool", {}).get("pytest", {})
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
        return parser.has_section(_SECTIONS[name])
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, configparser.Error):
        return False


def has_source_folder(base: Mapping[str, bytes]) -> bool:
    """Whether packages lie in `src/`, and not in a package of that name."""
    return "src/__init__.py" not in base and any(path.startswith("src/") and path.endswith(".py") for path in base)


def new_problems(files: Mapping[str, bytes], base: Mapping[str, bytes]) -> list[str]:
    """What a machine sees in files that are not as they were, and did not see in them before."""
    changed = {path for path, content in files.items() if base.get(path) != content}
    known = {_plain(problem) for problem in static_problems(_rooted(base), changed & base.keys())}
    return [problem for problem in static_problems(_rooted(files), changed) if _plain(problem) not in known]


def _rooted(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The files, those in `src/` also where imports look for them."""
    if not has_source_folder(files):
        return files
    return {**{path.removeprefix("src/"): content for path, content in files.items()}, **files}


def _plain(problem: str) -> str:
    return re.sub(r"^([^:]+):\d+:", r"\1:", problem)


def not_runnable(before: TestRun) -> list[str]:
    """One line for each cause for which tests could not be run before the change."""
    causes: dict[str, list[str]] = {}
    for case in before.cases:
        if case.outcome == "error" and not case.message.startswith("the same as "):
            lines = [line.removeprefix("E").strip() for line in case.message.splitlines() if line.strip()]
            missing = _MISSING.search(case.message)
            cause = f"No module named {missing[1]}" if missing else (lines[-1] if lines else "no reason given")[:200]
            files = causes.setdefault(cause, [])
            if (path := case.id.partition("::")[0]) not in files:
                files.append(path)
    return [
        f"{files[0]}{f' and {len(files) - 1} more' if files[1:] else ''} could not be run before the change: {cause}"
        for cause, files in causes.items()
    ]


def nuance(cases: Collection[TestCase]) -> float:
    """What parts the scores of runs in which as many required tests pass, see `TestRun.score`."""
    others = [case.outcome == "passed" for case in cases if not case.required]
    broken = [case.outcome != "passed" and bool(_BROKE.search(case.message)) for case in cases]
    return 0.005 * sum(others) / max(1, len(others)) - 0.005 * sum(broken) / max(1, len(broken))


def compared(before: TestRun, run: TestRun, new: Collection[str], unchanged: TestRun | None = None) -> TestRun:
    """A run judged by the one before the change: what passed there must pass, and so must the tests of new files.

    Args:
        new: paths of the test files that were not there before. Of others it keeps the cases that fail.
        unchanged: these new tests, run on what there was: those that pass there too say nothing of the change.
    """
    passed_before = {case.id for case in before.cases if case.outcome == "passed"}
    found = {case.id: case for case in run.cases}
    cases = [
        case.model_copy(update={"required": case.required if _file(case.id) in new else case.id in passed_before})
        for case in run.cases
    ]
    for ident in sorted(passed_before - found.keys()):
        told = found.get(ident.partition("[")[0])
        message = told.message if told else "it passed before the change, and is not there after it"
        cases.append(TestCase(id=ident, outcome="missing", required=True, message=message))
    required = [case for case in cases if case.required]
    fresh = [case for case in required if _file(case.id) in new]
    old = [case for case in required if _file(case.id) not in new]
    ran = run.status == "ran"
    passes = sum(case.outcome == "passed" for case in required)
    summary = f"{_passing(old)} of {len(old)} tests that passed before still pass, {_passing(fresh)} of {len(fresh)} new ones pass"
    held = {case.id for case in unchanged.cases if case.outcome == "passed"} if unchanged else set()
    failed = sum(case.id not in held for case in fresh)
    if not failed:
        summary += ", and passed before the change too" if fresh else ": nothing shows the change"
    if not ran:
        summary += f"; {run.summary.rpartition('; ')[2]}"
    return run.model_copy(
        update={
            "passed": ran and bool(required) and passes == len(required),
            "cases": [*_of(cases, new), *_of(cases, new, others=True)],
            "summary": summary,
            "failed_before": failed,
            "problems": [*run.problems, *not_runnable(before)],
            "score": passes / len(required) + nuance(cases) if required else 0.0,
        }
    )


def _of(cases: Collection[TestCase], new: Collection[str], *, others: bool = False) -> list[TestCase]:
    """The new tests' cases, or those of the others that must pass and do not: the rest would be told in each round."""
    if not others:
        return [case for case in cases if _file(case.id) in new]
    return [case for case in cases if _file(case.id) not in new and case.required and case.outcome != "passed"]


def _passing(cases: Collection[TestCase]) -> int:
    return sum(case.outcome == "passed" for case in cases)


def _file(ident: str) -> str:
    return ident.partition("::")[0]
