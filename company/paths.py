"""Confinement of generated paths: which names are allowed, and writing them without ever following a link.

`safe_path` judges text; `WorkingTree` works by directory descriptors, so that a swapped folder leads nowhere.
What is committed, and when the files are put in place: `workspace.py`.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from company.errors import UnsafePath, WorkspaceError

MAX_NAME = 255
"""Bytes of one name in UTF-8, what common file systems hold."""
MAX_PATH = 1024
"""Bytes of a whole relative path in UTF-8."""

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9]|lpt[0-9])", re.IGNORECASE)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ADVICE = {
    errno.ENOSPC: ("the disk is full", "free some space, then run `company resume`"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run `company resume`"),
    errno.EFBIG: ("the file is too large for this system", "raise the limit (`ulimit -f`), then run `company resume`"),
    errno.EACCES: ("no permission", "make the folder writable, or choose another one with --workspace"),
    errno.EPERM: ("not permitted", "make the folder writable, or choose another one with --workspace"),
    errno.EROFS: ("the file system is read-only", "choose another folder with --workspace"),
}  # fmt: skip


def safe_path(text: str) -> str:
    """The path in normal form: relative, ``/`` between names, NFC, without ``.`` and doubled slashes.

    Raises:
        UnsafePath: it would leave the repository, reach git's own files, or not exist on another system.
    """
    path = unicodedata.normalize("NFC", text)
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in path):
        raise _unsafe(text, "is not valid Unicode")
    for letter in path:
        if unicodedata.category(letter) in {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"}:
            raise _unsafe(text, f"holds the invisible character U+{ord(letter):04X}")
        if letter in '\\:*?"<>|':
            raise _unsafe(text, f"holds `{letter}`, which not every system allows in a name")
    if path.startswith("/"):
        raise _unsafe(text, "is absolute")
    if path.endswith("/"):
        raise _unsafe(text, "names a folder, not a file")
    names = [name for name in path.split("/") if name not in ("", ".")]
    if not names or path.endswith("/."):
        raise _unsafe(text, "names no file")
    for name in names:
        if problem := _problem(name):
            raise _unsafe(text, problem)
    path = "/".join(names)
    if len(path.encode()) > MAX_PATH:
        raise _unsafe(text, f"is longer than {MAX_PATH} bytes")
    return path


def _problem(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    if name == ".." or plain.strip(" .") == "" or "/" in plain or "\\" in plain:
        return "has a part made of dots or slashes"
    if plain.rstrip(" .") == ".git" or re.fullmatch(r"git~[0-9]+", plain.rstrip(" .")):
        return "reaches into git's own folder"
    if plain.rstrip(" .") == ".gitmodules":
        return "describes nested repositories"
    if name[0] in "-~":
        return f"has a name that starts with `{name[0]}`"
    if name != name.strip() or name.endswith("."):
        return "has a name that starts or ends with a space, or ends with a dot"
    if _RESERVED.fullmatch(plain.split(".")[0].rstrip()):
        return "has a name that Windows reserves"
    if len(name.encode()) > MAX_NAME:
        return f"has a name longer than {MAX_NAME} bytes"
    return ""


def _unsafe(text: str, problem: str) -> UnsafePath:
    shown = ascii(text)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return UnsafePath(
        f"the path {shown} {problem}",
        hint="use a relative path with plain names, such as src/main.py",
    )


@contextmanager
def disk_errors(doing: str, path: Path | str) -> Iterator[None]:
    """Turn any OSError inside into a WorkspaceError with a way out. `doing` is for instance ``write``."""
    try:
        yield
    except OSError as error:
        unknown = error.strerror or str(error), "check the disk and the folder"
        fact, hint = _ADVICE.get(error.errno or 0, unknown)
        raise WorkspaceError(f"could not {doing}: {fact}", place=str(path), hint=hint) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write the whole file or leave it as it was: temporary file in the same folder, fsync, rename.

    Raises:
        WorkspaceError: the disk is full, read-only or closed to us.
    """
    temporary = path.with_name(f".new-{secrets.token_hex(8)}")
    with disk_errors("write the file", path):
        try:
            write_synced(temporary, data)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def write_synced(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Make a new file and see it to the disk. Raises OSError; the file may then be there in part."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


class WorkingTree:
    """The files under `root`. New content is staged in `staging`, on the same disk, and renamed into place.

    Paths are names joined by ``/`` as `safe_path` gives them. No method follows a symbolic link below `root`.
    """

    def __init__(self, root: Path, staging: Path) -> None:
        self._root = root
        self._staging = staging

    def stage(self, data: bytes, *, executable: bool) -> Path:
        """Write the content where nobody looks, synced; `place` puts it where it belongs."""
        self._staging.mkdir(parents=True, exist_ok=True)
        path = self._staging / f"new-{secrets.token_hex(8)}"
        with disk_errors("write a file of the working tree", self._root):
            try:
                write_synced(path, data, 0o777 if executable else 0o666)
            except OSError:
                path.unlink(missing_ok=True)
                raise
        return path

    def clear_staging(self) -> None:
        """Remove what a killed process staged and never placed."""
        for path in self._staging.glob("new-*"):
            path.unlink()

    def check(self, path: str) -> None:
        """See whether `place` could work, before anything is decided.

        Raises:
            UnsafePath: a link, a file or a repository stands where a folder is needed, or a folder at the path.
        """
        with suppress(FileNotFoundError), self._parent(path) as (folder, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise self._in_the_way(path, "is a folder, and a file was to be written there")

    def place(self, staged: Path, path: str) -> os.stat_result:
        """Move staged content to its path, whatever link or file is there; returns the new file's status."""
        with disk_errors("write", self._root / path), self._parent(path, make=True) as (folder, name):
            try:
                os.replace(staged, name, dst_dir_fd=folder)
            except IsADirectoryError as error:
                raise self._in_the_way(path, "is a folder, and a file was to be written there") from error
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def remove(self, path: str) -> None:
        """Delete the file, and the folders that become empty. Absent already: nothing to do."""
        with disk_errors("delete", self._root / path):
            with suppress(FileNotFoundError), self._parent(path) as (folder, name):
                os.unlink(name, dir_fd=folder)
            while "/" in path:
                path = path.rpartition("/")[0]
                try:
                    with self._parent(path) as (folder, name):
                        os.rmdir(name, dir_fd=folder)
                except OSError:
                    return  # not empty, or gone

    def read(self, path: str) -> tuple[bytes, os.stat_result] | None:
        """Content and status of a regular file; None when there is none: absent, a link, a folder, a pipe."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with disk_errors("read", self._root / path), suppress(FileNotFoundError):
            with self._parent(path) as (folder, name):
                if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    return None
                descriptor = os.open(name, flags, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(), os.fstat(descriptor)
        return None

    def target(self, path: str) -> bytes | None:
        """What the link at the path says; None when there is none."""
        with disk_errors("read", self._root / path), suppress(FileNotFoundError), self._parent(path) as (folder, name):
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                return os.fsencode(os.readlink(name, dir_fd=folder))
        return None

    def link(self, target: bytes, path: str) -> None:
        """Put a link at the path, whatever link or file is there."""
        self._staging.mkdir(parents=True, exist_ok=True)
        staged = self._staging / f"new-{secrets.token_hex(8)}"
        with disk_errors("write", self._root / path):
            staged.symlink_to(os.fsdecode(target))
        self.place(staged, path)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder that holds the path's last name, reached one name at a time."""
        *folders, name = path.split("/")
        here = os.open(self._root, _FOLDER)
        try:
            for depth, folder in enumerate(folders, 1):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=here)
                try:
                    inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
                except OSError as error:
                    if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                        raise
                    where = "/".join(folders[:depth])
                    raise self._in_the_way(where, "is a link or a file, not a folder") from error
                os.close(here)
                here = inner
                with suppress(FileNotFoundError):
                    os.stat(".git", dir_fd=here, follow_symlinks=False)
                    raise self._in_the_way("/".join(folders[:depth]), "is a repository of its own")
            yield here, name
        finally:
            os.close(here)

    def _in_the_way(self, path: str, fact: str) -> UnsafePath:
        return UnsafePath(
            f"`{path}` {fact}",
            place=str(self._root),
            hint=f"move {path} out of the repository, then run `company resume`",
        )
