"""Replies as they are being written: seen from outside while they grow, bounded, gone at the end, and never in a run's way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from company import wiring
from company.engine import NewRun
from company.events import read
from company.live import MOST, Writer, live
from company.settings import Settings
from company.sitting import Watch
from tests import fault_server as fs

RUN = "20260101-000000-aaaa"
CODE = "```python\ndef shout(text: str) -> str:\n    return text.upper()\n```\n"


class Sitting:
    """A writer, and the clock of the events that it is told."""

    def __init__(self, home: Path) -> None:
        self.home, self.now = home, 1000.0
        (home / "runs" / RUN).mkdir(parents=True, exist_ok=True)
        self.writer = Writer(home / "runs" / RUN)

    def progress(self, call: int, tokens: int, text: str, after: float = 1.0) -> dict[int, str]:
        return self.tell("call_progress", call, after, tokens=tokens, text=text)

    def tell(self, event: str, call: int, after: float = 0.0, **more: Any) -> dict[int, str]:
        self.now += after
        self.writer({"event": event, "time": self.now, "call": call, **more})
        return live(self.home, RUN)


@pytest.fixture
def sitting(tmp_path: Path) -> Sitting:
    return Sitting(tmp_path)


def test_texts_grow_beside_one_another_and_go(sitting: Sitting) -> None:
    assert live(sitting.home, RUN) == {}
    assert live(sitting.home, "no-run") == {}
    assert sitting.tell("call_started", 1) == {}
    assert sitting.progress(1, 1, "He") == {1: "He"}
    assert sitting.progress(2, 1, "ünd\udcff") == {1: "He", 2: "ünd?"}
    assert sitting.progress(1, 2, "llo") == {1: "Hello", 2: "ünd?"}
    assert sitting.tell("call_finished", 1) == {2: "ünd?"}
    assert sitting.tell("call_failed", 2) == {}
    sitting.progress(3, 1, "x")
    sitting.writer.close()
    assert not (sitting.home / "runs" / RUN / "live").exists()


def test_a_request_that_is_sent_again_begins_again(sitting: Sitting) -> None:
    sitting.progress(1, 1, "one ")
    sitting.progress(1, 2, "two", after=0.0)
    assert sitting.progress(1, 1, "anew") == {1: "anew"}
    assert sitting.progress(1, 2, " more") == {1: "anew more"}


def test_few_writes_and_nothing_lost(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    writes, real = [], Path.open

    def counted(self: Path, mode: str = "r", **more: Any) -> Any:
        writes.extend([self] if "b" in mode else [])
        return real(self, mode, **more)

    monkeypatch.setattr(Path, "open", counted)
    for number in range(1, 1001):
        sitting.progress(1, number, "ab", after=0.01)
    assert len(writes) <= 52
    monkeypatch.undo()
    assert sitting.progress(1, 1001, "!")[1] == "ab" * 1000 + "!"


def test_a_reply_without_end_is_bounded_and_its_end_is_there(sitting: Sitting) -> None:
    for number in range(1, 100):
        text = sitting.progress(1, number, f"{number} " * 5000)[1]
        assert len(text) <= MOST
        assert text.endswith(f"{number} ")
    assert len(sitting.progress(2, 1, "x" * 3 * MOST)[2]) <= MOST


def test_a_new_sitting_removes_what_a_killed_one_left(sitting: Sitting) -> None:
    sitting.progress(1, 1, "half")
    Sitting(sitting.home)
    assert live(sitting.home, RUN) == {}


def test_what_cannot_be_written_does_no_harm(sitting: Sitting) -> None:
    folder = sitting.home / "runs" / RUN / "live"
    folder.write_text("in the way")
    assert sitting.progress(1, 1, "x") == {}
    folder.unlink()
    assert sitting.progress(1, 2, "y") == {1: "xy"}
    (folder / "notes").write_text("somebody's")
    assert sitting.progress(1, 3, "z") == {1: "xyz"}
    assert sitting.tell("call_finished", 1) == {}


def test_a_run_can_be_read_from_outside_while_a_model_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces come slowly, by HTTP; each is seen in the files before the reply has ended, and by whoever listens."""
    home, told, seen = tmp_path / "ws" / ".company", [], []
    parts = [CODE[at : at + 9] for at in range(0, len(CODE), 9)]

    async def slowly(body: dict[str, Any], writer: Any) -> None:
        writer.write(fs.head())
        for part in parts:
            writer.write(fs.event(fs.piece(part)))
            await writer.drain()
            await asyncio.sleep(0.25)
        writer.write(fs.event(fs.piece(None, "stop")) + b"data: [DONE]\n\n")

    async def go() -> Any:
        async with fs.serving(slowly) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
            new = NewRun(
                inputs={"requirement": "A module shout.py with a function shout(text) that gives capitals."},
                sop="zero_shot", workspace=tmp_path / "ws", name="out", model="openai:m",
            )  # fmt: skip
            task = asyncio.create_task(wiring.run(new, Settings(), Watch((told.append,))))
            while not task.done():
                await asyncio.sleep(0.05)
                seen.extend(text for run in home.glob("runs/*") for text in live(home, run.name).values())
            return await task

    outcome = asyncio.run(go())
    assert outcome.status in ("delivered", "unaccepted"), outcome.reason
    assert len(set(seen)) >= len(parts) // 2
    assert all(CODE.startswith(text) for text in seen)
    pieces = [event["text"] for event in told if event["event"] == "call_progress"]
    assert "".join(pieces) == CODE
    (folder,) = home.glob("runs/*")
    assert not (folder / "live").exists()
    assert not any(event["event"] == "call_progress" for event in read(folder / "events.jsonl"))
