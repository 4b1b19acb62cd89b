"""A small model that sees what it wrote copies it: docstrings are left out of what it sees, and put back into what it gives.

Who asks for changes: `changes.py`. Other members that a reply leaves out: `classes.py`; long files cut: `company/excerpts.py`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from company.assemble import parsed
from company.llm.classes import Definition, first_line, is_docstring, key_of
from company.testgen import is_named

_Plain = ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
"""What is shown beside the definitions that are: they may use it."""


def bare(code: str, words: str) -> tuple[str, list[str]]:
    """A module without docstrings, and the names of those definitions that `words` name, or name a method of.

    Where they name any, only those, imports and constants are left of it. Code that does not parse is given as it is.
    """
    tree = parsed(code)
    if not tree:
        return code, []
    given = code.split("\n")
    lines: list[str | None] = [*given]
    for _, node in _definitions(tree.body):
        if (alone := _docstring(given, node)) and node.lineno < alone[0]:
            first, last = alone
            lines[first - 1 : last] = [None] * (last - first + 1)
            if len(node.body) == 1:
                lines[first - 1] = f"{_indent(given[first - 1])}pass"
    tops = [node for node in tree.body if isinstance(node, Definition)]
    reached = {id(inner) for node in tops for inner in (node, *node.body)}
    meant = [node for node in ast.walk(tree) if isinstance(node, Definition) and _is_meant(node.name, words)]
    named = [node for node in tops if any(inner in meant for inner in (node, *node.body))]
    if any(id(node) not in reached for node in meant):
        named = []  # one that is defined further in: nobody can say which part of the file is meant
    kept = [node for node in tree.body if isinstance(node, _Plain) or node in named]
    shown = [lines[first_line(node) - 1 : node.end_lineno] for node in kept] if named else [lines]
    texts = ["\n".join(line for line in part if line is not None).strip("\n") for part in shown]
    return "\n\n\n".join(text for text in texts if text), [node.name for node in named]


def with_docstrings(old: str, new: str) -> str:
    """New code, in which the definitions that had a docstring and are given without one have it again.

    Those that share a line with something else, or are defined twice, stay as they are given.
    """
    before, after = parsed(old), parsed(new)
    if not before or not after:
        return new
    there, lines = old.split("\n"), new.split("\n")
    known = {name: place for name, node in _once(before) if (place := _docstring(there, node))}
    for name, node in reversed([*_once(after)]):
        first = node.body[0]
        at = first_line(first)
        if name not in known or is_docstring(first) or lines[at - 1][: first.col_offset].strip():
            continue
        doc = there[known[name][0] - 1 : known[name][1]]
        ours, theirs = _indent(doc[0]), _indent(lines[at - 1])
        lines[at - 1 : at - 1] = [theirs + line[len(ours) :] if line.startswith(ours) else line for line in doc]
    made = "\n".join(lines)
    return made if parsed(made) else new


def _docstring(lines: Sequence[str], node: Definition) -> tuple[int, int] | None:
    """The first and the last line of a definition's docstring; None where it has none, or not on lines of its own."""
    doc = node.body[0]
    if not is_docstring(doc):
        return None
    last = doc.end_lineno or doc.lineno
    place = "\n".join(lines[doc.lineno - 1 : last])
    shares = place.strip() != ast.get_source_segment("\n".join(lines), doc)
    return None if shares else (doc.lineno, last)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _once(tree: ast.Module) -> list[tuple[str, Definition]]:
    """The definitions whose qualified name is no other's."""
    found = [*_definitions(tree.body)]
    names = Counter(name for name, _ in found)
    return [(name, node) for name, node in found if names[name] == 1]


def _definitions(body: Sequence[ast.stmt], owner: str = "") -> Iterator[tuple[str, Definition]]:
    """Qualified name and definition, of functions, classes and what those define, in the order of their lines."""
    for node in body:
        if isinstance(node, Definition):
            yield owner + key_of(node), node
            yield from _definitions(node.body, f"{owner}{node.name}.")


def _is_meant(name: str, words: str) -> bool:
    """Whether words name a definition: as code, or by a name that is no ordinary word."""
    is_word = name.isalpha() and name.islower()
    return is_named(name, words) or (not is_word and bool(re.search(rf"\b{re.escape(name)}\b", words)))
