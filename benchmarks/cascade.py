"""A small model first, a large one where its answer is not accepted (FrugalGPT, arXiv 2305.05176), on public sets: three stages.

    python benchmarks/cascade.py replies --set humaneval --data DIR --model openai:NAME --out FILE    asks; OPENAI_BASE_URL is where
    python benchmarks/cascade.py judge --set humaneval --data DIR FILE …    runs what may be seen and the hidden tests, in the sandbox
    python benchmarks/cascade.py table --small openai:NAME --large openai:NAME --svg FILE FILE.judged.jsonl …

The question is that of the step `code` of `sops/cascade.yaml`, through the product's gateway and parser. `replies` needs of the packages
pydantic-settings, pyyaml, jinja2, httpx and langchain-openai. Sets: `cascade_tasks.py`; judging: `cascade_judge.py`; policies: `cascade_table.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

sys.path.insert(0, str(Path(__file__).parents[1]))

from cascade_tasks import Task, refuse_secrets, tasks
from pydantic import SecretStr

from company.bench import tasks as bench
from company.cache import Replies
from company.errors import ModelError, StepFailed
from company.events import Event, Journal
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import Message, StepLabel
from company.llm.endpoint import Endpoint
from company.llm.gateway import Gateway
from company.llm.providers import open_model
from company.llm.structured import obtain
from company.prompts import SYSTEM, Prompts
from company.settings import load_settings
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.store import Folder

ROOT = Path(__file__).parents[1]
WARM = 0.8
"""Temperature of every sample but the first, which has 0."""


class Asker:
    """Asks one model as the procedure's step would, and writes a line for each answer."""

    def __init__(self, out: Path, model: Any, max_tokens: int) -> None:
        self._procedure = load_procedure("cascade", Library(None, ROOT))
        self._step = next(step for step in self._procedure.walk() if step.path == "code")
        self._prompts = Prompts(self._procedure.sources)
        self._out, self._model = out, model
        home = out.with_name(out.name + ".kept")
        self._replies = Replies(Folder(home))
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._journal = Journal(home / "events.jsonl", (lambda event: self._events[event.get("id", "")].append(event),))
        self._gateway = Gateway(
            {None: model}, self._replies, Budget({}, {}), self._journal, temperature=0.0, max_tokens=max_tokens
        )

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    async def ask(self, task: Task, sample: int) -> None:
        """One answer with its repairs.

        Raises:
            ModelError: the endpoint failed; there is no line then.
        """
        step, ident = self._step, f"{task.name}~{sample}"
        assert step.role
        assert step.out
        text = self._prompts.render(step.prompt, step.role, {"requirement": task.requirement})
        refuse_secrets(task, SYSTEM + text)
        ask = Ask(
            label=StepLabel("code", step.role.name, task.name),
            messages=(Message("system", SYSTEM), Message("user", text)),
            temperature=WARM if sample else 0.0,
            ident=ident,
            seed=crc32(task.name.encode()) % 2_000_000_000 + 10 * sample,
        )
        began = time.monotonic()
        files, why = [], ""
        try:
            made = await obtain(self._gateway, ask, step.out, {"requirement": task.requirement}, _hear_nothing)
            files = [[file.path, file.content] for file in made]
        except StepFailed as error:
            why = error.message
        calls = [event for event in self._events.pop(ident) if event["event"] == "call_finished"]
        kept = self._replies.get(calls[-1]["key"]) if calls else None
        line = {
            "task": task.name, "model": self._model.name, "sample": sample, "temperature": ask.temperature,
            "usable": bool(files), "why": why, "text": kept["text"] if kept else "", "files": files,
            "calls": [
                {name: call[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "seconds", "finish_reason")}
                for call in calls
            ],
            "wall": round(time.monotonic() - began, 3),
        }  # fmt: skip
        with self._out.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _hear_nothing(text: str) -> None:
    """Of what was left out of a reply nobody is told."""


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of JSON; one that a kill cut is passed over."""
    for text in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(text)
        except ValueError:
            continue


def is_dev(name: str, task: Task) -> bool:
    """Whether a task is of the half that things are tried out on."""
    judge = bench.Judge("tests", {})
    return bench.Task(name, task.name.removeprefix("MBPP/"), task.requirement, judge).half == "dev"


async def replies(
    name: str, data: Path, model: str, samples: int, parallel: int, out: Path, limit: int, *, dev: bool = False
) -> int:
    """Ask for what `out` does not have yet; how many answers could not be had."""
    settings = load_settings()
    wanted = [task for task in tasks(name, data) if not dev or is_dev(name, task)][: limit or None]
    known = {(line["task"], line["sample"]) for line in read_lines(out) if line["model"] == model}
    todo = [(task, sample) for sample in range(samples) for task in wanted if (task.name, sample) not in known]
    if out.exists() and not out.read_bytes().endswith(b"\n"):
        with out.open("a") as file:
            file.write("\n")
    failed: list[str] = []
    endpoints = {}
    if url := os.environ.get("OPENAI_BASE_URL", ""):  # what it takes at once is said here
        endpoints["openai"] = Endpoint(url, SecretStr(os.environ.get("OPENAI_API_KEY", "")), parallel=parallel)
    notice = partial(print, file=sys.stderr)
    async with open_model(model, settings, notice=notice, endpoints=endpoints) as opened:
        asker, turns, done = Asker(out, opened, settings.max_tokens), asyncio.Semaphore(parallel), 0

        async def one(task: Task, sample: int) -> None:
            nonlocal done
            async with turns:
                try:
                    await asker.ask(task, sample)
                except ModelError as error:
                    failed.append(f"{task.name} {sample}: {error.message}")
            done += 1
            if done % 50 == 0 or done == len(todo):
                print(f"{done} of {len(todo)}, {len(failed)} failed", file=sys.stderr, flush=True)

        with closing(asker):
            await asyncio.gather(*(one(task, sample) for task, sample in todo))
    for why in failed[:5]:
        print(why, file=sys.stderr)
    return len(failed)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    stages = parser.add_subparsers(dest="stage", required=True)
    asking, judging = stages.add_parser("replies"), stages.add_parser("judge")
    for stage in (asking, judging):
        stage.add_argument("--set", choices=("humaneval", "mbpp"), required=True)
        stage.add_argument("--data", type=Path, required=True, help="the set's file, or the folder that has it alone")
    asking.add_argument("--model", required=True)
    asking.add_argument(
        "--samples", type=int, default=5, help="answers to each task: the first at 0, the others at 0.8"
    )
    asking.add_argument("--parallel", type=int, default=32, help="requests at the same time")
    asking.add_argument("--limit", type=int, default=0, help="the first tasks alone; 0 is all")
    asking.add_argument("--dev", action="store_true", help="of the half alone that things are tried out on")
    asking.add_argument("--out", type=Path, required=True, help="lines that are there are not asked for again")
    judging.add_argument("--parallel", type=int, default=2, help="sandboxes at the same time")
    judging.add_argument(
        "--reference", action="store_true", help="judge the set's own solutions too: how much acceptance can hold"
    )
    judging.add_argument("files", type=Path, nargs="+")
    telling = stages.add_parser("table")
    telling.add_argument("--small", required=True)
    telling.add_argument("--large", required=True)
    telling.add_argument("--small-size", type=float, default=0.494, help="active parameters, 10^9")
    telling.add_argument("--large-size", type=float, default=1.54)
    telling.add_argument(
        "--small-speed", default="172,40", help="tokens a second on two cores: of the prompt, of the reply"
    )
    telling.add_argument("--large-speed", default="55,13")
    telling.add_argument("--svg", type=Path)
    telling.add_argument("files", type=Path, nargs="+")
    given = parser.parse_args()
    if given.stage == "replies":
        sys.exit(
            asyncio.run(
                replies(
                    given.set,
                    given.data,
                    given.model,
                    given.samples,
                    given.parallel,
                    given.out,
                    given.limit,
                    dev=given.dev,
                )
            )
            > 0
        )
    if given.stage == "judge":
        from cascade_judge import judge

        found = {task.name: task for task in tasks(given.set, given.data)}
        for file in given.files:
            out = file.with_name(file.name.removesuffix(".jsonl") + ".judged.jsonl")
            asyncio.run(
                judge(
                    found, list(read_lines(file)), out, list(read_lines(out)), given.parallel, reference=given.reference
                )
            )
        return
    from cascade_table import Tier, tell

    small, large = (
        Tier(name, size, *map(float, speed.split(",")))
        for name, size, speed in (
            (given.small, given.small_size, given.small_speed),
            (given.large, given.large_size, given.large_speed),
        )
    )
    lines, picture = tell([line for file in given.files for line in read_lines(file)], small, large)
    print("\n".join(lines))
    if given.svg:
        given.svg.write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
