"""What runs left: `company runs`, `company show`, and what is printed when a run has ended.

Driving a run: `cli.py`; the runs of a workspace: `records.py`; what may be deleted: `cli_clean.py`; what changed: `cli_diff.py`.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from company.errors import CompanyError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from company.engine import Outcome
    from company.executions import Execution

WorkspaceOption = Annotated[Path, typer.Option("--workspace", help="Folder in which the repositories lie.")]
WORKSPACE = Path("workspace")
_NAME, _NARROWEST = 4, 12
"""Which column of `company runs` is the repository's name, and how far it and the last one are cut on a narrow terminal."""


def add_to(app: typer.Typer) -> None:
    """Add the two commands."""
    app.command()(runs)
    app.command()(show)


def print_outcome(outcome: Outcome, console: Console, workspace: Path, record: Path | None = None) -> None:
    """How it ended, where the repository is, how to look at it, and what it cost."""
    from company.progress import clean
    from company.terminal import also_money, duration, money

    def say(text: str = "", style: str = "") -> None:
        console.print(text, style=style, soft_wrap=True)

    words = {
        "delivered": ("Delivered and accepted.", "bold green"),
        "unaccepted": ("Delivered, but not accepted.", "bold yellow"),
        "failed": ("The run failed.", "bold red"),
        "limited": ("A limit stopped the run.", "bold yellow"),
        "interrupted": ("The run was interrupted.", "bold yellow"),
    }
    headline, style = words[outcome.status]
    if outcome.model == "dry" and outcome.status == "delivered":
        headline = "The dry run went through, and no model was asked."
    say()
    reason = "" if outcome.reason == outcome.status else clean(outcome.reason, 400)
    say(f"{headline} {reason}".rstrip(), style)
    if outcome.verdict:
        say(f"  tests       {clean(outcome.verdict)}")
        say(f"  run in      {outcome.sandbox}")
    say(f"  repository  {outcome.repo}")
    if outcome.branch:
        say(f"  branch      {outcome.branch} (your files and your own branches are as they were)")
    say(f"  look at it  cd {shlex.quote(str(outcome.repo))} && git log --stat")
    if outcome.entry_point:
        say(f"  start it    {clean(outcome.entry_point)}")
    share = f" ({outcome.cached_tokens / outcome.prompt_tokens:.0%} from the cache)" if outcome.prompt_tokens else ""
    speed = f", {outcome.completion_tokens / outcome.model_seconds:.1f} tokens/s" if outcome.model_seconds else ""
    cost = "cost unknown" if outcome.cost_usd is None else money(outcome.cost_usd)
    tokens = f"{outcome.prompt_tokens:,} tokens read{share}, {outcome.completion_tokens:,} written"
    say(f"  cost        {outcome.calls} calls, {tokens}")
    say(f"              {duration(outcome.seconds)}{speed}, {cost}")
    if outcome.retries:
        of = ", ".join(f"{clean(sums['name'], 40)} {sums['retries']}" for sums in outcome.by_step if sums["retries"])
        what = "1 try of a call" if outcome.retries == 1 else f"{outcome.retries} tries of calls"
        say(f"  broke off   {what} ({of}); what a server bills for them is not known, and not counted")
    if outcome.cached_steps:
        saved = f", {outcome.saved_tokens} tokens{also_money(outcome.saved_usd)}" if outcome.saved_tokens else ""
        say(f"  saved       {outcome.cached_steps} steps had been paid for before{saved}")
    for what, sums in (("role", outcome.by_role), ("step", outcome.by_step)):
        for line in cost_table(what, sums, with_money=outcome.cost_usd != 0):
            say(f"    {line}")
    if outcome.status in ("failed", "limited", "interrupted"):
        raised = re.search(r" --limit [^\s`]+", outcome.hint)
        also = (raised[0] if raised else "") + (f" --record {shlex.quote(str(record))}" if record else "")
        say(f"  go on with  company resume {outcome.run}{where(workspace)}{also}")
    if outcome.hint:
        say(f"  hint        {clean(outcome.hint, 400)}")


