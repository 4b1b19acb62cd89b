"""What is kept of each run beside its journal: the request and the procedure as it was; and the list of runs.

Who begins and resumes runs: `wiring.py`. The names: ``runs/ID/`` with ``request.json`` and ``library/``; where: `store.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from company.cache import Objects
from company.errors import CompanyError, RunDamaged, UsageError, WorkspaceError
from company.report import Report
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.sop.procedure import Procedure
from company.store import Store
from company.workspace import Repository

FINISHED = ("delivered", "unaccepted")
"""Such a run is never resumed."""
_LOOKED_AT = 50
"""How many of the newest runs are looked through for one of a procedure."""


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
    """As its outcome; ``running`` while its process lives, ``interrupted`` if it was killed; ``damaged`` if its request cannot be read."""
    accepted: bool | None
    calls: int
    tokens: int
    seconds: float
    cost_usd: float | None
    """None where a price is unknown."""
    problem: str = ""
    """What is damaged, and the way out; empty where nothing is."""


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
    source: str = ""
    """The procedure as it was asked for: a name, or the path of a file."""
    branch: str = "main"
    """Where it commits."""
    base: str = ""
    """The run that it goes back to; empty for one that goes back to none."""
    origin: str = ""
    """The first run of those that go back to one another; empty: this one."""
    fork: str = ""
    """The commit at which its branch begins, where it goes back to a run."""
    again: Mapping[str, int] = field(default_factory=dict)
    """Step path → how often it was asked for that it be done anew."""
    edits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Id of a step's execution → what a person made of its result, as `state.Edit` has it."""
    others: str = ""
    """Reference of the files that a person changed and no step made."""
    into: str = ""
    """The repository that was there before and gets a branch with the result; empty for a new one."""
    start: str = ""
    """With `into`: the commit that the run began from."""
    folder: str = ""
    """Where its model was named: from there goes a relative path of a script, a recording or weights. Empty: wherever one is."""
    seed: int = 1
    """What makes its questions other ones than those of the same run with another seed."""

    @property
    def first(self) -> str:
        """The run that the repository was made for: this one, or the first of those that go back to one another."""
        return self.origin or self.run

    @property
    def records(self) -> str:
        """Folder of the run's records in its repository; in somebody's, one for each run."""
        return f".company/{self.first}" if self.into else ".company"

    @property
    def is_whole(self) -> bool:
        """Whether every commit of its branch is its own: it begins neither in somebody's repository nor at an earlier run's."""
        return not self.start and not self.fork


def runs(store: Store) -> list[RunRecord]:
    """The runs of a store, newest first, damaged ones with what their journals say."""
    records = []
    for run in store.runs():
        try:
            records.append(record_of(store, run))
        except RunDamaged as error:
            records.append(damaged(store, run, error))
    return sorted(records, key=lambda record: record.run, reverse=True)  # ids begin with the time, to the millisecond


def record_of(store: Store, run: str) -> RunRecord:
    """How a run stands."""
    return standing(store, read_request(store, run), Report.of(store.events(run)))


def standing(store: Store, request: Request, report: Report) -> RunRecord:
    """How a run stands of which the journal tells this."""
    run, repo = request.run, store.home.parent / request.name
    return RunRecord(
        run=run,
        name=request.name,
        repo=repo,
        sop=request.sop,
        model=request.model,
        requirement=str(request.inputs.get("requirement", "")),
        started=report.started or begun(run),
        status=report.status or ("running" if store.is_driven(run, repo) else "interrupted"),
        accepted=report.accepted if report.status in FINISHED else None,
        calls=report.calls,
        tokens=report.prompt_tokens + report.completion_tokens,
        seconds=report.seconds,
        cost_usd=report.usd,
    )


def damaged(store: Store, run: str, error: RunDamaged) -> RunRecord:
    """A run whose request cannot be read, as its journal tells of it."""
    events = list(store.events(run))
    report, told = Report.of(events), next((event for event in events if event["event"] == "run_started"), {})
    name = str(told.get("name", ""))
    return RunRecord(
        run=run,
        name=name,
        repo=store.home.parent / name,
        sop=str(told.get("sop", "")),
        model=str(told.get("model", "")),
        requirement=str(told.get("requirement", "")),
        started=report.started or begun(run),
        status="damaged",
        accepted=report.accepted if report.status in FINISHED else None,
        calls=report.calls,
        tokens=report.prompt_tokens + report.completion_tokens,
        seconds=report.seconds,
        cost_usd=report.usd,
        problem=f"{error}; {error.hint}",
    )


