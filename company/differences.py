"""What differs between two runs: what they were asked, what they came to and cost, their tests, steps and files.

Pure: two `Side`s in, one `Difference` out. Gathering them: `sides.py`; showing: `cli_diff.py`. Executions of steps: `executions.py`;
two procedures by meaning: `sop/compare.py`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from company.artifacts import CommandResult, TestRun
from company.executions import Execution
from company.publish import RECORDS
from company.records import Request, own_file
from company.report import Report

Change = Literal["added", "deleted", "changed"]
Group = Literal["asked", "document", "code"]
_ASKED = (".company/sop.yaml", ".company/requirement.md")
_ARTIFACTS = f"{RECORDS}/artifacts"
_ABOUT = ".company/run.json"
"""What the run came to, which is said in numbers."""
_EXECUTED = ({*TestRun.model_fields}, {*CommandResult.model_fields})
"""Fields of what was executed: its output differs each time, and the tests are compared one by one."""


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    request: Request
    status: str
    """As the list of runs has it."""
    report: Report
    executions: Mapping[str, Execution]
    files: Mapping[str, bytes]
    """The tree of its last commit."""
    library: Mapping[str, str]
    """The procedure with its roles and prompts as they were: path → text."""
    tests: Mapping[str, str]
    """Of the last test run: id → outcome."""


@dataclass(frozen=True)
class Pair:
    """Something that has a value in each run; None where it has none."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class StepPair:
    """One execution of a step in each run; None where a run did not come to it."""

    id: str
    before: Execution | None
    after: Execution | None
    differs: tuple[str, ...]
    """What went into it and is not the same in both runs; empty where nothing differs or either has no key."""


@dataclass(frozen=True)
class FileChange:
    """A file that differs."""

    path: str
    group: Group
    change: Change
    added: int
    """Lines."""
    removed: int
    diff: str
    """Unified; empty for a file that is no text."""


@dataclass(frozen=True)
class Difference:
    """Everything that differs, and the numbers of both."""

    asked: tuple[Pair, ...]
    """Only what differs; texts are among the files."""
    numbers: tuple[Pair, ...]
    """How they ended and what they cost, the same or not."""
    tests: tuple[Pair, ...]
    """Tests whose outcome changed; None where a run has no such test."""
    steps: tuple[StepPair, ...]
    files: tuple[FileChange, ...]


def difference(one: Side, two: Side) -> Difference:
    """What differs from the first run to the second."""
    return Difference(
        asked=tuple(_differing(_asked(one), _asked(two))),
        numbers=tuple(_pairs(_numbers(one), _numbers(two))),
        tests=tuple(_differing(one.tests, two.tests)),
        steps=tuple(_steps(one.executions, two.executions)),
        files=(*_texts(one, two), *_files(one.files, two.files)),
    )


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Pair]:
    for name in dict.fromkeys((*before, *after)):
        yield Pair(name, before.get(name), after.get(name))


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Pair]:
    return (pair for pair in _pairs(before, after) if pair.before != pair.after)


def _asked(side: Side) -> dict[str, Any]:
    request = side.request
    limits = {f"limit {name}": value for name, value in request.limits.items()}
    again = {f"--from {step}": times for step, times in request.again.items()}
    others = {"edits of other files": True} if request.others else {}
    edits = {f"edit of {ident}": True for ident in request.edits}
    return {"sop": request.sop, "model": request.model, **limits, **again, **edits, **others}


def _numbers(side: Side) -> dict[str, Any]:
    report = side.report
    return {
        "status": side.status,
        "reason": report.reason,
        "accepted": report.accepted if report.status in ("delivered", "unaccepted") else None,
        "verdict": report.verdict,
        "calls": report.calls,
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "saved_tokens": report.saved_tokens,
        "cached_steps": report.cached_steps,
        "seconds": round(report.seconds, 3),
        "model_seconds": round(report.model_seconds, 3),
        "cost_usd": report.usd,
        "saved_usd": report.saved_usd,
    }


