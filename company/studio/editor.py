"""One procedure, to be read and edited: its text with the findings at their places, its drawing, what it costs, a dry run, saving.

What is found out about a text: `checking.py`; writing it: `company/sop/own.py`. In the browser: `static/sops.js`; without scripts the
same answers come as a page.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from company.errors import CompanyError, UsageError
from company.paths import disk_errors, write_atomic
from company.sop import own
from company.sop.library import Library, read_source, show
from company.studio import checking, processes
from company.studio.desk import Desk, desk_of
from company.studio.forms import Form, form_of
from company.studio.pages import page, path_to, render
from company.studio.sops_page import needs_folder, own_folder

if TYPE_CHECKING:
    from starlette.requests import Request

_REQUIREMENT = "Say hello"
"""Of a dry run, if nothing else is typed."""
_PARTS = ("head", "told", "findings", "picture", "cost", "inputs", "differs")
"""Templates `sop_NAME.html.j2`, each an element of that id."""
_NONE = "none"
"""What is sent for a file that is gone."""
_DRAFTS_KEPT = 7 * 86400.0
"""Seconds: so long a dry run can be made again."""
_SAVING = threading.Lock()
"""Between a look at the file and its writing nobody else writes it from here."""


@dataclass(frozen=True)
class Told:
    """What came of what was asked."""

    said: str = ""
    place: str = ""
    hint: str = ""
    wrong: bool = False
    over: str = ""
    """Version of the file that was changed meanwhile: whoever sends it writes over that one."""
    changes: tuple[str, ...] = ()
    """From that file to the text."""
    run: str = ""
    """Address of a run that was begun."""


@dataclass(frozen=True)
class Opened:
    """A procedure as it lies there."""

    name: str
    text: str
    path: Path
    seen: str
    """Version of one's own file; empty without one."""
    is_own: bool
    folder: Path | None

    @property
    def shown(self) -> str:
        return show(self.path)


