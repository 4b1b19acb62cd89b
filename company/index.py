"""Git's index as records of bytes: a commit replaces those of its own files and copies the others, however many there are.

GitPython's reads and writes each one in Python, tens of microseconds a file. What is put into it, and when: `workspace.py`.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

from company.gitdoor import Entry

Index = dict[tuple[bytes, int], bytes]
"""(path, stage) → the record as git wrote it, with its padding. Stages other than 0 are of a merge under way."""
Changes = dict[str, tuple[Entry, os.stat_result | None] | None]
"""Path → what the index is to hold: entry, and the file's status if it was seen to be the same; None removes it."""
_STATUS, _ENTRY = struct.Struct(">10L20sH"), struct.Struct(">L12x20s")
_EXTENDED, _LONGEST = 0x4000, 0xFFF
_PLAIN, _WITH_EXTENDED = 2, 3
"""Versions of the format; the second has records with two bytes more."""


def read(path: Path) -> Index | None:
    """The index that lies there; None when it is missing, damaged, or of a kind that does not list every file by itself.

    Those are version 4, a split index and a sparse one. Other extensions hold nothing that git does not find again.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    found: Index = {}
    try:
        magic, version, count = struct.unpack_from(">4sLL", raw)
        if magic != b"DIRC" or version not in (_PLAIN, _WITH_EXTENDED) or not _is_whole(raw):
            return None
        at = 12
        for _ in range(count):
            flags = raw[at + 60] << 8 | raw[at + 61]
            begin = at + (64 if flags & _EXTENDED else 62)
            end = raw.index(b"\0", begin)
            behind = at + (end - at) // 8 * 8 + 8
            found[raw[begin:end], flags >> 12 & 3] = raw[at:behind]
            at = behind
        while at < len(raw) - 20:
            name, size = struct.unpack_from(">4sL", raw, at)
            if not name[:1].isupper():  # git's mark of those that may not be ignored
                return None
            at += 8 + size
    except (struct.error, ValueError, IndexError):
        return None
    return found if at == len(raw) - 20 else None


def entries(index: Index) -> dict[tuple[str, int], Entry]:
    """What the index says of each path and stage."""
    return {
        (path.decode("utf-8", "surrogateescape"), stage): Entry(*_ENTRY.unpack_from(record, 24))
        for (path, stage), record in index.items()
    }


def change(index: Index, changes: Changes) -> None:
    """Set or remove paths; what a merge left of them goes too."""
    for path, known in changes.items():
        name = path.encode("utf-8", "surrogateescape")
        for stage in range(4):
            index.pop((name, stage), None)
        if known:
            index[name, 0] = _record(name, *known)


def write(path: Path, index: Index) -> None:
    """Put the index in place, under git's own lock. It is not synced: one that a power cut spoilt is made anew.

    Raises:
        FileExistsError: another git command has the lock.
    """
    records = [index[key] for key in sorted(index)]
    version = _WITH_EXTENDED if any(record[60] & _EXTENDED >> 8 for record in records) else _PLAIN
    whole = b"".join([struct.pack(">4sLL", b"DIRC", version, len(records)), *records])
    lock = path.with_name("index.lock")
    with lock.open("xb") as file:
        try:
            file.write(whole)
            file.write(hashlib.sha1(whole, usedforsecurity=False).digest())
            file.flush()
            lock.replace(path)
        except OSError:
            lock.unlink()
            raise


def _is_whole(raw: bytes) -> bool:
    """Whether the checksum is right, or left out as `index.skipHash` has it."""
    return raw[-20:] in (bytes(20), hashlib.sha1(raw[:-20], usedforsecurity=False).digest())


def _record(name: bytes, entry: Entry, status: os.stat_result | None) -> bytes:
    """Given the file's status, git need not read the file to see that it is unchanged."""
    times, device, rest = [0] * 4, [0] * 2, [0] * 3
    if status:
        times = [part for time in (status.st_ctime_ns, status.st_mtime_ns) for part in divmod(time, 10**9)]
        device, rest = [status.st_dev, status.st_ino], [status.st_uid, status.st_gid, status.st_size]
    numbers = (number & 0xFFFFFFFF for number in (*times, *device, entry.mode, *rest))
    record = _STATUS.pack(*numbers, entry.sha, min(len(name), _LONGEST)) + name
    return record + bytes(8 - len(record) % 8)
