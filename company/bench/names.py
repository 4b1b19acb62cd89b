"""Where Python code has a name: every place that a syntax tree explains, and a refusal where there is one that it does not.

Which names, what they are called then, and the words of a requirement: `renaming.py`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_CODE_TAKERS = ("compile", "exec", "eval")
_DEFINES = re.compile(r"(?:async\s+)?def\s+|class\s+")
_QUOTES = re.compile(r"[rRuU]?(\"\"\"|\'\'\'|\"|\')")
_WRITTEN = re.compile(r"\\(?:[0-7]{1,3}|x..|u.{4}|U.{8}|N\{[^}]*\}|.)|.", re.DOTALL)
"""One letter between quotes, escaped or not."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Edit(NamedTuple):
    """From where to where in a text, and the name that is there."""

    start: int
    end: int
    name: str


Words = Callable[[int, int], list[Edit]]
"""Reads the words of a docstring, which lie from one place to another."""


@dataclass
class Names:
    """What may be renamed, and what turned out not to be certain."""

    kinds: dict[str, str]
    """Name → `function`, `class` or `parameter`."""
    modules: frozenset[str]
    """The modules that the task is about."""
    owners: Mapping[str, set[str]] = field(default_factory=dict)
    """Parameter → the functions that have it."""
    why: dict[str, str] = field(default_factory=dict)
    """Name → why it must stay as it is."""

    def refuse(self, name: str, reason: str) -> None:
        """It stays, whatever else is found."""
        if name in self.kinds:
            self.why.setdefault(name, reason)

    def only(self, names: Mapping[str, str]) -> Names:
        """The same for fewer names."""
        return Names({name: kind for name, kind in self.kinds.items() if name in names}, self.modules, self.owners)

    @property
    def top(self) -> set[str]:
        """Functions and classes."""
        return {name for name, kind in self.kinds.items() if kind != "parameter"}

    @property
    def parameters(self) -> set[str]:
        """Of those functions."""
        return self.kinds.keys() - self.top


