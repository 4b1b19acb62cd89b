"""A run as OpenTelemetry spans with the semantic conventions for generative AI: a listener to the journal's events.

On where the standard variables name a collector and the extra `otel` is installed. What the events are: `events.py`. No
prompt, no reply and no argument of a tool is in a span.
"""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from company.errors import extra
from company.events import Event
from company.llm.providers import sent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from company.settings import Settings

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def wanted() -> str:
    """The variable that asks for traces; empty where none does."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return ""
    return next((name for name in _ENDPOINTS if os.environ.get(name)), "")


def obstacle() -> str:
    """Why traces that are wanted cannot be sent; empty where they can, or are not wanted."""
    if not (asked := wanted()):
        return ""
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        return f"no traces are sent: of the OTLP protocols only http/protobuf is there, not {protocol}"
    if not find_spec("opentelemetry") or not find_spec("opentelemetry.exporter.otlp.proto.http"):
        return f"{asked} is set, and traces need an extra: {extra('otel')}"
    return ""


def trace_id(run: str) -> int:
    """The trace of a run: the same for each of its sittings, and known to whoever has the run's id."""
    return int.from_bytes(hashlib.sha256(run.encode()).digest()[:16], "big")


class Traces:
    """Takes in a sitting's events and sends spans.

    Args:
        run: whose trace it is.
        settings: where its models are, and what they are sent.
        base: the run that it goes back to, which its spans then link to; empty without one.
        exporter: where spans go; by default as the standard variables say.
    """

    def __init__(self, run: str, settings: Settings, base: str = "", exporter: SpanExporter | None = None) -> None:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
        self._ids = _ids(run)
        self._provider = _provider(self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("company")
        self._run, self._settings, self._base = run, settings, base
        self._root: Span | None = None
        self._steps: dict[str, tuple[str, Span]] = {}
        """Id of an execution → its step's path, and its span."""
        self._calls: dict[tuple[str, Any], Span] = {}
        """Id of an execution, and the call's number or the tool's name → span."""

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        name, ident = event["event"], event.get("id", "")
        if name in ("run_started", "run_resumed"):
            self._begin(event)
        elif name == "step_started":
            self._step(event)
        elif name in ("step_finished", "step_failed"):
            self._step_ends(event, failed=name == "step_failed")
        elif name == "call_started":
            self._calls[ident, event["call"]] = self._chat(event)
        elif name == "call_finished" and event["from_store"]:
            self._event(ident, "company.reply_kept", event, {"company.tokens": event["completion_tokens"]})
        elif name in ("call_finished", "call_failed"):
            if span := self._calls.pop((ident, event["call"]), None):
                _answered(span, event)
        elif name == "tool_started":
            about = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": event["name"]}
            span = self._span(f"execute_tool {event['name']}", event, about, self._parent(ident, event["step"]))
            self._calls[ident, event["name"]] = span
        elif name == "tool_finished":
            if span := self._calls.pop((ident, event["name"]), None):
                span.set_attribute("company.from_store", event["from_store"])
                _end(span, event, "" if event["ok"] else "tool_failed")
        elif name == "verdict":
            label, score = ("passed", 1.0) if event["passed"] else ("failed", 0.0)
            about = {"gen_ai.evaluation.name": event["step"], "gen_ai.evaluation.score.label": label}
            more = {"gen_ai.evaluation.score.value": score, "company.summary": event["summary"]}
            self._event(ident, "gen_ai.evaluation.result", event, {**about, **more})
        elif name == "gate_decided":
            self._event(ident, "company.gate", event, {"company.choice": event["choice"], "company.by": event["by"]})
        elif name == "loop_round":
            about = {"company.step": event["step"], "company.round": event["round"], "company.until": event["until"]}
            self._event("", "company.loop_round", event, about)
        elif name == "commit":
            self._event("", "company.commit", event, {"company.step": event["step"], "company.sha": event["sha"]})
        elif name == "run_finished":
            self._finish(event)

    def close(self) -> None:
        """Send what has ended, for as long as the exporter's own time limit allows."""
        self._provider.shutdown()

    def _begin(self, event: Event) -> None:
        from opentelemetry.trace import Link, SpanContext, TraceFlags

        about = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": event["sop"],
            "company.name": event["name"],
            "company.model": event["model"],
            "company.sandbox": event["sandbox"],
            "company.resumed": event["event"] == "run_resumed",
        }
        links = []
        if self._base:
            about["company.base"] = self._base
            base = SpanContext(trace_id(self._base), first_span(self._base), is_remote=True, trace_flags=TraceFlags(1))
            links.append(Link(base))
        if event["event"] == "run_started":
            self._ids.first = first_span(self._run)
        self._root = self._span(f"invoke_workflow {event['sop']}", event, about, None, links=links)

    def _step(self, event: Event) -> None:
        about = {"company.kind": event["kind"], "company.round": str(event["round"])}
        if event["item"]:
            about["company.item"] = event["item"]
        name = f"{event['kind']} {event['step']}"
        if event["role"]:
            about |= {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": event["role"]}
            name = f"invoke_agent {event['role']}"
        span = self._span(name, event, about, self._parent("", event["step"]))
        self._steps[event["id"]] = event["step"], span

    def _step_ends(self, event: Event, *, failed: bool) -> None:
        ident = event["id"]
        for key in [key for key in self._calls if key[0] == ident]:  # what was cut short with it
            _end(self._calls.pop(key), event, "cancelled")
        if begun := self._steps.pop(ident, None):
            if "kept_from" in event:
                begun[1].set_attribute("company.kept_from", event["kept_from"])
            _end(begun[1], event, "step_failed" if failed else "")

    def _finish(self, event: Event) -> None:
        for span in (*self._calls.values(), *(span for _, span in reversed(self._steps.values()))):
            _end(span, event, "cancelled")
        self._calls, self._steps = {}, {}
        if self._root:
            self._root.set_attributes({"company.status": event["status"], "company.accepted": event["accepted"]})
            _end(self._root, event, "run_failed" if event["status"] == "failed" else "")

    def _chat(self, event: Event) -> Span:
        from opentelemetry.trace import SpanKind

        provider, _, model = event["model"].partition(":")
        where = sent(event["model"], self._settings)
        about = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": where.provider,
            "gen_ai.request.model": model or provider,
            "gen_ai.request.temperature": event["temperature"] if where.temperature else None,
            "gen_ai.request.max_tokens": event["max_tokens"],
            "gen_ai.request.seed": event["seed"] if where.seed else None,
            "gen_ai.output.type": "json" if event["schema"] else "text",
            "server.address": where.host,
            "server.port": where.port,
            "gen_ai.agent.name": event["role"],
            "company.attempt": event["attempt"],
        }
        parent = self._parent(event["id"], event["step"])
        return self._span(f"chat {model or provider}", event, about, parent, kind=SpanKind.CLIENT)

    def _parent(self, ident: str, step: str) -> Span | None:
        """The execution itself, else the innermost for_each around the step, else the sitting."""
        if ident in self._steps:
            return self._steps[ident][1]
        around = [(len(path), span) for path, span in self._steps.values() if step.startswith(f"{path}.")]
        return max(around, key=lambda each: each[0])[1] if around else self._root

    def _event(self, ident: str, name: str, event: Event, about: dict[str, Any]) -> None:
        span = self._steps[ident][1] if ident in self._steps else self._root
        if span:
            span.add_event(name, about, _nanoseconds(event))

    def _span(self, name: str, event: Event, about: dict[str, Any], parent: Span | None, **more: Any) -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        where = {"company.step": event["step"]} if "step" in event else {}
        about = {"gen_ai.conversation.id": self._run, **where, **about}
        context = set_span_in_context(parent, Context()) if parent else Context()
        return self._tracer.start_span(
            name,
            context,
            attributes={key: value for key, value in about.items() if value is not None},
            start_time=_nanoseconds(event),
            **more,
        )


