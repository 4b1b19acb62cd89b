"""What a workspace keeps, by name: artifacts, replies, results of tools, and each run's request, procedure and journal.

Here in a folder, as files; for a team in a database: `postgres.py`. Who chooses: `wiring.py`. What lies behind the names:
`cache.py`, `records.py`, `events.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from company.checkpoints import pruned
from company.errors import WorkspaceError
from company.events import Event, read
from company.lock import Lock
from company.workspace import write_atomic

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_BUSY_MS = 60_000
"""How long a checkpoint waits for those of the runs beside it; each takes a millisecond."""
Notice = Callable[[str], None]
"""Says something to people."""


class Store(Protocol):
    """What is kept, by names such as ``replies/ab/abcd.json`` and ``runs/ID/request.json``.

    Every method may raise WorkspaceError: the disk or the database cannot be had; the same call may succeed later.
    """

    home: Path
    """This machine's folder of it."""

    def get(self, name: str) -> bytes | None:
        """What was put under the name; None without anything."""

    def put(self, name: str, data: bytes) -> None:
        """Keep it, in the place of what was there; it is durable when this returns."""

    def runs(self) -> list[str]:
        """The ids of all runs."""

    def marks(self) -> dict[str, object]:
        """Every run → something that is another as soon as its journal or its request is."""

    def names(self) -> set[str]:
        """The names of repositories that lie on other machines, and so are taken here."""

    def events(self, run: str) -> Iterator[Event]:
        """A run's journal."""

    def record(self, run: str, event: Event) -> None:
        """Keep one more event, which the journal in the run's folder has already. Only with the run's lease."""

    def fetch(self, run: str) -> None:
        """Bring the run's folder here up to date. Only with the run's lease."""

    def library(self, run: str) -> Path:
        """The folder on this machine with the run's procedure, as it was kept; what is elsewhere is brought here."""

    def lease(self, run: str) -> AbstractContextManager[None]:
        """Be the only one that drives the run, until the end or this process's death.

        Raises:
            WorkspaceBusy: somebody else drives it; the message says who.
        """

    def is_driven(self, run: str, repo: Path) -> bool:
        """Whether somebody drives the run; `repo` is where its repository lies on this machine."""

    def checkpoints(self, notice: Notice) -> AbstractAsyncContextManager[BaseCheckpointSaver[Any]]:
        """Where LangGraph keeps how far each run is."""


class Folder:
    """A store in a folder of this machine: every name is a file below it. Runs are locked by their repositories."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def get(self, name: str) -> bytes | None:
        path = self.home / name
        with suppress(OSError):
            if not name.startswith("runs/"):
                os.utime(path)  # what was used of late is never deleted: `housekeeping.py`
        try:
            return path.read_bytes()
        except OSError:
            return None

    def put(self, name: str, data: bytes) -> None:
        if self.get(name) == data:
            return
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)

    def runs(self) -> list[str]:
        return [path.parent.name for path in (self.home / "runs").glob("*/request.json")]

    def marks(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for path in (self.home / "runs").glob("*/request.json"):
            with suppress(OSError):
                found[path.parent.name] = path.stat().st_mtime_ns, 0, 0
                journal = (path.parent / "events.jsonl").stat()
                found[path.parent.name] = path.stat().st_mtime_ns, journal.st_mtime_ns, journal.st_size
        return found

    def names(self) -> set[str]:
        return set()

    def events(self, run: str) -> Iterator[Event]:
        return read(self.home / "runs" / run / "events.jsonl")

    def record(self, run: str, event: Event) -> None:
        """Nothing more: the journal is a file of this folder."""

    def fetch(self, run: str) -> None:
        """Nothing: everything is here."""

    def library(self, run: str) -> Path:
        return self.home / "runs" / run / "library"

    @contextmanager
    def lease(self, run: str) -> Iterator[None]:
        yield

    def is_driven(self, run: str, repo: Path) -> bool:
        return (repo / ".git").is_dir() and not Lock.is_free(repo)

    @asynccontextmanager
    async def checkpoints(self, notice: Notice) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        """SQLite; a damaged database is set aside, and the journal says what had been done."""
        os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
        from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        path = self.home / "state.sqlite"
        if path.exists() and not await asyncio.to_thread(_is_sound, path):
            aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
            path.replace(aside)
            for companion in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                companion.unlink(missing_ok=True)
            notice(f"the state database was damaged: set aside as {aside.name}, going on from the journal")
        try:
            async with pruned(AsyncSqliteSaver).from_conn_string(str(path)) as saver:
                saver.serde = EncryptedSerializer(Seal())
                await saver.conn.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
                await saver.setup()
                await saver.conn.execute(
                    "PRAGMA synchronous=NORMAL"
                )  # a checkpoint that is lost is made again from the journal
                try:
                    yield saver
                finally:  # a write that goes on while the connection is closed would hold the database, for nobody
                    async with saver.lock:
                        await saver.conn.rollback()
                        await saver.conn.close()
        except sqlite3.Error as error:
            raise WorkspaceError(
                f"the state database failed: {error}",
                place=str(path),
                hint="free some space on the disk, then `company resume` goes on",
            ) from error


def _is_sound(path: Path) -> bool:
    try:
        with sqlite3.connect(path) as connection:
            answer = connection.execute("PRAGMA quick_check").fetchone()
        connection.close()
    except sqlite3.DatabaseError as error:  # where other runs keep it busy, it is not damaged for that
        return error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return bool(answer == ("ok",))


class Seal:
    """A checksum in the place of a cipher: LangGraph reads back only what it wrote, and SQLite does not see a flipped byte."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """The bytes behind their digest."""
        return "sha256", hashlib.sha256(plaintext).digest() + plaintext

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """The bytes.

        Raises:
            ValueError: they are not those that were written.
        """
        digest, plaintext = ciphertext[:32], ciphertext[32:]
        if ciphername != "sha256" or hashlib.sha256(plaintext).digest() != digest:
            raise ValueError("a checkpoint is damaged")
        return plaintext
