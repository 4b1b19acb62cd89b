"""What people see of a run while it goes on: a live table on a terminal, plain lines anywhere else; both read events.

The events: `events.py`; the sums: `report.py`. What is printed before and after a run: `cli.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from company.events import Event

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

QUIET_SECONDS = 15.0
"""How long a call may go on before a plain line says that it does."""
_MARKS = {"waiting": "·", "running": "▶", "done": "✓", "failed": "✗", "skipped": "–", "stopped": "■"}
_COLOURS = {
    "waiting": "dim",
    "running": "bold cyan",
    "done": "green",
    "failed": "red",
    "skipped": "dim",
    "stopped": "yellow",
}
_ASKING = "asking again: "
_KEPT = "kept from before"


def clean(text: object, most: int = 200) -> str:
    """Foreign text on one line, without control characters: a model must not steer the terminal."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def harmless(text: str) -> str:
    """Foreign text of several lines, without what would steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def console_on_stderr() -> Console:
    """Progress and messages go to standard error; results to standard output."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 05 s``, ``1 h 02 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@dataclass
class _Call:
    """A call under way."""

    where: str
    """Step and item, for people."""
    began: float
    tokens: int = 0
    first: float = 0.0
    """When its first token came; 0 while the prompt is being read."""
    told: float = 0.0
    """When a plain line last spoke of it."""

    def grow(self, tokens: int, now: float) -> None:
        """Take in how many tokens there are; fewer than before means that the request was sent again."""
        if not self.tokens or tokens < self.tokens:
            self.first = now
        self.tokens = tokens


@dataclass
class _Row:
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
    calls: dict[int, _Call] = field(default_factory=dict)

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
        self.rows: dict[str, _Row] = {}
        self.title = ""
        self.model = ""
        self.limits: dict[str, float] = {}
        self.tokens = 0
        self.calls = 0
        self.notices: list[str] = []
        self.verdict = ""
        self._each: set[str] = set()
        """The for_eaches with one step, which have a start and an end beside those of their items."""
        self._before = 0.0
        self._begun = self._last = 0.0
        self._over = False

    def see(self, event: Event) -> None:
        """Take in one event."""
        name, now = event["event"], float(event["time"])
        if name in ("run_started", "run_resumed"):
            self._begin(event, now)
        elif name == "run_finished":
            self._settle(now)
            self._over = True
        elif name == "notice":
            self.notices.append(clean(event["text"]))
        elif row := self.rows.get(str(event.get("step", "")).removesuffix(".do")):
            self._step(name, event, now, row)
        self._last = now

    def elapsed(self, now: float) -> float:
        """Seconds of all sittings."""
        return self._before + ((self._last if self._over else now) - self._begun if self._begun else 0.0)

    def state(self, row: _Row) -> str:
        """A step's state; a loop has no start of its own, so it has the state of what is in it."""
        inside = [one.state for path, one in self.rows.items() if path.startswith(f"{row.path}.")]
        if row.state != "waiting" or not inside:
            return row.state
        if "running" in inside:
            return "running"
        return "failed" if row.rounds else "waiting"

    def _begin(self, event: Event, now: float) -> None:
        self.title, self.model = clean(f"{event['sop']} → {event['name']}"), clean(event["model"])
        self.limits = {name: most for name, most in event.get("limits", {}).items() if most is not None}
        if self._begun:  # an earlier sitting, which may have been killed
            self._before += self._last - self._begun
            self._settle(self._last)
        self._begun, self._over = now, False
        self._each |= {path.removesuffix(".do") for path in event["steps"] if path.endswith(".do")}
        for path in event["steps"]:
            self.rows.setdefault(path.removesuffix(".do"), _Row(path.removesuffix(".do")))

    def _settle(self, now: float) -> None:
        """Nothing is under way any more."""
        for row in self.rows.values():
            while row.running:
                row.stop(now, row.outcome if row.outcome == "failed" else "stopped")
            row.calls.clear()
            row.items.clear()

    def _step(self, name: str, event: Event, now: float, row: _Row) -> None:
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
            row.times += not (event["step"] == row.path and row.path in self._each)
            row.stop(now, "failed" if row.outcome == "failed" else "done")
            if clean(event.get("item", "")) in row.items:
                row.items.remove(clean(event["item"]))
        elif name == "step_failed":
            row.note = clean(event["reason"], 80)
            row.stop(now, "failed")
        elif name == "verdict":
            self.verdict = row.note = clean(event["summary"], 80)
            row.outcome = "done" if event["passed"] else "failed"
        elif name == "loop_round":
            row.rounds = event["round"]
            row.outcome = "done" if event["until"] else "waiting"
            row.note = (
                f"round {event['round']} is good" if event["until"] else f"round {event['round']} is not good yet"
            )
        else:
            self._call(name, event, now, row)

    def _call(self, name: str, event: Event, now: float, row: _Row) -> None:
        if name == "call_started":
            row.calls[event["call"]] = _Call(row.path, now)
            row.note = "" if row.note == _KEPT else row.note
        elif name == "call_progress":
            row.calls.setdefault(event["call"], _Call(row.path, now)).grow(event["tokens"], now)
        elif name == "call_finished":
            row.calls.pop(event["call"], None)
            if event["from_store"]:
                row.note = _KEPT
                return
            row.tokens += event["completion_tokens"]
            row.model_seconds += event["seconds"]
            self.tokens += event["prompt_tokens"] + event["completion_tokens"]
            self.calls += 1
        elif name == "reply_rejected":
            row.note = f"{_ASKING}{clean(event['reason'], 60)}"
        elif name == "reply_accepted" and row.note.startswith(_ASKING):
            row.note = ""
        elif name in ("tool_started", "tool_finished"):
            row.note = _tool(event)


