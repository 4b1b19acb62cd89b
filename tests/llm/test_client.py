"""ChatModel against a real local server that misbehaves: class of error, number of tries, no hang."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from company.errors import DeadlineExceeded, EndpointError, ReplyError, UsageError
from company.llm import client, wire
from company.llm.check import check
from company.llm.client import ChatModel, EmptyReply, Message, Reply, Request, StepLabel
from company.llm.endpoint import Endpoint
from company.llm.shapes import form
from tests import fault_server as fs

KEY = "sk-very-secret-0123456789"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of endpoints are kept in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def request(schema: dict[str, Any] | None = None, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "messages": (Message("system", "Be brief."), Message("user", "Say hello.")),
        "schema": schema,
        "schema_name": "Thing" if schema else "",
        "temperature": 0.2,
        "max_tokens": 50,
        "seed": 7,
        "label": StepLabel("code", "engineer"),
    }
    return Request(**{**fields, **changes})


class Outcome:
    """What one call did."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        self.pauses: list[float] = []
        self.notices: list[str] = []
        self.progress: list[tuple[int, str]] = []
        self.server: fs.FaultServer
        self.seconds = 0.0

    @property
    def tries(self) -> int:
        return len(self.server.requests)


def play(
    *script: fs.Behaviour,
    ask: Request | None = None,
    certificate: Path | None = None,
    scheme: str = "",
    **settings: Any,
) -> Outcome:
    """One call against a script; pauses are recorded instead of waited for. `scheme`: asked for instead of the right one."""
    outcome = Outcome()

    async def pause(seconds: float) -> None:
        outcome.pauses.append(seconds)

    async def main() -> None:
        async with fs.serving(*script, certificate=certificate) as server:
            outcome.server = server
            url = f"{scheme}://{server.base_url.partition('://')[2]}" if scheme else server.base_url
            endpoint = Endpoint(url, SecretStr(KEY), **{"deadline_seconds": 5.0, **settings})
            model = ChatModel("openai:m-1", endpoint, notice=outcome.notices.append, sleep=pause)
            started = time.monotonic()
            try:
                outcome.reply = await model.complete(ask or request(), lambda *told: outcome.progress.append(told))
            except (EndpointError, DeadlineExceeded, ReplyError) as error:
                outcome.error = error
            finally:
                outcome.seconds = time.monotonic() - started
                await model.close()

    asyncio.run(main())
    return outcome


# --- replies that are fine


def test_reply_has_text_usage_and_progress() -> None:
    outcome = play(fs.ok("Hel", "lo", "!"))
    reply = outcome.reply
    assert reply is not None
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello!", "stop", "m-1")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens, reply.estimated) == (11, 3, 5, False)
    assert 0 < reply.seconds < 5
    assert outcome.progress == [(0, ""), (1, "Hel"), (2, "lo"), (3, "!")], "0: the request is about to be sent"


def test_what_is_sent() -> None:
    seen = play(fs.ok(), ask=request(SCHEMA)).server.requests[0]
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["accept-encoding"] == "identity"
    body = seen.body
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "Thing", "strict": True, "schema": SCHEMA},
    }
    assert [(m["role"], m["content"]) for m in body["messages"]] == [("system", "Be brief."), ("user", "Say hello.")]
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("m-1", 50, 0.2, 7)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_schema_goes_into_the_prompt_where_the_endpoint_takes_none() -> None:
    body = play(fs.ok(), ask=request(SCHEMA), structured="prompt").server.requests[0].body
    assert "response_format" not in body
    assert body["messages"][-1]["content"].endswith(f"in this form, filled in:\n{form(SCHEMA)}")


def test_server_that_does_not_stream() -> None:
    outcome = play(fs.whole("Hello there"))
    assert outcome.reply is not None
    assert (outcome.reply.text, outcome.reply.finish_reason, outcome.reply.completion_tokens) == (
        "Hello there",
        "stop",
        3,
    )


