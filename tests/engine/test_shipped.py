"""The shipped procedures, whole: replies from a script, everything else for real."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import CHECKS, INTERFACE, OUTLINE, PRD, REQUIREMENT, RIGHT, WATERFALL, WRONG, events, git, start


def test_waterfall_from_requirement_to_repository(tmp_path: Path) -> None:
    script = [
        *WATERFALL,
        {"step": "code", "item": "shout.py", "reply": WRONG},
        {"step": "verify.fix", "round": 2, "reply": RIGHT},
    ]
    outcome = start(tmp_path, "waterfall", script)
    repo = outcome.repo
    assert (outcome.status, outcome.accepted, outcome.reason) == ("delivered", True, "")
    assert outcome.calls == 6
    assert outcome.replies == {"first": 6, "repaired": 0, "failed": 0}
    assert outcome.cost_usd == 0
    assert (repo / "shout.py").read_text().endswith('    return text.upper() + "!"\n')
    authors = git(repo, "log", "--reverse", "--format=%an").split("\n")[:-1]
    assert authors == [
        "Company", "Product Manager", "Architect", "QA Engineer", "Engineer", "Test Runner", "Engineer",
        "Test Runner", "Company",
    ] or authors[3:5] == ["Engineer", "QA Engineer"]  # fmt: skip  # the two work at the same time
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "log", "-1", "--format=%s", "--", "shout.py") == "verify.fix: change shout.py\n"
    trailers = git(repo, "log", "-1", "--format=%(trailers:only)", "--", "shout.py")
    assert f"Company-Run: {outcome.run}\nCompany-Step: verify.fix#2\nCompany-Model: script:script.yaml\n" in trailers
    assert json.loads((repo / ".company/artifacts/prd.json").read_text()) == PRD
    design = json.loads((repo / ".company/artifacts/design.json").read_text())
    (file,) = design["files"]
    (part,) = file["parts"]
    assert file["path"] == "shout.py"
    assert part["signature"] == "def shout(text: str) -> str"  # as the architect wrote it: the parameters are the same
    assert part["quote"] == REQUIREMENT  # the user's own words, found by rule
    assert design["approach"] == OUTLINE["approach"]
    assert "```mermaid" in (repo / "docs/design.md").read_text()
    assert "R1 | must" in (repo / "docs/prd.md").read_text()
    record = json.loads((repo / ".company/run.json").read_text())
    assert record["accepted"] is True
    assert record["verdict"] == "2 of 2 required tests pass, 1 of 1 others"
    assert "python -m pytest" in (repo / "README.md").read_text()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=repo, check=False)
    assert done.returncode == 0


def test_what_no_example_of_the_requirement_proves_is_not_accepted_and_the_way_out_is_said(tmp_path: Path) -> None:
    asked = "A module shout.py with a function shout(text) that gives the text in capital letters."
    outcome = start(tmp_path, "waterfall", [*WATERFALL, {"step": "code", "reply": RIGHT}], requirement=asked)
    assert outcome.status == "unaccepted"
    assert outcome.verdict.endswith("none of them an example of the requirement")
    assert outcome.hint.startswith("give the requirement an example that can be executed")


def test_a_fix_that_never_works_is_delivered_and_not_accepted(tmp_path: Path) -> None:
    script = [
        *WATERFALL,
        {"step": "code", "reply": WRONG},
        *[{"step": "verify.fix", "reply": WRONG.replace("upper()", f"upper()[:{n}]")} for n in range(1, 4)],
    ]
    outcome = start(tmp_path, "waterfall", script)
    assert (outcome.status, outcome.accepted) == ("unaccepted", False)
    assert outcome.reason == "`verify.test.passed and verify.test.stated > 0` does not hold"
    assert not outcome.hint
    assert [event["summary"] for event in events(tmp_path) if event["event"] == "verdict"] == [
        "1 of 2 required tests pass, 0 of 1 others"
    ] * 7  # four rounds, and what stands again after each of the three that were no better


@pytest.mark.parametrize("never", [0, 1])
def test_a_part_that_never_comes_does_not_end_the_run(tmp_path: Path, never: int) -> None:
    parts = [*INTERFACE["parts"], {"signature": "def whisper(text: str) -> str", "purpose": "Small letters."}]
    good = [RIGHT, "```python\ndef whisper(text: str) -> str:\n    return text.lower()\n```"]
    replies = [[reply] for reply in good]
    replies[never] = ["```python\nX = 1\n```", "```python\ndef (:\n```", "no code"]
    script = [
        {"step": "prd", "reply": PRD},
        {"step": "design", "reply": OUTLINE},
        {"step": "design", "reply": {**INTERFACE, "parts": parts}},
        {"step": "tests", "reply": CHECKS},
        *({"step": "code", "reply": reply} for each in replies for reply in each),
        *({"step": "verify.fix", "reply": RIGHT} for _ in range(20)),
    ]
    outcome = start(tmp_path, "waterfall", script)
    assert outcome.status in ("delivered", "unaccepted"), outcome.reason
    assert ("def whisper" if never == 0 else "def shout") in (outcome.repo / "shout.py").read_text()
    assert outcome.accepted is (never == 1)  # nobody asked for a whisper


def test_zero_shot_is_one_call(tmp_path: Path) -> None:
    outcome = start(tmp_path, "zero_shot", [{"step": "code", "reply": RIGHT}])
    assert (outcome.status, outcome.calls) == ("delivered", 1)
    assert (outcome.repo / "shout.py").exists()


def test_zero_shot_with_a_syntax_error_is_not_accepted(tmp_path: Path) -> None:
    outcome = start(tmp_path, "zero_shot", [{"step": "code", "reply": "### shout.py\n```python\ndef shout(:\n```"}])
    assert (outcome.status, outcome.accepted) == ("unaccepted", False)


def test_reflection_goes_on_until_the_critic_is_content(tmp_path: Path) -> None:
    script = [
        {"step": "polish.draft", "round": 1, "reply": WRONG},
        {"step": "polish.critic", "round": 1, "reply": {"approved": False, "comments": ["the mark is missing"]}},
        {"step": "polish.draft", "round": 2, "reply": RIGHT},
        {"step": "polish.critic", "round": 2, "reply": {"approved": True, "comments": []}},
    ]
    outcome = start(tmp_path, "reflection", script)
    assert (outcome.status, outcome.calls) == ("delivered", 4)
    assert '"!"' in (outcome.repo / "shout.py").read_text()


def test_a_requirement_and_replies_in_other_scripts_survive(tmp_path: Path) -> None:
    text = 'Ein Modul gruß.py mit einer Funktion gruss(name): gruss("Öde") returns "Grüß Gott, Öde".'
    outcome = start(tmp_path, "zero_shot", [{"reply": "### main.py\n```python\nprint('Grüße')\n```"}], requirement=text)
    assert outcome.status == "delivered"
    assert "Öde" in (outcome.repo / ".company/requirement.md").read_text("utf-8")


def test_a_dry_run_of_each_goes_through(tmp_path: Path) -> None:
    for number, sop in enumerate(("waterfall", "zero_shot", "reflection")):
        (tmp_path / str(number)).mkdir()
        outcome = start(tmp_path / str(number), sop, [], dry_run=True)
        assert outcome.status in ("delivered", "unaccepted"), (sop, outcome.reason)


def test_what_people_are_told_of_a_reply_names_what_was_asked_for(tmp_path: Path) -> None:
    part = "def shout(text)"
    script = [
        {"step": "prd", "reply": PRD},
        {"step": "design", "reply": {"approach": ""}},
        {"step": "design", "reply": OUTLINE},
        {"step": "design", "reply": {**INTERFACE, "parts": [part]}},
        {"step": "design", "reply": INTERFACE},
        {"step": "tests", "reply": "calls and commands"},
        {"step": "tests", "reply": CHECKS},
        {"step": "code", "reply": RIGHT},
    ]
    assert start(tmp_path, "waterfall", script).status == "delivered"
    reasons = [event["reason"] for event in events(tmp_path) if event["event"] == "reply_rejected"]
    assert sorted(reasons) == [
        'the reply is no FileSpec of `shout.py`: parts[0]: Input should be an object; you gave "def shout(text)"',
        "the reply is no list of calls and commands for Checks: there is no JSON in it",
        'the reply is no outline of a Design: approach: String should have at least 1 character; you gave ""',
    ]


def test_the_documents_say_what_each_check_expects(tmp_path: Path) -> None:
    said = {"command": "python shout.py hi", "stdin": "", "stdout": "HI!", "exit_status": 0}
    asked = {**said, "command": "python shout.py", "stdin": "a\n", "stdout": ""}
    calls = [
        *CHECKS["calls"],
        {"imports": "from shout import shout", "expression": "shout(1)", "expected": "raises TypeError"},
    ]
    script = [
        *WATERFALL[:-1],
        {"step": "tests", "reply": {"calls": calls, "commands": [said, asked]}},
        {"step": "code", "reply": RIGHT},
        *({"step": "verify.fix", "reply": RIGHT} for _ in range(20)),
    ]
    outcome = start(tmp_path, "waterfall", script)
    assert (
        (outcome.repo / "docs/tests.md").read_text()
        == """# tests

