"""What policies of asking a small and a large model come to, computed from judged replies: right answers and cost, with intervals over tasks.

No model takes part. Replies: `cascade.py`; what may be seen of them and whether they are right: `cascade_judge.py`.
A policy never looks at `right`, but for the two that say so.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

DRAWS = 2000
"""Resamples of the tasks for an interval."""
Line = dict[str, Any]
Accepts = Callable[[Line], bool]


class Tier(NamedTuple):
    """A model and what it costs."""

    model: str
    size: float
    """Active parameters, 10^9."""
    reads: float
    """Tokens of a prompt a second."""
    writes: float
    """Tokens of a reply a second."""

    def tokens(self, line: Line) -> float:
        """All tokens of an answer and its repairs, by active parameters: 10^9 parameters times tokens."""
        return self.size * sum(call["prompt_tokens"] + call["completion_tokens"] for call in line["calls"])

    def seconds(self, line: Line, *, again: bool) -> float:
        """Time of an answer; what the model has just read lies in its cache: a question that it had, a talk that goes on."""
        spent, read = 0.0, line["calls"][0]["prompt_tokens"] if again and line["calls"] else 0
        for call in line["calls"]:
            spent += max(0, call["prompt_tokens"] - read) / self.reads + call["completion_tokens"] / self.writes
            read = call["prompt_tokens"] + call["completion_tokens"]
        return spent


class Asked(NamedTuple):
    """The replies to one task: samples of the small model in order, the first answer of the large one."""

    small: Sequence[Line]
    large: Line


class Outcome(NamedTuple):
    """What a policy came to for one task, or on average where it throws dice."""

    right: float
    tokens: float
    seconds: float
    large: float
    """Whether the large model was asked."""


class Policy(NamedTuple):
    name: str
    outcomes: Sequence[Outcome]
    family: str
    """Policies of one family are one line of the picture."""


def loads(line: Line) -> bool:
    """The file loads and has the function with its parameters."""
    told = line["verdict"]
    return bool(told) and told["interface"][0] == told["interface"][1] > 0


def holds(line: Line) -> bool:
    """So it does, and all of the requirement's own examples pass, of which there is one at least."""
    return loads(line) and line["verdict"]["examples"][0] == line["verdict"]["examples"][1] > 0


def is_right(line: Line) -> bool:
    """The hidden tests pass."""
    return bool(line["verdict"]) and line["verdict"]["right"]


def agree(one: Line, other: Line) -> bool:
    """Both give something for an input at least, and the same wherever both do; the inputs are made by rule."""
    marks = [line["verdict"]["behaviour"] if line["verdict"] else [] for line in (one, other)]
    both = [(first, second) for first, second in zip(*marks, strict=False) if "-" not in (first, second)]
    return bool(both) and all(first == second for first, second in both)


def most_agreed(lines: Sequence[Line]) -> tuple[Line, int]:
    """The answer that most of the others agree with, the earliest of several, and how many are of its mind with it."""
    votes = [loads(line) * (1 + sum(agree(line, other) for other in lines if other is not line)) for line in lines]
    best = max(range(len(lines)), key=lambda number: (votes[number], -number))
    return lines[best], votes[best]


class Prices(NamedTuple):
    small: Tier
    large: Tier

    def outcome(self, taken: Line, small: Sequence[Line], large: Sequence[Line]) -> Outcome:
        """What it costs to have asked for these, and one of them taken."""
        seconds = tokens = 0.0
        for tier, lines in ((self.small, small), (self.large, large)):
            tokens += sum(map(tier.tokens, lines))
            seconds += sum(tier.seconds(line, again=number > 0) for number, line in enumerate(lines))
        return Outcome(is_right(taken), tokens, seconds, len(large))


def cascade(asked: Asked, prices: Prices, accepts: Accepts, tries: int) -> Outcome:
    """Small answers until one is accepted, `tries` at most, then the large one, which is taken as it is if it can be used."""
    for number, line in enumerate(asked.small[:tries], 1):
        if accepts(line):
            return prices.outcome(line, asked.small[:number], [])
    taken = asked.large if asked.large["usable"] else next(filter(_usable, asked.small[:tries]), asked.large)
    return prices.outcome(taken, asked.small[:tries], [asked.large])


