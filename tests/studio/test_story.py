"""What is known of a run, folded from what is appended to its journal."""

from pathlib import Path
from typing import Any

import pytest

from company.events import line
from company.records import Request, keep
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.store import Folder
from company.studio.run_page import RunParts
from company.studio.story import Story

RUN = "20260101-000000-story"
STEPS = ["prd", "design", "code", "code.do", "tests", "verify", "verify.fix", "verify.test"]


class Told:
    """A run whose journal the test writes."""

    def __init__(self, home: Path) -> None:
        self.store = Folder(home)
        request = Request(RUN, "made", "waterfall", "openai:m", {"requirement": "x"}, {}, False)
        keep(self.store, request, load_procedure("waterfall", Library(None)))
        self.path = home / "runs" / RUN / "events.jsonl"
        self.now = 1000.0
        begun = {"run": RUN, "name": "made", "requirement": "x", "sop": "waterfall", "model": "m", "sandbox": "s"}
        self.say("run_started", **begun, repo="/r", steps=STEPS, judges=["verify.test"], limits={})
        self.story = Story(self.store, RUN)

    def say(self, event: str, **fields: Any) -> None:
        self.now += 1
        self.write(line({"event": event, "time": self.now, **fields}) + b"\n")

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def begin(self, step: str, item: str = "", kind: str = "role") -> None:
        ident = f"{step}{f'[{item}]' if item else ''}#1"
        self.say(
            "step_started", step=step, id=ident, item=item, round="1", kind=kind, role="engineer", why="", made_of={}
        )

    def end(self, step: str, item: str = "") -> None:
        ident = f"{step}{f'[{item}]' if item else ''}#1"
        self.say("step_finished", step=step, id=ident, item=item, round="1", seconds=1.0, values={step: "ab" * 32})

    def items(self) -> list[tuple[str, tuple[str, ...], str]]:
        self.story.look()
        return [(item.key, item.needs, item.state) for item in self.story.row("code").items]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_items_are_seen_before_they_begin_in_the_order_of_their_needs(told: Told) -> None:
    told.begin("code", kind="for_each")
    told.say("items", step="code", item="", round="1", needs={"a.py": [], "b.py": ["a.py"], "c.py": ["a.py"]})
    waiting = [("a.py", (), "waiting"), ("b.py", ("a.py",), "waiting"), ("c.py", ("a.py",), "waiting")]
    assert told.items() == waiting
    told.begin("code.do", "a.py")
    assert [state for *_, state in told.items()] == ["running", "waiting", "waiting"]
    told.end("code.do", "a.py")
    told.begin("code.do", "c.py")
    told.say("step_failed", step="code.do", id="code.do[c.py]#1", reason="it failed", anew=True)
    told.begin("code.do", "b.py")
    assert [state for *_, state in told.items()] == ["done", "running", "failed"]
    assert told.story.row("code").state == "running"
    told.story._driven = False  # nobody drives it: its process was killed
    assert [item.state for item in told.story.row("code").items] == ["done", "stopped", "failed"]
    assert told.story.state("code") == "stopped"
    assert told.story.status == "interrupted"


def test_a_line_is_read_once_it_is_whole(told: Told) -> None:
    told.story.look()
    whole = line({"event": "notice", "time": 1002.0, "text": "here"}) + b"\n"
    told.write(whole[:20])
    told.story.look()
    assert len(told.story.fold.events) == 1
    told.write(whole[20:])
    told.story.look()
    assert [event["event"] for event in told.story.fold.events] == ["run_started", "notice"]


def test_only_what_changed_is_made_again(told: Told) -> None:
    parts = RunParts(told.story)
    assert set(parts()) == {"run-state", "run-used", "log-0", *(f"step-{number}" for number in range(7))}
    told.begin("design")
    assert set(parts()) == {"run-state", "run-used", "ev-1", "step-1"}
    told.begin("verify.test", kind="run")
    assert set(parts()) == {"run-state", "run-used", "ev-2", "step-4", "step-6"}
    for number in range(120):
        told.say("notice", text=f"{number}")
    made = parts()
    assert "log-1" in made
    assert 'data-into="log-0"' in made["ev-99"]
    assert 'data-into="log-1"' in made["ev-100"]
    assert set(parts()) == {"run-state", "run-used"}


