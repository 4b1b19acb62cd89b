"""`company sop …`: the procedures there are, what one does, whether it checks.

The checker: `sop/linker.py`; the drawing: `sop/diagram.py`.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from company.errors import SopError, UsageError

app = typer.Typer(help="Procedures: list, show, check.", no_args_is_help=True, rich_markup_mode=None)


class Format(StrEnum):
    """How a procedure is shown."""

    text = "text"
    mermaid = "mermaid"


@app.command("list")
def list_() -> None:
    """The procedures by name: your own first, then the shipped ones."""
    from company.errors import CompanyError
    from company.sop.library import Library, own_folder, show
    from company.sop.linker import load_procedure
    from company.terminal import clean

    library = Library(own_folder())
    for name, path in library.sops().items():
        try:
            about = load_procedure(name, library).description
        except CompanyError:
            about = f"does not check: company sop check {show(path)}"
        print(f"{name:<16} {clean(about)}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name, or a path to a YAML file.")],
    form: Annotated[Format, typer.Option("--format", help="text or mermaid.")] = Format.text,
) -> None:
    """What a procedure does: its steps, its edges, its worst case."""
    from company.sop.diagram import edges, mermaid
    from company.sop.library import Library, own_folder
    from company.sop.linker import load_procedure
    from company.terminal import clean

    procedure = load_procedure(name, Library(own_folder()))
    if form is Format.mermaid:
        print(mermaid(procedure), end="")
        return
    print(f"{procedure.name}: {clean(procedure.description)}")
    print(f"inputs: {', '.join(f'{key}: {kind}' for key, kind in procedure.inputs.items())}")
    limits = {key: value for key, value in vars(procedure.limits).items() if value is not None}
    print(f"limits: {', '.join(f'{key} {value:g}' for key, value in limits.items()) or 'none'}")
    print(f"model calls in the worst case, repairs of replies not counted: {procedure.worst_calls}\n")
    for step in procedure.walk():
        who = step.role.title if step.role else step.command or step.kind
        more = f" for each {step.bind} of {step.over.text}" if step.over else ""
        more += f" until {step.until.text}, {step.max} rounds at most" if step.until else ""
        out = f" → {step.out}" if step.out and step.kind in ("role", "run") else ""
        print(f"{'  ' * step.path.count('.')}{step.name}: {who}{more}{out}")
    print("\nedges:")
    for source, target, label in edges(procedure):
        print(f"  {source} → {target}{f'   [{label}]' if label else ''}")


@app.command()
def check(
    files: Annotated[list[str] | None, typer.Argument(help="Names or paths; every procedure by default.")] = None,
) -> None:
    """Check procedures; exit status 2 where one has a mistake."""
    from company.sop.diagnostics import render
    from company.sop.library import Library, own_folder
    from company.sop.linker import load_procedure
    from company.terminal import harmless

    library = Library(own_folder())
    wrong = 0
    for name in files or [*library.sops()]:
        try:
            procedure = load_procedure(name, library)
        except UsageError as error:
            wrong += 1
            said = error.report if isinstance(error, SopError) else f"error: {error}\n\nhint: {error.hint}"
            print(harmless(said) + "\n", file=sys.stderr)
            continue
        if procedure.warnings:
            print(harmless(render(procedure.warnings)) + "\n", file=sys.stderr)
        print(f"{name}: checks, {procedure.worst_calls} model calls in the worst case")
    if wrong:
        sys.exit(2)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Argument(help="A file to write; standard output by default.")] = None,
) -> None:
    """The JSON Schema of procedures, for editors that complete and validate YAML."""
    from company.paths import disk_errors
    from company.sop.spec import json_schema

    text = json.dumps(json_schema(), indent=1) + "\n"
    if out is None:
        print(text, end="")
        return
    with disk_errors("write the schema", out):
        out.write_text(text, "utf-8")
