"""From the names that a step grants to the tools behind them.

Which names there can be: `sop/tool_names.py`. Built-in tools: `builtin.py`; those of servers: `servers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from company.errors import UsageError
from company.sop.diagnostics import closest
from company.sop.tool_names import BUILT_IN as NAMES
from company.sop.tool_names import known, server_of
from company.tools.base import Tool
from company.tools.builtin import TOOLS

__all__ = ["MOST_TOOLS", "NAMES", "Source", "known", "resolve"]

MOST_TOOLS = 24
"""Tools of one step: each is described in the prompt and has a place in the grammar of the reply."""


class Source(Protocol):
    """Where the tools of servers come from."""

    async def tools(self, server: str) -> list[Tool]:
        """A server's tools, named `mcp.SERVER.TOOL`."""


async def resolve(names: Sequence[str], servers: Source) -> list[Tool]:
    """The tools behind names, in their order, each once; a server that is named is started if it was not yet.

    Raises:
        UsageError: there is no such tool, there are too many, or a server cannot be started.
    """
    found: dict[str, Tool] = {}
    for name in names:
        if name in TOOLS:
            found[name] = TOOLS[name]
        elif server := server_of(name):
            offered = {tool.name: tool for tool in await servers.tools(server)}
            if name == f"mcp.{server}":
                found |= offered
            elif name in offered:
                found[name] = offered[name]
            elif offered:
                raise _unknown(name, list(offered))
        else:
            raise _unknown(name, list(NAMES))
    if len(found) > MOST_TOOLS:
        raise UsageError(
            f"the step has {len(found)} tools, and at most {MOST_TOOLS} can be offered to a model",
            hint="grant the few that it needs, as mcp.SERVER.TOOL",
        )
    return list(found.values())


def _unknown(name: str, there_are: list[str]) -> UsageError:
    near = closest(name, there_are)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(there_are[:MOST_TOOLS])}"
    return UsageError(f"there is no tool `{name}`", hint=hint)