def best_of(asked: Asked, prices: Prices, accepts: Accepts, tries: int) -> Outcome:
    """Small answers until one is accepted; without one the first."""
    for number, line in enumerate(asked.small[:tries], 1):
        if accepts(line):
            return prices.outcome(line, asked.small[:number], [])
    return prices.outcome(asked.small[0], asked.small[:tries], [])


def by_vote(asked: Asked, prices: Prices, tries: int, votes: int) -> Outcome:
    """The small answer of which `votes` of `tries` are of one mind, else the large one; `votes` 0 asks for none."""
    taken, count = most_agreed(asked.small[:tries])
    large = [] if count >= votes else [asked.large]
    return prices.outcome(asked.large if large else taken, asked.small[:tries], large)


def at_random(asked: Asked, prices: Prices, share: float) -> Outcome:
    """The large model for a share of the tasks, the small one for the others, by dice."""
    ends = prices.outcome(asked.small[0], asked.small[:1], []), prices.outcome(asked.large, [], [asked.large])
    return Outcome(*((1 - share) * one + share * other for one, other in zip(*ends, strict=True)))


def by_oracle(asked: Asked, prices: Prices) -> Outcome:
    """The cheapest model that is right, known beforehand; the small one where none is. It looks at the hidden tests."""
    if is_right(asked.large) and not is_right(asked.small[0]):
        return prices.outcome(asked.large, [], [asked.large])
    return prices.outcome(asked.small[0], asked.small[:1], [])


def _usable(line: Line) -> bool:
    return bool(line["usable"])


def policies(tasks: Sequence[Asked], prices: Prices) -> list[Policy]:
    """Every policy over all tasks; the first two are the models alone."""
    most = min(len(asked.small) for asked in tasks)
    shown = any(line["verdict"] and line["verdict"]["examples"][1] for asked in tasks for line in asked.small)
    made: list[Policy] = []

    def add(name: str, family: str, policy: Callable[[Asked], Outcome]) -> None:
        made.append(Policy(name, [policy(asked) for asked in tasks], family))

    add("small alone", "alone", lambda asked: at_random(asked, prices, 0))
    add("large alone", "alone", lambda asked: at_random(asked, prices, 1))
    for share in (0.25, 0.5, 0.75):
        add(f"random, {share:.0%} to the large", "random", lambda asked, p=share: at_random(asked, prices, p))
    add("cascade, loads", "loads", lambda asked: cascade(asked, prices, loads, 1))
    for tries in range(1, most + 1) if shown else ():
        if tries > 1:
            add(f"small, best of {tries} by examples", "best", lambda asked, k=tries: best_of(asked, prices, holds, k))
        add(f"cascade, examples, {tries} small", "examples", lambda asked, k=tries: cascade(asked, prices, holds, k))
    if most > 1:
        add(f"small, most agreed of {most}", "most agreed", lambda asked: by_vote(asked, prices, most, 0))
    for votes in range(2, most + 1):
        add(
            f"cascade, {votes} of {most} agree", f"{most} agree", lambda asked, v=votes: by_vote(asked, prices, most, v)
        )
    if most > 3:
        add("cascade, 2 of 3 agree", "3 agree", lambda asked: by_vote(asked, prices, 3, 2))
        add("cascade, 3 of 3 agree", "3 agree", lambda asked: by_vote(asked, prices, 3, 3))
    add("cascade, accepted if right (hidden tests)", "bound", lambda asked: cascade(asked, prices, is_right, 1))
    add("router that knows (hidden tests)", "bound", lambda asked: by_oracle(asked, prices))
    return made


class Found(NamedTuple):
    """A number with its 95% interval."""

    value: float
    low: float
    high: float

    def text(self, form: str) -> str:
        """As a cell of the table."""
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


class Summary(NamedTuple):
    policy: Policy
    right: Found
    against: Found
    """Right answers, less those of the large model alone, on the same tasks."""
    cost: Found
    """Weighted tokens, as a share of the large model's."""
    seconds: float
    asked: float
    over: Found
    """Right answers, less those of random routing at the same cost; beyond its ends, those of the nearer model."""


