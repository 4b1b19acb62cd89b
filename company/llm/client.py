"""One request to one chat model over HTTP: streamed, with a deadline, tried again when that may help.

Under it: `wire.py` (bounded bodies), `faults.py` (what an exception means), `pacing.py` (pauses), `rungs.py` (schemas), `usage.py` (token counts).
Over it: `calls.py` (budget, store, repair of replies). Models without HTTP: `scripted.py`. From a reply's text to an artifact: `replies.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from company.credentials import secrets_of
from company.endpoints import Rung
from company.errors import DeadlineExceeded, EndpointError, ReplyError
from company.llm.endings import ending
from company.llm.endpoint import Endpoint
from company.llm.joining import is_circling
from company.llm.rungs import RUNGS, UNSEEN, Arguments, Form, holds
from company.llm.usage import used

if TYPE_CHECKING:
    import httpx
    from langchain_core.messages import AIMessageChunk
    from langchain_openai import ChatOpenAI

OnTokens = Callable[[int, str], None]
"""Called with the number of tokens of the reply so far, and the text that came since; both start again when a request is tried again.

Where requests have to wait for one another, also with 0 and no text when it is about to be sent: what that raises ends the call.
"""

RETRY_AFTER_CAP = 60.0
"""Seconds. A server that asks for a longer pause ends the call instead; the run can be resumed."""
_BACKOFF_SECONDS = 1.0
_BACKOFF_CAP = 30.0
_LOOKED = 64
"""Pieces of a reply after which it is looked at whether it goes round in circles."""
_EVENTS = 65_536
"""How many events a reply may have, thoughts included, which `max_tokens` need not bound: LangChain keeps 3 kB of each until the end."""
_AFTER_SECONDS = 10.0
"""How long the token counts may come after a reply's end."""


class Message(NamedTuple):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class StepLabel(NamedTuple):
    """Which call of which step this is. Scripted models and the journal go by it."""

    step: str
    role: str
    item: str = ""
    """Key of the item inside a for_each; empty outside."""
    round: int = 0
    """Round of the loop around the step; 0 outside a loop."""
    attempt: int = 1
    """1 for the first call, more for repairs; what goes on with a cut reply has the number of that."""


@dataclass(frozen=True)
class Request:
    """What a model is asked."""

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None
    """JSON schema that the reply must fit; None for free text and code."""
    schema_name: str
    """Name of the schema, letters, digits, `_` and `-`; empty when there is none."""
    temperature: float
    max_tokens: int
    """Bound of the reply, in tokens."""
    seed: int | None
    label: StepLabel
    expects: tuple[str, ...] = ()
    """Paths of the files that a reply of code should hold; dry runs make them."""
    defines: str = ""
    """Name of the function or class that the code must define; empty for any. Dry runs make it."""


@dataclass(frozen=True)
class Reply:
    """What a model answered. `text` is never empty."""

    text: str
    finish_reason: str
    """An `endings.Ending`; in what was kept long ago, the server's own word."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None
    """Prompt tokens that the server had in its cache; None when it does not say."""
    model: str
    """The model's name as the server gives it."""
    seconds: float
    """Wall time of the call, repeated tries included, waiting for a free slot excluded."""
    estimated: bool = False
    """A token count is a guess from the number of characters: the server gave none, or one that cannot be."""
    by_call: bool = False
    """The text is the arguments of a tool call."""


class EmptyReply(ReplyError):
    """The model finished without a word. `reply` has what it cost; its text is empty."""

    def __init__(self, message: str, reply: Reply, *, reason: str) -> None:
        super().__init__(message, reason=reason)
        self.reply = reply


class Model(Protocol):
    """Whatever answers requests. Its back ends pass the same contract tests."""

    @property
    def name(self) -> str:
        """Provider and model: ``openai:gpt-x``, ``local:qwen2.5-coder-1.5b``, ``script:f.yaml``."""

    @property
    def identity(self) -> str:
        """What tells it from every other model, also from one of the same name elsewhere: what it gave is kept under it."""

    @property
    def context(self) -> int | None:
        """Tokens that prompt and reply may have together; None when unknown."""

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        """Answer one request.

        Raises:
            EndpointError: no usable answer, after every permitted try.
            DeadlineExceeded: the whole call took longer than allowed.
            EmptyReply: the answer has no text.
        """

    async def close(self) -> None:
        """Release connections."""


