"""The HTTP client under a chat model: proxies and certificates of the environment, bounded bodies, servers that do not stream.

What is asked and when it is tried again: `client.py`. What an exception means: `faults.py`.
Imports httpx at the top, so this module is itself imported inside functions.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from urllib.request import getproxies

import httpx

from company.credentials import secrets_of
from company.errors import EndpointError
from company.llm.endpoint import is_of_openai

BODY_LIMIT = 16 << 20
"""Bytes of one answer after decompression. One token of a stream takes up to 300 bytes on the wire."""
CONNECT_SECONDS = 20.0
_HEAD_BYTES = 2000
_ACCOUNT = ("OpenAI-Organization", "OpenAI-Project")
"""Headers that the openai package makes of OPENAI_ORG_ID and OPENAI_PROJECT_ID, whomever it asks."""

_head: ContextVar[bytearray | None] = ContextVar("head", default=None)


def open_client(base_url: str, idle_seconds: float, key_header: str = "") -> httpx.AsyncClient:
    """A client for one endpoint. Loopback addresses never go through a proxy of the environment.

    What names an account at OpenAI goes to OpenAI's own hosts alone.

    Args:
        idle_seconds: how long the server may send nothing at all.
        key_header: carries the key instead of ``Authorization``.

    Raises:
        EndpointError: as `environment_told`.
    """
    for library in ("httpx", "openai"):  # their logs have the address of a request, and what it has of secrets
        logging.getLogger(library).setLevel(logging.WARNING)

    async def settle(request: httpx.Request) -> None:
        if key_header:
            request.headers[key_header] = request.headers.pop("Authorization").removeprefix("Bearer ")
        if not is_of_openai(request.url.host):
            for name in _ACCOUNT:
                request.headers.pop(name, None)

    with environment_told():
        return httpx.AsyncClient(
            timeout=httpx.Timeout(idle_seconds, connect=CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity"},
            event_hooks={"request": [settle], "response": [_guard]},
            **of_environment(base_url),
        )


def open_download(idle_seconds: float) -> httpx.Client:
    """A client that fetches a file from wherever it is led to, so that httpx looks itself which proxy leads there.

    Raises:
        EndpointError: as `environment_told`.
    """
    with environment_told():
        return httpx.Client(timeout=httpx.Timeout(idle_seconds, connect=5), follow_redirects=True)


def of_environment(address: str) -> dict[str, Any]:
    """What a client for one address is made with: its proxy, and the certificates that are trusted, where there is TLS.

    httpx by itself makes no client where NO_PROXY holds a network of IPv6 or a number in brackets.
    """
    url = httpx.URL(address)
    proxies = {name.lower(): proxy for name, proxy in _proxies().items()}
    proxy = proxies.get(f"{url.scheme}_proxy") or proxies.get("all_proxy")
    return {
        "trust_env": False,
        "proxy": None if is_loopback(url.host) or _is_excepted(url) else proxy,
        "verify": httpx.create_ssl_context(trust_env=url.scheme == "https"),
    }


@contextmanager
def environment_told() -> Iterator[None]:
    """Around the making of a client: what of the environment it cannot use is named, without the password that may be in it.

    Raises:
        EndpointError: a variable of proxies or certificates is of no use.
    """
    try:
        yield
    except OSError as error:  # also what is no certificate
        name = next((each for each in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(each)), "")
        if not name:
            raise EndpointError(
                f"the certificates that are trusted cannot be read: {error.strerror or error}",
                hint="`pip install --force-reinstall certifi`, or set SSL_CERT_FILE to a PEM file of certificates",
            ) from None
        raise EndpointError(
            f"{name} names no certificates ({os.environ.get(name, '')}: {error.strerror or error})",
            hint=f"set {name} to a PEM file of your authority's certificates, or unset it",
        ) from None
    except (ImportError, ValueError, httpx.InvalidURL):
        raise _unfit_proxy() from None


def proxy_secrets() -> tuple[str, ...]:
    """What no message may hold of the environment's proxies, which may say what they were sent."""
    found: list[str] = []
    for address in _proxies().values():
        with suppress(ValueError):  # one that no client was made with
            found += secrets_of("", address)
    return tuple(found)


def _proxies() -> dict[str, str]:
    """The proxies of the environment, by the variable that names each."""
    proxies = getproxies()  # also what macOS and Windows are set to
    names = {f"{scheme}_proxy": proxies[scheme] for scheme in ("http", "https", "all") if proxies.get(scheme)}
    return {
        name if os.environ.get(name) else name.upper(): address if "://" in address else f"http://{address}"
        for name, address in names.items()
    }


