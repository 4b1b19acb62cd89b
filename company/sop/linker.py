"""Links a procedure: every name resolved, every type checked, or all diagnostics at once.

What it gives: `procedure.py`. Steps: `steps.py`; roles and prompts: `resources.py`; what needs the whole:
`checks.py`.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

from company.errors import SopError
from company.sop import checks
from company.sop.diagnostics import Diagnostics, SourceText, render
from company.sop.library import Library, is_path
from company.sop.loader import Node, load
from company.sop.procedure import Input, Limits, Procedure, Role, Step
from company.sop.references import Resolver
from company.sop.resources import Roles
from company.sop.scopes import Explainer, Scope, Uses
from company.sop.spec import NOT_RUN_YET, DeliverSpec, LimitsSpec, Sop, Spec, read, refuse_not_run
from company.sop.steps import StepLinker
from company.sop.types import STR, Type

__all__ = ["Input", "Limits", "Procedure", "Role", "Step", "link", "load_procedure"]
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
    root = load(source, report)
    procedure = _Linker(source, library, report, root).link() if root else None
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
    """One pass over one procedure, top to bottom; every method reports what is wrong and goes on."""

    def __init__(self, source: SourceText, library: Library, report: Diagnostics, root: Node) -> None:
        self._source = source
        self._report = report
        self._root = root
        roles, steps = root.get("roles"), root.get("steps")
        self._roles = Roles(library, roles if roles and roles.is_map else None, report)
        self._resolve = Resolver(Explainer(steps if steps else Node({}, root.span)), report)
        self._steps = StepLinker(library, self._roles, self._resolve, report)

    def link(self) -> Procedure | None:
        root, report = self._root, self._report
        sop = read(Sop, root, report, "the procedure")
        refuse_not_run(root, report, NOT_RUN_YET)
        steps_node = root.get("steps")
        scope = Scope("", steps_node)
        scope.names.update(self._inputs())
        limits = self._part(LimitsSpec, "limits")
        self._part(DeliverSpec, "deliver")
        steps, uses = self._steps.block(steps_node, scope) if steps_node and steps_node.is_map else ((), Uses())
        accept = None
        deliver_node = root.get("deliver")
        if deliver_node and deliver_node.is_map:
            refuse_not_run(deliver_node, report, {"include"})
            accept = self._resolve.condition(deliver_node.get("accept"), scope, "deliver", uses)
        stem = self._source.path.name.split(".")[0]
        if sop and sop.name and sop.name != stem:
            message = f"the procedure is called `{sop.name}`, and its file `{self._source.path.name}`"
            label = f"`--sop` finds it as `{stem}`: write that, or leave `name` out"
            report.warning("SOP310", message, root.place("name"), label)
        if sop and not sop.steps:
            report.error("SOP302", "the procedure has no steps", root.place("steps"))
        if not report.failed:
            checks.unused(steps, self._steps.uses, uses, self._roles.unused, report)
        bounds = Limits(**limits.model_dump()) if limits else Limits()
        worst = checks.calls(steps, bounds.calls, root.place("limits", "calls"), report)
        if not sop or report.errors():
            return None
        return Procedure(
            name=sop.name or stem,
            description=sop.description,
            path=self._source.path,
            text=self._source.text,
            digest=self._digest(),
            sources=self._sources(),
            inputs=dict(scope.names),
            limits=bounds,
            steps=steps,
            accept=accept,
            roles={step.role.name: step.role for top in steps for step in top.walk() if step.role},
            worst_calls=worst,
            warnings=tuple(report.warnings()),
        )

    def _digest(self) -> str:
        sha = hashlib.sha256(self._source.text.encode())
        for name, text in sorted(self._sources().items()):
            sha.update(f"\0{name}\0{text}".encode())
        return sha.hexdigest()

    def _sources(self) -> dict[str, str]:
        return {**self._roles.texts, **self._steps.prompts}

    def _part(self, model: type[S], key: str) -> S | None:
        node = self._root.get(key)
        return read(model, node, self._report, f"`{key}`") if node and node.is_map else None

    def _inputs(self) -> dict[str, Type]:
        node = self._root.get("inputs")
        if not node or not node.is_map:
            return {"requirement": STR}
        found = {}
        for name, entry in node.entries.items():
            self._resolve.name(name, entry.key, None)
            found[name] = self._resolve.type(entry.node)
        return found
