"""What a machine sees in a piece of generated code before anything runs: names that nothing defines, placeholders left in.

Imports and syntax of a whole repository: `sandbox/checks.py`. Who tells the model: `nodes.py`, `llm/structured.py`.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from company.assemble import top_of

_ALWAYS = {*dir(builtins), "__file__", "__name__", "__doc__"}


def undefined_names(code: str, known: Collection[str] = ()) -> list[str]:
    """Names that the code reads and neither it, nor Python, nor `known` defines; none where a star import hides them."""
    tree = ast.parse(code)
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return []
    top = symtable.symtable(code, "code", "exec")
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    bound |= {table.get_name() for table in top.get_children()} | _declared_global(tree)
    found = [name for name in _global_reads(top) if name not in bound and name not in _ALWAYS and name not in known]
    return list(dict.fromkeys(found))


def with_imports(code: str) -> str:
    """The code with the imports of standard modules that it uses and forgot; any other code as it is."""
    try:
        missing = [name for name in undefined_names(code) if name in sys.stdlib_module_names]
    except SyntaxError:
        return code
    if not missing:
        return code
    place, lines = top_of(code), code.split("\n")
    space = [""] if place and not lines[place - 1].startswith("from") else []
    lines[place:place] = [*space, *(f"import {name}" for name in sorted(missing))]
    return "\n".join(lines)


def _global_reads(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _global_reads(child)


def _declared_global(tree: ast.Module) -> set[str]:
    """Names that some function assigns after a ``global``."""
    declared = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return declared & stored


def hidden_methods(code: str) -> list[tuple[str, str]]:
    """Class and method, where the class gives an attribute of its objects the name of one of its own methods."""
    found = []
    for owner in ast.walk(ast.parse(code)):
        if not isinstance(owner, ast.ClassDef):
            continue
        methods = {
            node.name
            for node in owner.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list
        }
        for node in ast.walk(owner):
            if not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in methods):
                continue
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                found.append((owner.name, node.attr))
    return list(dict.fromkeys(found))


def placeholders_left(code: str, placeholders: Collection[str]) -> list[str]:
    """Texts of the code that hold a placeholder of the requirement, such as ``NAME exists``; usage lines may."""
    if not placeholders:
        return []
    pattern = _any_of(placeholders)
    found = []
    tree = ast.parse(code)
    documented = {id(text) for text in _docstrings(tree)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or id(node) in documented:
            continue
        if _has_placeholder(node.value, pattern):
            found.append(node.value.strip())
    return list(dict.fromkeys(found))


def with_values(code: str, placeholders: Collection[str]) -> str:
    """The code with texts such as ``"NAME exists"`` made ``f"{name} exists"`` in functions that have a parameter `name`."""
    if not placeholders:
        return code
    edits: dict[tuple[int, int], tuple[ast.expr, str]] = {}
    for function in ast.walk(ast.parse(code)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
        known = {word for word in placeholders if word.lower() in names}
        if known:
            edits |= {(node.lineno, node.col_offset): (node, text) for node, text in _texts_with(function, known)}
    lines = code.split("\n")
    for _, (node, text) in sorted(edits.items(), reverse=True):
        line = lines[node.lineno - 1].encode()  # columns count bytes
        lines[node.lineno - 1] = (line[: node.col_offset] + text.encode() + line[node.end_col_offset :]).decode()
    return "\n".join(lines)


def _texts_with(
    function: ast.FunctionDef | ast.AsyncFunctionDef, known: Collection[str]
) -> Iterator[tuple[ast.expr, str]]:
    """The texts of a function, on one line, that hold a placeholder, and each as it should be."""
    pattern = _any_of(known)
    documented = {id(text) for text in _docstrings(ast.Module([function], []))}
    inside = {id(part) for node in ast.walk(function) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(function):
        if id(node) in documented or id(node) in inside:
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        whole = "".join(texts)
        if not _has_placeholder(whole, pattern):
            continue
        assert isinstance(node, ast.expr)
        if node.lineno != node.end_lineno:
            continue
        made: list[ast.expr] = []
        for part in parts:
            if not (isinstance(part, ast.Constant) and isinstance(part.value, str)):
                made.append(part)
                continue
            for number, piece in enumerate(pattern.split(part.value)):
                if number % 2:
                    made.append(ast.FormattedValue(ast.Name(piece.lower(), ast.Load()), -1))
                elif piece:
                    made.append(ast.Constant(piece))
        yield node, ast.unparse(ast.JoinedStr(made))


def _any_of(words: Collection[str]) -> re.Pattern[str]:
    return re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b")


def _has_placeholder(text: str, pattern: re.Pattern[str]) -> bool:
    """Whether a text holds a placeholder that should be a value: usage lines, and texts all in capitals, may."""
    return bool(pattern.search(text)) and "usage" not in text.lower() and not text.isupper()


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr):
                yield first.value


class Finding(NamedTuple):
    """What must be mended."""

    line: int
    text: str
    """One sentence for the model."""


def _is_in_texts(tree: ast.Module, name: str) -> bool:
    """Whether a name is used in f-strings alone."""
    texts = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in ast.walk(node)}
    return all(id(node) in texts for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name)


def findings(code: str, known: Collection[str], placeholders: Collection[str]) -> list[Finding]:
    """What must be mended in a piece of code, by kind of fault."""
    tree = ast.parse(code)
    found = [
        Finding(
            _line(tree, name, ast.Name),
            f"`{name}` in the braces of an f-string is code, and nowhere defined: write `{{{{` and `}}}}` where a brace is meant."
            if _is_in_texts(tree, name)
            else f"`{name}` is used and nowhere defined: define it, import it, or load it inside the function.",
        )
        for name in undefined_names(code, known)[:4]
    ]
    found += [
        Finding(
            _line(tree, text, ast.Constant),
            f'The text "{text}" still holds a placeholder of the requirement: put the value in its place.',
        )
        for text in placeholders_left(code, placeholders)[:4]
    ]
    found += [
        Finding(
            _line(tree, name, ast.Attribute),
            f"`{name}` of class `{owner}` is a method, and `self.{name} = …` hides it: give the attribute another name.",
        )
        for owner, name in hidden_methods(code)[:4]
    ]
    return [*found, *calls_that_do_not_fit(tree)[:4]]


def complaints(code: str, known: Collection[str], placeholders: Collection[str]) -> list[str]:
    """One sentence for each thing that must be mended, for the model."""
    return [finding.text for finding in findings(code, known, placeholders)]


def _line(tree: ast.Module, said: str, kind: type[ast.expr]) -> int:
    """The first line on which a name, a text or an attribute stands."""
    for node in ast.walk(tree):
        if isinstance(node, kind) and said in (
            getattr(node, "id", None), getattr(node, "attr", None), str(getattr(node, "value", "")).strip(),
        ):  # fmt: skip
            return node.lineno
    return 1


_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "list": (list,), "dict": (dict,), "set": (set,),
    "tuple": (tuple,), "bytes": (bytes,),
}  # fmt: skip


def calls_that_do_not_fit(tree: ast.Module) -> list[Finding]:
    """Calls of the code's own functions and methods with too few or too many arguments, or literals of another type than annotated."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.decorator_list}
    functions = {name: node for name, node in functions.items() if _times_bound(tree, name) == 1}
    found: list[Finding] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            found += _misfits(node, functions[node.func.id], 0)
        if not isinstance(node, ast.ClassDef) or node.bases or node.decorator_list:
            continue
        methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef) and not one.decorator_list}
        for call in ast.walk(node):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            target = call.func.value
            if call.func.attr in methods and isinstance(target, ast.Name) and target.id == "self":
                found += _misfits(call, methods[call.func.attr], 1)
    return found


