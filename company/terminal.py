"""What people see of a run while it goes on: a live table on a terminal, plain lines anywhere else; both read events.

The events: `events.py`; the state by step: `progress.py`; the sums: `report.py`. What is printed before and after a run: `cli.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from company.events import Event
from company.progress import KEPT, Call, Progress, Row, clean, round_note, tool_note

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


def harmless(text: str) -> str:
    """Foreign text of several lines, without what would steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def console_on_stderr() -> Console:
    """Progress and messages go to standard error; results to standard output."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def duration(seconds: float) -> str:
    """``0.3 s``, ``8 s``, ``3 min 05 s``, ``1 h 02 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if 0.05 <= seconds < 0.95 else f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def money(usd: float | None) -> str:
    """``$0.0123``, ``$123.46``, ``unknown``."""
    return "unknown" if usd is None else f"${usd:.2f}" if usd >= 100 else f"${usd:.4f}"


def also_money(usd: float | None) -> str:
    """Money behind a number of tokens, where there was any."""
    return f", {money(usd)}" if usd else ""


class PlainView:
    """One line for each fact, for logs and pipes."""

    def __init__(self, console: Console, *, explain: bool = False) -> None:
        self._console = console
        self._explain = explain
        self._calls: dict[int, Call] = {}

    def __call__(self, event: Event) -> None:
        """Print what an event says, if it says something to people."""
        for line in self._lines(event):
            self._say(line)

    def tick(self, now: float) -> None:
        """Say what goes on for long; events alone would be silent while a model reads a long prompt."""
        for call in self._calls.values():
            if now - max(call.told, call.began) >= QUIET_SECONDS:
                call.told = now
                waiting = f"{call.waiting} for {duration(now - call.began)}"
                self._say(f"{call.where}: {f'{call.tokens} tokens so far' if call.tokens else waiting}")

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
            if self._explain and event["why"]:
                yield f"  because {clean(event['why'], 1000)}"
        elif name == "step_finished" and "kept_from" in event:
            yield f"{where}: {KEPT}, {event['saved_tokens']} tokens{also_money(event.get('saved_usd'))}"
        elif name == "step_skipped":
            yield f"{where}: skipped, {clean(event.get('reason', ''))}"
        elif name == "call_started":
            self._calls[event["call"]] = Call(where, now, model=event.get("model", ""))
        elif name == "call_progress":
            self._calls.setdefault(event["call"], Call(where, now)).grow(event)
            self.tick(now)
        elif name == "call_failed":
            self._calls.pop(event["call"], None)
        elif name == "call_finished":
            self._calls.pop(event["call"], None)
            speed = event["completion_tokens"] / event["seconds"] if event["seconds"] else 0
            source = KEPT if event["from_store"] else f"{event['seconds']:.1f} s, {speed:.1f} tokens/s"
            yield f"{where}: {event['prompt_tokens']} + {event['completion_tokens']} tokens, {source}"
        elif name == "reply_rejected":
            yield f"{where}: reply not usable, {clean(event['reason'])}"
        elif name == "tool_finished":
            source = KEPT if event["from_store"] else f"{event['seconds']:.1f} s"
            yield f"{where}: {tool_note(event)}, {source}"
        elif name == "step_failed":
            yield f"{where}: failed, {clean(event['reason'])}"
        elif name == "verdict":
            yield f"{where}: {'PASSED' if event['passed'] else 'FAILED'}, {clean(event['summary'])}"
        elif name == "commit":
            yield f"  commit {event['sha'][:7]} by {clean(event['author'])}: {clean(event['subject'])}"
        elif name == "loop_round":
            yield from _round(where, event)
        elif name == "gate_decided":
            said = f": {clean(event['comment'])}" if event["comment"] else ""
            yield f"{where}: {clean(event['choice'])}{said} ({'you' if event['by'] == 'person' else 'headless'})"
        elif name == "notice":
            yield f"note: {clean(event['text'], 400)}"


