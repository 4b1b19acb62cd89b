"""The lock that keeps a folder to one run.

What is done with the folder meanwhile: `workspace.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from company.errors import WorkspaceBusy, WorkspaceError
from company.paths import disk_errors, write_atomic

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Lock:
    """Keeps a folder to one run: ``with Lock(folder): …``. Not re-entrant, not even in one process.

    Args:
        wait: seconds; whoever looks whether the folder is busy holds it for a moment, and keeps no run out.

    Raises:
        WorkspaceBusy: another run has it. It is free again when that process ends, however it ends.
    """

    _held: ClassVar[set[Path]] = set()

    def __init__(self, folder: Path, *, wait: float = 0.5) -> None:
        self._folder = folder.resolve()
        self._wait = wait
        self._lock: BaseFileLock | None = None

    @classmethod
    def is_held(cls, folder: Path) -> bool:
        """Whether this process holds the folder."""
        return folder.resolve() in cls._held

    @classmethod
    def is_free(cls, folder: Path) -> bool:
        """Whether nobody holds the folder; one in which nothing can be written is free."""
        from filelock import FileLock, Timeout

        busy = _inside(folder.resolve()) / "busy"
        if not busy.exists():
            return True
        try:
            with FileLock(busy, timeout=0, thread_local=False):
                return True
        except Timeout:
            return False
        except OSError:
            return True

    @classmethod
    def holder(cls, folder: Path) -> int:
        """The pid of the process that holds the folder; 0 where none of this machine does, or it is not certain which."""
        import psutil

        inside = _inside(folder.resolve())
        try:
            pid = int((inside / "pid").read_text())  # stays after its process, whose number may be another's now
            opened = psutil.Process(pid).open_files()
            return pid if any(Path(one.path) == inside / "busy" for one in opened) else 0
        except (OSError, ValueError, psutil.Error):
            return 0

    def __enter__(self) -> Lock:
        from filelock import FileLock, Timeout

        inside = _inside(self._folder)
        with disk_errors("lock the folder", self._folder):
            inside.mkdir(parents=True, exist_ok=True)
            lock = FileLock(inside / "busy", timeout=self._wait, thread_local=False)
            try:
                lock.acquire()
            except Timeout:
                raise self._busy(inside / "pid") from None
        try:
            write_atomic(inside / "pid", str(os.getpid()).encode())
        except WorkspaceError:
            lock.release()
            raise
        self._lock = lock
        self._held.add(self._folder)
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock:
            self._held.discard(self._folder)
            self._lock.release()
            self._lock = None

    def _busy(self, note: Path) -> WorkspaceBusy:
        owner = note.read_text() if note.exists() else ""
        return WorkspaceBusy(
            f"{self._folder} is busy, {f'pid {owner}' if owner else 'another process'} is running in it",
            hint="wait until it has ended, or stop it" + (f": kill {owner}" if owner else ""),
        )


def _inside(folder: Path) -> Path:
    return folder / (".git/company" if (folder / ".git").is_dir() else ".company")
