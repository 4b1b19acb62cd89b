"""What a workspace keeps: artifact bodies, paid replies and the journal, also where files are damaged or cut."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from company.cache import Objects, Replies, digest
from company.errors import WorkspaceError
from company.events import Event, Journal, read
from company.store import Folder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SAME_FOLDER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SAME_FOLDER
@given(JSON)
def test_what_is_put_comes_back(tmp_path: Path, value: object) -> None:
    objects = Objects(Folder(tmp_path))
    ref = objects.put(value)
    assert objects.get(ref) == value
    assert objects.put(value) == ref == digest(value)
    assert len(ref) == 64


@given(st.dictionaries(st.text(max_size=5), st.integers(), min_size=2, max_size=5))
def test_the_order_of_keys_does_not_matter_and_values_do(value: dict[str, int]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)
    key = next(iter(value))
    assert digest(value | {key: value[key] + 1}) != digest(value)


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"other": 1}', b"\xff"])
def test_a_damaged_artifact_is_an_error_with_a_way_out(tmp_path: Path, content: bytes | None) -> None:
    objects = Objects(Folder(tmp_path))
    ref = objects.put({"a": 1})
    (found,) = tmp_path.rglob(f"{ref}.json")
    found.unlink() if content is None else found.write_bytes(content)
    with pytest.raises(WorkspaceError, match=f"a stored artifact \\({ref[:12]}\\)") as caught:
        objects.get(ref)
    assert "again" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"usage": {}}', b'"text"', b"\xff\xfe"])
def test_a_damaged_reply_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    replies = Replies(Folder(tmp_path))
    assert replies.get("abcd") is None
    replies.put("abcd", {"text": "caf\u00e9 \ud800", "usage": {}})
    assert replies.get("abcd") == {"text": "caf\u00e9 \ud800", "usage": {}}
    (found,) = tmp_path.rglob("abcd.json")
    found.write_bytes(content)
    assert replies.get("abcd") is None
    replies.put("abcd", {"text": "again"})
    assert replies.get("abcd") == {"text": "again"}


def names(path: Path) -> list[str]:
    return [event["event"] for event in read(path)]


def test_events_are_told_and_kept_in_order(tmp_path: Path) -> None:
    seen: list[Event] = []
    journal = Journal(tmp_path / "deep/events.jsonl", (seen.append,))
    journal.emit("step_started", step="prd", role="product_manager")
    journal.emit("call_progress", call="1", tokens=3)
    assert names(journal.path) == ["step_started"], "a line is readable as soon as it is emitted"
    journal.emit("notice", text="two\nlines \u2028 \ud800 \x1b[31m")
    journal.close()
    journal.close()
    assert [event["event"] for event in seen] == ["step_started", "call_progress", "notice"]
    assert names(journal.path) == ["step_started", "notice"], "progress is shown and not kept"
    assert len(journal.path.read_bytes().splitlines()) == 2
    assert "\x1b" not in journal.path.read_text()


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_cut_by_a_crash_spoils_no_other(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    first = Journal(path)
    first.emit("notice", text="one")
    first.emit("notice", text="cut by the crash")
    first.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    again.emit("run_resumed", run="r")
    again.close()
    assert names(path)[-1] == "run_resumed"
    assert names(path)[0] == "notice"
    assert len(names(path)) == (3 if cut == 1 else 2), "only the line that was cut is lost"


def test_what_is_no_event_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n[]\n1\n{}\n\xff\n" + json.dumps({"event": "notice", "time": 1}).encode() + b"\n\n")
    assert names(path) == ["notice"]
    assert list(read(tmp_path / "absent")) == []
