"""What befalls a workspace between a kill and the resume: damaged, deleted and foreign files, and other places.

Each takes the folder of a case and gives the name that its workspace has afterwards. Used by `failpoints.py`.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], str]
WORKSPACE = "workspace"
_STATE = ".company/state.sqlite"


def flip(path: Path) -> None:
    """Change one bit somewhere in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[random.Random(len(data)).randrange(len(data) // 4, len(data))] ^= 4
    path.write_bytes(data)


def state(change: Callable[[Path], None], *, keep_wal: bool = False) -> Damage:
    """Something done to the state database."""

    def damage(folder: Path) -> str:
        path = folder / "home" / WORKSPACE / _STATE
        if not keep_wal:
            settle(path)
        change(path)
        return WORKSPACE

    return damage


def settle(path: Path) -> None:
    """See that everything is in the database itself."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)


def payload(table: str, column: str) -> Callable[[Path], None]:
    """Flip a bit in every payload of a table: SQLite does not see it."""

    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            for row, blob in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                data = bytearray(blob)
                data[len(data) * 2 // 3] ^= 1
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (bytes(data), row))
        connection.close()

    return change


def foreign(path: Path) -> None:
    """The database of a run of another workspace."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE checkpoints SET thread_id = 'another'")
        connection.execute("UPDATE writes SET thread_id = 'another'")
    connection.close()


def old(path: Path) -> None:
    """As a back-up from before may be: the last checkpoints are missing."""
    with sqlite3.connect(path) as connection:
        last = connection.execute("SELECT checkpoint_id FROM checkpoints ORDER BY checkpoint_id").fetchall()
        for table in ("checkpoints", "writes"):
            connection.execute(f"DELETE FROM {table} WHERE checkpoint_id > ?", last[len(last) // 2])
    connection.close()


def ahead(path: Path) -> None:
    """The journal is older than the database: it lost its second half."""
    (journal,) = path.parent.glob("runs/*/events.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:20])


def stored(kind: str, change: Callable[[Path], None], *, every: bool) -> Damage:
    """Something done to stored objects or replies: to each, or to one."""

    def damage(folder: Path) -> str:
        found = sorted((folder / "home" / WORKSPACE / ".company" / kind).rglob("*.json"))
        for path in found if every else found[len(found) // 2 :][:1]:
            change(path)
        return WORKSPACE

    return damage


def journal(change: Callable[[Path], None]) -> Damage:
    """Something done to the journal."""

    def damage(folder: Path) -> str:
        for path in (folder / "home" / WORKSPACE / ".company/runs").glob("*/events.jsonl"):
            change(path)
        return WORKSPACE

    return damage


def repository(change: Callable[[Path], None]) -> Damage:
    """Something done to the repository."""

    def damage(folder: Path) -> str:
        path = folder / "home" / WORKSPACE / "out"
        if path.exists():
            change(path)
        return WORKSPACE

    return damage


def locked(path: Path) -> None:
    """The locks that a killed git leaves."""
    for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):
        (path / ".git" / name).touch()


def spoilt(path: Path) -> None:
    """No index, and of the working tree half is gone."""
    (path / ".git/index").write_bytes(b"DIRC")
    tracked = sorted(each for each in path.rglob("*") if each.is_file() and ".git" not in each.parts)
    for each in tracked[::2]:
        each.unlink()


def moved(folder: Path) -> str:
    """Another name, somewhere else."""
    (folder / "home/else").mkdir()
    (folder / "home" / WORKSPACE).rename(folder / "home/else/where")
    return "else/where"


def linked(folder: Path) -> str:
    """Reached through a link."""
    (folder / "home/link").symlink_to(folder / "home" / WORKSPACE)
    return "link"


def copied(folder: Path) -> str:
    """A copy of it is gone on with."""
    shutil.copytree(folder / "home" / WORKSPACE, folder / "home/copy", symlinks=True)
    return "copy"


DAMAGES: dict[str, tuple[str, Damage]] = {
    "state database empty": ("", state(lambda path: path.write_bytes(b""))),
    "state database of garbage": ("the state database was damaged", state(lambda path: path.write_bytes(b"x" * 9000))),
    "state database cut": (
        "the state database was damaged",
        state(lambda path: path.write_bytes(path.read_bytes()[:-5000])),
    ),
    "state database with a flipped bit": ("", state(flip)),
    "a flipped bit in a checkpoint": ("checkpoint cannot be read", state(payload("checkpoints", "checkpoint"))),
    "a flipped bit in what a node wrote": ("", state(payload("writes", "value"))),
    "metadata of a checkpoint flipped": ("checkpoint cannot be read", state(payload("checkpoints", "metadata"))),
    "write-ahead log deleted": ("", state(lambda path: path.with_name("state.sqlite-wal").unlink(), keep_wal=True)),
    "state database deleted, its log left": ("", state(lambda path: path.unlink(), keep_wal=True)),
    "state database deleted": ("", state(lambda path: path.unlink())),
    "state database of another run": ("", state(foreign)),
    "state database older than the journal": ("", state(old)),
    "journal older than the state database": ("does not agree with the journal", state(ahead)),
    "every object deleted": (
        "missing or damaged, so they are done again",
        stored("objects", lambda path: path.unlink(), every=True),
    ),
    "every object empty": (
        "missing or damaged, so they are done again",
        stored("objects", lambda path: path.write_bytes(b""), every=True),
    ),
    "an object deleted": ("", stored("objects", lambda path: path.unlink(), every=False)),
    "an object with a flipped bit": ("", stored("objects", flip, every=False)),
    "every reply deleted": ("", stored("replies", lambda path: path.unlink(), every=True)),
    "every reply with a flipped bit": ("", stored("replies", flip, every=True)),
    "last line of the journal cut": ("", journal(lambda path: path.write_bytes(path.read_bytes()[:-9]))),
    "journal deleted": ("does not agree with the journal", journal(lambda path: path.unlink())),
    "journal empty": ("does not agree with the journal", journal(lambda path: path.write_bytes(b""))),
    "stale locks of git": (".git/HEAD.lock", repository(locked)),
    "index and working tree spoilt": ("put right after the last stop", repository(spoilt)),
    "workspace moved": ("", moved),
    "workspace through a link": ("", linked),
    "workspace copied": ("", copied),
}
"""Name → what a resumed run says of it, where it must, and the damage."""
