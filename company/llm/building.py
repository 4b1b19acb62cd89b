"""A build of the embedded model's runtime for this very processor: made, measured against the wheel, kept if it is faster.

Which one the server loads: `runtime.py`. The clock: `speed.py`. pip does the work, from the source archive of the version
that is installed; a build that fails, is slower or is interrupted leaves nothing but its log.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from company.errors import Broken, EndpointError, UsageError
from company.llm import machine, runtime
from company.llm.catalogue import MODELS
from company.llm.download import find
from company.llm.local import LocalServer
from company.llm.sources import installer
from company.llm.speed import Timed, ask

Tell = Callable[[str], None]
"""Called with a line of news."""

WORTH = 1.03
"""How many times as fast as the wheel a build must be to be kept: less is noise."""
_ROUNDS = 3
_CONTEXT = 2048
"""Tokens that each of the two servers has while they are measured."""
_READ, _WRITTEN = 500, 100
"""Tokens of a typical call, by which reading and writing are weighed."""

_OPTIONS = "-DLLAMA_LLGUIDANCE=OFF -DLLAMA_BUILD_BORINGSSL=OFF -DLLAMA_BUILD_TESTS=OFF"
"""Left out: what would fetch sources of other projects (a grammar engine in Rust, TLS). Nothing here needs it."""
_STEP = re.compile(r"\[ *(\d+)%\]")
_PROGRESS_SECONDS = 60
_WRONG = re.compile(r"^.*(\berror: |CMake Error).*$", re.MULTILINE)
"""The first such line of a log is what went wrong; later ones follow from it."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens per second of one runtime, medians."""

    read: float
    written: float

    @property
    def call(self) -> float:
        """Seconds of a typical call."""
        return _READ / self.read + _WRITTEN / self.written


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a build."""

    kept: Path | None
    """Where it lies; None: it is not worth keeping."""
    wheel: Speeds
    build: Speeds

    @property
    def times(self) -> float:
        """How many times as fast as with the wheel a typical call is."""
        return self.wheel.call / self.build.call


def build(model: Path, tell: Tell) -> Verdict:
    """Build, measure with `model`, keep or throw away. Takes minutes of all cores; `tell` hears of it.

    Raises:
        UsageError: something that is needed is missing, or another process is building.
        Broken: the build failed; its log is the place.
        EndpointError: the wheel, or the build, does not serve the model.
    """
    version = runtime.version()
    _check_tools()
    _check_memory(model)
    with _alone() as folder:
        made, log = folder / "made", runtime.builds() / "build.log"
        _make(version, folder, made, log, tell)
        if not runtime.built_for(made):
            raise Broken("the build does not load", place=str(log), hint="the wheel is used as before")
        tell(f"built; measuring it against the wheel with {model.name}, {_ROUNDS} times each by turns")
        wheel, ours = asyncio.run(_compare(model, made, tell))
        verdict = Verdict(None, wheel, ours)
        if verdict.times < WORTH:
            return verdict
        home = runtime.home()
        shutil.rmtree(home, ignore_errors=True)
        made.replace(home)
        return Verdict(home, wheel, ours)


def remove() -> Path | None:
    """Remove every build; what runs with one goes on. Returns what was removed."""
    folder = runtime.builds()
    if not folder.is_dir():
        return None
    shutil.rmtree(folder)
    return folder


def model_here() -> Path:
    """An embedded model that is here, to measure with.

    Raises:
        UsageError: there is none.
        ModelError: its file is damaged.
    """
    for model in MODELS.values():
        if path := find(model):
            return path
    raise UsageError(
        "there is no embedded model here to measure a build with",
        hint="company model pull fetches one",
    )


def _check_tools() -> None:
    """Name everything that a build needs and that is missing, with the packages that have it."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    compiler = os.environ.get("CXX", "c++").split()[0]
    needed = {
        "cmake": ("cmake", bool(shutil.which("cmake"))),
        f"a C++ compiler (`{compiler}`)": ("g++", bool(shutil.which(compiler))),
        "make": ("make", bool(shutil.which("make") or shutil.which("ninja"))),
        "Python's headers": ("python3-dev", header.is_file()),
    }
    missing = {what: package for what, (package, here) in needed.items() if not here}
    if missing:
        raise UsageError(
            f"a build needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not here",
            hint=f"on Debian and Ubuntu: apt install {' '.join(missing.values())}",
        )
    try:
        installer()
    except EndpointError as none:
        raise UsageError(f"a build is made by pip: {none.message}") from none


