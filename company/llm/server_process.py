"""The process that runs llama.cpp's server: reads its orders on stdin, says `ready` on stdout, serves.

Who starts it, shares it and talks to it: `local.py`. It lives exactly as long as somebody uses it: every user
holds a shared lock on one file, this process waits for the exclusive one, and the kernel frees a dead user's.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve until nobody holds the users' lock. `local.py` gives the orders; the API key is one of them."""
    os.setsid()  # Ctrl-C ends one run; it must not end the server under the others
    orders: dict[str, Any] = json.loads(sys.stdin.read())
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # llama.cpp writes to stdout too; all of that is log
    users = os.open(orders["users"], os.O_RDWR)
    try:
        server = _serve(orders)
    except (
        ImportError,
        RuntimeError,
        AttributeError,
    ):  # xllamacpp is missing, or refuses the file, the port or a setting
        traceback.print_exc()
        sys.exit(1)
    lease = Path(orders["lease"])
    facts = {name: orders[name] for name in ("api_key", "name", "path", "context", "slots", "threads", "runtime")}
    _lay_down(lease, {**facts, "base_url": f"{server.listening_address}/v1", "pid": os.getpid()})
    answer.write("ready\n")
    answer.close()
    fcntl.flock(users, fcntl.LOCK_EX)  # waits here until the last user is gone
    lease.unlink(missing_ok=True)
    os._exit(0)  # the threads of llama.cpp cannot be joined


def _serve(orders: dict[str, Any]) -> Any:
    """Load the model and listen. The server's own threads do the work; it stops when it is collected."""
    if orders["runtime"]:
        sys.path.insert(0, orders["runtime"])
    import xllamacpp  # type: ignore[import-untyped]  # it ships no types

    params = xllamacpp.CommonParams()
    params.model.path = orders["path"]
    params.model_alias = {orders["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = orders["port"]
    params.api_keys = [orders["api_key"]]
    params.n_parallel = orders["slots"]
    params.n_ctx = orders["slots"] * orders["context"]
    params.cache_prompt = True
    params.ui = False
    for name, value in orders["params"].items():
        _set(xllamacpp, params, name, value)
    return xllamacpp.Server(params)


def _set(xllamacpp: Any, params: Any, name: str, value: Any) -> None:
    """Set one of llama.cpp's parameters by its dotted name; members of its enumerations come as ``type.MEMBER``."""
    *way, last = name.split(".")
    for step in way:
        params = getattr(params, step)
    members = [_member(xllamacpp, each) for each in value] if isinstance(value, list) else _member(xllamacpp, value)
    setattr(params, last, members)


def _member(xllamacpp: Any, value: Any) -> Any:
    kind, dot, member = value.partition(".") if isinstance(value, str) else ("", "", "")
    return getattr(getattr(xllamacpp, kind), member) if dot and hasattr(xllamacpp, kind) else value


def _lay_down(path: Path, content: dict[str, Any]) -> None:
    """Write whole or not at all, readable by this user alone: it holds the key. Locked for as long as this process lives."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.write(file, json.dumps(content).encode())
    draft.replace(path)


if __name__ == "__main__":
    main()