def cost_table(what: str, sums: Sequence[Mapping[str, Any]], *, with_money: bool) -> list[str]:
    """What each role or step used, as aligned lines of 76 columns at most; money where the run cost any or its cost is unknown."""
    from company.progress import clean
    from company.terminal import duration, money

    heads = ("calls", "prompt", "cached", "reply", "tok/s", "time", *(["cost"] if with_money else []))
    widths = (6, 9, 7, 8, 7, 12, 9)
    lines = [f"{what:<18}" + "".join(map(str.rjust, heads, widths))]
    for used in sums:
        if not used["calls"]:
            continue  # all of it had been paid for
        share = f"{used['cached_tokens'] / used['prompt_tokens']:.0%}" if used["prompt_tokens"] else ""
        speed = f"{used['completion_tokens'] / used['seconds']:.1f}" if used["seconds"] else ""
        numbers = [str(used["calls"]), str(used["prompt_tokens"]), share, str(used["completion_tokens"]), speed]
        cells = [*numbers, duration(used["seconds"]), *([money(used["usd"])] if with_money else [])]
        lines.append(f"{clean(used['name'], 18):<18}" + "".join(map(str.rjust, cells, widths)))
    return lines if len(lines) > 1 else []


def named(hint: str, run: str, workspace: Path) -> str:
    """A hint whose `company resume` says which run is meant, and where it is."""
    end = where(workspace)
    named = re.sub(r"company resume(?! [^\s`-])", f"company resume {run}".rstrip(), hint)
    return re.sub(r"company resume( [^\s`,;-][^\s`,;]*)?", lambda found: found[0] + end, named) if end else named


def where(workspace: Path) -> str:
    """The option that names a workspace, where one is needed."""
    return "" if workspace == WORKSPACE else f" --workspace {shlex.quote(str(workspace))}"


def runs(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="With --clean: runs to delete as well.")
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    clean: Annotated[bool, typer.Option("--clean", help="Delete what is kept and no run needs; asks first.")] = False,
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", help="With --clean: runs to delete as well, by age.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the runs of a workspace, or of the team's database, newest first, with their room; delete what no run needs."""
    import shutil
    import time
    from dataclasses import asdict

    from company import wiring
    from company.cli_clean import clean_up, human
    from company.housekeeping import kept_sizes, size
    from company.progress import clean as one_line
    from company.settings import load_settings
    from company.terminal import duration, harmless

    if not clean and (names or older_than is not None or yes):
        raise UsageError("RUN, --older-than and --yes are for --clean", hint="`company show RUN` shows one run")
    if workspace != WORKSPACE and not workspace.is_dir():
        raise UsageError("there is no such folder", place=str(workspace), hint="--workspace names another one")
    settings = load_settings()
    shared = bool(settings.state.get_secret_value())
    if clean:
        if shared:
            raise UsageError(
                "what a team's database keeps is not deleted from one machine",
                hint="delete from its tables with the database's own tools",
            )
        clean_up(workspace, names or (), older_than, where(workspace), yes=yes, as_json=as_json)
        return
    found = wiring.runs(workspace, settings)
    if not found:
        print(f"there are no runs in {'the database' if shared else workspace}", file=sys.stderr)
        return
    counted = {record.repo: record.run for record in found}  # of runs that share a repository, the first one
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    rows = []
    for record in found:
        room = size(workspace / ".company" / "runs" / record.run)
        room += size(record.repo) if record.name and counted[record.repo] == record.run else 0
        if as_json:
            print(json.dumps({**asdict(record), "repo": str(record.repo), "bytes": room}, ensure_ascii=False))
        status = "dry run" if record.model == "dry" and record.status == "delivered" else record.status
        when = time.strftime("%d %b %H:%M" if width else "%Y-%m-%d %H:%M", time.localtime(record.started))
        rows.append((
            record.run, when, status, human(room), one_line(record.name), one_line(record.sop), f"{record.calls} calls",
            f"{record.tokens} tokens", duration(record.seconds), one_line(record.requirement, 60),
        ))  # fmt: skip
    if not as_json:
        for line in _table(rows, width):
            print(line)
    for record in found:
        if record.problem:
            print(harmless(f"damaged: {record.problem}"), file=sys.stderr)
    kept = ", ".join(f"{kind} {human(count)}" for kind, count in kept_sizes(workspace).items())
    print(f"also kept: {kept}", file=sys.stderr)


def _table(rows: Sequence[tuple[str, ...]], width: int | None) -> Iterator[str]:
    """Aligned lines: all columns, or as many as fit a terminal of this width, where the name and the last one may be cut."""
    from rich.cells import cell_len, set_cell_size

    widest = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        left = width - sum(widest[:_NAME]) - 2 * _NAME
        rest, widest[_NAME:] = widest[_NAME:], [min(widest[_NAME], max(left, _NARROWEST))]
        for place, cells in enumerate(rest[1:], 1):
            left -= widest[-1] + 2
            if left < (min(cells, _NARROWEST) if place == len(rest) - 1 else cells):
                break
            widest.append(min(cells, left))
    for row in rows:
        shown = zip(row, widest, strict=False)
        cut = (text if cell_len(text) <= room else set_cell_size(text, room - 1) + "…" for text, room in shown)
        yield "  ".join(map(set_cell_size, cut, widest)).rstrip()


