"""What a requirement's own words say of interfaces, found by rule: which file defines which functions, methods, classes.

They are not asked of a model, which forgets them. Calls and commands with their results: `examples.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from company.examples import CALL, call_ends, is_literal

_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z\"'`a-z(])")
_CLASS = re.compile(r"\bclass(?:es)? `?([A-Z]\w*)`?")


def section_of(path: str, paths: Sequence[str], requirement: str) -> str:
    """The words that are about one file: from each place that names it to the next that names another of `paths`.

    All of them where there is one file, or where the text names the others only.
    """
    if len(paths) < 2:
        return requirement
    marks: list[tuple[int, str]] = []
    for each in paths:
        marks += [(match.start(), each) for match in re.finditer(rf"(?<![\w/.]){re.escape(each)}\b", requirement)]
    marks.sort()
    ends = [start for start, _ in marks[1:]] + [len(requirement)]
    own = [requirement[start:end] for (start, each), end in zip(marks, ends, strict=False) if each == path]
    return " ".join(own) if own else "" if marks else requirement


def classes_in(text: str) -> dict[str, str]:
    """Name → the words about it, of the classes that a text describes; what it says of its methods is among them."""
    marks = [*_CLASS.finditer(text)]
    ends = [match.start() for match in marks[1:]] + [len(text)]
    found: dict[str, str] = {}
    for match, end in zip(marks, ends, strict=False):
        found.setdefault(match[1], " ".join(text[match.start() : end].split()))
    return found


def signatures_in(requirement: str) -> dict[str, str]:
    """Name → first line, of the functions whose parameters the text gives: ``cut(text, width=8)`` is ``def cut(text, width=8)``."""
    found: dict[str, str] = {}
    for match in CALL.finditer(requirement):
        for end in call_ends(requirement, match.end() - 1):
            call = ast.parse(requirement[match.start() : end], mode="eval").body
            if isinstance(call, ast.Call) and call.args and _is_signature(call) and match[1] not in found:
                found[match[1]] = f"def {requirement[match.start() : end]}"
    return found


def _is_signature(call: ast.Call) -> bool:
    """Whether a call's arguments are names, and its keywords have literal values: what a definition would have."""
    names = [argument.id for argument in call.args if isinstance(argument, ast.Name)]
    names += [keyword.arg for keyword in call.keywords if keyword.arg]
    given = len(call.args) + len(call.keywords)
    return len(set(names)) == given and all(is_literal(keyword.value) for keyword in call.keywords)


def functions_in(section: str) -> dict[str, str]:
    """Name → first line, of the functions that a file's section gives parameters for; methods of its classes are none."""
    methods = {name for words in classes_in(section).values() for name in signatures_in(words)}
    return {name: line for name, line in signatures_in(section).items() if name not in methods}


def words_about(name: str, requirement: str) -> str:
    """The words that define a class, the sentences that name a function, or the command that its first word is."""
    if words := classes_in(requirement).get(name):
        return words
    sentences = _SENTENCE.split(" ".join(requirement.split()))
    about = [sentence for sentence in sentences if re.search(rf"(?<![\w.]){re.escape(name)}\b(?!\.py)", sentence)]
    if not about:
        verb = re.escape(name.split("_")[0])
        about = [sentence for sentence in sentences if re.search(rf"[\"`]python3? [^\"`]*\b{verb}\b", sentence)]
    return " ".join(about)
