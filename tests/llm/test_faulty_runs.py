"""Whole runs against an endpoint that misbehaves now and then: they end right or stop resumable, and no reply is lost or paid twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from company.cache import Replies
from company.errors import ReplyError
from company.events import Journal
from company.llm import client
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import Message, Reply, Request, StepLabel
from company.llm.gateway import Gateway
from company.store import Folder
from tests.llm import unsteady


@pytest.mark.parametrize(("rate", "runs"), [(0.01, 10), (0.1, 14), (0.5, 16)])
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
    assert faults or rate < 0.1
    assert max(one.sittings for one in told) > 1 or rate < 0.5
    assert grown < 200


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
