"""How a program is best chosen of several: strategies tried on recorded candidates, with no model, on the `dev` half alone.

    python benchmarks/selection.py --set humaneval --data DIR [--checks FILE] [--sop NAME] [--orders N] FILE …

A line of FILE: ``task``, ``sample`` (0 is the first), ``files`` ([[path, text], …]), as `cascade.py replies` writes them; or a row of `company bench`, whose run
is looked into: every program that a role wrote is a candidate, and QA's checks are its checks. A line of `--checks`: ``task``, ``checks`` (as the artifact
Checks has them), what QA answered. A procedure that stops drawing early leaves pools that say nothing of later draws. What the hidden judge says of each program, and what each does with the
inputs, is kept beside the first FILE. Strategies are the product's own rules (`company/selection.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from company.artifacts import Checks, Selection, SourceFile
from company.bench.datasets import load
from company.bench.judging import judge
from company.bench.statistics import wilson
from company.bench.tasks import Task, chosen
from company.cache import Objects, digest
from company.llm.qa import examples_in
from company.sandbox import Sandbox, choose
from company.sandbox.behaviour import Probe, Seen
from company.selection import Examined, examine, selected
from company.state import unpack
from company.store import Folder

Program = list[SourceFile]
SHARE = 0.85
"""Of the candidates, more must do the same in `sops/adaptive_consistency.yaml`."""
FORMAT = 2
"""Of what is kept: raised when programs are examined in another way."""


class Drawn(NamedTuple):
    """The candidates of one task, in the order in which they were drawn."""

    task: str
    programs: list[Program]
    right: list[bool]
    examined: Examined

    def first(self, count: int) -> Drawn:
        """As it was after so many."""
        seen = self.examined._replace(seen=self.examined.seen[:count])
        return Drawn(self.task, self.programs[:count], self.right[:count], seen)

    def after_first(self, order: Sequence[int]) -> Drawn:
        """With those after the first in another order."""
        at = [0, *order]
        seen = self.examined._replace(seen=[self.examined.seen[number] for number in at])
        return Drawn(self.task, [self.programs[number] for number in at], [self.right[number] for number in at], seen)

    def holds(self, number: int) -> bool:
        """Whether a candidate gives what each stated example says."""
        pairs = zip(self.examined.seen[number], self.examined.kinds, strict=True)
        return all(one.held for one, kind in pairs if kind == "stated")

    def choice(self) -> tuple[Selection, bool]:
        """What the product selects, and whether it is right."""
        made = selected(self.programs, self.examined)
        return made, self.right[next(at for at, program in enumerate(self.programs) if program == made.files)]


class Chosen(NamedTuple):
    """What a strategy came to for one task."""

    right: bool
    drawn: int
    """Candidates that it asked for."""


def first(drawn: Drawn) -> Chosen:
    """One call."""
    return Chosen(drawn.right[0], 1)


def holding(drawn: Drawn) -> Chosen:
    """The first candidate that the stated examples hold for, else the first."""
    for number in range(len(drawn.programs)):
        if drawn.holds(number):
            return Chosen(drawn.right[number], number + 1)
    return Chosen(drawn.right[0], len(drawn.programs))


def agreed(drawn: Drawn) -> Chosen:
    """All are drawn, and one is selected."""
    return Chosen(drawn.choice()[1], len(drawn.programs))


def until(agreeing: int, share: float = 0.5) -> Callable[[Drawn], Chosen]:
    """Drawn until so many agree and are more than a share; `sops/adaptive_consistency.yaml` has 3 and 0.85 for the first eight."""

    def adaptive(drawn: Drawn) -> Chosen:
        right = False
        for count in range(1, len(drawn.programs) + 1):
            made, right = drawn.first(count).choice()
            if is_enough(made, agreeing, share):
                return Chosen(right, count)
        return Chosen(right, len(drawn.programs))

    return adaptive


def is_enough(made: Selection, agreeing: int, share: float = 0.5) -> bool:
    """Whether a selection would be accepted."""
    return made.holds and made.agreeing >= agreeing and made.share > share


def oracle(drawn: Drawn) -> Chosen:
    """Whoever knows the hidden tests."""
    return Chosen(any(drawn.right), len(drawn.programs))


STRATEGIES: dict[str, Callable[[Drawn], Chosen]] = {
    "first": first,
    "first whose examples hold": holding,
    "selected of all": agreed,
    **{f"until {count} agree": until(count) for count in (2, 3, 4, 5)},
    f"until 3 and {SHARE:.0%} agree": until(3, SHARE),
    "oracle": oracle,
}


# --- gathering --------------------------------------------------------------------------------------


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of JSON; one that was cut is passed over."""
    for text in path.read_text("utf-8").split("\n") if path.exists() else ():
        try:
            yield json.loads(text)
        except ValueError:
            continue


