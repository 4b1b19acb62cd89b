"""What is run apart from the studio ends when it takes too much."""

import time

import pytest

from company.errors import Broken
from company.studio.apart import TooMuch, apart


def test_what_it_returns_comes_back() -> None:
    assert apart(str.upper, "ä", seconds=5, most=100) == "Ä"


def test_it_ends_when_its_time_is_over() -> None:
    apart(str.upper, "a", seconds=5, most=100)  # everything is imported
    began = time.monotonic()
    with pytest.raises(TooMuch, match=r"longer than 0\.2 s"):
        apart(time.sleep, 60, seconds=0.2, most=100)
    assert time.monotonic() - began < 10


def test_it_ends_when_it_takes_too_much_memory_or_says_too_much() -> None:
    with pytest.raises(TooMuch, match="memory"):
        apart(bytes, 4_000_000_000, seconds=5, most=100)
    with pytest.raises(TooMuch, match="too large"):
        apart("x".ljust, 1000, seconds=5, most=100)


def test_its_failure_is_told() -> None:
    with pytest.raises(Broken, match="ValueError: invalid literal"):
        apart(int, "x", seconds=5, most=100)
