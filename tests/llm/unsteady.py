"""Whole runs against an endpoint that answers rightly but for a share of its requests, drawn by a seed; and what is to hold.

Replies are those of a dry run, or fit their schema as those do, and each has a number of its own, which the journal tells again as the
count of the prompt's tokens. The faults themselves: `fault_server.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from company import wiring
from company.engine import NewRun, Outcome
from company.events import Event, read
from company.llm.client import ChatModel, OnTokens, Reply, Request
from company.llm.scripted import DryModel, minimal
from company.records import FINISHED
from company.settings import Provider, Settings
from tests import fault_server as fs

NAMES = ["a.py", "b.py", "c.py", "d.py"]
FILES = {
    "roles/writer.yaml": "title: Writer\nprofile: You write.\ntools: [python]\n",
    "prompts/writer/tell.md.j2": "{# optional: notes #}Tell {{ about }}{% if notes %} SEEN{% endif %}\n",
    "prompts/writer/code.md.j2": "Write {{ about }}\n",
    "unsteady.yaml": """sop: 1
name: unsteady
inputs: {requirement: str, names: "[str]"}
artifacts: {Plan: {title: str, goals: [str]}, Mark: {good: bool, why: str}}
steps:
  plan: {role: writer, prompt: tell, in: {about: requirement}, out: Plan}
  ideas: {role: writer, prompt: tell, in: {about: plan}, out: str, sample: 3, commit: false}
  tried: {role: writer, prompt: tell, in: {about: ideas}, out: str, tools: [python], tool_calls: 2, commit: false}
  judged:
    {role: writer, prompt: tell, in: {about: tried}, out: Mark, cascade: [small, large], accept: answer.why == "none",
     commit: false}
  each:
    for_each: names
    as: name
    key: name
    parallel: 3
    max: 10
    do: {role: writer, prompt: code, in: {about: name}, out: [SourceFile]}
  better:
    loop:
      draft: {role: writer, prompt: tell, in: {about: judged, notes: prev.mark}, out: str, commit: false}
      mark: {role: writer, prompt: tell, in: {about: draft, notes: prev.mark}, out: Mark, commit: false}
    until: mark.good
    max: 3
