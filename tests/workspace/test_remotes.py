"""A branch at a remote: pushed and fetched with the user's own git configuration, and never with the repository's."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from git_cli import git

from company.errors import UnsafePath, WorkspaceError
from company.lock import Lock
from company.remotes import address, arrive, fetch, hidden, push
from company.workspace import Repository

RUN = "20260101-000000-abcd"


def commit(repository: Repository, number: int, files: dict[str, bytes | None] | None = None, run: str = RUN) -> str:
    made = repository.commit(
        files or {f"f{number}": b"%d" % number}, subject=str(number), author="E", email_slug="e",
        trailers={"Company-Run": run, "Company-Step": str(number)}, made=1_700_000_000 + number,
    )  # fmt: skip
    assert made
    return made.sha


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.create(tmp_path / "one")
    commit(made, 1)
    return made


@pytest.fixture
def remote(tmp_path: Path) -> str:
    return str(tmp_path / "remote.git")


def test_what_one_pushes_another_has(repository: Repository, remote: str, tmp_path: Path) -> None:
    assert fetch(repository, remote) is None
    push(repository, remote)
    assert arrive(tmp_path / "two", RUN, remote, again=False) == []
    other = Repository.open(tmp_path / "two")
    assert other.head() == repository.head()
    other.restore()
    assert (other.path / "f1").read_bytes() == b"1"
    tip = commit(other, 2, {"f1": None, "deep/f2": b"2"})
    push(other, remote)
    assert arrive(repository.path, RUN, remote, again=False) == []
    repository.restore()
    assert repository.head() == tip
    assert not (repository.path / "f1").exists()
    assert git(repository.path, "status", "--porcelain") == ""
    push(repository, remote)
    assert git(Path(remote), "rev-parse", "main").strip() == tip


def test_the_same_commit_is_made_again(repository: Repository, tmp_path: Path) -> None:
    again = Repository.create(tmp_path / "again")
    assert commit(again, 1) == repository.head()


def test_nothing_at_the_remote_is_overwritten(repository: Repository, remote: str, tmp_path: Path) -> None:
    push(repository, remote)
    arrive(tmp_path / "two", RUN, remote, again=False)
    theirs = commit(Repository.open(tmp_path / "two"), 2)
    push(Repository.open(tmp_path / "two"), remote)
    commit(repository, 3)
    with pytest.raises(WorkspaceError, match=r"git push failed: .*(fetch first|non-fast-forward)"):
        push(repository, remote)
    assert git(Path(remote), "rev-parse", "main").strip() == theirs
    with pytest.raises(WorkspaceError, match="different commits") as raised:
        arrive(repository.path, RUN, remote, again=True)
    assert "move" in raised.value.hint


def test_another_runs_repository_is_left_alone(repository: Repository, remote: str, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="another run's repository"):
        arrive(repository.path, "another", "", again=True)
    push(repository, remote)
    assert "nothing is taken" in arrive(tmp_path / "new", "another", remote, again=True)[0]
    assert Repository.open(tmp_path / "new").head() is None


def test_what_is_nowhere_is_said(remote: str, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="not the top folder"):
        arrive(tmp_path / "new", RUN, "", again=False)
    with pytest.raises(WorkspaceError, match="neither here nor at the remote"):
        arrive(tmp_path / "new", RUN, remote, again=False)
    assert arrive(tmp_path / "new", RUN, remote, again=True) == []
    (tmp_path / "no").mkdir()
    with pytest.raises(WorkspaceError, match="git ls-remote failed") as raised:
        arrive(tmp_path / "newer", RUN, str(tmp_path / "no"), again=True)
    assert "`remote`" in raised.value.hint
    assert not (tmp_path / "newer").exists()


def test_an_unreachable_remote_keeps_nobody_from_going_on(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "no").mkdir()
    (told,) = arrive(repository.path, RUN, str(tmp_path / "no"), again=True)
    assert told.startswith("the remote could not be read, going on with what is here: git ls-remote failed")


def test_a_path_that_leaves_the_repository_is_not_taken(repository: Repository, remote: str, tmp_path: Path) -> None:
    push(repository, remote)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", remote, str(clone))
    (clone / "aux.py").write_text("")
    git(clone, "add", ".")
    git(clone, "-c", "user.name=P", "-c", "user.email=p@x", "commit", "-qm", "a name that some machines cannot have")
    git(clone, "push", "-q")
    before = repository.head()
    with pytest.raises(UnsafePath):
        arrive(repository.path, RUN, remote, again=False)
    assert repository.head() == before
    with Lock(repository.path):
        assert repository.restore() == []


def test_nothing_that_the_repository_names_is_run(
    repository: Repository, remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, helpers, filters, other addresses, other programs: planted in the repository, in its config and beside it."""
    ran = tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 >> {ran}\n")
    trap.chmod(trap.stat().st_mode | stat.S_IXUSR)
    push(repository, remote)
    for hook in ("pre-push", "reference-transaction", "post-checkout", "post-index-change", "fsmonitor-watchman"):
        target = repository.path / ".git/hooks" / hook
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(trap)
    for name in ("core.fsmonitor", "core.sshCommand", "credential.helper", "gpg.program", "uploadpack.packObjectsHook",
                 "core.alternateRefsCommand", "core.gitProxy", "filter.x.clean", "remote.origin.uploadpack"):  # fmt: skip
        git(repository.path, "config", name, str(trap))
    git(repository.path, "config", f"url.ext::{trap}.insteadOf", remote)
    git(repository.path, "config", "protocol.ext.allow", "always")
    git(repository.path, "config", "core.hooksPath", str(repository.path / ".git/hooks"))
    git(repository.path, "config", "push.gpgSign", "true")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))  # as it is inside a hook of the user's
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(repository.path / ".git/hooks"))
    tip = commit(repository, 2)
    push(repository, remote)
    assert fetch(repository, remote) == tip
    assert not ran.exists(), ran.read_text()
    git(repository.path, "status")
    assert ran.exists(), "git that reads the repository's configuration falls into the trap"


def test_the_users_own_configuration_counts(
    repository: Repository, remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that the user's configuration rewrites, and the program that the user takes for ssh."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{tmp_path}/"]\n\tinsteadOf = "team://"\n')
    monkeypatch.setenv("HOME", str(home))
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", remote], check=True)
    push(repository, "team://remote.git")
    assert fetch(repository, "team://remote.git") == repository.head()
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\ntest "$1" = host && cd {tmp_path} && eval "$2"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    assert fetch(repository, "host:remote.git") == repository.head()


def test_addresses() -> None:
    here = Path("/project")
    assert address("git@host:team/{name}.git", "todo", here) == "git@host:team/todo.git"
    assert address("https://host/{name}", "todo", here) == "https://host/todo"
    assert address("../git/{name}.git", "todo", here) == "/project/../git/todo.git"
    assert address("/srv/{name}", "todo", here) == "/srv/todo"
    assert address("~/git", "todo", here) == f"{os.path.expanduser('~')}/git"


def test_passwords_of_addresses_are_not_shown() -> None:
    assert hidden("at https://me:token@h.org/x and https://token@h/x") == "at https://***@h.org/x and https://***@h/x"
    assert hidden("ssh://git@h/x ssh://git:pw@h/x git@h:x") == "ssh://git@h/x ssh://git:***@h/x git@h:x"
