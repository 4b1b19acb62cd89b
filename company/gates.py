"""A gate: a person decides where the run goes on, and may change what is shown; headless, the gate's own choice is taken.

What is asked: `people.py`; what waits, and whether an answer fits: `waiting.py`. Going back is the loop around the gate: `rounds.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from company import publish
from company.artifacts import Decision
from company.commits import commit_files
from company.errors import Interrupted, Refused
from company.people import Answer, Question
from company.state import RunContext, RunState, Scope, Site, pack, round_of, step_id, unpack
from company.waiting import checked, fitting, opened, site_of

if TYPE_CHECKING:
    from company.sop.procedure import Procedure, Step


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
    question = Question(
        id=ident,
        step=step.path,
        item=state.get("item", ""),
        round=round_of(site, state),
        shown=shown,
        editable={name: str(kind) for name, (_, kind) in step.edits.items() if shown[name] is not None},
        choices=step.choices,
        used_up=step.back if gone >= step.max else frozenset(),
        left=max(0, step.max - gone),
        fitting=partial(fitting, site),
    )
    context.journal.emit("gate_opened", **opened(question, context.objects))
    answer = await _answer(question, step, context)
    by = "person" if context.person and not context.headless else "headless"
    return _settled(question, answer, step, context, by)


def take(given: Iterable[tuple[Question, Answer]], procedure: Procedure, context: RunContext) -> None:
    """Decide gates that waited by answers that came with the sitting. They are in the journal at once, whatever stops the run next.

    Raises:
        Refused: one leads to `fail`; the others are decided all the same.
    """
    refused: Refused | None = None
    for question, answer in given:
        context.journal.emit("gate_opened", **opened(question, context.objects))
        try:
            step = site_of(procedure, question.step).step
            context.decided[question.id] = _settled(question, answer, step, context, "person")
        except Refused as error:
            context.journal.emit("step_failed", step=question.step, id=question.id, reason=error.message, anew=True)
            error.place = f"step {question.id}"
            refused = refused or error
    if refused:
        raise refused


def _settled(question: Question, answer: Answer, step: Step, context: RunContext, by: str) -> dict[str, str | None]:
    """The values that an answer leaves; it is in the journal."""
    answer = checked(question, answer)
    refused = step.choices[answer.choice] == "fail"
    values: dict[str, str | None] = {
        step.edits[name][0]: pack(context.objects, value) for name, value in answer.edited.items()
    }
    values[step.path] = pack(context.objects, Decision(choice=answer.choice, comment=answer.comment))
    context.journal.emit(
        "gate_decided",
        step=question.step,
        item=question.item,
        round=question.round,
        id=question.id,
        choice=answer.choice,
        comment=answer.comment,
        edited=sorted(answer.edited),
        by=by,
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
            hint="`company resume` in a terminal asks you, and with `--answer FILE` takes what the file says; "
            "with `--headless` gates take the choice they name for it",
        )
    with context.gateway.budget.paused():
        return await context.person(question)


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
