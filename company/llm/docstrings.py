"""A small model that sees what it wrote copies it: docstrings are left out of what it sees, and put back into what it gives.

Who asks for changes: `changes.py`. Other members that a reply leaves out: `classes.py`; long files cut: `company/excerpts.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from company.llm.classes import Definition, first_line, is_docstring


def bare(code: str, words: str) -> tuple[str, list[str]]:
    """A module without docstrings, and the names of those definitions that `words` name, or name a method of.

    Where they name any, only those and the imports are left of it. Code that does not parse is given as it is.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return code, []
    lines: list[str | None] = [*code.split("\n")]
    for _, node in _definitions(tree.body):
        doc, place = node.body[0], "\n".join(code.split("\n")[node.body[0].lineno - 1 : node.body[0].end_lineno])
        if is_docstring(doc) and place.strip() == (ast.get_source_segment(code, doc) or ""):
            lines[doc.lineno - 1 : doc.end_lineno] = [None] * (place.count("\n") + 1)
            if len(node.body) == 1:
                lines[doc.lineno - 1] = " " * doc.col_offset + "pass"
    tops = [node for node in tree.body if isinstance(node, Definition)]
    named = [node for node in tops if any(_is_named(inner, words) for inner in (node, *node.body))]
    kept = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) or node in named]
    shown = [lines[first_line(node) - 1 : node.end_lineno] for node in kept] if named else [lines]
    texts = ["\n".join(line for line in part if line is not None).strip("\n") for part in shown]
    return "\n\n\n".join(text for text in texts if text), [node.name for node in named]


def with_docstrings(old: str, new: str) -> str:
    """New code, in which the definitions that had a docstring and are given without one have it again."""
    try:
        before, after = ast.parse(old), ast.parse(new)
    except (SyntaxError, ValueError):
        return new
    known = {name: node.body[0] for name, node in _definitions(before.body) if is_docstring(node.body[0])}
    lines = new.split("\n")
    for name, node in reversed([*_definitions(after.body)]):
        first = node.body[0]
        if name in known and not is_docstring(first) and not lines[first_line(first) - 1][: first.col_offset].strip():
            doc = old.split("\n")[known[name].lineno - 1 : known[name].end_lineno]
            by = first.col_offset - known[name].col_offset
            moved = [" " * by + line if by > 0 else line[min(-by, len(line) - len(line.lstrip())) :] for line in doc]
            lines[first_line(first) - 1 : first_line(first) - 1] = [line.rstrip() for line in moved]
    return "\n".join(lines)


def _definitions(body: Sequence[ast.stmt], owner: str = "") -> Iterator[tuple[str, Definition]]:
    """Qualified name and definition, of functions, classes and what those define, in the order of their lines."""
    for node in body:
        if isinstance(node, Definition):
            yield owner + node.name, node
            yield from _definitions(node.body, f"{owner}{node.name}.")


def _is_named(node: ast.stmt, words: str) -> bool:
    return isinstance(node, Definition) and bool(re.search(rf"\b{re.escape(node.name)}\b", words))
