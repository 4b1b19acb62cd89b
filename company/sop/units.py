"""The files of one procedure: its own and those of the procedures that it uses, each read once.

What is in them: `declares.py` (types), `resources.py` (roles), `steps.py`. Who links them: `linker.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from company.errors import UsageError
from company.sop.declares import Declares, declared_artifacts, type_of
from company.sop.diagnostics import Diagnostics, SourceText, Span, did_you_mean, listing
from company.sop.library import SLUG, Library
from company.sop.loader import Node, load
from company.sop.references import Resolver
from company.sop.resources import Roles
from company.sop.scopes import Explainer, Scope
from company.sop.spec import Sop, read
from company.sop.types import STR, UNKNOWN, ArtifactType, Type


@dataclass(frozen=True)
class Unit:
    """One file, and what its steps are linked with."""

    name: str
    source: SourceText
    root: Node
    spec: Sop | None
    """What the file says at its top; None where that has mistakes, which are reported."""
    roles: Roles
    declares: Declares
    resolve: Resolver
    inputs: dict[str, Type]

    @property
    def steps(self) -> Node | None:
        """The block of its steps, where it is one."""
        node = self.root.get("steps")
        return node if node and node.is_map else None

    def scope(self, prefix: str = "") -> Scope:
        """What its top-level steps see before the first of them: its inputs."""
        scope = Scope(prefix, self.steps, self.declares)
        scope.names.update(self.inputs)
        return scope


class Units:
    """Reads procedures for one linking; every mistake is reported once."""

    def __init__(self, library: Library, report: Diagnostics) -> None:
        self._library = library
        self._report = report
        self._known: dict[str, Unit | None] = {}
        self._typing: list[str] = []
        self._types: dict[str, Type] = {}
        self.artifacts: dict[str, type] = {}
        """Every declared artifact by name."""

    def open(self, source: SourceText, name: str) -> Unit | None:
        """The procedure of a source; None after reporting that there is none in it."""
        root = load(source, self._report)
        if not root:
            return None
        spec = read(Sop, root, self._report, "the procedure")
        types = declared_artifacts(root.get("artifacts"), self._report)
        for called, kind in types.items():
            model = kind.declared if isinstance(kind, ArtifactType) else None
            if model and self.artifacts.setdefault(called, model) is not model:
                entry = root.entries["artifacts"].node.entries[called]
                message = f"another procedure of this run declares `{called}` with other fields"
                self._report.error("SOP309", message, entry.key, "give one of them another name")
        roles, steps = root.get("roles"), root.get("steps")
        resolve = Resolver(Explainer(steps if steps else Node({}, root.span)), types, self._report)
        unit = Unit(
            name=name,
            source=source,
            root=root,
            spec=spec,
            roles=Roles(self._library, roles if roles and roles.is_map else None, self._report),
            declares=Declares(types, self._gives),
            resolve=resolve,
            inputs=self._inputs(root, resolve, types),
        )
        if spec and not spec.steps:
            self._report.error("SOP302", "the procedure has no steps", root.place("steps"))
        return unit

    def used(self, name: str, span: Span) -> Unit | None:
        """The procedure that a `use:` names, or None after reporting why not."""
        if not self._is_there(name):
            known = self._library.sops()
            stem = Path(name).stem
            label = f"write `{stem}`" if stem != name and stem in known else did_you_mean(name, known)
            notes = [f"there are {listing(known)}"] if not label else []
            tried = self._library.tried(f"sops/{name}.yaml") if stem == name else ""
            self._report.error("SOP408", f"there is no procedure `{name}`", span, label, *notes, tried)
            return None
        if name not in self._known:
            try:
                self._known[name] = self.open(self._library.sop(name), name)
            except UsageError as error:
                self._report.error("SOP408", f"the procedure `{name}` cannot be read: {error.message}", span)
                self._known[name] = None
        return self._known[name]

    def _gives(self, name: str) -> Type:
        """What a procedure gives where it is used; unknown where it cannot be used."""
        if name in self._types:
            return self._types[name]
        if name in self._typing or not self._is_there(name):
            return UNKNOWN
        unit = self.used(name, Span("", 1, 1, 1, 2))
        if not unit or not unit.steps:
            return UNKNOWN
        self._typing.append(name)
        self._types[name] = unit.declares.block(unit.steps)
        self._typing.pop()
        return self._types[name]

    def _is_there(self, name: str) -> bool:
        return name in self._known or bool(SLUG.fullmatch(name) and name in self._library.sops())

    def _inputs(self, root: Node, resolve: Resolver, types: dict[str, Type]) -> dict[str, Type]:
        node = root.get("inputs")
        if not node or not node.is_map:
            return {"requirement": STR}
        found = {}
        for name, entry in node.entries.items():
            resolve.name(name, entry.key, None)
            found[name] = type_of(entry.node, types, self._report)
        return found
