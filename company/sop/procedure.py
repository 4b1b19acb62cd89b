"""A linked procedure: what the compiler, the diagram and the studio read. Every reference in it is resolved.

How it is made and checked: `linker.py`. What YAML may say: `spec.py`. How it runs: `company/compiler.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from company.artifacts import Artifact
from company.sop.diagnostics import Diagnostic, Span
from company.sop.expressions import Expression
from company.sop.types import Type

UNITS = ("calls", "tokens", "minutes", "usd")
"""What can be limited."""
Kind = Literal["role", "run", "for_each", "loop", "gate", "use"]


@dataclass(frozen=True)
class Role:
    """Who works: `roles/<name>.yaml`, with the procedure's inline `roles:` merged over it."""

    name: str
    title: str
    """What a person would call it: ``Product Manager``."""
    profile: str
    """Who they are, their goal, their constraints."""
    model: str | None = None
    """A tier (`small`, `medium`, `large`) or ``provider:model``; None leaves the choice to the run."""
    temperature: float | None = None
    """0 to 2; None leaves it to the model's default."""
    tools: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    """What it may use in a whole run, by unit."""


@dataclass(frozen=True)
class Input:
    """One entry of a step's `in:`."""

    name: str
    """The variable in the prompt: the reference with dots as ``_``, without a leading ``maybe``."""
    expr: Expression


@dataclass(frozen=True)
class Step:
    """One step. A field that its kind does not use has its default."""

    name: str
    """As written; ``do`` for the single step of a `for_each`."""
    path: str
    """Where it stands, unique in the procedure: ``verify.test``."""
    kind: Kind
    span: Span
    """Where its name is written."""
    waits: tuple[str, ...] = ()
    """Names of the steps of the same block that must finish first, in the order they are written."""
    inputs: tuple[Input, ...] = ()
    out: Type | None = None
    """A loop's is the record of its steps, a for_each's the list of its results."""
    when: Expression | None = None
    updates: str | None = None
    """Path of the step whose artifact this step's result changes."""
    commit: bool = True
    retry: int = 0
    """How often the whole step is tried again after it failed; 0 is never."""
    timeout: float | None = None
    """Seconds for the whole step; None is the run's default."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What it may use in a whole run, with the steps in it, by unit."""
    role: Role | None = None
    """None also where it is chosen during the run."""
    prompt: str = ""
    """``engineer/fix``, the template below ``prompts/`` without its suffix."""
    chosen: Expression | None = None
    """Gives the name of the role, one of `candidates`."""
    candidates: Mapping[str, tuple[Role, str]] = field(default_factory=dict)
    """The roles that may be chosen, and the prompt of each."""
    model: str | None = None
    """The step's own, else the role's; None leaves the choice to the run."""
    cascade: tuple[str, ...] = ()
    """The model of each round of the loop around it, in place of `model`."""
    places: Mapping[str, Span] = field(default_factory=dict)
    """Where it names a model itself, in `model` or `cascade`."""
    temperature: float | None = None
    """The step's own, else the role's."""
    max_tokens: int | None = None
    """Longest reply, tokens; None is the run's default."""
    grain: str = "file"
    """``function``: code is asked for one part of the design at a time, and put together."""
    tools: tuple[str, ...] = ()
    tool_calls: int = 0
    """Most calls of tools."""
    sample: int = 1
    """Number of answers; with more than 1 the result is the list of those that came."""
    command: str | None = None
    used: str = ""
    """The procedure that a `use` runs."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """What a gate offers, and where it leads: ``next``, ``fail`` or the name of an earlier step of the block."""
    headless: str = ""
    edits: Mapping[str, tuple[str, Type]] = field(default_factory=dict)
    """Of what a gate shows, what the person may change: name in `inputs` → path of the step, and its type."""
    over: Expression | None = None
    bind: str = ""
    """The name of the item inside a for_each (`as`)."""
    key: Expression | None = None
    """The item's name in commits and in `needs`; None numbers the items from 1."""
    needs: Expression | None = None
    parallel: int = 1
    max: int = 1
    """Most items of a for_each, most rounds of a loop."""
    least: int = 0
    """Fewest items of a for_each, as far as the type of its list tells."""
    on_error: str = "stop"
    until: Expression | None = None
    """None: a loop runs all its rounds."""
    transparent: bool = False
    """A loop that a gate or a cascade makes: its steps stand where it stands, under their own names."""
    best: Expression | None = None
    """The measure of a loop's round; what the best round made is kept."""
    on_max: str = "fail"
    body: tuple[Step, ...] = ()

    @property
    def result(self) -> str:
        """The path under which its result lies: a cascade's is its candidate's, a way back's its gate's."""
        if not self.transparent:
            return self.path
        return self.body[0].path if self.is_cascade else self.body[-1].result

    @property
    def models(self) -> tuple[str | None, ...]:
        """What it calls the models that it may ask; None is the run's."""
        return (self.model, *self.cascade, *(role.model for role, _ in self.candidates.values()))

    @property
    def workers(self) -> tuple[Role, ...]:
        """The role that works in it, or those that may be chosen."""
        return (self.role,) if self.role else tuple(role for role, _ in self.candidates.values())

    @property
    def is_cascade(self) -> bool:
        """Whether it is the loop that a cascade makes."""
        return self.transparent and bool(self.body[0].cascade)

    @property
    def back(self) -> frozenset[str]:
        """The choices of a gate that lead back."""
        return frozenset(choice for choice, target in self.choices.items() if target not in ("next", "fail"))

    @property
    def expressions(self) -> Iterator[Expression]:
        """Every expression of its own, those of the steps inside it left out."""
        yield from (given.expr for given in self.inputs)
        found = (self.when, self.chosen, self.over, self.key, self.needs, self.until, self.best)
        yield from (each for each in found if each)

    def walk(self) -> Iterator[Step]:
        """This step and every step inside it, in written order."""
        yield self
        for step in self.body:
            yield from step.walk()


