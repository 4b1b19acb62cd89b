"""A gate: a person decides where the run goes on, and may change what is shown; headless, the gate's own choice is taken.

What is asked: `people.py`. Going back is the loop around the gate: `rounds.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from company import publish
from company.artifacts import Decision
from company.asking import holds_together
from company.commits import commit_files
from company.errors import Interrupted, Refused, StepFailed, UsageError
from company.people import Answer, Question
from company.sop.procedure import named
from company.state import RunContext, RunState, Scope, Site, pack, round_of, step_id, unpack

if TYPE_CHECKING:
    from company.sop.procedure import Step


async def decide(site: Site, state: RunState, context: RunContext, scope: Scope) -> dict[str, str | None]:
    """The values that a gate leaves: its decision, and what the person changed.

    Raises:
        StepFailed: a choice that leads to `fail`.
        Interrupted: there is nobody to ask.
    """
    ident = step_id(site, state)
    values = context.decided.get(ident) or await _decided(site, state, context, scope, ident)
    await _commit(site, state, context, values)
    return dict(values)


async def _decided(site: Site, state: RunState, context: RunContext, scope: Scope, ident: str) -> dict[str, str | None]:
    """Ask; what was answered is in the journal before anything is done with it."""
    step = site.step
    shown = {entry.name: entry.expr.evaluate(scope) for entry in step.inputs}
    around = site.blocks[-1].owner
    gone = state["rounds"][around.path] - 1 if step.back and around else 0
    used_up = step.back if gone >= step.max else frozenset()
    number = round_of(site, state)
    question = Question(
        step=step.path,
        item=state.get("item", ""),
        round=number,
        shown=shown,
        editable=frozenset(name for name in step.edits if shown[name] is not None),
        choices=step.choices,
        used_up=used_up,
        left=max(0, step.max - gone),
        fitting=partial(_fitting, site),
    )
    where = {"step": step.path, "item": question.item, "round": number, "id": ident}
    context.journal.emit("gate_opened", **where, choices=dict(step.choices), show=[*shown])
    answer = await _answer(question, step, context)
    if answer.choice not in step.choices or answer.choice in used_up or not answer.edited.keys() <= question.editable:
        raise UsageError(f"`{answer.choice}` is no answer at the gate `{step.path}`")
    edited = {name: _fitting(site, name, value) for name, value in answer.edited.items()}
    refused = step.choices[answer.choice] == "fail"
    decision = Decision(choice=answer.choice, comment=answer.comment)
    values: dict[str, str | None] = {
        step.edits[name][0]: pack(context.objects, value) for name, value in edited.items()
    }
    values[step.path] = pack(context.objects, decision)
    context.journal.emit(
        "gate_decided",
        **where,
        choice=answer.choice,
        comment=answer.comment,
        edited=sorted(edited),
        by="person" if context.person and not context.headless else "headless",
        values={} if refused else values,
    )
    if refused:
        said = f": {answer.comment}" if answer.comment else ""
        raise Refused(
            f"`{answer.choice}` was chosen at the gate `{step.path}`{said}", hint="`company resume` asks again"
        )
    return values


async def _answer(question: Question, step: Step, context: RunContext) -> Answer:
    if context.dry and step.back and step.path not in context.sent_back:  # so that the way back is gone too, once
        context.sent_back.add(step.path)
        return Answer(min(step.back, key=[*step.choices].index), "a dry run sends it back once")
    if context.headless:
        leads_on = [choice for choice, target in step.choices.items() if target == "next"]
        return Answer(leads_on[0] if context.dry and step.headless not in leads_on else step.headless)
    if context.person is None:
        await context.gateway.halt()  # nothing new is begun; what is under way has been paid for, and is kept
        raise Interrupted(
            f"the gate `{question.step}` waits for a person, and there is nobody to ask",
            hint="`company resume` in a terminal asks you; with `--headless` gates take the choice they name for it",
        )
    with context.gateway.budget.paused():
        return await context.person(question)


def _fitting(site: Site, name: str, value: Any) -> Any:
    """What a person made of something that is shown, as a value of the type that it must have.

    Raises:
        UsageError: it does not fit, or a for_each below could not go through it.
    """
    path, kind = site.step.edits[name]
    try:
        found = TypeAdapter(kind.annotation).validate_python(value)
        for block in site.blocks:
            for step in named(block.steps):
                if step.path == path:
                    holds_together(Site(step, site.blocks), found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"`{name}` does not fit: {place}{': ' if place else ''}{first['msg']}") from error
    except StepFailed as error:
        raise UsageError(f"`{name}` does not hold together: {error.message}") from error
    return found


async def _commit(site: Site, state: RunState, context: RunContext, values: Mapping[str, str | None]) -> None:
    """One commit by the person: the decision, and what was changed."""
    item, ident = state.get("item", ""), step_id(site, state)
    decision: Decision = unpack(context.objects, values[site.step.path])
    files: dict[str, bytes | None] = {}
    edited = [path for path in values if path != site.step.path]
    for path in edited:
        value = unpack(context.objects, values[path])
        old = unpack(context.objects, state.get("values", {}).get(path))
        files |= dict.fromkeys(
            publish.files_of(path.removesuffix(".do"), item, old, context.requirement, guest=context.guest)
        )
        files |= publish.files_of(path.removesuffix(".do"), item, value, context.requirement, guest=context.guest)
    files |= publish.files_of(site.step.path, item, decision, context.requirement, guest=context.guest)
    subject = publish.subject(site.step.path, decision, None)
    subject += f", change {', '.join(edited)}" if edited else ""
    subject += f" ({' '.join(decision.comment.split())})" if decision.comment else ""
    title = "Person" if not context.headless else "company"
    await commit_files(context, ident, files, subject[:120], title.lower(), title)
