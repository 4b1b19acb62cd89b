"""The one module that chooses concrete parts: which model, which sandbox, which folders.

What a run does with them: `engine.py`. Settings: `settings.py`. A workspace is a folder of repositories with a
`.company/` beside them, or a team's database: checkpoints, artifacts, replies; each run's request, procedure and journal.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from company import engine, records, remotes
from company.cache import Objects, Replies, Results
from company.clones import Source, branch_of, told
from company.engine import NewRun, Outcome, Sitting
from company.errors import CompanyError, UsageError, WorkspaceBusy, WorkspaceError
from company.events import Journal, Listener, read
from company.llm import providers
from company.llm.budget import Budget, Rates, Spent, usd
from company.llm.client import Model
from company.llm.gateway import Gateway
from company.llm.sources import Progress
from company.paths import disk_errors, write_atomic
from company.people import Person
from company.postgres import Postgres
from company.prompts import Prompts
from company.publish import Guest
from company.records import Request, RunRecord, find, keep, latest, newest_open, own_file, read_request, record_of
from company.redo import plan
from company.report import Report
from company.sandbox import Sandbox, choose
from company.sop.library import Library, own_folder
from company.sop.linker import load_procedure
from company.sop.procedure import Limits, Procedure
from company.sop.spec import TIERS
from company.sop.tool_names import server_of
from company.sop.types import BOOL, FLOAT, INT, STR, ListOf, OneOf
from company.standing import relied_on
from company.state import Earlier, Edit, RunContext
from company.store import Folder, Store
from company.tools.servers import Servers, open_servers
from company.workspace import Lock, Repository

if TYPE_CHECKING:
    from company.settings import Settings

LONGEST = 20_000
"""Characters of a requirement: more does not fit a small model's context."""
_NOISE = re.compile(
    r"an?|the|of|for|to|in|on|with|that|which|and|or|is|are|be|write|make|create|build|me|please|i|want"
)
"""Words that say nothing of a product; a folder's name does without them."""


class Notices:
    """Takes what a model's client has to say to people to the run's journal, once there is one."""

    journal: Journal | None = None

    def __call__(self, text: str) -> None:
        """Say it."""
        if self.journal:
            self.journal.emit("notice", text=text)


async def run(
    new: NewRun,
    settings: Settings,
    listeners: tuple[Listener, ...] = (),
    stop: asyncio.Event | None = None,
    progress: Progress | None = None,
    person: Person | None = None,
) -> Outcome:
    """Begin a run and drive it to its end. `person` is asked at gates; without one, they stop the run.

    Raises:
        CompanyError: it could not begin; nothing was made.
    """
    procedure = load_procedure(new.sop, Library(new.user_dir))
    inputs = _inputs(procedure, new.inputs)
    source = Source.at(new.into) if new.into else None
    start = source.head() if source else ""
    limits: dict[str, Any] = {**asdict(procedure.limits), **new.limits}
    model = "dry" if new.dry_run else new.model or settings.model
    names = _names(procedure, settings, model)
    for called in names.values():
        providers.check_name(called, settings)
    _honoured(procedure, names, settings)
    Budget(Limits(**limits), {called: _price(called, settings) for called in names.values()})
    with open_store(new.workspace, settings) as store:
        name = next(_names_of(new, inputs, store.names()))
        sandbox = choose(unsafe_no_sandbox=new.unsafe_no_sandbox)
        workspace = new.workspace.resolve()
        with disk_errors("create the workspace", new.workspace):
            store.home.mkdir(parents=True, exist_ok=True)
            if source and workspace.is_relative_to(source.path):
                _keep_out(workspace, source)
        identity = _identity()
        request = Request(
            identity, name, procedure.name, model, inputs, limits, new.unsafe_no_sandbox, source=_source(new.sop),
            branch=branch_of(identity) if source else "main", into=str(source.path) if source else "", start=start,
        )  # fmt: skip
        if source:
            source.free(identity)
        notices = Notices()
        servers = open_servers(_servers(procedure), settings, dry=new.dry_run)
        async with _models(names, settings, notices, progress) as models, servers as tools:
            with store.lease(identity):
                request, repository = _made(request, _names_of(new, inputs, store.names()), store, procedure, source)
                return await _sit(
                    request, procedure, settings, store, repository, sandbox, models, tools, notices, listeners, stop,
                    person, headless=new.headless,
                )  # fmt: skip


