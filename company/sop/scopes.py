"""What a step sees and what it must wait for: names in scope, reads, writes, and the order that they force.

Who builds these while walking the procedure: `linker.py`. Types of expressions over a scope: `typecheck.py`.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from company.sop.diagnostics import Span, did_you_mean
from company.sop.expressions import FUNCTIONS, Reference
from company.sop.loader import Node
from company.sop.spec import KINDS
from company.sop.types import (
    COMMAND_RESULT,
    TEST_RUN,
    UNKNOWN,
    ListOf,
    Nullable,
    Record,
    Skipped,
    Type,
    TypeProblem,
    parse_type,
)

_WORDS = ("maybe", "prev", "history", "deps", "done", "do", "null", "next", "fail")
RESERVED = {*KINDS, *FUNCTIONS, *map(str.lower, keyword.kwlist), *_WORDS}
"""Names that no step, input or item may have: the language or the prompts use them."""


def kind_of(node: Node) -> str | None:
    """The key that says what a step is; None where there is not exactly one."""
    kinds = [key for key in node.entries if key in KINDS] if node.is_map else []
    return kinds[0] if len(kinds) == 1 else None


def is_single(do: Node) -> bool:
    """Whether a `do:` is one step rather than a block."""
    return any(key in KINDS for key in do.entries)


def is_pytest(command: str) -> bool:
    """Whether a `run:` is the test run that gives a verdict."""
    return command.split()[:1] == ["pytest"]


def declared(node: Node, name: str) -> Type:
    """The type that a step says it gives, before it is checked; `Skipped` where it has a `when:`."""
    kind = kind_of(node)
    found: Type = UNKNOWN
    if kind == "role" and (out := node.get("out")):
        try:
            found = parse_type(out.data())
        except TypeProblem:
            found = UNKNOWN
    elif kind == "run" and (command := node.get("run")):
        found = TEST_RUN if is_pytest(command.text) else COMMAND_RESULT
    elif kind == "loop" and (block := node.get("loop")):
        found = Record({inner: declared(entry.node, inner) for inner, entry in block.entries.items()})
    elif kind == "for_each" and (do := node.get("do")) and do.entries:
        found = ListOf(result_of(do))
    return Skipped(found, name) if "when" in node.entries and not isinstance(found, type(UNKNOWN)) else found


def result_of(do: Node) -> Type:
    """What one item of a for_each gives: its step's result, or the last step's of its block."""
    last, entry = ("do", None) if is_single(do) else list(do.entries.items())[-1]
    found = declared(entry.node if entry else do, last)
    return Nullable(found.item, f"`{last}` may be skipped") if isinstance(found, Skipped) else found


@dataclass
class Uses:
    """What a step or a block reads and changes. Paths are of steps, outermost name first."""

    reads: dict[str, None] = field(default_factory=dict)
    writes: dict[str, Span] = field(default_factory=dict)
    prev: bool = False
    """Whether it reads the loop's last round."""
    inputs: bool = False
    """Whether it reads anything at all: its place in the order follows from that."""

    def add(self, other: Uses) -> None:
        """Take over what a part uses."""
        self.reads.update(other.reads)
        self.writes.update(other.writes)
        self.prev |= other.prev
        self.inputs |= other.inputs


class Scope(Mapping[str, Type]):
    """The names that the steps of one block see: its own earlier steps, and what is around it."""

    def __init__(self, prefix: str, block: Node | None, outer: Scope | None = None, loop: Node | None = None) -> None:
        self.prefix = prefix
        """Path of the step that holds the block, with a dot; empty for the procedure."""
        self.steps: dict[str, Type] = {}
        """The steps above, by name."""
        self.names: dict[str, Type] = {}
        """Inputs, the item, `deps`, `done`, `prev`, `history`."""
        self.missing: dict[str, str] = {}
        """Names that this block could have had, and why it has not."""
        self.written = list(block.entries) if block else []
        self._outer = outer
        if loop:
            record = {name: declared(entry.node, name) for name, entry in loop.entries.items()}
            self.names["prev"] = Record({name: last_round(found) for name, found in record.items()})
            self.names["history"] = ListOf(Record({name: unskipped(found) for name, found in record.items()}))

    def chain(self) -> Iterator[Scope]:
        """This scope and the ones around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope._outer

    def __getitem__(self, name: str) -> Type:
        for scope in self.chain():
            if name in scope.steps:
                return scope.steps[name]
            if name in scope.names:
                return scope.names[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(name in scope.steps or name in scope.names for scope in self.chain())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for scope in self.chain() for name in (*scope.steps, *scope.names)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def path_of(self, parts: tuple[str, ...]) -> str | None:
        """The path of the step that a dotted name means, through loops; None when it means no step."""
        for scope in self.chain():
            if parts[0] in scope.names:
                return None
            if parts[0] in scope.steps:
                break
        else:
            return None
        path, found = scope.prefix + parts[0], unskipped(scope.steps[parts[0]])
        for part in parts[1:]:
            inside = found.item if isinstance(found, Nullable) else found
            if not isinstance(inside, Record) or part not in inside.fields:
                break
            path, found = f"{path}.{part}", unskipped(inside.fields[part])
        return path

    def uses(self, references: Iterable[Reference]) -> Uses:
        """What an expression with these references reads."""
        found = Uses()
        for reference in references:
            first = reference.parts[0]
            if first in ("prev", "history"):
                found.prev = found.inputs = True
                if loop := next((scope.prefix for scope in self.chain() if "prev" in scope.names), None):
                    found.reads[".".join([loop + "@prev", *reference.parts[1:2]])] = None
                continue
            path = self.path_of(reference.parts)
            if path:
                found.reads[path] = None
            found.inputs = True
        return found


def last_round(found: Type) -> Type:
    """The type that a step's result has as `prev.x`."""
    inside = unskipped(found)
    if isinstance(inside, Record):
        return Record({name: last_round(value) for name, value in inside.fields.items()})
    return inside if isinstance(inside, Nullable) else Nullable(inside, "`prev` is null in the first round")


