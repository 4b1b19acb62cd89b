"""What a run that goes back to another finds in the working tree, the index and later commits, and is no plain edit of text:
taken over, or said and kept; never followed, never lost."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from running import PRD, RIGHT, git, start
from test_redo import GATED, journal, redo

from company import branches
from company.errors import CompanyError, UsageError
from company.workspace import Repository

PERSON = ("-c", "user.name=Me", "-c", "user.email=me@x")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that is over."""
    folder = tmp_path_factory.mktemp("made")
    script = [{"step": "prd", "reply": PRD}, {"step": "code", "reply": RIGHT}]
    assert start(folder, GATED, script, headless=True).status == "delivered"
    return folder


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    """Its repository, in a copy of the workspace."""
    shutil.copytree(made / "ws", tmp_path / "ws", symlinks=True)
    return tmp_path / "ws/out"


def again(repo: Path) -> tuple[str, list[str]]:
    """Make the run again, for nothing; the new run's id and what it said."""
    outcome = redo(repo.parent.parent, "out", headless=True)
    assert (outcome.status, outcome.reason, outcome.calls) == ("delivered", "", 0)
    told = [event["text"] for event in journal(repo.parent.parent, outcome.run) if event["event"] == "notice"]
    git(repo, "fsck", "--strict")
    return outcome.run, told


def commit_all(repo: Path) -> None:
    git(repo, "add", "-A")
    git(repo, *PERSON, "commit", "-qm", "mine")


def nothing_changed(repo: Path) -> Callable[[], bool]:
    """What tells whether a refused redo left all as it was."""

    def seen() -> list[str]:
        return [git(repo, *words) for words in (["status", "--porcelain"], ["for-each-ref"], ["ls-files", "--stage"])]

    before = seen()
    return lambda: seen() == before


@pytest.mark.parametrize("committed", [False, True])
def test_an_executable_bit_is_said_and_kept(repo: Path, committed: bool) -> None:
    (repo / "shout.py").chmod(0o755)
    (repo / "go.sh").write_text("#!/bin/sh\n")
    (repo / "go.sh").chmod(0o755)
    git(repo, "add", "go.sh")
    if committed:
        commit_all(repo)
    run, told = again(repo)
    at = "main" if committed else f"refs/company/edits/{run}"
    assert git(repo, "ls-tree", at, "shout.py", "go.sh").count("100755") == 2
    said = "is executable, and a run takes over only what is in a file: that stays"
    assert [text for text in told if said in text and at in text and text.startswith("shout.py ")]
    assert [text for text in told if said in text and at in text and text.startswith("go.sh ")]
    assert git(repo, "show", "HEAD:go.sh") == "#!/bin/sh\n", "what is in it is taken over"
    assert git(repo, "status", "--porcelain") == ""


