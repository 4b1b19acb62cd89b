"""What small models really said when they were asked for code, and what must be made of it; labelled by hand.

`corpus/expected-*.json` have an entry for each reply of the recordings beside it: the files that it expects, why it is awkward, and
either `files` (path → hash of the content) or `rejected`, as a person judged after reading the reply; where the parser is wrong,
`wrong` says how, and the test is expected to fail. How to label: `corpus/README.md`. Tools: `corpus_tools.py`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from company.errors import ReplyError
from company.llm.code_replies import parse_code
from company.llm.joining import cut_of, joins, sound_files
from tests.llm.corpus_tools import CORPUS, exchanges, expectations, outcome

ENTRIES = expectations()
RECORDED = {path.name: exchanges(path) for path in sorted(CORPUS.glob("*.jsonl"))}


def called(entry: dict[str, Any]) -> str:
    return f"{entry['recording'].removesuffix('.jsonl')}-{entry['line']}-{entry['item']}"


def marked(entry: dict[str, Any]) -> Any:
    marks = [pytest.mark.xfail(reason=entry["wrong"])] if entry.get("wrong") else []
    return pytest.param(entry, id=called(entry), marks=marks)


def test_every_recorded_reply_is_labelled_once_with_a_reason() -> None:
    labelled = Counter((entry["recording"], entry["line"]) for entry in ENTRIES)
    assert labelled == Counter((name, line) for name, found in RECORDED.items() for line in range(1, len(found) + 1))
    assert [called(entry) for entry in ENTRIES if not entry["why"].strip()] == []


@pytest.mark.parametrize("entry", [marked(entry) for entry in ENTRIES])
def test_what_is_made_of_a_real_reply(entry: dict[str, Any]) -> None:
    exchange = RECORDED[entry["recording"]][entry["line"] - 1]
    assert exchange.step.item == entry["item"]
    assert exchange.reply
    known = {key: entry[key] for key in ("files", "rejected", "cut") if key in entry}
    assert outcome(exchange.reply, entry["expects"]) == known


@pytest.mark.parametrize("entry", [pytest.param(entry, id=called(entry)) for entry in ENTRIES if "files" in entry])
def test_a_real_reply_cut_and_gone_on_with_is_the_same_or_refused(entry: dict[str, Any]) -> None:
    reply = RECORDED[entry["recording"]][entry["line"] - 1].reply
    assert reply
    expects = entry["expects"]
    try:
        whole = {file.path: file.content for file in parse_code(reply.text, expected=expects)}
    except ReplyError:
        return  # it was cut itself
    step = max(7, len(reply.text) // 25)
    for end in range(step, len(reply.text), step):
        cut = cut_of(reply.text[:end], expects)
        if cut and reply.text.startswith(cut.text + "\n"):
            rest = "```python\n" + reply.text[len(cut.text) + 1 :]
            ways = [sound_files(way.text, expects, needs_all=True) for way in joins(cut, rest)]
            different = [files for files in ways if files and files != whole]
            assert not different or whole in ways, reply.text[:end][-80:]
