"""The talk with tools: a scripted model, everything else real; what is run, what is refused, what a resumed run hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from company.cache import Replies
from company.errors import ReplyError, StepFailed
from company.events import Journal, read
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import Message, Model, OnTokens, Reply, Request, StepLabel
from company.llm.gateway import Gateway
from company.llm.scripted import DryModel, ScriptedModel, ScriptEntry
from company.llm.shapes import closed
from company.store import Folder
from company.tools.base import Output, Tool, Workbench
from company.tools.builtin import TOOLS
from company.tools.talk import read_call, schema_of, use_tools

QUESTION = Ask(
    StepLabel("code", "engineer", "main.py", 2),
    (Message("system", "You are an engineer."), Message("user", "Write main.py.")),
    expects=("main.py",),
    seed=7,
    ident="code[main.py]#2",
)
PYTHON, READ = TOOLS["python"], TOOLS["files.read"]


def turn(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"thought": "let me see", "call": {"tool": tool, "arguments": arguments}}


DONE = {"thought": "enough", "call": {"tool": "done"}}


class Notes:
    """Stands where `Journal.emit` does."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})


@dataclass
class Heard:
    """A scripted model that remembers what it was asked."""

    inner: Model
    context: int | None = None
    name: str = "heard"
    identity: str = "heard"
    requests: list[Request] = field(default_factory=list)

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        self.requests.append(request)
        return await self.inner.complete(request, on_tokens)

    async def close(self) -> None:
        pass


@dataclass
class Talk:
    """One talk, with what came of it."""

    folder: Path
    bench: Workbench
    replies: list[Any]
    tools: Sequence[Tool] = (PYTHON, READ)
    most: int = 4
    context: int | None = None
    model: Model | None = None
    notes: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        script = ScriptedModel([ScriptEntry(reply=reply) for reply in self.replies])
        self.heard = Heard(self.model or script, self.context)
        journal = Journal(self.folder / "events.jsonl")
        gateway = Gateway(
            {None: self.heard}, Replies(Folder(self.folder)), Budget({}, {}), journal,
            temperature=0.0, max_tokens=512,
        )  # fmt: skip
        kept = Replies(Folder(self.folder), "results")
        try:
            self.ask = asyncio.run(use_tools(gateway, QUESTION, self.tools, self.bench, self.most, kept, self.notes))
        finally:
            journal.close()
        assert not script.unused() or self.model

    @property
    def said(self) -> list[str]:
        """What the model was told after the question, turn by turn."""
        return [message.content for message in self.ask.messages if message.role == "user"]


