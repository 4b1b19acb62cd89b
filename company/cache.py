"""What a workspace keeps so that nothing is lost and nothing is paid for twice: artifact bodies and model replies.

Both are JSON, kept by hash in a store (`store.py`: by default files under `<workspace>/.company/`). The graph's checkpoints
hold only references to them (`state.py`); who asks for replies is `llm/calls.py`; what may go is `housekeeping.py`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
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
                hint="`company resume`: the step that made it is done again from its kept replies",
            ) from error
        if digest(value) != ref:
            raise WorkspaceError(
                f"a stored artifact ({ref[:12]}) does not match its hash",
                place=str(self._store.home / self._name(ref)),
                hint="`company resume`: the step that made it is done again from its kept replies",
            )
        return value

    def holds(self, refs: Iterable[str | None], known: dict[str, bool] | None = None) -> bool:
        """Whether values are here and whole, and those that they refer to; None is. `known` remembers what was looked at."""
        known = {} if known is None else known
        return all(ref is None or self._is_whole(ref, known) for ref in refs)

    def _is_whole(self, ref: str, known: dict[str, bool]) -> bool:
        if ref not in known:
            try:
                data = self.get(ref)
            except WorkspaceError:
                known[ref] = False
                return False
            inner = data["value"] if data["kind"] in ("record", "references") else ()
            known[ref] = self.holds(inner.values() if isinstance(inner, dict) else inner, known)
        return known[ref]

    def _name(self, ref: str) -> str:
        return f"objects/{ref[:2]}/{ref}.json"


class Results:
    """What steps gave, by their keys: the values' references, and the commit that belongs to it.

    An entry is a mapping with `run` and `model` (who made it with what), `tokens` and `usd` (what it cost then), `values` and `commit`
    (null, or `files`, `subject`, `slug`, `title`). With `anew` none is given: every step is to be done.
    """

    def __init__(self, store: Store, *, anew: bool = False) -> None:
        self._store = store
        self._anew = anew

    def get(self, key: str) -> dict[str, Any] | None:
        """The entry of a key, or None. A file that does not parse counts as absent."""
        entry = None if self._anew else self._read(key, "json")
        return entry if isinstance(entry, dict) and "values" in entry else None

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep what a step gave."""
        self._write(key, "json", entry)

    def failures(self, key: str) -> int:
        """How often a step with this key failed: the same questions again would get the same answers."""
        entry = self._read(key, "failed")
        return entry if isinstance(entry, int) else 0

    def fail(self, key: str, times: int) -> None:
        """Note so many failures more."""
        self._write(key, "failed", self.failures(key) + times)

    def _read(self, key: str, kind: str) -> Any:
        try:
            return json.loads(self._store.get(f"steps/{key[:2]}/{key}.{kind}") or b"")
        except ValueError:
            return None

    def _write(self, key: str, kind: str, entry: Any) -> None:
        data = json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self._store.put(f"steps/{key[:2]}/{key}.{kind}", data)


_SUM = "sha256"
"""Under which key a reply's entry has the digest of the rest."""


class Replies:
    """Model replies by the key of their request, and what was asked. A reply is durable before anything is made of it."""

    def __init__(self, store: Store, under: str = "replies") -> None:
        self._store = store
        self._under = under

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored reply, or None. One that does not parse, or is not as it was written, counts as absent."""
        try:
            entry = json.loads(self._store.get(self._name(key)) or b"")
        except ValueError:
            return None
        return entry if isinstance(entry, dict) and entry.pop(_SUM, None) == digest(entry) else None

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep a reply durably. `entry` has `text`, usage, the model and the run that paid for it, or a tool's result."""
        sealed = {**entry, _SUM: digest(entry)}
        self._store.put(self._name(key), json.dumps(sealed, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def ask(self, key: str, question: dict[str, Any]) -> None:
        """Keep what is asked, for people who want to see it, before it is answered."""
        data = json.dumps(question, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self._store.put(f"prompts/{key[:2]}/{key}.json", data)

    def asked(self, key: str) -> dict[str, Any] | None:
        """What was asked; None where it is not known: versions before this one did not keep it."""
        try:
            entry = json.loads(self._store.get(f"prompts/{key[:2]}/{key}.json") or b"")
        except ValueError:
            return None
        return entry if isinstance(entry, dict) else None

    def _name(self, key: str) -> str:
        return f"{self._under}/{key[:2]}/{key}.json"
