"""The names that a procedure may call tools by: those that come with company, and `mcp.SERVER` or `mcp.SERVER.TOOL`.

Names alone, so that a procedure is checked without loading a tool. The tools: `company/tools/`; servers: `settings.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

BUILT_IN = ("python", "shell", "files.read", "files.search", "files.list")
"""Tools that come with company, in the order in which they are shown."""
SERVER = r"[A-Za-z0-9_-]{1,64}"
"""Pattern of a server's name."""
TOOL = r"[A-Za-z0-9_./-]{1,128}"
"""Pattern of the name of a server's tool."""
_MCP = re.compile(rf"mcp\.({SERVER})(?:\.({TOOL}))?")


def server_of(name: str) -> str:
    """The server that `mcp.SERVER` or `mcp.SERVER.TOOL` names; empty for every other name."""
    match = _MCP.fullmatch(name)
    return match[1] if match else ""


def known(name: str, servers: Collection[str] | None = None) -> bool:
    """Whether a name can be one of a tool. `servers` are the declared ones; None where nobody knows them yet."""
    server = server_of(name)
    return name in BUILT_IN or (bool(server) and (servers is None or server in servers))


def granted(name: str, grants: Collection[str]) -> bool:
    """Whether a role with these grants may be given a tool: by its name, or by its server's for all tools of that."""
    server = server_of(name)
    return name in grants or (bool(server) and f"mcp.{server}" in grants)
