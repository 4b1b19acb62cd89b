"""A run that is recorded and replayed: the same tree and commits again, from a file that people can read."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from company import wiring
from company.engine import NewRun, Outcome
from company.errors import UsageError
from company.events import Event, read
from company.settings import Settings
from tests.engine.running import PRD, REQUIREMENT, RIGHT, WATERFALL, WRONG, git

FIXED = [*WATERFALL, {"step": "code", "reply": WRONG}, {"role": "engineer", "reply": RIGHT}]
"""The code is wrong, and put right once its tests have failed."""
TIERS = """\
sop: 1
name: tiers
steps:
  code: {role: engineer, prompt: draft, in: requirement, out: [SourceFile], cascade: [small, large], accept: {run: pytest, in: answer}}
"""


def run(workspace: Path, model: str, sop: str = "waterfall", settings: Settings | None = None, **more: Any) -> Outcome:
    new = NewRun({"requirement": REQUIREMENT}, sop, workspace, more.pop("name", "out"), model, **more)
    return asyncio.run(wiring.run(new, settings or Settings()))


def resume(workspace: Path, **more: Any) -> Outcome:
    return asyncio.run(wiring.resume(workspace, "", Settings(), **more))


def script(path: Path, entries: list[dict[str, Any]]) -> str:
    path.write_text(yaml.safe_dump(entries, allow_unicode=True))
    return f"script:{path}"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def journal(outcome: Outcome) -> list[Event]:
    return list(read(outcome.repo.parent / ".company" / "runs" / outcome.run / "events.jsonl"))


def made(outcome: Outcome) -> tuple[str, str]:
    """The tree without what tells of the run itself, and the commits without times, ids and the model's name."""
    tree = git(outcome.repo, "ls-tree", "-r", "HEAD")
    log = git(outcome.repo, "log", "--format=%an%n%B", "--stat", "--", ".", ":!.company/run.json")
    told = ("Company-Run:", "Company-Model:", "Company-Step-Key:")  # a step's key is of its model, too
    kept = [line for line in log.splitlines() if not line.startswith(told)]
    return "\n".join(line for line in tree.splitlines() if ".company/run.json" not in line), "\n".join(kept)


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Outcome, Path]:
    """A run of two rounds, and its recording."""
    path = tmp_path / "run.jsonl"
    return run(tmp_path / "ws", script(tmp_path / "script.yaml", FIXED), recording=path), path


def test_a_recording_replayed_elsewhere_makes_the_same_tree_and_commits(
    recorded: tuple[Outcome, Path], tmp_path: Path
) -> None:
    outcome, path = recorded
    assert outcome.status == "delivered"
    again = run(tmp_path / "other", f"replay:{path}")
    assert (again.status, again.reason) == ("delivered", "")
    assert made(again) == made(outcome)
    assert (again.calls, again.prompt_tokens, again.completion_tokens) == (
        outcome.calls, outcome.prompt_tokens, outcome.completion_tokens,
    )  # fmt: skip
    assert again.cost_usd == 0
    assert "Company-Model: replay:run.jsonl" in git(again.repo, "log")
    assert {event["model"] for event in journal(again) if event["event"] == "call_finished"} == {"replay:run.jsonl"}


def test_a_recording_says_what_was_asked_and_answered(recorded: tuple[Outcome, Path]) -> None:
    outcome, path = recorded
    exchanges = lines(path)
    assert len(exchanges) == outcome.calls == 6
    first = exchanges[0]
    assert list(first) == ["time", "model", "called", "context", "step", "request", "reply"]
    assert first["model"] == "script:script.yaml"
    assert first["step"] == {"step": "prd", "role": "product_manager", "item": "", "round": 0, "attempt": 1}
    assert [message["role"] for message in first["request"]["messages"]] == ["system", "user"]
    assert REQUIREMENT in first["request"]["messages"][1]["content"]
    assert first["request"]["schema"]["type"] == "object"
    assert json.loads(first["reply"]["text"]) == PRD
    assert first["reply"]["finish_reason"] == "stop"


def test_a_run_whose_steps_and_replies_were_kept_is_recorded_whole_and_costs_nothing(
    recorded: tuple[Outcome, Path], tmp_path: Path
) -> None:
    outcome, path = recorded
    whole = tmp_path / "whole.jsonl"
    again = run(tmp_path / "ws", f"script:{tmp_path / 'script.yaml'}", name="two", recording=whole)
    assert (again.status, again.calls) == ("delivered", 0)
    assert [entry["request"] for entry in lines(whole)] == [entry["request"] for entry in lines(path)]
    assert [entry["reply"] for entry in lines(whole)] == [entry["reply"] for entry in lines(path)]
    assert made(run(tmp_path / "other", f"replay:{whole}")) == made(outcome)


