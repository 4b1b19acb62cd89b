"""A run begun, gone on with, made again: its request, its folders, its model and sandbox are chosen here.

How it is driven: `sitting.py`, `engine.py`. Settings: `settings.py`. A workspace is a folder of repositories with a
`.company/` beside them, or a team's database: checkpoints, artifacts, replies; each run's request, procedure and journal.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from company import branches, records, remotes
from company.answers import Given, matched
from company.asked import fitting, free_names, new_id, source_of
from company.cache import Objects
from company.clones import Source, branch_of
from company.engine import NewRun, Outcome
from company.errors import CompanyError, UsageError, WorkspaceBusy, WorkspaceError
from company.guests import in_step, keep_out
from company.llm.recording import Recorder
from company.lock import Lock
from company.opening import (
    Notices,
    check_names,
    honoured,
    limits_of,
    model_names,
    open_models,
    servers_of,
)
from company.paths import disk_errors
from company.postgres import Postgres
from company.records import (
    Request,
    RunRecord,
    find,
    keep,
    keep_request,
    newest_open,
    procedure_of,
    read_request,
    record_of,
)
from company.redo import kept_at, plan
from company.report import Report
from company.sandbox import choose
from company.sitting import NOBODY, Watch, sit
from company.sop.library import Library, own_folder
from company.sop.linker import load_procedure
from company.sop.procedure import Procedure
from company.store import Folder, Store
from company.tools.servers import open_servers
from company.waiting import waiting
from company.workspace import Repository

if TYPE_CHECKING:
    from company.settings import Settings


async def run(
    new: NewRun,
    settings: Settings,
    watch: Watch = NOBODY,
) -> Outcome:
    """Begin a run and drive it to its end.

    Raises:
        CompanyError: it could not begin; nothing was made.
    """
    procedure = load_procedure(new.sop, Library(new.user_dir))
    inputs = fitting(procedure, new.inputs)
    source = Source.at(new.into) if new.into else None
    start = source.head() if source else ""
    model = "dry" if new.dry_run else new.model or settings.model
    names, folder = model_names(procedure, settings, model), Path()
    check_names(procedure, names, settings, folder)
    honoured(procedure, names, settings)
    limits = limits_of(procedure, new.limits, names, settings)
    recorder = Recorder(new.recording) if new.recording else None
    with open_store(new.workspace, settings) as store:
        name = next(free_names(new, inputs, store.names()))
        sandbox = choose(unsafe_no_sandbox=new.unsafe_no_sandbox)
        workspace = new.workspace.resolve()
        with disk_errors("create the workspace", new.workspace):
            store.home.mkdir(parents=True, exist_ok=True)
            if source and workspace.is_relative_to(source.path):
                keep_out(workspace, source)
        identity = new_id()
        request = Request(
            identity, name, procedure.name, model, inputs, limits, new.unsafe_no_sandbox, source=source_of(new.sop),
            branch=branch_of(identity) if source else "main", into=str(source.path) if source else "", start=start,
            folder=str(Path.cwd()), seed=new.seed,
        )  # fmt: skip
        if source:
            source.free(identity)
        notices = Notices()
        servers = open_servers(servers_of(procedure), settings, dry=new.dry_run, notice=notices)
        async with open_models(names, settings, folder, notices, watch.progress) as models, servers as tools:
            with store.lease(identity):
                request, repository = _made(request, free_names(new, inputs, store.names()), store, procedure, source)
                return await sit(
                    request, procedure, settings, store, repository, sandbox, models, tools, notices, watch,
                    remote=_remote(settings, request), headless=new.headless, recorder=recorder,
                )  # fmt: skip


async def resume(
    workspace: Path,
    run: str,
    settings: Settings,
    watch: Watch = NOBODY,
    *,
    limits: Mapping[str, float] | None = None,
    model: str = "",
    recording: Path | None = None,
    headless: bool = False,
    answers: Sequence[Given] = (),
) -> Outcome:
    """Go on with a run that was stopped; with `run` empty the newest that is not delivered.

    Args:
        answers: to gates that wait; they are decided before the run goes on.
        model: another model for this sitting; by default the run's.
        recording: a file for the exchanges with models from now on; a recording that is there is gone on with.

    Raises:
        UsageError: there is no such run, nothing to go on with, or an answer that does not fit.
        WorkspaceBusy: it is running.
    """
    with open_store(workspace, settings) as store:
        record = find(store, run) if run else newest_open(store)
        run = record.run
        if answers and store.is_driven(run, record.repo):
            hint = "decide where it asks; or stop it there, and give the answer again"
            raise WorkspaceBusy(f"the run {run} is under way: no answer was taken", hint=hint)
        with store.lease(run):
            store.fetch(run)
            record, request = record_of(store, run), read_request(store, run)
            if record.status in ("delivered", "unaccepted"):
                raise UsageError(
                    f"the run {run} is finished ({record.status})", hint=f"its repository is {record.repo}"
                )
            if model and "dry" in (model, request.model):
                raise UsageError("a dry run cannot be gone on with by a model, nor any other run as one")
            procedure = procedure_of(store, run)
            if answers:  # said before a model is loaded, and looked at again when nobody else can go on with the run
                matched(answers, waiting(store.events(run), Objects(store, procedure.artifacts), procedure))
            names = model_names(procedure, settings, model or request.model)
            folder = Path() if model else Path(request.folder)
            before = {name: most for name, most in request.limits.items() if most is not None}
            bounds = limits_of(procedure, {**before, **(limits or {})}, names, settings)
            if limits:  # the next sitting has them too
                keep_request(store, replace(request, limits=bounds))
            request = replace(request, model=model or request.model, limits=bounds)
            if model:
                check_names(procedure, names, settings, folder)
                honoured(procedure, names, settings)
            recorder = Recorder(recording, more=True) if recording else None
            sandbox = choose(unsafe_no_sandbox=request.unsafe_no_sandbox)
            again = all("files" in event for event in Report.of(store.events(run)).commits.values())
            again = again and request.is_whole  # else it begins from what no commit of it made
            remote, owner = _remote(settings, request), request.first
            if record.repo.exists():
                _own(record.repo, owner)
            elif request.into and owner == run:
                Source.at(Path(request.into)).clone(request.start, record.repo, run)
            notes = await asyncio.to_thread(remotes.arrive, record.repo, owner, remote, again=again)
            repository = _own(record.repo, owner)
            if remote and not repository.tip(request.branch):
                await asyncio.to_thread(remotes.bring, repository, request.branch, remote)
            notices = Notices()
            servers = open_servers(servers_of(procedure), settings, dry=request.model == "dry", notice=notices)
            async with open_models(names, settings, folder, notices, watch.progress) as models, servers as tools:
                return await sit(
                    request, procedure, settings, store, repository, sandbox, models, tools, notices, watch,
                    remote=_remote(settings, request), headless=headless, resumed=True, notes=tuple(notes), recorder=recorder, answers=answers,
                )  # fmt: skip


def runs(workspace: Path, settings: Settings | None = None) -> list[RunRecord]:
    """The runs of a workspace, newest first; where the settings name a database, all of its runs."""
    from company.settings import load_settings

    with open_store(workspace, settings or load_settings()) as store:
        return records.runs(store)


def open_store(workspace: Path, settings: Settings) -> AbstractContextManager[Store]:
    """Where a workspace's runs are kept: in its folder, or in the database that the settings name.

    Raises:
        CompanyError: the database cannot be used.
    """
    from company.settings import place_of

    home = workspace.resolve() / ".company"
    if settings.state.get_secret_value():
        return Postgres(home, settings.state, place_of("state"))
    return nullcontext(Folder(home))


def _remote(settings: Settings, request: Request) -> str:
    """The address of the run's remote; empty without one."""
    folder = own_folder() or Path.cwd()
    return remotes.address(settings.remote, request.name, folder) if settings.remote else ""


