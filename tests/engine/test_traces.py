"""A run as spans: one trace a run, roles and calls and tools inside one another, sent once, and no word of a prompt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GenAiProviderNameValues
from opentelemetry.trace import SpanKind, StatusCode

from company import traces as module
from company.endpoints import SERVICES
from company.events import Event
from company.report import Report
from company.settings import Provider, Settings
from company.traces import Traces, first_span, obstacle, trace_id, wanted
from tests.engine.running import REQUIREMENT, RIGHT, WATERFALL, WRONG, events, go_on, start

FIXED = [*WATERFALL, {"step": "code", "reply": WRONG}, {"role": "engineer", "reply": RIGHT}]
ZERO_SHOT = [{"reply": f"### shout.py\n{RIGHT}"}]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def spans_of(past: list[Event], run: str, base: str = "", settings: Settings | None = None) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    taking = Traces(run, settings or Settings(), base, exporter)
    for event in past:
        taking(event)
    taking._provider.force_flush()
    taking.close()
    return list(exporter.get_finished_spans())


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_run_is_one_trace_of_roles_and_their_calls(tmp_path: Path) -> None:
    outcome = start(tmp_path, "waterfall", FIXED)
    spans = spans_of(events(tmp_path), outcome.run)
    assert {span.context.trace_id for span in spans} == {trace_id(outcome.run)}
    by_id = {span.context.span_id: span for span in spans}
    (root,) = [span for span in spans if span.parent is None]
    assert (root.name, root.context.span_id) == ("invoke_workflow waterfall", first_span(outcome.run))
    assert (about(root)["company.status"], about(root)["company.accepted"]) == ("delivered", True)
    chats = [span for span in spans if span.name == "chat script.yaml"]
    assert len(chats) == outcome.calls == 6
    roles = [by_id[span.parent.span_id] for span in chats if span.parent]
    assert [about(role)["gen_ai.agent.name"] for role in roles] == [
        "product_manager", "architect", "architect", "qa", "engineer", "engineer",
    ]  # fmt: skip
    assert {role.name.partition(" ")[0] for role in roles} == {"invoke_agent"}
    code = next(role for role in roles if about(role)["company.step"] == "code.do")
    assert code.parent
    assert by_id[code.parent.span_id].name == "for_each code"
    first = chats[0]
    assert first.kind == SpanKind.CLIENT
    assert about(first) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "script",
        "gen_ai.request.model": "script.yaml",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 2048,
        "gen_ai.request.seed": about(first)["gen_ai.request.seed"],
        "gen_ai.output.type": "json",
        "gen_ai.response.model": "script:script.yaml",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": about(first)["gen_ai.usage.input_tokens"],
        "gen_ai.usage.output_tokens": about(first)["gen_ai.usage.output_tokens"],
        "gen_ai.conversation.id": outcome.run,
        "gen_ai.agent.name": "product_manager",
        "company.attempt": 1,
        "company.step": "prd",
    }
    assert [about(span)["gen_ai.output.type"] for span in chats] == ["json"] * 4 + ["text"] * 2
    used = sum(about(span)["gen_ai.usage.input_tokens"] for span in chats)
    assert used == outcome.prompt_tokens
    verdicts = [event for span in spans for event in span.events if event.name == "gen_ai.evaluation.result"]
    assert [dict(each.attributes or {})["gen_ai.evaluation.score.label"] for each in verdicts] == ["failed", "passed"]
    for span in spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


BEGIN: dict[str, Any] = {
    "event": "run_started", "time": 100.0, "run": "r", "name": "out", "sop": "s", "model": "openai:m", "sandbox": "b",
}  # fmt: skip
STEP: dict[str, Any] = {
    "event": "step_started", "time": 101.0, "step": "a", "id": "a#1", "kind": "role", "role": "qa", "item": "", "round": "1",
}  # fmt: skip
CALL: dict[str, Any] = {
    **STEP, "event": "call_started", "time": 102.0, "call": 1, "attempt": 1, "model": "openai:m", "temperature": 0.2,
    "max_tokens": 9, "seed": 1, "schema": "",
}  # fmt: skip
TOOL: dict[str, Any] = {
    **STEP,
    "event": "tool_started",
    "time": 103.0,
    "name": "python",
    "arguments": {"code": "secret"},
}
END: dict[str, Any] = {
    "event": "run_finished",
    "time": 109.0,
    "status": "failed",
    "reason": "secret",
    "accepted": False,
}


def test_a_tool_a_failed_call_and_what_a_stop_cut_short() -> None:
    past = [
        BEGIN, STEP, CALL, {**CALL, "event": "call_failed", "time": 102.5, "kind": "EndpointError", "reason": "secret"},
        TOOL, {**TOOL, "event": "tool_finished", "time": 103.5, "ok": False, "from_store": False, "size": 3},
        {**CALL, "call": 2, "time": 104.0}, {"event": "step_failed", "time": 105.0, "step": "a", "id": "a#1", "reason": "secret"},
        {**STEP, "id": "b#1", "step": "b", "time": 106.0}, END,
    ]  # fmt: skip
    spans = spans_of(past, "r", base="earlier")
    told = [(span.name, about(span).get("error.type"), (span.end_time or 0) / 1e9) for span in spans]
    assert told == [
        ("chat m", "EndpointError", 102.5),
        ("execute_tool python", "tool_failed", 103.5),
        ("chat m", "cancelled", 105.0),
        ("invoke_agent qa", "step_failed", 105.0),
        ("invoke_agent qa", "cancelled", 109.0),
        ("invoke_workflow s", "run_failed", 109.0),
    ]
    assert {span.status.status_code for span in spans} == {StatusCode.ERROR}
    assert about(spans[1])["gen_ai.tool.name"] == "python"
    assert "secret" not in "".join(span.to_json() for span in spans)
    (link,) = spans[-1].links
    assert (link.context.trace_id, link.context.span_id) == (trace_id("earlier"), first_span("earlier"))


@pytest.mark.parametrize(
    ("model", "provider", "address", "port"),
    [
        ("mistral:m", "mistral_ai", "api.mistral.ai", 443),
        ("deepseek:m", "deepseek", "api.deepseek.com", 443),
        ("openai:m", "openai", "api.openai.com", 443),
        ("work:m", "azure.ai.openai", "mine.openai.azure.com", 443),
        ("grok:m", "x_ai", "api.x.ai", 443),
        ("ollama:m", "ollama", "127.0.0.1", 11434),
        ("plain:m", "plain", "10.0.0.9", 80),
        ("local:m", "local", None, None),
    ],
)
def test_a_provider_is_called_as_the_conventions_call_it_and_its_server_is_told(
    model: str, provider: str, address: str | None, port: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    urls = {
        "work": "https://me:secret@mine.openai.azure.com/openai/v1",
        "grok": "https://api.x.ai/v1?secret=1",
        "plain": "http://10.0.0.9/v1",
    }
    entries = {name: Provider.model_validate({"base_url": url}) for name, url in urls.items()}
    spans = spans_of([BEGIN, STEP, {**CALL, "model": model}, END], "r", settings=Settings(providers=entries))
    told = about(spans[0])
    assert (told["gen_ai.provider.name"], told.get("server.address"), told.get("server.port")) == (
        provider,
        address,
        port,
    )
    assert "secret" not in "".join(span.to_json() for span in spans)


def test_every_service_is_called_by_a_name_of_the_conventions() -> None:
    assert set(SERVICES.values()) <= {each.value for each in GenAiProviderNameValues}


def test_what_is_not_sent_is_in_no_span() -> None:
    without = {"base_url": "http://127.0.0.1:9/v1", "temperature": False, "seed_as": ""}
    settings = Settings(providers={"mine": Provider.model_validate(without)})
    asked = {**CALL, "temperature": 0.2, "seed": 7}
    names = ("gen_ai.request.temperature", "gen_ai.request.seed")
    for model, known in ("mine:m", ()), ("ollama:m", names), ("deepseek:m", names[:1]):
        spans = spans_of([BEGIN, STEP, {**asked, "model": model}, END], "r", settings=settings)
        assert [name for name in names if name in about(spans[0])] == [*known]


def test_a_call_that_failed_is_no_longer_under_way() -> None:
    failed = {**CALL, "event": "call_failed", "time": 104.0, "kind": "EndpointError", "reason": ""}
    later = {**CALL, "call": 2, "time": 150.0}
    used = {"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 0, "seconds": 1.0, "from_store": False}
    report = Report.of([BEGIN, STEP, CALL, failed, later, {**later, "event": "call_finished", "time": 151.0, **used}])
    assert report.model_seconds == 3.0


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes OTLP over HTTP, and the bodies that it got."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_both_sittings_of_a_run_reach_a_collector_as_one_trace_without_a_word_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as (address, bodies):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        stopped = start(tmp_path, "waterfall", FIXED, limits={"calls": 2})
        assert stopped.status == "limited"
        (tmp_path / "script.yaml").write_text("[{reply: nothing}]")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        assert go_on(tmp_path, limits={"calls": 3}).status != "delivered"
    spans, services = [], set()
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            services |= {each.value.string_value for each in resource.resource.attributes if each.key == "service.name"}
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    assert {int.from_bytes(span.trace_id, "big") for span in spans} == {trace_id(stopped.run)}
    assert len([span for span in spans if not span.parent_span_id]) == 2
    assert services == {"company", "mine"}
    assert all(REQUIREMENT.encode() not in body and b"say things loudly" not in body for body in bodies)


def test_without_the_extra_one_notice_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert start(tmp_path, "zero_shot", ZERO_SHOT).status == "delivered"
    said = [event["text"] for event in events(tmp_path) if event["event"] == "notice" and "OTEL" in event["text"]]
    assert said == [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and traces need an extra: `pip install -e '.[otel]'` in the folder of company's source"
    ]


def test_traces_are_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (wanted(), obstacle()) == ("", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert (wanted(), obstacle()) == ("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert "not grpc" in obstacle()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert (wanted(), obstacle()) == ("", "")