def _tool(event: Event) -> str:
    """A call of a tool and, once it has ended, what it came to: ``python(print(1)) → 12 characters``."""
    given = clean(", ".join(map(str, event["arguments"].values())), 60)
    call = f"{clean(event['name'], 60)}({given})"
    if event["event"] == "tool_started":
        return call
    return f"{call} → {'' if event['ok'] else 'failed, '}{event['size']} characters"


class PlainView:
    """One line for each fact, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._calls: dict[int, _Call] = {}

    def __call__(self, event: Event) -> None:
        """Print what an event says, if it says something to people."""
        for line in self._lines(event):
            self._say(line)

    def tick(self, now: float) -> None:
        """Say what goes on for long; events alone would be silent while a model reads a long prompt."""
        for call in self._calls.values():
            if now - max(call.told, call.began) >= QUIET_SECONDS:
                call.told = now
                reading = f"reading the prompt for {duration(now - call.began)}"
                self._say(f"{call.where}: {f'{call.tokens} tokens so far' if call.tokens else reading}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _lines(self, event: Event) -> Iterator[str]:
        name, now = event["event"], float(event["time"])
        where = clean(event.get("step", "")).removesuffix(".do")
        where += f" [{clean(event['item'])}]" if event.get("item") else ""
        if name in ("run_started", "run_resumed"):
            verb = "starting" if name == "run_started" else "going on with"
            what = f"{event['sop']} ({event['run']}) with {event['model']} in {event['repo']}, {event['sandbox']}"
            yield f"{verb} {clean(what, 1000)}"
        elif name == "run_finished":
            self._calls.clear()
        elif name == "step_started" and event["kind"] != "for_each":
            yield f"{where}: {clean(event['role']) or event['kind']} begins"
        elif name == "step_skipped":
            yield f"{where}: skipped, {clean(event.get('reason', ''))}"
        elif name == "call_started":
            self._calls[event["call"]] = _Call(where, now)
        elif name == "call_progress":
            self._calls.setdefault(event["call"], _Call(where, now)).grow(event["tokens"], now)
            self.tick(now)
        elif name == "call_finished":
            self._calls.pop(event["call"], None)
            speed = event["completion_tokens"] / event["seconds"] if event["seconds"] else 0
            source = _KEPT if event["from_store"] else f"{event['seconds']:.1f} s, {speed:.1f} tokens/s"
            yield f"{where}: {event['prompt_tokens']} + {event['completion_tokens']} tokens, {source}"
        elif name == "reply_rejected":
            yield f"{where}: reply not usable, {clean(event['reason'])}"
        elif name == "tool_finished":
            source = _KEPT if event["from_store"] else f"{event['seconds']:.1f} s"
            yield f"{where}: {_tool(event)}, {source}"
        elif name == "step_failed":
            yield f"{where}: failed, {clean(event['reason'])}"
        elif name == "verdict":
            yield f"{where}: {'PASSED' if event['passed'] else 'FAILED'}, {clean(event['summary'])}"
        elif name == "commit":
            yield f"  commit {event['sha'][:7]} by {clean(event['author'])}: {clean(event['subject'])}"
        elif name == "loop_round":
            yield f"{where}: round {event['round']} {'is good' if event['until'] else 'is not good yet'}"
        elif name == "notice":
            yield f"note: {clean(event['text'], 400)}"


class LiveView:
    """A table that follows the run, for `rich.live.Live`. `clock` tells seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.progress = Progress()
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Take in one event; the picture is drawn again by `Live` itself."""
        self.progress.see(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.table import Table
        from rich.text import Text

        progress, now = self.progress, self._clock()
        yield Text(f"{progress.title}   {progress.model}", style="bold", overflow="ellipsis", no_wrap=True)
        rows = list(progress.rows.values())
        states = [progress.state(row) for row in rows]
        chosen = _chosen(states, max(4, (options.max_height or console.height or 24) - 6))
        table = Table(box=None, padding=(0, 1), expand=True, show_header=True, header_style="dim")
        hidden = f" ({len(chosen)} of {len(rows)} shown)" if len(chosen) < len(rows) else ""
        table.add_column(f"step{hidden}", no_wrap=True, overflow="ellipsis", max_width=32)
        table.add_column("role", no_wrap=True, overflow="ellipsis", max_width=16)
        table.add_column("tokens", justify="right", no_wrap=True, min_width=6)
        table.add_column("tok/s", justify="right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True, min_width=10)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for place in chosen:
            table.add_row(*_cells(rows[place], states[place], now))
        yield table
        said = progress.notices[-1] if progress.notices else ""
        tests = f"tests: {progress.verdict}" if progress.verdict else ""
        if said or tests:
            line = "   ".join(filter(None, [tests, said]))
            yield Text(line, style="yellow", overflow="ellipsis", no_wrap=True)
        foot = "   ".join([*_used(progress, now), "Ctrl-C stops"])
        yield Text(foot, style="dim", overflow="ellipsis", no_wrap=True)


def _cells(row: _Row, state: str, now: float) -> Iterator[Any]:
    from rich.text import Text

    live = sum(call.tokens for call in row.calls.values())
    tokens, speed, seconds = row.tokens + live, row.speed(now), row.wall(now)
    count = f" ×{row.times}" if row.times > 1 else ""
    note = row.note or ", ".join(row.items)
    if row.calls and not live:
        note = ", ".join(["reading the prompt", *row.items])
    indent = "  " * row.path.count(".")
    yield Text(f"{indent}{_MARKS[state]} {clean(row.path.rpartition('.')[2])}{count}", style=_COLOURS[state])
    yield Text(row.role)
    yield Text(str(tokens) if tokens else "")
    yield Text(f"{speed:.1f}" if speed else "")
    yield Text(duration(seconds) if row.since else "")
    yield Text(note, style="red" if state == "failed" else "dim")


def _used(progress: Progress, now: float) -> Iterator[str]:
    """What the run has used, with its limits where it has any."""
    limits = {name: f" of {most:.15g}" for name, most in progress.limits.items()}
    yield f"{progress.calls}{limits.get('calls', '')} calls"
    yield f"{progress.tokens}{limits.get('tokens', '')} tokens"
    most = f"{limits['minutes']} min" if "minutes" in limits else ""
    yield f"{duration(progress.elapsed(now))}{most}"


def _chosen(states: list[str], room: int) -> list[int]:
    """The places of the rows to show when there is no room for all: nearest to what is at work, else to what was."""
    at = [place for place, state in enumerate(states) if state == "running"]
    at = at or [place for place, state in enumerate(states) if state not in ("waiting", "skipped")][-1:] or [0]
    nearest = sorted(range(len(states)), key=lambda place: min(abs(place - one) for one in at))
    return sorted(nearest[:room])
