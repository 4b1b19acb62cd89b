"""The JSON Schema of a procedure, for editors: a `# yaml-language-server: $schema=` line points at it.

What the keys mean: `spec.py`. Names of roles, procedures and artifacts are offered, and others are taken too where a procedure
may have its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from company.sop import tool_names
from company.sop.spec import KINDS, TIERS, DeliverSpec, LimitsSpec, RoleSpec, Sop, Spec
from company.sop.types import NAMES

_COMPOSED = r"^([A-Z][A-Za-z0-9]*|one_of\(.+\)|\[.+\]|\{ *str *:.+\}|.+\| *null)$"
"""Types that are written as text and are no plain word: declared artifacts, and types made of types."""


def json_schema(roles: Iterable[str] = (), procedures: Iterable[str] = ()) -> dict[str, Any]:
    """The schema, with the names of a library's roles and procedures."""
    models: list[type[Spec]] = [Sop, LimitsSpec, DeliverSpec, RoleSpec, *KINDS.values()]
    _, schema = models_json_schema([(model, "validation") for model in models], by_alias=True)
    definitions = schema["$defs"]
    definitions |= {
        "Step": {"oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in KINDS.values()]},
        "Block": {"type": "object", "minProperties": 1, "additionalProperties": {"x-ref": "Step"}},
        "Role": _offered(roles, r"^(\$[a-z][a-z0-9_.]*|[a-z0-9][a-z0-9_-]*)$", "A role, or `$step.field`."),
        "Procedure": _offered(procedures, "^[a-z0-9][a-z0-9_-]*$", "A procedure."),
        "Model": _offered(TIERS, r"^[A-Za-z0-9_.-]+:\S+$", "A tier, or `provider:model`."),
        "Tool": _offered(tool_names.BUILT_IN, rf"^mcp\.{tool_names.SERVER}(\.{tool_names.TOOL})?$", "A tool."),
        "Type": {
            "description": "`str`, `int`, `float`, `bool`, an artifact, `[T]`, `{str: T}`, `T | null` or `one_of(a, b)`.",
            "anyOf": [
                {"enum": list(NAMES)},
                {"type": "string", "pattern": _COMPOSED},
                {"type": "array", "minItems": 1, "maxItems": 1, "items": {"x-ref": "Type"}},
                {"type": "object", "required": ["str"], "properties": {"str": {"x-ref": "Type"}},
                 "additionalProperties": False},
            ],
        },
    }  # fmt: skip
    top = definitions.pop("Sop")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": definitions}
    resolved: dict[str, Any] = _resolve({**head, **top})
    return resolved


def schema_text(roles: Iterable[str] = (), procedures: Iterable[str] = ()) -> str:
    """The schema as a file."""
    return json.dumps(json_schema(roles, procedures), indent=1) + "\n"


def _offered(names: Iterable[str], pattern: str, description: str) -> dict[str, Any]:
    """Names that an editor offers, and what else may stand there."""
    others = {"type": "string", "pattern": pattern}
    known = sorted(names)
    return {"description": description, "anyOf": [*([{"enum": known}] if known else []), others]}


def _resolve(schema: Any) -> Any:
    if isinstance(schema, dict):
        if "x-ref" in schema:
            schema = {**{k: v for k, v in schema.items() if k != "x-ref"}, "$ref": f"#/$defs/{schema['x-ref']}"}
        return {key: _resolve(value) for key, value in schema.items()}
    return [_resolve(item) for item in schema] if isinstance(schema, list) else schema
