"""A long file cut for a prompt: what the task names stays, the rest is its first lines; so that a small context holds it.

Where templates use it: the filter `excerpt` of `markdown.py`. What comes back for a part of a file: `llm/edits.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

WHOLE = 6000
"""Characters of a file that is shown whole and may be given whole."""
LEFT_OUT = "...  # left out"
_AROUND = 6
"""Lines that are shown around one that the task's words are in, where a file is no Python."""
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def excerpt(path: str, content: str, words: str, most: int = WHOLE) -> str:
    """A file's text in about `most` characters: definitions that `words` name whole, of the others the first line."""
    if len(content) <= most:
        return content
    if path.endswith(".py"):
        try:
            return _python(content, words, most)
        except (SyntaxError, ValueError, RecursionError):
            pass
    return _lines(content, words, most)


def _python(content: str, words: str, most: int) -> str:
    lines = content.split("\n")
    parts = list(_parts(ast.parse(content)))
    ranked = sorted(parts, key=lambda part: -_weight(part, lines, words))
    bodies = {part: _body(part) for part in parts}
    left = most - (len(content) - sum(len("\n".join(lines[first:last])) for first, last in bodies.values()))
    cut = []
    for part in ranked:
        first, last = bodies[part]
        size = len("\n".join(lines[first:last]))
        if size <= left or (part is ranked[0] and words):
            left -= size
        else:
            cut.append((first, last))
    for first, last in sorted(cut, reverse=True):
        indent = " " * (len(lines[first]) - len(lines[first].lstrip()))
        lines[first:last] = [indent + LEFT_OUT]
    return "\n".join(lines)


def _parts(tree: ast.Module) -> Iterator[_Definition]:
    """Functions, and of classes the methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
        elif isinstance(node, _Definition):
            yield node


def _body(node: _Definition) -> tuple[int, int]:
    """The lines of a definition's body, those of its first line's own not among them."""
    first = node.body[0].lineno - 1
    return max(first, node.lineno), max(node.end_lineno or first, node.lineno)


def _weight(node: _Definition, lines: list[str], words: str) -> float:
    named = len(re.findall(rf"\b{re.escape(node.name)}\b", words))
    text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
    shared = {word for word in re.findall(r"[A-Za-z_]\w{3,}", words) if word in text}
    return 100 * named + len(shared)


def _lines(content: str, words: str, most: int) -> str:
    lines = content.split("\n")
    wanted = set(re.findall(r"[A-Za-z_]\w{3,}", words))
    scores = [sum(word in line for word in wanted) for line in lines]
    shown = set(range(min(_AROUND, len(lines))))
    for at in sorted(range(len(lines)), key=lambda at: -scores[at]):
        near = shown | set(range(max(0, at - _AROUND), min(len(lines), at + _AROUND + 1)))
        if sum(len(lines[each]) + 1 for each in near) > most:
            break
        shown = near
    kept: list[str] = []
    for at in sorted(shown):
        if kept and at - 1 not in shown:
            kept.append("…")
        kept.append(lines[at])
    return "\n".join(kept)
