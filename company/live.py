"""Replies as they are being written, for other processes: `<workspace>/.company/runs/RUN/live/CALL` has one's text so far.

A listener of the journal writes them; nothing of them is left when a sitting ends. They stay on this machine, also where a team's database
keeps the runs (`postgres.py`). What is kept of a reply once it is there: `cache.py`. In the same process: `call_progress`, in `events.py`.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from company.events import Event

PAUSE = 0.2
"""Seconds between two writes for one call, at least."""
MOST = 200_000
"""Characters of one reply that lie there; of a longer one about half of that, its end."""
_FOLDER = "live"


@dataclass
class _Text:
    """What a call's file has, and what is still to be written into it."""

    tokens: int = 0
    size: int = 0
    """Characters in the file."""
    waiting: str = ""
    anew: bool = True
    """Whether the file is to begin again."""
    wrote: float = 0.0


class Writer:
    """Keeps the files of one sitting up to date. That one cannot be written is no reason for a run to fail."""

    def __init__(self, run: Path) -> None:
        self._folder = run / _FOLDER
        self._texts: dict[int, _Text] = {}
        self._remove()  # a killed sitting's

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        name = event["event"]
        if name == "call_progress":
            self._grow(self._texts.setdefault(event["call"], _Text()), event)
        elif name in ("call_finished", "call_failed") and event["call"] in self._texts:
            del self._texts[event["call"]]
            with suppress(OSError):
                self._file(event).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing behind."""
        self._texts.clear()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, event: Event) -> Path:
        return self._folder / str(event["call"])

    def _grow(self, text: _Text, event: Event) -> None:
        if event["tokens"] <= text.tokens:  # the request was sent again
            text.waiting, text.anew = "", True
        text.tokens = event["tokens"]
        text.waiting += event["text"]
        if event["time"] - text.wrote < PAUSE:
            return
        text.wrote = event["time"]
        path = self._file(event)
        with suppress(OSError):
            if not text.anew and text.size + len(text.waiting) > MOST:
                text.waiting, text.anew = path.read_text("utf-8", "replace") + text.waiting, True
            if len(text.waiting) > MOST:
                text.waiting = f"…{text.waiting[-MOST // 2 :]}"
            path.parent.mkdir(exist_ok=True)
            with path.open("wb" if text.anew else "ab") as file:
                file.write(text.waiting.encode("utf-8", "replace"))
            text.size = len(text.waiting) + (0 if text.anew else text.size)
            text.waiting, text.anew = "", False


def live(home: Path, run: str) -> dict[int, str]:
    """The texts so far of the replies that are being written here, by their calls' numbers as the journal has them.

    The last quarter of a second may be missing. A process that was killed leaves what there was until the run is gone on with: whether anybody
    drives a run says `Store.is_driven`.

    Args:
        home: the store's, `<workspace>/.company`.
    """
    found = {}
    for path in (home / "runs" / run / _FOLDER).glob("*"):
        if path.name.isdecimal():
            with suppress(OSError):
                found[int(path.name)] = path.read_text("utf-8", "replace")
    return found
