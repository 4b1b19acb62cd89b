"""The type system of procedures: what steps hand over and what expressions see.

Which operators fit which types: `expressions.py`. The artifacts themselves: `company/artifacts.py`.
"""

from __future__ import annotations

import re
import types as python_types
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from company import artifacts
from company.artifacts import BUILT_IN, Artifact


class Type:
    """Base of all types. `str()` gives the text that a procedure would write."""

    @property
    def annotation(self) -> Any:
        """The Python annotation that validates such a value: ``list[SourceFile]``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scalar(Type):
    """`str`, `int`, `float`, `bool`, and `null` for the type of the literal null."""

    name: Literal["str", "int", "float", "bool", "null"]

    def __str__(self) -> str:
        return self.name

    @property
    def annotation(self) -> Any:
        return {"str": str, "int": int, "float": float, "bool": bool, "null": None}[self.name]


STR, INT, FLOAT, BOOL, NULL = Scalar("str"), Scalar("int"), Scalar("float"), Scalar("bool"), Scalar("null")


@dataclass(frozen=True)
class OneOf(Type):
    """One of a few words: ``one_of(low, high)``."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"one_of({', '.join(self.values)})"

    @property
    def annotation(self) -> Any:
        return Literal[self.values]


@dataclass(frozen=True)
class ListOf(Type):
    """A list: ``[SourceFile]``."""

    item: Type
    least: int = field(default=0, compare=False)
    """Fewest items, as far as the type tells."""

    def __str__(self) -> str:
        return f"[{self.item}]"

    @property
    def annotation(self) -> Any:
        return list[self.item.annotation]  # type: ignore[name-defined]  # built at run time


@dataclass(frozen=True)
class DictOf(Type):
    """A mapping from text: ``{str: int}``."""

    value: Type

    def __str__(self) -> str:
        return f"{{str: {self.value}}}"

    @property
    def annotation(self) -> Any:
        return dict[str, self.value.annotation]  # type: ignore[name-defined]  # built at run time


@dataclass(frozen=True)
class Nullable(Type):
    """``T | null``. `why` says when it is null, for the message."""

    item: Type
    why: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.item} | null"

    @property
    def annotation(self) -> Any:
        return self.item.annotation | None


@dataclass(frozen=True)
class ArtifactType(Type):
    """A document or code, by name. `declared` is the model of one that a procedure declares itself."""

    name: str
    declared: type[Artifact] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def model(self) -> type[Artifact]:
        """The pydantic model. Parts of artifacts (`Call`) have one too, though no procedure may name them."""
        model: type[Artifact] = self.declared or getattr(artifacts, self.name)
        return model

    @property
    def annotation(self) -> Any:
        return self.model

    @property
    def fields(self) -> Mapping[str, Type]:
        """What an expression may read of it: its fields and its properties."""
        return _fields(self.model)


@dataclass(frozen=True)
class Record(Type):
    """The results of a block's steps by name. It has no written form."""

    fields: Mapping[str, Type]

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}: {value}" for name, value in self.fields.items()) + "}"

    def __hash__(self) -> int:
        return hash(tuple(self.fields.items()))

    @property
    def annotation(self) -> Any:
        return dict[str, Any]


@dataclass(frozen=True)
class Skipped(Type):
    """The result of a step that may be skipped: nothing can be done with it but ``maybe.``."""

    item: Type
    step: str = ""

    def __str__(self) -> str:
        return f"{self.item} | null"

    @property
    def annotation(self) -> Any:
        return self.item.annotation | None


@dataclass(frozen=True)
class Unknown(Type):
    """Stands where a mistake has been reported already; it agrees with everything."""

    def __str__(self) -> str:
        return "?"

    @property
    def annotation(self) -> Any:
        return Any


UNKNOWN = Unknown()
SOURCE_FILE, PATCH, FILE_SPEC = ArtifactType("SourceFile"), ArtifactType("Patch"), ArtifactType("FileSpec")
TEST_RUN, COMMAND_RESULT = ArtifactType("TestRun"), ArtifactType("CommandResult")
CODEBASE, CHANGE_PLAN = ArtifactType("Codebase"), ArtifactType("ChangePlan")
SELECTION = ArtifactType("Selection")
REVIEW, DESIGN = ArtifactType("Review"), ArtifactType("Design")


