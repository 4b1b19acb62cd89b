"""Gates: who is asked, what an answer does, what a run without anybody does, and that a run that waits can be stopped."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gated import CODE, GATED, RUN, Terminal, filled, prd
from running import PRD, events, git, go_on, start

from company.artifacts import Prd, to_json
from company.errors import UsageError
from company.people import Answer, Question, as_text, from_text


class Somebody:
    """A person who gives the answers in order and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []

    async def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.answers.pop(0)


def test_work_is_sent_back_as_often_as_the_gate_allows(tmp_path: Path) -> None:
    person = Somebody(Answer("revise", "shorter"), Answer("revise", "still"), Answer("approve"))
    outcome = start(tmp_path, GATED, [prd("One"), prd("Two"), prd("Three"), CODE], person=person)
    assert (outcome.status, outcome.calls) == ("delivered", 4)
    assert [question.left for question in person.asked] == [2, 1, 0]
    assert [question.used_up for question in person.asked] == [frozenset(), frozenset(), {"revise"}]
    assert [question.shown["prd"].title for question in person.asked] == ["One", "Two", "Three"]
    decisions = [event for event in events(tmp_path) if event["event"] == "gate_decided"]
    assert [(event["choice"], event["comment"], event["by"]) for event in decisions] == [
        ("revise", "shorter", "person"),
        ("revise", "still", "person"),
        ("approve", "", "person"),
    ]
    assert json.loads((outcome.repo / ".company/artifacts/look.json").read_text()) == {
        "choice": "approve",
        "comment": "",
    }


def test_what_the_person_edits_is_what_goes_on(tmp_path: Path) -> None:
    text = GATED + 'deliver: {accept: prd.title == "Edited"}\n'
    person = Somebody(Answer("approve", "better so", {"prd": Prd.model_validate({**PRD, "title": "Edited"})}))
    outcome = start(tmp_path, text, [prd("One"), CODE], person=person)
    assert outcome.status == "delivered"  # whoever reads it below reads what the person made of it
    assert "# Edited" in (outcome.repo / "docs/prd.md").read_text()
    assert (
        git(outcome.repo, "log", "-1", "--format=%an: %s", "--", "docs/prd.md")
        == "Person: look: approve, change prd (better so)\n"
    )
    assert [e["edited"] for e in events(tmp_path) if e["event"] == "gate_decided"] == [["prd"]]


def test_a_refusal_fails_the_run_and_a_resume_asks_again(tmp_path: Path) -> None:
    outcome = start(tmp_path, GATED, [prd("One"), CODE], person=Somebody(Answer("reject", "not this")))
    assert (outcome.status, outcome.reason) == (
        "failed",
        "step look#1: `reject` was chosen at the gate `look`: not this",
    )
    again = go_on(tmp_path, headless=True)
    assert (again.status, again.calls) == ("delivered", 2)


def test_nobody_to_ask_stops_the_run_before_anything_below_is_paid_for(tmp_path: Path) -> None:
    outcome = start(tmp_path, GATED, [prd("One"), CODE])
    assert (outcome.status, outcome.calls) == ("interrupted", 1)
    assert "waits for a person" in outcome.reason
    assert "--headless" in outcome.hint
    again = go_on(tmp_path, headless=True)
    assert (again.status, again.calls) == ("delivered", 2)
    assert [e["by"] for e in events(tmp_path) if e["event"] == "gate_decided"] == ["headless"]


def test_nothing_below_a_gate_begins_before_it_though_it_reads_nothing_of_it(tmp_path: Path) -> None:
    seen: list[str] = []

    async def slow(question: Question) -> Answer:
        await asyncio.sleep(0.3)
        seen.extend(e["step"] for e in events(tmp_path) if e["event"] == "step_started")
        return Answer("approve")

    start(tmp_path, GATED, [prd("One"), CODE], person=slow)
    assert seen == ["prd", "look"]


