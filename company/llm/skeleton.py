"""Code that a requirement shows with its functions left empty: they are written one at a time, in one talk.

A small model that is asked for such a class as a whole gives back what it was shown, as empty as it was. Files of a design, part by
part: `parts.py`. What the finished code has of what was shown: `heads.py`.
"""

from __future__ import annotations

import ast
import textwrap
from dataclasses import replace
from typing import NamedTuple

from pydantic import ValidationError

from company.artifacts import Part, SourceFile
from company.errors import ReplyError, StepFailed
from company.examples import placeholders_in
from company.lint import with_imports
from company.llm.classes import Function, is_stub, source
from company.llm.client import Message
from company.llm.docstrings import bare, with_docstrings
from company.llm.gateway import Gateway
from company.llm.parts import Question, Told, bound_names, checked_code, without
from company.llm.qa import shown_in
from company.llm.transplant import AnyFunction, Place, functions, transplanted

_FEWEST = 2
"""Empty functions: of one alone nothing is gained by taking it apart."""


class Skeleton(NamedTuple):
    """Code with empty functions."""

    file: SourceFile
    empty: dict[Place, Part]
    """Those functions, in order."""


def skeleton_of(requirement: str) -> Skeleton | None:
    """The code that a requirement shows, where two or more of its functions are empty and each can be written by itself."""
    shown = list(shown_in(requirement))
    if len(shown) != 1:
        return None
    tree = ast.parse(shown[0].content)
    stubs = [node for node in ast.walk(tree) if isinstance(node, Function) and _is_left(node)]
    places = {place: node for place, node in functions(tree).items() if _is_left(node)}
    if len(places) < _FEWEST or len(places) < len(stubs):
        return None
    try:
        return Skeleton(shown[0], {place: _part(place.owner, node) for place, node in places.items()})
    except ValidationError:  # a name that no design may have
        return None


async def fill_in(gateway: Gateway, question: Question, skeleton: Skeleton, requirement: str) -> list[SourceFile]:
    """The code that is shown, with its empty functions written.

    Raises:
        StepFailed: none of them came. One that never comes is left empty, to the tests and to those who mend.
    """
    path, content = skeleton.file.path, skeleton.file.content
    talk: tuple[Message, ...] = ()
    fault: StepFailed | None = None
    for number, (place, part) in enumerate(skeleton.empty.items(), 1):
        told = Told()

        def read(text: str, content: str = content, place: Place = place, told: Told = told) -> str:
            known, placeholders = bound_names(content), placeholders_in(requirement)
            code = checked_code(text, path, known, placeholders, is_strict=told.again())
            return _filled(content, code, place, text)

        asked = question(part, content if talk else "", number, None)
        if talk:
            asked = replace(asked, messages=(*talk, asked.messages[-1]))
        try:
            content = await gateway.ask(asked, read)
        except StepFailed as error:
            fault = fault or error
            continue
        written = source(content, functions(ast.parse(content))[place])
        written, _ = bare(textwrap.dedent(written), "")  # what it sees of itself it does again
        talk = (*asked.messages, Message("assistant", f"```python\n{written}\n```"))
    if fault and not talk:
        raise fault
    return [SourceFile(path=path, content=with_docstrings(skeleton.file.content, content))]


def _is_left(node: AnyFunction) -> bool:
    """Whether a function is left to be written: what makes an object of nothing may well do nothing."""
    takes = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return is_stub(node) and (node.name != "__init__" or len(takes) > 1)


def _part(owner: str, node: AnyFunction) -> Part:
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    purpose = f"a method of the class `{owner}`" if owner else "a function"
    return Part(signature=f"{kind} {node.name}({ast.unparse(node.args)})", purpose=purpose, quote="")


def _filled(content: str, code: str, place: Place, text: str) -> str:
    """The file with what a reply's code has of one function.

    Raises:
        ReplyError: it does not have it, leaves it empty, or does not go together with the file.
    """
    try:
        return with_imports(transplanted(content, code, place))
    except LookupError as error:
        if place.name not in {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, Function)}:
            raise without(place.name, text) from error
        reason = f"`{place.name}` has no body in your reply. Give it with its body."
        raise ReplyError(f"`{place.name}` is left empty", raw=text, reason=reason) from error
    except SyntaxError as error:
        reason = f"Your code does not go together with the file: {error.msg}. Indent it by four spaces."
        raise ReplyError(f"it does not go together with the file: {error.msg}", raw=text, reason=reason) from error
