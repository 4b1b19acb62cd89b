"""Gates that wait: what the journal tells of them, and answers that come from a file instead of a terminal."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gated import CODE, GATED, RUN, Terminal, filled, prd
from running import PRD, RIGHT, events, git, go_on, start

from company import answers
from company.answers import Given
from company.engine import Outcome
from company.errors import Interrupted, UsageError
from company.events import Event
from company.people import Answer, Question
from company.records import find
from company.report import Report
from company.store import Folder
from company.waiting import data, edited, of_run

ROUNDS = [prd("One", 1), prd("Two", 2), prd("Three", 3), CODE]
ITEMS = """sop: 1
name: items
artifacts: {Names: {names: [str]}}
steps:
  names: {role: product_manager, prompt: names, in: requirement, out: Names}
  each:
    for_each: names.names
    as: name
    key: name
    parallel: 3
    max: 5
    do:
      draft: {role: product_manager, prompt: draft, in: [requirement, name], out: str}
      look:  {gate: human, show: draft, choices: {approve: next, drop: fail}, headless: approve}
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}
"""
LISTED = """sop: 1
name: listed
steps:
  prd:    {role: product_manager, in: requirement, out: Prd}
  design: {role: architect, in: [requirement, prd], out: Design}
  look:   {gate: human, show: [prd, design], choices: {approve: next, revise: design}, max: 1, headless: approve}
  each:
    for_each: design.files
    as: file
    key: file.path
    needs: file.depends_on
    max: 8
    do: {role: engineer, prompt: code, in: [requirement, design, file, deps], out: SourceFile}
