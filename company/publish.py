"""What an artifact becomes in the repository: its files, the commit's subject, and the README that a delivery ends with.

How files reach git: `workspace.py`. Artifacts as Markdown: `markdown.py`; tests made from them: `testgen.py`.
"""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Mapping
from typing import Any

from company import markdown, testgen
from company.artifacts import (
    Artifact,
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

ARTIFACTS = ".company/artifacts"
IGNORED = b"__pycache__/\n*.pyc\n.pytest_cache/\n.venv/\n"


def files_of(step: str, item: str, value: Any, requirement: str, *, candidates: bool = False) -> dict[str, bytes]:
    """The files that a step's result is in the repository, by path. Code is itself, a document JSON and Markdown.

    Args:
        step: the step's path, such as ``verify.test``.
        item: the item's key inside a for_each; empty outside.
        candidates: it is a list of answers to choose from, so code in it is no file of the repository yet.
    """
    found: dict[str, bytes] = {}
    documents = []
    for one in flat(value):
        if candidates:
            documents.append(one)
            continue
        if isinstance(one, SourceFile | TestFile):
            found[one.path] = one.content.encode()
        elif isinstance(one, Patch):
            found.update({file.path: file.content.encode() for file in one.files})
        elif one is not None:
            documents.append(one)
        made = made_tests(one, requirement)
        if made:
            found[made.path] = made.text.encode()
    if documents:
        whole = documents if isinstance(value, list) else documents[0]
        name = step + (f"/{_file_name(item)}" if item else "")
        found[f"{ARTIFACTS}/{name}.json"] = (json.dumps(to_json(whole), indent=1, ensure_ascii=False) + "\n").encode()
        place = (
            {"Prd": "prd", "Design": "design"}.get(type(documents[0]).__name__)
            if not item and step.count(".") == 0
            else None
        )
        text = markdown.render(whole)
        title = "" if text.startswith("# ") else f"# {name}\n\n"
        found[f"docs/{place or name.replace('/', '-')}.md"] = f"{title}{text}\n".encode()
    return found


def made_tests(value: Any, requirement: str) -> testgen.Tests | None:
    """The test file that the engine itself writes for a document, if there is one."""
    if isinstance(value, Checks):
        return testgen.from_checks(value, requirement)
    if isinstance(value, Design):
        return testgen.from_design(value, requirement)
    return None


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