class ChatModel:
    """A model behind an OpenAI-compatible endpoint, through `langchain_openai.ChatOpenAI`.

    Args:
        name: provider and model; what follows the first colon is the model's name at the endpoint.
        endpoint: where it is.
        identity: as of a `Model`; name and address by default.
        context: tokens of prompt and reply together, if known.
        notice: told, in one line for people, when a request is going to be sent again.
        sleep: waits between tries; tests replace it.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        identity: str = "",
        context: int | None = None,
        notice: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.identity = identity or f"{name} at {endpoint.url}"
        self.context = context
        self.endpoint = endpoint
        self._model = name.partition(":")[2] or name
        self._notice = notice
        self._sleep = sleep
        self._opened: tuple[ChatOpenAI, httpx.AsyncClient] | None = None

    def __repr__(self) -> str:
        return f"ChatModel({self.name!r}, {self.endpoint.url!r})"

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        """See `Model.complete`."""
        allowed = self.endpoint.deadline_seconds
        async with self.endpoint.slots:
            self._open()  # what is imported first takes a second or two, which are not the endpoint's
            try:
                async with asyncio.timeout(allowed) as clock:
                    return await self._persist(request, on_tokens, asyncio.get_running_loop().time() + allowed)
            except TimeoutError:
                if not clock.expired():
                    raise
                raise DeadlineExceeded(
                    f"{self.name} took longer than {allowed:g} s",
                    place=self.endpoint.url,
                    hint="allow more time for a call, ask for less in a step, or take a faster model",
                ) from None

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        if self._opened:
            _, client = self._opened
            self._opened = None
            await client.aclose()

    async def _persist(self, request: Request, on_tokens: OnTokens | None, end: float) -> Reply:
        """Try until it works, trying again is of no use, or the time that a pause needs is not left."""
        started = time.monotonic()
        ladder, tries = self.endpoint.ladder(self._model), 1
        while True:
            rung = ladder.rung(self._notice) if request.schema is not None else None
            left = end - asyncio.get_running_loop().time()
            await self.endpoint.pace.turn(min(RETRY_AFTER_CAP, left), self._sleep, self._tell_pause)
            if on_tokens:
                on_tokens(0, "")
            try:
                reply = await self._attempt(request, rung, on_tokens, started)
            except EmptyReply as empty:
                if rung in UNSEEN and empty.reply.finish_reason == "stop":
                    ladder.down(rung, f"{self.name}: the endpoint gives an empty reply", self._notice)
                raise
            except EndpointError as error:
                fault = error
            else:
                self._judge(request, rung, reply)
                return reply
            if fault.refused and rung and ladder.down(rung, f"{self.name}: {fault.message}", self._notice):
                continue  # at once: it is no try of the same request
            asked = (fault.retry_after or 0.0) if fault.retryable else 0.0
            if asked:
                self.endpoint.pace.hold(asked)
            pause = asked or _backoff(tries)
            left = end - asyncio.get_running_loop().time()
            too_long = asked > RETRY_AFTER_CAP or pause >= left
            if not fault.retryable or tries > self.endpoint.retries or too_long:
                if tries > 1:
                    fault.message += f" (tried {tries} times)"
                elif fault.retryable and too_long:
                    fault.message += f" (no second try: the pause of {pause:.0f} s is too long)"
                raise fault
            all_wait = ", no call before that" if asked else ""
            self._notice(f"{self.name}: {fault.message}; trying again in {pause:.0f} s{all_wait}")
            if not asked:
                await self._sleep(pause)
            tries += 1

    def _judge(self, request: Request, rung: Rung | None, reply: Reply) -> None:
        """An endpoint that takes a schema and does not hold to it is asked otherwise next time, so that the model sees it."""
        if rung is None or request.schema is None:
            return
        ladder = self.endpoint.ladder(self._model)
        if rung not in UNSEEN or reply.by_call or reply.finish_reason != "stop" or holds(reply.text, request.schema):
            if rung != "tool" or holds(reply.text, request.schema):
                ladder.worked(rung)
        else:
            what = "holds no reply to its schema" if rung != "tool" else "does not see to it that the tool is called"
            ladder.down(rung, f"{self.name}: the endpoint {what}", self._notice)

    def _tell_pause(self, seconds: float) -> None:
        self._notice(f"{self.name}: the endpoint asked for a pause; all calls to it wait {seconds:.0f} s")

    async def _attempt(self, request: Request, rung: Rung | None, on_tokens: OnTokens | None, started: float) -> Reply:
        pieces: list[str] = []
        given: list[str] = []
        arguments = Arguments()
        finish, model, usage, goes_on = "", self._model, None, False
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(None) as after, aclosing(self._chunks(request, rung)) as chunks:
                async for chunk in chunks:
                    piece, more = str(chunk.text), arguments.take(chunk.tool_call_chunks)
                    if piece or more:
                        if goes_on := bool(finish):
                            break
                        pieces += [piece] if piece else []
                        given += [more] if more else []
                        if on_tokens:
                            on_tokens(len(pieces) + len(given), piece + more)
                        if not (len(pieces) + len(given)) % _LOOKED and is_circling(given or pieces):
                            finish = "length"  # it would go on so until it is cut
                            break
                    if ended := chunk.response_metadata.get("finish_reason"):
                        before, finish = finish, ""  # a bad end is an error also after a good one
                        finish = before if before not in ("", "stop") else ending(str(ended), self.endpoint.url)
                        after.reschedule(clock() + _AFTER_SECONDS)
                    model = chunk.response_metadata.get("model_name") or model
                    usage = chunk.usage_metadata or usage
        except (EndpointError, TimeoutError) as error:
            # Once it has ended, a reply is whole, and paid for: what breaks afterwards costs only the token counts.
            if not finish or (isinstance(error, TimeoutError) and not after.expired()):
                raise
            if not usage:
                self._notice(f"{self.name}: the reply came, its token counts did not: they are estimated")
        if goes_on or not finish:
            what = "the reply goes on after its end" if goes_on else "the reply was cut off on its way"
            raise EndpointError(what, retryable=True, place=self.endpoint.url, hint="run `company resume` to try again")
        called = "".join(given) if rung == "tool" else ""
        text = called if called.strip() else "".join(pieces)
        reply = Reply(
            text=text,
            finish_reason=finish,
            model=model,
            seconds=time.monotonic() - started,
            by_call=bool(called.strip()),
            **used(usage, (message.content for message in request.messages), text)._asdict(),
        )
        if not text.strip():
            cut = "; max_tokens was used up before the first word" if finish == "length" else ""
            raise EmptyReply(
                f"{self.name} gave an empty reply (finish reason {finish}{cut})",
                reply,
                reason="Your reply was empty. Answer the task in full.",
            )
        return reply

    async def _chunks(self, request: Request, rung: Rung | None) -> AsyncGenerator[AIMessageChunk, None]:
        """The chunks of one try; whatever goes wrong with it is an `EndpointError`."""
        import openai

        from company.llm import faults, wire

        endpoint = self.endpoint
        secrets = (*secrets_of(endpoint.api_key.get_secret_value(), endpoint.base_url), *wire.proxy_secrets())
        form = RUNGS[rung](request) if rung else Form(request.messages, {})
        asked_by = rung if form.body else None
        where = faults.Where(endpoint.url, self.name, endpoint.key_name, endpoint.url_name, secrets, asked_by)
        chat, events = self._open(), 0
        with wire.keep_head() as head:
            try:
                stream = chat.astream([*form.messages], **self._parameters(request, form))
                async with aclosing(stream):  # type: ignore[type-var]  # declared as an iterator, is a generator
                    async for chunk in stream:
                        events += 1
                        if events > _EVENTS:
                            raise wire.too_large(f"{_EVENTS} events")
                        yield chunk
            except (
                openai.APIError,
                EndpointError,
                ValueError,  # no event at all, no JSON, no UTF-8
                RecursionError,  # JSON nested too deeply
                TypeError,  # the rest: JSON of an unexpected shape
                AttributeError,
                LookupError,
            ) as error:
                raise faults.classify(error, bytes(head), where) from None

    def _open(self) -> ChatOpenAI:
        if self._opened is None:
            from langchain_openai import ChatOpenAI

            from company.llm.wire import open_client

            # Servers depart from the schema in small ways (their own finish reasons); that is handled, not news.
            warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=r"langchain_openai\.chat_models")
            endpoint = self.endpoint

            async def key() -> str:
                """Asked for so: of a key that is a text, a client is made that nobody uses, and that reads the environment as it likes."""
                return endpoint.api_key.get_secret_value() or "none"

            client = open_client(endpoint.base_url, endpoint.idle_seconds, endpoint.key_header)
            parts = urlsplit(endpoint.base_url)
            chat = ChatOpenAI(
                model=self._model,
                base_url=urlunsplit(parts._replace(query="", fragment="")),
                default_query=dict(parse_qsl(parts.query)) or None,
                api_key=key,
                http_async_client=client,
                openai_proxy=None,  # else it reads OPENAI_PROXY, and refuses it beside a client
                http_socket_options=(),  # else it says of proxies what does not hold of our client
                timeout=client.timeout,
                max_retries=0,
                stream_usage=endpoint.stream_options,
                stream_chunk_timeout=None,
                use_responses_api=False,
                output_version="v0",
                cache=False,
            )
            self._opened = (chat, client)
        return self._opened[0]

    def _parameters(self, request: Request, form: Form) -> dict[str, Any]:
        """What differs from call to call. The form goes around openai's parser, which loses cut replies."""
        extra: dict[str, Any] = {self.endpoint.bound_name: request.max_tokens, **form.body}
        parameters: dict[str, Any] = {"extra_body": extra}
        if self.endpoint.temperature:
            parameters["temperature"] = request.temperature
        if request.seed is not None and self.endpoint.seed_as:
            extra[self.endpoint.seed_as] = request.seed
        return parameters


def _backoff(tries: int) -> float:
    """Seconds before the next try where the server asked for none: doubling, with jitter."""
    return min(_BACKOFF_CAP, _BACKOFF_SECONDS * 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0)
