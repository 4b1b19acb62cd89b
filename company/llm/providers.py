"""From ``provider:model`` to a model that answers: the embedded one, an endpoint, a script, a recording, a dry run.

Requests: `client.py`; the embedded model's server: `local.py`. What can be set: `settings.py`; known endpoints: `endpoints.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from company.credentials import bare, read_key
from company.endpoints import KNOWN, SERVICES, known, preset_of
from company.errors import Interrupted, UsageError
from company.llm import catalogue
from company.llm.client import ChatModel, Model
from company.llm.download import use_file
from company.llm.endpoint import Endpoint
from company.llm.recording import ReplayModel
from company.llm.scripted import DryModel, ScriptedModel
from company.llm.sources import Progress
from company.sop.diagnostics import did_you_mean, listing

if TYPE_CHECKING:
    from company.llm.prices import Listed
    from company.settings import Price, Provider, Settings

_NO_ENDPOINTS = ("local", "replay", "script")
"""Providers without HTTP, but for a server of our own; beside them there is the name ``dry``."""
HERE = Path()
"""The current folder."""


def check_name(name: str, settings: Settings, folder: Path = HERE) -> None:
    """See that a model's name can be used, without a request.

    Args:
        folder: where a file with a relative path is looked for.

    Raises:
        UsageError: no such provider or embedded model, no key, no script, no recording.
    """
    check_provider(name, settings)
    provider, _, model = name.partition(":")
    if name == "dry":
        return
    if provider == "local":
        if _is_path(model):
            use_file(folder / Path(model).expanduser())
        else:
            catalogue.get(model)
    elif provider == "script":
        ScriptedModel.from_file(folder / model)
    elif provider == "replay":
        ReplayModel.from_file(folder / model)
    else:
        _endpoint(provider, settings)


def check_provider(name: str, settings: Settings) -> None:
    """See that a name is ``dry`` or ``provider:model`` with a provider that there is.

    Raises:
        UsageError: it is not.
    """
    provider, _, model = name.partition(":")
    if name == "dry":
        return
    there_are = list(dict.fromkeys([*_NO_ENDPOINTS, *settings.providers, *KNOWN]))
    if provider not in there_are:
        label = did_you_mean(provider, there_are, f"write provider:model; the providers are {listing(there_are)}")
        if name in catalogue.MODELS:
            label = f"did you mean `local:{name}`?"
        raise UsageError(f"there is no model provider `{provider}`", hint=label)
    if not model:
        raise UsageError(f"`{name}` names no model", hint=f"write {provider}:MODEL")


@asynccontextmanager
async def open_model(
    name: str,
    settings: Settings,
    *,
    folder: Path = HERE,
    called: str | None = None,
    notice: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
    endpoints: dict[str, Endpoint] | None = None,
) -> AsyncIterator[Model]:
    """The model, for as long as it is used. Weights of the embedded one that are not here are fetched first.

    Args:
        folder: as of `check_name`.
        endpoints: those in use by provider, so that its models share one.
        called: what steps call it: a recording has the replies of several models.

    Raises:
        UsageError: as `check_name`.
        EndpointError, ModelError, Broken: the embedded model cannot be fetched or started.
    """
    provider, _, model = name.partition(":")
    if name == "dry":
        yield DryModel()
    elif provider == "script":
        yield ScriptedModel.from_file(folder / model, f"script:{Path(model)}")
    elif provider == "replay":
        yield ReplayModel.from_file(folder / model, called)
    elif provider == "local":
        model = str(folder / Path(model).expanduser()) if _is_path(model) else model
        async with _local(name, model, settings, notice, progress or _silent) as chat:
            yield chat
    else:
        endpoint, context = _endpoint(provider, settings)
        endpoint = endpoint if endpoints is None else endpoints.setdefault(provider, endpoint)
        chat = ChatModel(name, endpoint, context=context, notice=notice)
        try:
            yield chat
        finally:
            await chat.close()


def refuse_unfit(name: str, settings: Settings, *, temperature: bool, max_tokens: int | None, place: str) -> None:
    """See that a model can honour what a step sets: nothing that somebody wrote down is dropped silently.

    Args:
        temperature: whether the step, or its role, sets one.
        place: where the step is written.

    Raises:
        UsageError: it takes no temperature, or its context is no longer than the reply that is asked for.
    """
    provider = name.partition(":")[0]
    entry = _entry(provider, settings)
    if temperature and entry and not entry.temperature:
        raise UsageError(
            f"`temperature` cannot be set for `{name}`: providers.{provider} takes none",
            place=place,
            hint="leave it out there, or take another model for the step",
        )
    context = settings.context if provider == "local" else entry.context if entry else None
    if max_tokens and context and max_tokens >= context:
        raise UsageError(
            f"`max_tokens: {max_tokens}` leaves no room for a prompt: the context of `{name}` has {context} tokens",
            place=place,
            hint="ask for less, or raise `context` in company.toml if the model has more",
        )


def asked_how(name: str, settings: Settings) -> list[object]:
    """What decides, beside a request itself, what a model is sent and what answers: two that are alike here are asked alike.

    Raises:
        UsageError: it is a script or a recording that cannot be read.
    """
    provider, _, model = name.partition(":")
    if provider in ("script", "replay"):
        try:
            return [hashlib.sha256(Path(model).read_bytes()).hexdigest()]
        except OSError as error:
            what = "script" if provider == "script" else "recording"
            raise UsageError(f"cannot read the {what}: {error.strerror}", place=model) from error
    entry = _entry(provider, settings)
    if entry is None:
        return []
    return [
        entry.base_url, entry.structured, entry.temperature, entry.seed_as, entry.max_tokens_as, entry.context,
    ]  # fmt: skip


class Sent(NamedTuple):
    """What traces say of a request to a model beside the request itself."""

    provider: str
    """As OpenTelemetry calls the service, else as it is called here."""
    host: str | None
    port: int | None
    """None, as the host, where no endpoint that somebody set or knows is asked."""
    temperature: bool
    """Whether a temperature is sent."""
    seed: bool
    """Whether a seed is sent."""


def sent(name: str, settings: Settings) -> Sent:
    """Where a model is asked, and what its endpoint is sent of what it was asked with."""
    provider = name.partition(":")[0]
    entry = _entry(provider, settings)
    if entry is None:
        return Sent(provider, None, None, True, True)
    parts = urlsplit(entry.base_url)
    host = parts.hostname or ""
    service = next((called for end, called in SERVICES.items() if f".{host}".endswith(f".{end}")), provider)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Sent(service, host, port, entry.temperature, bool(entry.seed_as))


def price_of(name: str, settings: Settings) -> Price | None:
    """What a model costs: as it is set, else by the list; nothing for one that runs here, None where it is unknown."""
    from company.settings import Price

    provider, _, model = name.partition(":")
    if name == "dry" or provider in ("local", "replay", "script"):
        return Price(input=0, output=0)
    entry = _entry(provider, settings)
    if entry and entry.price:
        return entry.price
    if entry and _runs_here(provider, entry.base_url, model):
        return Price(input=0, output=0)
    listed = listed_price(name, settings)
    return listed.price if listed else None


def _runs_here(provider: str, url: str, model: str) -> bool:
    """Whether a program that is known by name is asked on this machine; Ollama passes some models on to its own service."""
    from company.llm.wire import is_loopback

    addresses = (KNOWN.get(provider, {}).get("base_url", ""), url)
    here = all(is_loopback(urlsplit(each).hostname or "") for each in addresses)
    return here and not model.endswith(("-cloud", ":cloud"))


def listed_price(name: str, settings: Settings) -> Listed | None:
    """The list price that a model is counted at; None where there is none, or another is set."""
    from company.llm.prices import list_price

    provider, _, model = name.partition(":")
    entry = _entry(provider, settings)
    return list_price(entry.base_url, model) if entry and not entry.price else None


@asynccontextmanager
async def _local(
    name: str, model: str, settings: Settings, notice: Callable[[str], None], progress: Progress
) -> AsyncIterator[Model]:
    from company.llm.download import find, locate
    from company.llm.local import LocalServer
    from company.llm.runtime import kept

    # In a thread: the checksum of a file that was never checked takes seconds.
    if not _is_path(model) and await asyncio.to_thread(find, catalogue.get(model)) is None:
        await _fetch(catalogue.get(model), progress)
    called, path = await asyncio.to_thread(locate, model)
    server = LocalServer(
        path,
        name=called,
        context=settings.context,
        slots=settings.slots,
        threads=settings.threads,
        build=kept(),
        progress=lambda seconds, what: progress(0, 0, what),
        notice=lambda what: progress(0, 0, what),
    )
    async with server:
        endpoint = Endpoint(server.base_url, SecretStr(server.api_key), parallel=server.slots, remembers=False)
        name, weights = f"local:{called}", path.stat()
        identity = f"{name} of {weights.st_size} bytes" + (f", {weights.st_mtime_ns}" if _is_path(model) else "")
        chat = ChatModel(name, endpoint, identity=identity, context=server.context, notice=notice)
        try:
            yield chat
        finally:
            await chat.close()


async def _fetch(model: catalogue.ModelFile, progress: Progress) -> None:
    """Fetch weights in a thread, so that Ctrl-C is heard; cancelled, the thread ends at its next piece."""
    from company.llm.download import pull

    gone = threading.Event()

    def tell(done: int, total: int, what: str) -> None:
        if gone.is_set():
            raise Interrupted("the download was stopped", hint="it continues where it stopped")
        progress(done, total, what)

    try:
        await asyncio.to_thread(pull, model, progress=tell)
        progress(0, 0, f"fetched {model.name}")
    finally:
        gone.set()


def _endpoint(provider: str, settings: Settings) -> tuple[Endpoint, int | None]:
    entry = _entry(provider, settings)
    assert entry, "the name was checked"
    by_variable = provider == "openai" and provider not in settings.providers
    try:
        key = read_key(entry.key, f"the provider `{provider}`") if entry.key else ""
    except UsageError as error:
        if by_variable and not os.environ.get("OPENAI_API_KEY"):
            error.hint = "set it, or OPENAI_BASE_URL to a server without a key"
        raise
    here = bare(entry.base_url)
    at_once = [each.parallel for each in settings.providers.values() if bare(each.base_url) == here]
    endpoint = Endpoint(
        entry.base_url,
        SecretStr(key),
        parallel=min(at_once, default=entry.parallel),  # a known name without an entry goes by those at its address
        deadline_seconds=entry.deadline,
        structured=entry.structured,
        preset=preset_of(provider, entry.base_url),
        temperature=entry.temperature,
        key_header=entry.key_header,
        max_tokens_as=entry.max_tokens_as,
        seed_as=entry.seed_as,
        stream_options=entry.stream_options,
        key_name=entry.key or ("OPENAI_API_KEY" if by_variable else f"providers.{provider}.key"),
        url_name="OPENAI_BASE_URL" if by_variable else f"providers.{provider}.base_url",
    )
    return endpoint, entry.context


def _entry(provider: str, settings: Settings) -> Provider | None:
    """What is set about an endpoint, else what is known of it; None for what is no endpoint."""
    from company.settings import Provider

    if provider in settings.providers:
        return settings.providers[provider]
    fields = known(provider)
    return Provider.model_construct(**fields) if fields else None  # not checked: `Endpoint` names the variable


def _is_path(model: str) -> bool:
    return model.endswith(".gguf") or os.sep in model


def _silent(done: int, total: int, what: str) -> None:
    """Nobody watches."""