"""


def waits(folder: Path, name: str = "out") -> list[Question]:
    store = Folder((folder / "ws" / ".company").resolve())
    return of_run(store, find(store, name))


def decided(folder: Path) -> list[tuple[str, str, str, str]]:
    return [(e["id"], e["choice"], e["comment"], e["by"]) for e in events(folder) if e["event"] == "gate_decided"]


def journal(folder: Path) -> Path:
    (path,) = (folder / "ws" / ".company" / "runs").glob("*/events.jsonl")
    return path


def answering(folder: Path, text: str) -> Outcome:
    """Resume with a file of answers."""
    (folder / "answers.json").write_text(text)
    return go_on(folder, answers=answers.read(str(folder / "answers.json")))


def test_a_gate_that_waits_tells_all_that_a_viewer_needs(tmp_path: Path) -> None:
    outcome = start(tmp_path, GATED, ROUNDS)
    assert outcome.status == "interrupted"
    assert "--answer" in outcome.hint
    (opened,) = [e for e in events(tmp_path) if e["event"] == "gate_opened"]
    assert opened["show"] == [*opened["values"]] == ["prd"]
    assert (opened["edits"], opened["used_up"], opened["left"]) == ({"prd": "Prd"}, [], 2)
    (gate,) = waits(tmp_path)
    told = data(gate)
    assert json.loads(told["shown"][0].pop("text"))["title"] == "One"
    assert told == {
        "gate": "look#1",
        "step": "look",
        "item": "",
        "round": "1",
        "shown": [{"name": "prd", "type": "Prd"}],
        "choices": {"approve": "next", "revise": "prd", "reject": "fail"},
        "used_up": [],
        "left": 2,
    }


def test_a_file_answers_a_gate_as_a_person_does(tmp_path: Path) -> None:
    start(tmp_path, GATED + 'deliver: {accept: prd.title == "Edited"}\n', ROUNDS)
    change = {
        "gate": "look",
        "choice": "approve",
        "comment": "better so",
        "edited": {"prd": {**PRD, "title": "Edited"}},
    }
    outcome = answering(tmp_path, json.dumps(change))
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert decided(tmp_path) == [("look#1", "approve", "better so", "person")]
    assert git(outcome.repo, "log", "-1", "--format=%an: %s", "--", "docs/prd.md") == (
        "Person: look: approve, change prd (better so)\n"
    )
    assert waits(tmp_path) == []


def test_work_that_a_file_sends_back_is_asked_for_again_as_often_as_the_gate_allows(tmp_path: Path) -> None:
    start(tmp_path, GATED, ROUNDS)
    for number, left in ((1, 1), (2, 0)):
        outcome = answering(tmp_path, '{"gate": "look", "choice": "revise", "comment": "shorter"}')
        assert (outcome.status, outcome.calls) == ("interrupted", number + 1)
        (gate,) = waits(tmp_path)
        assert (gate.id, gate.left, gate.shown["prd"].title) == (
            f"look#{number + 1}",
            left,
            ("Two", "Three")[number - 1],
        )
    assert gate.used_up == {"revise"}
    with pytest.raises(UsageError, match="`revise` is not offered any more at `look#3`"):
        answering(tmp_path, '{"gate": "look", "choice": "revise"}')
    assert answering(tmp_path, '{"gate": "look#3", "choice": "approve"}').status == "delivered"
    report = Report.of(events(tmp_path))
    assert 0 <= report.waited <= report.seconds


def test_an_answer_may_end_the_run_and_a_resumed_one_asks_again(tmp_path: Path) -> None:
    start(tmp_path, GATED, ROUNDS)
    outcome = answering(tmp_path, '{"gate": "look", "choice": "reject", "comment": "not this"}')
    assert (outcome.status, outcome.reason) == (
        "failed",
        "step look#1: `reject` was chosen at the gate `look`: not this",
    )
    assert waits(tmp_path) == []
    with pytest.raises(UsageError, match="no gate `look` waits") as raised:
        answering(tmp_path, '{"gate": "look", "choice": "approve"}')
    assert "company resume" in raised.value.hint
    assert go_on(tmp_path).status == "interrupted"
    assert answering(tmp_path, '{"gate": "look", "choice": "approve"}').status == "delivered"


BAD = {
    "nothing": ("", "it is no JSON: Expecting value", "gate"),
    "a word": ('"look"', "Input should be a valid dictionary", "gate"),
    "an empty list": ("[]", "there is no answer in it", "gate"),
    "a missing choice": ('{"gate": "look"}', "choice: Field required", "gate"),
    "an unknown key": ('{"gate": "look", "choice": "approve", "say": ""}', "say: Extra inputs", "gate"),
    "no text": ('{"gate": "look", "choice": 1}', "choice: Input should be a valid string", "gate"),
    "no Unicode": (
        '{"gate": "look", "choice": "approve", "comment": "\\ud800"}',
        "a text in it is not valid Unicode",
        "escape",
    ),
    "an unknown gate": ('{"gate": "loop", "choice": "approve"}', "no gate `loop` waits", "`look#1`"),
    "another round": ('{"gate": "look#2", "choice": "approve"}', "no gate `look#2` waits", "`look#1`"),
    "a wrong choice": (
        '{"gate": "look", "choice": "aprove"}',
        "`aprove` is no choice of the gate `look#1`",
        "`approve`",
    ),
    "another name": (
        '{"gate": "look", "choice": "approve", "edited": {"code": ""}}',
        "`code` may not be edited at `look#1`",
        "`prd`",
    ),
    "a value that does not fit": (
        json.dumps({"gate": "look", "choice": "approve", "edited": {"prd": {**PRD, "goals": [1]}}}),
        "`prd` does not fit: goals.0: Input should be a valid string",
        "it must be Prd",
    ),
    "the same twice": (
        '[{"gate": "look", "choice": "approve"}, {"gate": "look#1", "choice": "approve"}]',
        "answer 2: `look#1` is answered twice",
        "leave one",
    ),
}


def test_an_answer_that_cannot_be_taken_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    start(tmp_path, GATED, ROUNDS)
    before = journal(tmp_path).read_bytes()
    for name, (text, message, hint) in BAD.items():
        with pytest.raises(UsageError) as raised:
            answering(tmp_path, text)
        assert str(raised.value).startswith(str(tmp_path / "answers.json")), name
        assert message in str(raised.value), name
        assert hint in raised.value.hint, name
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        answers.read(str(tmp_path / "none.json"))
    (tmp_path / "latin.json").write_bytes(b'{"gate": "l\xf6\xf6k"}')
    with pytest.raises(UsageError, match="not UTF-8"):
        answers.read(str(tmp_path / "latin.json"))
    assert journal(tmp_path).read_bytes() == before
    assert [gate.id for gate in waits(tmp_path)] == ["look#1"]


def test_an_answer_holds_though_a_limit_stops_the_run_next(tmp_path: Path) -> None:
    start(tmp_path, GATED, ROUNDS)
    outcome = go_on(tmp_path, {"calls": 1}, answers=[Given("look", "approve", "fine")])
    assert outcome.status == "limited"
    assert waits(tmp_path) == []
    again = go_on(tmp_path, {"calls": 9})
    assert (again.status, again.reason) == ("delivered", "")
    assert decided(tmp_path) == [("look#1", "approve", "fine", "person")]


# --- several at once ----------------------------------------------------------------------------------


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """A folder with a run that was stopped while two of its three items were asked about."""
    for name, text in {"names": "Names for {{ requirement }}", "draft": "{{ requirement }}: {{ name }}"}.items():
        path = tmp_path / "prompts" / "product_manager" / f"{name}.md.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    asked: list[str] = []
    through = asyncio.Event()

    def listen(event: Event) -> None:
        if event["event"] == "step_finished" and event.get("item") == "c" and event["step"] == "each.look":
            through.set()

    async def person(question: Question) -> Answer:
        asked.append(question.item)
        if question.item == "c":
            return Answer("approve")
        while not {"a", "b"} <= {*asked}:
            await asyncio.sleep(0.05)
        await through.wait()
        raise Interrupted("gone")

    script: list[dict[str, Any]] = [{"step": "names", "reply": {"names": ["a", "b", "c"]}}]
    script += [{"step": "each.draft", "item": name, "reply": f"Draft {name}"} for name in "abc"]
    outcome = start(tmp_path, ITEMS, [*script, CODE], user_dir=tmp_path, person=person, listen=listen)
    assert outcome.status == "interrupted"
    return tmp_path


def test_gates_that_wait_at_once_are_answered_together(items: Path) -> None:
    assert {gate.id: gate.shown["draft"] for gate in waits(items)} == {
        "each.look[a]#1": "Draft a",
        "each.look[b]#1": "Draft b",
    }
    with pytest.raises(UsageError, match=r"`each\.look` waits 2 times") as raised:
        answering(items, '{"gate": "each.look", "choice": "approve"}')
    assert {"`each.look[a]#1`", "`each.look[b]#1`"} == {*raised.value.hint.removeprefix("say which one: ").split(", ")}
    two = [
        {"gate": "each.look[b]", "choice": "approve", "edited": {"draft": "Mine"}},
        {"gate": "each.look[a]#1", "choice": "approve"},
    ]
    outcome = answering(items, json.dumps(two))
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert {ident for ident, *_ in decided(items)} == {f"each.look[{name}]#1" for name in "abc"}


def test_the_run_stops_at_a_gate_that_the_file_does_not_answer_and_keeps_what_it_answered(items: Path) -> None:
    outcome = answering(items, '{"gate": "each.look[b]", "choice": "approve"}')
    assert (outcome.status, "nobody to ask" in outcome.reason) == ("interrupted", True)
    assert [gate.id for gate in waits(items)] == ["each.look[a]#1"]
    assert answering(items, '{"gate": "each.look", "choice": "approve"}').status == "delivered"
    assert len([ident for ident, *_ in decided(items) if "[b]" in ident]) == 1


def test_one_refusal_loses_no_other_answer(items: Path) -> None:
    both = [Given("each.look[a]", "drop"), Given("each.look[b]", "approve", "good")]
    outcome = go_on(items, answers=both)
    assert (outcome.status, "`drop` was chosen" in outcome.reason) == ("failed", True)
    assert go_on(items).status == "interrupted"
    assert [gate.id for gate in waits(items)] == ["each.look[a]#1"]
    assert go_on(items, answers=[Given("each.look", "approve")]).status == "delivered"


# --- what is typed ------------------------------------------------------------------------------------


@pytest.fixture
def design(tmp_path: Path) -> Question:
    """The question at a gate that shows a design, whose files are what a for_each goes through."""
    outline = {"approach": "One.", "entry_point": "", "dependencies": []}
    parts = [{"signature": "def shout(text: str) -> str", "purpose": "Capitals."}]
    script = [
        prd("One"),
        {"step": "design", "reply": outline},
        {"step": "design", "reply": {"purpose": "Shouts.", "depends_on": [], "parts": parts}},
        {"step": "each", "reply": RIGHT},
    ]
    assert start(tmp_path, LISTED, script).status == "interrupted"
    (gate,) = waits(tmp_path)
    return gate


def test_an_edited_text_is_looked_at_without_running_anything(design: Question) -> None:
    texts = {shown["name"]: shown["text"] for shown in data(design)["shown"]}
    whole = json.loads(texts["design"])
    assert edited(design, "design", texts["design"]) == whole
    file = whole["files"][0]
    for text, message in {
        "{": "it is no JSON: Expecting property name enclosed in double quotes: line 1 column 2",
        json.dumps(
            {**whole, "files": [{**file, "purpose": 1}]}
        ): "`design` does not fit: files.0.purpose: Input should be",
        json.dumps({**whole, "files": [{**file, "depends_on": ["other.py"]}]}): "which is no item",
        json.dumps({**whole, "files": [file, file]}): "two items of `each` have the key `shout.py`",
    }.items():
        with pytest.raises(UsageError) as raised:
            edited(design, "design", text)
        assert message in raised.value.message
    with pytest.raises(UsageError, match="`code` may not be edited"):
        edited(design, "code", "x")


def test_code_keeps_to_paths_that_may_be_written(tmp_path: Path) -> None:
    text = """sop: 1
