"""Real replies of code, and what the parser makes of each: shown to whoever labels them, drafted as expectations.

    python -m tests.llm.corpus_tools show RECORDING [LINE]    the replies, and what is made of them
    python -m tests.llm.corpus_tools draft RECORDING …        entries for `corpus/expected-NAME.json`, `why` left empty

The check itself: `test_corpus.py`. Who asked for them: `benchmarks/code_replies.py`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from company.errors import ReplyError
from company.llm.client import Reply
from company.llm.code_replies import CodeFile, parse_code, whole_files
from company.llm.edits import has_edits
from company.llm.joining import cut_of, without_circle
from company.llm.recording import Exchange, read_exchanges
from tests.scripts_of import load

CORPUS = Path(__file__).parent / "corpus"


def exchanges(path: Path) -> list[Exchange]:
    """The exchanges of a recording that have a reply, in order."""
    return [each for each in read_exchanges(path.read_bytes(), path) if each.reply]


def files_of(reply: Reply, expects: Sequence[str]) -> list[CodeFile]:
    """The files that are used of a reply as it stands; of one that was cut, those that are whole.

    Raises:
        ReplyError: it is rejected.
    """
    if reply.finish_reason != "length":
        return parse_code(reply.text, expected=expects)
    return [] if has_edits(reply.text) else list(whole_files(reply.text, expects).values())


def outcome(reply: Reply, expects: Sequence[str]) -> dict[str, Any]:
    """What is made of a reply, as an entry has it: its files by hash, and of one that was cut what comes next."""
    try:
        files = files_of(reply, expects)
    except ReplyError as error:
        return {"rejected": error.message.removeprefix("the reply is no code: ")}
    found: dict[str, Any] = {"files": {file.path: mark(file.content) for file in files}}
    if reply.finish_reason == "length":
        found["cut"] = after_cut(reply.text, expects, [file.path for file in files])
    return found


def after_cut(text: str, expects: Sequence[str], whole: Sequence[str]) -> str:
    """What is done about a cut reply: `whole`, asked `again`, told of its `circle`, asked for `others`, or gone `on` with."""
    if has_edits(text):
        return "again"
    if expects and len(whole) == len(expects):
        return "whole"
    if without_circle(text):
        return "circle"
    return "others" if whole else "on" if cut_of(text, expects) else "again"


def mark(content: str) -> str:
    """A text by its hash, with its lines, so that people see something."""
    return f"{hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:16]} {len(content.splitlines())} lines"


def expectations() -> list[dict[str, Any]]:
    """The entries: recording, line, item, expects, why, and an outcome."""
    found: list[dict[str, Any]] = []
    for path in sorted(CORPUS.glob("expected*.json")):
        found += json.loads(path.read_text("utf-8"))
    return found


def _expects() -> dict[str, tuple[str, ...]]:
    """The files that each situation asks for."""
    return {situation.name: situation.expects for situation in load("code_replies").SITUATIONS}


def _show(path: Path, only: int) -> None:
    expects = _expects()
    for line, each in enumerate(exchanges(path), 1):
        assert each.reply
        if only in (0, line):
            wanted = expects[each.step.item]
            head = f"{path.name}:{line} {each.step.item} at {each.request.temperature:g}, {each.reply.finish_reason}"
            print(f"\n{'=' * 100}\n{head}; wanted: {', '.join(wanted)}\n{'=' * 100}\n{each.reply.text}\n{'-' * 100}")
            print(json.dumps(outcome(each.reply, wanted), ensure_ascii=False))
            if only:
                for file in files_of(each.reply, wanted):
                    print(f"{'-' * 30} {file.path}\n{file.content}", end="")


def _draft(paths: Sequence[Path]) -> None:
    expects = _expects()
    entries = []
    for path in paths:
        for line, each in enumerate(exchanges(path), 1):
            assert each.reply
            wanted = expects[each.step.item]
            place = {"recording": path.name, "line": line, "item": each.step.item, "expects": wanted, "why": ""}
            entries.append({**place, **outcome(each.reply, wanted)})
    print("[\n" + ",\n".join(" " + json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]")


if __name__ == "__main__":
    if sys.argv[1] == "show":
        _show(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    else:
        _draft([Path(name) for name in sys.argv[2:]])
