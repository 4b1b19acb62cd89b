"""`company diff RUN1 RUN2`: what changed from one run to another, a summary first, then the texts.

What differs: `differences.py`. What a run made: `company show`, in `cli_runs.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from company.cli_runs import WORKSPACE, WorkspaceOption

if TYPE_CHECKING:
    from company.differences import Difference, Side
    from company.records import RunRecord

_MOST = {"asked": 8, "tests": 6, "steps": 10, "files": 10}
"""Lines of each part of the summary, so that it fits a screen; `--json` has all."""
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_MARKS = {"added": "+", "deleted": "-", "changed": "~"}
Say = Callable[..., None]


def diff(
    first: Annotated[str, typer.Argument(metavar="RUN1", help="A run, or the name of its repository.")],
    second: Annotated[str, typer.Argument(metavar="RUN2", help="Another.")],
    workspace: WorkspaceOption = WORKSPACE,
    stat: Annotated[bool, typer.Option("--stat", help="The summary alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what changed from one run to another: what they were asked, artifacts, code, tests, steps and cost."""
    from company import wiring
    from company.differences import difference
    from company.records import find
    from company.settings import load_settings
    from company.sides import side

    settings = load_settings()
    with wiring.open_store(workspace, settings) as store:
        records = find(store, first), find(store, second)
        one, two = (side(store, record) for record in records)
    found = difference(one, two)
    if as_json:
        print(json.dumps(_as_json(records, (one, two), found, stat=stat), ensure_ascii=False))
        return
    say = _printer()
    _heads(records, (one, two), say)
    _summary(found, say)
    if not stat:
        for change in found.files:
            say()
            for line in (change.diff or f"{change.path} is no text, and differs\n").split("\n")[:-1]:
                say(line, "bold" if line.startswith(("--- ", "+++ ")) else _COLOURS.get(line[:1], ""))


def _printer() -> Say:
    """Prints a line of foreign text without control characters; in colour on a terminal that wants it."""
    from rich.console import Console
    from rich.text import Text

    from company.terminal import harmless

    console = Console(highlight=False, markup=False, emoji=False)

    def say(line: str = "", style: str = "") -> None:
        text = harmless(line.replace("\n", "\ufffd"))
        if console.is_terminal and not console.no_color:
            console.print(Text(text, style=style), soft_wrap=True)
        else:
            print(text)  # as it is, tabs too: `patch` may read it

    return say


# --- the summary ------------------------------------------------------------------------------------


def _heads(records: Iterable[RunRecord], sides: Iterable[Side], say: Say) -> None:
    for record, side, sign, style in zip(records, sides, "-+", ("red", "green"), strict=True):
        back = f", goes back to {side.request.base}" if side.request.base else ""
        say(f"{sign} {record.run}  {record.sop} → {record.name} ({side.request.branch}){back}", f"bold {style}")


def _summary(found: Difference, say: Say) -> None:
    from company import sides

    say()
    asked = [
        _between(pair.name, *(sides.asked(pair.name, value) for value in (pair.before, pair.after)))
        for pair in found.asked
    ]
    _part("asked", [*asked, *_files(found, asked=True)], say)
    _part("came to", [_between(*number) for number in sides.numbers(found.numbers)], say)
    tests = (f"{pair.name}: {pair.before or 'not there'} → {pair.after or 'not there'}" for pair in found.tests)
    _part("tests", list(tests), say)
    _part("steps", list(sides.steps(found.steps)), say)
    _part("files", list(_files(found, asked=False)), say)


def _part(name: str, lines: list[str], say: Say) -> None:
    from company.progress import clean

    most = _MOST.get(name, len(lines))
    lines = lines or ["the same"]
    more = [f"… and {len(lines) - most} more; --json has all"] if len(lines) > most > 0 else []
    for place, line in enumerate([*lines[: most or 1], *more]):
        say(f"{'' if place else name:<9}{clean(line, 160)}")


def _between(name: str, before: str, after: str) -> str:
    return f"{name}: {before if before == after else f'{before} → {after}'}"


def _files(found: Difference, *, asked: bool) -> Iterator[str]:
    for change in found.files:
        if (change.group == "asked") is asked:
            lines = f"+{change.added} -{change.removed}" if change.diff else "no text"
            yield f"{_MARKS[change.change]} {change.path}  {lines}"


def _as_json(records: Iterable[RunRecord], sides: Iterable[Side], found: Difference, *, stat: bool) -> dict[str, Any]:
    runs = [
        {
            **asdict(record),
            "repo": str(record.repo),
            "branch": side.request.branch,
            "base": side.request.base,
            "commit": next((event["sha"] for event in reversed(side.report.commits.values())), None),
        }
        for record, side in zip(records, sides, strict=True)
    ]
    whole = {"runs": runs, **asdict(found)}
    for change in whole["files"]:
        if stat:
            del change["diff"]
    return whole


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(diff)