async def redo(
    workspace: Path,
    run: str,
    settings: Settings,
    watch: Watch = NOBODY,
    *,
    limits: Mapping[str, float] | None = None,
    again: Sequence[str] = (),
    edits: Mapping[str, bytes] | None = None,
    sop: str = "",
    model: str = "",
    user_dir: Path | None = None,
    recording: Path | None = None,
    headless: bool = False,
) -> Outcome:
    """Make a run again on a new branch of its repository: what changed since, and what depends on that; nothing else.

    Args:
        again: steps to do anew though nothing changed.
        edits: path → what a person put there, beside what the repository itself holds.
        sop: another procedure; by default the run's own, as it is now.
        model: another model; by default the run's.
        recording: a new file for every exchange with a model; nothing is kept then, and each step asks again.

    Raises:
        UsageError: no such run, no such step, or a person's change that cannot be taken over.
        WorkspaceBusy: it is running.
    """
    with open_store(workspace, settings) as store:
        record = find(store, run)
        if record.status == "running":
            raise WorkspaceBusy(f"the run {record.run} is under way", hint="wait until it has ended, or stop it")
        base = read_request(store, record.run)
        if base.model == "dry":
            raise UsageError(f"the run {record.run} was a dry run: it made nothing to go back to", hint="company run …")
        if not (record.repo / ".git").exists() and not _remote(settings, base):
            raise UsageError(
                "the run's repository is not here", place=str(record.repo), hint="put it back in its place"
            )
        if base.into and not Path(base.into).exists():
            raise UsageError(
                "the repository that the run was let into is gone", place=base.into, hint="put it back in its place"
            )
        with store.lease(record.run):
            store.fetch(record.run)
            owner = base.first
            await asyncio.to_thread(remotes.arrive, record.repo, owner, _remote(settings, base), again=base.is_whole)
        repository, identity = _own(record.repo, owner), new_id()
        with store.lease(identity):
            with Lock(repository.path):
                in_step(base, repository)
                try:
                    made = plan(
                        base, store, repository, identity, again, source_of(sop), Library(user_dir), edits or {}
                    )
                except CompanyError as error:
                    error.hint = error.hint.replace("run `company resume`", "give the redo again")
                    raise
                procedure, chosen = made.procedure, model or base.model
                names = model_names(procedure, settings, chosen)
                folder = Path() if model else Path(base.folder)
                check_names(procedure, names, settings, folder)
                request = replace(
                    made.request,
                    inputs=fitting(procedure, {name: str(value) for name, value in made.request.inputs.items()}),
                    model=chosen,
                    folder=str(Path.cwd()) if model else base.folder,
                    limits=limits_of(procedure, {**made.request.limits, **(limits or {})}, names, settings),
                )
                honoured(procedure, names, settings)
                recorder = Recorder(recording) if recording else None
                sandbox = choose(unsafe_no_sandbox=request.unsafe_no_sandbox)
                if made.work:
                    branches.keep(repository, kept_at(identity), made.work, f"edits after the run {base.run}")
                with disk_errors("write the run's request", store.home):
                    keep(store, request, procedure)
            notices = Notices()
            servers = open_servers(servers_of(procedure), settings, notice=notices)
            async with open_models(names, settings, folder, notices, watch.progress) as models, servers as tools:
                return await sit(
                    request, procedure, settings, store, repository, sandbox, models, tools, notices, watch,
                    remote=_remote(settings, request), headless=headless, notes=made.notes, recorder=recorder,
                )  # fmt: skip


def _made(
    request: Request, names: Iterator[str], store: Store, procedure: Procedure, source: Source | None
) -> tuple[Request, Repository]:
    """What a resumed sitting needs, then a new repository or a clone of one; both or neither.

    A name that was taken since is passed over.
    """
    folder = store.home / "runs" / request.run
    for name in names:
        request, path = replace(request, name=name), store.home.parent / name
        try:
            with disk_errors("write the run's request", folder):
                keep(store, request, procedure)
            if source:
                return request, source.clone(request.start, path, request.run)
            return request, Repository.create(path, request.run)
        except CompanyError as error:
            shutil.rmtree(folder, ignore_errors=True)
            fault = error
        if not path.exists():
            break
    fault.hint = fault.hint.replace("run `company resume`", "give the command again")
    raise fault


def _own(path: Path, run: str) -> Repository:
    """The repository that was made for a run.

    Raises:
        WorkspaceError: there is none, or another run's.
    """
    repository = Repository.open(path)
    if repository.owner not in ("", run):
        raise WorkspaceError(
            f"the repository is not of the run {run}",
            place=str(path),
            hint="put that run's own repository back in its place, or start the run again",
        )
    return repository
