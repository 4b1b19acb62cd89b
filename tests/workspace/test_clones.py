"""A clone of somebody's repository and the branch that goes back into it; theirs stays as it was, whatever its shape."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from git_cli import git, is_sound
from test_attacks import PLANTS, by_hand
from test_repository import commit

from company.clones import Source, branch_of, told
from company.errors import UsageError, WorkspaceError
from company.workspace import Repository

WHO = ("-c", "user.name=U", "-c", "user.email=u@x")
RUN = "20260101-000000-abcd"
BRANCH = branch_of(RUN)


def theirs(at: Path) -> Path:
    """A repository with what repositories have: links, modes, odd names and line ends, ignores at two levels."""
    at.mkdir(parents=True)
    git(at, "init", "-q", "-b", "trunk")
    (at / "pkg").mkdir()
    (at / "pkg/a.py").write_text("A = 1\n")
    (at / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    (at / "run.sh").write_text("#!/bin/sh\n")
    (at / "run.sh").chmod(0o755)
    (at / "übung – naïve.txt").write_text("ü\n")
    (at / "- odd 'name'.txt").write_text("odd\n")
    (at / "link").symlink_to("pkg/a.py")
    (at / "out").symlink_to("/etc")
    (at / ".gitignore").write_text("*.log\n")
    (at / "pkg/.gitignore").write_text("*\n!a.py\n!.gitignore\n")
    git(at, "add", "-A")
    git(at, *WHO, "commit", "-q", "-m", "first\n\nCompany-Run: earlier\nCompany-Step: start")
    return at


def state(at: Path) -> dict[str, object]:
    """Everything of a repository that is its owner's: files, index, HEAD, config, stash, branches but ours."""
    files = {
        str(path.relative_to(at)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(at.rglob("*"))
        if not {"objects", "logs"} & {*path.parts} and BRANCH not in str(path) and path.name != "company"
    }
    refs = [line for line in git(at, "for-each-ref").splitlines() if BRANCH not in line]
    return {"files": files, "refs": refs}


def round_trip(source: Source, clone: Path) -> str:
    base = source.head()
    repo = source.clone(base, clone, RUN)
    commit(repo, {"new.py": b"B = 2\n", "pkg/a.py": b"A = 2\n"})
    assert source.deliver(repo, base, RUN) == repo.head()
    return base


def test_the_branch_arrives_and_nothing_else_changes(tmp_path: Path) -> None:
    at = theirs(tmp_path / "repo")
    (at / "pkg/a.py").write_text("A = 'under way'\n")
    (at / "stashed.txt").write_text("s\n")
    git(at, "add", "stashed.txt")
    git(at, *WHO, "stash", "-q")
    (at / "pkg/a.py").write_text("A = 'not committed'\n")
    (at / "staged.txt").write_text("x\n")
    git(at, "add", "staged.txt")
    (at / "untracked.txt").write_text("x\n")
    (at / "noise.log").write_text("x\n")
    before = state(at)
    source = Source.at(at)
    assert source.uncommitted() == ["pkg/a.py", "staged.txt", "untracked.txt"]
    assert "pkg/a.py, staged.txt, untracked.txt" in told(source.uncommitted(), source)
    base = round_trip(source, tmp_path / "ws/out")
    assert state(at) == before
    assert git(at, "rev-parse", f"{BRANCH}^").strip() == base
    assert git(at, "show", f"{BRANCH}:pkg/a.py") == "A = 2\n"
    assert git(at, "diff", "--stat", f"trunk..{BRANCH}", "--name-only").split() == ["new.py", "pkg/a.py"]
    git(at, "fsck", "--strict", "--full")


def test_the_clone_is_the_commit_byte_for_byte(tmp_path: Path) -> None:
    at = theirs(tmp_path / "repo")
    source = Source.at(at)
    clone = source.clone(source.head(), tmp_path / "ws/out", RUN)
    assert is_sound(clone.path)
    assert git(clone.path, "status", "--porcelain") == ""
    assert git(clone.path, "symbolic-ref", "HEAD").strip() == f"refs/heads/{BRANCH}"
    assert git(clone.path, "rev-parse", "HEAD") == git(at, "rev-parse", "HEAD")
    for path in at.rglob("*"):
        if ".git" not in path.parts:
            copy = clone.path / path.relative_to(at)
            assert copy.lstat().st_mode == path.lstat().st_mode
            assert path.is_dir() or path.is_symlink() or copy.read_bytes() == path.read_bytes()
    assert clone.restore() == []


def linked(at: Path) -> Path:
    git(at, "worktree", "add", "-q", "-b", "side", str(at.parent / "linked"))
    (at / "pkg/a.py").write_text("elsewhere\n")
    return at.parent / "linked"


def bare(at: Path) -> Path:
    git(at, "clone", "-q", "--bare", str(at), str(at.parent / "bare.git"))
    return at.parent / "bare.git"


def shallow(at: Path) -> Path:
    git(at, *WHO, "commit", "-q", "--allow-empty", "-m", "second")
    git(at, "clone", "-q", "--depth", "1", f"file://{at}", str(at.parent / "shallow"))
    return at.parent / "shallow"


def borrowing(at: Path) -> Path:
    git(at, "clone", "-q", "--shared", str(at), str(at.parent / "borrowing"))
    return at.parent / "borrowing"


def submodule(at: Path) -> Path:
    outer = at.parent / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, *WHO, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(at), "inner")
    git(outer, *WHO, "commit", "-q", "-m", "with a submodule")
    return outer / "inner"


