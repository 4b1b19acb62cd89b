"""Finish reasons of many services: a reply that did not come to its end is never used as if it were whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr

from company.artifacts import Artifact, Change, SourceFile
from company.errors import EndpointError, StepFailed
from company.llm import client
from company.llm.ask import Ask
from company.llm.client import ChatModel, Message, StepLabel
from company.llm.endings import ending
from company.llm.endpoint import Endpoint
from company.llm.structured import document, obtain
from company.sop.types import STR, ArtifactType, Type
from tests import fault_server as fs
from tests.llm.test_fields import asked

ASK = Ask(StepLabel("code", "engineer"), (Message("user", "Do it."),), ident="code#1")
CODE = "def area(side):\n    return side * side\n\n\ndef edge(area):\n    return area**0.5\n"
FILE = f"```python\n{CODE}```\n"
BLOCK = "<<<<<<< SEARCH\n    return {0}\n=======\n    return {1}\n>>>>>>> REPLACE\n"
PATCH = f"### sums.py\n{BLOCK.format('side * side', 'side**2')}{BLOCK.format('area**0.5', 'sqrt(area)')}"
GIVEN = {
    "requirement": "Short.",
    "code": [SourceFile(path="sums.py", content=CODE)],
    "change": Change(action="edit", path="sums.py", what="shorter"),
}
TEXT = "There are two reasons. The first is that it is short, the second that it is right."
HALVES = [
    pytest.param(STR, TEXT[:36], TEXT, TEXT, id="text"),
    pytest.param(ArtifactType("SourceFile"), FILE.partition("**0.5")[0].removeprefix("```python\n"), FILE, CODE, id="file"),
    pytest.param(
        ArtifactType("Patch"),
        PATCH.partition("    return sqrt")[0],
        PATCH,
        CODE.replace("side * side", "side**2").replace("area**0.5", "sqrt(area)"),
        id="patch",
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.001)


def obtained(folder: Path, out: Type, *script: fs.Behaviour) -> tuple[Any, int, list[dict[str, Any]]]:
    """What a step gets, how often the server was asked, and the journal."""
    requests = 0

    async def use(gateway: Any) -> Any:
        nonlocal requests
        async with fs.serving(*script) as server:
            model = gateway._models[None] = ChatModel("mine:m", Endpoint(server.base_url, SecretStr("")))
            try:
                return await obtain(gateway, ASK, out, GIVEN if out != STR else {}, lambda text: None)
            except EndpointError as error:
                return error
            finally:
                requests = len(server.requests)
                await model.close()

    value, events = asked(folder, ChatModel("mine:m", Endpoint("http://127.0.0.1:1/v1")), use=use)
    return value, requests, events


def text_of(value: Any) -> Any:
    files = getattr(value, "files", [value])
    return value if isinstance(value, str | Exception) else files[0].content


REASONS = ["length", "model_length", "MAX_TOKENS", "content_filter", "error", "abort", "insufficient_system_resource"]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize(("out", "half", "whole", "wanted"), HALVES)
def test_half_a_reply_is_not_used(
    tmp_path: Path, reason: str, out: Type, half: str, whole: str, wanted: str
) -> None:  # fmt: skip
    value, requests, _ = obtained(tmp_path, out, fs.ok(half, finish=reason), fs.ok(whole))
    assert text_of(value) == wanted
    assert requests == 2


@pytest.mark.parametrize(
    "reason", ["stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "COMPLETE"]
)
def test_what_other_services_call_the_end_is_the_end(tmp_path: Path, reason: str) -> None:
    value, requests, events = obtained(tmp_path, STR, fs.ok(TEXT, finish=reason))
    assert (value, requests) == (TEXT, 1)
    assert [each["finish_reason"] for each in events if each["event"] == "call_finished"] == ["stop"]


def test_a_reply_that_a_filter_ended_is_paid_for_and_asked_for_in_other_words(tmp_path: Path) -> None:
    value, requests, events = obtained(tmp_path, STR, fs.ok("Half of", finish="content_filter"))
    assert isinstance(value, StepFailed)
    assert "a filter of the service broke the reply off" in str(value)
    assert requests == 3
    assert [each["finish_reason"] for each in events if each["event"] == "call_finished"] == ["content_filter"] * 3


FILTERED = fs.ok("Half of", finish="content_filter")


@pytest.mark.parametrize("out", ["Checks", "Design", "Patch"])
def test_what_a_filter_ended_is_asked_for_twice_more_and_in_no_other_form(tmp_path: Path, out: str) -> None:
    _, requests, events = obtained(tmp_path, ArtifactType(out), FILTERED)
    assert requests == 3
    assert not [each["text"] for each in events if each["event"] == "notice"]


@pytest.mark.parametrize("before", [["no"] * 3, ["no"] * 6], ids=["the-first-field", "its-entry"])
def test_a_piece_that_a_filter_ended_is_not_asked_for_in_smaller_ones(tmp_path: Path, before: list[str]) -> None:
    class Steps(Artifact):
        steps: Annotated[list[str], Field(min_length=1, max_length=3)]
        title: str

    async def use(gateway: Any) -> Any:
        async with fs.serving(*[fs.ok(text) for text in before], FILTERED) as server:
            endpoint = Endpoint(server.base_url, structured="prompt")
            model = gateway._models[None] = ChatModel("mine:m", endpoint)
            try:
                with pytest.raises(StepFailed, match="a filter of the service"):
                    await document(gateway, ASK, Steps)
            finally:
                await model.close()
            return len(server.requests)

    requests, _ = asked(tmp_path, ChatModel("mine:m", Endpoint("http://127.0.0.1:1/v1")), use=use)
    assert requests == len(before) + 3


def test_an_endpoint_that_breaks_off_each_time_ends_the_call_with_its_word(tmp_path: Path) -> None:
    value, requests, _ = obtained(tmp_path, STR, fs.ok("Half of", finish="network_error"))
    assert isinstance(value, EndpointError)
    assert "the endpoint broke the reply off (`network_error`)" in str(value)
    assert "company resume" in value.hint
    assert requests == 5


def test_a_reason_that_nobody_knows_is_told_and_the_reply_not_used(tmp_path: Path) -> None:
    value, requests, _ = obtained(tmp_path, STR, fs.ok("Half of", finish="pause_turn"))
    assert isinstance(value, EndpointError)
    assert "the reply ended with `pause_turn`" in str(value)
    assert value.hint
    assert requests == 1, "the same server would say the same again"


def test_each_known_reason_has_its_meaning() -> None:
    cut = [
        "length",
        "model_length",
        "max_tokens",
        "max_output_tokens",
        "token_limit",
        "model_context_window_exceeded",
        "repetition",
    ]
    filtered = ["content_filter", "SAFETY", "refusal", "sensitive", "guardrail_intervened", "PROHIBITED_CONTENT"]
    whole = [
        "end",
        "done",
        "finished",
        "finish",
        "tool_call",
        "endoftext",
        "eos_found",
        "stop_string_found",
        "Stop-Sequence",
    ]
    assert {ending(reason, "") for reason in whole} == {"stop"}
    assert {ending(reason, "") for reason in cut} == {"length"}
    assert {ending(reason, "") for reason in filtered} == {"content_filter"}
    trouble = ["error", "abort", "cancelled", "time_limit", "insufficient_system_resource", "network_error"]
    for reason in (*trouble, "MALFORMED_FUNCTION_CALL", "OTHER"):
        with pytest.raises(EndpointError) as caught:
            ending(reason, "")
        assert caught.value.retryable


def test_an_end_that_is_followed_by_another_word_is_no_longer_one() -> None:
    async def main() -> str:
        ends = fs.event(fs.piece(None, "stop")) + fs.event(fs.piece(None, "content_filter"))
        async with fs.serving(fs.raw(fs.event(fs.piece("Half of")) + ends)) as server:
            model = ChatModel("mine:m", Endpoint(server.base_url))
            request = client.Request(ASK.messages, None, "", 0.0, 50, 1, ASK.label)
            reply = await model.complete(request)
            await model.close()
            return reply.finish_reason

    assert asyncio.run(main()) == "content_filter"
