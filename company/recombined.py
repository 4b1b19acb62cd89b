"""A better program from the functions of those that were drawn, where none of them holds all examples (Parsel, arXiv 2212.10561).

A class of six methods is right when all six are: each is chosen by itself, by the examples that it makes hold. No model is
asked. Which of whole programs is best: `selection.py`; what programs do: `sandbox/behaviour.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from company.assemble import bound, parsed
from company.errors import ReplyError
from company.llm.classes import Definition, Function, is_stub, source
from company.llm.edits import changed_part

Program = Mapping[str, str]
"""Path → text."""
Worth = tuple[int, ...]
"""Examples that hold, and what else is known of a program."""
Weigh = Callable[[Sequence[Program]], Awaitable[list[Worth]]]
"""Runs programs on what is known: what each is worth, the greatest best."""
_MOST = 40
"""Changes of one program that are tried at a time."""
_ROUNDS = 4
"""Times that the best program so far is changed again."""


class _Place(NamedTuple):
    path: str
    owner: str
    """The class; empty for a function of the module."""
    name: str


async def recombined(programs: Sequence[Program], best: int, weigh: Weigh, failing: Sequence[str]) -> Program | None:
    """The best program that comes of putting others' functions into one; None where that makes nothing better.

    Args:
        programs: those that were drawn.
        best: the number of the one to begin with.
        failing: the calls which the best one does not hold: what they do not reach is not changed.
    """
    current = programs[best]
    [worth] = await weigh([current])
    for _ in range(_ROUNDS):
        tried = list(_changes(current, programs, failing))[:_MOST]
        if not tried:
            break
        gains: dict[_Place, tuple[Worth, Program]] = {}
        weighed = await weigh([program for _, program in tried])
        for (place, program), its in zip(tried, weighed, strict=True):
            if its > worth and (place not in gains or its > gains[place][0]):
                gains[place] = its, program
        if not gains:
            break
        worth, current = max(gains.values(), key=lambda gain: gain[0])
        together = current
        for place, (_, program) in gains.items():
            together = _with(together, program, place) or together
        if together != current:
            [its] = await weigh([together])
            if its > worth:
                worth, current = its, together
    return current if current is not programs[best] else None


def _changes(program: Program, others: Sequence[Program], failing: Sequence[str]) -> Iterator[tuple[_Place, Program]]:
    """The program with one function of another one in the place of its own; each version once."""
    places = _functions(program)
    theirs = [_functions(other) for other in others]
    for place in _reached(places, failing):
        known = {_bare(places[place])}
        for other, its in zip(others, theirs, strict=True):
            if place in its and not is_stub(its[place]) and _bare(its[place]) not in known:
                known.add(_bare(its[place]))
                if made := _with(program, other, place):
                    yield place, made


def _functions(program: Program) -> dict[_Place, ast.stmt]:
    """The functions of a program's modules, and the methods of their classes; of one name the last."""
    found: dict[_Place, ast.stmt] = {}
    for path, text in program.items():
        tree = parsed(text) if path.endswith(".py") else None
        for node in tree.body if tree else ():
            if isinstance(node, Function):
                found[_Place(path, "", node.name)] = node
            elif isinstance(node, ast.ClassDef):
                found |= {_Place(path, node.name, one.name): one for one in node.body if isinstance(one, Function)}
    return found


def _reached(places: Mapping[_Place, ast.stmt], calls: Sequence[str]) -> list[_Place]:
    """The functions that calls may come to: those that they name, and those that these name; what makes an object is among them."""
    names = {"__init__", *re.findall(r"\w+", "\n".join(calls))}
    found: dict[_Place, None] = {}
    while fresh := [place for place in places if place.name in names and place not in found]:
        found |= dict.fromkeys(fresh)
        for place in fresh:
            names |= set(re.findall(r"\w+", ast.unparse(places[place])))
    return list(found)


def _bare(node: ast.stmt) -> str:
    """What a function does, without what is said about it."""
    assert isinstance(node, Function)
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return "\n".join([ast.unparse(node.args), *map(ast.unparse, body)])


def _with(program: Program, other: Program, place: _Place) -> Program | None:
    """A program with a function of another one, and with the imports, constants and helpers which that needs; None where that fails."""
    old, new = program[place.path], other[place.path]
    node = _functions({place.path: new})[place]
    tree = ast.parse(new)
    known, theirs = bound(ast.parse(old).body), bound(tree.body)
    needed = [node]
    for one in needed:
        names = {inner.id for inner in ast.walk(one) if isinstance(inner, ast.Name)}
        needed += [
            theirs[name] for name in sorted(names & theirs.keys() - known.keys())
            if isinstance(theirs[name], Definition) and theirs[name] not in needed
        ]  # fmt: skip
    loose = [
        source(new, each)
        for each in tree.body
        if isinstance(each, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)
    ]
    own = source(new, node)
    moved = f"class {place.owner}:\n{own}" if place.owner else own
    text = "\n".join([*loose, *(source(new, each) for each in needed[1:]), moved, ""])
    try:
        made = changed_part(place.path, old, text, (), "", text)
    except ReplyError:
        return None
    return {**program, place.path: made}
