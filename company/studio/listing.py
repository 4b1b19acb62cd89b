"""The first page: the runs of the workspace, live and past.

One run: `run_page.py`. The same list on a terminal: `company runs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from company import records
from company.studio.desk import Desk, desk_of
from company.studio.pages import page, render, stream

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from company.studio.feeds import Feed, Parts

_EVERY = 1.0
"""Seconds between two looks at the list."""


def _feed(desk: Desk) -> Feed:
    def make() -> Parts:
        return {"runs": render("runs_table.html.j2", runs=records.runs(desk.store))}

    return desk.feed("runs", make, _EVERY)


async def runs(request: Request) -> Response:
    """The list."""
    desk = desk_of(request)
    feed = _feed(desk)
    parts = await feed.look()
    return page(request, "runs.html.j2", parts=parts, version=feed.version, workspace=str(desk.workspace))


async def live(request: Request) -> Response:
    """The list's changes."""
    return stream(request, _feed(desk_of(request)))


ROUTES = [Route("/", runs), Route("/live", live)]
