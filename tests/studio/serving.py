"""`company` as a process of its own: a command run to its end, and a studio that serves while a test looks at it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def company(*words: str, workspace: Path, stdin: str | None = None) -> dict[str, object]:
    """Run a command to its end; what `--json` printed."""
    done = subprocess.run(
        [sys.executable, "-m", "company", *words, "--workspace", str(workspace), "--json"],
        capture_output=True, text=True, input=stdin, check=False, timeout=240,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def serving(workspace: Path, folder: Path | None = None, **environment: str) -> Iterator[str]:
    """A studio of the workspace, begun in a folder; its address, with a slash at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "company", "serve", "--no-browser", "--workspace", str(workspace)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
        cwd=folder,
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stderr
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert "Traceback" not in said, said
