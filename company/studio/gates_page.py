"""The gates of a run that wait for a person: what each shows, to be read and edited, what may be chosen, and where that leads.

What waits, and whether an answer fits: `company/waiting.py`. An answer goes on as `company resume --answer`: `processes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from company import waiting
from company.artifacts import SourceFile, TestFile, to_json
from company.errors import CompanyError, UsageError
from company.html import artifact_html
from company.people import Answer, Question, as_text, from_text
from company.studio import processes
from company.studio.desk import Desk, desk_of
from company.studio.forms import Form, form_of
from company.studio.pages import page, render, stream
from company.studio.starting import onward, told

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from company.records import RunRecord
    from company.studio.feeds import Feed, Parts


@dataclass(frozen=True)
class Text:
    """Something that may be edited, as a text of its own: a value, or one file of several."""

    field: str
    """Name of the form's field."""
    label: str
    text: str
    """As it was typed, or as it is."""
    fault: str = ""
    """Why it does not fit."""
    changed: bool = False


@dataclass(frozen=True)
class Shown:
    """One thing that a gate shows."""

    name: str
    html: str
    """Made by `html.py`; empty for a step that was skipped."""
    type: str
    """What an edited value must be; empty where it may not be edited."""
    texts: tuple[Text, ...] = ()


@dataclass
class Gate:
    """One question, with what was typed."""

    question: Question
    shown: list[Shown] = field(default_factory=list)
    choice: str = ""
    comment: str = ""
    edited: dict[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def leads(self) -> list[tuple[str, str, bool]]:
        """Each choice with where it leads, and whether it is still offered."""
        question, found = self.question, []
        times = "once more at most" if question.left == 1 else f"{question.left} times more at most"
        for choice, target in question.choices.items():
            offered = choice not in question.used_up
            said = {"next": "the run goes on", "fail": "ends the run as failed"}.get(target)
            back = f"back to {target}, with your comment; {times}"
            gone = "not any more: it was sent back as often as the gate allows"
            found.append((choice, (said or back) if offered else gone, offered))
        return found


def _gates(desk: Desk, record: RunRecord, form: Form | None = None) -> list[Gate]:
    """What waits, with what a form says about it."""
    return [_gate(question, form) for question in waiting.of_run(desk.store, record)]


def _gate(question: Question, form: Form | None) -> Gate:
    made = Gate(question)
    if form:
        made.choice = form.word(f"choice:{question.id}")
        made.comment = form.text(f"comment:{question.id}").strip()
    for name, value in question.shown.items():
        texts: tuple[Text, ...] = ()
        if name in question.editable:
            texts = tuple(_texts(question, name, value, form))
            if any(text.changed for text in texts):
                texts = _fit(made, name, texts)
        html = "" if value is None else artifact_html(value)
        made.shown.append(Shown(name, html, question.editable.get(name, ""), texts))
    if made.choice or made.edited or made.comment:
        made.fault = _fault(made)
    return made


def _texts(question: Question, name: str, value: Any, form: Form | None) -> Iterator[Text]:
    for label, one in _pieces(name, value):
        at, now = f"edit:{question.id}:{label}", as_text(one)
        typed = form.text(at) if form and form.on(at) else now
        changed = typed.rstrip("\n") != now.replace("\r\n", "\n").rstrip("\n")
        yield Text(at, label, typed if changed else now, changed=changed)


def _pieces(name: str, value: Any) -> list[tuple[str, Any]]:
    """What is edited as a text of its own: each file of a list of files, else the whole value."""
    if isinstance(value, list) and value and all(isinstance(one, SourceFile | TestFile) for one in value):
        return [(one.path, one) for one in value]
    return [(name, value)]


def _fit(made: Gate, name: str, texts: tuple[Text, ...]) -> tuple[Text, ...]:
    """Take what was edited, or say at its text why it does not fit."""
    try:
        made.edited[name] = edited(made.question, name, [text.text for text in texts])
        return texts
    except UsageError as error:
        fault = f"{error.message}{f'; {error.hint}' if error.hint else ''}"
        first = next(number for number, text in enumerate(texts) if text.changed)
        return tuple(
            Text(text.field, text.label, text.text, fault if number == first else "", text.changed)
            for number, text in enumerate(texts)
        )


def edited(question: Question, name: str, texts: list[str]) -> Any:
    """What somebody made of the texts of something that is shown, as the data that an answer has.

    Raises:
        UsageError: it does not fit.
    """
    value = question.shown[name]
    pieces = _pieces(name, value)
    if len(pieces) == 1 and pieces[0][1] is value:
        return waiting.edited(question, name, texts[0])
    return to_json(question.fitting(name, [from_text(text, one) for text, (_, one) in zip(texts, pieces, strict=True)]))


def _fault(made: Gate) -> str:
    """Why a gate's answer cannot be taken; empty where it can."""
    if any(text.fault for shown in made.shown for text in shown.texts):
        return "an edit does not fit"
    if not made.choice:
        return "choose where it leads"
    try:
        waiting.checked(made.question, Answer(made.choice, made.comment, made.edited))
    except UsageError as error:
        return f"{error.message}{f'; {error.hint}' if error.hint else ''}"
    return ""


async def look(request: Request) -> Response:
    """What waits."""
    return await _page(request)


async def _page(request: Request, form: Form | None = None, error: CompanyError | None = None) -> Response:
    desk, run = desk_of(request), request.path_params["run"]
    record = (await asyncio.to_thread(desk.shelf.entry, run)).record
    gates = await asyncio.to_thread(_gates, desk, record, form)
    feed = _feed(desk, run)
    parts = await feed.look()
    return page(
        request, "gates.html.j2", status=422 if error else 200, run=record, gates=gates, parts=parts, version=feed.version,
        error=told(error),
    )  # fmt: skip


def _feed(desk: Desk, run: str) -> Feed:
    def make() -> Parts:
        return {"waiting": render("gates_state.html.j2", entry=desk.shelf.entry(run))}

    return desk.feed(f"gates/{run}", make)


async def live(request: Request) -> Response:
    """Whether it still waits."""
    desk, run = desk_of(request), request.path_params["run"]
    await asyncio.to_thread(desk.shelf.entry, run)
    return stream(request, _feed(desk, run))


async def answer(request: Request) -> Response:
    """Take the answers, and go on with the run; where one does not fit, everything that was typed is there again."""
    desk, run, form = desk_of(request), request.path_params["run"], await form_of(request)
    entry = await asyncio.to_thread(desk.shelf.entry, run)
    gates = await asyncio.to_thread(_gates, desk, entry.record, form)
    known = {gate.question.id for gate in gates}
    answers: list[Mapping[str, Any]] = []
    try:
        if gone := [name for name in form.beginning("choice:") if name not in known]:
            raise UsageError(
                f"`{gone[0]}` does not wait any more", hint="it was answered elsewhere, or the run goes on"
            )
        for gate in gates:
            if gate.fault:
                raise UsageError(f"the answer at `{gate.question.id}` cannot be taken: {gate.fault}")
            if gate.choice:
                answers.append({
                    "gate": gate.question.id, "choice": gate.choice, "comment": gate.comment, "edited": gate.edited,
                })  # fmt: skip
        if not answers:
            raise UsageError("nothing was decided", hint="choose where a gate leads")
        begun = await asyncio.to_thread(processes.resume, desk, run, answers=answers)
        return onward(request, begun, await processes.settled(begun))
    except CompanyError as error:
        return await _page(request, form, error)


async def check(request: Request) -> Response:
    """Whether an edit fits, while it is typed: `fault` is empty, or says why not."""
    desk, run, form = desk_of(request), request.path_params["run"], await form_of(request)
    entry = await asyncio.to_thread(desk.shelf.entry, run)
    gates = await asyncio.to_thread(_gates, desk, entry.record, form)
    faults = {
        text.field: text.fault for gate in gates for shown in gate.shown for text in shown.texts if form.on(text.field)
    }
    return JSONResponse({"faults": faults})


ROUTES = [
    Route("/runs/{run}/gates", look, methods=["GET"]),
    Route("/runs/{run}/gates", answer, methods=["POST"]),
    Route("/runs/{run}/gates/check", check, methods=["POST"]),
    Route("/runs/{run}/gates/live", live, methods=["GET"]),
]
