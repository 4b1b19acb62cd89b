"""What a measurement's runs delivered, judged by another set's tests of the same problems: no model is asked, nothing is run anew.

    python benchmarks/judged_again.py SET RESULTS.jsonl --out FILE [--data PATH] [--before STEP]

SET is `humaneval+` for rows of `humaneval`, `mbpp+` for those of `mbpp`, or the same set again. With `--before` the files are judged as they were
when STEP (a step, or a loop with all its rounds) first committed something: what comes of it is what STEP and those behind it add. A line of FILE
is a row with what this judge says of it. A half that is kept for reporting counts as looked at once more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from company.bench import looks, rows
from company.bench.datasets import load
from company.bench.judging import judge
from company.bench.making import program
from company.bench.rows import Row
from company.bench.statistics import compare, pass_rate, wilson
from company.bench.summary import outcomes
from company.bench.tables import rate
from company.bench.tasks import Task, problems_of
from company.records import files_of, find
from company.report import Report
from company.sandbox import Sandbox, choose
from company.store import Folder
from company.workspace import Repository


async def judged(
    read: Sequence[Row], tasks: Mapping[str, Task], out: Path, before: str = ""
) -> list[tuple[Row, dict[str, Any]]]:
    """Each row of a task that is there, as it is asked, and the same with this judge's word; what stands in `out` is not judged again."""
    kept = {row["key"]: dict(row) for row in rows.read(out)}
    mine = [
        (row, tasks[row["task"]], commit_before(row, before) if before else "")
        for row in read
        if row["task"] in tasks
        and not row["variation"]
        and problems_of(row["dataset"]) == problems_of(tasks[row["task"]].dataset)
    ]
    if before and not any(commit for _, _, commit in mine):
        raise SystemExit(f"no run has a commit of a step {before} with another one before it")
    sandbox, found = choose(), []
    for row, task, commit in mine:
        key = " ".join([row["key"], row["run"], task.digest, program(), before])
        if key not in kept:
            said = await _verdict(sandbox, row, task, commit)
            kept[key] = {**row, **said, "dataset": task.dataset, "split": task.half, "key": key, "judged_by": program()}
            rows.append(out, kept[key])
        found.append((row, kept[key]))
    return found


def commit_before(row: Row, step: str) -> str:
    """The last commit of a run before the first one of a step; empty where there is no such step in it, or nothing before it."""
    store = Folder(Path(row["workspace"]) / ".company")
    commits = [*Report.of(store.events(row["run"])).commits.values()]
    earlier = [*takewhile(lambda event: not is_of(event["step"], step), commits)]
    return earlier[-1]["sha"] if 0 < len(earlier) < len(commits) else ""


async def _verdict(sandbox: Sandbox, row: Row, task: Task, commit: str) -> dict[str, Any]:
    """What the judge says of a commit's files, or of what was delivered; nothing, so that the row stays as it is, where that is nothing."""
    if row["judged"]["status"] == "not run" and not commit:
        return {}
    store = Folder(Path(row["workspace"]) / ".company")
    record = find(store, row["run"])
    if commit:
        files = Repository.open(record.repo).files(commit)
    else:
        files = {path: text.encode() for path, text in files_of(store, record).items()}
    said = await judge(sandbox, task, files)
    about = {"status": said.status, "detail": said.detail, "commit": commit}
    return {"passed": said.passed, "score": said.score, "judged": about, "failure": said.failure}


def is_of(ident: str, step: str) -> bool:
    """Whether an execution is of a step, or of one inside it."""
    return ident.startswith(step) and ident[len(step) : len(step) + 1] in ("", ".", "[", "#", "@")


def table(found: Sequence[tuple[Row, Mapping[str, Any]]], before: str) -> Iterator[str]:
    """What both judges say, by procedure and model."""
    groups = defaultdict(list)
    for pair in found:
        groups[pair[0]["sop"], pair[0]["model"]].append(pair)
    yield "| procedure | runs | as first judged | judged so | the difference | mean score, first and so | of accepted right |"
    yield "|---|---|---|---|---|---|---|"
    for (sop, model), pairs in sorted(groups.items()):
        first, again = outcomes(row for row, _ in pairs), outcomes(row for _, row in pairs)
        against = compare(first, again)
        scores = [sum(row["score"] for row in side) / len(pairs) for side in zip(*pairs, strict=True)]
        right = [row["passed"] for _, row in pairs if row["accepted"]]
        held = "" if before or not right else f"{rate(wilson(sum(right), len(right)))} of {len(right)}"
        yield (
            f"| {sop} with {model} | {len(pairs)} | {rate(pass_rate(first))} | {rate(pass_rate(again))} "
            f"| {rate(against.difference, sign=True)} | {scores[0]:.1%}, {scores[1]:.1%} | {held} |"
        )
    for sop, model in sorted(groups):
        zero = outcomes(row for _, row in groups.get(("zero_shot", model), ()))
        against = compare(zero, outcomes(row for _, row in groups[sop, model]))
        if against.p is not None and sop != "zero_shot":
            yield f"\n{sop} against zero_shot, both with {model}: {rate(against.difference, sign=True)}, p = {against.p:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set")
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--before", default="", metavar="STEP")
    given = parser.parse_args()
    if given.out.resolve() == given.results.resolve():
        parser.error("--out is another file than the results")
    name, tasks = load(given.set, given.data, lambda text: None)
    read = [*rows.read(given.results)]
    found = asyncio.run(judged(read, {task.name: task for task in tasks}, given.out, given.before))
    if not found:
        parser.error(f"no row of {given.results} is of a task of {name}")
    if any(row["split"] != "dev" for _, row in found):
        sops = {row["sop"]: row["sop_digest"] for _, row in found}
        count = len({row["task"] for _, row in found})
        looks.look(given.results.parent, name, count, found[0][1]["model"], sops)
    if len(found) < len(read):
        sys.stderr.write(
            f"left out, of no task of {name} or said otherwise: {len(read) - len(found)} of {len(read)} rows\n"
        )
    sys.stdout.write("\n".join(table(found, given.before)) + "\n")


if __name__ == "__main__":
    main()
