"""What goes into a step's result, by name; the hash of all of it is the step's key, as a build tool has one for a target.

Where results are kept by their keys: `cache.Results`. When one is taken instead of the step being done: `nodes.py`.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import distributions
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from company.cache import digest
from company.sandbox.interpreter import current
from company.sandbox.plain import PlainProcess
from company.sop.procedure import Role, Step
from company.sop.tool_names import server_of
from company.sop.types import Type
from company.state import RunContext, RunState, Site, round_of, step_id, wrapped

FORMAT = 4
"""Raised when this program makes something else of the same ingredients; what was kept before counts no more."""
KEYED = frozenset({"role", "run", "gate"})
"""The kinds of step that have a result of their own; the results of the others are made of theirs."""
NEVER = "it was never done here"
"""Why a step is done that no earlier run came to."""
DRY = "a dry run keeps nothing"
"""How the reason of every step of a dry run begins."""
LENGTH = 20
"""Hexadecimal digits of an ingredient's hash, since the journal keeps them all: 80 bits."""

Ingredients = dict[str, str]
"""What it is, in words → hash of it."""


class Asked(NamedTuple):
    """What a step's questions are put to, and how."""

    model: str | None
    """As `Settings.model_for` takes it; None is the run's model."""
    temperature: float | None
    """None is the run's."""
    max_tokens: int | None
    """None is the run's."""


def asked_of(site: Site, state: RunState, role: Role) -> Asked:
    """The model of a role's step in this round, and its parameters."""
    step = site.step
    cascaded = step.cascade[int(round_of(site, state).rpartition(".")[2]) - 1] if step.cascade else None
    warmth = role.temperature if step.temperature is None else step.temperature
    return Asked(cascaded or step.model or role.model, warmth, step.max_tokens)


def ingredients(
    site: Site,
    state: RunState,
    context: RunContext,
    who: tuple[Role | None, str],
    given: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> Ingredients:
    """Everything that a step's result depends on.

    Args:
        who: its role and its prompt.
        given: the values of its `in:`, by name.
        files: those of the repository that it can see; none for a step that sees none.
    """
    step, (role, prompt) = site.step, who
    found: dict[str, Any] = {
        "the step": [FORMAT, step_id(site, state), step.kind, step.commit, bool(step.cascade)],
        **{f"the input `{name}`": wrapped(value) for name, value in given.items()},
    }
    if step.updates:
        found[f"`{step.updates}`, which it changes,"] = [step.updates, state["values"][step.updates]]
    if context.guest:  # what a step commits lies among the records of this run, or of those that it goes back to
        found["the place of the records"] = context.records
    if files:
        hashes = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
        found["the files of the repository"] = hashes
    if step.kind == "gate":  # a decision holds for what was shown, in the runs that go back to one another
        found["the gate"] = [dict(step.choices), step.max, step.headless, context.headless, context.earlier.origin]
    else:
        found["the requirement"] = context.requirement
    where = [context.sandbox.name, platform.python_version(), *current().versions]
    if context.sandbox.name == PlainProcess.name:  # the code sees everything that is installed
        where += sorted(f"{each.name} {each.version}" for each in distributions())
    if step.kind == "run":
        found["the command"] = [step.command, step.timeout or context.test_seconds, *where]
    if role:
        found["the role"] = [role.name, role.title, role.profile]
        found["the prompt"] = context.prompts.texts_of(prompt)
        found["the form of the answer"] = [step.grain, step.sample, shape(step.out) if step.out else None]
        found["the model"] = context.gateway.parameters(*asked_of(site, state, role))
    if step.tools:
        found["the tools"] = [list(step.tools), step.tool_calls, context.test_seconds, *where]
    if any(server_of(tool) for tool in step.tools):
        found["the world, which its tools look at,"] = context.run
    if role and context.seed != 1:
        found["the seed"] = context.seed
    if number := again(step, context):
        found["--from"] = [context.earlier.origin, number]
    return {name: digest(value)[:LENGTH] for name, value in found.items()}


def again(step: Step, context: RunContext) -> int:
    """How often it was asked for that this step, or one that it is in, be done anew."""
    places = step.path.split(".")
    return max(context.earlier.again.get(".".join(places[: depth + 1]), 0) for depth in range(len(places)))


@cache
def shape(kind: Type) -> Any:
    """The JSON schema of a type."""
    return TypeAdapter(kind.annotation).json_schema()


def reason(ident: str, made_of: Ingredients, context: RunContext, kept_of: str) -> str:
    """Why a step is done, or with `kept_of` (a run) why it is not."""
    earlier = context.earlier
    if context.dry:
        return f"{DRY}; a real run does this anew only after a change of {listed(made_of)}"
    if kept_of:
        return f"nothing that goes into it has changed since {kept_of}"
    before = earlier.ingredients.get(ident)
    if before is None:
        return f"{earlier.run} did not come to it" if earlier.run else NEVER
    changed = [name for name in {**before, **made_of} if before.get(name) != made_of.get(name)]
    if changed == ["--from"]:
        return "it was asked for with --from"
    if not changed:
        return f"{earlier.run} left no result of it"
    return f"since {earlier.run} {listed(changed)} changed"


def listed(names: Iterable[str]) -> str:
    """Ingredients in one line; some names end with a comma, for the middle of a sentence."""
    return ", ".join(name.rstrip(",") for name in names)
