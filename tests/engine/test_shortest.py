"""The fewest calls that `company sop show` names: every shipped procedure has a run of just so many, in which all is right at once."""

from pathlib import Path
from typing import Any

import pytest
from running import CHECKS, INTERFACE, OUTLINE, PRD, RIGHT, start

from company.sop.estimate import Estimate, estimate
from company.sop.library import Library
from company.sop.linker import load_procedure

CODE, TESTS = {"step": "code", "reply": RIGHT}, {"step": "tests", "reply": CHECKS}
DESIGN = [{"step": "design", "reply": OUTLINE}, {"step": "design", "reply": INTERFACE}]
APPROVED = {"approved": True, "comments": []}
CHANGE = {"approach": "A module.", "changes": [{"action": "create", "path": "shout.py", "what": "shout"}]}
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "cascade": [TESTS, CODE],
    "chat_chain": [
        {"step": "idea.proposal", "reply": "a module"},
        {"step": "idea.remark", "reply": {"agreed": True, "remark": "yes"}},
        CODE,
        {"step": "review.critic", "reply": APPROVED},
        TESTS,
    ],
    "conductor": [
        {"step": "conduct.lead", "reply": {"expert": "engineer", "task": "nothing", "finished": True}}, CODE, TESTS,
    ],
    "debate": [
        {"step": "debate.affirmative", "reply": "one function"},
        {"step": "debate.negative", "reply": "a class"},
        {"step": "debate.judge", "reply": {"settled": True, "solution": "one function"}},
        CODE,
        TESTS,
    ],
    "feature": [{"step": "plan", "reply": CHANGE}, {"step": "edit", "reply": RIGHT}, TESTS],
    "planning": [{"step": "plan", "reply": {"tasks": []}}, CODE, TESTS],
    "reflection": [{"step": "polish.draft", "reply": RIGHT}, {"step": "polish.critic", "reply": APPROVED}],
    "review_board": [
        *DESIGN,
        {"step": "build.code", "reply": RIGHT},
        {"step": "build.tests", "reply": CHECKS},
        {"step": "correctness", "reply": APPROVED},
        {"step": "security", "reply": APPROVED},
    ],
    "adaptive_consistency": [
        TESTS, {"step": "first", "reply": RIGHT}, *[{"step": "vote.draft", "reply": RIGHT}] * 2,
    ],
    "self_moa": [*[{"step": "drafts", "reply": RIGHT}] * 6, CODE, TESTS],
    "self_moa_seq": [
        *[{"step": "rounds.drafts", "reply": RIGHT}] * 6, *[{"step": "rounds.code", "reply": RIGHT}] * 3, TESTS,
    ],
    "test_first": [TESTS, CODE],
    "tool_use": [{"step": "code", "reply": {"thought": "t", "call": {"tool": "done"}}}, CODE, TESTS],
    "waterfall": [{"step": "prd", "reply": PRD}, *DESIGN, CODE, TESTS],
    "zero_shot": [CODE],
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_run_in_which_all_is_right_at_once_has_the_fewest_calls(name: str, tmp_path: Path) -> None:
    outcome = start(tmp_path, name, SCRIPTS[name], headless=True)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    found = sum(estimate(load_procedure(name, Library(None))).values(), Estimate())
    assert outcome.calls == len(SCRIPTS[name])
    if name != "adaptive_consistency":  # what `until:` says is not reckoned with: here three programs must agree
        assert outcome.calls == found.calls.least


def test_there_is_one_for_each() -> None:
    assert {*SCRIPTS, "build"} == set(Library(None).sops())  # `build` is a part of `review_board`
