"""Every limit bites, in both forms, and nothing outlives its job. Ways out: `test_escapes.py`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from company.errors import SandboxUnavailable, UnsafePath
from company.sandbox import (
    Bubblewrap,
    Limits,
    PlainProcess,
    Result,
    Sandbox,
    Spec,
    choose,
    probe,
    process,
    run_command,
)
from company.sandbox.process import count_files

ROOT = Path(__file__).parents[2]


def run(box: Sandbox, code: str, *, stdin: bytes = b"", **limits: float) -> Result:
    spec = Spec(("python", "-c", code), stdin=stdin, limits=Limits(**{"seconds": 20, **limits}))
    return asyncio.run(box.run(spec))


def alive(mark: str) -> bool:
    return any(mark in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def wait_until_dead(mark: str, seconds: float = 3) -> bool:
    end = time.monotonic() + seconds
    while alive(mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_an_ordinary_job(box: Sandbox) -> None:
    program = b"import sys, helper\nprint(sys.argv, helper.x, input())"
    files = {"prog.py": program, "helper.py": b"x = 7"}
    spec = Spec(("python", "prog.py", "ü", ""), files, stdin=b"typed\n")
    result = asyncio.run(box.run(spec))
    assert (result.status, result.exit_status, result.stderr) == ("exit", 0, "")
    assert result.stdout == "['prog.py', 'ü', ''] 7 typed\n"
    assert result.sandbox == box.name


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("1/0", 1),
        ("import os; os._exit(0)", 0),
    ],
)
def test_exit_statuses(box: Sandbox, code: str, status: int) -> None:
    assert run(box, code).exit_status == status


def test_an_unknown_program_is_a_program_s_failure(box: Sandbox) -> None:
    result = asyncio.run(box.run(Spec(("no-such-program",))))
    assert (result.status, result.exit_status) == ("exit", 127)


def test_a_job_that_cannot_be_laid_out_is_no_program_s_failure(box: Sandbox) -> None:
    result = asyncio.run(box.run(Spec(("true",), {"big": bytes(3 << 20)}, limits=Limits(disk_mb=1))))
    assert (result.status, result.exit_status) == ("setup_failed", None)
    assert "tar: big" in result.stderr


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "", "a/../../b", "a\nb", "x" * 256, "."])
def test_paths_out_of_the_box_are_refused(box: Sandbox, path: str) -> None:
    with pytest.raises(UnsafePath):
        asyncio.run(Bubblewrap().run(Spec(("true",), {path: b""})))


BUSY = "while True: pass"
DEAF = "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)"


@pytest.mark.parametrize("code", [BUSY, DEAF], ids=["busy", "deaf"])
def test_time(box: Sandbox, code: str) -> None:
    result = run(box, code, seconds=0.7)
    assert result.status == "timeout"
    assert result.exit_status is None
    assert result.seconds < 3


def test_processor_time(box: Sandbox) -> None:
    result = run(box, BUSY, cpu_seconds=1)
    assert result.status == "timeout"
    assert result.seconds < 10


@pytest.mark.parametrize("stream", [1, 2])
def test_output(box: Sandbox, stream: int) -> None:
    result = run(box, f"import os\nwhile True: os.write({stream}, b'x' * 65536)", output_bytes=100_000)
    assert result.status == "output_limit"
    assert len(result.stdout + result.stderr) <= 100_000


HOG = "import time; x = bytearray({size} << 20); x[::4096] = b'x' * len(x[::4096]); time.sleep(30)"
SHARED = "import mmap, time; m = mmap.mmap(-1, 400 << 20); m.write(b'x' * (400 << 20)); time.sleep(30)"
SIX = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", {HOG.format(size=60)!r}]) for _ in range(6)]
for child in children: child.wait()
"""


@pytest.mark.parametrize("code", [HOG.format(size=400), SHARED, SIX], ids=["one", "shared", "six"])
def test_memory(box: Sandbox, code: str) -> None:
    result = run(box, code, memory_mb=250)
    assert result.status == "memory_limit"


def test_memory_that_processes_share_counts_once(box: Sandbox) -> None:
    code = """
import os, time
x = b"x" * (60 << 20)
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0: time.sleep(0.5); os._exit(0)
    children.append(pid)
for pid in children: os.waitpid(pid, 0)
print("ok")
"""
    assert run(box, code, memory_mb=250).stdout == "ok\n"


def test_a_file(box: Sandbox) -> None:
    result = run(box, "open('/box/x', 'wb').write(bytes(3 << 20))", file_mb=2)
    assert result.exit_status == 1
    assert "File too large" in result.stderr


@pytest.mark.parametrize("folder", ["/box", "/tmp", "/dev/shm", "/"])
def test_all_files_together(box: Sandbox, folder: str) -> None:
    code = f"""
import itertools
for n in itertools.count():
    with open(f"{folder}/{{n}}", "wb") as file: file.write(bytes(1 << 20))
    if n == 40: print("filled")
"""
    result = run(box, code, disk_mb=8, seconds=10)
    assert result.exit_status == 1
    assert "No space left" in result.stderr or "Read-only" in result.stderr
    assert "filled" not in result.stdout


def test_a_flood_of_empty_files_counts_as_memory(box: Sandbox) -> None:
    result = run(box, "for n in range(10**7): open(f'/tmp/{n}', 'w').close()", memory_mb=60)
    assert result.status == "memory_limit"


BOMB = """
import os, time
made = 0
try:
    while made < 400:
        if os.fork() == 0: time.sleep(20); os._exit(0)
        made += 1
except BlockingIOError:
    print("stopped", flush=True)
"""


