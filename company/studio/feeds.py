"""A page kept up to date: its parts are made anew while somebody looks, and what changed goes to every viewer (SSE).

What the parts are: the pages. What the browser does with them: `static/live.js`. The stream's ids are versions of the page: who
comes back with one, or with none, gets every part that is newer, so nothing is missed and nothing need be kept for it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping

Parts = Mapping[str, str]
"""Id of an element → its HTML, whose outermost element has that id; empty for one that is to go.

An element that is not in the page yet is appended to the one that its `data-into` names."""

_HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it lives."""


class Feed:
    """The parts of one page, shared by its viewers.

    Args:
        make: the parts as they are now; called in a thread, never twice at a time. It may leave out parts that are unchanged.
        every: seconds between two looks.
    """

    def __init__(self, make: Callable[[], Parts], every: float = 0.3) -> None:
        self._make = make
        self._every = every
        self._boot = secrets.token_hex(4)
        """Versions are told apart from those of a studio before this one."""
        self._version = 0
        self._parts: dict[str, tuple[int, str]] = {}
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._wakes: set[asyncio.Event] = set()
        """One of each viewer."""
        self._looking = asyncio.Lock()
        self._fault = ""

    @property
    def version(self) -> str:
        """What the page that is made now may say that it has."""
        return f"{self._boot}-{self._version}"

    async def look(self) -> dict[str, str]:
        """Every part as it is now, for the page itself."""
        async with self._looking:
            made = await asyncio.to_thread(self._make)
            changed = {ident: html for ident, html in made.items() if self._parts.get(ident, (0, ""))[1] != html}
            if changed:
                self._version += 1
                self._parts |= {ident: (self._version, html) for ident, html in changed.items()}
        if changed:
            self._wake()
        return {ident: html for ident, (_, html) in self._parts.items()}

    async def follow(self, since: str) -> AsyncIterator[bytes]:
        """The stream of one viewer, until the studio ends.

        Args:
            since: the version that the viewer has.
        """
        boot, _, number = since.partition("-")
        seen = int(number) if boot == self._boot and number.isdecimal() else 0
        wake, fault = asyncio.Event(), ""
        self._wakes.add(wake)
        if not self._task or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            yield b"retry: 1000\n\n"
            while not self._over:
                wake.clear()
                if newer := {ident: html for ident, (version, html) in self._parts.items() if version > seen}:
                    seen = self._version
                    yield f"id: {self._boot}-{seen}\nevent: parts\ndata: {json.dumps(newer)}\n\n".encode()
                if self._fault != fault:
                    fault = self._fault
                    yield f"event: fault\ndata: {json.dumps(fault)}\n\n".encode()
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        await wake.wait()
                except TimeoutError:
                    yield b": alive\n\n"
        finally:
            self._wakes.discard(wake)

    def close(self) -> None:
        """End every stream: the studio ends."""
        self._over = True
        self._wake()

    async def _watch(self) -> None:
        """Look again and again while there are viewers."""
        while self._wakes and not self._over:
            try:
                await self.look()
                fault = ""
            except Exception as error:  # noqa: BLE001 - a page that cannot be made says so, and is tried again
                fault = f"{type(error).__name__}: {error}"
            if fault != self._fault:
                self._fault = fault
                self._wake()
            await asyncio.sleep(self._every)

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()
