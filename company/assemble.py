"""Puts a module together from replies that each hold one function or class: imports, constants, parts, the start.

Asking for the parts: `nodes.py` (a step with ``grain: function``). Reading a reply: `llm/code_replies.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Assignment = ast.Assign | ast.AnnAssign


@dataclass
class Module:
    """A module under construction. `wanted`: the parts of the design, in their order."""

    about: str
    wanted: tuple[str, ...]
    _imports: dict[str, None] = field(default_factory=dict)
    _constants: dict[str, str] = field(default_factory=dict)
    _helpers: dict[str, str] = field(default_factory=dict)
    _parts: dict[str, str] = field(default_factory=dict)
    _start: str = ""

    def add(self, code: str, part: str) -> bool:
        """Take over what a reply has for `part`, with the imports, constants and helpers that it brings along.

        Of the design's other parts it takes none: each is asked for by itself. Whether `part` was in it.
        """
        tree = ast.parse(code)
        for node in tree.body:
            text = _source(code, node)
            if isinstance(node, ast.Import | ast.ImportFrom):
                if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
                    self._imports[ast.unparse(node)] = None
            elif isinstance(node, _Definition):
                if node.name == part:
                    self._parts[part] = text
                elif node.name not in self.wanted:
                    self._helpers.setdefault(node.name, text)
            elif isinstance(node, _Assignment):
                for name in _names(node):
                    self._constants.setdefault(name, text)
            elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
                self._start = text
        return part in self._parts

    @property
    def names(self) -> set[str]:
        """What the module defines, or will: parts, helpers, constants, imports."""
        imported = {
            (alias.asname or alias.name).split(".")[0]
            for line in self._imports
            for node in ast.parse(line).body
            for alias in getattr(node, "names", ())
        }
        return {*self.wanted, *self._helpers, *self._constants, *imported}

    @property
    def has_parts(self) -> bool:
        """Whether any part is there."""
        return bool(self._parts)

    def text(self) -> str:
        """The module so far."""
        definitions = [*self._helpers.values(), *(self._parts[name] for name in self.wanted if name in self._parts)]
        start = self._start
        if not start and "main" in self._parts:
            self._imports["import sys"] = None
            start = f'if __name__ == "__main__":\n    sys.exit({_call_of_main(self._parts["main"])})'
        constants = list(dict.fromkeys(self._constants.values()))
        late = [text for text in constants if _reads(text, {*self.wanted, *self._helpers})]
        blocks = ["\n".join(self._imports), "\n".join(text for text in constants if text not in late)]
        head = f'"""{self.about}"""' if self.about else ""
        body = "\n\n".join(block for block in (head, *blocks) if block)
        return "\n\n\n".join(block for block in (body, *definitions, "\n".join(late), start) if block) + "\n"


def _reads(text: str, names: Collection[str]) -> bool:
    """Whether a statement reads one of the names when it runs."""
    read = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    )
    return any(node.id in names for node in read)


def _call_of_main(text: str) -> str:
    node = ast.parse(text).body[0]
    assert isinstance(node, _Definition)
    needed = 0
    if not isinstance(node, ast.ClassDef):
        needed = len(node.args.posonlyargs + node.args.args) - len(node.args.defaults)
    return "main(sys.argv[1:])" if needed else "main()"


def parsed(code: str) -> ast.Module | None:
    """A module's tree; None for what is no Python, or too deep for the parser."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def graft(old: str, new: str) -> str:
    """A module in which what `new` defines, imports and sets takes the place of what `old` had; both must parse."""
    before, after = ast.parse(old), ast.parse(new)
    given = {node.name: node for node in after.body if isinstance(node, _Definition)}
    theirs = {name: _source(new, node) for name, node in given.items()}
    ours = [node for node in before.body if isinstance(node, _Definition)]
    lines = old.split("\n")
    start = next(
        (node for node in before.body if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)), None
    )
    fresh = [text for name, text in theirs.items() if name not in {node.name for node in ours}]
    place = start.lineno - 1 if start else len(lines)
    edits = [(place, place, "\n\n".join([*fresh, ""]) + "\n")] if fresh else []
    for node in ours:
        if node.name in theirs:
            keeps = not given[node.name].decorator_list  # a reply of a function alone leaves its decorators out
            begin = node.lineno if keeps else _first_line(node)
            edits.append((begin - 1, node.end_lineno or node.lineno, theirs[node.name]))
    known = {ast.unparse(node) for node in before.body}
    constants = {name: node for node in before.body if isinstance(node, _Assignment) for name in _names(node)}
    added = []
    for brought in after.body:
        if ast.unparse(brought) in known or not isinstance(brought, ast.Import | ast.ImportFrom | _Assignment):
            continue
        names = _names(brought) if isinstance(brought, _Assignment) else []
        replaced = next((constants[name] for name in names if name in constants), None)
        end = replaced.end_lineno or replaced.lineno if replaced else 0
        text = _source(new, brought)
        if replaced and set(_names(replaced)) <= set(names):
            edits.append((replaced.lineno - 1, end, text))
        elif replaced:
            edits.append((end, end, text))
        elif not isinstance(brought, ast.Import | ast.ImportFrom) and _reads(
            text, {*theirs, *(node.name for node in ours)}
        ):
            edits.append((place, place, text + "\n\n"))
        else:
            added.append(text)
    if added:
        head = top_of(old)
        edits.append((head, head, "\n".join(added)))
    for first, last, text in sorted(edits, reverse=True):
        lines[first:last] = text.split("\n")
    return "\n".join(lines).rstrip() + "\n"


def definition(code: str, name: str) -> str:
    """The text of a function or class, wherever it stands; empty where there is none or the code does not parse."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ""
    found = (node for node in ast.walk(tree) if isinstance(node, _Definition) and node.name == name)
    return next((_source(code, node) for node in found), "")


def top_of(code: str) -> int:
    """The number of lines before the place where a module's imports may stand; it must parse."""
    last = 1 if code.startswith("#!") else 0
    for number, node in enumerate(ast.parse(code).body):
        is_docstring = not number and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        last = node.end_lineno or last
    return last


def elided(code: str, name: str, signature: str, owner: str = "") -> str:
    """A module with what it defines under a name left out but for its first line; it must parse.

    Args:
        owner: the class whose method it is; empty for what is defined at the top level.
    """
    lines = code.split("\n")
    body = ast.parse(code).body
    if owner:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == owner)
    for node in reversed(body):
        if isinstance(node, _Definition) and node.name == name:
            margin = " " * node.col_offset
            lines[node.lineno - 1 : node.end_lineno] = [f"{margin}{signature}:", f"{margin}    ...  # left out"]
    return "\n".join(lines)


def docstring(text: str) -> str:
    """The first sentence of a text as it may stand between the quotes of a docstring."""
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()))[0].replace("\\", "\\\\").replace('"""', "'''").rstrip('"')


def _source(code: str, node: ast.stmt) -> str:
    """A statement as written, decorators included."""
    return "\n".join(code.split("\n")[_first_line(node) - 1 : node.end_lineno]).rstrip()


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _names(node: _Assignment) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)]


def bound(body: Sequence[ast.stmt]) -> dict[str, ast.stmt]:
    """Name → the statement that binds it last, of what a module's or class's statements define, import and assign."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0]: node for alias in node.names}
        else:
            stored = (one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
            found |= {one.id: node for one in stored}
    return found
