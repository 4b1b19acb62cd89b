"""What a run cost and came to, folded from its events: the same numbers for terminal, `--json`, `run.json` and `runs`.

The events: `events.py`. Who shows them: `terminal.py`, `cli.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from company.events import Event
from company.llm.budget import RUN, Busy, Spent, accounts_of, added


def decides(step: str, judges: Sequence[str] | None) -> bool:
    """Whether a step's verdict is the run's: the acceptance reads it, or something that it is in; any without acceptance."""
    return judges is None or any(step == judge or step.startswith(f"{judge}.") for judge in judges)


@dataclass
class StepCost:
    """One execution of a step: its item and round, and what its calls used."""

    step: str
    role: str
    item: str
    round: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that the server had in its cache."""
    seconds: float = 0.0
    """Of its calls, one after another."""
    usd: float | None = 0.0
    """US dollars, at the prices of when it was paid; None where one was unknown."""
    from_store: int = 0
    """Replies that an earlier run or sitting had paid for."""
    model: str = ""
    retries: int = 0
    """Tries of calls that broke off; whether a server bills them is not known, and they are not counted otherwise."""


@dataclass
class Sums:
    """What a role or a step used in all its executions, and what results and replies that were kept saved."""

    name: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0
    usd: float | None = 0.0
    retries: int = 0
    saved_tokens: int = 0
    saved_usd: float | None = 0.0


class Saved(NamedTuple):
    """What somebody paid for before."""

    step: str
    role: str
    tokens: int
    usd: float | None
    """None where a price was unknown."""


