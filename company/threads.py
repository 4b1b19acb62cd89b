"""The checkpoints of runs in a workspace's state database, for who deletes them: how large they are, what they name.

Who writes them: `engine.py`, `checkpoints.py`. What is deleted when: `housekeeping.py`. Each raises WorkspaceError where the
database cannot be used.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from company.errors import WorkspaceError

_PACKED_NAME = re.compile(rb"[0-9a-f]{64}")
_TABLES = {"checkpoints": ("checkpoint", "metadata"), "writes": ("value",)}
"""Of the state database, with the columns that hold data."""


@contextmanager
def _database(home: Path) -> Iterator[tuple[sqlite3.Connection, list[str]] | None]:
    """The database and which of our tables it has; None where there is none."""
    path = home / "state.sqlite"
    if not path.is_file():
        yield None
        return
    try:
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            yield connection, [table for table in _TABLES if table in names]
    except sqlite3.Error as error:
        busy = isinstance(error, sqlite3.OperationalError)
        hint = "try again when no run is under way" if busy else "the next run sets a damaged one aside"
        raise WorkspaceError(f"the state database cannot be used: {error}", place=str(path), hint=hint) from error


def sizes(home: Path) -> dict[str, int]:
    """Run → bytes of its checkpoints in the database of a workspace's `.company`, `home`."""
    found: dict[str, int] = {}
    with _database(home) as opened:
        if opened:
            connection, tables = opened
            for table in tables:
                held = " + ".join(f"coalesce(length({column}), 0)" for column in _TABLES[table])
                for thread, count in connection.execute(
                    f"SELECT thread_id, sum({held}) FROM {table} GROUP BY thread_id"
                ):
                    found[thread] = found.get(thread, 0) + int(count)
    return found


def names_in(home: Path, threads: Iterable[str]) -> set[str]:
    """The hashes that the checkpoints of these runs hold."""
    found: set[str] = set()
    with _database(home) as opened:
        if opened:
            connection, tables = opened
            for table in tables:
                for thread in threads:
                    columns = ", ".join(_TABLES[table])
                    for row in connection.execute(f"SELECT {columns} FROM {table} WHERE thread_id = ?", (thread,)):
                        for value in row:
                            data = value.encode() if isinstance(value, str) else value or b""
                            found |= {name.decode() for name in _PACKED_NAME.findall(data)}
    return found


def forget(home: Path, thread: str) -> None:
    """Delete a run's checkpoints."""
    with _database(home) as opened:
        if opened:
            connection, tables = opened
            with connection:
                for table in tables:
                    connection.execute(f"DELETE FROM {table} WHERE thread_id = ?", (thread,))


def compact(home: Path) -> None:
    """Give back the room of what was deleted; not while a run is under way, which would have to wait."""
    with suppress(WorkspaceError), _database(home) as opened:
        if opened:
            opened[0].execute("VACUUM")
            opened[0].execute("PRAGMA wal_checkpoint(TRUNCATE)")
