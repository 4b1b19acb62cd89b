"""Both forms of the sandbox: this process's own, and as root also an ordinary user's, in a process of his.

What they are put through: the test files beside this one. The other process: `as_user.py`.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from company.sandbox import Bubblewrap, Result, Sandbox, Spec

ROOT = Path(__file__).parents[2]
NOBODY = 65534
FORMS = ["root", "user"] if os.geteuid() == 0 else ["user"]
SECRET = "sk-canary-2f9c51"


class OtherUser:
    """The sandbox as an ordinary user has it, driven through a process of such a user."""

    name = "bubblewrap (user)"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _become_nobody(), "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "OPENAI_API_KEY": SECRET, "PYTHONPATH": str(ROOT)},
            cwd="/",
        )

    async def run(self, spec: Spec) -> Result:
        return await asyncio.to_thread(self._ask, spec)

    def _ask(self, spec: Spec) -> Result:
        asked = dataclasses.asdict(dataclasses.replace(spec, files={}, stdin=b""))
        asked["files"] = {path: base64.b64encode(text).decode() for path, text in spec.files.items()}
        asked["stdin"] = base64.b64encode(spec.stdin).decode()
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        assert line, "the other user's process died"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return Result(**{**answer, "report": base64.b64decode(answer["report"])})

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        assert self._process.wait(10) == 0
        self._process.stdout.close()


def _become_nobody() -> str:
    """A script that opens, for itself alone, what only root may pass, and starts `as_user.py`."""
    needed = [Path(sys.base_prefix), Path(sys.prefix), ROOT]
    script = ["set -e"]
    closed = {place for path in needed for place in path.parents if not place.stat().st_mode & 0o001}
    for number, top in enumerate(sorted(closed)[:1]):
        inside = [path for path in needed if path.is_relative_to(top)]
        for index, path in enumerate(inside):
            stage = f"/tmp/stage{number}{index}-{os.getpid()}"
            script += [f"mkdir -p {stage}", f"mount --bind {path} {stage}"]
        script.append(f"mount -t tmpfs -o mode=755 none {top}")
        for index, path in enumerate(inside):
            stage = f"/tmp/stage{number}{index}-{os.getpid()}"
            script += [f"mkdir -p {path}", f"mount --move {stage} {path}", f"rmdir {stage}"]
    host = Path(__file__).with_name("as_user.py")
    drop = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --inh-caps=-all --bounding-set=-all"
    return "\n".join([*script, f"exec {drop} {sys.executable} {host}"])


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    found: dict[str, Sandbox] = {}
    if os.geteuid() != 0:
        yield {"user": Bubblewrap()}
        return
    other = OtherUser()
    found = {"root": Bubblewrap(), "user": other}
    yield found
    other.close()


@pytest.fixture(params=FORMS)
def box(request: pytest.FixtureRequest, sandboxes: dict[str, Sandbox]) -> Sandbox:
    """A sandbox, in each form that this user can have. Without bubblewrap this fails: nothing is skipped."""
    return sandboxes[request.param]
