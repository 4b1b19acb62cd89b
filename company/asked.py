"""What a run is asked for, made fit: the procedure's inputs, a name for the repository, an id.

Where it is kept: `records.py`. Who begins runs: `wiring.py`.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from company.engine import NewRun
from company.errors import UsageError
from company.sop.procedure import Procedure
from company.sop.types import BOOL, FLOAT, INT, STR, ListOf, OneOf

LONGEST = 20_000
"""Characters of a requirement: more does not fit a small model's context."""
_NOISE = re.compile(
    r"an?|the|of|for|to|in|on|with|that|which|and|or|is|are|be|write|make|create|build|me|please|i|want"
)
"""Words that say nothing of a product; a folder's name does without them."""
_PLAIN = re.compile(r"main|app|setup|solution|bench|test_.*|.*_test", re.IGNORECASE)
"""Files whose names say nothing of it either; `bench` is where measurements lie in a workspace."""


def fitting(procedure: Procedure, given: Mapping[str, str]) -> dict[str, Any]:
    """The inputs as the procedure declares them.

    Raises:
        UsageError: one is missing, unknown, empty, too long or of another type.
    """
    for name in given:
        if name not in procedure.inputs:
            known = ", ".join(procedure.inputs)
            raise UsageError(f"the procedure {procedure.name} has no input `{name}`", hint=f"its inputs are {known}")
    found: dict[str, Any] = {}
    for name, kind in procedure.inputs.items():
        text = given.get(name, "").strip()
        if not text:
            what = "the requirement is empty" if name == "requirement" else f"the input `{name}` is missing"
            raise UsageError(what, hint='company run "a command line tool that …"' if name == "requirement" else "")
        if len(text) > LONGEST:
            raise UsageError(
                f"the input `{name}` has {len(text)} characters, and at most {LONGEST} are taken",
                hint="say what the product must do in a few paragraphs; details belong into separate runs",
            )
        found[name] = _converted(name, text, kind)
    return found


def _converted(name: str, text: str, kind: Any) -> Any:
    try:
        if kind == STR:
            return text
        if kind == INT:
            return int(text)
        if kind == FLOAT:
            return float(text)
        if kind == BOOL:
            return {"true": True, "false": False}[text.lower()]
        if isinstance(kind, OneOf) and text in kind.values:
            return text
        if kind == ListOf(STR):
            return [line for line in text.splitlines() if line.strip()]
    except (ValueError, KeyError):
        pass
    raise UsageError(f"the input `{name}` must be {kind}, not `{text[:60]}`")


def source_of(sop: str) -> str:
    """How a procedure is asked for from another folder."""
    return str(Path(sop).resolve()) if Path(sop).suffix in (".yaml", ".yml") else sop


def new_id() -> str:
    """An id of a new run; by their ids runs are in the order in which they began."""
    now = time.time()
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{moment}-{int(now % 1 * 1000):03}{secrets.token_hex(3)}"


def free_names(new: NewRun, inputs: Mapping[str, Any], taken: Collection[str]) -> Iterator[str]:
    """Names for the repository that are free: the one that was chosen, or as many as are wanted.

    They are after the first Python file that the requirement names, else after its first words.

    Args:
        taken: the names of repositories on other machines.

    Raises:
        UsageError: the chosen one is no name for a folder, or there is something of that name.
    """
    if new.name:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", new.name):
            raise UsageError(f"`{new.name}` is no name for a folder", hint="letters, digits, `.`, `_` and `-`")
        if (new.workspace / new.name).exists():
            raise UsageError(
                f"there is something at {new.workspace / new.name} already, and nothing is ever overwritten",
                hint=f"choose another --name; `company redo {new.name}` makes its run again, `company resume` goes on with one "
                "that was stopped",
            )
        if new.name in taken:
            raise UsageError(
                f"another machine has a run named {new.name}",
                hint=f"choose another --name, or go on with that run: company resume {new.name}",
            )
        yield new.name
        return
    text = str(next(iter(inputs.values())))
    files = (
        name for name in re.findall(r"(?<![\w-])([A-Za-z][A-Za-z0-9_]*)\.py\b", text) if not _PLAIN.fullmatch(name)
    )
    words = [word for word in re.findall(r"[a-z0-9]+", text.lower()) if not _NOISE.fullmatch(word)]
    base = next(files, "-".join(words[:4]))[:40].strip("-") or "project"
    names = (base, *(f"{base}-{number}" for number in range(2, 10_000)))
    yield from (name for name in names if not (name in taken or (new.workspace / name).exists()))
