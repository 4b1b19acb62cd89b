"""A for_each: the work for each item, when those that it needs are done.

Keys, needs and order: `keys.py`. The work itself is a graph of its own, handed in by `compiler.py`. When the step is done:
`nodes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from company.errors import CompanyError, EndpointError, Refused, StepFailed
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
    ending = False
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
            if ending:  # for what those ask that have begun is only waited
                return
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
        nonlocal ending
        try:
            await one(key, item)
        except CompanyError as error:
            # Where the endpoint gives no answers, that is not the item's fault: the run stops, and can be resumed.
            is_its_own = isinstance(error, StepFailed) and not isinstance(error, Refused)
            is_its_own |= isinstance(error, EndpointError) and error.is_of_request
            if step.on_error != "collect" or not is_its_own:
                ending = True
                raise
            failed[key] = error.message
            context.journal.emit("notice", text=f"{step.path}: `{key}` is left out: {error.message}")
        finally:
            finished[key].set()

    quiet = partial(context.gateway.drained, state.get("item", ""))
    await _together([guarded(key, item_of[key]) for key in order], quiet)
    if failed and not results:
        key, reason = next(iter(failed.items()))
        raise StepFailed(f"every item of `{step.path}` failed; `{key}`: {reason}", place=str(step.span))
    changed: dict[str, str | None] = {path: values[path] for path in outside}
    return {**changed, step.path: pack_list(context.objects, [results[key] for key in keys if key in results])}


async def _together(works: Sequence[Coroutine[Any, Any, None]], quiet: Callable[[], Awaitable[None]]) -> None:
    """Work at the same time; where one fails, the others have no reason to go on.

    Args:
        quiet: comes back when the others may be cancelled.
    """
    tasks = [asyncio.create_task(each) for each in works]
    try:
        await asyncio.gather(*tasks)
    except CompanyError:
        await quiet()
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
