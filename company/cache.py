"""What a workspace keeps so that nothing is lost and nothing is paid for twice: artifact bodies and model replies.

Both are files under `<workspace>/.company/`, named by hash, written to a temporary name, synced and renamed.
The graph's checkpoints hold only references to them (`state.py`); who asks for replies is `llm/gateway.py`; what may go,
`housekeeping.py`: nothing that was used of late, so whoever uses one of these files makes it young.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from company.artifacts import BUILT_IN, Artifact
from company.errors import WorkspaceError
from company.workspace import write_atomic


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form, as 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _used(path: Path) -> bool:
    """Make a kept file young; whether it is there."""
    with suppress(OSError):  # nothing is deleted in a workspace that is closed to us
        os.utime(path)
    return path.exists()


class Objects:
    """Content-addressed JSON values: what steps produced. `kinds` are the artifacts that there are, by name."""

    def __init__(self, folder: Path, declared: Mapping[str, type[Artifact]] | None = None) -> None:
        self._folder = folder
        self.kinds: Mapping[str, type[Artifact]] = {**BUILT_IN, **(declared or {})}

    def put(self, value: Any) -> str:
        """Keep a JSON value; returns its reference."""
        ref = digest(value)
        path = self._path(ref)
        if not _used(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return ref

    def get(self, ref: str) -> Any:
        """The value behind a reference.

        Raises:
            WorkspaceError: it is missing or damaged.
        """
        path = self._path(ref)
        try:
            _used(path)
            value = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise WorkspaceError(
                f"a stored artifact ({ref[:12]}) is missing or damaged: {error}",
                hint="start the run again; replies that were paid for are kept and cost nothing",
            ) from error
        if digest(value) != ref:
            raise WorkspaceError(
                f"a stored artifact ({ref[:12]}) does not match its hash",
                place=str(path),
                hint="delete that file and resume: the step that made it is done again from its kept replies",
            )
        return value

    def holds(self, ref: str | None) -> bool:
        """Whether a value is here and whole, and those that it refers to; None is."""
        if ref is None:
            return True
        try:
            data = self.get(ref)
        except WorkspaceError:
            return False
        if data["kind"] not in ("record", "references"):
            return True
        inner = data["value"].values() if data["kind"] == "record" else data["value"]
        return all(self.holds(each) for each in inner)

    def _path(self, ref: str) -> Path:
        return self._folder / ref[:2] / f"{ref}.json"


class Results:
    """What steps gave, by their keys: the values' references, and the commit that belongs to it.

    An entry is a mapping with `run` and `model` (who made it with what), `tokens` (what it cost then), `values` and `commit`
    (null, or `files`, `subject`, `slug`, `title`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """The entry of a key, or None. A file that does not parse counts as absent."""
        entry = self._read(key, "json")
        return entry if isinstance(entry, dict) and "values" in entry else None

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep what a step gave."""
        self._write(key, "json", entry)

    def failures(self, key: str) -> int:
        """How often a step with this key failed: the same questions again would get the same answers."""
        entry = self._read(key, "failed")
        return entry if isinstance(entry, int) else 0

    def fail(self, key: str) -> None:
        """Note one failure more."""
        self._write(key, "failed", self.failures(key) + 1)

    def _read(self, key: str, kind: str) -> Any:
        path = self._folder / key[:2] / f"{key}.{kind}"
        try:
            _used(path)
            return json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None

    def _write(self, key: str, kind: str, entry: Any) -> None:
        path = self._folder / key[:2] / f"{key}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass"))


class Replies:
    """Model replies by the key of their request. A reply is on disk before anything is made of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored reply, or None. A file that does not parse counts as absent."""
        path = self._folder / key[:2] / f"{key}.json"
        try:
            _used(path)
            entry = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return entry if isinstance(entry, dict) and "text" in entry else None

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep a reply durably. `entry` has `text`, usage, the model and the run that paid for it."""
        path = self._folder / key[:2] / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass"))
