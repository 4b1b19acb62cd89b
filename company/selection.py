"""Which of several programs for one requirement to go on with, and how far that can be believed: by rule, from what they do.

Examples of the requirement come first, then how many programs, written independently, do the same (CodeT, arXiv 2207.10397). What
they do: `sandbox/behaviour.py`; on which inputs: `derived.py`. No model is asked, and no opinion counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from company import quoted
from company.artifacts import Check, Checks, Selection, SourceFile, flat
from company.derived import derived, from_heads, inputs_of
from company.errors import StepFailed
from company.examples import usages_in
from company.llm.qa import shown_in
from company.recombined import Program, Worth, recombined
from company.sandbox import Sandbox
from company.sandbox.behaviour import MOST_PROBES, Probe, Seen, behaviours
from company.testgen import is_in, is_stated_command, stated_calls

_KNOWN = ("stated", "quoted")
"""Kinds of inputs that decide by themselves."""
_SILENT = "0: "
"""What a command gives that prints nothing: that two programs do says as little as that both give `None`."""
_TELLING = 2
"""Inputs on which two programs must both give a value before that they give the same means anything."""


class Examined(NamedTuple):
    """What some programs gave for the same inputs."""

    probes: list[Probe]
    kinds: list[str]
    """Of each input: `stated` by the requirement, `quoted`: a command of its words, which should work, `qa`: worked out by QA, or
    `derived` by rule, of which nobody knows what should come."""
    seen: list[list[Seen]]
    """Of each program, for each input."""


def candidates_in(values: Sequence[Any]) -> Iterator[list[SourceFile]]:
    """The programs among a step's inputs: a list of files is one, and so is each in a list of lists or in a loop's rounds."""
    for value in values:
        if isinstance(value, Mapping):
            yield from candidates_in(list(value.values()))
        elif isinstance(value, SourceFile):
            yield [value]
        elif isinstance(value, list) and value:
            if all(isinstance(one, SourceFile) for one in value):
                yield value
            else:
                yield from candidates_in(value)


async def select(sandbox: Sandbox, values: Sequence[Any], requirement: str, seconds: float) -> Selection:
    """The program to go on with, of those in a step's inputs, by the checks that are there with them.

    Raises:
        StepFailed: there is no program.
    """
    found = list(candidates_in(values))
    if not found:
        raise StepFailed(
            "there is no program to select", hint="give the step the candidates: `in: [draft, history, tests]`"
        )
    checks = [value for value in flat(list(values)) if isinstance(value, Checks)]
    until = time.monotonic() + seconds
    examined = await examine(sandbox, found, checks, requirement, seconds)
    better = await _put_together(sandbox, found, examined, until)
    return selected(found, examined, better)


async def _put_together(
    sandbox: Sandbox, found: Sequence[list[SourceFile]], examined: Examined, until: float
) -> tuple[list[SourceFile], list[Seen]] | None:
    """A program from functions of several that holds more examples than each of them, and what it gave; None without one.

    Args:
        until: the time at which to be done, of `time.monotonic`.
    """
    probes, kinds, seen = examined
    best = ranked(seen, kinds)[0]
    known = [at for at, kind in enumerate(kinds) if kind in _KNOWN]
    failing = [at for at in known if kinds[at] == "stated" and not seen[best][at].held]
    if not failing or len(found) < 2:
        return None

    async def run(programs: Sequence[Program], asked: Sequence[int]) -> list[list[Seen]]:
        left = until - time.monotonic()
        return await behaviours(sandbox, programs, [probes[at] for at in asked], left) if left > 1 else []

    async def weigh(programs: Sequence[Program]) -> Sequence[Worth]:
        its = [kinds[at] for at in known]
        gave = await run(programs, known)
        return [(_held(mine, its, "stated"), _unbroken(mine, its)) for mine in gave] or [() for _ in programs]

    calls = [f"{probes[at].setup}\n{probes[at].expression}".strip() for at in failing]
    made = await recombined([_program(files) for files in found], best, weigh, calls)
    whole = await run([made], range(len(probes))) if made else []
    if not made or not whole or _held(whole[0], kinds, "stated") <= _held(seen[best], kinds, "stated"):
        return None
    return [SourceFile(path=path, content=text) for path, text in made.items()], whole[0]


def _program(files: Sequence[SourceFile]) -> Program:
    return {file.path: file.content for file in files}


async def examine(
    sandbox: Sandbox, found: Sequence[list[SourceFile]], checks: Sequence[Checks], requirement: str, seconds: float
) -> Examined:
    """Run programs on the inputs of checks and on others made of them; where there are none, of the heads that the requirement shows."""
    asked = [one for each in checks for one in _asked(each, requirement)]
    plain = [(probe.setup, probe.expression) for probe, _ in asked if probe.expression]
    made = derived(plain, MOST_PROBES - len(asked)) if asked else from_heads(shown_in(requirement), MOST_PROBES)
    asked += [(probe, "quoted") for probe in _quoted(requirement)]
    asked = [*asked, *((Probe(setup, expression), "derived") for setup, expression in made)][:MOST_PROBES]
    probes, kinds = [probe for probe, _ in asked], [kind for _, kind in asked]
    programs = [_program(files) for files in found]
    seen = await behaviours(sandbox, programs, probes, seconds) if probes else [[] for _ in programs]
    return Examined(probes, kinds, seen)


def _asked(checks: Checks, requirement: str) -> Iterator[tuple[Probe, str]]:
    """The inputs of checks, each with what should come of it."""
    usages, stated = usages_in(requirement), stated_calls(checks, requirement)
    for check in checks.checks:
        calls, sessions = _probes(check)
        for call, probe in zip(check.calls, calls, strict=True):
            yield probe, "stated" if is_in(stated, check, call) else "qa"
        for command, probe in zip(check.commands, sessions, strict=True):
            yield probe, "stated" if is_stated_command(command, usages) else "qa"


def _probes(check: Check) -> tuple[list[Probe], list[Probe]]:
    """A check's calls, and its commands, each with those before it."""
    calls = [
        Probe(setup, expression, call.expected.strip())
        for (setup, expression), call in zip(inputs_of(check), check.calls, strict=True)
    ]
    typed = tuple((each.command, each.stdin) for each in check.commands)
    sessions = [
        Probe(expected=each.stdout.rstrip(), commands=typed[:place], status=each.exit_status)
        for place, each in enumerate(check.commands, 1)
    ]
    return calls, sessions