def test_a_request_that_is_not_recorded_says_what_differs_and_another_model_goes_on(
    recorded: tuple[Outcome, Path], tmp_path: Path
) -> None:
    _, path = recorded
    mine = tmp_path / "mine"
    (mine / "prompts").mkdir(parents=True)
    shutil.copytree(Path(__file__).parents[2] / "prompts" / "engineer", mine / "prompts" / "engineer")
    for prompt in (mine / "prompts" / "engineer").glob("*.j2"):
        prompt.write_text("Mind the gap.\n" + prompt.read_text())
    stopped = run(tmp_path / "other", f"replay:{path}", user_dir=mine)
    assert stopped.status == "failed"
    assert stopped.reason.startswith(f"{path}: the recording has no reply for step `code`, role `engineer`")
    assert "differs in message 2 (user) from its character 1 on: it was `" in stopped.reason
    assert "and now `Mind the gap." in stopped.reason
    assert "--model" in stopped.hint
    ended = resume(
        tmp_path / "other", model=script(tmp_path / "rest.yaml", [*WATERFALL, {"step": "code", "reply": RIGHT}])
    )
    assert (ended.status, ended.reason) == ("delivered", "")
    assert ended.run == stopped.run


def test_a_killed_recording_is_gone_on_with(recorded: tuple[Outcome, Path], tmp_path: Path) -> None:
    outcome, path = recorded
    data = path.read_bytes()
    short = tmp_path / "short.jsonl"
    short.write_bytes(data[: data.rindex(b"\n", 0, -1) + 200])
    stopped = run(tmp_path / "other", f"replay:{short}")
    assert (stopped.status, stopped.calls) == ("failed", 5)
    ended = resume(tmp_path / "other", model=f"replay:{path}", recording=short)
    assert ended.status == "delivered"
    assert made(ended) == made(outcome)
    assert len(lines(short)) >= 6
    assert lines(short)[-1]["reply"]["text"] == RIGHT


def test_what_is_no_recording_is_refused_and_left_alone(recorded: tuple[Outcome, Path], tmp_path: Path) -> None:
    _, path = recorded
    before, note = path.read_bytes(), tmp_path / "note.txt"
    note.write_text("mine, without an end")
    for mine in (path, note):
        with pytest.raises(UsageError, match="something in the file already"):
            run(tmp_path / "ws", "dry", recording=mine)
    with pytest.raises(UsageError, match="no recorded exchange"):
        run(tmp_path / "ws", f"replay:{note}")
    assert (path.read_bytes(), note.read_text()) == (before, "mine, without an end")
    with pytest.raises(UsageError, match="cannot record there"):
        run(tmp_path / "ws", "dry", recording=tmp_path / "none" / "run.jsonl")


def test_models_that_are_asked_the_same_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "tiers.yaml").write_text(TIERS)
    sop, path = str(tmp_path / "tiers.yaml"), tmp_path / "run.jsonl"
    small = script(tmp_path / "small.yaml", [{"reply": f"### shout.py\n{WRONG}"}])
    large = script(tmp_path / "large.yaml", [{"reply": f"### shout.py\n{RIGHT}"}])
    outcome = run(tmp_path / "ws", small, sop, Settings(tiers={"small": small, "large": large}), recording=path)
    assert [(entry["model"], entry["called"]) for entry in lines(path)] == [
        ("script:small.yaml", "small"), ("script:large.yaml", "large"),
    ]  # fmt: skip
    again = run(tmp_path / "other", f"replay:{path}", sop)  # and no tier is set
    assert again.status == outcome.status
    assert made(again) == made(outcome)


def test_a_redo_is_recorded(recorded: tuple[Outcome, Path], tmp_path: Path) -> None:
    outcome, _ = recorded
    path = tmp_path / "redo.jsonl"
    redone = asyncio.run(
        wiring.redo(tmp_path / "ws", outcome.run, Settings(), model=f"replay:{recorded[1]}", recording=path)
    )
    assert redone.status == "delivered"
    assert [entry["request"] for entry in lines(path)] == [entry["request"] for entry in lines(recorded[1])]
