"""A for_each: the work for each item, when those that it needs are done.

Keys, needs and order: `keys.py`. The work itself is a graph of its own, handed in by `compiler.py`. When the step is done:
`nodes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from company.asking import together
from company.errors import EndpointError, Refused, StepFailed
from company.keys import in_order, keyed
from company.state import RunContext, RunState, Scope, Site, pack, pack_list, reference, round_of

Child = Callable[[RunState], Awaitable[Mapping[str, Any]]]
"""Runs the block of a for_each for one item; gives the state that it ends in."""


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
    where = {"step": step.path, "item": state.get("item", ""), "round": round_of(site, state)}
    context.journal.emit("items", **where, needs={key: needs[key] for key in order})
    item_of = dict(zip(keys, items, strict=True))
    gate = asyncio.Semaphore(step.parallel)
    results: dict[str, str | None] = {}
    failed: dict[str, str] = {}
    finished = {key: asyncio.Event() for key in keys}
    outside = {
        inner.updates for inner in step.walk() if inner.updates and not inner.updates.startswith(f"{step.path}.")
    }
    values = dict(state.get("values", {}))
    # The checker lets `done` be read only with `parallel: 1`. Each is a longer list to keep: none is made for nobody.
    reads_done = step.parallel == 1 and any("done" in each.names for part in step.walk() for each in part.expressions)

    async def one(key: str, item: Any) -> None:
        for need in needs[key]:
            await finished[need].wait()
        if lost := next((need for need in needs[key] if need in failed), ""):
            raise StepFailed(f"it needs `{lost}`, which failed")
        async with gate:
            frame = {**state.get("frame", {}), step.bind: pack(context.objects, item)}
            if step.needs:
                frame["deps"] = pack_list(context.objects, [results[need] for need in needs[key]])
            if reads_done:
                frame["done"] = pack_list(context.objects, [results[done] for done in order if done in results])
            inner: RunState = {
                "values": dict(values),
                "rounds": {},
                "frame": frame,
                "item": f"{around}/{key.replace('/', '%2F')}" if (around := state.get("item", "")) else key,
                "outer_round": round_of(site, state) if site.loops or state.get("outer_round") else "",
            }
            ended = await child(inner)
        values.update({path: ended["values"][path] for path in outside})
        results[key] = reference(context.objects, ended["values"], step.body[-1])

    async def guarded(key: str, item: Any) -> None:
        try:
            await one(key, item)
        except (StepFailed, EndpointError) as error:
            # Where the endpoint gives no answers, that is not the item's fault: the run stops, and can be resumed.
            is_its_own = error.is_of_request if isinstance(error, EndpointError) else not isinstance(error, Refused)
            if step.on_error != "collect" or not is_its_own:
                raise
            failed[key] = error.message
            context.journal.emit("notice", text=f"{step.path}: `{key}` is left out: {error.message}")
        finally:
            finished[key].set()

    await together([guarded(key, item_of[key]) for key in order])
    if failed and not results:
        key, reason = next(iter(failed.items()))
        raise StepFailed(f"every item of `{step.path}` failed; `{key}`: {reason}", place=str(step.span))
    changed: dict[str, str | None] = {path: values[path] for path in outside}
    return {**changed, step.path: pack_list(context.objects, [results[key] for key in keys if key in results])}
