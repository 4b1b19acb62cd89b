"""A model's endpoint that answers the steps of `zero_shot` and of what asks for documents, and keeps all that it was sent.

Where it is given tools it looks round with one.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from company.settings import Settings
from tests.fault_server import completion

DOCUMENTS = {
    "Prd": {
        "title": "T", "goals": ["g"], "user_stories": ["As a user, I want it, so that it is there"],
        "requirements": [{"id": "R1", "priority": "must", "text": "it doubles"}],
        "acceptance_criteria": ["it doubles"], "unclear": [],
    },
    "Outline": {"approach": "One function.", "entry_point": "", "dependencies": []},
    "FileSpec": {
        "purpose": "Doubles.", "depends_on": [],
        "parts": [{"signature": "def twice(n: int) -> int", "purpose": "The double."}],
    },
    "ToolCall": {
        "thought": "What lies there?",
        "call": {"tool": "shell", "arguments": {"command": "ls -aR /box /tmp; find /box /tmp -type f -exec cat {} +; env"}},
    },
    "Checks": {"calls": [{"imports": "from solution import twice", "expression": "twice(5)", "expected": "10"}], "commands": []},
}  # fmt: skip


class Endpoint:
    """It writes one file; once `down` is set it refuses all. Request `hangs_at` has no answer until `released`."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self.bodies: list[dict[str, Any]] = []
        self.down = False
        self.port = 0
        self.hangs_at = 0
        self.caller = 0
        """Port of whoever made the request that hangs."""
        self.reached, self.released = threading.Event(), threading.Event()

    @property
    def settings(self) -> Settings:
        provider = {"base_url": f"http://127.0.0.1:{self.port}/v1", "deadline": 20}
        return Settings(providers={"fake": provider}, _env_file=None)  # type: ignore[arg-type,call-arg]

    def reply(self, body: dict[str, Any]) -> str:
        form = body.get("response_format", {}).get("json_schema", {})
        if form:
            return json.dumps(DOCUMENTS[form["name"]])
        return f"### {self.path}\n```python\n{self.text}```\n"


@contextmanager
def endpoint(path: str, text: str) -> Iterator[Endpoint]:
    state = Endpoint(path, text)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.bodies.append(body)
            if len(state.bodies) == state.hangs_at:
                state.caller = self.client_address[1]
                state.reached.set()
                state.released.wait(100)
                return
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            data = b"{}" if state.down else completion(state.reply(body), usage)
            self.send_response(401 if state.down else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
