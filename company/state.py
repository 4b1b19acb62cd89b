"""What flows through the graph: references to artifacts, round counters, and the names that a step's expressions see.

Bodies live in `cache.Objects`; a checkpoint holds only hashes. `RunContext` is everything a node is given besides state.
What a node does with them: `nodes.py`; which nodes there are: `compiler.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from company.artifacts import Artifact, to_json
from company.cache import Objects, Replies, Results
from company.errors import CompanyError, WorkspaceError
from company.publish import RECORDS
from company.sop.procedure import Step, named

SKIPPED = "@skipped"
"""Suffix of a loop's or a used procedure's path: whether it was skipped, and so is null as a whole."""

if TYPE_CHECKING:
    from company.events import Journal
    from company.llm.gateway import Gateway
    from company.people import Person
    from company.prompts import Prompts
    from company.publish import Guest
    from company.sandbox import Sandbox
    from company.tools.servers import Servers
    from company.workspace import Commit, Repository


def merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Reducer: later keys win. Never `operator.add`: a replayed node would add twice."""
    return {**(old or {}), **(new or {})}


class RunState(TypedDict, total=False):
    """The graph's state. All of it is JSON."""

    values: Annotated[dict[str, str | None], merge]
    """Step path (or input name, or `LOOP@prev/PATH`, `LOOP@best/PATH`, `USE@in/INPUT`) → reference; None for a skipped
    step. `LOOP@history` is the list of a loop's rounds."""
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
    """A list of steps that see one another, and the loop, for_each or use that they belong to."""

    steps: tuple[Step, ...]
    owner: Step | None = None

    @cached_property
    def names(self) -> dict[str, Callable[[], Any] | Step]:
        """Its steps by name."""
        return {step.name: step for step in named(self.steps)}


@dataclass(frozen=True)
class Site:
    """Where a step stands: itself and the blocks around it, outermost first."""

    step: Step
    blocks: tuple[Block, ...]

    @property
    def loops(self) -> tuple[Step, ...]:
        """The loops around the step, outermost first."""
        return tuple(block.owner for block in self.blocks if block.owner and block.owner.kind == "loop")


@dataclass(frozen=True)
class Edit:
    """What a person made of a step's result after the run was over."""

    values: Mapping[str, str | None]
    """What the step leaves now: step path → reference."""
    made: Mapping[str, Any]
    """The commit that belongs to it, as `cache.Results` keeps it."""


@dataclass(frozen=True)
class Earlier:
    """The run that this one is compared with; a run that was made by `redo` goes back to it."""

    run: str = ""
    """Its id; empty without one."""
    origin: str = ""
    """The id of the first run of those that go back to one another."""
    ingredients: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """Id of a step's execution → what went into it, as hashes."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """Id of a step's execution → its commit, to be taken over where the same would be made again."""
    again: Mapping[str, int] = field(default_factory=dict)
    """Step path → how often it was asked for that it be done anew."""
    edits: Mapping[str, Edit] = field(default_factory=dict)
    """Id of a step's execution → what a person made of its result."""
    others: str = ""
    """Reference of the files that a person changed and no step made; empty without any."""
    fork: str = ""
    """The commit at which this run's branch left the earlier one's; empty where it did not."""


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
    servers: Servers
    """The servers of tools that the run may use."""
    kept: Replies
    """What tools gave in this run, so that a resumed one hears the same."""
    worth: Mapping[str, tuple[int, float | None]]
    """Id of a step's execution → tokens of its replies, whoever paid for them, kept up to date."""
    tokens: Mapping[str, tuple[str, int]]
    """Id of a step's execution → model and tokens that it used, kept up to date."""
    step_timeout: float
    """Seconds of a step that sets no `timeout:`."""
    test_seconds: float
    """Wall time of a test run or a command in the sandbox, when its step sets no `timeout:`."""
    results: Results
    """What steps of all runs gave, by their keys."""
    earlier: Earlier = field(default_factory=Earlier)
    done: Mapping[str, dict[str, str | None]] = field(default_factory=dict)
    """Id → values, of what earlier sittings finished."""
    failures: dict[str, int] = field(default_factory=dict)
    """Id → how often it failed in this sitting: the same questions again would get the same answers."""
    keys: dict[str, str] = field(default_factory=dict)
    """Id → the key of what went into it."""
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Id → the commit that belongs to it, as `cache.Results` keeps it."""
    committed: dict[str, Commit] = field(default_factory=dict)
    """Id → commit, of what the repository's history already holds; a resumed step does not commit twice."""
    fault: CompanyError | None = None
    """What ends the run."""
    told: set[str] = field(default_factory=set)
    """Ids of the commits that the journal tells of."""
    decided: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Id → values, of the gates that are decided and whose step did not come to its end."""
    sent_back: set[str] = field(default_factory=set)
    """Gates that a dry run has sent work back from: once each is enough."""
    person: Person | None = None
    """Who is asked at a gate; None: there is nobody."""
    headless: bool = False
    """Gates take the choice that they have for a run without anybody."""
    dry: bool = False
    """No model answers: every loop is gone round twice, whatever its condition says, so that both ways are tried."""
    seed: int = 1
    """As `engine.NewRun` has it."""
    guest: Guest | None = None
    """How to behave in a repository that was there before; None in one of the run's own."""
    git: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One commit at a time."""

    @property
    def records(self) -> str:
        """Folder of the run's records in the repository."""
        return self.guest.records if self.guest else RECORDS


