"""Whether a step costs the same however many came before it. python benchmarks/long_runs.py [STEPS …] [--shapes a,b+]

Each line is one run in a process of its own, with a model that answers at once; git, SQLite and the disk are real. Beside it, in
the same minute and process, bare LangGraph runs the same graph of nodes that do nothing, with the same kind of checkpointer. The
first of two runs is killed when 99 of 100 steps are done, and resumed. What the columns mean: `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from pathlib import Path
from typing import Any

import psutil

from company import wiring
from company.engine import NewRun
from company.events import Event
from company.llm.client import OnTokens, Reply, Request
from company.settings import Settings
from company.sitting import Watch

STEP = "{role: engineer, prompt: zero_shot, in: {requirement: %s}, out: str%s}"
HEAD = "sop: 1\nname: long\ninputs: {requirement: str, items: '[str]', groups: '[str]'}\nsteps:\n"
ROUNDS, ITEMS = 100, 1000
"""What the language allows one loop and one for_each; a longer run nests them."""


def loop(steps: int, more: str) -> str:
    """Rounds of one step, the loop in another where one may not have so many."""
    say = STEP % ("requirement", more)
    inner, outer = min(steps, ROUNDS), max(1, steps // ROUNDS)
    return HEAD + (
        "  outer:\n    loop:\n      inner:\n"
        f"        loop: {{say: {say}}}\n        until: say == ''\n        max: {inner}\n        on_max: continue\n"
        f"    until: inner.say == ''\n    max: {outer}\n    on_max: continue\n"
    )


def for_each(steps: int, more: str) -> str:
    """Items of one step, in groups where one for_each may not have so many."""
    each = ["for_each: items", "as: item", "key: item", "parallel: 1", f"max: {ITEMS}", f"do: {STEP % ('item', more)}"]
    if steps <= ITEMS:
        return HEAD + "  each:\n" + "".join(f"    {line}\n" for line in each)
    group = "  every:\n    for_each: groups\n    as: group\n    key: group\n    do:\n      each:\n"
    return HEAD + group + "".join(f"        {line}\n" for line in each)


def chain(steps: int, more: str) -> str:
    """Each step reads the one above."""
    names = ["requirement", *(f"s{number}" for number in range(steps))]
    return HEAD + "".join(f"  {names[n + 1]}: {STEP % (names[n], more)}\n" for n in range(steps))


SHAPES = {"loop": loop, "for_each": for_each, "chain": chain}


class Instant:
    """Answers at once, each question in its own words."""

    name, identity, context = "instant", "instant", None

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        text = f"answer {request.seed} of {request.label.step} {request.label.item} {request.label.round}"
        return Reply(text, "stop", 10, 10, None, self.name, 0.0, estimated=True)

    async def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def _instant(*names: object, **more: object) -> AsyncIterator[Instant]:
    yield Instant()


def child(home: Path, act: str, kill_after: int) -> None:
    """One sitting in this process; prints what it took as JSON, or dies at the step `kill_after`."""
    wiring.providers.open_model = _instant  # type: ignore[assignment]
    ends: list[float] = []
    begins: list[float] = []

    def listen(event: Event) -> None:
        if event["event"] == "step_started":
            begins.append(time.perf_counter())
        if event["event"] == "call_finished":
            nonlocal peak
            ends.append(time.perf_counter())
            peak = max(peak, memory.memory_info().rss) if len(ends) % 20 == 0 else peak
            if len(ends) == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(_warm())
    memory = psutil.Process()
    before = peak = memory.memory_info().rss
    if act.startswith("bare:"):
        _, shape, steps = act.split(":")
        print(json.dumps(asyncio.run(bare(shape, int(steps), home))))
        return
    began, worked = time.perf_counter(), time.process_time()
    if act == "run":
        new = NewRun(
            inputs=json.loads((home / "inputs.json").read_text()),
            sop=str(home / "long.yaml"), workspace=home / "ws", name="out", model="openai:instant",
        )  # fmt: skip
        outcome = asyncio.run(wiring.run(new, Settings(), Watch((listen,))))
    else:
        outcome = asyncio.run(wiring.resume(home / "ws", "", Settings(), Watch((listen,))))
    seconds = time.perf_counter() - began
    assert outcome.status == "delivered", (outcome.reason, outcome.hint)
    tenth = max(1, len(ends) // 10)
    print(json.dumps({
        "seconds": seconds, "cpu": time.process_time() - worked, "steps": len(ends), "to_step": begins[0] - began,
        "to_first": ends[0] - began, "first": (ends[tenth] - ends[0]) / tenth if len(ends) > tenth else 0.0,
        "last": (ends[-1] - ends[-1 - tenth]) / tenth if len(ends) > tenth else 0.0,
        "rss": (max(peak, memory.memory_info().rss) - before) / 1048576,
    }))  # fmt: skip


async def _warm() -> None:
    """Import what a run imports."""
    import git  # noqa: F401
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import StateGraph

    async with AsyncSqliteSaver.from_conn_string(":memory:"):
        assert StateGraph


async def bare(shape: str, steps: int, folder: Path) -> dict[str, float]:
    """The same graph of nodes that do nothing in LangGraph alone: seconds, and those of its first and last tenth for each step."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command

    from company.state import RunState

    ends: list[float] = []

    def node(name: str) -> Any:
        async def nothing(state: RunState) -> RunState:
            ends.append(time.perf_counter())
            return {"values": {name: f"{len(ends):064x}"}}

        return nothing

    def straight(names: list[str], saver: Any) -> Any:
        graph: Any = StateGraph(RunState)
        for name in names:
            graph.add_node(name, node(name))
        for one, two in zip([START, *names], [*names, END], strict=True):
            graph.add_edge(one, two)
        return graph.compile(checkpointer=saver)

    def circle(saver: Any) -> Any:
        async def judge(state: RunState) -> Any:
            count = state["rounds"].get("l", 0) + 1
            return Command(update={"rounds": {"l": count}}, goto="in" if count < steps else END)

        async def way_in(state: RunState) -> Any:
            return Command(update={"rounds": {}}, goto="say")

        graph: Any = StateGraph(RunState)
        graph.add_node("in", way_in, destinations=("say",))
        graph.add_node("say", node("say"))
        graph.add_node("check", judge, destinations=("in", END))
        graph.add_edge(START, "in")
        graph.add_edge("say", "check")
        return graph.compile(checkpointer=saver)

    def fan(saver: Any) -> Any:
        inner = straight(["do"], False)

        async def each(state: RunState) -> RunState:
            for _ in range(steps):
                work = inner.ainvoke({"values": dict(state["values"]), "rounds": {}})
                await asyncio.create_task(work, context=Context())  # as in compiler.py
            return {"values": {"each": "x"}}

        graph: Any = StateGraph(RunState)
        graph.add_node("each", each)
        graph.add_edge(START, "each")
        return graph.compile(checkpointer=saver)

    path, memory = folder / "bare.sqlite", psutil.Process()
    before = memory.memory_info().rss
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous=NORMAL")
        graph = {"loop": circle, "for_each": fan}.get(
            shape, lambda saver: straight([f"s{number}" for number in range(steps)], saver)
        )(saver)
        config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 4 * steps + 9}
        began, worked = time.perf_counter(), time.process_time()
        await graph.ainvoke({"values": {}, "rounds": {}}, config, durability="sync")
        seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    tenth = max(1, steps // 10)
    return {
        "seconds": seconds, "cpu": cpu, "first": (ends[tenth] - ends[0]) / tenth if steps > tenth else 0.0,
        "last": (ends[-1] - ends[-1 - tenth]) / tenth if steps > tenth else 0.0, "state": size(path),
        "rss": (memory.memory_info().rss - before) / 1048576,
    }  # fmt: skip


def size(path: Path) -> float:
    """MiB of a file or of everything in a folder."""
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) / 1048576
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*")) / 1048576


