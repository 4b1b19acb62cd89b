"""A map of a repository for a prompt: files and what they define, those that matter for a requirement first, cut to a budget.

How procedures get it: `run: survey`, in `nodes.py`. What is done with it: `llm/structured.py`.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping

from company.artifacts import Codebase
from company.errors import UnsafePath
from company.llm.names import is_test
from company.paths import safe_path

BUDGET = 6000
"""Characters of a map: with a requirement and a reply beside it, it fits into a context of 8192 tokens."""
_LARGEST = 400_000
"""Bytes of a file that is still read as text that somebody wrote."""
_PARSED = 120
"""Files whose definitions are looked for: the rest would not fit into the budget."""
_HEAD = 6000
"""Bytes of a file in which its imports are looked for."""
_LONGEST = 110
"""Characters of a definition's line."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PATH = re.compile(r"[\w./\\-]+\.\w{1,8}")
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+([\w, \t(]+)|import[ \t]+([\w., \t]+))", re.MULTILINE
)
_DEFINED = re.compile(
    r"^[ \t]*(?:(?:export|default|pub(?:\([a-z]+\))?|public|private|protected|static|final|abstract|async|unsafe|inline)\s+)*"
    r"(?:function\*?|func(?:\s+\([^)]*\))?|fn|class|struct|interface|trait|enum|type|module|def|sub)\s+([A-Za-z_$][\w$]*)[^\n{;]*",
    re.MULTILINE,
)
_CODE = {
    "py", "pyi", "js", "jsx", "ts", "tsx", "mjs", "go", "rs", "java", "kt", "c", "h", "cc", "cpp", "hpp", "cs", "rb", "php",
    "swift", "scala", "lua", "pl", "sh",
}  # fmt: skip
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "the and for that with this from into not but are was were when then than which what must should shall can could would will have "
        "has had add adds added make makes made new use uses used using support file files function functions method class module "
        "def return returns returned value values error errors line lines call last recent most traceback python test tests one two "
        "all any its our your their there here also only instead self none true false raise raises raised import",
    )
)
"""Words that tell nothing of where something is."""


def survey(files: Mapping[str, bytes], requirement: str, budget: int = BUDGET) -> Codebase:
    """The map of a repository's files.

    Args:
        files: path → content, tests and data among them.
        requirement: what ranks the files: names and words of it, files of a traceback.
        budget: characters of the map at most.
    """
    texts = {path: data for path, data in files.items() if _is_ours(path, data)}
    ranked = _ranked(texts, requirement)
    changeable = [path for path in ranked if not is_test(path)]
    tests = sum(is_test(path) for path in texts)
    return Codebase(map=_drawn(ranked, texts, tests, budget), files=changeable)


def _is_ours(path: str, data: bytes) -> bool:
    """Whether a file is text that a run may change."""
    if len(data) > _LARGEST or b"\0" in data[:8000] or path.startswith(".company/"):
        return False
    try:
        data.decode()
        return safe_path(path) == path
    except (UnicodeDecodeError, UnsafePath):
        return False


# --- rank -------------------------------------------------------------------------------------------


def _ranked(texts: Mapping[str, bytes], requirement: str) -> list[str]:
    """The paths, those that matter most first."""
    scores = dict.fromkeys(texts, 0.0)
    for path, points in _named(texts, requirement).items():
        scores[path] += points
    words = _words(requirement)
    lower = {path: data.lower() for path, data in texts.items()}
    for word, weight in words.items():
        encoded = word.lower().encode()
        holding = [path for path, data in lower.items() if encoded in data or word.lower() in path.lower()]
        rarity = math.log(1 + len(texts) / len(holding)) if holding else 0
        for path in holding:
            in_path = word.lower() in path.lower()
            scores[path] += weight * rarity * (1 + 4 * in_path + 6 * _defines(texts[path], word))
    for path, data in texts.items():
        suffix = path.rpartition(".")[2]
        scores[path] *= 1 if suffix in _CODE else 0.4
        scores[path] *= 0.3 if is_test(path) else 1
        scores[path] += (suffix in _CODE and bool(data.strip())) * 0.01
    spread = dict(scores)
    for path, others in _imports(texts).items():
        for other in others:
            spread[other] += 0.2 * scores[path] * (not is_test(path))
            spread[path] += 0.1 * scores[other] * (not is_test(path))
    return sorted(texts, key=lambda path: (-spread[path], path.count("/"), path))


