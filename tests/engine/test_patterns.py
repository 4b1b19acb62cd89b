"""The shipped patterns, each run whole with a script and once without any model; the sandbox, git and the tests are real."""

import json
from pathlib import Path
from typing import Any

import pytest
from running import CHECKS, INTERFACE, OUTLINE, RIGHT, WRONG, events, git, start

from company.events import Event
from company.llm.client import OnTokens, Reply, Request
from company.llm.scripted import ScriptedModel
from company.sop.library import Library
from company.sop.linker import load_procedure

PROCEDURES = sorted(Library(None).sops())
RUNNABLE = [name for name in PROCEDURES if set(load_procedure(name, Library(None)).inputs) == {"requirement"}]
APPROVED, REFUSED = {"approved": True, "comments": []}, {"approved": False, "comments": ["the mark is missing"]}
TESTS = {"step": "tests", "reply": CHECKS}


def order(folder: Path, *names: str) -> list[str]:
    """The steps that finished, in order; those of `names` alone where there are any."""
    found = [event["step"].removesuffix(".do") for event in events(folder) if event["event"] == "step_finished"]
    return [step for step in found if not names or step in names]


def code_of(event_path: Path) -> str:
    return (event_path / "shout.py").read_text()


@pytest.mark.parametrize("name", PROCEDURES)
def test_it_is_short_and_names_its_source(name: str) -> None:
    procedure = load_procedure(name, Library(None))
    assert len(procedure.text.splitlines()) <= 60
    assert procedure.name == name
    assert procedure.text.startswith("# yaml-language-server: $schema=sop-1.json\n")
    # a baseline, a block, and patterns of offices rather than of papers
    own = {"zero_shot", "build", "review_board", "feature"}
    assert ("arXiv" in procedure.description) != (name in own)
    assert not procedure.warnings


@pytest.mark.parametrize("name", RUNNABLE)
def test_it_goes_through_without_a_model(name: str, tmp_path: Path) -> None:
    seen: list[Event] = []
    outcome = start(tmp_path, name, [], dry_run=True, listen=seen.append)
    assert (outcome.status, outcome.reason, outcome.accepted, outcome.cost_usd) == ("delivered", "", False, 0)
    assert git(outcome.repo, "status", "--porcelain") == ""
    procedure = load_procedure(name, Library(None))
    done = {event["step"] for event in seen if event["event"] in ("step_finished", "step_skipped")}
    worked = {step.path for step in procedure.walk() if not step.body}
    assert done >= worked  # every step had its turn
    for loop in (step for step in procedure.walk() if step.kind == "loop" and step.until and step.max > 1):
        rounds = [event["until"] for event in seen if event["event"] == "loop_round" and event["step"] == loop.path]
        assert set(rounds) == {True, False}, loop.path  # taken both ways


def test_test_first_writes_code_until_the_checks_pass(tmp_path: Path) -> None:
    worse = "```python\ndef shout(text: str) -> str:\n    return 1 / 0\n```"
    script = [TESTS, {"step": "code", "reply": WRONG}]
    script += [{"step": "verify.fix", "round": n, "reply": reply} for n, reply in ((2, worse), (3, RIGHT))]
    outcome = start(tmp_path, "test_first", script)
    assert (outcome.status, outcome.calls) == ("delivered", 4)
    assert order(tmp_path)[:2] == ["tests", "code"]
    assert code_of(outcome.repo).endswith('    return text.upper() + "!"\n')
    undone = [event["text"] for event in events(tmp_path) if event["event"] == "notice"]
    assert undone == ["verify: round 2 was no better and is undone"]


