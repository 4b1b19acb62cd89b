"""The models of a run: which they are, whether they can do what steps ask, what they cost and may use, and how they are opened.

What a provider is: `llm/providers.py`. Who begins runs: `wiring.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from company.errors import UsageError
from company.events import Journal
from company.llm import providers
from company.llm.budget import Spent, usd
from company.llm.client import Model
from company.llm.endpoint import Endpoint
from company.llm.sources import Progress
from company.report import Report
from company.sop.diagnostics import did_you_mean, listing
from company.sop.procedure import Procedure
from company.sop.spec import TIERS
from company.sop.tool_names import server_of

if TYPE_CHECKING:
    from company.settings import Price, Settings


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


def unset(procedure: Procedure, settings: Settings) -> Iterator[str]:
    """What to say of tiers that steps name and the settings do not: where, and what is asked instead."""
    for tier in TIERS:
        if tier not in settings.tiers and (place := _place(procedure, tier)):
            hint = did_you_mean(tier, settings.tiers, f"there are {listing(settings.tiers)}") if settings.tiers else ""
            instead = f"the run's model is asked instead{f' ({hint})' if hint else ''}"
            yield f"{place}: company.toml does not say what `{tier}` is: {instead}"


def check_names(procedure: Procedure, names: Mapping[str | None, str], settings: Settings, folder: Path) -> None:
    """See that every model can be used, without a request.

    Raises:
        UsageError: as `providers.check_name`; its place is where a step names the model.
    """
    for called, name in names.items():
        try:
            providers.check_name(name, settings, folder)
        except UsageError as error:
            error.place = error.place or (_place(procedure, called) if called else "")
            raise


def _place(procedure: Procedure, called: str) -> str:
    """Where a step first calls for a model, itself or by its role; empty where none does."""
    step = next((step for step in procedure.walk() if called in step.models), None)
    return str(step.places.get(called, step.span)) if step else ""


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
    names: Mapping[str | None, str], settings: Settings, folder: Path, notice: Notices, progress: Progress | None
) -> AsyncIterator[dict[str | None, Model]]:
    async with AsyncExitStack() as stack:
        opened: dict[tuple[str, str | None], Model] = {}
        endpoints: dict[str, Endpoint] = {}
        # a recording answers as each of the models that were recorded
        which = {called: (name, called if name.startswith("replay:") else None) for called, name in names.items()}
        for name, called in dict.fromkeys(which.values()):
            model = providers.open_model(
                name, settings, folder=folder, called=called, notice=notice, progress=progress, endpoints=endpoints
            )
            opened[name, called] = await stack.enter_async_context(model)
        yield {called: opened[key] for called, key in which.items()}


def prices_of(names: Iterable[str], settings: Settings) -> dict[str, Price | None]:
    """What each model costs, by name; None where it is unknown."""
    return {name: providers.price_of(name, settings) for name in names}


def spent(report: Report, prices: Mapping[str, Price | None]) -> dict[str, Spent]:
    """What a run has used so far, by account; what had no price when it was paid for is counted at today's."""
    return report.spent(
        lambda cost: usd(prices.get(cost.model), cost.prompt_tokens, cost.completion_tokens, cost.cached_tokens)
    )


def listed(names: Iterable[str], settings: Settings) -> Iterator[str]:
    """What to say of models that are paid for at list prices."""
    for name in dict.fromkeys(names):
        if found := providers.listed_price(name, settings):
            price = f"${found.price.input:g} read and ${found.price.output:g} written for a million tokens"
            yield f"{name} is counted at its list price of {found.date}: {price}; `price` in company.toml sets another"


def limits_of(
    procedure: Procedure, given: Mapping[str, float], names: Mapping[str | None, str], settings: Settings
) -> dict[str, float]:
    """A run's limits by name: the procedure's, and in their place those that were given.

    Raises:
        UsageError: a limit of what is not there, or on money where a model has no price.
    """
    limitable = procedure.limitable
    for name in given:
        account = name.rpartition(".")[0]
        if not procedure.may_limit(name):
            kind, _, called = account.partition(".")
            known = [each.partition(".")[2] for each in limitable if each.startswith(f"{kind}.")]
            near = did_you_mean(called, known, f"there are {listing(known)}")
            raise UsageError(f"there is no {kind.removesuffix('s')} `{called}` that asks a model", hint=near)
    limits = {**procedure.bounds, **given}
    every = [step for step in procedure.walk() if step.kind == "role"]
    for name in limits:
        account, _, unit = name.rpartition(".")
        asked = {called for step in limitable.get(account, every) for called in step.cascade or step.models}
        free = [names[called] for called in asked if providers.price_of(names[called], settings) is None]
        if unit == "usd" and free:
            raise UsageError(
                f"there is a limit on money and no price for `{free[0]}`",
                hint="set `price = {input = …, output = …}` (US dollars for a million tokens) for its provider in "
                "company.toml, or limit calls or tokens instead",
            )
    return limits
