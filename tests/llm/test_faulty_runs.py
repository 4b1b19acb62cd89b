"""Whole runs against an endpoint that misbehaves now and then: they end right or stop resumable, and no reply is lost or paid twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from company import wiring
from company.cache import Replies
from company.engine import NewRun, Outcome
from company.errors import ReplyError
from company.events import Journal, read
from company.llm import client
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import Message, Reply, Request, StepLabel
from company.llm.gateway import Gateway
from company.settings import Provider, Settings
from company.store import Folder
from tests import fault_server as fs
from tests.llm import unsteady


@pytest.mark.parametrize(("rate", "runs"), [(0.01, 20), (0.1, 14), (0.5, 16)])
def test_runs_end_right_however_often_the_endpoint_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, runs: int
) -> None:
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.001)
    before, told = 0, []
    for seed in range(runs):
        told.append(unsteady.play(tmp_path / str(seed), rate, seed + round(rate * 1000)))
        before = before or psutil.Process().memory_info().rss  # the first run imports what the others need
    grown = (psutil.Process().memory_info().rss - before) >> 20
    asked = sum(sum(one.server.faults.values()) for one in told)
    faults = asked - sum(one.server.faults["none"] for one in told)
    seconds = sum(one.seconds for one in told)
    print(
        f"{rate:.0%}: {runs} runs in {sum(one.sittings for one in told)} sittings, {asked} requests, {faults} faults, "
        f"{seconds:.1f} s, {grown} MiB more"
    )
    assert faults
    assert max(one.sittings for one in told) > 1 or rate < 0.5
    assert grown < 200


@pytest.mark.parametrize(
    ("sop", "seed"), [("conductor", 1), ("review_board", 2), ("self_moa_seq", 3), ("tool_use", 4), ("waterfall", 5)]
)
def test_shipped_procedures_end_though_the_endpoint_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sop: str, seed: int
) -> None:
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.001)
    dry = unsteady.Dry()
    dry.hears(monkeypatch)
    told = unsteady.play_shipped(tmp_path, sop, 0.3, seed, dry)
    print(f"{sop}: {told.sittings} sittings, {told.outcome.status}, {told.server.faults}, {told.seconds:.1f} s")
    assert told.server.faults.total() > told.server.faults["none"]
    assert not dry.unknown


HEAD = """sop: 1
name: beside
inputs: {requirement: str, names: "[str]"}
artifacts: {Mark: {good: bool}}
steps:
"""
BESIDE = {
    "a sample": "  ideas: {role: writer, prompt: tell, in: {about: requirement}, out: str, sample: 2, commit: false}\n",
    "an item whose loop is not done": """  each:
    for_each: names
    as: name
    key: name
    parallel: 2
    max: 2
    do:
      attempt:
        loop:
          mark: {role: writer, prompt: tell, in: {about: name}, out: Mark, commit: false}
        until: mark.good
        max: 1
""",
}


@pytest.mark.parametrize("beside", BESIDE)
def test_what_is_asked_beside_a_failure_is_waited_for(tmp_path: Path, beside: str) -> None:
    asked: list[int] = []

    async def behave(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        asked.append(len(asked))
        if asked[-1]:  # the second one comes late, and rightly
            await asyncio.sleep(0.5)
            await fs.whole('{"good": true}')(body, writer)
        else:
            await (fs.error("401 Unauthorized") if beside == "a sample" else fs.whole('{"good": false}'))(body, writer)

    async def main() -> Outcome:
        async with fs.serving(behave) as server:
            settings = Settings(providers={"mine": Provider(base_url=server.base_url)}, model="mine:m")
            return await asyncio.wait_for(wiring.run(new, settings), 30)

    for name, text in {**unsteady.FILES, "beside.yaml": HEAD + BESIDE[beside]}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    new = NewRun(
        inputs={"requirement": "Something small.", "names": "a\nb"},
        sop=str(tmp_path / "beside.yaml"),
        workspace=tmp_path / "ws",
        name="out",
        user_dir=tmp_path,
    )
    outcome = asyncio.run(main())
    assert outcome.status == "failed", outcome
    assert len(asked) == 2
    (journal,) = (tmp_path / "ws/.company/runs").glob("*/events.jsonl")
    ended = [event["event"] for event in read(journal) if event["event"] in ("call_finished", "call_failed")]
    assert ended.count("call_finished") == (1 if beside == "a sample" else 2)


class Slow:
    """A model whose replies come when they are let go."""

    name = identity = "slow"
    context = None

    def __init__(self) -> None:
        self.asked: list[asyncio.Event] = []

    async def complete(self, request: Request, on_tokens: Any = None) -> Reply:
        self.asked.append(asyncio.Event())
        await self.asked[-1].wait()
        return Reply(f"reply {len(self.asked)}", "stop", 1, 1, 0, "slow", 0.0)

    async def close(self) -> None:
        """Nothing is held."""


def test_who_waits_for_calls_waits_for_the_repair_that_follows_at_once(tmp_path: Path) -> None:
    """A step that fails cancels those beside it: a call that began between its being woken and its turn was paid for and lost."""
    model, journal = Slow(), Journal(tmp_path / "events.jsonl")
    gateway = Gateway(
        {None: model}, Replies(Folder(tmp_path)), Budget({}, {}), journal, temperature=0.0, max_tokens=200
    )

    def read(text: str) -> str:
        if text == "reply 1":
            raise ReplyError("no use")
        return text

    async def main() -> list[bool]:
        ask = Ask(StepLabel("draft", "writer"), (Message("user", "Write."),), ident="draft#1")
        question = asyncio.create_task(gateway.ask(ask, read))
        while not model.asked:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(gateway.drained())
        await asyncio.sleep(0)
        model.asked[0].set()
        for _ in range(50):
            await asyncio.sleep(0)
        seen = [len(model.asked) == 2, waiting.done()]
        model.asked[1].set()
        assert await question == "reply 2"
        await waiting
        return seen

    try:
        assert asyncio.run(main()) == [True, False]
    finally:
        journal.close()
