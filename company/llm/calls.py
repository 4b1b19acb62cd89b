"""The calls of a run's models: store → budget → request → store; stopped, limited, written down. A reply is on disk before it is read.

What is asked, and again with what was wrong: `gateway.py`. What a call may cost: `budget.py`. The request itself: `client.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from typing import Any

from company.cache import Replies, digest
from company.errors import CompanyError, Filtered, Interrupted, LimitReached, ModelError, ReplyError, StepFailed
from company.events import Journal
from company.llm.ask import Ask
from company.llm.budget import Budget, most_prompt_tokens, usd
from company.llm.client import EmptyReply, Message, Model, Reply, Request, StepLabel
from company.llm.recording import Recorder

_CHARS_PER_TOKEN = 3
_SHORTEST_REPLY = 200
_WARMEST = 2.0
"""The highest temperature that endpoints take."""
_KEPT = (
    "text", "finish_reason", "prompt_tokens", "completion_tokens", "cached_tokens",
    "model", "seconds", "estimated",
)  # fmt: skip


class Calls:
    """What a run calls its models through, each call paid for once.

    Args:
        models: the models by what steps call them; None is the run's own.
        stop: once set, no further call is begun.
        run: who pays, for the store; without it, what lies in the store was paid for by others.
        counted: the keys of the replies that this run's journal says it paid for.
        recorder: told of every exchange, also where the reply lay in the store.
    """

    def __init__(
        self,
        models: Mapping[str | None, Model],
        replies: Replies,
        budget: Budget,
        journal: Journal,
        *,
        temperature: float,
        max_tokens: int,
        stop: asyncio.Event | None = None,
        run: str = "",
        counted: Iterable[str] = (),
        recorder: Recorder | None = None,
    ) -> None:
        self._models = models
        self._replies = replies
        self.budget = budget
        self._journal = journal
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._stop = stop
        self._run = run
        self._counted = set(counted)
        self._recorder = recorder
        self._halted = False
        self._limit: LimitReached | None = None
        """The limit that was reached: no further call is begun by anybody."""
        self._calls = count(1)
        self._under_way: dict[int, str] = {}
        """Call → the item that it is of."""
        self._ended = asyncio.Event()
        """Of the next call that ends."""

    def parameters(self, called: str | None, temperature: float | None, max_tokens: int | None) -> list[Any]:
        """The model that is called so, and what it would be asked with."""
        return [self._model(called).identity, self._warmth(temperature), max_tokens or self._max_tokens]

    def room(self, ask: Ask) -> int | None:
        """Characters that a conversation may grow by so that a reply of full length still fits; None where unknown."""
        context = self._model(ask.model).context
        if context is None:
            return None
        most = (context - (ask.max_tokens or self._max_tokens)) * _CHARS_PER_TOKEN
        return most - sum(len(message.content) for message in ask.messages)

    def _may_begin(self, ask: Ask, calls: int, attempt: int) -> bool:
        """Whether no limit is near that so many questions like this one would reach; or a run that was killed had begun it already.

        Args:
            attempt: of the first of them.
        """
        try:
            request = self._request(ask, ask.label._replace(attempt=attempt), self._warmth(ask.temperature))
        except StepFailed:  # too long for the context
            return False
        model = self._model(ask.model)
        kept = self._replies.get(key_of(model, request))
        if self._run and kept and kept["run"] == self._run:
            return True
        prompt = _tokens(request.messages)
        return self.budget.has_room(model.name, ask.ident, ask.label.role, calls, calls * prompt)

    def _warmth(self, temperature: float | None) -> float:
        return self._temperature if temperature is None else temperature

    def _fits(self, ask: Ask, reply: int) -> bool:
        """Whether the context has room for a talk and a reply of so many characters."""
        context = self._model(ask.model).context
        return context is None or context - _tokens(ask.messages) >= max(_SHORTEST_REPLY, reply // _CHARS_PER_TOKEN)

    @property
    def stopped(self) -> bool:
        """Whether nothing new is to be begun: the operator said so, or the run cannot go on."""
        return bool(self._halted or self._limit or (self._stop and self._stop.is_set()))

    async def refuse_if_stopped(self, before: str) -> None:
        """Let nothing begin once the run is stopped; what is under way beside it has been paid for, and is waited for.

        Raises:
            LimitReached, Interrupted: it is stopped.
        """
        if self.stopped:
            await self.drained()
            raise self._limit or Interrupted(f"stopped before {before}", hint="`company resume` goes on")

    async def halt(self) -> None:
        """Begin no further call, and wait for those that are under way."""
        self._halted = True
        await self.drained()

    async def drained(self, item: str = "") -> None:
        """Wait until no call is under way: what was begun has been paid for, and its reply is kept.

        Args:
            item: of a for_each; with it only the calls of that item, and of items inside it, are waited for.
        """
        while any(not item or each == item or each.startswith(f"{item}/") for each in self._under_way.values()):
            await self._ended.wait()  # whoever got a reply may have begun a call before this is woken

    def _request(self, ask: Ask, label: StepLabel, temperature: float) -> Request:
        most = ask.max_tokens or self._max_tokens
        context = self._model(ask.model).context
        if context is not None:
            prompt = _tokens(ask.messages)
            most = min(most, context - prompt)
            if most < _SHORTEST_REPLY:
                raise StepFailed(
                    f"the prompt has about {prompt} tokens, too many for a context of {context}",
                    hint="give the step less in `in:`, split it with `for_each`, or use a model with a larger context",
                )
        return Request(
            messages=ask.messages,
            schema=ask.schema,
            schema_name=ask.schema_name,
            temperature=min(_WARMEST, temperature),
            max_tokens=most,
            seed=ask.seed + label.attempt,
            label=label,
            expects=ask.expects,
            defines=ask.defines,
        )

    async def _again(self, ask: Ask, before: Request) -> Reply:
        """One call more under the attempt and the temperature of another."""
        request = self._request(ask, before.label, before.temperature)
        model = self._model(ask.model)
        return await self._reply(model, ask, request, key_of(model, request))

    def _model(self, name: str | None) -> Model:
        return self._models[name]

    async def _reply(self, model: Model, ask: Ask, request: Request, key: str) -> Reply:
        label, call = request.label, next(self._calls)
        kept = self._replies.get(key)
        if kept:
            reply = Reply(**{part: kept[part] for part in _KEPT})
            if (
                self._run and kept["run"] == self._run and key not in self._counted
            ):  # killed between the reply and its line
                self._pay(model, ask, label, call, key, reply)
            else:
                used = _usage(model, reply)
                self._emit(
                    "call_finished", ask, label, call=call, key=key, from_store=True, usd=kept.get("usd"), **used
                )
        else:
            try:
                reply = await self._paid(model, ask, request, call, key)
            except ModelError as error:
                self._record(model, ask, request, error)
                raise
        self._record(model, ask, request, reply)
        if reply.finish_reason == "content_filter":  # not shown to the model again: it would be filtered there too
            reason = "A filter of the service broke your reply off. Answer the task anew, whole, in other words."
            raise Filtered("a filter of the service broke the reply off", reason=reason)
        if not reply.text.strip():
            raise ReplyError("the reply is empty", raw="", reason="Your reply was empty. Answer the task in full.")
        return reply

    async def _paid(self, model: Model, ask: Ask, request: Request, call: int, key: str) -> Reply:
        before = "the next call of a model"
        await self.refuse_if_stopped(before)
        label = request.label
        try:
            claim = await self.budget.claim(
                model.name, ask.ident, label.role, most_prompt_tokens(request, model.context), request.max_tokens
            )
        except LimitReached as error:
            self._limit = self._limit or error
            await self.refuse_if_stopped(before)
            raise
        if self.stopped:  # while it waited for others
            self.budget.release(claim)
            await self.refuse_if_stopped(before)
        self._under_way[call] = label.item

        tries = 0

        def progress(tokens: int, piece: str) -> None:
            nonlocal tries
            if tokens:
                self._emit("call_progress", ask, label, call=call, tokens=tokens, text=piece)
            else:
                self.budget.see_time(claim)
                tries += 1

        reply: Reply | None = None
        why: BaseException | None = None
        try:
            self._replies.ask(
                key, {"messages": [each._asdict() for each in request.messages], "schema": request.schema}
            )
            estimate = _tokens(request.messages) + request.max_tokens
            self._emit(
                "call_started", ask, label, call=call, prompt_estimate=estimate, key=key, model=model.name,
                temperature=request.temperature, max_tokens=request.max_tokens, seed=request.seed,
                schema=request.schema_name,
            )  # fmt: skip
            try:
                reply = await model.complete(request, progress)
            except EmptyReply as error:
                reply = error.reply
            self._replies.put(key, {**asdict(reply), "run": self._run, "usd": self._cost(model, reply)})
            self._pay(model, ask, label, call, key, reply, retries=max(0, tries - 1))
        except LimitReached as error:
            self._limit, why = self._limit or error, error
        except BaseException as error:
            why = error
            raise
        finally:
            self.budget.release(claim)
            del self._under_way[call]
            self._ended.set()
            self._ended = asyncio.Event()
            if reply is None:
                reason = why.message if isinstance(why, CompanyError) else ""
                told = {"kind": type(why).__name__, "reason": reason, "model": model.name, "retries": tries}
                self._emit("call_failed", ask, label, call=call, key=key, **told)
        if reply is None:
            await self.refuse_if_stopped(before)
            raise AssertionError("unreachable")
        return reply

    def _cost(self, model: Model, reply: Reply) -> float | None:
        price = self.budget.prices.get(model.name)
        return usd(price, reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens or 0)

    def _pay(
        self, model: Model, ask: Ask, label: StepLabel, call: int, key: str, reply: Reply, *, retries: int = 0
    ) -> None:
        self._counted.add(key)
        cost = self._cost(model, reply)
        self.budget.pay(ask.ident, label.role, reply.prompt_tokens + reply.completion_tokens, cost)
        used = {"from_store": False, "usd": cost, "retries": retries, **_usage(model, reply)}
        self._emit("call_finished", ask, label, call=call, key=key, **used)

    def _record(self, model: Model, ask: Ask, request: Request, answer: Reply | ModelError) -> None:
        if self._recorder:
            self._recorder.add(ask.model, model, request, answer)

    def _emit(self, event: str, ask: Ask, label: StepLabel, **fields: Any) -> None:
        where = {"id": ask.ident, "step": label.step, "role": label.role, "item": label.item, "round": label.round}
        piece = {"field": ask.field} if ask.field else {}
        self._journal.emit(event, **where, **piece, **{"attempt": label.attempt, **fields})


def _tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a talk has."""
    return sum(len(message.content) for message in messages) // _CHARS_PER_TOKEN


def key_of(model: Model, request: Request) -> str:
    """Under which the reply to a request is kept."""
    return digest([model.identity, *(getattr(request, part) for part in _ASKED)])


_ASKED = ("messages", "schema", "temperature", "max_tokens", "seed")
"""What makes a request the same as another."""


def _usage(model: Model, reply: Reply) -> dict[str, Any]:
    return {
        "model": model.name,
        "served": reply.model,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "cached_tokens": reply.cached_tokens,
        "seconds": round(reply.seconds, 3),
    }
