"""The executed verdict: QA's tests over the repository's files, run where a failure cannot be talked away.

What happens inside the sandbox: `harness.py`. What is seen without running: `checks.py`.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from company.artifacts import CommandResult, TestCase, TestRun
from company.errors import SandboxUnavailable
from company.sandbox.base import Limits, Result, Sandbox, Spec
from company.sandbox.checks import hiding, parse, shadows, static_problems
from company.sandbox.existing import ROOTS, config_of, has_source_folder, new_problems, nuance

TEST_SECONDS = 10.0
"""How long one test, or the import of one test file, may be silent, unless the caller says otherwise."""
_STEERING = {"conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini"}
_OUTPUT = 4000
_TOOK = re.compile(r"^((?:\d+ \w+, )*\d+ \w+|no tests ran) in [\d.]+s(?: \([\d:]+\))?$", re.MULTILINE)
"""The line in which pytest says how long it took; without that, the same tests of the same code read the same."""
_BOOT = """
import json, sys
job = json.load(sys.stdin)
spaces = {}
for name, source in job.pop("sources").items():
    spaces[name] = {"__name__": name}
    exec(compile(source, name, "exec"), spaces[name])
spaces["harness"]["main"](job, spaces["reporter"])
"""
_SOURCES = {name: Path(__file__).with_name(f"{name}.py").read_text("utf-8") for name in ("reporter", "harness")}
"""As they were when this program began: a checkout that changes meanwhile changes no judgement of it."""


async def run_tests(
    sandbox: Sandbox,
    tree: Mapping[str, bytes],
    tests: Mapping[str, bytes],
    *,
    optional: Collection[str] = (),
    limits: Limits | None = None,
    base: Mapping[str, bytes] | None = None,
    each: float = TEST_SECONDS,
) -> TestRun:
    """Run the tests in `tests` against the repository's files and judge.

    Args:
        tree: every file of the repository; what would steer pytest is left out, `tests` replaces its paths.
        tests: QA's files; those of them that hold tests are run, one process each.
        optional: test ids (``tests/test_x.py::test_a`` for all its parameters) whose failure decides nothing.
        limits: of the whole run.
        base: the files of a repository that was there before: its own settings of pytest are in force then.
        each: seconds that one test, or the import of one test file, may be silent; half of the whole run at most.

    Raises:
        SandboxUnavailable: the sandbox itself failed; never taken for a failing program.
        UnsafePath: a path is not a plain relative one.
    """
    limits = limits or Limits()
    files, problems = _laid_out(tree, tests, base or {})
    found = static_problems({**tree, **tests}) if base is None else new_problems({**tree, **tests}, base)
    problems += [problem for problem in found if problem not in problems]
    expected = {path: expected_tests(path, content) for path, content in tests.items() if path.endswith(".py")}
    nonce = secrets.token_hex(16)
    job = {
        "nonce": nonce,
        "sources": _SOURCES,
        "files": [path for path, found in expected.items() if found and not isinstance(found, str)],
        "seconds": limits.seconds - min(2.0, limits.seconds * 0.3),  # so that it still says what hung
        "each": min(each, limits.seconds / 2),
        "memory": limits.memory_mb << 20,
        "config": config_of(base or {}),
        "roots": ROOTS if base and has_source_folder(base) else [],
    }
    spec = Spec(("python", "-I", "-c", _BOOT), files, json.dumps(job).encode(), limits, report=True)
    result = await sandbox.run(spec)
    if result.status == "setup_failed":
        raise broken(result)
    heard = _listen(result, nonce)
    cases = list(_cases(expected, heard, result, optional))
    problems += heard.tampering
    return _judge(cases, problems, heard, result)


async def run_command(
    sandbox: Sandbox, tree: Mapping[str, bytes], command: str, limits: Limits | None = None
) -> CommandResult:
    """Run a command line in a copy of the repository. No shell reads it; ``python`` is the sandbox's Python.

    Raises:
        SandboxUnavailable: the sandbox itself failed.
        UnsafePath: a path is not a plain relative one.
    """
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        return CommandResult(passed=False, status="exit", exit_status=2, stdout="", stderr=f"{command}: {error}\n")
    if not argv:
        return CommandResult(passed=False, status="exit", exit_status=2, stdout="", stderr="the command is empty\n")
    result = await sandbox.run(Spec(argv, tree, limits=limits or Limits()))
    if result.status == "setup_failed":
        raise broken(result)
    return CommandResult(
        passed=result.status == "exit" and result.exit_status == 0,
        status=result.status,
        exit_status=result.exit_status,
        stdout=result.stdout,
        stderr=result.stderr,
    )


def expected_tests(path: str, content: bytes) -> list[str] | str:
    """The ids that pytest must report for a file, by the host's own reading; the problem if it has none."""
    tree = parse(path, content)
    if isinstance(tree, str):
        return tree
    found: list[str] = []
    queue: list[tuple[str, ast.stmt]] = [(path, node) for node in tree.body]
    for prefix, node in queue:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            found.append(f"{prefix}::{node.name}")
        elif isinstance(node, ast.ClassDef) and _is_test_class(node):
            queue += [(f"{prefix}::{node.name}", inner) for inner in node.body]
    return list(dict.fromkeys(found))


def _is_test_class(node: ast.ClassDef) -> bool:
    if any(ast.unparse(base).endswith("TestCase") for base in node.bases):
        return True
    made = any(isinstance(inner, ast.FunctionDef) and inner.name in ("__init__", "__new__") for inner in node.body)
    return node.name.startswith("Test") and not made and "__test__ = False" not in map(ast.unparse, node.body)


