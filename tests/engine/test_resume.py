"""Runs of whole processes that are stopped while a server answers, and go on: the same repository, nothing paid for twice.

Kills at every other place, and damaged workspaces: `test_crashes.py`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from answering import Answering, answering
from running import REQUIREMENT, RIGHT, events, git, go_on, start

from company.events import Journal

ALL = [
    "start",
    "prd#1",
    "design#1",
    "tests#1",
    "code.do[shout.py]#1",
    "verify.test#1",
    "verify.fix#2",
    "verify.test#2",
    "deliver",
]


def begin(folder: Path, port: int, *words: str) -> "subprocess.Popen[str]":
    """Start the command, in a session of its own."""
    (folder / "company.toml").write_text(f'[providers.mine]\nbase_url = "http://127.0.0.1:{port}/v1"\n')
    return subprocess.Popen(
        [sys.executable, "-m", "company", *words, "--plain", "--json"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def run(folder: Path, port: int) -> "subprocess.Popen[str]":
    return begin(folder, port, "run", REQUIREMENT, "--model", "mine:m", "--name", "out")


def wait_for(state: Answering, requests: int) -> None:
    end = time.monotonic() + 60
    while len(state.bodies) < requests:
        assert time.monotonic() < end, f"only {len(state.bodies)} requests came"
        time.sleep(0.005)


def steps_of(folder: Path) -> list[str]:
    log = git(folder / "workspace/out", "log", "--reverse", "--format=%(trailers:key=Company-Step,valueonly)")
    return [line for line in log.split("\n") if line]


def check_whole(folder: Path, state: Answering, *, lost: int) -> None:
    """The repository is that of a run without a stop; at most `lost` answers were on their way when it died."""
    assert sorted(steps_of(folder)) == sorted(ALL)
    repo = folder / "workspace/out"
    assert git(repo, "status", "--porcelain") == ""
    assert '"!"' in (repo / "shout.py").read_text()
    twice = {body: count for body, count in Counter(state.bodies).items() if count > 1}
    assert sum(count - 1 for count in twice.values()) <= lost
    assert len(set(state.bodies)) == 6


def test_kill_9_at_a_request_then_resume(tmp_path: Path) -> None:
    for number in (1, 4, 6):
        folder = tmp_path / str(number)
        folder.mkdir()
        with answering() as state:
            state.pause = 0.05
            process = run(folder, state.port)
            wait_for(state, number)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            done = begin(folder, state.port, "resume")
            out, err = done.communicate(timeout=120)
            assert done.returncode == 0, err
            check_whole(folder, state, lost=2)  # QA and the engineer may both be waiting
            assert json.loads(out)["status"] == "delivered"


def test_control_c_stops_softly_and_resume_goes_on(tmp_path: Path) -> None:
    with answering() as state:
        state.pause = 0.5
        process = run(tmp_path, state.port)
        wait_for(state, 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "Ctrl-C again stops at once" in err
        outcome = json.loads(out)
        assert outcome["status"] == "interrupted"
        assert f"company resume {outcome['run']}" in err
        assert len(state.answered) == outcome["calls"] == 2  # the one under way was waited for, and kept
        done = begin(tmp_path, state.port, "resume")
        out, err = done.communicate(timeout=120)
        assert done.returncode == 0, err
        assert json.loads(out)["calls"] == 6
        check_whole(tmp_path, state, lost=0)


def test_a_second_control_c_stops_at_once(tmp_path: Path) -> None:
    with answering() as state:
        state.pause = 30
        process = run(tmp_path, state.port)
        wait_for(state, 1)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert time.monotonic() - began < 15
        state.pause = 0
        done = begin(tmp_path, state.port, "resume")
        _, err = done.communicate(timeout=120)
        assert done.returncode == 0, err
        assert sorted(steps_of(tmp_path)) == sorted(ALL)


def test_a_run_is_not_run_twice_at_once(tmp_path: Path) -> None:
    with answering() as state:
        state.pause = 3
        process = run(tmp_path, state.port)
        wait_for(state, 1)
        listed = begin(tmp_path, state.port, "resume")
        _, err = listed.communicate(timeout=60)
        assert listed.returncode == 2
        assert "there is no run to go on with" in err
        identity = next((tmp_path / "workspace/.company/runs").iterdir()).name
        second = begin(tmp_path, state.port, "resume", identity)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"pid {process.pid}" in err
        state.pause = 0
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


@pytest.mark.parametrize("down_from", [2, 3, 5])
def test_an_endpoint_that_fails_costs_no_answer_that_came_before(tmp_path: Path, down_from: int) -> None:
    with answering() as state:
        state.down_from = down_from
        process = run(tmp_path, state.port)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1, err
        assert "Traceback" not in err
        asked = len(state.bodies)
        assert asked in (down_from, down_from + 1)  # QA and engineer ask at the same time
        state.down_from = 1_000_000
        done = begin(tmp_path, state.port, "resume")
        _, err = done.communicate(timeout=120)
        assert done.returncode == 0, err
        check_whole(tmp_path, state, lost=asked - down_from + 1)


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    with answering() as state:
        process = run(tmp_path, state.port)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        done = begin(tmp_path, state.port, "resume", json.loads(out)["run"])
        _, err = done.communicate(timeout=60)
        assert done.returncode == 2
        assert "is finished (delivered)" in err


def test_a_second_run_of_the_same_requirement_pays_for_nothing(tmp_path: Path) -> None:
    with answering() as state:
        first = run(tmp_path, state.port)
        _, err = first.communicate(timeout=120)
        assert first.returncode == 0, err
        asked = len(state.bodies)
        again = begin(tmp_path, state.port, "run", REQUIREMENT, "--model", "mine:m", "--name", "again")
        out, err = again.communicate(timeout=120)
        assert again.returncode == 0, err
        outcome = json.loads(out)
        assert (len(state.bodies), outcome["calls"], outcome["cached_steps"]) == (asked, 0, 7)


def test_a_cascade_that_was_killed_before_its_answer_was_taken_commits_it_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step was done in the sitting before; its commit is of this one."""
    sop = """sop: 1
steps:
  code: {role: engineer, prompt: draft, in: requirement, out: [SourceFile], cascade: [small, small], accept: len(answer) > 0}
"""
    kills = [True]
    real = Journal.emit

    def emit(self: Journal, event: str, **fields: Any) -> None:
        if event == "loop_round" and kills:
            kills.pop()
            raise KeyboardInterrupt
        real(self, event, **fields)

    monkeypatch.setattr(Journal, "emit", emit)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, sop, [{"step": "code", "reply": RIGHT}])
    assert not kills
    assert go_on(tmp_path).status in ("delivered", "unaccepted")
    (commit,) = (each for each in events(tmp_path) if each["event"] == "commit" and each["step"].startswith("code#"))
    assert commit["trailers"]["Company-Step-Key"]