def _named(texts: Mapping[str, bytes], requirement: str) -> dict[str, float]:
    """Points of the files whose paths the words give, whole or by their end; the later ones of a traceback have more."""
    found: dict[str, float] = {}
    by_name: dict[str, list[str]] = {}
    for path in texts:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    mentions = [match[0].replace("\\", "/").strip("./") for match in _PATH.finditer(requirement)]
    for number, mention in enumerate(mentions, 1):
        same = by_name.get(mention.rpartition("/")[2], [])
        exact = [
            path for path in same if path == mention or path.endswith(f"/{mention}") or mention.endswith(f"/{path}")
        ]
        for path in exact or same:
            found[path] = (100 if exact else 40) + 10 * number / len(mentions)
    return found


def _words(requirement: str) -> dict[str, float]:
    """The words that may tell where something is, and how much: what looks like a name of code more."""
    found: dict[str, float] = {}
    for word in _WORD.findall(requirement):
        is_name = "_" in word.strip("_") or bool(re.search(r"[a-z][A-Z]", word)) or f"`{word}`" in requirement
        is_name = is_name or f"{word}(" in requirement
        parts = [part.lower() for part in _PART.findall(word) if len(part) > 2]
        for each in {word, *parts}:
            if each.lower() not in _COMMON:
                found[each] = max(found.get(each, 0), (3 if is_name else 1) if each == word else 0.7)
    return dict(sorted(found.items(), key=lambda item: -item[1])[:60])


def _defines(data: bytes, word: str) -> bool:
    return bool(re.search(rb"\b(?:def|class|function|func|fn|struct|type|interface)\s+" + word.encode() + rb"\b", data))


def _imports(texts: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Which Python file imports which others of the repository."""
    modules: dict[str, str] = {}
    for path in texts:
        if path.endswith(".py"):
            parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
            for start in range(min(2, len(parts))):  # `src/pkg/a.py` is `pkg.a`
                modules.setdefault(".".join(parts[start:]), path)
    found: dict[str, set[str]] = {}
    for path, data in texts.items():
        if path.endswith(".py"):
            found[path] = {modules[name] for name in _imported(path, data) if name in modules} - {path}
    return found


def _imported(path: str, data: bytes) -> Iterator[str]:
    package = path.split("/")[:-1]
    for match in _IMPORT.finditer(data[:_HEAD]):
        if match[3]:
            yield from (name.split(" as ")[0].strip() for name in match[3].decode().split(","))
            continue
        module = match[1].decode()
        level = len(module) - len(module.lstrip("."))
        base = [*package[: len(package) - level + 1], module.lstrip(".")] if level else [module]
        whole = ".".join(part for part in base if part)
        yield whole
        for name in re.findall(r"\w+", match[2].decode()):
            yield f"{whole}.{name}" if whole else name


# --- drawing ----------------------------------------------------------------------------------------


def _drawn(ranked: list[str], texts: Mapping[str, bytes], tests: int, budget: int) -> str:
    head = f"{len(texts)} files of text" + (f", {tests} of them tests" if tests else "")
    parts, used, left = [head], len(head) + 200, []
    for number, path in enumerate(ranked):
        if is_test(path):
            continue
        entry = _entry(path, texts[path]) if number < _PARSED else ""
        if entry and used + len(entry) > budget * 0.8 and number > 3:
            entry = entry.partition("\n")[0]
        if entry and used + len(entry) + 1 <= budget:
            parts.append(entry)
            used += len(entry) + 1
        elif entry and not parts[1:]:
            parts.append(entry[: budget - used])
            used = budget
        else:
            left.append(path)
    folders = Counter(path.rpartition("/")[0] or "." for path in left)
    rest = ", ".join(f"{folder} ({count})" for folder, count in folders.most_common(12))
    return "\n".join([*parts, *([f"More files, by folder: {rest}"[:200]] if rest else [])])[:budget]


def _entry(path: str, data: bytes) -> str:
    text = data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    count = text.count("\n") + (not text.endswith("\n") and bool(text))
    lines = _python(text) if path.endswith((".py", ".pyi")) else None
    if lines is None:
        found = _DEFINED.finditer(text) if path.rpartition(".")[2] in _CODE else ()
        lines = [f"  {' '.join(match[0].split())[:_LONGEST]}" for match in found][:20]
    return "\n".join([f"{path} ({count} line{'s' * (count != 1)})", *lines])


def _python(text: str) -> list[str] | None:
    """The definitions of a module, one a line; None where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines.append(f"  def {_signature(node)}")
        elif isinstance(node, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            lines.append(f"  class {node.name}" + (f"({bases})" if bases else ""))
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            public = [each for each in methods if not each.name.startswith("_") or each.name == "__init__"]
            lines += [f"    {_signature(each, skip=1)}" for each in public]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
            lines += [f"  {name}" for name in names]
    return [line[:_LONGEST] for line in lines]


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, skip: int = 0) -> str:
    arguments = ast.unparse(node.args)
    if skip:
        arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    return f"{node.name}({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