def test_usage_is_estimated_and_says_so() -> None:
    reply = play(fs.ok("abcdefgh", usage=None)).reply
    assert reply is not None
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens, reply.estimated) == (5, 2, None, True)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, (5, 2, None, True), id="zeros"),
        pytest.param({"prompt_tokens": 11, "completion_tokens": -50}, (11, 2, None, True), id="negative"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 3}, (5, 3, None, True), id="negative-prompt"),
        pytest.param({"prompt_tokens": 11}, (11, 2, None, True), id="half"),
    ],
)
def test_counts_that_cannot_be_are_estimated_and_say_so(
    usage: dict[str, Any], counted: tuple[int, int, int | None, bool]
) -> None:
    end = fs.event({**fs.piece(None, "stop"), "usage": {"total_tokens": 0, **usage}})
    reply = play(fs.raw(fs.event(fs.piece("abcdefgh")) + end + b"data: [DONE]\n\n")).reply
    assert reply is not None
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens, reply.estimated) == counted


@pytest.mark.parametrize(("told", "cached"), [(5000, 11), (11, 11), (0, 0), (-5, None)])
def test_no_more_of_a_prompt_was_cached_than_there_is(told: int, cached: int | None) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": told}}
    reply = play(fs.ok("abcdefgh", usage=usage)).reply
    assert reply is not None
    assert (reply.prompt_tokens, reply.cached_tokens, reply.estimated) == (11, cached, False)


def test_an_empty_reply_of_no_tokens_is_as_it_was_counted() -> None:
    outcome = play(fs.ok("", usage={"prompt_tokens": 11, "completion_tokens": 0}))
    assert isinstance(outcome.error, EmptyReply)
    assert (outcome.error.reply.completion_tokens, outcome.error.reply.estimated) == (0, False)


def test_cut_reply_is_returned_as_cut() -> None:
    reply = play(fs.ok('{"a": ', finish="length"), ask=request(SCHEMA)).reply
    assert reply is not None
    assert (reply.text, reply.finish_reason, reply.completion_tokens) == ('{"a": ', "length", 3)


def test_small_gzip_is_read_though_not_asked_for() -> None:
    body = fs.event(fs.piece("zipped", "stop")) + b"data: [DONE]\n\n"
    reply = play(fs.raw(gzip.compress(body), content_encoding="gzip")).reply
    assert reply is not None
    assert reply.text == "zipped"


# --- what comes after the end

END = fs.event(fs.piece(None, "stop"))
COUNTS = fs.event({**fs.piece(None), "choices": [], "usage": fs.USAGE})
WHOLE = fs.head() + fs.event(fs.piece("Hello!")) + END


@pytest.mark.parametrize(
    ("fault", "estimated"),
    [
        pytest.param(fs.reset(WHOLE), True, id="reset"),
        pytest.param(fs.raw(WHOLE.removeprefix(fs.head()) + fs.event({"error": {"message": "x"}})), True, id="error"),
        pytest.param(fs.raw(WHOLE.removeprefix(fs.head()) + b"data: {\n\n"), True, id="no-json"),
        pytest.param(fs.stall(WHOLE), True, id="silence"),
        pytest.param(fs.drip(b": still here\n\n", 0.05, WHOLE), True, id="comments-for-ever"),
        pytest.param(fs.reset(WHOLE, COUNTS), False, id="reset-after-counts"),
        pytest.param(fs.stall(WHOLE, COUNTS), False, id="silence-after-counts"),
        pytest.param(fs.stall(WHOLE, COUNTS, b"data: [DONE]\n\n"), False, id="silence-after-done"),
    ],
)
def test_what_breaks_after_the_end_costs_no_reply(
    fault: fs.Behaviour, estimated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_AFTER_SECONDS", 0.3)
    outcome = play(fault, fs.ok("another"))
    assert outcome.reply is not None, outcome.error
    assert (outcome.reply.text, outcome.reply.estimated, outcome.tries) == ("Hello!", estimated, 1)
    assert outcome.seconds < 3
    assert [*map(len, outcome.notices)] == [len(notice) for notice in outcome.notices if "estimated" in notice]
    assert len(outcome.notices) == estimated


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [("stop", "stop", "stop"), ("stop", "length", "length"), ("length", "stop", "length"), ("stop", "eos", "stop")],
)
def test_of_two_finish_reasons_the_cut_one_is_believed(first: str, second: str, told: str) -> None:
    ends = fs.event(fs.piece(None, first)) + fs.event(fs.piece(None, second))
    reply = play(fs.raw(fs.event(fs.piece("Hello!")) + ends + COUNTS)).reply
    assert reply is not None
    assert (reply.text, reply.finish_reason, reply.completion_tokens) == ("Hello!", told, 3)


