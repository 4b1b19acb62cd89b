"""How git is reached: one door for every git command, and the objects behind it as plain data.

A repository's config can name programs for git to run; what passes this door runs none. Git 2.32 or newer.
What is written, and in what order: `workspace.py`. Which paths are allowed: `paths.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from company.errors import UnsafePath, WorkspaceError
from company.paths import write_atomic

if TYPE_CHECKING:
    import git

FILE, EXECUTABLE, FOLDER, LINK, MODULE = 0o100644, 0o100755, 0o040000, 0o120000, 0o160000
REGULAR = (FILE, EXECUTABLE)
NO_COMMIT = "0" * 40
_CONFIG = [
    f"core.hooksPath={os.devnull}", "core.fsmonitor=false", "commit.gpgSign=false", "gc.auto=0",
    "maintenance.auto=false", "core.protectHFS=true", "core.protectNTFS=true", "protocol.allow=never", "core.alternateRefsCommand=",
    "core.logAllRefUpdates=true", "core.fsync=committed,loose-object",
]  # fmt: skip
KINDS = {FOLDER: "a folder", LINK: "a symbolic link", MODULE: "a repository of its own"}
EMPTY_TREE = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")
"""The id of the tree without entries."""
_PAGES = 64 * 1024
"""Bytes; a disk with less is full as far as git is concerned."""
_environment = Lock()
_ROW = re.compile(rb"([0-7]+ ([^\0]+)\0.{20})", re.DOTALL)
"""What a raw tree says of one name: mode, name, id."""
_TRAILER = re.compile(r"([A-Za-z][A-Za-z0-9-]*): (.*)")


class Entry(NamedTuple):
    """What a tree says of a name: its mode and the object's binary id."""

    mode: int
    sha: bytes


Changes = dict[str, Union[bytes, "Changes", None]]
"""A folder's changes: name → a blob's id, the changes of a folder in it, or None to delete."""


@dataclass(frozen=True)
class Commit:
    """One commit of the history. `time` is in seconds since the epoch."""

    sha: str
    subject: str
    author: str
    time: int
    trailers: Mapping[str, str]


def hardened(path: Path, own: Path | None = None, common: Path | None = None) -> type[git.Repo]:
    """GitPython's repository class, its every command bound to the repository at `path` and our config.

    Args:
        own: its own git folder; ``path/.git`` by default.
        common: the git folder that a linked work tree shares with others; `own` by default.
    """
    with git_errors(path):
        import git

    own = own or path / ".git"
    common = common or own

    environment = {name: "0" for name in os.environ if name.startswith("GIT_TRACE")} | {
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "0", "GIT_CONFIG_PARAMETERS": "", "GIT_ATTR_NOSYSTEM": "1",
        "GIT_DIR": str(own), "GIT_COMMON_DIR": str(common), "GIT_WORK_TREE": str(path),
        "GIT_INDEX_FILE": f"{own}/index", "GIT_OBJECT_DIRECTORY": f"{common}/objects",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "", "GIT_SHALLOW_FILE": f"{common}/shallow",
        "GIT_GRAFT_FILE": os.devnull, "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1",
        "GIT_NAMESPACE": "", "GIT_DEFAULT_HASH": "sha1", "GIT_TERMINAL_PROMPT": "0", "GIT_ADVICE": "0",
    }  # fmt: skip

    class Door(git.Git):
        def __init__(self, working_dir: str | os.PathLike[str] | None = None) -> None:
            super().__init__(working_dir)
            self.set_persistent_git_options(c=_CONFIG)
            self.update_environment(**environment)

    class Repo(git.Repo):
        GitCommandWrapperType = Door

        def __init__(self, *arguments: Any, **options: Any) -> None:
            with _no_git_variables():
                super().__init__(*arguments, **options)

    return Repo


@contextmanager
def _no_git_variables() -> Iterator[None]:
    """Hide what a git hook or a user's shell sets for another repository: GitPython reads it in this process."""
    with _environment:
        hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GIT_")}
        try:
            yield
        finally:
            os.environ.update(hidden)


@contextmanager
def git_errors(path: Path) -> Iterator[None]:
    """Turn what git and GitPython raise inside into a WorkspaceError."""
    try:
        import git
    except ImportError as error:
        raise _no_git() from error
    try:
        yield
    except git.GitCommandNotFound as error:
        raise _no_git() from error
    except git.GitCommandError as error:
        said = str(error.stderr).strip().removeprefix("stderr: ").strip("' \n")
        raise WorkspaceError(f"git failed: {said}", place=str(path), hint=_way_out(said, path)) from error
    except (git.GitError, ValueError, AssertionError) as error:
        raise WorkspaceError(
            f"the repository cannot be read: {error}",
            place=str(path),
            hint="run `git fsck` in it; a clone from before the damage can take its place",
        ) from error


