"""What a step sees and what it must wait for: names in scope, reads, writes, and the order that they force.

Who builds these while walking the procedure: `linker.py`. Types of expressions over a scope: `typecheck.py`.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from company.sop.declares import Declares, each_round, is_single, unskipped
from company.sop.diagnostics import Span, did_you_mean
from company.sop.expressions import FUNCTIONS, Reference
from company.sop.loader import Node
from company.sop.spec import KINDS
from company.sop.types import ListOf, Nullable, Record, Type

_WORDS = ("maybe", "prev", "history", "deps", "done", "do", "null", "next", "fail", "answer", "accept")
RESERVED = {*KINDS, *FUNCTIONS, *map(str.lower, keyword.kwlist), *_WORDS}
"""Names that no step, input or item may have: the language or the prompts use them."""


@dataclass
class Uses:
    """What a step or a block reads and changes. Paths are of steps, outermost name first."""

    reads: dict[str, None] = field(default_factory=dict)
    writes: dict[str, Span] = field(default_factory=dict)
    prev: bool = False
    """Whether it reads the loop's last round."""
    inputs: bool = False
    """Whether it reads anything at all: its place in the order follows from that."""
    histories: dict[str, None] = field(default_factory=dict)
    """The loops whose rounds are read, by path."""

    def add(self, other: Uses) -> None:
        """Take over what a part uses."""
        self.reads.update(other.reads)
        self.writes.update(other.writes)
        self.prev |= other.prev
        self.inputs |= other.inputs
        self.histories.update(other.histories)


class Scope(Mapping[str, Type]):
    """The names that the steps of one block see: its own earlier steps, and what is around it."""

    def __init__(
        self,
        prefix: str,
        block: Node | None,
        declares: Declares,
        outer: Scope | None = None,
        loop: str = "",
        *,
        shared: bool = False,
    ) -> None:
        self.prefix = prefix
        """Path of the step that holds the block, with a dot; empty for the procedure."""
        self.declares = declares
        self.loop = loop
        """Path of the loop whose rounds the block is; empty where it is no loop's."""
        self.steps: dict[str, Type] = {}
        """The steps above, by name."""
        self.names: dict[str, Type] = {}
        """Inputs, the item, `deps`, `done`, `prev`, `history`, `answer`."""
        self.missing: dict[str, str] = {}
        """Names that this block could have had, and why it has not."""
        self.written = list(block.entries) if block else []
        self._outer = outer
        self._shared = shared
        if loop and block:
            record = declares.block(block)
            around = outer.names.get("prev") if shared and outer else None
            before = around.fields if isinstance(around, Record) and outer and outer._shared else {}
            own = {name: last_round(found) for name, found in record.fields.items()}
            self.names["prev"] = Record({**before, **own})
            self.names["history"] = ListOf(each_round(record))

    @property
    def around(self) -> list[str]:
        """The names of the steps around this block, of the same file."""
        *_, outermost = self.chain()
        return self.prefix[len(outermost.prefix) :].split(".")[:-1]

    def is_sibling(self, name: str) -> bool:
        """Whether it is a step of the same block that stands above, or above the way back of a gate around this one."""
        return name in self.steps or bool(self._shared and self._outer and self._outer.is_sibling(name))

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
            if not isinstance(inside, Record) or part not in inside.fields or part == "history":
                break
            path, found = f"{path}.{part}", unskipped(inside.fields[part])
        return path

    def _histories(self, path: str, parts: tuple[str, ...]) -> Iterator[str]:
        """The loops of which a dotted name reads the rounds."""
        if "history" in parts:
            yield path
            return
        found: Type = self[parts[0]]
        for part in parts[1:]:
            inside = unskipped(found)
            inside = inside.item if isinstance(inside, Nullable) else inside
            if not isinstance(inside, Record) or part not in inside.fields:
                return
            found = inside.fields[part]
        yield from _loops_in(path, unskipped(found))

    def uses(self, references: Iterable[Reference]) -> Uses:
        """What an expression with these references reads."""
        found = Uses()
        for reference in references:
            first = reference.parts[0]
            if first in ("prev", "history"):
                found.prev = found.inputs = True
                if loop := next((scope for scope in self.chain() if scope.loop), None):
                    parts = reference.parts[1:2] if first == "prev" else loop.written
                    found.reads.update(dict.fromkeys(f"{loop.prefix}@prev.{part}" for part in parts or loop.written))
                    if first == "history":
                        found.histories[loop.loop] = None
                continue
            path = self.path_of(reference.parts)
            if path:
                found.reads[path] = None
                found.histories.update(dict.fromkeys(self._histories(path, reference.parts)))
            found.inputs = True
        return found


def _loops_in(path: str, found: Type) -> Iterator[str]:
    """The loops whose rounds are read where this value is read whole."""
    inside = found.item if isinstance(found, Nullable) else found
    if isinstance(inside, Record):
        if "history" in inside.fields:
            yield path
        for name, kind in inside.fields.items():
            yield from _loops_in(f"{path}.{name}", unskipped(kind))


def last_round(found: Type) -> Type:
    """The type that a step's result has as `prev.x`."""
    inside = unskipped(found)
    if isinstance(inside, Record):
        return Record({name: last_round(value) for name, value in inside.fields.items() if name != "history"})
    return inside if isinstance(inside, Nullable) else Nullable(inside, "`prev` is null in the first round")


class Order:
    """The waits among the steps of one block: readers wait for writers, writers for earlier readers.

    So a run gives what running the steps one by one, as written, would give.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.inside: dict[str, str] = {}
        """Names of steps that lie in a loop without a name of its own, and that loop's."""
        self._writer: dict[str, str] = {}
        self._readers: dict[str, list[str]] = {}

    def waits(self, name: str, uses: Uses) -> set[str]:
        """The steps of the block that `name` waits for, and note what it does for the ones below it."""
        found: set[str] = set()
        for path in (*uses.reads, *uses.writes):
            if path.startswith(self._prefix) and "@" not in path:
                step = path[len(self._prefix) :].split(".")[0]
                found.add(self.inside.get(step, step))
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
            return "SOP505", f"`{name}` exists only inside a `loop:`, or from where a gate leads back to up to it", ""
        if name == "answer":
            return "SOP505", "`answer` exists only in the `accept:` of a cascade", ""
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
