"""The command line: arguments in, one call to `wiring.py` or a command's module, the result or one clear error out.

Errors and streams: `cli_errors.py`. Other commands: `cli_runs.py`, `cli_replay.py`, `cli_report.py`, `cli_diff.py`, `cli_sop.py`, `cli_model.py`, `cli_bench.py`,
`cli_home.py`; the live view: `terminal.py`.
Nothing heavy is imported before a command needs it: `company --help` answers at once.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company.cli_errors import Misuse, error_as_json, hand_over, lead_nowhere, misused, open_streams, show_error
from company.cli_runs import WORKSPACE, WorkspaceOption, named, print_outcome, where
from company.errors import Broken, CompanyError, Interrupted, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from company.engine import Outcome
    from company.events import Event
    from company.sitting import Watch

app = typer.Typer(
    help="make for a software company: a requirement goes in, a tested git repository comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
EXIT = {"delivered": 0, "failed": 1, "unaccepted": 3, "limited": 4, "interrupted": 130}
ExplainOption = Annotated[bool, typer.Option(help="Say of each step, as it comes, why it is done or need not be.")]
RecordOption = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Keep every exchange with a model there; replay:FILE gives them."),
]


def main() -> None:
    """The entry point of the `company` command."""
    open_streams()
    try:
        try:
            command = typer.main.get_command(app)
            with command.make_context(
                "company", sys.argv[1:]
            ) as context:  # `app()` would end with errors in its own way
                command.invoke(context)
        finally:
            sys.stdout.flush()  # here, where a full disk or a closed pipe is still an error that we can name
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except Misuse as error:
        if told := misused(error):
            show_error(told)
        else:
            error.show()
        sys.exit(UsageError.exit_code)
    except CompanyError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        lead_nowhere(1)  # whoever read us has enough
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        error_as_json(str(error.strerror or error), str(error.filename or ""))
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        error_as_json("interrupted")
        sys.exit(EXIT["interrupted"])


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"company {version('company-sim')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """make for a software company: a requirement goes in, a tested git repository comes out."""


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """``K=V`` arguments."""
    found = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not equals or not key:
            raise UsageError(f"`{option} {value}` is not K=V")
        if key in found:
            raise UsageError(f"`{option} {key}` is given twice")
        found[key] = rest
    return found


def limits_of(values: Iterable[str]) -> dict[str, float]:
    """``--limit calls=50`` arguments; of one step ``steps.code.calls=9``, of one role ``roles.qa.calls=9``."""
    from company.sop.procedure import UNITS

    found: dict[str, float] = {}
    for key, text in pairs(values, "--limit").items():
        account, _, unit = key.rpartition(".")
        if unit not in UNITS or not re.fullmatch(r"((steps|roles)\.[^.\s]+(\.[^.\s]+)*)?", account):
            kinds = "of one step steps.STEP.tokens, of one role roles.ROLE.tokens"
            raise UsageError(f"there is no limit `{key}`", hint=f"the limits are {', '.join(UNITS)}; {kinds}")
        try:
            found[key] = float(text) if unit in ("minutes", "usd") else int(text)
        except ValueError as error:
            raise UsageError(f"the limit {key} must be a number, not `{text}`") from error
        if not 0 < found[key] < float("inf"):
            raise UsageError(f"the limit {key} must be more than 0, and finite")
    return found


@app.command()
def run(
    requirement: Annotated[
        str, typer.Argument(help="What the product must do; `-` reads it from standard input.")
    ] = "",
    sop: Annotated[
        str, typer.Option(help="The procedure: a name, or a path to a YAML file; waterfall, or feature with --into.")
    ] = "",
    name: Annotated[str, typer.Option(help="Folder of the repository in the workspace.")] = "",
    workspace: WorkspaceOption = WORKSPACE,
    into: Annotated[
        Path | None, typer.Option(metavar="REPO", help="A git repository to change; the result is a branch in it.")
    ] = None,
    model: Annotated[str, typer.Option(help="PROVIDER:MODEL, for instance openai:NAME or local:NAME.")] = "",
    inputs: Annotated[list[str] | None, typer.Option("--input", metavar="K=V", help="Another input.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="calls, tokens, minutes or usd, also steps.STEP.… or roles.ROLE.…"),
    ] = None,
    headless: Annotated[bool, typer.Option(help="Ask nobody: gates take their headless choice.")] = False,
    dry_run: Annotated[bool, typer.Option(help="No model: the smallest replies that fit.")] = False,
    record: RecordOption = None,
    explain: ExplainOption = False,
    plain: Annotated[bool, typer.Option(help="Lines instead of the live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")] = False,
    unsafe_no_sandbox: Annotated[bool, typer.Option(help="Run generated code UNPROTECTED.")] = False,
) -> None:
    """Work a requirement out into a tested git repository."""
    from company import wiring
    from company.engine import NewRun
    from company.settings import load_settings
    from company.sop.library import own_folder

    given = pairs(inputs or (), "--input")
    if requirement and "requirement" in given:
        raise UsageError("the requirement is given twice", hint="leave out `--input requirement=…`")
    new = NewRun(
        inputs={**given, "requirement": _text(requirement)} if requirement else given,
        sop=sop or ("feature" if into else "waterfall"),
        workspace=workspace,
        name=name,
        into=into,
        model=model,
        limits=limits_of(limit or ()),
        user_dir=own_folder(),
        dry_run=dry_run,
        headless=headless,
        unsafe_no_sandbox=unsafe_no_sandbox,
        recording=record,
    )
    settings = load_settings()
    _drive(
        lambda watch: wiring.run(new, settings, watch),
        workspace,
        plain=plain,
        as_json=as_json,
        asks=not (headless or dry_run),
        explain=explain,
        record=record,
    )


def _text(requirement: str) -> str:
    """The requirement as text, read from standard input for ``-``."""
    data = sys.stdin.buffer.read() if requirement == "-" else requirement.encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"the requirement is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from error


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="The run; the newest that is not finished by default.")] = "",
    workspace: WorkspaceOption = WORKSPACE,
    model: Annotated[str, typer.Option(help="Another model from here on; the run's by default.")] = "",
    limit: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Another limit than before.")] = None,
    answer: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Decide gates that wait as this JSON says, `-` for standard input; asks nobody."
        ),
    ] = "",
    headless: Annotated[bool, typer.Option(help="Ask nobody: gates take their headless choice.")] = False,
    record: RecordOption = None,
    plain: Annotated[bool, typer.Option(help="Lines instead of the live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")] = False,
) -> None:
    """Go on with a run that was stopped, without doing or paying anything twice."""
    from company import answers, wiring
    from company.settings import load_settings

    if answer and headless:
        raise UsageError("--answer and --headless both say who decides", hint="leave one of them out")
    settings, limits = load_settings(), limits_of(limit or ())
    given = answers.read(answer) if answer else ()
    _drive(
        lambda watch: wiring.resume(
            workspace, run, settings, watch, limits=limits,
            model=model, recording=record, headless=headless, answers=given,
        ),
        workspace, plain=plain, as_json=as_json, asks=not (headless or answer), record=record,
    )  # fmt: skip


@app.command()
def redo(
    run: Annotated[str, typer.Argument(help="The run, or the name of its repository.")],
    again: Annotated[
        list[str] | None, typer.Option("--from", metavar="STEP", help="A step to do anew though nothing changed.")
    ] = None,
    edit: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=FILE", help="A file of the repository as it should be, `-` for standard input."),
    ] = None,
    sop: Annotated[str, typer.Option(help="Another procedure; the run's own, as it is now, by default.")] = "",
    model: Annotated[str, typer.Option(help="Another model; the run's by default.")] = "",
    workspace: WorkspaceOption = WORKSPACE,
    limit: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Another limit than the procedure's.")] = None,
    headless: Annotated[bool, typer.Option(help="Ask nobody: gates take their headless choice.")] = False,
    record: RecordOption = None,
    explain: ExplainOption = False,
    plain: Annotated[bool, typer.Option(help="Lines instead of the live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")] = False,
) -> None:
    """Make a run again on a new branch: what you edited since, and what depends on it; the rest is kept and costs nothing."""
    from company import wiring
    from company.redo import read_given
    from company.settings import load_settings
    from company.sop.library import own_folder

    settings, limits, edits = load_settings(), limits_of(limit or ()), read_given(edit or ())
    asks = not (headless or any(word.endswith("=-") for word in edit or ()))
    _drive(
        lambda watch: wiring.redo(
            workspace, run, settings, watch, limits=limits,
            again=again or (), edits=edits, sop=sop, model=model, user_dir=own_folder(), recording=record, headless=headless,
        ),
        workspace, plain=plain, as_json=as_json, asks=asks, explain=explain, record=record,
    )  # fmt: skip


if TYPE_CHECKING:
    Start = Callable[[Watch], Awaitable[Outcome]]


def _drive(
    start: Start,
    workspace: Path,
    *,
    plain: bool,
    as_json: bool,
    asks: bool,
    explain: bool = False,
    record: Path | None = None,
) -> None:
    """Follow a run in the terminal to its end, and leave with its exit status."""
    import asyncio
    import sqlite3

    from company.cli_model import download_progress
    from company.paths import disk_errors
    from company.terminal import console_on_stderr

    console = console_on_stderr()
    live = console.is_terminal and not console.is_dumb_terminal and not plain and not explain
    try:
        with download_progress(console) as progress:
            outcome = asyncio.run(_follow(start, console, progress, workspace, live=live, asks=asks, explain=explain))
        outcome = replace(outcome, hint=named(outcome.hint, outcome.run, workspace))
    except asyncio.CancelledError:
        raise Interrupted("stopped before the run began", hint="a download goes on where it stopped") from None
    except CompanyError as error:
        error.hint = named(error.hint, "", workspace)
        raise
    except OSError:
        with disk_errors("go on with the run", workspace):  # not even its last line could be written
            raise
    except sqlite3.Error as error:
        hint = f"`company resume{where(workspace)}` goes on with what it has"
        raise Broken(f"the run broke off: {error}", hint=hint) from error
    print_outcome(outcome, console, workspace, record)
    hand_over(
        json.dumps(outcome.to_json(), ensure_ascii=False) if as_json else str(outcome.repo),
        outcome.status,
        f"company show {outcome.run}{where(workspace)}{' --json' if as_json else ''}",
    )
    sys.exit(EXIT[outcome.status])


async def _follow(
    start: Start,
    console: Console,
    progress: Callable[[int, int, str], None],
    workspace: Path,
    *,
    live: bool,
    asks: bool,
    explain: bool,
) -> Outcome:
    """Show a run while it goes on. All drawing is done by this thread: events change what is drawn."""
    import asyncio
    import signal
    import time

    from rich.live import Live

    from company.cli_gates import TerminalPerson
    from company.events import read
    from company.sitting import Watch
    from company.terminal import LiveView, PlainView

    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert task
    plain, view = PlainView(console, explain=explain), LiveView()
    shown = Live(console=console, auto_refresh=False, get_renderable=lambda: view)
    person = TerminalPerson(console, shown.stop, lambda: shown.start() if live else None)

    def interrupt() -> None:
        again = stop.is_set() or person.waiting
        stop.set()
        view.stopping = True
        if again:
            task.cancel()
        elif shown.is_started:
            shown.refresh()
        else:
            console.print("Stopping after the calls that are under way; Ctrl-C again stops at once.", style="yellow")

    def listen(event: Event) -> None:
        if not live:
            plain(event)
            return
        past = [event]
        if event["event"] == "run_resumed":  # the steps of earlier sittings are part of the picture
            past = list(read(workspace / ".company" / "runs" / event["run"] / "events.jsonl"))
        for each in past:
            view(each)
        if not person.waiting:
            shown.start()

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.25)
            if shown.is_started:
                shown.refresh()
            if not person.waiting:
                plain.tick(time.time())

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    ticking = asyncio.create_task(tick())
    try:
        present = person if asks and sys.stdin.isatty() and console.is_terminal else None
        return await start(Watch((listen,), stop, progress, present))
    finally:
        ticking.cancel()
        shown.stop()


def _add_groups() -> None:
    from company import cli_bench, cli_diff, cli_home, cli_model, cli_replay, cli_report, cli_runs, cli_serve, cli_sop

    cli_runs.add_to(app)
    cli_replay.add_to(app)
    cli_report.add_to(app)
    cli_diff.add_to(app)
    cli_bench.add_to(app)
    app.add_typer(cli_sop.app, name="sop")
    app.add_typer(cli_model.app, name="model")
    cli_serve.add_to(app)
    cli_home.add_to(app)


_add_groups()
