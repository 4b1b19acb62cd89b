"""From a reply to changed files: blocks that say what to search and what to put there, or the definitions that change.

All of a reply is applied or none of it; what stays unclear is told with the real lines. Which block of code is which file:
`code_replies.py`; putting definitions into a module: `assemble.py`; methods into a class: `classes.py`.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from company.artifacts import SourceFile
from company.assemble import bound, graft
from company.errors import NothingNew, ReplyError
from company.excerpts import WHOLE
from company.llm.classes import Definition, Function, is_docstring, is_stub, merged_class, owner_of, source, with_method
from company.llm.fences import PATH, without_thoughts

_SEARCH = re.compile(r"^\s*<{5,9}\s*(?:SEARCH|ORIGINAL|HEAD|OLD)?\b.*$")
_MIDDLE = re.compile(r"^\s*={5,9}\s*$")
_REPLACE = re.compile(r"^\s*>{5,9}\s*(?:REPLACE|UPDATED|NEW)?\b.*$")
_FENCE = re.compile(r"^\s*(?:```+|~~~+)")
_AS_BLOCK = "Give the change outside of functions as a block: `<<<<<<< SEARCH`, old lines, `=======`, new lines, `>>>>>>> REPLACE`."
_CLOSE = 12
"""Real lines that are quoted beside a search that is not found."""


@dataclass
class Edit:
    """One block: the lines to find and the lines to put in their place."""

    path: str
    search: list[str] = field(default_factory=list)
    replace: list[str] = field(default_factory=list)


def edits_in(text: str, paths: Sequence[str]) -> list[Edit]:
    """The search and replace blocks of a reply, in order; none where it has none.

    Raises:
        ReplyError: a block is not complete, or nobody can say which file it is about.
    """
    found: list[Edit] = []
    path, part = paths[0] if len(paths) == 1 else "", ""
    for line in without_thoughts(text).split("\n"):
        if not part and _SEARCH.match(line) and line.strip(" <"):
            if not path:
                raise _bad(
                    text, "a block has no path", f"Put the line `### {paths[0]}` before the block, with its path."
                )
            found.append(Edit(path))
            part = "search"
        elif part == "search" and _MIDDLE.match(line):
            part = "replace"
        elif part == "replace" and _REPLACE.match(line):
            part = ""
        elif part:
            getattr(found[-1], part).append(line)
        elif named := _named(line, paths):
            path = named
    if part:
        way = "Each block is `<<<<<<< SEARCH`, old lines, `=======`, new lines, `>>>>>>> REPLACE`."
        raise _bad(text, "a block is not complete", way)
    return found


def has_edits(text: str) -> bool:
    """Whether a reply, or the part of it that came, holds the beginning of such a block."""
    return any(_SEARCH.match(line) and line.strip(" <") for line in text.split("\n"))


def _named(line: str, paths: Sequence[str]) -> str:
    """The one of the paths that a line outside of blocks names."""
    words = [match[0].removeprefix("./") for match in re.finditer(PATH, line)] if len(line) < 200 else []
    alike = {path for path in paths for word in words if path == word or path.endswith(f"/{word}")}
    return alike.pop() if len(alike) == 1 else ""


def applied(edits: Sequence[Edit], files: Mapping[str, str], text: str) -> dict[str, str]:
    """The files that change, whole, by path.

    Raises:
        ReplyError: one search is not found exactly once; then nothing is applied.
    """
    changed: dict[str, str] = {}
    for edit in edits:
        old = changed.get(edit.path, files[edit.path])
        changed[edit.path] = _replaced(old, edit, text)
    same = [path for path, content in changed.items() if content == files[path]]
    if same:
        way = "Your blocks change nothing: what is searched and what replaces it are alike. Give the changed lines."
        raise NothingNew("the reply cannot be applied: the blocks change nothing", raw=text, reason=way)
    return {path: _sound(path, files[path], content, text) for path, content in changed.items()}


def _replaced(content: str, edit: Edit, text: str) -> str:
    search, replace = _trimmed(edit.search), _trimmed(edit.replace)
    lines = content.split("\n")
    if not search:
        if content.strip():
            way = f"The SEARCH part for `{edit.path}` is empty. Copy into it the lines that change, or the line after which to add."
            raise _bad(text, "an empty search", way)
        return "\n".join(replace).rstrip() + "\n"
    places = [at for at in range(len(lines)) if _alike(lines[at : at + len(search)], search, str.rstrip)]
    shift = ""
    if not places:
        places = [at for at in range(len(lines)) if _alike(lines[at : at + len(search)], search, str.strip)]
        shifts = {_shift(lines[at : at + len(search)], search) for at in places}
        if places and (len(shifts) > 1 or None in shifts):
            places = []
        shift = (shifts.pop() if len(shifts) == 1 else "") or ""
    if len(places) != 1:
        shown = "\n".join(search[:_CLOSE])
        if places:
            way = f"These lines are there {len(places)} times in `{edit.path}`; add lines around them:\n{shown}"
            raise _bad(text, "a search is not unique", way)
        way = f"These lines are not in `{edit.path}`:\n{shown}\n\nThe closest that it has, to be copied letter for letter:\n{_closest(lines, search)}"
        raise _bad(text, f"a search is not found in {edit.path}", way)
    if shift.startswith("-"):
        replace = [line.removeprefix(shift[1:]) for line in replace]
    elif shift:
        replace = [shift + line if line.strip() else line for line in replace]
    lines[places[0] : places[0] + len(search)] = replace
    return "\n".join(lines).rstrip() + "\n"


def _trimmed(lines: Sequence[str]) -> list[str]:
    """Without fences and empty lines around."""
    kept = list(lines)
    for end in (0, -1):
        while kept and (not kept[end].strip() or _FENCE.match(kept[end])):
            kept.pop(end)
    return kept


def _alike(one: Sequence[str], other: Sequence[str], plain: Callable[[str], str]) -> bool:
    return [plain(line) for line in one] == [plain(line) for line in other]


def _shift(there: Sequence[str], search: Sequence[str]) -> str | None:
    """What the real lines are indented by beyond those of a search; with ``-`` by how much less; None: not all alike."""
    found: set[str] = set()
    for real, given in zip(there, search, strict=True):
        if real.strip():
            mine, theirs = real[: len(real) - len(real.lstrip())], given[: len(given) - len(given.lstrip())]
            if mine.endswith(theirs):
                found.add(mine[: len(mine) - len(theirs)])
            elif theirs.endswith(mine):
                found.add("-" + theirs[: len(theirs) - len(mine)])
            else:
                return None
    return found.pop() if len(found) == 1 else None


def _closest(lines: Sequence[str], search: Sequence[str]) -> str:
    """The real lines that are most like a search."""
    size = min(len(search), _CLOSE)
    wanted = "\n".join(line.strip() for line in search[:size])
    plain = [line.strip() for line in lines]
    first = max(search[:size], key=len).strip()
    near = difflib.get_close_matches(first, plain, 3, 0.3)
    starts = {max(0, at - size) + more for at, line in enumerate(plain) if line in near for more in range(size + 1)}
    best = max(
        starts or {0}, key=lambda at: difflib.SequenceMatcher(None, "\n".join(plain[at : at + size]), wanted).ratio()
    )
    return "\n".join(lines[best : best + size])


# --- definitions ------------------------------------------------------------------------------------


def changed_module(path: str, old: str, new: str, wanted: str, text: str) -> str:
    """A Python file with what a reply changes: it may give the whole file again, or the definitions that change.

    What the reply does not hold stays, unless it has all the rest and `wanted`, the words of the task, speak of it.

    Raises:
        ReplyError: the reply does not parse.
        NothingNew: it changes nothing.
    """
    try:
        before = ast.parse(old)
    except SyntaxError:
        return _sound(path, old, new, text)
    after = _parsed(path, new, text)
    ours, theirs = bound(before.body).keys(), bound(after.body).keys()
    gone = ours - theirs
    loose = {ast.unparse(node) for node in after.body if not _is_plain(node)}
    is_changed_outside = not loose <= {ast.unparse(node) for node in before.body}
    if (not gone or (ours & theirs and all(re.search(rf"\b{name}\b", wanted) for name in gone))) and (
        gone or is_changed_outside
    ):
        return _sound(path, old, new, text)
    if is_changed_outside and "__name__" not in "".join(loose):
        raise _bad(text, "it changes code outside of definitions and leaves out others", _AS_BLOCK)
    return _grafted(path, old, before, new, after.body, text)


def changed_part(path: str, old: str, new: str, shown: Collection[str], wanted: str, text: str) -> str:
    """A Python file, which parses, with what a reply changes that was shown a part of it.

    Taken are the definitions that were shown, new ones, and the imports and constants that these use or `wanted` names. What else
    a reply holds is an example of its use, or a guess at what it was not shown.

    Args:
        shown: names of the definitions that the reply's author saw; none: all of the file.

    Raises:
        ReplyError: the reply does not parse.
        NothingNew: it changes nothing.
    """
    before, after = ast.parse(old), _parsed(path, new, text)
    known = bound(before.body).keys()
    taken: list[ast.stmt] = [
        node for node in after.body
        if isinstance(node, Definition) and (not shown or node.name in shown or node.name not in known)
    ]  # fmt: skip
    used = {name for node in taken for name in _free_names(node)}
    module = path.removesuffix(".py").rpartition("/")[2]
    for kinds in (ast.Assign | ast.AnnAssign, ast.Import | ast.ImportFrom):  # constants first: they use imports as well
        for node in reversed(after.body):
            is_itself = isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == module
            if isinstance(node, kinds) and not is_itself:
                names = bound([node]).keys()
                if any(name in used or (name in known and re.search(rf"\b{name}\b", wanted)) for name in names):
                    taken.append(node)
                    used |= _free_names(node)
    taken.sort(key=lambda node: node.lineno)
    return _grafted(path, old, before, new, taken, text, is_part=True)


def _grafted(
    path: str, old: str, before: ast.Module, new: str, given: Sequence[ast.stmt], text: str, *, is_part: bool = False
) -> str:
    """The old file with these statements of the new one, of its classes the members that they give."""
    definitions = {node.name: node for node in before.body if isinstance(node, Definition)}
    classes = {name: node for name, node in definitions.items() if isinstance(node, ast.ClassDef)}
    kept: list[str] = []
    for node in given:
        known = definitions.get(node.name) if isinstance(node, Definition) else None
        if isinstance(node, ast.If) or (known and ast.unparse(known) == ast.unparse(node)):
            continue
        if isinstance(node, ast.ClassDef) and isinstance(known, ast.ClassDef):
            kept.append(merged_class(old, known, new, node, is_part=is_part))
        elif isinstance(node, Function) and is_part and not known and (owner := owner_of(node, classes)):
            kept.append(with_method(old, source(new, node) + "\n", owner, node.name))
        elif not (isinstance(known, Function) and isinstance(node, Function) and is_stub(node)):
            kept.append(source(new, node))
    made = graft(old, "\n\n\n".join(kept) + "\n") if kept else old
    if made == old:
        ours = {ast.unparse(node) for node in before.body}
        if any(isinstance(node, ast.If) and ast.unparse(node) not in ours for node in given):
            raise _bad(text, "it changes only code outside of definitions", _AS_BLOCK)
        way = f"`{path}` would stay as it is. Give what changes, complete."
        raise NothingNew("the reply cannot be applied: it changes nothing", raw=text, reason=way)
    return _sound(path, old, made, text)


def _free_names(node: ast.stmt) -> set[str]:
    """What a definition reads and does not bind itself."""
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    own = {inner.id for inner in names if not isinstance(inner.ctx, ast.Load)}
    own |= {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
    return {inner.id for inner in names} - own


def _is_plain(node: ast.stmt) -> bool:
    kinds = Definition | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
    return isinstance(node, kinds) or is_docstring(node)


def _parsed(path: str, code: str, text: str) -> ast.Module:
    try:
        return ast.parse(code)
    except SyntaxError as error:
        line = (error.text or "").strip()
        reason = f"`{path}` would be no Python: {error.msg} in line {error.lineno}: `{line}`. Give the change again."
        raise _bad(text, f"{path} does not parse: {error.msg}", reason) from error


def _sound(path: str, old: str, new: str, text: str) -> str:
    """The new content; Python that parsed must still parse."""
    if path.endswith(".py"):
        try:
            ast.parse(old)
        except SyntaxError:
            return new
        _parsed(path, new, text)
    return new


def not_cut(path: str, old: str, new: str, text: str) -> str:
    """The new content of a file that is no Python, unless it looks like a part of it."""
    before, after = (len(content.strip().split("\n")) for content in (old, new))
    if len(old) > WHOLE or (before > 10 and after < before / 2):
        way = (
            f"`{path}` has {before} lines, and your reply would leave {after}. Give blocks: `<<<<<<< SEARCH`, old lines, "
            "`=======`, new lines, `>>>>>>> REPLACE`."
        )
        raise _bad(text, f"{path} would be cut", way)
    return new


def patched(text: str, files: Sequence[SourceFile], given: Sequence[SourceFile], wanted: str) -> list[SourceFile]:
    """The files that a reply gives, each whole, with what of the old ones it leaves as it is.

    Args:
        files: those that there were.
        given: those of the reply, as they stand in it.
        wanted: the words of the task.
    """
    known = {file.path: file.content for file in files}
    made = []
    for file in given:
        old, new = known.get(file.path, ""), file.content
        if old.strip() and file.path.endswith(".py"):
            new = changed_module(file.path, old, new, wanted, text)
        elif old.strip():
            new = not_cut(file.path, old, new, text)
        made.append(SourceFile(path=file.path, content=_sound(file.path, "", new, text)))
    return made


def _bad(text: str, fact: str, reason: str) -> ReplyError:
    return ReplyError(f"the reply cannot be applied: {fact}", raw=text, reason=reason)
