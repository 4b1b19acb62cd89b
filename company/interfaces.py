"""What a requirement's own words say of interfaces, found by rule: which file defines which functions, methods, classes.

They are not asked of a model, which forgets them. Calls and commands with their results: `examples.py`.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from company.examples import Usage, usages_in
from company.literals import CALL, call_ends, is_literal

_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z\"'`a-z(])")
_CLAUSE = re.compile(rf"{_SENTENCE.pattern}|(?<=[,:])\s+(?=[\"`]python3? )")
"""Where a sentence ends, or comes to a command."""
_ITEM = re.compile(r"\n(?=\s*(?:[-*+•]|\d+[.)]|#+)\s)|\n[ \t]*\n")
"""Where an item of a list or a paragraph begins."""
_CLASS = re.compile(
    r"\bclass(?:es)? (?:called |named )?[`'\"*]*([A-Z]\w*)[`'\"*]*"
    r"|\b(?:[Aa]n?|[Tt]he|[Oo]ne) [`'\"*]*(?!Python\b)([A-Z]\w*)[`'\"*]* class\b(?! [`'\"*]*[A-Z]| called| named)"
)
_CLASS_ENDS = re.compile(
    r"\bclass(?:es)? `?[A-Z]|\bfunctions?\b[:,]?(?=\s+(?:called |named )?[`'\"*]*\w+(?:\(|[`'\"*]))|(?<=[.;])\s+[\w/]+\.py\b"
    r"|(?<=[.;])\s+(?:It also|(?:The|This) (?:file|module)(?: also)?) has\b"
)
_TOPIC = re.compile(
    r"[\"`](?P<command>python3?) (?:-m )?[^\s\"`]+(?: (?P<verb>[a-z][a-z-]*)\b)?[^\"`]{0,160}[\"`]"
    r"|(?<![\w.])(?P<called>[A-Za-z_]\w*)\((?!(?:e?s|ies)\))|(?<![\w/])[\w/]{1,80}\.py\b"
)
"""What a sentence is about: a command, a function, a file."""
_ANY_OTHER = re.compile(
    r"\banything else\b|\b(?:other|unknown) commands?\b|\bwrong arguments?\b"
    r"|\bno arguments?\b.*\b(?:usage|help)\b|[\"'`]usage\b",
    re.IGNORECASE,
)
"""Words about every other use of a program, which is nothing of one command."""
_DEFINED = re.compile(r"(?:(?<![\w.`])`|(?:^|[.;:!?])\s+[-*`]*|\bfunctions? )([A-Za-z_]\w+)\(")
"""Calls of what a text defines: in backticks, at the head of a sentence, said to be functions."""
_NO_VERB = "python"
"""Stands for a command that has no word to tell it by; no function has that name."""
_KEEPS = re.compile(
    r"\b(?:keeps?|kept|stores?|stored|remembers?|remembered|persists?)\b"
    r"[^.;]{0,80}?\bin (?:the |a )?(?:file |CSV |JSON )*[`\"']?(?P<name>[\w-]{1,40}\.(?:json|csv|tsv|txt|ya?ml))\b[^.;:]*",
    re.IGNORECASE,
)
_DATA_FILE = re.compile(r"(?<![\w./-])[\w-]{1,40}\.(?!py\b)[a-z][a-z0-9]{1,4}\b")
_DATA_PATH = re.compile(r"(?<![\w./:-])(?:[\w.-]{1,40}/)+[\w-]{1,40}\.(?!py\b)[a-z]\w{1,4}\b")
_NOT_KEPT = re.compile(r"\b(?:not|never|nothing|no|results?|outputs?|reports?|totals?|summar\w+)\b", re.IGNORECASE)
"""What is written and not read again, and what is not written."""
_ANNOUNCED = re.compile(r"\b(?:function|def|called|named)\s+[`'\"]?$")


def sentences_of(requirement: str, end: re.Pattern[str] = _SENTENCE) -> Iterator[str]:
    """The sentences of a text, in one line each; an item of a list is one, or several."""
    for item in _ITEM.split(requirement):
        yield from end.split(" ".join(item.split()))


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
        found.setdefault(match[1] or match[2], " ".join(words.split()))
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
    verbs = {usage.verb for usage in _usages_of(name, requirement)}
    is_word = not verbs or _is_written(name, requirement)
    is_called = _is_called(name, requirement)
    return " ".join(_clauses(requirement, verbs or {name}, name, is_word=is_word, is_called=is_called))


def commands_of(name: str, requirement: str) -> list[Usage]:
    """The forms of the command that a function stands for, of a program that keeps data: it works on that, and says what it did.

    None of one whose words may be left out or given in several ways: nobody can tell how many there are.
    """
    if _is_written(name, requirement) or not store_in(requirement):
        return []
    usages = [
        usage
        for usage in _usages_of(name, requirement)
        if re.fullmatch(rf"(?:(?:cmd|do|run|handle|mark)_)?{usage.function}(?:_\w+)?", name)
    ]
    is_plain = all(
        re.fullmatch(r"[A-Z][A-Z0-9_]*|<\w+>|-?[\d.]+", word) for usage in usages for word in usage.arguments[1:]
    )
    return usages if is_plain else []


def _is_written(name: str, requirement: str) -> bool:
    """Whether the text has the name as one, which no ordinary word is."""
    return "_" in name and bool(re.search(rf"(?<![\w.]){re.escape(name)}\b", requirement))


def _is_called(name: str, requirement: str) -> bool:
    return bool(re.search(rf"(?<![\w.]){re.escape(name)}\(", requirement))


def _usages_of(name: str, requirement: str) -> list[Usage]:
    """The commands that a function is named after; none of one that the text itself calls."""
    if _is_called(name, requirement):
        return []
    return [usage for usage in usages_in(requirement) if usage.verb and usage.function in (name, *name.split("_"))]


def _clauses(
    requirement: str, mine: set[str], name: str = "", *, is_word: bool = False, is_called: bool = False
) -> Iterator[str]:
    """The sentences about some commands or functions, each with those that follow up to another topic.

    Args:
        mine: the commands' words and the functions.
        name: a sentence that begins with it is about it as well.
        is_word: so is one in which it is a word, where it is about nothing else, or nothing is ever called so.
    """
    word = re.compile(rf"(?<![\w.]){re.escape(name)}\b(?!\.py)") if name else None
    known = mine | _defined(requirement)
    is_on = False
    for clause in sentences_of(requirement, _CLAUSE):
        topics = [topic for match in _TOPIC.finditer(clause) if (topic := _topic(match, known)) is not None]
        begins = bool(word and word.match(clause.lstrip("`*- ")))
        is_named = bool(word and is_word and not (is_called and topics) and word.search(clause))
        first = next(filter(None, topics), "")
        is_on = begins or (first in mine if first else is_named or (is_on and not topics))
        has_mine = not mine.isdisjoint(topics)
        if (is_word or has_mine or not _ANY_OTHER.search(clause)) and (is_on or is_named or has_mine):
            yield clause


@lru_cache(maxsize=16)
def _defined(requirement: str) -> frozenset[str]:
    """The functions that a text defines, as far as its words show."""
    return frozenset([*signatures_in(requirement), *_DEFINED.findall(requirement)])


def _topic(match: re.Match[str], known: Collection[str]) -> str | None:
    """What it is called; empty for a file, None for what only looks like a topic: what Python has itself, ``O(n)``, ``sqrt(x)``."""
    called = match["called"] or ""
    if called and (called not in known or hasattr(builtins, called) or called.endswith(("Error", "Exception"))):
        return None
    return match["verb"] or called or (_NO_VERB if match["command"] else "")


def store_in(requirement: str) -> tuple[str, str] | None:
    """The one file that a program is said to keep its data in, and the words that say so: ``keeps a list in todo.json``.

    None where it names others too: who knows what each is for.
    """
    text = " ".join(requirement.split())
    for clause in sentences_of(requirement):
        said = _KEEPS.search(clause)
        if said and not _NOT_KEPT.search(clause[: said.start("name")]):
            return (said["name"], said[0]) if {*_DATA_FILE.findall(text)} == {said["name"]} else None
    return None


def has_other_files(requirement: str) -> bool:
    """Whether a text names files that are no code, beside the one that the program keeps its data in: nobody knows what is in them."""
    store = store_in(requirement)
    found = {*_DATA_FILE.findall(requirement), *_DATA_PATH.findall(requirement)}
    return bool(found - {store[0] if store else ""})


def words_about_main(requirement: str) -> str:
    """What the function that starts a program does, and where each quoted command has its words."""
    usages = usages_in(requirement)
    verbs = {usage.verb for usage in usages if usage.verb}
    has_verbs = len(verbs) > 1 or any(usage.verb and not _is_lower(usage.arguments[1:]) for usage in usages)
    forms = []
    for usage in usages:
        places = [
            f'sys.argv[{number}] is "{word}"'
            if re.fullmatch(r"-[a-z-]+" if not has_verbs else r"[a-z-]+", word)
            else f"sys.argv[{number}] the {word}"
            for number, word in enumerate(usage.given, 1)
        ]
        if places:
            forms.append(f"`{' '.join(usage.words)}`: {', '.join(places)}")
    own = [] if has_verbs else _clauses(requirement, {_NO_VERB, *verbs})  # one command: what it does is nobody else's
    other = [clause for clause in sentences_of(requirement) if forms and _ANY_OTHER.search(clause)]
    does = "does what the requirement says by calling the other functions"
    called = signatures_in(requirement) or any(
        usage.verb and _is_called(usage.function, requirement) for usage in usages
    )
    if has_verbs and store_in(requirement) and not called:
        does = "calls the other functions with the words as they were typed"
    about = f"Reads sys.argv, {does}, returns the exit status."
    return " ".join(filter(None, [about, *other, "; ".join(dict.fromkeys(forms)), *own]))[:600]


def _is_lower(words: Sequence[str]) -> bool:
    """Whether a command's words may all be placeholders: ``gcd.py a b``."""
    return all(re.fullmatch(r"[a-z]+", word) for word in words)
