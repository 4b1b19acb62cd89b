"""Servers of the Model Context Protocol as `company.toml` declares them: started when first needed, their tools, their end.

What they give is untrusted: text alone, bounded. Their schemas: `arguments.py`; which tools a step gets: `registry.py`.
The wire to one: `link.py`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar

from company.credentials import hide
from company.errors import UsageError, extra
from company.settings import McpServer, Settings
from company.sop.diagnostics import closest
from company.sop.library import SETTINGS
from company.sop.tool_names import TOOL
from company.tools.arguments import filled, simplified
from company.tools.base import Output, Tool, Workbench
from company.tools.link import connected, environment, has_ended, kill_marked, listed, one_line, output, quiet, reason

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.types import Tool as Offered

START_SECONDS = 120.0
"""How long a server may take until it is ready: some are fetched when they are first started."""
CLOSING_SECONDS = 10.0
"""How long a server may take to end before it is killed."""
_ABOUT = 400
"""Characters of a tool's description."""

T = TypeVar("T")


class Servers:
    """The servers that a run may use. Get one from `open_servers`."""

    def __init__(
        self, declared: Mapping[str, McpServer], *, dry: bool = False, notice: Callable[[str], None] = lambda text: None
    ) -> None:
        self._servers = {name: _Server(name, server, notice) for name, server in declared.items()}
        self._dry = dry

    async def tools(self, server: str) -> list[Tool]:
        """A server's tools; it is started if it was not yet. None in a dry run, which starts nothing.

        Raises:
            UsageError: it is not among these servers, it cannot be started, or it offers no tool.
        """
        if server not in self._servers:
            raise _undeclared(server, self._servers)
        return [] if self._dry else await self._servers[server].tools()

    async def close(self) -> None:
        """End every server that was started."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))


@asynccontextmanager
async def open_servers(
    names: Collection[str],
    settings: Settings,
    *,
    dry: bool = False,
    notice: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[Servers]:
    """The servers with these names, for a run. What can be seen to be wrong without starting one is an error at once.

    `notice` is told, in one line for people, when a server that has ended is started again.

    Raises:
        UsageError: one is not declared, the extra is not installed, or a variable that holds a key is not set.
    """
    for name in names:
        if name not in settings.mcp:
            raise _undeclared(name, settings.mcp)
        if not dry:
            environment(name, settings.mcp[name])
    if names and not dry and not importlib.util.find_spec("langchain_mcp_adapters"):
        raise UsageError(f"the MCP server `{min(names)}` needs packages that are not installed", hint=extra("mcp"))
    servers = Servers({name: settings.mcp[name] for name in names}, dry=dry, notice=notice)
    with quiet():
        try:
            yield servers
        finally:
            await servers.close()


class _Server:
    """One server. A task of its own holds the connection: it must be closed by the task that opened it."""

    def __init__(self, name: str, declared: McpServer, notice: Callable[[str], None]) -> None:
        self._name = name
        self._notice = notice
        self._again = True
        """Whether it may still be started again: a program that ends twice will end a third time."""
        self._declared = declared
        self._mark = secrets.token_hex(16)
        self._starting = asyncio.Lock()
        self._closing = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._session: ClientSession | None = None
        self._tools: list[Tool] = []

    async def tools(self) -> list[Tool]:
        async with self._starting:
            if self._session is None and not self._tools:  # one that has ended is started again by a call
                await self._start()
        if not self._tools:
            raise self._unusable("offers no tool")
        return self._tools

    async def close(self) -> None:
        self._closing.set()
        if self._life:
            await asyncio.wait([self._life], timeout=CLOSING_SECONDS)
            await self._ended(self._life)

    async def _ended(self, life: asyncio.Task[None]) -> None:
        await _stopped(life)
        if self._declared.command:
            await asyncio.to_thread(kill_marked, self._mark)

    async def _start(self) -> None:
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        with tempfile.TemporaryFile() as errors:
            self._life = asyncio.create_task(self._live(ready, errors))
            try:
                await asyncio.wait([self._life, ready], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done():
                    late = not self._life.done()
                    why = f"it was not ready after {START_SECONDS:g} s" if late else reason(self._life)
                    raise self._unusable(f"cannot be started: {why}", errors)
            except BaseException:
                await _stopped(self._life)
                await asyncio.to_thread(kill_marked, self._mark)
                raise
        self._session, offered = ready.result()
        self._tools = [self._tool(one) for one in offered if re.fullmatch(TOOL, one.name)]

    async def _live(self, ready: asyncio.Future[Any], errors: IO[bytes]) -> None:
        async with connected(self._name, self._declared, self._mark, errors) as session:
            await session.initialize()
            ready.set_result((session, await listed(session)))
            await self._closing.wait()

    def _tool(self, offered: Offered) -> Tool:
        parameters = simplified(offered.inputSchema)

        async def run(arguments: Mapping[str, Any], bench: Workbench) -> Output:
            return await self._call(offered.name, filled(arguments, parameters))

        about = " ".join((offered.description or offered.title or offered.name).split())
        about = about if len(about) <= _ABOUT else about[: _ABOUT - 1] + "…"
        return Tool(f"mcp.{self._name}.{offered.name}", about, parameters, run)

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Output:
        """A server that fails, ends or is late is told to the model: the run can go on without it.

        A call is never made twice, for nobody knows what its first time did; the call after it finds a new server.
        """
        assert self._life
        async with self._starting:
            if self._session is None:
                if not self._again:
                    gone = f"The server {self._name} has ended again; its tools cannot be used any more in this run."
                    return Output(gone, ok=False)
                self._again = False
                self._notice(f"the MCP server `{self._name}` has ended; it is started again, once")
                await self._ended(self._life)
                try:
                    await self._start()
                except UsageError as error:
                    return Output(f"The server {self._name} has ended: {error.message}.", ok=False)
        session, life = self._session, self._life
        assert session
        asked = asyncio.create_task(session.call_tool(tool, arguments))
        try:
            await asyncio.wait([asked, life], timeout=self._declared.deadline, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and not asked.cancelled() and asked.exception() is None:
                return output(asked.result())
            if self._declared.command and (life.done() or has_ended(asked)):
                if self._session is session:
                    self._session = None
                return Output(f"The call failed: the server {self._name} ended before it had answered.", ok=False)
            if asked.done():
                return Output(f"The call failed: {reason(asked)}.", ok=False)
            if life.done():
                return Output(f"The server {self._name} has ended; its tools cannot be used any more.", ok=False)
            return Output(f"The server gave no answer within {self._declared.deadline:g} seconds.", ok=False)
        finally:
            await _stopped(asked)

    def _unusable(self, what: str, errors: IO[bytes] | None = None) -> UsageError:
        said = ""
        if errors:
            errors.seek(0, os.SEEK_END)
            errors.seek(max(0, errors.tell() - 2000))
            values = environment(self._name, self._declared).values()
            said = one_line(hide(errors.read().decode("utf-8", "replace"), values))[-300:]
        what = f"the MCP server `{self._name}` {what}" + (f"; it said: {said}" if said else "")
        return UsageError(what, place=SETTINGS, hint=f"see [mcp.{self._name}], or take its tools from the role")


async def _stopped(task: asyncio.Task[T]) -> None:
    """Cancel a task if it still runs, and wait for its end, whichever it is."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # taken note of


def _undeclared(name: str, declared: Collection[str]) -> UsageError:
    near = closest(name, declared)
    hint = f"did you mean {near}?" if near else f"declare it as [mcp.{name}] with `command` or `url`"
    return UsageError(f"there is no MCP server `{name}`", place=SETTINGS, hint=hint)
