"""Documents that do not come whole, asked for in pieces: on every rung over HTTP, in scripts, under limits, in the journal."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from company.artifacts import Artifact
from company.cache import Replies
from company.endpoints import Rung
from company.errors import LimitReached, ReplyError, StepFailed, UsageError
from company.events import Journal, read
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import ChatModel, Message, Model, Reply, Request, StepLabel
from company.llm.endpoint import Endpoint
from company.llm.gateway import Gateway
from company.llm.replies import parse_list, schema_for
from company.llm.rungs import RUNGS
from company.llm.scripted import ScriptedModel, ScriptEntry
from company.llm.structured import document, obtain
from company.report import Report
from company.sop.types import ArtifactType, ListOf
from company.store import Folder
from tests import fault_server as fs


class Point(Artifact):
    name: Annotated[str, Field(max_length=20)]
    size: int


class Plan(Artifact):
    title: Annotated[str, Field(min_length=1, max_length=40)]
    good: bool
    steps: Annotated[list[Annotated[str, Field(max_length=20)]], Field(min_length=1, max_length=3)]
    points: Annotated[list[Point], Field(max_length=3)]


PLAN = Plan(title="Word counter", good=True, steps=["read", "count"], points=[Point(name="a", size=1)])
ASK = Ask(StepLabel("plan", "writer"), (Message("user", "Plan a word counter."),), ident="plan#1")
WHOLE = "Plan a word counter."


def asked(
    folder: Path, model: Model, limits: Mapping[str, float] | None = None, use: Any = None
) -> tuple[Any, list[dict[str, Any]]]:
    """What becomes of a question for a `Plan`, or of what `use` asks a gateway; and the journal."""
    journal = Journal(folder / "events.jsonl")
    budget = Budget(limits or {}, {model.name: None})
    gateway = Gateway({None: model}, Replies(Folder(folder)), budget, journal, temperature=0.0, max_tokens=200)

    async def main() -> Any:
        try:
            return await (use(gateway) if use else document(gateway, ASK, Plan))
        except (StepFailed, UsageError, LimitReached) as error:
            return error

    try:
        return asyncio.run(main()), list(read(folder / "events.jsonl"))
    finally:
        journal.close()


def script(*replies: Any) -> ScriptedModel:
    return ScriptedModel([ScriptEntry(reply=reply) for reply in replies])


class Heard:
    """A script that keeps what it was asked."""

    def __init__(self, replies: ScriptedModel) -> None:
        self._replies = replies
        self.name, self.identity, self.context = replies.name, replies.identity, replies.context
        self.talks: list[tuple[Message, ...]] = []
        self.schemas: list[Any] = []

    async def complete(self, request: Request, on_tokens: Any = None) -> Reply:
        self.talks.append(request.messages)
        self.schemas.append(request.schema)
        return await self._replies.complete(request, on_tokens)

    async def close(self) -> None:
        """Nothing is held."""


class Simple:
    """A model that answers one small thing, and never a whole document: behind a server, by any rung."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        rung, schema = fs.asked_schema(body)
        last = body["messages"][-1]["content"]
        about = re.search(
            r"Give only (?:the field|entry \d+ of|whether another entry follows in|whether) `([^`]+)`", last
        )
        keys = [*schema["properties"]] if schema else []
        key = f"{about[1]} {'+'.join(keys)}" if about else "whole"
        number = re.search(r"Give only (?:entry (\d+)|whether (another))", last)
        self.asked.append(f"{key}{number[1] or number[2] if number else ''}")
        answer = self.answers.get(self.asked[-1], "I would rather not.")
        if isinstance(answer, str) and schema and rung in ("schema", "tool", "json") and about:
            answer = {keys[0]: answer}
        text = answer if isinstance(answer, str) else json.dumps(answer)
        await fs.says(text, by_call=rung == "tool")(body, writer)


ANSWERS: dict[str, Any] = {
    "title title": "Word counter",
    "good good": {"good": True},
    "steps item+more1": {"item": "read", "more": True},
    "steps item+more2": {"item": "count", "more": False},
    "points more": {"more": True},
    "points[1].name name": "a",
    "points[1].size size": {"size": 1},
    "points moreanother": {"more": False},
}


