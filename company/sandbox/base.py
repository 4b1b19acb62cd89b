"""What a sandbox is: the limits, the job, the result and the protocol that every back end follows.

Back ends: `bubblewrap.py`, `plain.py`. Which of them is used: `choose.py`. Watching a process: `process.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, Protocol

from company.errors import UnsafePath

Status = Literal["exit", "timeout", "output_limit", "memory_limit", "setup_failed"]


@dataclass(frozen=True)
class Limits:
    """How much a job may use. Every limit is of the whole job unless its line says otherwise."""

    seconds: float = 60.0
    """Wall time until the tree of processes is killed."""
    cpu_seconds: int = 60
    """Processor time of one process."""
    memory_mb: int = 1024
    """Resident memory of all processes together, MiB."""
    output_bytes: int = 1 << 20
    """Standard output and standard error together, bytes."""
    processes: int = 128
    """Processes and threads alive at once."""
    file_mb: int = 16
    """One written file, MiB."""
    disk_mb: int = 64
    """What may be written below ``/box``, and the same again below ``/tmp``, MiB."""


@dataclass(frozen=True)
class Spec:
    """One job: a command and the files it finds in its writable working directory ``/box``."""

    argv: tuple[str, ...]
    """The command; ``python`` as its first word is the sandbox's own Python."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Relative path with ``/`` to content. Nothing of the host is shared writable."""
    stdin: bytes = b""
    limits: Limits = field(default_factory=Limits)
    report: bool = False
    """Whether the command inherits a pipe, numbered by ``COMPANY_REPORT_FD``, into `Result.report`."""


@dataclass(frozen=True)
class Result:
    """How a job ended."""

    status: Status
    """`setup_failed`: the command never started, `stderr` says why; never the program's fault."""
    exit_status: int | None
    """As a shell gives it, 128 + N after signal N; None unless `status` is ``exit``."""
    stdout: str
    stderr: str
    seconds: float
    """Wall time, start of the sandbox included."""
    report: bytes
    """What came out of the report pipe; empty without one."""
    sandbox: str
    """The back end's name."""


class Sandbox(Protocol):
    """Something that runs generated code at arm's length."""

    @property
    def name(self) -> str:
        """The name that reports and commits carry."""

    async def run(self, spec: Spec) -> Result:
        """Run one job to its end or its limit.

        Its processes are dead when this returns or is cancelled. A failed set-up is a status, not an error.

        Raises:
            UnsafePath: a path in `spec.files` is not a plain relative one.
        """


def check_paths(files: Mapping[str, bytes]) -> None:
    """Refuse what is not a plain relative path inside the box.

    Raises:
        UnsafePath: absolute, empty, with ``..``, control characters or a name over 255 bytes.
    """
    for path in files:
        parts = path.split("/")
        plain = all(part not in ("", ".", "..") and len(part.encode("utf-8", "replace")) <= 255 for part in parts)
        if not plain or any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in path):
            raise UnsafePath(f"{path!r} is no relative path inside the repository")
        if any(str(parent) in files for parent in list(PurePosixPath(path).parents)[:-1]):
            raise UnsafePath(f"{path!r} lies below a path that is a file")
