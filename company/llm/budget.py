"""What a run, its roles and its steps may use and have used: calls, tokens, minutes, money; claimed before each call.

Who claims: `calls.py`. The limits: a procedure's and its roles' `limits:`, the command line (`opening.limits_of`). Prices: `prices.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from company.errors import LimitReached
from company.sop.procedure import UNITS

if TYPE_CHECKING:
    from company.llm.client import Request
    from company.settings import Price

RUN = ""
"""The account that every call counts in."""
_FRAME_TOKENS = 16
"""At most what a server adds to each message, and to the schema."""


def usd(price: Price | None, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float | None:
    """What tokens cost, US dollars; None where the price is unknown. `cached_tokens` are among those of the prompt."""
    if price is None:
        return None
    cached = price.input if price.cached is None else price.cached
    paid = (prompt_tokens - cached_tokens) * price.input + cached_tokens * cached
    return (paid + completion_tokens * price.output) / 1e6


def most_prompt_tokens(request: Request, context: int | None) -> int:
    """More tokens than a prompt can have: none is shorter than a byte."""
    schema = [json.dumps(request.schema)] if request.schema else []
    texts = [*(message.content for message in request.messages), *schema]
    most = sum(len(text.encode("utf-8", "surrogatepass")) + _FRAME_TOKENS for text in texts)
    return most if context is None else min(most, context)


def added(one: float | None, two: float | None) -> float | None:
    """A sum of money; None where either is unknown."""
    return None if one is None or two is None else one + two


def accounts_of(ident: str, role: str) -> Iterator[str]:
    """The accounts that a call counts in: the run's, its role's, its step's, and those of the steps around that.

    Args:
        ident: id of the step's execution, such as ``verify.fix[main.py]#2``.
    """
    yield RUN
    yield f"roles.{role}"
    names = ident.partition("#")[0].partition("[")[0].split(".")
    for length in range(1, len(names) + 1):
        yield "steps." + ".".join(names[:length])


class Busy:
    """Adds up the seconds in which at least one of several things is under way. The caller tells the time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._open: set[int] = set()
        self._since = 0.0

    def begin(self, what: int, now: float) -> None:
        """Something begins."""
        self._since = self._since if self._open else now
        self._open.add(what)

    def end(self, what: int, now: float) -> None:
        """It has ended, however; nothing where it is not under way."""
        if what in self._open:
            self._open.discard(what)
            self._seconds += 0.0 if self._open else max(0.0, now - self._since)

    def settle(self, now: float) -> None:
        """Nothing is under way any more."""
        for what in [*self._open]:
            self.end(what, now)

    def seconds(self, now: float) -> float:
        """So far."""
        return self._seconds + (max(0.0, now - self._since) if self._open else 0.0)


@dataclass
class Spent:
    """What was used so far."""

    calls: int = 0
    tokens: int = 0
    """Of prompts and replies together."""
    usd: float = 0.0
    seconds: float = 0.0
    """Of the run its wall time; of a role or a step the wall time with a call of it under way."""


@dataclass(frozen=True)
class Claim:
    """A call under way, and the most that it may use."""

    number: int
    accounts: tuple[str, ...]
    tokens: int
    usd: float


@dataclass
class _Account:
    name: str
    limits: dict[str, float]
    spent: Spent
    busy: Busy
    claims: dict[int, Claim] = field(default_factory=dict)

    def used(self, seconds: float, *, claimed: bool) -> dict[str, float]:
        """What is used of each unit; with `claimed` calls under way count as if they had used all that they may."""
        spent, claims = self.spent, self.claims.values() if claimed else ()
        return {
            "calls": spent.calls + len(claims),
            "tokens": spent.tokens + sum(claim.tokens for claim in claims),
            "minutes": seconds / 60,
            "usd": spent.usd + sum(claim.usd for claim in claims),
        }

    def used_up(self, seconds: float, *, claimed: bool) -> str:
        """The unit of which nothing is left."""
        used = self.used(seconds, claimed=claimed)
        return next((unit for unit in UNITS if unit in self.limits and used[unit] >= self.limits[unit]), "")


