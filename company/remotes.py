"""A run's branch at a remote: pushed when a sitting ends, fetched where another machine goes on with the run.

Git runs here with the user's own credentials and configuration, and never reads the repository's: it works in an empty
folder of its own that borrows the repository's objects. Every other git command: `gitdoor.py`, `workspace.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from company import branches
from company.errors import WorkspaceError
from company.lock import Lock
from company.workspace import Commit, Repository

_SECONDS = 300.0
"""Of one git command that talks to a remote."""
_REDIRECTS = re.compile(
    r"GIT_(DIR|COMMON_DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|CONFIG(_PARAMETERS|_COUNT)?"
    r"|SHALLOW_FILE|GRAFT_FILE|NAMESPACE|PREFIX|IMPLICIT_WORK_TREE|NO_REPLACE_OBJECTS|REPLACE_REF_BASE|DEFAULT_HASH)"
    r"|COMPANY_\w+"
)
"""What a hook's or a shell's git command would have us work on, and what is only for us: a remote may run hooks."""
_OPTIONS = (
    f"core.hooksPath={os.devnull}", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false",
    "protocol.ext.allow=never", "transfer.fsckObjects=true", "core.alternateRefsCommand=",
)  # fmt: skip
_GOT = "refs/heads/got"
Git = Callable[..., str]
"""Runs a git command, given its words; what it says on standard output."""


def address(remote: str, name: str, folder: Path) -> str:
    """Where the repository `name` is pushed; a relative path is taken from `folder`."""
    filled = remote.replace("{name}", name)
    return filled if _is_url(filled) else str(folder / Path(filled).expanduser())


def push(repository: Repository, to: str) -> None:
    """Move the remote's branch forward to this one. Nothing is overwritten there.

    Raises:
        WorkspaceError: git or the remote refused, or could not be reached.
    """
    head = repository.head()
    if head is None:
        return
    path = Path(to)
    if not _is_url(to) and not path.exists() and path.parent.is_dir():
        branch = f"--initial-branch={repository.branch()}"
        _git(path.parent, {}, "init", "--quiet", "--bare", "--template=", branch, "--", to)
    with _borrowing(repository) as git:
        where = f"{head}:refs/heads/{repository.branch()}"
        git(
            "push",
            "--quiet",
            "--no-verify",
            "--no-signed",
            "--no-follow-tags",
            "--recurse-submodules=no",
            "--",
            to,
            where,
        )


def fetch(repository: Repository, source: str, name: str = "") -> str | None:
    """Bring the commits of a branch of the remote here, by default the one that HEAD stands on; its newest, or None.

    Raises:
        WorkspaceError: the remote could not be read.
    """
    if not _is_url(source) and not Path(source).exists():
        return None
    branch = f"refs/heads/{name or repository.branch()}"
    with _borrowing(repository) as git:
        if not git("ls-remote", "--", source, branch):
            return None
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        git("fetch", *quiet, "--", source, f"+{branch}:{_GOT}")
        return git("rev-parse", "--verify", _GOT).strip()


def bring(repository: Repository, branch: str, source: str) -> None:
    """Stand on a branch that the remote has and this repository has not; nothing is done where the remote has it not.

    Raises:
        WorkspaceError: the remote could not be read.
    """
    with Lock(repository.path):
        if tip := fetch(repository, source, branch):
            branches.switch(repository, branch, tip)


def arrive(path: Path, run: str, source: str, *, again: bool) -> list[str]:
    """See that a run's repository lies at `path`, with what the remote has of it; tells what people should know.

    Args:
        path: where it belongs; it need not exist.
        run: the run's id, which its commits bear.
        source: the remote's address; empty without one.
        again: whether all of the run's commits can be made again, so that the repository need not be anywhere.

    Raises:
        WorkspaceError: another run's repository lies there, it and the remote have different commits, or it is nowhere.
    """
    fresh = not path.exists() and (again or bool(source))
    repository = Repository.create(path, run) if fresh else Repository.open(path)
    with Lock(path):
        if not _is_of(run, repository.log()):
            raise WorkspaceError("this is another run's repository", place=str(path), hint="take another --workspace")
        try:
            tip = fetch(repository, source) if source else None
        except WorkspaceError as error:
            if not fresh:
                return [f"the remote could not be read, going on with what is here: {error.message}"]
            shutil.rmtree(path)
            error.hint = error.hint or "mend the setting `remote` or what it names; then `company resume` goes on"
            raise
        told = []
        if tip and not _is_of(run, repository.log(tip)):
            tip, told = None, ["the remote's branch is of something else: nothing is taken from it"]
        if tip is None and fresh and not again:
            shutil.rmtree(path)
            raise WorkspaceError(
                f"the run's repository is neither here nor at the remote{f' {hidden(source)}' if source else ''}",
                place=str(path),
                hint="copy it from the machine on which the run began",
            )
        if tip and not branches.advance(repository, tip):
            raise WorkspaceError(
                "this repository and the remote's branch have different commits",
                place=str(path),
                hint=f"move {path} away; then `company resume` takes the remote's",
            )
    return told


def _is_of(run: str, history: list[Commit]) -> bool:
    return not history or any(made.trailers.get("Company-Run") == run for made in history)


def hidden(text: str) -> str:
    """The text, with the passwords and tokens of the addresses in it made unreadable."""
    return re.sub(r"(https?://)[^\s/@]+@|(\w://[^\s/@:]*:)[^\s/@]+@", r"\1\2***@", text)


def _is_url(text: str) -> bool:
    """As git sees it: with a scheme, or ``host:path`` before any slash."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/]+:", text))


@contextmanager
def _borrowing(repository: Repository) -> Iterator[Git]:
    """Git in an empty folder whose objects are the repository's."""
    with tempfile.TemporaryDirectory(prefix="company-git-") as made:
        folder = Path(made)
        (folder / "refs/heads").mkdir(parents=True)
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        if head := repository.head():  # so that only what is new is sent or fetched
            (folder / "refs/heads/have").write_text(f"{head}\n")
        objects = str(repository.path / ".git/objects")
        yield partial(_git, folder, {"GIT_DIR": str(folder), "GIT_OBJECT_DIRECTORY": objects})


def _git(folder: Path, own: Mapping[str, str], *words: str) -> str:
    """What a git command with the user's configuration says, started in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not _REDIRECTS.fullmatch(name)}
    try:
        done = subprocess.run(
            ["git", *(part for option in _OPTIONS for part in ("-c", option)), *words],
            cwd=folder, env={**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **own}, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise WorkspaceError("git is not installed", hint="install git, version 2.32 or newer") from error
    except subprocess.TimeoutExpired:
        raise WorkspaceError(f"git {words[0]} took longer than {_SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        said = hidden(" ".join(line.strip() for line in lines if not line.startswith("hint:")))
        raise WorkspaceError(f"git {words[0]} failed: {said[-400:]}")
    return done.stdout.decode("utf-8", "replace")