def begun(run: str) -> float:
    """When a run of which nothing is known but its id was asked for."""
    try:
        return time.mktime(time.strptime(run[:15], "%Y%m%d-%H%M%S"))
    except ValueError:
        return 0.0


def find(store: Store, run: str) -> RunRecord:
    """A run by its id, or the newest whose repository has this name.

    Raises:
        UsageError: there is none.
    """
    if run in store.runs():  # no other run's journal need be read, or be whole
        return record_of(store, run)
    if found := [record for record in runs(store) if record.name == run]:
        return found[0]
    raise UsageError(f"there is no run `{run}` here", hint="`company runs` lists them")


def newest_open(store: Store) -> RunRecord:
    """The newest run that is not at its end.

    Raises:
        UsageError: there is none, or one that is under way.
    """
    records = runs(store)
    for record in records:
        if record.accepted is None and record.status != "running":
            return record
    if running := [record for record in records if record.status == "running"]:
        raise UsageError(
            f"there is no run to go on with here; {running[0].run} is under way",
            hint=f"wait for it, or stop it; its repository is {running[0].repo}",
        )
    raise UsageError("there is no run to go on with here", hint="`company runs --workspace DIR` lists them")


def latest(store: Store, sop: str, before: str) -> str:
    """The id of the newest run of a procedure that began before the run `before`; empty without one."""
    for run in sorted(store.runs(), reverse=True)[:_LOOKED_AT]:
        if run < before:
            with suppress(CompanyError):
                request = read_request(store, run)
                if request.sop == sop and request.model != "dry":
                    return request.run
    return ""


def files_of(store: Store, record: RunRecord) -> dict[str, str]:
    """The files that a run's commits left, path → text: as git has them, or as they were kept where this machine has not all."""
    commits = [*Report.of(store.events(record.run)).commits.values()]
    if commits and record.repo.is_dir():
        with suppress(WorkspaceError):
            files = Repository.open(record.repo).files(commits[-1]["sha"])
            return {path: content.decode("utf-8", "replace") for path, content in files.items()}
    objects, found = Objects(store), dict[str, str | None]()
    for event in commits:
        found |= objects.get(event["files"])["value"] if "files" in event else {}
    return {path: text for path, text in found.items() if text is not None}


def keep(store: Store, request: Request, procedure: Procedure) -> None:
    """Keep what a resumed sitting needs: every file of the procedure as it was, and last the request."""
    for name, text in library_of(procedure).items():
        store.put(f"runs/{request.run}/library/{name}", text.encode())
    keep_request(store, request)


def library_of(procedure: Procedure) -> dict[str, str]:
    """The procedure with every file that it uses, as a library of its own: path → text."""
    return {own_file(procedure.name): procedure.text, **procedure.sources}


def keep_request(store: Store, request: Request) -> None:
    """Keep what a run was asked, in the place of what is there."""
    store.put(f"runs/{request.run}/request.json", json.dumps(asdict(request), indent=1).encode())


def procedure_of(store: Store, run: str) -> Procedure:
    """A run's procedure, as it was kept.

    Raises:
        CompanyError: it cannot be read.
    """
    folder = store.library(run)
    return load_procedure(str(folder / own_file(read_request(store, run).sop)), Library(folder, folder))


def own_file(sop: str) -> str:
    """Where a run's own procedure is kept below ``library/``: apart from those it uses, one of which may have its name."""
    return f"own/{sop}.yaml"


def read_request(store: Store, run: str) -> Request:
    name = f"runs/{run}/request.json"
    data = store.get(name)
    if data is None:
        raise UsageError(f"there is no run `{run}` here", hint="`company runs` lists them")
    try:
        request = Request(**json.loads(data))
        if request.run != run or "/" in request.name or request.name.startswith("."):
            raise ValueError("it is of another run")
        return request
    except (ValueError, TypeError) as error:
        raise RunDamaged(
            f"the run's request is damaged: {error}",
            place=str(store.home / name),
            hint=f"put it back from a copy, or move the folder {run} away; its repository and all other runs stay",
        ) from error
