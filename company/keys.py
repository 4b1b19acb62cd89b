"""The items of a for_each: their keys, what each needs, and an order in which every one comes after its needs.

The work for them: `items.py`. Who makes such a list is told at once where it does not hold together: a role in `asking.py`, a person in
`waiting.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from company.errors import StepFailed
from company.sop.procedure import Step
from company.state import Site


def holds_together(site: Site, answer: Any) -> None:
    """See that a for_each below can go through the answer: better the role hears of it than that the run ends there.

    Raises:
        StepFailed: there are too many items, two with one key, a need that is none, or a circle of needs.
    """
    if site.step.sample > 1:
        return
    for step in _beside(site):
        if not step.over or step.over.names != {site.step.name}:
            continue
        if all(entry.names <= {step.bind} for entry in (step.key, step.needs) if entry):
            items = step.over.evaluate({site.step.name: answer})
            if len(items) > step.max:
                raise StepFailed(f"there are {len(items)} items, and at most {step.max} may be given")
            keys, needs = keyed(step, items, {})
            in_order(step, keys, needs)


def keyed(step: Step, items: list[Any], scope: Mapping[str, Any]) -> tuple[list[str], dict[str, list[str]]]:
    """Each item's key, and the keys that it needs.

    Raises:
        StepFailed: two have the same key, or one needs what is no item.
    """
    keys: list[str] = []
    needs: dict[str, list[str]] = {}
    around = {name: scope[name] for name in _names_of(step, scope)}
    for number, item in enumerate(items, 1):
        inner = {**around, step.bind: item}
        key = str(step.key.evaluate(inner)) if step.key else str(number)
        if key in needs:
            raise StepFailed(f"two items of `{step.path}` have the key `{key}`", place=str(step.span))
        keys.append(key)
        needs[key] = list(step.needs.evaluate(inner)) if step.needs else []
    for key, wanted in needs.items():
        for need in wanted:
            if need not in needs:
                raise StepFailed(
                    f"the item `{key}` of `{step.path}` needs `{need}`, which is no item", place=str(step.span)
                )
    return keys, needs


def _names_of(step: Step, scope: Mapping[str, Any]) -> set[str]:
    read = {name for expr in (step.key, step.needs) if expr for name in expr.names}
    return {name for name in read if name != step.bind and name in set(scope)}


def in_order(step: Step, keys: list[str], needs: Mapping[str, list[str]]) -> list[str]:
    """The keys, each after those that it needs.

    Raises:
        StepFailed: some need one another in a circle; nothing has been paid for.
    """
    order: list[str] = []
    while len(order) < len(keys):
        ready = [key for key in keys if key not in order and all(need in order for need in needs[key])]
        if not ready:
            path = [next(key for key in keys if key not in order)]
            while path.count(path[-1]) < 2:
                path.append(next(need for need in needs[path[-1]] if need not in order))
            circle = " → ".join(path[path.index(path[-1]) :])
            raise StepFailed(f"the items of `{step.path}` need one another in a circle: {circle}", place=str(step.span))
        order += ready
    return order


def _beside(site: Site) -> Iterator[Step]:
    """The steps of the block in which a step has its name, through the loops that gates and cascades make."""
    for block in reversed(site.blocks):
        yield from block.steps
        if not (block.owner and block.owner.transparent):
            return
