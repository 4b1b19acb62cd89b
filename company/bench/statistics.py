"""What numbers from few tasks are worth: pass rates, their intervals, and two procedures compared on the same tasks.

Plain numbers, no rows: which rows go in is `summary.py`'s, what a company says of its own work `honesty.py`'s.
The task is the unit: seeds of one task are no independent evidence, so they are averaged before anything is resampled.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

Outcomes = Mapping[str, Mapping[int, float]]
"""Task → seed → what came of it, 0 to 1: 1 where it passed, 0 where not."""
RESAMPLES = 10_000
CONFIDENCE = 0.95
_FEW_KINDS = 40
"""Kinds of tasks up to which it is quicker to draw how many of each kind than task by task."""
_FINEST = 60
"""Parts of 1 that differences are counted in, at most: exact for any mixture of 1 to 6 seeds, rounded beyond."""


class Interval(NamedTuple):
    """An estimate and where the truth lies with a confidence of 95 %. `low` and `high` are None where nobody can say."""

    value: float
    low: float | None
    high: float | None


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that one of `k` samples passes, unbiased (Chen et al. 2021), from `samples` of which `passed` did.

    Raises:
        ValueError: there are fewer samples than `k`, or the numbers make no sense.
    """
    if not (1 <= k <= samples and 0 <= passed <= samples):
        raise ValueError(f"pass@{k} cannot be told from {passed} of {samples} samples")
    return 1 - math.comb(samples - passed, k) / math.comb(samples, k)


def pass_at(outcomes: Outcomes, k: int, seed: int = 0) -> Interval | None:
    """pass@k over the tasks that have at least `k` samples, with its interval; None where there is no such task."""
    counts = [(len(each), sum(value >= 1 for value in each.values())) for each in outcomes.values()]
    return mean([pass_at_k(samples, passed, k) for samples, passed in counts if samples >= k], seed=seed)


def pass_rate(outcomes: Outcomes, seed: int = 0) -> Interval | None:
    """pass@1, the mean over tasks of the share of seeds that pass, with its interval; None without tasks."""
    return mean([share(each) for each in outcomes.values() if each], seed=seed)


def share(outcome: Mapping[int, float]) -> float:
    """The mean over a task's seeds."""
    return math.fsum(outcome.values()) / len(outcome)


