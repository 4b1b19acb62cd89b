"""The state of a run by step, kept up to date by its events: what is waiting, at work, done, and what it used.

The events: `events.py`. Who shows it: `terminal.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from company.events import Event
from company.llm.budget import added
from company.report import decides

ASKING, KEPT = "asking again: ", "kept from before"
"""Notes beside a step: its reply could not be used; its reply had been paid for before."""
_SAID = 2000
"""Characters of the end of a reply under way that are at hand."""


def clean(text: object, most: int = 200) -> str:
    """Foreign text on one line, without control characters: a model must not steer the terminal."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


@dataclass
class Call:
    """A call under way."""

    where: str
    """Step and item, for people."""
    began: float
    tokens: int = 0
    first: float = 0.0
    """When its first token came; 0 while the prompt is being read."""
    told: float = 0.0
    """When a plain line last spoke of it."""
    model: str = ""
    """Who is asked."""
    item: str = ""
    """Which item of a for_each it is for."""
    said: str = ""
    """The end of the text that has come."""

    @property
    def waiting(self) -> str:
        """What goes on before the first token: of an endpoint elsewhere nobody knows whether it is at work at all."""
        return "reading the prompt" if self.model.startswith("local:") else "waiting for the endpoint"

    def grow(self, event: Event) -> None:
        """Take in how many tokens there are, and the text that came; no more than before mean that the request was sent again."""
        if event["tokens"] <= self.tokens or not self.tokens:
            self.first, self.said = float(event["time"]), ""
        self.tokens = event["tokens"]
        self.said = (self.said + event["text"])[-_SAID:]


@dataclass
class Row:
    """One step of the procedure as the table shows it; a for_each and its `do` are one."""

    path: str
    role: str = ""
    note: str = ""
    running: int = 0
    """Executions under way, a for_each's own among them."""
    since: float = 0.0
    seconds: float = 0.0
    """Wall time with something under way, up to `since`."""
    tokens: int = 0
    model_seconds: float = 0.0
    times: int = 0
    """How often it has finished: items of a for_each, rounds of a loop."""
    outcome: str = "waiting"
    """What it is when nothing is under way."""
    rounds: int = 0
    """Of a loop: rounds that were judged."""
    items: list[str] = field(default_factory=list)
    """Keys of the items under way."""
    calls: dict[int, Call] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return "running" if self.running else self.outcome

    def start(self, now: float) -> None:
        self.since = self.since if self.running else now
        self.running += 1

    def stop(self, now: float, outcome: str) -> None:
        self.seconds = self.wall(now)
        self.since, self.outcome = now, outcome
        self.running = max(0, self.running - 1)

    def wall(self, now: float) -> float:
        return self.seconds + (max(0.0, now - self.since) if self.running else 0.0)

    def speed(self, now: float) -> float:
        """Tokens a second: of the calls under way, else of all that have ended."""
        live = [call.tokens / (now - call.first) for call in self.calls.values() if call.first and now - call.first > 1]
        return sum(live) if live else self.tokens / self.model_seconds if self.model_seconds else 0.0


