"""`company diff` of a run and its redo, of two repositories, of a run that failed; and `company show RUN STEP`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from company import wiring
from company.artifacts import TestRun
from company.cli_diff import diff
from company.cli_runs import show
from company.differences import _files
from company.engine import NewRun
from company.errors import UsageError
from company.events import Journal
from company.executions import executions
from company.records import Request
from company.settings import Settings
from company.sides import asked
from tests.engine.running import REQUIREMENT, WRONG, start_said

EVIL = WRONG.replace("    return", "    # \x1b[2J\x1b]0;owned\x07\n    return")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str, str]:
    """A workspace with a run, its redo with other code, and a run of another repository that failed at once."""
    folder = tmp_path_factory.mktemp("diff")
    first, _ = start_said(folder)
    (folder / "script.yaml").write_text(yaml.safe_dump([{"step": "code", "reply": EVIL}]))
    second = asyncio.run(wiring.redo(folder / "ws", "out", Settings(), again=["code"], user_dir=folder))
    assert second.status == "unaccepted"
    (folder / "empty.yaml").write_text("[]")
    new = NewRun(
        inputs={"requirement": f"{REQUIREMENT} And so on."}, sop="zero_shot", workspace=folder / "ws", name="two",
        model=f"script:{folder / 'empty.yaml'}", limits={"calls": 7},
    )  # fmt: skip
    third = asyncio.run(wiring.run(new, Settings()))
    assert third.status == "failed"
    return folder / "ws", first.run, second.run, third.run


def said(capsys: pytest.CaptureFixture[str], workspace: Path, one: str, two: str, **more: Any) -> str:
    diff(one, two, workspace, **{"stat": False, "as_json": False, **more})
    return capsys.readouterr().out


def test_a_redo_against_its_run(made: tuple[Path, str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    workspace, first, second, _ = made
    text = said(capsys, workspace, first, second)
    head, _, texts = text.partition("\n--- a/docs/check.md\n")
    assert f"+ {second}  own → out (company/{second}), goes back to {first}\n" in head
    for line in (
        "asked    --from code: not asked for → asked for once",
        "came to  status: delivered → unaccepted",
        "         accepted: yes → no",
        "steps    code#1: made anew, ",
        "; it was asked for with --from",
        "         2 kept, ",
        " tokens saved: design, tests",
        "         ~ shout.py +2 -1",
    ):
        assert line in head
    assert ": passed → failed\n" in head
    assert len(head.splitlines()) < 40
    assert '-    return text.upper() + "!"\n' in texts
    assert "+    # \ufffd[2J\ufffd]0;owned\ufffd\n" in texts
    assert "docs/design.md" not in text
    assert "--- " not in said(capsys, workspace, first, second, stat=True)


def test_what_was_asked_is_said_in_words() -> None:
    said = [
        ("limit usd", 0.1 + 0.2, "0.3"), ("limit minutes", 60.0, "60"), ("limit tokens", 1234567, "1234567"),
        ("limit calls", None, "no limit"), ("--from a", 2, "asked for 2 times"), ("model", "openai:m", "openai:m"),
        ("edit of code.do[a.py]#1", True, "taken over"), ("edits of other files", None, "none"),
    ]  # fmt: skip
    assert [asked(name, value) for name, value, _ in said] == [words for _, _, words in said]


def test_a_run_against_itself_differs_in_nothing(
    made: tuple[Path, str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, first, _, _ = made
    found = json.loads(said(capsys, workspace, first, first, as_json=True))
    assert (found["asked"], found["tests"], found["files"]) == ([], [], [])
    assert all(pair["before"] == pair["after"] for pair in (*found["numbers"], *found["steps"]))


def test_two_repositories_and_a_run_that_made_nothing(
    made: tuple[Path, str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, first, _, third = made
    found = json.loads(said(capsys, workspace, first, "two", as_json=True))
    assert [run["run"] for run in found["runs"]] == [first, third]
    asked = {pair["name"]: (pair["before"], pair["after"]) for pair in found["asked"]}
    assert asked["sop"] == ("own", "zero_shot")
    assert asked["limit calls"][1] == 7
    files = {one["path"]: one for one in found["files"]}
    assert (files["input requirement"]["group"], files["input requirement"]["change"]) == ("asked", "changed")
    assert "And so on." in files["input requirement"]["diff"]
    assert (files["shout.py"]["group"], files["shout.py"]["change"]) == ("code", "deleted")
    assert files["docs/design.md"]["group"] == "document"
    steps = {step["id"]: step for step in found["steps"]}
    assert steps["design#1"]["after"] is None
    assert steps["design#1"]["before"]["how"] == "made"
    assert {step["after"]["how"] for step in steps.values() if step["after"]} == {"begun"}
    assert {pair["after"] for pair in found["tests"]} == {None}
    assert "it was not come to" in said(capsys, workspace, first, third)


def test_colour_is_for_terminals_that_want_it(
    made: tuple[Path, str, str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, first, second, _ = made
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in said(capsys, workspace, first, second)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    text = said(capsys, workspace, first, second)
    assert '\x1b[31m-    return text.upper() + "!"\x1b[0m\n' in text
    assert "\x1b[2J" not in text
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in said(capsys, workspace, first, second)


def test_an_unknown_run_is_named(made: tuple[Path, str, str, str]) -> None:
    with pytest.raises(UsageError, match="there is no run `nowhere` here"):
        diff(made[1], "nowhere", made[0])


def test_what_a_step_was(made: tuple[Path, str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    workspace, first, second, _ = made
    show(second, "code", workspace)
    text = capsys.readouterr().out
    assert text.startswith(
        "code#1: made\n  by       engineer\n  because  it was asked for with --from\n  cost     1 calls, "
    )
    assert "\n  commit   " in text
    show(second, "design#1", workspace)
    assert capsys.readouterr().out.startswith(f"design#1: kept from {first}, ")
    show(second, "", workspace)
    assert "  code#1                           step, made\n" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no artifact and no step `cod`"):
        show(second, "cod", workspace)


@pytest.mark.parametrize("name", ["code.do[a/b[1].py]#1", "code.do[a/b[1].py]", "code[a/b[1].py]", "code[a/b[1].py]#1"])
def test_an_item_of_a_step_is_shown_by_whatever_name_is_printed(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request("20260101-000000-aaaa", "out", "own", "m", {}, {}, unsafe_no_sandbox=False)
    folder = tmp_path / ".company/runs" / request.run
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(asdict(request)))
    journal = Journal(folder / "events.jsonl")
    for item in ("a/b[1].py", "c.py"):
        where = {"step": "code.do", "item": item, "round": "1", "id": f"code.do[{item}]#1"}
        journal.emit("step_started", **where, kind="role", role="engineer", why="it was never done here", made_of={})
    journal.close()
    show(request.run, name, tmp_path)
    assert capsys.readouterr().out.startswith("code.do[a/b[1].py]#1: begun\n  by       engineer\n")
    show(request.run, "code", tmp_path)
    assert capsys.readouterr().out.count(": begun\n") == 2
    with pytest.raises(UsageError, match=r"no step `code\[d.py\]`") as error:
        show(request.run, "code[d.py]", tmp_path)
    assert error.value.hint == "did you mean `code[c.py]`?"


def changes(before: dict[str, bytes], after: dict[str, bytes]) -> list[tuple[str, str, str]]:
    return [(one.path, one.group, one.diff) for one in _files(before, after)]


def test_a_document_is_shown_once_and_what_its_markdown_does_not_say_by_its_json() -> None:
    said, silent = b'{"a": 1}\n', b'{"a": 2}\n'
    both = {".company/artifacts/x.json": said, "docs/x.md": b"one\n"}
    assert [
        path for path, _, _ in changes(both, {**both, ".company/artifacts/x.json": silent, "docs/x.md": b"two\n"})
    ] == ["docs/x.md"]
    (found,) = changes(both, {**both, ".company/artifacts/x.json": silent})
    assert found[:2] == (".company/artifacts/x.json", "document")
    run = dict.fromkeys(TestRun.model_fields)
    ran = {**both, ".company/artifacts/x.json": json.dumps(run).encode()}
    assert changes(ran, {**ran, ".company/artifacts/x.json": json.dumps({**run, "output": "0.02 s"}).encode()}) == []


def test_odd_files_are_compared_as_git_would() -> None:
    ((_, _, text),) = changes({"a": b"x\x0cy\nend"}, {"a": b"x\x0cy\nend\n"})
    assert text == ("--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n x\x0cy\n-end\n\\ No newline at end of file\n+end\n")
    assert changes({"a": b"\xff\x00"}, {"a": b"\xfe"}) == [("a", "code", "")]
    ((_, _, text),) = changes({}, {"empty": b"", "new": b"1\n"})[1:]
    assert text == "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+1\n"


def test_what_a_person_edited_and_what_was_cut_short() -> None:
    begun = {"event": "step_started", "step": "a", "id": "a#1", "item": "", "round": "1", "kind": "role", "role": "r"}
    commit = {"event": "commit", "step": "a#1@edit", "sha": "f" * 40, "subject": "s", "slug": "person"}
    ended = {"event": "step_finished", "step": "a", "id": "a#1", "values": {"a": None}, "seconds": 1.0}
    other = {"event": "step_skipped", "step": "b", "item": "x", "round": "2", "reason": "when c"}
    found = executions([begun, commit, ended, other, {**begun, "step": "c", "id": "c#1"}])
    assert {ident: one.how for ident, one in found.items()} == {"a#1": "edited", "b[x]#2": "skipped", "c#1": "begun"}
