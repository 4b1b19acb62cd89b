"""What a workspace keeps of each run beside its journal: the request and the procedure as it was; and the list of runs.

Who begins and resumes runs: `wiring.py`. The folder: ``.company/runs/ID/`` with ``request.json`` and ``library/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from company.errors import UsageError, WorkspaceBusy, WorkspaceError
from company.events import read
from company.report import Report
from company.sop.procedure import Procedure
from company.workspace import Lock, write_atomic


@dataclass(frozen=True)
class RunRecord:
    """One run of a workspace, for the list."""

    run: str
    name: str
    repo: Path
    sop: str
    model: str
    requirement: str
    started: float
    """Seconds since the epoch."""
    status: str
    """As its outcome; ``running`` while its process lives, ``interrupted`` if it was killed."""
    accepted: bool | None
    calls: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Request:
    """What is kept of a run's beginning, so that it can be resumed anywhere."""

    run: str
    name: str
    sop: str
    model: str
    inputs: Mapping[str, Any]
    limits: Mapping[str, Any]
    unsafe_no_sandbox: bool
    into: str = ""
    """The repository that was there before and gets a branch with the result; empty for a new one."""
    base: str = ""
    """With `into`: the commit that the run began from."""


def runs(workspace: Path) -> list[RunRecord]:
    """The runs of a workspace, newest first."""
    requests = (workspace / ".company" / "runs").glob("*/request.json")
    records = [_record_of(path.parent, workspace) for path in requests]
    return sorted(records, key=lambda record: record.started, reverse=True)


def _record_of(folder: Path, workspace: Path) -> RunRecord:
    request = read_request(folder)
    report = Report.of(read(folder / "events.jsonl"))
    repo = workspace / request.name
    return RunRecord(
        run=request.run,
        name=request.name,
        repo=repo,
        sop=request.sop,
        model=request.model,
        requirement=str(request.inputs.get("requirement", "")),
        started=report.started,
        status=report.status or ("running" if _is_busy(repo) else "interrupted"),
        accepted=report.accepted if report.status in ("delivered", "unaccepted") else None,
        calls=report.calls,
        tokens=report.prompt_tokens + report.completion_tokens,
        seconds=report.seconds,
    )


def _is_busy(repo: Path) -> bool:
    if not (repo / ".git").is_dir():
        return False
    try:
        with Lock(repo):
            return False
    except WorkspaceBusy:
        return True


def find(workspace: Path, run: str) -> RunRecord:
    """A run by its id, or the newest whose repository has this name.

    Raises:
        UsageError: there is none.
    """
    folder = workspace / ".company" / "runs" / run
    if (folder / "request.json").is_file():  # no other run's journal need be read, or be whole
        return _record_of(folder, workspace)
    if found := [record for record in runs(workspace) if record.name == run]:
        return found[0]
    raise UsageError(f"there is no run `{run}` here", hint="`company runs` lists them")


def newest_open(workspace: Path) -> RunRecord:
    """The newest run that is not at its end.

    Raises:
        UsageError: there is none, or one that is under way.
    """
    records = runs(workspace)
    for record in records:
        if record.status not in ("delivered", "unaccepted", "running"):
            return record
    if running := [record for record in records if record.status == "running"]:
        raise UsageError(
            f"there is no run to go on with here; {running[0].run} is under way",
            hint=f"wait for it, or stop it; its repository is {running[0].repo}",
        )
    raise UsageError("there is no run to go on with here", hint="`company runs --workspace DIR` lists them")


def keep(folder: Path, request: Request, procedure: Procedure) -> None:
    """Write down what a resumed sitting needs: the request, and every file of the procedure as it was."""
    for name, text in {own_file(procedure.name): procedure.text, **procedure.sources}.items():
        path = folder / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    write_atomic(folder / "request.json", json.dumps(asdict(request), indent=1).encode())


def own_file(sop: str) -> str:
    """Where a run's own procedure is kept below ``library/``: apart from those it uses, one of which may have its name."""
    return f"own/{sop}.yaml"


def read_request(folder: Path) -> Request:
    try:
        return Request(**json.loads((folder / "request.json").read_text("utf-8")))
    except FileNotFoundError as error:
        raise UsageError(f"there is no run `{folder.name}` here", hint="`company runs` lists them") from error
    except (ValueError, TypeError) as error:
        raise WorkspaceError(f"the run's request is damaged: {error}", place=str(folder / "request.json")) from error
