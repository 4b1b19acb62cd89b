"""By which rung one model at one endpoint is asked: what is set, else what is remembered, else what is known, else the best.

The rungs: `rungs.py`. Who goes down: `client.py`; who tries them all: `check.py`. One file for each address and model, in
``endpoints/`` of the cache folder; it holds no secret.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from company.endpoints import Rung
from company.llm.rungs import RUNGS, below

Tell = Callable[[str], None]
"""Told something, in one line for people."""


class Ladder:
    """The rung of one model.

    Args:
        url: the endpoint's address without user, password and query.
        model: its name there.
        fixed: the rung that somebody set: nothing goes down from it.
        preset: where nothing is remembered.
        remembers: whether what is found out is kept on disk.
    """

    def __init__(self, url: str, model: str, *, fixed: Rung | None, preset: Rung, remembers: bool) -> None:
        self._url, self._model = url, model
        self.fixed = fixed
        self._remembers = remembers and not fixed
        self._preset = preset
        self._rung: Rung | None = fixed
        self._is_news = False

    def rung(self, tell: Tell) -> Rung:
        """The one to ask by now."""
        if self._rung is None:
            self._rung = (recall(self._url, self._model, tell) if self._remembers else None) or self._preset
        return self._rung

    def down(self, failed: Rung, why: str, tell: Tell) -> bool:
        """A request by the rung `failed` was no use: ask by the next, unless somebody set it or there is none.

        Returns whether there is a lower one to ask by; of calls that fail at the same time, one tells.
        """
        lower = below(failed)
        if self.fixed or lower is None:
            return False
        if self.rung(tell) == failed:
            self._rung, self._is_news = lower, True
            tell(f"{why}; structured replies are asked for by `{lower}` instead of `{failed}` from now on")
        return True

    def worked(self, rung: Rung) -> None:
        """A reply came by `rung`: if that is the one by now, and news, it is remembered."""
        if rung != self._rung:
            return
        if self._is_news and self._remembers:
            remember(self._url, self._model, rung)
        self._is_news = False


def path_of(url: str, model: str) -> Path:
    """Where the rung of a model is remembered."""
    from company.llm.download import cache_file

    return cache_file("endpoints", url, model).with_suffix(".json")


def recall(url: str, model: str, tell: Tell) -> Rung | None:
    """The rung that is remembered; None without one, or where the file is no use, which is told."""
    try:
        path = path_of(url, model)
        data = json.loads(path.read_bytes())
    except RecursionError:
        data = None
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # the last: no home to have it in
        return None
    except (OSError, ValueError):
        data = None
    known = data if isinstance(data, dict) else {}
    rung = next((rung for rung in RUNGS if rung == known.get("rung")), None)
    if rung is None or (known.get("address"), known.get("model")) != (url, model):
        tell(f"what was remembered of {model} at {url} is damaged and was ignored; `company model check` mends {path}")
        return None
    return rung


def remember(url: str, model: str, rung: Rung) -> Path | None:
    """Keep the rung of a model for later runs; None where that cannot be written."""
    entry = {"address": url, "model": model, "rung": rung, "date": time.strftime("%Y-%m-%d", time.gmtime())}
    with suppress(OSError, RuntimeError):
        path = path_of(url, model)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            json.dump(entry, out, ensure_ascii=False, indent=1)
        new.replace(path)
        return path
    return None