async def resume(
    workspace: Path,
    run: str,
    settings: Settings,
    listeners: tuple[Listener, ...] = (),
    stop: asyncio.Event | None = None,
    limits: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    person: Person | None = None,
    *,
    headless: bool = False,
) -> Outcome:
    """Go on with a run that was stopped; with `run` empty the newest that is not delivered.

    Raises:
        UsageError: there is no such run, or nothing to go on with.
        WorkspaceBusy: it is running.
    """
    with open_store(workspace, settings) as store:
        run = (find(store, run) if run else newest_open(store)).run
        with store.lease(run):
            store.fetch(run)
            record, request = record_of(store, run), read_request(store, run)
            if record.status in ("delivered", "unaccepted"):
                raise UsageError(
                    f"the run {run} is finished ({record.status})", hint=f"its repository is {record.repo}"
                )
            request = replace(request, limits={**request.limits, **(limits or {})})
            folder = store.home / "runs" / run / "library"
            procedure = load_procedure(str(folder / own_file(request.sop)), Library(folder, folder))
            sandbox = choose(unsafe_no_sandbox=request.unsafe_no_sandbox)
            again = all("files" in event for event in Report.of(store.events(run)).commits.values())
            remote = _remote(settings, request)
            owner = request.origin or run
            notes = await asyncio.to_thread(remotes.arrive, record.repo, owner, remote, again=again)
            repository = _own(record.repo, owner)
            if remote and not repository.tip(request.branch):
                await asyncio.to_thread(remotes.bring, repository, request.branch, remote)
            notices = Notices()
            names = _names(procedure, settings, request.model)
            servers = open_servers(_servers(procedure), settings, dry=request.model == "dry")
            async with _models(names, settings, notices, progress) as models, servers as tools:
                return await _sit(
                    request, procedure, settings, store, repository, sandbox, models, tools, notices, listeners, stop,
                    person, headless=headless, resumed=True, notes=tuple(notes),
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
    listeners: tuple[Listener, ...] = (),
    stop: asyncio.Event | None = None,
    limits: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    person: Person | None = None,
    *,
    again: Sequence[str] = (),
    sop: str = "",
    model: str = "",
    user_dir: Path | None = None,
    headless: bool = False,
) -> Outcome:
    """Make a run again on a new branch of its repository: what changed since, and what depends on that; nothing else.

    Args:
        again: steps to do anew though nothing changed.
        sop: another procedure; by default the run's own, as it is now.
        model: another model; by default the run's.

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
        with store.lease(record.run):
            store.fetch(record.run)
            owner = base.origin or base.run
            await asyncio.to_thread(remotes.arrive, record.repo, owner, _remote(settings, base), again=True)
        repository, identity = _own(record.repo, owner), _identity()
        with store.lease(identity):
            with Lock(repository.path):
                made = plan(base, store, repository, identity, again, _source(sop), Library(user_dir))
                procedure, chosen = made.procedure, model or base.model
                request = replace(
                    made.request,
                    inputs=_inputs(procedure, {name: str(value) for name, value in made.request.inputs.items()}),
                    model=chosen,
                    limits={**made.request.limits, **(limits or {})},
                )
                names = _names(procedure, settings, chosen)
                for called in names.values():
                    providers.check_name(called, settings)
                _honoured(procedure, names, settings)
                sandbox = choose(unsafe_no_sandbox=request.unsafe_no_sandbox)
                if made.changed:
                    repository.keep(f"refs/company/edits/{identity}", made.changed, f"edits after the run {base.run}")
                with disk_errors("write the run's request", store.home):
                    keep(store, request, procedure)
            notices = Notices()
            servers = open_servers(_servers(procedure), settings)
            async with _models(names, settings, notices, progress) as models, servers as tools:
                return await _sit(
                    request, procedure, settings, store, repository, sandbox, models, tools, notices, listeners, stop,
                    person, headless=headless,
                )  # fmt: skip


async def _sit(
    request: Request,
    procedure: Procedure,
    settings: Settings,
    store: Store,
    repository: Repository,
    sandbox: Sandbox,
    models: Mapping[str | None, Model],
    servers: Servers,
    notices: Notices,
    listeners: tuple[Listener, ...],
    stop: asyncio.Event | None,
    person: Person | None,
    *,
    headless: bool,
    resumed: bool = False,
    notes: tuple[str, ...] = (),
) -> Outcome:
    path = store.home / "runs" / request.run / "events.jsonl"
    dry = request.model == "dry"
    with Lock(repository.path):
        _stand_on(repository, request)
        report = Report.of(read(path))
        journal = Journal(path, (partial(store.record, request.run), report.see, *listeners))
        notices.journal = journal
        prices = {model.name: _price(model.name, settings) for model in models.values()}
        spent = Spent(
            report.calls, report.prompt_tokens, report.completion_tokens, _cost(report, prices),
            report.seconds - report.waited,
        )  # fmt: skip
        gateway = Gateway(
            models,
            Replies(store),
            Budget(Limits(**request.limits), prices, spent),
            journal,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            stop=stop,
            run=request.run,
            counted=report.paid,
        )
        objects = Objects(store, procedure.artifacts)
        context = RunContext(
            run=request.run,
            requirement=str(request.inputs.get("requirement", "")),
            objects=objects,
            prompts=Prompts(procedure.sources),
            gateway=gateway,
            repository=repository,
            sandbox=sandbox,
            journal=journal,
            servers=servers,
            kept=Replies(store, f"runs/{request.run}/tools"),
            tokens=report.tokens,
            step_timeout=settings.step_timeout,
            test_seconds=settings.test_seconds,
            done=relied_on(objects, report.done),
            results=Results(store),
            earlier=_earlier(request, store),
            told=set(report.commits),
            decided=relied_on(objects, report.decided),
            person=person,
            headless=headless or dry,
            dry=dry,
            guest=_guest(request, repository),
        )
        sitting = Sitting(
            procedure, request.inputs, request.name, request.model, store, report, resumed,
            notes=notes if resumed or dry else (*_unset(models, settings), *_left_alone(request)),
            remote=_remote(settings, request), hand_over=partial(_hand_over, request, repository, journal),
        )  # fmt: skip
        try:
            return await engine.run(sitting, context)
        finally:
            journal.close()


def _stand_on(repository: Repository, request: Request) -> None:
    """See that the repository stands on the run's branch; that of a run which goes back to another is begun here."""
    branch = repository.branch()
    if branch != request.branch and request.fork and not repository.tip(request.branch):
        repository.restore()  # what was not committed was kept before the request was
        repository.switch(request.branch, request.fork)
    elif branch != request.branch:
        raise UsageError(
            f"the repository stands on {f'the branch `{branch}`' if branch else 'no branch'}, and the run goes on on "
            f"`{request.branch}`",
            place=str(repository.path),
            hint=f"git -C {repository.path} switch {request.branch}",
        )


