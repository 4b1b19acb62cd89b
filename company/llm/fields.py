"""A document asked for in pieces: field by field, a list entry by entry, a field that fails in its own pieces.

Who asks so, once a document did not come whole: `gateway.py`. Whether a value fits its part of the schema: `shapes.py`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from company.errors import Filtered, ReplyError
from company.llm.ask import Ask
from company.llm.fences import blocks_of, without_thoughts
from company.llm.replies import LIST_MAX, Misfit, parse_json
from company.llm.shapes import Schema, closed, described, misfit

MOST_QUESTIONS = 40
"""Pieces of one document that are asked for, repairs not counted."""
_DEEPEST = 4
_QUOTES = ('""', "''", "``", "“”")
_YES_NO = {"type": "boolean"}

Once = Callable[[Ask, Callable[[str], Any]], Awaitable[Any]]
"""Asks one question with its repairs; a ReplyError when it has no usable answer."""


def is_shapeless(text: str, schema: Schema) -> bool:
    """Whether nothing in a reply fits its schema: where something does, it is what it says that is no use, and pieces do not help."""

    def fit(value: Any) -> None:
        if fault := misfit(value, schema, "it"):
            raise Misfit([fault])

    try:
        parse_json(text, "document", fit)
    except ReplyError:
        return True
    return False


async def by_field(ask: Ask, once: Once) -> dict[str, Any]:
    """The document that `ask` is for, each piece asked for alone, in the same talk, with what is given already.

    Raises:
        ReplyError: a piece got no usable answer, or a filter ended it.
    """
    assert ask.schema
    made: dict[str, Any] = {}
    await _Pieces(ask, once, made).object(ask.schema, "", made, 0)
    return made


def first_piece(ask: Ask) -> Ask:
    """What `by_field` asks first."""

    async def found(piece: Ask, read: Callable[[str], Any]) -> Any:
        raise _Found(piece)

    try:
        by_field(ask, found).send(None)
    except _Found as first:
        return first.piece
    except StopIteration:  # all of its fields are given
        pass
    return ask


class _Found(Exception):  # none that is reported
    def __init__(self, piece: Ask) -> None:
        self.piece = piece


class _Pieces:
    def __init__(self, ask: Ask, once: Once, made: dict[str, Any]) -> None:
        self._ask, self._once, self._made = ask, once, made
        self._definitions: dict[str, Any] = (ask.schema or {}).get("$defs", {})
        self._left = MOST_QUESTIONS

    async def object(self, schema: Schema, place: str, into: dict[str, Any], depth: int) -> None:
        """Every field of an object, one after another."""
        for name, part in schema["properties"].items():
            known, here = depth == 0 and len(schema["properties"]) == 1, f"{place}.{name}".lstrip(".")
            put = partial(into.__setitem__, name)
            await self.field(name, self._followed(part), here, put, depth + 1, is_known=known)

    async def field(
        self, name: str, part: Schema, place: str, put: Callable[[Any], None], depth: int, *, is_known: bool
    ) -> None:
        """One field: whole, else in its pieces, put where it belongs. `is_known`: that it does not come whole."""
        allowed = part.get("enum", [part["const"]] if "const" in part else [])
        if len(allowed) == 1 or part.get("maxItems") == 0:
            put(allowed[0] if allowed else [])
            return
        can_split = depth < _DEEPEST and ("properties" in part or part.get("type") == "array")
        if not (is_known and can_split):
            try:
                put(await self._value(name, part, place))
                return
            except ReplyError as error:
                if isinstance(error, Filtered) or not can_split:
                    raise
        if "properties" in part:
            fields: dict[str, Any] = {}
            put(fields)
            await self.object(part, place, fields, depth)
        else:
            entries: list[Any] = []
            put(entries)
            await self.entries(part, place, entries, depth)

    async def entries(self, part: Schema, place: str, into: list[Any], depth: int) -> None:
        """A list, entry by entry, with each whether another follows."""
        entry = self._followed(part.get("items", {}))
        both = closed(item=entry, more=_YES_NO)
        read_both = partial(_read_all, schema=both)
        fewest, most = part.get("minItems", 0), min(part.get("maxItems", LIST_MAX), LIST_MAX)
        follows = fewest > 0 or await self._value("more", _YES_NO, place, f"whether `{place}` has any entry")
        while follows and len(into) < most:
            number = len(into) + 1
            here, is_free = f"{place}[{number}]", fewest <= number < most
            if is_free:
                what = (
                    f"entry {number} of `{place}` as `item` ({described(entry)}), and as `more` whether another follows"
                )
                try:
                    answer = await self._piece(both, here, what, read_both)
                except Filtered:
                    raise
                except ReplyError:
                    pass  # in its own pieces, below
                else:
                    into.append(answer["item"])
                    follows = answer["more"]
                    continue
            await self.field("item", entry, here, into.append, depth + 1, is_known=is_free)
            follows = number < fewest or (
                number < most
                and await self._value("more", _YES_NO, here, f"whether another entry follows in `{place}`")
            )

    async def _value(self, name: str, part: Schema, place: str, what: str = "") -> Any:
        said = what or f"the field `{place}` ({described(part)})"
        return await self._piece(closed(**{name: part}), place, said, lambda text: _read(text, name, part))

    async def _piece(self, schema: dict[str, Any], place: str, what: str, read: Callable[[str], Any]) -> Any:
        if not self._left:
            raise ReplyError(f"the document has more than {MOST_QUESTIONS} pieces")
        self._left -= 1
        keys = ", ".join(f"{json.dumps(key)}: …" for key in schema["properties"])
        lines = [f"Give only {what}.", f"Answer with JSON: {{{keys}}}"]
        if self._made:
            given = json.dumps(self._made, ensure_ascii=False, indent=1)
            lines.insert(1, f"This is given already, and the rest must agree with it:\n{given}")
        if self._definitions:
            schema = {**schema, "$defs": self._definitions}
        asked = replace(self._ask.told("\n".join(lines)), field=place).under(schema, self._ask.schema_name)
        return await self._once(asked, read)

    def _followed(self, part: Schema) -> Schema:
        """A part of the schema, a reference replaced by what it leads to."""
        reference = str(part.get("$ref", "")).rpartition("/")[2]
        found: Schema = self._definitions.get(reference, part)
        return found


def _read(text: str, name: str, part: Schema) -> Any:
    """The value of one field: under its name, alone as JSON, or as plain text where it is one."""

    def fit(value: Any) -> Any:
        inner = value[name] if isinstance(value, dict) and name in value else value
        if fault := misfit(inner, part, name):
            raise Misfit([fault])
        return inner

    try:
        return parse_json(text, f"`{name}`", fit)
    except ReplyError:
        plain = _plain(text)
        if plain[:1] in ("", "{", "[") or misfit(plain, part, name):
            raise
        return plain


def _read_all(text: str, schema: Schema) -> Any:
    def fit(value: Any) -> Any:
        if fault := misfit(value, schema, "the top level"):
            raise Misfit([fault])
        return value

    return parse_json(text, "entry", fit)


def _plain(text: str) -> str:
    """A reply as a text: without thoughts, and without the fence or the quotes around all of it."""
    said = without_thoughts(text).strip()
    if said.startswith("```") and len(blocks := list(blocks_of(said))) == 1:
        said = "\n".join(blocks[0].body).strip()
    if len(said) > 1 and said[0] + said[-1] in _QUOTES:
        said = said[1:-1].strip()
    return said