def first_span(run: str) -> int:
    """The span of a run's first sitting, so that a run which goes back to it can link to it."""
    return trace_id(run) & 0xFFFFFFFFFFFFFFFF or 1


def _ids(run: str) -> Any:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """Every span is in the run's own trace; the next has the id `first`, where one is set."""

        first = 0

        def generate_trace_id(self) -> int:
            return trace_id(run)

        def generate_span_id(self) -> int:
            given, self.first = self.first, 0
            return given or super().generate_span_id()

    return Ids()


def _provider(ids: Any) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": "company"})
    return TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)


def _answered(span: Span, event: Event) -> None:
    """End a call's span with what came of it."""
    if event["event"] == "call_failed":
        _end(span, event, event["kind"])
        return
    used = {
        "gen_ai.usage.input_tokens": event["prompt_tokens"],
        "gen_ai.usage.output_tokens": event["completion_tokens"],
        "gen_ai.usage.cache_read.input_tokens": event["cached_tokens"],
        "gen_ai.response.finish_reasons": [event["finish_reason"]],
        "gen_ai.response.model": event["served"],
    }
    span.set_attributes({key: value for key, value in used.items() if value is not None})
    _end(span, event, "")


def _end(span: Span, event: Event, error: str) -> None:
    from opentelemetry.trace import StatusCode

    if error:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end(_nanoseconds(event))


def _nanoseconds(event: Event) -> int:
    return int(float(event["time"]) * 1e9)