@pytest.mark.parametrize("bad", ["error", "pause_turn"])
def test_an_end_that_a_bad_one_follows_is_no_end(bad: str) -> None:
    ends = fs.event(fs.piece(None, "stop")) + fs.event(fs.piece(None, bad))
    outcome = play(fs.raw(fs.event(fs.piece("Half of")) + ends + COUNTS), fs.ok("Whole."))
    if bad == "error":
        assert outcome.reply is not None
        assert (outcome.reply.text, outcome.tries) == ("Whole.", 2)
    else:
        assert isinstance(outcome.error, EndpointError)
        assert f"the reply ended with `{bad}`" in str(outcome.error)
    assert not any("estimated" in notice for notice in outcome.notices)


def test_a_reply_that_goes_on_after_its_end_is_no_reply() -> None:
    twice = WHOLE.removeprefix(fs.head()) * 2
    outcome = play(fs.raw(twice + COUNTS), fs.ok())
    assert outcome.reply is not None
    assert (outcome.reply.text, outcome.tries) == ("Hello!", 2)
    assert "goes on after its end" in outcome.notices[0]


def test_chunks_that_come_twice_are_kept_as_they_came() -> None:
    """Chunks have no number: one that comes twice looks as a word that is said twice. Who reads the reply judges it."""
    chunk = fs.event(fs.piece("ha"))
    reply = play(fs.raw(chunk + chunk + END + END + COUNTS + COUNTS)).reply
    assert reply is not None
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("haha", 11, 3)


# --- faults that pass


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fs.error("500 Internal Server Error"), id="500"),
        pytest.param(fs.error("503 Service Unavailable"), id="503"),
        pytest.param(fs.raw(b"", "502 Bad Gateway", "text/html"), id="502-empty"),
        pytest.param(fs.error("429 Too Many Requests"), id="429"),
        pytest.param(fs.reset(), id="reset-before"),
        pytest.param(fs.reset(fs.head(), fs.event(fs.piece("Hal"))), id="reset-mid-stream"),
        pytest.param(fs.raw(b""), id="closed-at-once"),
        pytest.param(fs.raw(fs.event(fs.piece("Hal"))), id="early-close"),
        pytest.param(fs.raw(b"5\r\nabc", transfer_encoding="chunked"), id="cut-chunk"),
        pytest.param(fs.raw(b'data: {"choices": [{"delta": \n\n'), id="truncated-json"),
        pytest.param(fs.raw(b'{"id": "c1", "choices": [{"mess', kind="application/json"), id="truncated-whole"),
        pytest.param(fs.raw(b"<html><title>Sign in</title></html>", kind="text/html"), id="html"),
        pytest.param(fs.raw(b'data: {"a": "\xff\xfe"}\n\n'), id="bad-utf8"),
        pytest.param(fs.raw(b"data: " + b"[" * 200_000 + b"\n\n"), id="deep-nesting"),
        pytest.param(fs.raw(b"[" * 200_000, kind="application/json"), id="deep-nesting-whole"),
        pytest.param(fs.raw(b'data: {"choices": 5}\n\n'), id="choices-a-number"),
        pytest.param(fs.raw(b'data: {"choices": [null]}\n\n'), id="choice-null"),
        pytest.param(fs.raw(b'data: ["x"]\n\n'), id="event-a-list"),
        pytest.param(fs.raw(fs.event(fs.piece("x", usage={"prompt_tokens": "many"}))), id="usage-no-number"),
        pytest.param(fs.raw(fs.event({"error": {"message": "slot lost", "code": 500}})), id="error-event"),
        pytest.param(fs.raw(b'{"error": {"message": "overloaded"}}', kind="application/json"), id="error-in-200"),
        pytest.param(fs.raw(b"no gzip at all", content_encoding="gzip"), id="damaged-gzip"),
        pytest.param(fs.raw(b"", "204 No Content"), id="204"),
        pytest.param(fs.stall(b"\x00\x01no HTTP\r\n\r\n"), id="no-http"),
        pytest.param(fs.drip(b"X-More: " + b"a" * 4000 + b"\r\n", 0.001, b"HTTP/1.1 200 OK\r\n"), id="endless-head"),
    ],
)
def test_passing_fault_is_tried_again(fault: fs.Behaviour) -> None:
    outcome = play(fault, fault, fs.ok())
    assert outcome.reply is not None, outcome.error
    assert outcome.reply.text == "Hello!"
    assert outcome.tries == 3
    assert 0.5 <= outcome.pauses[0] <= 1.0
    assert 1.0 <= outcome.pauses[1] <= 2.0
    assert len(outcome.notices) == 2
    assert "trying again" in outcome.notices[0]