class Progress:
    """The state of a run by step, kept up to date by events."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.title = ""
        self.model = ""
        self.limits: dict[str, float] = {}
        self.tokens = 0
        self.calls = 0
        self.usd: float | None = 0.0
        """Of all calls; None once the price of one was unknown."""
        self.notices: list[str] = []
        self.verdict = ""
        self._judges: list[str] | None = None
        self._each: set[str] = set()
        """The for_eaches with one step, which have a start and an end beside those of their items."""
        self._before = 0.0
        self._begun = self._last = 0.0
        self.over = False
        """Whether nothing goes on any more."""

    def see(self, event: Event) -> None:
        """Take in one event."""
        name, now = event["event"], float(event["time"])
        if name in ("run_started", "run_resumed"):
            self._begin(event, now)
        elif name == "run_finished":
            self._settle(now)
            self.over = True
        elif name == "notice":
            self.notices.append(clean(event["text"]))
        elif row := self.rows.get(str(event.get("step", "")).removesuffix(".do")):
            self._step(name, event, now, row)
        self._last = now

    def elapsed(self, now: float) -> float:
        """Seconds of all sittings."""
        return self._before + ((self._last if self.over else now) - self._begun if self._begun else 0.0)

    @property
    def steps(self) -> tuple[int, int]:
        """How many of the steps without others in them have ended, and how many there are."""
        paths = list(self.rows)
        own = [row for path, row in self.rows.items() if not any(other.startswith(f"{path}.") for other in paths)]
        return sum(row.state in ("done", "skipped") for row in own), len(own)

    def state(self, row: Row) -> str:
        """A step's state; a loop has no start of its own, so it has the state of what is in it."""
        inside = [one.state for path, one in self.rows.items() if path.startswith(f"{row.path}.")]
        if row.state != "waiting" or not inside:
            return row.state
        if "running" in inside:
            return "running"
        return "failed" if row.rounds else "waiting"

    def _begin(self, event: Event, now: float) -> None:
        self.title, self.model = clean(f"{event['sop']} → {event['name']}"), clean(event["model"])
        self._judges = event.get("judges")
        self.limits = {name: most for name, most in event.get("limits", {}).items() if most is not None}
        if self._begun:  # an earlier sitting, which may have been killed
            self._before += self._last - self._begun
            self._settle(self._last)
        self._begun, self.over = now, False
        self._each |= {path.removesuffix(".do") for path in event["steps"] if path.endswith(".do")}
        for path in event["steps"]:
            self.rows.setdefault(path.removesuffix(".do"), Row(path.removesuffix(".do")))

    def _settle(self, now: float) -> None:
        """Nothing is under way any more."""
        for row in self.rows.values():
            while row.running:
                row.stop(now, row.outcome if row.outcome == "failed" else "stopped")
            row.calls.clear()
            row.items.clear()

    def _step(self, name: str, event: Event, now: float, row: Row) -> None:
        if name == "step_started":
            if not row.running:
                row.note, row.outcome = "", "waiting"
            row.role = clean(event.get("role", "")) or row.role
            row.start(now)
            if event.get("item") and event.get("kind") != "for_each":
                row.items.append(clean(event["item"]))
        elif name == "step_skipped":
            row.outcome = "done" if row.times else "skipped"
        elif name == "step_finished":
            row.note = KEPT if "kept_from" in event else row.note
            row.times += not (event["step"] == row.path and row.path in self._each)
            row.stop(now, "failed" if row.outcome == "failed" else "done")
            if clean(event.get("item", "")) in row.items:
                row.items.remove(clean(event["item"]))
        elif name == "step_failed":
            row.note = clean(event["reason"], 80)
            row.stop(now, "failed")
        elif name == "verdict":
            row.note = clean(event["summary"], 80)
            self.verdict = row.note if decides(event["step"], self._judges) else self.verdict
            row.outcome = "done" if event["passed"] else "failed"
        elif name == "loop_round":
            row.rounds = event["round"]
            row.outcome = "done" if event["until"] else "waiting"
            row.note = round_note(event)
        else:
            self._call(name, event, now, row)

    def _call(self, name: str, event: Event, now: float, row: Row) -> None:
        if name == "call_started":
            row.calls[event["call"]] = Call(
                row.path, now, model=event.get("model", ""), item=clean(event.get("item", ""))
            )
            row.note = "" if row.note == KEPT else row.note
        elif name == "call_progress":
            row.calls.setdefault(event["call"], Call(row.path, now)).grow(event)
        elif name == "call_finished":
            row.calls.pop(event["call"], None)
            if event["from_store"]:
                row.note = KEPT
                return
            row.tokens += event["completion_tokens"]
            row.model_seconds += event["seconds"]
            self.tokens += event["prompt_tokens"] + event["completion_tokens"]
            self.calls += 1
            self.usd = added(self.usd, event.get("usd"))
        elif name == "call_failed":
            row.calls.pop(event["call"], None)
        elif name == "reply_rejected":
            row.note = f"{ASKING}{clean(event['reason'], 60)}"
        elif name == "reply_accepted" and row.note.startswith(ASKING):
            row.note = ""
        elif name in ("tool_started", "tool_finished"):
            row.note = tool_note(event)


def tool_note(event: Event) -> str:
    """A call of a tool and, once it has ended, what it came to: ``python(print(1)) → 12 characters``."""
    given = clean(", ".join(map(str, event["arguments"].values())), 60)
    call = f"{clean(event['name'], 60)}({given})"
    if event["event"] == "tool_started":
        return call
    return f"{call} → {'' if event['ok'] else 'failed, '}{event['size']} characters"


def round_note(event: Event) -> str:
    """What a round of a loop came to: ``round 2 is not good yet``; of a cascade each round is an answer."""
    if event.get("forced"):  # nothing was judged
        return f"round {event['round']} {'ends the loop' if event['until'] else 'goes back'}, as in every dry run"
    if "@tries" in event["step"]:
        return f"answer {event['round']} is {'accepted' if event['until'] else 'not accepted'}"
    return f"round {event['round']} is {'good' if event['until'] else 'not good yet'}"
