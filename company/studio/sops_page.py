"""The procedures: the list with their drawings, a new one from one that there is, and what the checker's codes mean.

One of them, to be edited: `editor.py`. The same on a terminal: `company sop list`, `new`, `explain`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse
from starlette.routing import Route

from company.errors import CompanyError, UsageError
from company.sop import own
from company.sop.explain import explanation
from company.sop.library import shipped_folder
from company.studio import checking
from company.studio.desk import Desk, desk_of
from company.studio.forms import form_of
from company.studio.pages import page, path_to

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_PATTERN = "reflection"
"""What a new one begins with, if nothing is said."""


def own_folder(desk: Desk) -> Path | None:
    """The folder of one's own procedures; None where there is none, or where it is the shipped one."""
    folder = desk.user_dir
    return None if folder is None or folder.resolve() == shipped_folder().resolve() else folder


def needs_folder() -> UsageError:
    """There is no folder to write into."""
    return UsageError(
        "there is no folder of your own procedures to write to",
        hint="`company init DIR` makes one; then give `company serve` in it",
    )


async def sops(request: Request) -> Response:
    """The list."""
    return await _list(request, "", request.query_params.get("from", _PATTERN))


async def new(request: Request) -> Response:
    """Begin a procedure of one's own, and go to it."""
    desk, form = desk_of(request), await form_of(request)
    name, pattern = form.word("name"), form.word("from") or _PATTERN
    try:
        if not (folder := own_folder(desk)):
            raise needs_folder()
        await asyncio.to_thread(own.begin, name, own.check_name(pattern), folder)
    except CompanyError as error:
        return await _list(request, name, pattern, error)
    return RedirectResponse(f"{request.scope['root_path']}/{path_to('sops', name)}", 303)


async def _list(request: Request, name: str, pattern: str, error: CompanyError | None = None) -> Response:
    desk = desk_of(request)
    found = await asyncio.to_thread(checking.listed, own_folder(desk))
    entries = await asyncio.to_thread(desk.shelf.entries)
    return page(
        request, "sops.html.j2", status=409 if error else 200, sops=found, folder=own_folder(desk), name=name, pattern=pattern,
        used=Counter(entry.record.sop for entry in entries), without=needs_folder(),
        error={"message": error.message, "place": error.place, "hint": error.hint, "diagnostics": ()} if error else {},
    )  # fmt: skip


async def code(request: Request) -> Response:
    """What a code means."""
    asked = request.path_params["code"]
    return page(request, "sop_code.html.j2", text=explanation(asked), code=asked)


ROUTES = [
    Route("/sops", sops, methods=["GET"]),
    Route("/sops", new, methods=["POST"]),
    Route("/sops/explain/{code}", code, methods=["GET"]),
]
