"""Links a procedure: every name resolved, every type checked, or all diagnostics at once.

What it gives: `procedure.py`. The files: `units.py`; steps: `steps.py`, `work.py`; roles and prompts: `resources.py`;
what needs the whole: `checks.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from company.errors import SopError
from company.sop import checks
from company.sop.diagnostics import Diagnostics, SourceText, render
from company.sop.library import Library, is_path
from company.sop.procedure import Input, Procedure, Role, Step
from company.sop.scopes import Uses
from company.sop.spec import DeliverSpec, Spec, read, read_limits
from company.sop.steps import StepLinker
from company.sop.units import Unit, Units

__all__ = ["Input", "Procedure", "Role", "Step", "link", "load_procedure"]
S = TypeVar("S", bound=Spec)


def load_procedure(name_or_path: str, library: Library) -> Procedure:
    """Find, read and link a procedure by its name or path.

    Raises:
        UsageError: there is none, or it cannot be read.
        SopError: it does not check; `diagnostics` and `report` hold everything that was found.
    """
    source = library.sop(name_or_path)
    return link(source, library.beside(source.path) if is_path(name_or_path) else library)


def link(source: SourceText, library: Library) -> Procedure:
    """Link a procedure's source.

    Raises:
        SopError: it does not check; `diagnostics` and `report` hold everything that was found.
    """
    report = Diagnostics()
    procedure = _Linker(source, library, report).link()
    errors = report.errors()
    if errors or not procedure:
        count = f"{len(errors)} mistake{'s' if len(errors) != 1 else ''}"
        found = (*errors, *report.warnings())
        raise SopError(
            f"the procedure has {count}",
            report=render(found),
            diagnostics=found,
            place=source.shown,
            hint=f"`company sop explain {errors[0].code if errors else ''}` shows such a mistake, and how it is mended",
        )
    return procedure


class _Linker:
    """One pass over one procedure, top to bottom; every part reports what is wrong and goes on."""

    def __init__(self, source: SourceText, library: Library, report: Diagnostics) -> None:
        self._source = source
        self._library = library
        self._report = report
        self._units = Units(library, report)

    def link(self) -> Procedure | None:
        report = self._report
        stem = self._source.path.name.split(".")[0]
        unit = self._units.open(self._source, stem)
        if not unit:
            return None
        unit = replace(unit, name=(unit.spec.name if unit.spec else None) or stem)
        if unit.spec and unit.spec.name and unit.spec.name != stem:
            message = f"the procedure is called `{unit.spec.name}`, and its file `{self._source.path.name}`"
            label = f"`--sop` finds it as `{stem}`: write that, or leave `name` out"
            report.warning("SOP310", message, unit.root.place("name"), label)
        linker = StepLinker(self._library, unit, self._units, report)
        scope = unit.scope()
        limits = read_limits(unit.root, report)
        self._part(unit, DeliverSpec, "deliver")
        steps, uses = linker.block(unit.steps, scope) if unit.steps else ((), Uses())
        accept, judged = None, Uses()
        deliver = unit.root.get("deliver")
        if deliver and deliver.is_map:
            accept = unit.resolve.condition(deliver.get("accept"), scope, "deliver", judged)
            uses.add(judged)
        every = (uses, *linker.uses.values())
        reads = frozenset(read.replace("@prev.", "") for one in every for read in one.reads)
        roles = [unit.roles, *(used.roles for used in linker.units.values())]
        if not report.failed:
            idle = [one for each in roles for one in each.unused]
            checks.unused(steps, reads, idle, report)
            if accept:
                checks.stale(steps, accept, judged, linker.uses, report)
        worst = checks.calls(steps, limits.get("calls"), unit.root.place("limits", "calls"), report)
        checks.limits(steps, limits, linker.limited, report)
        for used in roles:
            checks.role_limits(used.limited, limits, report)
        if not unit.spec or report.errors():
            return None
        sources = {f"sops/{name}.yaml": used.source.text for name, used in linker.units.items()}
        for each in roles:
            sources |= each.texts
        sources |= linker.work.prompts
        return Procedure(
            name=unit.spec.name or stem,
            description=unit.spec.description,
            path=self._source.path,
            text=self._source.text,
            digest=_digest(self._source.text, sources),
            sources=sources,
            inputs=unit.inputs,
            limits=limits,
            steps=steps,
            accept=accept,
            roles={role.name: role for top in steps for step in top.walk() for role in step.workers},
            artifacts=self._units.artifacts,
            reads=reads.union(*(one.writes for one in every)),
            judges=frozenset(judged.reads),
            histories=frozenset(uses.histories),
            worst_calls=worst,
            warnings=tuple(report.warnings()),
        )

    def _part(self, unit: Unit, model: type[S], key: str) -> S | None:
        node = unit.root.get(key)
        return read(model, node, self._report, f"`{key}`") if node and node.is_map else None


def _digest(text: str, sources: Mapping[str, str]) -> str:
    sha = hashlib.sha256(text.encode())
    for name, source in sorted(sources.items()):
        sha.update(f"\0{name}\0{source}".encode())
    return sha.hexdigest()
