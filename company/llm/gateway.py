"""One question to a model, from the prompt to a valid answer: call → reading → repair → pieces, or another form.

The calls themselves: `calls.py`. Reading replies: `replies.py`, `code_replies.py`. Pieces of a document: `fields.py`. What is asked for
which artifact: `structured.py`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from typing import Generic, NamedTuple, TypeVar

from company.cache import digest
from company.errors import Filtered, NothingNew, ReplyError, StepFailed, UsageError
from company.llm.ask import Ask
from company.llm.calls import Calls, key_of
from company.llm.client import Message
from company.llm.cut import Cuts
from company.llm.fields import by_field, first_piece, is_shapeless

REPAIRS = 2
"""How often a reply that cannot be used is asked for again, each time with what was wrong."""
WARMER = 0.3
"""Added to the temperature with each repair: at 0 a model tends to repeat itself, fault included."""
_SHOWN = 6000
"""Characters of a bad reply that are shown to the model again."""

T = TypeVar("T")


class Gateway(Calls):
    """What a run asks its models through: questions whose answers are valid, or errors."""

    async def ask(
        self, ask: Ask, read: Callable[[str], T], otherwise: tuple[Ask, Callable[[str], T]] | None = None
    ) -> T:
        """The answer as `read` takes it; a ReplyError of `read` is told to the model, `REPAIRS` times at most.

        A document that does not come so is asked for field by field. What does not come so either, or gives back what was shown,
        is asked for as `otherwise` says: in another form, and what comes then is read by what stands beside it. What a filter ended
        is asked for in neither way.

        Raises:
            StepFailed: no usable answer.
            LimitReached, Interrupted: before a call that must not be made.
            ModelError: the endpoint failed.
        """
        attempts = count(1)
        try:
            return await self._tries(ask, read, attempts, otherwise[0] if otherwise else None)
        except ReplyError as error:
            fault = error
        begun = next(attempts)
        how = "after one try" if begun == 2 else f"after {begun - 1} tries"

        async def pieces(attempts: Iterator[int]) -> T:
            text = json.dumps(await by_field(ask, partial(self._tries, attempts=attempts)), ensure_ascii=False)
            answer = _read(read, text)
            self._emit("reply_accepted", ask, ask.label._replace(attempt=next(attempts) - 1), key=digest([text]))
            return answer

        ways: list[_Way[T]] = []
        if ask.schema and "properties" in ask.schema and is_shapeless(fault.raw, ask.schema):
            ways.append(_Way("field by field", first_piece(ask), len(ask.schema["properties"]) + 1, pieces))
        if otherwise:
            ways.append(_Way("in another form", otherwise[0], REPAIRS + 1, partial(self._tries, *otherwise)))
        for way in ways:
            if isinstance(fault, Filtered) or not self._may_begin(way.first, way.calls, begun):
                continue
            self._journal.emit("notice", text=f"{ask.ident}: no usable reply {how}; asked {way.name}")
            attempts = count(begun)
            try:
                return await way.put(attempts)
            except ReplyError as error:
                fault, how, begun = error, f"{how}, nor {way.name}", next(attempts)
            except StepFailed:
                begun = next(attempts)  # a prompt that the context has no room for; the next may be shorter
            except UsageError:
                if next(attempts) > begun + 1 or begun <= REPAIRS + 1:
                    raise
                break  # a script or a recording ends with the first form's replies: what those were is what matters
        raise StepFailed(
            f"no usable reply {how}: {fault.message}",
            hint="`company resume` tries again; a larger model, or a step with a smaller task, helps",
        ) from fault

    async def _tries(self, ask: Ask, read: Callable[[str], T], attempts: Iterator[int], other: Ask | None = None) -> T:
        """The answer to one question, repairs included; none for what is better asked in the other form, if that may begin.

        Raises:
            ReplyError: no reply was usable; the last fault.
        """
        warmth = self._warmth(ask.temperature)
        attempt_ask, before = ask, ""
        cuts = Cuts(self._again)
        for tries in range(REPAIRS + 1):
            attempt = next(attempts)
            label = ask.label._replace(attempt=attempt)
            try:
                request = self._request(attempt_ask, label, warmth + WARMER * tries)
            except StepFailed:
                if not tries:
                    raise
                break  # what was wrong has no room beside the question
            model = self._model(ask.model)
            key = key_of(model, request)
            try:
                reply = await self._reply(model, ask, request, key)
                text = reply.text
                if reply.finish_reason == "length":
                    text = await cuts.whole(attempt_ask, text, request)
                answer = _read(read, text)
            except ReplyError as error:
                fault = error
                self._emit("reply_rejected", ask, label, key=key, reason=error.message)
                said = error.raw if len(error.raw) <= _SHOWN else error.raw[:_SHOWN] + "\n…"
                shown = ask.follow(Message("assistant", said), Message("user", error.reason))
                if said.strip() and error.reason != before and self._fits(shown, len(said)):
                    attempt_ask = shown
                else:  # nothing to show, no room, or showing it brought the same fault again: asked anew, warmer
                    attempt_ask = ask.told(f"An earlier answer was refused: {error.reason}")
                before = error.reason
                if other and isinstance(error, NothingNew) and self._may_begin(other, REPAIRS + 1, attempt + 1):
                    break
            else:
                self._emit("reply_accepted", ask, label, key=key)
                return answer
        raise fault


class _Way(NamedTuple, Generic[T]):
    """Another way to put a question that got no usable reply."""

    name: str
    first: Ask
    """What is asked first."""
    calls: int
    """So many calls it takes at least."""
    put: Callable[[Iterator[int]], Awaitable[T]]
    """Puts it, its calls counted by these attempts."""


def _read(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except (RecursionError, MemoryError) as error:
        reason = "Your answer is nested too deeply to be read. Give it again, with shorter expressions."
        raise ReplyError("the reply is nested too deeply to be read", raw=text, reason=reason) from error
