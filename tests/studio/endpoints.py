"""A model behind HTTP that answers piece by piece, when the test says so; a thread of its own, since a browser is driven without `asyncio`."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests import fault_server as fs


class Model:
    """What is asked next gets the pieces that `say` is given, until `end`."""

    def __init__(self) -> None:
        self.base_url = ""
        self.asked: list[fs.Seen] = []
        self._loop = asyncio.new_event_loop()
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def say(self, text: str) -> None:
        """One piece more of the reply that is under way."""
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, text)

    def end(self) -> None:
        """The end of the reply."""
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, None)

    async def answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(fs.head())
        while (text := await self._pieces.get()) is not None:
            writer.write(fs.event(fs.piece(text)))
            await writer.drain()
        writer.write(fs.event(fs.piece(None, "stop")))
        writer.write(fs.event({**fs.piece(None), "choices": [], "usage": fs.USAGE}) + b"data: [DONE]\n\n")
        await writer.drain()


@contextmanager
def answering() -> Iterator[Model]:
    """A model that is there."""
    model, ready = Model(), threading.Event()

    async def serve() -> None:
        async with fs.serving(model.answer) as server:
            model.base_url, model.asked = server.base_url, server.requests
            ready.set()
            await over.wait()

    over = asyncio.Event()
    thread = threading.Thread(target=lambda: model._loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield model
    finally:
        model._loop.call_soon_threadsafe(over.set)
        thread.join(20)
        model._loop.close()
