"""What a run may use and has used: calls, tokens, minutes, money; asked before each call, told after it.

Who asks: `gateway.py`. Where the limits come from: the procedure's `limits:` and the command line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from company.errors import LimitReached, UsageError
from company.sop.procedure import Limits

Rates = tuple[float, float] | None
"""US dollars for a million prompt tokens and a million completion tokens; None where unknown."""


def usd(rates: Rates, prompt_tokens: int, completion_tokens: int) -> float | None:
    """What tokens cost; None where that is unknown."""
    return None if rates is None else (prompt_tokens * rates[0] + completion_tokens * rates[1]) / 1e6


@dataclass
class Spent:
    """What was paid for so far."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    """Wall time of the sittings before this one."""


@dataclass
class Budget:
    """The limits of one run. Calls under way count as if they had used all that they may.

    Raises:
        UsageError: there is a limit on money and a model without a price.
    """

    limits: Limits
    prices: dict[str, Rates]
    """Of each model, by name."""
    spent: Spent = field(default_factory=Spent)
    _reserved: dict[int, int] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _waited: float = 0.0
    _asking: int = 0
    _since: float = 0.0

    def __post_init__(self) -> None:
        unpriced = [name for name, price in self.prices.items() if price is None]
        if self.limits.usd is not None and unpriced:
            raise UsageError(
                f"there is a limit on money and no price for `{unpriced[0]}`",
                hint="set `price = {input = …, output = …}` (US dollars for a million tokens) for its provider in "
                "company.toml, or limit calls or tokens instead",
            )

    def reserve(self, tokens: int) -> int:
        """Claim one call that may use so many tokens; returns a ticket for `release`.

        Raises:
            LimitReached: a limit is used up.
        """
        limits, spent, waiting = self.limits, self.spent, len(self._reserved)
        if limits.calls is not None and spent.calls + waiting >= limits.calls:
            raise self._reached("calls", f"{limits.calls} calls")
        used = spent.prompt_tokens + spent.completion_tokens + sum(self._reserved.values())
        if limits.tokens is not None and used >= limits.tokens:
            raise self._reached("tokens", f"{limits.tokens} tokens")
        if limits.usd is not None and spent.usd >= limits.usd:
            raise self._reached("usd", f"{limits.usd:g} US dollars")
        if limits.minutes is not None and self.elapsed() >= limits.minutes * 60:
            raise self._reached("minutes", f"{limits.minutes:g} minutes")
        ticket = max(self._reserved, default=0) + 1
        self._reserved[ticket] = tokens
        return ticket

    def release(self, ticket: int) -> None:
        """Give a claim back: the call has ended, however."""
        self._reserved.pop(ticket, None)

    def pay(self, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Note what a call used."""
        self.spent.calls += 1
        self.spent.prompt_tokens += prompt_tokens
        self.spent.completion_tokens += completion_tokens
        self.spent.usd += usd(self.prices.get(model), prompt_tokens, completion_tokens) or 0.0

    def elapsed(self) -> float:
        """Seconds of this sitting and the ones before it, without those in which a person thought."""
        asking = time.monotonic() - self._since if self._asking else 0.0
        return self.spent.seconds + time.monotonic() - self._started - self._waited - asking

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time inside: a person decides, and may take a day."""
        self._asking += 1
        self._since = self._since if self._asking > 1 else time.monotonic()
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                self._waited += time.monotonic() - self._since

    @property
    def cost(self) -> float | None:
        """US dollars so far; None where a price is unknown."""
        return None if None in self.prices.values() else self.spent.usd

    @staticmethod
    def _reached(name: str, what: str) -> LimitReached:
        return LimitReached(
            f"the run's limit of {what} is reached", hint=f"`company resume --limit {name}=…` goes on with a higher one"
        )
