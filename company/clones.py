"""A run in somebody's repository: a clone of its last commit to work in, and a branch in it with what came of that.

Nothing of theirs is touched but the object store and that one branch. How git is called: `gitdoor.py`. Work in the clone:
`workspace.py`.
"""

from __future__ import annotations

import ntpath
import os
import re
import stat
import tempfile
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from company import gitdoor
from company.errors import UsageError, WorkspaceError
from company.gitdoor import EXECUTABLE, NO_COMMIT, REGULAR, Entry, git_errors, hardened
from company.paths import disk_errors
from company.workspace import Repository

if TYPE_CHECKING:
    import git

_LINK, _SUBMODULE = 0o120000, 0o160000
_INDEXED = re.compile(
    r"(\d+) ([0-9a-f]{40}) (\d)\t([^\0]+)\0  ctime: .*\n  mtime: (\d+):(\d+)\n.*\n.*\n  size: (\d+)\tflags: ([0-9a-f]+)\n"
)
_NOT_THERE = 1 << 30
"""Flag of an index entry that a sparse checkout leaves out."""
_SHOWN = 3


def branch_of(run: str) -> str:
    """The branch that a run works on, and that it leaves in the repository it was let into."""
    return f"company/{run}"


@dataclass(frozen=True)
class Source:
    """Somebody's repository: ordinary, bare, a linked work tree or a submodule."""

    path: Path
    """Its top folder."""
    own: Path
    """Its own git folder."""
    common: Path
    """The git folder that linked work trees share: where objects and branches are."""

    @classmethod
    def at(cls, path: Path) -> Source:
        """The repository whose top folder, or bare folder, is `path`.

        Raises:
            UsageError: there is none, or it may not be written.
        """
        with disk_errors("open the repository", path):
            top = path.resolve()
            own = _git_folder(top)
            if own is None:
                raise _no_repository(path, top)
            shared = own / "commondir"
            common = (own / shared.read_text().strip()).resolve() if shared.is_file() else own
            if not os.access(common / "objects", os.W_OK | os.X_OK):
                raise UsageError(
                    "this repository may not be written, and the result is to become a branch in it",
                    place=str(path),
                    hint="make it writable, or give a clone of it",
                )
        return cls(top, own, common)

    def head(self) -> str:
        """The id of the commit at HEAD.

        Raises:
            UsageError: there is no commit yet, or its ids are no SHA-1.
        """
        sha = self._commit("HEAD")
        if not sha:
            raise UsageError(
                "this repository has no commit yet, so there is nothing to begin from",
                place=str(self.path),
                hint="commit what is there; for a new project leave out `--into`",
            )
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            raise UsageError("this repository names objects by SHA-256; only SHA-1 is known here", place=str(self.path))
        return sha

    def uncommitted(self) -> list[str]:
        """Paths whose content is not that of HEAD's commit, as far as can be told without running anything of theirs."""
        if not (self.path / ".git").exists():
            return []
        with git_errors(self.path), disk_errors("look at the working tree", self.path):
            listed = self._git().diff_index("--cached", "--name-only", "-z", "HEAD")
            untracked = ("--others", "--exclude-standard", "--directory", "--no-empty-directory")
            others = self._git().ls_files(*untracked, "-z")  # a folder of nothing but ignored files counts as empty
            found = [path for path in f"{listed}\0{others}".split("\0") if path]
            indexed = self._git().ls_files("--stage", "--debug", "-z")
            found += [known[3] for known in _INDEXED.findall(indexed) if _differs(self.path / known[3], known)]
        return sorted(set(found))

    def free(self, run: str) -> None:
        """See that the run's branch can be made.

        Raises:
            UsageError: a branch is called `company`, and git keeps branches as files in folders.
        """
        if self.tip("company"):
            raise UsageError(
                f"there is a branch `company` here, so git cannot make the branch `{branch_of(run)}`",
                place=str(self.path),
                hint="rename it: git branch -m company something-else",
            )

    def clone(self, base: str, path: Path, run: str) -> Repository:
        """A repository at `path` on the run's branch at the commit `base`, with its history and its files.

        Raises:
            WorkspaceError: it cannot be read or written; nothing is left.
        """

        def fill(made: Path) -> None:
            door = hardened(made)
            with git_errors(self.path):
                _carry(self._git(), _git_of(door, made), [base], "index_pack", "--stdin")
            shallow = self.common / "shallow"
            if shallow.is_file():
                (made / ".git/shallow").write_bytes(shallow.read_bytes())
            with git_errors(made):
                _git_of(door, made).update_ref("HEAD", base)
                repo = door(made, expand_vars=False)
                try:
                    _check_out(repo, made, gitdoor.walk(repo, gitdoor.head(repo)[1]))
                finally:
                    repo.close()
                _git_of(door, made).read_tree("HEAD")

        return Repository.create(path, run, branch_of(run), fill)

    def deliver(self, repository: Repository, base: str, run: str) -> str:
        """Make the run's branch here what it is in its clone, or move it forward to that; returns the commit.

        Raises:
            WorkspaceError: somebody else has moved the branch or has it checked out; it was left alone.
        """
        branch, clone = branch_of(run), repository.path
        tip = repository.head() or base
        with git_errors(clone):
            inside = _git_of(hardened(clone), clone)
            ours = [base, *str(inside.rev_list("--first-parent", tip, f"^{base}")).split()]
        there = self.tip(branch)
        if there == tip:
            return tip
        if there and there not in ours:
            raise WorkspaceError(
                f"the branch {branch} was moved by somebody else, and is left alone",
                place=str(self.path),
                hint=f"the result is in {clone}; get it under another name: git fetch {clone} {branch}:NAME",
            )
        if there and (place := self._checked_out(branch)):
            raise WorkspaceError(
                f"the branch {branch} is checked out in {place}, and what is checked out is left alone",
                place=str(self.path),
                hint=f"check out another branch, then `company resume {run}`; or: git pull --ff-only {clone} {branch}",
            )
        with git_errors(self.path):
            known = [f"^{base}"] if self._commit(base) else []
            _carry(inside, self._git(), [tip, *known], "unpack_objects", "-q")
            who = {"GIT_COMMITTER_NAME": "Company", "GIT_COMMITTER_EMAIL": "company@company.invalid"}
            reference = f"refs/heads/{branch}"
            self._git().update_ref("--no-deref", "-m", "company", reference, tip, there or NO_COMMIT, env=who)
        return tip

    def tip(self, branch: str) -> str:
        """The id of a branch's last commit; empty without such a branch."""
        return self._commit(f"refs/heads/{branch}")

    def _git(self) -> git.Git:
        return _git_of(hardened(self.path, self.own, self.common), self.path)

    def _commit(self, name: str) -> str:
        """The commit that a name stands for; empty where there is none."""
        with git_errors(self.path):
            import git

            try:
                return str(self._git().rev_parse("--verify", "--quiet", f"{name}^{{commit}}"))
            except git.GitCommandError as error:
                if error.status == 1:
                    return ""
                raise

    def _checked_out(self, branch: str) -> str:
        """The work tree that has a branch checked out; empty for none."""
        with git_errors(self.path):
            listed = str(self._git().worktree("list", "--porcelain")).split("\n\n")
        mine = next((each for each in listed if f"branch refs/heads/{branch}" in each.split("\n")), "")
        return mine.partition("\n")[0].removeprefix("worktree ")


