"""What is known of one run, kept up to date from what was appended to its journal: steps, items, executions, and every event.

A journal is never read twice. The fold itself: `progress.py`, `report.py`, `executions.py`. In words: `telling.py`; as a page:
`run_page.py`.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from company import records
from company.errors import CompanyError
from company.events import Event, parse
from company.executions import Execution, see
from company.ingredients import LENGTH
from company.progress import Progress
from company.report import Report
from company.store import Folder

if TYPE_CHECKING:
    from company.sop.procedure import Procedure, Step
    from company.store import Store

_DRIVEN_EVERY, _DATABASE_EVERY = 1.0, 2.0
"""Seconds between two looks whether somebody drives the run, and into a database."""
_MOST_ROUNDS = 12
"""Rounds of a loop that are shown one by one."""
_BEGINS = 60.0
"""Seconds in which a run without a journal may still be about to begin."""


def kind_of(step: Step) -> str:
    """What a step without a role or a command is, for people."""
    if step.kind == "use":
        return f"the procedure {step.used}"
    return {"for_each": "for each item"}.get(step.kind, step.kind)


class Tail:
    """What is appended to a run's journal. A line that is not whole yet is left for the next time."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._path = store.home / "runs" / run / "events.jsonl"
        self._at, self._file, self._count, self._next = 0, 0, 0, 0.0

    def more(self) -> tuple[bool, list[Event]]:
        """Whether it is another journal than before, to be taken from its beginning; and the new events."""
        if not isinstance(self._store, Folder):
            if time.monotonic() < self._next:
                return False, []
            self._next = time.monotonic() + _DATABASE_EVERY
            found = [*islice(self._store.events(self._run), self._count, None)]
            self._count += len(found)
            return False, found
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                anew = bool(self._file) and (status.st_ino != self._file or status.st_size < self._at)
                self._file, self._at = status.st_ino, 0 if anew else self._at
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return False, []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return anew, [*parse(whole.splitlines())]


class Time(NamedTuple):
    """When an execution was at work, in seconds that somebody drove the run."""

    sitting: int
    """Its number."""
    began: float
    ended: float | None = None
    """None where nothing says that it ended."""


class Item(NamedTuple):
    """One item of a for_each."""

    key: str
    needs: tuple[str, ...]
    state: str
    open: str
    """The id of what was done last for it; empty before anything was."""


@dataclass
class Row:
    """A step as the page shows it."""

    path: str
    depth: int
    who: str
    state: str
    note: str = ""
    times: int = 0
    tokens: int = 0
    seconds: float = 0.0
    since: float = 0.0
    """When what is under way began; 0 when nothing is."""
    rounds: tuple[tuple[int, bool], ...] = ()
    """Of a loop: the last ones, and whether each was good."""
    most: int = 0
    """Of a loop: how many there may be."""
    items: tuple[Item, ...] = ()


@dataclass
class _Fold:
    """What the events so far tell."""

    events: list[Event] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    progress: Progress = field(default_factory=Progress)
    done: dict[str, Execution] = field(default_factory=dict)
    of: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    """Id of an execution → its events."""
    by_step: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    """Path of a step → ids of its executions, in order."""
    by_item: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    """Key of an item, with those around it → ids of the executions for it."""
    items: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    """Path of a for_each → key of each item of its newest round → keys that it needs."""
    rounds: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    left: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The beginning of a value's reference, as `made_of` has it → the reference, and the id of what left it."""
    asked: dict[str, Event] = field(default_factory=dict)
    """Id of a gate that waits for a person → its `gate_opened`."""
    touched: dict[str, int] = field(default_factory=dict)
    """Path of a step → number of the event that last said something of it."""
    whole: int = 0
    """Number of the event that last said something of all steps."""
    sat_down: float = 0.0
    """When the newest sitting began."""
    worked: float = 0.0
    """Seconds that somebody drove the run until the newest event. A clock that is set back stands still here."""
    sittings: list[float] = field(default_factory=list)
    """Where in `worked` each began."""
    times: dict[str, Time] = field(default_factory=dict)
    """Id of an execution → when it was at work, in its newest sitting."""


