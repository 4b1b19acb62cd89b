"""Proves that a model's endpoint does what a run needs: answers, streams, counts tokens, keeps to a schema.

The requests themselves: `client.py`. Who prints the report: `cli.py` (`company model check`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from company.errors import ModelError
from company.llm.client import Message, Model, Reply, Request, StepLabel

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
    """`reply`, `streaming`, `usage` or `schema`."""
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
    """Ask twice, a few dozen tokens in all. A fault of the endpoint is a finding, not an exception."""
    started = time.monotonic()
    findings: list[Finding] = []
    progress: list[int] = []
    try:
        reply = await model.complete(_request("Count from one to ten in words.", None), progress.append)
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
    findings.append(await _schema(model))
    return CheckReport(model.name, tuple(findings), time.monotonic() - started)


def _usage(reply: Reply) -> Finding:
    if reply.estimated:
        return Finding("usage", False, False, "no token counts: budgets go by estimates")
    cached = "" if reply.cached_tokens is None else f", {reply.cached_tokens} from its cache"
    return Finding(
        "usage",
        True,
        False,
        f"{reply.prompt_tokens} prompt tokens{cached}, {reply.completion_tokens} completion tokens",
    )


async def _schema(model: Model) -> Finding:
    """Ask for something the schema forbids: only a server that constrains the decoder keeps to the schema."""
    try:
        reply = await model.complete(_request("Write a limerick about the sea. No JSON.", _SCHEMA))
    except ModelError as error:
        return Finding("schema", False, False, _explain(error))
    try:
        value = json.loads(reply.text)
    except ValueError:
        value = None
    if isinstance(value, dict) and set(value) == set(_SCHEMA["required"]) and value["colour"] in _COLOURS:
        return Finding("schema", True, False, "replies are held to the schema while they are written")
    return Finding("schema", False, False, "the schema is not enforced: expect more repairs of replies")


def _request(text: str, schema: dict[str, Any] | None) -> Request:
    return Request(
        messages=(Message("user", text),),
        schema=schema,
        schema_name="check" if schema else "",
        temperature=0.0,
        max_tokens=80,
        seed=None,
        label=StepLabel("check", "check"),
    )


def _explain(error: ModelError) -> str:
    hint = error.hint.replace("run `company resume`", "give the command again")  # there is no run to go on with
    return f"{error}; {hint}" if hint else str(error)
