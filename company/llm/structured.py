"""What is asked of a model for each type of artifact, and in how many questions; what comes back is valid or an error.

One question with its repairs: `gateway.py`. Text to documents and files: `replies.py`. Code part by part: `parts.py`; QA's
checks: `qa.py`.
A small model asked for a whole design forgets files and writes code into it, so a design is asked for in pieces.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, create_model

from company.artifacts import (
    MOST_FILES,
    MOST_PARTS,
    Artifact,
    Change,
    ChangePlan,
    Checks,
    Design,
    FileSpec,
    LongText,
    Part,
    Patch,
    ShortText,
    Signature,
    SourceFile,
    TestFile,
    flat,
)
from company.errors import ReplyError, StepFailed
from company.examples import is_program, started_file
from company.interfaces import classes_in, commands_of, functions_in, section_of, words_about
from company.llm.ask import Ask
from company.llm.changes import mended, patch, plan_of, safe, without_tests
from company.llm.client import Message
from company.llm.gateway import Gateway
from company.llm.names import is_test
from company.llm.qa import Notice, ask_for_checks
from company.llm.replies import names_in, parse_code, parse_document, parse_list, schema_for
from company.llm.stated import as_stated, as_typed, with_main, with_store
from company.sop.types import STR, ArtifactType, ListOf, Type
from company.testgen import parameters_of

Document = TypeVar("Document", bound=BaseModel)
T = TypeVar("T")


def _anything(answer: Any) -> None:
    """Nothing more is asked of an answer than its type."""


async def obtain(
    gateway: Gateway,
    ask: Ask,
    out: Type,
    given: Mapping[str, Any],
    notice: Notice,
    check: Callable[[Any], None] = _anything,
) -> Any:
    """A value of type `out`.

    Args:
        given: the step's inputs; they say which files are meant.
        notice: told, in one line, what was left out of a reply and why.
        check: raises StepFailed for a document, or a list of them, that has the type and is still no good.

    Raises:
        StepFailed: every try gave something else.
    """
    inner = out.item if isinstance(out, ListOf) else out
    model = inner.model if isinstance(inner, ArtifactType) else None
    if model in (SourceFile, TestFile, Patch):
        return await _code(gateway, ask, out, given, notice)
    if model is ChangePlan and inner is out:
        return await plan_of(gateway, ask, given)
    if model is Design and inner is out:
        return await _design(gateway, ask, given, notice)
    if model is Checks and inner is out:
        return await ask_for_checks(gateway, ask, given, notice)
    if model and isinstance(out, ListOf):
        named = ask.under(schema_for(model, many=True), model.__name__ + "List")
        return await gateway.ask(named, lambda text: _checked(parse_list(text, model), text, check))
    if model:
        named = ask.under(schema_for(model), model.__name__)
        return await gateway.ask(named, lambda text: _checked(parse_document(text, model), text, check))
    if out == STR:
        return await gateway.ask(ask, lambda text: text.strip())
    answer: type[BaseModel] = create_model("Answer", value=(out.annotation, ...))
    return (await document(gateway, ask, answer, f"{out}")).value  # type: ignore[attr-defined]  # made one line above


def _checked(answer: T, text: str, check: Callable[[Any], None]) -> T:
    try:
        check(answer)
    except StepFailed as error:
        reason = f"Your answer does not hold together: {error.message}. Mend this and give the whole answer again."
        raise ReplyError(f"the reply does not hold together: {error.message}", raw=text, reason=reason) from error
    return answer


async def document(gateway: Gateway, ask: Ask, model: type[Document], what: str = "") -> Document:
    """One document, held to its schema where the endpoint can. `what` is what people call it, if not by its class."""
    named = ask.under(schema_for(model), model.__name__.lstrip("_"))
    return await gateway.ask(named, lambda text: parse_document(text, model, what))


# --- code -------------------------------------------------------------------------------------------


async def _code(gateway: Gateway, ask: Ask, out: Type, given: Mapping[str, Any], notice: Notice) -> Any:
    item = out.item if isinstance(out, ListOf) else out
    single = out in (ArtifactType("SourceFile"), ArtifactType("TestFile"))
    expected = expected_files(item, given, single=single)
    ask = replace(ask, expects=expected)
    if item == ArtifactType("Patch"):
        return await patch(gateway, ask, given, notice)

    missing = expected

    def read(text: str) -> Any:
        nonlocal missing
        files = safe(parse_code(text, expected=expected, single=single), text)
        if missing and not {file.path for file in files} & {*missing}:
            names = " and ".join(f"`{path}`" for path in missing)
            missing = ()  # said once: a file that the words name need not be one that is to be written
            reason = f"There is no {names} in your reply. Give the whole code again, each file under the path that is asked for."
            raise ReplyError(f"the reply has no {names}", raw=text, reason=reason)
        if item == ArtifactType("TestFile"):
            made: list[Any] = [TestFile(path=file.path, content=file.content) for file in files]
        else:
            made = [SourceFile(path=file.path, content=mended(file)) for file in without_tests(files, text)]
        return made[0] if single else made

    short = _in_short(ask, item, given)
    return await gateway.ask(ask, read, (short, read) if short else None)


def _in_short(ask: Ask, item: Type, given: Mapping[str, Any]) -> Ask | None:
    """A program of one file as its requirement, where the step knows nothing else: a small model talks less then."""
    told = len(ask.messages) > 2  # of tools, for instance
    if item != ArtifactType("SourceFile") or [*given] != ["requirement"] or len(ask.expects) != 1 or told:
        return None
    return ask.alone(
        f"{given['requirement']}\n\nGive one fenced block with the complete file `{ask.expects[0]}`: no tests, no example of its use."
    )


def expected_files(item: Type, given: Mapping[str, Any], *, single: bool) -> tuple[str, ...]:
    """The paths that a reply of code should hold, as far as the step's inputs tell."""
    values = list(flat(list(given.values())))
    if item == ArtifactType("TestFile"):
        return ("tests/test_requirement.py",) if single else ()
    if changes := [value for value in values if isinstance(value, Change)]:
        return tuple(change.path for change in changes)
    if specs := [value for value in values if isinstance(value, FileSpec)]:
        return tuple(spec.path for spec in specs)
    if item == ArtifactType("Patch") and (files := [value.path for value in values if isinstance(value, SourceFile)]):
        return tuple(files)
    if designs := [value for value in values if isinstance(value, Design)]:
        return tuple(spec.path for spec in designs[0].files)
    if files := [value.path for value in values if isinstance(value, SourceFile)]:
        return tuple(dict.fromkeys(files))
    named = names_in(str(given.get("requirement", "")))
    return tuple(named[:1]) if single else tuple(named)


