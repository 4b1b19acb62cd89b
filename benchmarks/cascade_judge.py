"""What the replies to a set's tasks do when they are run: their interface, the requirement's own examples, the hidden tests.

All of it in the sandbox and by the product's own pieces (`testgen.py`, `sandbox/verdict.py`), many replies to a start of it, each in a
process of its own. Also what each does on inputs made by rule, so that samples can be compared. Policies: `cascade_table.py`.
"""

from __future__ import annotations

import ast
import asyncio
import json
import random
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tasks import FILE, Task

from company.artifacts import Checks, Design, FileSpec, Part
from company.cache import digest
from company.examples import calls_in
from company.literals import is_literal
from company.llm.qa import MOST_EXAMPLES
from company.sandbox import Limits, Sandbox, Spec, choose, run_tests, verdict
from company.testgen import from_checks, from_design, module_of, parameters_of, usable_checks

BATCH = 12
"""Programs to one start of the sandbox."""
INPUTS = 60
"""Calls that are made by rule for one task."""
VALUES = (
    "0", "1", "2", "5", "12", "-3", "100", "2.5", "''", "'a'", "'hello world'", "'Abc 123'", "'racecar'", "'(())'", "'7'", "[]", "[1, 2, 3]",
    "[3, 1, 2, 2]", "[-1, 0, 5, 4, 10]", "['b', 'a', 'abc']", "[(1, 2), (3, 4)]", "[[1, 2], [3, 4]]", "(1, 2, 3)", "{'a': 1, 'b': 2}",
)  # fmt: skip
_TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)
_PROBE = r"""
import hashlib, importlib, json, os, re, resource, signal, sys

def canonical(value):
    if isinstance(value, (int, float)):
        return "%.9g" % value if abs(value) < 1e300 else repr(value)
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(canonical, value))) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(sorted(canonical(k) + ":" + canonical(v) for k, v in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ",".join(map(canonical, value)) + ")"
    return re.sub(r" at 0x\w+", "", repr(value))

def late(*_):
    raise TimeoutError

def behave(made, job, tell):
    function = getattr(made, job["entry"])
    signal.signal(signal.SIGPROF, late)
    for text in job["inputs"]:
        signal.setitimer(signal.ITIMER_PROF, 0.5)
        try:
            seen = hashlib.md5(canonical(function(*eval(text))).encode("utf-8", "replace")).hexdigest()[:8]
        except BaseException:
            seen = "-"
        signal.setitimer(signal.ITIMER_PROF, 0)
        tell(seen)

def hold(made, job, tell):
    space = {"__name__": "hidden"}
    try:
        exec(job["before"], space)
        space.update({name: value for name, value in vars(made).items() if not name.startswith("__")})
        exec(job["hidden"], space)
    except BaseException as error:
        tell(type(error).__name__)
    else:
        tell("right")

def apart(deed, job):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            signal.alarm(300)
            deed(importlib.import_module(job["module"]), job, lambda text: os.write(write, (text + "\n").encode()))
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as lines:
        said = lines.read().split("\n")[:-1]
    return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

sys.path.insert(0, os.getcwd())
for job in json.load(sys.stdin):
    print(json.dumps([apart(hold, job), apart(behave, job)]), flush=True)
"""
"""Beside the product's own run: the hidden tests, which lie in no file, and what a program gives for inputs."""


class Program(NamedTuple):
    """One reply's files, and what they are to do."""

    task: Task
    files: Mapping[str, str]

    def at(self, folder: str) -> dict[str, bytes]:
        """The files, below a folder of their own."""
        return {f"{folder}{path}": text.encode("utf-8", "replace") for path, text in self.files.items()}


def examples_in(task: Task, module: str) -> Checks:
    """The calls with their values that the requirement gives, as QA would find them for a file that it knows."""
    found, _ = usable_checks(Checks(checks=calls_in(task.requirement, {task.entry: module})[:MOST_EXAMPLES]), ())
    return Checks(checks=found)


def tests_of(task: Task, folder: str) -> dict[str, str]:
    """What may be seen, as test files: of the interface, and of the examples where the requirement gives any."""
    path = f"{folder}{FILE}"
    part = Part(signature=task.signature, purpose=task.entry, quote="")
    spec = FileSpec(path=path, purpose=task.entry, depends_on=[], parts=[part])
    interface = from_design(
        Design(approach=task.entry, files=[spec], entry_point="", dependencies=[]), task.requirement
    )
    assert interface
    checks = examples_in(task, module_of(path))
    return {
        "interface": interface.text,
        "examples": from_checks(checks, task.requirement).text if checks.checks else "",
    }


def inputs_of(task: Task) -> list[str]:
    """Arguments by rule, the same for all replies to a task: those of the examples, and plain values of several types in every place."""
    expressions = [call.expression for check in examples_in(task, "solution").checks for call in check.calls]
    calls = [
        node for text in expressions for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Call)
    ]
    mine = [node.args for node in calls if isinstance(node.func, ast.Name) and node.func.id == task.entry]
    rows = [[ast.unparse(value) for value in values] for values in mine if all(map(is_literal, values))]
    count = len(parameters_of(Part(signature=task.signature, purpose=task.entry, quote="")) or [])
    chance = random.Random(task.name)
    rows += [[value] * count for value in VALUES] if count else [[]]
    while count > 1 and len(rows) < INPUTS:
        rows.append([chance.choice(VALUES) for _ in range(count)])
    return ["(" + "".join(f"{value}, " for value in row) + ")" for row in rows]