def _open(desk: Desk, name: str, *, gone: bool = False) -> Opened:
    """A procedure.

    Args:
        gone: it may be there no more: who has its text open can write it again.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    folder, library = own_folder(desk), Library(own_folder(desk))
    file = folder / "sops" / f"{own.check_name(name)}.yaml" if folder else None
    if gone and file and name not in library.sops():
        return Opened(name, "", file, "", False, folder)
    source = library.sop(name)
    is_own = bool(file and file.is_file())
    text = source.text.replace("\r\n", "\n")
    return Opened(name, text, source.path, own.version(file) if file else "", is_own, folder)


async def show_one(request: Request) -> Response:
    """The page."""
    desk, name = desk_of(request), request.path_params["name"]
    opened = await asyncio.to_thread(_open, desk, name)
    told = (
        Told()
        if opened.folder
        else Told(f"{needs_folder().message}: it can be tried, but not kept", hint=needs_folder().hint)
    )
    return await _answer(request, opened, opened.text, told, {})


async def act(request: Request) -> Response:
    """Check, save or try the text that is sent."""
    desk, name = desk_of(request), request.path_params["name"]
    form = await form_of(request)
    opened = await asyncio.to_thread(_open, desk, name, gone=True)
    text, wanted = form.text("text"), form.word("do")
    typed = form.beginning("input.")
    try:
        if over := form.word("over"):
            opened, told = await asyncio.to_thread(_save, desk, opened, text, over.removeprefix(_NONE))
        elif wanted == "save":
            opened, told = await asyncio.to_thread(_save, desk, opened, text, form.word("seen"))
        elif wanted == "try":
            told = await _try(desk, opened, text, form, typed)
        else:
            told = Told()
    except CompanyError as error:
        told = Told(error.message, error.place, error.hint, wrong=True)
    return await _answer(request, opened, text, told, typed, form.word("seen"))


def _save(desk: Desk, opened: Opened, text: str, seen: str) -> tuple[Opened, Told]:
    if not opened.folder:
        raise needs_folder()
    with _SAVING:
        saved = own.save(opened.name, text, opened.folder, seen)
    path = own.file_of(opened.name, opened.folder)
    if saved:
        new = "" if opened.is_own else "; it takes the place of the shipped one in this folder"
        return _open(desk, opened.name), Told(f"saved as {show(path)}{new}")
    there = read_source(path).text if path.is_file() else ""
    changes = difflib.unified_diff(there.splitlines(), text.splitlines(), "on disk", "this text", lineterm="")
    return opened, Told(
        "the file was changed on disk since it was opened here, and nothing was written", show(path),
        "open the page again to have what is on disk, or write this text over it", wrong=True, over=own.version(path) or _NONE,
        changes=tuple(changes),
    )  # fmt: skip


async def _try(desk: Desk, opened: Opened, text: str, form: Form, typed: dict[str, str]) -> Told:
    """Begin a dry run of the text: of the file, where it is the same."""
    found = await _checked(opened, text)
    if not found["checks"]:
        raise UsageError("it does not check, so that it cannot run", hint="mend what is found first")
    sop = opened.name
    if text != opened.text:
        sop = str(_draft(desk.store.home / "drafts", opened.name, text))
    asked = "requirement" in found["inputs"]
    inputs = {key: value for key, value in typed.items() if key in found["inputs"] and key != "requirement" and value}
    requirement = (typed.get("requirement", "").strip() or _REQUIREMENT) if asked else ""
    new = processes.NewRun(requirement=requirement, sop=sop, inputs=inputs, headless=True, dry_run=True)
    begun = await asyncio.to_thread(processes.start, desk, new)
    run = await processes.settled(begun)
    return Told("a dry run has begun", run=path_to("runs", run) if run else path_to("starting", begun.key))


def _draft(drafts: Path, name: str, text: str) -> Path:
    """The text as a file of its own, so that each try runs what it was begun with; those that nobody tried for long are deleted."""
    path = drafts / hashlib.sha256(text.encode()).hexdigest()[:16] / f"{name}.yaml"
    with disk_errors("write the text for the dry run", path):
        for old in drafts.glob("*/"):
            if old != path.parent and time.time() - old.stat().st_mtime > _DRAFTS_KEPT:
                shutil.rmtree(old, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.touch()
        write_atomic(path, text.encode())
    return path


async def _checked(opened: Opened, text: str) -> dict[str, Any]:
    path = opened.folder / "sops" / f"{opened.name}.yaml" if opened.folder else opened.path
    return await asyncio.to_thread(checking.check, opened.name, text, path, opened.folder)


async def _answer(
    request: Request, opened: Opened, text: str, told: Told, typed: dict[str, str], seen: str | None = None
) -> Response:
    """A page, or for its script the parts of it."""
    found = await _checked(opened, text)
    given = {
        "opened": opened, "found": found, "told": told, "typed": typed, "requirement": _REQUIREMENT,
        "seen": seen if told.wrong and seen is not None else opened.seen, "here": path_to("sops", opened.name),
    }  # fmt: skip
    parts = {name: render(f"sop_{name}.html.j2", **given) for name in _PARTS}
    status = 409 if told.wrong else 200
    if "application/json" not in request.headers.get("accept", ""):
        given.pop("here")
        return page(request, "sop.html.j2", status=status, text=text, parts=parts, **given)
    if not found["picture"] and not found["undrawn"]:
        del parts["picture"]  # the last one stays
    marks = [each for each in found["findings"] if each["here"] or not each["place"]]
    answer = {
        "parts": parts, "marks": marks, "steps": found["steps"], "checks": found["checks"], "seen": given["seen"],
        "saved": opened.text == text,
    }  # fmt: skip
    return JSONResponse(answer)  # of another status the browser would complain on its console


async def complete(request: Request) -> Response:
    """What may be written at a place."""
    desk, form = desk_of(request), await form_of(request)
    at = form.word("at")
    if not at.isdecimal() or len(at) > 9:
        raise UsageError("the place is no number", hint="at=0 is the beginning")
    found = await asyncio.to_thread(checking.options, form.text("text"), int(at), own_folder(desk))
    return JSONResponse(found)


ROUTES = [
    Route("/sops/{name}", show_one, methods=["GET"]),
    Route("/sops/{name}", act, methods=["POST"]),
    Route("/sops/{name}/complete", complete, methods=["POST"]),
]