deliver: {accept: better.mark.good}
""",
}
DEADLINE = 4.0
MOST_SITTINGS = 60


@dataclass
class Unsteady:
    """The endpoint's side."""

    rate: float
    draw: random.Random
    text: Callable[[dict[str, Any]], Awaitable[str]]
    """What is right to answer."""
    replied: dict[int, str] = field(default_factory=dict)
    """Number of a reply that was sent whole → which request it answers."""
    again: list[int] = field(default_factory=list)
    """Numbers of replies whose request came again."""
    faults: Counter[str] = field(default_factory=Counter)

    async def __call__(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        asked = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        self.again += [number for number, request in self.replied.items() if request == asked]
        fault = self._fault() if self.draw.random() < self.rate else "none"
        self.faults[fault] += 1
        text, finish = await self.text(body), "stop"
        if fault in _CONTENT:
            text, finish = _CONTENT[fault](text)
        if fault != "none" and fault not in _CONTENT and fault != "no end mark":
            await _FAULTS[fault](body, writer)
            return
        number = len(self.replied) + 1
        self.replied[number] = asked
        usage = {"prompt_tokens": number, "completion_tokens": 1, "total_tokens": number + 1}
        pieces = [text[at : at + 40] for at in range(0, len(text), 40)]
        as_piece = fs.call if "tools" in body else fs.piece
        events = [as_piece(one) for one in pieces] + [
            fs.piece(None, finish),
            {**fs.piece(None), "choices": [], "usage": usage},
        ]
        end = b"" if fault == "no end mark" else b"data: [DONE]\n\n"
        writer.write(fs.head() + b"".join(map(fs.event, events)) + end)
        await writer.drain()

    def _fault(self) -> str:
        names = [*_FAULTS, *_CONTENT, "no end mark"]
        return self.draw.choices(names, [_RARE.get(name, 1.0) for name in names])[0]


async def _own(body: dict[str, Any]) -> str:
    """A reply to a question of the procedure above."""
    asked = body["messages"][1]["content"]
    if schema := fs.asked_schema(body)[1]:
        return json.dumps(minimal(schema, schema.get("$defs", {}), yes="SEEN" in asked))
    if found := re.match(r"Write (\S+)", asked):
        return f"### {found[1]}\n```python\nprint({found[1]!r})\n```\n"
    return f"A draft about {hashlib.sha256(asked.encode()).hexdigest()}."


class Dry:
    """Answers what is asked over the wire as a dry run would; a request is known by what was heard of it before."""

    def __init__(self) -> None:
        self.unknown: list[list[str]] = []
        """Of requests of which nothing was heard: there are to be none."""
        self._asked: list[Request] = []
        self._model = DryModel()

    def hears(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have every request told, before it is sent."""
        complete = ChatModel.complete

        async def told(model: ChatModel, request: Request, on_tokens: OnTokens | None = None) -> Reply:
            self._asked.append(request)
            return await complete(model, request, on_tokens)

        monkeypatch.setattr(ChatModel, "complete", told)

    async def __call__(self, body: dict[str, Any]) -> str:
        sent = [
            message["content"] for message in body["messages"][1:]
        ]  # of the first, and at the end, a form may say more
        heard = next((each for each in reversed(self._asked) if _is(each, sent)), None)
        if heard is None:
            self.unknown.append(sent)
            raise ConnectionError("nobody was heard to ask this")
        return (await self._model.complete(heard)).text


def _is(request: Request, sent: list[str]) -> bool:
    said = [message.content for message in request.messages[1:]]
    return len(said) == len(sent) and all(map(str.startswith, sent, said))


_FAULTS: dict[str, fs.Behaviour] = {
    "500": fs.error("500 Internal Server Error"),
    "503": fs.error("503 Service Unavailable", **{"Retry-After-Ms": "5"}),
    "429": fs.error("429 Too Many Requests", **{"Retry-After-Ms": "5"}),
    "429 for an hour": fs.error("429 Too Many Requests", **{"Retry-After": "3600"}),
    "401": fs.error("401 Unauthorized"),
    "redirect": fs.raw(b"", "302 Found", Location="/v1/chat/completions"),
    "reset": fs.reset(),
    "reset in the midst": fs.reset(fs.head(), fs.event(fs.piece("Hal"))),
    "closed": fs.raw(b""),
    "closed in the midst": fs.raw(fs.event(fs.piece("Hal"))),
    "no JSON": fs.raw(b'data: {"choices": [{"delta": \n\n'),
    "HTML": fs.raw(b"<html>Sign in</html>", kind="text/html"),
    "no UTF-8": fs.raw(b'data: {"a": "\xff\xfe"}\n\n'),
    "deep": fs.raw(b"data: " + b"[" * 200_000 + b"\n\n"),
    "twice": fs.raw((fs.event(fs.piece("Hello")) + fs.event(fs.piece(None, "stop"))) * 2),
    "silence": fs.silent,
    "drip": fs.drip(b"x", 0.1),
    "huge": fs.raw(b"data: " + b"a" * (17 << 20)),
    "bomb": fs.bomb(64),
}
_CONTENT: dict[str, Any] = {
    "empty": lambda text: ("", "stop"),
    "cut": lambda text: (text[: len(text) // 2], "length"),
    "wrong": lambda text: ('{"no": "such"}' if text[0] == "{" else "I would rather not.", "stop"),
}
_RARE = {"silence": 0.1, "drip": 0.1, "huge": 0.3, "bomb": 0.3, "429 for an hour": 0.5, "401": 0.5, "redirect": 0.5}
"""Those that end a sitting, most of them after the whole deadline."""


@dataclass
class Told:
    """How one run went."""

    outcome: Outcome
    server: Unsteady
    events: list[Event]
    sittings: int
    late: int
    """Sittings that ended because a call took too long: a reply may have been on its way."""
    seconds: float


def play(folder: Path, rate: float, seed: int) -> Told:
    """One run to its end, however many sittings it takes, with all that must hold looked at."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    new = NewRun(
        inputs={"requirement": "Something small.", "names": "\n".join(NAMES)},
        sop=str(folder / "unsteady.yaml"),
        workspace=folder / "ws",
        name="out",
        user_dir=folder,
    )
    told = asyncio.run(_play(new, Unsteady(rate, random.Random(seed), _own)))
    assert told.outcome.status == "delivered"
    assert all((told.outcome.repo / name).read_text() == f"print({name!r})\n" for name in NAMES)
    rounds = [event["until"] for event in told.events if event["event"] == "loop_round"]
    assert rounds[-2:] == [False, True]
    return told


def play_shipped(workspace: Path, sop: str, rate: float, seed: int, dry: Dry) -> Told:
    """One run of a shipped procedure, answered as in a dry run; its dry files need not pass its tests."""
    requirement = "A program main.py that says hello: `python main.py` prints `hello`."
    new = NewRun(
        inputs={"requirement": requirement},
        sop=sop,
        workspace=workspace,
        name="out",
        limits={"calls": 500},
        headless=True,
    )
    return asyncio.run(_play(new, Unsteady(rate, random.Random(seed), dry)))


async def _play(new: NewRun, unsteady: Unsteady) -> Told:
    began = time.monotonic()
    async with fs.serving(unsteady) as server:
        mine = Provider(base_url=server.base_url, deadline=DEADLINE, parallel=3)
        settings = Settings(providers={"mine": mine}, model="mine:m", tiers={"small": "mine:s", "large": "mine:m"})
        outcome = await asyncio.wait_for(wiring.run(new, settings), 120)
        sittings, late = 1, 0
        while outcome.status not in FINISHED:
            assert outcome.status == "failed", outcome
            assert outcome.reason, outcome
            assert outcome.hint, outcome
            assert "defect" not in outcome.reason, outcome
            late += "took longer" in outcome.reason
            assert sittings < MOST_SITTINGS, outcome
            if pause := re.search(r"delete (\S+)$", outcome.hint):  # as the hint says
                Path(pause[1]).unlink()
            outcome = await asyncio.wait_for(wiring.resume(new.workspace, "", settings, headless=new.headless), 120)
            sittings += 1
    (journal,) = (new.workspace / ".company/runs").glob("*/events.jsonl")
    told = Told(outcome, unsteady, [*read(journal)], sittings, late, time.monotonic() - began)
    _judge(told)
    return told


def _judge(told: Told) -> None:
    paid = [
        event["prompt_tokens"] for event in told.events if event["event"] == "call_finished" and not event["from_store"]
    ]
    sent = set(told.server.replied)
    assert len(paid) == len(set(paid)), "a reply was paid for twice"
    assert set(paid) <= sent, "a reply was paid for that was never sent"
    assert len(sent - set(paid)) <= told.late, "a reply was lost"
    assert not set(told.server.again) & set(paid), "a request was sent again after its reply had been read"
    assert told.outcome.calls == len(paid)
