"""A gate: a person decides where the run goes on, and may change what is shown; headless, the gate's own choice is taken.

What is asked: `people.py`. Going back is the loop around the gate: `rounds.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from company import publish
from company.artifacts import Decision
from company.commits import commit_files
from company.errors import Interrupted, Refused, UsageError
from company.people import Answer, Question
from company.state import RunContext, RunState, Scope, Site, pack, round_of, step_id

if TYPE_CHECKING:
    from company.sop.procedure import Step


async def decide(site: Site, state: RunState, context: RunContext, scope: Scope) -> dict[str, str | None]:
    """The values that a gate leaves: its decision, and what the person changed.

    Raises:
        StepFailed: a choice that leads to `fail`.
        Interrupted: there is nobody to ask.
    """
    step, ident = site.step, step_id(site, state)
    shown = {entry.name: entry.expr.evaluate(scope) for entry in step.inputs}
    around = site.blocks[-1].owner
    gone = state["rounds"][around.path] - 1 if step.back and around else 0
    used_up = step.back if gone >= step.max else frozenset()
    number = round_of(site, state)
    kinds = {name: kind.annotation for name, (_, kind) in step.edits.items() if shown[name] is not None}
    question = Question(
        step.path, state.get("item", ""), number, shown, kinds, step.choices, used_up, max(0, step.max - gone)
    )
    context.journal.emit(
        "gate_opened",
        step=step.path,
        item=question.item,
        round=number,
        choices=dict(step.choices),
        show=[*shown],
        id=ident,
    )
    answer = await _answer(question, step, context)
    if answer.choice not in step.choices or answer.choice in used_up:
        raise UsageError(f"`{answer.choice}` is no answer at the gate `{step.path}`")
    edited = _fitting(answer.edited, question)
    context.journal.emit(
        "gate_decided",
        step=step.path,
        item=question.item,
        round=number,
        choice=answer.choice,
        comment=answer.comment,
        edited=sorted(edited),
        by="person" if context.person and not context.headless else "headless",
    )
    if step.choices[answer.choice] == "fail":
        said = f": {answer.comment}" if answer.comment else ""
        raise Refused(
            f"`{answer.choice}` was chosen at the gate `{step.path}`{said}", hint="`company resume` asks again"
        )
    changed = {step.edits[name][0]: value for name, value in edited.items()}
    await _commit(site, state, context, answer, changed)
    decision = Decision(choice=answer.choice, comment=answer.comment)
    values = {path: pack(context.objects, value) for path, value in changed.items()}
    return {**values, step.path: pack(context.objects, decision)}


async def _answer(question: Question, step: Step, context: RunContext) -> Answer:
    if context.dry and step.back and question.left == step.max:  # so that the way back is gone too, once
        return Answer(min(step.back, key=[*step.choices].index), "a dry run sends it back once")
    if context.headless:
        leads_on = [choice for choice, target in step.choices.items() if target == "next"]
        return Answer(leads_on[0] if context.dry and step.headless not in leads_on else step.headless)
    if context.person is None:
        context.stop.set()  # nothing new is begun; what is under way has been paid for, and is kept
        await context.gateway.drained()
        raise Interrupted(
            f"the gate `{question.step}` waits for a person, and there is nobody to ask",
            hint="`company resume` in a terminal asks you; with `--headless` gates take the choice they name for it",
        )
    with context.gateway.budget.paused():
        return await context.person(question)


def _fitting(edited: Mapping[str, Any], question: Question) -> dict[str, Any]:
    """What the person changed, as values of the types that they must have.

    Raises:
        UsageError: one may not be changed, or does not fit.
    """
    found: dict[str, Any] = {}
    for name, value in edited.items():
        if name not in question.editable:
            raise UsageError(f"`{name}` cannot be changed at the gate `{question.step}`")
        try:
            found[name] = TypeAdapter(question.editable[name]).validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]["msg"]
            raise UsageError(f"`{name}` as it was changed at `{question.step}` does not fit: {first}") from error
    return found


async def _commit(
    site: Site, state: RunState, context: RunContext, answer: Answer, edited: Mapping[str, object]
) -> None:
    """One commit by the person: the decision, and what was changed."""
    item, decision = state.get("item", ""), Decision(choice=answer.choice, comment=answer.comment)
    files: dict[str, bytes | None] = {}
    for path, value in edited.items():
        files |= publish.files_of(path.removesuffix(".do"), item, value, context.requirement)
    files |= publish.files_of(site.step.path, item, decision, context.requirement)
    subject = publish.subject(site.step.path, decision, None)
    if edited:
        subject += f", change {', '.join(edited)}"
    if answer.comment:
        subject += f" ({' '.join(answer.comment.split())})"
    title = "Person" if not context.headless else "company"
    await commit_files(context, step_id(site, state), files, subject[:120], title.lower(), title)
