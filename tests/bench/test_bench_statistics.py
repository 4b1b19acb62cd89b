"""Numbers from few tasks, held against brute force."""

import itertools
import math
import random
import time
from fractions import Fraction
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from company.bench.statistics import (
    Interval,
    _resampled,
    compare,
    flip_test,
    mean,
    pass_at,
    pass_at_k,
    pass_rate,
    wilson,
)


def outcomes(*passed: float) -> dict[str, dict[int, float]]:
    """One seed a task."""
    return {f"t{number}": {0: value} for number, value in enumerate(passed)}


@settings(deadline=None)
@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_all_draws_with_one_that_passes(samples: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    draws = list(itertools.combinations([1] * passed + [0] * (samples - passed), k))
    assert pass_at_k(samples, passed, k) == pytest.approx(fmean(max(draw) for draw in draws))


def test_pass_at_k_refuses_what_it_cannot_tell() -> None:
    with pytest.raises(ValueError, match=r"pass@3 cannot be told from 1 of 2 samples"):
        pass_at_k(2, 1, 3)
    assert pass_at({"a": {0: 1.0}, "b": {}}, 2) is None
    found = pass_at({"a": {0: 1.0, 1: 0.0, 2: 0.0}, "b": {0: 1.0}}, 2)
    assert found
    assert found.value == pytest.approx(2 / 3), "a task with too few samples does not count"


def test_pass_rate_is_the_mean_over_tasks_of_the_share_of_seeds() -> None:
    found = pass_rate({"a": {0: 1.0, 1: 0.0}, "b": {0: 1.0}, "never run": {}})
    assert found
    assert found.value == 0.75
    assert pass_rate({}) is None


def test_no_spread_is_no_certainty() -> None:
    sure = pass_rate(outcomes(*[1.0] * 5))
    assert sure == wilson(5, 5)
    assert sure.low
    assert sure.low < 0.6
    none = pass_rate(outcomes(0.0))
    assert none == wilson(0, 1)
    level = compare(outcomes(1, 0, 1), outcomes(1, 0, 1))
    assert level.difference
    assert level.difference.low == -level.difference.high < -0.4  # type: ignore[operator]
    assert level.p == 1


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_holds_the_rates_that_a_score_test_does_not_refuse(hits: int, count: int) -> None:
    hits = min(hits, count)
    found = wilson(hits, count)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    for bound in {found.low, found.high} - {0.0, 1.0}:
        z = (found.value - bound) / math.sqrt(bound * (1 - bound) / count)
        assert abs(z) == pytest.approx(1.959964, abs=1e-4)


def test_wilson_of_nothing() -> None:
    assert math.isnan(wilson(0, 0).value)
    assert wilson(0, 0).low is None


def test_both_ways_of_resampling_draw_from_the_same_distribution() -> None:
    values = [(float(value), 1.0) for value in [0, 0, 0, 1, 1, 2, 5]]
    fast = _resampled(values, 40_000, 1)
    rng = random.Random(2)
    slow = [sum(rng.choices([value for value, _ in values], k=7)) for _ in range(40_000)]
    assert {ones for _, ones in fast} == {7.0}
    for total in range(20):
        share = sum(found == total for found, _ in fast) / 40_000
        assert share == pytest.approx(sum(found == total for found in slow) / 40_000, abs=0.012)


def test_many_different_values_are_resampled_too() -> None:
    values = [number / 100 for number in range(100)]
    found = mean(values)
    assert found
    assert found.low is not None
    assert found.high is not None
    spread = math.sqrt(sum((value - 0.495) ** 2 for value in values) / 100 / 100)
    assert found.low == pytest.approx(0.495 - 1.96 * spread, abs=0.004)
    assert found.high == pytest.approx(0.495 + 1.96 * spread, abs=0.004)
    assert mean(values) == found, "the same seed, the same interval"
    assert mean(values, seed=1) != found


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = random.Random(5)
    held = 0
    for trial in range(300):
        found = mean([float(rng.random() < 0.6) for _ in range(80)], seed=trial, resamples=500)
        assert found
        held += found.low <= 0.6 <= found.high  # type: ignore[operator]
    assert 0.90 <= held / 300 <= 0.985


@pytest.mark.parametrize("kinds", [2, 400])
def test_ten_thousand_resamples_of_five_hundred_tasks_take_seconds(kinds: int) -> None:
    rng = random.Random(3)
    values = [rng.randrange(kinds) / kinds for _ in range(500)]
    began = time.process_time()
    mean(values)
    assert time.process_time() - began < 10, "0.05 s and 2 s on a quiet machine"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(Fraction, st.integers(-3, 3), st.just(3)), min_size=1, max_size=9))