class TypeProblem(Exception):
    """A text that is no type; `name` is the unknown word, if that is what is wrong."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


NAMES: Mapping[str, Type] = {
    **{scalar.name: scalar for scalar in (STR, INT, FLOAT, BOOL)},
    **{name: ArtifactType(name) for name in BUILT_IN},
}
"""The types that a procedure may name."""
SYNTAX = "`str`, `int`, `float`, `bool`, `[T]`, `{str: T}`, `T | null`, `one_of(a, b)` or an artifact"
_DEEPEST = 8


def parse_type(value: object, names: Mapping[str, Type] = NAMES, depth: int = 0) -> Type:
    """The type that YAML data spells: text, or a list or mapping of one entry. `names` are the types that have one.

    Raises:
        TypeProblem: it spells none.
    """
    if depth > _DEEPEST:
        raise TypeProblem("a type is nested too deeply")
    if isinstance(value, list):
        if len(value) != 1:
            raise TypeProblem("a list type has exactly one type in its brackets")
        return ListOf(parse_type(value[0], names, depth + 1))
    if isinstance(value, dict):
        if list(value) != ["str"]:
            raise TypeProblem("a mapping type is written `{str: T}`")
        return DictOf(parse_type(value["str"], names, depth + 1))
    if value is None:
        raise TypeProblem("null alone is no type; write `T | null`")
    if not isinstance(value, str):
        raise TypeProblem(f"`{value}` is no type")
    return _parse_text(value.strip(), names, depth)


def _parse_text(text: str, names: Mapping[str, Type], depth: int) -> Type:
    if text in names:
        return names[text]
    if re.search(r"\|\s*null$", text):
        return Nullable(parse_type(text.rpartition("|")[0].strip(), names, depth + 1))
    if text.startswith("[") and text.endswith("]"):
        return ListOf(parse_type(text[1:-1], names, depth + 1))
    if match := re.fullmatch(r"\{\s*str\s*:(.*)\}", text, re.DOTALL):
        return DictOf(parse_type(match[1], names, depth + 1))
    if match := re.fullmatch(r"one_of\((.*)\)", text, re.DOTALL):
        words = tuple(word.strip().strip("'\"") for word in match[1].split(","))
        if not all(words) or len(set(words)) != len(words):
            raise TypeProblem("`one_of` takes different words, separated by commas")
        return OneOf(words)
    if re.fullmatch(r"\w+", text):
        raise TypeProblem(f"there is no type `{text}`", text)
    raise TypeProblem(f"`{text}` is no type")


def fits(value: Type, wanted: Type) -> bool:
    """Whether a value of the one type can stand where the other is wanted."""
    if isinstance(value, Unknown) or isinstance(wanted, Unknown) or value == wanted:
        return True
    if isinstance(wanted, Nullable):
        return value == NULL or fits(value.item if isinstance(value, Nullable) else value, wanted.item)
    if isinstance(value, ListOf) and isinstance(wanted, ListOf):
        return fits(value.item, wanted.item)
    if isinstance(value, DictOf) and isinstance(wanted, DictOf):
        return fits(value.value, wanted.value)
    return (isinstance(value, OneOf) and wanted == STR) or (value == INT and wanted == FLOAT)


def updatable(target: Type, out: Type) -> bool:
    """Whether a step that gives `out` may change an artifact of type `target`."""
    if isinstance(target, Unknown) or isinstance(out, Unknown) or out == target:
        return True
    return target in (SOURCE_FILE, ListOf(SOURCE_FILE)) and out in (PATCH, ListOf(SOURCE_FILE))


@cache
def _fields(model: type[BaseModel]) -> Mapping[str, Type]:
    found = {name: _of_annotation(info.annotation) for name, info in model.model_fields.items()}
    for name, info in model.model_fields.items():
        if isinstance(kind := found[name], ListOf):
            shortest = max((getattr(rule, "min_length", 0) for rule in info.metadata), default=0)
            found[name] = replace(kind, least=shortest)
    for cls in reversed(model.__mro__):
        if cls in (object, BaseModel) or not issubclass(cls, BaseModel):
            continue
        for name, member in vars(cls).items():
            if isinstance(member, property) and member.fget and not name.startswith(("_", "model_")):
                found[name] = _of_annotation(get_type_hints(member.fget).get("return"))
    return found


def _of_annotation(annotation: Any) -> Type:
    """The type of a pydantic field."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _of_annotation(args[0])
    if annotation is Any:  # a field whose type was reported as none
        return UNKNOWN
    if annotation in (str, int, float, bool):
        return Scalar(annotation.__name__)
    if isinstance(annotation, type) and issubclass(annotation, Artifact):
        own = getattr(artifacts, annotation.__name__, None) is annotation
        return ArtifactType(annotation.__name__, None if own else annotation)
    if origin in (list, tuple):
        return ListOf(_of_annotation(args[0]))
    if origin is dict:
        return DictOf(_of_annotation(args[1]))
    if origin is Literal and all(isinstance(arg, str) for arg in args):
        return OneOf(args)
    if origin in (Union, python_types.UnionType) and len(args) == 2 and type(None) in args:
        return Nullable(_of_annotation(args[0] if args[1] is type(None) else args[1]))
    raise TypeError(f"no procedure type for the annotation {annotation!r}")
