"""Limits under load: many questions at once, answers that take time, and no unit that is overrun by more than one reply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from company.cache import Replies
from company.errors import CompanyError, EndpointError, LimitReached
from company.events import Journal, read
from company.llm.ask import Ask
from company.llm.budget import Budget, Spent, usd
from company.llm.client import Message, OnTokens, Reply, Request, StepLabel
from company.llm.gateway import Gateway
from company.report import Report
from company.settings import Price
from company.store import Folder

PROMPT, MOST = 40, 100
"""Tokens of a prompt, and the most of a reply."""
PRICE = Price(input=1000, output=3000)


@dataclass
class Slow:
    """A model that takes as many turns of the loop and gives as many tokens as it is told; `fails` never answer."""

    replies: list[int]
    turns: int = 3
    fails: frozenset[int] = frozenset()
    asked: int = 0
    at_once: int = 0
    most_at_once: int = 0
    name: str = "slow:m"
    identity: str = "slow"
    context: int | None = None
    given: list[int] = field(default_factory=list)

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        number = self.asked
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            for _ in range(self.turns + number % 3):
                await asyncio.sleep(0)
            if on_tokens:
                on_tokens(0, "")
            if number in self.fails:
                raise EndpointError("down")
            tokens = self.replies[number % len(self.replies)]
            self.given.append(PROMPT + tokens)
            return Reply("fine", "stop", PROMPT, tokens, None, "m", 0.0)
        finally:
            self.at_once -= 1

    async def close(self) -> None:
        """Nothing is held."""


def asked(number: int, step: str = "code.do", role: str = "engineer") -> Ask:
    return Ask(
        StepLabel(step.removesuffix(".do"), role, str(number)),
        (Message("user", f"question {number:03} " + "x" * 26),),  # a byte is a token at most
        max_tokens=MOST,
        ident=f"{step}[{number}]#1",
    )


def play(
    folder: Path, model: Slow, limits: Mapping[str, float], asks: list[Ask], spent: Mapping[str, Spent] | None = None
) -> tuple[list[str | BaseException], Report, Budget]:
    """What becomes of questions that are all asked at once."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / "events.jsonl")
    budget = Budget(limits, {model.name: PRICE}, spent)
    gateway = Gateway({None: model}, Replies(Folder(folder)), budget, journal, temperature=0.0, max_tokens=MOST)

    async def main() -> list[str | BaseException]:
        return await asyncio.gather(*(gateway.ask(one, str) for one in asks), return_exceptions=True)

    try:
        return asyncio.run(main()), Report.of(read(folder / "events.jsonl")), budget
    finally:
        journal.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    unit=st.sampled_from(["calls", "tokens", "usd"]),
    of=st.sampled_from(["", "steps.code.", "steps.code.do.", "roles.engineer."]),
    share=st.floats(0.05, 1.5),
    replies=st.lists(st.integers(1, MOST), min_size=1, max_size=5),
    fails=st.frozensets(st.integers(0, 20), max_size=4),
    turns=st.integers(0, 5),
)
def test_no_limit_is_overrun_by_more_than_one_reply(
    unit: str, of: str, share: float, replies: list[int], fails: frozenset[int], turns: int, tmp_path_factory: pytest.TempPathFactory
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("budget")
    whole = {"calls": 12, "tokens": 12 * (PROMPT + MOST), "usd": 12 * (usd(PRICE, PROMPT, MOST) or 0)}[unit]
    limit = max(1, int(whole * share)) if unit != "usd" else whole * share
    model = Slow(replies, turns, fails)
    ended, report, budget = play(folder, model, {f"{of}{unit}": limit}, [asked(number) for number in range(12)])
    used = {"calls": report.calls, "tokens": sum(model.given), "usd": report.usd or 0.0}[unit]
    one = {"calls": 0, "tokens": PROMPT + MOST, "usd": usd(PRICE, PROMPT, MOST) or 0}[unit]
    assert used < limit + one or used <= limit
    stopped = [each for each in ended if isinstance(each, LimitReached)]
    answered = [each for each in ended if each == "fine"]
    assert len(answered) == report.calls == len(model.given), "nothing that was paid for is lost"
    assert len(stopped) + len(answered) + len(model.fails & set(range(model.asked))) == 12
    if stopped:
        assert used >= limit - 1e-9, "it was stopped though something was left"
        assert f"--limit {of}{unit}=…" in stopped[0].hint
    assert not budget.limits.keys() - {f"{of}{unit}"}


def test_calls_wait_for_those_under_way_and_go_on_when_they_used_less(tmp_path: Path) -> None:
    model = Slow([5])
    ended, report, _ = play(tmp_path, model, {"tokens": 8 * (PROMPT + 5)}, [asked(number) for number in range(8)])
    assert ended == ["fine"] * 8, "each may use 140 tokens and uses 45: all eight fit into 360"
    assert model.most_at_once < 8, "but not all at once"
    assert report.calls == 8


def test_what_one_step_uses_up_stops_the_run_and_says_of_whom(tmp_path: Path) -> None:
    asks = [asked(0, "prd", "manager"), *(asked(number) for number in range(1, 5)), asked(5, "tests", "qa")]
    ended, _, _ = play(tmp_path, Slow([5]), {"steps.code.calls": 2}, asks)
    stopped = [each for each in ended if isinstance(each, CompanyError)]
    assert len(stopped) == 2
    assert {each.message for each in stopped} == {"the limit of 2 calls of the step `code` is reached"}
    assert {each.hint for each in stopped} == {"`company resume --limit steps.code.calls=…` goes on with a higher one"}


def test_once_a_limit_is_reached_nobody_begins_anything(tmp_path: Path) -> None:
    model = Slow([5])
    journal = Journal(tmp_path / "events.jsonl")
    budget = Budget({"roles.qa.calls": 1}, {model.name: PRICE})
    gateway = Gateway({None: model}, Replies(Folder(tmp_path)), budget, journal, temperature=0.0, max_tokens=MOST)

    async def main() -> None:
        await gateway.ask(asked(0, "tests", "qa"), str)
        with pytest.raises(LimitReached, match=r"of 1 calls of the role `qa` is reached"):
            await gateway.ask(asked(1, "tests", "qa"), str)
        with pytest.raises(LimitReached, match="the role `qa`"):
            await gateway.ask(asked(2), str)
        with pytest.raises(LimitReached, match="the role `qa`"):
            await gateway.refuse_if_stopped("the next step")

    asyncio.run(main())
    journal.close()
    assert model.asked == 1


def test_minutes_are_looked_at_again_when_a_call_has_waited_for_its_turn() -> None:
    now = [0.0]
    budget = Budget({"minutes": 1, "steps.code.minutes": 0.5, "roles.qa.minutes": 9}, {}, clock=lambda: now[0])

    async def main() -> None:
        first = await budget.claim("m", "code#1", "engineer", 1, 1)
        second = await budget.claim("m", "code#1", "engineer", 1, 1)
        other = await budget.claim("m", "tests#1", "qa", 1, 1)
        now[0] = 29.0
        budget.see_time(first)
        budget.release(first)
        now[0] = 31.0
        with pytest.raises(LimitReached, match=r"of 0\.5 minutes of the step `code`"):
            budget.see_time(second)
        budget.release(second)
        now[0] = 59.0
        budget.see_time(other)  # the time in which no call of `code` was under way is not the step's
        now[0] = 61.0
        with pytest.raises(LimitReached, match="the run's limit of 1 minutes"):
            budget.see_time(other)
        with pytest.raises(LimitReached, match="the run's limit of 1 minutes"):
            await budget.claim("m", "tests#1", "qa", 1, 1)

    asyncio.run(main())


def test_a_journal_tells_what_each_account_has_used(tmp_path: Path) -> None:
    asks = [asked(0, "prd", "manager"), asked(1), asked(2), asked(3, "verify.fix", "engineer")]
    _, report, _ = play(tmp_path, Slow([10, 20]), {}, asks)
    spent = report.spent(lambda cost: None)
    assert {name: one.calls for name, one in spent.items()} == {
        "": 4, "roles.manager": 1, "steps.prd": 1, "roles.engineer": 3, "steps.code": 2, "steps.code.do": 2,
        "steps.verify": 1, "steps.verify.fix": 1,
    }  # fmt: skip
    assert spent[""].tokens == 4 * PROMPT + 10 + 20 + 10 + 20
    assert spent[""].usd == pytest.approx(report.usd)
    before = replace(spent["roles.engineer"], calls=2)
    ended, _, _ = play(
        tmp_path / "again", Slow([10]), {"roles.engineer.calls": 3}, [asked(7), asked(8)], {"roles.engineer": before}
    )
    assert sum(isinstance(each, LimitReached) for each in ended) == 1


def test_the_sums_by_role_and_step_are_the_run_s(tmp_path: Path) -> None:
    asks = [asked(0, "prd", "manager"), asked(1), asked(2), asked(3, "verify.fix", "engineer")]
    _, report, _ = play(tmp_path, Slow([10, 20]), {}, asks)
    for sums in (report.by_role, report.by_step):
        assert sum(one.calls for one in sums) == report.calls == 4
        assert sum(one.prompt_tokens + one.completion_tokens for one in sums) == 4 * PROMPT + 60
        assert sum(one.usd or 0 for one in sums) == pytest.approx(report.usd)
    assert [one.name for one in report.by_role] == ["manager", "engineer"]
    assert sorted(one.name for one in report.by_step) == ["code", "prd", "verify.fix"]


def test_money_of_cached_prompt_tokens() -> None:
    assert usd(Price(input=10, output=20), 1000, 100, 500) == pytest.approx(0.012)
    assert usd(Price(input=10, output=20, cached=1), 1000, 100, 500) == pytest.approx(0.0075)
    assert usd(None, 1, 1) is None