def _times_bound(tree: ast.Module, name: str) -> int:
    """How often a name is defined or assigned anywhere: a call by that name may mean any of them."""
    defined = sum(isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name for node in ast.walk(tree))
    stored = sum(
        isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load) for node in ast.walk(tree)
    )
    return defined + stored + sum(isinstance(node, ast.arg) and node.arg == name for node in ast.walk(tree))


def _misfits(call: ast.Call, made: ast.FunctionDef, own: int) -> Iterator[Finding]:
    """What does not fit of a call; `own` parameters are not given by it."""
    plain = [*made.args.posonlyargs, *made.args.args][own:]
    spread = any(isinstance(one, ast.Starred) for one in call.args) or any(each.arg is None for each in call.keywords)
    if spread or made.args.vararg or made.args.kwarg or made.args.kwonlyargs:
        return
    given = len(call.args) + len(call.keywords)
    least = len(plain) - len(made.args.defaults)
    if not least <= given <= len(plain):
        wanted = f"{least}" if least == len(plain) else f"{least} to {len(plain)}"
        yield Finding(
            call.lineno, f"`{ast.unparse(call)[:80]}` gives {given} arguments, and `{made.name}` takes {wanted}."
        )
        return
    for argument, parameter in zip(call.args, plain, strict=False):
        wanted = ast.unparse(parameter.annotation).partition("[")[0].lower() if parameter.annotation else ""
        if wanted not in _TYPES or not isinstance(argument, ast.Constant | ast.List | ast.Dict | ast.Tuple | ast.Set):
            continue
        try:
            value = ast.literal_eval(argument)
        except (ValueError, TypeError):  # no literal, or one that cannot be: {[]}
            continue
        if value is not None and not isinstance(value, _TYPES[wanted]):
            yield Finding(
                call.lineno, f"`{parameter.arg}` of `{made.name}` is {wanted}, and `{ast.unparse(call)[:80]}` gives it `{ast.unparse(argument)[:40]}`."
            )  # fmt: skip
