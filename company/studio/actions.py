"""What can be done with a run: stopped, gone on with, made again. The buttons are a part that the run's own page includes.

`shown` is what `run_actions.html.j2` needs, as `actions`. The processes: `processes.py`; gates that wait: `gates_page.py`.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse
from starlette.routing import Route

from company.errors import CompanyError, UsageError
from company.studio import processes
from company.studio.desk import Desk, desk_of
from company.studio.forms import form_of
from company.studio.pages import page, path_to, render, stream
from company.studio.starting import UNITS, models, onward, told

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from company.records import RunRecord
    from company.studio.feeds import Feed, Parts
    from company.studio.forms import Form
    from company.studio.processes import Begun

_OPEN = ("failed", "limited", "interrupted")
"""What can be gone on with."""


def shown(desk: Desk, run: str) -> dict[str, Any]:
    """What can be done with a run now, for `run_actions.html.j2`.

    Raises:
        UsageError: there is no such run.
    """
    entry = desk.shelf.entry(run)
    record = entry.record
    dry, stands = record.model == "dry", record.status
    raised = re.search(r" --limit ([a-z_.]+)=([\d.]+)", entry.hint)
    return {
        "run": record.run,
        "status": stands,
        "model": record.model,
        "default": desk.settings.model,
        "can_stop": stands == "running",
        "stopping": processes.is_stopping(desk, record),
        "can_resume": stands in _OPEN,
        "can_change_model": not dry,
        "can_redo": is_redoable(record),
        "can_repeat": stands != "damaged",
        "waits": entry.waits,
        "steps": entry.steps,
        "raised": raised.groups() if raised else (),
        "models": models(desk),
        "units": UNITS,
    }


def is_redoable(record: RunRecord) -> bool:
    """Whether a run can be made again now."""
    return record.status not in ("running", "damaged") and record.model != "dry"


def feed(desk: Desk, run: str) -> Feed:
    """The part `actions`, for every page that has it."""
    return desk.feed(f"actions/{run}", lambda: {"actions": render("run_actions.html.j2", actions=shown(desk, run))})


def _feeds(desk: Desk, run: str) -> list[Feed]:
    def make() -> Parts:
        entry = desk.shelf.entry(run)
        return {"stands": render("actions_state.html.j2", entry=entry, run=entry.record)}

    return [desk.feed(f"stands/{run}", make), feed(desk, run)]


async def look(request: Request) -> Response:
    """The buttons as a page of their own."""
    return await _page(request, request.path_params["run"])


async def _page(request: Request, run: str, error: CompanyError | None = None) -> Response:
    desk = desk_of(request)
    record = (await asyncio.to_thread(desk.shelf.entry, run)).record
    feeds = _feeds(desk, run)
    parts = {ident: html for each in feeds for ident, html in (await each.look()).items()}
    version = "~".join(each.version for each in feeds)
    return page(
        request, "actions.html.j2", status=409 if error else 200, run=record, parts=parts, version=version, error=told(error)
    )  # fmt: skip


async def live(request: Request) -> Response:
    """Their changes."""
    desk, run = desk_of(request), request.path_params["run"]
    await asyncio.to_thread(desk.shelf.entry, run)
    return stream(request, *_feeds(desk, run))


async def act(request: Request) -> Response:
    """Do what a button says, and go back to the run; where it cannot be done, say why."""
    desk, run, form = desk_of(request), request.path_params["run"], await form_of(request)
    await asyncio.to_thread(desk.shelf.entry, run)
    what = form.word("do")
    try:
        if what in ("stop", "stop_at_once"):
            await asyncio.to_thread(processes.stop, desk, run, at_once=what == "stop_at_once")
            return RedirectResponse(f"{request.scope['root_path']}/{path_to('runs', run)}", 303)
        begun = await asyncio.to_thread(_begin, desk, run, what, form)
        return onward(request, begun, await processes.settled(begun))
    except CompanyError as error:
        return await _page(request, run, error)


def _begin(desk: Desk, run: str, what: str, form: Form) -> Begun:
    limits = {unit: most for unit in UNITS if (most := form.word(f"limit.{unit}"))}
    for line in filter(None, map(str.strip, form.text("more").splitlines())):
        name, _, most = line.partition("=")
        limits[name.strip()] = most.strip()
    model, headless = form.word("model"), form.on("headless")
    if what == "resume":
        return processes.resume(desk, run, model=model, limits=limits, headless=headless)
    if what == "redo":
        again = [step for step in form.all("from") if step]
        return processes.redo(desk, run, again=again, model=model, limits=limits, headless=headless)
    raise UsageError("there is no such button", hint="load the page again")


ROUTES = [
    Route("/runs/{run}/actions", look, methods=["GET"]),
    Route("/runs/{run}/actions", act, methods=["POST"]),
    Route("/runs/{run}/actions/live", live, methods=["GET"]),
]