def _check_memory(model: Path) -> None:
    """Refuse before the build what could not be measured after it: two servers, which share the file's pages."""
    needs, free = machine.needs(model), machine.available()
    if needs and (both := needs.total(_CONTEXT, 2) + needs.work) > free:
        raise UsageError(
            f"a build is measured beside the wheel, which needs {both / 1e9:.1f} GB of memory with {model.name}, and "
            f"{free / 1e9:.1f} GB are free",
            place=str(model),
            hint="end other programs",
        )


@contextmanager
def _alone() -> Iterator[Path]:
    """A folder to build in, on the disk where builds are kept; one build at a time, and what a killed one left is gone."""
    import filelock

    builds = runtime.builds()
    try:
        builds.mkdir(mode=0o700, parents=True, exist_ok=True)
        with filelock.FileLock(builds / "build.lock", timeout=0):
            for left in builds.glob("unfinished-*"):
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(prefix="unfinished-", dir=builds, ignore_cleanup_errors=True) as folder:
                yield Path(folder)
    except filelock.Timeout as taken:
        raise UsageError("another process is building the runtime", place=str(builds)) from taken
    except OSError as broken:
        raise Broken(f"cannot build here: {broken.strerror or broken}", place=str(builds)) from broken


def _make(version: str, folder: Path, made: Path, log: Path, tell: Tell) -> None:
    """Have pip build the source archive of `version` into `made`; everything that it writes besides lies in `folder`."""
    command = [
        *installer(),
        *("--python", sys.executable),  # it may be the pip of another one, whose build would not load here
        *("install", "--verbose", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--no-cache-dir", "--no-binary", runtime.PACKAGE, "--target", str(made)),
        f"{runtime.PACKAGE}=={version}",
    ]
    environment = {**os.environ, "CMAKE_ARGS": _OPTIONS, "TMPDIR": str(folder)}
    tell(f"building {runtime.PACKAGE} {version} for this processor; this takes some ten minutes of all cores")
    began, told = time.monotonic(), 0.0
    with (
        log.open("w") as kept,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip,
    ):
        assert pip.stdout
        for line in pip.stdout:
            kept.write(line)
            step = _STEP.search(line)
            if step and time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                tell(f"compiled {step[1]}% of this part after {(told - began) / 60:.0f} min")
    if pip.returncode:
        wrong = _WRONG.search(log.read_text())
        raise Broken(
            f"the build failed (pip ended with {pip.returncode})" + (f": {wrong[0].strip()}" if wrong else ""),
            place=str(log),
            hint="the wheel is used as before; the log says what is missing",
        )


async def _compare(model: Path, made: Path, tell: Tell) -> tuple[Speeds, Speeds]:
    """Both runtimes loaded at once and asked by turns, so that both see the same machine."""
    question = "# A module\n\n" + Path(__file__).read_text("utf-8")[:1500] + "\n\nSay what it does.\n"
    taken: tuple[list[Timed], list[Timed]] = ([], [])
    async with (
        LocalServer(model, name="measured-wheel", context=_CONTEXT, slots=1) as wheel,
        LocalServer(model, name="measured-build", context=_CONTEXT, slots=1, build=made, falls_back=False) as ours,
    ):
        for _ in range(_ROUNDS):
            for server, times in zip((wheel, ours), taken, strict=True):
                times.append(await ask(server, question, tokens=_WRITTEN // 2, cache=False))
                reading = times[-1].read / times[-1].read_seconds
                writing = times[-1].written / times[-1].write_seconds
                tell(f"{server.model.removeprefix('measured-')}: {reading:.0f} tokens/s read, {writing:.1f} written")
    first, second = (
        Speeds(
            median(each.read / each.read_seconds for each in times),
            median(each.written / each.write_seconds for each in times),
        )
        for times in taken
    )
    return first, second
