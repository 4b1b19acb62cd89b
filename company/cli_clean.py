"""`company runs --clean`: what no run needs, listed with its size and with what is lost by it, and deleted when that is wanted.

What it is, and its deletion: `housekeeping.py`. Sizes for people.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from company.errors import UsageError

if TYPE_CHECKING:
    from company.housekeeping import Doomed, Plan

_LOST = {
    "steps": "results of steps that no run there is refers to: a run that would have kept them makes them anew",
    "objects": "values and files of such steps",
    "replies": "replies that no run there is was given: the same question is paid for again",
    "prompts": "what models were asked in runs that are gone: it can be read no more",
    "checkpoints": "where runs stood that are finished or gone: nothing that can be resumed",
    "leftovers": "databases that were set aside, and what killed processes left half done",
}


def human(count: float) -> str:
    """``0 B``, ``12 kB``, ``3.4 MB``."""
    for unit, worth in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= worth:
            return f"{count / worth:.{1 if worth > 1e3 else 0}f} {unit}"
    return f"{count:.0f} B"


def clean_up(
    workspace: Path, names: Sequence[str], older_than: float | None, where: str, *, yes: bool, as_json: bool
) -> None:
    """List what would be deleted, ask, and delete it.

    Args:
        where: the option that names the workspace, for the command that is told.
        names: runs that are to go too, or names of repositories: the newest run of each.
        older_than: days.

    Raises:
        UsageError: there is no such run.
    """
    from company.housekeeping import clean, survey
    from company.records import find
    from company.store import Folder
    from company.terminal import harmless

    if older_than is not None and not 0 <= older_than < 1e6:
        raise UsageError(f"`--older-than {older_than:g}` is no number of days", hint="0 or more")
    named = [find(Folder(workspace / ".company"), name).run for name in names]
    plan = survey(workspace, named, None if older_than is None else older_than * 86400)
    rows = list(_rows(plan))
    for row in rows:
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(harmless(f"{row['what']:<32} {human(row['bytes']):>9}  {row['says']}"))
    for text in (*(f"{run} stays: {why}" for run, why in plan.busy.items()), *plan.notes):
        print(harmless(text), file=sys.stderr)
    if plan.is_empty:
        print("there is nothing to delete", file=sys.stderr)
        return
    total = human(sum(row["bytes"] for row in rows))
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        age = "" if older_than is None else f" --older-than {older_than:g}"
        command = f"company runs --clean{''.join(f' {shlex.quote(name)}' for name in names)}{age}{where} --yes"
        print(f"nothing was deleted; `{command}` deletes these {total}", file=sys.stderr)
        return
    if not yes and not typer.confirm(f"Delete these {total}?", err=True):
        print("nothing was deleted", file=sys.stderr)
        return
    for line in clean(workspace, plan):
        print(harmless(line), file=sys.stderr)
    print(f"deleted {total}", file=sys.stderr)


def _rows(plan: Plan) -> Iterator[dict[str, Any]]:
    """What would go, one row each; kept things by kind."""
    from company.housekeeping import size

    for doomed in plan.runs:
        yield {"what": f"run {doomed.run}", "bytes": doomed.bytes, "says": _of_run(doomed)}
    kinds = {**plan.kept, "leftovers": plan.rest}
    for kind, paths in kinds.items():
        if paths:
            what = f"{len(paths)} {kind}"
            yield {"what": what, "bytes": sum(size(path) for path in paths), "says": _LOST[kind]}
    if plan.threads:
        what, count = f"checkpoints of {len(plan.threads)} runs", sum(plan.threads.values())
        yield {"what": what, "bytes": count, "says": _LOST["checkpoints"]}


def _of_run(doomed: Doomed) -> str:
    told = [doomed.status or "it was killed", "its journal and request: it can be shown, resumed and redone no more"]
    if doomed.whole:
        told.append(f"and its repository {doomed.repo}")
    elif doomed.branch:
        told.append(f"and its branch {doomed.branch} in {doomed.repo}")
    elif doomed.stays:
        told.append(f"{doomed.repo} stays: {doomed.stays}")
    return "; ".join(told)