def test_lasting_fault_ends_after_the_permitted_tries() -> None:
    outcome = play(fs.error("500 Internal Server Error", "no memory"), deadline_seconds=60.0)
    assert isinstance(outcome.error, EndpointError)
    assert outcome.tries == 5
    assert "no memory" in str(outcome.error)
    assert "tried 5 times" in str(outcome.error)
    assert outcome.error.retryable
    assert "company resume" in outcome.error.hint
    assert outcome.error.place == outcome.server.base_url


def test_garbage_is_shown_in_the_message() -> None:
    page = b"<html>\x1b[31mSign\nin</html>"
    outcome = play(fs.raw(page, kind="text/html"), retries=1)
    assert isinstance(outcome.error, EndpointError)
    assert "<html> [31mSign in</html>" in str(outcome.error)
    assert "\x1b" not in str(outcome.error)


def test_retry_after_is_honoured() -> None:
    outcome = play(fs.error("429 Too Many Requests", Retry_After="3"), fs.ok(), deadline_seconds=30.0)
    assert outcome.reply is not None
    assert 3.0 <= outcome.pauses[0] <= 4.0


def test_retry_after_may_be_a_date() -> None:
    from email.utils import formatdate

    later = formatdate(time.time() + 20, usegmt=True)
    outcome = play(fs.error("503 Service Unavailable", Retry_After=later), fs.ok(), deadline_seconds=60.0)
    assert outcome.reply is not None
    assert 17 <= outcome.pauses[0] <= 23


@pytest.mark.parametrize("value", ["soon", "nan", "-5", "inf", "0"])
def test_retry_after_nonsense_falls_back_to_backoff(value: str) -> None:
    outcome = play(fs.error("429 Too Many Requests", Retry_After=value), fs.ok())
    assert outcome.reply is not None
    assert 0.5 <= outcome.pauses[0] <= 1.0


def test_retry_after_beyond_the_cap_stops_resumable() -> None:
    outcome = play(fs.error("429 Too Many Requests", Retry_After="3600"), fs.ok(), deadline_seconds=9999.0)
    assert isinstance(outcome.error, EndpointError)
    assert (outcome.error.retryable, outcome.error.retry_after) == (True, 3600.0)
    assert (outcome.tries, outcome.pauses) == (1, [])
    assert "company resume" in outcome.error.hint


def test_a_pause_longer_than_the_deadline_is_not_begun() -> None:
    outcome = play(fs.error("429 Too Many Requests", Retry_After="30"), fs.ok(), deadline_seconds=5.0)
    assert isinstance(outcome.error, EndpointError)
    assert (outcome.tries, outcome.pauses) == (1, [])


# --- faults that stay


