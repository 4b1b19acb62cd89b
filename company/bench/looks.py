"""The ledger of looks at the test half: each is written down, since what was looked at often is no test any more.

Which half a task belongs to: `tasks.py`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from company.bench.rows import append
from company.bench.tasks import problems_of
from company.errors import WorkspaceError
from company.workspace import Repository

NAME = "looks.jsonl"


def look(folder: Path, dataset: str, tasks: int, model: str, sops: Mapping[str, str]) -> int:
    """Write down a look into the results' folder; how many there are now of this data set's problems.

    Args:
        sops: the procedures that are measured → their digests.
    """
    path = folder / NAME
    entry = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "dataset": dataset,
        "tasks": tasks,
        "model": model,
        "sops": dict(sops),
        "company": version("company-sim"),
        "commit": _commit(),
    }
    before = [each for each in _read(path) if problems_of(str(each.get("dataset"))) == problems_of(dataset)]
    last = next((each for each in reversed(before) if each.get("dataset") == dataset), None)
    if last and all(last.get(name) == entry[name] for name in ("tasks", "model", "sops", "company", "commit")):
        return len(before)  # a measurement that is gone on with, or printed again, is the same look
    append(path, entry)
    return len(before) + 1


def counts(folder: Path) -> dict[str, int]:
    """Data set, as `problems_of` calls it → how often its test half was looked at, as the ledger in a results' folder has it."""
    return dict(Counter(problems_of(str(each.get("dataset"))) for each in _read(folder / NAME)))


def _read(path: Path) -> Iterable[dict[str, Any]]:
    with suppress(FileNotFoundError):
        for line in path.read_text("utf-8", "replace").split("\n"):
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry


def _commit() -> str:
    """The commit of the source checkout that this program runs from; empty where it is installed."""
    with suppress(WorkspaceError):
        return Repository.open(Path(__file__).resolve().parents[2]).head() or ""
    return ""