def word(name: str) -> re.Pattern[str]:
    """The name as a whole word."""
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def tree_of(code: str) -> ast.Module | None:
    """None where it is no Python."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError):
        return None


def edits_in(code: str, names: Names, words: Words | None, *, shown: str | None = None) -> list[Edit]:
    """Where a file has the names; those that are not certain are refused.

    Args:
        words: what is done with docstrings; None: nobody reads them, and they stay.
        shown: the text that the edits are for, where `code` is that with something put at the ends of its lines.
    """
    tree = tree_of(code)
    if tree is None or set(code) & set("\f\r\v"):
        for name in names.kinds:
            if word(name).search(code):
                names.refuse(name, "a file that does not parse holds it")
        return []
    reader = _Reader(tree, code if shown is None else shown, names, words)
    reader.read()
    reader.check_tokens(code)
    return sorted(reader.edits)


class _Reader:
    def __init__(self, tree: ast.Module, text: str, names: Names, words: Words | None) -> None:
        self.tree, self.text, self.names, self.words = tree, text, names, words
        self.edits: set[Edit] = set()
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._passed: set[int] = set()
        """Places that have the name of a function and mean a module: they stay."""
        self._bound_modules: set[str] = set()
        self._functions: dict[str, str] = {name: name for name in names.top}
        """What this file calls a function → its name."""

    def read(self) -> None:
        """All but what only tokens show."""
        self._imports()
        methods = {id(one) for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef) for one in node.body}
        docs = {id(doc) for node in ast.walk(self.tree) if (doc := _docstring(node))}
        for node in ast.walk(self.tree):
            match node:
                case ast.Name() if node.id in self.names.top:
                    self._add(self._place(node), node.id)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if id(node) not in methods:
                    if node.name in self.names.top:
                        start = self._place(node)
                        defines = _DEFINES.match(self.text, start)
                        self._add(defines.end() if defines else start, node.name)
                    if isinstance(node, _Function) and node in self.tree.body and node.name in self.names.top:
                        self._body(node)
                case ast.Attribute() if isinstance(node.value, ast.Name) and node.value.id in self._bound_modules:
                    if node.attr in self.names.top:
                        self._add(self._at(node.end_lineno, node.end_col_offset) - len(node.attr), node.attr)
                case ast.Call():
                    self._call(node)
                case ast.JoinedStr():
                    self._refuse_all(node, "a formatted string holds it")
                case ast.Constant() if isinstance(node.value, str):
                    self._string(node, node.value, doc=id(node) in docs)

    def check_tokens(self, code: str) -> None:
        """A name that no part of the tree explains is one that nobody is certain of; comments are words."""
        known = {edit.start for edit in self.edits} | self._passed
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            start = self._starts[token.start[0] - 1] + token.start[1]
            if token.type == tokenize.NAME and token.string in self.names.top and start not in known:
                self.names.refuse(token.string, "it stands for something else too")
            elif token.type == tokenize.COMMENT:
                for name in self.names.top:
                    for found in word(name).finditer(token.string):
                        self._add(start + found.start(), name)

    def _imports(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                own = (node.module or "").rpartition(".")[2] in self.names.modules
                for alias in node.names:
                    if own and alias.name in self.names.top:
                        self._add(self._place(alias), alias.name)
                        self._functions[alias.asname or alias.name] = alias.name
                    elif alias.name in self.names.modules:
                        self._bound_modules.add(alias.asname or alias.name)
                first = self._place(node.names[0])
                for name in self.names.top:
                    found = word(name).finditer(self.text, self._place(node), first)
                    self._passed |= {match.start() for match in found}
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.rpartition(".")[2] in self.names.modules and (alias.asname or "." not in alias.name):
                        self._bound_modules.add(alias.asname or alias.name)
                    if alias.asname:
                        start = self._place(alias)
                        self._passed |= {start + dot.start() for dot in re.finditer(r"\w+", alias.name)}

    def _body(self, function: _Function) -> None:
        """The parameters of a function that is renamed, in its head and its body."""
        every = function.args
        own = [*every.posonlyargs, *every.args, *every.kwonlyargs]
        mine = {arg.arg for arg in own} & self.names.parameters
        for arg in own:
            if arg.arg in mine:
                self._add(self._place(arg), arg.arg)
        for node in (inner for statement in function.body for inner in ast.walk(statement)):
            if isinstance(node, ast.Name) and node.id in mine:
                self._add(self._place(node), node.id)
            else:
                for bound in _bound(node) & mine:
                    self.names.refuse(bound, "it is bound a second time inside its function")

    def _call(self, node: ast.Call) -> None:
        called = node.func
        if (
            isinstance(called, ast.Attribute)
            and isinstance(called.value, ast.Name)
            and called.value.id in self._bound_modules
        ):
            known = called.attr in self.names.top
        else:
            known = isinstance(called, ast.Name) and called.id in self._functions
        for keyword in node.keywords:
            if keyword.arg is None:
                for name in self.names.parameters:
                    self.names.refuse(name, "something is called with a dictionary of arguments")
            elif keyword.arg in self.names.parameters and known:
                self._add(self._place(keyword), keyword.arg)
            elif keyword.arg in self.names.parameters:
                self.names.refuse(keyword.arg, "another function has an argument of this name")
        if isinstance(called, ast.Name) and called.id in _CODE_TAKERS and node.args:
            code = node.args[0]
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                self._code_string(code, code.value)

    def _code_string(self, node: ast.Constant, code: str) -> None:
        """A string that is run: read like a file, its places found again between the quotes."""
        start, end = self._place(node), self._at(node.end_lineno, node.end_col_offset)
        places = _written_places(self.text[start:end], code)
        inner = edits_in(code, self.names, None) if places else []
        for name in self.names.kinds:
            found = {edit.start for edit in inner if edit.name == name}
            if found == {match.start() for match in word(name).finditer(code)}:
                for place in found:
                    self._add(start + places[place], name)
            else:
                self.names.refuse(name, "a string that is run holds it")

    def _string(self, node: ast.Constant, value: str, *, doc: bool) -> None:
        start, end = self._place(node), self._at(node.end_lineno, node.end_col_offset)
        if doc:
            quotes = _QUOTES.match(self.text, start)
            if self.words and quotes:
                self.edits |= set(self.words(quotes.end(), end - len(quotes[1])))
            return
        for name in self.names.kinds:
            if any(start <= edit.start < end for edit in self.edits if edit.name == name):
                continue
            if word(name).search(value):
                self.names.refuse(name, "a string holds it")

    def _refuse_all(self, node: ast.JoinedStr, reason: str) -> None:
        for inner in ast.walk(node):
            held = inner.id if isinstance(inner, ast.Name) else inner.value if isinstance(inner, ast.Constant) else ""
            for name in self.names.kinds:
                if isinstance(held, str) and word(name).search(held):
                    self.names.refuse(name, reason)

    def _add(self, start: int, name: str) -> None:
        self.edits.add(Edit(start, start + len(name), name))

    def _place(self, node: ast.expr | ast.stmt | ast.arg | ast.alias | ast.keyword) -> int:
        return self._at(node.lineno, node.col_offset)

    def _at(self, line: int | None, column: int | None) -> int:
        """A tree counts bytes, a text letters."""
        assert line is not None
        assert column is not None
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _written_places(literal: str, value: str) -> list[int]:
    """Where each letter of a string's value is written; empty where that is not one plain literal."""
    quotes = _QUOTES.match(literal)
    if not quotes or len(literal) < quotes.end() + len(quotes[1]):
        return []
    places, letters = [], ""
    for piece in _WRITTEN.finditer(literal, quotes.end(), len(literal) - len(quotes[1])):
        escaped = piece[0].startswith("\\") and "r" not in quotes[0].lower()
        try:
            letter = ast.literal_eval(f'"{piece[0]}"') if escaped else piece[0]
        except (SyntaxError, ValueError):
            return []
        places += [piece.start()] * len(letter)
        letters += letter
    return places if letters == value else []


def _docstring(node: ast.AST) -> ast.Constant | None:
    if isinstance(node, ast.Module | ast.ClassDef | _Function) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            return first.value
    return None


def _bound(node: ast.AST) -> set[str]:
    """Names that a node binds, or says to be another's, without being a Name itself."""

    def found() -> Iterator[str | None]:
        match node:
            case ast.arg():
                yield node.arg
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
                yield node.name
            case ast.MatchMapping():
                yield node.rest
            case ast.Global() | ast.Nonlocal():
                yield from node.names
            case ast.alias():
                yield node.asname or node.name

    return {name for name in found() if name}
