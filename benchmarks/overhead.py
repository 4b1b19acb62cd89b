"""What we add to a run: time for each step with a model that answers at once. python benchmarks/overhead.py [STEPS …]

For 1, 100 and 1,000 items of a `for_each` it prints the whole time for each step, and beside it, measured in the same
process: the same number of commits alone, of checkpoints alone, and the growth of memory and of the state database.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

from company import wiring
from company.engine import NewRun
from company.lock import Lock
from company.settings import Settings
from company.workspace import Repository

SOP = """
sop: 1
name: many
inputs: {requirement: str, names: "[str]"}
steps:
  each:
    for_each: names
    as: name
    key: name
    parallel: 4
    max: 1000
    do: {role: product_manager, prompt: prd, in: requirement, out: Prd%s}
"""


def whole(steps: int, *, commit: bool) -> tuple[float, float, int]:
    """Seconds of a run, MiB of memory that it added at its peak, bytes of its state database."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "many.yaml").write_text(SOP % ("" if commit else ", commit: false"))
        new = NewRun(
            inputs={"requirement": "a module x.py", "names": "\n".join(f"n{number}" for number in range(steps))},
            sop=str(home / "many.yaml"), workspace=home / "ws", dry_run=True,
        )  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = asyncio.run(wiring.run(new, Settings()))
        assert outcome.status == "delivered", outcome.reason
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        return outcome.seconds, grown / 1024, (home / "ws/.company/state.sqlite").stat().st_size


def commits(steps: int) -> float:
    """Seconds of as many commits of one small file each."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository.create(Path(folder) / "repo")
        with Lock(repository.path):
            began = time.perf_counter()
            for number in range(steps):
                files: dict[str, bytes | None] = {f"f{number}.py": b"x = 1\n"}
                repository.commit(files, subject="s", author="A", email_slug="a", trailers={"K": str(number)})
            return time.perf_counter() - began


def checkpoints(steps: int) -> float:
    """Seconds of a LangGraph chain of as many nodes that do nothing, with the same checkpointer."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph

    from company.state import RunState

    async def nothing(state: RunState) -> RunState:
        return {"values": {"a": "b"}}

    async def run() -> float:
        graph: StateGraph[RunState, None, RunState, RunState] = StateGraph(RunState)
        names = [f"n{number}" for number in range(steps)]
        for name in names:
            graph.add_node(name, nothing)
        for one, two in zip([START, *names], [*names, END], strict=True):
            graph.add_edge(one, two)
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncSqliteSaver.from_conn_string(f"{folder}/s.sqlite") as saver:
                await saver.setup()
                await saver.conn.execute("PRAGMA synchronous=NORMAL")
                chain = graph.compile(checkpointer=saver)
                began = time.perf_counter()
                config = {"configurable": {"thread_id": "1"}, "recursion_limit": steps + 5}
                await chain.ainvoke({"values": {}}, config, durability="async")
                return time.perf_counter() - began

    return asyncio.run(run())


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [1, 100, 1000]
    whole(1, commit=True)  # imports and the sandbox's probe are paid for here
    print("| steps | ms a step | without commits | commits alone | checkpoints alone | MiB more | state.sqlite KiB |")
    print("|---|---|---|---|---|---|---|")
    for steps in sizes:
        seconds, memory, size = whole(steps, commit=True)
        bare = whole(steps, commit=False)[0]
        alone, chain = commits(steps), checkpoints(steps)
        cells = [f"{1000 * value / steps:.1f}" for value in (seconds, bare, alone, chain)]
        print(f"| {steps} | {' | '.join(cells)} | {memory:.0f} | {size / 1024:.0f} |")


if __name__ == "__main__":
    main()