name: coded
steps:
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}
  look: {gate: human, show: code, choices: {approve: next}, headless: approve}
"""
    start(tmp_path, text, [CODE])
    (gate,) = waits(tmp_path)
    (file,) = json.loads(data(gate)["shown"][0]["text"])
    for path in ("../shout.py", ".git/config", ".company/run.json"):
        with pytest.raises(UsageError, match="`code` does not fit: ") as raised:
            go_on(tmp_path, answers=[Given("look", "approve", "", {"code": [{**file, "path": path}]})])
        assert "path" in raised.value.hint
    mine = {"path": "loud.py", "content": "LOUD = True\n"}
    outcome = go_on(tmp_path, answers=[Given("look", "approve", "", {"code": [mine]})])
    assert outcome.status in ("delivered", "unaccepted")
    assert (outcome.repo / "loud.py").read_text() == mine["content"]
    assert not (outcome.repo / "shout.py").exists()


# --- the command --------------------------------------------------------------------------------------


def company(folder: Path, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "company", *words, "--workspace", "ws"]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False)


def test_a_script_reads_what_waits_and_answers_it(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    assert company(folder, *RUN[:-2], "--plain").returncode == 130
    shown = json.loads(company(folder, "show", "out", "--json").stdout)
    assert [gate["gate"] for gate in shown["waits"]] == ["look#1"]
    assert (
        "look#1                           waits for a person: approve, revise, reject"
        in company(folder, "show", "out").stdout
    )
    back = company(folder, "resume", "out", "--answer", "-", stdin='{"gate": "look", "choice": "revise"}')
    assert back.returncode == 130
    wrong = company(folder, "resume", "out", "--answer", "-", stdin='{"gate": "look#1", "choice": "approve"}')
    assert wrong.returncode == 2
    assert wrong.stderr == "error: standard input: no gate `look#1` waits\n\nhint: did you mean `look#2`?\n"
    both = company(folder, "resume", "out", "--answer", "-", "--headless", stdin="{}")
    assert (both.returncode, "--headless both say who decides" in both.stderr) == (2, True)
    (folder / "a.json").write_text('[{"gate": "look#2", "choice": "approve"}]')
    assert company(folder, "resume", "--answer", "a.json").returncode == 0
    assert decided(folder) == [("look#1", "revise", "", "person"), ("look#2", "approve", "", "person")]


def test_a_gate_at_which_somebody_is_asked_is_not_answered_from_elsewhere(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    terminal = Terminal(folder, *RUN, "--plain")
    terminal.until("your choice: ")
    assert waits(folder) == []
    assert json.loads(company(folder, "show", "out", "--json").stdout)["waits"] == []
    busy = company(folder, "resume", "out", "--answer", "-", stdin='{"gate": "look", "choice": "reject"}')
    assert busy.returncode == 1
    assert "is under way: no answer was taken" in busy.stderr
    assert "hint: decide where it asks" in busy.stderr
    terminal.process.kill()
    terminal.end()
    assert [gate.id for gate in waits(folder)] == ["look#1"]  # whoever was asked is gone
    assert company(folder, "resume", "--answer", "-", stdin='{"gate": "look", "choice": "approve"}').returncode == 0


def test_an_old_journal_is_read_and_its_gate_is_opened_again(tmp_path: Path) -> None:
    start(tmp_path, GATED, ROUNDS)
    lines = [json.loads(line) for line in journal(tmp_path).read_text().splitlines()]
    new = ("values", "edits", "used_up", "left")
    for line in lines:
        if line["event"] == "gate_opened":
            assert all(line.pop(name) is not None for name in new)
    journal(tmp_path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert waits(tmp_path) == []
    for command in ("show", "replay"):
        assert company(tmp_path, command, "out").returncode == 0
    with pytest.raises(UsageError, match="no gate `look` waits"):
        go_on(tmp_path, answers=[Given("look", "approve")])
    assert go_on(tmp_path).status == "interrupted"
    assert [gate.id for gate in waits(tmp_path)] == ["look#1"]
    assert go_on(tmp_path, answers=[Given("look", "approve")]).status == "delivered"
