"""`company sop …`: the procedures there are, what one does and costs, a new one, and what differs between two.

Checking and explaining: `cli_check.py`. The drawing: `sop/diagram.py`, `sop/svg.py`; the numbers: `costs.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company import cli_check

if TYPE_CHECKING:
    from company.sop.procedure import Step

app = typer.Typer(
    help="Procedures: list, show, check, explain, new, diff.", no_args_is_help=True, rich_markup_mode=None
)


class Format(StrEnum):
    """How a procedure is shown."""

    text = "text"
    mermaid = "mermaid"
    svg = "svg"


@app.command("list")
def list_() -> None:
    """The procedures by name, and which of them are your own."""
    from company.errors import CompanyError
    from company.progress import clean
    from company.sop.library import Library, own_folder, show
    from company.sop.linker import load_procedure

    own = own_folder()
    library = Library(own)
    for name, path in library.sops().items():
        mine = "own" if own and path.is_relative_to(own.resolve()) else ""
        try:
            about = load_procedure(name, library).description
        except CompanyError:
            about = f"does not check: company sop check {show(path)}"
        print(f"{name:<16} {mine:<4} {clean(about)}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name, or a path to a YAML file.")],
    form: Annotated[Format, typer.Option("--format", help="text, mermaid or svg.")] = Format.text,
    model: Annotated[str, typer.Option(help="PROVIDER:MODEL of the estimate; the settings' by default.")] = "",
) -> None:
    """What a procedure does: its steps, its edges, its worst case, what a run costs."""
    from company.costs import estimated
    from company.progress import clean
    from company.sop.diagram import edges, mermaid
    from company.sop.library import Library, own_folder
    from company.sop.linker import load_procedure
    from company.sop.svg import svg

    procedure = load_procedure(name, Library(own_folder()))
    if form is not Format.text:
        print(mermaid(procedure) if form is Format.mermaid else svg(procedure), end="")
        return
    lines = estimated(procedure, model)  # before anything is printed: the model's name may be wrong
    print(f"{procedure.name}: {clean(procedure.description)}")
    print(f"inputs: {', '.join(f'{key}: {kind}' for key, kind in procedure.inputs.items())}")
    print(f"limits: {', '.join(f'{key} {value:.15g}' for key, value in procedure.bounds.items()) or 'none'}")
    print(f"model calls in the worst case, repairs of replies not counted: {procedure.worst_calls}\n")
    for line in _tree(procedure.steps):
        print(line)
    print("\nedges:")
    for source, target, label, _ in edges(procedure):
        print(f"  {source} → {target}{f'   [{clean(label)}]' if label else ''}")
    print("\nestimate, from the shortest run to the longest; typical sizes, repairs of replies not counted:")
    for line in lines:
        print(f"  {line}")


def _tree(steps: tuple[Step, ...], indent: str = "") -> Iterator[str]:
    """A line for each step, those inside another one indented."""
    from company.progress import clean
    from company.sop.diagram import heading, who

    for step in steps:
        name, what = heading(step) if step.body else (step.name, who(step))
        more = f" → {step.out}" if step.out and step.kind in ("role", "run") else ""
        more += "".join(f"; {choice}: {place}" for choice, place in step.choices.items())
        more += f", asked of {step.model}" if step.model and not step.cascade else ""
        more += f", with {', '.join(step.tools)}" if step.tools else ""
        more += f", when {step.when.text}" if step.when else ""
        yield indent + clean(f"{name}: {what}{more}", 1000)
        yield from _tree(step.body, indent + "  ")


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="A name, or a path to a YAML file.")],
    new: Annotated[str, typer.Argument(help="Another.")],
) -> None:
    """What differs between two procedures by meaning; nothing where they do the same."""
    from company.progress import clean
    from company.sop.compare import compare
    from company.sop.library import Library, own_folder
    from company.sop.linker import load_procedure

    library = Library(own_folder())
    for line in compare(load_procedure(old, library), load_procedure(new, library)):
        print(clean(line, 1000))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What it is called: small letters, digits, `-` and `_`.")],
    pattern: Annotated[str, typer.Option("--from", help="The procedure to begin with.")] = "reflection",
) -> None:
    """Write a procedure of your own, sops/NAME.yaml, from one that there is."""
    from company.sop.library import own_folder, show
    from company.sop.own import begin

    path, found, shadows = begin(name, pattern, own_folder() or Path.cwd())
    print(f"wrote {show(path)} from `{found.name}`; its roles and prompts are those of the library")
    if shadows:
        print(f"in this project it takes the place of {show(shadows)}")
    print(f"edit it, then: company sop check {name}")
    print(f'               company run "…" --sop {name} --dry-run')


@app.command()
def schema(
    out: Annotated[Path | None, typer.Argument(help="A file to write; standard output by default.")] = None,
) -> None:
    """The JSON Schema of procedures, for editors that complete and validate YAML."""
    from company.paths import disk_errors
    from company.sop.library import Library, own_folder
    from company.sop.schema import schema_text

    library = Library(own_folder())
    text = schema_text(library.roles, library.sops())
    if out is None:
        print(text, end="")
        return
    with disk_errors("write the schema", out):
        out.write_text(text, "utf-8")


cli_check.add_to(app)
