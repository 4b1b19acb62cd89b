"""The gates of a run that wait for a person, as its journal tells them: what each shows and offers, and whether an answer fits.

What is asked and what an answer is: `people.py`. Who asks while a run goes on: `gates.py`; answers from a file: `answers.py`. Viewers of
runs begin with `of_run`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from company.artifacts import SourceFile, TestFile, flat, to_json
from company.cache import Objects
from company.errors import StepFailed, UnsafePath, UsageError
from company.events import Event
from company.keys import holds_together
from company.paths import safe_path
from company.people import Answer, Question, as_text, from_text
from company.records import FINISHED, RunRecord, procedure_of
from company.sop.diagnostics import did_you_mean, listing
from company.sop.procedure import Procedure, named
from company.state import Block, Site, pack, unpack
from company.store import Store


def of_run(store: Store, record: RunRecord) -> list[Question]:
    """The gates that wait, and can be answered with `company resume RUN --answer`; none while somebody drives the run, who asks himself.

    Raises:
        CompanyError: what is kept of the run cannot be read.
    """
    if record.status in FINISHED or store.is_driven(record.run, record.repo):
        return []
    procedure = procedure_of(store, record.run)
    return waiting(store.events(record.run), Objects(store, procedure.artifacts), procedure)


def waiting(events: Iterable[Event], objects: Objects, procedure: Procedure) -> list[Question]:
    """The gates that a journal tells of as opened and not as decided, in the order in which they were opened.

    A gate that a version before this one opened is not among them: `company resume` opens it again.

    Args:
        objects: with the artifacts that the procedure declares.
        procedure: the run's own, as it was kept.
    """
    found = opened_gates(events)
    return [_question(event, objects, site_of(procedure, event["step"])) for event in found.values()]


def opened_gates(events: Iterable[Event]) -> dict[str, Event]:
    """Id → `gate_opened`, of the gates that a journal tells of as opened and not as decided."""
    found: dict[str, Event] = {}
    for event in events:
        if event["event"] in ("gate_opened", "gate_decided"):
            found.pop(event["id"], None)
        if event["event"] == "gate_opened" and "values" in event:
            found[event["id"]] = event
        elif event["event"] == "run_finished" and event["status"] in FINISHED:
            found.clear()
    return found


def opened(question: Question, objects: Objects) -> dict[str, Any]:
    """A question as the fields of a `gate_opened`."""
    return {
        "step": question.step,
        "item": question.item,
        "round": question.round,
        "id": question.id,
        "choices": dict(question.choices),
        "show": [*question.shown],
        "values": {name: None if value is None else pack(objects, value) for name, value in question.shown.items()},
        "edits": dict(question.editable),
        "used_up": sorted(question.used_up),
        "left": question.left,
    }


def _question(event: Event, objects: Objects, site: Site) -> Question:
    """The question of a `gate_opened`."""
    return Question(
        id=event["id"],
        step=event["step"],
        item=event["item"],
        round=event["round"],
        shown={name: unpack(objects, event["values"][name]) for name in event["show"]},
        editable=event["edits"],
        choices=event["choices"],
        used_up=frozenset(event["used_up"]),
        left=event["left"],
        fitting=partial(fitting, site),
    )


def data(question: Question) -> dict[str, Any]:
    """A question as JSON: `gate` is what an answer names, `type` is null of what may not be edited, `text` of what was skipped."""
    shown = [
        {"name": name, "type": question.editable.get(name), "text": None if value is None else as_text(value)}
        for name, value in question.shown.items()
    ]
    return {
        "gate": question.id,
        "step": question.step,
        "item": question.item,
        "round": question.round,
        "shown": shown,
        "choices": dict(question.choices),
        "used_up": sorted(question.used_up),
        "left": question.left,
    }


def edited(question: Question, name: str, text: str) -> Any:
    """What somebody made of a text that is shown, as the data that an answer's `edited` has.

    Raises:
        UsageError: it does not fit; the message says where.
    """
    _editable(question, name)
    return to_json(question.fitting(name, from_text(text, question.shown[name])))


def checked(question: Question, answer: Answer) -> Answer:
    """The answer, with what was edited as values of the types that they must have.

    Raises:
        UsageError: no such choice, one that is not offered any more, or something edited that may not be or does not fit.
    """
    offered = [choice for choice in question.choices if choice not in question.used_up]
    if answer.choice in question.used_up:
        raise UsageError(
            f"`{answer.choice}` is not offered any more at `{question.id}`: work was sent back as often as the gate allows",
            hint=f"what is left: {listing(offered)}",
        )
    if answer.choice not in offered:
        hint = did_you_mean(answer.choice, offered, f"the choices are {listing(offered)}")
        raise UsageError(f"`{answer.choice}` is no choice of the gate `{question.id}`", hint=hint)
    for name in answer.edited:
        _editable(question, name)
    return replace(answer, edited={name: question.fitting(name, value) for name, value in answer.edited.items()})


def _editable(question: Question, name: str) -> None:
    if name not in question.editable:
        may = f"what may be edited: {listing(question.editable)}"
        raise UsageError(
            f"`{name}` may not be edited at `{question.id}`", hint=did_you_mean(name, question.editable, may)
        )


def fitting(site: Site, name: str, value: Any) -> Any:
    """What a person made of something that a gate shows, as a value of the type that it must have.

    Raises:
        UsageError: it does not fit, it is a file with a path that is refused, or a for_each below could not go through it.
    """
    path, kind = site.step.edits[name]
    try:
        found = TypeAdapter(kind.annotation).validate_python(value)
        for one in flat(found):
            if isinstance(one, SourceFile | TestFile) and safe_path(one.path).split("/")[0] == ".company":
                raise UnsafePath(f"the path {one.path} is among the run's own records")
        for block in site.blocks:
            for step in named(block.steps):
                if step.path == path:
                    holds_together(Site(step, site.blocks), found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        hint = f"it must be {kind}"
        raise UsageError(f"`{name}` does not fit: {place}{': ' if place else ''}{first['msg']}", hint=hint) from error
    except UnsafePath as error:
        raise UsageError(f"`{name}` does not fit: {error.message}", hint="keep the path that it had") from error
    except StepFailed as error:
        raise UsageError(f"`{name}` does not hold together: {error.message}") from error
    return found


def site_of(procedure: Procedure, path: str) -> Site:
    """Where the step of a path stands, with the blocks around it as the graph has them."""

    def inside(blocks: tuple[Block, ...]) -> Site | None:
        for step in blocks[-1].steps:
            if step.path == path:
                return Site(step, blocks)
            if step.body and (found := inside((*blocks, Block(step.body, step)))):
                return found
        return None

    found = inside((Block(procedure.steps),))
    assert found, f"the procedure has no step {path}"
    return found
