"""The wire to one server of the Model Context Protocol: connected, its tools listed, its results and failures as text.

When a server is started and ended: `servers.py`. The protocol itself is spoken by the packages of the optional extra
`mcp`, which are imported inside functions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import anyio
import psutil

from company.credentials import read_key, sendable
from company.errors import UsageError
from company.settings import McpServer
from company.tools.base import Output

if TYPE_CHECKING:
    import httpx
    from mcp import ClientSession
    from mcp.types import CallToolResult
    from mcp.types import Tool as Offered

_PAGES = 20
"""Pages of a list of tools that are read."""
_MARK = "COMPANY_MCP_SERVER"
"""Variable by which the processes of a server are known again, those that it left behind too."""


@asynccontextmanager
async def connected(name: str, declared: McpServer, mark: str, errors: IO[bytes]) -> AsyncIterator[ClientSession]:
    """A session with a server, which is started if it has a command. Whatever the packages raise comes out of it.

    Args:
        mark: known to `kill_marked` afterwards.
        errors: where the program's standard error goes.
    """
    from langchain_mcp_adapters.sessions import StreamableHttpConnection, create_session
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    values = environment(name, declared)
    if declared.url:
        connection = StreamableHttpConnection(
            transport="streamable_http",
            url=declared.url,
            headers={"Authorization": f"Bearer {values['key']}"} if declared.key else None,
            timeout=declared.deadline,
            sse_read_timeout=declared.deadline,
            httpx_client_factory=_client(declared.url),
        )
        async with create_session(connection) as session:
            yield session
        return
    # Not by `create_session`, which leaves the program's standard error on the user's terminal.
    program = StdioServerParameters(
        command=declared.command,
        args=declared.args,
        env={**values, _MARK: mark},
        encoding_error_handler="replace",
    )
    async with (
        stdio_client(program, errlog=errors) as (reader, writer),  # type: ignore[arg-type]  # a file of bytes will do
        ClientSession(reader, writer) as session,
    ):
        yield session


def environment(name: str, declared: McpServer) -> dict[str, str]:
    """The values that a server's declaration names the place of: by the program's variables, or the token under ``key``.

    Raises:
        UsageError: one is not there, or cannot be a key.
    """
    wanted = {"key": declared.key} if declared.key else declared.env
    found = {variable: read_key(source, f"[mcp.{name}]") for variable, source in wanted.items()}
    if declared.key and not sendable(found["key"]):
        raise UsageError(f"{declared.key} holds characters that no key has", hint=f"set {declared.key} again")
    return found


def _client(url: str) -> Any:
    """What makes the HTTP client for an address: bounded answers, and no proxy before this machine itself."""
    import httpx

    from company.llm.wire import bounded, environment_told, of_environment

    def make(
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        with environment_told():
            return httpx.AsyncClient(
                headers={**(headers or {}), "Accept-Encoding": "identity"},
                timeout=timeout,
                auth=auth,
                event_hooks={"response": [bounded]},
                **of_environment(url),
            )

    return make


async def listed(session: ClientSession) -> list[Offered]:
    """What a server offers."""
    from mcp.types import PaginatedRequestParams

    found: list[Offered] = []
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        found += page.tools
        cursor = page.nextCursor
        if not cursor:
            break
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the protocol's library from writing what servers send it to the user's terminal by way of `logging`."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)
    try:
        yield
    finally:
        root.removeHandler(silent)


def kill_marked(mark: str) -> None:
    """Kill what is left of a server: a program that it started may outlive it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                process.kill()


# --- what comes back --------------------------------------------------------------------------------


def output(result: CallToolResult) -> Output:
    """The text of a result; what is no text is named."""
    parts = []
    for content in result.content:
        if content.type == "text":
            parts.append(content.text)
        elif content.type == "resource" and hasattr(content.resource, "text"):
            parts.append(content.resource.text)
        elif content.type == "resource_link":
            parts.append(f"[a link to {str(content.uri)[:200]}, left out]")
        else:
            kind = getattr(content, "mimeType", None) or content.type
            parts.append(f"[{kind[:60]}, left out: no text]")
    return Output("\n".join(parts), not result.isError)


def reason(task: asyncio.Task[Any]) -> str:
    """Why a task failed, in one line without addresses, which may hold a key."""
    import httpx

    if task.cancelled():
        return "it was stopped"
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, anyio.ClosedResourceError | anyio.BrokenResourceError):
        return "the server has ended"
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered with HTTP status {error.response.status_code}"
    if isinstance(error, httpx.TransportError):
        return f"no connection ({type(error).__name__})"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    said = one_line(str(error))
    return said[:300] or (type(error).__name__ if error else "it ended")


def has_ended(asked: asyncio.Task[Any]) -> bool:
    """Whether a call failed because nobody is at the other end any more."""
    from mcp import McpError
    from mcp.types import CONNECTION_CLOSED

    error = asked.exception() if asked.done() and not asked.cancelled() else None
    return isinstance(error, anyio.ClosedResourceError | anyio.BrokenResourceError) or (
        isinstance(error, McpError) and error.error.code == CONNECTION_CLOSED
    )


def one_line(text: str) -> str:
    """Foreign text on one line, without what would steer a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
