"""Runs from another folder, tiers that nobody set, hints that name the run, and tries that broke off."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from company import cli_runs, wiring
from company.engine import NewRun, Outcome
from company.errors import UsageError
from company.events import read
from company.llm import client
from company.settings import Settings
from company.terminal import console_on_stderr
from tests import fault_server as fs

RIGHT = '### shout.py\n```python\ndef shout(text):\n    return text.upper() + "!"\n```'
TIERED = """sop: 1
steps:
  code:
    role: engineer
    prompt: zero_shot
    in: requirement
    out: [SourceFile]
    model: MODEL
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a script and a neighbour."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    critic = {"step": "polish.critic", "reply": {"approved": True, "comments": []}}
    Path("script.yaml").write_text(yaml.safe_dump([{"step": "polish.draft", "reply": RIGHT}, critic]))
    return tmp_path


def begin(**more: object) -> Outcome:
    new = NewRun(
        **{
            "inputs": {"requirement": "a module shout.py"}, "sop": "reflection", "workspace": Path("../ws"), "name": "s",
            "model": "script:script.yaml", **more,
        }  # type: ignore[arg-type]
    )  # fmt: skip
    return asyncio.run(wiring.run(new, Settings()))


def notices(outcome: Outcome) -> list[str]:
    journal = outcome.repo.parent / ".company" / "runs" / outcome.run / "events.jsonl"
    return [event["text"] for event in read(journal) if event["event"] == "notice"]


def test_a_script_is_found_from_another_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begin(limits={"calls": 1})
    assert (first.status, first.model) == ("limited", "script:script.yaml")
    monkeypatch.chdir(folder / "elsewhere")
    workspace = folder / "ws"
    second = asyncio.run(wiring.resume(workspace, first.run, Settings(), limits={"calls": 5}))
    assert (second.status, second.model, second.calls) == ("delivered", "script:script.yaml", 2)
    third = asyncio.run(wiring.redo(workspace, first.run, Settings(), again=["polish.critic"]))
    assert (third.status, third.model) == ("delivered", "script:script.yaml"), third.reason
    Path("other.yaml").write_text((folder / "here/script.yaml").read_text())
    fourth = asyncio.run(
        wiring.redo(workspace, third.run, Settings(), model="script:other.yaml", again=["polish.critic"])
    )
    assert (fourth.status, fourth.model) == ("delivered", "script:other.yaml"), fourth.reason
    monkeypatch.chdir(folder)
    fifth = asyncio.run(wiring.redo(workspace, fourth.run, Settings(), again=["polish.critic"]))
    assert (fifth.status, fifth.model) == ("delivered", "script:other.yaml"), fifth.reason


def test_what_a_script_gave_is_kept_under_its_path_as_it_was_given(folder: Path) -> None:
    first = begin()
    keys = [event["key"] for event in read(folder / "ws/.company/runs" / first.run / "events.jsonl") if "key" in event]
    again = begin(name="t")
    assert (again.calls, again.cached_steps) == (0, first.cached_steps + 3)
    assert keys
    with pytest.raises(UsageError, match=r"cannot read the script"):
        begin(name="u", model="script:../elsewhere/script.yaml")


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(("tiers", "said"), [({}, ""), ({"medium": "script:script.yaml"}, " (there are `medium`)")])
def test_a_tier_that_nobody_set_is_said_with_its_place(*, dry: bool, tiers: dict[str, str], said: str) -> None:
    Path("script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    Path("own.yaml").write_text(TIERED.replace("MODEL", "small"))
    new = NewRun({"requirement": "x"}, "own.yaml", Path("ws"), model="" if dry else "script:script.yaml", dry_run=dry)
    outcome = asyncio.run(wiring.run(new, Settings(tiers=tiers)))  # type: ignore[arg-type]
    what = "company.toml does not say what `small` is: the run's model is asked instead"
    assert [text for text in notices(outcome) if "small" in text] == [f"own.yaml:8:12: {what}{said}"]


def test_a_model_that_a_step_names_and_nobody_has_is_an_error_with_its_place() -> None:
    Path("own.yaml").write_text(TIERED.replace("MODEL", "opnai:m"))
    with pytest.raises(UsageError) as caught:
        begin(sop="own.yaml")
    assert str(caught.value) == "own.yaml:8:12: there is no model provider `opnai`"
    assert caught.value.hint == "did you mean `openai`?"


def test_a_hint_and_the_line_that_goes_on_name_the_run_and_its_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    first = begin(limits={"calls": 1})
    workspace = Path("../w s")
    shown = replace(first, hint=cli_runs.named(first.hint, first.run, workspace))
    cli_runs.print_outcome(shown, console_on_stderr(), workspace)
    said = capsys.readouterr().err
    command = f"company resume {first.run} --workspace '../w s' --limit calls=…"
    assert f"  go on with  {command}\n" in said
    assert f"  hint        `{command}` goes on with a higher one\n" in said
    assert cli_runs.named(first.hint, "R", cli_runs.WORKSPACE).startswith("`company resume R --limit calls=…`")
    assert (
        cli_runs.named("run `company resume` later", "", workspace) == "run `company resume --workspace '../w s'` later"
    )
    assert cli_runs.named("company resume abc; or", "R", Path("w")) == "company resume abc --workspace w; or"


def test_tries_that_broke_off_are_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "_backoff", lambda tries: 0.01)

    async def main(*script: fs.Behaviour, name: str) -> Outcome:
        async with fs.serving(*script) as server:
            settings = Settings(providers={"mine": {"base_url": server.base_url}})  # type: ignore[dict-item]
            new = NewRun({"requirement": "a module shout.py"}, "zero_shot", folder / "ws", name=name, model="mine:m")
            return await wiring.run(new, settings)

    bad = fs.error("500 Internal Server Error")
    outcome = asyncio.run(main(bad, fs.reset(), fs.ok(RIGHT), name="s"))
    assert (outcome.status, outcome.calls, outcome.retries) == ("delivered", 1, 2)
    (step,) = outcome.steps
    assert (step["step"], step["model"], step["retries"]) == ("code", "mine:m", 2)
    assert [sums["retries"] for sums in (*outcome.by_step, *outcome.by_role)] == [2, 2]
    kept = json.loads((outcome.repo / ".company/run.json").read_text())
    assert (kept["retries"], kept["steps"][0]["retries"]) == (2, 2)
    cli_runs.print_outcome(outcome, console_on_stderr(), folder / "ws")
    assert (
        "  broke off   2 tries of calls (code 2); what a server bills for them is not known" in capsys.readouterr().err
    )
    failed = asyncio.run(main(fs.error("400 Bad Request"), name="t"))
    assert (failed.status, failed.calls, failed.retries) == ("failed", 0, 1)
