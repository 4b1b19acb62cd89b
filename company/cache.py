"""What a workspace keeps so that nothing is lost and nothing is paid for twice: artifact bodies and model replies.

Both are JSON, kept by hash in a store (`store.py`: by default files under `<workspace>/.company/`). The graph's checkpoints
hold only references to them (`state.py`); who asks for replies is `llm/gateway.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from company.artifacts import BUILT_IN, Artifact
from company.errors import WorkspaceError
from company.store import Store


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form, as 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Objects:
    """Content-addressed JSON values: what steps produced. `kinds` are the artifacts that there are, by name."""

    def __init__(self, store: Store, declared: Mapping[str, type[Artifact]] | None = None) -> None:
        self._store = store
        self.kinds: Mapping[str, type[Artifact]] = {**BUILT_IN, **(declared or {})}

    def put(self, value: Any) -> str:
        """Keep a JSON value; returns its reference."""
        ref = digest(value)
        self._store.put(self._name(ref), json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return ref

    def get(self, ref: str) -> Any:
        """The value behind a reference.

        Raises:
            WorkspaceError: it is missing or damaged.
        """
        try:
            value = json.loads(self._store.get(self._name(ref)) or b"")
        except ValueError as error:
            raise WorkspaceError(
                f"a stored artifact ({ref[:12]}) is missing or damaged: {error}",
                hint="start the run again; replies that were paid for are kept and cost nothing",
            ) from error
        if digest(value) != ref:
            raise WorkspaceError(
                f"a stored artifact ({ref[:12]}) does not match its hash",
                place=str(self._store.home / self._name(ref)),
                hint="delete that file and resume: the step that made it is done again from its kept replies",
            )
        return value

    def _name(self, ref: str) -> str:
        return f"objects/{ref[:2]}/{ref}.json"


class Replies:
    """Model replies by the key of their request. A reply is durable before anything is made of it."""

    def __init__(self, store: Store, under: str = "replies") -> None:
        self._store = store
        self._under = under

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored reply, or None. One that does not parse counts as absent."""
        try:
            entry = json.loads(self._store.get(self._name(key)) or b"")
        except ValueError:
            return None
        return entry if isinstance(entry, dict) and "text" in entry else None

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep a reply durably. `entry` has `text`, usage, the model and the run that paid for it."""
        self._store.put(self._name(key), json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def _name(self, key: str) -> str:
        return f"{self._under}/{key[:2]}/{key}.json"
