"""Procedure → its edges, and a Mermaid flowchart of them.

The edges are the ones that the compiler builds from: `Step.waits`, a loop's way back, a for_each's items.
"""

from __future__ import annotations

from collections.abc import Iterator

from company.sop.procedure import Procedure, Step

START, END = "START", "END"
Edge = tuple[str, str, str]
"""From, to (step paths, `START`, `END`), and a label: a condition, ``again``, ``each …`` or nothing."""


def edges(procedure: Procedure) -> list[Edge]:
    """Every edge between steps, in written order; a loop or for_each is entered and left as a whole."""
    return [*_block(procedure.steps, START, END)]


def mermaid(procedure: Procedure) -> str:
    """A flowchart: a box a step, a double box a step done for each item, a frame a block, dotted edges back."""
    lines = ["flowchart TD", f"  {START}([start])"]
    for step in procedure.steps:
        lines += _shape(step, "  ", False)
    lines.append(f"  {END}([{_text('accepted: ' + procedure.accept.text if procedure.accept else 'end')}])")
    for source, target, label in edges(procedure):
        arrow = "-.->" if label.startswith("again") else "-->"
        lines.append(f"  {_id(source)} {arrow}{f'|{_text(label)}|' if label else ''} {_id(target)}")
    return "\n".join(lines) + "\n"


def _block(steps: tuple[Step, ...], source: str, target: str) -> Iterator[Edge]:
    """The edges of a block that is entered from `source` and left to `target` (empty: it is a frame's inside)."""
    paths = {step.name: step.path for step in steps}
    awaited = {name for step in steps for name in step.waits}
    for step in steps:
        label = f"when {step.when.text}" if step.when else ""
        for wait in step.waits:
            yield paths[wait], step.path, label
        if not step.waits and source:
            yield source, step.path, label
        if step.body:
            yield from _block(step.body, "", "")
        if step.kind == "loop":
            yield from _again(step)
        if step.name not in awaited and target:
            yield step.path, target, ""


def _again(loop: Step) -> Iterator[Edge]:
    """From every step that ends a round to every step that begins one."""
    awaited = {name for step in loop.body for name in step.waits}
    label = f"again until {loop.until.text if loop.until else ''}, {loop.max} rounds at most"
    for last in (step for step in loop.body if step.name not in awaited):
        for first in (step for step in loop.body if not step.waits):
            yield last.path, first.path, label


def _shape(step: Step, indent: str, each: bool) -> list[str]:
    if step.body:
        title = step.name
        if step.kind == "for_each":
            title = f"{step.name}: each {step.bind} of {step.over.text if step.over else ''}"
        lines = [f'{indent}subgraph {_id(step.path)}["{_text(title)}"]']
        for inner in step.body:
            lines += _shape(inner, indent + "  ", each or step.kind == "for_each")
        return [*lines, f"{indent}end"]
    what = step.role.title if step.role else step.command or ""
    text = _text(what) if step.name == "do" else f"{_text(step.name)}<br/>{_text(what)}"
    opening, closing = ("[[", "]]") if each else ("{{", "}}") if step.kind == "run" else ("[", "]")
    return [f'{indent}{_id(step.path)}{opening}"{text}"{closing}']


def _id(path: str) -> str:
    """A node's name; a prefix keeps Mermaid's own words (`end`, `class`) out."""
    return path if path in (START, END) else "s_" + path.replace(".", "__")


def _text(text: str) -> str:
    """Text that Mermaid shows as it is."""
    return "".join(char if char.isalnum() or char in " .,:_-" else f"#{ord(char)};" for char in text)