@pytest.mark.parametrize("rung", RUNGS)
def test_a_document_is_asked_for_in_pieces_on_every_rung(tmp_path: Path, rung: Rung) -> None:
    server = Simple(ANSWERS)

    async def use(gateway: Gateway) -> Plan:
        async with fs.serving(server) as served:
            model._endpoint_url(served.base_url)
            return await document(gateway, ASK, Plan)

    class Late(ChatModel):
        """A model whose address is known once its server runs."""

        def _endpoint_url(self, url: str) -> None:
            self.endpoint = Endpoint(url, structured=rung, retries=0)

    model = Late("mine:m", Endpoint("http://127.0.0.1:1/v1"))
    answer, events = asked(tmp_path, model, use=use)
    assert answer == PLAN
    assert server.asked[:4] == ["whole"] * 3 + ["title title"]
    accepted = [(event.get("field", ""), event["attempt"]) for event in events if event["event"] == "reply_accepted"]
    assert [place for place, _ in accepted][:4] == ["title", "good", "steps[1]", "steps[2]"]
    assert accepted[-1][0] == ""
    numbers = [event["attempt"] for event in events if event["event"] == "call_started"]
    assert numbers == [*range(1, len(numbers) + 1)], "each attempt has a number of its own"
    report = Report.of(events)
    assert (report.first, report.repaired, report.failed, report.calls) == (0, 1, 0, len(numbers))


def test_what_is_given_already_is_told(tmp_path: Path) -> None:
    seen: list[str] = []

    class Listening(ScriptedModel):
        async def complete(self, request: Any, on_tokens: Any = None) -> Any:
            seen.append(request.messages[-1].content)
            return await super().complete(request, on_tokens)

    entries = ["no", "no", "no", '```\n"Word counter"\n```', "true", '["read", "count"]', '{"points": []}']
    answer, _ = asked(tmp_path, Listening([ScriptEntry(reply=reply) for reply in entries]))
    assert answer == PLAN.model_copy(update={"points": []})
    assert (
        seen[3]
        == f'{WHOLE}\n\nGive only the field `title` (text, 1 to 40 characters).\nAnswer with JSON: {{"title": …}}'
    )
    assert '"title": "Word counter",\n "good": true\n}' in seen[5]


def test_a_list_is_asked_for_entry_by_entry_and_a_bad_entry_in_its_fields(tmp_path: Path) -> None:
    script_ = script(
        *["no"] * 3,
        {"item": {"name": "a", "size": 1}, "more": True},
        *["no"] * 3, "b", {"size": "two"}, "2", {"more": False},
    )  # fmt: skip
    schema = schema_for(Point, many=True)
    answer, events = asked(
        tmp_path,
        script_,
        use=lambda gateway: gateway.ask(ASK.under(schema, "PointList"), lambda text: parse_list(text, Point)),
    )
    assert answer == [Point(name="a", size=1), Point(name="b", size=2)]
    assert script_.unused() == []
    fields = [event["field"] for event in events if event["event"] == "call_started" and "field" in event]
    assert fields == ["items[1]", *["items[2]"] * 3, "items[2].name", *["items[2].size"] * 2, "items[2]"]


def test_a_script_with_three_bad_replies_says_what_was_bad(tmp_path: Path) -> None:
    error, events = asked(tmp_path, script({"title": "x"}, "no", "no"))
    assert isinstance(error, StepFailed)
    assert error.message == "no usable reply after 3 tries: the reply is no Plan: there is no JSON in it"
    assert any("asked field by field" in event.get("text", "") for event in events)


def test_more_checks_than_are_asked_for_are_taken_up_to_a_bound(tmp_path: Path) -> None:
    calls = [{"imports": "from a import b", "expression": f"b({at})", "expected": str(at)} for at in range(30)]
    commands = [{"command": f"python a.py {at}", "stdin": "", "stdout": "1", "exit_status": 0} for at in range(30)]
    told: list[str] = []
    given = {"requirement": "A program a.py with a function b(x)."}
    checks, _ = asked(
        tmp_path,
        script({"calls": calls, "commands": commands}),
        use=lambda gateway: obtain(gateway, ASK, ArtifactType("Checks"), given, told.append),
    )
    assert [len(one.calls) or len(one.commands) for one in checks.checks] == [*[1] * 8, 12]
    assert told == ["a check was left out: those after 8 calls and 12 commands"]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("r = 5", "`r = 5` calls nothing"),
        ("box.add(1)", "`box.add(1)` uses `box`, which nothing defines, and uses nothing of `from a import b`: a call begins with `b(`"),
        ("max(1, 2)", "`max(1, 2)` uses nothing of `from a import b`: a call begins with `b(`"),
    ],
)  # fmt: skip
def test_qa_is_told_what_each_check_lacks(expression: str, reason: str, tmp_path: Path) -> None:
    given = {"requirement": "A module a.py with a function b(x)."}
    idle = {"calls": [{"imports": "from a import b", "expression": expression, "expected": "5"}], "commands": []}
    good = {"calls": [{"imports": "from a import b", "expression": "b(1)", "expected": "5"}], "commands": []}
    model = Heard(script(idle, good))
    checks, _ = asked(tmp_path, model, use=lambda gateway: obtain(gateway, ASK, ArtifactType("Checks"), given, print))
    assert [call.expression for check in checks.checks for call in check.calls] == ["b(1)"]
    assert reason in model.talks[1][-1].content


