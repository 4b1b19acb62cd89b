"""What a requirement's own words say of interfaces, found by rule: which file defines which functions, methods, classes.

They are not asked of a model, which forgets them. Calls and commands with their results: `examples.py`.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Collection, Iterator, Sequence

from company.examples import OTHER_USE, usages_in
from company.literals import CALL, call_ends, is_literal

_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z\"'`a-z(])")
_CLASS = re.compile(r"\bclass(?:es)? `?([A-Z]\w*)`?")
_CLASS_ENDS = re.compile(
    r"\bclass(?:es)? `?[A-Z]|\bfunctions?\b|(?<=[.;])\s+[\w/]+\.py\b|(?<=[.;])\s+(?:It|The (?:file|module)|This (?:file|module)) (?:also )?has\b"
)
_TOPIC = re.compile(
    r"[\"`](?P<command>python3?) (?:-m )?\S+(?: (?P<verb>[a-z][a-z-]*)\b)?[^\"`]*[\"`]|(?<![\w.])(?P<called>[A-Za-z_]\w*)\((?!(?:e?s|ies)\))|[\w/]+\.py\b"
)
"""What a sentence is about: a command, a function, a file."""
_NO_VERB = "python"
"""Stands for a command that has no word to tell it by; no function has that name."""
_KEEPS = re.compile(
    r"\b(?:keeps?|kept|stores?|stored|remembers?|remembered|saves?|saved|persists?)\b[^.;]{0,80}?\bin (?:the |a )?(?:file |CSV |JSON )*[`\"']?"
    r"(?P<name>[\w-]+\.(?:json|csv|tsv|txt|ya?ml|db))\b[^.;:]*",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(r"\b(?:function|def|called|named)\s+[`'\"]?$")


def section_of(path: str, paths: Sequence[str], requirement: str) -> str:
    """The words that are about one file: from each place that names it to the next that names another of `paths`.

    All of them where there is one file. None where functions are named before their files (``cut(text) in text.py``):
    then the order of the words does not tell whose they are.
    """
    if len(paths) < 2:
        return requirement
    marks: list[tuple[int, str]] = []
    for each in paths:
        marks += [(match.start(), each) for match in re.finditer(rf"(?<![\w/.]){re.escape(each)}\b", requirement)]
    marks.sort()
    if not marks or signatures_in(requirement[: marks[0][0]]):
        return ""
    ends = [start for start, _ in marks[1:]] + [len(requirement)]
    return " ".join(requirement[start:end] for (start, each), end in zip(marks, ends, strict=True) if each == path)


def classes_in(text: str) -> dict[str, str]:
    """Name → the words about it, of the classes that a text describes; what it says of its methods is among them.

    They go to the next class, or to where the text comes to functions.
    """
    found: dict[str, str] = {}
    for match in _CLASS.finditer(text):
        end = _CLASS_ENDS.search(text, match.end())
        words = text[match.start() : end.start() if end else len(text)]
        found.setdefault(match[1], " ".join(words.split()))
    return found


def signatures_in(requirement: str) -> dict[str, str]:
    """Name → first line, of the functions whose parameters the text gives: ``cut(text, width=8)`` is ``def cut(text, width=8)``.

    None is what only looks like it: ``file(s)``, ``O(n)``, a call of what Python has already.
    """
    found: dict[str, str] = {}
    for match in CALL.finditer(requirement):
        name = match[1]
        is_known = hasattr(builtins, name) and not _ANNOUNCED.search(requirement[: match.start()])
        if name in found or keyword.iskeyword(name) or is_known or name[0].isupper():
            continue
        for end in call_ends(requirement, match.end() - 1):
            call = ast.parse(f"f{requirement[match.end() - 1 : end]}", mode="eval").body
            if isinstance(call, ast.Call) and call.args and _is_signature(call):
                found[name] = f"def {name}{' '.join(requirement[match.end() - 1 : end].split())}"
    return found


def _is_signature(call: ast.Call) -> bool:
    """Whether a call's arguments are names, and its keywords have literal values: what a definition would have."""
    names = [argument.id for argument in call.args if isinstance(argument, ast.Name)]
    names += [each.arg for each in call.keywords if each.arg]
    given = len(call.args) + len(call.keywords)
    is_plural = names in (["s"], ["es"], ["ies"])
    return not is_plural and len(set(names)) == given and all(is_literal(each.value) for each in call.keywords)


def functions_in(section: str) -> dict[str, str]:
    """Name → first line, of the functions that a file's section gives parameters for; methods of its classes are none."""
    plain = " ".join(section.split())
    for words in classes_in(section).values():
        plain = plain.replace(words, " ")
    return signatures_in(plain)


def words_about(name: str, requirement: str) -> str:
    """The words that define a class, or those about a function: the sentences that name it, or that quote the command which it is
    named after, and what follows them up to the next function, command or file.
    """
    if words := classes_in(requirement).get(name):
        return words
    is_called = bool(re.search(rf"(?<![\w.]){re.escape(name)}\(", requirement))
    verbs = {usage.verb for usage in usages_in(requirement)} & {*name.split("_")} - {""} if not is_called else set()
    named = None if verbs else re.compile(rf"(?<![\w.]){re.escape(name)}\b(?!\.py)")
    return " ".join(_clauses(requirement, verbs or {name}, named, is_called=is_called))


def _clauses(
    requirement: str, mine: Collection[str], named: re.Pattern[str] | None = None, *, is_called: bool = False
) -> Iterator[str]:
    """The sentences about some commands, or about what is named somehow, each with those that follow up to another topic."""
    is_on = False
    for clause in _SENTENCE.split(" ".join(requirement.split())):
        topics = [
            match["verb"] or match["called"] or (_NO_VERB if match["command"] else "")
            for match in _TOPIC.finditer(clause)
        ]
        is_named = bool(named and not (is_called and topics) and named.search(clause))
        is_on = next(filter(None, topics), "") in mine if topics else is_on or is_named
        if (named or not OTHER_USE.search(clause)) and (is_on or is_named or {*topics} & {*mine}):
            yield clause


def store_in(requirement: str) -> tuple[str, str] | None:
    """The file that a program is said to keep its data in, and the words that say so: ``keeps a list in todo.json``."""
    for clause in _SENTENCE.split(" ".join(requirement.split())):
        if said := _KEEPS.search(clause):
            return said["name"], clause[said.start() : said.end()]
    return None


def words_about_main(requirement: str) -> str:
    """What the function that starts a program does, and where each quoted command has its words."""
    forms = []
    for usage in usages_in(requirement):
        words = usage.arguments
        places = [
            f'sys.argv[{number}] is "{word}"' if re.fullmatch(r"[a-z-]+", word) else f"sys.argv[{number}] the {word}"
            for number, word in enumerate(words, 1)
        ]
        if places:
            forms.append(f"`{' '.join(usage.words)}`: {', '.join(places)}")
    about = "Reads sys.argv, does what the requirement says by calling the other functions, returns the exit status."
    has_verbs = any(usage.verb for usage in usages_in(requirement))
    own = [] if has_verbs else _clauses(requirement, {_NO_VERB})  # one command: what it does is nobody else's
    other = [clause for clause in _SENTENCE.split(" ".join(requirement.split())) if forms and OTHER_USE.search(clause)]
    return " ".join([about, *own, *other, "; ".join(dict.fromkeys(forms))]).strip()[:600]
