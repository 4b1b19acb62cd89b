"""Rows of results → one summary: each procedure with each model and variation, against zero_shot and the others on the same tasks.

Printing it: `tables.py`, drawing it: `figures.py`; the arithmetic: `statistics.py`, what a company says of itself: `honesty.py`.
Nothing of a hidden judge's words is in a summary of the half that is kept for reporting, nor of both halves together.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from company.bench.honesty import Honesty, honesty
from company.bench.rows import Row, program_of
from company.bench.statistics import Comparison, Interval, Outcomes, compare, pass_rate
from company.progress import clean

BASELINE = "zero_shot"
OPEN_SPLIT = "dev"
"""The only half of which a judge's words are shown."""
WHOLE = "all"
"""Both halves together."""


@dataclass(frozen=True)
class Shown:
    """A run that somebody may look at."""

    run: str
    workspace: str

    @property
    def command(self) -> str:
        """Shows it."""
        return f"company show {shlex.quote(self.run)} --workspace {shlex.quote(self.workspace)}"


@dataclass(frozen=True)
class Flip:
    """A task that a procedure passes more often than another one, or less often."""

    task: str
    gained: bool
    sop: str
    against: str
    """The other one: the baseline, or one that was measured beside it."""
    model: str
    variation: str
    failure: str
    """Category of the failing run, of whichever of the two."""
    detail: str
    """What the judge said of it; empty where that must not be seen."""
    failed: Shown
    """The failing run."""
    passed: Shown
    """The run that passed."""


@dataclass(frozen=True)
class Group:
    """A procedure with one model under one variation, over all its tasks and seeds."""

    dataset: str
    split: str
    sop: str
    model: str
    variation: str
    tasks: int
    seeds: int
    """Most seeds that a task has."""
    runs: int
    passed: Interval | None
    """pass@1."""
    score: float
    """Mean of the tasks' mean scores."""
    against: Comparison | None
    """Against the baseline with the same model and variation; None for the baseline itself, and where it was not run."""
    varied: Comparison | None
    """Of a variation: against the same procedure and model on the same tasks as they are; None where those were not run."""
    tokens: float
    """Prompt and completion tokens for each run, those that the endpoint had cached among them."""
    cached_tokens: float
    line_tokens: float | None
    """Tokens for each delivered line; None where no line was delivered."""
    seconds: float
    model_seconds: float
    calls: float
    usd: float | None
    """Dollars for each run; None where one of them is not known."""
    honesty: Honesty
    failures: Mapping[str, int]
    """Category → runs that failed so."""

    @property
    def name(self) -> str:
        """What tells it from the others of its data set."""
        return " ".join(filter(None, (self.sop, self.model, self.split, self.variation)))


@dataclass(frozen=True)
class Pair:
    """Two procedures that were measured beside the baseline, with one model under one variation."""

    dataset: str
    split: str
    sop: str
    other: str
    """What it is compared with."""
    model: str
    variation: str
    against: Comparison


@dataclass(frozen=True)
class Summary:
    """All of it. `as_json` is what a file holds."""

    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    flips: tuple[Flip, ...]
    notes: tuple[str, ...]
    """What a reader must know so as not to be misled."""

    def as_json(self) -> dict[str, Any]:
        """JSON data: what cannot be told is null."""
        return {"baseline": BASELINE, **_plain(asdict(self))}


def summarise(rows: Iterable[Row], *, whole: bool = False, seed: int = 0) -> Summary:
    """The summary. Where a task was run twice with the same seed, the last row counts.

    Args:
        whole: also of both halves together, where both are there: one measurement asked for them.
        seed: of the resampling.
    """
    latest: dict[tuple[Any, ...], Row] = {}
    total = 0
    for row in rows:
        total += 1
        latest[(*_key(row), row["task"], row["seed"])] = row
    grouped: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in latest.values():
        grouped[_key(row)].append(row)
    if whole:
        for dataset, split, *same in [*grouped]:
            if other := split == OPEN_SPLIT and grouped.get((dataset, "test", *same)):
                grouped[dataset, WHOLE, *same] = grouped[dataset, split, *same] + other
    groups, pairs, flips = [], [], []
    order = sorted(grouped, key=lambda key: (key[0], key[1], key[3], key[4], key[2] != BASELINE, key[2]))
    for key in order:
        dataset, split, sop, model, variation = key
        base = grouped.get((dataset, split, BASELINE, model, variation)) if sop != BASELINE else None
        against = compare(outcomes(base), outcomes(grouped[key]), seed) if base else None
        plain = grouped.get((dataset, split, sop, model, "")) if variation else None
        varied = compare(outcomes(plain), outcomes(grouped[key]), seed) if plain else None
        groups.append(_group(key, grouped[key], against, varied, seed))
        if base and against:
            flips += _flips(grouped[key], base, against)
    for first, key in combinations(order, 2):
        dataset, split, sop, model, variation = key
        if first == (dataset, split, first[2], model, variation) and BASELINE not in (first[2], sop):
            compared = compare(outcomes(grouped[first]), outcomes(grouped[key]), seed)
            pairs.append(Pair(dataset, split, sop, first[2], model, variation, compared))
            flips += _flips(grouped[key], grouped[first], compared)
    notes = [*_programs(latest.values()), *_notes(groups, grouped)]
    if total > len(latest):
        notes.append(
            f"{total - len(latest)} rows were of a task, procedure and seed that came again later; the last counts."
        )
    return Summary(tuple(groups), tuple(pairs), tuple(flips), tuple(notes))


