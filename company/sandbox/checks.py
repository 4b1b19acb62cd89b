"""What a machine can see without running anything: syntax, imports that lead nowhere, names that shadow.

Running the code: `verdict.py`. Whether it has the design's interfaces is checked where the design is known.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

from company.sandbox.interpreter import PACKAGES

KNOWN = sys.stdlib_module_names | {"test", "idlelib"} | set(PACKAGES)
"""Top-level modules that exist in the sandbox."""
_PROTECTED = KNOWN - {"test"} | {"sitecustomize", "usercustomize"}


def static_problems(files: Mapping[str, bytes], only: Collection[str] | None = None) -> list[str]:
    """One sentence for each problem, led by ``file:line``, in the order of the files.

    Syntax errors; imports that are neither in the standard library, nor in pytest, nor in `files`; names that
    a file of `files` does not define; modules that shadow the standard library; a test defined twice; an
    ``__eq__`` that always answers True. With `only`, of these paths alone.
    """
    trees: dict[str, ast.Module] = {}
    problems: dict[str, list[str]] = {path: [] for path in files if only is None or path in only}
    for path in problems:
        if not path.endswith(".py"):
            continue
        parsed = parse(path, files[path])
        if isinstance(parsed, str):
            problems[path].append(parsed)
        else:
            trees[path] = parsed
        if shadow := shadows(path):
            problems[path].append(hiding(path, shadow))
    for path, tree in trees.items():
        found = [*_import_problems(path, tree, files, trees), *_definition_problems(path, tree)]
        problems[path] += [f"{path}:{line}: {text}" for line, text in sorted(found)]
    return [problem for found in problems.values() for problem in found]


def parse(path: str, content: bytes) -> ast.Module | str:
    """The syntax tree of a Python file, or the problem in one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in generated text is no reason to warn our user
            return ast.parse(content, filename=path)
    except SyntaxError as error:
        text = f": {error.text.strip()}" if isinstance(error.text, str) and error.text.strip() else ""
        return f"{path}:{error.lineno or 1}: syntax error: {error.msg}{text}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{path}:1: cannot be read as Python: {error}"


def shadows(path: str, roots: tuple[str, ...] = ("",)) -> str | None:
    """The module of the standard library or of pytest that a file would hide, seen from the import roots."""
    for root in roots:
        if root and not path.startswith(f"{root}/"):
            continue
        first, *rest = PurePosixPath(path[len(root) :].lstrip("/")).parts
        name = first.split(".")[0]
        if name in _PROTECTED and (rest or first.endswith((".py", ".pyc", ".so"))):
            return name
    return None


def hiding(path: str, module: str) -> str:
    """The problem of a file that `shadows` a module."""
    return f"{path}:1: hides the module `{module}` and is left out when the tests run; give it another name"


def _import_problems(
    path: str, tree: ast.Module, files: Mapping[str, bytes], trees: Mapping[str, ast.Module]
) -> Iterator[tuple[int, str]]:
    folder = str(PurePosixPath(path).parent).replace(".", "", 1) if "/" not in path else path.rpartition("/")[0]
    forgiven = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.Try) and outer.handlers
        for statement in outer.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in forgiven:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not _exists(alias.name, folder, files):
                    yield node.lineno, _absent(alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _from_problems(node, folder, files, trees)


def _from_problems(
    node: ast.ImportFrom, folder: str, files: Mapping[str, bytes], trees: Mapping[str, ast.Module]
) -> Iterator[tuple[int, str]]:
    module = node.module or ""
    if node.level:
        parts = folder.split("/") if folder else []
        if len(parts) < node.level:
            yield (
                node.lineno,
                f"`from {'.' * node.level}{module}` leads out of any package; import it by its full name",
            )
            return
        parts = [*parts[: len(parts) - node.level + 1], *filter(None, module.split("."))]
        place = "/".join(parts)
        target = _file(place, files)
        if target is None and not _is_folder(place, files):
            yield node.lineno, f"there is no module `{'.' * node.level}{module}` in this repository"
            return
    else:
        if not _exists(module, folder, files):
            yield node.lineno, _absent(module)
            return
        if module.split(".")[0] in KNOWN:
            return
        place = next(place for place in _places(module, folder) if _file(place, files) or _is_folder(place, files))
        target = _file(place, files)
    if target is None or target not in trees:
        return
    defined = _defined(trees[target])
    for alias in node.names:
        inside = _file(f"{place}/{alias.name}", files) or _is_folder(f"{place}/{alias.name}", files)
        if defined is not None and alias.name not in defined and alias.name != "*" and not inside:
            yield node.lineno, f"`{target}` does not define `{alias.name}`"


def _absent(module: str) -> str:
    return (
        f"`{module}` is neither in the standard library nor in this repository; "
        "other packages are not available where the code runs"
    )


def _exists(module: str, folder: str, files: Mapping[str, bytes]) -> bool:
    if module.split(".")[0] in KNOWN:
        return True
    return any(_file(place, files) or _is_folder(place, files) for place in _places(module, folder))


def _places(module: str, folder: str) -> list[str]:
    """Where a module may lie: from the top, and from the importing file's folder as for a script or test."""
    path = module.replace(".", "/")
    return [path, f"{folder}/{path}"] if folder else [path]


def _file(place: str, files: Mapping[str, bytes]) -> str | None:
    return next((path for path in (f"{place}/__init__.py", f"{place}.py") if path in files), None)


def _is_folder(place: str, files: Mapping[str, bytes]) -> bool:
    return any(path.startswith(f"{place}/") and path.endswith(".py") for path in files)


def _defined(tree: ast.Module) -> set[str] | None:
    """The names a module has at its top level; None when they cannot be known without running it."""
    names = {"__name__", "__doc__", "__file__"}
    queue: list[ast.AST] = list(tree.body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"globals", "vars", "exec"}
        ):
            return None
        queue += ast.iter_child_nodes(node)
    return None if names & {"*", "__getattr__"} else names


def _definition_problems(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    test_file = PurePosixPath(path).name.startswith("test_") or path.endswith("_test.py")
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.Module | ast.ClassDef):
            continue
        seen: set[str] = set()
        for node in scope.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if test_file and node.name.startswith("test_") and node.name in seen:
                yield node.lineno, f"`{node.name}` is defined a second time, so the first one never runs"
            seen.add(node.name)
            if node.name == "__eq__" and isinstance(scope, ast.ClassDef) and _always_true(node):
                yield node.lineno, "an `__eq__` that always answers True proves nothing"


def _always_true(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    last = node.body[-1]
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Constant) or last.value.value is not True:
        return False
    return all(isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant) for step in node.body[:-1])
