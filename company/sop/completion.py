"""What may be written at a place of a procedure: keys and words of the language, names of the library, steps and their fields.

Where the place is: `outline.py`. The language: `schema.py`. What is wrong with what is written: `linker.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from company.sop.library import Library
from company.sop.outline import ITEM, Cursor, Outline, Path, outline
from company.sop.schema import json_schema
from company.sop.spec import KINDS
from company.sop.types import NAMES, ArtifactType, ListOf, Nullable, Type, TypeProblem, parse_type

_BLOCKS = ("steps", "loop", "do")
"""Keys whose value is a block of steps."""
_REFERENCES = frozenset({"in", "show", "with", "updates"})
_EXPRESSIONS = frozenset({"when", "until", "best", "accept", "for_each", "key", "needs"})
_MOST = 200
_TYPED = "x-type"
"""Marks a schema that takes a type."""


class Option(NamedTuple):
    """One thing that may be written."""

    text: str
    kind: str
    """``key``, ``word``, ``name``, ``type`` or ``field``."""
    about: str = ""


class Offer(NamedTuple):
    """What may be written in the place of the last letters before the cursor."""

    letters: int
    """How many of them."""
    options: list[Option]


def complete(text: str, offset: int, library: Library) -> Offer:
    """What may be written at a place.

    Args:
        offset: the place, in characters.
    """
    found = outline(text, offset)
    if not found.cursor:
        return Offer(0, [])
    return _Completion(found, found.cursor, library).offer()


class _Completion:
    def __init__(self, found: Outline, cursor: Cursor, library: Library) -> None:
        self._found, self._cursor, self._library = found, cursor, library
        self._schema = json_schema(library.roles, library.sops())
        self._steps = [path for path in found.values if _is_step(path, found)]

    def offer(self) -> Offer:
        cursor = self._cursor
        if cursor.what == "key":
            return Offer(len(cursor.word), self._unique(self._keys()))
        before, dot, last = cursor.word.rpartition(".")
        if dot and self._reads():
            return Offer(len(last), self._unique(self._fields(before.split("."))))
        return Offer(len(cursor.word), self._unique(self._values()))

    def _unique(self, options: Iterable[Option]) -> list[Option]:
        return list({each.text: each for each in reversed([*options])}.values())[::-1][:_MOST]

    # --- keys -----------------------------------------------------------------------------------------

    def _keys(self) -> Iterator[Option]:
        path = self._cursor.path
        there = set(self._found.keys(path))
        if path and path[-1] == "with":
            yield from self._inputs_of(self._found.values.get((*path[:-1], "use"), ""))
        required: list[Option] = []
        others: list[Option] = []
        for schema in self._at(path):
            kinds = set(schema.get("required", ()))
            for key, inner in schema.get("properties", {}).items():
                if key not in there:
                    about = " ".join(str(inner.get("description", "")).split())
                    (required if key in kinds else others).append(Option(key, "key", about))
        yield from required
        yield from others
        if path == ("roles",):
            yield from (Option(name, "key", "A role of the library, to be changed.") for name in self._library.roles)

    def _inputs_of(self, name: str) -> Iterator[Option]:
        file = self._library.sops().get(name)
        if file:
            inputs = outline(file.read_text("utf-8", "replace"), 0).keys(("inputs",)) or ["requirement"]
            yield from (Option(each, "key", f"An input of {name}.") for each in inputs)

    def _told(self, file: FilePath, key: str) -> str:
        """What a file of the library says of itself."""
        return outline(file.read_text("utf-8", "replace"), 0).values.get((key,), "")

    # --- values ---------------------------------------------------------------------------------------

    def _reads(self) -> bool:
        key = self._key()
        return key in _REFERENCES or key in _EXPRESSIONS or self._within("in", "show", "with")

    def _key(self) -> str:
        return next((key for key in reversed(self._cursor.path) if key != ITEM), "")

    def _within(self, *keys: str) -> bool:
        plain = [key for key in self._cursor.path if key != ITEM]
        return len(plain) > 1 and plain[-2] in keys

    def _values(self) -> Iterator[Option]:
        path, key = self._cursor.path, self._key()
        owner = path[: len(path) - 1 - path[::-1].index(key)] if key else ()
        if self._reads():
            yield from self._names(owner)
        elif key == "after":
            yield from (Option(step[-1], "name", self._about(step)) for step in self._steps if step[:-1] == owner[:-1])
        elif key == "prompt":
            role = self._found.values.get((*owner, "role"), "")
            for folder in (role, "shared"):
                yield from (Option(name, "name", f"prompts/{folder}") for name in self._library.prompts(folder))
        elif key == "headless":
            yield from (Option(name, "name") for name in self._found.keys((*owner, "choices")))
        elif len(path) > 1 and path[-2] == "choices":
            yield from (Option("next", "word", "Go on."), Option("fail", "word", "End the run."))
            gate = path[:-2]
            yield from (Option(step[-1], "name", "Back to it.") for step in self._earlier() if step[:-1] == gate[:-1])
        if key == "role":
            yield from (Option(name, "name", "A role of this procedure.") for name in self._found.keys(("roles",)))
            yield from (Option(name, "name", self._told(file, "title")) for name, file in self._library.roles.items())
        elif key == "use":
            procedures = self._library.sops().items()
            yield from (Option(name, "name", self._told(file, "description")) for name, file in procedures)
        for schema in self._at(path):
            yield from self._words(schema)
            if _TYPED in schema:
                names = self._found.keys(("artifacts",))
                yield from (Option(name, "type", "A type of this procedure.") for name in names)

    def _words(self, schema: dict[str, Any]) -> Iterator[Option]:
        kind = "type" if _TYPED in schema else "word"
        if "const" in schema:
            yield Option(str(schema["const"]), kind)
        for word in schema.get("enum", ()):
            yield Option(str(word), kind)
        if schema.get("type") == "boolean":
            yield from (Option("true", "word"), Option("false", "word"))

    def _names(self, owner: Path) -> Iterator[Option]:
        """What a step may read: inputs, what is around it, and the steps before it."""
        yield from (Option(name, "name", "An input.") for name in self._found.keys(("inputs",)) or ["requirement"])
        for place in range(len(owner), 0, -1):
            around = owner[:place]
            if bind := self._found.values.get((*around, "as")):
                yield Option(bind, "name", f"The item of {around[-1]}.")
                yield from (
                    Option("deps", "name", "Results of the items it needs."),
                    Option("done", "name", "Results so far."),
                )
            if owner[place : place + 1] == ("loop",) or (self._key() in ("until", "best") and place == len(owner)):
                yield from (Option("prev", "name", "The last round."), Option("history", "name", "The rounds so far."))
        inside = (*owner, "loop")
        for step in self._earlier():
            if self._seen(step) or step[:-1] == inside:
                yield Option(step[-1], "name", self._about(step))
        if self._key() == "accept" and "cascade" in self._found.keys(owner):
            yield Option("answer", "name", "The answer that is judged.")

    def _earlier(self) -> list[Path]:
        """The steps above the cursor."""
        at = self._found.lines.get(self._cursor.path, self._line())
        own = self._cursor.path
        return [step for step in self._steps if self._found.lines[step] <= at and own[: len(step)] != step]

    def _line(self) -> int:
        path = self._cursor.path
        while path and path not in self._found.lines:
            path = path[:-1]
        return self._found.lines.get(path, 0)

    def _seen(self, step: Path) -> bool:
        """Whether it is in a block that is around the cursor, or at the top."""
        block = step[:-1]
        return self._cursor.path[: len(block)] == block or (self._cursor.path[:1] == ("deliver",) and len(block) == 1)

    def _about(self, step: Path) -> str:
        keys = self._found.keys(step)
        out = self._found.values.get((*step, "out"))
        kind = next((kind for kind in KINDS if kind in keys), "")
        return out or self._found.values.get((*step, kind)) or kind

    # --- fields ---------------------------------------------------------------------------------------

    def _fields(self, names: list[str]) -> Iterator[Option]:
        if names[:1] == ["maybe"] and len(names) == 1:
            yield from (Option(step[-1], "name", self._about(step)) for step in self._earlier() if self._seen(step))
            return
        names = names[1:] if names[:1] == ["maybe"] else names
        block: Path | None = None
        if names[:1] == ["prev"]:
            loops = [n for n, key in enumerate(self._cursor.path) if key == "loop"]
            block, names = (self._cursor.path[: loops[-1] + 1] if loops else None), names[1:]
        else:
            step = next((each for each in reversed(self._steps) if names[:1] == [each[-1]]), None)
            names = names[1:]
            if not step:
                return
            if "loop" not in self._found.keys(step):
                yield from self._of_type(self._type(step), names)
                return
            block = (*step, "loop")
        inner = [step for step in self._steps if block and step[:-1] == block]
        if not names:
            yield from (Option(step[-1], "name", self._about(step)) for step in inner)
        elif step := next((each for each in inner if each[-1] == names[0]), None):
            yield from self._of_type(self._type(step), names[1:])

    def _type(self, step: Path) -> Type | None:
        keys = self._found.keys(step)
        text = self._found.values.get((*step, "out"), "")
        if not text and "run" in keys:
            text = "TestRun" if self._found.values.get((*step, "run")) == "pytest" else "CommandResult"
        if text in self._found.keys(("artifacts",)):
            return None
        try:
            return parse_type(text, NAMES)
        except TypeProblem:
            return None

    def _of_type(self, kind: Type | None, names: list[str]) -> Iterator[Option]:
        for name in names:
            kind = kind.fields.get(name) if isinstance(kind, ArtifactType) else None
        while isinstance(kind, Nullable | ListOf) and not isinstance(kind, ListOf):
            kind = kind.item
        if isinstance(kind, ArtifactType):
            yield from (Option(name, "field", str(inner)) for name, inner in kind.fields.items())

    # --- the schema -------------------------------------------------------------------------------------

    def _at(self, path: Path) -> list[dict[str, Any]]:
        """Every schema that holds at a path."""
        found = self._open(self._schema, ())
        for depth, key in enumerate(path):
            inner = []
            for schema in found:
                if key == ITEM:
                    inner.append(schema.get("items"))
                elif key in schema.get("properties", {}):
                    inner.append(schema["properties"][key])
                else:
                    inner.append(schema.get("additionalProperties"))
            here = path[: depth + 1]
            found = [each for one in inner if isinstance(one, dict) for each in self._open(one, here)]
        return found

    def _open(self, schema: dict[str, Any], path: Path) -> list[dict[str, Any]]:
        """A schema, its references followed and its alternatives apart; of a step, those of the kind that it shows."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            inner = self._schema["$defs"][name]
            found = self._open(inner, path)
            if name == "Type":
                found = [{**each, _TYPED: True} for each in found]
            elif name == "Step":
                keys = self._found.keys(path)
                kinds = [each for each in found if any(kind in each["properties"] for kind in KINDS if kind in keys)]
                return kinds or ([] if any(_is_step((*path, key), self._found) for key in keys) else found)
            return found
        alternatives = schema.get("anyOf", schema.get("oneOf"))
        if alternatives is None:
            return [schema]
        return [each for one in alternatives for each in self._open(one, path)]


def _is_step(path: Path, found: Outline) -> bool:
    """Whether a named step stands there; one that says no kind yet too, where only steps can stand."""
    if len(path) < 2 or path[-2] not in _BLOCKS or path[-1] in (ITEM, ""):
        return False
    if path[-2] == "do":
        return any(kind in found.keys(path) for kind in KINDS) and path[-1] not in KINDS
    return True
