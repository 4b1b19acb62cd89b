"""The results: one JSON line for each run of a task, appended and synced, so that nothing measured is lost or paid twice.

Who makes them: `runner.py`. What is computed from them: `statistics.py`, `summary.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from company.errors import WorkspaceBusy
from company.paths import disk_errors
from company.progress import clean

Row = Mapping[str, Any]
"""`dataset`, `split`, `task`, `sop`, `sop_digest`, `model`, `seed`, `variation`, `run`, `workspace`, `repo`, `status`,
`accepted` (null where nothing was delivered), `passed`, `score` (0 to 1), `judged` (`status`, `detail`), `calls`,
`prompt_tokens`, `completion_tokens`, `cached_tokens`, `usd` (null where a price is unknown), `seconds`, `model_seconds`,
`lines` (delivered lines of code), `failure` (empty, or as `failures.Failure` has it), `time` (of the judgement, seconds
since the epoch), `key` (a hash of everything that the run depends on but the program), `program` (version and hash of the code
that made and judged it; older rows have none)."""


def read(path: Path) -> Iterator[Row]:
    """The rows of a file, the last one of a key alone; what is no row, as a line cut off by a kill, is passed over."""
    found: dict[str, Row] = {}
    with disk_errors("read the results", path):
        lines = path.read_text("utf-8", "replace").split("\n") if path.exists() else []
    for line in lines:
        try:
            row = json.loads(line)
            found[row["key"]] = row
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    yield from found.values()


def program_of(row: Row) -> str:
    """Which program made it."""
    return clean(str(row.get("program") or "one that did not say"), 60)


def append(path: Path, row: Row) -> None:
    """Keep a row; it is on disk when this returns."""
    with disk_errors("keep a result", path), path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a line that a kill cut off
                file.write(b"\n")
        file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only one that writes to a file of results.

    Raises:
        WorkspaceBusy: somebody else does.
    """
    import filelock

    with disk_errors("write the results", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        guard = filelock.FileLock(path.with_name(f".{path.name}.lock"))
        try:
            guard.acquire(timeout=0)
        except filelock.Timeout as error:
            raise WorkspaceBusy(
                "another measurement writes these results", place=str(path), hint="wait for it, or give another --out"
            ) from error
    try:
        yield
    finally:
        guard.release()
