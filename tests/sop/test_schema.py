"""The JSON Schema that editors use: it takes what the checker takes, and refuses what an editor should mark while one types."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from support import LIBRARY as TESTED

from company.sop.library import Library
from company.sop.schema import json_schema

SHIPPED = Library(None)
SCHEMA = json_schema(SHIPPED.roles, SHIPPED.sops())
VALIDATOR = Draft202012Validator(SCHEMA)
FILES = [*SHIPPED.sops().values(), *(TESTED / "sops").glob("*.yaml")]


def wrong(text: str) -> bool:
    return not VALIDATOR.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_takes_every_procedure_that_checks(path: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sop: 1", "sop: 2"),
        ("steps:", "step:"),
        ("role: qa, in", "rol: qa, in"),
        ("out: [SourceFile]", "out: [SourceFile, TestFile]"),
        ("out: Checks", "out: checks"),
        ("[small, medium, large]", "[small, huge]"),
        ("cascade: [small, medium, large]", "cascade: small"),
        ("limits: {calls: 20", "limits: {calls: -1"),
        ("limits: {calls: 20", "limits: {call: 20"),
        ("{accept: verify.passed and", "{accepted: verify.passed and"),
        ("accept: {run: pytest, in: [answer, tests]}", "accept: {gate: human}"),
    ],
)
def test_it_marks_what_is_wrong_by_itself(old: str, new: str) -> None:
    text = SHIPPED.sop("cascade").text
    assert old in text
    assert wrong(text.replace(old, new))


def offered(name: str) -> list[Any]:
    """What an editor completes."""
    return next((one["enum"] for one in SCHEMA["$defs"][name]["anyOf"] if "enum" in one), [])


def test_it_offers_the_names_that_there_are() -> None:
    assert {"engineer", "qa", "judge"} <= set(offered("Role"))
    assert {"waterfall", "build"} <= set(offered("Procedure"))
    assert offered("Model") == ["large", "medium", "small"]
    assert {"python", "files.read"} <= set(offered("Tool"))
    assert {"Prd", "SourceFile", "str"} <= set(offered("Type"))
    kinds = {step["$ref"].rpartition("/")[2] for step in SCHEMA["$defs"]["Step"]["oneOf"]}
    assert kinds == {"RoleStep", "RunStep", "GateStep", "ForEachStep", "LoopStep", "UseStep"}


def test_every_key_says_what_it_is_for() -> None:
    for name in ("RoleStep", "RunStep", "GateStep", "ForEachStep", "LoopStep", "UseStep", "RoleSpec", "LimitsSpec"):
        definition = SCHEMA["$defs"][name]
        assert definition["description"]
        for key, field in definition["properties"].items():
            assert field.get("description"), f"{name}.{key}"