# --- design -----------------------------------------------------------------------------------------


class _Outline(Artifact):
    approach: LongText
    entry_point: Annotated[str, Field(max_length=120)]
    dependencies: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=4)]


class _Planned(Artifact):
    path: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_/]{0,60}\.py$")]
    purpose: ShortText


class _OpenOutline(_Outline):
    files: Annotated[list[_Planned], Field(min_length=1, max_length=6)]


async def _design(gateway: Gateway, ask: Ask, given: Mapping[str, Any], notice: Notice) -> Design:
    requirement = str(given.get("requirement", ""))
    paths = names_in(requirement)
    if len(paths) > MOST_FILES:
        raise StepFailed(
            f"the requirement names {len(paths)} files, and a design holds at most {MOST_FILES}",
            hint="ask for a part of it first; what is delivered can be the beginning of the rest",
        )
    outline: _Outline
    if paths:
        outline = await document(gateway, ask, _Outline, "outline of a Design")
    else:
        opened = await document(gateway, ask, _OpenOutline, "outline of a Design")
        outline, paths = opened, list(dict.fromkeys(file.path for file in opened.files if not is_test(file.path)))
        paths = paths or ["main.py"]
    said = Message("assistant", outline.model_dump_json(indent=1))
    talk = ask.follow(said)
    files = [await _interface(gateway, talk, path, paths, requirement, notice) for path in paths]
    entry = outline.entry_point.strip() if is_program(requirement) else ""
    files = [with_store(file, requirement) if len(files) == 1 and is_program(requirement) else file for file in files]
    files = [
        with_main(file, requirement) if file.path == (started_file(requirement) or started_file(entry)) else file
        for file in files
    ]
    packages = [name for name in outline.dependencies if name.split(".")[0].lower() not in sys.stdlib_module_names]
    return Design(
        approach=outline.approach,
        files=_without_circles(files, notice),
        entry_point=entry,
        dependencies=[name for name in packages if name.strip() and name.lower() not in ("none", "n/a")],
    )


