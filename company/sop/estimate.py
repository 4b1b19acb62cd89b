"""Procedure → what a run will use, roughly: calls and tokens, from the shortest run to the longest.

Pure arithmetic over the steps; money and time are the caller's, who knows the model. How many calls there can be at most:
`checks.py`, which counts the same way. What was assumed is written at each number below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from company.sop.checks import questions, turns
from company.sop.procedure import Procedure, Step
from company.sop.types import (
    STR,
    ArtifactType,
    DictOf,
    ListOf,
    Nullable,
    Record,
    Skipped,
    Type,
    Unknown,
)

LETTERS = 4
"""Letters of a token, in English and Python."""
SYSTEM = 60
"""Tokens of what every question begins with, and of its message frames."""
ITEMS = 2
"""Items of a typical list: files of a small program, a loop's rounds."""
PART = 120
"""Tokens of one function or class."""
TEXT = 150
"""Tokens of a text: a requirement of a few sentences."""
WORD = 5
"""Tokens of a number, a word, true or false."""
TYPICAL: Mapping[str, int] = {
    "Prd": 350, "Requirement": 40, "Design": 450, "FileSpec": 180, "Part": 45, "SourceFile": 400, "Patch": 400,
    "Checks": 350, "Check": 100, "TestFile": 400, "TestRun": 200, "CommandResult": 80, "Review": 80,
}  # fmt: skip
"""Tokens of an artifact, shown or written, in the runs of `docs/benchmarks.md`; of any other, those of its fields."""
LOCAL_READ, LOCAL_WRITE = 55, 13
"""Tokens a second of the embedded 1.5B model on two shared cores, when nothing comes from the prompt cache."""


@dataclass(frozen=True)
class Range:
    """From the shortest run to the longest."""

    least: float = 0
    most: float = 0

    def __add__(self, other: Range) -> Range:
        return Range(self.least + other.least, self.most + other.most)

    def times(self, factor: float | Range) -> Range:
        """Each end as often as the factor says."""
        by = factor if isinstance(factor, Range) else Range(factor, factor)
        return Range(self.least * by.least, self.most * by.most)


@dataclass(frozen=True)
class Estimate:
    """What is asked of one model. Repairs of replies that cannot be used are not in it."""

    calls: Range = Range()
    prompt: Range = Range()
    """Tokens read."""
    reply: Range = Range()
    """Tokens written."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.calls + other.calls, self.prompt + other.prompt, self.reply + other.reply)

    def seconds(self) -> Range:
        """Time on the embedded model, reading at `LOCAL_READ` and writing at `LOCAL_WRITE`."""
        return self.prompt.times(1 / LOCAL_READ) + self.reply.times(1 / LOCAL_WRITE)


def estimate(procedure: Procedure) -> dict[str | None, Estimate]:
    """By what the steps call their model (`Step.model`; None is the run's), in the order of the steps.

    The shortest run skips every step with a `when:`, and has loops of one round, files of one function and lists as short as
    their types allow: one file in a design, one change in a plan, none in a list without a rule. The longest takes every
    step, full lists, all rounds and retries, and each function of a file alone where `grain: function` says so.
    """
    found: dict[str | None, Estimate] = {}
    for step, runs, names in _work(procedure.steps, Range(1, 1), dict(procedure.inputs)):
        out = step.out.item if step.sample > 1 and isinstance(step.out, ListOf) else step.out
        reply = _size(out) if step.grain != "function" else PART
        reply = min(reply, step.max_tokens or reply)
        prompt = _prompt(step, procedure.sources, names)
        models = step.cascade or (step.model,)
        for number, model in enumerate(models):  # of a cascade each round has a model of its own
            calls = Range(0 if number else runs.least, runs.most / len(models)).times(Range(*questions(step)))
            asked = Estimate(calls, calls.times(prompt), calls.times(reply))
            found[model] = found.get(model, Estimate()) + asked
    return found


def _work(
    steps: tuple[Step, ...], times: Range, names: Mapping[str, Type]
) -> Iterator[tuple[Step, Range, Mapping[str, Type]]]:
    """Every step that asks a model, how often it runs, and the types of the names that it sees."""
    names = {**names, **_results(steps)}
    for step in steps:
        runs = times.times(Range(0 if step.when else 1, 1 + step.retry))
        if step.kind == "role":
            yield step, runs, names
        elif step.body:
            inside = dict(names)
            if step.transparent:
                inside["answer"] = step.out or Unknown()  # what a cascade's judge sees
            if step.kind == "loop":
                inside["prev"] = Record(_results(step.body))
                inside["history"] = ListOf(inside["prev"])
            elif step.kind == "for_each":
                items = step.over.check(names)[0] if step.over else None
                inside[step.bind] = items.item if isinstance(items, ListOf) else Unknown()
                inside["deps"] = inside["done"] = step.out or Unknown()
            elif step.kind == "use":
                inside = {item.name: item.expr.check(names)[0] for item in step.inputs}
            yield from _work(step.body, runs.times(Range(*turns(step))), inside)


def _results(steps: tuple[Step, ...]) -> dict[str, Type]:
    """The results of a block's steps by name; of a transparent loop, those of its steps."""
    found: dict[str, Type] = {}
    for step in steps:
        found |= _results(step.body) if step.transparent else {step.name: step.out or Unknown()}
    return found


def _prompt(step: Step, sources: Mapping[str, str], names: Mapping[str, Type]) -> float:
    """Tokens of one question: the template with what it includes, the role, and what stands in `in:`."""
    chosen = next(iter(step.candidates.values()), None)  # the first of several roles stands for all
    role, prompt = (step.role, step.prompt) if chosen is None else chosen
    letters = len(role.profile) if role else 0
    waiting, seen = [f"{prompt}.md.j2"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        text = sources.get(f"prompts/{name}", "")
        letters += len(re.sub(r"\{[%#].*?[%#]\}|\{\{.*?\}\}", "", text, flags=re.DOTALL))
        waiting += re.findall(r"\{%-?\s*(?:include|extends|import|from)\s+[\"']([^\"']+)", text)
    return SYSTEM + letters / LETTERS + sum(_size(item.expr.check(names)[0]) for item in step.inputs)


def _size(found: Type | None) -> int:
    """Tokens of a typical value of a type."""
    if isinstance(found, ArtifactType):
        return TYPICAL.get(found.name) or sum(map(_size, found.fields.values()))
    if isinstance(found, ListOf):
        return ITEMS * _size(found.item)
    if isinstance(found, DictOf):
        return ITEMS * _size(found.value)
    if isinstance(found, Nullable | Skipped):
        return _size(found.item)
    if isinstance(found, Record):
        return sum(map(_size, found.fields.values()))
    return TEXT if found == STR or found is None or isinstance(found, Unknown) else WORD
