"""The one module that chooses concrete parts: which model, which sandbox, which folders.

What a run does with them: `engine.py`. Settings: `settings.py`. A workspace is a folder of repositories with a
`.company/` beside them: `state.sqlite`, `objects/`, `replies/` and, for each run, its request, procedure and journal.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from company import engine
from company.cache import Objects, Replies
from company.clones import Source, branch_of, told
from company.engine import NewRun, Outcome, Sitting
from company.errors import CompanyError, UsageError
from company.events import Journal, Listener, read
from company.llm import providers
from company.llm.budget import Budget, Rates, Spent, usd
from company.llm.client import Model
from company.llm.gateway import Gateway
from company.llm.sources import Progress
from company.paths import disk_errors, write_atomic
from company.people import Person
from company.prompts import Prompts
from company.publish import Guest
from company.records import Request, find, keep, newest_open, own_file, read_request
from company.report import Report
from company.sandbox import Sandbox, choose
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.sop.procedure import Limits, Procedure
from company.sop.spec import TIERS
from company.sop.tool_names import server_of
from company.sop.types import BOOL, FLOAT, INT, STR, ListOf, OneOf
from company.state import RunContext
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
    base = source.head() if source else ""
    limits: dict[str, Any] = {**asdict(procedure.limits), **new.limits}
    model = "dry" if new.dry_run else new.model or settings.model
    names = _names(procedure, settings, model)
    for called in names.values():
        providers.check_name(called, settings)
    _honoured(procedure, names, settings)
    Budget(Limits(**limits), {called: _price(called, settings) for called in names.values()})
    name = _free_name(new, inputs)
    sandbox = choose(unsafe_no_sandbox=new.unsafe_no_sandbox)
    workspace = new.workspace.resolve()
    home = workspace / ".company"
    with disk_errors("create the workspace", new.workspace):
        home.mkdir(parents=True, exist_ok=True)
        if source and workspace.is_relative_to(source.path):
            _keep_out(workspace, source)
    identity = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    into = str(source.path) if source else ""
    request = Request(identity, name, procedure.name, model, inputs, limits, new.unsafe_no_sandbox, into, base)
    if source:
        source.free(identity)
    notices = Notices()
    servers = open_servers(_servers(procedure), settings, dry=new.dry_run)
    async with _models(names, settings, notices, progress) as models, servers as tools:
        folder = home / "runs" / identity
        repository = _made(workspace / name, folder, request, procedure, source)
        return await _sit(
            request, procedure, settings, home, repository, sandbox, models, tools, notices, listeners, stop, person,
            headless=new.headless,
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
    home = workspace.resolve() / ".company"
    record = find(workspace, run) if run else newest_open(workspace)
    folder = home / "runs" / record.run
    request = read_request(folder)
    if record.status in ("delivered", "unaccepted"):
        raise UsageError(f"the run {record.run} is finished ({record.status})", hint=f"its repository is {record.repo}")
    request = replace(request, limits={**request.limits, **(limits or {})})
    library = Library(folder / "library", folder / "library")
    procedure = load_procedure(str(folder / "library" / own_file(request.sop)), library)
    sandbox = choose(unsafe_no_sandbox=request.unsafe_no_sandbox)
    repository = Repository.open(workspace.resolve() / request.name)
    notices = Notices()
    names = _names(procedure, settings, request.model)
    servers = open_servers(_servers(procedure), settings, dry=request.model == "dry")
    async with _models(names, settings, notices, progress) as models, servers as tools:
        return await _sit(
            request, procedure, settings, home, repository, sandbox, models, tools, notices, listeners, stop, person,
            headless=headless, resumed=True,
        )  # fmt: skip


async def _sit(
    request: Request,
    procedure: Procedure,
    settings: Settings,
    home: Path,
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
) -> Outcome:
    folder = home / "runs" / request.run
    stop = stop or asyncio.Event()
    dry = request.model == "dry"
    with Lock(repository.path):
        report = Report.of(read(folder / "events.jsonl"))
        journal = Journal(folder / "events.jsonl", (report.see, *listeners))
        notices.journal = journal
        prices = {model.name: _price(model.name, settings) for model in models.values()}
        spent = Spent(
            report.calls, report.prompt_tokens, report.completion_tokens, _cost(report, prices),
            report.seconds - report.waited,
        )  # fmt: skip
        gateway = Gateway(
            models,
            Replies(home / "replies"),
            Budget(Limits(**request.limits), prices, spent),
            journal,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            stop=stop,
        )
        context = RunContext(
            run=request.run,
            requirement=str(request.inputs.get("requirement", "")),
            objects=Objects(home / "objects", procedure.artifacts),
            prompts=Prompts(procedure.sources),
            gateway=gateway,
            repository=repository,
            sandbox=sandbox,
            journal=journal,
            servers=servers,
            kept=Replies(folder / "tools"),
            tokens=report.tokens,
            step_timeout=settings.step_timeout,
            test_seconds=settings.test_seconds,
            done=dict(report.done),
            failures=dict(report.failures),
            decided=dict(report.decided),
            person=person,
            headless=headless or dry,
            dry=dry,
            stop=stop,
            guest=Guest.of(request.run, request.name, repository.files(request.base)) if request.base else None,
        )
        sitting = Sitting(
            procedure, request.inputs, request.name, request.model, home / "state.sqlite", report, resumed,
            notes=() if resumed or dry else (*_unset(models, settings), *_left_alone(request)),
            hand_over=partial(_hand_over, request, repository, journal),
        )  # fmt: skip
        try:
            return await engine.run(sitting, context)
        finally:
            journal.close()


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
    tip = Source.at(Path(request.into)).deliver(repository, request.base, request.run)
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


def _free_name(new: NewRun, inputs: Mapping[str, Any]) -> str:
    if new.name:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", new.name):
            raise UsageError(f"`{new.name}` is no name for a folder", hint="letters, digits, `.`, `_` and `-`")
        if (new.workspace / new.name).exists():
            raise UsageError(
                f"there is something at {new.workspace / new.name} already, and nothing is ever overwritten",
                hint="choose another --name, or continue the run that made it with `company resume`",
            )
        return new.name
    words = [
        word
        for word in re.findall(r"[a-z0-9]+", str(next(iter(inputs.values()))).lower())
        if not _NOISE.fullmatch(word)
    ]
    base = "-".join(words[:4])[:40].strip("-") or "project"
    names = [base, *(f"{base}-{number}" for number in range(2, 10_000))]
    return next(name for name in names if not (new.workspace / name).exists())


def _made(path: Path, folder: Path, request: Request, procedure: Procedure, source: Source | None) -> Repository:
    """A new repository or a clone of one, and what a resumed sitting needs; both or neither."""
    made: list[Path] = [folder]
    try:
        repository = source.clone(request.base, path, request.run) if source else Repository.create(path)
        made.append(path)
        with disk_errors("write the run's request", folder):
            keep(folder, request, procedure)
    except CompanyError as error:
        for new in made:
            shutil.rmtree(new, ignore_errors=True)
        error.hint = error.hint.replace("run `company resume`", "give the command again")
        raise
    return repository
