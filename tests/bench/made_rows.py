"""Rows of results that no run made, for the tests of what is reckoned from them."""

from typing import Any

SECRET = "assert solve([3, 1]) == [1, 3] # hidden"


def row(task: str = "t0", sop: str = "zero_shot", passed: bool = True, **other: Any) -> dict[str, Any]:
    """One row; what is not said is ordinary."""
    made: dict[str, Any] = {
        "dataset": "small", "split": "test", "task": task, "sop": sop, "sop_digest": "d1", "model": "local:tiny", "seed": 0,
        "variation": "", "run": f"r-{task}-{sop}", "workspace": "out/work space", "repo": "out/r", "status": "delivered",
        "accepted": passed, "passed": passed, "score": 1.0 if passed else 0.25,
        "judged": {"status": "passed" if passed else "failed", "detail": "" if passed else SECRET},
        "calls": 2, "prompt_tokens": 900, "completion_tokens": 100, "cached_tokens": 300, "usd": 0.001, "seconds": 8.0,
        "model_seconds": 6.0, "lines": 20, "failure": "" if passed else "wrong answer", "time": 1.0,
    }  # fmt: skip
    return made | other


def rows_of(sop: str, passes: str, **other: Any) -> list[dict[str, Any]]:
    """A row for each letter, ``+`` where it passed."""
    return [row(f"t{number}", sop, letter == "+", **other) for number, letter in enumerate(passes)]
