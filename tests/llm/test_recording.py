"""A recording gives each request its own reply, in order, failures too; what is damaged is named by its line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from company.errors import DeadlineExceeded, EndpointError, ModelError, UsageError
from company.llm.client import ChatModel, EmptyReply, Message, Reply, Request, StepLabel
from company.llm.endpoint import Endpoint
from company.llm.recording import Recorder, ReplayModel
from company.llm.scripted import DryModel
from tests import fault_server as fs

KEY = "sk-very-secret-0123456789"


def request(text: str = "Say hello.", step: str = "s", item: str = "", attempt: int = 1, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "messages": (Message("system", "Be brief."), Message("user", text)), "schema": None, "schema_name": "",
        "temperature": 0.0, "max_tokens": 10, "seed": 1, "label": StepLabel(step, "r", item, 0, attempt),
    }  # fmt: skip
    return Request(**{**fields, **changes})


def reply(text: str) -> Reply:
    return Reply(text, "stop", 3, 2, None, "m", 0.5)


def recording(path: Path, *exchanges: tuple[Request, Reply | ModelError], called: str | None = None) -> ReplayModel:
    recorder = Recorder(path)
    for asked, answer in exchanges:
        recorder.add(called, DryModel(), asked, answer)
    return ReplayModel.from_file(path, called)


def ask(model: ReplayModel, asked: Request) -> str:
    return asyncio.run(model.complete(asked)).text


def test_each_request_has_its_own_reply_and_several_come_in_order(tmp_path: Path) -> None:
    one, two = request(), request(seed=2)
    model = recording(tmp_path / "r.jsonl", (one, reply("first")), (two, reply("other")), (one, reply("second")))
    assert [ask(model, asked) for asked in (one, one, two, one)] == ["first", "second", "other", "second"]
    told: list[tuple[int, str]] = []
    given = asyncio.run(model.complete(one, lambda *each: told.append(each)))
    assert (given, told) == (reply("second"), [(2, "second")])


def test_identity_is_of_the_content_and_of_who_is_asked(tmp_path: Path) -> None:
    first = recording(tmp_path / "a.jsonl", (request(), reply("x")))
    same = tmp_path / "b.jsonl"
    same.write_bytes((tmp_path / "a.jsonl").read_bytes())
    other = recording(tmp_path / "c.jsonl", (request(), reply("y")))
    assert ReplayModel.from_file(same).identity == first.identity
    assert len({first.identity, other.identity, ReplayModel.from_file(same, "small").identity}) == 3


def test_failures_are_given_again_as_what_they_were(tmp_path: Path) -> None:
    model = recording(
        tmp_path / "r.jsonl",
        (request("a"), EndpointError("HTTP 503", retryable=True, place="http://x/v1")),
        (request("b"), DeadlineExceeded("took longer than 5 s")),
        (request("c"), reply("")),
        (request("d"), EndpointError("HTTP 500")),
        (request("d"), reply("got over")),
    )
    with pytest.raises(EndpointError, match=r"HTTP 503 \(as recorded\)") as caught:
        ask(model, request("a"))
    assert caught.value.retryable
    with pytest.raises(DeadlineExceeded):
        ask(model, request("b"))
    with pytest.raises(EmptyReply) as empty:
        ask(model, request("c"))
    assert empty.value.reply.prompt_tokens == 3
    assert ask(model, request("d")) == "got over"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"text": "Say good bye."}, "message 2 (user) from its character 5 on: it was `Say hello.` and now `Say good bye.`"),
        ({"seed": 7}, "differs in its seed: it was 1, and is now 7"),
        ({"temperature": 0.3}, "its temperature: it was 0.0, and is now 0.3"),
        ({"max_tokens": 9}, "its max_tokens: it was 10, and is now 9"),
        ({"schema": {"type": "object"}}, "differs in its schema"),
        ({"messages": (Message("user", "x"),)}, "message 1: it is of the system, and now of the user"),
        ({"messages": (Message("system", "Be brief."),)}, "has 2 messages, and this one has 1"),
        ({"step": "t", "text": "New."}, "it has requests of `s` alone"),
    ],
)  # fmt: skip
def test_a_request_that_is_not_there_says_what_differs(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    far = (request("Something else.", item="far"), reply("no"))
    model = recording(tmp_path / "r.jsonl", far, (request(), reply("x")), far)
    with pytest.raises(UsageError) as caught:
        ask(model, request(**changes))
    assert what in str(caught.value)
    assert f"step `{changes.get('step', 's')}`" in str(caught.value)
    assert "--model" in caught.value.hint


def test_who_is_asked_is_a_part_of_the_request(tmp_path: Path) -> None:
    recording(tmp_path / "r.jsonl", (request(), reply("x")), called="small")
    with pytest.raises(UsageError, match="was asked of the model `small`, and this one is asked of the run's"):
        ask(ReplayModel.from_file(tmp_path / "r.jsonl"), request())


def test_half_a_surrogate_pair_is_no_obstacle(tmp_path: Path) -> None:
    model = recording(tmp_path / "r.jsonl", (request("a\udc80b"), reply("c\udc80d")))
    assert ask(model, request("a\udc80b")) == "c?d"


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda lines: lines[0] + b"{}\n" + lines[1], "2: this is no recorded exchange: "),
        (lambda lines: lines[0][:50] + b"\n" + lines[1], "1: this is no recorded exchange: "),
        (lambda lines: lines[0].replace(b'"seed"', b'"sead"') + lines[1], "request.seed"),
        (lambda lines: lines[0].replace(b'"reply"', b'"answer"') + lines[1], "answer"),
        (lambda lines: b"\xff" + lines[0], "1: this is no recorded exchange: "),
        (lambda lines: b"a: b", "its beginning"),
        (lambda lines: lines[0][:20], "holds no exchange"),
        (lambda lines: b"", "holds no exchange"),
    ],
)
def test_a_damaged_recording_is_named_by_its_line(tmp_path: Path, damage: Any, what: str) -> None:
    path = tmp_path / "r.jsonl"
    recording(path, (request("a"), reply("x")), (request("b"), reply("y")))
    path.write_bytes(damage(path.read_bytes().splitlines(keepends=True)))
    with pytest.raises(UsageError) as caught:
        ReplayModel.from_file(path)
    assert what in str(caught.value)
    assert "r.jsonl" in caught.value.place


def test_a_last_line_that_was_cut_is_passed_over_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    recording(path, (request("a"), reply("x")), (request("b"), reply("y")))
    whole = path.read_bytes()
    for end in (whole.index(b"\n") + 2, whole.index(b"\n") + 100, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert ask(ReplayModel.from_file(path), request("a")) == "x"
        Recorder(path, more=True).add(None, DryModel(), request("b"), reply("z"))
        assert ask(ReplayModel.from_file(path), request("b")) == "z"
        assert len([json.loads(line) for line in path.read_bytes().splitlines()]) == 2


def test_no_key_is_recorded_even_of_a_server_that_shows_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r.jsonl")

    async def main() -> None:
        async with fs.serving(fs.ok("Hello"), fs.error("401 Unauthorized", f"bad key {KEY}")) as server:
            model = ChatModel(
                "openai:m-1", Endpoint(server.base_url.replace("//", "//user:pw-secret@"), SecretStr(KEY))
            )
            recorder.add(None, model, request(), await model.complete(request()))
            with pytest.raises(EndpointError) as caught:
                await model.complete(request())
            recorder.add(None, model, request(), caught.value)
            await model.close()

    asyncio.run(main())
    text = recorder.path.read_text()
    assert '"kind": "EndpointError"' in text
    assert "HTTP 401" in text
    assert KEY not in text
    assert "pw-secret" not in text
