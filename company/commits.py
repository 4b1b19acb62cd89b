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
    from company.workspace import Commit

START = "start"
"""The id of a run's first commit: what was asked for, and the procedure."""
Files = Mapping[str, bytes | None]
"""Path → content; None deletes."""


async def commit(site: Site, state: RunState, context: RunContext, value: Any, role: Role | None = None) -> None:
    """Put a step's result into the repository as a commit by its role, once."""
    step = site.step
    if not step.commit:
        return
    name = step.path.removesuffix(".do")
    item, candidates = state.get("item", ""), step.sample > 1
    files = publish.files_of(name, item, value, context.requirement, candidates=candidates, guest=context.guest)
    slug, title = (role.name, role.title) if role else ("test-runner", "Test Runner")
    subject = publish.subject(name, value, step.updates)
    await commit_files(context, step_id(site, state), files, subject, slug, title)


async def commit_files(
    context: RunContext,
    ident: str,
    files: Files,
    subject: str,
    slug: str,
    title: str,
    trailers: Mapping[str, str] | None = None,
) -> None:
    """One commit under the id of what it belongs to, unless the history has it already."""
    async with context.git:
        if not files:
            return
        texts = {path: content if content is None else content.decode() for path, content in files.items()}
        made = {
            "files": context.objects.put({"kind": "files", "value": texts}),
            "subject": subject,
            "slug": slug,
            "title": title,
        }
        context.made[ident] = made
        if ident in context.committed:
            if ident not in context.told:  # killed between the commit and its line
                _tell(context, ident, context.committed[ident], title, made)
            return
        found = {"Company-Run": context.run, "Company-Step": ident, **(trailers or {})}
        if ident in context.tokens:
            model, tokens = context.tokens[ident]
            found |= {"Company-Model": model, "Company-Tokens": str(tokens)}
        if ident in context.keys:
            found["Company-Step-Key"] = context.keys[ident][:16]
        commit = await asyncio.to_thread(
            context.repository.commit,
            files,
            subject=subject,
            author=title,
            email_slug=slug.replace("_", "-"),
            trailers=found,
            instead=context.earlier.commits.get(ident, ""),
        )
        while context.repository.overwrote:
            context.journal.emit("notice", text=f"overwritten: {context.repository.overwrote.pop(0)}")
        if commit:
            context.committed[ident] = commit
            _tell(context, ident, commit, title, made)


def _tell(context: RunContext, ident: str, commit: Commit, author: str, made: Mapping[str, Any]) -> None:
    context.told.add(ident)
    context.journal.emit(
        "commit", step=ident, sha=commit.sha, author=author, slug=made["slug"], subject=made["subject"],
        trailers=dict(commit.trailers), made=commit.time, files=made["files"],
    )  # fmt: skip


async def commit_again(context: RunContext, ident: str, made: Mapping[str, Any], trailers: Mapping[str, str]) -> None:
    """The commit of a result that was kept."""
    await commit_files(
        context, ident, _contents(context, made["files"]), made["subject"], made["slug"], made["title"], trailers
    )


async def make_again(context: RunContext, commits: Iterable[Event]) -> int:
    """Make those of the journal's commits that the repository lacks: it is another clone. How many they were.

    On the same parents they are the same commits, to the bit.
    """
    lost = [event for event in commits if event["step"] not in context.committed and "files" in event]
    for event in lost:
        commit = await asyncio.to_thread(
            context.repository.commit,
            _contents(context, event["files"]),
            subject=event["subject"],
            author=event["author"],
            email_slug=event["slug"].replace("_", "-"),
            trailers=event["trailers"],
            made=event["made"],
        )
        if commit:
            context.committed[event["step"]] = commit
    return len(lost)


def _contents(context: RunContext, ref: str) -> Files:
    texts: Mapping[str, str | None] = context.objects.get(ref)["value"]
    return {path: None if text is None else text.encode() for path, text in texts.items()}
