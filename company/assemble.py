"""Puts a module together from replies that each hold one function or class: imports, constants, parts, the start.

Asking for the parts: `nodes.py` (a step with ``grain: function``). Reading a reply: `llm/code_replies.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass, field

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


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
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for name in _names(node):
                    self._constants.setdefault(name, text)
            elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
                self._start = text
        return part in self._parts

    def text(self) -> str:
        """The module so far."""
        blocks = ["\n".join(self._imports), "\n".join(dict.fromkeys(self._constants.values()))]
        definitions = [*self._helpers.values(), *(self._parts[name] for name in self.wanted if name in self._parts)]
        start = self._start
        if not start and "main" in self._parts:
            call = "main()" if "sys" not in self._bound() else "sys.exit(main())"
            start = f'if __name__ == "__main__":\n    {call}'
        head = f'"""{self.about}"""' if self.about else ""
        body = "\n\n".join(block for block in (head, *blocks) if block)
        return "\n\n\n".join(block for block in (body, *definitions, start) if block) + "\n"

    def _bound(self) -> Collection[str]:
        return {name for line in self._imports for name in line.replace(",", " ").split()}


def docstring(text: str) -> str:
    """A text as it may stand between the quotes of a docstring."""
    return " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''").rstrip('"')


def _source(code: str, node: ast.stmt) -> str:
    """A statement as written, decorators included."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    lines = code.split("\n")[first - 1 : node.end_lineno]
    return "\n".join(lines).rstrip()


def _names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)]
