"""One step opened beside a run: who did it, why and of what, each call with its prompt and reply, what it left and what was committed.

The read model: `story.py`; texts come from the store, a commit's diff from git. The page around it: `run_page.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from company import browse, gitdoor
from company.cache import Objects, Replies
from company.errors import CompanyError, WorkspaceError
from company.events import Event
from company.executions import Execution
from company.html import artifact_html, code_html, diff_html, plain, text_html
from company.live import live
from company.state import unpack
from company.studio.pages import render
from company.studio.story import kind_of
from company.workspace import Repository

if TYPE_CHECKING:
    from company.sop.procedure import Step
    from company.studio.feeds import Parts
    from company.studio.story import Story

_LIVE = 2000
"""Characters of a reply under way that are sent together."""
_MOST_DIFFS = 40
"""Files of a commit that are shown."""
_INPUT = re.compile(r"the input `(.+)`", re.DOTALL)


@dataclass
class Turn:
    """A call of a model or of a tool, in the order in which they began."""

    number: int
    tool: bool
    events: list[Event] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Of its request."""
        return next((str(event["key"]) for event in self.events if event.get("key")), "")

    def one(self, *names: str) -> Event | None:
        """Its last event of these kinds."""
        return next((event for event in reversed(self.events) if event["event"] in names), None)

    @property
    def call(self) -> int | None:
        """The number of its call while it is under way."""
        begun, ended = self.one("call_started"), self.one("call_finished", "call_failed")
        return begun["call"] if begun and not ended else None


def turns(events: list[Event]) -> list[Turn]:
    """What an execution asked, from its events."""
    made: list[Turn] = []

    def begin(event: Event, *, tool: bool = False) -> None:
        made.append(Turn(len(made), tool, [event]))

    for event in events:
        name = event["event"]
        if name in ("call_started", "tool_started"):
            begin(event, tool=name == "tool_started")
        elif name in ("call_finished", "call_failed"):
            known = next((turn for turn in reversed(made) if turn.call == event["call"]), None)
            if known:
                known.events.append(event)
            else:
                begin(event)
        elif name in ("reply_accepted", "reply_rejected"):
            if known := next((turn for turn in reversed(made) if turn.key == event.get("key")), None):
                known.events.append(event)
        elif name == "tool_finished":
            if made and made[-1].tool and len(made[-1].events) == 1:
                made[-1].events.append(event)
            else:
                begin(event, tool=True)
    return made


