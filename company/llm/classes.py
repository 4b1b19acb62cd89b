"""Classes put together: a reply gives some of a class's methods, the rest stays as it was; decorators, fields and properties kept.

Who reads a reply's definitions: `edits.py`; one function at a time: `parts.py`. Definitions of a module: `company/assemble.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


def keeping_members(old: str, new: str) -> str:
    """The code of a reply, its classes with those members of the old ones that it leaves out; both must parse."""
    classes = {node.name: node for node in ast.parse(old).body if isinstance(node, ast.ClassDef)}
    lines = new.split("\n")
    for node in reversed(ast.parse(new).body):
        if isinstance(node, ast.ClassDef) and node.name in classes:
            whole = merged_class(old, classes[node.name], new, node)
            lines[first_line(node) - 1 : node.end_lineno] = whole.split("\n")
    return "\n".join(lines)


def with_method(old: str, new: str, owner: str, name: str) -> str:
    """The code of a reply, with the class of `old` in which the reply's method takes the place of the one of that name.

    The reply gives it by itself or inside its class; of the class's other members only new ones and ``__init__`` are taken
    over. Both must parse.
    """
    tree = ast.parse(new)
    before = next(node for node in ast.parse(old).body if isinstance(node, ast.ClassDef) and node.name == owner)
    known = {node.name for node in before.body if isinstance(node, Definition)}
    given: dict[str, Definition] = {}
    rest = []
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
    inside = any(isinstance(each, Definition) and each.name == name for node in classes for each in node.body)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == owner:
            found: list[ast.stmt] = node.body
        elif isinstance(node, Function) and ((node.name == name and not inside) or _is_method(node)):
            found = [node]
        else:
            rest.append(source(new, node))
            continue
        members = [inner for inner in found if isinstance(inner, Definition) and not is_stub(inner)]
        given |= {key_of(each): each for each in members if each.name in (name, "__init__") or each.name not in known}
    return "\n\n\n".join([*rest, _merged(old, before, new, given)]) + "\n"


def _is_method(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = [*node.args.posonlyargs, *node.args.args][:1]
    return bool(first) and first[0].arg in ("self", "cls")


def owner_of(node: ast.FunctionDef | ast.AsyncFunctionDef, classes: Mapping[str, ast.ClassDef]) -> str:
    """The only one of the classes that has a method of this name, where a function looks like a method; empty where nobody can say."""
    found = [
        name
        for name, each in classes.items()
        if any(isinstance(inner, Function) and inner.name == node.name for inner in each.body)
    ]
    return found[0] if len(found) == 1 and _is_method(node) else ""


def merged_class(old: str, before: ast.ClassDef, new: str, after: ast.ClassDef, *, is_part: bool = False) -> str:
    """A class with the members that a reply gives; as the reply has it where that holds them all and is no part by intention."""
    given = {key_of(node): node for node in after.body if isinstance(node, Definition) and not is_stub(node)}
    if not is_part and {key_of(node) for node in before.body if isinstance(node, Definition)} <= given.keys():
        return source(new, after)
    return _merged(old, before, new, given, after.body)


def _merged(
    old: str, before: ast.ClassDef, new: str, given: Mapping[str, Definition], others: Sequence[ast.stmt] = ()
) -> str:
    """A class with these definitions of `new` in the place of its own or at its end, and with the fields among `others`."""
    ours = {key_of(node): node for node in before.body if isinstance(node, Definition)}
    first = first_line(before)
    lines = old.split("\n")[first - 1 : before.end_lineno]
    column = before.body[0].col_offset
    known = {ast.unparse(node) for node in before.body}
    fields = [
        node for node in others if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node) not in known
    ]
    added = [node for name, node in given.items() if name not in ours]
    for name, node in reversed(ours.items()):
        if name in given and ast.unparse(node) != ast.unparse(given[name]):
            # a method that is given alone leaves its decorators out
            begin = first_line(node) if given[name].decorator_list else node.lineno
            lines[begin - first : (node.end_lineno or node.lineno) - first + 1] = moved(new, given[name], column)
    if fields:
        at = next(node for node in before.body if not is_docstring(node))
        lines[first_line(at) - first : first_line(at) - first] = [
            line for node in fields for line in moved(new, node, column)
        ]
    for node in added:
        lines += ["", *moved(new, node, column)]
    return "\n".join(lines)


def key_of(node: Definition) -> str:
    """What a member of a class is known by: a property's setter has the name of its getter."""
    more = [each.attr for each in node.decorator_list if isinstance(each, ast.Attribute)]
    return ".".join([node.name, *(name for name in more if name in ("setter", "deleter", "getter"))])


def moved(code: str, node: ast.stmt, column: int) -> list[str]:
    """The lines of a statement, its decorators among them, moved to another column; the lines inside a string stay, but for a docstring's."""
    lines = source(code, node).split("\n")
    docs = {
        id(each.body[0].value)
        for each in ast.walk(node)
        if isinstance(each, Definition) and is_docstring(each.body[0]) and isinstance(each.body[0], ast.Expr)
    }
    strings = [
        each for each in ast.walk(node) if isinstance(each, ast.Constant | ast.JoinedStr) and id(each) not in docs
    ]
    first = first_line(node)
    inside = {line - first for each in strings for line in range(each.lineno + 1, (each.end_lineno or each.lineno) + 1)}
    by = column - node.col_offset
    return [
        line if number in inside or not line.strip() else " " * by + line if by >= 0 else _nearer(line, -by)
        for number, line in enumerate(lines)
    ]


def _nearer(line: str, columns: int) -> str:
    return line if line[:columns].strip() else line[columns:]


def is_stub(node: ast.stmt) -> bool:
    """Whether a function only says that its body was left out."""
    if not isinstance(node, Function):
        return False
    body = [inner for inner in node.body if not is_docstring(inner)]
    return all(
        isinstance(inner, ast.Pass) or (isinstance(inner, ast.Expr) and ast.unparse(inner) == "...") for inner in body
    )


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def first_line(node: ast.stmt) -> int:
    """The number of a statement's first line, its decorators' among them."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def source(code: str, node: ast.stmt) -> str:
    return "\n".join(code.split("\n")[first_line(node) - 1 : node.end_lineno]).rstrip()
