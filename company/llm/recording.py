"""Exchanges with models, kept in a file that people can read and share, and a model that gives them again.

One line of JSON an exchange, as `Exchange` has it. Who records: `calls.py`. Replies that somebody wrote: `scripted.py`.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from company.cache import digest
from company.errors import DeadlineExceeded, EndpointError, ModelError, UsageError
from company.llm.client import EmptyReply, Model, OnTokens, Reply, Request, StepLabel
from company.paths import disk_errors
from company.sop.diagnostics import listing

_HEAD = b'{"time": "'
"""How every line begins: what does not is no recording, and is left alone."""
_AROUND = 30
"""Characters that are shown where two texts part."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Said(_Part):
    """One message."""

    role: Literal["system", "user", "assistant"]
    content: str


class Asked(_Part):
    """A request as it was asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=lambda name: name.rstrip("_"))
    messages: tuple[Said, ...]
    schema_: dict[str, Any] | None
    schema_name: str
    temperature: float
    max_tokens: int
    seed: int | None


class Failure(_Part):
    """What came instead of a reply."""

    kind: str
    """The error's class, as `errors.py` names it."""
    message: str
    retryable: bool = False


class Exchange(_Part):
    """One request, and the reply or the failure that it got."""

    time: str
    """When it ended, in UTC, as ISO 8601; of a reply that had been paid for before, when it was taken from the store."""
    model: str
    """``provider:model``."""
    called: str | None
    """What the step calls its model; null for the run's own."""
    context: int | None
    """The model's context, tokens: what is asked depends on it."""
    step: StepLabel
    request: Asked
    reply: Reply | None = None
    failure: Failure | None = None


class Recorder:
    """Appends exchanges to a file. A key of a model is in none of them.

    Args:
        more: go on with a recording that is there; otherwise the file must be new, or empty.

    Raises:
        UsageError: the file has something in it already, is no recording, or cannot be written.
    """

    def __init__(self, path: Path, *, more: bool = False) -> None:
        self.path = path.absolute()
        try:
            with path.open("r+b" if path.exists() else "x+b") as file:
                data = file.read()
                if data and not more:
                    hint = "name another file, or delete it; `company resume` goes on with a recording"
                    raise UsageError("there is something in the file already", place=str(path), hint=hint)
                whole = _whole(data, path)
                read_exchanges(whole, path)
                file.truncate(len(whole))  # the end that a kill cut off
        except OSError as error:
            raise UsageError(f"cannot record there: {error.strerror}", place=str(path)) from error

    def add(self, called: str | None, model: Model, request: Request, answer: Reply | ModelError) -> None:
        """Keep one exchange.

        Raises:
            WorkspaceError: it cannot be written.
        """
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "model": model.name,
            "called": called,
            "context": model.context,
            "step": request.label._asdict(),
            "request": _asked(request),
        }
        if isinstance(answer, Reply):
            entry["reply"] = asdict(answer)
        else:
            retryable = isinstance(answer, EndpointError) and answer.retryable
            entry["failure"] = {"kind": type(answer).__name__, "message": answer.message, "retryable": retryable}
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with disk_errors("write the recording", self.path), self.path.open("ab", buffering=0) as file:
            file.write(line)


def read_exchanges(data: bytes, path: Path) -> list[Exchange]:
    """The exchanges of a recording; a last line that a kill cut off is none.

    Raises:
        UsageError: a line is no exchange; its place names it.
    """
    found = []
    for number, line in enumerate(_whole(data, path).splitlines(), 1):
        try:
            entry = Exchange.model_validate(json.loads(line))
            if (entry.reply is None) == (entry.failure is None):
                raise ValueError("it has neither `reply` nor `failure`, or both")
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
            raise _no_exchange(what, path, number) from error
        except (ValueError, RecursionError) as error:
            raise _no_exchange(str(error), path, number) from error
        found.append(entry)
    return found


def _no_exchange(what: str, path: Path, number: int) -> UsageError:
    hint = "a recording has one exchange a line, as `company run --record FILE` writes them"
    return UsageError(f"this is no recorded exchange: {what}", place=f"{path}:{number}", hint=hint)


def _whole(data: bytes, path: Path) -> bytes:
    """The lines that were written to their ends."""
    end = data.rfind(b"\n") + 1
    if data[end:] and not _HEAD.startswith(data[end:][: len(_HEAD)]):
        raise _no_exchange("its beginning is not that of one", path, data.count(b"\n") + 1)
    return data[:end]


