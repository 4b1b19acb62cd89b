"""`company sop …`: the procedures there are, what one does and costs, a new one, and what differs between two.

Checking and explaining: `cli_check.py`. The drawing: `sop/diagram.py`, `sop/svg.py`; the numbers: `sop/estimate.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company import cli_check
from company.errors import UsageError

if TYPE_CHECKING:
    from company.sop.estimate import Range
    from company.sop.procedure import Procedure, Step

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
    from company.progress import clean
    from company.sop.diagram import edges, mermaid
    from company.sop.library import Library, own_folder
    from company.sop.linker import load_procedure
    from company.sop.svg import svg

    procedure = load_procedure(name, Library(own_folder()))
    if form is not Format.text:
        print(mermaid(procedure) if form is Format.mermaid else svg(procedure), end="")
        return
    estimated = _estimate(procedure, model)  # before anything is printed: the model's name may be wrong
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
    for line in estimated:
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


def _estimate(procedure: Procedure, chosen: str) -> list[str]:
    """A line for each model that the steps use, and what was assumed of a local one's speed."""
    from company.llm.providers import check_provider, price_of
    from company.progress import clean
    from company.settings import load_settings
    from company.sop.estimate import LOCAL_READ, LOCAL_WRITE, Estimate, estimate
    from company.terminal import duration

    settings = load_settings()
    used: dict[str, Estimate] = {}
    for called, part in estimate(procedure).items():
        name = settings.model_for(called, chosen or settings.model)
        check_provider(name, settings)
        used[name] = used.get(name, Estimate()) + part
    lines = []
    for name, found in used.items():
        price = price_of(name, settings)
        if name.startswith("local:"):
            spent, so = found.seconds(), f"at {LOCAL_READ} tokens/s read and {LOCAL_WRITE} written on two cores"
            cost = f"no money, {_from_to(duration(spent.least), duration(spent.most))} {so}"
        elif price is None:
            cost = "price unknown"
        else:
            paid = found.prompt.times(price.input / 1e6) + found.reply.times(price.output / 1e6)
            cost = _from_to(f"${paid.least:.4f}", f"${paid.most:.4f}")
        calls = _from_to(f"{found.calls.least:g}", f"{found.calls.most:g}")
        tokens = f"tokens {_tokens(found.prompt)} read, {_tokens(found.reply)} written"
        lines.append(f"{clean(name)}: calls {calls}; {tokens}; {cost}")
    return lines or ["no model is asked"]


def _from_to(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def _tokens(found: Range) -> str:
    """With two digits that count: more would promise too much."""
    return _from_to(*(f"{float(f'{end:.2g}'):.0f}" for end in (found.least, found.most)))


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
    from company.paths import disk_errors
    from company.sop.diagnostics import SourceText
    from company.sop.library import SLUG, Library, own_folder, show
    from company.sop.linker import link, load_procedure
    from company.sop.loader import renamed

    if not SLUG.fullmatch(name) or len(name) > 60:
        raise UsageError(f"`{name}` is no name for a procedure", hint="small letters, digits, `-` and `_`; 60 at most")
    project = own_folder() or Path.cwd()
    library = Library(project)
    found = load_procedure(pattern, library)
    folder = project / "sops"
    path, for_editors = folder / f"{name}.yaml", folder / "sop-1.json"
    if path.exists():
        raise UsageError("there is a procedure already, and nothing is ever overwritten", place=show(path))
    text = renamed(SourceText(found.path, found.name, found.text), name)
    link(SourceText(path, show(path), text), library)  # a pattern given by path may need roles that lie beside it alone
    shadows = library.sops().get(name)
    with disk_errors("write the procedure", path):
        folder.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        if not for_editors.exists():
            for_editors.write_text(_schema_text(), "utf-8")
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

    if out is None:
        print(_schema_text(), end="")
        return
    with disk_errors("write the schema", out):
        out.write_text(_schema_text(), "utf-8")


def _schema_text() -> str:
    from company.sop.library import Library, own_folder
    from company.sop.schema import json_schema

    library = Library(own_folder())
    return json.dumps(json_schema(library.roles, library.sops()), indent=1) + "\n"


cli_check.add_to(app)
