"""What a resumed run may go by: finished steps whose values are whole, and a checkpoint that agrees with the journal.

Where the two part, the graph begins anew and takes from the journal what was finished; what is missing there is done again
from its kept replies. Who drives the graph: `engine.py`; what is kept: `cache.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from company.cache import Objects
from company.state import RunContext, RunState

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from company.sop.procedure import Procedure


def relied_on(objects: Objects, found: Mapping[str, dict[str, str | None]]) -> dict[str, dict[str, str | None]]:
    """Those executions whose values are all on disk as they were written."""
    known: dict[str, bool] = {}
    return {ident: values for ident, values in found.items() if objects.holds(values.values(), known)}


async def checkpoint(
    graph: CompiledStateGraph[RunState, RunContext, RunState, RunState],
    config: Any,
    procedure: Procedure,
    context: RunContext,
) -> RunState | None:
    """Where the graph stood, or None where it is to begin anew: no checkpoint, or none that can be relied on.

    One that cannot is deleted, and the journal says so.
    """
    try:
        state: Any = (await graph.aget_state(config)).values
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
        reason = f"cannot be read ({type(error).__name__})"
    else:
        if not state:
            return None
        values = state["values"]
        finished = {pair for left in context.done.values() for pair in left.items()}
        paths = {step.path for step in procedure.walk() if "@" not in step.path}
        told = all(values[path] is None or (path, values[path]) in finished for path in paths & values.keys())
        if told and context.objects.holds(values.values()):
            found: RunState = state
            return found
        reason = "does not agree with the journal"
    saver: Any = graph.checkpointer
    await saver.adelete_thread(context.run)
    context.journal.emit("notice", text=f"the run's checkpoint {reason}: going on from the journal")
    return None
