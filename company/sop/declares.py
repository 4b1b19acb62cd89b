"""What a procedure declares: artifacts of its own, and the type that each step says it gives, before anything is checked.

Types as text: `types.py`. Which names a step sees: `scopes.py`. The files of a procedure: `units.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cache
from typing import Annotated, Any

from pydantic import Field, create_model

from company.artifacts import Artifact, Decision
from company.sop.diagnostics import Diagnostics, did_you_mean
from company.sop.loader import Node
from company.sop.spec import KINDS
from company.sop.types import (
    CODEBASE,
    COMMAND_RESULT,
    NAMES,
    SELECTION,
    SOURCE_FILE,
    STR,
    SYNTAX,
    TEST_RUN,
    UNKNOWN,
    ArtifactType,
    DictOf,
    ListOf,
    Nullable,
    OneOf,
    Record,
    Skipped,
    Type,
    TypeProblem,
    parse_type,
)

LONGEST_TEXT, LONGEST_LIST = 1000, 12
"""Characters of a text and items of a list in a declared artifact: a small model under a schema may go on for ever."""
_ARTIFACT = re.compile(r"[A-Z][A-Za-z0-9]{0,39}")
_FIELD = re.compile(r"[a-z][a-z0-9_]*")


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


def given_by(command: str) -> Type:
    """The type of what a `run:` gives: the engine's own words have one of theirs."""
    own = {"survey": CODEBASE, "read": ListOf(SOURCE_FILE), "select": SELECTION}
    return TEST_RUN if is_pytest(command) else own.get(command.strip(), COMMAND_RESULT)


class Declares:
    """The types that a procedure's steps say they give.

    Args:
        types: the types that have a name.
        used: the type that another procedure gives, by its name.
    """

    def __init__(self, types: Mapping[str, Type], used: Callable[[str], Type]) -> None:
        self.types = types
        self._used = used

    def step(self, node: Node, name: str) -> Type:
        """The type of a step's result; `Skipped` where it has a `when:`, unknown where it is not said well."""
        kind = kind_of(node)
        found: Type = UNKNOWN
        if kind == "role" and (out := node.get("out")):
            found = self._out(out)
            if isinstance(found, ListOf) and isinstance(found.item, ArtifactType):
                found = replace(found, least=1)  # no reply may be an empty list of documents or files
            sample = node.get("sample")
            found = ListOf(found) if sample and sample.value != 1 else found
        elif kind == "run" and (command := node.get("run")):
            found = given_by(command.text)
        elif kind == "gate":
            found = self.gate(node)
        elif kind == "loop" and (block := node.get("loop")):
            found = self.block(block, history=True)
        elif kind == "for_each" and (do := node.get("do")) and do.entries:
            found = ListOf(self.item(do))
        elif kind == "use" and (other := node.get("use")):
            found = self._used(other.text)
        return Skipped(found, name) if "when" in node.entries and not isinstance(found, type(UNKNOWN)) else found

    def block(self, block: Node, *, history: bool = False) -> Record:
        """The results of a block's steps by name; of a loop's, the list of its rounds besides."""
        record = Record({name: self.step(entry.node, name) for name, entry in block.entries.items()})
        return Record({**record.fields, "history": ListOf(each_round(record))}) if history else record

    def item(self, do: Node) -> Type:
        """What one item of a for_each gives: its step's result, or the last step's of its block."""
        last, entry = ("do", None) if is_single(do) else list(do.entries.items())[-1]
        found = self.step(entry.node if entry else do, last)
        return Nullable(found.item, f"`{last}` may be skipped") if isinstance(found, Skipped) else found

    @staticmethod
    def gate(node: Node) -> Type:
        """A decision between the gate's choices."""
        choices = node.get("choices")
        return ArtifactType("Decision", _decision(tuple(choices.entries))) if choices and choices.entries else UNKNOWN

    def _out(self, out: Node) -> Type:
        try:
            return parse_type(out.data(), self.types)
        except TypeProblem:
            return UNKNOWN


def each_round(record: Record) -> Record:
    """The type of one entry of `history`."""
    return Record({name: unskipped(found) for name, found in record.fields.items() if name != "history"})


def unskipped(found: Type) -> Type:
    """A skippable result as it is read: it may be null."""
    if not isinstance(found, Skipped):
        return found
    return found.item if isinstance(found.item, Nullable) else Nullable(found.item, f"`{found.step}` may be skipped")


@cache
def _decision(choices: tuple[str, ...]) -> type[Artifact]:
    """A gate's result, with the choices that it has."""
    made: type[Artifact] = create_model("Decision", __base__=Decision, choice=(OneOf(choices).annotation, ...))
    return made