def unskipped(found: Type) -> Type:
    """A skippable result as it is read: it may be null."""
    if not isinstance(found, Skipped):
        return found
    return found.item if isinstance(found.item, Nullable) else Nullable(found.item, f"`{found.step}` may be skipped")


class Order:
    """The waits among the steps of one block: readers wait for writers, writers for earlier readers.

    So a run gives what running the steps one by one, as written, would give.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._writer: dict[str, str] = {}
        self._readers: dict[str, list[str]] = {}

    def waits(self, name: str, uses: Uses) -> set[str]:
        """The steps of the block that `name` waits for, and note what it does for the ones below it."""
        found: set[str] = set()
        for path in (*uses.reads, *uses.writes):
            if path.startswith(self._prefix) and "@" not in path:
                found.add(path[len(self._prefix) :].split(".")[0])
            if path in self._writer:
                found.add(self._writer[path])
        for path in uses.writes:
            for place in _and_owners(path):
                found.update(self._readers.get(place, ()))
                self._writer[place] = name
            self._readers.pop(path, None)  # whoever writes next waits for this one, and so for them
        for path in uses.reads:
            self._readers.setdefault(path, []).append(name)
        return found - {name}


def _and_owners(path: str) -> Iterator[str]:
    """A path and the loops that hold it: who reads the loop's record reads the step's artifact."""
    while path:
        yield path
        path = path.rpartition(".")[0]


class Explainer:
    """Says why a name is not there: later, elsewhere, only in a loop, or misspelt."""

    def __init__(self, steps: Node) -> None:
        self._places: dict[str, list[tuple[str, str]]] = {}
        self._collect(steps, "", "")

    def _collect(self, block: Node, prefix: str, hidden: str) -> None:
        """Note where every step is; `hidden` is the for_each whose inside is not seen from outside."""
        for name, entry in block.entries.items():
            path = prefix + name
            self._places.setdefault(name, []).append((path, hidden))
            if not entry.node.is_map:
                continue
            if (loop := entry.node.get("loop")) and loop.is_map:
                self._collect(loop, f"{path}.", hidden)
            if (do := entry.node.get("do")) and do.is_map and not is_single(do):
                self._collect(do, f"{path}.", hidden or path)

    def explain(self, name: str, scope: Scope, reader: str) -> tuple[str, str, str]:
        """Code, message and label for `name`, read by the step `reader`."""
        for around in scope.chain():
            if name in around.missing:
                return "SOP505", f"there is no `{name}` here", around.missing[name]
        if name in ("prev", "history"):
            return "SOP505", f"`{name}` exists only inside a `loop:`", ""
        if name in ("deps", "done"):
            return "SOP505", f"`{name}` exists only inside the `do:` of a `for_each:`", ""
        if name == "maybe":
            return "SOP501", "`maybe` stands before the name of a step", "write `maybe.STEP`"
        for around in scope.chain():
            if name in around.written:
                again = "prev" in scope and any("prev" in s.names and name in s.written for s in scope.chain())
                label = f"last round's is `prev.{name}`" if again else "move it up, or this step down"
                if name == reader:
                    return "SOP502", f"`{name}` reads itself", label if again else ""
                if reader.startswith(f"{around.prefix}{name}."):
                    return "SOP502", f"`{name}` is still running here", "name the steps inside it"
                return "SOP502", f"`{name}` comes later", label
        for path, hidden in self._places.get(name, ()):
            label = f"its results are the list `{hidden}`" if hidden else f"write `{path}`"
            return "SOP503", f"`{name}` is inside `{path.rpartition('.')[0]}`", label
        return "SOP501", f"there is no `{name}` here", did_you_mean(name, scope)
