"""Servers of the Model Context Protocol, real processes: started late, called, bounded, dead, hung, and ended."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from company.errors import UsageError
from company.settings import McpServer, Settings
from company.tools.base import Output, Tool, Workbench
from company.tools.registry import resolve
from company.tools.servers import Servers, open_servers

SERVING = str(Path(__file__).with_name("serving.py"))
NAMES = ["add", "environment", "process", "huge", "picture", "hang", "fail", "die"]
T = TypeVar("T")


def program(*words: str, **more: Any) -> McpServer:
    return McpServer(command=sys.executable, args=[SERVING, "stdio", *words], **more)


def use(job: Callable[[Servers], Awaitable[T]], server: McpServer | None = None, **more: Any) -> T:
    """Run a job with one server, `own`."""

    async def inside() -> T:
        settings = Settings(mcp={"own": server or program()})
        async with open_servers(["own"], settings, **more) as servers:
            return await job(servers)

    return asyncio.run(inside())


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def called(servers: Servers, bench: Workbench, tool: str, **arguments: Any) -> Output:
    (found,) = await resolve([f"mcp.own.{tool}"], servers)
    return await found.call(arguments, bench)


def test_tools_are_named_after_their_server_and_called(bench: Workbench) -> None:
    async def job(servers: Servers) -> tuple[list[Tool], list[Output]]:
        tools = await resolve(["python", "mcp.own", "mcp.own.add"], servers)
        outputs = [
            await called(servers, bench, "add", a=1, b=2),
            await called(servers, bench, "add", a=1, b=None),
            await called(servers, bench, "add", a="one", b=None),
        ]
        return tools, outputs

    tools, outputs = use(job)
    assert [tool.name for tool in tools] == ["python", *(f"mcp.own.{name}" for name in NAMES)]
    assert tools[1].about == "Adds two numbers."
    assert tools[1].parameters["required"] == ["a", "b"]
    assert outputs[:2] == [Output("3"), Output("11")]
    assert outputs[2] == Output("This call cannot be made: arguments.a must be whole number.", ok=False)


def test_a_server_is_started_once_and_only_when_needed(bench: Workbench) -> None:
    async def unused(servers: Servers) -> int:
        return len(psutil.Process().children())

    async def shared(servers: Servers) -> int:
        await asyncio.gather(*(servers.tools("own") for _ in range(5)))
        return len(psutil.Process().children())

    before = len(psutil.Process().children())
    assert use(unused) == before
    assert use(shared) == before + 1
    assert len(psutil.Process().children()) == before


def test_nothing_of_a_server_is_left_when_the_run_ends(bench: Workbench) -> None:
    async def job(servers: Servers) -> list[int]:
        return [int(word) for word in (await called(servers, bench, "process")).text.split()]

    pids = use(job)
    assert len(pids) == 2
    until = time.monotonic() + 10  # whoever is killed needs a turn to die
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def test_nothing_of_a_server_is_left_when_the_run_is_cancelled(bench: Workbench) -> None:
    async def job(servers: Servers) -> None:
        pids.extend(int(word) for word in (await called(servers, bench, "process")).text.split())
        async with asyncio.timeout(0.5):
            await called(servers, bench, "hang")

    pids: list[int] = []
    with pytest.raises(TimeoutError):
        use(job)
    assert len(pids) == 2
    until = time.monotonic() + 10  # whoever is killed needs a turn to die
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def test_a_server_gets_only_the_variables_that_it_is_given(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_TOKEN", "s3cret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")

    async def job(servers: Servers) -> list[str]:
        names = ("TOKEN", "NOTES_TOKEN", "OPENAI_API_KEY")
        return [(await called(servers, bench, "environment", name=name)).text for name in names]

    assert use(job, program(env={"TOKEN": "NOTES_TOKEN"})) == ["s3cret", "unset", "unset"]


def test_results_are_bounded_text(bench: Workbench) -> None:
    async def job(servers: Servers) -> list[Output]:
        return [await called(servers, bench, name) for name in ("huge", "picture", "fail")]

    huge, picture, fail = use(job)
    assert len(huge.text) < 4100
    assert huge.text.startswith("Ax")
    assert huge.text.endswith("xZ")
    assert picture == Output("[image/png, left out: no text]\na word")
    assert not fail.ok
    assert "it cannot be done" in fail.text


def test_a_server_that_dies_is_told_to_the_model_and_started_again_once(bench: Workbench) -> None:
    async def job(servers: Servers) -> list[Output]:
        dead = await called(servers, bench, "die")
        again = await called(servers, bench, "add", a=1, b=1)
        return [dead, again, await called(servers, bench, "die"), await called(servers, bench, "add", a=1, b=1)]

    said: list[str] = []
    dead, again, dead_again, last = use(job, notice=said.append)
    assert dead == Output("The call failed: the server own ended before it had answered.", ok=False)
    assert again == Output("2")
    assert said == ["the MCP server `own` has ended; it is started again, once"]
    assert dead_again == dead
    assert last == Output("The server own has ended again; its tools cannot be used any more in this run.", ok=False)


def test_a_call_that_hangs_is_given_up_and_the_server_still_works(bench: Workbench) -> None:
    async def job(servers: Servers) -> list[Output]:
        late = await called(servers, bench, "hang")
        return [late, await called(servers, bench, "add", a=1, b=1)]

    late, second = use(job, program(deadline=5.0))
    assert late == Output("The server gave no answer within 5 seconds.", ok=False)
    assert second == Output("2")


def test_junk_on_standard_output_does_not_reach_the_terminal(
    bench: Workbench, capfd: pytest.CaptureFixture[str]
) -> None:
    async def job(servers: Servers) -> Output:
        return await called(servers, bench, "add", a=1, b=1)

    assert use(job, program("junk")) == Output("2")
    assert capfd.readouterr() == ("", "")


def broken(server: McpServer) -> UsageError:
    async def job(servers: Servers) -> None:
        await servers.tools("own")

    before = len(psutil.Process().children())
    with pytest.raises(UsageError) as raised:
        use(job, server)
    assert len(psutil.Process().children()) == before
    assert raised.value.place == "company.toml"
    assert "[mcp.own]" in raised.value.hint
    return raised.value


def test_a_server_that_cannot_be_started_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = broken(McpServer(command="no-such-program-at-all"))
    assert absent.message == "the MCP server `own` cannot be started: No such file or directory"
    ended = broken(program("broken"))
    assert ended.message.startswith("the MCP server `own` cannot be started: ")
    assert ended.message.endswith("; it said: ]0;title the database is missing")
    monkeypatch.setenv("NOTES_TOKEN", "s3cret")
    keyed = broken(program("broken", env={"TOKEN": "NOTES_TOKEN"}))
    assert keyed.message.endswith("the database is missing ***")
    monkeypatch.setattr("company.tools.servers.START_SECONDS", 1.0)
    slow = broken(program("slow"))
    assert slow.message == "the MCP server `own` cannot be started: it was not ready after 1 s"


def test_what_can_be_seen_before_a_start_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)

    async def enter(name: str, server: McpServer, **more: Any) -> None:
        async with open_servers([name], Settings(mcp={"own": server}), **more):
            pass

    with pytest.raises(UsageError, match="there is no MCP server `owm`") as raised:
        asyncio.run(enter("owm", program()))
    assert raised.value.hint == "did you mean own?"
    lacking = program(env={"TOKEN": "NO_SUCH_VARIABLE"})
    with pytest.raises(UsageError, match="NO_SUCH_VARIABLE is not set") as raised:
        asyncio.run(enter("own", lacking))
    assert raised.value.hint == "it holds the key of [mcp.own]"
    asyncio.run(enter("own", lacking, dry=True))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as raised:
        asyncio.run(enter("own", program()))
    assert raised.value.hint == "`pip install -e '.[mcp]'` in the folder of company's source"


def test_a_dry_run_starts_nothing() -> None:
    async def job(servers: Servers) -> list[str]:
        return [tool.name for tool in await resolve(["mcp.own", "mcp.own.add", "python"], servers)]

    assert use(job, McpServer(command="no-such-program-at-all"), dry=True) == ["python"]


def test_a_tool_that_the_server_lacks_is_a_mistake_of_the_operator(bench: Workbench) -> None:
    async def job(servers: Servers) -> None:
        await resolve(["mcp.own.ad"], servers)

    with pytest.raises(UsageError, match=r"there is no tool `mcp.own.ad`") as raised:
        use(job)
    assert raised.value.hint == "did you mean mcp.own.add?"


# --- HTTP -------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that takes the token `t0ken`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    with subprocess.Popen([sys.executable, SERVING, "http", str(number), "t0ken"]) as process:
        try:
            for _ in range(1000):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", number)) == 0:
                        break
                time.sleep(0.1)
            yield number
        finally:
            process.kill()


def test_a_server_over_http_wants_its_key(bench: Workbench, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("OWN_KEY", "t0ken")
    server = McpServer(url=f"http://127.0.0.1:{port}/mcp", key="OWN_KEY", deadline=8.0)

    async def job(servers: Servers) -> list[Output]:
        first = await called(servers, bench, "add", a=20, b=22)
        huge = await called(servers, bench, "huge")
        return [first, huge, await called(servers, bench, "die"), await called(servers, bench, "add", a=1, b=1)]

    first, huge, dead, after = use(job, server)
    assert first == Output("42")
    assert "characters left out" in huge.text
    assert not dead.ok
    assert not after.ok


def test_a_wrong_key_and_an_address_where_nobody_is(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "s3cret")
    refused = broken(McpServer(url=f"http://127.0.0.1:{port}/mcp?key=hidden", key="OWN_KEY"))
    assert refused.message == "the MCP server `own` cannot be started: it answered with HTTP status 401"
    nobody = broken(McpServer(url="http://127.0.0.1:9/mcp"))
    assert nobody.message == "the MCP server `own` cannot be started: no connection (ConnectError)"