def test_a_model_calls_tools_and_is_then_asked_for_the_answer(tmp_path: Path, bench: Workbench) -> None:
    code = "from src.words import count\nprint(count('a b c'))"
    talk = Talk(tmp_path, bench, [turn("python", code=code), DONE])
    assert [message.role for message in talk.ask.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    first, result, final = talk.said
    assert first.startswith("Write main.py.\n\nBefore you answer")
    assert "- python(code: text). Runs Python code" in first
    assert "- files.read(path: text, first_line: whole number, last_line: whole number)." in first
    assert result == "python gave:\n\nExit status 0.\n\nStandard output:\n3\n\nCalls left: 3."
    assert "Now give the answer itself" in final
    assert replace(talk.ask, messages=QUESTION.messages) == QUESTION
    asked = talk.heard.requests
    assert [request.schema_name for request in asked] == ["ToolCall", "ToolCall"]
    assert asked[1].messages == talk.ask.messages[:4]
    assert json.loads(talk.ask.messages[2].content) == turn("python", code=code)
    assert json.loads(talk.ask.messages[4].content) == DONE


def test_each_call_is_noted(tmp_path: Path, bench: Workbench) -> None:
    code = "import sys\nsys.exit(3)  " + "#" * 300
    talk = Talk(tmp_path, bench, [turn("python", code=code), DONE])
    started, finished = talk.notes.events
    where = {"id": "code[main.py]#2", "step": "code", "role": "engineer", "item": "main.py", "round": 2}
    assert started == {"event": "tool_started", **where, "name": "python", "arguments": {"code": code[:199] + "…"}}
    seconds = finished.pop("seconds")
    assert 0 < seconds < 20
    size = len("Exit status 3.\n\nIt printed nothing: use print() to see a value.")
    assert finished == {**started, "event": "tool_finished", "ok": False, "from_store": False, "size": size}


def test_no_calls_are_left_after_the_last_one(tmp_path: Path, bench: Workbench) -> None:
    calls = [turn("python", code=f"print({number})") for number in range(2)]
    talk = Talk(tmp_path, bench, calls, most=2)
    assert len(talk.said) == 3
    assert "Standard output:\n1\n\nNo calls are left.\n\nThe talk about tools is over" in talk.said[-1]


def test_the_same_call_twice_in_a_row_ends_the_talk(tmp_path: Path, bench: Workbench) -> None:
    again = turn("python", code="print(1)")
    talk = Talk(tmp_path, bench, [again, again], tools=list(TOOLS.values()))
    assert [event["name"] for event in talk.notes.events] == ["python", "python"]  # started and finished, once
    assert "its result is above" in talk.ask.messages[-1].content
    assert "The talk about tools is over" in talk.ask.messages[-1].content


def test_a_tool_that_was_not_granted_is_never_run(tmp_path: Path, bench: Workbench) -> None:
    stolen: list[str] = []

    async def run(arguments: Any, bench: Workbench) -> Output:
        stolen.append("ran")
        return Output("secret")

    other = Tool("mcp.own.steal", "Not for everybody.", closed(), run)
    talk = Talk(tmp_path, bench, [turn("shell", command="ls"), turn("mcp.own.steal"), DONE], tools=(READ,))
    assert stolen == []
    assert talk.notes.events == []
    repair = talk.heard.requests[2].messages[-1].content
    assert "call.tool: there is no tool `mcp.own.steal` for you; there are files.read, done" in repair
    granted = Talk(tmp_path / "other", bench, [turn("mcp.own.steal"), DONE], tools=(other,))
    assert stolen == ["ran"]
    assert "secret" in granted.said[1]


def test_a_model_that_never_names_a_granted_tool_fails_the_step(tmp_path: Path, bench: Workbench) -> None:
    with pytest.raises(StepFailed, match="no tool `shell` for you"):
        Talk(tmp_path, bench, [turn("shell", command="ls")] * 3)


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("I would run the tests first.", "there is no JSON in it"),
        ({"thought": "x"}, 'call: must be an object with "tool"'),
        (turn("python"), "python: arguments.code is missing"),
        (turn("python", code="1", timeout=3), "python: there is no arguments.timeout"),
        ({"thought": "x", "call": {"tool": "python", "arguments": None}}, "python: arguments must be"),
        ([turn("python", code="1")], 'the top level must be an object with "thought" and "call"'),
    ],
)
def test_a_reply_that_is_no_call_says_what_is_wrong(reply: Any, fault: str) -> None:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    with pytest.raises(ReplyError) as raised:
        read_call(text, {"python": PYTHON})
    assert fault in raised.value.reason


def test_a_call_without_its_outer_object_is_understood() -> None:
    call = read_call('Sure:\n```json\n{"tool": "python", "arguments": {"code": "1"},}\n```', {"python": PYTHON})
    assert (call.tool, call.arguments, call.thought) == ("python", {"code": "1"}, "")


def test_a_resumed_run_hears_the_same_and_runs_nothing_again(tmp_path: Path, bench: Workbench) -> None:
    replies = [
        turn("python", code="import time\nprint(time.time_ns())"),
        turn("files.read", path="x", first_line=0, last_line=0),
        DONE,
    ]
    first = Talk(tmp_path, bench, replies)

    class Never:
        name = "never"

        async def run(self, spec: Any) -> Any:
            raise AssertionError("a kept result was made again")

    resumed = Talk(tmp_path, replace(bench, sandbox=Never()), [])
    assert resumed.ask == first.ask
    assert resumed.heard.requests == []
    finished = [event for event in resumed.notes.events if event["event"] == "tool_finished"]
    assert [(event["from_store"], event["ok"]) for event in finished] == [(True, True), (True, False)]
    assert [event["from_store"] for event in read(tmp_path / "events.jsonl") if event["event"] == "call_finished"] == [
        *[False] * 3,
        *[True] * 3,
    ]


