"""A problem: what is asked, what is given, and the judge, which no role ever sees.

Where problems come from: `datasets.py`. How a judge decides: `judging.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from company.cache import digest

Half = Literal["dev", "test"]
Split = Literal["dev", "test", "all"]
_SETS = frozenset({"humaneval", "mbpp", "classeval", "projects", "exercism"})
"""Data sets with a name of their own; some have another with a `+`."""


def problems_of(dataset: str) -> str:
    """What a data set is called together with that which has more tests for the same problems."""
    plain = dataset.removesuffix("+")
    return plain if plain in _SETS else dataset


@dataclass(frozen=True)
class Judge:
    """How a delivered repository is judged, hidden from whoever made it."""

    kind: Literal["tests", "command", "checks"]
    """`tests`: pytest, as `sandbox.run_tests` runs it; `command`: a program says it; `checks`: `blackbox.py` compares output."""
    files: Mapping[str, str]
    """Put over a copy of what was delivered, path → text; of `checks` the one file that holds them, which stays outside."""
    command: str = ""
    """Of `command`: what is run there."""
    verdict: Literal["token", "exit"] = "token"
    """Of `command`: it prints the token that its input begins with, and a share from 0 to 1; or its exit status alone says it."""
    seconds: float = 60.0
    """Wall time of the judgement, and of each of the `checks`' commands a part of that."""


@dataclass(frozen=True)
class Task:
    """One problem."""

    dataset: str
    name: str
    requirement: str
    """What the run is asked for, word for word."""
    judge: Judge
    given: Mapping[str, str] = field(default_factory=dict)
    """Files of a repository that the run is let into, path → text; empty: it begins with nothing."""
    needs: str = ""
    """The file that the judge imports; empty where that is not one file."""
    own: bool = False
    """It is of a folder of tasks, which its owner may call otherwise tomorrow, and not of a set with a name of its own."""

    @property
    def digest(self) -> str:
        """Changes with anything that is asked, given or judged."""
        return digest([self.dataset, self.name, self.requirement, dict(self.given), asdict(self.judge)])

    @property
    def order(self) -> str:
        """A hash of the name that decides the half and the order; the same for a set and its `+`, and whatever a folder is called."""
        name = self.name if self.own else f"{problems_of(self.dataset)}/{self.name}"
        return hashlib.sha256(name.encode()).hexdigest()

    @property
    def half(self) -> Half:
        """`dev` is for trying things out, `test` for the few looks that are reported."""
        return "test" if int(self.order, 16) % 2 else "dev"


def chosen(tasks: list[Task], split: Split, limit: int | None) -> list[Task]:
    """The tasks of a half, in an order that has nothing to do with what they ask: more of them are the same ones and others."""
    mine = sorted((task for task in tasks if split in ("all", task.half)), key=lambda task: task.order)
    return mine[:limit]
