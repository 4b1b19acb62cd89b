"""How fast the embedded model is with each choice there is: python benchmarks/local_speed.py [--build FOLDER] [--only GROUP]

Servers are started as the product starts them, those of one group together, and asked in turn with the group's baseline,
so that both see the same machine. Tasks: the product's own PRD prompt with its schema; a prompt of code, read and continued;
a file to be written again with a change. Then short questions, 1, 2, 4 and 8 at once. Needs the embedded model, 12 GB of free memory and a
machine that does nothing else. `--build` is a folder with the runtime built for this processor (`company model build` keeps one).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from company.llm import runtime
from company.llm.download import locate
from company.llm.local import LocalServer
from company.llm.machine import usable_cores
from company.llm.speed import Timed, ask, ask_at_once

HERE = Path(__file__).parent
TASKS = ("prd", "code", "continue", "edit")
CACHED = ("continue", "edit")
AT_ONCE = (1, 2, 4, 8)
CONTEXT = 4096
IDLE_SECONDS = 30


@dataclass(frozen=True)
class Choice:
    """One way to start the server. The first of a group is its baseline."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    built: bool = False
    """With the build for this processor instead of the wheel."""
    slots: int = 1
    tasks: tuple[str, ...] = ("prd", "code", "edit")
    at_once: tuple[int, ...] = ()


class Server(LocalServer):
    """The product's, with some parameters of llama.cpp set otherwise."""

    def __init__(self, choice: Choice, path: Path, build: Path | None) -> None:
        self._other = choice.params
        self.warm: set[str] = set()
        super().__init__(
            path,
            name="".join(letter if letter.isalnum() else "-" for letter in choice.name),
            context=CONTEXT if choice.slots == 1 else 1024,
            slots=choice.slots,
            build=build if choice.built else None,
        )

    def params(self) -> dict[str, Any]:
        return {**super().params(), "cache_ram_mib": 512, "speculative.types": NONE, **self._other}

    def process(self) -> psutil.Process:
        return psutil.Process(json.loads(self._lease.read_text())["pid"])


NONE = ["common_speculative_type.COMMON_SPECULATIVE_TYPE_NONE"]
"""Without the guesses that the product has the server make: they are a choice of their own here."""


def draft(tokens: int, small: str) -> dict[str, Any]:
    """The small model proposes so many tokens at once; the large one checks them."""
    return {
        "speculative.types": ["common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE"],
        "speculative.draft.mparams.path": small,
        "speculative.draft.n_max": tokens,
    }


def repeat(kind: str, **settings: int) -> dict[str, Any]:
    """What came after the same few words before is proposed again."""
    return {
        "speculative.types": [f"common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_{kind.upper()}"],
        **{f"speculative.ngram_{kind}.{name}": value for name, value in settings.items()},
    }


Q8 = {
    "cache_type_k": "ggml_type.GGML_TYPE_Q8_0",
    "cache_type_v": "ggml_type.GGML_TYPE_Q8_0",
    "flash_attn_type": "llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED",
}
PLAIN = {"flash_attn_type": "llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED"}


def threads(number: int) -> dict[str, Any]:
    """So many threads, for prompts and for replies."""
    return {"cpuparams.n_threads": number, "cpuparams_batch.n_threads": number}


