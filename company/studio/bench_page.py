"""What `company bench` left in the workspace: numbers, pictures, the tasks that went the other way, and their runs.

The numbers are `company/bench/`'s. A run of a measurement lies in a workspace of its own; the studio's own pages show it, read only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from company.bench import looks, rows
from company.bench.figures import figures
from company.bench.summary import BASELINE, Flip, Shown, Summary, summarise
from company.bench.tables import rate, tables
from company.bench.tasks import problems_of
from company.errors import UsageError
from company.studio.desk import INNER, Desk, desk_of
from company.studio.pages import page, path_to

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from company.bench.rows import Row

_MOST_TASKS, _MOST_FLIPS = 300, 100
"""That are listed."""
_PICTURE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
"""Of a picture that our own program drew: it brings its style, and needs nothing else."""


class Result(NamedTuple):
    """A file of results."""

    name: str
    """Without its ending."""
    path: Path
    summary: Summary
    rows: tuple[Row, ...]
    """The last of each task, procedure and seed."""
    last: float
    """When the last was judged, seconds since the epoch."""


class Run(NamedTuple):
    """A run of a measurement, and the address that shows it; empty where it is not below this workspace."""

    passed: bool
    said: str
    link: str


class Turned(NamedTuple):
    """A task that went the other way."""

    flip: Flip
    failed: str
    passed: str
    """Addresses of the runs."""


class Set(NamedTuple):
    """The runs of one data set, half, model and variation: task → procedure → its runs."""

    title: str
    sops: list[str]
    tasks: dict[str, dict[str, list[Run]]]
    more: int


def listing(request: Request) -> Response:
    """All results."""
    desk = desk_of(request)
    results = [_result(path) for path in _files(desk).values()]
    return page(request, "bench.html.j2", results=results, folder=str(_folder(desk)), rate=rate)


def result(request: Request) -> Response:
    """One file of results."""
    desk = desk_of(request)
    found = _asked(request)
    counted = looks.counts(_folder(desk))
    return page(
        request, "bench_result.html.j2", result=found,
        tables=tables(replace(found.summary, flips=())),
        pictures=[*figures(found.summary)],
        flips=[each for each in (_turned(desk, found.summary, gained=way) for way in (False, True)) if each[1]],
        sets=_sets(desk, found.rows),
        looks={name: counted[name] for name in dict.fromkeys(problems_of(row["dataset"]) for row in found.rows) if name in counted},
    )  # fmt: skip


def _turned(desk: Desk, summary: Summary, *, gained: bool) -> tuple[str, list[Turned], int]:
    """The tasks that were gained, or lost: a word, those that are shown, and how many are not."""
    flips = sorted(
        (flip for flip in summary.flips if flip.gained is gained),
        key=lambda flip: (flip.against != BASELINE, flip.sop, flip.against, flip.task),
    )
    shown = [Turned(flip, _link(desk, flip.failed), _link(desk, flip.passed)) for flip in flips[:_MOST_FLIPS]]
    return "gained" if gained else "lost", shown, len(flips) - len(shown)


def picture(request: Request) -> Response:
    """Quality against cost, drawn anew from the rows."""
    drawn = figures(_asked(request).summary).get(request.path_params["picture"])
    if drawn is None:
        raise HTTPException(404)
    return Response(drawn, media_type="image/svg+xml", headers=_PICTURE)


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """The pages of a run of a measurement: the studio's own, of the workspace that it was made in, to be read alone."""
    desk: Desk = scope["app"].state.desk
    home = _home(desk, tuple(scope["path_params"][name] for name in ("dataset", "sop", "task")))
    if home is None or INNER in scope:
        raise HTTPException(404)
    if scope["method"] not in ("GET", "HEAD"):
        raise HTTPException(405)
    await scope["app"].router({**scope, INNER: desk.inside(home)}, receive, send)


def _folder(desk: Desk) -> Path:
    return desk.workspace / "bench"


def _files(desk: Desk) -> dict[str, Path]:
    """Name → file of results, newest first."""
    found = [path for path in _folder(desk).glob("*.jsonl") if path.name != looks.NAME and path.is_file()]
    return {path.stem: path for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)}


def _asked(request: Request) -> Result:
    path = _files(desk_of(request)).get(request.path_params["file"])
    if path is None:
        raise UsageError("there are no such results here", hint="`company bench` makes some")
    return _result(path)


def _result(path: Path) -> Result:
    status = path.stat()
    return _reckoned(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)  # the list asks for all of them: with fewer places each look would reckon every file again
def _reckoned(path: Path, changed: int, size: int) -> Result:
    """Anew only when the file has changed: intervals take a second."""
    found: dict[tuple[Any, ...], Row] = {}
    every = [*rows.read(path)]
    for row in every:
        found[(*_set(row), row["sop"], row["task"], row["seed"])] = row
    last = max((float(row["time"]) for row in every), default=0.0)
    return Result(path.stem, path, summarise(every), tuple(found.values()), last)


def _set(row: Row) -> tuple[str, ...]:
    return row["dataset"], row["split"], row["model"], row.get("variation") or ""


def _sets(desk: Desk, each: Iterable[Row]) -> list[Set]:
    found: dict[tuple[str, ...], dict[str, dict[str, list[Run]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in sorted(each, key=lambda row: (row["task"], int(row["seed"]))):
        said = "passed" if row["passed"] else f"failed: {row['failure'] or 'unknown'}"
        run = Run(bool(row["passed"]), f"{said}, seed {row['seed']}", _link(desk, Shown(row["run"], row["workspace"])))
        found[_set(row)][row["task"]][row["sop"]].append(run)
    made = []
    for key, tasks in sorted(found.items()):
        sops = sorted({sop for by in tasks.values() for sop in by}, key=lambda sop: (sop != BASELINE, sop))
        shown = dict([*tasks.items()][:_MOST_TASKS])
        made.append(Set(", ".join(filter(None, key)), sops, _plain(shown), len(tasks) - len(shown)))
    return made


def _plain(tasks: Mapping[str, Mapping[str, list[Run]]]) -> dict[str, dict[str, list[Run]]]:
    return {task: dict(by) for task, by in tasks.items()}


def _home(desk: Desk, parts: tuple[str, ...]) -> Path | None:
    """The workspace of a measurement's run below this one; None for anything else."""
    if len(parts) != 3 or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        return None
    home = _folder(desk).joinpath(*parts)
    is_own = home.resolve() == _folder(desk).resolve().joinpath(*parts)  # no link on the way
    return home if is_own and (home / ".company/runs").is_dir() else None


def _link(desk: Desk, shown: Shown) -> str:
    """The address of a run, where it lies below this workspace, wherever that was when it was made."""
    parts = Path(shown.workspace).parts[-3:]
    home = _home(desk, parts)
    if home is None or "/" in shown.run or not (home / ".company/runs" / shown.run / "request.json").is_file():
        return ""
    return f"{path_to('bench', 'of', *parts)}/{path_to('runs', shown.run)}"


ROUTES = [
    Route("/bench", listing),
    Mount("/bench/of/{dataset}/{sop}/{task}", app=inside),
    Route("/bench/{file}", result),
    Route("/bench/{file}/{picture:path}.svg", picture),
]