def _no_git() -> WorkspaceError:
    return WorkspaceError("git is not installed", hint="install git, version 2.32 or newer")


def _way_out(said: str, path: Path) -> str:
    if ".lock" in said and "File exists" in said:
        return "wait for the other git command to end, then run `company resume`: it clears what a killed one left"
    if "but expected" in said or "reference already exists" in said:
        return "someone else committed to this branch meanwhile; leave the branch alone and run `company resume`"
    if "No space left" in said or _is_full(path):  # git does not say it of every file
        return "free some space, then run `company resume`"
    return "mend what git names, then run `company resume`"


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path if path.exists() else path.parent).free < _PAGES
    except OSError:
        return False


def head(repo: git.Repo) -> tuple[str | None, bytes | None]:
    """The commit at HEAD and the id of its tree; Nones before the first commit."""
    import git

    try:
        sha, _, _, raw = repo.git.get_object_data("HEAD")
    except ValueError:
        try:
            repo.git.rev_parse("--quiet", "--verify", "HEAD")
        except git.GitCommandError as unborn:
            if unborn.status == 1:
                return None, None
            raise
        raise
    # GitPython declares text and gives bytes.
    return sha.decode() if isinstance(sha, bytes) else sha, tree_of(raw)


def tree_at(repo: git.Repo, commit: str) -> bytes | None:
    """The id of the tree of a commit; None for the HEAD of a repository without commits."""
    return head(repo)[1] if commit == "HEAD" else tree_of(repo.git.get_object_data(commit)[3])


def tree_of(commit: bytes) -> bytes:
    """The tree's id in a raw commit."""
    return bytes.fromhex(commit[5:45].decode())


def parent_of(commit: bytes) -> str | None:
    """The first parent's id in a raw commit."""
    found = re.search(rb"^parent ([0-9a-f]{40})$", commit.partition(b"\n\n")[0], re.MULTILINE)
    return found[1].decode() if found else None


def commit_of(repo: git.Repo, sha: str) -> bytes | None:
    """The raw commit with this id; None when there is none."""
    try:
        _, kind, _, raw = repo.git.get_object_data(sha)
    except ValueError:
        return None
    return raw if kind in ("commit", b"commit") else None


def follows(repo: git.Repo, sha: str, earlier: str) -> bool:
    """Whether a commit is, or comes after, an earlier one."""
    import git

    try:
        repo.git.merge_base("--is-ancestor", earlier, sha)
    except git.GitCommandError as error:
        if error.status == 1:
            return False
        raise
    return True


def data(repo: git.Repo, sha: bytes) -> bytes:
    """The content of an object. Raises ValueError when it is missing."""
    return repo.git.get_object_data(sha.hex())[3]


def listed(repo: git.Repo) -> dict[tuple[str, int], Entry] | None:
    """What the index says of each path and stage, as git reads it; None where there is none that can be read."""
    from git import GitCommandError

    if not Path(repo.git_dir, "index").exists():
        return None
    try:
        lines: str = repo.git.ls_files("--stage", "-z")
    except GitCommandError:
        return None
    found = {}
    for line in filter(None, lines.split("\0")):
        about, _, path = line.partition("\t")
        mode, sha, stage = about.split(" ")
        found[path, int(stage)] = Entry(int(mode, 8), bytes.fromhex(sha))
    return found


def entries(repo: git.Repo, tree: bytes | None) -> dict[str, Entry]:
    """What lies in one folder; nothing for None."""
    return {name.decode("utf-8", "surrogateescape"): _entry(row) for name, row in _rows(repo, tree).items()}


def _rows(repo: git.Repo, tree: bytes | None) -> dict[bytes, bytes]:
    """The rows of a raw tree by name. GitPython's own reading raises at odd names: we say which they are."""
    raw = data(repo, tree) if tree else b""
    rows = {name: row for row, name in _ROW.findall(raw)}
    if b"".join(rows.values()) != raw:
        raise ValueError(f"the tree {(tree or b'').hex()} is damaged")
    return rows


def _entry(row: bytes) -> Entry:
    return Entry(int(row.partition(b" ")[0], 8), row[-20:])


def walk(repo: git.Repo, tree: bytes | None) -> dict[str, Entry]:
    """Everything in a tree that is no folder: path → entry."""
    found: dict[str, Entry] = {}
    folders = [("", tree)]
    while folders:
        at, here = folders.pop()
        for name, entry in entries(repo, here).items():
            if entry.mode == FOLDER:
                folders.append((f"{at}{name}/", entry.sha))
            else:
                found[at + name] = entry
    return found


