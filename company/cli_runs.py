"""What runs left: `company runs`, `company show`, and what is printed when a run has ended.

Driving a run: `cli.py`; the runs of a workspace: `wiring.py`; what a step cost: `report.py`.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from company.engine import Outcome
    from company.settings import Settings

WorkspaceOption = Annotated[Path, typer.Option("--workspace", help="Folder in which the repositories lie.")]
WORKSPACE = Path("workspace")


def add_to(app: typer.Typer) -> None:
    """Add the two commands."""
    app.command()(runs)
    app.command()(show)


def print_outcome(outcome: Outcome, console: Console, workspace: Path, settings: Settings) -> None:
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
        say(f"  saved       {outcome.cached_steps} steps had been paid for before")
    for line in role_table(outcome, settings):
        say(f"    {line}")
    if outcome.status in ("failed", "limited", "interrupted"):
        say(f"  go on with  company resume {outcome.run}{where(workspace)}")
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
    workspace: WorkspaceOption = WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the runs of a workspace, newest first."""
    import time
    from dataclasses import asdict

    from company import records
    from company.progress import clean
    from company.terminal import duration

    found = records.runs(workspace)
    if not found:
        print(f"there are no runs in {workspace}", file=sys.stderr)
    for record in found:
        if as_json:
            print(json.dumps({**asdict(record), "repo": str(record.repo)}, ensure_ascii=False))
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
        status = "dry run" if record.model == "dry" and record.status == "delivered" else record.status
        print(
            f"{record.run}  {when}  {status:<12} {record.sop:<14} {record.name:<28} "
            f"{record.calls:>4} calls {record.tokens:>8} tokens  {duration(record.seconds):>12}  "
            f"{clean(record.requirement, 60)}"
        )


def show(
    run: Annotated[str, typer.Argument(help="The run, or the name of its repository.")],
    artifact: Annotated[str, typer.Argument(help="One of its artifacts; all are listed by default.")] = "",
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """List what a run made, or print one artifact."""
    from company.records import find
    from company.sop.diagnostics import did_you_mean
    from company.terminal import harmless

    record = find(workspace, run)
    repo = record.repo
    own = repo / ".company" / record.run  # of a run in somebody's repository
    records, docs = (own, own / "docs") if own.is_dir() else (repo / ".company", repo / "docs")
    found = {path.stem: path for path in sorted(docs.glob("*.md"))}
    asked = {"requirement": records / "requirement.md", "sop": records / "sop.yaml"}
    found |= {name: path for name, path in asked.items() if path.is_file()}
    code = sorted(path for path in repo.rglob("*.py") if ".git" not in path.parts)
    found |= {path.relative_to(repo).as_posix(): path for path in code}
    if artifact:
        if artifact not in found:
            hint = did_you_mean(artifact, found, "`company show RUN` lists them")
            raise UsageError(f"the run has no artifact `{artifact}`", hint=hint)
        print(harmless(found[artifact].read_text("utf-8", "replace")), end="")
        return
    print(f"{record.run}  {record.status}  {repo}")
    for name, path in found.items():
        print(f"  {name:<32} {path.relative_to(repo)}")
