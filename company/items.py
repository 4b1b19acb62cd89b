"""A for_each: the items' keys and needs, an order in which each comes after its needs, and the work for each of them.

The work itself is a graph of its own, handed in by `compiler.py`. When the step is done: `nodes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from company.asking import together
from company.errors import DeadlineExceeded, EndpointError, StepFailed
from company.sop.procedure import Step
from company.state import RunContext, RunState, Scope, Site, pack, pack_list, reference, round_of


def keyed(step: Step, items: list[Any], scope: Scope) -> tuple[list[str], dict[str, list[str]]]:
    """Each item's key, and the keys that it needs."""
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


def _names_of(step: Step, scope: Scope) -> set[str]:
    read = {r.parts[0] for expr in (step.key, step.needs) if expr for r in expr.references()}
    return {name for name in read if name != step.bind and name in set(scope)}


def in_order(step: Step, keys: list[str], needs: Mapping[str, list[str]]) -> list[str]:
    """The keys, each after those that it needs; fails on a circle before anything is paid for."""
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


Child = Callable[[RunState], Awaitable[Mapping[str, Any]]]
"""Runs the block of a for_each for one item; gives the state that it ends in."""
_LEFT_OUT = (StepFailed, EndpointError, DeadlineExceeded)
"""What may befall one item and leave the others alone."""


async def for_each(
    site: Site, state: RunState, context: RunContext, scope: Scope, child: Child
) -> dict[str, str | None]:
    """Do a step's work for each item; the values that it leaves."""
    step = site.step
    assert step.over
    items = step.over.evaluate(scope)
    if len(items) > step.max:
        raise StepFailed(
            f"`{step.over.text}` has {len(items)} items and `{step.path}` allows {step.max}",
            place=str(step.span),
            hint="raise its `max:`, or let the step before make fewer",
        )
    keys, needs = keyed(step, items, scope)
    order = in_order(step, keys, needs)
    gate = asyncio.Semaphore(step.parallel)
    results: dict[str, str | None] = {}
    failed: dict[str, str] = {}
    finished = {key: asyncio.Event() for key in keys}
    outside = {
        inner.updates for inner in step.walk() if inner.updates and not inner.updates.startswith(f"{step.path}.")
    }
    values = dict(state.get("values", {}))

    async def one(key: str, item: Any) -> None:
        for need in needs[key]:
            await finished[need].wait()
        if lost := next((need for need in needs[key] if need in failed), ""):
            raise StepFailed(f"it needs `{lost}`, which failed")
        async with gate:
            frame = {**state.get("frame", {}), step.bind: pack(context.objects, item)}
            frame["deps"] = pack_list(context.objects, [results[need] for need in needs[key]])
            if step.parallel == 1:  # the checker lets `done` be read only then
                frame["done"] = pack_list(context.objects, [results[done] for done in order if done in results])
            inner: RunState = {
                "values": dict(values),
                "rounds": {},
                "frame": frame,
                "item": "/".join(filter(None, [state.get("item", ""), key])),
                "outer_round": round_of(site, state) if site.loops or state.get("outer_round") else "",
            }
            ended = await child(inner)
        values.update({path: ended["values"][path] for path in outside})
        results[key] = reference(context.objects, ended["values"], step.body[-1])

    async def guarded(key: str, item: Any) -> None:
        try:
            await one(key, item)
        except _LEFT_OUT as error:
            if step.on_error != "collect":
                raise
            failed[key] = error.message
            context.journal.emit("notice", text=f"{step.path}: `{key}` is left out: {error.message}")
        finally:
            finished[key].set()

    await together([guarded(key, items[keys.index(key)]) for key in order])
    if failed and not results:
        key, reason = next(iter(failed.items()))
        raise StepFailed(f"every item of `{step.path}` failed; `{key}`: {reason}", place=str(step.span))
    changed: dict[str, str | None] = {path: values[path] for path in outside}
    return {**changed, step.path: pack_list(context.objects, [results[key] for key in keys if key in results])}
