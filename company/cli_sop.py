"""`company sop …`: the procedures there are, what one does, whether it checks.

The checker: `sop/linker.py`; the drawing: `sop/diagram.py`.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from company import cli_check

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
    for source, target, label, _ in edges(procedure):
        print(f"  {source} → {target}{f'   [{label}]' if label else ''}")


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


cli_check.add_to(app)
