"""What is asked of a model for a change of what is there: the plan, and patches; held to the files that there are.

From text to changed files: `edits.py`. Other types: `structured.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from company.artifacts import Change, ChangePlan, Codebase, Patch, SourceFile, flat
from company.assemble import parsed
from company.errors import ReplyError, StepFailed, UnsafePath
from company.excerpts import excerpt
from company.lint import with_imports
from company.llm.ask import Ask
from company.llm.code_replies import CodeFile, parse_code
from company.llm.docstrings import bare, with_docstrings
from company.llm.edits import applied, changed_part, edits_in, patched
from company.llm.gateway import Gateway
from company.llm.names import is_test
from company.llm.qa import Notice
from company.llm.replies import parse_document, schema_for
from company.markdown import fenced
from company.paths import safe_path


async def patch(gateway: Gateway, ask: Ask, given: Mapping[str, Any], notice: Notice) -> Patch:
    """Changed files: as blocks of what to search and what to put there, as definitions that change, or whole."""
    values = list(flat(list(given.values())))
    files = [value for value in values if isinstance(value, SourceFile)]
    change = next((value for value in values if isinstance(value, Change)), None)
    wanted = f"{given.get('requirement', '')}\n{change.what if change else ''}"
    known = {file.path: file.content for file in files}
    ask = replace(ask, needs_all=change is not None)

    def changes(text: str) -> list[SourceFile]:
        if edits := edits_in(text, [path for path in ask.expects if path in known]):
            return [SourceFile(path=path, content=made) for path, made in applied(edits, known, text).items()]
        expected = ask.expects if change else ()
        replied = without_tests(safe(parse_code(text, expected=expected, single=change is not None), text), text)
        new = [SourceFile(path=file.path, content=mended(file)) for file in replied]
        return patched(text, files, [_at_home(settled(file, ask.expects), files, text) for file in new], wanted)

    short = _in_short(ask, change, known.get(change.path, "")) if change else None
    try:
        return await gateway.ask(ask, lambda text: Patch(files=changes(text)), short)
    except StepFailed as error:
        if not files or not isinstance(error.__cause__, ReplyError):
            raise
        notice(f"{ask.ident}: {error.message}; the files stay as they were")
        return Patch(files=[file for file in files if file.path in ask.expects] or files)


def _in_short(ask: Ask, change: Change, content: str) -> tuple[Ask, Callable[[str], Patch]] | None:
    """A change of Python as its bare task, beside nothing but the definitions that it is about; None for what is none.

    The 0.5B model, which copies its file when it sees the whole question, makes the change then.
    """
    path = change.path
    if not content.strip() or not path.endswith(".py") or not parsed(content):
        return None
    shown, names = bare(content, change.what)
    wanted = f"the changed `{names[0]}`" if len(names) == 1 else "the functions that change or are new, each complete"
    block = fenced(path, excerpt(path, shown, change.what))
    task = f"This is in `{path}` now:\n\n{block}\n\nTask: {change.what}\n\nGive one ```python block with {wanted}."

    def read(text: str) -> Patch:
        if edits := edits_in(text, [path]):
            return Patch(files=[SourceFile(path=path, content=applied(edits, {path: content}, text)[path])])
        found = without_tests(safe(parse_code(text, expected=(path,), single=True), text), text)
        new = mended(found[0])
        if "docstring" not in change.what.lower():
            new = with_docstrings(content, new)
        return Patch(files=[SourceFile(path=path, content=changed_part(path, content, new, names, change.what, text))])

    return ask.alone(task), read


def _at_home(file: SourceFile, files: Sequence[SourceFile], text: str) -> SourceFile:
    """A file of a reply that gives no path: the one that has most of what it defines."""
    if file.path != "main.py" or not files or any(known.path == "main.py" for known in files):
        return file
    names = re.findall(r"^(?:class|(?:async )?def) (\w+)", file.content, re.MULTILINE)
    shares = {known.path: sum(name in known.content for name in names) for known in files}
    best = max(shares, key=lambda path: shares[path])
    if not shares[best]:
        reason = "Say which file each block is: put its path on the line before it, for instance " + f"`### {best}`."
        raise ReplyError("nobody can tell which file a block is", raw=text, reason=reason)
    return SourceFile(path=best, content=file.content)


# --- a change of what is there ----------------------------------------------------------------------


_MOST_NAMED = 60
"""Paths that a schema lists: the map shows no more."""


async def plan_of(gateway: Gateway, ask: Ask, given: Mapping[str, Any]) -> ChangePlan:
    """A plan that edits only files that there are, and creates only such as may be."""
    known = next((value.files for value in given.values() if isinstance(value, Codebase)), [])
    schema = schema_for(ChangePlan)
    items = schema["properties"]["changes"]["items"]
    forms: list[tuple[str, dict[str, Any]]] = [("edit", {"enum": known[:_MOST_NAMED]})] if known else []
    forms.append(("create", {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_/.-]{0,80}\.[a-z]{1,8}$"}))
    schema["properties"]["changes"]["items"] = {
        "anyOf": [
            {**items, "properties": {**items["properties"], "action": {"const": action}, "path": path}}
            for action, path in forms
        ]
    }

    def read(text: str) -> ChangePlan:
        plan = parse_document(text, ChangePlan)
        changes: dict[str, Change] = {}
        for change in plan.changes:
            path = _place(change, known, text)
            made = changes.get(path)
            what = f"{made.what} {change.what}"[:300] if made else change.what
            changes[path] = Change(action="edit" if path in known else "create", path=path, what=what)
        return plan.model_copy(update={"changes": list(changes.values())})

    return await gateway.ask(ask.under(schema, "ChangePlan"), read)


def _place(change: Change, known: Sequence[str], text: str) -> str:
    """The path that a change means."""
    path = change.path.removeprefix("./")
    alike = [one for one in known if one.endswith(f"/{path}")]
    if change.action == "edit" and path not in known and len(alike) == 1:
        path = alike[0]
    if change.action == "edit" and path not in known:
        near = difflib.get_close_matches(path, known, 3, 0.4) or known[:3]
        reason = f"There is no file `{path}` to edit. Near it are {', '.join(f'`{one}`' for one in near)}."
        reason += " Give the plan again with paths of the list, or with `create` for a new file."
        raise ReplyError(f"the plan edits `{path}`, which is not there", raw=text, reason=reason)
    if is_test(path):
        reason = f"`{path}` is a test, and tests are written by QA. Plan the program's files alone."
        raise ReplyError(f"the plan changes the test `{path}`", raw=text, reason=reason)
    return path if path in known else safe([CodeFile(path, "")], text)[0].path


# --- files of a reply ---------------------------------------------------------------------------------


def mended(file: CodeFile) -> str:
    return with_imports(file.content) if file.path.endswith(".py") else file.content


def safe(files: Sequence[CodeFile], text: str) -> list[CodeFile]:
    """The files under paths that may be written."""
    made = []
    for file in files:
        try:
            path = safe_path(file.path)
            if path.split("/")[0] == ".company":
                raise UnsafePath(f"the path {path} is among the run's own records")
            made.append(CodeFile(path, file.content))
        except UnsafePath as error:
            reason = f"{error.message}. Use a relative path with plain names, such as src/main.py."
            raise ReplyError(
                f"the reply has a path that is refused: {error.message}", raw=text, reason=reason
            ) from error
    return made


def without_tests(files: Sequence[CodeFile], text: str) -> list[CodeFile]:
    """Whoever writes code does not write the tests that judge it: such files are left aside."""
    kept = [file for file in files if not is_test(file.path)]
    if not kept:
        reason = "You gave only tests. Do not touch tests: give the whole text of the program's file."
        raise ReplyError("the reply holds tests and no code", raw=text, reason=reason)
    return kept


def settled(file: SourceFile, expected: Sequence[str]) -> SourceFile:
    """A patch's file under the path of the file that it means: one with no name is the only one there is."""
    if file.path in expected:
        return file
    alike = [path for path in expected if path.rpartition("/")[2] == file.path.rpartition("/")[2]]
    if not alike and file.path == "main.py" and len(expected) == 1:
        alike = list(expected)
    return SourceFile(path=alike[0], content=file.content) if len(alike) == 1 else file
