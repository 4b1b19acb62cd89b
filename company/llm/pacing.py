"""When an endpoint may be asked again: the pause that it asked for holds for every call to it, also of this user's other processes.

Who waits: `client.py`. One file for each address, in ``pauses/`` of the cache folder: it is empty, and its time is the moment
at which the pause ends, so it is read and set at once, and holds no secret.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from company.errors import EndpointError

_LONGEST = 86_400.0
"""Seconds. No pause is longer, whatever a server says; files of older ones are deleted."""
_SPREAD = 2.0
"""Seconds after a pause in which those who waited begin, each at another moment."""
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")


class Pace:
    """The pause of one endpoint. `url` is its address without user, password and query."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._until = 0.0
        self._told = 0.0

    def until(self) -> float:
        """The moment before which nothing may be sent, seconds since the epoch; it may have passed."""
        with suppress(OSError, RuntimeError):  # no such folder, no home to have it in
            self._until = max(self._until, min(self.path.stat().st_mtime, time.time() + _LONGEST))
        return self._until

    def hold(self, seconds: float) -> None:
        """The endpoint asked for a pause from now on; whoever was asked tells of it.

        Where the file cannot be written it holds in this process alone.
        """
        now = time.time()
        self._until = self._told = max(self._until, now + min(seconds, _LONGEST))
        with suppress(OSError, RuntimeError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for other in self.path.parent.iterdir():
                if other.stat().st_mtime < now - _LONGEST:
                    other.unlink()
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file).st_mtime < self._until:
                    os.utime(file, (self._until, self._until))
            finally:
                os.close(file)

    async def turn(self, most: float, sleep: Callable[[float], Awaitable[None]], tell: Callable[[float], None]) -> None:
        """Wait until the endpoint may be asked. `tell` is called with the seconds, once for each pause.

        Raises:
            EndpointError: the pause is longer than `most` seconds.
        """
        waited_for = 0.0
        while (moment := self.until()) > max(time.time(), waited_for):
            pause = moment - time.time()
            if pause > most:
                when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
                raise EndpointError(
                    f"the endpoint asked for a pause until {when}",
                    retryable=True,
                    retry_after=pause,
                    place=self._url,
                    hint=f"run `company resume` then; to ask it sooner nevertheless, delete {self.path}",
                )
            if moment > self._told:
                self._told = moment
                tell(pause)
            await sleep(pause + spread(pause))
            waited_for = moment

    @property
    def path(self) -> Path:
        """The file whose time is the moment at which the pause ends."""
        from company.llm.download import cache_file

        return cache_file("pauses", self._url)


def spread(pause: float) -> float:
    """Seconds to wait beyond a pause: who waited for the same moment begins one after another."""
    return random.uniform(0.2, 1.0) * min(_SPREAD, max(0.25, pause / 10))


def reset_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until what is used up is there again, by the headers that tell of rates; None where they do not say.

    Of ``x-ratelimit-reset-tokens`` and the like those count whose ``…-remaining-…`` is 0 or missing.
    """
    found = []
    for name, value in headers.items():
        name = name.lower()
        if "ratelimit" in name and "reset" in name:
            left = headers.get(name.replace("reset", "remaining"), "0").strip()
            seconds = _seconds(value.strip())
            if left in ("0", "0.0") and seconds is not None:
                found.append(seconds)
    return max(found, default=None)


def _seconds(text: str) -> float | None:
    """From now on: of ``12``, ``6m0s``, ``120ms``, a time since the epoch, or ``2026-09-22T10:00:00Z``."""
    try:
        if re.fullmatch(r"\d{1,13}(\.\d+)?", text):
            number = float(text)
            number /= 1000 if number > 1e11 else 1
            return max(0.0, number - time.time()) if number > 1e9 else number
        if text and (parts := _DURATION.fullmatch(text)):
            units = (86_400, 3600, 60, 1, 0.001)
            return sum(float(part or 0) * unit for part, unit in zip(parts.groups(), units, strict=True))
        return max(0.0, datetime.fromisoformat(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
