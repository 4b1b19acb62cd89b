"""`company report RUN`: one file that tells a run to others, as a page that needs nothing else, or as Markdown.

What is in it: `handout.py`. The same run on a terminal: `company show`, `company replay`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from company.cli_runs import WORKSPACE, WorkspaceOption
from company.errors import UsageError


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    run: Annotated[str, typer.Argument(help="The run, or the name of its repository.")],
    workspace: WorkspaceOption = WORKSPACE,
    form: Annotated[
        Literal["html", "md"] | None, typer.Option("--format", help="html, or md; as the file's name ends by default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where it is written, `-` for standard output; RUN.html by default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: the run and the file.")] = False,
) -> None:
    """Write a run as one file to hand to others: what was asked, who made what, the verdicts, the commits, the cost."""
    from company import wiring
    from company.handout import gather, written
    from company.paths import disk_errors
    from company.records import find
    from company.settings import load_settings
    from company.workspace import write_atomic

    with wiring.open_store(workspace, load_settings()) as store:
        told = gather(store, find(store, run))
    chosen = form or ("md" if output and output.suffix in (".md", ".markdown") else "html")
    path = output or Path(f"{told.record.run}.{chosen}")
    text = written(told, chosen)
    if str(path) == "-":
        if as_json:
            raise UsageError("`--json` and `--output -` both want standard output")
        print(text, end="")
        return
    with disk_errors("write the report", path):
        write_atomic(path, text.encode("utf-8", "replace"))
    print(json.dumps({"run": told.record.run, "file": str(path)}, ensure_ascii=False) if as_json else path)
