"""`company` as a process of its own: a command run to its end, and a studio that serves while a test looks at it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx


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


def shape(url: str) -> str:
    """What the addresses of pages of one kind have in common."""
    return re.sub(r"(/runs/|sops/|=)[^/?&]+", r"\1X", re.sub(r"\b[0-9a-f]{7,40}\b", "X", url))


def crawled(address: str, most: int = 3) -> Iterator[tuple[str, str]]:
    """The pages and files that links of the studio lead to, with their texts; at most so many of a kind."""
    left, seen, kinds = [address], set[str](), Counter[str]()
    with httpx.Client(timeout=30) as client:
        while left:
            url = left.pop(0)
            if url in seen or kinds[shape(url)] == most:
                continue
            seen.add(url)
            kinds[shape(url)] += 1
            answer = client.get(url)
            assert not answer.cookies
            yield url, answer.text
            found = re.findall(r'(?:href|src|action|data-check)="([^"]*)"', answer.text)
            to = (urljoin(address, unescape(each)).partition("#")[0] for each in found)
            left += [each for each in to if each.startswith(address)]