@dataclass
class Report:
    """Everything that a run's events tell. Give it each event with `see`, in order."""

    run: str = ""
    status: str = ""
    """As `run_finished` said; empty for a run that is under way or was killed."""
    reason: str = ""
    hint: str = ""
    accepted: bool = False
    judges: list[str] | None = None
    """Paths of the steps that the acceptance reads; None where there is none, or an earlier version kept none."""
    verdicts: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Id of a test run → itself in one line, and whether it passed; in order, also where one was done again later."""
    started: float = 0.0
    seconds: float = 0.0
    """Wall time of all sittings."""
    steps: dict[str, StepCost] = field(default_factory=dict)
    """Id of an execution → cost."""
    first: int = 0
    """Replies that could be used at the first try."""
    repaired: int = 0
    failed: int = 0
    """Questions without a usable reply."""
    done: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Id → the values that it left, for a resumed run."""
    decided: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Id → the values that a decision at a gate left."""
    made_of: dict[str, dict[str, str]] = field(default_factory=dict)
    """Id → what went into it, as hashes."""
    commits: dict[str, Event] = field(default_factory=dict)
    """Id of what a commit belongs to → its event, in the order in which they were made."""
    kept: dict[str, Saved] = field(default_factory=dict)
    """Id → what it cost an earlier run, of the steps whose results were taken from there."""
    paid: set[str] = field(default_factory=set)
    """Keys of the replies that were paid for."""
    worth: dict[str, tuple[int, float | None]] = field(default_factory=dict)
    """Id → tokens of its replies and their cost, whoever paid for them."""
    tokens: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Id → model and paid tokens."""
    sitting: float = 0.0
    """When the last sitting began; 0 before the first."""
    waited: float = 0.0
    """Seconds in which a person thought at a gate, a part of `seconds`."""
    _heard: set[tuple[str, ...]] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)
    _asked_since: float = 0.0
    _last: float = 0.0
    _before: float = 0.0
    _busy: dict[str, Busy] = field(default_factory=dict)
    """Of each account that the budget knows: the time with a call under way."""
    _roles: dict[str, str] = field(default_factory=dict)
    """Id → role."""
    _saved: list[Saved] = field(default_factory=list)
    """Replies that had been paid for."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """The report of a journal; a line that was damaged and still parses is passed over."""
        made = cls()
        for event in events:
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                made.see(event)
        return made

    def see(self, event: Event) -> None:
        """Take in one event."""
        now = float(event["time"])
        name = event["event"]
        if name in ("run_started", "run_resumed", "run_finished"):
            for ident in tuple(self._asked):  # whoever was asked went away, or was killed with the run
                self._no_longer(ident, now if name == "run_finished" else self._last)
            for busy in self._busy.values():
                busy.settle(self._last)
        self._last = now
        if name in ("run_started", "run_resumed"):
            self._before = self.seconds
            self.sitting = now
            self.started = self.started or now
            self.run, self.status, self.reason = event["run"], "", ""
            self.judges = event.get("judges")
        self.seconds = self._before + max(0.0, now - self.sitting)
        if name == "call_started":
            for account in accounts_of(event["id"], event["role"]):
                self._busy.setdefault(account, Busy()).begin(event["call"], now)
        elif name in ("call_finished", "call_failed"):
            for account in accounts_of(event["id"], event["role"]):
                self._busy.setdefault(account, Busy()).end(event["call"], now)
            if name == "call_finished":
                self._finished(event)
            if retries := event.get("retries", 0):
                cost = self._cost(event)
                cost.model, cost.retries = event["model"], cost.retries + retries
        elif name == "reply_accepted":
            if "field" not in event and self._is_new(event):  # a piece is no question of its own
                self.first += event["attempt"] == 1
                self.repaired += event["attempt"] > 1
        elif name == "verdict":
            self.verdicts[event["id"]] = event["summary"], event["passed"]
        elif name == "gate_opened":
            self._asked_since = self._asked_since if self._asked else now
            self._asked.add(event["id"])
        elif name == "gate_decided":
            self._no_longer(event["id"], now)
            if event["values"]:
                self.decided[event["id"]] = event["values"]
        elif name == "step_started":
            self._roles[event["id"]] = event["role"]
            if made_of := event.get("made_of"):
                self.made_of[event["id"]] = made_of
        elif name == "step_finished":
            self.done[event["id"]] = event["values"]
            if "kept_from" in event:
                role = self._roles.get(event["id"], "")
                self.kept[event["id"]] = Saved(event["step"], role, event["saved_tokens"], event.get("saved_usd"))
        elif name == "commit":
            self.commits[event["step"]] = event
        elif name == "step_failed":
            self.failed += 1
        elif name == "run_finished":
            self.status, self.reason = event["status"], event["reason"]
            self.hint, self.accepted = event.get("hint", ""), event["accepted"]

    def _is_new(self, event: Event) -> bool:
        """Whether a step's execution comes to a reply for the first time: after a stop it hears the same again."""
        known = (event["event"], event["id"], event.get("key", ""))
        seen = known in self._heard
        self._heard.add(known)
        return not seen

    def _no_longer(self, ident: str, now: float) -> None:
        """A gate is decided or left; gates that are open at once take the same time."""
        self._asked.discard(ident)
        if not self._asked:
            self.waited += now - self._asked_since

    def _cost(self, event: Event) -> StepCost:
        """What an event's execution of a step cost."""
        new = StepCost(event["step"], event["role"], event["item"], event["id"].rpartition("#")[2])
        return self.steps.setdefault(event["id"], new)

    def _finished(self, event: Event) -> None:
        cost = self._cost(event)
        cost.model = event["model"]
        is_new = self._is_new(event)
        tokens, usd = event["prompt_tokens"] + event["completion_tokens"], event.get("usd")
        if is_new:
            before, paid = self.worth.get(event["id"], (0, 0.0))
            self.worth[event["id"]] = before + tokens, added(paid, usd)
        if event["from_store"]:
            cost.from_store += is_new
            self._saved += [Saved(event["step"], event["role"], tokens, usd)] if is_new else []
            return
        self.paid.add(event.get("key", ""))
        cost.usd = added(cost.usd, usd)
        cost.calls += 1
        cost.prompt_tokens += event["prompt_tokens"]
        cost.completion_tokens += event["completion_tokens"]
        cost.cached_tokens += event["cached_tokens"] or 0
        cost.seconds += event["seconds"]
        self.tokens[event["id"]] = (event["model"], cost.prompt_tokens + cost.completion_tokens)

    @property
    def verdict(self) -> str:
        """The last test run that the acceptance rests on, in one line; empty without one."""
        for ident, (summary, _) in reversed(self.verdicts.items()):
            if decides(ident.partition("#")[0].partition("[")[0], self.judges):
                return summary
        return ""

    @property
    def calls(self) -> int:
        """Calls that were paid for."""
        return sum(cost.calls for cost in self.steps.values())

    @property
    def retries(self) -> int:
        """Tries of calls that broke off."""
        return sum(cost.retries for cost in self.steps.values())

    @property
    def prompt_tokens(self) -> int:
        """Of all paid calls."""
        return sum(cost.prompt_tokens for cost in self.steps.values())

    @property
    def completion_tokens(self) -> int:
        """Of all paid calls."""
        return sum(cost.completion_tokens for cost in self.steps.values())

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens of all paid calls that a server had in its cache."""
        return sum(cost.cached_tokens for cost in self.steps.values())

    @property
    def cached_steps(self) -> int:
        """Steps whose result was kept, or all of whose replies had been paid for before."""
        return len(self.kept) + sum(cost.from_store > 0 and cost.calls == 0 for cost in self.steps.values())

    @property
    def usd(self) -> float | None:
        """US dollars of all paid calls; None where a price was unknown."""
        return _money(cost.usd for cost in self.steps.values())

    @property
    def saved_tokens(self) -> int:
        """What kept results and replies cost when they were paid for."""
        return sum(saved.tokens for saved in (*self.kept.values(), *self._saved))

    @property
    def saved_usd(self) -> float | None:
        """The same in US dollars; None where a price was unknown then."""
        return _money(saved.usd for saved in (*self.kept.values(), *self._saved))

    @property
    def by_role(self) -> list[Sums]:
        """What each role used, in the order in which they began."""
        return self._sums(lambda one: one.role)

    @property
    def by_step(self) -> list[Sums]:
        """What each step used in all its items and rounds, in the order in which they began."""
        return self._sums(lambda one: one.step.removesuffix(".do"))

    def _sums(self, name: Callable[[StepCost | Saved], str]) -> list[Sums]:
        found: dict[str, Sums] = {}
        for cost in self.steps.values():
            sums = found.setdefault(name(cost), Sums(name(cost)))
            for number in ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "seconds", "retries"):
                setattr(sums, number, getattr(sums, number) + getattr(cost, number))
            sums.usd = _money((sums.usd, cost.usd))
        for saved in (*self.kept.values(), *self._saved):
            if saved.role:  # what a command came to was kept too, and cost nothing
                sums = found.setdefault(name(saved), Sums(name(saved)))
                sums.saved_tokens += saved.tokens
                sums.saved_usd = _money((sums.saved_usd, saved.usd))
        return list(found.values())

    @property
    def model_seconds(self) -> float:
        """Wall time during which at least one call was under way."""
        return self._busy[RUN].seconds(self._last) if self._busy else 0.0

    def spent(self, price: Callable[[StepCost], float | None]) -> dict[str, Spent]:
        """What every account of the budget has used. `price` tells the cost of what had no price when it was paid for."""
        found: dict[str, Spent] = {
            name: Spent(seconds=busy.seconds(self._last)) for name, busy in self._busy.items() if name != RUN
        }
        found[RUN] = Spent(seconds=self.seconds - self.waited)
        for ident, cost in self.steps.items():
            for account in dict.fromkeys(accounts_of(ident, cost.role)):
                spent = found.setdefault(account, Spent())
                spent.calls += cost.calls
                spent.tokens += cost.prompt_tokens + cost.completion_tokens
                spent.usd += (price(cost) if cost.usd is None else cost.usd) or 0.0
        return found


def _money(amounts: Iterable[float | None]) -> float | None:
    """Their sum, without the noise of adding; None where one is unknown."""
    found: float | None = 0.0
    for amount in amounts:
        found = added(found, amount)
    return None if found is None else round(found, 9)
