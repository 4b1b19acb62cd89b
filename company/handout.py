"""A run as a document to hand to others: what it was asked, how it went, who made what, and what it cost; HTML or Markdown.

Artifacts as HTML: `html.py`. The sums: `report.py`; each execution: `executions.py`. Who asks for one: `cli_report.py`. The two forms are the templates
``handout.html.j2`` and ``handout.md.j2``: what they print is made harmless on its way out, whatever it is.
"""

from __future__ import annotations

import platform
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata, resources
from typing import Any, Literal

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from company import html
from company.artifacts import Codebase, TestRun, flat
from company.cache import Objects
from company.differences import unified
from company.errors import CompanyError, UsageError, WorkspaceError
from company.events import Event
from company.executions import Execution, executions
from company.ingredients import NEVER
from company.markdown import fenced, render
from company.records import Request, RunRecord, procedure_of, read_request
from company.report import Report, Sums, decides
from company.sop.procedure import Procedure, Step
from company.sop.svg import svg
from company.state import unpack
from company.store import Store
from company.terminal import duration, money
from company.workspace import Repository

Form = Literal["html", "md"]
MOST_STEPS, MOST_COMMITS, MOST_FILES = 400, 400, 60
"""What is shown of a long run: executions, commits, and files of one commit."""
MOST_CHARACTERS = 20_000_000
"""Of all artifacts and diffs of a document; what comes after them is named, not shown."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&!$])")
_BEGINS = re.compile(r"^(\s*)([-+=]|\d+[.)])", re.MULTILINE)


@dataclass
class Done:
    """One execution of a step and what it left."""

    execution: Execution
    title: str
    """Of its role, or the command."""
    value: Any = None
    lost: str = ""
    """Why what it left cannot be shown; empty where it can, or there is nothing."""
    last: bool = True
    """Whether it is the last one of its step and item: what counts in the end."""


@dataclass(frozen=True)
class Verdict:
    """What the tests said at one point of the run."""

    ident: str
    passed: bool
    summary: str
    decides: bool
    """Whether the acceptance rests on it."""
    failing: tuple[str, ...]
    """Names of the required tests that did not pass."""


@dataclass(frozen=True)
class Commit:
    """One commit with the texts of its files before and after; None where there was or is none."""

    sha: str
    author: str
    subject: str
    files: Mapping[str, tuple[str | None, str | None]]
    records: int
    """Files of the run's own records, which are not shown."""


@dataclass
class Handout:
    """Everything that the document tells."""

    record: RunRecord
    request: Request
    report: Report
    procedure: Procedure | None
    drawing: str
    """An SVG; empty where the procedure as it was cannot be read."""
    states: Mapping[str, str]
    done: list[Done]
    more: int
    """Executions beyond those."""
    verdicts: list[Verdict]
    rounds: list[Event]
    decisions: list[Event]
    commits: list[Commit]
    more_commits: int
    notices: list[str]
    served: list[str]
    """What the endpoints call the models that answered."""
    sandbox: str
    model: str
    command: str
    """What makes the same run again."""
    made: dict[str, str] = field(default_factory=dict)
    """What made this document: name → version."""


def gather(store: Store, record: RunRecord) -> Handout:
    """What a store has of a run.

    Raises:
        UsageError: nothing is known of how it went.
    """
    events, request = list(store.events(record.run)), read_request(store, record.run)
    if not events:
        raise UsageError(f"nothing is known of how the run {record.run} went", hint="its journal is empty or gone")
    report, procedure = Report.of(events), _procedure(store, record.run)
    objects = Objects(store, procedure.artifacts if procedure else None)
    every = [one for one in executions(events).values() if not _is_frame(one, procedure)]
    done = [_done(one, objects, procedure) for one in every[:MOST_STEPS]]
    last = {one.execution.id.rpartition("#")[0]: one for one in done}
    for one in done:
        one.last = last[one.execution.id.rpartition("#")[0]] is one
    states = _states(every, events, record.status, procedure)
    commits = [event for event in report.commits.values() if "files" in event]
    return Handout(
        record=record,
        request=request,
        report=report,
        procedure=procedure,
        drawing=svg(procedure, states) if procedure else "",
        states=states,
        done=done,
        more=len(every) - len(done),
        verdicts=[*_verdicts(events, report, done)],
        rounds=[event for event in events if event["event"] == "loop_round" and "@" not in event["step"]],
        decisions=[event for event in events if event["event"] == "gate_decided"],
        commits=[*_commits(commits[:MOST_COMMITS], objects, record, request)],
        more_commits=max(0, len(commits) - MOST_COMMITS),
        notices=[event["text"] for event in events if event["event"] == "notice"],
        served=[*dict.fromkeys(event["served"] for event in events if event["event"] == "call_finished" and event.get("served"))],
        sandbox=next((event["sandbox"] for event in events if event["event"] in ("run_started", "run_resumed")), ""),
        model=_without_folder(request.model),
        command=_command(request),
        made={"company": metadata.version("company-sim"), "Python": platform.python_version()},
    )  # fmt: skip


