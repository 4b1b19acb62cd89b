"""Puts what a step made into the repository: one commit by its role, once.

Which files a value becomes: `publish.py`. How git is written: `workspace.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from company import publish
from company.events import Event
from company.state import RunContext, RunState, Site, step_id

if TYPE_CHECKING:
    from company.sop.procedure import Role


async def commit(site: Site, state: RunState, context: RunContext, value: Any, role: Role | None = None) -> None:
    """Put a step's result into the repository as a commit by its role, once."""
    step = site.step
    if not step.commit:
        return
    name = step.path.removesuffix(".do")
    item, candidates = state.get("item", ""), step.sample > 1
    files: dict[str, bytes | None] = {**publish.files_of(name, item, value, context.requirement, candidates=candidates)}
    slug, title = (role.name, role.title) if role else ("test-runner", "Test Runner")
    subject = publish.subject(name, value, step.updates)
    await commit_files(context, step_id(site, state), files, subject, slug, title)


async def commit_files(
    context: RunContext, ident: str, files: Mapping[str, bytes | None], subject: str, slug: str, title: str
) -> None:
    """One commit under the id of what it belongs to, unless the history has it already."""
    async with context.git:
        if ident in context.committed or not files:
            return
        trailers = {"Company-Run": context.run, "Company-Step": ident}
        if ident in context.tokens:
            model, tokens = context.tokens[ident]
            trailers |= {"Company-Model": model, "Company-Tokens": str(tokens)}
        email = slug.replace("_", "-")
        made = await asyncio.to_thread(
            context.repository.commit,
            files,
            subject=subject,
            author=title,
            email_slug=email,
            trailers=trailers,
        )
        context.committed.add(ident)
        if made:
            texts = {path: None if data is None else data.decode() for path, data in files.items()}
            context.journal.emit(
                "commit", step=ident, sha=made.sha, author=title, subject=subject, email=email, trailers=trailers,
                made=made.time, files=context.objects.put(texts),
            )  # fmt: skip


async def make_again(context: RunContext, commits: Iterable[Event]) -> int:
    """Make those of the journal's commits that the repository lacks: it is another clone. How many they were.

    On the same parents they are the same commits, to the bit.
    """
    lost = [event for event in commits if event["step"] not in context.committed and "files" in event]
    for event in lost:
        texts: Mapping[str, str | None] = context.objects.get(event["files"])
        await asyncio.to_thread(
            context.repository.commit,
            {path: None if text is None else text.encode() for path, text in texts.items()},
            subject=event["subject"],
            author=event["author"],
            email_slug=event["email"],
            trailers=event["trailers"],
            made=event["made"],
        )
        context.committed.add(event["step"])
    return len(lost)
