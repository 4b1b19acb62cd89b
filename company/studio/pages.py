"""How a page is made: the templates with everything escaped, their words for times and numbers, errors as pages.

The templates: `templates/`, each page's in its name. Artifacts as HTML: `company/html.py`. Who may ask at all: `guard.py`.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
from starlette.responses import HTMLResponse, Response, StreamingResponse

from company.html import plain
from company.progress import clean
from company.studio.feeds import Feed, follow
from company.terminal import duration, money

if TYPE_CHECKING:
    from starlette.requests import Request


def path_to(*parts: str) -> str:
    """An address within the studio, below the token: ``path_to("runs", run)`` → ``runs/…``."""
    return "/".join(quote(part, safe="") for part in parts)


def ago(seconds: float, now: float | None = None) -> str:
    """How long ago a time was: ``just now``, ``5 min ago``, ``3 h ago``, ``2026-11-02``."""
    past = (time.time() if now is None else now) - seconds
    if past < 45:
        return "just now"
    if past < 3600:
        return f"{max(1, round(past / 60))} min ago"
    if past < 86400:
        return f"{round(past / 3600)} h ago"
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def clock(seconds: float) -> str:
    """The time of day where the studio runs."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


@cache
def templates() -> jinja2.Environment:
    """The environment of all templates: whatever is put into one is escaped, and a name that is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("company.studio"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "duration": duration,
        "money": money,
        "ago": ago,
        "clock": clock,
        "plain": plain,
        "clean": clean,
        "number": lambda value: f"{value:,}",
    }
    made.globals |= {"path_to": path_to}
    return made


def render(template: str, **values: Any) -> str:
    """A template's HTML, for a part of a page."""
    return templates().get_template(template).render(**values)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A whole page; `base` is the address that everything in it is relative to, and ends with a slash.

    `top` is that of the workspace's own pages: another one where this is a page of a run of a measurement.
    """
    root = request.scope["root_path"]
    base, top = (f"{quote(path)}/" for path in (root, request.scope.get("app_root_path", root)))
    query = f"?{request.url.query}" if request.url.query else ""
    here = f"{quote(request.scope['path'])[len(base) :]}{query}"
    return HTMLResponse(render(template, base=base, top=top, here=here, **values), status)


def stream(request: Request, *feeds: Feed) -> Response:
    """The page's changes, from the version on that the viewer has; `feeds` are what it is made of."""
    since = request.headers.get("last-event-id") or request.query_params.get("since", "")
    return StreamingResponse(follow(feeds, since), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def to_keep(content: bytes, kind: str, name: str) -> Response:
    """A file to be kept as it is, never shown: whatever a browser makes of what a model wrote, it does nothing."""
    plain = quote(clean(name.encode("utf-8", "replace").decode(), 120), safe="")
    headers = {
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": f"attachment; filename*=UTF-8''{plain}",
    }
    return Response(content, media_type=kind, headers=headers)
