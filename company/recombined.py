"""A better program from the functions of those that were drawn, where none of them holds all examples (Parsel, arXiv 2212.10561).

A class of six methods is right when all six are: each is chosen by itself, by the examples that it makes hold. No model is
asked. Which of whole programs is best: `selection.py`; how a function is taken over: `llm/transplant.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import NamedTuple

from company.assemble import parsed
from company.llm.classes import is_stub
from company.llm.transplant import AnyFunction, Place, functions, transplanted

Program = Mapping[str, str]
"""Path → text."""
Worth = tuple[int, ...]
"""Examples that hold, and what else is known of a program; empty where it was not run."""
Weigh = Callable[[Sequence[Program]], Awaitable[Sequence[Worth]]]
"""Runs programs on what is known: what each is worth, the greatest best."""
_MOST = 40
"""Changes of one program that are tried at a time."""
_ROUNDS = 4
"""Times that the best program so far is changed again."""
_LONGEST = 100_000
"""Letters of a file that is taken apart."""
_DUNDER = re.compile(r"__\w+__")


class _Written(NamedTuple):
    """A function as a program has it."""

    text: str
    """What it does, without what is said about it; empty for one that does nothing."""
    decorators: str


_Where = tuple[str, Place]
"""A path, and the place in that file."""


async def recombined(programs: Sequence[Program], best: int, weigh: Weigh, failing: Sequence[str]) -> Program | None:
    """The best program that comes of putting others' functions into one; None where that makes nothing better.

    Args:
        programs: those that were drawn.
        best: the number of the one to begin with.
        failing: the calls which the best one does not hold: what they do not reach is not changed. An empty one may reach anything.
    """
    current = programs[best]
    others = [(other, _functions(other)) for other in programs]
    [worth] = await weigh([current])
    for _ in range(_ROUNDS):
        tried = list(islice(_changes(current, others, failing), _MOST))
        if not tried:
            break
        gains: dict[_Where, tuple[Worth, Program, Program]] = {}
        weighed = await weigh([program for _, _, program in tried])
        for (where, other, program), its in zip(tried, weighed, strict=True):
            if its > worth and (where not in gains or its > gains[where][0]):
                gains[where] = its, program, other
        if not gains:
            break
        worth, current, _ = max(gains.values(), key=lambda gain: gain[0])
        together = current
        for where, (_, _, other) in gains.items():
            together = _with(together, other, where) or together
        if together != current:
            [its] = await weigh([together])
            if its > worth:
                worth, current = its, together
    return current if current is not programs[best] else None


def _changes(
    program: Program, others: Sequence[tuple[Program, Mapping[_Where, _Written]]], failing: Sequence[str]
) -> Iterator[tuple[_Where, Program, Program]]:
    """The program with one function of another one in the place of its own; each version once, of each function in turn."""
    mine = _functions(program)

    def versions(where: _Where) -> Iterator[tuple[_Where, Program, Program]]:
        known = {mine[where].text, ""}
        for other, theirs in others:
            its = theirs.get(where)
            if its and its.text not in known and its.decorators == mine[where].decorators:
                known.add(its.text)
                if made := _with(program, other, where):
                    yield where, other, made

    in_turn = zip_longest(*(versions(where) for where in _reached(mine, failing)))
    return (each for each in chain.from_iterable(in_turn) if each)


def _functions(program: Program) -> dict[_Where, _Written]:
    """What a program's functions do; none of a file that nobody can take apart."""
    found: dict[_Where, _Written] = {}
    for path, text in program.items():
        tree = parsed(text) if path.endswith(".py") and len(text) <= _LONGEST else None
        if tree:
            try:
                found |= {(path, place): _written(node) for place, node in functions(tree).items()}
            except (RecursionError, MemoryError):
                continue
    return found


def _written(node: AnyFunction) -> _Written:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    text = "\n".join([ast.unparse(node.args), *map(ast.unparse, body)])
    return _Written("" if is_stub(node) else text, " ".join(map(ast.unparse, node.decorator_list)))


def _reached(mine: Mapping[_Where, _Written], calls: Sequence[str]) -> list[_Where]:
    """The functions that calls may come to: those that they name, those that these name, and those that Python calls by itself."""
    names = set(re.findall(r"\w+", "\n".join(calls)))
    found: dict[_Where, None] = {}
    if not all(calls):
        return [*mine]
    while fresh := [at for at in mine if at not in found and (at[1].name in names or _DUNDER.fullmatch(at[1].name))]:
        found |= dict.fromkeys(fresh)
        for at in fresh:
            names |= set(re.findall(r"\w+", mine[at].text))
    return [*found]


def _with(program: Program, other: Program, where: _Where) -> Program | None:
    """A program with a function of another one; None where it cannot be taken over."""
    path, place = where
    try:
        return {**program, path: transplanted(program[path], other[path], place)}
    except (LookupError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
