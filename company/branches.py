"""Branches of a run's repository: another one is begun, moved forward to what came from elsewhere, or compared with the files.

One commit after another: `workspace.py`. Branches in somebody's repository: `clones.py`; at a remote: `remotes.py`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from company import gitdoor
from company.errors import UnsafePath
from company.gitdoor import EXECUTABLE, FILE, LINK, MODULE, NO_COMMIT, REGULAR, Entry
from company.paths import safe_path, write_atomic
from company.workspace import Repository, commit_object, same

if TYPE_CHECKING:
    import git

_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}
"""What lies in `.git` meanwhile → the command."""
_INTENDED = Entry(FILE, bytes.fromhex("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"))
"""The empty file, which `git add --intent-to-add` puts into the index."""


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


@dataclass(frozen=True)
class Work:
    """What a person has in the working tree or in the index that HEAD has otherwise."""

    entries: Mapping[str, Entry | None]
    """Path → what stands there, as git would record it; None where nothing does."""
    contents: Mapping[str, bytes]
    """Of the files and links among them."""
    staged: Mapping[str, Entry | None]
    """Path → what is staged of it, where that is neither HEAD's nor the working tree's."""
    unmerged: tuple[str, ...] = ()
    """Paths with conflicts that are not resolved."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.staged or self.unmerged)


def edited(repository: Repository) -> Work:
    """What differs from HEAD. Files that git does not track are left out.

    Raises:
        UnsafePath: a folder stands where a file belongs, or a file or a link where a folder does.
    """
    entries: dict[str, Entry | None] = {}
    staged: dict[str, Entry | None] = {}
    contents: dict[str, bytes] = {}
    with repository.opened() as repo:
        tracked = gitdoor.walk(repo, gitdoor.head(repo)[1])
        index, unmerged = _index(repo, tracked)
        for path in {**tracked, **index}:
            known, put = tracked.get(path), index.get(path)
            entry = put
            if MODULE not in (one.mode for one in (known, put) if one):
                content = _standing(repository, path)
                entry = Entry(content[0], _blob(content[1])) if content else None
                contents |= {path: content[1]} if content and entry != known else {}
            if entry != known:
                entries[path] = entry
            if put not in (known, entry) and (known or put != _INTENDED):
                staged[path] = put
    return Work(entries, contents, staged, unmerged)


def _index(repo: git.Repo, tracked: dict[str, Entry]) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """What is staged, and the paths with conflicts; as HEAD has it where there is no index that can be read."""
    listed = gitdoor.listed(repo)
    if listed is None:
        return tracked, ()
    found = {path: entry for (path, stage), entry in listed.items() if not stage}
    return found, tuple(dict.fromkeys(path for path, stage in listed if stage))


def _standing(repository: Repository, path: str) -> tuple[int, bytes] | None:
    """Mode and content of the file or link at a path."""
    if found := repository.tree.read(path):
        return EXECUTABLE if found[1].st_mode & stat.S_IXUSR else FILE, found[0]
    if (target := repository.tree.target(path)) is not None:
        return LINK, target
    repository.tree.check(path)
    return None


def _blob(content: bytes) -> bytes:
    return bytes.fromhex(gitdoor.whole_object("blob", content)[0])


def tree(repository: Repository, at: str) -> dict[str, Entry]:
    """Everything in a commit that is no folder: path → entry."""
    with repository.opened() as repo:
        return gitdoor.walk(repo, gitdoor.tree_at(repo, at))


def contents(repository: Repository, entries: Mapping[str, Entry]) -> dict[str, bytes]:
    """What git has of these entries."""
    with repository.opened() as repo:
        return {path: gitdoor.data(repo, entry.sha) for path, entry in entries.items()}


def in_the_way(repository: Repository, paths: Iterable[str]) -> None:
    """See that files can be written at these paths once those that HEAD has are put away.

    Raises:
        UnsafePath: a folder stands where a file belongs, or a file or a link where a folder does.
    """
    tracked = tree(repository, "HEAD")
    for path in paths:
        try:
            repository.tree.check(path)
        except UnsafePath:
            inside = [
                (Path(folder) / name).relative_to(repository.path).as_posix()
                for folder, _, names in os.walk(repository.path / path)
                for name in names
            ]
            below = inside and all(each in tracked for each in inside)
            if not (below or any(each in tracked for each in above(path))):
                raise


def above(path: str) -> list[str]:
    """The folders that a path lies in, outermost first."""
    return list(accumulate(path.split("/"), "{}/{}".format))[:-1]


def switch(repository: Repository, branch: str, at: str, away: Collection[str] = ()) -> None:
    """Begin a new branch at a commit and put its files and links in place of HEAD's; those that git does not track stay.

    Args:
        away: paths that a person changed; what stands there is kept elsewhere.

    Raises:
        WorkspaceError: there is such a branch.
    """
    repository.unlock()
    files = repository.tree
    with repository.opened() as repo:
        if repository.tip(branch) != at:
            repo.git.update_ref("-m", "company", f"refs/heads/{branch}", at, NO_COMMIT)
        left, base = gitdoor.head(repo)
        before, after = gitdoor.walk(repo, base), gitdoor.walk(repo, gitdoor.tree_at(repo, at))
        write_atomic(repository.left, (left or "").encode())
        repo.git.symbolic_ref("-m", "company", "HEAD", f"refs/heads/{branch}")
        for path, entry in before.items():  # `restore` deals with files that nobody changed
            is_mine = path in away and path not in after and entry.mode != MODULE
            is_link = entry.mode == LINK and after.get(path) != entry
            if is_mine or (is_link and files.target(path) == gitdoor.data(repo, entry.sha)):
                files.remove(path)
        links = {path: entry.sha for path, entry in after.items() if entry.mode == LINK}
        changed = [path for path in links if path in away or before.get(path) != after[path]]
        targets = {path: gitdoor.data(repo, links[path]) for path in changed}
    repository.restore()
    for path, target in targets.items():
        files.link(target, path)


def keep(repository: Repository, ref: str, work: Work, subject: str) -> None:
    """Put what a person has on top of HEAD as a commit by a person that only `ref` leads to.

    What is staged and is otherwise than HEAD and the working tree is the commit before it.
    """
    with repository.opened() as repo:
        parent, base = gitdoor.head(repo)
        for path in work.entries:
            if path in work.contents:
                gitdoor.store(repo, "blob", work.contents[path])
        for entries, what in ((work.staged, f"{subject}, as staged"), (work.entries, subject)):
            if entries or entries is work.entries:
                tree = gitdoor.overlaid(repo, base, entries)
                raw = commit_object(tree, parent, "Person", "person@company.invalid", int(time.time()), what)
                parent = gitdoor.store(repo, "commit", raw).hex()
        repo.git.update_ref("-m", "company", ref, parent, NO_COMMIT)


def beyond(repository: Repository, ref: str, work: Work) -> Work:
    """What of it a ref, which `keep` made, does not lead to."""
    with repository.opened() as repo:
        sha: str = repo.git.rev_parse("--quiet", "--verify", f"{ref}^{{commit}}", with_exceptions=False)
        if not sha:
            return work
        raw = gitdoor.data(repo, bytes.fromhex(sha))
        known = gitdoor.walk(repo, gitdoor.tree_of(raw))
        parent = gitdoor.parent_of(raw)
        before = gitdoor.walk(repo, gitdoor.tree_at(repo, parent)) if parent else {}
    return Work(
        {path: entry for path, entry in work.entries.items() if known.get(path) != entry},
        work.contents,
        {path: entry for path, entry in work.staged.items() if before.get(path) != entry},
    )


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
