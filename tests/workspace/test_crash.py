"""A commit whose process is killed, or whose disk fills up: whole or absent, and mended by `restore`."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from git_cli import git, is_sound
from test_repository import commit

from company.errors import UnsafePath, WorkspaceBusy
from company.lock import Lock
from company.workspace import Repository

HERE = Path(__file__).parent


def test_killed_at_every_touch_of_the_disk(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "killed.py", tmp_path], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-500:]
    lines = done.stdout.splitlines()
    assert len(lines) > 40
    assert any("before the branch" in line for line in lines)
    assert any("after the branch moved; mended ['" in line for line in lines)
    assert lines[-1].endswith("mended []")


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    made = Repository.create(tmp_path / "repo")
    commit(made, {"a": b"1", "b/c": b"2"})
    return made


def test_an_edit_that_is_undone_is_kept_as_an_object(repo: Repository) -> None:
    (repo.path / "a").write_bytes(b"edited by hand")
    (repo.path / "b/c").unlink()
    edited, deleted = repo.restore()
    assert deleted == "b/c"
    name = edited.split("`")[1].split()[-1]
    assert git(repo.path, "cat-file", "-p", name) == "edited by hand"
    assert (repo.path / "a").read_bytes() == b"1"
    assert is_sound(repo.path)


def test_stale_locks_are_cleared_only_by_restore(repo: Repository) -> None:
    stale = [".git/index.lock", ".git/HEAD.lock", ".git/refs/heads/main.lock"]
    for name in stale:
        (repo.path / name).touch()
    with pytest.raises(Exception, match=r"index\.lock"):
        commit(repo, {"a": b"2"})
    assert (repo.path / "a").read_bytes() == b"1"
    assert sorted(repo.restore()) == sorted(stale)
    assert commit(repo, {"a": b"2"})
    assert is_sound(repo.path)


def test_restore_waits_for_no_other_process(repo: Repository) -> None:
    code = "import sys; from pathlib import Path; from company.lock import Lock\n"
    code += "with Lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(repo.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        (repo.path / ".git/index.lock").touch()
        with pytest.raises(WorkspaceBusy):
            repo.restore()
        assert (repo.path / ".git/index.lock").exists()
        other.stdin.close()
    with Lock(repo.path):
        assert repo.restore() == [".git/index.lock"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"DIRC\x00\x00\x00\x02\x00\x00\x00\x09"])
def test_a_damaged_index_is_made_anew(repo: Repository, content: bytes) -> None:
    (repo.path / ".git/index").write_bytes(content)
    assert repo.restore() == [".git/index"]
    assert is_sound(repo.path)
    (repo.path / ".git/index").write_bytes(content)
    commit(repo, {"d": b"3"})
    assert is_sound(repo.path)
    assert repo.files() == {"a": b"1", "b/c": b"2", "d": b"3"}


def test_a_link_where_a_tracked_file_belongs_is_not_written_through(repo: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "c").write_text("theirs")
    shutil.rmtree(repo.path / "b")
    (repo.path / "b").symlink_to(outside)
    with pytest.raises(UnsafePath, match="`b` is a link") as caught:
        repo.restore()
    assert "company resume" in caught.value.hint
    assert (outside / "c").read_text() == "theirs"


FILL = """
import sys
from pathlib import Path
from company.errors import WorkspaceError
from company.workspace import Repository
sys.path.insert(0, sys.argv[1])
from git_cli import is_sound
at = Path(sys.argv[2]) / "repo"
repo = Repository.create(at)
fields = dict(author="E", email_slug="e", trailers={})
repo.commit({"a": b"1"}, subject="first", **fields)
(at.parent / "ballast").write_bytes(bytes(int(sys.argv[3])))
subjects, files = ["first"], {"a": b"1"}
for size in (400_000, 2_000_000, 20_000_000):
    try:
        more = {"a": bytes(size), "big": bytes([7]) * size}
        repo.commit(more, subject=f"big {size}", **fields)
        subjects, files = [f"big {size}", *subjects], more
    except WorkspaceError as error:
        assert "the disk is full" in str(error) or "No space left" in str(error), error
        assert "free some space" in error.hint, error.hint
        break
else:
    raise SystemExit("the disk never filled up")
(at.parent / "ballast").unlink()
mended = repo.restore()
names = [commit.subject for commit in repo.log()]
assert names == subjects, names
assert repo.files() == files
assert (at / "a").read_bytes() == files["a"]
assert is_sound(at)
assert repo.commit({"a": b"2"}, subject="second", **fields)
assert is_sound(at)
print("held")
"""


@pytest.mark.parametrize("ballast", [0, 1_500_000, 1_800_000])
def test_a_full_disk_loses_nothing(tmp_path: Path, ballast: int) -> None:
    """A real one: a file system of 2 MB in a namespace of its own."""
    bwrap = shutil.which("bwrap")
    assert bwrap, "bubblewrap is missing"
    command: list[Any] = [bwrap, "--dev-bind", "/", "/", "--size", "2000000", "--tmpfs", tmp_path]
    done = subprocess.run(
        [*command, sys.executable, "-c", FILL, HERE, tmp_path, str(ballast)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "held\n", done.stderr
