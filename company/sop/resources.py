"""The roles and prompts that a procedure names: found, merged, and checked before a token is spent.

Where files lie: `library.py`. Rendering a prompt: `company/prompts.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from company.sop import tool_names
from company.sop.diagnostics import Diagnostics, Span, closest, did_you_mean, listing
from company.sop.library import PROMPT_SUFFIX, SLUG, Library, show
from company.sop.loader import Node, load
from company.sop.procedure import Role
from company.sop.spec import TIERS, RoleSpec, read

OPTIONAL = re.compile(r"\{#-?\s*optional:([\w\s,]*?)-?#\}")
"""A template's first line may name the variables that it can do without."""
ALWAYS = {"role"}
"""Variables that every template has."""


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
        base, place = RoleSpec(), self._inline[name].key if name in self._inline else None
        source = self._library.role(name)
        if source:
            self.texts[f"roles/{name}.yaml"] = source.text
            root = load(source, self._report)
            found = self._spec(name, root) if root else None
            if not found:
                return None
            base, place = found, place or source.whole()
        inline = self._specs.get(name, RoleSpec())
        if not inline or not place:
            return None
        merged = {**base.model_dump(exclude_none=True), **inline.model_dump(exclude_none=True)}
        for key in ("title", "profile"):
            if key not in merged:
                self._report.error("SOP302", f"the role `{name}` has no `{key}`", place, f"add `{key}:`")
                return None
        merged["tools"] = tuple(merged.get("tools", ()))
        return Role(name=name, **merged)

    def _spec(self, name: str, node: Node) -> RoleSpec | None:
        if not node.is_map:
            self._report.error("SOP303", f"the role `{name}` must be a mapping", node.span)
            return None
        found = read(RoleSpec, node, self._report, f"the role `{name}`")
        model = node.get("model")
        if found and found.model and model:
            check_model(found.model, model.span, self._report)
        tools, before = node.get("tools"), self._report.failed
        for item in (tools.items or [tools]) if found and tools else []:
            check_tool(item.text, item.span, self._report)
        return found if before == self._report.failed else None


@dataclass(frozen=True)
class Template:
    """What a prompt needs, its includes counted in."""

    variables: Mapping[str, str]
    """Each variable it reads, and the place where it does so first."""
    optional: frozenset[str] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)
    """Name below `prompts/` to text, of the template and its includes."""
    problems: tuple[str, ...] = ()


class Templates:
    """The prompts of the library, analysed once each."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[str, Template] = {}

    @cached_property
    def _globals(self) -> set[str]:
        return set(self._library.templates.globals)

    def get(self, name: str) -> Template:
        """The template ``prompts/<name>``; what is wrong with it is in its `problems`."""
        if name not in self._known:
            variables: dict[str, str] = {}
            optional: set[str] = set()
            texts: dict[str, str] = {}
            problems: list[str] = []
            self._analyse(name, frozenset(), variables, optional, texts, problems)
            self._known[name] = Template(variables, frozenset(optional), texts, tuple(problems))
        return self._known[name]

    def _analyse(
        self,
        name: str,
        bound: frozenset[str],
        variables: dict[str, str],
        optional: set[str],
        texts: dict[str, str],
        problems: list[str],
    ) -> None:
        """Add what a template and its includes read; `bound` are the names that its includers set."""
        import jinja2
        from jinja2 import meta, nodes

        env = self._library.templates
        try:
            text, file, _ = env.loader.get_source(env, name)  # type: ignore[union-attr]  # the library sets a loader
            place = show(self._library.folders[0].__class__(file or name))
            texts[name] = text
            tree = env.parse(text, name)
            names = meta.find_undeclared_variables(tree)
        except jinja2.TemplateNotFound:
            problems.append(f"there is no template `prompts/{name}`")
            return
        except jinja2.TemplateSyntaxError as error:
            problems.append(f"{place}:{error.lineno}: {error.message}")
            return
        except (UnicodeDecodeError, OSError, RecursionError) as error:
            problems.append(f"`prompts/{name}` cannot be read: {error}")
            return
        if declared := OPTIONAL.match(text):
            optional.update(declared[1].replace(",", " ").split())
        lines = {node.name: node.lineno for node in reversed(list(tree.find_all(nodes.Name))) if node.ctx == "load"}
        for variable in sorted(names - bound - self._globals - ALWAYS):
            variables.setdefault(variable, f"{place}:{lines.get(variable, 1)}")
        bound |= {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}
        for node in tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
            target: nodes.Expr = node.template  # type: ignore[attr-defined]  # all four have it
            if not (isinstance(target, nodes.Const) and isinstance(target.value, str)):
                problems.append(f"{place}:{node.lineno}: what is included must be written as text")
            elif target.value not in texts:
                self._analyse(target.value, bound, variables, optional, texts, problems)


def check_prompt(
    template: Template,
    prompt: str,
    named: Span,
    place: Span,
    given: Mapping[str, Span],
    scope: Mapping[str, object],
    report: Diagnostics,
) -> None:
    """Compare what a prompt reads with a step's `in:`; `named` and `place`: where it is named, where the `in:` is."""
    for problem in template.problems:
        report.error("SOP405", f"the prompt `{prompt}` cannot be read", named, "", problem)
    for variable, where in template.variables.items():
        if variable in given or variable in template.optional:
            continue
        near = closest(variable, [name for name in given if name not in template.variables])
        label = f"did you mean `{near}`?" if near else f"add `{variable}`" if variable in scope else ""
        message = f"the prompt `{prompt}` needs `{variable}`, which is not in `in:`"
        way = f"or let the template do without it: `{{# optional: {variable} #}}` as its first line"
        report.error("SOP701", message, place, label, f"read at {where}", way)
    if template.problems:
        return
    for name, span in given.items():
        if name not in template.variables:
            report.warning("SOP702", f"the prompt `{prompt}` does not use `{name}`", span)


def prompt_missing(library: Library, role: str, prompt: str, span: Span, report: Diagnostics) -> None:
    """Report that a role has no such prompt."""
    known = library.prompts(role) if SLUG.fullmatch(role) else {}
    notes = [library.tried(f"prompts/{role}/{prompt}{PROMPT_SUFFIX}")]
    label = did_you_mean(prompt, known)
    if not label:
        notes.insert(0, f"`{role}` has the prompts {listing(known)}" if known else f"`{role}` has no prompts")
    report.error("SOP402", f"there is no prompt `{role}/{prompt}`", span, label, *notes)
