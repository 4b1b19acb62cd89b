"""A chat-completions server that answers every question of the `waterfall` by its schema, and counts what it was asked."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from running import CHECKS, INTERFACE, OUTLINE, PRD, RIGHT, WRONG

from tests.fault_server import completion

DOCUMENTS = {"Prd": PRD, "Outline": OUTLINE, "FileSpec": INTERFACE, "Checks": CHECKS}


class Answering:
    """What was asked so far. `before` runs before each answer, with the number of the request, from 1."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.answered: list[str] = []
        self.pause = 0.0
        self.down_from = 1_000_000
        """The number of the request from which on the server refuses all."""
        self.port = 0
        self._lock = threading.Lock()

    def reply(self, body: dict[str, Any]) -> str:
        """The text for a request."""
        form = body.get("response_format", {}).get("json_schema", {})
        if form:
            return json.dumps(DOCUMENTS[form["name"]])
        return RIGHT if "What fails" in body["messages"][-1]["content"] else WRONG

    def handle(self, raw: str) -> bytes:
        body = json.loads(raw)
        with self._lock:
            self.bodies.append(raw)
        time.sleep(self.pause)
        text = self.reply(body)
        with self._lock:
            self.answered.append(raw)
        return completion(text, {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})


@contextmanager
def answering() -> Iterator[Answering]:
    """The server, on a free loopback port."""
    state = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"])).decode()
            answer = state.handle(raw)
            try:
                self.send_response(401 if len(state.bodies) >= state.down_from else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # whoever asked was killed

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