def pack(objects: Objects, value: Any) -> str:
    """Keep a value (artifact, list, dict or scalar of JSON); returns its reference."""
    return objects.put(wrapped(value))


def pack_list(objects: Objects, refs: Sequence[str | None]) -> str:
    """Keep a list of values that are kept already, by their references alone; returns the list's."""
    return objects.put({"kind": "references", "value": list(refs)})


def pack_record(objects: Objects, refs: Mapping[str, str | None]) -> str:
    """Keep a mapping of values that are kept already, by their references alone; returns the mapping's."""
    return objects.put({"kind": "record", "value": dict(refs)})


def unpack(objects: Objects, ref: str | None) -> Any:
    """The value behind a reference, artifacts validated again; None for None."""
    if ref is None:
        return None
    data = objects.get(ref)
    if data["kind"] == "record":
        return {name: unpack(objects, each) for name, each in data["value"].items()}
    if data["kind"] == "references":
        return [unpack(objects, one) for one in data["value"]]
    return _unwrap(data, objects.kinds)


def wrapped(value: Any) -> Any:
    """A value as the JSON under which it is kept."""
    if isinstance(value, Artifact):
        return {"kind": type(value).__name__, "value": to_json(value)}
    if isinstance(value, list | tuple):
        return {"kind": "list", "value": [wrapped(item) for item in value]}
    if isinstance(value, Mapping):
        return {"kind": "dict", "value": {key: wrapped(value[key]) for key in value}}
    return {"kind": "json", "value": value}


def _unwrap(data: Any, kinds: Mapping[str, type[Artifact]]) -> Any:
    kind, value = data["kind"], data["value"]
    if kind == "list":
        return [_unwrap(item, kinds) for item in value]
    if kind == "dict":
        return {key: _unwrap(item, kinds) for key, item in value.items()}
    if kind == "json":
        return value
    if kind not in kinds:
        raise WorkspaceError(
            f"a stored artifact is of the unknown kind `{kind}`",
            hint="the run was made by another version of company; resume it with that version",
        )
    return kinds[kind].model_validate(value)


def reference(objects: Objects, values: Mapping[str, str | None], step: Step) -> str | None:
    """Where a step's result lies; a loop's or a used procedure's is the mapping of its steps' results."""
    if step.transparent or step.kind not in ("loop", "use"):
        return values.get(step.result)
    if values.get(step.path + SKIPPED):
        return None
    return pack_record(objects, {inner.name: reference(objects, values, inner) for inner in named(step.body)})