def outcomes(rows: Iterable[Row]) -> Outcomes:
    """Task → seed → whether it passed."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        found[row["task"]][row["seed"]] = float(bool(row["passed"]))
    return found


def _key(row: Row) -> tuple[str, ...]:
    return row["dataset"], row["split"], row["sop"], row["model"], row.get("variation") or ""


def _group(
    key: tuple[str, ...], rows: Sequence[Row], against: Comparison | None, varied: Comparison | None, seed: int
) -> Group:
    dataset, split, sop, model, variation = key
    by_task = outcomes(rows)
    scores: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        scores[row["task"]].append(float(row["score"]))
    lines, tokens = sum(row["lines"] for row in rows), sum(_tokens(row) for row in rows)
    dollars = [row["usd"] for row in rows]
    return Group(
        dataset=dataset, split=split, sop=sop, model=model, variation=variation,
        tasks=len(by_task),
        seeds=max(len(each) for each in by_task.values()),
        runs=len(rows),
        passed=pass_rate(by_task, seed),
        score=_mean([_mean(each) for each in scores.values()]),
        against=against,
        varied=varied,
        tokens=tokens / len(rows),
        cached_tokens=_mean([row["cached_tokens"] or 0 for row in rows]),
        line_tokens=tokens / lines if lines else None,
        seconds=_mean([row["seconds"] for row in rows]),
        model_seconds=_mean([row["model_seconds"] for row in rows]),
        calls=_mean([row["calls"] for row in rows]),
        usd=None if None in dollars else _mean(dollars),
        honesty=honesty(rows),
        failures=dict(Counter(_failure(row) for row in rows if not row["passed"]).most_common()),
    )  # fmt: skip


def _tokens(row: Row) -> int:
    return int(row["prompt_tokens"]) + int(row["completion_tokens"])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _failure(row: Row) -> str:
    return clean(row["failure"] or "unknown", 40)


# --- tasks that went the other way ---------------------------------------------------------------------


def _flips(rows: Sequence[Row], base: Sequence[Row], against: Comparison) -> list[Flip]:
    if len({row["split"] for row in rows}) > 1:
        return []  # both halves together: each has its own
    mine, theirs = _by_task(rows), _by_task(base)
    found = []
    for task in (*against.gained, *against.lost):
        gained = task in against.gained
        failed = _first(theirs[task] if gained else mine[task], passed=False)
        passed = _first(mine[task] if gained else theirs[task], passed=True)
        found.append(
            Flip(
                task=clean(task),
                gained=gained,
                sop=rows[0]["sop"],
                against=base[0]["sop"],
                model=rows[0]["model"],
                variation=rows[0].get("variation") or "",
                failure=_failure(failed),
                detail=_detail(failed),
                failed=_shown(failed),
                passed=_shown(passed),
            )
        )
    return found


def _by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["task"]].append(row)
    return found


def _first(rows: Sequence[Row], *, passed: bool) -> Row:
    """The one that went so, of the lowest seed: the more often passing side has one that passed, the other one that did not."""
    return min((row for row in rows if bool(row["passed"]) is passed), key=lambda row: int(row["seed"]))


def _detail(row: Row) -> str:
    return clean(row["judged"].get("detail") or "") if row["split"] == OPEN_SPLIT else ""


def _shown(row: Row) -> Shown:
    return Shown(clean(row["run"], 1000), clean(row["workspace"], 1000))


# --- notes -----------------------------------------------------------------------------------------------


def _notes(groups: Sequence[Group], grouped: Mapping[tuple[str, ...], Sequence[Row]]) -> list[str]:
    notes = []
    for group, rows in zip(groups, (grouped[_of(group)] for group in groups), strict=True):
        versions = {row["sop_digest"] for row in rows}
        if len(versions) > 1:
            notes.append(f"{group.name}: {len(versions)} versions of the procedure are counted together.")
        if group.runs < group.tasks * group.seeds:
            notes.append(f"{group.name}: {group.tasks * group.seeds - group.runs} runs of a task and seed are missing.")
        if group.against and group.against.unpaired:
            against = group.against
            notes.append(
                f"{group.name}: compared with {BASELINE} on {against.tasks} common tasks; {against.unpaired} that only one "
                "of them has are left out."
            )
        if group.sop != BASELINE and not group.against:
            notes.append(f"{group.name}: {BASELINE} was not run, so there is nothing to compare with.")
        if group.varied and group.varied.unpaired:
            notes.append(
                f"{group.name}: compared with the tasks as they are on {group.varied.tasks} common tasks; "
                f"{group.varied.unpaired} that were measured only one way are left out."
            )
        if group.variation and not group.varied:
            notes.append(f"{group.name}: the tasks as they are were not run, so there is nothing to compare with.")
        if group.tasks < 10:
            notes.append(f"{group.name}: {group.tasks} tasks are too few to tell procedures apart.")
    return notes


def _programs(rows: Iterable[Row]) -> list[str]:
    """What is to be known where rows that are compared were made by several programs."""
    found: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        found[row["dataset"], row["model"]][program_of(row)][row["sop"]] += 1
    notes = []
    for (dataset, model), programs in found.items():
        if len(programs) > 1:
            said = "; ".join(
                f"{program}: {', '.join(f'{count} of {sop}' for sop, count in counts.items())}"
                for program, counts in programs.items()
            )
            notes.append(
                f"{dataset} {model}: the rows are of {len(programs)} programs, and a difference may be theirs: {said}. "
                "A new --out measures all by one."
            )
    return notes


def _of(group: Group) -> tuple[str, ...]:
    return group.dataset, group.split, group.sop, group.model, group.variation


def _plain(value: Any) -> Any:
    """Data as JSON has it."""
    if isinstance(value, Interval):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