def _quoted(requirement: str) -> Iterator[Probe]:
    """The commands that the requirement quotes, each as the first of all, and one after another."""
    typed = [(command, "") for command in quoted.commands_in(requirement)]
    yield from (Probe(commands=(one,)) for one in typed)
    if len(typed) > 1:
        yield Probe(commands=tuple(typed))


class Standing(NamedTuple):
    """What speaks for a program; the greatest is chosen."""

    held: int
    """Examples of the requirement that hold."""
    unbroken: int
    """Commands that it quotes which work: no traceback, no usage shown instead."""
    agreeing: int
    """Programs that do the same, itself among them."""
    alike: float
    """Over all inputs, the mean share of programs that give the same: also where none does all the same."""
    guesses: int
    """Checks of QA's own that hold."""
    early: int
    """The earlier one, where all else is equal."""


def ranked(seen: Sequence[Sequence[Seen]], kinds: Sequence[str]) -> list[int]:
    """The numbers of the programs, the best first."""
    return sorted(range(len(seen)), key=lambda number: standing(seen, kinds, number), reverse=True)


def standing(seen: Sequence[Sequence[Seen]], kinds: Sequence[str], number: int) -> Standing:
    """What speaks for one of the programs."""
    mine = seen[number]
    told = [
        sum(other[at].text == one.text for other in seen) / len(seen) for at, one in enumerate(mine) if one.is_value
    ]
    return Standing(
        held=_held(mine, kinds, "stated"),
        unbroken=_unbroken(mine, kinds),
        agreeing=len(agreeing(seen, number)),
        alike=sum(told) / max(1, len(mine)),
        guesses=_held(mine, kinds, "qa"),
        early=-number,
    )


def _held(mine: Sequence[Seen], kinds: Sequence[str], kind: str) -> int:
    return sum(one.held for one, its in zip(mine, kinds, strict=False) if its == kind)


