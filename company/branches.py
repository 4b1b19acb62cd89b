"""Branches of a run's repository: another one is begun, moved forward to what came from elsewhere, or compared with the files.

One commit after another: `workspace.py`. Branches in somebody's repository: `clones.py`; at a remote: `remotes.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from company import gitdoor
from company.gitdoor import NO_COMMIT, REGULAR
from company.paths import safe_path, write_atomic
from company.workspace import Repository, commit_object, nested, same

_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}
"""What lies in `.git` meanwhile → the command."""


def advance(repository: Repository, sha: str) -> bool:
    """Move the branch forward to a commit that the repository has; `restore` then brings the files.

    Returns:
        Whether the branch now has that commit: False when it has others, that the commit does not follow.

    Raises:
        UnsafePath: a path in the commit is refused. Nothing was changed.
    """
    with repository.opened() as repo:
        old, base = gitdoor.head(repo)
        if old and gitdoor.follows(repo, old, sha):
            return True
        if old and not gitdoor.follows(repo, sha, old):
            return False
        after = gitdoor.walk(repo, gitdoor.tree_of(gitdoor.data(repo, bytes.fromhex(sha))))
        for path in after:
            safe_path(path)
        for path, entry in gitdoor.walk(repo, base).items():
            found = repository.tree.read(path) if path not in after and entry.mode in REGULAR else None
            if found and same(entry, *found):
                repository.tree.remove(path)
        repository.move_head(repo, sha, old, "company", "company@company.invalid")
        return True


def edited(repository: Repository) -> dict[str, bytes | None]:
    """The files of HEAD that are otherwise in the working tree: path → what is there, None where nothing is.

    Files that git does not track are left out.

    Raises:
        UnsafePath: a link or a folder stands where a file belongs.
    """
    found: dict[str, bytes | None] = {}
    with repository.opened() as repo:
        for path, entry in gitdoor.walk(repo, gitdoor.head(repo)[1]).items():
            if entry.mode in REGULAR:
                here = repository.tree.read(path)
                if not (here and gitdoor.whole_object("blob", here[0])[0] == entry.sha.hex()):
                    found[path] = here[0] if here else None
    return found


def switch(repository: Repository, branch: str, at: str) -> None:
    """Begin a new branch at a commit and put its files in place of HEAD's; those that git does not track stay.

    Raises:
        WorkspaceError: there is such a branch.
    """
    with repository.opened() as repo:
        if repository.tip(branch) != at:
            repo.git.update_ref("-m", "company", f"refs/heads/{branch}", at, NO_COMMIT)
        left, _ = gitdoor.head(repo)
        write_atomic(repository.left, (left or "").encode())
        repo.git.symbolic_ref("-m", "company", "HEAD", f"refs/heads/{branch}")
    repository.restore()


def keep(repository: Repository, ref: str, files: Mapping[str, bytes | None], subject: str) -> str:
    """Put `files` on top of HEAD as a commit by a person that only `ref` leads to; returns its id."""
    with repository.opened() as repo:
        parent, base = gitdoor.head(repo)
        blobs = {
            path: None if content is None else gitdoor.store(repo, "blob", content) for path, content in files.items()
        }
        tree = gitdoor.change_tree(repo, base, nested(blobs), {})
        raw = commit_object(tree, parent, "Person", "person@company.invalid", int(time.time()), subject)
        sha = gitdoor.store(repo, "commit", raw).hex()
        repo.git.update_ref("-m", "company", ref, sha, NO_COMMIT)
        return sha


def beyond(repository: Repository, ref: str) -> dict[str, bytes | None]:
    """The files of the working tree that are otherwise than HEAD has them, without those that a ref's commit has so."""
    found = edited(repository)
    with repository.opened() as repo:
        sha: str = repo.git.rev_parse("--quiet", "--verify", f"{ref}^{{commit}}", with_exceptions=False)
    known = repository.files(sha) if sha else {}
    return {path: content for path, content in found.items() if not sha or known.get(path) != content}


def under_way(repository: Repository) -> str:
    """The git command that a person has begun and not ended: `merge`, `rebase`, `cherry-pick`, `revert`; empty for none."""
    inside = repository.path / ".git"
    for name, what in _UNDER_WAY.items():
        if (inside / name).exists():
            return what
    return ""


def beside(repository: Repository, branch: str) -> str:
    """The first commit by a person that HEAD has and a branch has not; empty where there is none."""
    tip = repository.tip(branch)
    known = {made.sha for made in repository.log(tip)} if tip else set()
    for made in repository.log():
        if made.sha in known:
            return ""
        if "Company-Run" not in made.trailers:
            return made.sha
    return ""
