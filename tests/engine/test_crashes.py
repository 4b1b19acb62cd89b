"""Runs that are killed anywhere, and workspaces that are damaged in between, come to what an undisturbed run comes to.

The kills themselves: `failpoints.py`; the procedures: `crashing.py`; the damages: `damages.py`.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from crashing import PROCEDURES
from damages import DAMAGES
from running import PRD, RIGHT, go_on, start

from company.report import Report

HERE = Path(__file__).parent
SHARE = 60
"""Kills of each procedure."""
GATED = """sop: 1
steps:
  prd:  {role: product_manager, in: requirement, out: Prd}
  look: {gate: human, show: prd, choices: {approve: next}, headless: approve}
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}
"""
SCRIPT = [{"step": "prd", "reply": PRD}, {"step": "code", "reply": RIGHT}]


@pytest.mark.timeout(900)
def test_any_kill_and_any_damage_is_survived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process of its own: only one of one thread can be forked."""
    done = subprocess.run(
        [sys.executable, HERE / "failpoints.py", tmp_path, str(SHARE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    cases = [each for each in told if "reference" not in each]
    wrong = [each for each in cases if each["wrong"]]
    points = Counter(point for case in cases for point in case.get("killed", ()))
    kills = points.total()
    with capsys.disabled():
        print(f"\n{kills} kills in {len(cases)} cases, {len(wrong)} of them wrong:", end=" ")
        print(", ".join(f"{count} {point}" for point, count in sorted(points.items())))
    assert not wrong, json.dumps(wrong[:3], indent=1)[:6000]
    assert kills >= 230
    passed = {name for each in told if "reference" in each for name in each["points"]}
    assert not passed - {kill["name"] for case in cases for kill in case["kills"]}, (
        "every point was one to be killed at"
    )
    assert {case["damage"] for case in cases} >= {"two runs at once", "two resumes at once", *DAMAGES}
    assert {each["reference"] for each in told if "reference" in each} == {each.name for each in PROCEDURES}


def test_a_workspace_that_cannot_be_written_is_said_and_can_be_looked_at(tmp_path: Path) -> None:
    """Mounted read-only, so that it holds for root too."""
    assert start(tmp_path, GATED, SCRIPT).status == "interrupted"
    (journal,) = tmp_path.glob("ws/.company/runs/*/events.jsonl")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))  # as if killed
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "ws").rglob("*"))
    bwrap = shutil.which("bwrap")
    assert bwrap, "bubblewrap is missing"
    for words, status in (
        (("resume", "--headless"), 1),
        (("run", "x", "--sop", "own.yaml", "--model", "script:script.yaml"), 1),
        (("runs",), 0),
        (("show", "out"), 0),
    ):
        done = subprocess.run(
            [bwrap, "--dev-bind", "/", "/", "--ro-bind", tmp_path / "ws", tmp_path / "ws",
             sys.executable, "-m", "company", *words, "--workspace", "ws"],
            cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, (words, done.stderr)
        assert "Traceback" not in done.stderr
        if status:
            assert done.stderr.startswith("error: "), done.stderr
            assert "read-only" in done.stderr.lower(), done.stderr
            assert "hint: choose another folder with --workspace" in done.stderr, done.stderr
        else:
            assert "out" in done.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "ws").rglob("*")) == before
    assert go_on(tmp_path, headless=True).status == "delivered"


def test_a_gate_that_nobody_answers_leaves_the_callers_event_alone(tmp_path: Path) -> None:
    stop = asyncio.Event()
    outcome = start(tmp_path, GATED, SCRIPT, stop=stop)
    assert (outcome.status, stop.is_set()) == ("interrupted", False)


def test_a_repository_of_another_run_is_not_written_to(tmp_path: Path) -> None:
    first = start(tmp_path, GATED, SCRIPT).run
    shutil.rmtree(tmp_path / "ws/out")
    start(tmp_path, GATED, SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "company", "resume", first, "--workspace", "ws"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"the repository is not of the run {first}" in done.stderr


def test_a_test_run_that_is_done_again_is_not_the_last_one() -> None:
    """The first of two, whose stored value was lost: its verdict comes into the journal once more."""
    told = [("test#1", "1 of 2", False), ("test#2", "2 of 2", True), ("test#1", "1 of 2", False)]
    events = [
        {"event": "verdict", "time": 1, "id": ident, "summary": summary, "passed": passed}
        for ident, summary, passed in told
    ]
    assert Report.of(events).verdict == "2 of 2"


@pytest.mark.parametrize(
    ("judges", "verdict"), [(None, "late"), (["verify.test"], "3 of 4"), (["verify"], "3 of 4"), (["retest"], "")]
)
def test_the_verdict_of_a_run_is_of_the_steps_that_its_acceptance_reads(judges: list[str] | None, verdict: str) -> None:
    ids = {"before#1": "1 of 1", "verify.test[a#1]#2": "3 of 4", "verifying#1": "late"}
    told = [
        {"event": "verdict", "time": 2, "id": ident, "summary": text, "passed": True} for ident, text in ids.items()
    ]
    assert Report.of([{"event": "run_started", "time": 1, "run": "r", "judges": judges}, *told]).verdict == verdict
