"""The life of the embedded model's server, with llama.cpp itself and a model of 140 KB."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import tiny_gguf

import company
from company.errors import EndpointError, UsageError
from company.llm import download
from company.llm.local import LocalServer
from company.llm.machine import usable_cores

pytest.importorskip("xllamacpp")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a proxy that swallows whatever is not meant for it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("PYTHONPATH", str(Path(company.__file__).parents[1]))
    return tmp_path / "cache" / "company" / "servers"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_gguf.write(tmp_path / "tiny.gguf")


def server(model: Path, **settings: Any) -> LocalServer:
    return LocalServer(model, name="tiny", **{"context": 256, "slots": 1, "threads": 1, **settings})


def pid_of(running: LocalServer) -> int:
    (lease,) = running.log.parent.glob("*.json")
    return int(json.loads(lease.read_text())["pid"])


async def complete(running: LocalServer, key: str | None = None) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.post(
            f"{running.base_url}/chat/completions",
            headers={"Authorization": f"Bearer {running.api_key if key is None else key}"},
            json={
                "model": running.model,
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": 2,
            },
        )


def until(fact: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(bounded())


class Elsewhere:
    """Another process that uses the server until it is killed, by way of `serve_forever`."""

    def __init__(self, model: Path) -> None:
        code = (
            "import signal\n"
            "from pathlib import Path\n"
            "from company.llm.local import LocalServer, serve_forever\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
            f"server = LocalServer(Path({str(model)!r}), name='tiny', context=256, slots=1, threads=1)\n"
            "serve_forever(server, ready=lambda running: print(running.base_url))\n"
        )
        self.process = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.base_url = self.process.stdout.readline().strip()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=10)
        return self.process.returncode


def test_serves_with_its_key_only_and_ends(model: Path, cache: Path) -> None:
    async def work() -> None:
        news: list[str] = []
        async with server(model, progress=lambda seconds, what: news.append(what)) as running:
            reply = await complete(running)
            assert reply.json()["usage"]["completion_tokens"] == 2
            assert reply.json()["model"] == "tiny"
            assert (await complete(running, key="guess")).status_code == 401
            assert running.base_url.startswith("http://127.0.0.1:")
            process = psutil.Process(pid_of(running))
            assert running.api_key not in " ".join(process.cmdline())
            assert running.api_key not in str(process.environ())
            (lease,) = cache.glob("*.json")
            assert stat.S_IMODE(lease.stat().st_mode) == 0o600
            assert stat.S_IMODE(cache.stat().st_mode) == 0o700
            assert {each.laddr.ip for each in process.net_connections() if each.status == "LISTEN"} == {"127.0.0.1"}
        assert news[0] == "loading tiny"
        assert gone(process.pid)
        assert not list(cache.glob("*.json"))
        assert not await running.alive()

    run(work)


def test_second_user_joins_and_the_last_one_out_ends_it(model: Path) -> None:
    async def work() -> None:
        first, second = server(model), server(model, context=128)
        await first.__aenter__()
        pid = pid_of(first)
        async with second:
            assert (second.base_url, second.api_key) == (first.base_url, first.api_key)
            assert second.context == 256  # what the running server gives
            await first.__aexit__(None, None, None)
            assert (await complete(second)).status_code == 200
        assert gone(pid)

    run(work)


def test_another_host_with_the_same_home_has_its_own_server_and_learns_no_key(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock on a lease is seen from every host that has the folder; the address in it is another machine there."""

    async def work() -> None:
        async with server(model) as first:
            here = os.uname()
            monkeypatch.setattr(os, "uname", lambda: os.uname_result((here[0], "elsewhere", *here[2:])))
            async with server(model) as second:
                assert second.base_url != first.base_url
                assert second.api_key != first.api_key
                assert len([*cache.glob("*.json")]) == 2
            assert await first.alive()
            assert (await complete(first)).status_code == 200

    run(work)


def test_users_that_come_at_once_start_one_server(model: Path) -> None:
    async def work() -> None:
        several = [server(model) for _ in range(4)]
        await asyncio.gather(*(each.__aenter__() for each in several))
        assert len({each.base_url for each in several}) == 1
        pid = pid_of(several[0])
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in several))
        until(lambda: gone(pid))

    run(work)


def test_server_outlives_the_killed_process_that_started_it(model: Path) -> None:
    async def work() -> None:
        other = Elsewhere(model)
        async with server(model) as running:
            assert running.base_url == other.base_url
            pid = pid_of(running)
            other.end(signal.SIGKILL)
            assert (await complete(running)).status_code == 200
        until(lambda: gone(pid))

    run(work)


def test_server_ends_when_its_only_user_is_killed(model: Path, cache: Path) -> None:
    other = Elsewhere(model)
    pid = pid_of(server(model))
    other.end(signal.SIGKILL)
    until(lambda: gone(pid))
    assert not list(cache.glob("*.json"))


def test_killed_server_is_replaced(model: Path) -> None:
    async def work() -> None:
        async with server(model) as first:
            assert await first.alive()
            old = pid_of(first)
            os.kill(old, signal.SIGKILL)
            until(lambda: gone(old))
            assert not await first.alive()
            async with server(model) as second:
                assert pid_of(second) != old
                assert (await complete(second)).status_code == 200

    run(work)


