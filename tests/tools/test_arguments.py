"""Schemas of foreign tools made small, and arguments held to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from company.llm.scripted import minimal
from company.llm.shapes import closed, misfit, words
from company.tools.arguments import filled, simplified

FOREIGN: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "title": "searchArguments",
    "properties": {
        "query": {"type": "string", "pattern": "^(a+)+$", "format": "uri", "maxLength": 50, "title": "Query"},
        "kind": {"enum": ["open", "closed"], "default": "open"},
        "limit": {"type": ["integer", "null"], "minimum": 1},
        "where": {"$ref": "#/$defs/Place"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "tree": {"$ref": "#/$defs/Tree"},
    },
    "required": ["query", "where", "labels"],
    "$defs": {
        "Place": {
            "type": "object",
            "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
            "required": ["x"],
        },
        "Tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
    },
}


def test_a_foreign_schema_becomes_a_closed_object_without_patterns() -> None:
    made = simplified(FOREIGN)
    assert set(made["required"]) == set(FOREIGN["properties"])
    assert made["additionalProperties"] is False
    assert made["properties"]["query"] == {"type": "string", "maxLength": 50}
    assert words(made["properties"]["kind"]) == '"open" or "closed" or null to leave it out'
    assert words(made["properties"]["limit"]) == "whole number or null to leave it out"
    assert made["properties"]["where"]["required"] == ["x", "y"]
    assert words(made["properties"]["labels"]) == "text as JSON"
    assert "pattern" not in json.dumps(made)
    assert "$ref" not in json.dumps(made)


def test_what_is_made_for_a_schema_fits_it() -> None:
    made = simplified(FOREIGN)
    assert misfit(minimal(made, {}), made, "arguments") == ""


def test_arguments_go_out_as_the_server_wants_them() -> None:
    given = {
        "query": "a",
        "kind": None,
        "limit": 3,
        "where": {"x": 1, "y": None},
        "labels": '{"team": "core"}',
        "tree": None,
    }
    made = simplified(FOREIGN)
    assert misfit(given, made, "arguments") == ""
    assert filled(given, made) == {"query": "a", "limit": 3, "where": {"x": 1}, "labels": {"team": "core"}}
    assert filled({**given, "labels": "no JSON"}, made)["labels"] == "no JSON"


@pytest.mark.parametrize(
    "schema",
    [None, {}, [], {"type": "string"}, {"properties": 3}, {"type": "object", "properties": {"a": {"$ref": "#/x/y"}}}],
)
def test_a_broken_schema_is_one_that_can_be_used(schema: Any) -> None:
    made = simplified(schema)
    assert misfit(minimal(made, {}), made, "arguments") == ""


def test_a_huge_schema_asks_for_json_instead() -> None:
    wide = {f"field_{number}": {"type": "object", "properties": {"a": {"enum": ["x" * 50]}}} for number in range(60)}
    made = simplified({"type": "object", "properties": {"big": {"type": "object", "properties": wide}}})
    assert words(made["properties"]["big"]) == "text as JSON or null to leave it out"
    assert filled({"big": '{"field_1": {}}'}, made) == {"big": {"field_1": {}}}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"n": 1, "names": []}, ""),
        ({"n": True, "names": []}, "a.n must be whole number"),
        ({"n": 0, "names": []}, "a.n must be at least 1"),
        ({"n": 1, "names": ["x", 2]}, "a.names[1] must be text"),
        ({"n": 1, "names": ["x"] * 4}, "a.names must be at most 3 entries"),
        ({"n": 1}, "a.names is missing"),
        ({"n": 1, "names": [], "m": 1}, "there is no a.m"),
        ("text", "a must be object with n: whole number, names: list of text"),
    ],
)
def test_the_first_misfit_is_named(value: Any, fault: str) -> None:
    schema = closed(
        n={"type": "integer", "minimum": 1}, names={"type": "array", "items": {"type": "string"}, "maxItems": 3}
    )
    assert misfit(value, schema, "a") == fault
