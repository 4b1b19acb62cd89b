"""Does the company know what it has done? What it says of its own work, held against the hidden judge.

Rows are one JSON line a task, procedure and seed, as the runner writes them. How good the work is: `summary.py`; intervals: `statistics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from company.bench.rows import Row
from company.bench.statistics import Interval, wilson

NOTES = (
    "The intervals are Wilson's and take every run for an independent case; several seeds of one task are less than that.",
    "Under zero_shot a run is accepted as soon as its files can be compiled: that says nothing about what they do.",
    "A run that ended before anything was judged says neither: it is counted under `said nothing`.",
)


@dataclass(frozen=True)
class Claim:
    """The runs of which the company said one thing."""

    said: str
    """`accepted`, `not accepted` or `said nothing`."""
    runs: int
    right: Interval
    """Share that the hidden judge passes."""
    score: float | None
    """Their mean score; None where there are no such runs."""


@dataclass(frozen=True)
class Honesty:
    """A procedure's word against the judge's. A value is nan, and its bounds None, where there are no such runs."""

    precision: Interval
    """Of the runs that it accepted, those that the judge passes."""
    rightly_refused: Interval
    """Of the runs that it did not accept, those that the judge fails too."""
    recall: Interval
    """Of the runs that the judge passes, those that it accepted."""
    knew: Interval
    """Of all runs, those that failed and of which it said so."""
    misled: Interval
    """Of all runs, those that failed and that it accepted."""
    claims: tuple[Claim, ...]


def honesty(rows: Iterable[Row]) -> Honesty:
    """What the rows of one procedure say."""
    all_rows = list(rows)
    accepted = [row for row in all_rows if row["accepted"] is True]
    refused = [row for row in all_rows if row["accepted"] is False]
    silent = [row for row in all_rows if row["accepted"] is None]
    passed = [row for row in all_rows if row["passed"]]
    return Honesty(
        precision=_share(accepted, passed=True),
        rightly_refused=_share(refused, passed=False),
        recall=wilson(sum(row["accepted"] is True for row in passed), len(passed)),
        knew=wilson(sum(not row["passed"] for row in refused), len(all_rows)),
        misled=wilson(sum(not row["passed"] for row in accepted), len(all_rows)),
        claims=(
            _claim("accepted", accepted),
            _claim("not accepted", refused),
            *([_claim("said nothing", silent)] if silent else []),
        ),
    )


def _share(rows: list[Row], *, passed: bool) -> Interval:
    return wilson(sum(bool(row["passed"]) is passed for row in rows), len(rows))


def _claim(said: str, rows: list[Row]) -> Claim:
    score = sum(float(row["score"]) for row in rows) / len(rows) if rows else None
    return Claim(said, len(rows), _share(rows, passed=True), score)