def test_what_was_undone_counts_as_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, bool] = {}
    complete = ScriptedModel.complete

    async def seen(model: ScriptedModel, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        if request.label.step == "verify.fix":
            told[request.label.round] = "failed alike" in request.messages[-1].content
        return await complete(model, request, on_tokens)

    monkeypatch.setattr(ScriptedModel, "complete", seen)
    again = [
        f"```python\ndef shout(text: str) -> str:\n    return {body}\n```"
        for body in ("str.upper(text)", '"".join(text.upper())')
    ]
    script = [TESTS, {"step": "code", "reply": WRONG}]
    script += [
        {"step": "verify.fix", "round": n, "reply": reply} for n, reply in ((2, again[0]), (3, again[1]), (4, RIGHT))
    ]
    outcome = start(tmp_path, "test_first", script)
    assert outcome.status == "delivered"
    assert told == {2: False, 3: False, 4: True}, "both gave what the first gave, and were undone for it"


def test_planning_works_the_tasks_in_the_order_of_their_needs(tmp_path: Path) -> None:
    circle = {"tasks": [{"id": "a", "goal": "g", "needs": ["b"]}, {"id": "b", "goal": "g", "needs": ["a"]}]}
    plan = {
        "tasks": [{"id": "mark", "goal": "add !", "needs": ["caps"]}, {"id": "caps", "goal": "capitals", "needs": []}]
    }
    script = [
        {"step": "plan", "attempt": 1, "reply": circle},
        {"step": "plan", "attempt": 2, "reply": plan},
        TESTS,
        {"step": "code", "reply": WRONG.replace("upper", "lower")},
        {"step": "work", "item": "caps", "reply": WRONG},
        {"step": "work", "item": "mark", "reply": RIGHT},
    ]
    outcome = start(tmp_path, "planning", script)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    rejected = [event["reason"] for event in events(tmp_path) if event["event"] == "reply_rejected"]
    assert rejected == ["the reply does not hold together: the items of `work` need one another in a circle: a → b → a"]
    items = [
        event["item"] for event in events(tmp_path) if event["event"] == "step_finished" and event["step"] == "work.do"
    ]
    assert items == ["caps", "mark"]


def test_debate_ends_when_the_judge_says_so(tmp_path: Path) -> None:
    def turn(number: int, settled: bool) -> list[dict[str, Any]]:
        return [
            {"step": "debate.affirmative", "round": number, "reply": f"one function {number}"},
            {"step": "debate.negative", "round": number, "reply": f"a class {number}"},
            {"step": "debate.judge", "round": number, "reply": {"settled": settled, "solution": "one function"}},
        ]

    script = [*turn(1, False), *turn(2, True), TESTS, {"step": "code", "reply": RIGHT}]
    outcome = start(tmp_path, "debate", script)
    assert (outcome.status, outcome.calls) == ("delivered", 8)
    asked = [event for event in events(tmp_path) if event["event"] == "loop_round"]
    assert [event["until"] for event in asked] == [False, True]


def test_cascade_asks_a_dearer_model_only_where_the_tests_say_no(tmp_path: Path) -> None:
    script = [TESTS, {"step": "code", "round": 1, "reply": WRONG}, {"step": "code", "round": 2, "reply": RIGHT}]
    outcome = start(tmp_path, "cascade", script)
    assert (outcome.status, outcome.calls) == ("delivered", 3)
    assert order(tmp_path) == ["tests", "code", "code.accept", "code", "code.accept", "verify"]


def test_cascade_goes_on_with_the_best_where_none_passes(tmp_path: Path) -> None:
    broken = "```python\ndef shout(text: str) -> str:\n    return 1 / 0\n```"
    script = [TESTS, *({"step": "code", "reply": reply} for reply in (broken, WRONG, broken.replace("1", "2")))]
    outcome = start(tmp_path, "cascade", script)
    assert (outcome.status, outcome.calls) == ("unaccepted", 4)
    assert "upper()" in code_of(outcome.repo)


def test_self_moa_aggregates_samples_that_are_no_files_yet(tmp_path: Path) -> None:
    drafts = [{"step": "drafts", "reply": WRONG.replace("upper()", f"upper()[:{n}]")} for n in range(6)]
    outcome = start(tmp_path, "self_moa", [*drafts, {"step": "code", "reply": RIGHT}, TESTS])
    assert (outcome.status, outcome.calls) == ("delivered", 8)
    kept = json.loads((outcome.repo / ".company/artifacts/drafts.json").read_text())
    assert len(kept) == 6
    history = git(outcome.repo, "log", "--format=%s", "--", "shout.py").splitlines()
    assert history == ["code: write shout.py"]


def test_self_moa_seq_carries_the_best_from_round_to_round(tmp_path: Path) -> None:
    drafts = [{"step": "rounds.drafts", "reply": WRONG.replace("upper()", f"upper()[:{n}]")} for n in range(6)]
    merged = [{"step": "rounds.code", "round": n, "reply": RIGHT if n == 3 else WRONG} for n in (1, 2, 3)]
    outcome = start(tmp_path, "self_moa_seq", [*drafts, *merged, TESTS])
    assert (outcome.status, outcome.calls) == ("delivered", 10)
    assert [event["until"] for event in events(tmp_path) if event["event"] == "loop_round"] == [False, False, True]


def test_chat_chain_goes_through_its_chats(tmp_path: Path) -> None:
    script = [
        {"step": "idea.proposal", "round": 1, "reply": "a module"},
        {"step": "idea.remark", "round": 1, "reply": {"agreed": False, "remark": "say what it returns"}},
        {"step": "idea.proposal", "round": 2, "reply": "a module whose function returns capitals"},
        {"step": "idea.remark", "round": 2, "reply": {"agreed": True, "remark": "yes"}},
        {"step": "code", "reply": WRONG.replace("upper", "lower")},
        {"step": "review.critic", "round": 1, "reply": REFUSED},
        {"step": "review.change", "round": 1, "reply": WRONG},
        {"step": "review.critic", "round": 2, "reply": APPROVED},
        TESTS,
        {"step": "testing.fix", "round": 2, "reply": RIGHT},
    ]
    outcome = start(tmp_path, "chat_chain", script)
    assert (outcome.status, outcome.calls) == ("delivered", 10)
    assert git(outcome.repo, "log", "--format=%an", "--", "shout.py").splitlines() == ["Engineer"] * 3


def test_review_board_builds_again_what_is_sent_back(tmp_path: Path) -> None:
    from company.people import Answer, Question

    asked: list[Question] = []

    async def person(question: Question) -> Answer:
        asked.append(question)
        return Answer("revise", "the mark!") if len(asked) == 1 else Answer("accept")

    def built(code: str, review: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"step": "design", "reply": OUTLINE},
            {"step": "design", "reply": INTERFACE},
            {"step": "build.tests", "reply": CHECKS},
            {"step": "build.code", "item": "shout.py", "reply": code},
            {"step": "correctness", "reply": review},
            {"step": "security", "reply": APPROVED},
        ]

    fixes = [{"step": "build.verify.fix", "round": n, "reply": WRONG} for n in range(2, 7)]
    first, again = built(WRONG, REFUSED), built(RIGHT, APPROVED)
    outcome = start(tmp_path, "review_board", [*first, *fixes, *again], person=person)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert [question.round for question in asked] == ["1", "2"]
    assert asked[0].shown["correctness"].comments == ["the mark is missing"]
    assert "revise" in asked[0].choices
    assert git(outcome.repo, "log", "--format=%an: %s", "--", "docs/board.md").splitlines() == [
        "Person: board: accept",
        "Person: board: revise (the mark!)",
    ]


