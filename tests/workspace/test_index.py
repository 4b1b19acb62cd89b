"""The index that our commits change a few records of, as git reads it and as git writes it."""

import subprocess
from pathlib import Path

import pytest
from git_cli import git, is_sound
from test_repository import commit

from company import branches, index
from company.workspace import Repository

LONG = "/".join(["folder" * 20] * 8) + "/file"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    made = Repository.create(tmp_path / "repo")
    files = {name: name.encode() for name in ("a", "ab", "abc", "b.py", "b/c", "b0", "ü/é", LONG)}
    files |= {"n" * length: b"" for length in range(4, 14)}  # every length of padding
    commit(made, dict(files))
    return made


def staged(repo: Repository) -> str:
    return git(repo.path, "ls-files", "--stage", "-t", "-z")


def test_what_git_wrote_is_read_and_written_again_to_the_bit(repo: Repository) -> None:
    path = repo.path / ".git/index"
    git(repo.path, "read-tree", "HEAD")
    git(repo.path, "status")
    before, told = staged(repo), git(repo.path, "ls-files", "--debug")
    known = index.read(path)
    assert known
    index.write(path, known)
    assert (staged(repo), git(repo.path, "ls-files", "--debug")) == (before, told)
    assert git(repo.path, "update-index", "--force-write-index") == ""
    raw = path.read_bytes()
    index.write(path, index.read(path) or {})
    assert raw.startswith(path.read_bytes()[:-20]), "but for extensions it is git's own"


def test_git_need_not_read_what_was_just_committed(repo: Repository) -> None:
    commit(repo, {"a": b"2", "b/c": None, "b/d/e": b"3", LONG: b"4"})
    assert git(repo.path, "diff-files", "--name-only") == "", "by the files' status alone"
    assert is_sound(repo.path)


def test_marks_and_staged_work_of_a_person_stay(repo: Repository) -> None:
    """Records with marks of their own are longer: version 3."""
    (repo.path / "later").write_text("x")
    (repo.path / "staged").write_text("y")
    git(repo.path, "add", "--intent-to-add", "later")
    git(repo.path, "add", "staged")
    git(repo.path, "update-index", "--skip-worktree", "ab")
    git(repo.path, "update-index", "--assume-unchanged", "abc")
    before = staged(repo)
    assert commit(repo, {"new": b"1"})
    after = staged(repo)
    assert "S " in before
    assert [row for row in after.split("\0") if not row.endswith("\tnew")] == before.split("\0")
    git(repo.path, "fsck", "--strict")


def test_what_a_merge_left_of_a_path_goes_with_its_commit(repo: Repository) -> None:
    blob = git(repo.path, "rev-parse", "HEAD:a").strip()
    rows = f"0 {'0' * 40}\ta\n" + "".join(f"100644 {blob} {stage}\ta\n" for stage in (1, 2, 3))
    subprocess.run(["git", "update-index", "--index-info"], cwd=repo.path, input=rows, text=True, check=True)
    assert "U" in git(repo.path, "status", "--porcelain")
    commit(repo, {"a": b"merged"})
    assert is_sound(repo.path)


@pytest.mark.parametrize("words", [("--index-version", "4"), ("--split-index",)])
def test_an_index_of_another_kind_is_made_anew(repo: Repository, words: tuple[str, ...]) -> None:
    git(repo.path, "update-index", *words)
    assert index.read(repo.path / ".git/index") is None
    commit(repo, {"a": b"2"})
    assert index.read(repo.path / ".git/index")
    assert is_sound(repo.path)


def test_one_wrong_bit_is_seen(repo: Repository) -> None:
    path = repo.path / ".git/index"
    raw = bytearray(path.read_bytes())
    raw[12 + 45] ^= 1  # in the id of the first file
    path.write_bytes(raw)
    assert repo.restore() == [".git/index"]
    assert is_sound(repo.path)


def test_a_branch_is_left_clean_also_with_an_index_that_only_git_reads(repo: Repository) -> None:
    first = repo.head()
    assert first
    commit(repo, {"later.py": b"1", "d/c.py": b"2"})
    git(repo.path, "update-index", "--index-version", "4")
    assert index.read(repo.path / ".git/index") is None
    branches.switch(repo, "other", first, branches.edited(repo).entries)
    assert git(repo.path, "status", "--porcelain") == ""
    assert not (repo.path / "d").exists()
