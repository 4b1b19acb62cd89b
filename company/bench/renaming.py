"""New names for the functions, classes and parameters that a requirement names: in its text, the given files and the hidden judge.

A name is changed only where each of its occurrences is certain; else it stays, and why is said. Python code: `names.py`; the other
variations: `vary.py`.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from company.bench.names import Edit, Names, edits_in, tree_of, word
from company.bench.wording import CannotVary, Material, fences, protected

_NEW = {"function": "routine_{}", "class": "Kind{}", "parameter": "value_{}"}
_LOOKS_INSIDE = re.compile(r"\b(?:inspect|__code__|signature|getfullargspec|locals|vars)\b")
_HEAD = re.compile(r"^(?:async )?(?:def (\w+)\(|class (\w+)\b)", re.MULTILINE)
_ANY_HEAD = re.compile(r"^([ \t]*)(?:async )?def (\w+)\(", re.MULTILINE)
_BODILESS = re.compile(r"^((?:async )?(?:def|class) .*:)$(?!\n[ \t])", re.MULTILINE)
_FRAME = re.compile(
    r"\b(?:functions?|class(?:es)?|called|named|parameters?|arguments?|variables?|:param) [`\"']?$", re.IGNORECASE
)
_SHORT_WORDS = frozenset(
    re.findall(r"\w+", "a i am an as at be by do go he hi if in is it me my no of oh ok on or so to up us we")
)


def rename(material: Material, rng: random.Random) -> Material:
    """The task with new names, the same everywhere.

    Raises:
        CannotVary: no function and no class is certain in all places.
    """
    table, why = mapping(material, rng)
    if not table:
        reason = (
            "; ".join(f"{name}: {each}" for name, each in [*why.items()][:3]) or "it names no function and no class"
        )
        raise CannotVary(f"nothing can be renamed ({reason})", hint="leave the task out of this comparison")
    names = _names_of(material).only(table)
    return replace(
        material,
        requirement=_applied(material.requirement, _in_requirement(material.requirement, names), table),
        given=_files(material.given, table, names, hidden=False),
        judge=_files(material.judge, table, names, hidden=True),
        changes=tuple(f"{old} → {new}" for old, new in table.items()),
    )


def renamed_code(code: str, material: Material, table: Mapping[str, str]) -> str:
    """A file that is no part of the task, such as its reference solution, with the names of `mapping`."""
    return _applied(code, edits_in(code, _names_of(material).only(table), None), table)


def mapping(material: Material, rng: random.Random) -> tuple[dict[str, str], dict[str, str]]:
    """Old name → new name, and name → why it stays; no new names where no function and no class gets one."""
    names = _names_of(material)
    everything = "\n".join((material.requirement, *material.given.values(), *material.judge.values()))
    for name in names.kinds:
        if keyword.iskeyword(name) or hasattr(builtins, name) or name.startswith("__"):
            names.refuse(name, "Python has it")
    if _LOOKS_INSIDE.search(everything):
        for name in names.parameters:
            names.refuse(name, "something looks at the names of parameters")
    for files, hidden in ((material.given, False), (material.judge, True)):
        for path, text in files.items():
            if path.endswith(".py"):
                _in_file(text, names, hidden=hidden)
            else:
                for name in names.kinds:
                    if word(name).search(text):
                        names.refuse(name, f"{path} holds it")
    _in_requirement(material.requirement, names)
    for name, functions in names.owners.items():
        for function in functions & names.why.keys():
            names.refuse(name, f"its function {function} stays")
    free = [name for name in names.kinds if name not in names.why]
    if all(names.kinds[name] == "parameter" for name in free):
        return {}, names.why
    pool = [number for number in range(10, 1000) if not re.search(rf"(?<=[a-z_]){number}\b", everything)]
    numbers = rng.sample(pool[: max(90, len(free))], len(free))
    return {name: _NEW[names.kinds[name]].format(number) for name, number in zip(free, numbers, strict=True)}, names.why


def _files(files: Mapping[str, str], table: Mapping[str, str], names: Names, *, hidden: bool) -> dict[str, str]:
    return {
        path: _applied(text, _in_file(text, names, hidden=hidden), table) if path.endswith(".py") else text
        for path, text in files.items()
    }


def _applied(text: str, edits: Iterable[Edit], table: Mapping[str, str]) -> str:
    for start, end, name in sorted(set(edits), reverse=True):
        text = text[:start] + table[name] + text[end:]
    return text


def _in_file(text: str, names: Names, *, hidden: bool) -> list[Edit]:
    return edits_in(text, names, None if hidden else lambda start, end: _in_words(text, start, end, names))


# --- which names -----------------------------------------------------------------------------------------


def _names_of(material: Material) -> Names:
    """What the text shows the head of or speaks of, as far as the judge takes it from the task's own modules.

    Where the judge takes nothing by name from them, what the heads in the text define. Parameters are those of functions whose
    heads are shown, and of no other function there.
    """
    text = material.requirement
    paths = (*material.given, material.needs, *re.findall(r"[\w/]+\.py\b", text))
    files = [PurePosixPath(path) for path in paths if path.endswith(".py")]
    modules = frozenset(path.parent.name if path.stem == "__init__" else path.stem for path in files)
    wanted = _taken(material.judge.values(), modules)
    kinds: dict[str, str] = {}
    for head in _HEAD.finditer(text):
        if not wanted or (head[1] or head[2]) in wanted:
            kinds[head[1] or head[2]] = "function" if head[1] else "class"
    for name in sorted(wanted):
        if word(name).search(text):
            kinds.setdefault(name, "class" if name[0].isupper() else "function")
    owners: dict[str, set[str]] = {}
    others: set[str] = set()
    for head in _ANY_HEAD.finditer(text):
        parameters = _parameters(text[head.end() - 1 :])
        if not head[1] and head[2] in kinds:
            for name in parameters:
                owners.setdefault(name, set()).add(head[2])
        else:
            others |= {*parameters}
    owners = {name: functions for name, functions in owners.items() if name not in others and name not in kinds}
    return Names(kinds | dict.fromkeys(owners, "parameter"), modules, owners)


def _taken(files: Iterable[str], modules: frozenset[str]) -> set[str]:
    """What files take from the task's own modules by name."""
    found: set[str] = set()
    for text in files:
        tree = tree_of(text)
        for node in ast.walk(tree) if tree else ():
            module = (node.module or "").rpartition(".")[2] if isinstance(node, ast.ImportFrom) else ""
            if isinstance(node, ast.ImportFrom) and module in modules:
                found |= {alias.name for alias in node.names if alias.name == module or alias.name not in modules}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                found.add(node.attr)
    return found - {"*"}


