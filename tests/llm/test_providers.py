"""From a model's name to a model that answers, and what a name that cannot be used says."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from company.errors import Interrupted, UsageError
from company.llm.catalogue import MODELS
from company.llm.client import ChatModel, Message, Request, StepLabel
from company.llm.providers import check_name, open_model, price_of
from company.settings import Price, Provider, Settings
from tests import fault_server as fs

REQUEST = Request((Message("user", "Say hello."),), None, "", 0.0, 50, 1, StepLabel("code", "engineer"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, no keys, no weights."""
    for name in [name for name in os.environ if name.startswith(("COMPANY_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COMPANY_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def provider(**fields: object) -> Settings:
    return Settings(providers={"mine": Provider.model_validate({"base_url": "http://127.0.0.1:9/v1", **fields})})


def refusal(name: str, settings: Settings | None = None) -> UsageError:
    with pytest.raises(UsageError) as raised:
        check_name(name, settings or Settings())
    return raised.value


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("loca:qwen2.5-coder-1.5b", "there is no model provider `loca`", "did you mean `local`?"),
        ("qwen2.5-coder-1.5b", "there is no model provider", "did you mean `local:qwen2.5-coder-1.5b`?"),
        ("elsewhere:x", "there is no model provider `elsewhere`", "the providers are `local`, `replay`, `script`"),
        ("", "there is no model provider ``", "write provider:model"),
        ("local:", "`local:` names no model", "write local:MODEL"),
        ("openai", "`openai` names no model", "write openai:MODEL"),
        ("local:qwen2.5-coder-1.6b", "unknown embedded model", "did you mean qwen2.5-coder-1.5b?"),
        ("local:./none.gguf", "cannot read the model file: No such file", ""),
        ("openai:gpt", "OPENAI_API_KEY is not set", "set it, or OPENAI_BASE_URL"),
        ("script:none.yaml", "cannot read the script: No such file", ""),
    ],
)
def test_a_name_that_cannot_be_used_says_the_way_out(name: str, message: str, hint: str) -> None:
    error = refusal(name)
    assert message in error.message
    assert hint in error.hint


def test_a_named_provider_wants_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("mine:m", provider(key="MINE_KEY")).message == "MINE_KEY is not set"
    monkeypatch.setenv("MINE_KEY", "k")
    check_name("mine:m", provider(key="MINE_KEY"))


def test_names_that_can_be_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "s.yaml").write_text("[]")
    (folder / "own.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    for name in ("dry", "script:s.yaml", "local:qwen2.5-coder-0.5b", "local:./own.gguf", "openai:any", "mine:any"):
        check_name(name, provider())


def test_a_script_and_a_dry_run_answer(folder: Path) -> None:
    (folder / "s.yaml").write_text("[{reply: hello}]")

    async def ask(name: str) -> str:
        async with open_model(name, Settings()) as model:
            return (await model.complete(REQUEST)).text

    assert asyncio.run(ask("script:s.yaml")) == "hello"
    assert "Dry run: no model wrote this." in asyncio.run(ask("dry"))


def test_an_endpoint_is_asked_with_its_key_and_retries_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_KEY", "k-123")
    notices: list[str] = []

    async def ask() -> fs.FaultServer:
        script = (fs.error("503 Service Unavailable", **{"Retry-After": "0.1"}), fs.ok("Hello!"))
        async with fs.serving(*script) as server:
            settings = provider(base_url=server.base_url, key="MINE_KEY", context=4096, parallel=3)
            async with open_model("mine:m-1", settings, notice=notices.append) as model:
                assert isinstance(model, ChatModel)
                assert (model.name, model.context, model.endpoint.parallel) == ("mine:m-1", 4096, 3)
                assert (await model.complete(REQUEST)).text == "Hello!"
            return server

    first, second = asyncio.run(ask()).requests
    assert first.headers["authorization"] == "Bearer k-123"
    assert second.body["model"] == "m-1"
    assert len(notices) == 1
    assert "trying again" in notices[0]


@pytest.mark.parametrize(("one", "two", "most"), [(2, 2, 2), (3, 1, 1), (1, 3, 1)])
def test_two_names_of_one_address_share_its_places_and_the_smaller_number_holds(one: int, two: int, most: int) -> None:
    async def slow(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await fs.ok()(body, writer)

    async def ask() -> int:
        async with fs.serving(slow) as server, AsyncExitStack() as stack:
            url = server.base_url
            entries = {"one": {"base_url": url, "parallel": one}, "two": {"base_url": f"{url}/?v=2", "parallel": two}}
            settings = Settings(providers={name: Provider.model_validate(each) for name, each in entries.items()})
            opened = [await stack.enter_async_context(open_model(f"{name}:m", settings)) for name in entries]
            await asyncio.gather(*(model.complete(REQUEST) for model in opened * 3))
            return server.most_at_once

    assert asyncio.run(ask()) == most


@pytest.mark.parametrize("names", [("mine", "openai"), ("openai", "mine")])
@pytest.mark.parametrize("parallel", [2, 6])
def test_a_known_name_without_an_entry_goes_by_the_entry_at_its_address(
    names: tuple[str, str], parallel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await fs.ok()(body, writer)

    async def ask() -> int:
        async with fs.serving(slow) as server, AsyncExitStack() as stack:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            settings = provider(base_url=server.base_url, parallel=parallel)
            opened = [await stack.enter_async_context(open_model(f"{name}:m", settings)) for name in names]
            await asyncio.gather(*(model.complete(REQUEST) for model in opened * 4))
            return server.most_at_once

    assert asyncio.run(ask()) == parallel


def test_what_a_model_costs() -> None:
    settings = provider(price={"input": 0.5, "output": 2})
    assert price_of("mine:m", settings) == Price(input=0.5, output=2)
    assert price_of("mine:m", provider()) is None
    assert price_of("openai:m", settings) is None
    assert all(price_of(name, settings) == Price(input=0, output=0) for name in ("local:x", "script:f", "dry"))


@pytest.fixture
def slow_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that would take hours to send the weights."""
    size, ended = MODELS["qwen2.5-coder-0.5b"].bytes, threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 0-{size - 1}/{size}")
            self.send_header("Content-Length", str(size))
            self.end_headers()
            while not ended.wait(0.05):
                try:
                    self.wfile.write(b"x" * 1000)
                except OSError:
                    return

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("slow_hub")
def test_a_download_on_the_way_to_a_model_is_seen_and_can_be_cancelled(folder: Path) -> None:
    seen: list[int] = []

    async def begin() -> None:
        def watch(done: int, total: int, what: str) -> None:
            seen.append(done)
            if done > 5000:
                loop.call_soon_threadsafe(task.cancel)

        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task
        async with open_model("local:qwen2.5-coder-0.5b", Settings(), progress=watch):
            pytest.fail("the weights cannot be there")

    began = time.monotonic()
    with pytest.raises((asyncio.CancelledError, Interrupted)):
        asyncio.run(begin())
    assert time.monotonic() - began < 10
    assert seen == sorted(seen)
    (part,) = (folder / "models").glob("*.part")
    assert part.stat().st_size >= 5000, "what came is kept for the next pull"


def test_what_a_model_cannot_honour_is_refused_with_the_place_of_the_step() -> None:
    from company.llm.providers import refuse_unfit

    strict, small = provider(temperature=False), provider(context=4096)
    with pytest.raises(UsageError, match=r"a\.yaml:3:1: `temperature` cannot be set for `mine:o`"):
        refuse_unfit("mine:o", strict, temperature=True, max_tokens=None, place="a.yaml:3:1")
    with pytest.raises(UsageError, match=r"the context of `mine:o` has 4096 tokens"):
        refuse_unfit("mine:o", small, temperature=True, max_tokens=4096, place="a.yaml:3:1")
    with pytest.raises(UsageError, match=r"has 8192 tokens"):
        refuse_unfit("local:m", Settings(), temperature=True, max_tokens=9000, place="a.yaml:3:1")
    refuse_unfit("mine:o", strict, temperature=False, max_tokens=100_000, place="")
    refuse_unfit("mine:o", small, temperature=True, max_tokens=4095, place="")


def test_no_temperature_is_sent_to_an_endpoint_that_takes_none() -> None:
    async def ask(takes: bool) -> dict[str, object]:
        async with fs.serving(fs.ok("Hello.")) as server:
            settings = provider(temperature=takes, base_url=server.base_url)
            async with open_model("mine:o", settings) as model:
                await model.complete(REQUEST)
            return server.requests[0].body

    assert "temperature" not in asyncio.run(ask(False))
    assert asyncio.run(ask(True))["temperature"] == 0.0
