"""`company bench`: procedures and models measured on real problems, shown while it goes on, summed up at the end.

Everything but arguments and output: `company/bench/`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company.cli_runs import WORKSPACE, WorkspaceOption
from company.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from company.bench.making import Job
    from company.bench.runner import Bench, Progress
    from company.bench.tasks import Task
    from company.settings import Settings
    from company.sop.procedure import Procedure

_SPLITS = ("dev", "test", "all")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    dataset: Annotated[
        str, typer.Argument(help="humaneval, humaneval+, mbpp, mbpp+, classeval, projects, exercism, or a folder.")
    ],
    sop: Annotated[
        list[str] | None,
        typer.Option(help="A procedure: a name or a path; again for more. zero_shot is always beside them."),
    ] = None,
    model: Annotated[str, typer.Option(help="PROVIDER:MODEL; the settings' by default.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="At most K tasks, always the same ones.")
    ] = None,
    split: Annotated[str, typer.Option(help="dev, test or all; a look at test is written down.")] = "dev",
    seeds: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Runs of each task by each procedure.")] = 1,
    vary: Annotated[
        str, typer.Option(help="Also each task said otherwise: paraphrase, rename, reorder or distract.")
    ] = "",
    vary_by: Annotated[
        str,
        typer.Option(
            metavar="PROVIDER:MODEL",
            help="With --vary paraphrase: this model puts it, and judges that it means the same.",
        ),
    ] = "",
    data: Annotated[Path | None, typer.Option(metavar="PATH", help="The data set's file or folder.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The results; bench/RESULTS.jsonl in the workspace by default.")
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, metavar="N", help="Runs at once; 1 for the embedded model, 1 a core --on, else 4."
        ),
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            metavar="ray|ADDRESS", help="Spread the runs over a Ray cluster: one made here, or a running one."
        ),
    ] = "",
    workspace: WorkspaceOption = WORKSPACE,
    plain: Annotated[bool, typer.Option(help="Lines instead of the live view.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="End standard output with the summary as one JSON object.")
    ] = False,
    unsafe_no_sandbox: Annotated[bool, typer.Option(help="Run generated code UNPROTECTED.")] = False,
) -> None:
    """Measure procedures and a model on real problems that are judged by hidden tests."""
    import asyncio

    from rich.console import Console

    from company.bench import datasets, figures, looks, runner, tables
    from company.bench.cluster import Cluster, check_address
    from company.bench.making import Here
    from company.bench.summary import summarise
    from company.bench.tasks import chosen
    from company.llm import providers
    from company.paths import disk_errors
    from company.settings import load_settings
    from company.sop.library import own_folder
    from company.terminal import console_on_stderr

    if split not in _SPLITS:
        raise UsageError(f"there is no split `{split}`", hint="the splits are dev, test and all")
    if vary_by and vary != "paraphrase":
        raise UsageError("--vary-by goes with --vary paraphrase", hint="the other variations are made by rules")
    if on:
        check_address(on)
    console, settings = console_on_stderr(), load_settings()
    model = model or settings.model
    for each in filter(None, (model, vary_by)):
        providers.check_name(each, settings)
    procedures = _procedures(sop or ())

    def say(text: str) -> None:
        console.print(text, style="dim", soft_wrap=True)

    name, every = datasets.load(dataset, data, say, unsafe_no_sandbox=unsafe_no_sandbox)
    tasks = chosen(every, split, limit)  # type: ignore[arg-type]  # one of _SPLITS
    if not tasks:
        raise UsageError(f"no task of {name} is in the half `{split}`", hint="--split all takes both halves")
    if seeds > 1 and settings.temperature == 0:
        say(
            "The temperature is 0: runs with other seeds differ only in what is asked again. COMPANY_TEMPERATURE=0.8 tells more."
        )
    results = out or workspace / "bench" / "RESULTS.jsonl"

    def planned(asked: Sequence[tuple[Task, str]]) -> list[Job]:
        return runner.plan(asked, procedures, settings, model, seeds, workspace)

    jobs = planned([(task, "") for task in tasks])
    _say_of_others(jobs, "", results, say)  # before a model is paid for other words
    varied = planned(_varied(tasks, vary, vary_by, settings, results.parent / "probing", say))
    _say_of_others(varied, " of tasks said otherwise", results, say)
    jobs = sorted([*jobs, *varied], key=lambda job: job.seed)  # of each seed those as they are, then the others
    if split != "dev":
        results.parent.mkdir(parents=True, exist_ok=True)
        digests = {each.name: each.digest for each in procedures.values()}
        count = looks.look(results.parent, name, len(tasks), model, digests)
        say(f"This counts as look {count} at the test half of {name}; {results.parent / looks.NAME} lists them.")
    names = ", ".join(each.name for each in procedures.values())
    say(f"{len(tasks)} of {len(every)} tasks by {names} with {model}, each {seeds} times: runs: {len(jobs)}")
    with _shown(console, plain=plain) as (tell, progress):
        at_once = parallel or (1 if model.startswith("local:") else 4)
        place: runner.Place = Here(settings, at_once, unsafe_no_sandbox, own_folder(), progress)
        if on:
            place = Cluster(on, settings, say, parallel, unsafe_no_sandbox)
        measured = runner.Bench(jobs, place, results, tell, asyncio.Event())
        asyncio.run(_until_stopped(measured, console))
    summary = summarise(measured.rows, whole=split == "all")
    if as_json:
        print(json.dumps(summary.as_json(), ensure_ascii=False))
    elif sys.stdout.isatty() and not plain:
        Console().print(tables.terminal(summary))
    else:
        print(tables.markdown(summary), end="")
    for picture, svg in figures.figures(summary).items():
        path = results.with_name(f"{picture}.svg")
        with disk_errors("write the picture", path):
            path.write_text(svg, "utf-8")
        say(f"Picture: {path}")
    say(f"Results: {results}")
    if measured.broken:
        job, error = measured.broken[0]
        console.print(
            f"{len(measured.broken)} runs are no result yet, for instance {job.task.name}: {error}", style="bold red"
        )
        console.print("hint: the same command goes on with them", soft_wrap=True)
        sys.exit(1)


def _say_of_others(jobs: Sequence[Job], of: str, results: Path, say: Callable[[str], None]) -> None:
    """What another program made or began of these runs."""
    from company.bench import runner
    from company.bench.making import program

    if others := runner.by_others(jobs, results):
        said = ", ".join(f"{count} by {which}" for which, count in others.items())
        say(
            f"Runs{of} that another program than this one ({program()}) made are used as they are: {said}. "
            "A new --out measures all of them anew."
        )
    if begun := runner.begun_by_others(jobs, results):
        say(f"Runs{of} that another program began are not gone on with, and are paid for anew: {begun}")


def _varied(
    tasks: Sequence[Task], kind: str, by: str, settings: Settings, folder: Path, say: Callable[[str], None]
) -> list[tuple[Task, str]]:
    """The tasks said otherwise, those that can be; which could not is said.

    Args:
        by: the model that puts them; empty: rules do.
        folder: where its replies are kept.
    """
    import asyncio
    from dataclasses import replace

    from company.bench.probing import probe_all
    from company.bench.vary import vary
    from company.bench.wording import CannotVary, Material
    from company.sop.library import Library, own_folder

    def ruled(material: Material) -> Material | CannotVary:
        try:
            return vary(kind, material, 1)
        except CannotVary as error:
            return error

    found, left_out = [], []
    materials = [Material(task.requirement, task.given, task.judge.files, task.needs) for task in tasks if kind]
    if by:
        say(f"{by} puts {len(materials)} tasks into other words …")
        every = asyncio.run(probe_all(materials, by, settings, folder, Library(own_folder()), say))
    else:
        every = [*map(ruled, materials)]
    for task, made in zip(tasks, every, strict=False):
        if isinstance(made, CannotVary):
            left_out.append(f"{task.name} ({made.message})")
            continue
        judge = replace(task.judge, files=made.judge)
        varied = replace(task, requirement=made.requirement, given=made.given, judge=judge)
        found.append((varied, f"{kind} by {by}" if by else kind))
    if left_out:
        say(
            f"{len(left_out)} of {len(tasks)} tasks cannot be varied so, and are only asked as they are: {left_out[0]} …"
        )
    return found


def _procedures(sops: Sequence[str]) -> dict[str, Procedure]:
    """As they were asked for → checked, the baseline first.

    Raises:
        SopError: one does not check.
        UsageError: two have one name, or one wants other inputs.
    """
    from company.bench.summary import BASELINE
    from company.sop.library import Library, own_folder
    from company.sop.linker import load_procedure

    library = Library(own_folder())
    found: dict[str, Procedure] = {}
    for sop in dict.fromkeys((BASELINE, *sops)):
        made = load_procedure(sop, library)
        if any(made.name == other.name for other in found.values()):
            if sop != BASELINE and made.digest in {other.digest for other in found.values()}:
                continue
            raise UsageError(
                f"two procedures are named {made.name}", place=sop, hint="give one of them another `name:`"
            )
        if [*made.inputs] != ["requirement"]:
            raise UsageError(
                f"{made.name} wants {', '.join(made.inputs)}", hint="a task has a requirement and nothing else"
            )
        found[sop] = made
    return found


async def _until_stopped(measured: Bench, console: Console) -> None:
    """Drive it; Ctrl-C stops after the calls that are under way, again stops at once."""
    import asyncio
    import signal

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task

    def interrupt() -> None:
        if measured.stop.is_set():
            task.cancel()
            return
        measured.stop.set()
        console.print("Stopping after the calls that are under way; Ctrl-C again stops at once.", style="yellow")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        await measured.run()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


class _Left:
    """How long the rest takes, by the clock of whoever reads it; nothing where that is not known, or was to be over by now."""

    def __init__(self, seconds: float | None) -> None:
        self._over = time.monotonic() + (seconds or 0.0)

    def __str__(self) -> str:
        from company.terminal import duration

        seconds = self._over - time.monotonic()
        return f"about {duration(seconds)} left" if seconds > 0 else ""


@contextmanager
def _shown(
    console: Console, *, plain: bool
) -> Iterator[tuple[Callable[[Progress], None], Callable[[int, int, str], None] | None]]:
    """What to tell of progress: a bar on a terminal, a line for each run elsewhere."""
    from company.cli_model import download_progress
    from company.terminal import duration

    def line(told: Progress) -> str:
        job, row = told.job, told.row
        head = f"[{told.done}/{told.total}] {job.task.name} by {job.procedure.name}, seed {job.seed}:"
        if row is None:
            return f"{head} {told.trouble or 'was measured before'}"
        left = str(_Left(told.seconds_left)) if told.done < told.total else ""
        came = "passed" if row["passed"] else f"{row['failure']} ({row['score']:.0%})"
        return "; ".join(filter(None, (f"{head} {came}, {row['calls']} calls, {duration(row['seconds'])}", left)))

    if plain or not console.is_terminal or console.is_dumb_terminal:
        with download_progress(console) as progress:

            def tell(told: Progress) -> None:
                if told.row or told.trouble:
                    console.print(line(told), soft_wrap=True)

            yield tell, progress
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
    )
    task = bar.add_task("runs", total=None, left="")
    passed = {"passed": 0, "made": 0}

    def draw(told: Progress) -> None:
        if told.row:
            passed["made"] += 1
            passed["passed"] += bool(told.row["passed"])
        shown = f"{passed['passed']} of {passed['made']} passed; {told.job.task.name} by {told.job.procedure.name}"
        bar.update(task, completed=told.done, total=told.total, description=shown, left=_Left(told.seconds_left))
        if told.trouble:
            bar.console.print(line(told), style="red", soft_wrap=True)

    with bar:
        yield draw, None
