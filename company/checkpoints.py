"""Keeps a run's checkpoints few: the last says where the graph stands, and those before it nobody reads.

What a checkpoint holds: `state.py`. Which database: `store.py`, `postgres.py`. What stands in for one that is lost: the journal.
"""

from __future__ import annotations

from typing import Any

MOST = 10
"""Checkpoints of one run that are ever kept at once: one in so many is written in the place of all before it."""


def pruned(saver: Any) -> Any:
    """The class of a LangGraph checkpointer, made to forget a thread's old checkpoints as it goes.

    Any `BaseCheckpointSaver` will do: only `aput` and `adelete_thread` are used. A process that dies between the two
    leaves no checkpoint, and the run goes on from its journal.
    """

    class Pruned(saver):  # type: ignore[misc]  # a class that is handed in, since LangGraph is imported late
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._kept: dict[str, int] = {}

        async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
            thread = config["configurable"]["thread_id"]
            kept = self._kept.get(thread, MOST)  # what an earlier sitting left is unknown
            if kept >= MOST:
                await self.adelete_thread(thread)
                kept, new_versions = 0, checkpoint["channel_versions"]  # some savers keep what did not change apart
            self._kept[thread] = kept + 1
            return await super().aput(config, checkpoint, metadata, new_versions)

    return Pruned