def test_another_journal_in_its_place_is_read_from_its_beginning(told: Told) -> None:
    parts = RunParts(told.story)
    told.begin("design")
    parts()
    first, *_ = told.path.read_bytes().splitlines(keepends=True)
    told.path.write_bytes(first)
    made = parts()
    assert told.story.state("design") == "waiting"
    assert made["ev-1"] == ""
    assert "log-0" in made


def test_a_gate_waits_until_it_is_decided(told: Told) -> None:
    told.begin("design", kind="gate")
    told.say("gate_opened", step="design", id="design#1", item="", round="1", choices={"accept": "next"}, show=[])
    told.story.look()
    assert (told.story.state("design"), told.story.how("design#1"), told.story.status) == ("waits", "waits", "waits")
    told.say("run_finished", status="interrupted", reason="there is nobody", accepted=False, seconds=1.0)
    told.story.look()
    assert (told.story.state("design"), told.story.status) == ("waits", "interrupted")
    told.say(
        "gate_decided",
        step="design",
        id="design#1",
        item="",
        round="1",
        choice="accept",
        comment="",
        edited=[],
        by="person",
        values={},
    )
    told.story.look()
    assert told.story.state("design") == "stopped"


def test_a_story_and_the_feeds_that_hold_it_go_together(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    from company.settings import Settings
    from company.studio import desk as desks
    from company.studio.desk import Desk
    from company.studio.run_page import _feeds

    monkeypatch.setattr(desks, "_MOST_STORIES", 1)
    other = "20260101-000001-story"
    keep(
        told.store,
        Request(other, "made", "waterfall", "openai:m", {}, {}, False),
        load_procedure("waterfall", Library(None)),
    )
    desk = Desk(told.store.home.parent, told.store, Settings(), None)
    first = desk.story(RUN)
    _feeds(desk, first, "prd")
    desk.story(other)
    again = desk.story(RUN)
    assert again is not first
    assert not [name for name in desk.feeds if name.startswith("run/")], "they show the story that is gone"
    watched, *_ = _feeds(desk, again, "")
    watched._wakes.add(object())  # somebody looks
    desk.story(other)
    assert desk.story(RUN) is again


def test_what_was_shown_of_a_reply_goes_when_it_begins_again_or_its_sitting_was_killed(told: Told) -> None:
    from company.studio.step_panel import PanelParts

    told.begin("prd")
    told.say(
        "call_started",
        id="prd#1",
        step="prd",
        item="",
        role="engineer",
        call=1,
        attempt=1,
        model="m",
        key="",
        prompt_estimate=1,
        temperature=0,
        max_tokens=9,
        seed=0,
    )
    text = told.path.parent / "live" / "1"
    text.parent.mkdir()
    text.write_text("a" * 5000)
    parts = PanelParts(told.story, "prd")
    assert [name for name, html in parts().items() if name.startswith("live-") and html] == [
        "live-0-0",
        "live-0-1",
        "live-0-2",
    ]
    text.write_text("b")
    shown = {name: html for name, html in parts().items() if name.startswith("live-")}
    assert ">b<" in shown["live-0-0"]
    assert not shown["live-0-1"]
    told.say(
        "run_resumed",
        run=RUN,
        name="made",
        sop="waterfall",
        model="m",
        sandbox="s",
        repo="/r",
        steps=STEPS,
        judges=[],
        limits={},
    )
    text.write_text("of another step")
    made = parts()
    assert not [name for name, html in made.items() if name.startswith("live-") and html]
    assert "reply so far" not in made["turn-0"]
