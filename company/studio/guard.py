"""Who may ask the studio: a request for this machine's own address whose path begins with the token, and no other site's page.

There is no cookie: a browser would send one to every other port of this machine too. What is served: `app.py`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""A name of another kind that leads here is somebody's who wants the browser to take this for his site (DNS rebinding)."""
_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
        "font-src 'self'", "form-action 'self'", "base-uri 'self'", "frame-ancestors 'none'",
    )
)  # fmt: skip
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer; one that a page sets itself stays. No other site is told the address; with `no-referrer` browsers would call our
own forms those of an unknown origin."""
METHODS = ("GET", "HEAD", "POST")
LARGEST = 4_000_000
"""Bytes of what a request brings: an edited artifact, or a procedure, is far smaller."""


class Guard:
    """Lets only the person through who was told the address.

    Args:
        token: the first part of every path; what follows it is the application's path.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._prefix = f"/{token}/".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":  # there are no web sockets
            return
        if refusal := self._refusal(scope):
            status, text = refusal
            await PlainTextResponse(f"{text}\n", status)(scope, receive, guarded)
            return
        root = self._prefix[:-1].decode()
        inner = {**scope, "root_path": root}
        await self._app(inner, receive, guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers, method = Headers(scope=scope), scope["method"]
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in HOSTS:
            return 421, "This address is not the studio's: open the one that `company serve` printed."
        path = scope["path"].encode("utf-8", "replace")
        if not hmac.compare_digest(path[: len(self._prefix)], self._prefix):
            return 403, "The studio opens with the whole address that `company serve` printed, token and all."
        if method not in METHODS:
            return 405, f"There is nothing here to {method[:20]}."
        if method == "POST":
            length = headers.get("content-length", "0")
            if not length.isdecimal() or len(length) > 12 or int(length) > LARGEST:
                return 413, f"At most {LARGEST} bytes may be sent."
            origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
            if (origin and origin != f"{scope['scheme']}://{host}") or site != "same-origin":
                return 403, "Another site's page asked for this; only the studio's own may."
        return None
