"""A chat-completions server over raw sockets that misbehaves by script: one behaviour per request, in order.

Each behaviour is an async function that is given the parsed request and the writer; the connection closes after it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

Behaviour = Callable[[dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class FaultServer:
    """Plays `script`; requests after its end get the last behaviour again."""

    script: Sequence[Behaviour]
    requests: list[Seen] = field(default_factory=list)
    most_at_once: int = 0
    base_url: str = ""
    _at_once: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
            self.requests.append(Seen(first.split()[1], headers, body))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            await self.script[min(len(self.requests), len(self.script)) - 1](body, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as it may
        finally:
            self._at_once -= 1
            writer.close()


@asynccontextmanager
async def serving(*script: Behaviour, certificate: Path | None = None) -> AsyncIterator[FaultServer]:
    """Runs a server on a free loopback port; with a certificate it speaks TLS."""
    faults = FaultServer(script)
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        try:
            await faults.handle(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    faults.base_url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield faults
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def head(status: str = "200 OK", kind: str = "text/event-stream", **headers: str) -> bytes:
    """A response's head for a body that ends with the connection."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n{more}\r\n".encode()


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def piece(content: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [choice], **more}


def call(arguments: str | None, index: int = 0, ident: str | None = None) -> dict[str, Any]:
    """One chunk of a stream with a piece of a tool call; the first of a call has its `ident`."""
    function = {"name": "Thing" if ident else None, "arguments": arguments}
    chunk = piece(None)
    chunk["choices"][0]["delta"]["tool_calls"] = [
        {"index": index, "id": ident, "type": "function", "function": function}
    ]
    return chunk


def asked_schema(body: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """By which rung a request asks for a reply that fits a schema, and the schema; an empty name where it does not."""
    form = body.get("response_format", {})
    if "tools" in body:
        return "tool", body["tools"][0]["function"]["parameters"]
    if form.get("type") == "json_schema":
        return "schema", form["json_schema"]["schema"]
    last = body["messages"][-1]["content"]
    _, found, shown = last.rpartition("Answer with JSON alone, in this form, filled in:\n")
    return ("json" if form else "prompt", _schema_of(shown)) if found else ("", None)


def _schema_of(form: str) -> dict[str, Any]:
    """The schema that a form shows, as far as it shows it."""
    fields, bounds = form.rpartition("\n}")[0] + "\n}", form.rpartition("\n}")[2]
    value = json.loads(re.sub(r'((?:true|"[^"\n]*"))(?: or (?:false|"[^"\n]*"))+', r"\1", fields))  # the first choice

    def of(value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {"type": "object", "properties": {name: of(inner) for name, inner in value.items()}}
        if isinstance(value, list):
            return {"type": "array", "items": of(value[0] if value else ""), "minItems": 1}
        kinds = {bool: "boolean", int: "integer", str: "string"}
        return {"type": kinds[type(value)]} | ({"maxLength": 1} if "characters" in bounds else {})

    return of(value)


def says(text: str, *, by_call: bool = False) -> Behaviour:
    """A good stream of a text in pieces; as the arguments of a tool call where that is wanted."""
    parts = [text[at : at + 7] for at in range(0, len(text), 7)]
    chunks = [call("", ident="c"), *map(call, parts)] if by_call else [piece(part) for part in parts]
    end = piece(None, "tool_calls" if by_call else "stop")
    return raw(
        b"".join(map(event, [*chunks, end, {**piece(None), "choices": [], "usage": USAGE}])) + b"data: [DONE]\n\n"
    )


USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 3,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 5},
}


def ok(*pieces: str, finish: str = "stop", usage: dict[str, Any] | None = USAGE) -> Behaviour:
    """A good stream."""

    async def behave(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(head())
        for text in pieces or ("Hel", "lo", "!"):
            writer.write(event(piece(text)))
        writer.write(event(piece(None, finish)))
        if usage:
            writer.write(event({**piece(None), "choices": [], "usage": usage}))
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()

    return behave


def completion(text: str, usage: dict[str, Any] = USAGE, **message: Any) -> bytes:
    """A whole answer as one JSON object."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
    answer = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(answer).encode()


def whole(text: str = "Hello!", **message: Any) -> Behaviour:
    """One JSON object, from a server that does not stream."""
    return raw(completion(text, **message), kind="application/json")


def raw(body: bytes, status: str = "200 OK", kind: str = "text/event-stream", **headers: str) -> Behaviour:
    """Any bytes, then the end of the connection."""

    async def behave(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, kind, **headers) + body)
        await writer.drain()

    return behave


def error(status: str, message: str = "went wrong", code: str | None = None, **headers: str) -> Behaviour:
    """An error status with the usual JSON."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return raw(body, status, "application/json", **headers)


def reset(*before: bytes) -> Behaviour:
    """Some bytes, then a TCP reset."""

    async def behave(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        for data in before:
            writer.write(data)
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def drip(data: bytes, seconds: float, before: bytes | None = None) -> Behaviour:
    """A head, or other bytes, then the same bytes again and again, for ever."""

    async def behave(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(head() if before is None else before)
        while True:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(seconds)

    return behave


def stall(*before: bytes) -> Behaviour:
    """Some bytes, then nothing more, and no end."""

    async def behave(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(before))
        await writer.drain()
        await asyncio.sleep(3600)

    return behave


async def silent(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing."""
    await asyncio.sleep(3600)


async def huge(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """One line without end."""
    writer.write(head() + b"data: ")
    while not writer.is_closing():
        writer.write(b"a" * (1 << 20))
        await writer.drain()


def bomb(megabytes: int) -> Behaviour:
    """A small gzip body that unfolds to many megabytes."""
    packed = gzip.compress(b"\0" * (megabytes << 20), 9)
    return raw(packed, content_encoding="gzip")


def self_signed(folder: Path, host: str = "127.0.0.1") -> Path:
    """A certificate that nobody vouches for, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{host}.pem"
    path.write_bytes(made.public_bytes(encoding) + private)
    return path
