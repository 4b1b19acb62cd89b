"""Whether runs in one workspace at the same time get in one another's way. python benchmarks/parallel_runs.py [RUNS] [PROCESSES]

Runs that would have the same name, with a model that answers at once: all in one process, then in a process each. Each must be delivered,
with the files and the history of a run alone. Prints how long they took, the slowest against the median, and memory for each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from long_runs import Instant

from company import wiring
from company.engine import NewRun, Outcome
from company.settings import Settings
from company.workspace import Repository

SOP = """
sop: 1
name: small
steps:
  plan: {role: engineer, prompt: zero_shot, in: requirement, out: str}
  polish:
    loop:
      say: {role: engineer, prompt: zero_shot, in: requirement, out: str}
    until: say == ""
    max: 10
    on_max: continue
"""
CALLS = 11
"""Of each run: `plan`, and ten rounds."""


@asynccontextmanager
async def _instant(*names: object, **more: object) -> AsyncIterator[Instant]:
    await asyncio.sleep(0.1)  # by then every run has looked for a name that is free
    yield Instant()


async def one(home: Path, number: int) -> tuple[Outcome, float]:
    """A run, and its seconds from the call to the end. The number is past the words that a folder is named after."""
    began = time.perf_counter()
    requirement = f"a program that shouts loudly at users {number}"
    new = NewRun({"requirement": requirement}, str(home / "small.yaml"), home / "ws", model="openai:instant")
    outcome = await wiring.run(new, Settings())
    return outcome, time.perf_counter() - began


async def several(home: Path, count: int) -> list[tuple[Outcome, float]]:
    return await asyncio.gather(*(one(home, number) for number in range(count)))


def left(repo: Path) -> Any:
    """What a run left, without what names it or tells the time."""
    repository = Repository(repo)
    own = ("README.md", ".company/run.json", ".company/requirement.md")
    files = {path: data for path, data in repository.files().items() if path not in own}
    return files, [(made.subject, made.author, made.trailers.get("Company-Step")) for made in repository.log()]


def judged(what: str, home: Path, alone: Any, seconds: list[float], wall: float, memory: float) -> None:
    """Look at every run of the workspace, and print a line."""
    records = wiring.runs(home / "ws", Settings())
    assert len({record.name for record in records}) == len(seconds), "runs share a folder"
    assert {(record.status, record.calls) for record in records} == {("delivered", CALLS)}
    same = sum(left(record.repo) == alone for record in records)
    middle = statistics.median(seconds)
    cells = [
        f"{wall:.1f}",
        f"{min(seconds):.1f}",
        f"{middle:.1f}",
        f"{max(seconds):.1f}",
        f"{max(seconds) / middle:.2f}",
    ]
    print(f"| {what} | {same} of {len(seconds)} | {' | '.join(cells)} | {memory:.1f} |", flush=True)


def home_of(folder: Path, name: str) -> Path:
    home = folder / name
    home.mkdir()
    (home / "small.yaml").write_text(SOP)
    return home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=50)
    parser.add_argument("processes", nargs="?", type=int, default=12)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = "x"
    wiring.providers.open_model = _instant  # type: ignore[assignment]
    if asked.child:
        outcome, seconds = asyncio.run(one(Path(asked.child[0]), int(asked.child[1])))
        assert outcome.status == "delivered", outcome.reason
        print(json.dumps([seconds, psutil.Process().memory_info().rss / 1048576]))
        return
    print(
        "| runs at once | same as alone | all, s | fastest, s | median, s | slowest, s | slowest ÷ median | MiB a run |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        home = home_of(Path(folder), "alone")
        asyncio.run(one(home_of(Path(folder), "warm"), 0))
        memory = psutil.Process()
        before = memory.memory_info().rss
        outcome, seconds = asyncio.run(one(home, 0))
        alone = left(outcome.repo)
        judged("1", home, alone, [seconds], seconds, (memory.memory_info().rss - before) / 1048576)
        home, before, began = home_of(Path(folder), "one"), memory.memory_info().rss, time.perf_counter()
        took = [seconds for _, seconds in asyncio.run(several(home, asked.runs))]
        wall, grown = time.perf_counter() - began, (memory.memory_info().rss - before) / 1048576
        judged(f"{asked.runs} in one process", home, alone, took, wall, grown / asked.runs)
        home, began = home_of(Path(folder), "many"), time.perf_counter()
        words = [sys.executable, __file__, "--child", str(home)]
        children = [
            subprocess.Popen([*words, str(number)], stdout=subprocess.PIPE, text=True)
            for number in range(asked.processes)
        ]
        answers = [json.loads(child.communicate()[0]) for child in children]
        took, sizes = [answer[0] for answer in answers], [answer[1] for answer in answers]
        wall = time.perf_counter() - began
        judged(f"{asked.processes} processes", home, alone, took, wall, statistics.mean(sizes))


if __name__ == "__main__":
    main()
