"""A server of the Model Context Protocol for the tests: over standard input and output, or HTTP on loopback.

python serving.py stdio [slow | junk | broken]
python serving.py http PORT TOKEN
"""

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

from mcp.server.fastmcp import FastMCP, Image

server = FastMCP("tests", stateless_http=False)


@server.tool()
def add(a: int, b: int = 10) -> str:
    """Adds two numbers."""
    return str(a + b)


@server.tool()
def environment(name: str) -> str:
    """Tells a variable of this process."""
    return os.environ.get(name, "unset")


@server.tool()
def process() -> str:
    """Tells this process's id, and that of a child that outlives it."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdin=subprocess.DEVNULL)
    return f"{os.getpid()} {child.pid}"


@server.tool()
def huge() -> str:
    """Gives a long text."""
    return "A" + "x" * 100_000 + "Z"


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """Gives a picture and a word."""
    return [Image(data=b"\x89PNG", format="png"), "a word"]


@server.tool()
async def hang() -> str:
    """Never answers."""
    await asyncio.sleep(600)
    return "late"


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("it cannot be done")


@server.tool()
def die() -> str:
    """Ends this process."""
    os._exit(3)


def over_http(port: int, token: str) -> None:
    """Serve whoever has the token."""
    import uvicorn

    app = server.streamable_http_app()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        if scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {token}".encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"no"})
            return
        await app(scope, receive, send)

    uvicorn.run(guarded, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    if sys.argv[1] == "http":
        over_http(int(sys.argv[2]), sys.argv[3])
    if "slow" in sys.argv:
        time.sleep(600)
    if "junk" in sys.argv:
        print("no protocol at all \x1b[31m", flush=True)
    if "broken" in sys.argv:
        sys.exit(f"\x1b]0;title\x07the database is missing {os.environ.get('TOKEN', '')}")
    server.run("stdio")
