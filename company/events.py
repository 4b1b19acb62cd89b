"""Run events and the append-only journal (JSON Lines) that terminal, studio and replay all read.

An event is a plain dict with `event` (its name), `time` (seconds since the epoch) and `step` where one applies.
What the events mean to a viewer: `terminal.py`. What a run is: `engine.py`.

| event | fields beside `step` |
|---|---|
| run_started, run_resumed | run, name, requirement, sop, model, sandbox, repo, steps (the procedure's step paths in order), judges (those that `accept` reads), limits, pid (of the process that drives it) |
| step_started | id, role, kind, item, round, why (in words), made_of (what goes into it → hash; empty without a key) |
| step_skipped | reason |
| items | item, round, needs: of a for_each, each item's key → the keys that it needs, each after those |
| call_started | call (id), attempt, key (of its request), prompt_estimate, model, temperature, max_tokens, seed, schema (name of that of the reply; empty for text) |
| call_progress | call, tokens (so far), text (that came since the last one; the reply begins again where there are no more tokens than before) |
| call_failed | call, key, kind (the error's class), reason, model, retries (its tries, all of which broke off) |
| call_finished | call, key (of its request), model, served (the model's name as the server gives it), finish_reason, prompt_tokens, completion_tokens, cached_tokens, seconds, from_store, usd (its cost when it was paid for; null where unknown), retries (tries that broke off before it) |
| reply_accepted, reply_rejected | attempt, key, reason; this and the four above: field, where a piece of a document is asked for alone |
| tool_started | id, role, item, round, name, arguments (each cut) |
| tool_finished | id, role, item, round, name, arguments (each cut), seconds, ok (bool), from_store, size (characters of the result) |
| verdict | id, passed, summary, sandbox |
| commit | sha, author, slug, subject, trailers, made (its time), files (reference of path → text, null where deleted) |
| step_finished | id, item, round, seconds, values (path → reference); kept_from (a run), saved_tokens and saved_usd where it was not done |
| loop_round | round, until (bool), forced (true where a dry run decided, not `until:`) |
| gate_opened | id, item, round, choices (choice → where it leads), show (names), values (name → reference, null where its step was skipped), edits (name that may be edited → type), used_up (choices that are not offered any more), left (how often work may still be sent back); the last four are not in old journals |
| gate_decided | id, item, round, choice, comment, edited (names), by (`person` or `headless`), values (as in step_finished) |
| step_failed | id, reason, anew (bool: replies that came before it are not used again) |
| notice | text |
| run_finished | status, reason, accepted, seconds |
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_LATEST = 1e11
"""Seconds since the epoch, after which no clock can say a time: a line that has a later one was damaged."""
Event = dict[str, Any]
Listener = Callable[[Event], None]
TRANSIENT = frozenset({"call_progress"})
"""Shown live, not kept: they would make up most of the journal and say nothing afterwards."""


class Journal:
    """Appends events to `path`, one JSON object a line, and tells the listeners.

    A line cut by a crash is terminated when the journal is opened again; `read` skips what does not parse.
    """

    def __init__(self, path: Path, listeners: tuple[Listener, ...] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._listeners = listeners
        self._file = path.open("ab")
        if self._file.tell() and path.read_bytes()[-1:] != b"\n":
            self._file.write(b"\n")

    def emit(self, event: str, **fields: Any) -> None:
        """Record one event; fields must be JSON data."""
        entry: Event = {"event": event, "time": round(time.time(), 3), **fields}
        if event not in TRANSIENT:
            self._file.write(line(entry) + b"\n")
            self._file.flush()
        for listener in self._listeners:
            listener(entry)

    def close(self) -> None:
        """Flush to the disk and close."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def line(event: Event) -> bytes:
    """An event as the journal has it."""
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")


def parse(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events of a journal's lines in order; what a crash cut, or is no event, is passed over."""
    for text in lines:
        try:
            entry = json.loads(text)
        except ValueError:
            continue
        if not isinstance(entry, dict) or "event" not in entry or not isinstance(entry.get("time"), int | float):
            continue
        if 0 <= entry["time"] < _LATEST:
            yield entry


def read(path: Path) -> Iterator[Event]:
    """The events of a journal in order; lines cut by a crash are passed over."""
    if path.exists():
        with path.open("rb") as lines:
            yield from parse(lines)
