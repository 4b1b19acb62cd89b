"""The models of a run: which they are, whether they can do what steps ask of them, what they cost, and how they are opened.

What a provider is: `llm/providers.py`. Who begins runs: `wiring.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from company.events import Journal
from company.llm import providers
from company.llm.budget import Rates, usd
from company.llm.client import Model
from company.llm.sources import Progress
from company.report import Report
from company.sop.procedure import Procedure
from company.sop.spec import TIERS
from company.sop.tool_names import server_of

if TYPE_CHECKING:
    from company.settings import Settings


class Notices:
    """Takes what a model's client has to say to people to the run's journal, once there is one."""

    journal: Journal | None = None

    def __call__(self, text: str) -> None:
        """Say it."""
        if self.journal:
            self.journal.emit("notice", text=text)


def servers_of(procedure: Procedure) -> set[str]:
    """The servers whose tools the procedure's steps use."""
    return {server for step in procedure.walk() for tool in step.tools if (server := server_of(tool))}


def unset(models: Mapping[str | None, Model], settings: Settings) -> Iterator[str]:
    """What to say of tiers that steps name and the settings do not."""
    if unset := [tier for tier in TIERS if tier in models and tier not in settings.tiers]:
        yield f"company.toml does not say what {' and '.join(unset)} is: the run's model is asked instead"


def model_names(procedure: Procedure, settings: Settings, model: str) -> dict[str | None, str]:
    """What steps call their models → ``provider:model``."""
    called: dict[str | None, None] = {None: None}
    for step in procedure.walk():
        called |= dict.fromkeys(step.models)
    return {name: settings.model_for(name, model) for name in called}


def honoured(procedure: Procedure, names: Mapping[str | None, str], settings: Settings) -> None:
    """See that the models can do what the steps ask of them."""
    for step in procedure.walk():
        several = step.sample > 1 or bool(step.cascade)  # candidates differ by themselves where there is no temperature
        chosen = {role.model: role.temperature for role, _ in step.candidates.values()}
        for called in step.cascade or ((step.model,) if step.model or not chosen else chosen):
            temperature = step.temperature if step.temperature is not None else chosen.get(called)
            if step.kind == "role":
                providers.refuse_unfit(
                    names[called], settings,
                    temperature=temperature is not None and not several,
                    max_tokens=step.max_tokens,
                    place=str(step.span),
                )  # fmt: skip


@asynccontextmanager
async def open_models(
    names: Mapping[str | None, str], settings: Settings, notice: Notices, progress: Progress | None
) -> AsyncIterator[dict[str | None, Model]]:
    async with AsyncExitStack() as stack:
        opened: dict[tuple[str, str | None], Model] = {}
        which = {called: (name, called if name.startswith("replay:") else None) for called, name in names.items()}
        for name, called in dict.fromkeys(
            which.values()
        ):  # a recording answers as each of the models that were recorded
            model = providers.open_model(name, settings, called=called, notice=notice, progress=progress)
            opened[name, called] = await stack.enter_async_context(model)
        yield {called: opened[key] for called, key in which.items()}


def price_of(name: str, settings: Settings) -> Rates:
    price = providers.price_of(name, settings)
    return (price.input, price.output) if price else None


def cost_of(report: Report, prices: Mapping[str, Rates]) -> float:
    costs = report.steps.values()
    return sum(usd(prices.get(cost.model), cost.prompt_tokens, cost.completion_tokens) or 0.0 for cost in costs)