# --- artifacts ----------------------------------------------------------------------------------------


def declared_artifacts(node: Node | None, report: Diagnostics) -> dict[str, Type]:
    """The types that have a name in a procedure: the built-in ones and those under its `artifacts:`."""
    found = dict(NAMES)
    entries = node.entries if node and node.is_map else {}
    for name, entry in entries.items():
        if not _ARTIFACT.fullmatch(name):
            better = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))
            label = f"write `{better}`" if _ARTIFACT.fullmatch(better) else ""
            message = f"`{name}` is no name of an artifact: letters and digits, a capital first"
            report.error("SOP309", message, entry.key, label)
        elif name in found:
            report.error("SOP309", f"the artifact `{name}` is built in", entry.key, "choose another name")
        elif not entry.node.entries:
            found[name] = UNKNOWN
            if entry.node.is_map:  # anything else is reported with the keys of the procedure
                label = f"write `{name}: {{passed: bool, notes: [str]}}`"
                report.error("SOP309", f"the artifact `{name}` has no fields", entry.key, label)
        else:
            fields = tuple(_fields(name, entry.node, found, entries.keys() - found.keys(), report))
            found[name] = ArtifactType(name, _model(name, fields)) if fields else UNKNOWN
    return found


def _fields(
    name: str, node: Node, names: Mapping[str, Type], later: Collection[str], report: Diagnostics
) -> list[tuple[str, Type]]:
    fields: list[tuple[str, Type]] = []
    for field, entry in node.entries.items():
        if not _FIELD.fullmatch(field) or hasattr(Artifact, field):
            message = f"`{field}` cannot be a field of an artifact"
            report.error("SOP309", message, entry.key, "small letters, digits and `_`, a letter first")
            continue
        kind = type_of(entry.node, names, report, later)
        if reason := _unfit(kind):
            report.error("SOP309", f"`{name}.{field}` cannot be {kind}: {reason}", entry.node.span)
        fields.append((field, kind))
    return fields


def type_of(node: Node, names: Mapping[str, Type], report: Diagnostics, later: Collection[str] = ()) -> Type:
    """The type that a node spells; unknown after reporting why it is none. `later`: names that are declared below."""
    try:
        return parse_type(node.data(), names)
    except TypeProblem as problem:
        label = did_you_mean(problem.name, names) if problem.name else ""
        if problem.name in later:
            label = f"declare `{problem.name}` above this"
        if any("one_of(" in text and ")" not in text for text in (node.text, *(item.text for item in node.items))):
            label = "put it in quotes: the comma splits it"
        report.error("SOP403", str(problem), node.span, label, "" if label else f"a type is {SYNTAX}")
        return UNKNOWN


def _unfit(kind: Type) -> str:
    """Why a field of an artifact cannot have this type; empty where it can."""
    if isinstance(kind, ArtifactType):
        if kind.model.is_code:
            return "code is asked for by a step of its own"
        return "it is measured, not written" if is_measured(kind) else ""
    inner = getattr(kind, "item", None) or getattr(kind, "value", None)
    return _unfit(inner) if isinstance(inner, Type) else ""


def is_measured(kind: Type) -> bool:
    """Whether a type is, or holds, what only the engine or a person can give: a verdict, a command's result, a decision."""
    if isinstance(kind, ArtifactType):
        return kind in (TEST_RUN, COMMAND_RESULT, CODEBASE, SELECTION) or kind.name == "Decision"
    inner = getattr(kind, "item", None) or getattr(kind, "value", None)
    return isinstance(inner, Type) and is_measured(inner)


@cache
def _model(name: str, fields: tuple[tuple[str, Type], ...]) -> type[Artifact]:
    """The class of a declared artifact; the same fields give the same class."""
    annotations: dict[str, Any] = {field: (_bounded(kind), ...) for field, kind in fields}
    made: type[Artifact] = create_model(name, __base__=Artifact, **annotations)
    return made


def _bounded(kind: Type) -> Any:
    """The annotation of a field, its texts and lists bounded."""
    if kind == STR:
        return Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    if isinstance(kind, ListOf):
        return Annotated[list[_bounded(kind.item)], Field(max_length=LONGEST_LIST)]  # type: ignore[misc]
    if isinstance(kind, DictOf):
        return dict[str, _bounded(kind.value)]  # type: ignore[misc]
    if isinstance(kind, Nullable):
        return _bounded(kind.item) | None
    return Any if kind == UNKNOWN else kind.annotation