@pytest.mark.parametrize(
    ("status", "text", "own"),
    [
        ("400 Bad Request", "This model's maximum context length is 4096 tokens", True),
        ("413 Payload Too Large", "", True),
        ("400 Bad Request", "The response was filtered due to Azure's content management policy", True),
        ("400 Bad Request", "messages must alternate", False),
        ("401 Unauthorized", "content filter: log in first", False),
        ("500 Internal Server Error", "context window manager crashed", False),
    ],
)
def test_what_is_wrong_with_one_request_is_told_from_what_is_wrong_with_all(status: str, text: str, own: bool) -> None:
    error = play(*[fs.error(status, text)] * 9).error
    assert isinstance(error, EndpointError)
    assert error.is_of_request is own


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        pytest.param(fs.error("401 Unauthorized", "bad key"), "OPENAI_API_KEY", id="401"),
        pytest.param(fs.error("403 Forbidden", "no"), "OPENAI_API_KEY", id="403"),
        pytest.param(fs.error("404 Not Found", "no such model"), "`m-1`", id="404"),
        pytest.param(fs.error("429 Too Many Requests", "pay", "insufficient_quota"), "no credit", id="quota"),
        pytest.param(fs.raw(b"", "307 Temporary Redirect", Location="/x"), "OPENAI_BASE_URL", id="redirect"),
        pytest.param(
            fs.error("400 Bad Request", "the request exceeds the available context size"), "too long", id="context"
        ),
        pytest.param(
            fs.error("400 Bad Request", "too many tokens", "context_length_exceeded"), "too long", id="context-code"
        ),
        pytest.param(fs.raw(fs.event({"error": {"message": "no key", "code": 401}})), "OPENAI_API_KEY", id="event-401"),
    ],
)
def test_lasting_refusal_is_told_with_a_way_out(fault: fs.Behaviour, hint: str) -> None:
    outcome = play(fault, fs.ok())
    assert isinstance(outcome.error, EndpointError)
    assert (outcome.tries, outcome.error.retryable) == (1, False)
    assert hint in outcome.error.hint


def test_nobody_listens() -> None:
    async def main() -> EndpointError:
        async with fs.serving(fs.ok()) as server:
            url = server.base_url
        model = ChatModel("openai:m", Endpoint(url, retries=1, url_name="MY_URL"), sleep=lambda s: asyncio.sleep(0))
        with pytest.raises(EndpointError) as caught:
            await model.complete(request())
        await model.close()
        return caught.value

    error = asyncio.run(main())
    assert "cannot connect" in str(error)
    assert "tried 2 times" in str(error)
    assert "MY_URL" in error.hint


@pytest.mark.parametrize("text", [pytest.param("", id="nothing"), pytest.param(" \n ", id="blank")])
def test_empty_content_is_a_failed_reply_that_says_what_it_cost(text: str) -> None:
    outcome = play(fs.ok(text))
    assert isinstance(outcome.error, EmptyReply)
    assert outcome.tries == 1
    assert outcome.error.reply.completion_tokens == 3
    assert "empty" in outcome.error.reason


def test_empty_and_cut_says_both() -> None:
    outcome = play(fs.ok("", finish="length"))
    assert isinstance(outcome.error, EmptyReply)
    assert "max_tokens" in str(outcome.error)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fs.huge, id="endless-line"),
        pytest.param(fs.bomb(64), id="gzip-bomb"),
        pytest.param(
            fs.raw(gzip.compress(b"\0" * (64 << 20)), "500 Internal Server Error", content_encoding="gzip"),
            id="bomb-in-500",
        ),
    ],
)
def test_body_is_bounded(fault: fs.Behaviour) -> None:
    outcome = play(fault, fs.ok(), deadline_seconds=20.0)
    assert isinstance(outcome.error, EndpointError)
    assert "larger than 16 MiB" in str(outcome.error)
    assert (outcome.tries, outcome.error.retryable) == (1, False)


