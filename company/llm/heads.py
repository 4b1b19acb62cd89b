"""The heads of functions, classes and methods that a requirement shows, held against the code that was written for it.

What else a machine sees: `company/lint.py` in a piece of code, `sandbox/checks.py` in a repository.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import suppress

from company.artifacts import SourceFile
from company.assemble import bound
from company.llm.qa import shown_in

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def not_as_shown(requirement: str, files: Sequence[SourceFile]) -> list[str]:
    """One sentence, led by ``file:line``, for each head that the code lacks, has with other parameters, or left empty."""
    found = [
        f"{file.path}:{line}: {text}"
        for file, shown, made in _beside(requirement, files)
        for line, text in _differences(shown, made, "")
    ]
    return list(dict.fromkeys(found))


def absent(requirement: str, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, str, str]]:
    """The heads that the code lacks: the file where they belong, the class (empty for none), and the first line."""
    for file, shown, made in _beside(requirement, files):
        there = bound(made.body)
        for head in shown.body:
            if not isinstance(head, _Function | ast.ClassDef):
                continue
            if head.name not in there:
                yield file, "", f"class {head.name}" if isinstance(head, ast.ClassDef) else _line(head)
            body = there.get(head.name)
            if isinstance(head, ast.ClassDef) and isinstance(body, ast.ClassDef) and not body.bases:
                methods = (one for one in head.body if isinstance(one, _Function) and one.name not in bound(body.body))
                yield from ((file, head.name, _line(one)) for one in methods)


def _beside(requirement: str, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, ast.Module, ast.Module]]:
    """What the requirement shows of a file, beside what was written; not of files that a step does not have, or that do not parse."""
    for shown in shown_in(requirement):
        for file in files:
            if file.path == shown.path:
                with suppress(SyntaxError):
                    yield file, ast.parse(shown.content), ast.parse(file.content)


def _differences(
    shown: ast.Module | ast.ClassDef, made: ast.Module | ast.ClassDef, owner: str
) -> Iterator[tuple[int, str]]:
    place = getattr(made, "lineno", 1)
    names = bound(made.body)
    for head in shown.body:
        if not isinstance(head, _Function | ast.ClassDef):
            continue
        body = names.get(head.name)
        if isinstance(head, ast.ClassDef):
            if isinstance(body, ast.ClassDef):
                yield from _differences(head, body, f"{head.name}.")
            elif not body:
                yield place, f"there is no class `{head.name}`, and the requirement shows one"
        elif not body:
            inherits = isinstance(made, ast.ClassDef) and made.bases
            if not inherits:
                what = "method" if owner else "function"
                yield place, f"there is no {what} `{owner}{head.name}`, and the requirement shows `{_line(head)}`"
        elif isinstance(body, _Function):
            if not _takes(body, head):
                yield body.lineno, f"`{_line(body)}` does not take what the requirement's `{_line(head)}` takes"
            elif _is_empty(body) and _is_meant(head):
                yield body.lineno, f"`{owner}{head.name}` is not written out"


def _takes(made: ast.FunctionDef | ast.AsyncFunctionDef, head: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function can be called with as many arguments as the head has parameters."""
    if made.args.vararg or made.args.kwarg or head.args.vararg or head.args.kwarg or head.args.kwonlyargs:
        return True
    wanted = len([*head.args.posonlyargs, *head.args.args])
    most = len([*made.args.posonlyargs, *made.args.args])
    needed = [one for one, default in zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True) if default is None]
    return most - len(made.args.defaults) <= wanted <= most and not needed


def _is_empty(made: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function has a docstring, `pass` or `...` and nothing else."""
    return all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in made.body
    )


def _is_meant(head: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the requirement wants the function written: one that it shows without a word may well do nothing."""
    return _is_empty(head) and head.name != "__init__"


def _line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"def {node.name}({ast.unparse(node.args)})"
