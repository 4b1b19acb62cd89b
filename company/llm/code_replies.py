"""From a reply's text to files of code: which block is which file, and which is none. Never half of a file.

Fences and the paths beside them: `fences.py`. Documents: `replies.py`. Whether a path is safe: `paths.py`.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from company.errors import ReplyError
from company.llm.fences import PYTHON, Block, blocks_of, parses, same_name, split_files, without_thoughts
from company.llm.names import is_test


class CodeFile(NamedTuple):
    """One file of a reply."""

    path: str
    """Relative, with ``/``."""
    content: str
    """Ends in one newline; empty for files like ``__init__.py`` that may be."""


_HOLDS_FENCES = frozenset({"md", "markdown", "rst", "txt"})
"""Suffixes of files that may have fences at their margin."""
_DEFINITION = re.compile(r"^(?:async def|def|class) (\w+)", re.MULTILINE)
_DEFINES = 10
"""Variables that a function or class weighs as much as."""
_PLACEHOLDER = "/path/to/"
"""What models write where they are to name a file and have no name."""
_MAY_BE_EMPTY = ("__init__.py", "py.typed", ".gitkeep")
_NO_FILES = frozenset(
    [
        "bash",
        "sh",
        "shell",
        "zsh",
        "fish",
        "console",
        "shell-session",
        "shellsession",
        "terminal",
        "powershell",
        "ps1",
        "cmd",
        "bat",
        "batch",
        "text",
        "txt",
        "plain",
        "plaintext",
        "output",
        "log",
        "stdout",
        "stderr",
        "pycon",
        "python-repl",
        "mermaid",
    ]
)
_EXTENSIONS = {
    "py": PYTHON, "md": {"markdown", "md"}, "json": {"json"}, "toml": {"toml"}, "yaml": {"yaml", "yml"},
    "yml": {"yaml", "yml"}, "html": {"html"}, "css": {"css"}, "js": {"javascript", "js"}, "sql": {"sql"},
    "csv": {"csv"}, "ini": {"ini"}, "cfg": {"ini", "cfg"}, "xml": {"xml"}, "sh": {"bash", "sh", "shell"},
    "txt": {"text", "txt", "plaintext"},
}  # fmt: skip
_ELISION = re.compile(
    r"^\s*(?:#|//)\s*[\[(<]?\s*(?:\.{3}|…)?\s*\(?(?:the\s+)?(?:rest of|existing|remaining|other|previous)\s+(?:the\s+|your\s+)?"
    r"(?:code|file|function|method|import|implementation|class|program|script|content)\w*"
    r"(?:.*(?:\.{3}|…|unchanged|the same|as before|remain|goes here|stays)|\s*here[\])>]?\s*$)",
    re.IGNORECASE,
)


def parse_code(text: str, *, expected: Sequence[str] = (), single: bool = False) -> list[CodeFile]:
    """The files in a reply, in order. Never half of one.

    Args:
        text: the reply.
        expected: paths that were asked for. A block without a path is the expected one that is still missing;
            a path that differs only in its folders is mapped to it. With none, code without a path is ``main.py``.
        single: exactly one file is wanted: the expected one, and what else the reply holds is left aside.

    Raises:
        ReplyError: no code, a block that was never closed, parts left out, or a block of which nobody can say
            which file it is. `reason` says it to the model.
    """
    plain = without_thoughts(text)
    blocks = blocks_of(plain)
    if not blocks and _is_program(plain):
        blocks = [Block("python", plain.split("\n"))]
    if not blocks:
        raise _bad(text, "there is no code in it", f"Give {_asked(expected)} in a fenced block: ```python … ```.")
    if not all(block.closed for block in blocks):
        raise _bad(
            text, "it was cut inside a block", f"Your reply was cut. Give {_asked(expected)} again, whole, and shorter."
        )
    if all(block.language in ("diff", "patch") for block in blocks):
        raise _bad(text, "it is a diff", "Give the whole text of each changed file, not a diff.")
    parts = [part for block in blocks for part in split_files(block) if _may_be_file(part)]
    files: dict[str, CodeFile] = {}
    nameless: list[Block] = []
    for part in parts:
        path = _settle(part.path, expected) if part.path else _mentioned(part, expected)
        if not path:
            nameless.append(part)
        elif file := _file(path, part, text):
            before = files.pop(path, None)
            files[path] = _later(file, before, part, text) if before else file
    _adopt(files, nameless, expected, text)
    for path in files:
        _stays_inside(path, text)
    if not files:
        raise _bad(text, "there is no code in it", f"Give {_asked(expected)} in a fenced block: ```python … ```.")
    return _only(files, expected, text) if single else list(files.values())


def whole_files(text: str, expected: Sequence[str]) -> dict[str, CodeFile]:
    """The files that stand whole in a cut reply: the expected ones, in order, then others that are named as files.

    Of one that is given again, the last whole version counts, as in `parse_code`; one that comes in pieces is none.

    What could be a half is none: Python that does not parse, or that a sentence alone names and that defines nothing; Markdown
    after which no block says what it is (its end may be a fence of its own); and a block without a path, but for the one
    expected file if it defines at least what the cut one does.
    """
    if not expected:
        return {}
    blocks = blocks_of(without_thoughts(text))
    found: dict[str, CodeFile] = {}
    halves: set[str] = set()
    nameless: list[tuple[int, CodeFile]] = []
    for number, block in enumerate(blocks):
        after = blocks[number + 1] if number + 1 < len(blocks) else None
        for part in split_files(block) if block.closed else ():
            path = _settle(part.path, expected) if part.path else _mentioned(part, expected)
            named = path or expected[0] if len(expected) == 1 else path
            suffix = named.rpartition(".")[2].lower()
            is_file = part.path or named in expected
            if not _may_be_file(part) or not is_file or not (path or _fits_exactly(part, named)):
                continue
            if suffix in _HOLDS_FENCES and not (after and (after.language or after.path)):
                continue
            try:
                file = _file(named, part, text)
                if file and (suffix not in ("py", "pyi") or parses(file.content)):
                    names = _names(file.content)
                    if not path:
                        nameless.append((names, file))
                    elif part.path or suffix not in ("py", "pyi") or names >= _DEFINES:
                        before = found.get(path)
                        found[path] = _later(file, before, part, text) if before else file
            except ReplyError:  # parts are left out, or it is a piece
                halves |= {path}
    if nameless and expected[0] not in {*found, *halves}:
        names, file = max(nameless, key=lambda one: one[0])
        cut = 0 if blocks[-1].closed else _DEFINES * len(_DEFINITION.findall("\n".join(blocks[-1].body)))
        if names >= max(_DEFINES, cut):
            found[file.path] = file
    return {path: found[path] for path in (*expected, *found) if path in found and path not in halves}


def _bad(text: str, fact: str, reason: str) -> ReplyError:
    return ReplyError(f"the reply is no code: {fact}", raw=text, reason=reason)


def _asked(expected: Sequence[str]) -> str:
    return "the whole file " + " and ".join(f"`{path}`" for path in expected) if expected else "the whole code"


def _is_program(text: str) -> bool:
    """Python that does or defines something; a word or two of prose parse as well."""
    if not parses(text):
        return False
    plain = (ast.Name, ast.Constant, ast.Tuple, ast.Attribute, ast.BinOp, ast.Compare, ast.BoolOp, ast.UnaryOp)
    body = ast.parse(text).body
    return any(not (isinstance(line, ast.Expr) and isinstance(line.value, plain)) for line in body)


def _may_be_file(part: Block) -> bool:
    """Whether a block is content rather than something to type or to see."""
    suffix = part.path.rpartition(".")[2].lower()
    if part.language in _NO_FILES:
        return bool(part.path) and part.language in _EXTENSIONS.get(suffix, _NO_FILES - {"output", "console"})
    if part.language in ("diff", "patch"):
        return False
    code = "\n".join(part.body)
    if part.language == "" and not part.path:
        return _is_program(code)
    if suffix in ("py", "pyi") and part.language not in PYTHON:
        return part.language == "" and (not code.strip() or _names(code) > 0 or _is_program(code))
    return not code.lstrip().startswith((">>> ", "$ "))


def _settle(path: str, expected: Sequence[str]) -> str:
    """A path as models write it, in normal form, and the expected one where it is meant."""
    plain = path.replace("\\", "/").removeprefix("./").removeprefix(_PLACEHOLDER)
    if plain in expected:
        return plain
    alike = [one for one in expected if one.endswith("/" + plain) or plain.endswith("/" + one)]
    alike = alike or [one for one in expected if same_name(one, plain)]
    alike = alike or [one for one in expected if same_name(one.lower(), plain.lower())]
    return alike[0] if len(alike) == 1 else plain


def _mentioned(part: Block, expected: Sequence[str]) -> str:
    """The path of the sentence before a block, believed only where it was asked for and the language fits."""
    path = _settle(part.mentioned, expected) if part.mentioned else ""
    return path if path in expected and _language_fits(part, path) else ""


def _language_fits(part: Block, path: str) -> bool:
    return not part.language or part.language in _EXTENSIONS.get(path.rpartition(".")[2].lower(), {part.language})


def _file(path: str, part: Block, text: str) -> CodeFile | None:
    """The file, or None for an empty one that says nothing."""
    lines = [line.rstrip("\r") for line in part.body]
    while lines and not lines[0].strip():
        lines.pop(0)
    content = textwrap.dedent("\n".join(lines)).rstrip()  # a method as it stands in its class
    if not content:
        return CodeFile(path, "") if path.endswith(_MAY_BE_EMPTY) else None
    if left_out := next((line.strip() for line in lines if _ELISION.match(line)), ""):
        reason = f"You left out parts of `{path}` (`{left_out}`). Give the whole file, every line of it."
        raise _bad(text, f"`{path}` has parts left out", reason)
    return CodeFile(path, content + "\n")


def _stays_inside(path: str, text: str) -> None:
    if path.startswith("/") or re.match("[A-Za-z]:", path) or ".." in path.split("/"):
        raise _bad(
            text, f"the path `{path}` leads out", f"`{path}` is not allowed: give paths relative to the project."
        )


def _adopt(files: dict[str, CodeFile], nameless: list[Block], expected: Sequence[str], text: str) -> None:
    """Give blocks without a path to the expected files that nothing named."""
    missing = [path for path in expected if path not in files]
    if not expected and not files:
        missing = ["main.py"]
    fitting = [part for part in nameless if any(_fits_exactly(part, path) for path in missing)]
    if len(missing) > 1 and fitting:
        owners = {path: [part for part in fitting if _fits_exactly(part, path)] for path in missing}
        if max(len(parts) for parts in owners.values()) > 1 or len(fitting) != sum(map(len, owners.values())):
            if files:
                return  # some files were named; the rest are examples, or will be asked for again
            reason = (
                "Say which file each block is: put its path on the line before it, for instance `### "
                + missing[0]
                + "`."
            )
            raise _bad(text, "blocks without a path", reason)
    for path in missing:
        candidates = [part for part in fitting if _fits_exactly(part, path)]
        if candidates and (file := _file(path, max(enumerate(candidates), key=_weight)[1], text)):
            files[path] = file
    if len(expected) == 1 and expected[0] not in files:
        strangers = [path for path in files if path.endswith(".py") and not is_test(path)]
        if len(strangers) > 1:  # one that defines something, and others that show how it is used
            strangers = [path for path in strangers if _DEFINITION.search(files[path].content)]
        if expected[0].endswith(".py") and len(strangers) == 1:
            files[expected[0]] = CodeFile(expected[0], files.pop(strangers[0]).content)


def _fits_exactly(part: Block, path: str) -> bool:
    """Whether a block without a path may be that file: Python for Python, Markdown for Markdown."""
    suffix = path.rpartition(".")[2].lower()
    return (part.language or "python") in _EXTENSIONS.get(suffix, {suffix})


def _weight(numbered: tuple[int, Block]) -> tuple[int, int, int]:
    """The program among its usage examples: most names, then most text if none has names, then the latest."""
    number, part = numbered
    code = "\n".join(part.body)
    names = _names(code)
    return names, 0 if names else len(code), number


def _names(code: str) -> int:
    """How many functions, classes and variables a module defines, by weight."""
    if not parses(code):
        return len(_DEFINITION.findall(code))
    found = 0
    for line in ast.parse(code).body:
        found += isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) * _DEFINES
        found += isinstance(line, ast.Assign | ast.AnnAssign)
    return found


def _later(file: CodeFile, before: CodeFile, part: Block, text: str) -> CodeFile:
    """Of a file that is given twice the later one, if it is no piece and no example: those define other things, or less."""
    if _lacks_imports(file.content, before.content):
        return before
    old, new = (set(_DEFINITION.findall(one.content)) for one in (before, file))
    is_version = not old or bool(old & new)
    if part.path and not is_version:
        reason = f"You gave `{file.path}` in pieces. Give the whole of it in one block."
        raise _bad(text, f"`{file.path}` comes in pieces", reason)
    lighter = _names(file.content) < _names(before.content)
    is_less = not part.path and (lighter or not is_version)
    return before if is_less or _lacks_imports(file.content, before.content) else file


def _lacks_imports(later: str, earlier: str) -> bool:
    """Whether a file that is given again is the earlier one, but for imports that are left out."""
    if not (parses(later) and parses(earlier)):
        return False
    new, old = ([ast.dump(line) for line in ast.parse(code).body] for code in (later, earlier))
    kept = [line for line in old if line in new or not line.startswith("Import")]
    return new == kept and len(kept) < len(old)


def _only(files: dict[str, CodeFile], expected: Sequence[str], text: str) -> list[CodeFile]:
    wanted = [files[path] for path in expected if path in files]
    if len(wanted) == 1:
        return wanted
    if not expected and len(files) == 1:
        return list(files.values())
    found = ", ".join(f"`{path}`" for path in files)
    raise _bad(text, f"one file was asked for, not {found}", f"Give exactly one file: {_asked(expected)}.")
