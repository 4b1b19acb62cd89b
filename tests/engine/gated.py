"""A procedure with a gate, its script, and the command at a terminal of its own: what the tests of gates share."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import yaml
from running import PRD, RIGHT

GATED = """sop: 1
name: gated
steps:
  prd:  {role: product_manager, in: requirement, out: Prd}
  look: {gate: human, show: prd, choices: {approve: next, revise: prd, reject: fail}, max: 2, headless: approve}
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}
"""
CODE = {"step": "code", "reply": RIGHT}


def prd(title: str, round: int = 0) -> dict[str, object]:
    """A script's reply; without a round the next one, whichever it is."""
    return {"step": "prd", **({"round": round} if round else {}), "reply": {**PRD, "title": title}}


class Terminal:
    """The command in a terminal of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._main, worker = pty.openpty()
        environment = {**os.environ, "EDITOR": str(folder / "editor"), "TERM": "xterm", "COLUMNS": "200"}
        command = [sys.executable, "-m", "company", *words]
        self.process = subprocess.Popen(
            command, stdin=worker, stdout=worker, stderr=worker, cwd=folder, env=environment, start_new_session=True
        )
        os.close(worker)
        self.text = ""

    def until(self, words: str, times: int = 1) -> None:
        end = time.monotonic() + 90
        while self.text.count(words) < times:
            assert time.monotonic() < end, self.text
            try:
                self.text += os.read(self._main, 65536).decode("utf-8", "replace")
            except OSError:
                break
        assert self.text.count(words) >= times, self.text

    def type(self, line: str) -> None:
        os.write(self._main, line.encode() + b"\n")

    def end(self) -> int:
        while True:
            try:
                data = os.read(self._main, 65536)
            except OSError:
                break
            if not data:
                break
            self.text += data.decode("utf-8", "replace")
        os.close(self._main)
        return self.process.wait(timeout=60)


def filled(folder: Path) -> Path:
    """The folder, with a gated procedure, a script and an editor that changes a title."""
    (folder / "gated.yaml").write_text(GATED)
    (folder / "script.yaml").write_text(yaml.safe_dump([prd("One", 1), prd("Two", 2), prd("Three", 3), CODE]))
    (folder / "editor").write_text('#!/bin/sh\nsed -i "s/Two/Edited/" "$1"\n')
    (folder / "editor").chmod(0o755)
    return folder


RUN = (
    "run",
    "a module",
    "--sop",
    "./gated.yaml",
    "--model",
    "script:script.yaml",
    "--name",
    "out",
    "--workspace",
    "ws",
)
