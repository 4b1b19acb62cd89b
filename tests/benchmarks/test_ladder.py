"""The ladder's benchmark: what counts as an artifact, how far a question went, and the two ways that it is compared with."""

import asyncio
import json
from typing import Any

import pytest

from company.artifacts import Call, Change, ChangePlan, Check, Checks, Codebase, Design, FileSpec, Part, Review
from company.llm.client import Reply, Request
from tests.fault_server import serving, whole
from tests.scripts_of import load

ways = load("other_ways")
ladder = load("ladder")
PLAN = {"approach": "one file", "changes": [{"action": "edit", "path": "a.py", "what": "say hello"}]}


def calling(expression: str) -> Checks:
    call = Call(imports="from a import f", expression=expression, expected="2")
    return Checks(checks=[Check(title="it", quote="", calls=[call], commands=[])])


def test_a_document_that_fits_its_schema_may_be_no_use() -> None:
    spec = FileSpec(
        path="a.py", purpose="x", depends_on=[], parts=[Part(signature="def f(n: int) -> int", purpose="x", quote="")]
    )
    design = {"design": Design(approach="x", files=[spec], entry_point="", dependencies=[])}
    assert ways.no_use(calling("f(1)"), design) == ""
    assert ways.no_use(calling("x = 5"), design) == "no check that can be run"
    assert ways.no_use(Checks(checks=[]), design) == "no check that can be run"
    survey = {"survey": Codebase(map="a.py", files=["a.py"])}
    assert ways.no_use(ChangePlan.model_validate(PLAN), survey) == ""
    created = Change(action="create", path="b.py", what="x")
    assert ways.no_use(ChangePlan(approach="x", changes=[created]), survey) == ""
    edited = Change(action="edit", path="b.py", what="x")
    assert ways.no_use(ChangePlan(approach="x", changes=[edited]), survey) == "edits b.py, which is not there"
    assert ways.no_use(Review(approved=True, comments=[]), survey) == ""


def replied(text: str) -> Reply:
    return Reply(
        text, "stop", prompt_tokens=1, completion_tokens=1, cached_tokens=None, model="m", seconds=0.0
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        f"Sure.\n[CONTENT]\n{json.dumps(PLAN)}\n[/CONTENT]",
        f"[CONTENT]\n```json\n{json.dumps(PLAN)}\n```\n[/CONTENT] Good luck!",
        json.dumps(PLAN),
    ],
    ids=["tags", "a fence in tags", "bare"],
)
def test_text_takes_the_first_reply_that_holds_a_document(text: str) -> None:
    asked: list[Request] = []
    answers = ["I cannot do that.", text, "never asked"]

    async def complete(request: Request) -> Reply:
        asked.append(request)
        return replied(answers[len(asked) - 1])

    value, error = asyncio.run(ways.tagged(ChangePlan, "Plan it.", complete))
    assert (value, error) == (ChangePlan.model_validate(PLAN), "")
    assert [request.label.attempt for request in asked] == [1, 2]
    assert asked[0].messages == asked[1].messages, "the same words again, without the error"
    assert '"approach"' in asked[0].messages[-1].content


def test_text_gives_up_after_its_tries() -> None:
    asked: list[Request] = []

    async def complete(request: Request) -> Reply:
        asked.append(request)
        return replied("no")

    value, error = asyncio.run(ways.tagged(ChangePlan, "Plan it.", complete))
    assert value is None
    assert "JSONDecodeError" in error
    assert len(asked) == ways.TRIES


def test_plain_asks_once() -> None:
    async def both() -> list[Any]:
        async with serving(whole("Sure!"), whole(json.dumps(PLAN))) as server:
            return [await ways.plain(ChangePlan, "Plan it.", "m", server.base_url, "none") for _ in range(2)]

    (lost, first, error), (value, second, none) = asyncio.run(both())
    assert lost is None
    assert error
    assert (value, none) == (ChangePlan.model_validate(PLAN), "")
    assert [call.get("tokens") for call in (*first, *second)] == [None, 3], "what a refused reply used is lost in it"


def line(valid: bool, attempts: list[int], otherwise: bool = False) -> dict[str, Any]:
    return {"valid": valid, "calls": [{"attempt": number} for number in attempts], "otherwise": otherwise}


@pytest.mark.parametrize(
    ("row", "stage"),
    [
        (line(True, [1]), "first"),
        (line(True, [1, 1]), "first"),
        (line(True, [1, 2]), "repair"),
        (line(True, [1, 2, 3], otherwise=True), "other"),
        (line(False, [1, 2, 3], otherwise=True), "never"),
        (line(False, []), "never"),
    ],
)
def test_how_far_a_question_had_to_go(row: dict[str, Any], stage: str) -> None:
    assert ladder.stage_of(row) == stage