def mean(
    values: Sequence[float], low: float = 0.0, high: float = 1.0, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """The mean with its bootstrap interval (percentiles of resampled tasks); None without values.

    Where all values are the same, resampling shows no spread, which would look like certainty. There the interval is what it
    would be if as many tasks were otherwise as Wilson's interval allows: `low` and `high` are the values that there can be.
    """
    if not values:
        return None
    count, middle = len(values), math.fsum(values) / len(values)
    if max(values) - min(values) < 1e-12:
        unseen = wilson(0, count).high or 0.0
        return Interval(middle, middle - unseen * (middle - low), middle + unseen * (high - middle))
    sums = _resampled([(value,) for value in values], resamples, seed)
    return Interval(middle, *_percentiles([total / count for (total,) in sums]))


def wilson(hits: int, count: int) -> Interval:
    """A proportion with Wilson's interval; without cases nobody can say anything: the value is nan."""
    if not count:
        return Interval(math.nan, None, None)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    rate = hits / count
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return Interval(
        rate, 0.0 if not hits else max(0.0, middle - half), 1.0 if hits == count else min(1.0, middle + half)
    )


# --- two procedures on the same tasks ------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """The second against the first, on the tasks and seeds that both have."""

    tasks: int
    """How many tasks both have, with a seed in common."""
    unpaired: int
    """Tasks that only one of them has: they are left out."""
    difference: Interval | None
    """pass@1 of the second less that of the first; None without common tasks."""
    p: float | None
    """How often chance alone makes a difference as large, exactly. With one seed it is McNemar's exact test."""
    removed: Interval | None
    """Share of the first's failures that the second does not have; less than 0 where it has more. None where the first has none."""
    gained: tuple[str, ...]
    """Tasks that the second passes more often."""
    lost: tuple[str, ...]
    """Tasks that the first passes more often."""


def compare(first: Outcomes, second: Outcomes, seed: int = 0, resamples: int = RESAMPLES) -> Comparison:
    """Two procedures, task by task: a task is compared over the seeds that both have, and left out where there are none."""
    pairs: dict[str, tuple[Fraction, Fraction]] = {}
    for task in first:
        both = sorted(first[task].keys() & second.get(task, {}).keys())
        if both:
            pairs[task] = _exact(first[task], both), _exact(second[task], both)
    steps = {task: two - one for task, (one, two) in pairs.items()}
    return Comparison(
        tasks=len(pairs),
        unpaired=len(first.keys() | second.keys()) - len(pairs),
        difference=mean([float(step) for step in steps.values()], low=-1.0, seed=seed, resamples=resamples),
        p=flip_test(list(steps.values())) if steps else None,
        removed=_removed([(1 - float(one), 1 - float(two)) for one, two in pairs.values()], seed, resamples),
        gained=tuple(task for task, step in steps.items() if step > 0),
        lost=tuple(task for task, step in steps.items() if step < 0),
    )


def _exact(outcome: Mapping[int, float], seeds: Sequence[int]) -> Fraction:
    return sum((Fraction(outcome[seed]) for seed in seeds), Fraction(0)) / len(seeds)


def _removed(failures: Sequence[tuple[float, float]], seed: int, resamples: int) -> Interval | None:
    """Which share of the first's failures the second is rid of. No interval where resampling shows no spread."""
    before, after = (math.fsum(side) for side in zip(*failures, strict=True)) if failures else (0.0, 0.0)
    if before <= 0:
        return None
    shares = [1 - two / one for one, two in _resampled(failures, resamples, seed) if one > 0]
    low, high = _percentiles(shares)
    return Interval(1 - after / before, low, high) if high - low > 1e-12 else Interval(1 - after / before, None, None)


def flip_test(differences: Sequence[Fraction]) -> float:
    """The exact two-sided p of paired differences: the share of all ways to swap the two sides that differ as much in sum.

    All 2ⁿ ways are counted at once: the coefficients of a product of polynomials, kept side by side in one whole number.
    """
    parts = min(_FINEST, math.lcm(*(each.denominator for each in differences)))
    sizes = [round(abs(each) * parts) for each in differences]
    observed = abs(sum(round(each * parts) for each in differences))
    sizes = [size for size in sizes if size]
    width = len(sizes) + 1
    ways = 1  # coefficient k, `width` bits: in how many ways the flipped ones sum to k
    for size in sizes:
        ways += ways << (size * width)
    total = sum(sizes)
    as_far = 0
    for flipped, text in enumerate(_digits(ways, width, total + 1)):
        if abs(total - 2 * flipped) >= observed:
            as_far += text
    return float(Fraction(as_far, 2 ** len(sizes)))


def _digits(number: int, width: int, count: int) -> Iterator[int]:
    """The lowest `count` digits of `width` bits, lowest first; halved again and again, so that it takes no quadratic time."""
    if count == 1:
        yield number
    else:
        half = count // 2
        high = number >> (half * width)
        yield from _digits(number - (high << (half * width)), width, half)
        yield from _digits(high, width, count - half)


# --- resampling ----------------------------------------------------------------------------------------


def _resampled(rows: Sequence[tuple[float, ...]], resamples: int, seed: int) -> list[tuple[float, ...]]:
    """The sums of the columns in each resample of the rows, drawn with replacement."""
    rng = random.Random(seed)
    kinds = Counter(rows)
    if len(kinds) > _FEW_KINDS:
        draw = rng.choices
        return [tuple(map(sum, zip(*draw(rows, k=len(rows)), strict=True))) for _ in range(resamples)]
    return [
        tuple(
            sum(count * value for count, value in zip(counts, column, strict=True))
            for column in zip(*kinds, strict=True)
        )
        for counts in _multinomial(list(kinds.values()), resamples, rng)
    ]


def _multinomial(weights: Sequence[int], draws: int, rng: random.Random) -> Iterator[list[int]]:
    """How many of each kind there are in a resample, `draws` times: the same as drawing one by one, and much quicker.

    The first kind's number is binomial, the second's is binomial in what is left, and so on.
    """
    rest = [sum(weights[place:]) for place in range(len(weights))]

    @cache
    def summed(place: int, left: int) -> list[float]:
        return _binomial(left, weights[place] / rest[place])

    for _ in range(draws):
        left, counts = rest[0], []
        for place in range(len(weights) - 1):
            drawn = min(left, bisect_left(summed(place, left), rng.random())) if left else 0
            counts.append(drawn)
            left -= drawn
        counts.append(left)
        yield counts


def _binomial(count: int, chance: float) -> list[float]:
    """The chances of at most 0, 1, … successes."""
    ones, zeros = math.log(chance), math.log1p(-chance)
    whole = math.lgamma(count + 1)
    total, summed = 0.0, []
    for hits in range(count + 1):
        ways = whole - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
        total += math.exp(ways + hits * ones + (count - hits) * zeros)
        summed.append(total)
    return summed


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The two values between which the middle 95 % lie, interpolated."""
    ordered = sorted(values)
    tail = (1 - CONFIDENCE) / 2

    def at(quantile: float) -> float:
        place = quantile * (len(ordered) - 1)
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    return at(tail), at(1 - tail)
