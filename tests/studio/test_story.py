"""What is known of a run, folded from what is appended to its journal."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from company.events import line
from company.records import Request, keep
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.store import Folder
from company.studio.run_page import RunParts, _when
from company.studio.story import Story
from company.studio.telling import Wanted
from company.studio.telling import line as line_of
from company.studio.timeline import Timeline

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
    assert set(parts()) == {"run-state", "run-used", "when-axis", "log-0", *(f"step-{number}" for number in range(7))}
    told.begin("design")
    assert set(parts()) == {"run-state", "run-used", "ev-1", "step-1", "when-0"}
    told.begin("verify.test", kind="run")
    assert set(parts()) == {"run-state", "run-used", "ev-2", "step-4", "step-6", "when-1"}
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


def test_the_time_of_steps_is_drawn_on_one_scale_without_the_time_between_sittings(told: Told) -> None:
    told.begin("prd")  # 1002, the run began at 1001
    told.now += 8
    told.end("prd")  # 1011
    told.begin("code", kind="for_each")
    told.begin("code.do", "a.py")  # 1013
    told.begin("code.do", "b.py")  # 1014
    told.story.look()
    told.story._driven = False  # killed
    assert "data-from" not in Timeline(told.story)(told.now)["when-1"]
    assert "data-over" not in Timeline(told.story)(told.now)["when-1"]
    told.now += 1000
    told.say(
        "run_resumed", run=RUN, name="made", sop="waterfall", model="m", sandbox="s", repo="/r", steps=STEPS, limits={}
    )  # 2015
    told.begin("code.do", "b.py")  # 2016
    told.end("code.do", "b.py")  # 2017
    told.say("run_finished", status="failed", reason="x", accepted=False, seconds=3.0)  # 2018
    told.story.look()
    parts = Timeline(told.story)(5000.0)
    assert [name for name in parts if name != "when-axis"] == ["when-0", "when-1"]  # a for_each has no bar of its own
    whole = 13 + 3
    assert f'data-scale="{whole}.0"' in parts["when-axis"]
    assert f'class="resumed" x1="{round(100 * 13 / whole, 2)}%"' in parts["when-axis"]
    bars = re.findall(
        r'<rect class="(\w+)" x="([\d.]+)%" width="([\d.]+)%" y="(\d+)"', parts["when-0"] + parts["when-1"]
    )
    drawn = [
        (state, round(float(at) * whole / 100, 2), round(float(wide) * whole / 100, 2), y)
        for state, at, wide, y in bars
    ]
    assert drawn == [("done", 1.0, 9.0, "3"), ("stopped", 12.0, 1.0, "3"), ("done", 14.0, 1.0, "3")]


def test_a_timeline_that_goes_on_makes_only_the_rows_that_changed(told: Told) -> None:
    told.begin("prd")
    told.story.look()
    timeline = Timeline(told.story)
    first = timeline(told.now + 2)
    assert [*first] == ["when-axis", "when-0"]
    assert f'data-from="{told.now}"' in first["when-0"]
    assert 'data-over="0"' in first["when-0"]
    assert timeline(told.now + 5) == {}  # the page's own clock lengthens what is under way
    told.end("prd")
    told.begin("design")
    told.story.look()
    assert [*timeline(told.now + 1)] == ["when-0", "when-1"]
    assert [*timeline(told.now + 60)] == ["when-axis", "when-0", "when-1"]  # it has outgrown its scale


def test_many_bars_of_one_step_are_one_shape(told: Told) -> None:
    for number in range(80):
        ident = f"verify.fix#{number}"
        about = {"step": "verify.fix", "id": ident, "item": "", "round": str(number)}
        told.say("step_started", **about, kind="role", role="engineer", why="", made_of={})
        told.say("step_finished", **about, seconds=1.0, values={})
    told.story.look()
    row = Timeline(told.story)(told.now)["when-0"]
    assert row.count("<path") == 1
    assert row.count("M") == 80
    assert "<rect" not in row


def test_lines_of_the_log_are_found_by_step_words_and_what_went_wrong(told: Told) -> None:
    told.begin("code.do", "a.py")
    told.say("step_failed", step="code.do", id="code.do[a.py]#1", reason="it <failed>", anew=True)
    told.say("gate_opened", step="look", id="look#1", choices=["approve"])  # is not wrong
    told.story.look()
    lines = [line_of(number, event) for number, event in enumerate(told.story.fold.events)]
    find = {
        "": [0, 1, 2, 3], "step=code": [1, 2], "step=tests": [], "step=!": [2], "words=FAILED+a.py": [2], "step=code&words=begins": [1],
    }  # fmt: skip
    for query, numbers in find.items():
        wanted = Wanted(**dict(parse_qsl(query)))
        assert [each.number for each in lines if wanted.fits(each)] == numbers, query
        assert parse_qsl(wanted.query) == parse_qsl(query)


def test_a_clock_that_is_set_back_or_elsewhere_breaks_no_timeline(told: Told) -> None:
    told.story.look()
    assert 'data-scale="10.0"' in Timeline(told.story)(told.now - 50)["when-axis"]  # this machine's clock is behind
    told.now = 500.0
    told.begin("prd")  # begun before the run
    told.now += 2
    told.end("prd")
    told.begin("design")
    told.story.look()
    parts = Timeline(told.story)(told.now + 5)
    assert re.findall(r'class="(\w+)" x="([\d.]+)%" width="([\d.]+)%"', parts["when-0"] + parts["when-1"]) == [
        ("done", "0.0", "30.0"),
        ("running", "40.0", "50.0"),
    ]
    assert f'data-from="{told.now}"' in parts["when-1"]


@pytest.mark.parametrize("time", [b"NaN", b"Infinity", b"1e300", b"-1e18", b"1" + b"0" * 400])
def test_a_line_with_a_time_that_no_clock_says_is_passed_over(told: Told, time: bytes) -> None:
    told.write(b'{"event":"notice","time":' + time + b',"text":"x"}\n')
    told.say("step_started", step="prd", id="prd#1", item="", round="1", kind="role", role="e", why=5, made_of={})
    parts = RunParts(told.story)()
    assert "when-0" in parts
    assert 'id="ev-1"' in parts["log-0"]
    assert 'id="ev-2"' not in parts["log-0"]


def test_many_sittings_are_a_bounded_number_of_marks(told: Told) -> None:
    about = {"run": RUN, "name": "made", "sop": "waterfall", "model": "m", "sandbox": "s", "repo": "/r", "limits": {}}
    for _ in range(600):
        told.say("run_resumed", **about, steps=STEPS)
        told.begin("prd")
    told.story.look()
    parts = Timeline(told.story)(told.now)
    assert parts["when-axis"].count('class="resumed"') <= 501
    assert parts["when-0"].count("<rect") == 1


def test_rows_are_shown_in_the_order_in_which_they_began(told: Told) -> None:
    parts = {"when-10": "c", "when-axis": "x", "when-2": "b", "log-0": "", "when-0": "a"}
    assert _when(parts) == ["a", "b", "c"]
