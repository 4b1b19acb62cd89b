"""The command line: arguments in, one call to `wiring.py` or a command's module, the result or one clear error out.

The only renderer of errors. Other commands: `cli_sop.py`, `cli_model.py`, `cli_home.py`; the live view: `terminal.py`.
Nothing heavy is imported before a command needs it: `company --help` answers at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from company.errors import CompanyError, SopError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from company.engine import Outcome
    from company.events import Listener

app = typer.Typer(
    help="make for a software company: a requirement goes in, a tested git repository comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
EXIT = {"delivered": 0, "failed": 1, "unaccepted": 3, "limited": 4, "interrupted": 130}
_LIMITS = ("calls", "tokens", "minutes", "usd")

WorkspaceOption = Annotated[Path, typer.Option("--workspace", help="Folder in which the repositories lie.")]
_WORKSPACE = Path("workspace")


def main() -> None:
    """The entry point of the `company` command."""
    try:
        app()
    except CompanyError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read us has enough
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def show_error(error: CompanyError) -> None:
    """Place and fact, then the way out, on standard error."""
    if isinstance(error, SopError) and error.report:
        print(error.report + "\n", file=sys.stderr)
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"\nhint: {error.hint}", file=sys.stderr)


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """``K=V`` arguments."""
    found = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not equals or not key:
            raise UsageError(f"`{option} {value}` is not K=V")
        found[key] = rest
    return found


def limits_of(values: Iterable[str]) -> dict[str, float]:
    """``--limit calls=50`` arguments."""
    found: dict[str, float] = {}
    for key, text in pairs(values, "--limit").items():
        if key not in _LIMITS:
            raise UsageError(f"there is no limit `{key}`", hint=f"the limits are {', '.join(_LIMITS)}")
        try:
            found[key] = float(text) if key in ("minutes", "usd") else int(text)
        except ValueError as error:
            raise UsageError(f"the limit {key} must be a number, not `{text}`") from error
        if not found[key] > 0:
            raise UsageError(f"the limit {key} must be more than 0")
    return found


@app.command()
def run(
    requirement: Annotated[str, typer.Argument(help="What the product must do; `-` reads it from standard input.")],
    sop: Annotated[str, typer.Option(help="The procedure: a name, or a path to a YAML file.")] = "waterfall",
    name: Annotated[str, typer.Option(help="Folder of the repository in the workspace.")] = "",
    workspace: WorkspaceOption = _WORKSPACE,
    model: Annotated[str, typer.Option(help="PROVIDER:MODEL, for instance openai:NAME or local:NAME.")] = "",
    inputs: Annotated[list[str] | None, typer.Option("--input", metavar="K=V", help="Another input.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="calls, tokens, minutes or usd, instead of the procedure's.")
    ] = None,
    headless: Annotated[bool, typer.Option(help="Ask nobody: gates take their headless choice.")] = False,
    dry_run: Annotated[bool, typer.Option(help="No model: the smallest replies that fit.")] = False,
    plain: Annotated[bool, typer.Option(help="Lines instead of the live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")] = False,
    unsafe_no_sandbox: Annotated[bool, typer.Option(help="Run generated code UNPROTECTED.")] = False,
) -> None:
    """Work a requirement out into a tested git repository."""
    from company import wiring
    from company.engine import NewRun
    from company.settings import load_settings
    from company.sop.library import own_folder

    text = sys.stdin.read() if requirement == "-" else requirement
    new = NewRun(
        inputs={"requirement": text, **pairs(inputs or (), "--input")},
        sop=sop,
        workspace=workspace,
        name=name,
        model=model,
        limits=limits_of(limit or ()),
        user_dir=own_folder(),
        dry_run=dry_run,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    settings = load_settings()
    _drive(
        lambda listeners, stop, progress: wiring.run(new, settings, listeners, stop, progress),
        workspace,
        plain=plain,
        as_json=as_json,
    )


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="The run; the newest that is not finished by default.")] = "",
    workspace: WorkspaceOption = _WORKSPACE,
    limit: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Another limit than before.")] = None,
    plain: Annotated[bool, typer.Option(help="Lines instead of the live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")] = False,
) -> None:
    """Go on with a run that was stopped, without doing or paying anything twice."""
    from company import wiring
    from company.settings import load_settings

    settings, limits = load_settings(), limits_of(limit or ())
    _drive(
        lambda listeners, stop, progress: wiring.resume(workspace, run, settings, listeners, stop, limits, progress),
        workspace,
        plain=plain,
        as_json=as_json,
    )


Start = Callable[[tuple["Listener", ...], asyncio.Event, Callable[[int, int, str], None]], Awaitable["Outcome"]]


def _drive(start: Start, workspace: Path, *, plain: bool, as_json: bool) -> None:
    """Follow a run in the terminal to its end, and leave with its exit status."""
    from company.cli_model import download_progress
    from company.terminal import console_on_stderr

    console = console_on_stderr()
    live = console.is_terminal and not plain
    with download_progress(console) as progress:
        outcome = asyncio.run(_follow(start, console, progress, live=live))
    print_outcome(outcome, console, workspace)
    if as_json:
        print(json.dumps(outcome.to_json(), ensure_ascii=False))
    if outcome.status == "failed" and "sandbox" in outcome.reason and not outcome.calls:
        sys.exit(5)
    sys.exit(EXIT[outcome.status])


async def _follow(start: Start, console: Console, progress: Callable[[int, int, str], None], *, live: bool) -> Outcome:
    from company.terminal import LiveView, PlainView

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task

    def interrupt() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        console.print("Stopping after the call that is under way; Ctrl-C again stops at once.", style="yellow")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    if not live:
        return await start((PlainView(console),), stop, progress)
    from rich.live import Live

    view, shown = LiveView(), Live(console=console, refresh_per_second=4, transient=False, get_renderable=lambda: view)

    def listen(event: dict[str, Any]) -> None:
        if event["event"] in ("run_started", "run_resumed"):
            shown.start()
        view(event)

    try:
        return await start((listen,), stop, progress)
    finally:
        shown.stop()


def print_outcome(outcome: Outcome, console: Console, workspace: Path) -> None:
    """How it ended, where the repository is, how to look at it, and what it cost."""
    from company.terminal import clean, duration

    def say(text: str = "", style: str = "") -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    words = {
        "delivered": ("Delivered and accepted.", "bold green"),
        "unaccepted": ("Delivered, but not accepted.", "bold yellow"),
        "failed": ("The run failed.", "bold red"),
        "limited": ("A limit stopped the run.", "bold yellow"),
        "interrupted": ("The run was interrupted.", "bold yellow"),
    }
    headline, style = words[outcome.status]
    say()
    say(f"{headline} {clean(outcome.reason, 400)}".rstrip(), style)
    if outcome.verdict:
        say(f"  tests       {clean(outcome.verdict)} (run in {outcome.sandbox})")
    say(f"  repository  {outcome.repo}")
    say(f"  look at it  cd {outcome.repo} && git log --stat")
    if outcome.entry_point:
        say(f"  start it    {clean(outcome.entry_point)}")
    share = f" ({outcome.cached_tokens / outcome.prompt_tokens:.0%} from the cache)" if outcome.prompt_tokens else ""
    speed = f", {outcome.completion_tokens / outcome.model_seconds:.1f} tokens/s" if outcome.model_seconds else ""
    cost = "cost unknown" if outcome.cost_usd is None else f"${outcome.cost_usd:.2f}"
    say(
        f"  cost        {outcome.calls} calls, {outcome.prompt_tokens} prompt tokens{share}, "
        f"{outcome.completion_tokens} completion tokens{speed}, {duration(outcome.seconds)}, {cost}"
    )
    if outcome.cached_steps:
        say(f"  saved       {outcome.cached_steps} steps had been paid for before")
    roles: dict[str, list[float]] = {}
    for step in outcome.steps:
        sums = roles.setdefault(step["role"], [0, 0, 0.0])
        sums[0] += step["calls"]
        sums[1] += step["prompt_tokens"] + step["completion_tokens"]
        sums[2] += step["seconds"]
    for role, (calls, tokens, seconds) in roles.items():
        say(f"    {clean(role):<18}{calls:>3} calls {tokens:>7} tokens  {duration(seconds)}")
    if outcome.status in ("failed", "limited", "interrupted"):
        where = "" if workspace == _WORKSPACE else f" --workspace {workspace}"
        say(f"  go on with  company resume {outcome.run}{where}")
        if outcome.hint:
            say(f"  hint        {clean(outcome.hint, 400)}")


@app.command()
def runs(
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the runs of a workspace, newest first."""
    import time
    from dataclasses import asdict

    from company import wiring
    from company.terminal import clean, duration

    for record in wiring.runs(workspace):
        if as_json:
            print(json.dumps({**asdict(record), "repo": str(record.repo)}, ensure_ascii=False))
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
        print(
            f"{record.run}  {when}  {record.status:<12} {record.sop:<14} {record.name:<28} "
            f"{record.calls:>4} calls {record.tokens:>8} tokens  {duration(record.seconds):>12}  "
            f"{clean(record.requirement, 60)}"
        )


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="The run, or the name of its repository.")],
    artifact: Annotated[str, typer.Argument(help="One of its artifacts; all are listed by default.")] = "",
    workspace: WorkspaceOption = _WORKSPACE,
) -> None:
    """List what a run made, or print one artifact."""
    from company import wiring
    from company.sop.diagnostics import did_you_mean
    from company.terminal import clean

    records = [record for record in wiring.runs(workspace) if run in (record.run, record.name)]
    if not records:
        raise UsageError(f"there is no run `{run}` in {workspace}", hint="`company runs` lists them")
    repo = records[0].repo
    found = {path.stem: path for path in sorted((repo / "docs").glob("*.md"))}
    code = sorted(path for path in repo.rglob("*.py") if ".git" not in path.parts)
    found |= {path.relative_to(repo).as_posix(): path for path in code}
    if artifact:
        if artifact not in found:
            raise UsageError(f"the run has no artifact `{artifact}`", hint=did_you_mean(artifact, found))
        text = found[artifact].read_text("utf-8", "replace")
        print("\n".join(clean(line, 10_000) if not line.isprintable() else line for line in text.split("\n")))
        return
    print(f"{records[0].run}  {records[0].status}  {repo}")
    for name, path in found.items():
        print(f"  {name:<32} {path.relative_to(repo)}")


def _add_groups() -> None:
    from company import cli_home, cli_model, cli_sop

    app.add_typer(cli_sop.app, name="sop")
    app.add_typer(cli_model.app, name="model")
    cli_home.add_to(app)


_add_groups()