def told(paths: list[str], source: Source) -> str:
    """What to say of work that is not committed; empty where all is."""
    if not paths:
        return ""
    some = ", ".join(paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")
    return f"{source.path} has work that is not committed ({some}): it is left alone and no part of what the run begins from"


def _git_folder(top: Path) -> Path | None:
    """The git folder of the repository at `top`; None where there is none."""
    inside = top / ".git"
    if inside.is_file():
        pointed = re.match(r"gitdir: (.+)", inside.read_text("utf-8", "surrogateescape"))
        inside = (top / pointed[1].strip()).resolve() if pointed else inside
    return next((each for each in (inside, top) if (each / "HEAD").is_file() and _has_objects(each)), None)


def _has_objects(folder: Path) -> bool:
    return (folder / "objects").is_dir() or (folder / "commondir").is_file()


def _no_repository(path: Path, top: Path) -> UsageError:
    above = next((each for each in top.parents if _git_folder(each)), None)
    fact = "this is not the top folder of a git repository" if top.is_dir() else "there is no such folder"
    hint = (
        f"the repository's top folder is {above}"
        if above
        else f"make it one: git init {path}, and commit what is there"
    )
    return UsageError(fact, place=str(path), hint=hint if top.is_dir() else "give the folder of a git repository")


def _git_of(door: type[git.Repo], path: Path) -> git.Git:
    return door.GitCommandWrapperType(path)


def _carry(here: git.Git, there: git.Git, revisions: list[str], unpack: str, *options: str) -> None:
    """Copy the objects that revisions reach from one repository into another."""
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as pack:
        asked.write("".join(f"{revision}\n" for revision in revisions).encode())
        asked.seek(0)
        here.pack_objects("--revs", "--stdout", "-q", "--delta-base-offset", istream=asked, output_stream=pack)
        pack.seek(0)
        getattr(there, unpack)(*options, istream=pack)


def _check_out(repo: git.Repo, folder: Path, tree: Mapping[str, Entry]) -> None:
    """Write the files of a commit, byte for byte, links last: whatever they point to, nothing is written through them."""
    for path in tree:
        if problem := _problem(path):
            raise WorkspaceError(f"the commit has a path that {problem}: {path!a}", hint="rename it, and commit that")
    for path, entry in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode == _SUBMODULE:
            target.mkdir(exist_ok=True)
        elif entry.mode != _LINK:
            with target.open("xb") as file:
                file.write(gitdoor.data(repo, entry.sha))
            if entry.mode == EXECUTABLE:
                target.chmod(target.stat().st_mode | 0o111)
    for path, entry in tree.items():
        if entry.mode == _LINK:
            (folder / path).symlink_to(os.fsdecode(gitdoor.data(repo, entry.sha)))


def _problem(path: str) -> str:
    """Why a path of a commit cannot be checked out anywhere; empty where it can."""
    if ntpath.splitdrive(path)[0]:
        return "looks like a drive's letter, which GitPython refuses"
    for name in path.split("/"):
        visible = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
        plain = unicodedata.normalize("NFKC", visible).casefold().rstrip(" .")
        if name in ("", ".", "..") or plain == ".git" or re.fullmatch(r"git~[0-9]+", plain):
            return "git itself refuses"
        if any(0xD800 <= ord(letter) < 0xE000 for letter in name):
            return "is not UTF-8"
    return ""


def _differs(path: Path, known: tuple[str, ...]) -> bool:
    """Whether a file of the working tree is not what the index has, by its status, else by its bytes."""
    mode, sha, _, _, seconds, nanoseconds, size, flags = known
    if int(mode, 8) == _SUBMODULE or int(flags, 16) & _NOT_THERE:
        return False
    try:
        status = path.lstat()
        written = int(seconds) * 10**9 + int(nanoseconds)
        if status.st_size & 0xFFFFFFFF == int(size) and status.st_mtime_ns == written:
            return False
        is_file = int(mode, 8) in REGULAR and stat.S_ISREG(status.st_mode)
        content = path.read_bytes() if is_file else os.fsencode(path.readlink())
    except OSError:
        return True
    return gitdoor.whole_object("blob", content)[0] != sha