@pytest.mark.parametrize("committed", [False, True])
def test_links_and_submodules_are_never_followed_and_never_lost(repo: Path, tmp_path: Path, committed: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text("known to nobody\n")
    (repo / "link").symlink_to(secret)
    (repo / "README.md").unlink()
    (repo / "README.md").symlink_to("../../secret")
    git(repo, "add", "link")
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{git(repo, 'rev-parse', 'HEAD').strip()},module")
    if committed:
        git(repo, "add", "README.md")
        git(repo, *PERSON, "commit", "-qm", "mine")
    run, told = again(repo)
    at = "main" if committed else f"refs/company/edits/{run}"
    kinds = {line.split("\t")[1]: line.split()[0] for line in git(repo, "ls-tree", at).splitlines()}
    assert (kinds["link"], kinds["README.md"], kinds["module"]) == ("120000", "120000", "160000")
    assert git(repo, "show", f"{at}:README.md") == "../../secret"
    for name, kind in {"link": "a symbolic link", "README.md": "a symbolic link", "module": "a repository"}.items():
        assert [text for text in told if text.startswith(f"{name} is {kind}") and at in text], told
    assert "known to nobody" not in git(repo, "log", "--all", "-p")
    assert not (repo / "README.md").is_symlink()
    assert (repo / "link").is_symlink() is not committed, "what HEAD never had stays where it lies"
    assert "README.md" not in git(repo, "status", "--porcelain")
    git(repo, "switch", "-q", "main")
    assert (repo / "README.md").is_symlink() is committed


def test_what_is_staged_and_otherwise_than_the_file_is_kept(repo: Path) -> None:
    (repo / "shout.py").write_text("staged = 1\n")
    (repo / "gone.py").write_text("staged = 2\n")
    git(repo, "add", "shout.py", "gone.py")
    (repo / "gone.py").unlink()
    git(repo, "rm", "-q", "--cached", "README.md")
    (repo / "meant.txt").write_text("meant\n")
    git(repo, "add", "--intent-to-add", "meant.txt")
    git(repo, "checkout-index", "-f", "shout.py")
    (repo / "shout.py").write_text(git(repo, "show", "HEAD:shout.py"))
    run, told = again(repo)
    (note,) = [text for text in told if "staged" in text]
    assert note.startswith("README.md, gone.py, shout.py: what the file holds counts")
    kept = note.rpartition("git show ")[2]
    assert kept == f"refs/company/edits/{run}~1"
    assert git(repo, "show", f"{kept}:shout.py") == "staged = 1\n"
    assert git(repo, "show", f"{kept}:gone.py") == "staged = 2\n"
    assert (repo / "README.md").exists()
    assert git(repo, "show", "HEAD:meant.txt") == "meant\n"
    assert "staged" not in (repo / "shout.py").read_text()
    assert git(repo, "status", "--porcelain") == ""


def test_conflicts_that_are_not_resolved_are_refused(repo: Path) -> None:
    sides = "".join(
        f"100644 {git(repo, 'rev-parse', 'HEAD:shout.py').strip()} {stage}\tshout.py\n" for stage in (1, 2, 3)
    )
    git(repo, "update-index", "--force-remove", "shout.py")
    (repo.parent / "sides").write_text(sides)
    os.system(f"git -C '{repo}' update-index --index-info < '{repo.parent / 'sides'}'")
    (repo.parent / "sides").unlink()
    unchanged = nothing_changed(repo)
    with pytest.raises(UsageError, match=r"shout.py has conflicts that are not resolved") as error:
        redo(repo.parent.parent, "out", headless=True)
    assert "git add" in error.value.hint
    assert unchanged()


def as_folder(repo: Path, path: str) -> None:
    (repo / path).unlink(missing_ok=True)
    (repo / path).mkdir()
    (repo / path / "a").write_text("mine\n")


def as_file(repo: Path, path: str) -> None:
    shutil.rmtree(repo / path)
    (repo / path).write_text("mine\n")


IN_THE_WAY: dict[str, tuple[Callable[[Path], None], str]] = {
    "a folder for a file that the run ends with": (lambda repo: as_folder(repo, "README.md"), "README.md"),
    "the same, committed": (lambda repo: (as_folder(repo, "README.md"), commit_all(repo))[0], "README.md"),  # type: ignore[func-returns-value]
    "a folder for a file that the run begins with": (lambda repo: as_folder(repo, ".gitignore"), ".gitignore"),
    "a folder for a file of a step": (lambda repo: as_folder(repo, "shout.py"), "shout.py"),
    "a file for a folder": (lambda repo: as_file(repo, "docs"), "docs"),
    "a link for a folder": (
        lambda repo: ((repo / "docs").rename(repo.parent / "d"), (repo / "docs").symlink_to("../d"))[1], "docs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_a_folder_where_a_file_belongs_is_refused_before_anything_is_changed(repo: Path, name: str) -> None:
    change, path = IN_THE_WAY[name]
    change(repo)
    unchanged = nothing_changed(repo)
    with pytest.raises(CompanyError, match=path) as error:
        redo(repo.parent.parent, "out", headless=True)
    assert error.value.place
    assert "give the redo again" in error.value.hint
    assert unchanged()
    assert len(list((repo.parent / ".company/runs").iterdir())) == 1


def test_a_branch_whose_files_are_folders_elsewhere_is_switched_to(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "repo")
    who = {"subject": "s", "author": "A", "email_slug": "a", "trailers": {}}
    first = repository.commit({"x": b"1", "y/b": b"2", "stays": b"3"}, **who)  # type: ignore[arg-type]
    assert first
    (repository.path / "to").symlink_to("stays")
    shutil.rmtree(repository.path / "y")
    (repository.path / "y").write_text("4")
    as_folder(repository.path, "x")
    commit_all(repository.path)
    (repository.path / "x/a").write_text("edited\n")
    (repository.path / "to").unlink()
    (repository.path / "to").symlink_to("x/a")
    work = branches.edited(repository)
    assert sorted(work.entries) == ["to", "x/a"]
    branches.keep(repository, "refs/company/kept", work, "kept")
    branches.switch(repository, "other", first.sha, work.entries)
    assert git(repository.path, "status", "--porcelain") == ""
    assert repository.files() == {"x": b"1", "y/b": b"2", "stays": b"3"}
    assert not (repository.path / "to").is_symlink()
    assert git(repository.path, "show", "refs/company/kept:x/a") == "edited\n"
    assert git(repository.path, "show", "refs/company/kept:to") == "x/a"
    (main := tmp_path / "repo").joinpath("x").write_text("1")
    branches.switch(repository, "third", git(main, "rev-parse", "main").strip())
    assert git(main, "status", "--porcelain") == ""
    assert os.readlink(main / "to") == "stays"


def listed(repo: Path, at: str) -> bytes:
    words = ["git", "-C", str(repo), "ls-tree", "-z", "--name-only", at]
    return subprocess.run(words, capture_output=True, check=True).stdout


def test_files_with_odd_names_and_odd_contents(repo: Path) -> None:
    raw = os.fsencode(repo) + b"/caf\xe9.txt"
    Path(os.fsdecode(raw)).write_bytes(b"latin\n")
    (repo / "two\nlines").write_text("x\n")
    (repo / "cafe\u0301.txt").write_text("decomposed\n")
    (repo / "back\\slash").write_text("x\n")
    (repo / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (repo / "empty.txt").write_bytes(b"")
    (repo / "data.bin").write_bytes(b"\xff\x00")
    git(repo, "-c", "core.protectNTFS=false", "add", "-A")
    (repo / "ignored.pyc").write_text("ignored, and added\n")
    git(repo, "add", "-f", "ignored.pyc")
    (repo / "later.pyc").write_text("ignored\n")
    run, told = again(repo)
    kept = os.fsdecode(listed(repo, f"refs/company/edits/{run}")).split("\0")
    for name, shown in {
        "two\nlines": r"'two\nlines'", "cafe\u0301.txt": "cafe\u0301.txt", "back\\slash": "back\\slash", "data.bin": "data.bin",
    }.items():  # fmt: skip
        assert name in kept
        assert [text for text in told if text.startswith(f"{shown} is no text with a plain path")], told
    assert [text for text in told if text.startswith(r"'caf\udce9.txt' is no text")]
    tree = os.fsdecode(listed(repo, "HEAD")).split("\0")
    assert {"crlf.txt", "empty.txt", "ignored.pyc"} <= {*tree}
    assert (repo / "crlf.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert (repo / "empty.txt").read_bytes() == b""
    assert (repo / "later.pyc").read_text() == "ignored\n"


def test_a_renamed_file_of_the_person_is_renamed_and_one_of_a_step_is_refused(repo: Path) -> None:
    (repo / "notes").write_text("mine\n")
    commit_all(repo)
    first, _ = again(repo)
    git(repo, "mv", "notes", "remarks")
    again(repo)
    assert (repo / "remarks").read_text() == "mine\n"
    assert not (repo / "notes").exists()
    assert git(repo, "show", f"company/{first}:notes") == "mine\n"
    (repo / "remarks").unlink()
    (repo / "remarks").mkdir()
    (repo / "remarks/one").write_text("a folder now\n")
    commit_all(repo)
    assert again(repo)
    assert (repo / "remarks/one").read_text() == "a folder now\n"
    git(repo, "mv", "shout.py", "cry.py")
    unchanged = nothing_changed(repo)
    with pytest.raises(UsageError, match="a step made it, and it is deleted"):
        redo(repo.parent.parent, "out", headless=True)
    assert unchanged()


def test_a_readme_that_was_deleted_is_said_to_come_back(repo: Path) -> None:
    (repo / "README.md").unlink()
    _, told = again(repo)
    assert (repo / "README.md").exists()
    assert [text for text in told if text.startswith("README.md is deleted, and a run that ends without one writes it")]


def test_an_emptied_file_of_a_step_is_as_it_was_edited(repo: Path) -> None:
    (repo / "shout.py").write_bytes(b"")
    again(repo)
    assert (repo / "shout.py").read_bytes() == b""


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (".company/artifacts/prd.json", "[" * 100_000, "it is no JSON"),
        (".company/requirement.md", None, "the run is made from it, and it is deleted"),
        (".company/requirement.md", "", "the run is made from it, and it is empty"),
        (".company/sop.yaml", " \n", "the run is made from it, and it is empty"),
        ("docs/prd.md", "", "it does not fit"),
    ],
)
def test_what_is_emptied_deleted_or_absurd_is_refused(repo: Path, path: str, content: str | None, message: str) -> None:
    if content is None:
        (repo / path).unlink()
    else:
        (repo / path).write_text(content)
    unchanged = nothing_changed(repo)
    with pytest.raises(CompanyError, match=message) as error:
        redo(repo.parent.parent, "out", headless=True)
    assert (error.value.place, error.value.hint.startswith("undo the change: git restore --source=")) == (path, True)
    assert unchanged()


def test_the_working_tree_is_restored_once(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "shout.py").write_text("X = 1\n")
    times = []
    restore = Repository.restore
    monkeypatch.setattr(Repository, "restore", lambda self: times.append(1) or restore(self))  # type: ignore[func-returns-value]
    again(repo)
    assert len(times) == 1
    assert (repo / "shout.py").read_text() == "X = 1\n"
