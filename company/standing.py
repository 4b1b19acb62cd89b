"""What a resumed run may go by: finished steps whose values are whole, and a checkpoint that agrees with the journal.

Where the two part, the graph begins anew and takes from the journal what was finished; what is missing there is done again
from its kept replies. Who drives the graph: `engine.py`; what is kept: `cache.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from company.cache import Objects
from company.errors import WorkspaceError
from company.state import RunContext, RunState

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from company.sop.procedure import Procedure

Values = Mapping[str, str | None]


def relied_on(objects: Objects, found: Mapping[str, dict[str, str | None]]) -> dict[str, dict[str, str | None]]:
    """Those executions whose values are all on disk as they were written."""
    known: dict[str, bool] = {}
    return {ident: values for ident, values in found.items() if _are_whole(objects, values, known)}


def _are_whole(objects: Objects, values: Values, known: dict[str, bool]) -> bool:
    return all(ref is None or _is_whole(objects, ref, known) for ref in values.values())


def _is_whole(objects: Objects, ref: str, known: dict[str, bool]) -> bool:
    """Whether a value, and every one that it refers to, can be read."""
    if ref not in known:
        try:
            data = objects.get(ref)
        except WorkspaceError:
            known[ref] = False
            return False
        inner = data["value"]
        if data["kind"] == "references":
            inner = dict(enumerate(inner))
        known[ref] = data["kind"] not in ("references", "record") or _are_whole(objects, inner, known)
    return known[ref]


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
        if told and _are_whole(context.objects, values, {}):
            found: RunState = state
            return found
        reason = "does not agree with the journal"
    saver: Any = graph.checkpointer
    await saver.adelete_thread(context.run)
    context.journal.emit("notice", text=f"the run's checkpoint {reason}: going on from the journal")
    return None


class Seal:
    """A checksum in the place of a cipher: LangGraph reads back only what it wrote, and SQLite does not see a flipped byte."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """The bytes behind their digest."""
        return "sha256", hashlib.sha256(plaintext).digest() + plaintext

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """The bytes.

        Raises:
            ValueError: they are not those that were written.
        """
        digest, plaintext = ciphertext[:32], ciphertext[32:]
        if ciphername != "sha256" or hashlib.sha256(plaintext).digest() != digest:
            raise ValueError("a checkpoint is damaged")
        return plaintext
