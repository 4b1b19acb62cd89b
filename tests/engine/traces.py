"""What a run leaves, in a form in which two runs that came to the same are equal: commits, record, journal, questions.

Times, ids and the order of what goes on at the same time are left out. Who kills runs and compares them: `failpoints.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crashing import Procedure

from company import events

RECORD = ".company/run.json"


@dataclass
class Left:
    """A run's traces, in a form in which two runs that came to the same are equal."""

    commits: list[Any]
    record: Any
    finished: list[str]
    asked: set[str]


def git(repo: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(repo), *arguments], capture_output=True, text=True, check=True).stdout


def commits_of(repo: Path, beside: frozenset[str]) -> list[Any]:
    """Subject, author, trailers and what was changed of each commit; those that go on together in a fixed order."""
    form = "--format=%x00%s%x01%an <%ae>%x01%(trailers:only,unfold)%x01"
    found = []
    for text in git(repo, "log", "--reverse", "--root", "--raw", "--no-abbrev", "--no-renames", "-m", form).split("\0")[
        1:
    ]:
        subject, author, trailers, raw = text.split("\x01")
        trailers = re.sub(r"^Company-Run: .*\n", "", trailers, flags=re.MULTILINE)
        if "Company-Step: look#" in trailers:  # a decision's key is of its run
            trailers = re.sub(r"^Company-Step-Key: .*\n", "", trailers, flags=re.MULTILINE)
        changes = [line.split(maxsplit=4) for line in raw.strip().splitlines()]
        changes = [(change[1], change[3], change[4]) for change in changes if not change[4].endswith("\t" + RECORD)]
        found.append((subject, author, trailers, changes))
    ordered: list[Any] = []
    group: list[Any] = []
    for commit in found:
        if re.match(r"\w+", commit[0])[0] not in beside:
            ordered += [*sorted(group), commit]
            group = []
        else:
            group.append(commit)
    return ordered + sorted(group)


def record_of(repo: Path) -> Any:
    """`run.json` without times and ids."""
    record = json.loads((repo / RECORD).read_text())
    for name in ("run", "seconds"):
        record.pop(name)
    for step in record["steps"]:
        step.pop("seconds")
    record["steps"].sort(key=lambda step: (step["step"], step["item"], step["round"]))
    return record


def left(folder: Path, procedure: Procedure, workspace: Path) -> Left:
    """The traces of the only run in a workspace, once they have been seen to hold together."""
    repo = workspace / "out"
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""
    steps = [line for line in git(repo, "log", "--format=%(trailers:key=Company-Step,valueonly)").splitlines() if line]
    assert len(steps) == len(set(steps)), f"committed twice: {steps}"
    (journal,) = (workspace / ".company/runs").glob("*/events.jsonl")
    seen = list(events.read(journal))
    told = [event["sha"] for event in seen if event["event"] == "commit"]
    assert sorted(told) == sorted(git(repo, "log", "--format=%H").split()), "the journal has other commits than git"
    finished = sorted({event["id"] for event in seen if event["event"] == "step_finished"})
    return Left(commits_of(repo, procedure.beside), record_of(repo), finished, asked(folder)[0])


def asked(folder: Path) -> tuple[set[str], int]:
    """What the model was asked, and how often for nothing; never for what was on disk."""
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    kept: set[str] = set()
    questions: list[str] = []
    for line in lines:
        if line[0] == "kept":
            kept.add(line[1])
        elif line[0] == "lost":
            kept.clear()
        elif line[0] == "asked":
            assert line[1] not in kept, "a question whose reply was on disk was asked again"
            questions.append(line[1])
    return set(questions), len(questions) - len(set(questions))


def differences(one: Left, other: Left) -> Iterator[str]:
    """Where two runs came to something else."""
    for number, (old, new) in enumerate(zip(one.commits, other.commits, strict=False)):
        if old != new:
            yield f"commit {number}: {old} {new}"
            break
    if len(one.commits) != len(other.commits):
        yield f"{len(one.commits)} commits and {len(other.commits)}"
    for name in ("record", "finished", "asked"):
        if getattr(one, name) != getattr(other, name):
            yield f"{name}: {getattr(one, name)} {getattr(other, name)}"