def summaries(made: Sequence[Policy]) -> list[Summary]:
    """The policies in numbers; all intervals are of the same resamples."""
    count, chance = len(made[0].outcomes), random.Random(0)
    draws = [[*range(count)], *([chance.randrange(count) for _ in range(count)] for _ in range(DRAWS))]
    means = {
        policy.name: [
            [sum(column[number] for number in draw) / count for draw in draws]
            for column in list(zip(*policy.outcomes, strict=True))[:2]
        ]
        for policy in made
    }
    (low_right, low_cost), (high_right, high_cost) = (means[policy.name] for policy in made[:2])

    def found(values: Iterator[float]) -> Found:
        first, *others = values
        others.sort()
        return Found(first, others[int(0.025 * DRAWS)], others[int(0.975 * DRAWS) - 1])

    def over(right: float, cost: float, number: int) -> float:
        gap = high_cost[number] - low_cost[number]
        share = min(1.0, max(0.0, (cost - low_cost[number]) / gap)) if gap > 0 else 1.0
        return right - ((1 - share) * low_right[number] + share * high_right[number])

    told = []
    for policy in made:
        right, cost = means[policy.name]
        told.append(
            Summary(
                policy,
                right=found(iter(right)),
                against=found(a - b for a, b in zip(right, high_right, strict=True)),
                cost=found(a / b for a, b in zip(cost, high_cost, strict=True)),
                seconds=sum(each.seconds for each in policy.outcomes) / count,
                asked=sum(each.large for each in policy.outcomes) / count,
                over=found(over(a, b, number) for number, (a, b) in enumerate(zip(right, cost, strict=True))),
            )
        )
    return told


def tell(lines: Sequence[Line], small: Tier, large: Tier) -> tuple[list[str], str]:
    """The tables as Markdown, and the picture as SVG."""
    by: dict[tuple[str, str], dict[int, Line]] = {}
    for line in lines:
        by.setdefault((line["task"], line["model"]), {})[line["sample"]] = line
    samples = {task: by[task, small.model] for task, model in by if model == small.model}
    usual = Counter(map(len, samples.values())).most_common(1)[0][0] if samples else 0
    whole = [
        task
        for task, found in samples.items()
        if set(range(usual)) <= set(found) and 0 in by.get((task, large.model), {})
    ]
    if not whole:
        raise SystemExit(f"no task has replies of both {small.model} and {large.model}: give the judged lines of both")
    tasks = [Asked([samples[task][number] for number in range(usual)], by[task, large.model][0]) for task in whole]
    told = summaries(policies(tasks, Prices(small, large)))
    return [
        *_table(told, len(tasks), len({task for task, _ in by})),
        "",
        *_precision(tasks, by, small, large),
    ], picture(told)


def _table(told: Sequence[Summary], tasks: int, all_tasks: int) -> Iterator[str]:
    yield f"{tasks} of {all_tasks} tasks have every reply. Intervals: 95%, {DRAWS} resamples of the tasks."
    yield ""
    yield "| policy | right, % | less large alone, points | tokens by parameters ÷ large alone | s a task | asks the large | less random at this cost, points |"
    yield "|---|---|---|---|---|---|---|"
    for each in told:
        right, against, over = (
            Found(*(100 * value for value in found)) for found in (each.right, each.against, each.over)
        )
        yield (
            f"| {each.policy.name} | {right.text('.1f')} | {against.text('+.1f')} | {each.cost.text('.2f')} | {each.seconds:.1f} "
            f"| {each.asked:.0%} | {over.text('+.1f')} |"
        )


