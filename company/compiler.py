"""A checked procedure → a LangGraph `StateGraph`: one node a step, two more for a loop, one for a used procedure; pure, no I/O.

What a node does: `nodes.py`. What flows: `state.py`. Running it: `engine.py`. The edges are those that
`sop/diagram.py` draws: `Step.waits`, and from the end of a loop's round back to its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any

from company import nodes
from company.errors import CompanyError
from company.sop.procedure import Procedure, Step
from company.state import Block, RunContext, RunState, Site

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.runtime import Runtime

_CHECK, _END = "@check", "@end"
"""Suffixes of a loop's other nodes: where its round is judged, and where it has ended."""
_HELD = ("loop", "use")
"""The kinds of step whose body is part of the same graph."""


def compile_procedure(
    procedure: Procedure, checkpointer: BaseCheckpointSaver[str] | None = None
) -> CompiledStateGraph[RunState, RunContext, RunState, RunState]:
    """The graph of a procedure, ready to be invoked with a `RunContext`."""
    return _graph((Block(procedure.steps),), procedure.histories, checkpointer or False)


def longest(steps: tuple[Step, ...]) -> int:
    """The most supersteps that a block can take: the recursion limit."""
    return 2 + sum(_rounds(step) * (longest(step.body) + 2) + 2 if step.kind in _HELD else 1 for step in steps)


def _rounds(step: Step) -> int:
    return step.max if step.kind == "loop" else 1


def _graph(
    blocks: tuple[Block, ...], histories: frozenset[str], checkpointer: Any
) -> CompiledStateGraph[RunState, RunContext, RunState, RunState]:
    from langgraph.graph import END, START, StateGraph

    graph: StateGraph[RunState, RunContext, RunState, RunState] = StateGraph(RunState, context_schema=RunContext)
    roots, leaves = _Builder(graph, histories).block(blocks)
    for root in roots:
        graph.add_edge(START, root)
    for leaf in leaves:
        graph.add_edge(leaf, END)
    return graph.compile(checkpointer=checkpointer)


class _Builder:
    """Adds the nodes and edges of blocks to one graph."""

    def __init__(self, graph: Any, histories: frozenset[str]) -> None:
        self._graph = graph
        self._histories = histories

    def block(self, blocks: tuple[Block, ...]) -> tuple[list[str], list[str]]:
        """Add the steps of the innermost block; the nodes that begin it, and those that end it."""
        steps = blocks[-1].steps
        ends: dict[str, str] = {}
        awaited = {name for step in steps for name in step.waits}
        for step in steps:
            site = Site(step, blocks)
            ends[step.name] = self._held(site) if step.kind in _HELD else self._step(site)
        for step in steps:
            sources = [ends[name] for name in step.waits]
            if sources:  # a list waits for all of them; one edge each would start the step once for each
                self._graph.add_edge(sources if len(sources) > 1 else sources[0], step.path)
        roots = [step.path for step in steps if not step.waits]
        return roots, [ends[step.name] for step in steps if step.name not in awaited]

    def _step(self, site: Site) -> str:
        step = site.step
        child = None
        if step.kind == "for_each":
            inner = _graph((*site.blocks, Block(step.body, step)), self._histories, False)
            child = _runner(inner, longest(step.body))
        self._graph.add_node(step.path, _node(site, child))
        return step.path

    def _held(self, site: Site) -> str:
        """A loop, or a used procedure: a block of the same graph, with a way in, a judge and a way out."""
        step = site.step
        inside = (*site.blocks, Block(step.body, step))
        roots, leaves = self.block(inside)
        check, end = step.path + _CHECK, step.path + _END
        self._graph.add_node(step.path, _way_in(site, roots, end), destinations=(*roots, end))
        self._graph.add_node(end, _nothing)
        leaf: Any = leaves if len(leaves) > 1 else leaves[0]
        if step.kind == "use":
            self._graph.add_edge(leaf, end)
            return end
        judge = _judge(Site(step, inside), end, keeps=step.path in self._histories)
        self._graph.add_node(check, judge, destinations=(step.path, end))
        self._graph.add_edge(leaf, check)
        return end


Node = Callable[[RunState, "Runtime[RunContext]"], Awaitable[Any]]


def _node(site: Site, child: Callable[[RunState, RunContext], Awaitable[Mapping[str, Any]]] | None) -> Node:
    async def node(state: RunState, runtime: Runtime[RunContext]) -> RunState:
        context = runtime.context
        run = (lambda inner: child(inner, context)) if child else None
        return await nodes.perform(site, state, context, run)

    return _annotated(node)


def _runner(graph: Any, most: int) -> Callable[[RunState, RunContext], Awaitable[Mapping[str, Any]]]:
    async def run(state: RunState, context: RunContext) -> Mapping[str, Any]:
        work = graph.ainvoke(state, {"recursion_limit": most + 1}, context=context)
        # Of its own: from the graph around it, it would inherit a wait for checkpoints, and it makes none.
        ended: Mapping[str, Any] = await asyncio.create_task(work, context=Context())
        return ended

    return run


def _way_in(site: Site, roots: list[str], end: str) -> Node:
    """Where it goes is part of the node's own result: a conditional edge is another write, and a stop between the two loses it."""

    async def begin(state: RunState, runtime: Runtime[RunContext]) -> Any:
        from langgraph.types import Command

        update = await nodes.enter(site, state, runtime.context)
        return Command(update=update, goto=roots if update["rounds"][site.step.path] else [end])

    return _annotated(begin)


def _judge(site: Site, end: str, *, keeps: bool) -> Node:
    async def judge(state: RunState, runtime: Runtime[RunContext]) -> Any:
        from langgraph.types import Command

        update = await nodes.end_round(site, state, runtime.context, keeps=keeps)
        ended = update["rounds"].get(site.step.path) == 0
        return Command(update=update, goto=end if ended else site.step.path)

    return _annotated(judge)


async def _nothing(state: RunState) -> RunState:
    return {}


def _annotated(node: Node) -> Node:
    """A node whose fault waits for what is asked beside it: LangGraph cancels that, and it has been paid for.

    LangGraph reads a node's annotations at run time; ours are text, and their names are imported late.
    """
    from langgraph.runtime import Runtime as Loaded

    async def patient(state: RunState, runtime: Runtime[RunContext]) -> Any:
        try:
            return await node(state, runtime)
        except CompanyError as error:
            context, item = runtime.context, state.get("item", "")
            first = error if item else context.fault or error
            if not item:  # it ends the run, whatever else goes wrong while it waits
                context.fault = first
            await context.gateway.drained(item)
            raise first from first.__cause__

    patient.__annotations__ = {"state": RunState, "runtime": Loaded[RunContext], "return": Any}
    return patient
