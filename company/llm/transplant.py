"""One function of a module taken over into another module, with what it needs and nothing else.

Who takes: `skeleton.py`, from a reply; `company/recombined.py`, from another program. All that a reply gives: `edits.py`; all that it
gives of a class: `classes.py`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from company.assemble import bound, graft
from company.llm.classes import Definition, Function, first_line, is_stub, moved, source

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


class Place(NamedTuple):
    """Where a function stands in a module."""

    owner: str
    """The class whose method it is; empty for a function of the module."""
    name: str


def functions(tree: ast.Module) -> dict[Place, AnyFunction]:
    """The functions of a module, and the methods of its classes. What shares its name with something else beside it is none."""
    found: dict[Place, AnyFunction] = {}
    for node in _single(tree.body).values():
        if isinstance(node, Function):
            found[Place("", node.name)] = node
        elif isinstance(node, ast.ClassDef):
            methods = _single(node.body).values()
            found |= {Place(node.name, one.name): one for one in methods if isinstance(one, Function)}
    return found


def transplanted(old: str, new: str, place: Place) -> str:
    """A module with the function that another one has at a place, or, where that is a method's, by itself.

    Imports, constants, helpers and methods that it needs come along where the module has none of that name; of an object's
    making, what the module does not have or left empty. What there is stays as it is.

    Raises:
        LookupError: one of them has no such function, or it is empty there.
        SyntaxError: one of them, or what comes of it, does not parse.
    """
    before, after = ast.parse(old), ast.parse(new)
    ours, theirs = functions(before), functions(after)
    node = theirs.get(place) or theirs.get(Place("", place.name))
    if place not in ours or not node or is_stub(node):
        raise LookupError(place.name)
    known = bound(before.body)
    members = {at.name: one for at, one in theirs.items() if place.owner and at.owner == place.owner}
    mine = {
        at.name for at, one in ours.items() if at.owner == place.owner and not (at.name == "__init__" and is_stub(one))
    }
    needed, brought = _needed(node, known, bound(after.body), members, mine)
    first = ours[place]
    lines = old.split("\n")
    here = moved(new, node, first.col_offset)
    more = [line for one in brought if one.name != "__init__" for line in ["", *moved(new, one, first.col_offset)]]
    # one that is given alone leaves its decorators out
    begin = first_line(first) if node.decorator_list else first.lineno
    edits = [(begin - 1, first.end_lineno, [*here, *more])]
    if maker := next((one for one in brought if one.name == "__init__"), None):
        text = moved(new, maker, first.col_offset)
        if there := ours.get(Place(place.owner, "__init__")):
            edits.append((first_line(there) - 1, there.end_lineno, text))
        else:
            top = first_line(first) - 1
            edits.append((top, top, [*text, ""]))
    for start, end, text in sorted(edits, key=lambda edit: edit[0], reverse=True):
        lines[start:end] = text
    made = "\n".join(lines)
    loose = "\n".join(source(new, one) if isinstance(one, Definition) else ast.unparse(one) for one in needed)
    made = graft(made, loose + "\n") if loose else f"{made.rstrip()}\n"
    ast.parse(made)
    return made


def _needed(
    node: AnyFunction,
    known: Mapping[str, ast.stmt],
    theirs: Mapping[str, ast.stmt],
    members: Mapping[str, AnyFunction],
    mine: set[str],
) -> tuple[list[ast.stmt], list[AnyFunction]]:
    """What a function needs of its own module, in that one's order, and of its class: what is not there yet."""
    needed: list[ast.stmt] = []
    brought: list[AnyFunction] = [members["__init__"]] if "__init__" in members and "__init__" not in mine else []
    waiting: list[ast.stmt] = [node, *brought]
    while waiting:
        for inner in ast.walk(waiting.pop()):
            if isinstance(inner, ast.Name):
                found = theirs.get(inner.id) if inner.id not in known else None
                if found and found not in needed and found is not node:
                    needed.append(found)
                    waiting.append(found)
            elif (
                isinstance(inner, ast.Attribute)
                and isinstance(inner.value, ast.Name)
                and inner.value.id in ("self", "cls")
            ):
                method = members.get(inner.attr) if inner.attr not in mine else None
                if method and method not in brought and method is not node and not is_stub(method):
                    brought.append(method)
                    waiting.append(method)
    plain = [
        one for one in needed if isinstance(one, Definition | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)
    ]
    return sorted(plain, key=lambda one: one.lineno), [one for one in brought if not is_stub(one)]


def _single(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The definitions among statements whose name no other one of them has."""
    found = [node for node in body if isinstance(node, Definition)]
    named = Counter(node.name for node in found)
    return {node.name: node for node in found if named[node.name] == 1}
