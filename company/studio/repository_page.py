"""The repository of a run: its files with the role behind each line, its history, its commits, and all of it to take away.

What commits hold: `company/browse.py`; which of a run's commits there are: `repository.py`. Nothing else is served: no working
tree, no link that leads away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from company.studio import repository
from company.studio.desk import desk_of
from company.studio.pages import page, to_keep

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def files(request: Request) -> Response:
    """A folder or a file, as a commit has it."""
    with repository.opened(desk_of(request), request.path_params["run"]) as shown:
        at, path, view = (repository.asked(request.scope["query_string"], name) for name in ("at", "path", "view"))
        looked = shown.look(at, path, view)
        return page(request, f"repository_{looked.template}.html.j2", shown=shown, **looked.values)


def history(request: Request) -> Response:
    """The commits, newest first."""
    with repository.opened(desk_of(request), request.path_params["run"]) as shown:
        at = repository.asked(request.scope["query_string"], "at")
        return page(request, "repository_history.html.j2", shown=shown, **shown.history(at))


def commit(request: Request) -> Response:
    """What one commit changed."""
    with repository.opened(desk_of(request), request.path_params["run"]) as shown:
        return page(request, "repository_commit.html.j2", shown=shown, **shown.commit(request.path_params["sha"]))


def raw(request: Request) -> Response:
    """One file as it is, to be kept: never shown by the browser."""
    with repository.opened(desk_of(request), request.path_params["run"]) as shown:
        at, path = (repository.asked(request.scope["query_string"], name) for name in ("at", "path"))
        return to_keep(shown.raw(at, path), "text/plain; charset=utf-8", path.rpartition("/")[2])


def archive(request: Request) -> Response:
    """All files of a commit."""
    with repository.opened(desk_of(request), request.path_params["run"]) as shown:
        at = repository.asked(request.scope["query_string"], "at")
        name, packed = shown.archive(at)
        return to_keep(packed, "application/zip", name)


ROUTES = [
    Route("/runs/{run}/repo", files),
    Route("/runs/{run}/repo/history", history),
    Route("/runs/{run}/repo/commit/{sha}", commit),
    Route("/runs/{run}/repo/raw", raw),
    Route("/runs/{run}/repo/zip", archive),
]
