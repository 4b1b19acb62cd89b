"""What the engine's tests share: a run of a procedure with a scripted model; everything but the model is real."""

import asyncio
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from company import wiring
from company.answers import Given
from company.engine import NewRun, Outcome
from company.events import Event, read
from company.people import Person
from company.settings import Settings
from company.sitting import Watch

REQUIREMENT = (
    'A module shout.py with a function shout(text) that returns the text in capitals with "!" at its end: '
    'shout("hi") returns "HI!".'
)
PRD = {
    "title": "Shout",
    "goals": ["say things loudly"],
    "user_stories": ["As a user, I want capitals, so that I am heard"],
    "requirements": [{"id": "R1", "priority": "must", "text": "shout returns capitals"}],
    "acceptance_criteria": ['shout("hi") returns "HI!"'],
    "unclear": [],
}
OUTLINE = {"approach": "One function.", "entry_point": "", "dependencies": []}
INTERFACE = {
    "purpose": "Says things loudly.",
    "depends_on": [],
    "parts": [{"signature": "def shout(text: str) -> str", "purpose": "Capitals and a mark."}],
}
CHECKS = {
    "calls": [{"imports": "from shout import shout", "expression": 'shout("")', "expected": '"!"'}],
    "commands": [],
}
RIGHT = '```python\ndef shout(text: str) -> str:\n    return text.upper() + "!"\n```'
WRONG = "```python\ndef shout(text: str) -> str:\n    return text.upper()\n```"
WATERFALL: list[dict[str, Any]] = [
    {"step": "prd", "reply": PRD},
    {"step": "design", "reply": OUTLINE},
    {"step": "design", "reply": INTERFACE},
    {"step": "tests", "reply": CHECKS},
]


def start(
    folder: Path,
    sop: str,
    script: list[dict[str, Any]],
    *,
    requirement: str = REQUIREMENT,
    listen: Callable[[Event], None] = lambda event: None,
    person: Person | None = None,
    stop: asyncio.Event | None = None,
    **more: Any,
) -> Outcome:
    """Run a procedure (a shipped name, or YAML text) with a script."""
    path = folder / "script.yaml"
    path.write_text(yaml.safe_dump(script, allow_unicode=True))
    if "\n" in sop:
        (folder / "own.yaml").write_text(sop)
        sop = str(folder / "own.yaml")
    new = NewRun(
        inputs={"requirement": requirement},
        sop=sop,
        workspace=folder / "ws",
        model=f"script:{path}",
        name="out",
        **more,
    )
    return asyncio.run(wiring.run(new, Settings(), Watch((listen,), stop, person=person)))


def go_on(
    folder: Path, limits: Mapping[str, float] | None = None, *, headless: bool = False, answers: Sequence[Given] = ()
) -> Outcome:
    """Resume the newest run."""
    return asyncio.run(wiring.resume(folder / "ws", "", Settings(), limits=limits, headless=headless, answers=answers))


def events(folder: Path) -> list[Event]:
    """The journal of the only run."""
    (journal,) = (folder / "ws" / ".company" / "runs").glob("*/events.jsonl")
    return list(read(journal))


def git(repo: Path, *words: str) -> str:
    """What git says."""
    return subprocess.run(["git", "-C", str(repo), *words], capture_output=True, text=True, check=True).stdout


SAID = """sop: 1
steps:
  design: {role: architect, in: requirement, out: Design}
  code: {role: engineer, prompt: say, in: {about: design}, out: [SourceFile]}
  tests: {role: qa, in: [requirement, design], out: Checks}
  check: {run: pytest, in: [design, code, tests]}
deliver: {accept: check.passed}
"""
"""A procedure with a prompt of one's own, ``prompts/shared/say.md.j2``, to be changed for a redo."""


def start_said(folder: Path) -> tuple[Outcome, Path]:
    """A run of `SAID` that is delivered, and its prompt."""
    prompt = folder / "prompts/shared/say.md.j2"
    prompt.parent.mkdir(parents=True)
    prompt.write_text("{{ about }}\nsays {{ role.title }}\n")
    script = [
        *({"step": "design", "reply": reply} for reply in (OUTLINE, INTERFACE)),
        {"step": "code", "reply": RIGHT},
        {"step": "tests", "reply": CHECKS},
    ]
    first = start(folder, SAID, script, user_dir=folder)
    assert (first.status, first.reason) == ("delivered", "")
    return first, prompt