def with_submodule(at: Path) -> Path:
    return submodule(at).parent


def packed(at: Path) -> Path:
    git(at, "gc", "-q", "--prune=now")
    git(at, "pack-refs", "--all")
    return at


def detached(at: Path) -> Path:
    git(at, "checkout", "-q", "--detach")
    return at


@pytest.mark.parametrize(
    "shape",
    [linked, bare, shallow, borrowing, submodule, with_submodule, packed, detached],
    ids=lambda each: each.__name__,
)
def test_repositories_of_every_shape(tmp_path: Path, shape: Callable[[Path], Path]) -> None:
    at = shape(theirs(tmp_path / "repo"))
    before = state(at)
    source = Source.at(at)
    assert source.uncommitted() == []
    base = source.head()
    assert base == git(at, "rev-parse", "HEAD").strip()
    clone = source.clone(base, tmp_path / "ws/out", RUN)
    assert git(clone.path, "status", "--porcelain") == ""
    commit(clone, {"new.py": b"B = 2\n"})
    source.deliver(clone, base, RUN)
    assert git(at, "show", f"{BRANCH}:new.py") == "B = 2\n"
    assert state(at) == before
    git(at, "fsck", "--full")


@pytest.mark.parametrize("name", PLANTS)
def test_nothing_that_their_config_names_is_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    at = theirs(tmp_path / "repo")
    (at / "a.txt").write_text("1\n")
    (at / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    git(at, "add", "-A")
    git(at, *WHO, "commit", "-q", "-m", "attributes")
    (at / "a.txt").write_text("2\n")
    PLANTS[name](at, mark)
    mark.unlink(missing_ok=True)
    source = Source.at(at)
    assert source.uncommitted()[:1] == ["a.txt"]
    source.free(RUN)
    round_trip(source, tmp_path / "ws/out")
    assert not mark.exists()
    by_hand(at)
    assert mark.exists(), "the plant is not live: the test proves nothing"


def test_a_later_sitting_moves_the_branch_forward(tmp_path: Path) -> None:
    at = theirs(tmp_path / "repo")
    source = Source.at(at)
    base = round_trip(source, tmp_path / "ws/out")
    clone = Repository.open(tmp_path / "ws/out")
    commit(clone, {"more.py": b"C = 3\n"})
    source.deliver(clone, base, RUN)
    source.deliver(clone, base, RUN)
    assert git(at, "rev-parse", BRANCH).strip() == clone.head()


def test_a_branch_that_somebody_moved_is_left_alone(tmp_path: Path) -> None:
    at = theirs(tmp_path / "repo")
    source = Source.at(at)
    base = round_trip(source, tmp_path / "ws/out")
    clone = Repository.open(tmp_path / "ws/out")
    git(at, "checkout", "-q", BRANCH)
    commit(clone, {"more.py": b"C = 3\n"})
    with pytest.raises(WorkspaceError, match="is checked out") as caught:
        source.deliver(clone, base, RUN)
    assert f"git pull --ff-only {clone.path} {BRANCH}" in caught.value.hint
    git(at, *WHO, "commit", "-q", "--allow-empty", "-m", "theirs")
    moved = git(at, "rev-parse", BRANCH)
    with pytest.raises(WorkspaceError, match="moved by somebody else") as caught:
        source.deliver(clone, base, RUN)
    assert git(at, "rev-parse", BRANCH) == moved
    command = caught.value.hint.partition("name: ")[2].replace("NAME", "mine").split()
    git(at, *command[1:])  # the way out is one
    assert git(at, "show", "mine:more.py") == "C = 3\n"


def test_a_branch_that_was_deleted_comes_again(tmp_path: Path) -> None:
    at = theirs(tmp_path / "repo")
    source = Source.at(at)
    base = round_trip(source, tmp_path / "ws/out")
    git(at, "branch", "-q", "-D", BRANCH)
    git(at, "gc", "-q", "--prune=now")
    assert source.deliver(Repository.open(tmp_path / "ws/out"), base, RUN) == git(at, "rev-parse", BRANCH).strip()


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        Source.at(tmp_path / "nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(UsageError, match="not the top folder of a git repository") as caught:
        Source.at(tmp_path / "plain")
    assert "git init" in caught.value.hint
    at = theirs(tmp_path / "repo")
    with pytest.raises(UsageError) as caught:
        Source.at(at / "pkg")
    assert caught.value.hint == f"the repository's top folder is {at}"
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    with pytest.raises(UsageError, match="no commit yet"):
        Source.at(tmp_path / "empty").head()
    (tmp_path / "sha256").mkdir()
    git(tmp_path / "sha256", "init", "-q", "--object-format=sha256")
    git(tmp_path / "sha256", *WHO, "commit", "-q", "--allow-empty", "-m", "x")
    with pytest.raises(UsageError, match="SHA-256"):
        Source.at(tmp_path / "sha256").head()
    git(at, "branch", "company")
    with pytest.raises(UsageError, match="there is a branch `company`"):
        Source.at(at).free(RUN)


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", ".g\u200cit", "git~1", "a:b"])
def test_a_tree_that_leads_out_is_refused_whole(tmp_path: Path, name: str) -> None:
    at = theirs(tmp_path / "repo")
    blob = git(at, "rev-parse", "HEAD:run.sh").strip()
    inner = tmp_path / "tree"
    inner.write_bytes(b"100644 evil\0" + bytes.fromhex(blob))
    tree = git(at, "hash-object", "-w", "-t", "tree", "--literally", str(inner)).strip()
    inner.write_bytes(b"40000 " + name.encode() + b"\0" + bytes.fromhex(tree))
    outer = git(at, "hash-object", "-w", "-t", "tree", "--literally", str(inner)).strip()
    made = git(at, *WHO, "commit-tree", outer, "-m", "evil").strip()
    git(at, "update-ref", "refs/heads/trunk", made)
    source = Source.at(at)
    with pytest.raises(WorkspaceError, match=r"git itself refuses|a drive"):
        source.clone(source.head(), tmp_path / "ws/out", RUN)
    assert not (tmp_path / "ws/out").exists()
    assert list((tmp_path / "ws").iterdir()) == []


def test_a_damaged_repository_leaves_nothing(tmp_path: Path) -> None:
    at = theirs(tmp_path / "repo")
    blob = git(at, "rev-parse", "HEAD:pkg/a.py").strip()
    (at / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(WorkspaceError, match="git failed"):
        Source.at(at).clone(Source.at(at).head(), tmp_path / "ws/out", RUN)
    assert list((tmp_path / "ws").iterdir()) == []
    shutil.rmtree(at)
