"""To begin a run: the form, and the page that waits until the run is there.

The process: `processes.py`. What is wrong with a form says the command that it became, in its own words; nothing that was typed is lost.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse
from starlette.routing import Route

from company.asked import LONGEST
from company.errors import CompanyError, UsageError
from company.llm import catalogue
from company.records import read_request
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.sop.types import BOOL, FLOAT, INT, STR, ListOf, OneOf
from company.studio import processes
from company.studio.desk import Desk, desk_of
from company.studio.forms import Form, form_of
from company.studio.pages import page, path_to, render, stream
from company.studio.processes import Begun, NewRun

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from company.sop.types import Type
    from company.studio.feeds import Feed, Parts

UNITS = ("calls", "tokens", "minutes", "usd")
_DEFAULT = "waterfall"


@dataclass(frozen=True)
class Ask:
    """One input of a procedure beside the requirement."""

    name: str
    type: str
    values: tuple[str, ...] = ()
    """What may be chosen; empty: anything."""
    lines: bool = False
    """Whether it is a list of lines."""


@dataclass(frozen=True)
class Choice:
    """A procedure that can be begun."""

    name: str
    about: str
    asks: tuple[Ask, ...]
    requirement: bool
    bounds: str
    """Its own limits."""
    fault: str = ""
    """Why it cannot be used."""


@dataclass(frozen=True)
class Typed:
    """What the form holds."""

    new: NewRun = field(default_factory=NewRun)
    path: str = ""
    """Of a procedure that is a file."""
    more: str = ""
    """Limits of steps and roles, one a line."""


def choices(desk: Desk) -> list[Choice]:
    """The procedures by name; not those that other procedures alone can use."""
    library, found = Library(desk.user_dir), []
    for name in library.sops():
        try:
            procedure = load_procedure(name, library)
        except CompanyError as error:
            found.append(Choice(name, "", (), True, "", str(error)))
            continue
        asks = [_ask(each, kind) for each, kind in procedure.inputs.items() if each != "requirement"]
        if None not in asks:
            bounds = ", ".join(f"{key} {value:,.15g}" for key, value in procedure.limits.items())
            known = tuple(ask for ask in asks if ask)
            found.append(Choice(name, procedure.description, known, "requirement" in procedure.inputs, bounds))
    return found


def _ask(name: str, kind: Type) -> Ask | None:
    """How an input is asked for; None for what nobody can type."""
    if kind == BOOL:
        return Ask(name, str(kind), ("true", "false"))
    if isinstance(kind, OneOf):
        return Ask(name, str(kind), tuple(kind.values))
    return Ask(name, str(kind), lines=kind == ListOf(STR)) if kind in (STR, INT, FLOAT, ListOf(STR)) else None


def models(desk: Desk) -> list[str]:
    """The models that can be named without a look into a manual."""
    settings = desk.settings
    names = [settings.model, *settings.tiers.values(), *(f"local:{name}" for name in catalogue.MODELS)]
    return list(dict.fromkeys([*names, *(f"{provider}:" for provider in settings.providers)]))


def _typed(form: Form) -> Typed:
    sop = form.word("path") or form.word("sop")
    limits = {unit: typed for unit in UNITS if (typed := form.word(f"limit.{unit}"))}
    inputs = {name: text for name, text in form.beginning(f"in.{form.word('sop')}.").items() if text.strip()}
    new = NewRun(
        requirement=form.text("requirement"), sop=sop, name=form.word("name"), model=form.word("model"), into=form.word("into"),
        inputs={} if form.word("path") else inputs, limits=limits, headless=form.on("headless"), dry_run=form.on("dry_run"),
    )  # fmt: skip
    return Typed(new, form.word("path"), form.text("more"))


def _whole(typed: Typed) -> NewRun:
    """What was typed, with the limits that have a line each.

    Raises:
        UsageError: a line is none.
    """
    limits = dict(typed.new.limits)
    for line in typed.more.splitlines():
        if line.strip():
            name, equals, most = (part.strip() for part in line.partition("="))
            if not equals or not name:
                raise UsageError(f"the limit `{line.strip()}` is not NAME=NUMBER", hint="steps.code.calls=9")
            limits[name] = most
    if len(typed.new.requirement) > LONGEST:
        said = f"the requirement has {len(typed.new.requirement):,} characters, and at most {LONGEST:,} are taken"
        raise UsageError(said, hint="say what the product must do in a few paragraphs")
    return replace(typed.new, limits=limits)


def _like(desk: Desk, run: str) -> Typed:
    """The form as it was for an earlier run."""
    request = read_request(desk.store, desk.shelf.entry(run).record.run)
    texts = {
        name: "\n".join(value) if isinstance(value, list) else str(value) for name, value in request.inputs.items()
    }
    dry, sop = request.model == "dry", request.source or request.sop
    path = sop if sop.endswith((".yaml", ".yml")) else ""
    new = NewRun(
        requirement=texts.pop("requirement", ""), sop=sop, model="" if dry else request.model, inputs=texts, into=request.into,
        limits={name: f"{most:.15g}" for name, most in request.limits.items() if name in UNITS and most is not None},
        dry_run=dry,
    )  # fmt: skip
    return Typed(new, path, "")


async def ask(request: Request) -> Response:
    """The form: empty, as it was for a run (`like`), for a command that did not begin (`again`), or with a procedure (`sop`)."""
    desk, query = desk_of(request), request.query_params
    typed = Typed()
    if again := desk.begun.get(query.get("again", "")):
        typed = again.typed if isinstance(again.typed, Typed) else typed
    elif run := query.get("like"):
        typed = await asyncio.to_thread(_like, desk, run)
    elif sop := query.get("sop"):
        path = sop if sop.endswith((".yaml", ".yml")) else ""
        typed = Typed(NewRun(sop=sop), path)
    return await _form(request, typed)


async def begin(request: Request) -> Response:
    """Begin it, and go to the run."""
    desk, form = desk_of(request), await form_of(request)
    typed = _typed(form)
    try:
        begun = await asyncio.to_thread(processes.start, desk, _whole(typed))
        begun.typed = typed
        run = await processes.settled(begun)
    except CompanyError as error:
        return await _form(request, typed, error)
    return onward(request, begun, run)


def onward(request: Request, begun: Begun, run: str, *then: str) -> Response:
    """To the run, or to the page that waits for it."""
    to = path_to("runs", run, *then) if run else path_to("starting", begun.key)
    return RedirectResponse(f"{request.scope['root_path']}/{to}", 303)


async def _form(request: Request, typed: Typed, error: CompanyError | None = None) -> Response:
    desk = desk_of(request)
    offered = await asyncio.to_thread(choices, desk)
    chosen = typed.new.sop or _DEFAULT
    if typed.new.sop and not typed.path and chosen not in {each.name for each in offered}:
        typed = replace(typed, path=typed.new.sop)
    return page(
        request, "new.html.j2", status=422 if error else 200, typed=typed, new=typed.new, choices=offered, chosen=chosen,
        models=models(desk), default=desk.settings.model, units=UNITS, longest=LONGEST, error=told(error),
    )  # fmt: skip


def told(error: CompanyError | None) -> dict[str, Any]:
    """An error for the box above a form; empty without one."""
    if not error:
        return {}
    found = [
        {**each, "place": f"{each.get('path', '')}:{each.get('line', '')}"}
        for each in getattr(error, "diagnostics", ())
    ]
    return {"message": error.message, "place": str(error.place or ""), "hint": error.hint or "", "diagnostics": found}


# --- until the run is there


def _begun(request: Request) -> Begun:
    begun = desk_of(request).begun.get(request.path_params["key"])
    if not begun:
        raise UsageError("nothing was begun here under this address", hint="the list has every run")
    return begun


def _waiting(desk: Desk, begun: Begun) -> Feed:
    def make() -> Parts:
        run, error = "", None
        try:
            run = begun.look()
        except CompanyError as found:
            error = found
        return {
            "starting": render("starting_part.html.j2", begun=begun, run=run, output=_lines(begun), error=told(error))
        }

    return desk.feed(f"starting/{begun.key}", make, 0.5)


def _lines(begun: Begun) -> str:
    """The end of what it printed; the last state of a line that is written over."""
    lines = [re.split(r"[\r\ufffd]", line)[-1] for line in begun.output().splitlines()]
    return "\n".join(lines[-15:])


async def wait(request: Request) -> Response:
    """The page that waits."""
    begun = _begun(request)
    feed = _waiting(desk_of(request), begun)
    parts = await feed.look()
    if begun.run:
        return onward(request, begun, begun.run)
    return page(request, "starting.html.j2", begun=begun, parts=parts, version=feed.version)


async def live(request: Request) -> Response:
    """What changes on it."""
    return stream(request, _waiting(desk_of(request), _begun(request)))


async def give_up(request: Request) -> Response:
    """Stop what has not begun yet."""
    begun = _begun(request)
    begun.give_up()
    return onward(request, begun, begun.run)


ROUTES = [
    Route("/new", ask, methods=["GET"]),
    Route("/new", begin, methods=["POST"]),
    Route("/starting/{key}", wait, methods=["GET"]),
    Route("/starting/{key}", give_up, methods=["POST"]),
    Route("/starting/{key}/live", live, methods=["GET"]),
]
