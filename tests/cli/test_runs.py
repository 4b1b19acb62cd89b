"""`company runs`: what fits a terminal, what a pipe gets, and a run whose records are damaged among others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from company import wiring
from company.engine import NewRun
from company.settings import Settings

NAMES = ("s", "a-name-that-is-as-long-as-some-people-like-their-names-to-be")
TEXT = "a module 数える.py that counts the words of a book, of any book, and of each of its chapters"


def company(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "company", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def on_terminal(folder: Path, columns: int, *words: str) -> list[str]:
    """The lines of standard output on a terminal that is so wide."""
    master, slave = pty.openpty()
    settings = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-m", "company", *words]
    with subprocess.Popen(command, cwd=folder, env=settings, stdout=slave, stderr=subprocess.DEVNULL) as process:
        os.close(slave)
        said = b""
        with contextlib.suppress(OSError):  # as Linux says the end of a terminal
            while piece := os.read(master, 4096):
                said += piece
        os.close(master)
    assert process.returncode == 0
    return said.decode().splitlines()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose workspace has two runs."""
    folder = tmp_path_factory.mktemp("two")
    for name in NAMES:
        new = NewRun({"requirement": TEXT}, "zero_shot", folder / "workspace", name=name, dry_run=True)
        assert asyncio.run(wiring.run(new, Settings())).status == "delivered"
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    shutil.copytree(made, tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.parametrize("columns", [80, 100, 125, 220])
def test_the_list_fits_the_terminal_and_ids_are_whole(made: Path, columns: int) -> None:
    from rich.cells import cell_len

    records = wiring.runs(made / "workspace", Settings())
    lines = on_terminal(made, columns, "runs")
    assert len(lines) == len(records) == 2
    for line, record in zip(lines, records, strict=True):
        assert cell_len(line) <= columns
        cells = line.split("  ")
        assert cells[0] == record.run
        assert {"dry run"} < set(cells)
        assert " kB  " in line
        assert record.name[:12] in line
    assert (NAMES[1] in lines[0]) is (columns > 120)
    assert ("zero_shot" in lines[0]) is (columns > 125)
    assert (TEXT[:12] in lines[0]) is (columns > 200)


def test_a_pipe_gets_every_column_whole(made: Path) -> None:
    lines = company(made, "runs").stdout.splitlines()
    assert len(lines) == 2
    for line, name in zip(lines, reversed(NAMES), strict=True):
        assert {name, "dry run", "zero_shot"} <= set(filter(None, map(str.strip, line.split("  "))))
        assert re.search(r"  \d calls  +\d+ tokens  +(0\.\d|\d+) s  ", line)
        assert TEXT[:50] in line


def test_one_damaged_request_stops_no_list_and_is_named(folder: Path) -> None:
    whole, hurt = (record.run for record in wiring.runs(folder / "workspace", Settings()))
    path = folder / "workspace/.company/runs" / hurt / "request.json"
    path.write_text("{")
    listed = company(folder, "runs")
    assert listed.returncode == 0
    (first, second) = listed.stdout.splitlines()
    assert first.startswith(f"{whole}  ")
    assert second.split("  ")[0] == hurt
    assert {"damaged", "s", "zero_shot"} <= set(second.split())  # as its journal says
    assert f"{path}: the run's request is damaged" in listed.stderr
    assert f"move the folder {hurt} away" in listed.stderr
    rows = [json.loads(line) for line in company(folder, "runs", "--json").stdout.splitlines()]
    assert [(row["run"], row["status"], bool(row["problem"])) for row in rows] == [
        (whole, "delivered", False), (hurt, "damaged", True)
    ]  # fmt: skip
    assert company(folder, "show", NAMES[1]).returncode == 0
    for words in (("show", hurt), ("show", "s"), ("redo", hurt), ("runs", "--clean")):
        done = company(folder, *words)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), words
        assert f"move the folder {hurt} away" in done.stderr
    path.parent.rename(folder / "away")
    assert company(folder, "runs").stdout.splitlines()[0].startswith(whole)


@pytest.mark.parametrize("journal", [True, False])
def test_a_damaged_run_is_gone_on_with_only_if_it_had_not_ended(folder: Path, journal: bool) -> None:
    hurt = wiring.runs(folder / "workspace", Settings())[0].run
    (folder / "workspace/.company/runs" / hurt / "request.json").write_text("null")
    if not journal:
        (folder / "workspace/.company/runs" / hurt / "events.jsonl").unlink()
    done = company(folder, "resume")
    assert ("request is damaged" in done.stderr) is not journal
    assert ("there is no run to go on with" in done.stderr) is journal
    assert company(folder, "runs").stdout.splitlines()[0].startswith(hurt)
