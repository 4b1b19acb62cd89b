"""Paths that a model gives: what is refused, and that no link, folder or race leads a write out of the tree."""

import ctypes
import os
import threading
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from company.errors import UnsafePath, WorkspaceError
from company.paths import MAX_NAME, MAX_PATH, WorkingTree, safe_path, write_atomic

ALLOWED = {
    "main.py": "main.py",
    "src/main.py": "src/main.py",
    "./src//main.py": "src/main.py",
    "a/./b.py": "a/b.py",
    ".gitignore": ".gitignore",
    ".github/workflows/ci.yml": ".github/workflows/ci.yml",
    "grüße.md": "grüße.md",
    "gru\u0308ße.md": "grüße.md",
    "日本語/メモ.txt": "日本語/メモ.txt",
    "with space.txt": "with space.txt",
    "a..b/c...d": "a..b/c...d",
    "console.py": "console.py",
    "git/config": "git/config",
    "x.git/config": "x.git/config",
    "README": "README",
}
REFUSED = [
    "", ".", "/", "./", "a/", "a/.",
    "/etc/passwd", "//host/share", "../x", "a/../../x", "a/..", "..", ". ./x", "...", "a/.../b",
    "C:\\x", "a\\b", "c:x", "a*b", "what?", 'q"q', "a<b", "a>b", "a|b",
    ".git", ".git/config", ".GIT/hooks/post-commit", "a/.Git/x", "GIT~1/config", "git~2", ".git.", ".git ", ".git /x",
    ".g\u200dit/config", "\u200b.git/config", ".ｇｉｔ/config", ".gi\u0131t\u200c", "．git/config", "․git/config",
    ".gitmodules", "a/.GITMODULES",
    "a\x00b", "a\nb", "a\x1b[2Jb", "a\x7fb", "\ufeffa", "a\u202eb", "a\u2028b", "a\ue000b", "a\ud800b",
    "-rf", "a/-x", "~/x", "~root/.ssh/id", "a/~b",
    " a", "a ", "a/ b", "a.", "a./b",
    "CON", "con.txt", "a/NUL", "Aux.py", "com1", "LPT9.log", "conin$", "com¹", "PRN .txt",
    "x" * (MAX_NAME + 1), "ü" * (MAX_NAME // 2 + 1), "/".join(["abcdefgh"] * 200),
    "a／b", "a＼b", "‥/x",
]  # fmt: skip


@pytest.mark.parametrize(("text", "path"), ALLOWED.items())
def test_plain_names_are_allowed(text: str, path: str) -> None:
    assert safe_path(text) == path


@pytest.mark.parametrize("text", REFUSED)
def test_unsafe_names_are_refused(text: str) -> None:
    with pytest.raises(UnsafePath) as caught:
        safe_path(text)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.hint


NAMES = st.text(alphabet=st.sampled_from("ab.-~ /\\gitGIT\u200d１ü\u0308\x00:"), max_size=12)


@given(st.one_of(st.text(max_size=40), st.lists(NAMES, max_size=5).map("/".join)))
@example(".ſit")
def test_what_is_allowed_stays_inside(text: str) -> None:
    try:
        path = safe_path(text)
    except UnsafePath:
        return
    assert safe_path(path) == path == unicodedata.normalize("NFC", path)
    assert len(path.encode()) <= MAX_PATH
    root = Path("/some/root")
    assert Path(os.path.normpath(root / path)).is_relative_to(root)
    assert os.path.normpath(root / path) != str(root)
    assert not {".git", "..", "."} & {name.casefold() for name in path.split("/")}


@pytest.fixture
def tree(tmp_path: Path) -> WorkingTree:
    (tmp_path / "root").mkdir()
    return WorkingTree(tmp_path / "root", tmp_path / "staging")


def put(tree: WorkingTree, path: str, content: bytes = b"new") -> None:
    tree.place(tree.stage(content, executable=False), path)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("theirs")
    return tmp_path / "outside"


def test_a_link_to_a_folder_is_refused(tree: WorkingTree, tmp_path: Path, outside: Path) -> None:
    (tmp_path / "root/out").symlink_to(outside)
    for act in (lambda: put(tree, "out/file"), lambda: tree.check("out/file"), lambda: tree.read("out/file")):
        with pytest.raises(UnsafePath, match="`out` is a link or a file"):
            act()
    with pytest.raises(UnsafePath):
        tree.remove("out/file")
    assert (outside / "file").read_text() == "theirs"
    assert len(list(outside.iterdir())) == 1


def test_a_link_at_the_path_is_replaced_and_its_target_left(tree: WorkingTree, tmp_path: Path, outside: Path) -> None:
    (tmp_path / "root/file").symlink_to(outside / "file")
    assert tree.read("file") is None
    put(tree, "file")
    assert (outside / "file").read_text() == "theirs"
    assert (tmp_path / "root/file").read_bytes() == b"new"
    assert not (tmp_path / "root/file").is_symlink()
    (tmp_path / "root/second").symlink_to(outside / "absent")
    tree.remove("second")
    assert not (tmp_path / "root/second").is_symlink()
    assert (outside / "file").exists()


def test_a_hard_link_is_replaced_and_its_other_name_left(tree: WorkingTree, tmp_path: Path, outside: Path) -> None:
    (tmp_path / "root/file").hardlink_to(outside / "file")
    put(tree, "file")
    assert (outside / "file").read_text() == "theirs"


def test_a_pipe_is_no_file_and_does_not_block(tree: WorkingTree, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root/pipe")
    assert tree.read("pipe") is None
    put(tree, "pipe")
    assert tree.read("pipe") is not None


def test_a_folder_at_the_path_is_refused(tree: WorkingTree, tmp_path: Path) -> None:
    (tmp_path / "root/folder/inner").mkdir(parents=True)
    for act in (lambda: put(tree, "folder/inner"), lambda: tree.check("folder/inner")):
        with pytest.raises(UnsafePath, match="is a folder, and a file was to be written there"):
            act()
    assert tree.read("folder/inner") is None


def test_a_file_where_a_folder_is_needed_is_refused(tree: WorkingTree, tmp_path: Path) -> None:
    put(tree, "a")
    with pytest.raises(UnsafePath, match="`a` is a link or a file"):
        put(tree, "a/b")
    assert (tmp_path / "root/a").read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_a_nested_repository_is_refused(tree: WorkingTree, tmp_path: Path, kind: str) -> None:
    inner = tmp_path / "root/inner"
    inner.mkdir()
    if kind == "folder":
        (inner / ".git").mkdir()
    elif kind == "file":
        (inner / ".git").write_text("gitdir: elsewhere")
    else:
        (inner / ".git").symlink_to("absent")
    with pytest.raises(UnsafePath, match="is a repository of its own"):
        put(tree, "inner/deep/file.py")
    assert sorted(path.name for path in inner.iterdir()) == [".git"]


def test_remove_takes_the_folders_that_become_empty(tree: WorkingTree, tmp_path: Path) -> None:
    put(tree, "a/b/c/one")
    put(tree, "a/two")
    tree.remove("a/b/c/one")
    assert [path.name for path in (tmp_path / "root/a").iterdir()] == ["two"]
    tree.remove("a/b/c/one")  # absent already


def test_a_folder_swapped_for_a_link_leads_nowhere(tree: WorkingTree, tmp_path: Path, outside: Path) -> None:
    """One thread exchanges a folder and a link to the outside without a pause; another writes through it."""
    root = tmp_path / "root"
    put(tree, "race/keep")
    link = root / "link"
    link.symlink_to(outside)
    stop = threading.Event()

    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    here, there = os.fsencode(root / "race"), os.fsencode(link)

    def swap() -> None:
        while not stop.is_set():
            exchange(-100, here, -100, there, 2)  # AT_FDCWD, RENAME_EXCHANGE: neither is ever absent

    swapper = threading.Thread(target=swap)
    swapper.start()
    refused = written = 0
    try:
        for _ in range(400):
            try:
                put(tree, "race/file")
                written += 1
            except UnsafePath:
                refused += 1
    finally:
        stop.set()
        swapper.join()
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "theirs"
    assert written + refused == 400
    assert written
    assert refused


def test_write_atomic_leaves_the_old_file_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WorkspaceError, match="the disk is full") as caught:
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert "company resume" in caught.value.hint