def store(repo: git.Repo, kind: str, content: bytes) -> bytes:
    """Write a loose object, synced; returns its id. No process, no filter; a damaged one is replaced."""
    sha, whole = whole_object(kind, content)
    folder = Path(repo.git_dir, "objects", sha[:2])
    folder.mkdir(exist_ok=True)
    write_atomic(folder / sha[2:], zlib.compress(whole, 1))
    return bytes.fromhex(sha)


def change_tree(
    repo: git.Repo, base: bytes | None, changes: Changes, done: dict[str, Entry | None], at: str = ""
) -> bytes:
    """Store the tree `base` with `changes` and return its id; `done` gets what was set (None: deleted), by path.

    Raises:
        UnsafePath: a folder, a link or a submodule is where a file should be, or the other way about.
    """
    here = _rows(repo, base)
    for name, change in changes.items():
        path, key = at + name, name.encode()
        old = _entry(here.pop(key)) if key in here else None
        if old and old.mode not in ((FOLDER,) if isinstance(change, dict) else REGULAR):
            raise conflict(path, f"is {KINDS.get(old.mode, 'a file')} in this repository")
        if isinstance(change, dict):
            inner = change_tree(repo, old.sha if old else None, change, done, f"{path}/")
            if inner != EMPTY_TREE:
                here[key] = b"%o %s\0%s" % (FOLDER, key, inner)
        elif change:
            new = done[path] = Entry(old.mode if old else FILE, change)
            here[key] = b"%o %s\0%s" % (new.mode, key, new.sha)
        elif old:
            done[path] = None
    names = set(b"\0".join(here).decode("utf-8", "surrogateescape").casefold().split("\0"))
    if "head" in names and (names >= {"objects", "refs"} or "commondir" in names):
        raise conflict(at or ".", "would be a git repository inside the repository")
    return _store_rows(repo, here)


def overlaid(repo: git.Repo, base: bytes | None, changes: Mapping[str, Entry | None]) -> bytes:
    """Store the tree `base` with these entries (None: without) at their paths and return its id; nothing is refused."""
    here = entries(repo, base)
    inside: dict[str, dict[str, Entry | None]] = {}
    for path, change in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            inside.setdefault(name, {})[rest] = change
    for name, inner in inside.items():
        old = here.pop(name, None)
        tree = overlaid(repo, old.sha if old and old.mode == FOLDER else None, inner)
        if tree != EMPTY_TREE:
            here[name] = Entry(FOLDER, tree)
    for path, change in changes.items():
        if "/" not in path and change:
            here[path] = change
        elif "/" not in path and path not in inside:
            here.pop(path, None)
    encoded = {name.encode("utf-8", "surrogateescape"): entry for name, entry in here.items()}
    return _store_rows(repo, {name: b"%o %s\0%s" % (entry.mode, name, entry.sha) for name, entry in encoded.items()})


def _store_rows(repo: git.Repo, here: Mapping[bytes, bytes]) -> bytes:
    """Store a tree of these rows, by name; to git a folder's name ends with a slash when they are sorted."""
    rows = sorted(here.items(), key=lambda item: item[0] + b"/" * (item[1].lstrip(b"0")[:1] == b"4"))
    return store(repo, "tree", b"".join([row for _, row in rows]))


def conflict(path: str, fact: str) -> UnsafePath:
    """The error for a path that cannot be had beside what is there."""
    return UnsafePath(f"`{path}` {fact}", hint="choose another path for the new file")


def whole_object(kind: str, content: bytes) -> tuple[str, bytes]:
    """An object's id and what git hashes and deflates for it."""
    whole = b"%s %d\0" % (kind.encode(), len(content)) + content
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest(), whole


def line(text: str, without: str = "") -> str:
    """The text as one line of visible characters."""
    return " ".join("".join(c if c.isprintable() and c not in without else " " for c in text).split())


def message(subject: str, trailers: Mapping[str, str]) -> str:
    """A commit message: one line, whatever generated text it holds, and our trailers."""
    paragraphs = [line(subject) or "(no subject)"]
    if trailers:
        paragraphs.append("\n".join(f"{key}: {line(value)}" for key, value in trailers.items()))
    return "\n\n".join(paragraphs) + "\n"


def _trailers(text: str) -> dict[str, str]:
    _, *rest = re.split(r"\n\s*\n", text.strip("\n"))
    found = [_TRAILER.fullmatch(row) for row in rest[-1].split("\n")] if rest else []
    return {match[1]: match[2] for match in found if match} if all(found) else {}


def parse(sha: str, commit: bytes) -> Commit:
    """A raw commit as data. Raises ValueError when it is none."""
    header, _, text = commit.decode("utf-8", "replace").partition("\n\n")
    author = re.search(r"^author (.*?) ?<[^\n]*> (-?\d+) ", header, re.MULTILINE)
    if not author:
        raise ValueError(f"commit {sha} has no author")
    return Commit(sha, text.lstrip("\n").partition("\n")[0], author[1], int(author[2]), _trailers(text))
