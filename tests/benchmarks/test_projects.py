"""The benchmark's projects judge what they say: the reference passes, nothing passes nothing, mistakes are seen."""

import ast
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.scripts_of import load

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = sorted((ROOT / "benchmarks/projects").iterdir())
CHANGES = [
    (r"\+ 1\b", "+ 2"),
    (r" > ", " >= "),
    (r"\.lower\(\)|\.casefold\(\)", ""),
    (r"return 1\b", "return 0"),
    (r"sorted\(", "list("),
    (r"raise ValueError", "return ValueError"),
]
"""Mistakes such as models make; a project need not have a place for each."""


accept = load("accept")


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_the_reference_passes_every_check(project: Path) -> None:
    verdicts = accept.accept(project, project / "reference")
    assert len(verdicts) >= 12
    assert {name: why for name, (ok, why) in verdicts.items() if not ok} == {}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_a_repository_without_code_passes_none(project: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    assert not any(ok for ok, _ in accept.accept(project, tmp_path).values())


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_a_mistake_is_seen(project: Path, tmp_path: Path) -> None:
    seen = 0
    for number, (wanted, instead) in enumerate(CHANGES):
        copy = tmp_path / str(number)
        shutil.copytree(project / "reference", copy)
        changed = False
        for path in copy.rglob("*.py"):
            text = re.sub(wanted, instead, path.read_text(), count=1)
            ast.parse(text)
            changed |= text != path.read_text()
            path.write_text(text)
        if changed:
            seen += not all(ok for ok, _ in accept.accept(project, copy).values())
    assert seen >= 1


def test_the_requirements_are_one_line_and_eight() -> None:
    assert len(PROJECTS) == 8
    for project in PROJECTS:
        text = (project / "requirement.txt").read_text("utf-8").strip()
        assert "\n" not in text
        assert 80 < len(text.split()) < 220


def test_no_task_is_known_to_the_product() -> None:
    """Neither names of projects nor lines of their judges stand in code, prompts, roles or procedures."""
    judges = {
        line.strip()
        for project in PROJECTS
        for line in (project / "acceptance.py").read_text().splitlines()
        if len(line) > 60
    }
    for folder in ("company", "prompts", "roles", "sops"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".yaml", ".j2"):
                text = path.read_text("utf-8")
                assert not any(re.search(rf"\b{project.name}\.py\b|\b{project.name}/", text) for project in PROJECTS), (
                    path
                )
                assert not any(line in text for line in judges), path


def row(sop: str, passed: int, **more: Any) -> dict[str, Any]:
    fields = {
        "project": "p",
        "sop": sop,
        "seed": 1,
        "passed": passed,
        "of": 10,
        "share": passed / 10,
        "status": "delivered",
    }
    fields |= {"accepted": True, "calls": 2, "prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": 25}
    return fields | {"seconds": 60.0, "model_seconds": 59.0} | more


def test_the_table_tells_every_run_and_the_means() -> None:
    lines = list(
        load("run_projects").table([row("a", 10), row("b", 5, seed=1), row("b", 0, seed=2, accepted=False)], ["a", "b"])
    )
    assert len([line for line in lines if line.startswith("| p |")]) == 3
    assert "| a | 1 | 100.0% | 1 of 1 | 150 | 1.0 | 1 of 1 |" in lines
    assert "| b | 2 | 25.0% | 0 of 2 | 150 | 1.0 | 1 of 2 |" in lines
    assert "98.3%" in lines[2]
    assert "| 25% |" in lines[2]


def test_a_run_that_left_nothing_counts_as_nothing() -> None:
    crashed = {**row("a", 0), "calls": None, "prompt_tokens": None, "completion_tokens": None, "cached_tokens": None}
    crashed |= {"seconds": None, "model_seconds": None, "accepted": False, "status": "exit 1"}
    assert "| a | 1 | 0.0% | 0 of 1 | 0 | 0.0 | 1 of 1 |" in list(load("run_projects").table([crashed], ["a"]))
