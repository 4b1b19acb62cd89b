"""The studio's application: every page's routes behind the guard, and errors as pages.

A page is one module with `ROUTES`; what they share: `desk.py`, `pages.py`. Who starts it: `cli_serve.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from company.errors import Broken, CompanyError, UsageError
from company.studio import (
    actions,
    bench_page,
    comparison_page,
    edit_page,
    editor,
    gates_page,
    listing,
    repository_page,
    run_page,
    sops_page,
    starting,
)
from company.studio.guard import Guard
from company.studio.pages import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from company.studio.desk import Desk

_STATIC = Path(__file__).parent / "static"


def application(desk: Desk, token: str) -> ASGIApp:
    """The studio of a workspace; every path begins with the token."""
    made = Starlette(
        routes=[
            *listing.ROUTES,
            *starting.ROUTES,
            *actions.ROUTES,
            *gates_page.ROUTES,
            *run_page.ROUTES,
            *sops_page.ROUTES,
            *editor.ROUTES,
            *repository_page.ROUTES,
            *edit_page.ROUTES,
            *comparison_page.ROUTES,
            *bench_page.ROUTES,
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        exception_handlers={HTTPException: _refused, CompanyError: _told, Exception: _broken},
    )
    made.state.desk = desk
    return Guard(made, token)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "There is no such page.", 405: "That cannot be done here."}.get(error.status_code, error.detail)
    return page(request, "error.html.j2", status=error.status_code, message=said, place="", hint="")


async def _told(request: Request, error: Exception) -> Response:
    """An error that names its way out."""
    assert isinstance(error, CompanyError)
    status = 500 if isinstance(error, Broken) else 404 if isinstance(error, UsageError) else 409
    return page(
        request,
        "error.html.j2",
        status=status,
        message=error.message,
        place=str(error.place or ""),
        hint=error.hint or "",
    )


async def _broken(request: Request, error: Exception) -> Response:
    said = f"{type(error).__name__}: {error}"
    return page(
        request, "error.html.j2", status=500, message=said, place="", hint="the terminal of `company serve` has more"
    )