def _round(where: str, event: Event) -> Iterator[str]:
    """A round's end; loops that a gate or a cascade makes have no name of their own."""
    name, _, made_by = where.partition("@")
    if made_by.startswith("tries"):
        yield f"{name}: {round_note(event)}"
    elif not made_by:
        yield f"{where}: {round_note(event)}"
    elif not event["until"]:
        yield f"{name}: the work goes back"


class LiveView:
    """A table that follows the run and what is being written, for `rich.live.Live`; as high as the terminal at most, no line wrapped.

    Args:
        clock: tells seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.progress = Progress()
        self.stopping = False
        """Whether somebody asked the run to stop."""
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Take in one event; the picture is drawn again by `Live` itself."""
        self.progress.see(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.table import Table
        from rich.text import Text

        progress, now, width = self.progress, self._clock(), options.max_width
        height = options.max_height or console.height or 24

        def line(parts: list[str], style: str) -> Text:
            return Text(_fitting(parts, width), style=style, overflow="ellipsis", no_wrap=True)

        ended, steps = progress.steps
        yield line([progress.title, f"{ended} of {steps} steps", progress.model], "bold")
        rows = list(progress.rows.values())
        states = [progress.state(row) for row in rows]
        tests = f"tests: {progress.verdict}" if progress.verdict else ""
        said = [*filter(None, [tests, progress.notices[-1] if progress.notices else ""])]
        room = height - 4 - bool(said)
        written = _written(progress, width, min(room - 3, max(room // 3, room - len(rows))))
        chosen = _chosen(states, max(3, room - len(written)))
        table = Table(box=None, padding=(0, 1), expand=True, show_header=True, header_style="dim")
        hidden = f" ({len(chosen)} of {len(rows)})" if len(chosen) < len(rows) else ""
        table.add_column(f"step{hidden}", no_wrap=True, overflow="ellipsis", max_width=max(12, min(32, width // 3)))
        columns = [column for column, least in _COLUMNS.items() if width >= least]
        for column in columns:
            at: Literal["left", "right"] = "left" if column == "role" else "right"
            table.add_column(
                column, justify=at, no_wrap=True, overflow="ellipsis", min_width=_WIDTHS.get(column), max_width=16
            )
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for place in chosen:
            name, cells, note = _cells(rows[place], states[place], now)
            table.add_row(name, *(cells[column] for column in columns), note)
        yield table
        for text in written:
            yield Text(text, style="cyan", overflow="ellipsis", no_wrap=True)
        if said:
            yield line(said, "yellow")
        stopping = self.stopping and not progress.over
        hint = "stopping after the calls under way; Ctrl-C stops at once" if stopping else "Ctrl-C stops"
        yield line([*_used(progress, now), *([] if progress.over else [hint])], "yellow" if stopping else "dim")


_COLUMNS = {"role": 56, "tokens": 44, "tok/s": 70, "time": 36}
"""The columns between a step's name and its note, and how wide a terminal must be for each."""
_WIDTHS = {"tokens": 6, "time": 10}
"""So that nothing moves while numbers grow."""


def _cells(row: Row, state: str, now: float) -> tuple[Any, dict[str, str], Any]:
    """A step's name, its numbers by column, and its note."""
    from rich.text import Text

    live = sum(call.tokens for call in row.calls.values())
    tokens, speed, seconds = row.tokens + live, row.speed(now), row.wall(now)
    count = f" ×{row.times}" if row.times > 1 else ""
    note = row.note or ", ".join(row.items)
    if row.rounds and state == "running":
        note = f"round {row.rounds + 1}"
    if row.calls and not live:
        note = ", ".join([next(iter(row.calls.values())).waiting, *row.items])
    indent = "  " * row.path.count(".")
    cells = {
        "role": row.role,
        "tokens": str(tokens) if tokens else "",
        "tok/s": f"{speed:.1f}" if speed else "",
        "time": duration(seconds) if row.since else "",
    }
    name = Text(f"{indent}{_MARKS[state]} {clean(row.path.rpartition('.')[2])}{count}", style=_COLOURS[state])
    return name, cells, Text(note, style="red" if state == "failed" else "dim")


def _written(progress: Progress, width: int, room: int) -> list[str]:
    """The last lines of the replies under way, one or two of each, as many as there is room for; the newest calls count most."""
    writing = [(row, call) for row in progress.rows.values() for call in row.calls.values() if call.said.strip()]
    writing = sorted(writing, key=lambda pair: pair[1].began)[-max(0, room) :] if room > 0 else []
    each = 2 if room >= 2 * len(writing) else 1
    names = [_cut(f"{row.role or row.path} {call.item}".strip(), max(8, width // 3)) for row, call in writing]
    widest, found = max(map(cell_len, names), default=0), []
    for name, (_, call) in zip(names, writing, strict=True):
        for place, text in enumerate(_last_lines(call.said, width - widest - 4, each)):
            who = "" if place else name
            found.append(f" {who}{' ' * (widest - cell_len(who))} │ {text}")
    return found


_INDENT = 12
"""Spaces before a line that is shown, at most."""


def _last_lines(said: str, room: int, most: int) -> list[str]:
    """The end of a text in so many lines of so many columns: its own lines, or the end of one that is longer."""
    lines = [
        f"{' ' * min(_INDENT, len(line) - len(line.lstrip()))}{clean(line, len(line))}"
        for line in said.split("\n")[-20:]
    ]
    lines = [line for line in lines if line.strip()]
    shown: list[str] = []
    for text in reversed(lines):
        while text and len(shown) < most:
            end = _end(text, room)
            shown.insert(0, end)
            text = text.removesuffix(end)
    return shown


def _end(text: str, room: int) -> str:
    """As much of a text's end as its last line in a column of this width would have: whole lines come before it."""
    from rich.cells import chop_cells

    return chop_cells(text, max(8, room))[-1]


def _cut(text: str, room: int) -> str:
    from rich.cells import set_cell_size

    return text if cell_len(text) <= room else f"{set_cell_size(text, room - 1)}…"


def cell_len(text: str) -> int:
    """Columns of a terminal that a text takes."""
    from rich.cells import cell_len as columns

    return columns(text)


def _fitting(parts: list[str], width: int) -> str:
    """Parts beside one another; where not all fit, those before the last are left out, from behind."""
    while len(parts) > 1 and cell_len("   ".join(parts)) > width:
        parts = [*parts[:-2], parts[-1]]
    return "   ".join(parts)


def _used(progress: Progress, now: float) -> Iterator[str]:
    """What the run has used, with its limits where it has any; money where it costs any, or its cost is not known."""
    limits = {name: f" of {most:.15g}" for name, most in progress.limits.items()}
    most = f"{limits['minutes']} min" if "minutes" in limits else ""
    yield f"{duration(progress.elapsed(now))}{most}"
    yield f"{progress.tokens}{limits.get('tokens', '')} tokens"
    if progress.usd is None or progress.usd or "usd" in limits:
        limit = f" of {money(progress.limits['usd'])}" if "usd" in limits else ""
        yield f"{'cost unknown' if progress.usd is None else money(progress.usd)}{limit}"
    yield f"{progress.calls}{limits.get('calls', '')} calls"


def _chosen(states: list[str], room: int) -> list[int]:
    """The places of the rows to show when there is no room for all: nearest to what is at work, else to what was."""
    at = [place for place, state in enumerate(states) if state == "running"]
    at = at or [place for place, state in enumerate(states) if state not in ("waiting", "skipped")][-1:] or [0]
    nearest = sorted(range(len(states)), key=lambda place: min(abs(place - one) for one in at))
    return sorted(nearest[:room])
