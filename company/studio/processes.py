"""Begins, goes on with, makes again and stops runs, each as a process of its own: `company run` and its like, which outlive the studio.

What a page does with them: `starting.py`, `actions.py`, `gates_page.py`. Which process drives a run: its journal and `lock.py` say it.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from company import events
from company.errors import Broken, CompanyError, UsageError, WorkspaceBusy
from company.lock import Lock
from company.paths import disk_errors
from company.records import RunRecord, find
from company.terminal import harmless

if TYPE_CHECKING:
    from company.studio.desk import Desk

OUTPUT = "output.log"
"""In the run's folder: what the processes print that were begun here."""
_BEGINS = ("run_started", "run_resumed")
_SHOWN = 16_000
"""Bytes of the end of an output that are read."""
_REMEMBERED = 200
"""Commands of which the studio still knows how they began."""
_SETTLES = 10.0
"""Seconds for which a form waits for the run that it began; after that the page that waits is shown."""
_DOUBLE = 3.0
"""Seconds in which the same command once more is a double click."""
_ONE = threading.Lock()
_AGAIN = 0.3
"""Seconds between the two signals that stop a run at once: two at the same time would count as one."""


@dataclass
class Begun:
    """A command that was begun here. Its run has an id once the procedure is checked and the model is there."""

    key: str
    """Names it in addresses."""
    what: str
    """In words: ``run waterfall``."""
    _process: subprocess.Popen[bytes]
    _home: Path
    _log: Path
    _offset: int
    """Where in the output it begins."""
    _from: Mapping[str, int]
    """Where the journals of the runs that it may go on with end; of a new run none is there yet."""
    _new: bool
    words: tuple[str, ...] = ()
    """The command with what it was given, to know it again."""
    at: float = 0.0
    typed: object = None
    """The form that it came from, for the page that made it."""
    run: str = ""
    """The run; empty until `look` found it."""
    _fault: CompanyError | None = None
    _looking: threading.Lock = field(default_factory=threading.Lock)
    """A double click waits for the same command twice."""

    def look(self) -> str:
        """The run's id; empty as long as it has not begun.

        Raises:
            CompanyError: it ended before it did; as the command itself says it.
        """
        with self._looking:
            return self._look()

    def _look(self) -> str:
        if self._fault:
            raise self._fault
        if self.run:
            return self.run
        status = self._process.poll()
        self.run = self._found()
        if self.run and self._new:
            moved = self._home / "runs" / self.run / OUTPUT
            with disk_errors("put the output beside the run", moved):
                self._log = self._log.replace(moved)
        if not self.run and status is not None:
            self._fault = self._told(status)
            if self._new:
                self._log.unlink(missing_ok=True)
            raise self._fault
        return self.run

    def output(self) -> str:
        """The end of what it printed, as it is now."""
        try:
            with self._log.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._offset, end - _SHOWN))
                return harmless(file.read().decode("utf-8", "replace"))
        except OSError:
            return ""

    @property
    def failed(self) -> bool:
        """Whether it is over, as far as is known, without a run."""
        return bool(self._fault)

    def give_up(self) -> None:
        """Stop it before its run began."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def _found(self) -> str:
        runs = self._home / "runs"
        new = dict.fromkeys(_folders(runs) - self._from.keys(), 0) if self._new else self._from
        for run, offset in new.items():
            for event in _sittings(runs / run / "events.jsonl", offset):
                if event.get("pid") == self._process.pid:
                    return run
        return ""

    def _told(self, status: int) -> CompanyError:
        """The error that the command ended with: `--json` made it the last line that it printed."""
        text = self.output()
        for line in reversed(text.splitlines()):
            if line.startswith("{"):
                try:
                    told = json.loads(line)
                except ValueError:
                    continue
                if isinstance(told, dict) and "error" in told:
                    return NotBegun(
                        told["error"],
                        place=told["place"],
                        hint=told["hint"],
                        diagnostics=tuple(told.get("diagnostics", ())),
                    )
        last = next((line for line in reversed(text.splitlines()) if line.strip()), f"it ended with status {status}")
        return Broken(f"the run did not begin: {last.strip()}", hint="the terminal says more: give the command there")


class NotBegun(UsageError):
    """A command ended before its run began; `diagnostics` are what is wrong with the procedure, as ``--json`` has them."""

    def __init__(self, message: str, *, place: str, hint: str, diagnostics: tuple[Mapping[str, Any], ...]) -> None:
        super().__init__(message, place=place, hint=hint)
        self.diagnostics = diagnostics


@dataclass(frozen=True)
class NewRun:
    """What `company run` is asked for; empty is the command's own default."""

    requirement: str = ""
    sop: str = ""
    """Name or path."""
    name: str = ""
    model: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Beside the requirement."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """As they were typed: the command checks them."""
    into: str = ""
    """A repository to change."""
    headless: bool = False
    dry_run: bool = False


def start(desk: Desk, new: NewRun) -> Begun:
    """`company run`.

    Raises:
        CompanyError: there is no process to be had. What is wrong with what was asked says `Begun.look`.
    """
    words = [
        *_options({"sop": new.sop, "name": new.name, "model": new.model, "into": new.into}),
        *_pairs("input", new.inputs),
        *_pairs("limit", new.limits),
        *_flags({"headless": new.headless, "dry-run": new.dry_run}),
    ]
    given = ("-",) if new.requirement else ()
    return _begin(desk, "run", words, given, new.requirement, f"run {new.sop or 'waterfall'}")


def resume(
    desk: Desk,
    run: str,
    *,
    model: str = "",
    limits: Mapping[str, str] | None = None,
    headless: bool = False,
    answers: Sequence[Mapping[str, Any]] = (),
) -> Begun:
    """`company resume`.

    Args:
        answers: to gates that wait, as `--answer` takes them.

    Raises:
        UsageError: there is no such run.
        CompanyError: as `start`.
    """
    record = find(desk.store, run)
    words = [*_options({"model": model}), *_pairs("limit", limits or {}), *_flags({"headless": headless})]
    if answers:
        words.append("--answer=-")
    return _begin(
        desk, "resume", words, (record.run,), json.dumps([*answers]) if answers else "", f"resume {record.run}"
    )


def redo(
    desk: Desk,
    run: str,
    *,
    again: Sequence[str] = (),
    edit: tuple[str, str] | None = None,
    sop: str = "",
    model: str = "",
    limits: Mapping[str, str] | None = None,
    headless: bool = False,
) -> Begun:
    """`company redo`: a new run on a branch of its own.

    Args:
        again: paths of steps to do anew though nothing changed.
        edit: a file of the repository, and its new text.

    Raises:
        UsageError: there is no such run.
        CompanyError: as `start`.
    """
    record = find(desk.store, run)
    words = [
        *(f"--from={step}" for step in again),
        *([f"--edit={edit[0]}=-"] if edit else []),
        *_options({"sop": sop, "model": model}),
        *_pairs("limit", limits or {}),
        *_flags({"headless": headless}),
    ]
    return _begin(desk, "redo", words, (record.run,), edit[1] if edit else "", f"redo {record.run}")


async def settled(begun: Begun) -> str:
    """The run's id as soon as it is known; empty where it takes longer, as where a model is fetched first.

    Raises:
        CompanyError: as `Begun.look`.
    """
    end = time.monotonic() + _SETTLES
    while not (run := await asyncio.to_thread(begun.look)) and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # its journal tells it, in which nothing wakes us
    return run


def stop(desk: Desk, run: str, *, at_once: bool = False) -> None:
    """Stop a run: after the calls that are under way, as Ctrl-C does; `at_once` as the second one does.

    To ask for the first twice is as good as once.

    Raises:
        UsageError: no such run, or nobody drives it.
        WorkspaceBusy: it is driven elsewhere.
    """
    record = find(desk.store, run)
    pid = driver(desk, record)
    asked = desk.stopping.get(record.run) == pid
    desk.stopping[record.run] = pid
    try:
        if not asked:
            os.kill(pid, signal.SIGINT)
        if at_once:
            if not asked:
                time.sleep(_AGAIN)
                if Lock.holder(record.repo) != pid:
                    return  # the first one was enough
            os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return  # it has just ended
    except PermissionError as error:
        raise WorkspaceBusy(
            f"the run {record.run} is driven by somebody else's process {pid}", hint="stop it there"
        ) from error


def is_stopping(desk: Desk, record: RunRecord) -> bool:
    """Whether the run was asked here to stop, and its process goes on."""
    pid = desk.stopping.get(record.run)
    return bool(pid) and record.status == "running" and Lock.holder(record.repo) == pid


def driver(desk: Desk, record: RunRecord) -> int:
    """The process that drives a run.

    Raises:
        UsageError: none does.
        WorkspaceBusy: it is not on this machine, or not certainly this run's.
    """
    if not desk.store.is_driven(record.run, record.repo):
        raise UsageError(f"the run {record.run} is not under way", hint="there is nothing to stop")
    pid = Lock.holder(record.repo)
    last: events.Event = {}
    for event in desk.store.events(record.run):
        last = event if event["event"] in _BEGINS else last
    if not pid or last.get("pid") != pid:
        what = f"another process ({pid}) is at its repository" if pid else "its process is not on this machine"
        raise WorkspaceBusy(f"the run {record.run} cannot be stopped from here: {what}", hint="stop it where it began")
    return pid


def _options(values: Mapping[str, str]) -> list[str]:
    """``--name=value``: one argument, so that no value is taken for an option."""
    return [f"--{name}={value}" for name, value in values.items() if value]


def _pairs(option: str, values: Mapping[str, str]) -> list[str]:
    return [f"--{option}={name}={value}" for name, value in values.items()]


def _flags(values: Mapping[str, bool]) -> list[str]:
    return [f"--{name}" for name, value in values.items() if value]


def _begin(desk: Desk, command: str, options: Sequence[str], names: Sequence[str], given: str, what: str) -> Begun:
    """Begin a command whose standard input is `given`; one that was begun a moment ago is not begun twice."""
    with _ONE:
        same, now = (command, *options, *names, given), time.monotonic()
        for old in desk.begun.values():
            if old.words == same and now - old.at < _DOUBLE and not old.failed:
                return old
        begun = _made(desk, command, options, names, given, what)
        begun.words, begun.at = same, now
        desk.begun[begun.key] = begun
        for gone in [*desk.begun][:-_REMEMBERED]:
            del desk.begun[gone]
        return begun


def _made(desk: Desk, command: str, options: Sequence[str], names: Sequence[str], given: str, what: str) -> Begun:
    if any("\0" in word for word in (*options, *names)):
        raise UsageError("a field holds the character U+0000", hint="take it out")
    home, new, key = desk.store.home, command != "resume", secrets.token_hex(8)
    runs = home / "runs"
    log = home / "starting" / f"{key}.log" if new else runs / names[0] / OUTPUT
    known = dict.fromkeys(_folders(runs), 0)
    if not new:
        journal = runs / names[0] / "events.jsonl"
        known = {names[0]: journal.stat().st_size if journal.exists() else 0}
    # -P: a file of the folder that we are in must not be taken for a module
    words = [sys.executable, "-P", "-m", "company", command, "--plain", "--json", f"--workspace={desk.workspace}"]
    with disk_errors("begin the run", log), tempfile.TemporaryFile() as standard_input:
        standard_input.write(given.encode("utf-8", "replace"))
        standard_input.seek(0)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            offset = output.tell()
            process = subprocess.Popen(
                [*words, *options, "--", *names],
                stdin=standard_input,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    threading.Thread(target=process.wait, daemon=True).start()  # else its number stays taken after its end
    return Begun(key, what, process, home, log, offset, known, new)


def _folders(runs: Path) -> set[str]:
    return {path.name for path in runs.iterdir()} if runs.is_dir() else set()


def _sittings(journal: Path, offset: int) -> list[events.Event]:
    """The events from `offset` on that begin a sitting."""
    try:
        with journal.open("rb") as lines:
            lines.seek(offset)
            return [event for event in events.parse(lines) if event["event"] in _BEGINS]
    except OSError:
        return []
