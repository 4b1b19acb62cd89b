"""The roles, models and tools that a procedure names: found, merged, and checked before a token is spent.

Where files lie: `library.py`. Prompts: `templates.py`.
"""

from __future__ import annotations

import re

from company.sop import tool_names
from company.sop.diagnostics import Diagnostics, Span, did_you_mean, listing
from company.sop.library import Library
from company.sop.loader import Node, load
from company.sop.procedure import Role
from company.sop.spec import TIERS, RoleSpec, read, read_limits


def check_model(text: str, span: Span, report: Diagnostics) -> None:
    """A model is a tier or ``provider:model``; which providers there are is known when the run is set up."""
    if text not in TIERS and not re.fullmatch(r"[A-Za-z0-9_.-]+:\S+", text):
        label = did_you_mean(text, TIERS, "write a tier or `provider:model`")
        report.error("SOP404", f"there is no model tier `{text}`", span, label, f"the tiers are {listing(TIERS)}")


def check_tool(text: str, span: Span, report: Diagnostics) -> None:
    """A tool is one of ours, or a server of `company.toml`; which servers there are is known when the run is set up."""
    if not tool_names.known(text):
        label, ours = did_you_mean(text, tool_names.BUILT_IN), listing(tool_names.BUILT_IN)
        report.error("SOP406", f"there is no tool `{text}`", span, label, f"there are {ours} and `mcp.SERVER`")


class Roles:
    """The roles of one procedure: files of the library with the inline `roles:` merged over them."""

    def __init__(self, library: Library, inline: Node | None, report: Diagnostics) -> None:
        self._library = library
        self._report = report
        self._inline = dict(inline.entries) if inline else {}
        self._known: dict[str, Role | None] = {}
        self.texts: dict[str, str] = {}
        """Path to text of the files that were read, for the procedure's digest."""
        self.limited: dict[str, tuple[Node, dict[str, float]]] = {}
        """Where the limits of roles that were asked for are written, and what they are."""
        self._specs = {name: self._spec(name, entry.node) for name, entry in self._inline.items()}

    def get(self, name: str, span: Span) -> Role | None:
        """A role by name, or None after reporting why not (a role's own mistakes once)."""
        if name not in self._known and not self._exists(name):
            self._missing(name, span)
            return None
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    @property
    def unused(self) -> list[tuple[str, Span]]:
        """Inline roles that were never asked for."""
        return [(name, entry.key) for name, entry in self._inline.items() if name not in self._known]

    def _exists(self, name: str) -> bool:
        return name in self._inline or name in self._library.roles

    def _missing(self, name: str, span: Span) -> None:
        known = sorted({*self._library.roles, *self._inline})
        label, notes = did_you_mean(name, known), [self._library.tried(f"roles/{name}.yaml")]
        if not label:
            notes.insert(0, f"the roles are {listing(known)}")
            title = name.replace("_", " ").title()
            notes.append(f"a new one is two lines in `roles/{name}.yaml`: `title: {title}` and `profile: You …`")
        self._report.error("SOP401", f"there is no role `{name}`", span, label, *notes)

    def _read(self, name: str) -> Role | None:
        limits: dict[str, float] = {}
        base, place = RoleSpec(), self._inline[name].key if name in self._inline else None
        source = self._library.role(name)
        if source:
            self.texts[f"roles/{name}.yaml"] = source.text
            root = load(source, self._report)
            found = self._spec(name, root) if root else None
            if not found:
                return None
            base, place = found, place or source.whole()
            limits |= self._limits(name, root)
        inline = self._specs.get(name, RoleSpec())
        if not inline or not place:
            return None
        merged = {**base.model_dump(exclude_none=True), **inline.model_dump(exclude_none=True)}
        for key in ("title", "profile"):
            if key not in merged:
                self._report.error("SOP302", f"the role `{name}` has no `{key}`", place, f"add `{key}:`")
                return None
        merged["tools"] = tuple(merged.get("tools", ()))
        merged["limits"] = limits | (self._limits(name, self._inline[name].node) if name in self._inline else {})
        return Role(name=name, **merged)

    def _limits(self, name: str, node: Node | None) -> dict[str, float]:
        if not node or "limits" not in node.entries:
            return {}
        found = read_limits(node, self._report)
        self.limited[name] = node, found
        return found

    def _spec(self, name: str, node: Node) -> RoleSpec | None:
        if not node.is_map:
            self._report.error("SOP303", f"the role `{name}` must be a mapping", node.span)
            return None
        found = read(RoleSpec, node, self._report, f"the role `{name}`")
        model = node.get("model")
        if found and found.model and model:
            check_model(found.model, model.span, self._report)
        tools, before = node.get("tools"), self._report.failed
        for item in tools.listed if found and tools else []:
            check_tool(item.text, item.span, self._report)
        return found if before == self._report.failed else None
