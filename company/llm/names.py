"""The source files that a requirement's own words name, found by rule and not asked of a model.

What uses them: the prompts, the dry run, and `replies.parse_code`. Data files are the program's to make: only ``.py``.
"""

from __future__ import annotations

import re
import sys

_FILE = re.compile(r"(?<![\w/.\\:@-])((?:\./)?(?:[A-Za-z_][\w-]*/)*[A-Za-z_][\w-]*\.py)(?![\w/-]|\.\w)")
_MODULE = re.compile(r"\bpython3?\s+-m\s+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z`*\"'(])|\n\s*\n(?!\s*(?:[-*+]|\d+[.)])\s)")
_PACKAGE = re.compile(
    r"\bpackage,?\s+(?:(?:called|named)\s+)?[`'\"*]+([A-Za-z_]\w*)/?[`'\"*]+"
    r"|\bpackage\s+(?:called|named)\s+([A-Za-z_]\w*)\b"
    r"|\bpackage\s+([a-z_]\w*)/?(?=\s+(?:with|containing|consisting|made|that has|which has)\b|\s*[:(])"
    r"|[`'\"*]([A-Za-z_]\w*)/?[`'\"*]+\s+(?:python\s+)?package\b",
    re.IGNORECASE,
)
_NO_PACKAGE = frozenset(
    [
        "manager",
        "name",
        "index",
        "that",
        "which",
        "with",
        "for",
        "of",
        "in",
        "is",
        "to",
        "and",
        "must",
        "should",
        "file",
        "json",
        "called",
        "named",
    ]
)
_MODULES = re.compile(r"\b(?:sub)?modules?\b", re.IGNORECASE)
_BARE = re.compile(r"`([a-z_]\w*)`")
_BARE_LIST = re.compile(
    r"\b(?:sub)?modules?:?\s+(?:are\s+)?((?:`\w+`(?:\s*\([^)]*\))?(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*)?)+)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s|^(?:it|the package)\b", re.IGNORECASE)
_BESIDE = re.compile(r"\b(?:script|program|entry point|launcher|beside it)\s+[`'\"*]*$", re.IGNORECASE)
_TOOLS = frozenset({"pytest", "pip", "mypy", "ruff", "build", "coverage", "black", "flake8", "tox", "uv", "poetry"})


def names_in(requirement: str) -> list[str]:
    """Paths of the Python files that the text names, in order, each once, without tests.

    ``wordfreq.py`` stays as it is; in a sentence about a package `shapes`, ``area.py`` is ``shapes/area.py``;
    ``python -m shapes`` names ``shapes/__main__.py`` of a package and ``wordfreq.py`` otherwise.
    """
    found: dict[str, None] = {}
    packages: set[str] = set()
    package = ""
    for sentence in _SENTENCE.split(requirement):
        named = [name for match in _PACKAGE.finditer(sentence) if (name := _package(match))]
        packages.update(named)
        packages.update(
            match[1].partition("/")[0] for match in _FILE.finditer(sentence) if "/" in match[1].removeprefix("./")
        )
        if named:
            package = named[0]
        home = package if named or _GOES_ON.match(sentence) or _MODULES.search(sentence) else ""
        places: list[tuple[int, str]] = []
        for match in _FILE.finditer(sentence):
            path = match[1].removeprefix("./")
            beside = "/" in path or _BESIDE.search(sentence[: match.start()])
            owner = next((name for name in reversed(_before(sentence, match.start())) if name), home)
            places.append((match.start(), path if beside or not home else f"{owner}/{path}"))
        if home:
            for match in _BARE_LIST.finditer(sentence):
                places += [(match.start(1) + bare.start(), f"{home}/{bare[1]}.py") for bare in _BARE.finditer(match[1])]
        for match in _MODULE.finditer(sentence):
            if path := _run_module(match[1], packages):
                places.append((match.start(), path))
        found.update(dict.fromkeys(path for _, path in sorted(places) if not is_test(path)))
    inside = {path.rpartition("/")[2] for path in found if "/" in path}
    return [path for path in found if "/" in path or path not in inside or not packages]


def is_test(path: str) -> bool:
    """Whether a path is a test by its name or folder."""
    *folders, name = path.split("/")
    return (
        bool({"test", "tests"} & set(folders))
        or name.startswith("test_")
        or name.endswith("_test.py")
        or name == "conftest.py"
    )


def _package(match: re.Match[str]) -> str:
    name = next(group for group in match.groups() if group)
    return "" if name.lower() in _NO_PACKAGE else name


def _before(sentence: str, place: int) -> list[str]:
    """The packages that a sentence names before a place."""
    return [_package(match) for match in _PACKAGE.finditer(sentence[:place])]


def _run_module(name: str, packages: set[str]) -> str:
    first, *rest = name.split(".")
    if first in _TOOLS or (first in sys.stdlib_module_names and first not in packages):
        return ""
    if rest:
        return f"{first}/{'/'.join(rest)}.py"
    return f"{first}/__main__.py" if first in packages else f"{first}.py"