def test_what_has_the_port_of_a_killed_server_is_not_asked_and_hinders_nobody(model: Path) -> None:
    asked: list[str] = []

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(str(self.headers))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *words: Any) -> None:
            pass

    async def work() -> None:
        async with server(model) as first:
            old = pid_of(first)
            os.kill(old, signal.SIGKILL)
            port = urlsplit(first.base_url).port or 0
            until(lambda: gone(old) and not listens(port))  # its threads may hold the port for a moment longer
            with HTTPServer(("127.0.0.1", port), Stranger) as stranger:
                threading.Thread(target=stranger.serve_forever).start()
                try:
                    assert not await first.alive()
                    async with server(model) as second:
                        assert (await complete(second)).status_code == 200
                        assert not await first.alive(), "another server is there now"
                finally:
                    stranger.shutdown()
        assert asked == []

    run(work)


def test_unloadable_model_is_told_with_the_log(tmp_path: Path, cache: Path) -> None:
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"GGUF" + b"\xff" * 100)

    async def work() -> None:
        with pytest.raises(EndpointError) as caught:
            await server(junk).__aenter__()
        assert "ended while it started (exit status 1)" in caught.value.message
        assert re.search("Failed to init server|model loading error", caught.value.message), caught.value.message
        assert caught.value.place.endswith(".log")

    run(work)
    assert not list(cache.glob("*.json"))


def test_missing_runtime_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    async def work() -> None:
        with pytest.raises(UsageError) as caught:
            await server(model).__aenter__()
        assert "pip install xllamacpp" in caught.value.hint

    run(work)


def test_port_in_use_is_told(model: Path) -> None:
    async def work() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(EndpointError, match="ended while it started"),
        ):
            await server(model, port=taken.getsockname()[1]).__aenter__()

    run(work)


def test_deadline_and_cancel_leave_no_process(model: Path) -> None:
    async def work() -> None:
        with pytest.raises(EndpointError, match="was not loaded within 0 s"):
            await server(model, deadline=0).__aenter__()
        loading = asyncio.Event()
        task = asyncio.create_task(server(model, progress=lambda *_: loading.set()).__aenter__())
        await loading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        until(lambda: psutil.Process().children() == [])
        async with server(model) as running:  # and the locks are free
            assert (await complete(running)).status_code == 200

    run(work)


def test_settings_that_the_running_server_has_not(model: Path) -> None:
    async def work() -> None:
        async with server(model, api_key="local") as running:
            with pytest.raises(UsageError, match="256 tokens per request, not 512"):
                await server(model, context=512).__aenter__()
            with pytest.raises(UsageError, match="not port 4711"):
                await server(model, port=4711).__aenter__()
            with pytest.raises(UsageError, match="another API key") as caught:
                await server(model, api_key="mine").__aenter__()
            assert str(pid_of(running)) in caught.value.hint
            assert (await complete(running, key="local")).status_code == 200

    run(work)


def test_who_joins_a_server_with_other_settings_is_told_which(model: Path) -> None:
    async def joined(**settings: Any) -> list[str]:
        said: list[str] = []
        async with server(model, notice=said.append, **settings) as second:
            assert second.slots == 1
        return said

    async def work() -> None:
        async with server(model):
            assert await joined() == []
            (line,) = await joined(slots=4, threads=3, build=model.parent)
        assert "shared as it is, with `slots = 1`, not 4, `threads = 1`, not 3, another build of the runtime" in line

    run(work)


def test_modules_of_the_current_folder_are_not_imported(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traceback.py").write_text("raise SystemExit('imported')")
    (tmp_path / "xllamacpp.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)

    async def work() -> None:
        async with server(model) as running:
            assert await running.alive()

    run(work)


def test_serve_forever_ends_with_ctrl_c(model: Path) -> None:
    other = Elsewhere(model)
    assert other.base_url.endswith("/v1")
    pid = pid_of(server(model))
    assert other.end(signal.SIGINT) == -signal.SIGINT
    assert gone(pid)


def test_cores_follow_the_affinity() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from company.llm.machine import usable_cores; print(usable_cores())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"


@pytest.mark.model
def test_real_model_answers_by_schema_and_tells_what_it_had_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    try:
        name, path = download.locate("qwen2.5-coder-0.5b")
    except UsageError as missing:
        pytest.skip(missing.hint)
    from langchain_openai import ChatOpenAI

    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string", "maxLength": 20}},
        "required": ["capital"],
        "additionalProperties": False,
    }

    async def work() -> None:
        async with (
            LocalServer(path, name=name, context=2048) as running,
            httpx.AsyncClient(trust_env=False) as http,
        ):
            chat = ChatOpenAI(
                model=name,
                base_url=running.base_url,
                api_key=running.api_key,  # type: ignore[arg-type]  # a plain string is accepted
                http_async_client=http,
                max_retries=0,
                temperature=0,
                stream_usage=True,
                max_tokens=40,
            ).bind(
                extra_body={
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "it", "schema": schema},
                    }
                }
            )
            question = "You answer questions about geography, in JSON. What is the capital of France?"
            first = await chat.ainvoke(question)
            assert json.loads(str(first.content)) == {"capital": "Paris"}
            assert first.usage_metadata
            pieces = [piece async for piece in chat.astream(question)]
            usage = [piece.usage_metadata for piece in pieces if piece.usage_metadata][-1]
            assert usage["input_tokens"] == first.usage_metadata["input_tokens"]
            assert usage["input_token_details"]["cache_read"] > usage["input_tokens"] // 2

    run(work)