def _laid_out(
    tree: Mapping[str, bytes], tests: Mapping[str, bytes], base: Mapping[str, bytes]
) -> tuple[dict[str, bytes], list[str]]:
    """What the sandbox gets to see, and what it does not although the repository has it."""
    roots = tuple(dict.fromkeys(["", *(path.rpartition("/")[0] for path in tests)]))
    files: dict[str, bytes] = {}
    problems: list[str] = []
    for path, content in tree.items():
        clashes = any(path.startswith(f"{test}/") or test.startswith(f"{path}/") for test in tests)
        pure = PurePosixPath(path)
        if base.get(path) == content and not clashes:
            files[path] = content
        elif pure.name in _STEERING:
            problems.append(f"{path}:1: a file that could steer the tests is not there when they run")
        elif name := shadows(path, roots):
            problems.append(hiding(path, name))
        elif not clashes and "__pycache__" not in pure.parts and pure.suffix not in (".pyc", ".pth"):
            files[path] = content
    return {**files, **tests}, problems


@dataclass
class _Heard:
    """What came out of the report pipe."""

    cases: dict[str, tuple[str, str]] = field(default_factory=dict)
    started: str | None = None
    ends: int = 0
    void: dict[str, str] = field(default_factory=dict)
    unloaded: dict[str, str] = field(default_factory=dict)
    tampering: list[str] = field(default_factory=list)


def _listen(result: Result, nonce: str) -> _Heard:
    heard = _Heard()
    for line in result.report.splitlines():
        try:
            message: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # the last line, cut off when a limit was reached
        if message.get("nonce") != nonce:
            heard.tampering.append("something other than the test runner wrote to the report")
            continue
        match message["event"]:
            case "start":
                heard.started = message["id"]
            case "case":
                heard.cases[message["id"]] = (message["outcome"], message["message"])
                heard.started = None if heard.started == message["id"] else heard.started
            case "collect":
                heard.unloaded[message["file"]] = message["message"]
            case "void":
                heard.void[message["file"]] = message["message"]
                if message["tampered"]:
                    heard.tampering.append(f"{message['file']}:1: {message['message']}")
            case "end":
                heard.ends += 1
    return heard


def _cases(
    expected: Mapping[str, list[str] | str], heard: _Heard, result: Result, optional: Collection[str]
) -> list[TestCase]:
    cases: list[TestCase] = []
    told: dict[str, str] = {}

    def add(test: str, outcome: Any, message: str) -> None:
        # One cause, told once: a file that does not load fails all its tests alike.
        first = told.setdefault(message, test) if outcome == "error" else test
        text = message if first == test else f"the same as {first}"
        required = not {test, test.partition("[")[0]} & set(optional)
        cases.append(TestCase(id=test, outcome=outcome, required=required, message=text[:1500]))

    known: set[str] = set()
    for path, tests in expected.items():
        if isinstance(tests, str):
            add(path, "error", tests)
            continue
        for test in tests:
            reported = [name for name in heard.cases if name == test or name.startswith(f"{test}[")]
            known.update(reported)
            if path in heard.void:
                add(test, "error", heard.void[path])
            elif reported:
                for name in reported:
                    add(name, *heard.cases[name])
            elif path in heard.unloaded:
                add(test, "error", heard.unloaded[path])
            elif heard.started is not None and heard.started.partition("[")[0] == test:
                add(heard.started, "failed", f"the run was stopped during this test: {_stop(result)}")
            else:
                add(test, "missing", "it was never run" if heard.ends else f"not run: {_stop(result)}")
    for name, (outcome, message) in heard.cases.items():
        if name not in known and name.partition("::")[0] not in heard.void:
            # Inherited or made when the file loads: worth knowing, no evidence.
            cases.append(TestCase(id=name, outcome=outcome, required=False, message=message[:1500]))
    return cases


def _judge(cases: list[TestCase], problems: list[str], heard: _Heard, result: Result) -> TestRun:
    required = [case for case in cases if case.required]
    passes = sum(case.outcome == "passed" for case in required)
    status = result.status
    ran = status == "exit" and result.exit_status == 0 and heard.ends == 1
    summary = f"{passes} of {len(required)} required tests pass"
    if extra := [case for case in cases if not case.required]:
        summary += f", {sum(case.outcome == 'passed' for case in extra)} of {len(extra)} others"
    if not ran:
        summary += f"; {_stop(result)}"
    library = re.escape(str(Path(ast.__file__).parent))
    output = re.sub(rf"(?<![\w/])(/box|{library})/", "", result.stdout + result.stderr).strip()
    output = _TOOK.sub(r"\1", output)
    return TestRun(
        passed=ran and bool(required) and passes == len(required),
        cases=cases,
        summary=summary,
        output=output[-_OUTPUT:],
        problems=list(dict.fromkeys(problems)),
        status="ran" if ran else status if status in ("timeout", "output_limit", "memory_limit") else "crashed",
        score=passes / len(required) + nuance(cases) if required else 0.0,
        sandbox=result.sandbox,
    )


def _stop(result: Result) -> str:
    words = {
        "timeout": "the time for all tests was used up",
        "output_limit": "too much was printed",
        "memory_limit": "too much memory was used",
    }
    return words.get(result.status, "the run ended before its time")


def broken(result: Result) -> SandboxUnavailable:
    """The error for a job whose command never started."""
    return SandboxUnavailable(
        f"{result.sandbox} could not start the command: {result.stderr.strip()[-300:] or 'no reason given'}",
        hint="run `company doctor`",
    )
