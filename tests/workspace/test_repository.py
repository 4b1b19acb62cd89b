"""Commits of a run: content byte for byte, whole or absent, found again by trailer; the lock of a workspace."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from git_cli import git, is_sound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from company.errors import UnsafePath, WorkspaceBusy, WorkspaceError
from company.lock import Lock
from company.workspace import Commit, Repository


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "repo")


def commit(repo: Repository, files: dict[str, bytes | None], **more: Any) -> Commit | None:
    fields: dict[str, Any] = {"subject": "a step", "author": "Engineer", "email_slug": "engineer", "trailers": {}}
    return repo.commit(files, **(fields | more))


def test_a_new_repository_is_empty_and_git_accepts_it(repo: Repository) -> None:
    assert repo.head() is None
    assert repo.files() == {}
    assert repo.log() == []
    assert git(repo.path, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert is_sound(repo.path)


def test_a_commit_is_what_git_shows(repo: Repository) -> None:
    made = commit(
        repo,
        {"src/main.py": b"print(1)\n", "ü.md": b"x"},
        subject="code: first\nline",
        trailers={"Company-Step": "code[0]"},
    )
    assert made
    assert made.sha == repo.head()
    assert git(repo.path, "log", "-1", "--format=%an|%ae|%cn|%s|%b").strip() == (
        "Engineer|engineer@company.invalid|Engineer|code: first line|Company-Step: code[0]"
    )
    assert git(repo.path, "-c", "core.quotePath=false", "ls-files").split() == ["src/main.py", "ü.md"]
    assert (repo.path / "src/main.py").read_bytes() == b"print(1)\n"
    assert is_sound(repo.path)
    assert git(repo.path, "log", "-1", "--format=%(trailers:key=Company-Step,valueonly)").strip() == "code[0]"


def test_content_is_kept_byte_for_byte_whatever_the_attributes_say(repo: Repository) -> None:
    """A generated .gitattributes may ask for other line ends, filters, encodings, and .gitignore for nothing at all."""
    files: dict[str, bytes | None] = {
        ".gitattributes": b"* text eol=lf ident filter=evil working-tree-encoding=UTF-16\n*.bin merge=x\n",
        ".gitignore": b"*\n",
        "crlf.txt": b"one\r\ntwo\r\n",
        "lf.txt": b"one\ntwo\n",
        "ident.c": b"$Id$\n",
        "bytes.bin": bytes(range(256)),
        "empty": b"",
        "no-end": b"no newline",
    }
    commit(repo, files)
    assert repo.files() == files
    for path, content in files.items():
        assert (repo.path / path).read_bytes() == content
    assert is_sound(repo.path)
    (repo.path / "crlf.txt").unlink()
    assert repo.restore() == ["crlf.txt"]
    assert (repo.path / "crlf.txt").read_bytes() == b"one\r\ntwo\r\n"


def test_nothing_changed_is_no_commit(repo: Repository) -> None:
    assert commit(repo, {}) is None
    assert repo.head() is None
    first = commit(repo, {"a": b"1"})
    assert commit(repo, {"a": b"1"}) is None
    assert commit(repo, {"absent": None}) is None
    assert repo.log() == [first]


def test_files_are_changed_deleted_and_turned_into_folders(repo: Repository) -> None:
    commit(repo, {"a": b"1", "b/c": b"2", "b/d": b"3", "x": b"4"})
    (repo.path / "x").chmod(0o755)
    commit(repo, {"a": None, "b/c": None})
    assert repo.files() == {"b/d": b"3", "x": b"4"}
    assert not (repo.path / "a").exists()
    with pytest.raises(UnsafePath, match="`x` is a"):
        commit(repo, {"x/y": b"5"})
    with pytest.raises(UnsafePath, match="`b` is a folder"):
        commit(repo, {"b": b"5"})
    with pytest.raises(UnsafePath, match="given twice"):
        commit(repo, {"n/m": b"1", "./n//m": b"2"})
    with pytest.raises(UnsafePath, match="in a folder that is given as a file"):
        commit(repo, {"n": b"1", "n/m": b"2"})
    assert repo.files() == {"b/d": b"3", "x": b"4"}


def test_an_executable_file_stays_one(repo: Repository) -> None:
    commit(repo, {"tool": b"#!/bin/sh\n"})
    (repo.path / "tool").chmod(0o755)
    git(repo.path, "add", "tool")
    git(repo.path, "-c", "user.name=U", "-c", "user.email=u@x", "commit", "-qm", "by hand")
    commit(repo, {"tool": b"#!/bin/sh\ntrue\n"})
    assert git(repo.path, "ls-files", "-s", "tool").startswith("100755")
    assert os.access(repo.path / "tool", os.X_OK)
    assert is_sound(repo.path)


def test_what_is_not_tracked_is_left_alone(repo: Repository) -> None:
    commit(repo, {"a": b"1"})
    (repo.path / "notes").write_text("mine")
    commit(repo, {"b": b"2"})
    assert repo.restore() == []
    assert (repo.path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "subject",
    [
        "Company-Step: forged",
        "s\n\nCompany-Step: forged",
        "s\r\n\r\nCompany-Step: forged\r\n",
        "s\n\nCompany-Step: forged\nOther: x\n\n\n",
    ],
)
def test_generated_text_is_never_taken_for_a_trailer(repo: Repository, subject: str) -> None:
    commit(repo, {"a": b"1"}, subject=subject, trailers={})
    commit(repo, {"a": b"2"}, subject=subject, trailers={"Company-Run": "r", "Company-Model": f"m\n\n{subject}"})
    newest, oldest = repo.log()
    assert oldest.trailers == {}
    assert newest.trailers.keys() == {"Company-Run", "Company-Model"}
    assert "forged" not in git(repo.path, "log", "--format=%(trailers:key=Company-Step)")


def test_a_hostile_author_stays_in_its_place(repo: Repository) -> None:
    made = commit(repo, {"a": b"1"}, author="E <x@y> 0 +0000\ncommitter Z", email_slug="a> <b\n")
    assert made
    assert is_sound(repo.path)
    assert git(repo.path, "log", "-1", "--format=%an|%ae").strip() == "E x@y 0 +0000 committer Z|a b@company.invalid"
    plain = commit(repo, {"a": b"2"}, author="<>", email_slug="e")
    assert plain
    assert plain.author == "company"


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, st.dictionaries(st.sampled_from(["A", "B-C"]), TEXT), st.binary(max_size=50))
def test_any_text_makes_a_sound_commit(
    tmp_path_factory: pytest.TempPathFactory,
    subject: str,
    author: str,
    trailers: dict[str, str],
    content: bytes,
) -> None:
    repo = Repository.create(tmp_path_factory.mktemp("any") / "repo")
    made = commit(repo, {"f": content}, subject=subject, author=author, trailers=trailers)
    assert made
    assert repo.log() == [made]
    assert repo.files() == {"f": content}
    assert set(made.trailers) == set(trailers)
    assert is_sound(repo.path)


def test_a_branch_that_moved_meanwhile_is_not_overwritten(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repo, {"a": b"1"})
    move = Repository.move_head

    def late(self: Repository, *arguments: Any) -> None:
        git(repo.path, "-c", "user.name=U", "-c", "user.email=u@x", "commit", "-q", "--allow-empty", "-m", "by hand")
        move(self, *arguments)

    monkeypatch.setattr(Repository, "move_head", late)
    with pytest.raises(WorkspaceError, match="git failed") as caught:
        commit(repo, {"a": b"2"})
    assert "someone else committed" in caught.value.hint
    monkeypatch.undo()
    assert repo.log()[0].subject == "by hand"
    assert (repo.path / "a").read_bytes() == b"1"
    assert is_sound(repo.path)
    assert commit(repo, {"a": b"2"})
    assert is_sound(repo.path)


def test_create_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    for name in ("full", "file", "link"):
        with pytest.raises(WorkspaceError, match="nothing is ever overwritten"):
            Repository.create(tmp_path / name)
    assert (tmp_path / "full/mine").read_text() == (tmp_path / "file").read_text() == "mine"
    assert Repository.create(tmp_path / "empty").head() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "link"]


def test_open_wants_the_top_folder_of_a_repository(repo: Repository, tmp_path: Path) -> None:
    commit(repo, {"a/b": b"1"})
    git(repo.path, "worktree", "add", "-q", str(tmp_path / "linked"))
    for wrong in (tmp_path / "absent", tmp_path, repo.path / "a", repo.path / "a/b", tmp_path / "linked"):
        with pytest.raises(WorkspaceError, match="not the top folder"):
            Repository.open(wrong)
    assert Repository.open(repo.path).files() == {"a/b": b"1"}


def test_a_damaged_object_is_an_error_with_a_way_out(repo: Repository) -> None:
    commit(repo, {"a": b"1"})
    for found in (repo.path / ".git/objects").glob("??/*"):
        found.chmod(0o644)
        found.write_bytes(b"damaged")
    with pytest.raises(WorkspaceError) as caught:
        repo.files()
    assert str(repo.path) in caught.value.place
    assert caught.value.hint


def test_without_git_it_says_what_to_install(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(WorkspaceError, match="git is not installed") as caught:
        repo.head()
    assert "2.32" in caught.value.hint


# --- the lock


def test_one_run_in_a_folder_at_a_time(tmp_path: Path) -> None:
    with Lock(tmp_path):
        assert Lock.is_held(tmp_path)
        with pytest.raises(WorkspaceBusy, match=f"pid {os.getpid()} is running in it"), Lock(tmp_path):
            pytest.fail("it was entered twice")
        assert Lock.is_held(tmp_path)
    assert not Lock.is_held(tmp_path)
    with Lock(tmp_path):
        pass


HOLD = """
import sys, time
from pathlib import Path
from company.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    with child.stdout:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceBusy) as caught, Lock(tmp_path):
            pytest.fail("two hold it")
        assert f"kill {child.pid}" in caught.value.hint
        child.kill()
        child.wait()
    with Lock(tmp_path):
        assert Lock.is_held(tmp_path)
