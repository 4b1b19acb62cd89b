"""What a measurement's runs delivered, judged by another set's tests of the same problems: no model is asked, nothing is run anew.

    python benchmarks/judged_again.py SET RESULTS.jsonl --out FILE [--data PATH] [--after STEP]

SET is `humaneval+` for rows of `humaneval`, `mbpp+` for those of `mbpp`, or the same set again. With `--after` the files are judged as the
last commit of that step left them: what the steps behind it add. The rows go to FILE with what this judge says, and their tables to
standard output. A half that is kept for reporting counts as looked at once more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from company.bench import looks, rows, tables
from company.bench.datasets import load
from company.bench.judging import judge
from company.bench.making import program
from company.bench.rows import Row
from company.bench.summary import summarise
from company.bench.tasks import Task
from company.records import files_of, find
from company.report import Report
from company.sandbox import Sandbox, choose
from company.store import Folder
from company.workspace import Repository


async def judged(read: Sequence[Row], tasks: Mapping[str, Task], out: Path, after: str = "") -> list[Row]:
    """The rows whose task the other set has, each with what its judge says; what stands in `out` already is not judged again.

    Args:
        after: the step after which the files are judged; empty: as they were delivered.
    """
    kept = {row["key"]: row for row in rows.read(out)}
    sandbox, found = choose(), []
    for row in read:
        if (task := tasks.get(row["task"])) is None:
            continue
        key = " ".join(filter(None, (row["key"], "by", task.digest, after)))
        if key not in kept:
            kept[key] = {**row, **await _verdict(sandbox, row, task, after), "dataset": task.dataset, "key": key}
            rows.append(out, kept[key])
        found.append(kept[key])
    return found


async def _verdict(sandbox: Sandbox, row: Row, task: Task, after: str) -> dict[str, Any]:
    """What the judge says; nothing where there is nothing to judge: the row stays as it is."""
    store = Folder(Path(row["workspace"]) / ".company")
    record = find(store, row["run"])
    if after:
        made = [event for event in Report.of(store.events(record.run)).commits.values() if is_of(event["step"], after)]
        files = Repository.open(record.repo).files(made[-1]["sha"]) if made else {}
    elif row["judged"]["status"] == "not run":
        return {}
    else:
        files = {path: text.encode() for path, text in files_of(store, record).items()}
    said = await judge(sandbox, task, files)
    return {
        "passed": said.passed,
        "score": said.score,
        "judged": {"status": said.status, "detail": said.detail},
        "failure": said.failure,
        "time": round(time.time(), 3),
        "program": program(),
    }


def is_of(ident: str, step: str) -> bool:
    """Whether an execution is of a step, or of one inside it."""
    return ident.startswith(step) and ident[len(step) : len(step) + 1] in ("", ".", "[", "#")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set")
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--after", default="", metavar="STEP")
    given = parser.parse_args()
    name, tasks = load(given.set, given.data, lambda text: None)
    read = [*rows.read(given.results)]
    found = asyncio.run(judged(read, {task.name: task for task in tasks}, given.out, given.after))
    if not found:
        raise SystemExit(f"no row of {given.results} is of a task of {name}")
    if any(row["split"] != "dev" for row in found):
        sops = {row["sop"]: row["sop_digest"] for row in found}
        looks.look(given.out.parent, name, len({row["task"] for row in found}), found[0]["model"], sops)
    if len(found) < len(read):
        sys.stderr.write(f"{len(read) - len(found)} of {len(read)} rows are of no task of {name}\n")
    sys.stdout.write(tables.markdown(summarise(found, whole=len({row["split"] for row in found}) > 1)))


if __name__ == "__main__":
    main()
