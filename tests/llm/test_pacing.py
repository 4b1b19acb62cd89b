"""The pause that an endpoint asks for: every call to it keeps it, of this process and of others, and nobody storms it afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from company.errors import EndpointError
from company.llm.client import ChatModel, Message, Request, StepLabel
from company.llm.endpoint import Endpoint
from company.llm.pacing import Pace, reset_after, spread
from tests import fault_server as fs

SOP = """\
sop: 1
artifacts: {Names: {names: [str]}}
steps:
  list: {role: engineer, prompt: list, in: requirement, out: Names}
  say:
    for_each: list.names
    as: name
    key: name
    parallel: 8
    do: {role: engineer, prompt: say, in: name, out: str}
"""
NAMES = json.dumps({"names": [f"n{number}" for number in range(8)]})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "company" / "pauses"


def request(number: int = 0) -> Request:
    message = (Message("user", f"Say {number}."),)
    return Request(message, None, "", 0.0, 50, 7, StepLabel("say", "engineer", str(number)))


@dataclass
class Limited:
    """Answers slowly; the request with the number `at` is refused with a pause."""

    at: int
    seconds: float
    headers: dict[str, str]
    status: str = "429 Too Many Requests"
    arrived: list[float] = field(default_factory=list)
    refused: float = 0.0

    async def __call__(self, body: dict[str, Any], writer: Any) -> None:
        self.arrived.append(time.time())
        if len(self.arrived) == self.at:
            self.refused = time.time()
            await fs.error(self.status, "slow down", **self.headers)(body, writer)
            return
        text = str(body["messages"][-1]["content"])
        await asyncio.sleep(0.02)
        await fs.ok(NAMES if "list" in text.lower() else '"fine"')(body, writer)

    def early(self) -> list[float]:
        """Requests that came before the pause was over; those of the first moments were on their way."""
        return [at - self.refused for at in self.arrived if self.refused + 1.5 < at < self.refused + self.seconds]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("429 Too Many Requests", {"Retry_After": "1"}),
        ("503 Service Unavailable", {"retry_after_ms": "1000"}),
        (
            "429 Too Many Requests",
            {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "1s",
             "x_ratelimit_remaining_tokens": "900", "x_ratelimit_reset_tokens": "6m0s"},
        ),
    ],
    ids=["retry-after", "503", "reset"],
)  # fmt: skip
def test_no_call_arrives_before_the_time_said(status: str, headers: dict[str, str], cache: Path) -> None:
    limited = Limited(3, 1.0, headers, status)
    notices: list[str] = []
    sent: list[float] = []

    async def main() -> None:
        async with fs.serving(limited) as server:
            endpoint = Endpoint(server.base_url, parallel=4)
            models = [ChatModel(f"mine:m{number}", endpoint, notice=notices.append) for number in range(2)]

            def see(tokens: int, text: str) -> None:
                if not tokens:
                    sent.append(time.time())

            replies = await asyncio.gather(*(models[one % 2].complete(request(one), see) for one in range(8)))
            assert [reply.text for reply in replies] == ['"fine"'] * 8
            for model in models:
                await model.close()

    asyncio.run(main())
    assert len(sent) == len(limited.arrived) == 9, "one is asked again, none is asked twice"
    assert len(notices) == 1
    assert "trying again in 1 s, no call before that" in notices[0]
    (file,) = cache.iterdir()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"", 0o600)
    heard, until = file.stat().st_ctime, file.stat().st_mtime
    assert until >= limited.refused + 1
    assert [at for at in sent if heard + 0.05 < at < until] == []
    assert any(at > until for at in sent)


def test_items_in_parallel_and_another_process_keep_the_pause(tmp_path: Path) -> None:
    limited = Limited(6, 4.0, {"Retry_After": "4"})
    for name, text in {"list": "List: {{ requirement }}", "say": "Say {{ name }}"}.items():
        (tmp_path / "prompts" / "engineer").mkdir(parents=True, exist_ok=True)
        (tmp_path / "prompts" / "engineer" / f"{name}.md.j2").write_text(text)
    (tmp_path / "own.yaml").write_text(SOP)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("COMPANY_", "OPENAI_"))}

    async def company(name: str) -> tuple[int, dict[str, Any], str]:
        words = ("run", f"list for {name}", "--sop", "own.yaml", "--model", "mine:m", "--workspace", name, "--json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "company", *words, cwd=tmp_path, env=clean,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, said = await process.communicate()
        return process.returncode or 0, json.loads(out or b"{}"), said.decode()

    async def main() -> list[tuple[int, dict[str, Any], str]]:
        async with fs.serving(limited) as server:
            provider = f'[providers.mine]\nbase_url = "{server.base_url}"\nparallel = 2\nstructured = "prompt"\n'
            (tmp_path / "company.toml").write_text(provider)
            return await asyncio.gather(company("one"), company("two"))

    ended = asyncio.run(main())
    for status, outcome, said in ended:
        assert (status, outcome["calls"]) == (0, 9), said
    assert limited.early() == []
    assert len(limited.arrived) == 2 * 9 + 1
    assert sum("no call before that" in said for _, _, said in ended) == 1


def test_who_waited_begins_one_after_another() -> None:
    begun = sorted(spread(30.0) for _ in range(200))
    assert 0.3 < begun[0] < begun[-1] < 2.1
    assert max(two - one for one, two in pairwise(begun)) < 0.3
    assert all(0.05 <= spread(0.1) <= 0.25 for _ in range(50))


def test_a_pause_too_long_to_wait_for_ends_every_call_and_can_be_lifted() -> None:
    async def main() -> None:
        async with fs.serving(fs.error("429 Too Many Requests", Retry_After="3600"), fs.ok("Hello")) as server:
            for parallel in (1, 2):  # as two processes have it: two endpoints of one address
                model = ChatModel("mine:m", Endpoint(server.base_url, parallel=parallel))
                with pytest.raises(EndpointError) as caught:
                    await model.complete(request())
                assert caught.value.retryable
                assert caught.value.retry_after == pytest.approx(3600, abs=5)
                assert "company resume" in caught.value.hint
                await model.close()
            assert len(server.requests) == 1
            assert "asked for a pause until 20" in caught.value.message
            assert caught.value.place == server.base_url
            Path(caught.value.hint.rpartition("delete ")[2]).unlink()
            model = ChatModel("mine:m", Endpoint(server.base_url))
            assert (await model.complete(request())).text == "Hello"
            await model.close()

    asyncio.run(main())


def test_a_pause_is_only_ever_made_longer_and_another_address_has_its_own(cache: Path) -> None:
    first, second, other = Pace("http://a/v1"), Pace("http://a/v1"), Pace("http://b/v1")
    first.hold(30)
    second.hold(5)
    assert second.until() == pytest.approx(time.time() + 30, abs=1)
    assert other.until() == 0
    second.hold(40)
    assert first.until() == pytest.approx(time.time() + 40, abs=1)
    assert not any(secret in path.name for path in cache.iterdir() for secret in ("http", "a/v1"))
    first.hold(1e12)
    assert first.until() <= time.time() + 86_401, "what a server says is not believed beyond a day"


def test_an_address_has_its_pause_with_a_slash_at_its_end_and_without() -> None:
    one, two = (Endpoint(f"http://a/v1{end}") for end in ("", "/?v=2"))
    one.pace.hold(30)
    assert two.pace.until() == pytest.approx(time.time() + 30, abs=1)
    assert one.url == two.url


def test_files_of_old_pauses_go(cache: Path) -> None:
    Pace("http://a/v1").hold(1)
    (old,) = cache.iterdir()
    os.utime(old, (time.time() - 100_000,) * 2)
    Pace("http://b/v1").hold(1)
    assert [path for path in cache.iterdir() if path == old] == []


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    pace = Pace("http://a/v1")
    pace.hold(30)
    assert pace.until() == pytest.approx(time.time() + 30, abs=1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "12"}, 12),
        ({"X-RateLimit-Reset": "NOW"}, 600),
        ({"x-ratelimit-reset": "NOW000"}, 600),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "5"}, None),
        ({"x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"anthropic-ratelimit-requests-reset": "1970-01-01T00:00:00Z", "anthropic-ratelimit-requests-remaining": "0"}, 0),
        ({"x-ratelimit-reset-tokens": "1s", "x-ratelimit-reset-requests": "2s"}, 2),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": ""}, None),
        ({"x-ratelimit-limit": "12"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_headers_that_tell_when_a_rate_is_reset(headers: dict[str, str], seconds: float | None) -> None:
    later = str(int(time.time()) + 600)
    found = reset_after({name: value.replace("NOW", later) for name, value in headers.items()})
    assert found == (seconds if seconds is None else pytest.approx(seconds, abs=60 if seconds >= 600 else 0.01))
