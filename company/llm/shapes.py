"""Whether a value fits a JSON schema of the kinds that are made here, and what a schema asks for: in words, or as a form.

Where schemas come from: `replies.schema_for`, `tools/`. Nothing else of JSON Schema is understood: what a keyword says that is
not known here is left to the class that reads the document in the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_BOUNDS = (("Items", "entries"), ("Length", "characters"))
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list"}


def closed(**properties: Schema) -> dict[str, Any]:
    """The schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def words(schema: Schema) -> str:
    """What a value must be, in a few words for the model."""
    if "const" in schema or "enum" in schema:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in schema.get("enum", [schema.get("const")]))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(words(choice) for choice in choices))
    if "type" not in schema:
        return f"a {schema['$ref'].rpartition('/')[2]}" if "$ref" in schema else "any value"
    if schema.get("type") == "object" and "properties" in schema:
        inner = (f"{name}: {words(value)}" for name, value in schema["properties"].items())
        return f"object with {', '.join(inner)}" if schema["properties"] else "empty object"
    word = _WORDS.get(str(schema.get("type")), str(schema.get("type")))
    if schema.get("type") == "array":
        word += f" of {words(schema.get('items', {}))}"
    return f"{word} {about}" if (about := schema.get("description")) else word


def described(schema: Schema) -> str:
    """What a value must be, with how long it may be."""
    said = words(schema)
    for what, unit in _BOUNDS:
        low, high = schema.get(f"min{what}", 0), schema.get(f"max{what}")
        if high is not None:
            said += f", {low} to {high} {unit}"
    return said


BLANK = "<…>"
"""What stands for a text in a form."""


def form(schema: Schema) -> str:
    """A value of a schema's shape to be filled in, and below it how much each place holds.

    A small model that is shown a schema gives the schema back; a form it fills in.
    """
    bounds: dict[str, list[str]] = {}
    for place, bound in _bounds(schema, "", schema.get("$defs", {}), ()):
        places = bounds.setdefault(bound, [])
        if place not in places:
            places.append(place)
    lines = [f"- {', '.join(f'`{place}`' for place in places)}: {bound}" for bound, places in bounds.items()]
    return "\n".join([_form(schema, "", schema.get("$defs", {}), ()), *lines])


_TURNS = 2
"""So often is a class shown that holds itself."""


def _form(schema: Schema, margin: str, definitions: Mapping[str, Schema], within: tuple[str, ...]) -> str:
    """Empty for what is shown often enough already. `within`: the definitions that this is inside of."""
    if (name := _referred(schema)) in definitions:
        again = within.count(name) >= _TURNS
        return "" if again else _form(definitions[name], margin, definitions, (*within, name))
    if "const" in schema or "enum" in schema:
        return words(schema)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        forms = dict.fromkeys(_form(choice, margin, definitions, within) for choice in choices)
        return " or ".join(filter(None, forms))
    kind, inside = schema.get("type"), f"{margin}  "
    if kind == "object":
        every = schema.get("additionalProperties")
        fields = schema.get("properties") or ({BLANK: every} if isinstance(every, dict) else {})
        forms = {name: _form(part, inside, definitions, within) for name, part in fields.items()}
        shown = [f"{inside}{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in forms.items() if text]
        return "{\n" + ",\n".join(shown) + f"\n{margin}}}" if shown else "{}"
    if kind == "array":
        is_empty = schema.get("maxItems") == 0
        return "[]" if is_empty else f"[{_form(schema.get('items', {}), margin, definitions, within)}]"
    return {"boolean": "true or false", "integer": "0", "number": "0.0", "null": "null"}.get(str(kind), f'"{BLANK}"')


def _bounds(
    schema: Schema, place: str, definitions: Mapping[str, Schema], within: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """What a form cannot show: places, and how much each holds."""
    if (name := _referred(schema)) in definitions:
        if name not in within:
            yield from _bounds(definitions[name], place, definitions, (*within, name))
        return
    for choice in schema.get("anyOf") or schema.get("oneOf") or ():
        yield from _bounds(choice, place, definitions, within)
    for what, unit in (*_BOUNDS, ("imum", "")):
        low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
        if high is not None and (high or unit != "entries"):
            from_low = low is not None and (low > 1 or unit != "characters")
            said = f"{low} to {high} {unit}".rstrip() if from_low else f"at most {high} {unit}".rstrip()
            yield place, said + (_few(high) if unit == "characters" else "")
        elif low is not None and (low > 1 or not unit):
            yield place, f"at least {low} {unit}".rstrip()
    if "pattern" in schema:
        yield place, schema.get("description") or f"matches {schema['pattern']}"
    for name, part in schema.get("properties", {}).items():
        yield from _bounds(part, f"{place}.{name}".lstrip("."), definitions, within)
    if "items" in schema and schema.get("maxItems") != 0:
        yield from _bounds(schema["items"], place, definitions, within)
    if isinstance(every := schema.get("additionalProperties"), dict):
        yield from _bounds(every, place, definitions, within)


def _few(most: int) -> str:
    """For models that cannot count letters."""
    return next(
        (said for size, said in ((40, ""), (120, ", a few words"), (200, ", one short sentence")) if most <= size), ""
    )


def _referred(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def misfit(value: Any, schema: Schema, place: str) -> str:
    """The first thing about a value that does not fit a schema of the kind that is made here; empty if it fits."""
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        faults = [misfit(value, choice, place) for choice in choices]
        return "" if "" in faults else f"{place} must be {words(schema)}"
    if "const" in schema or "enum" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return "" if any(_same(value, one) for one in allowed) else f"{place} must be {words(schema)}"
    kind = str(schema.get("type"))
    if kind not in TYPES:
        return ""
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return f"{place} must be {words(schema)}"
    if isinstance(value, dict):
        return _object(value, schema, place)
    if isinstance(value, list):
        inner = schema.get("items", {})
        faults = [misfit(item, inner, f"{place}[{number}]") for number, item in enumerate(value)]
        return next(filter(None, faults), _out_of_bounds(len(value), schema, "Items", place, "entries"))
    if isinstance(value, str):
        if value == BLANK:
            return f"{place} is left blank"
        if not re.search(schema.get("pattern", ""), value):
            return f"{place} must be a text that matches {schema['pattern']}"
        return _out_of_bounds(len(value), schema, "Length", place, "characters")
    if isinstance(value, int | float):
        return _out_of_bounds(value, schema, "imum", place, "")
    return ""


def _object(value: dict[str, Any], schema: Schema, place: str) -> str:
    properties = schema.get("properties")
    if properties is None:
        return ""
    for name in properties:
        if name not in value:
            return f"{place}.{name} is missing"
    for name, inner in value.items():
        if name not in properties:
            return f"there is no {place}.{name[:80]}"
        if fault := misfit(inner, properties[name], f"{place}.{name}"):
            return fault
    return ""


def _out_of_bounds(size: float, schema: Schema, what: str, place: str, unit: str) -> str:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if low is not None and size < low:
        return f"{place} must be at least {low} {unit}".rstrip()
    return f"{place} must be at most {high} {unit}".rstrip() if high is not None and size > high else ""


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