class Scope(Mapping[str, Any]):
    """The names that a step's expressions may use, read from references when they are asked for.

    A block's names are looked up where they lie: a copy for each step would make a step dearer with the steps beside it.
    """

    def __init__(self, site: Site, state: RunState, objects: Objects) -> None:
        self._objects = objects
        self._values = state.get("values", {})
        self._frame = state.get("frame", {})
        self._outside: Mapping[str, str | None] = self._values
        self._names: ChainMap[str, Callable[[], Any] | Step] = ChainMap()
        self._loops: list[Step] = []
        for block in site.blocks:
            self._enter(block)

    def _enter(self, block: Block) -> None:
        """Take in the names that a block brings; a used procedure hides those around it."""
        owner = block.owner
        more: dict[str, Callable[[], Any] | Step] = {}
        if owner and owner.kind == "use":
            self._loops, self._outside, self._names = [], {}, ChainMap()
            more = {item.name: partial(self._at, f"{owner.path}@in/{item.name}") for item in owner.inputs}
        elif owner and owner.kind == "for_each":
            self._loops = []
            held = {name: self._frame[name] for name in (owner.bind, "deps", "done") if name in self._frame}
            more = {name: partial(unpack, self._objects, ref) for name, ref in held.items()}
        elif owner and owner.is_cascade:  # `prev` and `history` stay those of the loop around it
            more["answer"] = partial(self.value_of, owner.body[0])
        elif owner:
            around = self._loops if owner.transparent and all(loop.transparent for loop in self._loops) else []
            self._loops = [*around, owner]
            more["prev"] = partial(self._last, self._loops)
            more["history"] = partial(self._at, f"{owner.path}@history")
        self._names = ChainMap(block.names, more, *self._names.maps)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            return unpack(self._objects, self._outside[name])
        found = self._names[name]
        return self.value_of(found) if isinstance(found, Step) else found()

    def __iter__(self) -> Iterator[str]:
        yield from self._names
        yield from (name for name in self._outside if name.isidentifier() and name not in self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _at(self, path: str) -> Any:
        return unpack(self._objects, self._values.get(path))

    def value_of(self, step: Step, prefix: str = "") -> Any:
        """A step's result; a mapping of its steps' for a loop or a used procedure."""
        if step.kind not in ("loop", "use"):
            return self._at(prefix + step.path)
        if self._at(f"{prefix}{step.path}{SKIPPED}"):
            return None
        history = {"history": self._at(f"{step.path}@history")} if step.kind == "loop" and not prefix else {}
        return {**self._record(step, prefix), **history}

    def _last(self, loops: list[Step]) -> dict[str, Any]:
        """The last round: of a loop, and of the gates' ways back around it that have no name of their own."""
        found: dict[str, Any] = {}
        for loop in loops:
            last = self._record(loop, f"{loop.path}@prev/")
            found |= {name: value for name, value in last.items() if value is not None or name not in found}
        return found

    def _record(self, owner: Step, prefix: str) -> dict[str, Any]:
        return {step.name: self.value_of(step, prefix) for step in named(owner.body)}


def round_of(site: Site, state: RunState) -> str:
    """The rounds of the loops around a step, joined by dots: ``2`` or ``1.3``; ``1`` outside any loop."""
    known = state.get("rounds", {})
    rounds = [str(known[loop.path]) for loop in site.loops if loop.path in known]
    outer = state.get("outer_round", "")
    return ".".join(([outer] if outer else []) + rounds) or "1"


_ID = re.compile(r"(?P<path>[^\[#]+)(\[(?P<item>.*)\])?#(?P<round>[\d.]+)", re.DOTALL)


def parts_of(ident: str) -> tuple[str, str, str]:
    """A `step_id` as path, item and round; what is no such id is a path without a round."""
    found = _ID.fullmatch(ident)
    return (found["path"], found["item"] or "", found["round"]) if found else (ident, "", "")


def step_id(site: Site, state: RunState) -> str:
    """The identity of one execution of a step in a run: path, item and round, as in the commit's trailer."""
    item = state.get("item", "")
    return f"{site.step.path}{f'[{item}]' if item else ''}#{round_of(site, state)}"
