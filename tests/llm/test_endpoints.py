"""What each known endpoint is sent: path, header of the key, fields of the body; with the test server in its place."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from company import endpoints
from company.errors import UsageError
from company.llm.check import check
from company.llm.client import Message, Request, StepLabel
from company.llm.providers import check_name, open_model
from company.llm.wire import is_loopback, open_client
from company.settings import Settings, load_settings
from tests import fault_server as fs

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
REQUEST = Request((Message("user", "Hello."),), SCHEMA, "Thing", 0.5, 50, 7, StepLabel("code", "engineer"))
CHECKED = '{"colour": "vermilion", "count": 1, "words": ["sea"]}'
HERE = {"llamacpp": "/v1", "lmstudio": "/v1", "ollama": "/v1", "vllm": "/v1"}
SERVICES = {
    "deepseek": "/v1",
    "groq": "/openai/v1",
    "mistral": "/v1",
    "openai": "/v1",
    "openrouter": "/api/v1",
    "together": "/v1",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, no key but those of the known services."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "COMPANY_MODEL"):
        monkeypatch.delenv(name, raising=False)
    for fields in endpoints.KNOWN.values():
        if "key" in fields:
            monkeypatch.setenv(fields["key"], f"k-{fields['key']}")
    return tmp_path


def asked(name: str, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any] | None = None) -> fs.Seen:
    """What arrives for a question to ``name:m-1``; `settings` has `URL` where the server's address belongs."""

    async def main() -> fs.Seen:
        script = (fs.ok('{"a": 1}'), fs.ok("One, two."), fs.ok(CHECKED))
        async with fs.serving(*script) as server:
            here = server.base_url.removesuffix("/v1")
            if name in endpoints.KNOWN:
                fields = endpoints.KNOWN[name]
                moved = {**fields, "base_url": here + urlsplit(fields["base_url"]).path}
                monkeypatch.setitem(endpoints.KNOWN, name, moved)
            entry = {
                key: value.replace("URL", here) if key == "base_url" else value
                for key, value in (settings or {}).items()
            }
            chosen = Settings(providers={name: entry} if settings else {})
            check_name(f"{name}:m-1", chosen)
            async with open_model(f"{name}:m-1", chosen) as model:
                assert (await model.complete(REQUEST)).text == '{"a": 1}'
                report = await check(model)
            assert report.ok
            assert all(finding.ok for finding in report.findings if finding.name in ("reply", "usage"))
            return server.requests[0]

    return asyncio.run(main())


def test_the_table_is_what_it_should_be() -> None:
    assert set(endpoints.KNOWN) == {*HERE, *SERVICES}
    for name, fields in endpoints.KNOWN.items():
        parts = urlsplit(fields["base_url"])
        assert parts.scheme == ("http" if name in HERE else "https")
        assert is_loopback(parts.hostname or "") == (name in HERE)
        assert ("key" in fields) == (name in SERVICES)


@pytest.mark.parametrize(("name", "path"), [*HERE.items(), *SERVICES.items()])
def test_a_known_endpoint_is_sent_what_it_documents(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = asked(name, monkeypatch)
    assert seen.path == f"{path}/chat/completions"
    key = endpoints.KNOWN[name].get("key")
    assert seen.headers["authorization"] == f"Bearer {f'k-{key}' if key else 'none'}"
    assert (seen.body["model"], seen.body["stream"], seen.body["temperature"]) == ("m-1", True, 0.5)
    assert seen.body["max_tokens"] == 50
    known = {"model", "messages", "stream", "temperature", "max_tokens", "stream_options", "response_format", "seed"}
    assert set(seen.body) - known == ({"random_seed"} if name == "mistral" else set())
    assert ("stream_options" in seen.body) == (name != "mistral")
    assert ("seed" in seen.body) == (name not in ("mistral", "deepseek"))
    held = name not in ("deepseek", "groq", "together")
    form = "json_schema" if held else "json_object" if name != "together" else None
    assert seen.body.get("response_format", {}).get("type") == form
    assert ("in this form, filled in" in seen.body["messages"][0]["content"]) != held


def test_openai_itself_is_sent_its_own_name_for_the_bound() -> None:
    from company.llm.endpoint import Endpoint

    assert Endpoint("https://api.openai.com/v1").bound_name == "max_completion_tokens"
    assert Endpoint("https://openai.com.example/v1").bound_name == "max_tokens"
    assert Endpoint("https://h/v1", max_tokens_as="max_completion_tokens").bound_name == "max_completion_tokens"


def test_azure_by_deployment_and_by_its_newer_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k-azure")
    more = {"key": "AZURE_OPENAI_API_KEY", "key_header": "api-key", "max_tokens_as": "max_completion_tokens"}
    old = asked("azure", monkeypatch, {"base_url": "URL/openai/deployments/d-1?api-version=2024-10-21", **more})
    assert old.path == "/openai/deployments/d-1/chat/completions?api-version=2024-10-21"
    new = asked("azure", monkeypatch, {"base_url": "URL/openai/v1", **more})
    assert new.path == "/openai/v1/chat/completions"
    for seen in (old, new):
        assert seen.headers["api-key"] == "k-azure"
        assert "authorization" not in seen.headers
        assert seen.body["max_completion_tokens"] == 50
        assert "max_tokens" not in seen.body


def test_what_names_an_account_at_openai_is_sent_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    assert not {"openai-organization", "openai-project"} & set(asked("groq", monkeypatch).headers)

    async def sent(address: str) -> dict[str, str]:
        async with open_client(address, 1.0) as client:
            request = client.build_request("POST", address, headers={"OpenAI-Project": "proj-1"})
            for hook in client.event_hooks["request"]:
                await hook(request)
        return dict(request.headers)

    assert asyncio.run(sent("https://api.openai.com/v1"))["openai-project"] == "proj-1"
    assert "openai-project" not in asyncio.run(sent("https://openai.com.example/v1"))
    assert "openai-project" not in asyncio.run(sent("https://notopenai.com/v1"))


def test_an_entry_of_ones_own_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "k-other")
    alone = asked("groq", monkeypatch, {"base_url": "URL/mine"})
    assert (alone.path, alone.headers["authorization"]) == ("/mine/chat/completions", "Bearer none")
    assert "response_format" in alone.body, "an address of one's own is nothing that is known"
    filled = asked("groq", monkeypatch, {"key": "OTHER", "structured": "schema"})
    assert (filled.path, filled.headers["authorization"]) == ("/openai/v1/chat/completions", "Bearer k-other")
    assert filled.body["response_format"]["type"] == "json_schema"
    (folder / "company.toml").write_text("[providers.ollama]\ncontext = 8192\n")
    entry = load_settings().providers["ollama"]
    assert (entry.base_url, entry.context) == (endpoints.KNOWN["ollama"]["base_url"], 8192)


def test_openai_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        check_name("openai:m", Settings())
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    check_name("openai:m", Settings())
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")
    with pytest.raises(UsageError, match="`nowhere` is no address") as raised:
        check_name("openai:m", Settings())
    assert "OPENAI_BASE_URL" in raised.value.hint
