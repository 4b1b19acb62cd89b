"""Artifacts as Markdown for people and prompts: one function per kind, chosen by `render`.

The JSON beside it in the repository is the source; the Markdown is made from it. Which path it gets: `publish.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from company.artifacts import (
    Artifact,
    Check,
    Checks,
    CommandResult,
    Design,
    FileSpec,
    Prd,
    Review,
    SourceFile,
    TestFile,
    TestRun,
)
from company.excerpts import WHOLE, excerpt
from company.failing import failing


def render(value: Any) -> str:
    """An artifact or a list of them as Markdown; other values as text."""
    if isinstance(value, list):
        return "\n\n".join(render(item) for item in value)
    if isinstance(value, Prd):
        return _prd(value)
    if isinstance(value, Design):
        return _design(value)
    if isinstance(value, FileSpec):
        return file_interface(value)
    if isinstance(value, SourceFile | TestFile):
        return fenced(value.path, value.content)
    if isinstance(value, Review):
        lines = [f"- {comment}" for comment in value.comments]
        return "\n".join([f"Approved: {'yes' if value.approved else 'no'}", *lines])
    if isinstance(value, TestRun):
        return _test_run(value)
    if isinstance(value, CommandResult):
        return f"Exit status {value.exit_status} ({value.status})\n\n{value.stdout}{value.stderr}"
    if isinstance(value, Checks):
        return "\n".join(line for check in value.checks for line in _check(check))
    if isinstance(value, Artifact):
        return _record({name: getattr(value, name) for name in type(value).model_fields})
    if isinstance(value, dict):
        return _record({str(name): item for name, item in value.items() if item is not None})
    return "" if value is None else str(value)


def _check(check: Check) -> Iterator[str]:
    """What is expected and what says so: one line where it is a call alone, else a heading and what is done below it."""
    calls = [f"{_code(call.expression)} {_expected(call.expected)}" for call in check.calls]
    if len(calls) == 1 and not check.quote and not check.commands:
        yield f"- {calls[0]}"
        return
    yield f"- {check.title}" + (f": {check.quote}" if check.quote else "")
    for call in calls:
        yield f"  - {call}"
    for command in check.commands:
        typed = f", given {_code(json.dumps(command.stdin, ensure_ascii=False))}," if command.stdin else ""
        prints = _code(json.dumps(command.stdout, ensure_ascii=False)) if command.stdout else "nothing"
        yield f"  - {_code(command.command)}{typed} prints {prints}, exit status {command.exit_status}"


def _expected(value: str) -> str:
    return value if value.startswith("raises ") else f"gives {_code(value)}"


def _code(text: str) -> str:
    """Text as inline code, on one line."""
    line = " ".join(text.split())
    return f"`` {line} ``" if "`" in line else f"`{line}`"


def _record(fields: dict[str, Any]) -> str:
    """Named values: short ones beside their names, long ones below them."""
    lines = []
    for name, value in fields.items():
        text = ", ".join(map(str, value)) if _is_plain_list(value) else render(value)
        lines.append(f"{name}:\n{text}\n" if "\n" in text else f"{name}: {text}")
    return "\n".join(lines).rstrip()


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str | int | float | bool) for item in value)


def fenced(path: str, content: str) -> str:
    """A file as a heading and a fence longer than any run of backticks inside it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", content)), default=2)
    fence = "`" * (longest + 1)
    language = {"py": "python", "md": "markdown"}.get(path.rpartition(".")[2], path.rpartition(".")[2])
    return f"### {path}\n{fence}{language}\n{content.rstrip()}\n{fence}"


def file_interface(spec: FileSpec) -> str:
    """What the design says of one file, as text for a prompt; what a part does only where the requirement does not say it."""
    lines = [f"`{spec.path}`: {spec.purpose}"]
    if spec.depends_on:
        lines.append("  imports from " + ", ".join(f"`{path}`" for path in spec.depends_on))
    for part in spec.parts:
        lines.append(f"- `{part.signature}`" + ("" if part.quote else f": {part.purpose}"))
    return "\n".join(lines)


def _prd(prd: Prd) -> str:
    def bullets(title: str, items: list[str]) -> str:
        return f"## {title}\n\n" + "\n".join(f"- {item}" for item in items) if items else ""

    rows = "\n".join(f"| {item.id} | {item.priority} | {_cell(item.text)} |" for item in prd.requirements)
    parts = [
        f"# {prd.title}",
        bullets("Goals", prd.goals),
        bullets("User stories", prd.user_stories),
        f"## Requirements\n\n| id | priority | requirement |\n|---|---|---|\n{rows}",
        bullets("Acceptance criteria", prd.acceptance_criteria),
        bullets("Unclear, and what was assumed", prd.unclear),
    ]
    return "\n\n".join(part for part in parts if part)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _design(design: Design) -> str:
    parts = ["# Design", design.approach]
    if design.entry_point:
        parts.append(f"Started with: `{design.entry_point}`")
    parts.append("Packages needed: " + (", ".join(design.dependencies) or "the standard library only"))
    parts.append(f"```mermaid\n{diagram(design)}\n```")
    for spec in design.files:
        lines = [f"## {spec.path}", "", spec.purpose]
        if spec.depends_on:
            lines += ["", "Imports from: " + ", ".join(f"`{path}`" for path in spec.depends_on)]
        for part in spec.parts:
            lines += ["", f"- `{part.signature}`  ", f"  {part.purpose}"]
            if part.quote:
                lines.append(f"  > {' '.join(part.quote.split())}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def diagram(design: Design) -> str:
    """The design's files and who imports whom, as Mermaid."""
    numbers = {spec.path: f"f{index}" for index, spec in enumerate(design.files)}
    lines = ["flowchart LR"]
    for spec in design.files:
        names = "<br/>".join(_escape(part.name) for part in spec.parts)
        lines.append(f'  {numbers[spec.path]}["{_escape(spec.path)}{"<br/>" + names if names else ""}"]')
    for spec in design.files:
        lines += [f"  {numbers[spec.path]} --> {numbers[p]}" for p in spec.depends_on if p in numbers]
    return "\n".join(lines)


def _escape(text: str) -> str:
    return "".join(f"#{ord(char)};" if char in '"<>[]{}|`#&;' else char for char in text)


def _test_run(run: TestRun) -> str:
    lines = [run.summary]
    lines += [f"- machine check: {problem}" for problem in run.problems]
    for case in run.cases:
        if case.outcome != "passed":
            note = "" if case.required else " (worked out by QA, not stated by the requirement: does not decide)"
            lines.append(f"- {case.id}: {case.outcome}{note}")
            lines += [f"      {line}" for line in case.message.splitlines()[-15:]]
    return "\n".join(lines)


def shown(file: SourceFile | TestFile, words: str = "", most: int = WHOLE) -> str:
    """A file in about `most` characters: what the words name whole, of the rest the first lines."""
    return fenced(file.path, excerpt(file.path, file.content, words, most))


FILTERS: dict[str, Callable[..., str]] = {"failing": failing, "excerpt": shown}
"""What templates may use beside jinja's own filters."""