def _steps(before: Mapping[str, Execution], after: Mapping[str, Execution]) -> Iterator[StepPair]:
    for ident in dict.fromkeys((*after, *before)):
        one, two = before.get(ident), after.get(ident)
        if "for_each" in {each.kind for each in (one, two) if each}:
            continue  # its items say it
        known = one.made_of if one else {}, two.made_of if two else {}
        names = dict.fromkeys((*known[0], *known[1])) if all(known) else ()
        yield StepPair(ident, one, two, tuple(name for name in names if known[0].get(name) != known[1].get(name)))


# --- files ------------------------------------------------------------------------------------------


def _texts(one: Side, two: Side) -> Iterator[FileChange]:
    """What the runs were asked, as far as it is text. Two procedures of different names are not laid side by side."""
    before, after = (
        {f"input {name}": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
         for name, value in side.request.inputs.items()}
        for side in (one, two)
    )  # fmt: skip
    if one.request.sop == two.request.sop:
        own = own_file(one.request.sop)
        for side, texts in ((one, before), (two, after)):
            texts |= {"sop" if path == own else path: text for path, text in side.library.items()}
    yield from _changes("asked", _encoded(before), _encoded(after))


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {path: f"{text.rstrip()}\n".encode("utf-8", "surrogatepass") for path, text in texts.items()}


def _files(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[FileChange]:
    """Documents by their Markdown, by their JSON where that says more; then everything else."""
    documents: list[str] = []
    code: list[str] = []
    for path in sorted({*before, *after}):
        if path in _ASKED or path == _ABOUT or path.startswith(f"{_ARTIFACTS}/"):
            continue
        (documents if path.startswith("docs/") and path.endswith(".md") else code).append(path)
    said = list(_changes("document", *(_only(tree, documents) for tree in (before, after))))
    shown = {change.path for change in said}
    data = [
        path
        for path in sorted({*before, *after})
        if path.startswith(f"{_ARTIFACTS}/")
        and not shown & _markdown(path, documents)
        and not _executed(path, before, after)
    ]
    yield from said
    yield from _changes("document", *(_only(tree, data) for tree in (before, after)))
    yield from _changes("code", *(_only(tree, code) for tree in (before, after)))


def _only(tree: Mapping[str, bytes], paths: Iterable[str]) -> dict[str, bytes]:
    return {path: tree[path] for path in paths if path in tree}


def _markdown(path: str, documents: Iterable[str]) -> set[str]:
    """Where the Markdown of an artifact's JSON may lie: as `publish.files_of` names it."""
    name = path.removeprefix(f"{_ARTIFACTS}/").removesuffix(".json").replace("/", "-")
    own = f"docs/{name}.md"
    return {own} if own in documents else {"docs/prd.md", "docs/design.md"}


def _executed(path: str, *trees: Mapping[str, bytes]) -> bool:
    for tree in trees:
        try:
            data = json.loads(tree.get(path, b"null"))
        except ValueError:
            return False
        if isinstance(data, dict) and {*data} in _EXECUTED:
            return True
    return False


def _changes(group: Group, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[FileChange]:
    for path in dict.fromkeys((*before, *after)):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        change: Change = "added" if old is None else "deleted" if new is None else "changed"
        lines = unified(path, old, new)
        yield FileChange(
            path, group, change,
            sum(line.startswith("+") for line in lines[2:]),
            sum(line.startswith("-") for line in lines[2:]),
            "".join(lines),
        )  # fmt: skip


def unified(path: str, old: bytes | None, new: bytes | None) -> list[str]:
    """The lines of a unified diff, as git and patch read it; none for what is no text."""
    try:
        texts = [(content or b"").decode("utf-8", "surrogatepass") for content in (old, new)]
    except UnicodeDecodeError:
        return []
    if any("\0" in text for text in texts):
        return []
    one, two = "/dev/null" if old is None else f"a/{path}", "/dev/null" if new is None else f"b/{path}"
    found = difflib.unified_diff(_lines(texts[0]), _lines(texts[1]), one, two)
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found]


def _lines(text: str) -> list[str]:
    """With their ends; `str.splitlines` would cut at characters that end no line."""
    *whole, rest = text.split("\n")
    return [*(f"{line}\n" for line in whole), *([rest] if rest else [])]
