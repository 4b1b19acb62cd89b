"""A gate: a person decides where the run goes on, and may change what is shown; headless, the gate's own choice is taken.

What is asked: `people.py`. Going back is the loop around the gate: `rounds.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from company import publish
from company.artifacts import Decision
from company.commits import commit_files
from company.errors import Interrupted, StepFailed, UsageError
from company.people import Answer, Question
from company.state import RunContext, RunState, Scope, Site, pack, round_of, step_id


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
    choices = {name: target for name, target in step.choices.items() if name not in step.back or gone < step.max}
    number = round_of(site, state)
    question = Question(step.path, state.get("item", ""), number, shown, frozenset(step.edits), choices)
    context.journal.emit(
        "gate_opened", step=step.path, item=question.item, round=number, choices=choices, show=[*shown], id=ident
    )
    answer = await _answer(question, step.headless, context)
    if context.dry and step.back and not gone:  # so that the way back is gone too, once
        answer = Answer(min(step.back, key=[*step.choices].index), "a dry run sends it back once")
    if answer.choice not in choices or not answer.edited.keys() <= question.editable:
        raise UsageError(
            f"`{answer.choice}` is no answer at the gate `{step.path}`", hint=f"choose {', '.join(choices)}"
        )
    context.journal.emit(
        "gate_decided",
        step=step.path,
        item=question.item,
        round=number,
        choice=answer.choice,
        comment=answer.comment,
        edited=sorted(answer.edited),
        by="person" if context.person and not context.headless else "headless",
    )
    if choices[answer.choice] == "fail":
        said = f": {answer.comment}" if answer.comment else ""
        raise StepFailed(
            f"`{answer.choice}` was chosen at the gate `{step.path}`{said}", hint="`company resume` asks again"
        )
    values = {step.edits[name]: pack(context.objects, value) for name, value in answer.edited.items()}
    await _commit(site, state, context, answer, {step.edits[name]: value for name, value in answer.edited.items()})
    decision = Decision(choice=answer.choice, comment=answer.comment)
    return {**values, step.path: pack(context.objects, decision)}


async def _answer(question: Question, headless: str, context: RunContext) -> Answer:
    if context.headless:
        return Answer(headless)
    if context.person is None:
        raise Interrupted(
            f"the gate `{question.step}` waits for a person, and there is nobody to ask",
            hint="`company resume` in a terminal asks you; with `--headless` gates take the choice they name for it",
        )
    return await context.person(question)


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
    title = "Person" if not context.headless else "company"
    await commit_files(context, step_id(site, state), files, subject[:120], title.lower(), title)