def groups(small: str) -> dict[str, list[Choice]]:
    """Everything that is compared; the first of each group is what the others are compared with."""
    cores = usable_cores()
    both: tuple[str, ...] = ("prd", "code")
    written: tuple[str, ...] = ("prd", "continue", "edit")
    return {
        "build": [
            Choice("wheel"),
            Choice("build", built=True),
        ],
        "machine": [
            Choice("wheel", tasks=both),
            Choice(f"{max(1, cores // 2)} threads", threads(max(1, cores // 2)), tasks=("prd",)),
            Choice(f"{cores * 2} threads", threads(cores * 2), tasks=("prd",)),
            Choice("ubatch 128", {"n_ubatch": 128}, tasks=("code",)),
            Choice("ubatch 1024", {"n_ubatch": 1024}, tasks=("code",)),
        ],
        "attention": [
            Choice("wheel", tasks=("code",)),
            Choice("no flash attention", PLAIN, tasks=("code",)),
            Choice("KV q8_0", Q8, tasks=("code",)),
            Choice("build", built=True, tasks=("code",)),
            Choice("build, KV q8_0", Q8, built=True, tasks=("code",)),
        ],
        "guess": [
            Choice("wheel", tasks=written),
            Choice("repeat after 12", repeat("simple"), tasks=written),
            Choice("draft of 3", draft(3, small), tasks=written),
        ],
        "guess-built": [
            Choice("build", tasks=written, built=True),
            Choice("build, repeat after 12", repeat("simple"), tasks=written, built=True),
            Choice("build, repeat after 6", repeat("simple", size_n=6, size_m=16), tasks=written, built=True),
            Choice("build, draft of 3", draft(3, small), tasks=written, built=True),
            Choice("build, draft of 8", draft(8, small), tasks=written, built=True),
        ],
        "at-once": [
            Choice("wheel, 1 slot", tasks=(), at_once=AT_ONCE),
            Choice("wheel, 8 slots", tasks=(), slots=8, at_once=AT_ONCE),
            Choice("build, 1 slot", tasks=(), built=True, at_once=AT_ONCE),
            Choice("build, 8 slots", tasks=(), built=True, slots=8, at_once=AT_ONCE),
            Choice("build, 8 slots, KV q8_0", Q8, tasks=(), built=True, slots=8, at_once=AT_ONCE),
        ],
        "at-once-guess": [
            Choice("build, 8 slots", tasks=(), built=True, slots=8, at_once=AT_ONCE),
            Choice("build, 8 slots, repeat", repeat("simple"), tasks=(), built=True, slots=8, at_once=AT_ONCE),
            Choice("build, 8 slots, draft 3", draft(3, small), tasks=(), built=True, slots=8, at_once=AT_ONCE),
        ],
    }


# --- tasks -------------------------------------------------------------------------------------------


def prd() -> tuple[str, dict[str, Any]]:
    """The product's first question about the to-do list of `make run`, as it was recorded, and the schema of its answer."""
    request = json.loads((HERE / "prd_request.json").read_text("utf-8"))
    return "\n\n".join(message["content"] for message in request["messages"]), request["schema"]


def code() -> str:
    """A module to continue: about 1,500 tokens."""
    text = (HERE / "accept.py").read_text("utf-8")[:5400]
    return (
        f"# A module\n\n```python\n{text}\n```\n\nWrite a function `test_judge` that tests it with pytest. Only code.\n"
    )


def edit() -> str:
    """A file to write again whole, with one change: most of the answer stands in the question."""
    text = (HERE / "redo.py").read_text("utf-8")
    lines = "\n".join(text.splitlines()[-45:])
    return (
        f"```python\n{lines}\n```\n\nRename the function `main` to `start` everywhere. Write the whole file again, "
        "with every other line exactly as it is. Only code, in one block.\n"
    )


def short(number: int) -> str:
    """One of several short questions."""
    names = ("slugify", "chunks", "parse_ratio", "roman", "median", "flatten", "is_leap", "dedupe")
    return f"Write a Python function `{names[number % len(names)]}` with a docstring and an example. Only code."


class Tasks:
    """What is asked."""

    def __init__(self) -> None:
        self._prd, self._schema = prd()
        self._code, self._edit = code(), edit()

    async def do(self, task: str, server: Server) -> Timed:
        """Ask once. What is in `CACHED` is asked for the sake of its reply alone: its prompt is in the cache."""
        if task == "prd":
            return await ask(server, self._prd, tokens=100, schema=self._schema, cache=False)
        if task == "code":
            return await ask(server, self._code, tokens=64, cache=False)
        prompt, tokens = (self._edit, 150) if task == "edit" else (self._code, 100)
        if task not in server.warm:
            server.warm.add(task)
            await ask(server, prompt, tokens=1)
        return await ask(server, prompt, tokens=tokens)


# --- measuring ---------------------------------------------------------------------------------------


@dataclass
class Found:
    """What was measured of one choice."""

    timed: dict[str, list[Timed]] = field(default_factory=dict)
    rates: dict[int, list[float]] = field(default_factory=dict)
    memory: float = 0.0
    """GB resident at the end."""


async def measure(choices: list[Choice], path: Path, build: Path | None, tasks: Tasks, rounds: int) -> list[Found]:
    """Ask every server of a group in turn, the baseline again after every second one."""
    found = [Found() for _ in choices]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Server(choice, path, build)) for choice in choices]
        turn = [place for number in range(1, len(choices), 2) for place in (0, number, number + 1)]
        turn = [place for place in turn or [0] if place < len(choices)]
        for _ in range(rounds):
            for task in TASKS:
                for place in turn:
                    if task in choices[place].tasks:
                        timed = await tasks.do(task, servers[place])
                        found[place].timed.setdefault(task, []).append(timed)
                        tell(f"{choices[place].name}: {task} {rate(timed)}")
            for level in AT_ONCE:
                for place in range(len(choices)):
                    if level in choices[place].at_once:
                        prompts = [short(each) for each in range(level)]
                        speed = await ask_at_once(servers[place], prompts, tokens=40)
                        found[place].rates.setdefault(level, []).append(speed)
                        tell(f"{choices[place].name}: {level} at once {speed:.1f} tokens/s")
        for server, each in zip(servers, found, strict=True):
            each.memory = server.process().memory_info().rss / 1e9
    return found


async def idle(path: Path) -> None:
    """CPU time of a server that has answered and has nothing to do."""
    async with Server(Choice("idle"), path, None) as server:
        await ask(server, short(0), tokens=8)
        before, began = server.process().cpu_times(), time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        after, seconds = server.process().cpu_times(), time.monotonic() - began
        used = after.user + after.system - before.user - before.system
        print(f"idle for {seconds:.0f} s: {used:.2f} s of CPU, {server.process().num_threads()} threads")


def rate(timed: Timed) -> str:
    """One measurement in words."""
    guessed = f", {timed.stood} of {timed.guessed} guesses stood" if timed.guessed else ""
    reading = f"{timed.read / timed.read_seconds:.1f} read" if timed.read > 50 else "read from the cache"
    return f"{reading}, {timed.written / timed.write_seconds:.2f} written per second{guessed}"


def tell(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def report(group: str, choices: list[Choice], found: list[Found]) -> None:
    """One table for a group."""
    base = found[0]
    columns = [task for task in TASKS if any(task in each.timed for each in found)]
    levels = [level for level in AT_ONCE if any(level in each.rates for each in found)]
    head = [
        "choice",
        *(f"{task}: read" for task in columns if task not in CACHED),
        *(f"{task}: write" for task in columns),
    ]
    head += [*(f"{level} at once" for level in levels), "GB", "same text"]
    print(f"\n### {group}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for choice, each in zip(choices, found, strict=True):
        row = [choice.name]
        for way in ("read", "write"):
            for task in columns:
                if way == "write" or task not in CACHED:
                    row.append(cell(speeds(each, task, way), speeds(base, task, way)))
        row += [cell(each.rates.get(level, []), base.rates.get(level, [])) for level in levels]
        print(f"| {' | '.join([*row, f'{each.memory:.1f}', same(each, base)])} |")
    for choice, each in zip(choices, found, strict=True):
        guesses = [timed for all_ in each.timed.values() for timed in all_ if timed.guessed]
        if guesses:
            stood, made = sum(timed.stood for timed in guesses), sum(timed.guessed for timed in guesses)
            print(f"\n{choice.name}: {stood} of {made} guessed tokens stood ({stood / made:.0%})")


def speeds(found: Found, task: str, way: str) -> list[float]:
    """Tokens per second of each measurement."""
    timed = found.timed.get(task, [])
    if way == "read":
        return [each.read / each.read_seconds for each in timed]
    return [each.written / each.write_seconds for each in timed]


def cell(values: list[float], base: list[float]) -> str:
    """The median, and how many times the baseline's it is."""
    if not values:
        return ""
    ratio = f" ({median(values) / median(base):.2f})" if base and base is not values else ""
    return f"{median(values):.1f}{ratio}"


def same(found: Found, base: Found) -> str:
    """For which tasks the reply at temperature 0 is the baseline's."""
    pairs = {
        task: (timed[0].text, base.timed[task][0].text) for task, timed in found.timed.items() if task in base.timed
    }
    others = [task for task, (ours, theirs) in pairs.items() if ours != theirs]
    return "" if not pairs else f"not {', '.join(others)}" if others else "yes"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="qwen2.5-coder-1.5b")
    arguments.add_argument("--draft", default="qwen2.5-coder-0.5b")
    arguments.add_argument("--build", type=Path, default=runtime.kept())
    arguments.add_argument("--only", default="", help="groups, with commas; `idle` is one")
    arguments.add_argument("--rounds", type=int, default=2)
    given = arguments.parse_args()
    _, path = locate(given.model)
    _, small = locate(given.draft)
    print(f"{given.model}, runtime {runtime.version()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"the wheel was not built for {', '.join(runtime.unused()) or 'nothing that is missing'}")
    tasks = Tasks()
    wanted = given.only.split(",") if given.only else []
    if not wanted or "idle" in wanted:
        asyncio.run(idle(path))
    for group, choices in groups(str(small)).items():
        if not wanted or group in wanted:
            choices = [choice for choice in choices if given.build or not choice.built]
            if choices:
                report(group, choices, asyncio.run(measure(choices, path, given.build, tasks, given.rounds)))


if __name__ == "__main__":
    main()
