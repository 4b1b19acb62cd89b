"""A page kept up to date: its parts are made anew while somebody looks, and what changed goes to every viewer (SSE).

What the parts are: the pages. What the browser does with them: `static/live.js`. The stream's ids are versions of the page: who
comes back with one, or with none, gets every part that is newer, so nothing is missed and nothing need be kept for it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

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
        self.boot = secrets.token_hex(4)
        """Versions are told apart from those of a studio before this one."""
        self._version = 0
        self._parts: dict[str, tuple[int, str]] = {}
        self._told: dict[int, str] = {}
        """Version → what is newer."""
        self.over = False
        """Whether the studio ends."""
        self._task: asyncio.Task[None] | None = None
        self._wakes: set[asyncio.Event] = set()
        """One of each viewer."""
        self._looking = asyncio.Lock()
        self.fault = ""
        """Why the page cannot be made."""

    @property
    def version(self) -> str:
        """What the page that is made now may say that it has."""
        return f"{self.boot}-{self._version}"

    async def look(self) -> dict[str, str]:
        """Every part as it is now, for the page itself."""
        async with self._looking:
            made = await asyncio.to_thread(self._make)
            changed = {ident: html for ident, html in made.items() if self._parts.get(ident, (0, ""))[1] != html}
            if changed:
                self._version += 1
                for ident, html in changed.items():
                    self._parts.pop(ident, None)  # what changed last is last
                    self._parts[ident] = self._version, html
                self._told.clear()
        if changed:
            self._wake()
        return {ident: html for ident, (_, html) in self._parts.items()}

    def newer(self, since: int) -> str:
        """The parts that are newer than a version, as JSON; empty without any. Viewers that have the same share it."""
        known = self._told.get(since)
        if known is None:
            found: dict[str, str] = {}
            for ident, (version, html) in reversed(self._parts.items()):  # the newest are the last
                if version <= since:
                    break
                found[ident] = html
            known = self._told[since] = json.dumps(dict(reversed(found.items()))) if found else ""
        return known

    def seen(self, version: str) -> int:
        """The number of a version of this feed; 0 for any other."""
        boot, _, number = version.partition("-")
        return int(number) if boot == self.boot and number.isdecimal() else 0

    def watch(self, wake: asyncio.Event) -> None:
        """Look again and again from now on, and set `wake` when something has changed."""
        self._wakes.add(wake)
        if not self._task or self._task.done():
            self._task = asyncio.create_task(self._watch())

    def leave(self, wake: asyncio.Event) -> None:
        """Do not set it any more."""
        self._wakes.discard(wake)

    @property
    def watched(self) -> bool:
        """Whether somebody does."""
        return bool(self._wakes)

    def close(self) -> None:
        """End every stream: the studio ends."""
        self.over = True
        self._wake()

    async def _watch(self) -> None:
        """Look again and again while there are viewers."""
        while self._wakes and not self.over:
            try:
                await self.look()
                fault = ""
            except Exception as error:  # noqa: BLE001 - a page that cannot be made says so, and is tried again
                fault = f"{type(error).__name__}: {error}"
            if fault != self.fault:
                self.fault = fault
                self._wake()
            await asyncio.sleep(self._every)

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()


async def follow(feeds: Sequence[Feed], since: str) -> AsyncIterator[bytes]:
    """The stream of one viewer, until the studio ends.

    Args:
        feeds: what the page is made of.
        since: the versions that the viewer has, one of each feed, joined by ``~``; what it lacks is sent whole.
    """
    versions = [*since.split("~"), *[""] * len(feeds)]
    seen = [feed.seen(version) for feed, version in zip(feeds, versions, strict=False)]
    wake, faults = asyncio.Event(), [""] * len(feeds)
    for feed in feeds:
        feed.watch(wake)
    try:
        yield b"retry: 1000\n\n"
        while not any(feed.over for feed in feeds):
            wake.clear()
            for number, feed in enumerate(feeds):
                if newer := feed.newer(seen[number]):
                    seen[number] = feed.seen(feed.version)
                    ident = "~".join(f"{each.boot}-{at}" for each, at in zip(feeds, seen, strict=True))
                    yield f"id: {ident}\nevent: parts\ndata: {newer}\n\n".encode()
                if feed.fault != faults[number]:
                    faults[number] = feed.fault
                    yield f"event: fault\ndata: {json.dumps(feed.fault)}\n\n".encode()
            try:
                async with asyncio.timeout(_HEARTBEAT):
                    await wake.wait()
            except TimeoutError:
                yield b": alive\n\n"
    finally:
        for feed in feeds:
            feed.leave(wake)
