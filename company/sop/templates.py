"""The prompts that a procedure names: what each reads, held against what its step gives, down to the fields of artifacts.

Where they lie: `library.py`. Rendering one: `company/prompts.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from company.sop.diagnostics import Diagnostics, SourceText, Span, closest, did_you_mean, listing
from company.sop.library import PROMPT_SUFFIX, SLUG, Library, show
from company.sop.types import (
    STR,
    TEST_RUN,
    ArtifactType,
    DictOf,
    ListOf,
    Nullable,
    Record,
    Scalar,
    Skipped,
    Type,
    Unknown,
)

if TYPE_CHECKING:
    from jinja2 import nodes

OPTIONAL = re.compile(r"\{#-?\s*optional:([\w\s,]*?)-?#\}")
"""A template's first line may name the variables that it can do without."""
ROLE = Record(dict.fromkeys(("name", "title", "profile", "model", "temperature"), STR))
"""What every template has as `role`."""
FAILING = "|failing"
"""Among the parts of a path: the filter that shows what fails in a test run."""
EACH = "[]"
"""Among the parts of a path: one entry of a list."""


class FieldRead(NamedTuple):
    """A variable, and the fields of it that a template reads one after another."""

    parts: tuple[str, ...]
    source: SourceText
    line: int


@dataclass
class Template:
    """What a prompt needs, its includes counted in."""

    variables: dict[str, str] = field(default_factory=dict)
    """Each variable it reads, and the place where it does so first."""
    optional: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    """Name below `prompts/` to text, of the template and its includes."""
    fields: list[FieldRead] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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
            self._known[name] = Template()
            self._analyse(name, frozenset(), self._known[name])
        return self._known[name]

    def _analyse(self, name: str, bound: frozenset[str], found: Template) -> None:
        """Add what a template and its includes read; `bound` are the names that its includers set."""
        import jinja2
        from jinja2 import meta, nodes

        env = self._library.templates
        try:
            text, file, _ = env.loader.get_source(env, name)  # type: ignore[union-attr]  # the library sets a loader
            place = show(Path(file or name))
            found.texts[name] = text
            tree = env.parse(text, name)
            names = meta.find_undeclared_variables(tree)
            source = SourceText(Path(file or name), place, text)
            found.fields += [FieldRead(parts, source, line) for parts, line in _paths(tree, dict.fromkeys(bound))]
        except jinja2.TemplateNotFound:
            found.problems.append(f"there is no template `prompts/{name}`")
            return
        except jinja2.TemplateSyntaxError as error:
            found.problems.append(f"{place}:{error.lineno}: {error.message}")
            return
        except (UnicodeDecodeError, OSError, RecursionError) as error:
            found.problems.append(f"`prompts/{name}` cannot be read: {error}")
            return
        if declared := OPTIONAL.match(text):
            found.optional.update(declared[1].replace(",", " ").split())
        lines = {node.name: node.lineno for node in reversed(list(tree.find_all(nodes.Name))) if node.ctx == "load"}
        for variable in sorted(names - bound - self._globals - {"role"}):
            found.variables.setdefault(variable, f"{place}:{lines.get(variable, 1)}")
        bound |= {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}
        for node in tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
            target: nodes.Expr = node.template  # type: ignore[attr-defined]  # all four have it
            if not (isinstance(target, nodes.Const) and isinstance(target.value, str)):
                found.problems.append(f"{place}:{node.lineno}: what is included must be written as text")
            elif target.value not in found.texts:
                self._analyse(target.value, bound, found)


Names = Mapping[str, tuple[str, ...] | None]
"""What a name stands for inside a template: a path, or nothing that can be followed."""