def _procedure(store: Store, run: str) -> Procedure | None:
    """As it was; None where an earlier version's is none of today's, or it is gone."""
    try:
        return procedure_of(store, run)
    except CompanyError:
        return None


def _done(one: Execution, objects: Objects, procedure: Procedure | None) -> Done:
    step = _step(procedure, one.step)
    roles = procedure.roles if procedure else {}
    title = roles[one.role].title if one.role in roles else one.role or (step.command if step else "") or one.kind
    made = Done(one, title or "")
    refs = {path: ref for path, ref in one.values.items() if path == one.step} or one.values
    try:
        values = [unpack(objects, ref) for ref in refs.values() if ref]
    except (WorkspaceError, ValueError, KeyError, TypeError) as error:
        made.lost = error.message if isinstance(error, CompanyError) else "it is of another version"
    else:
        made.value = values[0] if len(values) == 1 else values or None
    return made


def _is_frame(one: Execution, procedure: Procedure | None) -> bool:
    """Whether it is a step around others, which say it all."""
    step = _step(procedure, one.step)
    return bool(step and step.body) and one.how not in ("failed", "skipped")


def _step(procedure: Procedure | None, path: str) -> Step | None:
    return next((step for step in procedure.walk() if step.path == path), None) if procedure else None


def _states(every: list[Execution], events: list[Event], status: str, procedure: Procedure | None) -> dict[str, str]:
    """Path of each step → how it stands; a loop as its last round, and what holds steps as they do."""
    ways = {"made": "done", "kept": "done", "edited": "done", "begun": "running" if status == "running" else "stopped"}
    found: dict[str, str] = {}
    for one in every:
        state = ways.get(one.how, one.how)
        found[one.step] = found[one.step] if state == "skipped" and one.step in found else state
    for event in events:
        if event["event"] == "verdict":
            found[event["step"]] = "done" if event["passed"] else "failed"
        elif event["event"] == "loop_round":
            found[event["step"]] = "done" if event["until"] else "failed"
    for step in reversed([*procedure.walk()] if procedure else []):
        if step.body and step.path not in found:
            inside = {found.get(inner.path, "waiting") for inner in step.body}
            found[step.path] = next(
                (state for state in ("running", "stopped", "failed", "done") if state in inside), "waiting"
            )
    return found


def _verdicts(events: list[Event], report: Report, done: list[Done]) -> Iterator[Verdict]:
    left = {one.execution.id: one.value for one in done}
    for event in events:
        if event["event"] == "verdict":
            runs = [value for value in flat(left.get(event["id"])) if isinstance(value, TestRun)]
            failing = (case.id for run in runs for case in run.cases if case.required and case.outcome != "passed")
            yield Verdict(
                event["id"], event["passed"], event["summary"], decides(event["step"], report.judges), tuple(failing)
            )


def _commits(events: list[Event], objects: Objects, record: RunRecord, request: Request) -> Iterator[Commit]:
    tree: dict[str, str | None] = {}
    if base := request.fork or request.start:
        with suppress(WorkspaceError):
            files = Repository.open(record.repo).files(base)
            tree = {path: content.decode("utf-8", "replace") for path, content in files.items()}
    for event in events:
        try:
            files_ = objects.get(event["files"])["value"]
        except WorkspaceError:
            files_ = {}
        changed = {path: (tree.get(path), text) for path, text in files_.items()}
        tree |= files_
        shown = {path: texts for path, texts in changed.items() if not path.startswith(".company/")}
        yield Commit(event["sha"], event["author"], event["subject"], shown, len(changed) - len(shown))


