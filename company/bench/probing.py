"""A task said otherwise by a model: one asks for other words, rules hold what must stay, another judges whether it means the same.

After Meta Probing Agents (arXiv 2402.14865). The rules: `wording.lost`; variations without a model: `vary.py`; the prompts:
`prompts/bench/`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from company.artifacts import Artifact, ShortText
from company.bench.wording import CannotVary, Material, lost
from company.cache import Replies
from company.errors import CompanyError, ReplyError, StepFailed
from company.events import Journal
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import Message, StepLabel
from company.llm.gateway import Gateway
from company.llm.providers import open_model
from company.llm.structured import document
from company.prompts import SYSTEM, Prompts
from company.sop.library import PROMPT_SUFFIX, Library, read_source
from company.sop.procedure import Role
from company.store import Folder

if TYPE_CHECKING:
    from company.settings import Settings

TRIES = 3
"""How often a text is written again that the judging agent refused."""
_AT_ONCE = 4
"""Tasks that a model is asked for at the same time, where it is no embedded one."""
_SHOWN = 6
"""Faults that the model is told of at once."""
_TEXT = re.compile(r"<text>[ \t]*\n(.*)\n[ \t]*</text>", re.DOTALL)
_AGENT = Role("prober", "Editor", "You put technical texts into other words.")


class Verdict(Artifact):
    """What the judging agent says of two texts."""

    differences: Annotated[list[ShortText], Field(max_length=8)]
    same: bool


async def probe_all(
    materials: Sequence[Material],
    name: str,
    settings: Settings,
    folder: Path,
    library: Library,
    say: Callable[[str], None],
) -> list[Material | CannotVary]:
    """Each task in a model's other words, in order; what a model said before lies in `folder`, and is not asked for again.

    Args:
        name: the model, as ``provider:model``.
        say: told of what happens to the model.

    Raises:
        UsageError: there is no such model.
        ModelError: it failed; what it said until then is kept.
    """
    turns = asyncio.Semaphore(1 if name.startswith("local:") else _AT_ONCE)
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / "events.jsonl")
    try:
        async with open_model(name, settings, notice=say) as model:
            gateway = Gateway(
                {None: model}, Replies(Folder(folder)), Budget({}, {}), journal,
                temperature=settings.temperature, max_tokens=settings.max_tokens,
            )  # fmt: skip

            gone: list[CompanyError] = []

            async def one(material: Material) -> Material | CannotVary | None:
                async with turns:
                    if gone:  # nobody asks a model that is gone; what is under way has been paid for
                        return None
                    try:
                        return await probe(material, gateway, library, 1)
                    except CannotVary as error:
                        return error
                    except CompanyError as error:
                        gone.append(error)
                        return None

            said = await asyncio.gather(*map(one, materials))
            if gone:
                raise gone[0]
            return [each for each in said if each is not None]
    finally:
        journal.close()


async def probe(
    material: Material, gateway: Gateway, library: Library, seed: int, *, model: str | None = None
) -> Material:
    """The task with its requirement in a model's other words.

    The rules come before the judging agent: a reply that loses a name, a number, a quoted string, code or an example is told so and
    asked for again. A text that the judging agent refuses is written anew with its reasons.

    Args:
        library: where the two prompts are found.
        model: who is asked, as the gateway calls it; None is its first.

    Raises:
        CannotVary: no text was found to mean the same.
        LimitReached, Interrupted, ModelError: as the gateway has them.
    """
    prompts = _prompts(library)
    before = material.requirement
    refused = ""
    for number in range(1, TRIES + 1):
        ask = _ask("rewrite", prompts, {"text": before.strip(), "refused": refused}, seed, number, model)
        try:
            after = await gateway.ask(ask, lambda text: _rewritten(text, before))
            question = {"before": before.strip(), "after": after.strip()}
            verdict = await document(gateway, _ask("same_meaning", prompts, question, seed, number, model), Verdict)
        except StepFailed as error:
            raise CannotVary(f"the model found no other words: {error.message}", hint=_HINT) from error
        if verdict.same and not verdict.differences:
            return replace(material, requirement=after, changes=(f"other words by a model, at try {number}",))
        refused = "; ".join(verdict.differences) or "it is not the same"
    raise CannotVary(f"{TRIES} texts were refused, because they mean something else: {refused[:200]}", hint=_HINT)


_HINT = "leave the task out of this comparison, or take a larger model or a variation by rules"


def _prompts(library: Library) -> Prompts:
    sources = {}
    for name in ("rewrite", "same_meaning"):
        found = library.prompt("bench", name)
        if not found:
            raise CannotVary(
                f"there is no prompt `bench/{name}`", hint=library.tried(f"prompts/bench/{name}{PROMPT_SUFFIX}")
            )
        sources[f"prompts/bench/{name}{PROMPT_SUFFIX}"] = read_source(found[1]).text
    return Prompts(sources)


def _ask(step: str, prompts: Prompts, given: dict[str, str], seed: int, number: int, model: str | None) -> Ask:
    text = prompts.render(f"bench/{step}", _AGENT, given)
    return Ask(
        label=StepLabel(step, _AGENT.name, round=number),
        messages=(Message("system", SYSTEM), Message("user", text)),
        model=model,
        seed=seed * 100 + number * 10,
        ident=f"{step}#{number}",
    )


def _rewritten(reply: str, before: str) -> str:
    """The text of a reply, if rules find nothing missing and nothing new in it."""
    found = _TEXT.search(reply)
    if not found or not found[1].strip():
        reason = "Answer with the new text between a line `<text>` and a line `</text>`."
        raise ReplyError("the reply has no text between `<text>` and `</text>`", raw=reply, reason=reason)
    after = found[1].strip() + ("\n" if before.endswith("\n") else "")
    if faults := lost(before, after):
        shown = "\n".join(f"- {fault}" for fault in faults[:_SHOWN])
        reason = f"This must stay letter for letter, and does not:\n{shown}\nGive the whole text again, mended."
        raise ReplyError(f"the text is not the same letter for letter: {faults[0]}", raw=reply, reason=reason)
    if " ".join(after.split()) == " ".join(before.split()):
        raise ReplyError("the text is the same", raw=reply, reason="That is the same text. Put it into other words.")
    return after
