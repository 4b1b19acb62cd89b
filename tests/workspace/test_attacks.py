"""What a hostile repository plants for git to run is not run, by any command of ours.

Each plant is proved to be live: the same act by plain git runs it.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from git_cli import git
from test_repository import commit

from company import branches, browse
from company.errors import UnsafePath, WorkspaceError
from company.workspace import Repository


def script(path: Path, mark: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ntouch '{mark}'\ncat\nexit 0\n")
    path.chmod(0o755)
    return path


def everything(repo: Repository) -> None:
    """Every method that reaches git."""
    commit(repo, {"a.txt": b"changed\n", "new.txt": b"2\n"})
    commit(repo, {"new.txt": None})
    (repo.path / "a.txt").write_text("edited\n")
    work = branches.edited(repo)
    assert "a.txt" in work.entries
    branches.keep(repo, f"refs/company/edits/{repo.head()}", work, "edits")
    branches.switch(repo, f"at-{repo.head()}", str(repo.head()), work.entries)
    repo.restore()
    repo.files(), repo.log(), repo.head()
    tip = str(repo.head())
    with repo.opened() as opened:
        assert browse.writers(opened, tip, "a.txt", 1) == [repo.log()[1].sha]
        assert browse.belongs(opened, tip, tip)
        assert browse.archive(opened, tip, "all", 0)


def config(*pairs: tuple[str, str]) -> Callable[[Path, Path], None]:
    """Plant settings; ``RUN`` stands for a program that leaves a mark."""

    def plant(at: Path, mark: Path) -> None:
        run = script(at.parent / "plant.sh", mark)
        for key, value in pairs:
            git(at, "config", key, value.replace("RUN", str(run)))

    return plant


def hooks(at: Path, mark: Path) -> None:
    for name in ("pre-commit", "post-commit", "reference-transaction", "post-index-change", "post-checkout"):
        script(at / ".git/hooks" / name, mark)


def hooks_path(at: Path, mark: Path) -> None:
    script(at.parent / "elsewhere/post-commit", mark)
    git(at, "config", "core.hooksPath", str(at.parent / "elsewhere"))


def included(at: Path, mark: Path) -> None:
    run = script(at.parent / "plant.sh", mark)
    (at.parent / "more").write_text(f"[core]\n\tfsmonitor = {run}\n")
    git(at, "config", "include.path", str(at.parent / "more"))


def by_hand(at: Path) -> None:
    """What a person would type, the acts that a plant waits for."""
    (at / "a.txt").write_text("by hand\n")
    who = ("-c", "user.name=U", "-c", "user.email=u@x")
    for arguments in (("status",), ("add", "-A"), (*who, "commit", "-m", "by hand"), ("diff", "HEAD~1"), ("show",)):
        git(at, *arguments, check=False)


PLANTS: dict[str, Callable[[Path, Path], None]] = {
    "hooks": hooks,
    "hooks path": hooks_path,
    "fsmonitor": config(("core.fsmonitor", "RUN")),
    "clean filter": config(("filter.evil.clean", "RUN"), ("filter.evil.smudge", "RUN")),
    "filter process": config(("filter.evil.process", "RUN"), ("filter.evil.required", "true")),
    "textconv": config(("diff.evil.textconv", "RUN")),
    "signing": config(("commit.gpgSign", "true"), ("gpg.program", "RUN")),
    "include": included,
}


@pytest.mark.parametrize("name", PLANTS)
def test_planted_programs_do_not_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    repo = Repository.create(tmp_path / "repo")
    commit(repo, {"a.txt": b"1\n", ".gitattributes": b"*.txt filter=evil diff=evil\n"})
    (repo.path / ".git/info/attributes").unlink()  # the generated one shall count, as in a clone
    PLANTS[name](repo.path, mark)
    everything(repo)
    assert not mark.exists()
    by_hand(repo.path)
    assert mark.exists(), "the plant is not live: the test proves nothing"


def test_the_environment_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Repository.create(tmp_path / "other")
    repo = Repository.create(tmp_path / "repo")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=true'")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    made = commit(repo, {"a": b"1"})
    assert made
    assert made.author == "Engineer"
    assert other.head() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "repo"]
    assert git(repo.path, "status", "--porcelain") == ""
    assert git(repo.path, "log", "--format=%an").strip() == "Engineer"


def test_a_replaced_object_is_not_read(tmp_path: Path) -> None:
    """`refs/replace` shows other content under an object's id; ours reads what was committed."""
    repo = Repository.create(tmp_path / "repo")
    commit(repo, {"a": b"honest"})
    git(repo.path, "replace", git(repo.path, "rev-parse", "HEAD:a").strip(), _blob(repo.path, b"forged"))
    assert git(repo.path, "show", "HEAD:a") == "forged"
    assert repo.files() == {"a": b"honest"}


def _blob(at: Path, content: bytes) -> str:
    done = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=at, input=content, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    "files",
    [
        {"inner/HEAD": b"x", "inner/objects/a": b"x", "inner/refs/a": b"x"},
        {"inner/head": b"x", "inner/commondir": b".."},
        {"HEAD": b"x", "objects/a": b"x", "refs/a": b"x"},
    ],
)
def test_a_bare_repository_among_the_files_is_refused(tmp_path: Path, files: dict[str, bytes | None]) -> None:
    repo = Repository.create(tmp_path / "repo")
    with pytest.raises(UnsafePath, match="git repository inside the repository"):
        commit(repo, files)
    assert repo.head() is None
    assert sorted(path.name for path in repo.path.iterdir()) == [".git"]


def test_a_repository_in_the_working_tree_keeps_its_files(tmp_path: Path) -> None:
    repo = Repository.create(tmp_path / "repo")
    commit(repo, {"a": b"1"})
    inner = Repository.create(repo.path / "inner")
    commit(inner, {"theirs": b"2"})
    with pytest.raises(UnsafePath, match="`inner` is a repository of its own"):
        commit(repo, {"inner/theirs": b"ours"})
    assert inner.files() == {"theirs": b"2"}
    assert repo.files() == {"a": b"1"}


def test_links_and_submodules_in_the_history_are_not_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    repo = Repository.create(tmp_path / "repo")
    commit(repo, {"a": b"1"})
    (repo.path / "link").symlink_to(outside)
    git(repo.path, "add", "link")
    git(repo.path, "update-index", "--add", "--cacheinfo", f"160000,{repo.head()},module")
    git(repo.path, "-c", "user.name=U", "-c", "user.email=u@x", "commit", "-qm", "link and module")
    assert repo.files() == {"a": b"1"}
    for path in ("link/x", "module/x", "module"):
        with pytest.raises(UnsafePath):
            commit(repo, {path: b"2"})
    assert list(outside.iterdir()) == []


def test_a_git_folder_that_is_a_link_is_no_repository(tmp_path: Path) -> None:
    real = Repository.create(tmp_path / "real")
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/.git").symlink_to(real.path / ".git")
    with pytest.raises(WorkspaceError, match="not the top folder"):
        Repository.open(tmp_path / "fake")