async def _interface(
    gateway: Gateway, talk: Ask, path: str, paths: list[str], requirement: str, notice: Notice
) -> FileSpec:
    """What one file defines, asked for alone."""
    others = [other for other in paths if other != path]
    section = section_of(path, paths, requirement)
    question = (
        f"Now only the file `{path}`: its purpose, which of the other files it imports, and the functions and classes "
        "that it defines at its top level. Take names and parameters from the requirement where it gives them. "
        "If data is kept in a file, the first parts load it (no file yet means no data) and save it."
    )
    schema = schema_for(FileSpec)
    del schema["properties"]["path"]
    schema["required"].remove("path")
    part = schema["properties"]["parts"]["items"]
    del part["properties"]["quote"]
    part["required"].remove("quote")
    edges = schema["properties"]["depends_on"]
    edges["maxItems"] = len(others)
    edges["items"] = {"enum": others} if others else {"type": "string", "maxLength": 1}
    ask = talk.follow(Message("user", question)).under(schema, "FileSpec")
    about_others = [section_of(other, paths, requirement) for other in others]
    elsewhere = {name for words in about_others for name in (*classes_in(words), *functions_in(words))}

    signatures = functions_in(section)

    def read(text: str) -> FileSpec:
        answer = parse_document(text, _FileAnswer, f"FileSpec of `{path}`")
        found = [_as_written(part, signatures, requirement, text) for part in answer.parts]
        depends = [other for other in dict.fromkeys(answer.depends_on) if other in others]
        parts = as_stated(found, section, elsewhere)
        if left_out := parts[MOST_PARTS - 1 :]:  # one is left for `main`
            notice(f"`{path}` has too many parts; left out: {', '.join(part.name for part in left_out)}")
        parts = parts[: MOST_PARTS - 1]
        return FileSpec(path=path, purpose=answer.purpose, depends_on=depends, parts=parts)

    return await gateway.ask(ask, read)


class _PartAnswer(Artifact):
    signature: Signature
    purpose: ShortText


class _FileAnswer(Artifact):
    purpose: ShortText
    depends_on: list[str]
    parts: Annotated[list[_PartAnswer], Field(max_length=8)]


def _as_written(answer: _PartAnswer, signatures: Mapping[str, str], requirement: str, text: str) -> Part:
    """A part with the signature that the requirement gives, if it does, and the requirement's own words about it."""
    signature = answer.signature.strip().rstrip(":").strip()
    try:
        ast.parse(f"{signature}:\n    pass\n")
    except SyntaxError as error:
        reason = f"`{answer.signature}` is no first line of a Python definition. Write for instance `def add(a: int, b: int) -> int`."
        raise ReplyError(f"`{answer.signature}` is no signature: {error.msg}", raw=text, reason=reason) from error
    part = Part(signature=signature, purpose=answer.purpose, quote="")
    given = signatures.get(part.name, "")
    written = part.fitted(signature=given) if given and part.is_function else None
    if written and parameters_of(part) != parameters_of(written):
        part = written
    words = words_about(part.name, requirement)[:600]
    forms = [each.arguments[1:] for each in commands_of(part.name, requirement)]
    typed = part.fitted(signature=as_typed(part.signature, forms)) if forms else None
    return (typed or part).model_copy(update={"quote": words})


def _without_circles(files: list[FileSpec], notice: Notice) -> list[FileSpec]:
    """The files with imports that lead in a circle left out: the later file's import goes."""
    imports: dict[str, list[str]] = {}

    def leads_to(path: str, goal: str) -> bool:
        return path == goal or any(leads_to(other, goal) for other in imports.get(path, ()))

    for file in files:
        kept = imports[file.path] = []
        for path in file.depends_on:
            if leads_to(path, file.path):
                notice(f"the design's import of `{path}` by `{file.path}` leads in a circle and was left out")
            else:
                kept.append(path)
    return [file.model_copy(update={"depends_on": imports[file.path]}) for file in files]