def test_p_is_the_share_of_all_swaps_that_differ_as_much(differences: list[Fraction]) -> None:
    observed = abs(sum(differences))
    swaps = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(sign * each for sign, each in zip(signs, differences, strict=True))) for signs in swaps]
    assert flip_test(differences) == pytest.approx(sum(each >= observed for each in sums) / len(sums))


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 200))
def test_with_one_seed_p_is_mcnemars(gained: int, lost: int, level: int) -> None:
    found = flip_test([Fraction(1)] * gained + [Fraction(-1)] * lost + [Fraction(0)] * (level + 1))
    flips = gained + lost
    tail = sum(math.comb(flips, hits) for hits in range(max(gained, lost), flips + 1)) / 2**flips
    assert found == pytest.approx(min(1.0, 2 * tail))


def test_p_of_five_hundred_tasks_and_mixed_seeds_takes_no_time() -> None:
    rng = random.Random(4)
    differences = [Fraction(rng.randint(-5, 6), rng.randint(5, 9)) for _ in range(500)]
    began = time.process_time()
    assert 0 < flip_test(differences) < 1
    assert time.process_time() - began < 10


def test_two_procedures_compared() -> None:
    first = outcomes(*[0] * 50, *[1] * 50)
    second = outcomes(*[1] * 20, *[0] * 30, *[0] * 5, *[1] * 45)
    found = compare(first, second)
    assert found.tasks == 100
    assert found.unpaired == 0
    assert found.gained == tuple(f"t{number}" for number in range(20))
    assert found.lost == tuple(f"t{number}" for number in range(50, 55))
    assert found.difference
    assert found.difference.value == pytest.approx(0.15)
    assert found.difference.low == pytest.approx(0.15 - 1.96 * math.sqrt(0.25 - 0.0225) / 10, abs=0.015)
    assert found.p == pytest.approx(2 * sum(math.comb(25, hits) for hits in range(20, 26)) / 2**25)
    assert found.removed
    assert found.removed.value == pytest.approx(15 / 50)
    assert found.removed.low is not None
    assert found.removed.high is not None
    assert 0 < found.removed.low < 0.3 < found.removed.high < 0.6


def test_only_common_tasks_and_seeds_are_compared() -> None:
    first = {"a": {0: 1.0, 1: 0.0}, "b": {0: 0.0}, "c": {0: 0.0}, "only first": {0: 1.0}}
    second = {"a": {1: 1.0, 2: 0.0}, "b": {0: 0.0}, "c": {3: 1.0}, "only second": {0: 1.0}}
    found = compare(first, second)
    assert (found.tasks, found.unpaired, found.gained, found.lost) == (2, 3, ("a",), ())
    assert found.difference
    assert found.difference.value == 0.5


def test_nothing_to_compare() -> None:
    found = compare({"a": {0: 1.0}}, {"b": {0: 1.0}})
    assert (found.tasks, found.unpaired, found.difference, found.p, found.removed) == (0, 2, None, None, None)
    assert compare(outcomes(1, 1), outcomes(1, 0)).removed is None, "there were no failures to remove"
    assert compare(outcomes(0, 0, 1), outcomes(1, 1, 1)).removed == Interval(1.0, None, None)
