"""What people see of a run while it goes on: a live table on a terminal, plain lines anywhere else; both read events.

The events: `events.py`; the sums: `report.py`. What is printed before and after a run: `cli.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from company.events import Event

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

QUIET_SECONDS = 15.0
"""How long a call may go on before a plain line says that it does."""
_MARKS = {"waiting": "·", "running": "▶", "done": "✓", "failed": "✗", "skipped": "–"}
_COLOURS = {"waiting": "dim", "running": "bold cyan", "done": "green", "failed": "red", "skipped": "dim"}


def clean(text: object, most: int = 200) -> str:
    """Foreign text on one line, without control characters: a model must not steer the terminal."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def console_on_stderr() -> Console:
    """Progress and messages go to standard error; results to standard output."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 05 s``, ``1 h 02 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@dataclass
class _Row:
    """One step of the procedure as the table shows it."""

    path: str
    role: str = ""
    state: str = "waiting"
    note: str = ""
    started: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    times: int = 0
    """How often it has finished: items of a for_each, rounds of a loop."""
    calls: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Calls under way: tokens so far, when they began."""
    first_token: dict[int, float] = field(default_factory=dict)


class Progress:
    """The state of a run by step, kept up to date by events."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.title = ""
        self.model = ""
        self.begun = 0.0
        self.tokens = 0
        self.calls = 0
        self.notices: list[str] = []
        self.verdict = ""

    def see(self, event: Event) -> None:
        """Take in one event."""
        name, now = event["event"], float(event["time"])
        if name in ("run_started", "run_resumed"):
            self.title, self.model = f"{event['sop']} → {event['name']}", event["model"]
            self.begun = self.begun or now
            for path in event["steps"]:
                self.rows.setdefault(path, _Row(path))
            return
        row = self.rows.get(str(event.get("step", "")))
        if row is None and "step" in event:
            row = self.rows.get(f"{event['step']}.do")
        if name == "notice":
            self.notices.append(clean(event["text"]))
        elif row is not None:
            self._step(name, event, now, row)

    def _step(self, name: str, event: Event, now: float, row: _Row) -> None:
        if name == "step_started":
            row.state, row.role = "running", row.role or event.get("role", "")
            row.started = row.started or now
        elif name == "step_skipped":
            row.state = row.state if row.times else "skipped"
        elif name == "step_finished":
            row.times += 1
            row.seconds += event["seconds"]
            row.state = "running" if row.calls else "done"
        elif name == "step_failed":
            row.state, row.note = "failed", clean(event["reason"], 80)
        elif name == "call_started":
            row.calls[event["call"]] = (0, now)
        elif name == "call_progress":
            row.calls[event["call"]] = (event["tokens"], row.calls.get(event["call"], (0, now))[1])
            row.first_token.setdefault(event["call"], now)
        elif name == "call_finished":
            row.calls.pop(event["call"], None)
            if not event["from_store"]:
                row.tokens += event["completion_tokens"]
                self.tokens += event["prompt_tokens"] + event["completion_tokens"]
                self.calls += 1
        elif name == "reply_rejected":
            row.note = f"asking again: {clean(event['reason'], 60)}"
        elif name == "reply_accepted":
            row.note = ""
        elif name == "verdict":
            self.verdict = row.note = clean(event["summary"], 80)
            row.state = "done" if event["passed"] else "failed"
        elif name == "loop_round":
            row.state = "done" if event["until"] else "running"
            row.note = f"round {event['round']}"


class PlainView:
    """One line for each fact, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[Any, float] = {}

    def __call__(self, event: Event) -> None:
        """Print what an event says, if it says something to people."""
        for line in self._lines(event):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _lines(self, event: Event) -> Iterator[str]:
        name = event["event"]
        where = clean(event.get("step", "")).removesuffix(".do")
        where += f" [{clean(event['item'])}]" if event.get("item") else ""
        if name in ("run_started", "run_resumed"):
            verb = "starting" if name == "run_started" else "going on with"
            yield f"{verb} {event['sop']} ({event['run']}) with {event['model']} in {event['repo']}, {event['sandbox']}"
        elif name == "step_started" and event["kind"] != "for_each":
            yield f"{where}: {clean(event['role']) or event['kind']} begins"
        elif name == "step_skipped":
            yield f"{where}: skipped, {clean(event.get('reason', ''))}"
        elif name == "call_started":
            self._said[event["call"]] = event["time"]
        elif name == "call_progress" and event["time"] - self._said.get(event["call"], 0.0) > QUIET_SECONDS:
            self._said[event["call"]] = event["time"]
            yield f"{where}: {event['tokens']} tokens so far"
        elif name == "call_finished":
            speed = event["completion_tokens"] / event["seconds"] if event["seconds"] else 0
            source = "kept from before" if event["from_store"] else f"{event['seconds']:.1f} s, {speed:.1f} tokens/s"
            yield f"{where}: {event['prompt_tokens']} + {event['completion_tokens']} tokens, {source}"
        elif name == "reply_rejected":
            yield f"{where}: reply not usable, {clean(event['reason'])}"
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
    """A table that follows the run, for `rich.live.Live`."""

    def __init__(self) -> None:
        self.progress = Progress()

    def __call__(self, event: Event) -> None:
        """Take in one event; the picture is drawn again by `Live` itself."""
        self.progress.see(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.table import Table
        from rich.text import Text

        progress, now = self.progress, time.time()
        elapsed = now - progress.begun if progress.begun else 0.0
        yield Text(f"{progress.title}   {progress.model}", style="bold", overflow="ellipsis", no_wrap=True)
        room = max(4, (options.max_height or console.height or 24) - 6)
        table = Table(box=None, padding=(0, 1), expand=True, show_header=True, header_style="dim")
        table.add_column("step", no_wrap=True, overflow="ellipsis", ratio=3)
        table.add_column("role", no_wrap=True, overflow="ellipsis", ratio=2)
        table.add_column("tokens", justify="right", no_wrap=True)
        table.add_column("tok/s", justify="right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=4)
        for row in _shown(list(progress.rows.values()), room):
            style = _COLOURS[row.state]
            live = sum(tokens for tokens, _ in row.calls.values())
            tokens = row.tokens + live
            spans = [max(0.1, now - row.first_token[call]) for call in row.calls if call in row.first_token]
            speed = f"{live / max(spans):.1f}" if spans and live else ""
            seconds = row.seconds if row.state != "running" else now - row.started
            count = f" ×{row.times}" if row.times > 1 else ""
            indent = "  " * row.path.count(".")
            name = row.path.rpartition(".")[2] if not row.path.endswith(".do") else "each"
            note = row.note or ("reading the prompt" if row.calls and not live else "")
            table.add_row(
                Text(f"{indent}{_MARKS[row.state]} {clean(name)}{count}", style=style),
                Text(clean(row.role)),
                Text(str(tokens) if tokens else ""),
                Text(speed),
                Text(duration(seconds) if row.started else ""),
                Text(note, style="dim" if row.state != "failed" else "red"),
            )
        yield table
        notice = progress.notices[-1] if progress.notices else ""
        if notice:
            yield Text(notice, style="yellow", overflow="ellipsis", no_wrap=True)
        foot = f"{progress.calls} calls   {progress.tokens} tokens   {duration(elapsed)}   Ctrl-C stops, resumable"
        yield Text(foot, style="dim", overflow="ellipsis", no_wrap=True)


def _shown(rows: list[_Row], room: int) -> list[_Row]:
    """As many rows as there is room for: those around the one at work."""
    if len(rows) <= room:
        return rows
    at = next((place for place, row in enumerate(rows) if row.state == "running"), 0)
    first = max(0, min(at - room // 2, len(rows) - room))
    return rows[first : first + room]
