"""The one door a rival has to its model: passes chat completions on, counts calls and tokens, keeps what was said.

It listens on a Unix socket, so that a rival in a sandbox without a network reaches it and nothing else; the key stays
here. The other end of the door, inside the sandbox: `relay.py`. Who opens it: `run.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_SECONDS = 3600
"""How long the endpoint may be silent: a small model on two cores is slow, and the rival has its own patience."""


@dataclass
class Call:
    """One request of the rival's; it counts from when it came, whatever became of it."""

    asked: dict[str, Any]
    status: int | None = None
    """The endpoint's; None where it never answered."""
    answered: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    """As the endpoint told it; empty where it told none, or the rival went away first."""
    seconds: float = 0.0


class Counting(ThreadingUnixStreamServer):
    """Passes `/v1/chat/completions` on to `base_url`, always to `model`, whatever name the rival asks for."""

    daemon_threads = True

    def __init__(self, socket: Path, base_url: str, key: str, model: str) -> None:
        super().__init__(str(socket), _Handler)
        self.endpoint = f"{base_url.rstrip('/')}/chat/completions"
        self.key, self.model = key, model
        self.calls: list[Call] = []

    def totals(self) -> dict[str, int]:
        """What all calls came to. Tokens of an `uncounted` call are in no sum."""
        calls = list(self.calls)
        return {
            "calls": len(calls),
            "failed_calls": sum(call.status != 200 for call in calls),
            "uncounted_calls": sum(not call.usage for call in calls),
            "prompt_tokens": sum(call.usage.get("prompt_tokens", 0) for call in calls),
            "completion_tokens": sum(call.usage.get("completion_tokens", 0) for call in calls),
        }


class _Handler(BaseHTTPRequestHandler):
    server: Counting

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/v1/chat/completions":
            self.send_error(404, "only chat completions are passed on")
            return
        call = Call(json.loads(body))
        self.server.calls.append(call)
        began = time.monotonic()
        try:
            self._pass_on(call)
        except ConnectionError:
            pass  # the rival went away, or the endpoint did in the midst of a reply
        finally:
            call.seconds = round(time.monotonic() - began, 3)

    def _pass_on(self, call: Call) -> None:
        asked = {**call.asked, "model": self.server.model}
        told = (asked.get("stream_options") or {}).get("include_usage", False)
        if asked.get("stream"):
            asked["stream_options"] = {**(asked.get("stream_options") or {}), "include_usage": True}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.server.key}"}
        try:
            answer = urlopen(Request(self.server.endpoint, json.dumps(asked).encode(), headers), timeout=_SECONDS)
        except HTTPError as error:
            answer = error
        except OSError as error:
            self.send_error(502, f"the endpoint cannot be reached: {error}")
            return
        with answer:
            call.status = answer.status
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.end_headers()
            for line in _counted(answer, call, told):
                self.wfile.write(line)

    def address_string(self) -> str:
        return "rival"  # a Unix socket has no address

    def log_message(self, *_: object) -> None:
        """Nothing: standard output is the result's."""


def _counted(lines: Iterable[bytes], call: Call, told: bool) -> Iterator[bytes]:
    """The reply as it comes, without the chunk of usage that the rival did not ask for."""
    seen: list[bytes] = []
    try:
        for line in lines:
            seen.append(line)
            chunk = _object(line.removeprefix(b"data:")) if line.startswith(b"data:") else {}
            call.usage = chunk.get("usage") or call.usage
            if told or chunk.get("choices") != []:
                yield line
    finally:
        whole = b"".join(seen)
        call.answered = whole.decode("utf-8", "replace")
        call.usage = call.usage or _object(whole).get("usage") or {}


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