async def verdicts(sandbox: Sandbox, programs: Sequence[Program]) -> list[dict[str, Any]]:
    """Of each program, which tests it passes (so many, of so many), and a mark of what it gives for each input.

    Programs that have several files, or share a start with one that ended it, are run alone.
    """
    alone = len(programs) == 1
    if not alone and any(len(program.files) > 1 for program in programs):
        return [each for program in programs for each in await verdicts(sandbox, [program])]
    folders = [""] if alone else [f"r{number}/" for number in range(len(programs))]
    tree = {
        path: text
        for program, folder in zip(programs, folders, strict=True)
        for path, text in program.at(folder).items()
    }
    made = [tests_of(program.task, folder) for program, folder in zip(programs, folders, strict=True)]
    texts = {f"tests/test_r{number}.py": "\n".join(tests.values()).encode() for number, tests in enumerate(made)}
    run = await run_tests(sandbox, tree, texts, limits=_limits(len(programs)))
    told = await _probed(sandbox, programs, folders, tree)
    if not alone and (run.status != "ran" or len(told) < len(programs)):
        half = len(programs) // 2
        return [*await verdicts(sandbox, programs[:half]), *await verdicts(sandbox, programs[half:])]
    cases = {case.id: case for case in run.cases}
    found = []
    for number, tests in enumerate(made):
        ids = {
            kind: [f"tests/test_r{number}.py::{name}" for name in _TEST.findall(text)] for kind, text in tests.items()
        }
        bad = [cases[name].message for names in ids.values() for name in names if cases[name].outcome != "passed"]
        counts = {
            kind: [sum(cases[name].outcome == "passed" for name in names), len(names)] for kind, names in ids.items()
        }
        (hidden, ended), (marks, ended_too) = told[number] if told else (([], 0), ([], 0))
        if not alone and (any("did not finish" in why for why in bad) or -signal.SIGALRM in (ended, ended_too)):
            found += await verdicts(sandbox, [programs[number]])  # the machine may have been busy
            continue
        why = hidden[0] if hidden else f"ended with {ended}"
        found.append({**counts, "right": hidden == ["right"], "behaviour": marks, "seen": bad[:1], "hidden": why})
    return found


def _limits(programs: int) -> Limits:
    """By processor time: a verdict does not hang on what else the machine does."""
    return Limits(seconds=300.0 + 60 * programs, cpu_seconds=20, output_bytes=4 << 20)


async def _probed(
    sandbox: Sandbox, programs: Sequence[Program], folders: Sequence[str], tree: Mapping[str, bytes]
) -> list[tuple[tuple[list[str], int], tuple[list[str], int]]]:
    """For each program, ``right`` or why it is not by the hidden tests, and a mark for each input, ``-`` where it fails or takes too long.

    Each with how its process ended.
    """
    job = [
        {
            "module": module_of(f"{folder}{FILE}"), "entry": task.entry, "inputs": inputs_of(task),
            "before": task.before, "hidden": task.hidden,
        }
        for (task, _), folder in zip(programs, folders, strict=True)
    ]  # fmt: skip
    result = await sandbox.run(Spec(("python", "-c", _PROBE), tree, json.dumps(job).encode(), _limits(len(programs))))
    if result.status == "setup_failed":
        raise SystemExit(f"the sandbox failed: {result.stderr}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def _mark(line: Mapping[str, Any]) -> str:
    return digest([line["task"], line["files"]])[:16]


async def judge(
    found: Mapping[str, Task],
    lines: list[dict[str, Any]],
    out: Path,
    before: list[dict[str, Any]],
    parallel: int,
    *,
    reference: bool,
) -> None:
    """Append to `out` a line for each of `lines` that it does not have; the same code is run once."""
    if reference:
        solved = [(task, [[FILE, task.reference]]) for task in found.values()]
        lines += [
            {"task": task.name, "model": "reference", "sample": 0, "usable": True, "files": files, "calls": []}
            for task, files in solved
        ]
    known = {(line["task"], line["model"], line["sample"]) for line in before}
    lines = [line for line in lines if (line["task"], line["model"], line["sample"]) not in known]
    same: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        same[_mark(line)].append(line)
    told = {line["code"]: line["verdict"] for line in before if line["verdict"]}
    todo = [mark for mark, group in same.items() if group[0]["usable"] and mark not in told]
    print(f"{len(lines)} replies, {len(todo)} programs to run", file=sys.stderr)
    for mark in same.keys() - set(todo):
        _write(out, mark, same[mark], told.get(mark))
    verdict.TEST_SECONDS = 120.0  # of wall time; processor time is what ends a loop here
    sandbox, turns, done = choose(), asyncio.Semaphore(parallel), 0

    async def one(marks: Sequence[str]) -> None:
        nonlocal done
        async with turns:
            programs = [Program(found[same[mark][0]["task"]], dict(same[mark][0]["files"])) for mark in marks]
            for mark, told_now in zip(marks, await verdicts(sandbox, programs), strict=True):
                _write(out, mark, same[mark], told_now)
        done += len(marks)
        print(f"{done} of {len(todo)}", file=sys.stderr, flush=True)

    await asyncio.gather(*map(one, _batches(todo)))


def _batches(marks: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(marks), BATCH):
        yield marks[start : start + BATCH]


def _write(out: Path, mark: str, group: Sequence[Mapping[str, Any]], verdict: dict[str, Any] | None) -> None:
    with out.open("a") as file:
        for line in group:
            kept = {name: line[name] for name in ("task", "model", "sample", "usable", "calls")}
            file.write(json.dumps({**kept, "code": mark, "verdict": verdict}) + "\n")