def _precision(
    tasks: Sequence[Asked], by: Mapping[tuple[str, str], Mapping[int, Line]], small: Tier, large: Tier
) -> Iterator[str]:
    """How often an accepted reply is right, and a right one accepted."""
    yield "| acceptance | of | replies | right | accepted | accepted and right | a right one is accepted |"
    yield "|---|---|---|---|---|---|---|"
    every = {
        tier.model: [line for (_, model), found in by.items() if model == tier.model for line in found.values()]
        for tier in (small, large)
    }
    rows: list[tuple[str, str, list[tuple[bool, bool]]]] = []
    for name, accepts in (("loads", loads), ("examples", holds)):
        rows.append(
            (name, f"{small.model}, first", [(accepts(asked.small[0]), is_right(asked.small[0])) for asked in tasks])
        )
        rows.append((name, f"{large.model}, first", [(accepts(asked.large), is_right(asked.large)) for asked in tasks]))
        rows += [
            (name, f"{model}, all", [(accepts(line), is_right(line)) for line in found])
            for model, found in every.items()
        ]
    most = len(tasks[0].small)
    votes = [most_agreed(asked.small) for asked in tasks]
    for least in range(2, most + 1):
        rows.append(
            (
                f"{least} of {most} agree",
                f"{small.model}, most agreed",
                [(count >= least, is_right(line)) for line, count in votes],
            )
        )
    for name, of, pairs in rows:
        accepted, right, both = sum(a for a, _ in pairs), sum(r for _, r in pairs), sum(a and r for a, r in pairs)
        yield (
            f"| {name} | {of} | {len(pairs)} | {right} | {accepted} | {_share(both, accepted)} | {_share(both, right)} |"
        )


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.1%})" if whole else "none"


# --- the picture ------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 960, 520, 60, 20, 390, 50
_COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a", "#1b7c83")


def picture(told: Sequence[Summary]) -> str:
    """Right answers against cost: a numbered point a policy, its interval, a line a family, and that of random routing."""
    across = max(each.cost.value for each in told) * 1.08
    low = min(each.right.low for each in told)
    high = max(each.right.high for each in told)

    def x(value: float) -> float:
        return _LEFT + value / across * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low or 1) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>Right answers against cost</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for number in range(int(low * 20), int(high * 20) + 1):
        if low <= number / 20 <= high:
            parts.append(f'<path d="M{_LEFT} {y(number / 20):.1f}H{_WIDTH - _RIGHT}" stroke="#d0d7de"/>')
            parts.append(f'<text x="{_LEFT - 8}" y="{y(number / 20) + 4:.1f}" text-anchor="end">{number * 5}%</text>')
    for number in range(int(across * 4) + 1):
        parts.append(f'<path d="M{x(number / 4):.1f} {_HEIGHT - _BOTTOM}v5" stroke="#57606a"/>')
        parts.append(
            f'<text x="{x(number / 4):.1f}" y="{_HEIGHT - _BOTTOM + 19}" text-anchor="middle">{number / 4:g}</text>'
        )
    parts.append(f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="#57606a"/>')
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">tokens by active parameters, as a share of the large model alone</text>'
    )
    ends = " ".join(f"{x(each.cost.value):.1f},{y(each.right.value):.1f}" for each in told[:2])
    parts.append(f'<polyline points="{ends}" fill="none" stroke="#57606a" stroke-dasharray="4 4"/>')
    families = list(dict.fromkeys(each.policy.family for each in told))
    for number, family in enumerate(families):
        colour = _COLOURS[number % len(_COLOURS)]
        mine = [(place, each) for place, each in enumerate(told, 1) if each.policy.family == family]
        points = " ".join(f"{x(each.cost.value):.1f},{y(each.right.value):.1f}" for _, each in mine)
        if family not in ("alone", "random", "bound"):
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for place, each in mine:
            left, top = x(each.cost.value), y(each.right.value)
            parts.append(
                f'<path d="M{left:.1f} {y(each.right.high):.1f}V{y(each.right.low):.1f}" stroke="{colour}" opacity="0.35"/>'
            )
            parts.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="{colour}"/>')
            parts.append(f'<text x="{left + 6:.1f}" y="{top - 5:.1f}" font-size="10" fill="{colour}">{place}</text>')
            row = _TOP + 14 + (place - 1) * 19
            words = escape(f"{place}  {each.policy.name}: {each.right.value:.1%} at {each.cost.value:.2f}")
            parts.append(f'<text x="{_WIDTH - _RIGHT + 25}" y="{row}" fill="{colour}">{words}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
