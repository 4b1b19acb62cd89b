"""Code at the grain of functions: a file written one part at a time, a program mended in the one part that must change.

Putting parts together: `assemble.py`; what a machine sees in one: `lint.py`. Whole files: `structured.py`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import Field

from company.artifacts import Artifact, FileSpec, Part, Patch, SourceFile, TestCase, TestRun
from company.assemble import Module, definition, docstring, elided, graft
from company.errors import ReplyError, StepFailed
from company.examples import placeholders_in
from company.excerpts import excerpt
from company.interfaces import words_about, words_about_main
from company.lint import complaints, with_imports, with_values
from company.llm.ask import Ask
from company.llm.classes import keeping_members, with_method
from company.llm.client import Message
from company.llm.gateway import REPAIRS, Gateway
from company.llm.heads import absent
from company.llm.replies import parse_code, parse_document, schema_for
from company.markdown import fenced

Question = Callable[[Part | None, str, int, TestRun | None], Ask]
"""The step's prompt for a part (None: before one is chosen), with the module so far, as question number N.

Last comes what of the step's test run concerns it; None leaves the run as the step has it.
"""


async def write_parts(gateway: Gateway, question: Question, spec: FileSpec, requirement: str) -> SourceFile:
    """One file, one function or class at a time, as a talk: each question follows what was written before."""
    if not spec.parts and spec.path.endswith("__init__.py"):
        return SourceFile(path=spec.path, content="")
    module = Module(docstring(spec.purpose), tuple(part.name for part in spec.parts))
    placeholders = placeholders_in(requirement)
    if not spec.parts:
        told = Told()
        whole = await gateway.ask(
            question(None, "", 0, None),
            lambda text: checked_code(text, spec.path, (), placeholders, is_strict=told.again()),
        )
        return SourceFile(path=spec.path, content=whole)
    talk: tuple[Message, ...] = ()
    for number, part in enumerate(spec.parts, 1):
        told, absent = Told(), Told(REPAIRS)

        def read(text: str, name: str = part.name, told: Told = told, absent: Told = absent) -> str:
            content = checked_code(text, spec.path, module.names, placeholders, is_strict=told.again())
            if not module.add(content, name) and absent.again():
                raise without(name, text)
            return content

        asked = question(part, module.text() if talk else "", number, None)
        if talk:
            asked = replace(asked, messages=(*talk, asked.messages[-1]))
        try:
            written = await gateway.ask(asked, read)
        except StepFailed:
            if number == len(spec.parts) and not module.has_parts:
                raise
            continue  # a part that never comes is left to the tests and to those who mend
        talk = (*asked.messages, Message("assistant", f"```python\n{written.strip()}\n```"))
    return SourceFile(path=spec.path, content=with_imports(module.text()))


class Told:
    """A machine's findings are told a few times; a reply that still has them is taken, for the tests to judge."""

    def __init__(self, times: int = 1) -> None:
        self._left = times

    def again(self) -> bool:
        """Whether to tell it (again)."""
        self._left -= 1
        return self._left >= 0


class _Choice(Artifact):
    why: Annotated[str, Field(min_length=1, max_length=240)]
    change: str