def _earlier(request: Request, store: Store) -> Earlier:
    """What a run is compared with: the run that it goes back to, else the newest of the same procedure."""
    run = request.base or latest(store, request.sop, request.run)
    report = Report.of(store.events(run)) if run else Report()
    return Earlier(
        run=run,
        origin=request.origin or request.run,
        ingredients=report.made_of,
        commits={ident: event["sha"] for ident, event in report.commits.items()} if request.base else {},
        again=request.again,
        edits={ident: Edit(**edit) for ident, edit in request.edits.items()},
        others=request.others,
        fork=request.fork,
    )


def _servers(procedure: Procedure) -> set[str]:
    """The servers whose tools the procedure's steps use."""
    return {server for step in procedure.walk() for tool in step.tools if (server := server_of(tool))}


def _unset(models: Mapping[str | None, Model], settings: Settings) -> Iterator[str]:
    """What to say of tiers that steps name and the settings do not."""
    if unset := [tier for tier in TIERS if tier in models and tier not in settings.tiers]:
        yield f"company.toml does not say what {' and '.join(unset)} is: the run's model is asked instead"


def _keep_out(workspace: Path, source: Source) -> None:
    """A workspace inside the repository that a run is let into is none of its files."""
    if workspace == source.path:
        raise UsageError("the workspace is the repository itself", hint="give another folder: --workspace DIR")
    if not (workspace / ".gitignore").exists():
        write_atomic(workspace / ".gitignore", b"*\n")


