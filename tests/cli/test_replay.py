"""`company replay`: what a run looked like, from its journal alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from company.cli_replay import paced
from company.events import Event
from tests.cli.test_processes import RIGHT, company, on_a_terminal


@pytest.fixture
def done(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A run that has ended, with plain lines."""
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    return company(tmp_path, "run", "x", "--sop", "zero_shot", "--model", "script:script.yaml", "--name", "out")


def test_over_a_pipe_it_is_the_lines_that_the_run_gave(done: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    (journal,) = tmp_path.glob("workspace/.company/runs/*/events.jsonl")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    again = company(tmp_path, "replay", "out")
    assert again.returncode == 0, again.stderr
    lines = again.stdout.splitlines()
    assert lines == done.stderr.splitlines()[: len(lines)]
    assert any(line == "code: engineer begins" for line in lines)
    assert again.stderr.endswith(": delivered\n")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    whole = journal.read_bytes()
    journal.write_bytes(whole[: whole.index(b'"call_finished"')])  # killed while a model answered
    killed = company(tmp_path, "replay", "out")
    assert killed.stdout.splitlines() == lines[: len(killed.stdout.splitlines())]
    assert killed.stdout.endswith("code: engineer begins\n")
    assert killed.stderr.endswith(": it was stopped or killed here\n")
    journal.write_bytes(b"")
    nothing = company(tmp_path, "replay", "out")
    assert nothing.returncode == 2
    assert "its journal is empty or gone" in nothing.stderr


def test_on_a_terminal_it_is_the_live_view(done: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    assert done.returncode == 0
    said = on_a_terminal(tmp_path, "replay", "out", "--speed", "50")
    assert "✓ code" in said


def test_mistakes_are_said(tmp_path: Path) -> None:
    for words, said in ((("none",), "there is no run `none` here"), (("none", "--speed", "-1"), "more than 0")):
        failed = company(tmp_path, "replay", *words)
        assert failed.returncode == 2
        assert said in failed.stderr


def test_time_is_the_events_own_and_what_lay_between_sittings_is_left_out() -> None:
    past: list[Event] = [
        {"event": "run_started", "time": 100.0}, {"event": "step_started", "time": 100.4},
        {"event": "run_resumed", "time": 9000.0}, {"event": "step_started", "time": 9001.0},
    ]  # fmt: skip
    slept: list[float] = []
    seen = list(paced(past, 2.0, slept.append))
    assert [(event, at) for event, at in seen if event] == [(event, event["time"]) for event in past]
    assert sum(slept) == pytest.approx(1.4 / 2)
    assert [round(at, 1) for event, at in seen if not event] == [100.2, 100.4, 9000.2, 9000.4, 9000.6, 9000.8, 9001.0]
