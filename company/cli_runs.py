"""What runs left: `company runs`, `company show`, and what is printed when a run has ended.

Driving a run: `cli.py`; the runs of a workspace: `records.py`; what may be deleted: `cli_clean.py`; what changed: `cli_diff.py`.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from company.engine import Outcome
    from company.executions import Execution
    from company.settings import Settings

WorkspaceOption = Annotated[Path, typer.Option("--workspace", help="Folder in which the repositories lie.")]
WORKSPACE = Path("workspace")


def add_to(app: typer.Typer) -> None:
    """Add the two commands."""
    app.command()(runs)
    app.command()(show)


def print_outcome(
    outcome: Outcome, console: Console, workspace: Path, settings: Settings, record: Path | None = None
) -> None:
    """How it ended, where the repository is, how to look at it, and what it cost."""
    from company.progress import clean
    from company.terminal import duration

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
    say(f"{headline} {clean(outcome.reason, 400)}".rstrip(), style)
    if outcome.verdict:
        say(f"  tests       {clean(outcome.verdict)} (run in {outcome.sandbox})")
    say(f"  repository  {outcome.repo}")
    if outcome.branch:
        say(f"  branch      {outcome.branch} (your files and your own branches are as they were)")
    say(f"  look at it  cd {shlex.quote(str(outcome.repo))} && git log --stat")
    if outcome.entry_point:
        say(f"  start it    {clean(outcome.entry_point)}")
    share = f" ({outcome.cached_tokens / outcome.prompt_tokens:.0%} from the cache)" if outcome.prompt_tokens else ""
    speed = f", {outcome.completion_tokens / outcome.model_seconds:.1f} tokens/s" if outcome.model_seconds else ""
    cost = "cost unknown" if outcome.cost_usd is None else f"${outcome.cost_usd:.2f}"
    tokens = f"{outcome.prompt_tokens} prompt tokens{share}, {outcome.completion_tokens} completion tokens"
    say(f"  cost        {outcome.calls} calls, {tokens}")
    say(f"              {duration(outcome.seconds)}{speed}, {cost}")
    if outcome.cached_steps:
        saved = f", {outcome.saved_tokens} tokens" if outcome.saved_tokens else ""
        say(f"  saved       {outcome.cached_steps} steps had been paid for before{saved}")
    for line in role_table(outcome, settings):
        say(f"    {line}")
    if outcome.status in ("failed", "limited", "interrupted"):
        also = f" --record {shlex.quote(str(record))}" if record else ""
        say(f"  go on with  company resume {outcome.run}{where(workspace)}{also}")
        if outcome.hint:
            say(f"  hint        {clean(outcome.hint, 400)}")


def role_table(outcome: Outcome, settings: Settings) -> list[str]:
    """What each role used, as aligned lines; money where the run cost any or its cost is unknown."""
    from company.llm.budget import usd
    from company.llm.providers import price_of
    from company.progress import clean
    from company.terminal import duration

    names = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens", "seconds")
    sums: dict[str, dict[str, float]] = {}
    paid: dict[str, float | None] = {}
    for step in outcome.steps:
        role, price = clean(step["role"]), price_of(step["model"], settings)
        total = sums.setdefault(role, dict.fromkeys(names, 0.0))
        for name in names:
            total[name] += step[name]
        so_far = paid.setdefault(role, 0.0)
        rates = (price.input, price.output) if price else None
        cost = usd(rates, step["prompt_tokens"], step["completion_tokens"])
        paid[role] = None if cost is None or so_far is None else so_far + cost
    money = outcome.cost_usd != 0
    lines = [f"{'role':<18}{'calls':>5}{'prompt':>9}{'cached':>8}{'reply':>8}{'tok/s':>7}{'time':>12}"]
    lines[0] += f"{'cost':>9}" if money else ""
    for role, used in sums.items():
        share = f"{used['cached_tokens'] / used['prompt_tokens']:.0%}" if used["prompt_tokens"] else ""
        speed = f"{used['completion_tokens'] / used['seconds']:.1f}" if used["seconds"] else ""
        line = (
            f"{role:<18}{used['calls']:>5.0f}{used['prompt_tokens']:>9.0f}{share:>8}{used['completion_tokens']:>8.0f}"
        )
        shown = "unknown" if (total_usd := paid[role]) is None else f"${total_usd:.4f}"
        lines.append(f"{line}{speed:>7}{duration(used['seconds']):>12}{f'{shown:>9}' if money else ''}")
    return lines if sums else []


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
    import time
    from dataclasses import asdict

    from company import wiring
    from company.cli_clean import clean_up, human
    from company.housekeeping import kept_sizes, size
    from company.progress import clean as one_line
    from company.settings import load_settings
    from company.terminal import duration

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
    for record in found:
        room = size(workspace / ".company" / "runs" / record.run)
        room += size(record.repo) if counted[record.repo] == record.run else 0
        if as_json:
            print(json.dumps({**asdict(record), "repo": str(record.repo), "bytes": room}, ensure_ascii=False))
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
        status = "dry run" if record.model == "dry" and record.status == "delivered" else record.status
        print(
            f"{record.run}  {when}  {status:<12} {record.sop:<14} {record.name:<28} "
            f"{record.calls:>4} calls {record.tokens:>8} tokens  {duration(record.seconds):>12} {human(room):>8}  "
            f"{one_line(record.requirement, 60)}"
        )
    kept = ", ".join(f"{kind} {human(count)}" for kind, count in kept_sizes(workspace).items())
    print(f"kept for all of them: {kept}", file=sys.stderr)


def show(
    run: Annotated[str, typer.Argument(help="The run, or the name of its repository.")],
    artifact: Annotated[
        str, typer.Argument(metavar="[ARTIFACT|STEP]", help="One of its artifacts or steps; all are listed by default.")
    ] = "",
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """List what a run made and did, print one artifact, or say what one step was."""
    from company import records, wiring
    from company.executions import executions
    from company.settings import load_settings
    from company.sop.diagnostics import did_you_mean
    from company.terminal import harmless

    with wiring.open_store(workspace, load_settings()) as store:
        record = records.find(store, run)
        request = records.read_request(store, record.run)
        kept = records.files_of(store, record)
        done = executions(store.events(record.run))
    paths = sorted(kept)
    docs = f"{request.records}/docs/" if request.into else "docs/"
    found = {path[len(docs) : -3]: path for path in paths if re.fullmatch(rf"{re.escape(docs)}[^/]+\.md", path)}
    asked = {name.partition(".")[0]: f"{request.records}/{name}" for name in ("requirement.md", "sop.yaml")}
    found |= {name: path for name, path in asked.items() if path in paths}
    found |= {path: path for path in paths if path.endswith(".py")}
    if artifact in found:
        print(harmless(kept[found[artifact]]), end="")
    elif steps := [one for one in done.values() if artifact and artifact in one.names]:
        for one in steps:
            print_step(one)
    elif artifact:
        names = dict.fromkeys(name for one in done.values() for name in one.names)
        hint = did_you_mean(artifact, {**found, **names}, "`company show RUN` lists them")
        raise UsageError(f"the run has no artifact and no step `{artifact}`", hint=hint)
    else:
        print(f"{record.run}  {record.status}  {record.repo}")
        for name, path in found.items():
            print(f"  {name:<32} {path}")
        for one in done.values():
            print(harmless(f"  {one.id:<32} step, {one.how}"))


def print_step(done: Execution) -> None:
    """What one execution of a step was."""
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
        "made of": ", ".join(done.made_of),
        "left": ", ".join(f"{path} ({ref[:12]})" if ref else path for path, ref in done.values.items()),
    }.items():
        if text:
            print(f"  {name:<8} {clean(text, 1000)}")