def _guest(request: Request, repository: Repository) -> Guest | None:
    """How the run behaves in a repository that was there before it; None in one of its own."""
    run = request.origin or request.run
    return Guest.of(run, request.name, repository.files(request.start)) if request.start else None


def _left_alone(request: Request) -> Iterator[str]:
    """What to say of work that is not committed in the repository that a run is let into."""
    if request.into:
        source = Source.at(Path(request.into))
        if text := told(source.uncommitted(), source):
            yield text


def _hand_over(request: Request, repository: Repository, journal: Journal) -> str:
    """Bring the run's branch into the repository that it was let into; a dry run leaves none there."""
    if not request.into or request.model == "dry":
        return ""
    branch = branch_of(request.run)
    tip = Source.at(Path(request.into)).deliver(repository, request.start, request.run)
    journal.emit("notice", text=f"the branch {branch} in {request.into} is at {tip[:10]}")
    return branch


# --- models -----------------------------------------------------------------------------------------


def _names(procedure: Procedure, settings: Settings, model: str) -> dict[str | None, str]:
    """What steps call their models → ``provider:model``."""
    called: dict[str | None, None] = {None: None}
    for step in procedure.walk():
        called |= dict.fromkeys(step.models)
    return {name: settings.model_for(name, model) for name in called}


def _honoured(procedure: Procedure, names: Mapping[str | None, str], settings: Settings) -> None:
    """See that the models can do what the steps ask of them."""
    for step in procedure.walk():
        several = step.sample > 1 or bool(step.cascade)  # candidates differ by themselves where there is no temperature
        chosen = {role.model: role.temperature for role, _ in step.candidates.values()}
        for called in step.cascade or ((step.model,) if step.model or not chosen else chosen):
            temperature = step.temperature if step.temperature is not None else chosen.get(called)
            if step.kind == "role":
                providers.refuse_unfit(
                    names[called], settings,
                    temperature=temperature is not None and not several,
                    max_tokens=step.max_tokens,
                    place=str(step.span),
                )  # fmt: skip


@asynccontextmanager
async def _models(
    names: Mapping[str | None, str], settings: Settings, notice: Notices, progress: Progress | None
) -> AsyncIterator[dict[str | None, Model]]:
    async with AsyncExitStack() as stack:
        opened: dict[str, Model] = {}
        for name in dict.fromkeys(names.values()):
            model = providers.open_model(name, settings, notice=notice, progress=progress)
            opened[name] = await stack.enter_async_context(model)
        yield {called: opened[name] for called, name in names.items()}


def _price(name: str, settings: Settings) -> Rates:
    price = providers.price_of(name, settings)
    return (price.input, price.output) if price else None


def _cost(report: Report, prices: Mapping[str, Rates]) -> float:
    costs = report.steps.values()
    return sum(usd(prices.get(cost.model), cost.prompt_tokens, cost.completion_tokens) or 0.0 for cost in costs)


# --- requests ---------------------------------------------------------------------------------------


def _inputs(procedure: Procedure, given: Mapping[str, str]) -> dict[str, Any]:
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


def _source(sop: str) -> str:
    """How a procedure is asked for from another folder."""
    return str(Path(sop).resolve()) if Path(sop).suffix in (".yaml", ".yml") else sop


def _identity() -> str:
    """An id of a new run; by their ids runs are in the order in which they began."""
    now = time.time()
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{moment}-{int(now % 1 * 1000):03}{secrets.token_hex(3)}"


def _names_of(new: NewRun, inputs: Mapping[str, Any], taken: Collection[str]) -> Iterator[str]:
    """Names for the repository that are free: the one that was chosen, or as many as are wanted.

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
                hint="choose another --name, or continue the run that made it with `company resume`",
            )
        if new.name in taken:
            raise UsageError(
                f"another machine has a run named {new.name}",
                hint=f"choose another --name, or go on with that run: company resume {new.name}",
            )
        yield new.name
        return
    words = [
        word
        for word in re.findall(r"[a-z0-9]+", str(next(iter(inputs.values()))).lower())
        if not _NOISE.fullmatch(word)
    ]
    base = "-".join(words[:4])[:40].strip("-") or "project"
    names = (base, *(f"{base}-{number}" for number in range(2, 10_000)))
    yield from (name for name in names if not (name in taken or (new.workspace / name).exists()))


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