class Story:
    """A run. Whoever reads it holds `lock` from `look` on.

    Raises:
        UsageError: there is no such run.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.request = records.read_request(store, run)
        self.run = run
        self.repo = store.home.parent / self.request.name
        self.lock = threading.RLock()
        self.procedure: Procedure | None = None
        self.fault = ""
        """Why there is no procedure."""
        try:
            self.procedure = records.procedure_of(store, run)
        except CompanyError as error:
            self.fault = error.message
        self.steps = {step.path: step for step in self._walk()}
        self.generation = 0
        """How often the journal was found to be another one."""
        self._tail = Tail(store, run)
        self.fold = _Fold()
        self._driven, self._looked = False, -_DRIVEN_EVERY

    def _walk(self) -> Iterator[Step]:
        return (step for step in (self.procedure.walk() if self.procedure else ()) if not step.transparent)

    def look(self) -> None:
        """Take in what is new."""
        anew, events = self._tail.more()
        if anew:
            self.generation += 1
            self.fold = _Fold()
        for event in events:
            self._see(event)
        now = time.monotonic()
        if events:
            self._driven, self._looked = True, now
        elif not self.fold.report.status and now - self._looked >= _DRIVEN_EVERY:
            self._driven, self._looked = self.store.is_driven(self.run, self.repo), now

    @property
    def status(self) -> str:
        """As `records.record_of` has it, and ``begun`` while there is no journal."""
        if self.fold.report.status:
            return self.fold.report.status
        if self._driven:
            return "waits" if self.fold.asked and not self._at_work else "running"
        if not self.fold.events and time.time() - records.begun(self.run) < _BEGINS:
            return "begun"
        return "interrupted"

    @property
    def is_dry(self) -> bool:
        """Whether no model is asked: nothing in it was judged."""
        return self.request.model == "dry"

    @property
    def is_live(self) -> bool:
        """Whether it goes on."""
        return self.status in ("running", "waits", "begun")

    @property
    def _at_work(self) -> bool:
        """Whether something goes on beside the gates that wait."""
        return any(row.calls for row in self.fold.progress.rows.values())

    def _see(self, event: Event) -> None:
        fold, name = self.fold, event["event"]
        number = len(fold.events)
        try:
            fold.report.see(event)
            fold.progress.see(event)
            one = see(fold.done, event)
        except (KeyError, TypeError, ValueError, AttributeError):
            return  # a line that was damaged and still parses
        if name in ("run_started", "run_resumed") or not fold.events:
            fold.sittings.append(fold.worked)
            fold.sat_down = event["time"]
        else:
            fold.worked += max(0.0, event["time"] - fold.events[-1]["time"])
        fold.events.append(event)
        ident = event.get("id") or (one.id if one else "")
        if ident:
            fold.of[ident].append(event)
            if name == "step_started" or ident not in fold.times:  # in another sitting it begins once more
                fold.times[ident] = Time(len(fold.sittings) - 1, fold.worked)
            if name in ("step_finished", "step_failed", "step_skipped"):
                fold.times[ident] = fold.times[ident]._replace(ended=fold.worked)
        if one:
            fold.by_step[one.step][ident] = None
            if item := ident.removeprefix(one.step).rpartition("#")[0][1:-1]:
                fold.by_item[item][ident] = None
        step = str(event.get("step", "")).partition("#")[0].partition("[")[0]
        if name in ("run_started", "run_resumed", "run_finished"):
            fold.whole = number + 1
            if event.get("status") in records.FINISHED:
                fold.asked.clear()
        elif name == "items":
            around = f"{event['item']}/" if event["item"] else ""
            full = {key: f"{around}{key.replace('/', '%2F') if around else key}" for key in event["needs"]}
            fold.items[step] = {full[key]: tuple(full[n] for n in needs) for key, needs in event["needs"].items()}
        elif name == "loop_round":
            rounds = fold.rounds[step]
            if event["round"] <= len(rounds):
                rounds.clear()
            rounds.append(event["until"])
        elif name == "gate_opened":
            fold.asked[ident] = event
        elif name == "step_finished":
            for ref in filter(None, event["values"].values()):
                fold.left.setdefault(ref[:LENGTH], (ref, ident))
        if name in ("gate_decided", "step_finished", "step_failed"):
            fold.asked.pop(ident, None)
        parts = step.split(".")
        for depth in range(len(parts)):
            fold.touched[".".join(parts[: depth + 1])] = number + 1

    # --- how steps stand ---------------------------------------------------------------------------------

    def touched(self, path: str) -> int:
        """The number of the event that last said something of a step, or of one in it."""
        return max(self.fold.touched.get(path, 0), self.fold.whole)

    def state(self, path: str) -> str:
        """How a step stands: waiting, running, waits (for a person), done, failed, skipped or stopped."""
        row = self.fold.progress.rows.get(path.removesuffix(".do"))
        if row is None:
            return "waiting"
        if any(each["step"] == path for each in self.fold.asked.values()):
            return "waits"
        found = self.fold.progress.state(row)
        step = self.steps.get(path)
        if found == "waiting" and step and step.kind == "use":  # it has no events of its own
            found = self._together([self.state(each) for each in self.steps if each.startswith(f"{path}.")])
        return "stopped" if found == "running" and not self.is_live else found

    def _together(self, states: list[str]) -> str:
        """How a block stands that has no state of its own."""
        for state in ("waits", "running", "failed", "stopped"):
            if state in states:
                return state
        over = sum(state in ("done", "skipped") for state in states)
        return "waiting" if not over else "done" if over == len(states) else "running"

    def how(self, ident: str) -> str:
        """The same of one execution."""
        one = self.fold.done.get(ident)
        if one is None:
            return "waiting"
        if one.how == "begun":
            return "waits" if ident in self.fold.asked else "running" if self.is_live else "stopped"
        verdict = self.fold.report.verdicts.get(ident)
        if one.how == "failed" or (verdict and not verdict[1]):
            return "failed"
        return "skipped" if one.how == "skipped" else "done"

    def rows(self) -> Iterator[str]:
        """The paths of the steps in written order, as far as the procedure or the journal tells; a `do` is its for_each."""
        paths = self.steps or dict.fromkeys(self.fold.progress.rows)
        return (path for path in paths if not path.endswith(".do"))

    def row(self, path: str) -> Row:
        """A step as it is now."""
        fold = self.fold
        known = fold.progress.rows.get(path)
        made = Row(path, path.count("."), "", self.state(path))
        step = self.steps.get(path)
        if step:
            inner = self.steps.get(f"{path}.do", step)
            made.who = ", ".join(role.title for role in inner.workers) or inner.command or kind_of(inner)
            made.most = step.max if step.kind == "loop" else 0
        if known:
            made.note, made.times, made.tokens, made.seconds = known.note, known.times, known.tokens, known.seconds
            made.since = known.since if made.state in ("running", "waits") and known.running else 0.0
        rounds = fold.rounds.get(path, ())
        made.rounds = (*enumerate(rounds, 1),)[-_MOST_ROUNDS:]
        made.items = tuple(self._items(path))
        return made

    def _items(self, path: str) -> Iterator[Item]:
        step = self.steps.get(path)
        if not step or step.kind != "for_each":
            return
        planned = self.fold.items.get(path)
        last = step.body[-1].path if step.body else ""
        if planned is None:  # an earlier version did not say which there are
            seen = (item for item, idents in self.fold.by_item.items() if any(i.startswith(f"{path}.") for i in idents))
            planned = dict.fromkeys(seen, ())
        for key, needs in planned.items():
            own = [ident for ident in self.fold.by_item.get(key, ()) if ident.startswith(f"{path}.")]
            states = [self.how(ident) for ident in own]
            state = next((each for each in ("waits", "running", "stopped") if each in states), "")
            if not state and states:
                ended = any(self.fold.done[ident].step == last for ident in own)
                state = "failed" if states[-1] == "failed" else "done" if ended else "running"
                state = state if state != "running" or self.is_live else "stopped"
            yield Item(key, needs, state or "waiting", own[-1] if own else "")