def _parameters(rest: str) -> list[str]:
    """Of a head whose bracket `rest` begins with."""
    for end in re.finditer(r"\)", rest[:2000]):
        tree = tree_of(f"def f{rest[: end.end()]}: pass")
        if tree and isinstance(function := tree.body[0], ast.FunctionDef):
            every = function.args
            return [
                each.arg
                for each in (*every.posonlyargs, *every.args, *every.kwonlyargs)
                if each.arg not in ("self", "cls")
            ]
    return []


# --- the requirement's text ------------------------------------------------------------------------------


def _in_requirement(text: str, names: Names) -> list[Edit]:
    """Blocks of Python as code, everything else word by word."""
    edits: list[Edit] = []
    at = 0
    for language, start, end in fences(text):
        block = text[start:end]
        code = _BODILESS.sub(r"\1 pass", block)
        if language not in ("python", "py") or tree_of(code) is None:
            continue
        edits += _in_words(text, at, start, names)
        edits += [
            Edit(edit.start + start, edit.end + start, edit.name)
            for edit in edits_in(code, names, _words_of(block, names), shown=block)
        ]
        at = end
    return edits + _in_words(text, at, len(text), names)


def _words_of(block: str, names: Names) -> Callable[[int, int], list[Edit]]:
    return lambda start, end: _in_words(block, start, end, names)


def _in_words(text: str, start: int, end: int, names: Names) -> list[Edit]:
    """The names among words; refused are those that may be plain English, or part of something that must stay."""
    closed = protected(text, start, end)
    edits = []
    for name, kind in names.kinds.items():
        for found in word(name).finditer(text, start, end):
            before, after = (
                text[max(start, found.start() - 40) : found.start()],
                text[found.end() : min(end, found.end() + 40)],
            )
            if _is_module(name, before, after, names):
                continue
            around = next((text[a:b] for a, b, _ in closed if a <= found.start() and found.end() <= b), "")
            if around[:1] in "\"'“" and around[:1] and around.strip("\"'“”") != name:
                names.refuse(name, "a quoted string in the requirement holds it")
            elif _is_certain(name, kind, before, after, around, names):
                edits.append(Edit(found.start(), found.end(), name))
            else:
                names.refuse(name, "the requirement may mean the English word")
    return edits


def _is_module(name: str, before: str, after: str, names: Names) -> bool:
    """``add.py``, ``python -m add``, ``from add import``: they stay."""
    if re.match(r"\.py\b", after) or re.search(r"(?:python3? (?:-m )?|\bfrom |/)$", before):
        return True
    return name in names.modules and re.match(r"\.\w", after) is not None


def _is_certain(name: str, kind: str, before: str, after: str, around: str, names: Names) -> bool:
    if re.search(r"\w\.$", before) and not any(before.endswith(f"{module}.") for module in names.modules):
        return False  # an attribute of something
    if "_" in name or re.search(r"\d|[a-z][A-Z]", name) or (len(name) <= 2 and name.lower() not in _SHORT_WORDS):
        return True
    if around.startswith("`") or around.strip("\"'“”") == name or _FRAME.search(before):
        return True
    if kind == "parameter":
        called = re.match(r"(?:\w+\.)*(\w+)\(", around)
        return bool(called and called[1] in names.top) or bool(
            re.search(r"(?:^|\n)[ \t]*[-*]?[ \t]*$", before) and re.match(r":| \(", after)
        )
    return after.startswith("(")