def _paths(node: nodes.Node, names: Names) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every dotted path that a template reads from a variable, and its line."""
    from jinja2 import nodes

    if isinstance(node, nodes.For):
        yield from _paths(node.iter, names)
        listed = _path_of(node.iter, names)
        inside = {**names, "loop": None, **dict.fromkeys(each.name for each in node.target.find_all(nodes.Name))}
        if isinstance(node.target, nodes.Name):
            inside[node.target.name] = (*listed, EACH) if listed else None
            if listed:
                yield (*listed, EACH), node.lineno
        for child in (*node.body, *node.else_, *([node.test] if node.test else [])):
            yield from _paths(child, inside)
        return
    if isinstance(node, nodes.Test) or (isinstance(node, nodes.Filter) and node.name in ("default", "d")):
        return  # the template sees to it itself
    if isinstance(node, nodes.If) and (asked := [each.node for each in node.test.find_all(nodes.Test)]):
        seen = [
            name.name for each in asked for name in (each, *each.find_all(nodes.Name)) if isinstance(name, nodes.Name)
        ]
        names = {**names, **dict.fromkeys(seen)}
    if isinstance(node, nodes.Macro | nodes.CallBlock):
        names = {**names, **dict.fromkeys([*(each.name for each in node.args), "caller", "varargs", "kwargs"])}
    elif isinstance(node, nodes.With):
        names = {**names, **dict.fromkeys(each.name for each in node.targets if isinstance(each, nodes.Name))}
    if (
        isinstance(node, nodes.Filter)
        and node.name == FAILING[1:]
        and node.node
        and (path := _path_of(node.node, names))
    ):
        yield (*path, FAILING), node.lineno
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):  # a method: of text, say
        yield from _paths(node.node.node, names)
        children: list[nodes.Node] = [*node.args, *node.kwargs]
    elif isinstance(node, nodes.Getattr) and (path := _path_of(node, names)):
        yield path, node.lineno
        return
    else:
        children = list(node.iter_child_nodes())
    for child in children:
        if isinstance(child, nodes.Assign | nodes.AssignBlock):
            stored = [child.target] if isinstance(child.target, nodes.Name) else child.target.find_all(nodes.Name)
            names = {**names, **dict.fromkeys(each.name for each in stored)}
        yield from _paths(child, names)


def _path_of(node: nodes.Node, names: Names) -> tuple[str, ...] | None:
    from jinja2 import nodes

    if isinstance(node, nodes.Name):
        return names.get(node.name, (node.name,))
    if isinstance(node, nodes.Getattr) and (base := _path_of(node.node, names)):
        return (*base, node.attr)
    return None


def check_prompt(
    template: Template,
    prompt: str,
    named: Span,
    place: Span,
    given: Mapping[str, tuple[Span, Type]],
    scope: Mapping[str, object],
    report: Diagnostics,
) -> None:
    """Compare what a prompt reads with a step's `in:`; `named` and `place`: where it is named, where the `in:` is."""
    for problem in template.problems:
        report.error("SOP405", f"the prompt `{prompt}` cannot be read", named, "", problem)
    idle = [name for name in given if name not in template.variables]
    for variable, where in template.variables.items():
        if variable in given or variable in template.optional:
            continue
        near = closest(variable, idle)
        label = f"did you mean `{near}`?" if near else f"add `{variable}`" if variable in scope else ""
        if not label and len(idle) == 1:
            label = f"if that is `{idle[0]}` here, write `{{{variable}: {idle[0]}}}`"
        message = f"the prompt `{prompt}` needs `{variable}`, which is not in `in:`"
        way = f"or let the template do without it: `{{# optional: {variable} #}}` as its first line"
        report.error("SOP701", message, place, label, f"read at {where}", way)
    if template.problems:
        return
    for name in idle:
        report.warning("SOP702", f"the prompt `{prompt}` does not use `{name}`", given[name][0])
    types = {"role": (named, ROLE), **given}
    for read in template.fields:
        if read.parts[0] in types:
            _check_path(read, *types[read.parts[0]], report)


def _check_path(read: FieldRead, given: Span, kind: Type, report: Diagnostics) -> None:
    """Follow a path through the types; report the first part that is not there."""
    said = read.parts[0]
    for part in read.parts[1:]:
        while isinstance(kind, Nullable | Skipped):
            kind = kind.item
        fields = kind.fields if isinstance(kind, ArtifactType | Record) else {}
        if isinstance(kind, Unknown) or (isinstance(kind, DictOf) and part != EACH):
            return
        if part == FAILING:
            if kind != TEST_RUN:
                _report(read, said, part, kind, {}, given, report)
            return
        if part == EACH and isinstance(kind, ListOf):
            kind, said = kind.item, f"{said}[…]"
        elif part == EACH and (isinstance(kind, DictOf) or kind == STR):
            return
        elif part in fields:
            kind, said = fields[part], f"{said}.{part}"
        else:
            _report(read, said, part, kind, fields, given, report)
            return


def _report(
    read: FieldRead, said: str, part: str, kind: Type, fields: Mapping[str, Type], given: Span, report: Diagnostics
) -> None:
    line = read.source.lines[read.line - 1] if read.line <= len(read.source.lines) else ""
    found = re.search(rf"\.\s*({re.escape(part)})\b", line) if part not in (EACH, FAILING) else None
    start, end = (found.start(1) + 1, found.end(1) + 1) if found else (1, max(2, len(line) + 1))
    report.add_source(read.source)
    span = Span(read.source.shown, read.line, start, read.line, end)
    if part == FAILING:
        message, label = f"`failing` shows a TestRun, and `{said}` is {kind}", "leave the filter out"
    elif part == EACH:
        message, label = f"`{said}` is {kind}, and cannot be gone through", ""
    else:
        what = f"`{said}`" if isinstance(kind, Record) else f"`{said}` is {kind}, which"
        message, label = f"{what} has no `{part}`", did_you_mean(part, fields)
        if isinstance(kind, ListOf):
            label = f"a list: go through it with `{{% for each in {said} %}}`"
    names = [] if label or isinstance(kind, Scalar) or not fields else [f"it has {listing(fields)}"]
    report.error("SOP703", message, span, label, *names, f"given at {given}")


def prompt_missing(library: Library, role: str, prompt: str, span: Span, report: Diagnostics) -> None:
    """Report that a role has no such prompt."""
    known = library.prompts(role) if SLUG.fullmatch(role) else {}
    notes = [library.tried(f"prompts/{role}/{prompt}{PROMPT_SUFFIX}")]
    label = did_you_mean(prompt, known)
    if not label:
        notes.insert(0, f"`{role}` has the prompts {listing(known)}" if known else f"`{role}` has no prompts")
    report.error("SOP402", f"there is no prompt `{role}/{prompt}`", span, label, *notes)
