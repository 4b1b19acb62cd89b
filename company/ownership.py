"""What of a repository is the work of given runs alone, and so may go with them: all of it, or one branch.

Who decides that runs go: `housekeeping.py`. How git is called: `gitdoor.py`. Hold the repository's `Lock`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from company import branches, gitdoor, index
from company.errors import CompanyError
from company.gitdoor import git_errors, hardened
from company.paths import disk_errors
from company.workspace import Repository

if TYPE_CHECKING:
    import git

_MADE_AGAIN = frozenset({"__pycache__", ".pytest_cache", ".venv"})
"""Folders that no run commits and no person edits."""
_COMMITTER = re.compile(rb"^committer [^\n]*@company\.invalid> ", re.MULTILINE)


def keeps_repository(path: Path, alive: Set[str], start: str = "") -> str:
    """Why a repository must not be deleted; empty when all that is in it was made by runs, and by none that is `alive`."""
    try:
        with _opened(path) as repo:
            return _changes(path, repo) or _others(
                repo, alive, ["--all", "--reflog", *_head(repo), *([f"^{start}"] if start else [])]
            )
    except CompanyError as error:
        return f"it cannot be read ({error.message})"


def keeps_branch(path: Path, branch: str, alive: Set[str]) -> str:
    """Why a branch must not be deleted; empty when what only it leads to was made by runs, and by none that is `alive`."""
    try:
        with _opened(path) as repo:
            if repo.git.symbolic_ref("--quiet", "HEAD", with_exceptions=False) == f"refs/heads/{branch}":
                return f"the repository stands on it; `git -C {path} switch main` leaves it"
            refs = str(repo.git.for_each_ref("--format=%(refname)")).split()
            others = [ref for ref in refs if ref != f"refs/heads/{branch}"]
            only = [f"refs/heads/{branch}", "--not", *others, *_head(repo)]
            return _changes(path, repo) or _others(repo, alive, only)
    except CompanyError as error:
        return f"it cannot be read ({error.message})"


def drop_branch(path: Path, branch: str) -> None:
    """Delete a branch, unless it moves meanwhile.

    Raises:
        WorkspaceError: git refused.
    """
    sha = Repository.open(path).tip(branch)
    with _opened(path) as repo:
        repo.git.update_ref("-d", f"refs/heads/{branch}", sha)


@contextmanager
def _opened(path: Path) -> Iterator[git.Repo]:
    """A repository through the hardened door."""
    whole = Repository.open(path).path
    with disk_errors("use the repository", path), git_errors(path):
        repo = hardened(whole)(whole, expand_vars=False)
        try:
            yield repo
        finally:
            repo.close()


def _head(repo: git.Repo) -> list[str]:
    """The commit at HEAD, which may stand on no branch; nothing before the first one."""
    sha, _ = gitdoor.head(repo)
    return [sha] if sha else []


def _changes(path: Path, repo: git.Repo) -> str:
    """What a person has left there that is not committed; empty when nothing."""
    if any((path / ".git/worktrees").glob("*")):
        return "it has linked work trees"
    if edited := sorted(branches.edited(Repository.open(path))):
        return f"it has changes that are not committed ({edited[0]})"
    tracked = gitdoor.walk(repo, gitdoor.head(repo)[1])
    for (name, stage), entry in index.entries(index.read(path / ".git/index") or {}).items():
        if stage or name not in tracked or entry.sha != tracked[name].sha:
            return f"it has changes that are staged and not committed ({name})"
    for name in _lying(path):
        if name not in tracked:
            return f"it has files that are not committed ({name})"
    return ""


def _lying(path: Path) -> Iterator[str]:
    """The files of the working tree, but for those that programs make again."""
    for folder, folders, files in os.walk(path):
        here = Path(folder)
        linked = [name for name in folders if (here / name).is_symlink()]
        skipped = {*_MADE_AGAIN, *linked, *([".git"] if here == path else [])}
        folders[:] = [name for name in folders if name not in skipped]
        for name in (*files, *linked):
            if not name.endswith(".pyc"):
                yield (here / name).relative_to(path).as_posix()


def _others(repo: git.Repo, alive: Set[str], revisions: list[str]) -> str:
    """Which of the commits is by somebody else; empty when none. Whoever amends a commit becomes its committer."""
    for sha in str(repo.git.rev_list(*revisions)).split():
        raw = gitdoor.data(repo, bytes.fromhex(sha))
        made = gitdoor.parse(sha, raw)
        run, step = made.trailers.get("Company-Run"), made.trailers.get("Company-Step", "")
        if made.author == "Person" and (run is None or step.endswith("@edit")):
            return f"it has edits of a person, which a redo took over ({sha[:7]})"
        if not (run is not None and run not in alive and _COMMITTER.search(raw.partition(b"\n\n")[0])):
            return f"it has commits of others ({sha[:7]} by {gitdoor.line(made.author)})"
    return ""
