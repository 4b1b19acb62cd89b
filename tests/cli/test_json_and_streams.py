"""What programs read: every error as an object, one object for each question; and runs whose streams nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.test_processes import COMMAND, RIGHT, company, environment


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["run", "--nope", "--json"], "No such option: --nope", "`company run --help`"),
        (["show", "--json"], "Missing argument 'run'", "`company show --help`"),
        (["frob", "--json"], "No such command 'frob'", "`company --help`"),
        (["model", "chek", "--json"], "No such command 'chek'. Did you mean 'check'?", "`company model --help`"),
        (["runs", "--json", "--older-than", "old"], "Invalid value for '--older-than'", "`company runs --help`"),
        (["run", "x", "--json", "--sop"], "Option '--sop' requires an argument", "`company --help`"),
    ],
)
def test_arguments_that_cannot_be_are_an_object_too(tmp_path: Path, words: list[str], error: str, hint: str) -> None:
    done = company(tmp_path, *words)
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told.keys() == {"error", "place", "hint"}
    assert told["error"].startswith(error)
    assert told["hint"].startswith(hint)
    assert done.stderr == f"error: {told['error']}\n\nhint: {told['hint']}\n"


def test_a_group_named_alone_shows_its_help(tmp_path: Path) -> None:
    done = company(tmp_path, "sop")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: company sop [OPTIONS] COMMAND")


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A folder with a run `s`."""
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    done = company(tmp_path, *RUN)
    assert done.returncode == 0, done.stderr
    return tmp_path


RUN = ("run", "a module shout.py", "--sop", "zero_shot", "--model", "script:script.yaml", "--name", "s")


def told(folder: Path, *words: str, status: int = 0) -> dict[str, Any]:
    """The one object that a command prints."""
    done = company(folder, *words, "--json")
    assert done.returncode == status, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_what_a_run_left_is_an_object(ran: Path) -> None:
    shown = told(ran, "show", "s")
    assert (shown["name"], shown["status"], shown["calls"], shown["cost_usd"]) == ("s", "delivered", 1, 0)
    assert {"name": "shout.py", "path": "shout.py"} in shown["artifacts"]
    assert [step["id"] for step in shown["steps"]] == ["code#1", "compile#1"]
    assert shown["by_step"][0]["name"] == "code"
    assert told(ran, "show", "s", "shout.py") == {
        "run": shown["run"], "name": "shout.py", "path": "shout.py", "text": 'def shout(text):\n    return text.upper() + "!"\n',
    }  # fmt: skip
    assert told(ran, "show", "s", "code") == {"run": shown["run"], "steps": shown["steps"][:1]}
    assert told(ran, "show", "s", "shoot.py", status=2)["hint"] == "did you mean `shout.py`?"
    replayed = told(ran, "replay", "s")
    assert (replayed["run"], replayed["status"]) == (shown["run"], "delivered")
    assert [replayed["events"][place]["event"] for place in (0, -1)] == ["run_started", "run_finished"]


def test_what_there_is_is_an_object(tmp_path: Path) -> None:
    (tmp_path / "company.toml").write_text('model = "mine:m"\n[providers.mine]\nbase_url = "http://u:p@h/v1"\n')
    models = told(tmp_path, "model", "list")
    assert models["model"] == "mine:m"
    assert {"name": "mine", "base_url": "http://h/v1", "key": "", "set": True} in models["endpoints"]
    assert [each["name"] for each in models["embedded"] if each["default"]] == ["local:qwen2.5-coder-1.5b"]
    found = told(tmp_path, "doctor")
    assert found["ok"] is True
    assert {"python", "git", "sandbox", "settings"} <= {each["name"] for each in found["findings"]}
    assert {each["state"] for each in found["findings"]} <= {"ok", "missing", "note"}
    checked = told(tmp_path, "model", "check", "dry")
    assert (checked["model"], checked["ok"]) == ("dry", True)
    assert {each["name"] for each in checked["findings"]} >= {"reply", "streaming", "usage"}


def gone() -> int:
    """The end to write to of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_a_run_whose_messages_cannot_be_written_goes_on(tmp_path: Path, closing: str) -> None:
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    words = ["sh", "-c", f'"$@" {closing}', "sh", *COMMAND, *RUN, "--json"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "delivered"


@pytest.mark.parametrize("how", [("--plain",), ("--explain",)])
def test_a_run_whose_messages_nobody_reads_goes_on(tmp_path: Path, how: tuple[str, ...]) -> None:
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    write = gone()
    done = company(tmp_path, *RUN, *how, "--json", capture_output=False, stdout=subprocess.PIPE, stderr=write)
    os.close(write)
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "delivered"
    write = gone()
    assert company(tmp_path, *RUN, capture_output=False, stdout=subprocess.PIPE, stderr=write).returncode == 2
    os.close(write)


def test_a_result_that_nobody_reads_changes_no_exit_status(tmp_path: Path) -> None:
    for script, status in ([{"reply": RIGHT}], 0), ([{"step": "other", "reply": RIGHT}], 1):
        (tmp_path / "script.yaml").write_text(yaml.safe_dump(script))
        write = gone()
        words = ["run", f"a module shout.py, {status}", *RUN[2:-1], f"s{status}"]
        done = company(tmp_path, *words, capture_output=False, stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        assert done.returncode == status, done.stderr
        assert "note: nobody reads standard output any more; `company show " in done.stderr
    words = ["sh", "-c", '"$@" >&-', "sh", *COMMAND, *RUN[:-1], "closed"]
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    shut = subprocess.run(words, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, check=False, timeout=120)
    assert shut.returncode == 0
    assert b"Delivered and accepted." in shut.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_written_is_an_error_that_says_how_the_run_ended(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    with open("/dev/full", "wb") as full:
        done = company(tmp_path, *RUN, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert (
        "error: the run ended (delivered), and its result cannot be written to standard output: No space" in done.stderr
    )
    assert "hint: `company show " in done.stderr


def test_a_reader_that_has_enough_of_a_long_answer_is_no_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "company", "sop", "schema"], cwd=tmp_path, env=environment(), stdout=-1, stderr=-1
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