def _unbroken(mine: Sequence[Seen], kinds: Sequence[str]) -> int:
    """That there is nothing to read is no fault of a program."""
    fine = (one.is_value or one.text == "raises EOFError" for one in mine)
    return sum(each for each, its in zip(fine, kinds, strict=False) if its == "quoted")


def agreeing(seen: Sequence[Sequence[Seen]], number: int) -> list[int]:
    """The programs that do the same as one, itself among them: the same value wherever both give one, at least twice.

    Where either gives none, the input may be one that nobody means: it says nothing.
    """
    return [other for other in range(len(seen)) if other == number or _same(seen[number], seen[other])]


def _same(one: Sequence[Seen], two: Sequence[Seen]) -> bool:
    both = [(a.text, b.text) for a, b in zip(one, two, strict=True) if a.is_value and b.is_value and a.text != "None"]
    both = [pair for pair in both if pair != (_SILENT, _SILENT)]
    return len(both) >= _TELLING and all(a == b for a, b in both)


def selected(
    found: Sequence[list[SourceFile]], examined: Examined, better: tuple[list[SourceFile], list[Seen]] | None = None
) -> Selection:
    """The selection, with the checks of QA's own that two or more programs contradict together.

    Args:
        better: a program put together from those that were found, and what it gave. It shares its functions with them, so that it
            agrees with itself alone.
    """
    probes, kinds, seen = examined
    chosen = ranked(seen, kinds)[0]
    files, mine = better or (found[chosen], seen[chosen])
    same = [chosen] if better else agreeing(seen, chosen)
    stated = kinds.count("stated")
    held = _held(mine, kinds, "stated")
    inputs = sum(one.is_value for one in mine)
    suspect = [
        _named(probes[at])
        for at, kind in enumerate(kinds)
        if kind == "qa"
        and len(same) > 1
        and not any(seen[number][at].held for number in same)
        and not _leads_to_a_stated_one(probes[at], probes, kinds)
    ]
    summary = f"{len(same)} of {len(found)} candidates agree on {inputs} inputs"
    if better:
        summary = f"put together from {len(found)} candidates"
    return Selection(
        files=list(files),
        candidates=len(found),
        stated=stated,
        holds=held == stated and _unbroken(mine, kinds) == kinds.count("quoted"),
        agreeing=len(same),
        share=round(len(same) / len(found), 4),
        inputs=inputs,
        set_aside=suspect,
        summary=f"{summary}, {held} of {stated} examples hold"
        if stated
        else f"{summary}, the requirement states no example",
    )


def _leads_to_a_stated_one(probe: Probe, probes: Sequence[Probe], kinds: Sequence[str]) -> bool:
    """Whether a command is typed before one whose output the requirement states, which would be set aside along with it."""
    typed = probe.commands
    return bool(typed) and any(
        kind == "stated" and len(other.commands) > len(typed) and other.commands[: len(typed)] == typed
        for other, kind in zip(probes, kinds, strict=True)
    )


def _named(probe: Probe) -> str:
    """What is done, and what is said to come of it: two checks of one name are one."""
    if probe.commands:
        lines = [f"{command} < {typed!r}" if typed else command for command, typed in probe.commands]
        status = f" with status {probe.status}" if probe.status else ""
        return f"{'; '.join(lines)} prints {probe.expected!r}{status}"
    gives = probe.expected if str(probe.expected).startswith("raises ") else f"== {probe.expected}"
    return f"{'; '.join([*probe.setup.splitlines(), probe.expression])} {gives}"


def without(checks: Checks, set_aside: Sequence[str]) -> Checks:
    """Checks without those that were set aside, and without the commands after one: they may depend on it."""

    def kept(check: Check) -> Check:
        calls, sessions = ([_named(probe) in set_aside for probe in each] for each in _probes(check))
        at = sessions.index(True) if True in sessions else len(sessions)
        left = [call for call, aside in zip(check.calls, calls, strict=True) if not aside]
        return check.model_copy(update={"calls": left, "commands": check.commands[:at]})

    return Checks(checks=[one for one in map(kept, checks.checks) if one.calls or one.commands])