def named(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps that have a name in a block: those of a gate's way back are among them, of a cascade its candidate alone."""
    for step in steps:
        if not step.transparent:
            yield step
        elif step.is_cascade:
            yield step.body[0]
        else:
            yield from named(step.body)


@dataclass(frozen=True)
class Procedure:
    """A checked procedure."""

    name: str
    description: str
    path: Path
    text: str
    """The source as it was read."""
    digest: str
    """SHA-256 over the source and the roles and prompts it uses, hexadecimal."""
    sources: Mapping[str, str]
    """What it uses: `roles/…`, `prompts/…` and `sops/…` to text. With `text` a run can be repeated."""
    inputs: Mapping[str, Type]
    limits: Mapping[str, float]
    """What a run may use, by unit; nothing of a unit that is not limited."""
    steps: tuple[Step, ...]
    accept: Expression | None
    roles: Mapping[str, Role]
    """The roles that its steps use, by name."""
    artifacts: Mapping[str, type[Artifact]]
    """The artifacts that it and the procedures it uses declare, by name."""
    reads: frozenset[str]
    """Paths of the steps whose results somebody reads or changes, the acceptance included."""
    judges: frozenset[str]
    """Paths of the steps that `accept` reads."""
    histories: frozenset[str]
    """Paths of the loops whose earlier rounds somebody reads."""
    worst_calls: int | None
    """Most model calls that a run can make, retries counted, repairs of replies not."""
    warnings: tuple[Diagnostic, ...] = ()
    """What the checker found and let pass; `str()` of one is its rendered text."""

    @property
    def bounds(self) -> dict[str, float]:
        """Every limit by its name: ``tokens`` is the run's, ``steps.code.tokens`` a step's, ``roles.qa.tokens`` a role's.

        Where procedures that use one another have roles of one name, the lowest limit counts.
        """
        found = dict(self.limits)
        for step in self.walk():
            for unit, most in step.limits.items():
                found[f"steps.{step.path}.{unit}"] = most
            for role in step.workers:
                for unit, most in role.limits.items():
                    name = f"roles.{role.name}.{unit}"
                    found[name] = min(most, found.get(name, most))
        return found

    @property
    def limitable(self) -> dict[str, list[Step]]:
        """What may have a limit beside the run, ``steps.code`` and ``roles.qa``, and the steps in it that ask a model."""
        found: dict[str, list[Step]] = {}
        for step in self.walk():
            asking = [one for one in step.walk() if one.kind == "role"]
            if asking and (step.is_cascade or not step.transparent):  # a cascade has its judge's calls too
                found.setdefault(f"steps.{step.result if step.is_cascade else step.path}", asking)
        for step in self.walk():
            for role in step.workers:
                found.setdefault(f"roles.{role.name}", []).append(step)
        return found

    def may_limit(self, name: str) -> bool:
        """Whether a limit of this name is of something that there is."""
        account, _, unit = name.rpartition(".")
        return unit in UNITS and (not account or account in self.limitable)

    def walk(self) -> Iterator[Step]:
        """Every step, nested ones included, in written order."""
        for step in self.steps:
            yield from step.walk()
