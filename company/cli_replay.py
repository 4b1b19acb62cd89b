"""`company replay`: a past run as it went, from its journal alone: no model, no sandbox, nothing written.

The views are those of a run that goes on: `terminal.py`. What the events are: `events.py`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer

from company.cli_runs import WORKSPACE, WorkspaceOption
from company.errors import UsageError

if TYPE_CHECKING:
    from company.events import Event

_WHOLE_SECONDS = 20.0
"""How long a run takes to be shown where no speed is given, unless it was quicker itself."""
_FRAME = 0.1
"""Seconds between two pictures."""
_BEGINS = ("run_started", "run_resumed")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    run: Annotated[str, typer.Argument(help="The run, or the name of its repository.")],
    workspace: WorkspaceOption = WORKSPACE,
    speed: Annotated[
        float, typer.Option(help="How many times as fast as it went; by default it takes 20 seconds at most.")
    ] = 0.0,
    plain: Annotated[
        bool, typer.Option(help="Lines instead of the live view; at once, unless a speed is given.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: the run, its status, its events.")] = False,
) -> None:
    """Show how a run went, from its journal: also one that is under way, up to now, or that was killed."""
    from rich.console import Console
    from rich.live import Live

    from company import records, wiring
    from company.settings import load_settings
    from company.terminal import LiveView, PlainView

    if not 0 <= speed < float("inf"):
        raise UsageError(f"the speed must be more than 0, and finite, not {speed:g}")
    with wiring.open_store(workspace, load_settings()) as store:
        record = records.find(store, run)
        events = list(store.events(record.run))
    if not events:
        raise UsageError(f"nothing is known of how the run {record.run} went", hint="its journal is empty or gone")
    if as_json:
        print(json.dumps({"run": record.run, "status": record.status, "events": events}, ensure_ascii=False))
        return
    console = Console(highlight=False, markup=False, emoji=False)
    if plain or not console.is_terminal or console.is_dumb_terminal:
        lines = PlainView(console)
        for event, _ in paced(events, speed, time.sleep) if speed else ((each, 0.0) for each in events):
            if event:
                lines(event)
    else:
        now = 0.0
        view = LiveView(lambda: now)
        with Live(console=console, auto_refresh=False, get_renderable=lambda: view) as shown:
            for event, at in paced(events, speed or _fitting(events), time.sleep):
                now = at
                if event:
                    view(event)
                else:
                    shown.refresh()
            shown.refresh()
    ends = {"running": "it is under way: this is how far it has come", "interrupted": "it was stopped or killed here"}
    print(f"{record.run}: {ends.get(record.status, record.status)}", file=sys.stderr)


def paced(
    events: Iterable[Event], speed: float, sleep: Callable[[float], None]
) -> Iterator[tuple[Event | None, float]]:
    """Each event when its time has come, with that time; None for it between two, for the picture.

    The time is the events' own. What lay between two sittings of a run is left out.
    """
    last = 0.0
    for event in events:
        time_of = float(event["time"])
        now = time_of if event["event"] in _BEGINS or not last else last
        while now < time_of:
            step = min(_FRAME * speed, time_of - now)
            sleep(step / speed)
            now += step
            yield None, now
        last = max(last, time_of) if event["event"] not in _BEGINS else time_of
        yield event, last


def _fitting(events: list[Event]) -> float:
    """The speed at which a run is watchable, and over soon."""
    gaps = (float(two["time"]) - float(one["time"]) for one, two in pairwise(events) if two["event"] not in _BEGINS)
    whole = sum(max(0.0, gap) for gap in gaps)
    return max(1.0, whole / _WHOLE_SECONDS)
