"""A tool's arguments: whether they fit its schema, and a foreign schema made into one that a small model can fill.

What a schema is for: `base.py`; where it comes from: `builtin.py`, `servers.py`. Patterns and formats are left out: they
make a grammar too large for servers that hold a reply to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list"}
_KEPT = ("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum")
_DEEPEST = 4
_LONGEST = 4000
"""Characters of a schema, as JSON, beyond which each argument is asked for as JSON in a text."""
_AS_JSON = {"type": "string", "description": "as JSON"}
"""Stands for what is too deep or too open to be described: the value is asked for as JSON in a text."""
_LEFT_OUT = {"type": "null", "description": "to leave it out"}


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
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(words(choice) for choice in schema["anyOf"]))
    if schema.get("type") == "object":
        inner = (f"{name}: {words(value)}" for name, value in schema["properties"].items())
        return f"object with {', '.join(inner)}" if schema["properties"] else "empty object"
    word = _WORDS.get(str(schema.get("type")), str(schema.get("type")))
    if schema.get("type") == "array":
        word += f" of {words(schema['items'])}"
    return f"{word} {about}" if (about := schema.get("description")) else word


def misfit(value: Any, schema: Schema, place: str) -> str:
    """The first thing about a value that does not fit a schema of the kind that is made here; empty if it fits."""
    if "anyOf" in schema:
        faults = [misfit(value, choice, place) for choice in schema["anyOf"]]
        return "" if "" in faults else f"{place} must be {words(schema)}"
    if "const" in schema or "enum" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return "" if any(_same(value, one) for one in allowed) else f"{place} must be {words(schema)}"
    kind = str(schema.get("type"))
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return f"{place} must be {words(schema)}"
    if isinstance(value, dict):
        return _object(value, schema, place)
    if isinstance(value, list):
        faults = [misfit(item, schema["items"], f"{place}[{number}]") for number, item in enumerate(value)]
        return next(filter(None, faults), _out_of_bounds(len(value), schema, "Items", place, "entries"))
    if isinstance(value, str):
        return _out_of_bounds(len(value), schema, "Length", place, "characters")
    if isinstance(value, int | float):
        return _out_of_bounds(value, schema, "imum", place, "")
    return ""


def _object(value: dict[str, Any], schema: Schema, place: str) -> str:
    for name in schema["properties"]:
        if name not in value:
            return f"{place}.{name} is missing"
    for name, inner in value.items():
        if name not in schema["properties"]:
            return f"there is no {place}.{name[:80]}"
        if fault := misfit(inner, schema["properties"][name], f"{place}.{name}"):
            return fault
    return ""


def _out_of_bounds(size: float, schema: Schema, what: str, place: str, unit: str) -> str:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if low is not None and size < low:
        return f"{place} must be at least {low} {unit}".rstrip()
    return f"{place} must be at most {high} {unit}".rstrip() if high is not None and size > high else ""


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


# --- foreign schemas --------------------------------------------------------------------------------


def simplified(schema: Any) -> dict[str, Any]:
    """A foreign schema of arguments as a closed object. A property that may be left out may be null instead.

    One that cannot be described, or not in a few thousand characters, has no arguments: the server says what it lacks.
    """
    root = schema if isinstance(schema, dict) else {}
    made = _simple(root, root, 0)
    if made.get("type") != "object":
        return closed()
    if len(json.dumps(made)) > _LONGEST:
        required = [name for name, inner in made["properties"].items() if _LEFT_OUT not in inner.get("anyOf", ())]
        made = closed(**{name: _AS_JSON if name in required else _optional(_AS_JSON) for name in made["properties"]})
    return made if len(json.dumps(made)) <= 2 * _LONGEST else closed()


def filled(value: Any, schema: Schema) -> Any:
    """A value as the foreign schema wants it: without what was left out, JSON read from the texts that hold it."""
    choices = schema.get("anyOf", [schema])
    if isinstance(value, str) and _AS_JSON in choices:
        try:
            return json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        known: Schema = next((choice["properties"] for choice in choices if not misfit(value, choice, "")), {})
        given = ((name, inner, known.get(name, {})) for name, inner in value.items())
        return {
            name: filled(inner, one)
            for name, inner, one in given
            if inner is not None or _LEFT_OUT not in one.get("anyOf", ())
        }
    if isinstance(value, list):
        items: Schema = next((choice["items"] for choice in choices if not misfit(value, choice, "")), {})
        return [filled(item, items) for item in value]
    return value


def _simple(node: Any, root: dict[str, Any], depth: int) -> dict[str, Any]:
    node = _followed(node, root)
    if node is None or depth > _DEEPEST:
        return _AS_JSON
    if "const" in node or isinstance(node.get("enum"), list):
        return {"enum": [node["const"]] if "const" in node else node["enum"]}
    for choice in ("anyOf", "oneOf"):
        if isinstance(node.get(choice), list) and node[choice]:
            return _either([_simple(one, root, depth + 1) for one in node[choice]])
    kind = node.get("type")
    if isinstance(kind, list) and kind:
        return _either([_simple({**node, "type": one}, root, depth) for one in kind])
    if kind == "object" or (kind is None and "properties" in node):
        return _simple_object(node, root, depth)
    if not isinstance(kind, str) or kind not in _TYPES:
        return _AS_JSON
    if kind == "null":
        return {"type": "null"}
    made = {"type": kind, **{key: node[key] for key in _KEPT if isinstance(node.get(key), int | float)}}
    return {**made, "items": _simple(node.get("items"), root, depth + 1)} if kind == "array" else made


def _simple_object(node: dict[str, Any], root: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = node.get("properties")
    if depth and (not isinstance(properties, dict) or not properties):
        return _AS_JSON  # anything goes in it
    required = node.get("required", ())
    made: dict[str, Schema] = {}
    for name, inner in (properties if isinstance(properties, dict) else {}).items():
        simple = _simple(inner, root, depth + 1)
        made[str(name)] = simple if name in required else _optional(simple)
    return closed(**made)


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return _either([schema, _LEFT_OUT])


def _either(choices: list[dict[str, Any]]) -> dict[str, Any]:
    flat = [one for choice in choices for one in choice.get("anyOf", [choice])]
    if _LEFT_OUT in flat:
        flat = [one for one in flat if one.get("type") != "null" or one == _LEFT_OUT]
    unique = [one for place, one in enumerate(flat) if one not in flat[:place]]
    return unique[0] if len(unique) == 1 else {"anyOf": unique}


def _followed(node: Any, root: dict[str, Any]) -> dict[str, Any] | None:
    """What a reference inside the schema leads to; None for one that leads nowhere, round, or out of it."""
    for _ in range(_DEEPEST):
        if not isinstance(node, dict):
            return None
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        node = root if reference.startswith("#/") else None
        for part in reference.split("/")[1:]:
            node = node.get(part) if isinstance(node, dict) else None
    return None