LETTER_BY_LETTER = b"".join(
    b'data: {"choices":[{"index":0,"delta":{"content":"%c"}}]}\n\n' % letter
    for letter in random.Random(1).choices(b"abcdefgh ,", k=1000)
)
"""Events of less than 60 bytes, of which LangChain keeps 3 kB each."""


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fs.huge, id="one-line"),
        pytest.param(fs.drip(fs.event(fs.piece(" ".join(map(str, range(3000))))), 0.001), id="events"),
        pytest.param(fs.drip(b": " + b"c" * 60_000 + b"\n\n", 0.001), id="comments"),
        pytest.param(fs.drip(b"data: " + b" " * 60_000 + b"\n\n", 0.001), id="blank-events"),
        pytest.param(fs.drip(LETTER_BY_LETTER, 0), id="letters"),
    ],
)
def test_a_body_without_end_takes_bounded_memory(fault: fs.Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_LIMIT", 4 << 20)
    play(fs.ok())
    before = psutil.Process().memory_info().rss
    outcome = play(fault, fs.ok(), deadline_seconds=60.0, retries=0)
    grown = (psutil.Process().memory_info().rss - before) >> 20
    print(f"{grown} MiB for a bound of 4 MiB")
    assert isinstance(outcome.error, EndpointError)
    assert grown < 250


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(LETTER_BY_LETTER, id="letters"),
        pytest.param(b'data: {"choices":[{"index":0,"delta":{}}]}\n\n' * 1000, id="without-a-word"),
    ],
)
def test_a_reply_of_more_events_than_memory_is_spent_on_is_broken_off(
    events: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_EVENTS", 4000)
    outcome = play(fs.drip(events, 0), fs.ok(), deadline_seconds=60.0)
    assert isinstance(outcome.error, EndpointError)
    assert "larger than 4000 events" in str(outcome.error)
    assert (outcome.tries, outcome.error.retryable) == (1, False)


def test_what_a_model_thinks_is_not_counted_against_the_tokens_of_its_reply() -> None:
    """Services bound both apart: some allow 32,768 tokens of thinking beside whatever `max_tokens` says."""
    thought = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"Hm,"}}]}\n\n'
    reply = play(fs.raw(thought * 32_768 + WHOLE.removeprefix(fs.head()) + COUNTS), deadline_seconds=60.0).reply
    assert reply is not None
    assert reply.text == "Hello!"


def test_unknown_compression_is_refused() -> None:
    outcome = play(fs.raw(b"xxxx", content_encoding="br"))
    assert isinstance(outcome.error, EndpointError)
    assert "compressed as `br`" in str(outcome.error)


# --- time


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fs.drip(fs.event(fs.piece("x")), 0.05), id="slow-drip"),
        pytest.param(fs.drip(b": still here\n\n", 0.05), id="comments-for-ever"),
        pytest.param(fs.silent, id="silence"),
    ],
)
def test_deadline_holds_for_the_whole_call(fault: fs.Behaviour) -> None:
    outcome = play(fault, deadline_seconds=0.4, idle_seconds=5.0)
    assert isinstance(outcome.error, DeadlineExceeded)
    assert 0.35 <= outcome.seconds < 2.0
    assert "0.4 s" in str(outcome.error)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(fs.head() + b"data: ", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="head"),
    ],
)
def test_a_byte_a_second_does_not_outlive_the_deadline(before: bytes) -> None:
    outcome = play(fs.drip(b"x", 1.0, before), deadline_seconds=2.2, idle_seconds=1.5)
    assert isinstance(outcome.error, DeadlineExceeded)
    assert 2.1 <= outcome.seconds < 4.0
    assert outcome.tries == 1


def test_silence_is_tried_again() -> None:
    outcome = play(fs.silent, fs.ok(), idle_seconds=0.2)
    assert outcome.reply is not None
    assert outcome.tries == 2
    assert "silent" in outcome.notices[0]


def test_cancelling_a_call_leaves_the_slot_free() -> None:
    async def main() -> str:
        async with fs.serving(fs.silent, fs.ok()) as server:
            model = ChatModel("openai:m-1", Endpoint(server.base_url, parallel=1))
            task = asyncio.create_task(model.complete(request()))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            reply = await asyncio.wait_for(model.complete(request()), 5)
            await model.close()
            return reply.text

    assert asyncio.run(main()) == "Hello!"


