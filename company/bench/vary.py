"""A task said otherwise, by rules that keep what it means: `--vary paraphrase|rename|reorder|distract`.

Where prose and sentences are: `wording.py`; the words: `phrases.py`; new names for functions and parameters: `renaming.py`; the same
by a model and another that watches over it: `probing.py`. Each is a pure function of a task and a seed.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, get_args

from company.bench.phrases import ASIDES, BOUND, CONDITION, STEP, SYNONYMS
from company.bench.renaming import rename
from company.bench.wording import CannotVary, Material, fences, lost, prose, protected, sentences
from company.errors import UsageError

Kind = Literal["paraphrase", "rename", "reorder", "distract"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_SHARE = 0.8
"""Of the phrases that could be put otherwise, those that are."""
_PLACE = 0xE000
"""Letters of Unicode that mean nothing: one stands for each piece that must stay as it is, while the words around it change."""
_PLACES = 6400
_MARK = "[\ue000-\uf8ff]"
_BOUND = re.compile(BOUND, re.IGNORECASE)
_STEP = re.compile(STEP, re.IGNORECASE)
_BULLET = re.compile(r"[ \t]*[-*+] ")


def vary(kind: str, material: Material, seed: int) -> Material:
    """The task's text and files said otherwise; `changes` says what was done.

    Raises:
        CannotVary: there is nothing in this task that the variation could change for certain without changing its meaning.
        UsageError: there is no such variation.
    """
    ways: Mapping[str, Callable[[Material, random.Random], Material]] = {
        "paraphrase": paraphrase, "rename": rename, "reorder": reorder, "distract": distract,
    }  # fmt: skip
    if kind not in ways:
        raise UsageError(f"there is no variation `{kind}`", hint=f"there are {', '.join(KINDS)}")
    varied = ways[kind](material, random.Random(f"{kind} {seed} {material.requirement}"))
    if varied.requirement == material.requirement:
        raise CannotVary(f"`{kind}` left the requirement as it was", hint=_ANOTHER)
    return varied


_ANOTHER = "leave the task out of this comparison, or take another variation"


# --- paraphrase ------------------------------------------------------------------------------------------


def paraphrase(material: Material, rng: random.Random) -> Material:
    """Other words and turns of sentences; names, numbers, quoted strings, code and examples stay letter for letter."""
    text, changes, at = "", [], 0
    for span in prose(material.requirement):
        said = material.requirement[span.start : span.end]
        put, done = _otherwise(said, rng)
        text += material.requirement[at : span.start] + put
        changes += done
        at = span.end
    text += material.requirement[at:]
    if not changes:
        raise CannotVary("no rule for other words fits this requirement", hint=_ANOTHER)
    if broken := lost(material.requirement, text):
        raise CannotVary(f"other words would have changed more than words: {broken[0]}", hint=_ANOTHER)
    return replace(material, requirement=text, changes=tuple(changes))


def _otherwise(said: str, rng: random.Random) -> tuple[str, list[str]]:
    """A piece of prose with other words, and what was done."""
    kept = protected(said)[:_PLACES]
    masked, at = "", 0
    for number, span in enumerate(kept):
        masked += said[at : span.start] + chr(_PLACE + number)
        at = span.end
    masked += said[at:]
    found: list[tuple[int, int, str]] = []
    for pattern, other in SYNONYMS:
        for match in re.finditer(pattern, masked, re.IGNORECASE):
            new = match.expand(other)
            new = new[0].upper() + new[1:] if match[0][0].isupper() else new
            free = all(match.end() <= start or end <= match.start() for start, end, _ in found)
            if free and match[0].lower() != new.lower():
                found.append((match.start(), match.end(), new))
    found.sort()
    chosen = [one for one in found if rng.random() < _SHARE] or found[:1]
    changes = [f"{masked[start:end].strip()} → {new.strip()}" for start, end, new in chosen]
    for start, end, new in reversed(chosen):
        masked = masked[:start] + new + masked[end:]

    def turned(match: re.Match[str]) -> str:
        if rng.random() >= _SHARE:
            return match[0]
        changes.append("If …, … → … if …")
        return f"{match[2][0].upper()}{match[2][1:]} if {match[1]}."

    masked = re.sub(CONDITION, turned, masked)
    back = {chr(_PLACE + number): said[span.start : span.end] for number, span in enumerate(kept)}
    changes = [re.sub(_MARK, "…", change) for change in changes]
    return re.sub(_MARK, lambda mark: back.get(mark[0], mark[0]), masked), changes


# --- reorder ---------------------------------------------------------------------------------------------


def reorder(material: Material, rng: random.Random) -> Material:
    """Sentences, entries of lists and examples in another order, where each stands for itself; no line of code moves."""
    text = material.requirement
    changes: list[str] = []
    for start, end, doc in reversed(prose(text)):
        if doc:
            continue
        piece = text[start:end]
        other = _shuffled_list(piece, rng) if _BULLET.match(piece) else _shuffled_sentences(piece, rng)
        if other != piece:
            before = text[:start].rstrip().rpartition("\n")[2]
            if _BULLET.match(piece) and _BOUND.search(before):
                continue  # `in this order:`
            text = text[:start] + other + text[end:]
            changes.append("entries of a list" if _BULLET.match(piece) else "sentences")
    for _, start, end in reversed([*fences(text)]):
        other = _shuffled_examples(text[start:end], rng)
        if other != text[start:end]:
            text = text[:start] + other + text[end:]
            changes.append("examples")
    if not changes:
        raise CannotVary("nothing in this requirement can be put in another order for certain", hint=_ANOTHER)
    return replace(material, requirement=text, changes=tuple(f"another order of {what}" for what in changes))


def _shuffled(pieces: list[str], rng: random.Random) -> list[str]:
    """Another order of them, if there is one."""
    made = [*pieces]
    rng.shuffle(made)
    return made if made != pieces else [*pieces[1:], *pieces[:1]]


def _shuffled_sentences(piece: str, rng: random.Random) -> str:
    """The first sentence stays; one that may hang on those before it moves with them. Among steps nothing moves."""
    body = piece.rstrip()
    if (
        body.endswith(":")
        or piece.lstrip().startswith(("#", "|"))
        or re.search(r"^[ \t]*(?:\d+[.)]|[-*+]) ", piece, re.MULTILINE)
    ):
        return piece
    whole = sentences(body)
    found = [sentence.rstrip() for sentence in whole]
    gaps = [sentence[len(sentence.rstrip()) :] for sentence in whole]
    if any(_STEP.match(sentence) for sentence in found[1:]):
        return piece
    groups: list[list[str]] = []
    for sentence in found[1:]:
        if groups and _BOUND.search(sentence):
            groups[-1].append(sentence)
        elif not groups and _BOUND.search(sentence):
            found[0] += f" {sentence}"
        else:
            groups.append([sentence])
    if len(groups) < 2:
        return piece
    gap = gaps[0] if len(set(gaps[:-1])) == 1 else " "
    return gap.join([found[0], *_shuffled([" ".join(group) for group in groups], rng)]) + piece[len(body) :]


def _shuffled_list(piece: str, rng: random.Random) -> str:
    """A list without numbers, none of whose entries is a step or speaks of another."""
    entries: list[str] = []
    for line in piece.splitlines(keepends=True):
        if _BULLET.match(line) and (not entries or _indent(line) <= _indent(entries[0])):
            entries.append(line)
        elif entries:
            entries[-1] += line
    if len(entries) < 2 or any(
        _BOUND.search(entry) or _STEP.match(entry) or _indent(entry) != _indent(entries[0]) for entry in entries
    ):
        return piece
    ended = [entry if entry.endswith("\n") else f"{entry}\n" for entry in entries]
    made = "".join(_shuffled(ended, rng))
    return made if piece.endswith("\n") else made[:-1]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _shuffled_examples(code: str, rng: random.Random) -> str:
    """Each run of examples ``>>> f(1)`` that are calls of a function with plain values: what one gives, another does not change."""
    lines = code.splitlines(keepends=True)
    made: list[str] = []
    at = 0
    while at < len(lines):
        run: list[str] = []
        while at < len(lines) and lines[at].lstrip().startswith(">>> "):
            run.append(lines[at])
            at += 1
            while at < len(lines) and _is_output(lines[at]):
                run[-1] += lines[at]
                at += 1
        if run:
            calls = [example.lstrip()[4:].split("\n")[0] for example in run]
            free = len(run) > 1 and len(set(calls)) == len(calls) and all(_is_plain_call(call) for call in calls)
            made += _shuffled(run, rng) if free else run
        else:
            made.append(lines[at])
            at += 1
    return "".join(made)


def _is_output(line: str) -> bool:
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith(('"""', "'''", ">>>", "```"))


def _is_plain_call(source: str) -> bool:
    try:
        call = ast.parse(source, mode="eval").body
        return (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and bool(call.args)
            and not call.keywords
            and all(ast.literal_eval(argument) is not Ellipsis for argument in call.args)
        )
    except (SyntaxError, ValueError, TypeError):
        return False


# --- distract --------------------------------------------------------------------------------------------


def distract(material: Material, rng: random.Random) -> Material:
    """Two or three sentences that have nothing to do with it, as paragraphs of their own before and after what is there."""
    text = material.requirement
    if not text.strip():
        raise CannotVary("the requirement is empty", hint=_ANOTHER)
    said = rng.sample([aside for aside in ASIDES if aside not in text], rng.choice((2, 3)))
    breaks = [match.end() for match in re.finditer(r"\n[ \t]*\n", text)]
    blocks = [(start, end) for _, start, end in fences(text)]
    spans = prose(text)
    open_places = [
        place
        for place in breaks
        if not any(start <= place <= end for start, end in blocks)
        and any(span.start == place and text[place].isalpha() for span in spans)
    ]
    middle = rng.choice(open_places) if open_places else 0
    first, rest = said[0], " ".join(said[1:])
    made = f"{text[:middle]}{first}\n\n{text[middle:].rstrip()}\n\n{rest}" + ("\n" if text.endswith("\n") else "")
    return replace(material, requirement=made, changes=tuple(f"added: {aside}" for aside in said))
