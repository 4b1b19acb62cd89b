"""What flows through the graph: references to artifacts, round counters, and the names that a step's expressions see.

Bodies live in `cache.Objects`; a checkpoint holds only hashes. `RunContext` is everything a node is given besides state.
What a node does with them: `nodes.py`; which nodes there are: `compiler.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from company.artifacts import BUILT_IN, Artifact, to_json
from company.cache import Objects
from company.errors import WorkspaceError

if TYPE_CHECKING:
    from company.events import Journal
    from company.llm.gateway import Gateway
    from company.prompts import Prompts
    from company.sandbox import Sandbox
    from company.sop.procedure import Step
    from company.workspace import Repository


def merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Reducer: later keys win. Never `operator.add`: a replayed node would add twice."""
    return {**(old or {}), **(new or {})}


class RunState(TypedDict, total=False):
    """The graph's state. All of it is JSON."""

    values: Annotated[dict[str, str | None], merge]
    """Step path (or input name, or `LOOP@prev/PATH`, `LOOP@best/PATH`) → reference; None for a skipped step."""
    rounds: Annotated[dict[str, int], merge]
    """Loop path → number of the round under way, 0 when it is not running."""
    scores: Annotated[dict[str, float], merge]
    """Loop path → measure of its best round so far, for loops with `best:`."""
    frame: dict[str, str | None]
    """Inside a for_each: the item's names (`as`, `deps`, `done`) → reference."""
    item: str
    """Inside a for_each: the item's key, nested keys joined by `/`; empty outside."""
    outer_round: str
    """Inside a for_each: the rounds of the loops around it, joined by `.`; empty outside."""


@dataclass(frozen=True)
class Block:
    """A list of steps that see one another, and the loop they belong to."""

    steps: tuple[Step, ...]
    loop: Step | None = None


@dataclass(frozen=True)
class Site:
    """Where a step stands: itself and the blocks around it, outermost first."""

    step: Step
    blocks: tuple[Block, ...]

    @property
    def loops(self) -> tuple[Step, ...]:
        """The loops around the step, outermost first."""
        return tuple(block.loop for block in self.blocks if block.loop)


@dataclass
class RunContext:
    """Everything injected into nodes; passed as LangGraph's runtime context, never stored."""

    run: str
    requirement: str
    """The user's own words; empty for a procedure without that input."""
    objects: Objects
    prompts: Prompts
    gateway: Gateway
    repository: Repository
    sandbox: Sandbox
    journal: Journal
    tokens: Mapping[str, tuple[str, int]]
    """Id of a step's execution → model and tokens that it used, kept up to date."""
    step_timeout: float
    """Seconds of a step that sets no `timeout:`."""
    test_seconds: float
    """Wall time of a test run or a command in the sandbox, when its step sets no `timeout:`."""
    done: Mapping[str, dict[str, str | None]] = field(default_factory=dict)
    """Id → values, of what earlier sittings finished."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Id → how often it failed in earlier sittings: the same questions again would get the same answers."""
    committed: set[str] = field(default_factory=set)
    """Ids of the steps that the repository's history already holds; a resumed step does not commit twice."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the operator: nothing new is begun."""
    git: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One commit at a time."""


def pack(objects: Objects, value: Any) -> str:
    """Keep a value (artifact, list, dict or scalar of JSON); returns its reference."""
    return objects.put(_wrap(value))


def pack_list(objects: Objects, refs: Sequence[str | None]) -> str:
    """Keep a list of values that are kept already, by their references alone; returns the list's."""
    return objects.put({"kind": "references", "value": list(refs)})


def unpack(objects: Objects, ref: str | None) -> Any:
    """The value behind a reference, artifacts validated again; None for None."""
    if ref is None:
        return None
    data = objects.get(ref)
    if data["kind"] == "references":
        return [unpack(objects, one) for one in data["value"]]
    return _unwrap(data)


def _wrap(value: Any) -> Any:
    if isinstance(value, Artifact):
        return {"kind": type(value).__name__, "value": to_json(value)}
    if isinstance(value, list | tuple):
        return {"kind": "list", "value": [_wrap(item) for item in value]}
    if isinstance(value, Mapping):
        return {"kind": "dict", "value": {key: _wrap(value[key]) for key in value}}
    return {"kind": "json", "value": value}


def _unwrap(data: Any) -> Any:
    kind, value = data["kind"], data["value"]
    if kind == "list":
        return [_unwrap(item) for item in value]
    if kind == "dict":
        return {key: _unwrap(item) for key, item in value.items()}
    if kind == "json":
        return value
    if kind not in BUILT_IN:
        raise WorkspaceError(
            f"a stored artifact is of the unknown kind `{kind}`",
            hint="the run was made by another version of company; resume it with that version",
        )
    return BUILT_IN[kind].model_validate(value)


class Scope(Mapping[str, Any]):
    """The names that a step's expressions may use, read from references when they are asked for."""

    def __init__(self, site: Site, state: RunState, objects: Objects) -> None:
        self._objects = objects
        self._values = state.get("values", {})
        self._frame = state.get("frame", {})
        self._steps: dict[str, Step] = {}
        self._loop: Step | None = None
        for block in site.blocks:
            self._steps.update({step.name: step for step in block.steps})
            self._loop = block.loop or self._loop

    def __getitem__(self, name: str) -> Any:
        if name in self._frame:
            return unpack(self._objects, self._frame[name])
        if name == "prev" and self._loop:
            return {step.name: self._value(step, f"{self._loop.path}@prev/") for step in self._loop.body}
        if name in self._steps:
            return self._value(self._steps[name])
        if name in self._values:
            return unpack(self._objects, self._values[name])
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._frame, **self._steps, **{k: None for k in self._values if k.isidentifier()}})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _value(self, step: Step, prefix: str = "") -> Any:
        if step.kind == "loop":
            return {inner.name: self._value(inner, prefix) for inner in step.body}
        return unpack(self._objects, self._values.get(prefix + step.path))


def round_of(site: Site, state: RunState) -> str:
    """The rounds of the loops around a step, joined by dots: ``2`` or ``1.3``; ``1`` outside any loop."""
    rounds = [str(state.get("rounds", {}).get(loop.path, 0)) for loop in site.loops]
    outer = state.get("outer_round", "")
    return ".".join(([outer] if outer else []) + rounds) or "1"


def step_id(site: Site, state: RunState) -> str:
    """The identity of one execution of a step in a run: path, item and round, as in the commit's trailer."""
    item = state.get("item", "")
    return f"{site.step.path}{f'[{item}]' if item else ''}#{round_of(site, state)}"