def test_models_on_one_endpoint_share_its_slots_and_waiting_is_not_in_the_deadline() -> None:
    async def slow(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        await fs.ok()(body, writer)

    async def main() -> tuple[int, list[Reply]]:
        async with fs.serving(slow) as server:
            endpoint = Endpoint(server.base_url, parallel=2, deadline_seconds=1.4)
            models = [ChatModel("openai:a", endpoint), ChatModel("openai:b", endpoint)]
            replies = await asyncio.gather(*(models[n % 2].complete(request()) for n in range(8)))
            for model in models:
                await model.close()
            return server.most_at_once, replies

    most, replies = asyncio.run(main())
    assert most == 2
    assert len(replies) == 8


# --- the way there


def test_a_redirect_loop_is_not_followed() -> None:
    outcome = play(fs.raw(b"", "302 Found", Location="/v1/chat/completions"))
    assert isinstance(outcome.error, EndpointError)
    assert (outcome.tries, outcome.error.retryable) == (1, False)
    assert "HTTP 302" in str(outcome.error)
    assert "sends us elsewhere" in outcome.error.hint


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = fs.self_signed(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    outcome = play(fs.ok(), certificate=certificate, url_name="MY_URL")
    assert isinstance(outcome.error, EndpointError)
    assert (outcome.tries, outcome.pauses, outcome.error.retryable) == (0, [], False)
    assert "certificate is not trusted: self-signed certificate" in str(outcome.error)
    assert "MY_URL" in outcome.error.hint
    assert "SSL_CERT_FILE" in outcome.error.hint
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert play(fs.ok(), certificate=certificate).reply is not None


def test_a_certificate_of_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = fs.self_signed(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    outcome = play(fs.ok(), certificate=certificate)
    assert isinstance(outcome.error, EndpointError)
    assert "certificate is not trusted: IP address mismatch" in str(outcome.error)


def test_tls_and_none_taken_for_each_other(tmp_path: Path) -> None:
    async def main() -> EndpointError:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            model = ChatModel("openai:m", Endpoint(url, url_name="MY_URL"))
            with pytest.raises(EndpointError) as caught:
                await model.complete(request())
            await model.close()
            return caught.value

    plain = asyncio.run(main())
    assert not plain.retryable
    assert "speaks no TLS" in str(plain)
    assert "write http:// in MY_URL" in plain.hint
    secure = play(fs.ok(), certificate=fs.self_signed(tmp_path), scheme="http", retries=1)
    assert isinstance(secure.error, EndpointError)
    assert secure.error.hint


# --- secrets and settings


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fs.error("401 Unauthorized", f"Incorrect API key provided: {KEY}"), id="json"),
        pytest.param(fs.raw(f"you sent Bearer {KEY}".encode(), "403 Forbidden", "text/plain"), id="text"),
        pytest.param(fs.raw(f"<html>{KEY}</html>".encode(), kind="text/html"), id="html"),
    ],
)
def test_no_error_holds_the_key(fault: fs.Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    import traceback

    caplog.set_level("DEBUG")
    outcome = play(fault, retries=1)
    assert isinstance(outcome.error, EndpointError)
    shown = "".join(traceback.format_exception(outcome.error)) + outcome.error.hint + "".join(outcome.notices)
    assert "***" in shown
    assert KEY not in shown
    assert KEY not in caplog.text


def test_no_repr_holds_the_key() -> None:
    endpoint = Endpoint("http://user:pass@127.0.0.1:1/v1?token=t", SecretStr(f" {KEY}\n"))
    model = ChatModel("openai:m", endpoint)
    assert endpoint.api_key.get_secret_value() == KEY
    assert KEY not in repr(endpoint) + repr(model)
    assert endpoint.url == "http://127.0.0.1:1/v1"


def test_key_that_cannot_be_sent_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint("http://x/v1", SecretStr("sk-secret schlüssel"))
    assert "sk-secret" not in str(caught.value)
    assert "OPENAI_API_KEY" in caught.value.hint


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x/v1", "http://", "file:///etc/passwd"])
def test_address_must_be_one(url: str) -> None:
    with pytest.raises(UsageError):
        Endpoint(url)


def test_loopback_does_not_go_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    outcome = play(fs.ok(), retries=0)
    assert outcome.reply is not None, outcome.error


# --- check


def checked(*script: fs.Behaviour) -> Any:
    async def main() -> Any:
        async with fs.serving(*script) as server:
            model = ChatModel("openai:m-1", Endpoint(server.base_url, retries=0))
            report = await check(model)
            await model.close()
            return report

    return asyncio.run(main())


def test_check_of_a_good_endpoint() -> None:
    report = checked(fs.ok(), fs.ok('{"colour": "vermilion", "count": 1, "words": ["sea"]}'))
    assert report.ok
    assert [(f.name, f.ok) for f in report.findings] == [
        ("reply", True), ("streaming", True), ("usage", True), ("schema", True), ("structured", True),
    ]  # fmt: skip


def test_check_of_a_poor_endpoint_says_what_is_poor() -> None:
    report = checked(fs.ok("Hello", usage=None), fs.ok("There was an old man of the sea"))
    assert report.ok
    assert [(f.name, f.ok) for f in report.findings] == [
        ("reply", True), ("streaming", False), ("usage", False), ("schema", False), ("tool", False), ("json", False),
        ("structured", True),
    ]  # fmt: skip


def test_check_of_a_broken_endpoint() -> None:
    report = checked(fs.error("401 Unauthorized", "who are you"))
    assert not report.ok
    assert [(f.name, f.ok) for f in report.findings] == [("reply", False)]
    assert "OPENAI_API_KEY" in report.findings[0].detail


GOOD = '{"colour": "vermilion", "count": 1, "words": ["sea"]}'


@pytest.mark.parametrize("thoughts", ["", "<think>The user wants"], ids=["unseen", "in-the-reply"])
def test_check_leaves_a_model_room_to_think_before_it_writes(thoughts: str) -> None:
    async def thinks(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if body["max_tokens"] < 1000:
            await fs.ok(thoughts, finish="length")(body, writer)
        else:
            await fs.says(GOOD if "response_format" in body else "One, two, three, four.")(body, writer)

    report = checked(thinks)
    assert report.ok
    assert [f.name for f in report.findings if f.ok and f.name in ("reply", "schema", "structured")] == [
        "reply", "schema", "structured",
    ]  # fmt: skip


def test_check_of_a_model_that_never_comes_to_a_word_ends() -> None:
    report = checked(fs.ok("", finish="length"))
    assert [(f.name, f.ok) for f in report.findings] == [("reply", False)]
    assert "used up before the first word" in report.findings[0].detail


REFUSED_FIELDS = [
    ("Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported.", "temperature = false"),
    ("`temperature` is deprecated for this model.", "temperature = false"),
    ("temperature may only be set to 1 when thinking", "temperature = false"),
    ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", 'max_tokens_as = "max_completion_tokens"'),
    ("Unrecognized request argument supplied: max_completion_tokens", 'max_tokens_as = "max_tokens"'),
    ("body.seed: Extra inputs are not permitted", 'seed_as = ""'),
    ("stream_options: unknown field", "stream_options = false"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "setting"), REFUSED_FIELDS)
@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
def test_a_field_that_an_endpoint_does_not_take_is_told_with_its_setting(
    message: str, setting: str, status: str
) -> None:
    outcome = play(fs.error(status, message), ask=request(SCHEMA))
    assert isinstance(outcome.error, EndpointError)
    assert outcome.error.hint == f"set `{setting}` under [providers.openai] in company.toml"
    report = checked(fs.error(status, message))
    assert setting in report.findings[0].detail


@pytest.mark.parametrize(
    "message",
    ["max_tokens is too large: 9000. This model supports at most 4096", "temperature must be between 0 and 1"],
)
def test_a_field_that_it_takes_otherwise_is_not_told_to_be_left_out(message: str) -> None:
    outcome = play(fs.error("400 Bad Request", message))
    assert isinstance(outcome.error, EndpointError)
    assert "company.toml" not in outcome.error.hint


def test_a_reply_that_goes_round_in_circles_is_not_read_to_its_end() -> None:
    sent = []

    async def circling(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(fs.head() + fs.event(fs.piece("### PATH\n")))
        with suppress(ConnectionError):
            for number in range(100_000):
                sent.append(number)
                writer.write(fs.event(fs.piece("words.py\n")))
                await writer.drain()
                await asyncio.sleep(0)

    outcome = play(circling, deadline_seconds=60.0)
    reply = outcome.reply
    assert reply, outcome.error
    assert outcome.tries == 1
    assert reply.finish_reason == "length"
    assert reply.estimated
    assert 2000 < len(reply.text) < 6000
    assert len(sent) < 100_000, "nobody reads on, so it is not written on"


def test_equal_lines_that_come_to_an_end_are_read_whole() -> None:
    text = "TABLE = [\n" + "    (0, 0, 0),\n" * 120 + "]\n"
    reply = play(fs.says(text), deadline_seconds=60.0).reply
    assert reply
    assert reply.text == text
