"""A foreign schema of a tool's arguments made into one that a small model can fill, and values as the foreign one wants them.

Whether a value fits: `llm/shapes.py`. What a schema is for: `base.py`; where it comes from: `builtin.py`, `servers.py`. Patterns
and formats are left out: they make a grammar too large for servers that hold a reply to it.
"""

from __future__ import annotations

import json
from typing import Any

from company.llm.shapes import TYPES, Schema, closed, misfit

_KEPT = ("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum")
_DEEPEST = 4
_LONGEST = 4000
"""Characters of a schema, as JSON, beyond which each argument is asked for as JSON in a text."""
_AS_JSON = {"type": "string", "description": "as JSON"}
"""Stands for what is too deep or too open to be described: the value is asked for as JSON in a text."""
_LEFT_OUT = {"type": "null", "description": "to leave it out"}


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
    if not isinstance(kind, str) or kind not in TYPES:
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