async def mend_part(
    gateway: Gateway,
    question: Question,
    files: Sequence[SourceFile],
    requirement: str,
    run: TestRun | None,
    turn: int,
    notice: Callable[[str], None],
) -> Patch:
    """One function, method or class written anew; the rest of its file stays as it is.

    A small model that sees what it wrote writes it again, so the old text is left out of what it sees.

    Args:
        run: the tests that failed; where they tell which function is at fault, the model is not asked.
        turn: how often this was asked before: each time another of the suspects has its turn.
        notice: told when no usable reply came and all stays as it was.
    """
    places = _places(files, requirement)
    if not places:
        raise StepFailed("there is no code to mend", hint="give the step the code: `in: [code, …]`")
    lacking = _lacking(files, requirement)
    places = {**places, **lacking}
    pointing = _suspects(run, places)
    suspects = [*lacking] or [*pointing]
    chosen = suspects[turn % len(suspects)] if suspects else ""
    if not chosen and len(places) > 1:
        schema = schema_for(_Choice)
        schema["properties"]["change"] = {"enum": list(places)}
        answer = await gateway.ask(
            question(None, "", 1, run).under(schema, "Choice"),
            lambda text: parse_document(text, _Choice, "choice of what to change"),
        )
        chosen = answer.change
    file, part, owner = places.get(chosen) or next(iter(places.values()))
    told = Told()

    def read(text: str) -> SourceFile:
        content = checked_code(
            text, file.path, bound_names(file.content), placeholders_in(requirement), is_strict=told.again()
        )
        if part and not definition(content, part.name):
            raise without(part.name, text)
        if not part:
            return SourceFile(path=file.path, content=content)
        if owner:
            content = with_method(file.content, content, owner, part.name)
        else:
            content = keeping_members(file.content, content)
        return SourceFile(path=file.path, content=with_imports(graft(file.content, content)))

    shown = file.content
    if part and not any(key.startswith(f"{chosen}.") for key in places):  # of a class with methods, one is missing
        shown = elided(file.content, part.name, part.signature, owner)
    shown = excerpt(file.path, shown, part.name if part else "")
    asked = question(part, fenced(file.path, shown), 2, _about(run, part, pointing.get(chosen, [])))
    asked = asked if part else replace(asked, expects=(file.path,))
    try:
        return Patch(files=[await gateway.ask(asked, read)])
    except StepFailed as error:
        if not isinstance(error.__cause__, ReplyError):
            raise
        notice(f"{asked.ident}: {error.message}; {file.path} stays as it was")  # a round without a change is no reason
        return Patch(files=[file])  # to lose the run


_GOT = re.compile(r"^E +(?:\+ |AssertionError: )(.+?)\s*$", re.MULTILINE)
_TYPED = re.compile(r"""run\(['"]python3? (?:-m )?\S+ ?([\w-]*)""")
_TELLING = 6
"""Letters of a printed line that are enough to know it by."""
_ABSENT = re.compile(r"AttributeError: (?:type object )?'(\w+)' (?:object )?has no attribute")
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FRAME = re.compile(r"""([\w./-]+\.py)(?::\d+: in |", line \d+, in )(\w+)""")


def _suspects(run: TestRun | None, places: Mapping[str, _Place]) -> Mapping[str, list[TestCase]]:
    """The places that failing tests point at, each with those tests. Tests that decide nothing point only where no other fails.

    That is where it broke, else what printed what it should not have, else what is called: by the test, or by the command
    that it types. An empty one stands for a test that points nowhere: then the model is asked.
    """
    wrong = [case for case in run.cases if case.outcome != "passed"] if run else []
    found: dict[str, list[TestCase]] = {}
    for case in [case for case in wrong if case.required] or wrong:
        frames = [(match[1], match[2]) for match in _FRAME.finditer(case.message)]
        broke = [key for path, name in frames for key in places if _is_at(key, path, name)][-1:]
        if broke and (absent := _ABSENT.search(case.message)):  # a class has to get it first
            broke = [key for key in places if key.endswith(f": {absent[1]}")] or broke
        called = [key for key in places if re.search(rf"\b{re.escape(_name(key))}\(", case.source)]
        called = [key for key in called if not any(other.startswith(f"{key}.") for other in called)]
        for key in broke or _printed(case.message, places) or called or _meant(case.source, places) or [""]:
            found.setdefault(key, []).append(case)
    return found


def _printed(message: str, places: Mapping[str, _Place]) -> list[str]:
    """The places whose text holds a line that a test got and did not want."""
    lines = [line for line in _GOT.findall(message) if len(line) >= _TELLING]
    texts = {key: definition(file.content, part.name) for key, (file, part, _) in places.items() if part}
    return [key for key, text in texts.items() if any(line in text for line in lines)]


def _meant(source: str, places: Mapping[str, _Place]) -> list[str]:
    """The places that a command means: what is named like its first word, and what starts the program."""
    typed = _TYPED.findall(source)[-1:]
    named = [key for key in places for word in typed if word in _name(key).split("_")]
    return [*named, *(key for key in places if key.endswith(": main"))] if typed else []


def _is_at(key: str, path: str, name: str) -> bool:
    file = key.partition(": ")[0]
    return _name(key) == name and (path == file or path.endswith(f"/{file}"))


def _name(key: str) -> str:
    """The last word of a place: ``shop.py: Cart.add`` is ``add``."""
    return key.rpartition(" ")[2].rpartition(".")[2]