- example of shout: shout("hi") returns "HI!".
  - `shout("hi")` gives `"HI!"`
- `shout("")` gives `"!"`
- `shout(1)` raises TypeError
- a session
  - `python shout.py hi` prints `"HI!"`, exit status 0
  - `python shout.py`, given `"a\\n"`, prints nothing, exit status 0
"""
    )


SHOWN = "A module shout.py with this function:\n\n```python\ndef shout(text):\n    '''Capitals.\n    >>> shout(\"hi\")\n    'HI!'\n    '''\n```\n"


@pytest.mark.parametrize("requirement", [REQUIREMENT, SHOWN])
def test_where_qa_sees_neither_design_nor_code_examples_of_the_requirement_decide(
    tmp_path: Path, requirement: str
) -> None:
    wrong = {**CHECKS, "calls": [{**CHECKS["calls"][0], "expected": '"?"'}]}
    script = [
        {"step": "tests", "reply": wrong},
        {"step": "code", "reply": f"### shout.py\n{RIGHT}"},
    ]
    outcome = start(tmp_path, "test_first", script, requirement=requirement)
    assert outcome.accepted
    (verdict,) = [event["summary"] for event in events(tmp_path) if event["event"] == "verdict"]
    assert verdict == "1 of 1 required tests pass, 0 of 1 others"


def test_what_only_agrees_with_qa_is_not_accepted(tmp_path: Path) -> None:
    script = [{"step": "tests", "reply": CHECKS}, {"step": "code", "reply": f"### shout.py\n{RIGHT}"}]
    outcome = start(
        tmp_path, "test_first", script, requirement="A module shout.py with a function shout(text): in capitals, and !."
    )
    assert (outcome.status, outcome.accepted) == ("unaccepted", False)
    verdicts = [event["summary"] for event in events(tmp_path) if event["event"] == "verdict"]
    assert verdicts == ["1 of 1 required tests pass, none of them an example of the requirement"]


OTHER = "```python\ndef shout(text: str) -> str:\n    return '{}' + text.upper()\n```"
SILENT = "A module shout.py with a function shout(text): the text in capitals, with a mark at its end."


@pytest.mark.parametrize(
    ("requirement", "expected", "drafts", "accepted", "summary"),
    [
        (REQUIREMENT, '"!"', [RIGHT] * 3, True, "3 of 3 candidates agree, 1 of 1 examples hold"),
        (REQUIREMENT, '"!"', [WRONG, *[RIGHT] * 6], True, "6 of 7 candidates agree, 1 of 1 examples hold"),
        (REQUIREMENT, '"!"', [WRONG, RIGHT, WRONG, *[RIGHT] * 5], False, "6 of 8 candidates agree, 1 of 1 examples hold"),
        (REQUIREMENT, '"!"', [*[WRONG] * 8, RIGHT], False, "1 of 9 candidates agree, 1 of 1 examples hold"),
        (REQUIREMENT, '"!"', [WRONG] * 16, False, "16 of 16 candidates agree, 0 of 1 examples hold"),
        (SILENT, '"?"', [WRONG, *[RIGHT] * 6], False, "6 of 7 candidates agree, the requirement states no example"),
        (SILENT, '"!"', [OTHER.format(mark) for mark in "abcdefgh"], False, "1 of 8 candidates agree, the requirement states no example"),
    ],
)  # fmt: skip
def test_programs_are_drawn_until_they_agree(
    tmp_path: Path, requirement: str, expected: str, drafts: list[str], accepted: bool, summary: str
) -> None:
    call = {
        **CHECKS["calls"][0],
        "expression": 'shout("a")' if requirement == SILENT else 'shout("")',
        "expected": expected,
    }
    script = [
        {"step": "tests", "reply": {"calls": [call], "commands": []}},
        {"step": "first", "reply": f"### shout.py\n{drafts[0]}"},
        *[{"step": "vote.draft", "reply": f"### shout.py\n{draft}"} for draft in drafts[1:]],
    ]
    if RIGHT not in drafts:
        script += [{"step": "verify.fix", "reply": OTHER.format(mark)} for mark in "wxyz"]
    outcome = start(tmp_path, "adaptive_consistency", script, requirement=requirement)
    assert (outcome.accepted, outcome.calls) == (accepted, len(script))
    told = [event["text"] for event in events(tmp_path) if event["event"] == "notice" and "candidates" in event["text"]]
    assert re.sub(r" on [1-9]\d* inputs", "", told[-1].partition(": ")[2]) == summary
    assert ('+ "!"' in (outcome.repo / "shout.py").read_text()) == (RIGHT in drafts)


def test_a_draft_that_never_came_is_a_round_without_one(tmp_path: Path) -> None:
    script = [
        {"step": "tests", "reply": CHECKS},
        {"step": "first", "reply": f"### shout.py\n{RIGHT}"},
        *[{"step": "vote.draft", "round": 2, "reply": "I am sorry."}] * 3,
        *[{"step": "vote.draft", "round": number, "reply": f"### shout.py\n{RIGHT}"} for number in (3, 4)],
    ]
    outcome = start(tmp_path, "adaptive_consistency", script, requirement=REQUIREMENT)
    assert (outcome.accepted, outcome.calls) == (True, len(script))
    told = [event["text"] for event in events(tmp_path) if event["event"] == "notice"]
    assert (
        "vote.draft: no usable reply after 3 tries: the reply is no code: there is no code in it; this round goes on without it"
        in told
    )
    assert [text.partition(" on ")[0] for text in told if "candidates" in text][-1].endswith("3 of 3 candidates agree")
    finished = {event["id"]: event["values"] for event in events(tmp_path) if event["event"] == "step_finished"}
    assert finished["vote.draft#2"] == {"vote.draft": None}


def test_mending_that_never_came_leaves_the_program_and_the_next_round_tries_again(tmp_path: Path) -> None:
    script = [
        {"step": "tests", "reply": CHECKS},
        {"step": "code", "reply": f"### shout.py\n{WRONG}"},
        *[{"step": "verify.fix", "round": 2, "reply": "I am sorry."}] * 3,
        {"step": "verify.fix", "round": 3, "reply": RIGHT},
    ]
    outcome = start(tmp_path, "test_first", script, requirement=REQUIREMENT)
    assert (outcome.accepted, outcome.calls) == (True, len(script))


def test_a_function_that_the_requirement_shows_and_the_code_lacks_is_asked_for_by_itself(tmp_path: Path) -> None:
    script = [
        {"step": "tests", "reply": CHECKS},
        {"step": "code", "reply": "### shout.py\n```python\ndef scream(text):\n    return text\n```"},
        {"step": "verify.fix", "reply": RIGHT},
    ]
    outcome = start(tmp_path, "test_first", script, requirement=SHOWN)
    assert outcome.accepted
    text = (outcome.repo / "shout.py").read_text()
    assert "def scream" in text
    assert "def shout" in text