def _command(request: Request) -> str:
    """What to type to have it again, without names of folders of this machine."""
    if request.base:
        again = [word for step in request.again for word in ("--from", step)]
        return shlex.join(html.plain(word) for word in ("company", "redo", request.base, *again))
    words = [
        "company",
        "run",
        str(request.inputs.get("requirement", "")),
        "--sop",
        request.source.rpartition("/")[2] or request.sop,
    ]
    words += ["--dry-run"] if request.model == "dry" else ["--model", _without_folder(request.model)]
    words += ["--into", request.into.rpartition("/")[2]] if request.into else []
    for name, value in request.inputs.items():
        words += [] if name == "requirement" else ["--input", f"{name}={value}"]
    for name, most in request.limits.items():
        words += [] if most is None else ["--limit", f"{name}={most:.15g}"]
    return shlex.join(html.plain(word) for word in words)


def _without_folder(model: str) -> str:
    """A model's name; that of a file, such as a script's, without its folder."""
    provider, colon, rest = model.partition(":")
    return f"{provider}{colon}{rest.rpartition('/')[2]}" if rest.startswith(("/", "~", ".")) else model


# --- the two forms ----------------------------------------------------------------------------------


def written(handout: Handout, form: Form) -> str:
    """The document."""
    room = _Room()
    markup = form == "html"
    environment = Environment(
        autoescape=markup, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        finalize=_outgoing if markup else _as_markdown,
    )  # fmt: skip
    environment.filters |= {
        "duration": duration, "money": money, "when": _when, "share": _share, "artifact": room.artifact if markup else room.quoted,
        "change": room.change if markup else room.patch, "fenced": lambda text, word="": Plain(_fenced(text, word)),
        "style": lambda _: Markup(html.style()), "drawing": Markup, "lines": lambda text: Markup(html.text_html(text)),
    }  # fmt: skip
    text = resources.files("company").joinpath(f"handout.{form}.j2").read_text("utf-8")
    return environment.from_string(text).render(
        told=handout, run=handout.record, report=handout.report, most_files=MOST_FILES, first_time=NEVER
    )


class Plain(str):
    """Markdown that is to stand as it is."""


def _outgoing(value: Any) -> Any:
    return value if isinstance(value, Markup) else html.plain(str(value))


def _as_markdown(value: Any) -> str:
    if isinstance(value, Plain | int | float):
        return str(value)
    text = " ".join(html.plain(str(value)).split())
    return _BEGINS.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", text[: html.MOST_WORDS]))


class _Room:
    """Artifacts and changes of one document, as long as there is room for them."""

    def __init__(self) -> None:
        self._left = MOST_CHARACTERS

    def _fit(self, make: Callable[[], str]) -> str:
        if self._left <= 0:
            return "There is no room for this here."
        text = make()
        self._left -= len(text)
        return text

    def artifact(self, value: Any) -> Markup:
        """As HTML."""
        return Markup(self._fit(lambda: html.artifact_html(value)))

    def change(self, texts: tuple[str | None, str | None], path: str) -> Markup:
        """As HTML."""
        return Markup(self._fit(lambda: html.diff_html(*texts, path)))

    def quoted(self, value: Any) -> Plain:
        """As Markdown: in a quotation where its own is harmless, anything else between fences."""
        return Plain(self._fit(lambda: _quoted(value.map if isinstance(value, Codebase) else render(value))))

    def patch(self, texts: tuple[str | None, str | None], path: str) -> Plain:
        """As Markdown."""
        before, after = (None if text is None else text.encode() for text in texts)
        return Plain(self._fit(lambda: _fenced("".join(unified(path, before, after)), "diff")))


def _quoted(text: str) -> str:
    text = _short(text)
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n")) if _is_harmless(text) else _fenced(text)


def _is_harmless(text: str) -> bool:
    """Whether no Markdown reader finds HTML, a link or a picture in it."""
    if len(text) > html.MOST_MARKDOWN:
        return False
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {inner.type for token in tokens for inner in (token, *(token.children or ()))}
    return kinds.isdisjoint({"html_block", "html_inline", "link_open", "image"})


def _fenced(text: str, word: str = "") -> str:
    return fenced("", _short(str(text))).partition("\n")[2].replace("\n", f"{word}\n", 1)


def _short(text: str) -> str:
    """Text for people, its giant lines and its end left out."""
    lines = (
        line if len(line) <= html.MOST_COLUMNS else f"{line[: html.MOST_COLUMNS]}…"
        for line in html.plain(text).strip().split("\n")
    )
    whole = "\n".join(lines)
    return whole if len(whole) <= html.MOST_CHARACTERS else f"{whole[: html.MOST_CHARACTERS]}\n… the rest is left out"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _share(sums: Sums) -> str:
    """How much of the prompts a server had in its cache."""
    return f"{sums.cached_tokens / sums.prompt_tokens:.0%}" if sums.prompt_tokens else ""