def _unfit_proxy() -> EndpointError:
    """Which variable it is that no client can be made with."""
    for name, address in _proxies().items():
        try:
            httpx.Client(proxy=address, trust_env=False).close()
        except ImportError:
            hint = f"`pip install 'httpx[socks]'`, or set {name} to an http:// proxy, or unset it"
            return EndpointError(
                f"{name} names a SOCKS proxy, and the package that speaks SOCKS is not installed", hint=hint
            )
        except (ValueError, httpx.InvalidURL):
            hint = f"set {name} to http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, a password in it %-escaped, or unset it"
            return EndpointError(f"{name} is no address of a proxy that requests can go through", hint=hint)
    entry = next((each for each in _exceptions() if re.search(r"\[|:.*:.*/", each)), ",".join(_exceptions()))
    return EndpointError(
        f"NO_PROXY holds `{entry}`, which a download cannot go by",
        hint="set NO_PROXY to names and numbers of hosts, with commas between: of IPv6 no network, and no brackets",
    )


def _exceptions() -> list[str]:
    return [entry for each in getproxies().get("no", "").split(",") if (entry := each.strip().lower())]


def _is_excepted(url: httpx.URL) -> bool:
    """Whether NO_PROXY names a host: it or a domain above it, its number or a network that it is in; also with its port."""
    port = url.port or (443 if url.scheme == "https" else 80)
    for entry in _exceptions():
        name = entry.rpartition("://")[2]
        with suppress(ValueError):
            if ipaddress.ip_address(url.host) in ipaddress.ip_network(name.strip("[]"), strict=False):
                return True
        name = name.removesuffix(f":{port}").strip("[]").lstrip("*.")
        if entry == "*" or (name and f".{url.host}".endswith(f".{name}")):
            return True
    return False


@contextmanager
def keep_head() -> Iterator[bytearray]:
    """Keeps the first bytes of the answer that is read inside, for the message when it is none."""
    head = bytearray()
    token = _head.set(head)
    try:
        yield head
    finally:
        _head.reset(token)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or number alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def too_large(most: str) -> EndpointError:
    """What is said of an answer that goes on beyond what a chat completion may have."""
    hint = "this is no chat completion; check the endpoint's address, and whether it keeps to the bound of a reply"
    return EndpointError(f"the answer is larger than {most}", hint=hint)


async def bounded(response: httpx.Response) -> None:
    """A response hook that runs before any byte of a body is read: no more than `BODY_LIMIT`, once decompressed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    for name in ("content-encoding", "content-length"):
        if name in response.headers:
            del response.headers[name]
    assert isinstance(response.stream, httpx.AsyncByteStream)
    response.stream = _Bounded(response.stream, encoding)


async def _guard(response: httpx.Response) -> None:
    await bounded(response)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.is_success and kind == "application/json":
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _AsEvents(response.stream)


class _Bounded(httpx.AsyncByteStream):
    """Decompresses step by step and stops at the limit, so a bomb never unfolds in memory."""

    def __init__(self, inner: httpx.AsyncByteStream, encoding: str) -> None:
        self._inner = inner
        self._encoding = encoding
        self._data = self._read()  # one pass: whoever drains the rest goes on where the reader stopped

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._data

    async def _read(self) -> AsyncIterator[bytes]:
        inflate = self._decoder()
        head = _head.get()
        room = BODY_LIMIT
        async for data in self._inner:
            if inflate:
                try:
                    data = inflate.decompress(data, room + 1)
                except zlib.error as error:
                    raise EndpointError(f"the answer is damaged: {error}", retryable=True) from error
            room -= len(data)
            if room < 0:
                raise too_large(f"{BODY_LIMIT >> 20} MiB")
            if head is not None and len(head) < _HEAD_BYTES:
                head += data[:_HEAD_BYTES]
            yield data

    def _decoder(self) -> zlib._Decompress | None:
        if self._encoding in ("identity", ""):
            return None
        if self._encoding in ("gzip", "x-gzip", "deflate"):
            return zlib.decompressobj(wbits=47)  # gzip or zlib, told by the header
        raise EndpointError(
            f"the answer is compressed as `{self._encoding[:20]}` though it was asked for uncompressed",
            hint="turn compression off at the endpoint or the proxy before it",
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _AsEvents(httpx.AsyncByteStream):
    """A whole completion in one JSON object, rewritten as the stream of events that was asked for."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner
        self._data = self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._data

    async def _read(self) -> AsyncIterator[bytes]:
        body = b"".join([data async for data in self._inner])
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            yield body  # no event in it: reported as what it is
            return
        choices = answer.get("choices") if isinstance(answer, dict) else None
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
                choice["delta"] = choice.pop("message")
                for number, call in enumerate(choice["delta"].get("tool_calls") or []):
                    call.setdefault("index", number)
                choice["finish_reason"] = choice.get("finish_reason") or "stop"
        yield b"data: " + json.dumps(answer).encode() + b"\n\ndata: [DONE]\n\n"

    async def aclose(self) -> None:
        await self._inner.aclose()
