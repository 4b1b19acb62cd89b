"""What differs between two procedures by meaning: order of keys, comments, descriptions and spelling of expressions do not.

Pure: two linked procedures in, lines of text out. Finding and linking them: `linker.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from company.sop.diagram import edges
from company.sop.diagram import who as worker
from company.sop.expressions import Expression
from company.sop.procedure import Input, Procedure, Role, Step
from company.sop.types import ArtifactType

_SAID_ELSEWHERE = frozenset({"name", "path", "span", "places", "waits", "body", "role"})
"""Fields of a step that are its place in the source, or that edges, inner steps and roles say."""
_NAMES = {"bind": "as", "over": "for_each", "inputs": "in", "command": "run"}
"""Fields that are written under another key."""


def compare(old: Procedure, new: Procedure) -> list[str]:
    """One line for each difference, from the old one to the new one; none where they do the same.

    ``+`` is only in the new one, ``-`` only in the old one, ``~`` is changed.
    """
    return [
        *_mapping("input", old.inputs, new.inputs),
        *_mapping("artifact", _declared(old), _declared(new)),
        *_mapping("limit", old.limits, new.limits),
        *_roles(old, new),
        *_steps(old, new),
        *_edges(old, new),
        *_prompts(old, new),
        *_value("accept", old.accept, new.accept),
        *_value("model calls in the worst case:", old.worst_calls, new.worst_calls),
    ]


def _value(what: str, old: Any, new: Any) -> Iterator[str]:
    one, two = _shown(old), _shown(new)
    if one != two:
        yield f"~ {what} {one} → {two}"


def _mapping(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    old, new = ({key: value for key, value in each.items() if value is not None} for each in (old, new))
    for key in dict.fromkeys((*old, *new)):
        if key not in new:
            yield f"- {what} {key}: {_shown(old[key])}"
        elif key not in old:
            yield f"+ {what} {key}: {_shown(new[key])}"
        else:
            yield from _value(f"{what} {key}:", old[key], new[key])


def _declared(made: Procedure) -> dict[str, Mapping[str, Any]]:
    return {name: ArtifactType(name, model).fields for name, model in made.artifacts.items()}


def _roles(old: Procedure, new: Procedure) -> Iterator[str]:
    for name in dict.fromkeys((*old.roles, *new.roles)):
        if name not in new.roles:
            yield f"- role {name}"
        elif name not in old.roles:
            yield f"+ role {name}"
        else:
            for field in fields(Role):
                one, two = (getattr(each.roles[name], field.name) for each in (old, new))
                if field.name == "profile" and one != two:
                    yield f"~ role {name}: another profile"
                else:
                    yield from _value(f"role {name}: {field.name}", one, two)


def _steps(old: Procedure, new: Procedure) -> Iterator[str]:
    before, after = ({step.path: step for step in each.walk()} for each in (old, new))
    for path in dict.fromkeys((*before, *after)):
        if path not in after:
            yield f"- step {path}: {_what(before[path])}"
        elif path not in before:
            yield f"+ step {path}: {_what(after[path])}"
        else:
            yield from _step(path, before[path], after[path])


def _what(step: Step) -> str:
    if step.body:
        return step.kind
    return f"{worker(step)} → {step.out}" if step.out else worker(step)


def _step(path: str, old: Step, new: Step) -> Iterator[str]:
    one, two = (step.role.name if step.role else None for step in (old, new))
    yield from _value(f"step {path}: role", one, two)
    for field in fields(Step):
        if field.name in _SAID_ELSEWHERE or (field.name == "out" and (old.body or new.body)):
            continue
        name = _NAMES.get(field.name, field.name)
        yield from _value(f"step {path}: {name}", getattr(old, field.name), getattr(new, field.name))


def _edges(old: Procedure, new: Procedure) -> Iterator[str]:
    before, after = ({edge[:2]: edge.back for edge in edges(each)} for each in (old, new))
    for pair in dict.fromkeys((*before, *after)):
        if (pair in before) != (pair in after):
            again = " again" if before.get(pair) or after.get(pair) else ""
            yield f"{'-' if pair in before else '+'} edge {pair[0]} → {pair[1]}{again}"


def _prompts(old: Procedure, new: Procedure) -> Iterator[str]:
    for name in sorted(old.sources.keys() & new.sources.keys()):
        if name.startswith("prompts/") and old.sources[name] != new.sources[name]:
            yield f"~ {name}: another text"


def _shown(value: Any) -> str:
    """A value as text in which only a difference of meaning differs."""
    if value is None or value == "" or value == {}:
        return "none"
    if isinstance(value, Expression):
        return value.normal
    if isinstance(value, Input):
        shown = _shown(value.expr)
        return shown if shown.removeprefix("maybe.").replace(".", "_") == value.name else f"{value.name}: {shown}"
    if isinstance(value, tuple):
        named = all(isinstance(item, Input) for item in value)  # a prompt takes them by name, in any order
        return f"[{', '.join(sorted(map(_shown, value)) if named else map(_shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Role):
        return value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
