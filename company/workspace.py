"""A run's git repository: the only place that touches it. The lock that keeps a second run out: `lock.py`.

Objects first, then the branch by compare and swap, then the files: `restore` finishes what died between.
How git is called and read: `gitdoor.py`. Which paths are allowed and how files reach the disk: `paths.py`.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from company import gitdoor, index
from company.errors import WorkspaceError
from company.gitdoor import EXECUTABLE, NO_COMMIT, REGULAR, Commit, Entry, git_errors, hardened
from company.lock import Lock
from company.paths import WorkingTree, disk_errors, safe_path, write_atomic

if TYPE_CHECKING:
    import git

__all__ = ["Commit", "Repository", "safe_path", "write_atomic"]

_ATTRIBUTES = b"* -text -ident !filter !diff !merge !eol !working-tree-encoding\n"
"""Overrules any generated .gitattributes in this clone: content is what was committed, byte for byte."""
_STALE = ("*.lock", "refs/**/*.lock", "objects/*/*.lock")


class Repository:
    """One run's git repository with its working tree. Hold its `Lock` while you write.

    Every method may raise WorkspaceError: git is missing or failed, the disk is full or closed to us.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._dot_git = self.path / ".git"
        self.tree = WorkingTree(self.path, self._dot_git / "company")
        self.overwrote: list[str] = []
        """What commits found in the place of their files and git did not know: path, and under which id git keeps it now."""
        self.left = self._dot_git / "company" / "left"
        """Holds the commit whose files are being put away for those of another branch."""

    @classmethod
    def create(
        cls, path: Path, owner: str = "", branch: str = "main", fill: Callable[[Path], None] = lambda made: None
    ) -> Repository:
        """A new, empty repository on a branch; made and filled beside `path` and renamed: whole or not there.

        Args:
            owner: the run that it is for.

        Raises:
            WorkspaceError: there is something at `path` already, or it cannot be written.
        """
        with disk_errors("create the repository", path):
            if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
                raise _taken(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            made = path.with_name(f".new-{secrets.token_hex(8)}")
            made.mkdir()
            try:
                with git_errors(made):
                    hardened(made).init(
                        made, mkdir=False, template="", initial_branch=branch, allow_unsafe_options=True
                    ).close()
                (made / ".git/info").mkdir()
                write_atomic(made / ".git/info/attributes", _ATTRIBUTES)
                (made / ".git/company").mkdir()
                write_atomic(made / ".git/company/run", owner.encode())
                fill(made)
                try:
                    made.rename(path)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    raise _taken(path) from error  # by another run, since we looked
            finally:
                shutil.rmtree(made, ignore_errors=True)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Repository:
        """The repository whose top folder is `path`.

        Raises:
            WorkspaceError: there is none, or it is a linked work tree or a submodule.
        """
        with disk_errors("open the repository", path), suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISDIR((path / ".git").lstat().st_mode) and (path / ".git/HEAD").exists():
                return cls(path)
        raise WorkspaceError(
            "this is not the top folder of a git repository",
            place=str(path),
            hint="name a folder that has a .git folder; of a linked work tree or a submodule make a clone",
        )

    @property
    def owner(self) -> str:
        """The run that it was made for; empty where that is not known."""
        with disk_errors("read the repository's owner", self.path), suppress(FileNotFoundError):
            return (self._dot_git / "company/run").read_text("utf-8", "replace")
        return ""

    def commit(
        self,
        files: Mapping[str, bytes | None],
        *,
        subject: str,
        author: str,
        email_slug: str,
        trailers: Mapping[str, str],
        instead: str = "",
        made: int | None = None,
    ) -> Commit | None:
        """Put `files` (None deletes) on top of HEAD as one commit, then into the working tree.

        The commit is whole or absent. If the process dies before the files are in place, `restore` finishes.
        `made` is its time in seconds since the epoch, now by default: with the time of a commit that was lost, on the
        same parent, it is that commit again.

        Args:
            instead: a commit that is taken over if it is this one but for author, message and time.

        Returns:
            The commit, or None when nothing would change.

        Raises:
            UnsafePath: a path is refused, or what stands at it is no place for a file. Nothing was changed.
        """
        contents = _normalised(files)
        for path in contents:
            self.tree.check(path)
        with self.opened() as repo:
            parent, base = gitdoor.head(repo)
            blobs = {
                path: None if content is None else gitdoor.store(repo, "blob", content)
                for path, content in contents.items()
            }
            entries: dict[str, Entry | None] = {}
            tree = gitdoor.change_tree(repo, base, nested(blobs), entries)
            if tree == (base or gitdoor.EMPTY_TREE):
                return None
            made = int(time.time()) if made is None else made
            name = gitdoor.line(author, "<>") or "company"
            email = f"{gitdoor.line(email_slug, '<> ')}@company.invalid"
            raw = commit_object(tree, parent, name, email, made, gitdoor.message(subject, trailers))
            known = gitdoor.commit_of(repo, instead) if instead else None
            if known and gitdoor.parent_of(known) == parent and gitdoor.tree_of(known) == tree:
                raw = known
            sha = gitdoor.store(repo, "commit", raw).hex()
            try:
                staged = self._stage(contents, entries)
                self._refuse_if_locked()
                for path in staged:
                    if (found := self.tree.read(path)) and (note := self._keep(repo, found[0])):
                        self.overwrote.append(path + note)
                self.move_head(repo, sha, parent, name, email)
                self._refresh_index(repo, self._place(staged, entries))
            finally:
                self.tree.clear_staging()
        return gitdoor.parse(sha, raw)

    def restore(self) -> list[str]:
        """Make the tracked files of the working tree equal HEAD, and clear what a killed process left behind.

        Files that git does not track are left alone. An edit that would be lost is kept as a git object, which
        the answer names.

        Returns:
            What was mended, one line each, beginning with the path; empty when all was well.

        Raises:
            WorkspaceBusy: another process holds the repository's `Lock`.
            UnsafePath: a link or a folder stands where a tracked file belongs.
        """
        with nullcontext() if Lock.is_held(self.path) else Lock(self.path), self.opened() as repo:
            mended = self.unlock()
            self.tree.clear_staging()
            sha, tree = gitdoor.head(repo)
            tracked = gitdoor.walk(repo, tree)
            raw = index.read(self._dot_git / "index")
            indexed = index.entries(raw) if raw is not None else gitdoor.listed(repo) or {}
            mended += self._finish_deletions(repo, sha, tracked, indexed)  # a file may take the place of a folder
            status: index.Changes = {}
            for path, entry in tracked.items():
                found = self.tree.read(path) if entry.mode in REGULAR else None
                if entry.mode in REGULAR and not (found and same(entry, *found)):
                    mended.append(path + (self._keep(repo, found[0]) if found else ""))
                    content = gitdoor.data(repo, entry.sha)
                    staged = self.tree.stage(content, executable=entry.mode == EXECUTABLE)
                    status[path] = (entry, self.tree.place(staged, path))
                else:
                    status[path] = (entry, found[1] if found else None)
            if mended or indexed != {(path, 0): entry for path, entry in tracked.items()}:
                self._refresh_index(repo, status, anew=True)
                mended = mended or [".git/index"]
            self.left.unlink(missing_ok=True)
        return mended

    def files(self, at: str = "HEAD") -> Mapping[str, bytes]:
        """Every regular file of a commit: path → content. Links and submodules are left out."""
        with self.opened() as repo:
            found = gitdoor.walk(repo, gitdoor.tree_at(repo, at)).items()
            return {path: gitdoor.data(repo, entry.sha) for path, entry in found if entry.mode in REGULAR}

    def branch(self) -> str:
        """The branch that HEAD stands on; empty when it stands on none."""
        with self.opened() as repo:
            name: str = repo.git.symbolic_ref("--quiet", "HEAD", with_exceptions=False)
            return name.removeprefix("refs/heads/")

    def has(self, sha: str) -> bool:
        """Whether there is a commit with this id."""
        with self.opened() as repo:
            return gitdoor.commit_of(repo, sha) is not None

    def tip(self, branch: str) -> str:
        """The id of a branch's last commit; empty without such a branch."""
        with self.opened() as repo:
            sha: str = repo.git.rev_parse(
                "--quiet", "--verify", f"refs/heads/{branch}^{{commit}}", with_exceptions=False
            )
            return sha

    def log(self, tip: str | None = None, most: int | None = None) -> list[Commit]:
        """The commits from `tip`, by default HEAD, back along first parents, newest first; at most so many."""
        with self.opened() as repo:
            return list(islice(self._history(repo, tip), most))

    def head(self) -> str | None:
        """The id of the commit at HEAD; None before the first one."""
        with self.opened() as repo:
            return gitdoor.head(repo)[0]

    @contextmanager
    def opened(self) -> Iterator[git.Repo]:
        with disk_errors("use the repository", self.path), git_errors(self.path):
            repo = hardened(self.path)(self.path, expand_vars=False)
            try:
                yield repo
            finally:
                repo.close()

    def _stage(
        self, contents: Mapping[str, bytes | None], entries: Mapping[str, Entry | None]
    ) -> dict[str, Path | None]:
        staged: dict[str, Path | None] = {}
        for path, entry in entries.items():
            content = contents[path]
            executable = entry is not None and entry.mode == EXECUTABLE
            staged[path] = None if content is None else self.tree.stage(content, executable=executable)
        return staged

    def _refuse_if_locked(self) -> None:
        if (self._dot_git / "index.lock").exists():
            raise self._locked()

    def _locked(self) -> WorkspaceError:
        return WorkspaceError(
            "another git command is at work in the repository, or was killed in it (.git/index.lock)",
            place=str(self.path),
            hint="wait for it to end, then run `company resume`, which clears what a killed one left",
        )

    def move_head(self, repo: git.Repo, sha: str, parent: str | None, name: str, email: str) -> None:
        """Compare and swap: the branch moves only if it still stands at `parent`."""
        who = {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}
        repo.git.update_ref("-m", "company", "HEAD", sha, parent or NO_COMMIT, env=who)

    def _place(self, staged: Mapping[str, Path | None], entries: Mapping[str, Entry | None]) -> index.Changes:
        status: index.Changes = {}
        for path, content in sorted(staged.items(), key=lambda item: item[1] is not None):
            entry = entries[path]
            if content and entry:
                status[path] = (entry, self.tree.place(content, path))
            else:
                self.tree.remove(path)
                status[path] = None
        return status

    def _refresh_index(self, repo: git.Repo, status: index.Changes, *, anew: bool = False) -> None:
        """Tell the index what was put in place: `git status` is clean. A damaged index is made anew."""
        known = {} if anew else index.read(self._dot_git / "index")
        if known is None:
            _, tree = gitdoor.head(repo)
            known, status = {}, {path: (entry, None) for path, entry in gitdoor.walk(repo, tree).items()} | status
        index.change(known, status)
        with disk_errors("write the index of", self.path):
            try:
                index.write(self._dot_git / "index", known)
            except FileExistsError:
                raise self._locked() from None

    def unlock(self) -> list[str]:
        """Remove the locks that a killed git left; which they were."""
        found = [stale for pattern in _STALE for stale in self._dot_git.glob(pattern)]
        for stale in found:
            stale.unlink(missing_ok=True)
        return [stale.relative_to(self.path).as_posix() for stale in found]

    def _keep(self, repo: git.Repo, content: bytes) -> str:
        """See that git has this content; says under which id if it had not."""
        sha, _ = gitdoor.whole_object("blob", content)
        try:
            repo.git.get_object_header(sha)
        except ValueError:
            gitdoor.store(repo, "blob", content)
            repo.git.update_ref(
                "-m", "company", f"refs/company/overwritten/{sha}", sha
            )  # else git throws it away one day
            return f" (had been edited; `git cat-file -p {sha[:12]}` shows what it held)"
        return ""

    def _finish_deletions(
        self, repo: git.Repo, sha: str | None, tracked: Mapping[str, Entry], indexed: Mapping[tuple[str, int], Entry]
    ) -> list[str]:
        """Remove files that HEAD's commit deleted, or another branch does not have, and the index still has."""
        parent = self._parent(sha, gitdoor.data(repo, bytes.fromhex(sha))) if sha else None
        with suppress(FileNotFoundError):
            parent = self.left.read_text() or parent
        if not parent:
            return []
        gone = []
        before = gitdoor.walk(repo, gitdoor.tree_of(gitdoor.data(repo, bytes.fromhex(parent))))
        for path in sorted(before.keys() - tracked.keys()):
            known = indexed.get((path, 0))
            found = self.tree.read(path)
            if known and found and known.sha == before[path].sha and same(before[path], *found):
                self.tree.remove(path)
                gone.append(path)
        return gone

    def _history(self, repo: git.Repo, tip: str | None = None) -> Iterator[Commit]:
        sha = tip or gitdoor.head(repo)[0]
        while sha:
            raw = gitdoor.data(repo, bytes.fromhex(sha))
            yield gitdoor.parse(sha, raw)
            sha = self._parent(sha, raw)

    def _parent(self, sha: str, raw: bytes) -> str | None:
        """A commit's first parent; None for the first commit, and where a shallow clone ends."""
        shallow = self._dot_git / "shallow"
        return None if shallow.exists() and sha in shallow.read_text().split() else gitdoor.parent_of(raw)


def _taken(path: Path) -> WorkspaceError:
    return WorkspaceError(
        "there is something here already, and nothing is ever overwritten",
        place=str(path),
        hint="choose another --name, or continue the run that made it with `company resume`",
    )


def _normalised(files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    contents: dict[str, bytes | None] = {}
    for path, content in files.items():
        if safe_path(path) in contents:
            raise gitdoor.conflict(safe_path(path), "is given twice")
        contents[safe_path(path)] = content
    return contents


def nested(blobs: Mapping[str, bytes | None]) -> gitdoor.Changes:
    changes: gitdoor.Changes = {}
    for path, sha in sorted(blobs.items()):
        *folders, name = path.split("/")
        here = changes
        for folder in folders:
            inner = here.setdefault(folder, {})
            if not isinstance(inner, dict):
                raise gitdoor.conflict(path, "lies in a folder that is given as a file")
            here = inner
        here[name] = sha
    return changes


def same(entry: Entry, content: bytes, status: os.stat_result) -> bool:
    is_executable = bool(status.st_mode & stat.S_IXUSR)
    sha, _ = gitdoor.whole_object("blob", content)
    return bytes.fromhex(sha) == entry.sha and is_executable == (entry.mode == EXECUTABLE)


def commit_object(tree: bytes, parent: str | None, name: str, email: str, made: int, message: str) -> bytes:
    who = f"{name} <{email}> {made} +0000"
    ancestry = f"tree {tree.hex()}\n" + (f"parent {parent}\n" if parent else "")
    return f"{ancestry}author {who}\ncommitter {who}\n\n{message}".encode()