class PanelParts:
    """The parts of what is open: an execution by its id, or a step by its path, which is its last execution."""

    def __init__(self, story: Story, opened: str) -> None:
        self._story, self._opened = story, opened
        self._shown = ""
        """The execution that the parts are of."""
        self._made: dict[str, tuple[Any, str]] = {}
        """Id of a part → what it was made of, and itself."""

    def __call__(self) -> Parts:
        story = self._story
        with story.lock:
            story.look()
            gone: dict[str, str] = {}
            ident, path = self._which()
            if ident != self._shown:
                gone = {part: "" for part in self._made if part.startswith(("turn-", "live-"))}
                self._shown, self._made = ident, {}
            one, step = story.fold.done.get(ident), story.steps.get(path)
            events = story.fold.of.get(ident, [])
            count = len(events), story.how(ident), story.touched(path), story.is_live
            self._make("panel-head", count, lambda: self._head(path, ident, one, step))
            left = (one.values, one.commit) if one else None
            self._make("panel-left", left, lambda: self._left(one))
            self._make("panel-made", one and one.made_of, lambda: self._of(one, step))
            self._make("panel-commit", one and (one.commit, story.is_live), lambda: self._commit(one))
            asked = turns(events)
            texts = live(story.store.home, story.run) if any(self._goes_on(turn) for turn in asked) else {}
            shown: set[str] = set()
            for before, turn in zip([None, *asked], asked, strict=False):
                stands = len(turn.events), self._goes_on(turn)
                self._make(f"turn-{turn.number}", stands, lambda turn=turn, before=before: self._turn(turn, before))
                if turn.call is not None and self._goes_on(turn):
                    shown |= self._live(turn, texts.get(turn.call, ""))
            for part in [*self._made]:
                if part.startswith("live-") and part not in shown:  # it is over, or was begun again and is shorter
                    self._made[part] = None, ""
            return gone | {part: html for part, (_, html) in self._made.items()}

    def _make(self, part: str, of: Any, make: Any) -> None:
        known = self._made.get(part)
        if known is None or known[0] != of:
            self._made[part] = of, make()

    def _which(self) -> tuple[str, str]:
        """The id of the execution, and the path of its step."""
        fold = self._story.fold
        if self._opened in fold.done:
            return self._opened, fold.done[self._opened].step
        path = self._opened.partition("#")[0].partition("[")[0]
        for each in (path, f"{path}.do"):
            if self._opened == path and (known := fold.by_step.get(each)):
                return next(reversed(known)), each
        return self._opened, path

    def _head(self, path: str, ident: str, one: Execution | None, step: Step | None) -> str:
        story = self._story
        report = story.fold.report
        cost = report.steps.get(ident)
        others = [(each, story.how(each)) for each in story.fold.by_step.get(path, ())]
        role = next((each for each in step.workers if one and each.name == one.role), None) if step else None
        role = role or (step.role if step else None)
        began = next((event["time"] for event in story.fold.of.get(ident, ()) if event["event"] == "step_started"), 0.0)
        return render(
            "run_panel_head.html.j2", run=story.run, path=path, ident=ident if one else "", one=one, step=step, cost=cost, role=role,
            items=story.row(path).items, others=others if len(others) > 1 else [], stands=story.how(ident), began=began,
            verdict=report.verdicts.get(ident), asked=story.fold.asked.get(ident), known=bool(step or one), kind=kind_of(step) if step else "",
        )  # fmt: skip

    def _turn(self, turn: Turn, before: Turn | None) -> str:
        """A call: its prompt, as far as it is another than that of the call before, and its reply."""
        story = self._story
        replies = Replies(story.store)
        begun = turn.one("call_started", "tool_started")
        ended = turn.one("call_finished", "call_failed", "tool_finished")
        judged = turn.one("reply_accepted", "reply_rejected")
        prompt, reply, same = None, None, 0
        if turn.key:
            question, kept = replies.asked(turn.key), replies.get(turn.key)
            if question:
                messages = question["messages"]
                earlier = replies.asked(before.key) if before and before.key else None
                for one, two in zip(earlier["messages"] if earlier else (), messages, strict=False):
                    if one != two:
                        break
                    same += 1
                prompt = [(each["role"], text_html(each["content"])) for each in messages[same:]]
            if kept and ended:
                reply = _reply_html(str(kept["text"]))
        return render(
            "run_turn.html.j2", turn=turn, begun=begun, ended=ended, judged=judged, prompt=prompt, reply=reply, same=same,
            going=self._goes_on(turn),
        )  # fmt: skip

    def _goes_on(self, turn: Turn) -> bool:
        """Whether its call is under way: each sitting counts its calls anew, and a killed one has left some without an end."""
        return turn.call is not None and self._story.is_live and turn.events[0]["time"] >= self._story.fold.sat_down

    def _live(self, turn: Turn, text: str) -> set[str]:
        """The reply so far, in pieces of which only the last one grows; their ids."""
        shown, names = plain(text), set()
        for number, at in enumerate(range(0, len(shown), _LIVE)):
            part = shown[at : at + _LIVE]
            name = f"live-{turn.number}-{number}"
            names.add(name)
            self._make(
                name,
                part,
                lambda part=part, name=name: render("run_live.html.j2", id=name, into=f"live-{turn.number}", text=part),
            )
        return names

    def _left(self, one: Execution | None) -> str:
        """What an execution left, each value as what it is."""
        story = self._story
        objects = Objects(story.store, story.procedure.artifacts if story.procedure else None)
        shown = []
        for path, ref in one.values.items() if one else ():
            try:
                html = artifact_html(unpack(objects, ref))
            except (CompanyError, ValidationError, KeyError, TypeError) as error:
                html = text_html(f"It cannot be shown: {error}")
            shown.append((path, one is not None and path == one.step, html))
        return render("run_panel_left.html.j2", shown=sorted(shown, key=lambda each: not each[1]), one=one)

    def _of(self, one: Execution | None, step: Step | None) -> str:
        """What went into it: the inputs, with what made them, and the rest by name."""
        texts = {entry.name: entry.expr.text for entry in step.inputs} if step else {}
        inputs, rest = [], []
        for name, value in one.made_of.items() if one else ():
            if found := _INPUT.fullmatch(name):
                _, source = self._story.fold.left.get(value, ("", ""))
                inputs.append((found[1], texts.get(found[1], ""), source or self._source(found[1], one, step), value))
            else:
                rest.append((name.rstrip(","), value))
        if not one:
            inputs = [(name, text, "", "") for name, text in texts.items()]
        return render("run_panel_made.html.j2", run=self._story.run, inputs=inputs, rest=rest, step=step)

    def _source(self, name: str, one: Execution | None, step: Step | None) -> str:
        """What made an input that is put together of several values: the last execution of the step it names, before this one."""
        entry = next((each for each in step.inputs if each.name == name), None) if step else None
        if not (one and step and entry and entry.expr.references()):
            return ""
        first, *rest = entry.expr.references()[0].parts
        wanted = rest[0] if first == "prev" and rest else first
        places = step.path.split(".")[:-1]
        fold = self._story.fold
        before = dict(zip(fold.done, range(len(fold.done)), strict=True))
        for depth in range(len(places), -1, -1):
            made = fold.by_step.get(".".join([*places[:depth], wanted]), {})
            if earlier := [ident for ident in made if before[ident] < before[one.id]]:
                return earlier[-1]
        return ""

    def _commit(self, one: Execution | None) -> str:
        """The files of its commit, each against what it was before."""
        story = self._story
        if not one or not one.commit:
            return render("run_panel_commit.html.j2", one=None, diffs=[], more=0)
        after: Mapping[str, str | None] = {}
        with suppress(WorkspaceError, KeyError):
            after = Objects(story.store).get(one.files)["value"] if one.files else {}
        records = story.request.records
        paths = sorted(after, key=lambda path: (path.startswith(f"{records}/"), path))
        before = dict(_before(story, one.commit, paths[:_MOST_DIFFS]))
        diffs = [
            (path, path.startswith(f"{records}/"), diff_html(before.get(path), after[path], path))
            for path in paths[:_MOST_DIFFS]
        ]
        own = () if story.is_live or story.is_dry else [path for path, record, _ in diffs if not record and after[path]]
        return render(
            "run_panel_commit.html.j2", run=story.run, one=one, diffs=diffs, more=len(paths) - len(diffs), own=own
        )


def _reply_html(text: str) -> str:
    """A reply: JSON laid out, anything else as it is."""
    with suppress(ValueError, RecursionError):
        return code_html("reply.json", json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    return text_html(text)


def _before(story: Story, sha: str, paths: list[str]) -> Iterator[tuple[str, str]]:
    """Path → text in the commit before this one, of those that were there; what git has not is taken from the journal."""
    with suppress(WorkspaceError, ValueError, OSError), Repository.open(story.repo).opened() as repo:
        commit = gitdoor.commit_of(repo, sha)
        if commit is not None:
            parent = gitdoor.parent_of(commit)
            for path in paths:
                entry = browse.at(repo, parent, path) if parent else None
                if entry and entry.mode != gitdoor.FOLDER:
                    yield path, gitdoor.data(repo, entry.sha).decode("utf-8", "replace")
            return
    objects = Objects(story.store)
    for event in story.fold.report.commits.values():
        if event["sha"] == sha:
            return
        with suppress(WorkspaceError, KeyError):
            for path, text in objects.get(event["files"])["value"].items():
                if path in paths and text is not None:
                    yield path, text
