"""A file of a run's repository, changed by a person, and the run made again from that: what it made of anything is theirs to correct.

The repository itself is not touched: the text goes to `company redo --edit`, which says what does not fit. Gates: `gates_page.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.routing import Route

from company.cache import digest
from company.errors import CompanyError, UsageError
from company.records import find
from company.studio import processes, repository
from company.studio.actions import is_redoable
from company.studio.desk import Desk, desk_of
from company.studio.forms import form_of
from company.studio.pages import page
from company.studio.starting import onward, told

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def _now(desk: Desk, run: str, path: str) -> str:
    """What the file holds.

    Raises:
        UsageError: it is no text, or the run cannot be made again.
    """
    if not is_redoable(record := find(desk.store, run)):
        raise UsageError(f"the run {record.run} cannot be made again now", hint="wait until it has ended, or stop it")
    with repository.opened(desk, run) as shown:
        return shown.text(path)


async def look(request: Request) -> Response:
    """The form."""
    return await _page(request, repository.asked(request.scope["query_string"], "path"))


async def _page(
    request: Request, path: str, typed: str | None = None, base: str = "", error: CompanyError | None = None
) -> Response:
    """The form; `base` is the digest of the text that was begun with, the file's own where nothing was typed yet."""
    desk, run = desk_of(request), request.path_params["run"]
    if typed is None:
        typed = await asyncio.to_thread(_now, desk, run, path)
        base = digest(typed)
    record = await asyncio.to_thread(find, desk.store, run)
    return page(
        request, "edit.html.j2", status=422 if error else 200, run=record, path=path, text=typed, base_text=base, error=told(error)
    )  # fmt: skip


async def make(request: Request) -> Response:
    """Make the run again with what was typed; where it does not fit, it is there again, with the reason."""
    desk, run, form = desk_of(request), request.path_params["run"], await form_of(request)
    path, typed, base = form.word("path"), form.text("text"), form.word("base")
    try:
        before = await asyncio.to_thread(_now, desk, run, path)
        text = typed.replace("\n", "\r\n") if "\r\n" in before else typed
        if base != digest(before):
            raise UsageError(
                "the file was changed since this page was opened", place=path,
                hint="open it again in another window, and bring both together there",
            )  # fmt: skip
        if text == before:
            raise UsageError("nothing was changed", hint="change the text, or go back")
        begun = await asyncio.to_thread(processes.redo, desk, run, edit=(path, text), headless=form.on("headless"))
        return onward(request, begun, await processes.settled(begun))
    except CompanyError as error:
        return await _page(request, path, typed, base, error)


ROUTES = [
    Route("/runs/{run}/edit", look, methods=["GET"]),
    Route("/runs/{run}/edit", make, methods=["POST"]),
]