class ReplayModel:
    """Gives the recorded reply to each request that is the same: in order where the recording has several, then the last.

    A failure is given again unless a reply to the same request came after it.

    Args:
        called: as whom it answers: what a step calls its model.
        identity: as of a `Model`.
    """

    def __init__(self, exchanges: list[Exchange], path: Path, called: str | None = None, identity: str = "") -> None:
        self.name = f"replay:{path.name}"
        self.identity = f"{identity or self.name} as {called}"
        self._path, self._called, self._exchanges = path, called, exchanges
        self.context = next((each.context for each in exchanges if each.called == called), None)
        self._answers: dict[str, list[Exchange]] = {}
        for each in exchanges:
            known = self._answers.setdefault(_key(each.called, each.request.model_dump(by_alias=True)), [])
            if known and known[-1].failure:
                known.pop()
            known.append(each)

    @classmethod
    def from_file(cls, path: Path, called: str | None = None) -> ReplayModel:
        """Read a recording.

        Raises:
            UsageError: the file cannot be read, or is no recording.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the recording: {error.strerror}", place=str(path)) from error
        exchanges = read_exchanges(data, path)
        if not exchanges:
            raise UsageError("the recording holds no exchange", place=str(path))
        # By what is in it: the same recording elsewhere is the same model, and another under its name is not.
        return cls(exchanges, path, called, f"replay of {hashlib.sha256(data).hexdigest()}")

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        """The recorded reply.

        Raises:
            UsageError: the recording has none; it says what differs.
            ModelError: that is what was recorded.
        """
        known = self._answers.get(_key(self._called, _asked(request)))
        if not known:
            raise self._missing(request)
        given = known.pop(0) if len(known) > 1 else known[0]
        if given.failure:
            raise self._failure(given.failure)
        assert given.reply
        if not given.reply.text.strip():
            raise EmptyReply(
                f"{self.name} gave an empty reply", given.reply, reason="Your reply was empty. Answer the task in full."
            )
        if on_tokens:
            on_tokens(given.reply.completion_tokens, given.reply.text)
        return given.reply

    async def close(self) -> None:
        """Nothing is held."""

    def _failure(self, failure: Failure) -> ModelError:
        place, message = str(self._path), f"{failure.message} (as recorded)"
        hint = "`company resume --model PROVIDER:MODEL` goes on with another model"
        if failure.kind == "DeadlineExceeded":
            return DeadlineExceeded(message, place=place, hint=hint)
        if failure.kind == "EndpointError":
            return EndpointError(message, retryable=failure.retryable, place=place, hint=hint)
        return ModelError(message, place=place, hint=hint)

    def _missing(self, request: Request) -> UsageError:
        label = request.label
        place = f"step `{label.step}`, role `{label.role}`, item `{label.item}`, round {label.round}, attempt {label.attempt}"
        inside = [each for each in self._exchanges if each.step.step == label.step]
        if inside:
            nearest = max(inside, key=lambda each: self._likeness(each, request))
            what = f"the nearest recorded request {_differing(nearest, self._called, request)}"
        else:
            what = f"it has requests of {listing(sorted({each.step.step for each in self._exchanges}))} alone"
        return UsageError(
            f"the recording has no reply for {place}: {what}",
            place=str(self._path),
            hint="record a run again, or go on with another model: company resume --model PROVIDER:MODEL",
        )

    def _likeness(self, each: Exchange, request: Request) -> tuple[float, ...]:
        """How near a recorded request is: whose it is first, then what is asked."""
        label, now = request.label, _asked(request)
        same = [each.step.item == label.item, each.step.round == label.round, each.step.attempt == label.attempt]
        before = each.request.model_dump(by_alias=True)
        parts = sum(before[part] == now[part] for part in now) + (each.called == self._called)
        ends = [
            _parting(one["content"], two["content"])
            for one, two in zip(before["messages"], now["messages"], strict=False)
        ]
        return (*same, parts, sum(ends))


def _asked(request: Request) -> dict[str, Any]:
    """A request as a recording has it."""
    return {
        "messages": [{"role": message.role, "content": _plain(message.content)} for message in request.messages],
        "schema": request.schema,
        "schema_name": request.schema_name,
        "temperature": float(request.temperature),
        "max_tokens": request.max_tokens,
        "seed": request.seed,
    }


def _key(called: str | None, asked: dict[str, Any]) -> str:
    """What makes a request the same as another: the one who is asked, and everything that is."""
    return digest(
        [called, [[each["role"], each["content"]] for each in asked["messages"]], *(asked[part] for part in _PARTS)]
    )


_PARTS = ("schema", "temperature", "max_tokens", "seed")


def _plain(text: str) -> str:
    """A text as UTF-8 can have it: half of a surrogate pair, which a model can write, is a question mark."""
    return text.encode("utf-8", "replace").decode()


def _differing(before: Exchange, called: str | None, request: Request) -> str:
    """In which part a recorded request differs from this one, in words; the first part that does."""
    label, asked = before.step, _asked(request)
    whose = f"of the step (item `{label.item}`, round {label.round}, attempt {label.attempt})"
    if before.called != called:
        names = [f"`{name}`" if name else "the run's" for name in (before.called, called)]
        return f"{whose} was asked of the model {names[0]}, and this one is asked of {names[1]}"
    old, new = before.request.messages, asked["messages"]
    for number, (one, two) in enumerate(zip(old, new, strict=False), 1):
        if one.role != two["role"]:
            return f"{whose} differs in message {number}: it is of the {one.role}, and now of the {two['role']}"
        if one.content != two["content"]:
            at = _parting(one.content, two["content"])
            texts = " and now ".join(f"`{_excerpt(text, at)}`" for text in (one.content, two["content"]))
            return f"{whose} differs in message {number} ({one.role}) from its character {at + 1} on: it was {texts}"
    if len(old) != len(new):
        return f"{whose} has {len(old)} messages, and this one has {len(new)}"
    for part in _PARTS:
        recorded = before.request.model_dump(by_alias=True)[part]
        if recorded != asked[part]:
            values = "" if part == "schema" else f": it was {recorded}, and is now {asked[part]}"
            return f"{whose} differs in its {part}{values}"
    return f"{whose} is the same"


def _parting(one: str, two: str) -> int:
    """How many characters two texts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def _excerpt(text: str, at: int) -> str:
    """The text from a little before a place to a little after it, on one line."""
    return " ".join(text[max(0, at - 10) : at + _AROUND].split())