def sitting(home: Path, act: str, kill_after: int = 0) -> dict[str, float] | None:
    """One sitting in a process of its own; None when it was to be killed, and was."""
    words = [sys.executable, __file__, "--child", str(home), act, str(kill_after)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OPENAI_API_KEY": "x"})
    if kill_after and done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def measure(shape: str, steps: int, folder: Path, *, commit: bool) -> dict[str, Any]:
    """One line of the table."""
    home = folder / f"{shape}-{steps}-{commit}"
    home.mkdir(parents=True)
    (home / "long.yaml").write_text(SHAPES[shape](steps, "" if commit else ", commit: false"))
    items = "\n".join(f"n{number}" for number in range(min(steps, ITEMS)))
    groups = "\n".join(f"g{number}" for number in range(max(1, steps // ITEMS)))
    (home / "inputs.json").write_text(json.dumps({"requirement": "x", "items": items, "groups": groups}))
    whole = sitting(home, "run")
    assert whole
    state, journal = (
        size(home / "ws/.company/state.sqlite"),
        size(next((home / "ws/.company/runs").glob("*/events.jsonl"))),
    )
    objects, git = size(home / "ws/.company/objects"), size(home / "ws/out/.git")
    shutil.rmtree(home / "ws")
    killed = sitting(home, "run", max(1, steps * 99 // 100))
    assert killed is None
    again = sitting(home, "resume")
    assert again
    alone = sitting(home, f"bare:{shape}:{steps}")
    assert alone
    shutil.rmtree(home)
    return {
        "shape": shape, "commit": commit, "steps": steps, "ms": whole["seconds"] / steps * 1000,
        "first": whole["first"] * 1000, "last": whole["last"] * 1000, "state": state, "journal": journal,
        "objects": objects, "git": git, "rss": whole["rss"], "resume": again["to_step"], "left": again["steps"],
        "bare": alone["seconds"] / steps * 1000, "bare_first": alone["first"] * 1000, "bare_last": alone["last"] * 1000,
        "bare_state": alone["state"], "bare_rss": alone["rss"], "cpu": whole["cpu"] / steps * 1000, "bare_cpu": alone["cpu"] / steps * 1000,
    }  # fmt: skip


COLUMNS = (
    "shape", "steps", "ms a step", "CPU", "first", "last", "last ÷ first", "bare ms", "bare last ÷ first", "ours − bare ms",
    "state MiB", "bare state", "journal KiB a step", "objects KiB a step", "git MiB", "RSS + MiB", "bare RSS + MiB",
    "resume s",
)  # fmt: skip


def line(row: dict[str, Any]) -> str:
    def ratio(kind: str) -> str:
        first, last = row[f"{kind}first"], row[f"{kind}last"]
        return f"{last / first:.2f}" if first and row["steps"] >= 100 else ""

    cells = [
        row["shape"] + (", commits" if row["commit"] else ""), f"{row['steps']:,}", f"{row['ms']:.1f}", f"{row['cpu']:.1f}",
        f"{row['first']:.1f}", f"{row['last']:.1f}", ratio(""), f"{row['bare']:.2f}", ratio("bare_"),
        f"{row['ms'] - row['bare']:.1f}", f"{row['state']:.2f}", f"{row['bare_state']:.2f}",
        f"{row['journal'] * 1024 / row['steps']:.2f}", f"{row['objects'] * 1024 / row['steps']:.2f}", f"{row['git']:.1f}",
        f"{row['rss']:.0f}", f"{row['bare_rss']:.0f}", f"{row['resume']:.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", type=int, default=[10, 100, 1000, 10000])
    parser.add_argument("--shapes", default="loop,for_each,chain,loop+,for_each+", help="a + commits each step")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        home, act, kill_after = asked.child
        return child(Path(home), act, int(kill_after))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory() as folder:
        for shape in asked.shapes.split(","):
            for steps in asked.steps:
                row = measure(shape.rstrip("+"), steps, Path(folder), commit=shape.endswith("+"))
                print(json.dumps(row) if asked.json else line(row), flush=True)


if __name__ == "__main__":
    main()
