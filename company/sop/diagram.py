"""Procedure → its edges, what is written on its boxes, and a Mermaid flowchart.

The edges are the ones that the compiler builds from: `Step.waits`, a loop's way back, a for_each's items. The same as
a picture of our own: `layout.py` and `svg.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from company.sop.procedure import Procedure, Step

START, END = "START", "END"


class Edge(NamedTuple):
    """From one step to another, by path, `START` or `END`."""

    source: str
    target: str
    label: str = ""
    """A condition, ``again …`` or nothing."""
    back: bool = False
    """Whether it leads to the beginning of a loop's next round."""


def edges(procedure: Procedure) -> list[Edge]:
    """Every edge between steps, in written order; a step with a body is entered and left as a whole."""
    return [*block_edges(procedure.steps, START, END)]


def block_edges(steps: tuple[Step, ...], source: str = "", target: str = "") -> Iterator[Edge]:
    """The edges of a block that is entered from `source` and left to `target` (empty: it is a frame's inside)."""
    waits = waiting(steps)
    awaited = {path for paths in waits.values() for path in paths}
    for step in steps:
        label = f"when {step.when.text}" if step.when else ""
        for before in waits[step.path]:
            yield Edge(before, step.path, label)
        if not waits[step.path] and source:
            yield Edge(source, step.path, label)
        if step.body:
            yield from block_edges(step.body)
        if step.kind == "loop":
            yield from back_edges(step)
        if step.path not in awaited and target:
            yield Edge(step.path, target)


def back_edges(loop: Step) -> Iterator[Edge]:
    """From every step that ends a round to every step that begins one."""
    waits = waiting(loop.body)
    awaited = {path for paths in waits.values() for path in paths}
    for last in (step.path for step in loop.body if step.path not in awaited):
        for first in (step.path for step in loop.body if not waits[step.path]):
            yield Edge(last, first, _again(loop), True)


def waiting(steps: tuple[Step, ...]) -> dict[str, list[str]]:
    """Path of each step of a block to the paths that it waits for; of a transparent loop's steps, the loop's."""
    owners = {name: step.path for step in steps for name in _names(step)}
    found = {}
    for step in steps:
        before = dict.fromkeys(owners[name] for name in step.waits if name in owners)
        found[step.path] = [path for path in before if path != step.path]
    return found


def _names(step: Step) -> Iterator[str]:
    yield step.name
    if step.transparent:
        for inner in step.body:
            yield from _names(inner)


def heading(step: Step) -> tuple[str, str]:
    """The name of a step with a body, and what it does with it: ``each file of design.files``."""
    name = _plain(step.name)
    if step.path.endswith("@again"):  # it is called after its gate, which is in it
        first, last = (_plain(inner.name) for inner in (step.body[0], step.body[-1]))
        name = first if first == last else f"{first} … {last}"
    if step.kind == "for_each":
        return name, f"each {step.bind} of {step.over.text if step.over else ''}"
    if step.kind == "loop":
        return name, _again(step)
    return name, f"the procedure {step.used}"


def _plain(name: str) -> str:
    return name.partition("@")[0]


def _again(loop: Step) -> str:
    most = f"{loop.max} rounds at most"
    if loop.path.endswith("@again"):
        gates = [step.name for step in loop.body if step.kind == "gate"]
        return f"again where {' or '.join(gates) or 'somebody'} sends it back, {most}"
    if loop.path.endswith("@tries"):
        return f"again until it is accepted, {loop.max} tries at most"
    return f"again until {loop.until.text}, {most}" if loop.until else f"again, {loop.max} rounds"


def who(step: Step) -> str:
    """Who or what does a step without a body: a role's title, a command."""
    if step.kind == "gate":
        return "a person decides"
    roles = [step.role] if step.role else [role for role, _ in step.candidates.values()]
    title = " or ".join(role.title for role in roles) or step.command or step.kind
    if step.sample > 1:
        title = f"{step.sample} × {title}"
    return f"{title}: {', then '.join(step.cascade)}" if step.cascade else title


def mermaid(procedure: Procedure) -> str:
    """A flowchart: a box a step, a double box a step done for each item, a frame a block, dotted edges back."""
    lines = ["flowchart TD", f"  {START}([start])"]
    for step in procedure.steps:
        lines += _shape(step, "  ", False)
    lines.append(f"  {END}([{_text('accepted: ' + procedure.accept.text if procedure.accept else 'end')}])")
    for source, target, label, back in edges(procedure):
        arrow = "-.->" if back else "-->"
        lines.append(f"  {_id(source)} {arrow}{f'|{_text(label)}|' if label else ''} {_id(target)}")
    return "\n".join(lines) + "\n"


def _shape(step: Step, indent: str, each: bool) -> list[str]:
    if step.body:
        name, what = heading(step)
        title = name if step.kind == "loop" and not step.transparent else f"{name}: {what}"
        lines = [f'{indent}subgraph {_id(step.path)}["{_text(title)}"]']
        for inner in step.body:
            lines += _shape(inner, indent + "  ", each or step.kind == "for_each")
        return [*lines, f"{indent}end"]
    text = _text(who(step)) if step.name == "do" else f"{_text(step.name)}<br/>{_text(who(step))}"
    text += "".join(f"<br/>{_text(f'{choice}: {place}')}" for choice, place in step.choices.items())
    opening, closing = ("[", "]")
    if each:
        opening, closing = "[[", "]]"
    elif step.kind in ("run", "gate"):
        opening, closing = ("{{", "}}") if step.kind == "run" else ("{", "}")
    return [f'{indent}{_id(step.path)}{opening}"{text}"{closing}']


def _id(path: str) -> str:
    """A node's name; a prefix keeps Mermaid's own words (`end`, `class`) out."""
    return path if path in (START, END) else "s_" + re.sub(r"\W", "__", path)


def _text(text: str) -> str:
    """Text that Mermaid shows as it is."""
    return "".join(char if char.isalnum() or char in " .,:_-" else f"#{ord(char)};" for char in text)