def test_another_execution_of_the_step_runs_its_calls_itself(tmp_path: Path, bench: Workbench) -> None:
    kept = Replies(Folder(tmp_path), "results")
    made: list[int] = []

    async def run(arguments: Any, bench: Workbench) -> Output:
        made.append(1)
        return Output(f"time {len(made)}")

    tool = Tool("clock", "Tells the time.", closed(), run)
    journal = Journal(tmp_path / "events.jsonl")
    for ask in (QUESTION, QUESTION, replace(QUESTION, ident="code#3"), replace(QUESTION, seed=100_007)):
        model = ScriptedModel([ScriptEntry(reply=turn("clock"))])
        replies = Replies(Folder(tmp_path / f"{ask.ident}{ask.seed}{len(made)}"))
        gateway = Gateway({None: model}, replies, Budget({}, {}), journal, temperature=0.0, max_tokens=512)
        asyncio.run(use_tools(gateway, ask, (tool,), bench, 1, kept, Notes()))
    journal.close()
    assert len(made) == 3


def test_results_are_cut_to_what_the_context_holds(tmp_path: Path, bench: Workbench) -> None:
    calls = [turn("python", code=f"print('{letter}' * 50_000)") for letter in "abc"]
    talk = Talk(tmp_path, bench, [*calls, DONE], context=3000)
    spent = sum(len(message.content) for message in talk.ask.messages)
    assert spent // 3 + 512 <= 3000
    assert all(f"{letter * 100}" in said for letter, said in zip("abc", talk.said[1:], strict=False))
    wide = Talk(tmp_path / "wide", bench, [*calls, DONE], context=32_000)
    assert len(wide.said[1]) > 4000


def test_a_context_that_is_full_ends_the_talk(tmp_path: Path, bench: Workbench) -> None:
    talk = Talk(tmp_path, bench, [], context=900)
    assert talk.heard.requests == []
    text = "code[main.py]#2: the model's context is full after 0 of 4 calls of tools"
    assert talk.notes.events == [{"event": "notice", "text": text}]
    assert "Now give the answer itself" in talk.said[0]


def test_without_tools_or_calls_the_question_is_as_it_was(tmp_path: Path, bench: Workbench) -> None:
    assert Talk(tmp_path, bench, [], tools=()).ask is QUESTION
    assert Talk(tmp_path, bench, [], most=0).ask is QUESTION


def test_half_a_surrogate_pair_can_be_sent_on(tmp_path: Path, bench: Workbench) -> None:
    talk = Talk(
        tmp_path, bench, ['{"thought": "\\ud800", "call": {"tool": "python", "arguments": {"code": "#\\ud800"}}}', DONE]
    )
    assert all(message.content.encode() for message in talk.ask.messages)
    assert talk.said[1].startswith("python gave:\n\nExit status 0.")


# --- dry runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TOOLS))
def test_a_dry_run_calls_the_first_tool_once_with_sense(tmp_path: Path, bench: Workbench, name: str) -> None:
    others = [tool for tool in TOOLS.values() if tool.name != name]
    talk = Talk(tmp_path, bench, [], tools=[TOOLS[name], *others], model=DryModel())
    assert [event["name"] for event in talk.notes.events] == [name, name]
    assert talk.notes.events[1]["ok"], talk.said[1]
    assert json.loads(talk.ask.messages[-2].content)["call"] == {"tool": "done"}
    if name == "python":
        assert "dry run" in talk.said[1]


def test_a_dry_run_never_calls_a_server(tmp_path: Path, bench: Workbench) -> None:
    async def run(arguments: Any, bench: Workbench) -> Output:
        raise AssertionError("a dry run called a server")

    tool = Tool("mcp.own.send", "Sends a message.", closed(), run)
    assert Talk(tmp_path, bench, [], tools=(tool,), model=DryModel()).notes.events == []
    assert len(Talk(tmp_path / "both", bench, [], tools=(tool, READ), model=DryModel()).notes.events) == 2


def test_the_schema_is_closed_and_has_no_patterns() -> None:
    schema = schema_of(list(TOOLS.values()), begun=False)
    text = json.dumps(schema)
    assert "pattern" not in text
    assert schema["type"] == "object"
    names = [choice["properties"]["tool"]["const"] for choice in schema["properties"]["call"]["anyOf"]]
    assert names == [*TOOLS, "done"]
    after = schema_of(list(TOOLS.values()), begun=True)
    assert [choice["properties"]["tool"]["const"] for choice in after["properties"]["call"]["anyOf"]] == [
        "done",
        *TOOLS,
    ]
