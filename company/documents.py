"""An edited Markdown document back to the artifact that it was made from, which is the source of both.

How artifacts become Markdown: `markdown.py`. What is not said in the text, or only in another form, stays as it was.
"""

from __future__ import annotations

import re
from typing import Any

from company.artifacts import Design, Prd, to_json
from company.errors import UsageError
from company.markdown import render

_ROW = re.compile(r"\|(.*)\|\s*$")
_BULLETS = {
    "Goals": "goals",
    "User stories": "user_stories",
    "Acceptance criteria": "acceptance_criteria",
    "Unclear, and what was assumed": "unclear",
}


def edited(value: Any, text: str, path: str) -> Any:
    """The artifact as JSON data, with what was changed in its Markdown.

    Raises:
        UsageError: there is no way back from this document, or not from what was made of it.
    """
    read = _prd if isinstance(value, Prd) else _design if isinstance(value, Design) else None
    if read is None:
        kind = type(value).__name__
        raise UsageError(
            f"it is made from a {kind}, which cannot be read back from text", place=path,
            hint=f"edit its JSON in .company/artifacts/ instead; undo the change: git restore {path}",
        )  # fmt: skip
    before, after = read(render(value)), read(text)
    if unknown := after.pop("", None):
        raise UsageError(
            f"`{unknown}` is no part of this document", place=path,
            hint="keep its headings and the form of its lines, or edit its JSON in .company/artifacts/ instead",
        )  # fmt: skip
    before.pop("", None)
    return _merged(to_json(value), before, after)


def _merged(whole: Any, before: Any, after: Any) -> Any:
    """The whole, changed as `before` was changed into `after`; both hold only what a text says of it."""
    if before == after:
        return whole
    if isinstance(before, dict) and isinstance(after, dict):
        known = {name: _merged(whole[name], before.get(name), after[name]) for name in after if name in whole}
        return {**whole, **known}
    if isinstance(before, list) and isinstance(after, list):
        return [_like(whole, before, one) for one in after]
    return after


def _like(whole: list[Any], before: list[Any], one: Any) -> Any:
    """An entry of an edited list: the entry that it was, with what is not in the text, or a new one."""
    if one in before:
        return whole[before.index(one)]
    if isinstance(one, dict):
        name = next(iter(one))  # the field that a reader would know it by
        for place, old in enumerate(before):
            if old[name] == one[name]:
                return _merged(whole[place], old, one)
        return {**{field: [] if isinstance(value, list) else "" for field, value in (whole or [{}])[0].items()}, **one}
    return one


def _sections(text: str) -> list[tuple[str, list[str]]]:
    """Heading → its lines without empty ones; what comes before the first ``##`` lies under the title."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        if line.startswith("#"):
            found.append((line, []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def _prd(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"title": "", "requirements": [], **{name: [] for name in _BULLETS.values()}}
    for heading, lines in _sections(text):
        title = heading.lstrip("#").strip()
        if heading.startswith("# "):
            found["title"] = title
            found |= {"": lines[0]} if lines else {}
        elif title in _BULLETS:
            found[_BULLETS[title]] = _bullets(lines, found)
        elif title == "Requirements":
            for line in lines[2:]:
                row = _ROW.match(line)
                cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row[1])] if row else []
                if len(cells) == 3:
                    found["requirements"].append(dict(zip(("id", "priority", "text"), cells, strict=True)))
                else:
                    found[""] = line
        elif heading or lines:
            found[""] = heading or lines[0]
    return found


def _bullets(lines: list[str], found: dict[str, Any]) -> list[str]:
    """The entries of a list; a line that is none goes on with the one before."""
    entries: list[str] = []
    for line in lines:
        if line.startswith(("- ", "* ")):
            entries.append(line[2:].strip())
        elif entries and line.startswith(" "):
            entries[-1] += f" {line.strip()}"
        else:
            found[""] = line
    return entries


def _design(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"approach": "", "entry_point": "", "dependencies": [], "files": []}
    text = re.sub(r"^```mermaid\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # made from the rest
    for heading, lines in _sections(text):
        if heading.startswith("## "):
            found["files"].append(_file(heading[3:].strip(), lines, found))
            continue
        approach = []
        for line in lines:
            if line.startswith("Started with: "):
                found["entry_point"] = line.partition(": ")[2].strip(" `")
            elif line.startswith("Packages needed: "):
                named = line.partition(": ")[2].strip()
                found["dependencies"] = [] if named == "the standard library only" else _listed(named)
            else:
                approach.append(line)
        found["approach"] = "\n".join([found["approach"], *approach]).strip()
    return found


def _file(path: str, lines: list[str], found: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"path": path, "purpose": "", "depends_on": [], "parts": []}
    for line in lines:
        part = re.match(r"- `(.+)`\s*$", line)
        if part:
            spec["parts"].append({"signature": part[1], "purpose": "", "quote": ""})
        elif line.startswith("Imports from: "):
            spec["depends_on"] = _listed(line.partition(": ")[2])
        elif line.startswith("  > ") and spec["parts"]:
            spec["parts"][-1]["quote"] = f"{spec['parts'][-1]['quote']} {line[4:].strip()}".strip()
        elif line.startswith("  ") and spec["parts"]:
            spec["parts"][-1]["purpose"] = f"{spec['parts'][-1]['purpose']} {line.strip()}".strip()
        elif spec["parts"]:
            found[""] = line
        else:
            spec["purpose"] = f"{spec['purpose']}\n{line}".strip()
    return spec


def _listed(text: str) -> list[str]:
    return [name.strip(" `") for name in text.split(",") if name.strip(" `")]
