"""The runs of the workspace as lists and buttons need them, each read again only when its journal has changed.

How a run stands: `records.py`; the steps and values of one: its own page. Thousands of runs cost a look at two files each.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from company import records
from company.errors import RunDamaged, UsageError
from company.lock import Lock
from company.records import RunRecord
from company.report import Report
from company.waiting import opened_gates

if TYPE_CHECKING:
    from company.store import Store

_PATIENCE = 20
"""A journal that took a second to read is not read again before as many seconds, while its run goes on."""


@dataclass(frozen=True)
class Entry:
    """A run, as far as its journal was read."""

    record: RunRecord
    reason: str
    """Why it ended as it did; empty where it was delivered."""
    hint: str
    waits: tuple[str, ...]
    """Ids of the gates that wait for a person."""
    steps: tuple[str, ...]
    """Paths of the procedure's steps in order, as far as the run told them."""
    pid: int
    """Of the process that drove it last; 0 where the journal does not say."""

    @property
    def shown(self) -> str:
        """The status for people: one that is stopped at a gate waits for them, and a dry run came to nothing that counts."""
        if self.record.status in ("interrupted", "failed") and self.waits:
            return "waits"
        return "dry run" if self.record.model == "dry" and self.record.status == "delivered" else self.record.status


@dataclass
class _Kept:
    mark: object
    entry: Entry
    over: bool
    """Whether the journal says how it ended."""
    again: float


class Shelf:
    """What is known of the runs of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, _Kept] = {}
        self._looking = threading.Lock()

    def entries(self) -> list[Entry]:
        """Every run, newest first."""
        with self._looking:
            marks = self._store.marks()
            self._kept = {run: kept for run, kept in self._kept.items() if run in marks}
            return [self._entry(run, marks[run]) for run in sorted(marks, reverse=True)]  # ids begin with the time

    def entry(self, run: str) -> Entry:
        """One run, by its id.

        Raises:
            UsageError: there is none.
        """
        with self._looking:
            marks = self._store.marks()
            if run not in marks:
                raise UsageError(f"there is no run `{run}` here", hint="the list has those that there are")
            return self._entry(run, marks[run])

    def _entry(self, run: str, mark: object) -> Entry:
        kept, now = self._kept.get(run), time.monotonic()
        if not kept or (kept.mark != mark and now >= kept.again):
            entry, over = self._read(run)
            took = time.monotonic() - now
            kept = self._kept[run] = _Kept(mark, entry, over, 0.0 if over else now + _PATIENCE * took)
        if kept.over:
            return kept.entry
        record = kept.entry.record
        return replace(
            kept.entry, record=replace(record, status="running" if self._runs(kept.entry) else "interrupted")
        )

    def _runs(self, entry: Entry) -> bool:
        """Whether somebody drives the run, and not one that goes back to it, in the same repository."""
        record = entry.record
        if not self._store.is_driven(record.run, record.repo):
            return False
        holder = Lock.holder(record.repo)
        return not (entry.pid and holder and holder != entry.pid)

    def _read(self, run: str) -> tuple[Entry, bool]:
        events = list(self._store.events(run))
        report = Report.of(events)
        began = next((event for event in reversed(events) if event["event"] in ("run_started", "run_resumed")), {})
        try:
            record = records.standing(self._store, records.read_request(self._store, run), report)
        except RunDamaged as error:
            record = records.damaged(self._store, run, error)
        waits = tuple(opened_gates(events)) if record.status != "damaged" else ()
        over = bool(report.status) or record.status == "damaged"
        return Entry(
            record, report.reason, report.hint, waits, tuple(began.get("steps", ())), began.get("pid", 0)
        ), over