def show(
    run: Annotated[str, typer.Argument(help="The run, or the name of its repository.")],
    artifact: Annotated[
        str, typer.Argument(metavar="[ARTIFACT|STEP]", help="One of its artifacts or steps; all are listed by default.")
    ] = "",
    workspace: WorkspaceOption = WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """List what a run made and did, print one artifact, or say what one step was."""
    from dataclasses import asdict

    from company import records, wiring
    from company.executions import executions
    from company.report import Report
    from company.settings import load_settings
    from company.sop.diagnostics import did_you_mean
    from company.terminal import harmless
    from company.waiting import data, of_run

    with wiring.open_store(workspace, load_settings()) as store:
        record = records.find(store, run)
        request = records.read_request(store, record.run)
        kept = records.files_of(store, record)
        events = list(store.events(record.run))
        try:
            waits = () if artifact else of_run(store, record)
        except CompanyError as error:  # all the rest can be shown
            waits = ()
            print(harmless(f"note: what waits for a person cannot be read: {error}"), file=sys.stderr)
    done = executions(events)
    paths = sorted(kept)
    docs = f"{request.records}/docs/" if request.into else "docs/"
    found = {path[len(docs) : -3]: path for path in paths if re.fullmatch(rf"{re.escape(docs)}[^/]+\.md", path)}
    asked = {name.partition(".")[0]: f"{request.records}/{name}" for name in ("requirement.md", "sop.yaml")}
    found |= {name: path for name, path in asked.items() if path in paths}
    found |= {path: path for path in paths if path.endswith(".py")}

    def say(data: Mapping[str, Any]) -> None:
        print(json.dumps({"run": record.run, **data}, ensure_ascii=False))

    if artifact in found:
        path = found[artifact]
        if as_json:
            say({"name": artifact, "path": path, "text": kept[path]})
        else:
            print(harmless(kept[path]), end="")
    elif steps := [one for one in done.values() if artifact and artifact in one.names]:
        if as_json:
            say({"steps": [asdict(one) for one in steps]})
        for one in () if as_json else steps:
            print_step(one)
    elif artifact:
        names = dict.fromkeys(name for one in done.values() for name in one.names)
        hint = did_you_mean(artifact, {**found, **names}, "`company show RUN` lists them")
        raise UsageError(f"the run has no artifact and no step `{artifact}`", hint=hint)
    elif as_json:
        report = Report.of(events)
        say({
            **asdict(record), "repo": str(record.repo), "reason": report.reason, "verdict": report.verdict,
            "cost_usd": report.usd, "retries": report.retries, "by_role": [*map(asdict, report.by_role)], "by_step": [*map(asdict, report.by_step)],
            "artifacts": [{"name": name, "path": path} for name, path in found.items()],
            "steps": [*map(asdict, done.values())], "waits": [*map(data, waits)],
        })  # fmt: skip
    else:
        print(f"{record.run}  {record.status}  {record.repo}")
        for name, path in found.items():
            print(f"  {name:<32} {path}")
        for one in done.values():
            print(harmless(f"  {one.id:<32} step, {one.how}"))
        for gate in waits:
            print(
                harmless(
                    f"  {gate.id:<32} waits for a person: {', '.join(one for one in gate.choices if one not in gate.used_up)}"
                )
            )


def print_step(done: Execution) -> None:
    """What one execution of a step was."""
    from company.ingredients import listed
    from company.progress import clean
    from company.terminal import duration

    kept = f" from {done.kept_from}, {done.saved_tokens} tokens saved" if done.kept_from else ""
    used = f"{done.calls} calls, {done.tokens} tokens, {done.model}" if done.model else "no call of a model"
    print(f"{clean(done.id)}: {done.how}{kept}")
    for name, text in {
        "by": done.role or done.kind,
        "because": done.why,
        "cost": f"{used}, {duration(done.seconds)}",
        "commit": f"{done.commit[:12]} {done.subject}".strip(),
        "made of": listed(done.made_of),
        "left": ", ".join(f"{path} ({ref[:12]})" if ref else path for path, ref in done.values.items()),
    }.items():
        if text:
            print(f"  {name:<8} {clean(text, 1000)}")