def of_run(row: dict[str, Any]) -> tuple[list[dict[str, Any]], Checks | None]:
    """The candidates in a run of `company bench`, in the order in which they were written, and QA's checks."""
    home = Path(row["workspace"]) / ".company"
    objects, checks = Objects(Folder(home)), None
    lines: list[dict[str, Any]] = []
    events = list(read_lines(home / "runs" / row["run"] / "events.jsonl"))
    roles = {event["id"] for event in events if event["event"] == "step_started" and event["kind"] == "role"}
    for event in events:
        for ref in event["values"].values() if event["event"] == "step_finished" and event["id"] in roles else ():
            value = unpack(objects, ref)
            if isinstance(value, Checks):
                checks = value
            elif isinstance(value, list) and value and all(isinstance(file, SourceFile) for file in value):
                files = [[file.path, file.content] for file in value]
                lines.append({"task": row["task"], "sample": len(lines), "files": files})
    return lines, checks


def read_rows(file: Path, sop: str) -> tuple[list[dict[str, Any]], dict[str, Checks]]:
    """The candidates of a file, and QA's checks of the runs that it names."""
    lines: list[dict[str, Any]] = []
    guesses: dict[str, Checks] = {}
    for line in read_lines(file):
        if "workspace" not in line:
            lines.append(line)
        elif line["sop"] == sop and line["split"] == "dev":
            made, checks = of_run(line)
            lines += made
            guesses |= {line["task"]: checks} if checks else {}
    return lines, guesses


async def gather(
    tasks: Sequence[Task], lines: Sequence[dict[str, Any]], guesses: dict[str, Checks], home: Path
) -> list[Drawn]:
    """Judge and examine what was recorded of each task; what is known already is not run again."""
    sandbox, found = choose(), []
    kept = {line["key"]: line for line in read_lines(home)}
    by: dict[str, dict[int, Program]] = defaultdict(dict)
    for line in lines:
        if not line["files"]:
            continue  # no usable reply
        by[line["task"].removeprefix("MBPP/")].setdefault(
            line["sample"], [SourceFile(path=path, content=text) for path, text in line["files"]]
        )
    for task in tasks:
        if 0 not in by[task.name]:
            continue
        programs = [by[task.name][number] for number in sorted(by[task.name])]
        checks = examples_in(task.requirement, guesses.get(task.name, Checks(checks=[])))
        key = digest(
            [FORMAT, task.digest, [[list(file) for file in each] for each in _texts(programs)], checks.model_dump()]
        )
        line = kept.get(key) or await _examined(sandbox, task, programs, checks, key)
        if key not in kept:
            with home.open("a") as file:
                file.write(json.dumps(line) + "\n")
        seen = [[Seen(*one) for one in each] for each in line["seen"]]
        found.append(
            Drawn(
                task.name,
                programs,
                line["right"],
                Examined([_probe(*one) for one in line["probes"]], line["kinds"], seen),
            )
        )
        sys.stderr.write(f"\r{len(found)} tasks")
    sys.stderr.write("\n")
    return found


def _probe(setup: str, expression: str, expected: str | None, commands: list[list[str]], status: int) -> Probe:
    return Probe(setup, expression, expected, tuple((command, stdin) for command, stdin in commands), status)


def _texts(programs: Sequence[Program]) -> list[list[tuple[str, str]]]:
    return [[(file.path, file.content) for file in program] for program in programs]


