"""Proves that a model's endpoint does what a run needs: answers, streams, counts tokens, and by which rung it keeps to a schema.

The requests themselves: `client.py`; the rungs: `rungs.py`; where the best is remembered: `ladder.py`. Who prints the report:
`cli_model.py` (`company model check`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

from company.endpoints import Rung
from company.errors import EndpointError, ModelError, ReplyError
from company.llm.client import ChatModel, EmptyReply, Message, Model, OnTokens, Reply, Request, StepLabel
from company.llm.ladder import remember
from company.llm.rungs import RUNGS, below

_SHORT, _LONG = 80, 4000
"""Tokens of a reply: enough for what is asked, and for a model that thinks before it writes."""
_COLOURS = ["ultramarine", "vermilion"]
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": _COLOURS},
        "count": {"type": "integer"},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 1, "maxItems": 2},
    },
    "required": ["colour", "count", "words"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Finding:
    """One thing that was tried."""

    name: str
    """`reply`, `streaming`, `usage`, a rung that was tried, or `structured` for what comes of those."""
    ok: bool
    needed: bool
    """False: a run works without it, only worse."""
    detail: str
    """What was seen, or what went wrong and the way out."""


@dataclass(frozen=True)
class CheckReport:
    """What an endpoint can do."""

    model: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Everything that a run needs works."""
        return all(finding.ok for finding in self.findings if finding.needed)


async def check(model: Model) -> CheckReport:
    """Ask twice, and once more for each rung that is no use: a few dozen tokens each, but for a model that thinks first.

    A fault is a finding, not an exception.
    """
    started = time.monotonic()
    findings: list[Finding] = []
    progress: list[int] = []
    try:
        reply = await _asked(model, "Count from one to ten in words.", None, lambda tokens, _: progress.append(tokens))
    except ModelError as error:
        findings.append(Finding("reply", False, True, _explain(error)))
        return CheckReport(model.name, tuple(findings), time.monotonic() - started)
    speed = f"{reply.completion_tokens} tokens in {reply.seconds:.1f} s"
    findings.append(Finding("reply", True, True, f"{reply.model}: {speed}"))
    pieces = max(progress, default=0)
    streams = pieces > 1
    detail = f"{pieces} pieces" if streams else "the reply came in one piece: no progress can be shown"
    findings.append(Finding("streaming", streams, False, detail))
    findings.append(_usage(reply))
    findings += await _rungs(model) if isinstance(model, ChatModel) else [(await _tried(model, "schema"))[0]]
    return CheckReport(model.name, tuple(findings), time.monotonic() - started)


def _usage(reply: Reply) -> Finding:
    if reply.estimated:
        return Finding("usage", False, False, "no token counts, or none that can be: budgets go by estimates")
    cached = "" if reply.cached_tokens is None else f", {reply.cached_tokens} from its cache"
    return Finding(
        "usage",
        True,
        False,
        f"{reply.prompt_tokens} prompt tokens{cached}, {reply.completion_tokens} completion tokens",
    )


async def _rungs(model: ChatModel) -> list[Finding]:
    """Try the rungs, best first, until one works; it is remembered unless a fault that may pass was in the way."""
    findings: list[Finding] = []
    best = next(iter(RUNGS))
    while below(best):
        asked = ChatModel(model.name, replace(model.endpoint, structured=best))
        try:
            finding, proof = await _tried(asked, best)
        finally:
            await asked.close()
        findings.append(finding)
        if proof == "none":
            return [
                *findings,
                Finding("structured", False, False, "nothing is remembered: check again when it can answer"),
            ]
        if finding.ok:
            break
        best = "shape" if (best, proof) == ("schema", "refused") else below(best) or best
    return [*findings, _kept(model, best)]


def _kept(model: ChatModel, best: Rung) -> Finding:
    """Remember the best rung, and say what it comes to."""
    endpoint, name = model.endpoint, model.name.partition(":")[2] or model.name
    if not endpoint.remembers:
        return Finding("structured", True, False, f"asked for by `{best}`")
    path = remember(endpoint.url, name, best)
    detail = f"`{best}` is remembered in {path}" if path else f"`{best}` is the best; it could not be written down"
    if endpoint.structured:
        return Finding("structured", True, False, f'{detail}; `structured = "{endpoint.structured}"` overrides it')
    return Finding("structured", True, False, f"{detail}; `structured` in company.toml overrides it")


async def _tried(model: Model, rung: Rung) -> tuple[Finding, Literal["seen", "refused", "none"]]:
    """Ask for something the schema forbids: only a server that does its part keeps to the schema.

    Returns what was seen, and what it proves: a reply, a refusal of the form, or nothing, as a fault that may pass.
    """
    try:
        reply = await _asked(model, "Write a limerick about the sea. No JSON.", _SCHEMA)
    except ModelError as error:
        refused = isinstance(error, EndpointError) and error.refused
        is_sure = isinstance(error, ReplyError) or (isinstance(error, EndpointError) and not error.retryable)
        hint = "" if refused else error.hint
        finding = Finding(rung, False, False, f"{error}; {hint}" if hint else str(error))
        return finding, "refused" if refused else "seen" if is_sure else "none"
    try:
        value = json.loads(reply.text)
    except ValueError:
        value = None
    fits = isinstance(value, dict) and set(value) == set(_SCHEMA["required"]) and value["colour"] in _COLOURS
    if rung == "json":
        is_json = isinstance(value, dict)
        return Finding(rung, is_json, False, "replies are JSON" if is_json else "the reply is no JSON"), "seen"
    if rung == "tool":
        said = "the tool was not called" if not reply.by_call else "the arguments of the call do not fit"
        ok = fits and reply.by_call
        return Finding(rung, ok, False, "replies come as calls of a tool, and fit" if ok else said), "seen"
    held = "replies are held to the schema while they are written"
    return Finding(rung, fits, False, held if fits else "the schema is not enforced"), "seen"


async def _asked(model: Model, text: str, schema: dict[str, Any] | None, on_tokens: OnTokens | None = None) -> Reply:
    """A reply; where a short one was cut before it said what is looked for, one that has more room.

    Raises:
        ModelError: as `Model.complete`; a bare one, which proves nothing, where there is no such room.
    """
    try:
        reply = await model.complete(_request(text, schema, _SHORT), on_tokens)
        if schema is None or reply.finish_reason != "length":
            return reply
    except EmptyReply as error:
        if error.reply.finish_reason != "length":
            raise
    try:
        return await model.complete(_request(text, schema, _LONG), on_tokens)
    except EndpointError as error:
        if error.retryable:
            raise
        cut = f"a reply of {_SHORT} tokens was cut before it showed anything, and there is no room for {_LONG}"
        raise ModelError(f"{cut}: {error.message}", place=error.place) from error


def _request(text: str, schema: dict[str, Any] | None, most: int) -> Request:
    return Request(
        messages=(Message("user", text),),
        schema=schema,
        schema_name="check" if schema else "",
        temperature=0.0,
        max_tokens=most,
        seed=None,
        label=StepLabel("check", "check"),
    )


def _explain(error: ModelError) -> str:
    hint = error.hint.replace("run `company resume`", "give the command again")  # there is no run to go on with
    return f"{error}; {hint}" if hint else str(error)
