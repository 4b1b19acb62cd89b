"""`company sop check` and `company sop explain`: what is wrong with procedures and settings, and what a code means.

The checker: `sop/linker.py`; the texts of the codes: `sop/explain.py`. Other commands of `company sop`: `cli_sop.py`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from company.errors import SopError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from company.sop.library import Library
    from company.sop.procedure import Procedure


def add_to(app: typer.Typer) -> None:
    """Add the two commands."""
    app.command()(check)
    app.command()(explain)


@dataclass
class _Checked:
    """What was found out about one file: `findings` as `Diagnostic.data()`, `said` as text for people."""

    name: str
    path: str | None
    worst_calls: int | None = None
    findings: list[dict[str, Any]] = field(default_factory=list)
    said: str = ""

    def passes(self, strict: bool) -> bool:
        return not any(strict or finding["severity"] == "error" for finding in self.findings)

    def data(self, strict: bool) -> dict[str, Any]:
        return {
            "name": self.name,
            "path": self.path,
            "ok": self.passes(strict),
            "worst_calls": self.worst_calls,
            "diagnostics": self.findings,
        }


def check(
    files: Annotated[list[str] | None, typer.Argument(help="Names or paths; every procedure by default.")] = None,
    strict: Annotated[bool, typer.Option(help="Warnings count as mistakes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for editors.")] = False,
) -> None:
    """Check procedures, and the project's company.toml; exit status 2 where one has a mistake."""
    from company.sop.library import Library, own_folder
    from company.terminal import harmless

    library = Library(own_folder())
    settings = _settings()
    procedures = [_procedure(name, library) for name in files or [*library.sops()]]
    every = [*procedures, *([settings] if settings else [])]
    if as_json:
        found: dict[str, Any] = {"procedures": [checked.data(strict) for checked in procedures]}
        if settings:
            found["settings"] = settings.data(strict)
        print(json.dumps(found))
    else:
        for checked in every:
            if checked.said:
                print(harmless(checked.said) + "\n", file=sys.stderr)
            if checked.passes(strict) and checked is not settings:
                print(harmless(f"{checked.name}: checks, {checked.worst_calls} model calls in the worst case"))
        code = next((finding["code"] for checked in every for finding in checked.findings if finding["code"]), None)
        if code:
            print(f"hint: `company sop explain {code}` shows such a mistake, and how it is mended", file=sys.stderr)
    if not all(checked.passes(strict) for checked in every):
        sys.exit(2)


def _procedure(name: str, library: Library) -> _Checked:
    from company.sop.diagnostics import render
    from company.sop.library import is_path, show
    from company.sop.linker import load_procedure

    try:
        procedure = load_procedure(name, library)
    except SopError as error:
        return _Checked(name, error.place, None, [found.data() for found in error.diagnostics], error.report)
    except UsageError as error:
        return _unreadable(name, error, name if is_path(name) else None)
    warnings = procedure.warnings
    findings, said = [found.data() for found in warnings], render(warnings) if warnings else ""
    checked = _Checked(name, show(procedure.path), procedure.worst_calls, findings, said)
    for missing in not_there(procedure):
        wrong = _unreadable(name, missing, checked.path)
        checked.findings += wrong.findings
        checked.said = "\n\n".join(filter(None, [checked.said, wrong.said]))
    return checked


def not_there(procedure: Procedure) -> Iterator[UsageError]:
    """What the steps name and the project's settings do not have: providers of models, servers of tools."""
    from company.llm.providers import check_provider
    from company.settings import load_settings
    from company.sop.tool_names import server_of

    try:
        settings = load_settings()
    except UsageError:
        return  # reported with company.toml
    for step in procedure.walk():
        place = f"{step.span.path}:{step.span.line}"
        for called in filter(None, step.models):
            try:
                check_provider(settings.model_for(called, settings.model), settings)
            except UsageError as error:
                yield UsageError(f"`{called}`: {error.message}", place=place, hint=error.hint)
        for server in filter(None, map(server_of, step.tools)):
            if server not in settings.mcp:
                yield UsageError(
                    f"there is no MCP server `{server}`", place=place, hint=f"declare [mcp.{server}] in company.toml"
                )


def _settings() -> _Checked | None:
    """The project's company.toml; None where there is none."""
    from company.settings import load_settings
    from company.sop.library import SETTINGS, own_folder, show

    folder = own_folder()
    if not folder or not (folder / SETTINGS).is_file():
        return None
    path = show(folder / SETTINGS)
    try:
        load_settings()
    except UsageError as error:
        return _unreadable(SETTINGS, error, path)
    return _Checked(SETTINGS, path)


def _unreadable(name: str, error: UsageError, path: str | None) -> _Checked:
    """A mistake that the checker has no code for: the file is not there, cannot be read, or is no settings file."""
    place, _, line = error.place.rpartition(":")
    if not line.isdecimal():
        place, line = error.place, "1"
    finding = {
        "severity": "error", "code": None, "message": error.message, "path": place or path,
        "line": int(line), "column": 1, "end_line": int(line), "end_column": 2, "label": "",
        "notes": [error.hint] if error.hint else [],
    }  # fmt: skip
    said = f"error: {error}" + (f"\n\nhint: {error.hint}" if error.hint else "")
    return _Checked(name, path, None, [finding], said)


def explain(
    code: Annotated[str, typer.Argument(help="A code such as SOP204, or 204; all are listed by default.")] = "",
) -> None:
    """What a code of the checker means: why it is a mistake, a wrong example and the right one."""
    from company.sop.diagnostics import CODES
    from company.sop.explain import explanation

    if not code:
        for known, about in CODES.items():
            print(f"{known}  {about}")
        return
    print(explanation(code), end="")
