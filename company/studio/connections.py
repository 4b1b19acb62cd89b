"""Connections that ask for nothing are closed after a while: whoever opens many keeps nobody out.

Who may ask for what: `guard.py`. Who starts the server: `cli_serve.py`.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

PATIENCE = 10.0
"""Seconds in which a connection must have brought a whole head of a request."""


class Connection(H11Protocol):
    """One connection."""

    _looked = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self._see(None)

    def _see(self, seen: RequestResponseCycle | None) -> None:
        """Look again and again whether it asks: with nothing under way, and nothing new since the last look, it does not."""
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        idle = cycle is None or cycle.response_complete
        if idle and cycle is seen and self._looked:
            self.transport.close()
        else:
            self._looked = True
            self.loop.call_later(PATIENCE, self._see, cycle)