def _about(run: TestRun | None, part: Part | None, pointing: Sequence[TestCase]) -> TestRun | None:
    """The run with those of its failures that point at a part, else with those that speak of it; as it is where none does."""
    if run is None or part is None:
        return run
    named = re.compile(rf"\b{re.escape(part.name)}\b")
    speaking = (case for case in run.cases if case.outcome != "passed" and named.search(case.source + case.message))
    cases = [*pointing] or [*speaking]
    return run.model_copy(update={"cases": cases}) if cases else run


class _Place(NamedTuple):
    file: SourceFile
    part: Part | None
    """What is defined there; None for a file without definitions."""
    owner: str = ""
    """The class whose method it is."""


def _places(files: Sequence[SourceFile], requirement: str) -> Mapping[str, _Place]:
    """``path: name`` → where it is, ``path: Class.name`` for a method; a file without definitions is one place."""
    found: dict[str, _Place] = {}
    for file in files:
        parts = list(_parts(file.content, requirement)) if file.path.endswith(".py") else []
        if not parts:
            found[file.path] = _Place(file, None)
        for part, owner in parts:
            found[f"{file.path}: {f'{owner}.' if owner else ''}{part.name}"] = _Place(file, part, owner)
    return found


def _lacking(files: Sequence[SourceFile], requirement: str) -> Mapping[str, _Place]:
    """The places that the requirement shows and the code does not have."""
    found = {}
    for file, owner, signature in absent(requirement, files):
        part = Part(signature=signature[:300], purpose="It is not there yet.", quote="")
        found[f"{file.path}: {f'{owner}.' if owner else ''}{part.name}"] = _Place(file, part, owner)
    return found


def _parts(code: str, requirement: str) -> Iterator[tuple[Part, str]]:
    """What a module defines, classes before their methods; each with the class that it is in."""
    with suppress(SyntaxError):
        for node in ast.parse(code).body:
            if isinstance(node, _Function | ast.ClassDef) and node.name.isascii():
                yield _part(node, requirement), ""
            if isinstance(node, ast.ClassDef) and node.name.isascii():
                methods = [inner for inner in node.body if isinstance(inner, _Function) and inner.name.isascii()]
                named = Counter(inner.name for inner in methods)
                for inner in methods:
                    if named[inner.name] == 1:  # a property and its setter are one thing
                        yield _part(inner, requirement), node.name


def _part(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, requirement: str) -> Part:
    bare = ast.unparse(node).split("\n")
    first = next(line for line in bare if line.startswith(("def ", "async def ", "class ")))
    quote = words_about_main(requirement) if node.name == "main" else words_about(node.name, requirement)[:600]
    return Part(signature=first.rstrip(":")[:300], purpose=node.name, quote=quote)


def bound_names(code: str) -> set[str]:
    """What a module binds at its top level."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set()
    bound: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        for inner in ast.walk(node):
            if isinstance(inner, ast.alias):
                bound.add((inner.asname or inner.name).split(".")[0])
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                bound.add(inner.id)
    return bound


def checked_code(
    text: str, path: str, known: Collection[str], placeholders: Collection[str], *, is_strict: bool = True
) -> str:
    """The code of a reply, with the standard imports that it forgot and values for placeholders that it left in.

    Raises:
        ReplyError: there is none, it does not parse, or, where that is still told, a machine sees what is wrong with it.
    """
    content: str = parse_code(text, expected=(path,), single=True)[0].content
    if not path.endswith(".py"):
        return content
    try:
        ast.parse(content)
        content = with_values(with_imports(content), placeholders)
        wrong = complaints(content, known, placeholders) if is_strict else []
    except SyntaxError as error:
        reason = f"Your code is no Python: {error.msg} in line {error.lineno}. Give it again, whole."
        raise ReplyError(f"the code does not parse: {error.msg}", raw=text, reason=reason) from error
    if wrong:
        reason = "\n".join(["Give the block again, with this mended:", *(f"- {line}" for line in wrong)])
        raise ReplyError(wrong[0], raw=text, reason=reason)
    return content


def without(name: str, text: str) -> ReplyError:
    reason = f"Your code does not define `{name}` at its top level. Give a block that does."
    return ReplyError(f"the reply does not define `{name}`", raw=text, reason=reason)
