"""The page of one run: what it stands at, its procedure lighting up, everything that happened, and one step opened beside it.

What is known of a run: `story.py`; of the step that is open: `step_panel.py`. The list of runs: `listing.py`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from company.cli_runs import named, where
from company.events import line as journal_line
from company.handout import gather, written
from company.html import style
from company.records import record_of
from company.sop.svg import piece
from company.studio import actions
from company.studio.desk import Desk, desk_of
from company.studio.pages import page, path_to, render, stream, to_keep
from company.studio.step_panel import PanelParts
from company.studio.telling import PROBLEMS, Wanted, line
from company.studio.timeline import Timeline

if TYPE_CHECKING:
    from starlette.requests import Request

    from company.events import Event
    from company.studio.feeds import Feed, Parts
    from company.studio.story import Story

_MOST_KIN = 6
_KIN_EVERY = 3.0
"""Seconds between two looks at the other runs."""
CHUNK = 100
"""Lines of the log that the browser lays out together."""


class RunParts:
    """The parts of a run's page; each is made again only when something of it has changed."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self._timeline = Timeline(story)
        self._generation = 0
        self._told = 0
        """Events that are lines of the log."""
        self._rows: dict[str, tuple[int, str]] = {}
        """Path of a step → number of the event, and the run's status, at which it was made."""

    def __call__(self) -> Parts:
        story = self.story
        with story.lock:
            story.look()
            made: dict[str, str] = {}
            if story.generation != self._generation:
                made = {f"ev-{number}": "" for number in range(self._told)}
                made |= self._timeline.gone()
                self._generation, self._told, self._rows = story.generation, 0, {}
            said = facts(story)
            made |= {name: render(f"{name.replace('-', '_')}.html.j2", **said) for name in ("run-state", "run-used")}
            status = story.status
            for number, path in enumerate(story.rows()):
                stands = story.touched(path), status if story.is_live else "ended"
                if self._rows.get(path) != stands:
                    self._rows[path] = stands
                    made[f"step-{number}"] = render(
                        "run_step.html.j2", number=number, row=story.row(path), run=story.run, dry=story.is_dry
                    )
            return made | self._timeline(time.time()) | self._lines()

    def _lines(self) -> dict[str, str]:
        """What is new in the log: whole chunks at first, then line by line, so that nothing is sent twice."""
        events, made = self.story.fold.events, dict[str, str]()
        if not self._told:
            for first in range(0, len(events), CHUNK):
                made[f"log-{first // CHUNK}"] = self._chunk(first, min(first + CHUNK, len(events)))
        else:
            for number in range(self._told, len(events)):
                if number % CHUNK == 0:
                    made[f"log-{number // CHUNK}"] = self._chunk(number, number)
                made[f"ev-{number}"] = self._render(number, number + 1, f"log-{number // CHUNK}")
        self._told = len(events)
        return made

    def _chunk(self, first: int, end: int) -> str:
        return f'<ol id="log-{first // CHUNK}" data-into="log" class="chunk" start="{first + 1}">{self._render(first, end)}</ol>'

    def _render(self, first: int, end: int, into: str = "") -> str:
        events = self.story.fold.events
        lines = [line(number, events[number]) for number in range(first, end)]
        return render("run_lines.html.j2", lines=lines, into=into, run=self.story.run).strip()


def facts(story: Story) -> dict[str, Any]:
    """What the head of the page says."""
    fold, request = story.fold, story.request
    report = fold.report
    status, workspace = story.status, story.store.home.parent
    tokens = report.prompt_tokens + report.completion_tokens
    return {
        "run": story.run,
        "asked": request,
        "stands": "dry run" if story.is_dry and status == "delivered" else status,
        "report": report,
        "tokens": tokens,
        "limits": fold.progress.limits,
        "live": story.is_live,
        "asking": [*fold.asked],
        "since": _last(fold.events) - report.seconds,
        "repo": str(story.repo),
        "sandbox": next((event.get("sandbox", "") for event in fold.events[:1]), ""),
        "go_on": f"company resume {story.run}{where(workspace)}" if status in _OPEN else "",
        "hint": named(report.hint, story.run, workspace),
        "fault": story.fault,
    }


def _last(events: list[Event]) -> float:
    return float(events[-1]["time"]) if events else 0.0


_OPEN = ("failed", "limited", "interrupted")
"""What can be gone on with."""