async def _examined(
    sandbox: Sandbox, task: Task, programs: Sequence[Program], checks: Checks, key: str
) -> dict[str, Any]:
    verdicts: dict[str, bool] = {}
    for texts in _texts(programs):
        if (mark := digest(texts)) not in verdicts:
            verdicts[mark] = (await judge(sandbox, task, {path: text.encode() for path, text in texts})).passed
    made = await examine(sandbox, programs, [checks], task.requirement, 300.0)
    right = [verdicts[digest(texts)] for texts in _texts(programs)]
    return {
        "key": key,
        "task": task.name,
        "right": right,
        "probes": made.probes,
        "kinds": made.kinds,
        "seen": made.seen,
    }


# --- telling ----------------------------------------------------------------------------------------


def table(found: Sequence[Drawn], orders: int) -> Iterator[str]:
    """What each strategy comes to, and how far acceptance can be believed; means over orders of the candidates after the first."""
    chance = random.Random(0)
    each = [
        [drawn.after_first(chance.sample(range(1, len(drawn.right)), len(drawn.right) - 1)) for drawn in found]
        for _ in range(orders)
    ]
    samples = sum(len(drawn.right) for drawn in found)
    yield f"{len(found)} tasks, {samples / len(found):.1f} candidates each; {sum(map(sum, (d.right for d in found))) / samples:.1%} of all are right; {orders} orders"
    yield ""
    yield "| strategy | right | pass@1 | candidates drawn |"
    yield "|---|---|---|---|"
    for name, strategy in STRATEGIES.items():
        made = [strategy(drawn) for order in each for drawn in order]
        right = sum(one.right for one in made) / orders
        yield f"| {name} | {right:.1f} | {right / len(found):.1%} | {sum(one.drawn for one in made) / len(made):.2f} |"
    yield ""
    yield "| accepted where | of tasks | accepted | of these right | 95% |"
    yield "|---|---|---|---|---|"
    for about, has in (("examples", True), ("no examples", False)):
        some = [drawn for drawn in found if ("stated" in drawn.examined.kinds) is has]
        if not some:
            continue
        if has:
            held = [drawn.right[0] for drawn in some if drawn.holds(0)]
            yield _row("the first candidate's examples hold", len(some), held)
        picked = [drawn.choice() for drawn in some]
        for count in range(1, 7):
            yield _row(
                f"{about}: {count} agree, more than half",
                len(some),
                [right for made, right in picked if is_enough(made, count)],
            )
        accepted = [right for made, right in picked if is_enough(made, 3, SHARE)]
        yield _row(f"{about}: 3 agree, more than {SHARE:.0%}", len(some), accepted)


def _row(name: str, tasks: int, accepted: Sequence[bool]) -> str:
    share = wilson(sum(accepted), len(accepted))
    said = f"{share.value:.1%} | {share.low:.1%} to {share.high:.1%}" if accepted else "| "
    return f"| {name} | {tasks} | {len(accepted)} | {said} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--set", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checks", type=Path)
    parser.add_argument(
        "--sop", default="adaptive_consistency", help="of rows of `company bench`, whose runs are meant"
    )
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("files", type=Path, nargs="+")
    given = parser.parse_args()
    name, tasks = load(given.set, given.data, lambda text: None)
    read = [read_rows(file, given.sop) for file in given.files]
    lines, guesses = [line for some, _ in read for line in some], {k: v for _, some in read for k, v in some.items()}
    if given.checks:
        guesses |= {
            line["task"]: Checks.model_validate({"checks": line["checks"]}) for line in read_lines(given.checks)
        }
    home = given.files[0].with_name(f"{given.files[0].name}.{name}.examined")
    found = asyncio.run(gather(chosen(tasks, "dev", None), lines, guesses, home))
    if not found:
        raise SystemExit(f"no candidates of a task of the dev half of {name} in {', '.join(map(str, given.files))}")
    sys.stdout.write("\n".join(table(found, given.orders)) + "\n")


if __name__ == "__main__":
    main()
