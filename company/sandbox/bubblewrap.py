"""The bubblewrap back end: one form for an ordinary user, one for root, the same sight and limits inside.

Whether it holds on this machine is for `choose.py` to prove. The system-call filter: `seccomp.py`.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import platform
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from company.errors import SandboxUnavailable
from company.sandbox import interpreter, seccomp
from company.sandbox.base import Limits, Result, Spec, Status, check_paths
from company.sandbox.process import Descriptors, watch

REPORT_FD = "COMPANY_REPORT_FD"
_READY = "\x01ready\n"
"""Printed once everything is laid out, cut off here again: what fails before is not the program's fault."""
_SETUP = f"umask 022; cd /box && tar -xmf /.box.tar && printf '{_READY}' && exec \"$@\""
_SHM_BYTES = 16 << 20
_RUNS = itertools.count()
_FIRST_UID, _UIDS = 600_000_000, 60_000


class Bubblewrap:
    """Runs jobs under `bwrap`.

    `as_root` picks the form, by default from this process's own user.

    Raises:
        SandboxUnavailable: bubblewrap or a tool it needs is missing, or there is no filter for the machine.
    """

    def __init__(self, *, as_root: bool | None = None) -> None:
        self._as_root = os.geteuid() == 0 if as_root is None else as_root
        self.name = "bubblewrap (root)" if self._as_root else "bubblewrap (user)"
        self._program = _tool("bwrap", "sudo apt install bubblewrap (or dnf, pacman, zypper)")
        self._prlimit = _tool("prlimit", "sudo apt install util-linux")
        self._setpriv = _tool("setpriv", "sudo apt install util-linux") if self._as_root else ""
        self._tools = (_tool("sh", "sudo apt install dash"), _tool("tar", "sudo apt install tar"))
        filter_program = seccomp.program()
        if filter_program is None:
            raise SandboxUnavailable(f"no system-call filter is written for {platform.machine()}")
        self._filter = filter_program
        self._python = interpreter.current()

    async def run(self, spec: Spec) -> Result:
        """As `Sandbox.run` says."""
        check_paths(spec.files)
        user = _spare_user() if self._as_root else 1000
        with Descriptors() as descriptors:
            status = descriptors.pipe()
            environment = {
                "PATH": "/venv/bin:/usr/bin:/bin",
                "HOME": "/tmp",
                "LANG": "C.UTF-8",
                "MALLOC_ARENA_MAX": "2",  # fewer reserved addresses for a program of many threads
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",  # a verdict that changes with the order of a set is no verdict
            }
            if spec.report:
                environment[REPORT_FD] = str(descriptors.pipe())
            arguments = [
                *("--seccomp", str(descriptors.data(self._filter)), "--json-status-fd", str(status)),
                *self._isolation(),
                *("--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"),
                *(word for key, value in environment.items() for word in ("--setenv", key, value)),
                *self._sight(descriptors, spec, user),
                *("--remount-ro", "/", "--chdir", "/box"),
            ]
            packed = "".join(f"{word}\0" for word in arguments).encode("utf-8", "surrogateescape")
            outcome = await watch(
                # Behind a descriptor: the first process's command line is readable inside.
                (self._program, "--args", str(descriptors.data(packed)), "--", *self._command(spec, user)),
                environment={},  # bubblewrap's own environment is readable inside, whatever --clearenv does
                limits=spec.limits,
                stdin=spec.stdin,
                descriptors=descriptors,
                volumes=("/box", "/tmp"),
            )
        states, report = outcome.extra[0], b"".join(outcome.extra[1:])
        ended = _exit_code(states)
        stdout = outcome.stdout.decode("utf-8", "replace")
        stderr = outcome.stderr.decode("utf-8", "replace")
        ready = stdout.startswith(_READY)
        reason: Status = outcome.reason
        if reason != "exit":
            ended = None
        elif not ready or ended is None:
            reason, ended = "setup_failed", None
        elif ended == 128 + 24:  # SIGXCPU: the processor time is used up
            reason, ended = "timeout", None
        stdout = stdout.removeprefix(_READY)
        return Result(reason, ended, stdout, stderr, outcome.seconds, report, self.name)

    def _isolation(self) -> tuple[str, ...]:
        if not self._as_root:
            return ("--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL",
                    "--uid", "1000", "--gid", "1000")  # fmt: skip
        return ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
                "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
                "--cap-add", "CAP_SETPCAP")  # fmt: skip

    def _sight(self, descriptors: Descriptors, spec: Spec, user: int) -> Iterator[str]:
        """What is visible inside, in the order in which it is mounted."""
        python, disk = self._python, str(spec.limits.disk_mb << 20)
        for place in interpreter.SYSTEM:
            if place.is_symlink():
                yield from ("--symlink", str(place.readlink()), str(place))
            elif place.is_dir():
                yield from ("--ro-bind", str(place), str(place))
        yield from ("--proc", "/proc", "--dev", "/dev")
        yield from (
            "--perms",
            "1777",
            "--size",
            str(_SHM_BYTES),
            "--tmpfs",
            "/dev/shm",
            "--remount-ro",
            "/dev",
        )
        for folder in ("/tmp", "/box"):
            yield from ("--perms", "1777", "--size", disk, "--tmpfs", folder)
        made: set[Path] = set()
        packages = Path("/venv/lib") / f"python{python.version}" / "site-packages"
        for part in python.parts:
            yield from _folders(part.parent, made)
            yield from ("--ro-bind", str(part), str(part))
        for part in python.hidden:
            yield from ("--perms", "0755", "--size", "4096", "--tmpfs", str(part), "--remount-ro", str(part))
        yield from _folders(packages, made)
        for package in python.packages:
            yield from ("--ro-bind", str(package), str(packages / package.name))
        yield from _folders(Path("/venv/bin"), made)
        for name in ("python", "python3", f"python{python.version}"):
            yield from ("--symlink", str(python.executable), f"/venv/bin/{name}")
        yield from _folders(Path("/etc"), made)
        yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")
        texts = {
            "/venv/pyvenv.cfg": f"home = {python.executable.parent}\ninclude-system-site-packages = false\n",
            "/etc/passwd": f"root:x:0:0::/:/bin/false\nuser:x:{user}:{user}::/tmp:/bin/sh\n",
            "/etc/group": f"root:x:0:\nuser:x:{user}:\n",
            "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
            "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        }
        for name, version in python.versions:  # pytest's first line of output asks for them
            about = packages / f"{name}-{version}.dist-info"
            yield from _folders(about, made)
            texts[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files = {path: text.encode("utf-8", "surrogateescape") for path, text in texts.items()}
        files["/.box.tar"] = _packed(spec.files)
        for path, content in files.items():
            yield from ("--perms", "0444", "--file", str(descriptors.data(content)), path)

    def _command(self, spec: Spec, user: int) -> Iterator[str]:
        if self._as_root:
            # Before the limits bite: as root the limit on processes never does.
            yield from (self._setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups")
            yield from ("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
        yield from (self._prlimit, *_resource_limits(spec.limits))
        yield from ("/bin/sh", "-c", _SETUP, "sh")
        yield from (("/venv/bin/python", *spec.argv[1:]) if spec.argv[0] == "python" else spec.argv)


def _resource_limits(limits: Limits) -> tuple[str, ...]:
    return (
        f"--nproc={limits.processes}",
        # Addresses of one process. The tree's memory is watched from outside; this blunts a single leap.
        f"--as={limits.memory_mb * 4 << 20}",
        f"--fsize={limits.file_mb << 20}",
        "--nofile=256",
        "--core=0",
        f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}",
    )


def _folders(folder: Path, made: set[Path]) -> Iterator[str]:
    """Make a folder and its parents readable for all: what bubblewrap makes by itself on the way is not."""
    for place in (*reversed(folder.parents), folder):
        if place not in made and place not in (Path("/"), Path("/tmp")):
            made.add(place)
            yield from ("--perms", "0755", "--dir", str(place))


def _packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o755 if content.startswith(b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _exit_code(states: bytes) -> int | None:
    """What bubblewrap says of the command's end; None where it never came to run."""
    for line in states.splitlines():
        state = json.loads(line)
        if "exit-code" in state:
            return int(state["exit-code"])
    return None


def _spare_user() -> int:
    """A user id that no other run of this process has: the limit on processes counts by user."""
    inside, _, count = map(int, Path("/proc/self/uid_map").read_text().split()[:3])
    if inside + count < _FIRST_UID + _UIDS:
        return 65534
    return _FIRST_UID + (os.getpid() * 101 + next(_RUNS)) % _UIDS


def _tool(name: str, remedy: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SandboxUnavailable(f"`{name}` is not installed", hint=remedy)
    return path
