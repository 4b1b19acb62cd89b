"""Proxies and certificates that the environment names: used where they can be, told by their variable where not, and nothing to this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import certifi
import pytest

from company.errors import EndpointError
from company.llm import catalogue, sources, wire
from company.llm.check import CheckReport, check
from company.llm.client import ChatModel
from company.llm.endpoint import Endpoint
from tests import fault_server as fs
from tests.llm.test_client import play, request

NAMES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "OPENAI_PROXY"):
        monkeypatch.delenv(name, raising=False)


UNFIT = [
    pytest.param("ALL_PROXY", "socks5://127.0.0.1:9", "httpx[socks]", id="socks-without-its-package"),
    pytest.param("all_proxy", "socks://127.0.0.1:9/", "socks5://HOST:PORT", id="as-gnome-sets-it"),
    pytest.param("HTTPS_PROXY", "http://me:pass/word@proxy:3128", "%-escaped", id="a-password-not-escaped"),
    pytest.param("SSL_CERT_FILE", "/no/such.pem", "unset it", id="no-such-file"),
    pytest.param("SSL_CERT_FILE", __file__, "PEM", id="no-certificates"),
]


@pytest.mark.parametrize(("name", "value", "way_out"), UNFIT)
def test_what_cannot_be_used_is_told_by_its_name_with_a_way_out(
    name: str, value: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    model = ChatModel("mine:m", Endpoint("https://models.example/v1"))

    async def asked() -> EndpointError:
        with pytest.raises(EndpointError) as caught:
            await model.complete(request())
        return caught.value

    error = asyncio.run(asked())
    assert not error.retryable
    assert error.message.startswith(name)
    assert way_out in error.hint
    assert "word" not in error.message
    report: CheckReport = asyncio.run(check(model))
    assert [(finding.name, finding.ok) for finding in report.findings] == [("reply", False)]
    assert error.message in report.findings[0].detail
    assert error.hint in report.findings[0].detail


@pytest.mark.parametrize(("name", "value", "way_out"), UNFIT)
def test_none_of_it_keeps_this_machine_from_answering(
    name: str, value: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_PROXY", value)
    assert play(fs.ok(), retries=0).reply is not None


@pytest.mark.parametrize(
    ("name", "value", "way_out"),
    [
        *UNFIT[:2],
        *UNFIT[3:],
        pytest.param("NO_PROXY", "localhost,fd00::/8", "hosts", id="a-network"),
        pytest.param("NO_PROXY", "[::1]", "hosts", id="in-brackets"),
    ],
)
def test_a_model_is_fetched_from_elsewhere_where_the_hub_cannot_be_asked(
    name: str, value: str, way_out: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)
    model = next(iter(catalogue.MODELS.values()))
    monkeypatch.setattr(sources, "_need", lambda folder, count: None)
    with pytest.raises(EndpointError, match=name) as caught:
        sources.FETCH["hub"](model, tmp_path / "x.part", lambda done, total, what: None)
    assert name != "NO_PROXY" or f"`{value.rpartition(',')[2]}`" in caught.value.message


def test_what_goes_to_a_server_elsewhere_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Any:
        async with fs.serving(fs.ok()) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1").replace("//", "//me:planted@"))
            monkeypatch.setenv("OPENAI_PROXY", "http://127.0.0.1:9")
            monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")  # nothing here speaks TLS
            model = ChatModel("mine:m", Endpoint("http://models.example/v1", retries=0))
            reply = await model.complete(request())
            await model.close()
            return reply.text, proxy.requests[0]

    text, seen = asyncio.run(main())
    assert text == "Hello!"
    assert seen.path == "http://models.example/v1/chat/completions"
    assert seen.headers["proxy-authorization"].startswith("Basic ")


SIXES = "[::1], ::1/128,fd00::/8,[fd00::1]:8000"


@pytest.mark.parametrize(
    ("entries", "host", "goes_through"),
    [
        (SIXES, "models.example", True),
        (SIXES, "[fe80::1]", True),
        (SIXES, "[fd00::2]:8000", False),
        ("[fe80::1]:8000", "[fe80::1]:8000", False),
        ("[fe80::1]:8000", "[fe80::1]:8001", True),
        ("10.0.0.0/8", "10.1.2.3", False),
        ("example", "models.example", False),
        (".example", "models.example:8000", False),
        ("models.example:80", "models.example", False),
        ("dels.example, other", "models.example", True),
        ("*", "models.example", False),
    ],
)
def test_every_kind_of_entry_of_no_proxy_holds_and_none_hinders_the_others(
    entries: str, host: str, goes_through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", entries)
    monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
    proxy = wire.of_environment(f"http://{host}/v1")["proxy"]
    assert proxy == ("http://proxy:3128" if goes_through else None)
    asyncio.run(wire.open_client(f"http://{host}/v1", 1.0).aclose())


def test_certificates_that_no_variable_names_are_not_told_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certifi, "where", lambda: "/no/such.pem")
    with pytest.raises(EndpointError) as caught:
        wire.open_client("https://models.example/v1", 1.0)
    assert "SSL_CERT_DIR" not in caught.value.message
    assert "No such file" in caught.value.message
    assert "certifi" in caught.value.hint