def test_a_fork_bomb(box: Sandbox) -> None:
    result = run(box, BOMB, processes=40)
    assert result.stdout == "stopped\n"


def test_two_jobs_have_a_fork_limit_each(box: Sandbox) -> None:
    async def both() -> list[Result]:
        bomb = BOMB.replace("print", "time.sleep(1); print")
        limits = Limits(seconds=10, processes=40)
        calm = "import subprocess\nfor _ in range(9): subprocess.run(['true'], check=True)\nprint('calm')"
        return await asyncio.gather(*(box.run(Spec(("python", "-c", code), limits=limits)) for code in (bomb, calm)))

    bomb, calm = asyncio.run(both())
    assert (bomb.stdout, calm.stdout) == ("stopped\n", "calm\n")


def test_a_daemon_dies_with_its_job(box: Sandbox) -> None:
    mark = uuid.uuid4().hex
    code = f"""
import os, subprocess
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: os.execvp("sh", ["sh", "-c", "sleep 60; : {mark}"])
    os._exit(0)
"""
    result = run(box, code)
    assert result.exit_status == 0
    assert result.seconds < 5
    assert wait_until_dead(mark)


def test_cancelling_kills(sandboxes: dict[str, Sandbox]) -> None:
    mark = uuid.uuid4().hex

    async def cancelled() -> None:
        task = asyncio.create_task(Bubblewrap().run(Spec(("sh", "-c", f"sleep 60; : {mark}"))))
        await asyncio.sleep(0.4)
        assert alive(mark)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert wait_until_dead(mark)


def test_killing_the_orchestrator_kills() -> None:
    mark = uuid.uuid4().hex
    code = (
        "import asyncio; from company.sandbox import Bubblewrap, Spec\n"
        f"asyncio.run(Bubblewrap().run(Spec(('sh', '-c', 'sleep 60; : job-{mark}'))))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    end = time.monotonic() + 10
    while not alive(f": job-{mark}") or not _children(process.pid):
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_until_dead(mark)


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_job_started_from_a_passing_thread_is_whole(sandboxes: dict[str, Sandbox]) -> None:
    results: list[Result] = []
    spec = Spec(("sh", "-c", "sleep 0.3; echo whole"))

    def work() -> None:
        results.append(asyncio.run(Bubblewrap().run(spec)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.stdout for result in results] == ["whole\n"] * 3


def test_no_descriptors_are_left_behind() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    run(Bubblewrap(), "pass")
    before = count()
    for code in ("pass", "while True: print('x' * 9999)"):
        run(Bubblewrap(), code, output_bytes=1000)
    assert count() == before


def test_probe_finds_the_sandbox_once_even_inside_a_loop() -> None:
    async def inside() -> Sandbox:
        return probe()

    assert asyncio.run(inside()) is probe()
    assert probe().name.startswith("bubblewrap")
    assert choose() is probe()


def test_without_bubblewrap_it_says_what_mends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    probe.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable) as caught:
            choose()
    finally:
        probe.cache_clear()
    assert "bwrap" in caught.value.message
    assert "apt install bubblewrap" in caught.value.hint


def test_a_bubblewrap_that_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `bwrap` that runs the command without isolating it: behaviour is looked at, not the name."""
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    probe.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable, match="no sandbox: bubblewrap"):
            choose()
    finally:
        probe.cache_clear()


def test_no_sandbox_only_when_asked_for() -> None:
    plain = choose(unsafe_no_sandbox=True)
    assert isinstance(plain, PlainProcess)
    result = asyncio.run(plain.run(Spec(("python", "a.py"), {"a.py": b"import os; print(sorted(os.listdir()))"})))
    assert (result.stdout, result.sandbox) == ("['a.py']\n", "no sandbox")
    assert run(plain, BUSY, seconds=0.5).status == "timeout"
    assert run(plain, HOG.format(size=400), memory_mb=200).status == "memory_limit"
    assert asyncio.run(plain.run(Spec(("no-such-program",)))).exit_status == 127


def test_a_program_runs_where_a_pipe_s_mode_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, mode: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(process, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(os, "fchmod", refuse)
    result = run(PlainProcess(), "print(input())", stdin=b"typed\n")
    assert (result.status, result.exit_status, result.stdout) == ("exit", 0, "typed\n")


def test_run_command(box: Sandbox) -> None:
    tree = {"todo.py": b"import sys\nprint('added', sys.argv[1])\nsys.exit(int(sys.argv[2]))\n"}
    good = asyncio.run(run_command(box, tree, "python todo.py 'two words' 0"))
    assert (good.passed, good.exit_status, good.stdout) == (True, 0, "added two words\n")
    bad = asyncio.run(run_command(box, tree, "python todo.py x 3"))
    assert (bad.passed, bad.status, bad.exit_status) == (False, "exit", 3)
    slow = asyncio.run(run_command(box, tree, "sleep 9", Limits(seconds=0.5)))
    assert (slow.passed, slow.status, slow.exit_status) == (False, "timeout", None)


@pytest.mark.parametrize("command", ["", "python 'x"])
def test_run_command_that_is_none(command: str) -> None:
    result = asyncio.run(run_command(Bubblewrap(), {}, command))
    assert (result.passed, result.exit_status) == (False, 2)
    assert result.stderr


def test_a_job_that_is_not_in_its_own_root_yet_is_not_charged_for_the_machine_s_files() -> None:
    assert count_files(os.getpid(), ("/tmp", "/")) == 0
