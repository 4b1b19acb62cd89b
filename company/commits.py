"""Puts what a step made into the repository: one commit by its role, once.

Which files a value becomes: `publish.py`. How git is written: `workspace.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from company import publish
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
    files: dict[str, bytes | None] = {
        **publish.files_of(name, item, value, context.requirement, candidates=candidates, guest=context.guest)
    }
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
        made = await asyncio.to_thread(
            context.repository.commit,
            files,
            subject=subject,
            author=title,
            email_slug=slug.replace("_", "-"),
            trailers=trailers,
        )
        context.committed.add(ident)
        if made:
            context.journal.emit("commit", step=ident, sha=made.sha, author=title, subject=subject)
