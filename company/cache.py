"""What a workspace keeps so that nothing is lost and nothing is paid for twice: artifact bodies and model replies.

Both are files under `<workspace>/.company/`, named by hash, written to a temporary name, synced and renamed.
The graph's checkpoints hold only references to them (`state.py`); who asks for replies is `llm/gateway.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from company.artifacts import BUILT_IN, Artifact
from company.errors import WorkspaceError
from company.workspace import write_atomic


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form, as 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Objects:
    """Content-addressed JSON values: what steps produced. `kinds` are the artifacts that there are, by name."""

    def __init__(self, folder: Path, declared: Mapping[str, type[Artifact]] | None = None) -> None:
        self._folder = folder
        self.kinds: Mapping[str, type[Artifact]] = {**BUILT_IN, **(declared or {})}

    def put(self, value: Any) -> str:
        """Keep a JSON value; returns its reference."""
        ref = digest(value)
        path = self._path(ref)
        data = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        if not (path.exists() and path.read_bytes() == data):  # a damaged one is mended
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        return ref

    def get(self, ref: str) -> Any:
        """The value behind a reference.

        Raises:
            WorkspaceError: it is missing or damaged.
        """
        try:
            value = json.loads(self._path(ref).read_bytes())
        except (OSError, ValueError) as error:
            raise WorkspaceError(
                f"a stored artifact ({ref[:12]}) is missing or damaged: {error}",
                hint="`company resume`: the step that made it is done again from its kept replies",
            ) from error
        if digest(value) != ref:
            raise WorkspaceError(
                f"a stored artifact ({ref[:12]}) does not match its hash",
                place=str(self._path(ref)),
                hint="`company resume`: the step that made it is done again from its kept replies",
            )
        return value

    def _path(self, ref: str) -> Path:
        return self._folder / ref[:2] / f"{ref}.json"


_SUM = "sha256"
"""Under which key a reply's entry has the digest of the rest."""


class Replies:
    """Model replies by the key of their request. A reply is on disk before anything is made of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored reply, or None. A file that does not parse, or is not as it was written, counts as absent."""
        try:
            entry = json.loads((self._folder / key[:2] / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return entry if isinstance(entry, dict) and entry.pop(_SUM, None) == digest(entry) else None

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep a reply durably. `entry` has `text`, usage, the model and the run that paid for it, or a tool's result."""
        path = self._folder / key[:2] / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        sealed = {**entry, _SUM: digest(entry)}
        write_atomic(path, json.dumps(sealed, ensure_ascii=False).encode("utf-8", "surrogatepass"))
