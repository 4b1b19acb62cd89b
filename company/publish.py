"""What an artifact becomes in the repository: its files, the commit's subject, and the README that a delivery ends with.

How files reach git: `workspace.py`. Artifacts as Markdown: `markdown.py`; tests made from them: `testgen.py`.
"""

from __future__ import annotations

import codecs
import json
import re
from binascii import crc32
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from company import markdown, quoted, testgen
from company.artifacts import (
    Artifact,
    ChangePlan,
    Checks,
    CommandResult,
    Decision,
    Design,
    Patch,
    Prd,
    Review,
    SourceFile,
    TestFile,
    TestRun,
    flat,
    to_json,
)
from company.llm.names import is_test

RECORDS = ".company"
"""Folder of a run's records in a repository of its own."""
IGNORED = b"__pycache__/\n*.pyc\n.pytest_cache/\n.venv/\n"


class Guest(NamedTuple):
    """How a run behaves in a repository that was there before: its documents stay among its records."""

    records: str
    """Folder of the run's records: one for each run, so that the branches of two runs can be merged."""
    tests: str
    """Path of the file for tests that the engine writes: one that was not there."""
    before: Mapping[str, bytes]
    """Every file as it was before the run, by path."""

    @classmethod
    def of(cls, run: str, name: str, before: Mapping[str, bytes]) -> Guest:
        """The guest that a run is. `name` tells its test file from others."""
        tests = [path for path in before if is_test(path) and path.endswith(".py")]
        folders = Counter(path.rpartition("/")[0] for path in tests)
        usual = next((each for each in ("tests", "test") if each in folders), "")
        folder = usual or (folders.most_common(1)[0][0] if folders else "tests")
        taken = {path.rpartition("/")[2] for path in tests}
        stem = f"test_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}"
        names = (f"{stem}{number}.py" for number in ("", *(f"_{more}" for more in range(2, len(taken) + 3))))
        free = next(each for each in names if each not in taken)
        return cls(f"{RECORDS}/{run}", f"{folder}/{free}".lstrip("/"), before)


def files_of(
    step: str, item: str, value: Any, requirement: str, *, candidates: bool = False, guest: Guest | None = None
) -> dict[str, bytes]:
    """The files that a step's result is in the repository, by path. Code is itself, a document JSON and Markdown.

    Args:
        step: the step's path, such as ``verify.test``.
        item: the item's key inside a for_each; empty outside.
        candidates: it is a list of answers to choose from, so code in it is no file of the repository yet.
        guest: in a repository that was there before.
    """
    found: dict[str, bytes] = {}
    documents = []
    for one in flat(value):
        if candidates:
            documents.append(one)
            continue
        if isinstance(one, SourceFile | TestFile):
            found[one.path] = styled(one, guest)
        elif isinstance(one, Patch):
            found.update({file.path: styled(file, guest) for file in one.files})
        elif one is not None:
            documents.append(one)
        for made in made_tests(one, requirement, guest.tests if guest else ""):
            found[made.path] = made.text.encode()
    if documents:
        whole = documents if isinstance(value, list) else documents[0]
        name = step + (f"/{_file_name(item)}" if item else "")
        records = guest.records if guest else RECORDS
        found[f"{records}/artifacts/{name}.json"] = (
            json.dumps(to_json(whole), indent=1, ensure_ascii=False) + "\n"
        ).encode()
        place = (
            {"Prd": "prd", "Design": "design"}.get(type(documents[0]).__name__)
            if not item and step.count(".") == 0
            else None
        )
        text = markdown.render(whole)
        title = "" if text.startswith("# ") else f"# {name}\n\n"
        found[f"{f'{records}/' if guest else ''}docs/{place or name.replace('/', '-')}.md"] = (
            f"{title}{text}\n".encode()
        )
    return found


def made_tests(value: Any, requirement: str, path: str = "") -> list[testgen.Tests]:
    """The test files that the engine itself writes for a document.

    Args:
        path: where one goes in a repository that was there before: then it holds no test that decides nothing, and the commands
            that were there already are nobody's to try.
    """
    if isinstance(value, Checks):
        made = testgen.from_checks(value, requirement, stated_alone=bool(path))
        return [testgen.moved(made, path)] if path else [made, *filter(None, [quoted.tests_of(requirement)])]
    interfaces = testgen.from_design(value, requirement) if isinstance(value, Design) else None
    if interfaces and path:
        interfaces = testgen.moved(interfaces, path.replace(".py", "_interface.py"))
    return [interfaces] if interfaces else []


def styled(file: SourceFile | TestFile, guest: Guest | None) -> bytes:
    """A file's bytes: with the line ends and the mark at the top that it had before the run."""
    old = guest.before.get(file.path, b"") if guest else b""
    content = file.content.encode()
    if b"\r\n" in old and old.count(b"\r\n") * 2 > old.count(b"\n"):
        content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return codecs.BOM_UTF8 + content if old.startswith(codecs.BOM_UTF8) else content


def _file_name(item: str) -> str:
    """An item's key as a file's name; what had to be changed has a suffix, so that no two keys share a name."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "-" for char in item).strip(".-")
    plain = plain[:80] or "item"
    return plain if plain == item and plain == plain.lower() else f"{plain}-{crc32(item.encode()):08x}"


def subject(step: str, value: Any, updates: str | None) -> str:
    """The commit's first line."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, Prd):
        what = f"write the requirements of {first.title}"
    elif isinstance(first, Design):
        what = f"design {', '.join(spec.path for spec in first.files)}"
    elif isinstance(first, ChangePlan):
        what = f"plan to change {', '.join(change.path for change in first.changes)}"
    elif isinstance(first, Checks):
        what = f"check {len(first.checks)} expectations"
    elif isinstance(first, TestRun):
        what = first.summary
    elif isinstance(first, Review):
        what = "approve" if first.approved else f"ask for {len(first.comments)} changes"
    elif isinstance(first, Decision):
        what = first.choice
    elif isinstance(first, CommandResult):
        what = "passed" if first.passed else f"failed with exit status {first.exit_status}"
    elif isinstance(first, Patch):
        what = f"change {', '.join(file.path for file in first.files)}"
    elif isinstance(first, SourceFile | TestFile):
        paths = [one.path for one in value] if isinstance(value, list) else [first.path]
        what = f"{'change' if updates else 'write'} {', '.join(paths)}"
    else:
        what = f"write {type(first).__name__}" if isinstance(first, Artifact) else "answer"
    return f"{step}: {what}"[:120]


def readme(title: str, requirement: str, design: Design | None, verdict: str, files: Mapping[str, bytes]) -> str:
    """The README of a delivered repository whose roles wrote none."""
    parts = [f"# {title}", requirement.strip()]
    if design and design.entry_point:
        parts.append(f"## Use\n\n```\n{design.entry_point}\n```")
    elif design:
        names = [part.signature for spec in design.files for part in spec.parts]
        parts += ["## Use\n\n" + "\n".join(f"- `{name}`" for name in names)] if names else []
    code = sorted(path for path in files if path.endswith(".py") and not path.startswith("tests/"))
    parts.append("## Files\n\n" + "\n".join(f"- `{path}`" for path in code))
    if any(path.startswith("tests/") for path in files):
        state = f"\n\nWhen this was delivered: {verdict}." if verdict else ""
        parts.append(f"## Tests\n\n```\npython -m pytest\n```{state}")
    docs = sorted(path for path in files if path.startswith("docs/"))
    if docs:
        parts.append("## How it came about\n\n" + "\n".join(f"- [{path}]({path})" for path in docs))
    return "\n\n".join(parts) + "\n"
