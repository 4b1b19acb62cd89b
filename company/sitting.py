"""One sitting of a run, put together: what it is driven with, who is there meanwhile, and the branch that it stands on.

What happens in it: `engine.py`. Who begins one, and with which request: `wiring.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from company import branches, engine
from company.answers import Given, matched
from company.cache import Objects, Replies, Results, digest
from company.engine import Outcome, Sitting
from company.errors import UsageError
from company.events import Journal, Listener, read
from company.guests import guest_of, hand_over, left_alone
from company.live import Writer
from company.llm.budget import Budget
from company.llm.client import Model
from company.llm.gateway import Gateway
from company.llm.recording import Recorder
from company.llm.sources import Progress
from company.lock import Lock
from company.opening import (
    Notices,
    listed,
    prices_of,
    spent,
    unset,
)
from company.people import Person
from company.prompts import Prompts
from company.records import Request, latest
from company.redo import kept_at, shown
from company.report import Report
from company.sandbox import Sandbox
from company.sop.procedure import Procedure
from company.standing import relied_on
from company.state import Earlier, Edit, RunContext
from company.store import Store
from company.tools.servers import Servers
from company.traces import Traces, obstacle, wanted
from company.waiting import waiting
from company.workspace import Repository

if TYPE_CHECKING:
    from company.settings import Settings


class Watch(NamedTuple):
    """Who is there while a run goes on."""

    listeners: tuple[Listener, ...] = ()
    """Told of every event."""
    stop: asyncio.Event | None = None
    """Once set, the run stops after the calls that are under way."""
    progress: Progress | None = None
    """Told of downloads, and of an embedded model that is being loaded."""
    person: Person | None = None
    """Asked at gates; without one they stop the run."""


NOBODY = Watch()


async def sit(
    request: Request,
    procedure: Procedure,
    settings: Settings,
    store: Store,
    repository: Repository,
    sandbox: Sandbox,
    models: Mapping[str | None, Model],
    servers: Servers,
    notices: Notices,
    watch: Watch,
    *,
    remote: str,
    headless: bool,
    resumed: bool = False,
    notes: tuple[str, ...] = (),
    recorder: Recorder | None = None,
    answers: Sequence[Given] = (),
) -> Outcome:
    """Drive a run from where it stands to its end, or until it stops.

    Raises:
        WorkspaceBusy: somebody else drives it.
        UsageError: its repository stands elsewhere, or an answer does not fit.
    """
    path = store.home / "runs" / request.run / "events.jsonl"
    dry = request.model == "dry"
    objects = Objects(store, procedure.artifacts)
    with Lock(repository.path):
        given = matched(answers, waiting(read(path), objects, procedure)) if answers else ()
        stood = tuple(_stand_on(repository, request))
        report = Report.of(read(path))
        untraced = obstacle()
        traces = [Traces(request.run, settings, request.base)] if wanted() and not untraced else []
        replies = Writer(path.parent)
        journal = Journal(path, (partial(store.record, request.run), report.see, replies, *traces, *watch.listeners))
        notices.journal = journal
        prices = prices_of((model.name for model in models.values()), settings)
        gateway = Gateway(
            models,
            Replies(store),
            Budget(request.limits, prices, spent(report, prices)),
            journal,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            stop=watch.stop,
            run=request.run,
            counted=report.paid,
            recorder=recorder,
        )
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
            worth=report.worth,
            tokens=report.tokens,
            step_timeout=settings.step_timeout,
            test_seconds=settings.test_seconds,
            done=relied_on(objects, report.done),
            results=Results(store, anew=bool(recorder)),  # what is not asked is not recorded
            earlier=_earlier(request, store),
            told=set(report.commits),
            keys={} if dry else {ident: digest(made) for ident, made in report.made_of.items()},
            decided=relied_on(objects, report.decided),
            person=watch.person,
            headless=headless or dry,
            dry=dry,
            seed=request.seed,
            guest=guest_of(request, repository),
        )
        told = (*unset(procedure, settings), *([] if dry else [*listed(prices, settings), *left_alone(request)]))
        stood = (*stood, untraced) if untraced else stood
        sitting = Sitting(
            procedure, request.inputs, request.name, request.model, store, report, resumed,
            notes=(*stood, *notes) if resumed else (*stood, *notes, *told),
            answers=given, remote=remote, hand_over=partial(hand_over, request, repository, journal),
        )  # fmt: skip
        try:
            return await engine.run(sitting, context)
        finally:
            replies.close()
            journal.close()
            for each in traces:
                await asyncio.to_thread(each.close)


def _stand_on(repository: Repository, request: Request) -> Iterator[str]:
    """See that the repository stands on the run's branch; that of a run which goes back to another is begun here. What to say of it."""
    branch = repository.branch()
    if branch != request.branch and request.fork and repository.tip(request.branch) in ("", request.fork):
        work = branches.edited(repository)
        later = branches.beyond(repository, kept_at(request.run), work)
        if later:  # edited since the run was asked for: no part of it, and not to be lost
            kept = f"{kept_at(request.run)}-{time.time_ns()}"
            branches.keep(repository, kept, later, f"edits after the run {request.run} was asked for")
            paths = ", ".join(map(shown, sorted({*later.entries, *later.staged})))
            yield f"{paths} changed since and is no part of this run; git keeps it: git log -p {kept}"
        branches.switch(repository, request.branch, request.fork, work.entries)
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
        origin=request.first,
        ingredients=report.made_of,
        commits={ident: event["sha"] for ident, event in report.commits.items()} if request.base else {},
        again=request.again,
        edits={ident: Edit(**edit) for ident, edit in request.edits.items()},
        others=request.others,
        fork=request.fork,
    )