def _kin(desk: Desk, story: Story) -> Feed:
    """The runs in the same repository: those that go back to one another."""

    def make() -> Parts:
        kin = [entry for entry in desk.shelf.entries() if entry.record.repo == story.repo]
        shown = [*kin[:_MOST_KIN], *(entry for entry in kin[_MOST_KIN:] if entry.record.run == story.run)]
        return {"kin": render("run_kin.html.j2", kin=kin, shown=shown, run=story.run)}

    return desk.feed(f"kin/{story.run}", make, _KIN_EVERY)


def _feeds(desk: Desk, story: Story, opened: str) -> list[Feed]:
    """What the page is made of: the run, its buttons, and what is open."""
    found = [desk.feed(f"run/{story.run}", RunParts(story)), actions.feed(desk, story.run), _kin(desk, story)]
    if opened:
        found.append(desk.feed(f"run/{story.run}?open={opened}", PanelParts(story, opened)))
    return found


def _log(story: Story, parts: Parts, wanted: Wanted) -> str:
    """The whole log from its parts, or what of it is looked for."""
    chunks: dict[str, list[str]] = {}
    for ident, html in parts.items():
        if ident.startswith("log-"):
            chunks[ident] = [html.removesuffix("</ol>")]
        elif ident.startswith("ev-") and html:
            chunks[f"log-{int(ident[3:]) // CHUNK}"].append(html)
    if any(wanted):
        for ident in chunks:
            first = int(ident[4:]) * CHUNK
            events = story.fold.events[first : first + CHUNK]
            lines = [line(first + at, event) for at, event in enumerate(events)]
            lines = [each for each in lines if wanted.fits(each)]
            shown = render("run_lines.html.j2", lines=lines, into="", run=story.run)
            chunks[ident] = [f'<ol id="{ident}" data-into="log" class="chunk" start="{first + 1}">{shown}']
    return "".join(f"{''.join(lines)}</ol>" for lines in chunks.values())


def _when(parts: Parts) -> list[str]:
    """The rows of the timeline in their order; among the parts what changed last is last."""
    numbers = sorted(int(ident[5:]) for ident in parts if ident.startswith("when-") and ident[5:].isdecimal())
    return [parts[f"when-{number}"] for number in numbers]


async def run(request: Request) -> Response:
    """The page."""
    desk = desk_of(request)
    story = desk.story(request.path_params["run"])
    query = request.query_params
    wanted, opened = Wanted(query.get("step", ""), query.get("words", "")[:200].strip()), query.get("open", "")
    feed, buttons, kin, *panels = _feeds(desk, story, opened)
    parts, versions = dict[str, str](), list[str]()
    for each in (feed, buttons, kin):
        parts |= await each.look()
        versions.append(each.version)  # while the next one is made, another viewer may make this one newer
    panel = {ident: html for each in panels for ident, html in (await each.look()).items()}
    here = path_to("runs", story.run)

    def made() -> Response:
        with story.lock:
            picture = (
                piece(story.procedure, lambda path: f"{here}?open={quote(path)}", story.state)
                if story.procedure
                else ""
            )
            return page(
                request, "run.html.j2", parts=parts, when=_when(parts), version="~".join(versions), panel=panel, picture=picture, page_path=here,
                log=_log(story, parts, wanted), wanted=wanted, problems=PROBLEMS, open=opened, steps=[*story.rows()], now=time.time(), **facts(story),
            )  # fmt: skip

    return await asyncio.to_thread(made)  # a look at another step may hold the lock for a while


async def live(request: Request) -> Response:
    """Its changes."""
    desk = desk_of(request)
    story = desk.story(request.path_params["run"])
    return stream(request, *_feeds(desk, story, request.query_params.get("open", "")))


async def pieces(request: Request) -> Response:
    """The rules for the pieces that show artifacts, for what is in a `.piece` alone."""
    return Response(f".piece {{\n{style()}\n}}\n", media_type="text/css")


def report(request: Request) -> Response:
    """The whole run as one file, to hand to others: as `company report` writes it."""
    desk = desk_of(request)
    record = record_of(desk.store, request.path_params["run"])
    return to_keep(
        written(gather(desk.store, record), "html").encode(), "text/html; charset=utf-8", f"{record.run}.html"
    )


def journal(request: Request) -> Response:
    """Everything that was recorded, as it is: one JSON object a line."""
    desk = desk_of(request)
    run = record_of(desk.store, request.path_params["run"]).run
    text = b"".join(journal_line(event) + b"\n" for event in desk.store.events(run))
    return to_keep(text, "application/x-ndjson", f"{run}.jsonl")


ROUTES = [
    Route("/pieces.css", pieces),
    Route("/runs/{run}", run),
    Route("/runs/{run}/live", live),
    Route("/runs/{run}/report", report),
    Route("/runs/{run}/journal", journal),
]
