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
    from company.differences import Difference, Pair, Side, StepPair
    from company.executions import Execution
    from company.records import Request, RunRecord
    from company.store import Store

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

    settings = load_settings()
    with wiring.open_store(workspace, settings) as store:
        records = find(store, first), find(store, second)
        one, two = (_side(store, record) for record in records)
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


def _side(store: Store, record: RunRecord) -> Side:
    """Everything that a run left."""
    from company.cache import Objects
    from company.differences import Side
    from company.executions import executions
    from company.records import files_of, read_request
    from company.report import Report, decides

    folder = store.home / "runs" / record.run
    if not folder.is_dir():
        store.fetch(record.run)
    events = list(store.events(record.run))
    report, done = Report.of(events), executions(events)
    library, request = folder / "library", read_request(store, record.run)
    return Side(
        request=request,
        status=record.status,
        report=report,
        executions=done,
        files={_usual(path, request): text.encode() for path, text in files_of(store, record).items()},
        library={
            path.relative_to(library).as_posix(): path.read_text("utf-8", "replace")
            for path in sorted(library.rglob("*"))
            if path.is_file()
        },
        tests=_tests([one for one in done.values() if decides(one.step, report.judges)], Objects(store)),
    )


def _usual(path: str, request: Request) -> str:
    """Where a file of a run in somebody's repository would lie in one of the run's own."""
    own = f"{request.records}/"
    if not request.into or not path.startswith(own):
        return path
    inner = path.removeprefix(own)
    return inner if inner.startswith("docs/") else f".company/{inner}"


def _tests(done: Iterable[Execution], objects: Any) -> dict[str, str]:
    """The tests of the last run of them among these and what came out; none where its record is gone."""
    from company.errors import WorkspaceError

    found: dict[str, str] = {}
    for each in done:
        for ref in each.values.values():
            if each.kind == "run" and ref:
                try:
                    kept = objects.get(ref)
                except WorkspaceError:
                    continue
                if kept["kind"] == "TestRun":
                    found = {case["id"]: case["outcome"] for case in kept["value"]["cases"]}
    return found


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
    say()
    asked = (f"{pair.name}: {_asked(pair.name, pair.before)} → {_asked(pair.name, pair.after)}" for pair in found.asked)
    _part("asked", [*asked, *_files(found, asked=True)], say)
    _part("came to", list(_numbers(found.numbers)), say)
    tests = (f"{pair.name}: {pair.before or 'not there'} → {pair.after or 'not there'}" for pair in found.tests)
    _part("tests", list(tests), say)
    _part("steps", list(_steps(found.steps)), say)
    _part("files", list(_files(found, asked=False)), say)


def _part(name: str, lines: list[str], say: Say) -> None:
    from company.progress import clean

    most = _MOST.get(name, len(lines))
    lines = lines or ["the same"]
    more = [f"… and {len(lines) - most} more; --json has all"] if len(lines) > most > 0 else []
    for place, line in enumerate([*lines[: most or 1], *more]):
        say(f"{'' if place else name:<9}{clean(line, 160)}")


def _asked(name: str, value: Any) -> str:
    """What a run was asked, in words."""
    if name.startswith("limit "):
        return "no limit" if value is None else f"{round(value, 6):g}" if isinstance(value, float) else str(value)
    if name.startswith("--from "):
        return "not asked for" if value is None else "asked for once" if value == 1 else f"asked for {value} times"
    if name.startswith("edit"):
        return "taken over" if value else "none"
    return str(value)


def _numbers(pairs: Iterable[Pair]) -> Iterator[str]:
    from company.terminal import duration, money

    ways: dict[str, Callable[[Any], str]] = {
        "status": str,
        "accepted": lambda value: {True: "yes", False: "no", None: "not yet"}[value],
        "verdict": lambda value: value or "no tests",
        "calls": str,
        "prompt_tokens": str,
        "completion_tokens": str,
        "saved_tokens": str,
        "seconds": duration,
        "cost_usd": money,
    }
    for pair in pairs:
        if way := ways.get(pair.name):
            before, after = way(pair.before), way(pair.after)
            same = before == after
            name = {"verdict": "tests", "seconds": "time", "cost_usd": "cost"}.get(pair.name, pair.name)
            yield f"{name.replace('_', ' ')}: {before if same else f'{before} → {after}'}"


def _steps(pairs: Iterable[StepPair]) -> Iterator[str]:
    """What was not kept, one line each; what was kept, all in one."""
    kept: dict[str, int] = {}
    saved = same = 0
    for pair in pairs:
        one, two = pair.before, pair.after
        if two is None:
            yield f"{pair.id}: {one.how if one else ''} → it was not come to"
        elif two.how == "kept":
            kept[two.step.removesuffix(".do")] = kept.get(two.step.removesuffix(".do"), 0) + 1
            saved += two.saved_tokens
        elif two.how == "skipped" and one and one.how == "skipped":
            same += 1
        else:
            before = f"{one.how} → " if one and one.how != two.how else ""
            how = f"{two.how} anew" if one and (one.how, two.how) == ("made", "made") else two.how
            tokens = f", {one.tokens if one else 0} → {two.tokens} tokens" if two.tokens or (one and one.tokens) else ""
            why = two.why or (f"not the same: {', '.join(pair.differs)}" if pair.differs else "")
            yield f"{pair.id}: {before}{how}{tokens}{f'; {why}' if why else ''}"
    if kept:
        names = ", ".join(name if times == 1 else f"{name} ×{times}" for name, times in kept.items())
        yield f"{sum(kept.values())} kept, {saved} tokens saved: {names}"
    if same:
        yield f"{same} skipped in both"


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