def test_tool_use_tries_things_out_and_mends_with_what_it_read(tmp_path: Path) -> None:
    def call(tool: str, **arguments: str) -> dict[str, Any]:
        return {"thought": "see", "call": {"tool": tool, "arguments": arguments}}

    done = {"thought": "enough", "call": {"tool": "done"}}
    script = [
        {"step": "code", "reply": call("python", code="print('hi'.upper())")},
        {"step": "code", "reply": done},
        {"step": "code", "reply": WRONG},
        TESTS,
        {"step": "verify.fix", "round": 2, "reply": call("files.search", text="upper")},
        {"step": "verify.fix", "round": 2, "reply": done},
        {"step": "verify.fix", "round": 2, "reply": RIGHT},
    ]
    outcome = start(tmp_path, "tool_use", script)
    assert (outcome.status, outcome.reason, outcome.calls) == ("delivered", "", 7)
    made = [event for event in events(tmp_path) if event["event"] == "tool_finished"]
    assert [(event["step"], event["name"], event["ok"]) for event in made] == [
        ("code", "python", True),
        ("verify.fix", "files.search", True),
    ]


def test_conductor_asks_the_experts_it_names_and_writes_with_what_they_said(tmp_path: Path) -> None:
    def turn(number: int, expert: str, finished: bool) -> dict[str, Any]:
        return {
            "step": "conduct.lead",
            "round": number,
            "reply": {"expert": expert, "task": f"question {number}", "finished": finished},
        }

    done = {"thought": "t", "call": {"tool": "done"}}
    script = [
        turn(1, "mathematician", False),
        {"step": "conduct.work", "role": "mathematician", "round": 1, "reply": done},
        {"step": "conduct.work", "role": "mathematician", "round": 1, "reply": "capitals are upper()"},
        turn(2, "reviewer", False),
        {"step": "conduct.work", "role": "reviewer", "round": 2, "reply": done},
        {"step": "conduct.work", "role": "reviewer", "round": 2, "reply": "mind the mark"},
        turn(3, "engineer", True),
        TESTS,
        {"step": "code", "reply": RIGHT},
    ]
    outcome = start(tmp_path, "conductor", script)
    assert (outcome.status, outcome.reason, outcome.calls) == ("delivered", "", 9)
    authors = git(outcome.repo, "log", "--reverse", "--format=%an", "--", "docs/conduct.work.md").splitlines()
    assert authors == ["Mathematician", "Reviewer"]
