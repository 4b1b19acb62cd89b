"""What two runs are compared by, gathered: everything that a run left; and what differs, in words.

The comparison: `differences.py`. Who shows it: `cli_diff.py`, `studio/comparison_page.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from company.cache import Objects
from company.differences import Pair, Side, StepPair
from company.errors import WorkspaceError
from company.executions import Execution, executions
from company.records import Request, RunRecord, files_of, read_request
from company.report import Report, decides
from company.store import Store
from company.terminal import duration, money

_WAYS: Mapping[str, Callable[[Any], str]] = {
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


def side(store: Store, record: RunRecord) -> Side:
    """Everything that a run left."""
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


def _tests(done: Iterable[Execution], objects: Objects) -> dict[str, str]:
    """The tests of the last run of them among these and what came out; none where its record is gone."""
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


# --- in words ---------------------------------------------------------------------------------------


def asked(name: str, value: Any) -> str:
    """What a run was asked, in words."""
    if name.startswith("limit "):
        return "no limit" if value is None else f"{round(value, 6):g}" if isinstance(value, float) else str(value)
    if name.startswith("--from "):
        return "not asked for" if value is None else "asked for once" if value == 1 else f"asked for {value} times"
    if name.startswith("edit"):
        return "taken over" if value else "none"
    return str(value)


def numbers(pairs: Iterable[Pair]) -> Iterator[tuple[str, str, str]]:
    """How the runs ended and what they cost: a name, and how it was in each."""
    for pair in pairs:
        if way := _WAYS.get(pair.name):
            name = {"verdict": "tests", "seconds": "time", "cost_usd": "cost"}.get(pair.name, pair.name)
            yield name.replace("_", " "), way(pair.before), way(pair.after)


def steps(pairs: Iterable[StepPair]) -> Iterator[str]:
    """What was not kept, one line each; what was kept, all in one."""
    kept: dict[str, int] = {}
    saved = same = 0
    for pair in pairs:
        one, two = pair.before, pair.after
        if two and two.how == "kept":
            kept[two.step.removesuffix(".do")] = kept.get(two.step.removesuffix(".do"), 0) + 1
            saved += two.saved_tokens
        elif two and two.how == "skipped" and one and one.how == "skipped":
            same += 1
        else:
            yield f"{pair.id}: {step(pair)}"
    if kept:
        names = ", ".join(name if times == 1 else f"{name} ×{times}" for name, times in kept.items())
        yield f"{sum(kept.values())} kept, {saved} tokens saved: {names}"
    if same:
        yield f"{same} skipped in both"


def step(pair: StepPair) -> str:
    """What became of a step from one run to the other, what that took, and why."""
    one, two = pair.before, pair.after
    if two is None:
        return f"{one.how if one else ''} → it was not come to"
    before = f"{one.how} → " if one and one.how != two.how else ""
    how = f"{two.how} anew" if one and (one.how, two.how) == ("made", "made") else two.how
    tokens = f", {one.tokens if one else 0} → {two.tokens} tokens" if two.tokens or (one and one.tokens) else ""
    why = two.why or (f"not the same: {', '.join(pair.differs)}" if pair.differs else "")
    return f"{before}{how}{tokens}{f'; {why}' if why else ''}"
