"""Code that a requirement shows with its functions left empty: they are written one at a time, in one talk.

A small model that is asked for such a class as a whole gives back what it was shown, as empty as it was. Files of a design, part by
part: `parts.py`. What the finished code has of what was shown: `heads.py`.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import replace

from company.artifacts import Part, SourceFile
from company.assemble import definition, graft
from company.errors import ReplyError, StepFailed
from company.examples import placeholders_in
from company.lint import with_imports
from company.llm.classes import Function, is_stub, with_method
from company.llm.client import Message
from company.llm.docstrings import bare, with_docstrings
from company.llm.gateway import Gateway
from company.llm.parts import Question, Told, bound_names, checked_code, without
from company.llm.qa import shown_in

_FEWEST = 2
"""Empty functions: of one alone nothing is gained by taking it apart."""


def skeleton_of(requirement: str) -> SourceFile | None:
    """The code that a requirement shows, where two or more of its functions are empty; None where that is not so."""
    shown = list(shown_in(requirement))
    return shown[0] if len(shown) == 1 and len([*_empty(shown[0].content)]) >= _FEWEST else None


async def fill_in(gateway: Gateway, question: Question, skeleton: SourceFile, requirement: str) -> list[SourceFile]:
    """The code that is shown, with its empty functions written.

    Raises:
        StepFailed: none of them came. One that never comes is left empty, to the tests and to those who mend.
    """
    file = skeleton
    talk: tuple[Message, ...] = ()
    fault: StepFailed | None = None
    for number, (owner, node) in enumerate(_empty(skeleton.content), 1):
        part = _part(owner, node)
        told = Told()

        def read(text: str, file: SourceFile = file, part: Part = part, owner: str = owner, told: Told = told) -> str:
            return _filled(file, text, part, owner, requirement, told)

        asked = question(part, file.content if talk else "", number, None)
        if talk:
            asked = replace(asked, messages=(*talk, asked.messages[-1]))
        try:
            content = await gateway.ask(asked, read)
        except StepFailed as error:
            fault = fault or error
            continue
        file = SourceFile(path=file.path, content=content)
        written, _ = bare(textwrap.dedent(definition(content, part.name)), "")  # what it sees of itself it does again
        talk = (*asked.messages, Message("assistant", f"```python\n{written}\n```"))
    if fault and not talk:
        raise fault
    return [SourceFile(path=file.path, content=with_docstrings(skeleton.content, file.content))]


def _empty(code: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions that are left empty, each after its class; what makes an object may well do nothing."""
    for node in ast.parse(code).body:
        if isinstance(node, Function) and is_stub(node):
            yield "", node
        elif isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, Function) and is_stub(one) and one.name != "__init__":
                    yield node.name, one


def _part(owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Part:
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    signature = f"{kind} {node.name}({ast.unparse(node.args)})"
    return Part(
        signature=signature[:300], purpose=f"a method of the class `{owner}`" if owner else "a function", quote=""
    )


def _filled(file: SourceFile, text: str, part: Part, owner: str, requirement: str, told: Told) -> str:
    """The file with what a reply writes of one function.

    Raises:
        ReplyError: it does not write it, or is no sound code.
    """
    known = bound_names(file.content)
    content = checked_code(text, file.path, known, placeholders_in(requirement), is_strict=told.again())
    if not definition(content, part.name):
        raise without(part.name, text)
    if owner:
        content = with_method(file.content, content, owner, part.name)
    made = with_imports(graft(file.content, content))
    if any(node.name == part.name and where == owner for where, node in _empty(made)):
        reason = f"`{part.name}` has no body in your reply. Give it with its body."
        raise ReplyError(f"`{part.name}` is left empty", raw=text, reason=reason)
    return made
