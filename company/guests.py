"""A run that is let into somebody's repository: what it leaves alone, how it behaves there, and how its branch gets there.

Clones and branches: `clones.py`. What a guest writes where: `publish.py`. Who begins runs: `wiring.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from company.clones import Source, branch_of, told
from company.errors import UsageError
from company.events import Journal
from company.paths import write_atomic
from company.publish import Guest
from company.records import Request
from company.workspace import Repository


def keep_out(workspace: Path, source: Source) -> None:
    """A workspace inside the repository that a run is let into is none of its files."""
    if workspace == source.path:
        raise UsageError("the workspace is the repository itself", hint="give another folder: --workspace DIR")
    if not (workspace / ".gitignore").exists():
        write_atomic(workspace / ".gitignore", b"*\n")


def guest_of(request: Request, repository: Repository) -> Guest | None:
    """How the run behaves in a repository that was there before it; None in one of its own."""
    run = request.first
    return Guest.of(run, request.name, repository.files(request.start)) if request.start else None


def left_alone(request: Request) -> Iterator[str]:
    """What to say of work that is not committed in the repository that a run is let into."""
    if request.into:
        source = Source.at(Path(request.into))
        if text := told(source.uncommitted(), source):
            yield text


def hand_over(request: Request, repository: Repository, journal: Journal) -> str:
    """Bring the run's branch into the repository that it was let into; a dry run leaves none there."""
    if not request.into or request.model == "dry":
        return ""
    branch = branch_of(request.run)
    tip = Source.at(Path(request.into)).deliver(repository, request.start, request.run)
    journal.emit("notice", text=f"the branch {branch} in {request.into} is at {tip[:10]}")
    return branch


def in_step(request: Request, repository: Repository) -> None:
    """See that the run's branch in somebody's repository has nothing that its clone has not.

    Raises:
        UsageError: somebody committed to it there.
    """
    if request.into and Path(request.into).exists():
        there = Source.at(Path(request.into)).tip(request.branch)
        if there and not repository.has(there):
            raise UsageError(
                f"the branch {request.branch} has commits there that the run's clone has not",
                place=request.into,
                hint=f"git -C {repository.path} pull --ff-only {request.into} {request.branch}, then give the redo again",
            )