@pytest.mark.parametrize(
    ("old", "text", "new"),
    [
        ("a", "b\n", "b"),
        (["a"], '["b", "c"]', ["b", "c"]),
        (3, "4", 4),
        ({"a": 1}, '{"b": 2}', {"b": 2}),
        (Prd.model_validate(PRD), json.dumps({**PRD, "title": "New"}), {**PRD, "title": "New"}),
    ],
)
def test_an_edited_text_gives_its_data(old: object, text: str, new: object) -> None:
    assert from_text(text, old) == new
    assert from_text(as_text(old), old) == to_json(old)


def test_an_edit_that_does_not_fit_is_refused_and_says_where(tmp_path: Path) -> None:
    said: list[str] = []

    async def person(question: Question) -> Answer:
        for change in ({**PRD, "goals": [1]}, {**PRD, "more": 1}, "text"):
            with pytest.raises(UsageError) as raised:
                question.fitting("prd", change)
            said.append(raised.value.message)
        return Answer("approve", edited={"prd": question.fitting("prd", {**PRD, "title": "New"})})

    outcome = start(tmp_path, GATED, [prd("One"), CODE], person=person)
    assert outcome.status == "delivered"
    assert said[0] == "`prd` does not fit: goals.0: Input should be a valid string"
    assert json.loads((outcome.repo / ".company/artifacts/prd.json").read_text())["title"] == "New"


def test_a_decision_that_is_in_the_journal_is_not_asked_for_again(tmp_path: Path) -> None:
    from company import gates

    async def killed(*args: object) -> None:
        raise UsageError("killed before the commit")

    edited = {**PRD, "title": "Edited"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "commit_files", killed)
        person = Somebody(Answer("approve", "good", {"prd": edited}))
        assert start(tmp_path, GATED, [prd("One"), CODE], person=person).status == "failed"
    again = go_on(tmp_path)  # with nobody to ask
    assert (again.status, again.reason) == ("delivered", "")
    assert len([e for e in events(tmp_path) if e["event"] == "gate_decided"]) == 1
    assert "# Edited" in (again.repo / "docs/prd.md").read_text()
    assert "Person: look: approve, change prd (good)" in git(again.repo, "log", "--format=%an: %s")


# --- on a terminal ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path)


@pytest.mark.parametrize("view", [(), ("--plain",)])
def test_a_person_at_a_terminal_sends_back_edits_and_approves(folder: Path, view: tuple[str, ...]) -> None:
    terminal = Terminal(folder, *RUN, *view)
    terminal.until("your choice: ")
    terminal.type("nonsense")
    terminal.until("none of the choices")
    terminal.type("rev the title is wrong")
    terminal.until("# Two")
    terminal.type("e prd")
    terminal.until("prd is changed")
    terminal.type("1")
    assert terminal.end() == 0, terminal.text
    assert "# Edited" in (folder / "ws/out/docs/prd.md").read_text()
    decided = [e for e in events(folder) if e["event"] == "gate_decided"]
    assert [(e["choice"], e["comment"]) for e in decided] == [("revise", "the title is wrong"), ("approve", "")]


def test_ctrl_c_at_a_gate_stops_at_once_and_resume_asks_again(folder: Path) -> None:
    terminal = Terminal(folder, *RUN, "--plain")
    terminal.until("your choice: ")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130, terminal.text
    assert "company resume" in terminal.text
    again = Terminal(folder, "resume", "--workspace", "ws", "--plain")
    again.until("your choice: ")
    again.type("approve")
    assert again.end() == 0, again.text
    calls = [e for e in events(folder) if e["event"] == "call_finished" and not e["from_store"]]
    assert [e["step"] for e in calls] == ["prd", "code"]


def test_a_kill_at_a_gate_loses_nothing(folder: Path) -> None:
    terminal = Terminal(folder, *RUN, "--plain")
    terminal.until("your choice: ")
    terminal.process.kill()
    terminal.end()
    done = subprocess.run(
        [sys.executable, "-m", "company", "resume", "--workspace", "ws", "--headless", "--plain"],
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0
    calls = [e for e in events(folder) if e["event"] == "call_finished" and not e["from_store"]]
    assert [e["step"] for e in calls] == ["prd", "code"]