def test_where_the_requirement_has_examples_useless_checks_are_not_asked_for_anew(tmp_path: Path) -> None:
    given = {"requirement": "A module a.py with a function b(x): b(1) returns 5."}
    model = Heard(script({"calls": [], "commands": []}))
    checks, _ = asked(tmp_path, model, use=lambda gateway: obtain(gateway, ASK, ArtifactType("Checks"), given, print))
    assert [call.expression for check in checks.checks for call in check.calls] == ["b(1)"]
    assert len(model.talks) == 1


def test_after_the_same_fault_twice_it_is_asked_anew_without_the_reply(tmp_path: Path) -> None:
    model = Heard(script("wrong", "wrong too", "other"))

    def read(text: str) -> str:
        if text != "other":
            raise ReplyError("not that", raw=text, reason="Not that.")
        return text

    answer, _ = asked(tmp_path, model, use=lambda gateway: gateway.ask(ASK, read))
    assert answer == "other"
    first, second, third = model.talks
    assert [(each.role, each.content) for each in second[len(first) :]] == [
        ("assistant", "wrong"),
        ("user", "Not that."),
    ]
    assert [(each.role, each.content) for each in third] == [
        ("user", f"{WHOLE}\n\nAn earlier answer was refused: Not that.")
    ]


def test_a_script_that_ends_among_the_fields_names_the_call(tmp_path: Path) -> None:
    error, _ = asked(tmp_path, script("no", "no", "no", "A title"))
    assert isinstance(error, UsageError)
    assert "attempt 5" in error.message


def test_a_field_that_never_comes_fails_the_step(tmp_path: Path) -> None:
    error, _ = asked(tmp_path, script("no", "no", "no", "A title", *["perhaps"] * 3))
    assert isinstance(error, StepFailed)
    assert error.message.startswith("no usable reply after 3 tries, nor field by field: the reply is no `good`")


def test_what_has_the_shape_and_is_no_use_is_not_asked_for_in_pieces(tmp_path: Path) -> None:
    def refuse(text: str) -> None:
        raise ReplyError("it does not hold together", raw=text)

    model = script(*[PLAN.model_dump()] * 3)
    error, _ = asked(tmp_path, model, use=lambda gateway: gateway.ask(ASK.under(schema_for(Plan), "Plan"), refuse))
    assert isinstance(error, StepFailed)
    assert error.message == "no usable reply after 3 tries: it does not hold together"


def test_the_whole_is_checked_as_any_reply(tmp_path: Path) -> None:
    def refuse(text: str) -> Plan:
        raise ReplyError(f"{len(json.loads(text)) if text[0] == '{' else 'no'} fields")

    model = script(*["no"] * 3, "A title", "true", ["a"], {"points": []})
    error, _ = asked(tmp_path, model, use=lambda gateway: gateway.ask(ASK.under(schema_for(Plan), "Plan"), refuse))
    assert isinstance(error, StepFailed)
    assert error.message == "no usable reply after 3 tries, nor field by field: 4 fields"


@pytest.mark.parametrize(("limits", "calls"), [({"calls": 7}, 3), ({"calls": 8}, 7), ({"steps.plan.calls": 5}, 3)])
def test_no_limit_is_reached_by_asking_field_by_field(tmp_path: Path, limits: dict[str, float], calls: int) -> None:
    answer, events = asked(tmp_path, script(*["no"] * 3, "A title", "true", ["a"], {"points": []}), limits)
    assert isinstance(answer, Plan if calls == 7 else StepFailed)
    assert len([event for event in events if event["event"] == "call_started"]) == calls


def test_a_plain_text_is_taken_for_a_text_alone(tmp_path: Path) -> None:
    replies = [*["no"] * 3, '{"title": "cut', "<think>hm</think>“Word counter”", "yes", "true", ["a"], {"points": []}]
    answer, events = asked(tmp_path, script(*replies))
    assert (answer.title, answer.good) == ("Word counter", True)
    rejected = [event["field"] for event in events if event["event"] == "reply_rejected" and "field" in event]
    assert rejected == ["title", "good"]


def test_a_list_of_documents_is_obtained_so_too(tmp_path: Path) -> None:
    out = ListOf(ArtifactType("Review"))
    model = script(*["no"] * 3, {"item": {"approved": True, "comments": []}, "more": False})
    answer, _ = asked(tmp_path, model, use=lambda gateway: obtain(gateway, ASK, out, {}, print))
    assert [each.approved for each in answer] == [True]