class Budget:
    """The limits of one run. A call is begun only while less than a limit is used and claimed: one reply may go beyond it.

    Args:
        limits: by name: ``tokens`` is of the run, ``steps.code.tokens`` of a step, ``roles.qa.usd`` of a role.
        prices: of each model, by name.
        spent: by account, what earlier sittings used.
    """

    def __init__(
        self,
        limits: Mapping[str, float],
        prices: Mapping[str, Price | None],
        spent: Mapping[str, Spent] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = dict(limits)
        self.prices = prices
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        for name in (RUN, *(limit.rpartition(".")[0] for limit in limits)):
            before = (spent or {}).get(name, Spent())
            self._accounts.setdefault(name, _Account(name, {}, before, Busy(before.seconds)))
        for limit, most in limits.items():
            account, _, unit = limit.rpartition(".")
            self._accounts[account].limits[unit] = most
        self._numbers = 0
        self._changed = asyncio.Event()
        self._started = clock()
        self._waited = 0.0
        self._asking = 0
        self._since = 0.0

    async def claim(self, model: str, ident: str, role: str, prompt_tokens: int, reply_tokens: int) -> Claim:
        """Claim a call that may use so many tokens; while calls under way may use up what is left, wait for them.

        Raises:
            LimitReached: nothing is left.
        """
        names = tuple(name for name in dict.fromkeys(accounts_of(ident, role)) if name in self._accounts)
        accounts = [self._accounts[name] for name in names]
        while True:
            self._refuse_used_up(accounts)
            if not any(account.used_up(self._seconds(account), claimed=True) for account in accounts):
                break
            await self._changed.wait()
        self._numbers += 1
        most = usd(self.prices.get(model), prompt_tokens, reply_tokens) or 0.0
        claim = Claim(self._numbers, names, prompt_tokens + reply_tokens, most)
        for account in accounts:
            account.claims[claim.number] = claim
            account.busy.begin(claim.number, self._clock())
        return claim

    def has_room(self, model: str, ident: str, role: str, calls: int, tokens: int) -> bool:
        """Whether so many more calls, with so many tokens at least, are below every limit that they count in."""
        more = {"calls": calls, "tokens": tokens, "minutes": 0.0, "usd": usd(self.prices.get(model), tokens, 0) or 0.0}
        for account in filter(None, map(self._accounts.get, accounts_of(ident, role))):
            used = account.used(self._seconds(account), claimed=True)
            if any(used[unit] + more[unit] > most for unit, most in account.limits.items()):
                return False
        return True

    def see_time(self, claim: Claim) -> None:
        """See that there is time left for a call that has waited since it was claimed.

        Raises:
            LimitReached: there is none.
        """
        for name in claim.accounts:
            account = self._accounts[name]
            if self._seconds(account) / 60 >= account.limits.get("minutes", float("inf")):
                raise self._reached(account, "minutes")

    def release(self, claim: Claim) -> None:
        """The call has ended, however."""
        for name in claim.accounts:
            account = self._accounts[name]
            account.claims.pop(claim.number, None)
            account.busy.end(claim.number, self._clock())
        self._changed.set()
        self._changed = asyncio.Event()

    def pay(self, ident: str, role: str, tokens: int, cost: float | None) -> None:
        """Note what a call used; before its claim is released."""
        for name in dict.fromkeys(accounts_of(ident, role)):
            if account := self._accounts.get(name):
                account.spent.calls += 1
                account.spent.tokens += tokens
                account.spent.usd += cost or 0.0

    def elapsed(self) -> float:
        """Seconds of this sitting and the ones before it, without those in which a person thought."""
        asking = self._clock() - self._since if self._asking else 0.0
        return self._accounts[RUN].spent.seconds + self._clock() - self._started - self._waited - asking

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time inside: a person decides, and may take a day."""
        self._asking += 1
        self._since = self._since if self._asking > 1 else self._clock()
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                self._waited += self._clock() - self._since

    def _seconds(self, account: _Account) -> float:
        return self.elapsed() if account.name == RUN else account.busy.seconds(self._clock())

    def _refuse_used_up(self, accounts: list[_Account]) -> None:
        for account in accounts:
            if unit := account.used_up(self._seconds(account), claimed=False):
                raise self._reached(account, unit)

    @staticmethod
    def _reached(account: _Account, unit: str) -> LimitReached:
        most = f"{account.limits[unit]:g} US dollars" if unit == "usd" else f"{account.limits[unit]:.15g} {unit}"
        kind, _, name = account.name.partition(".")
        whose = f"limit of {most} of the {kind.removesuffix('s')} `{name}`" if name else f"run's limit of {most}"
        limit = f"{account.name}.{unit}".lstrip(".")
        return LimitReached(
            f"the {whose} is reached", hint=f"`company resume --limit {limit}=…` goes on with a higher one"
        )
