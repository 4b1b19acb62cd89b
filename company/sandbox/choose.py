"""Which back end this machine can use, found by what it does: a canary tries to get out, and must not.

The back ends: `bubblewrap.py`, `plain.py`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Iterator

from company.errors import SandboxUnavailable
from company.sandbox.base import Limits, Result, Sandbox, Spec
from company.sandbox.bubblewrap import Bubblewrap
from company.sandbox.plain import PlainProcess

_CANARY = r"""
import json, os, socket, sys, time
seen = {}
def attempt(name, deed):
    try:
        seen[name] = deed()
    except OSError:
        seen[name] = False
def network():
    socket.create_connection(("192.0.2.1", 9), timeout=0.5)
    return True
def reach():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 9))
    return True
def write(path):
    with open(path, "w"):
        return True
def forks():
    held, children = os.pipe(), []
    try:
        while len(children) < 64:
            pid = os.fork()
            if pid == 0:
                os.read(held[0], 1)
                os._exit(0)
            children.append(pid)
    except OSError:
        return False
    finally:
        os.write(held[1], b"x" * len(children))
        for pid in children:
            os.waitpid(pid, 0)
    return True
attempt("it reached the network", network)
attempt("it has a route to the network", reach)
attempt("it could write to /", lambda: write("/canary"))
attempt("it could write to /usr", lambda: write("/usr/canary"))
attempt("the limit on processes did not bite", forks)
attempt("the key leaked through /proc/1/environ", lambda: b"CANARY" in open("/proc/1/environ", "rb").read())
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
seen["it has capabilities"] = any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"))
seen["no system-call filter"] = status["Seccomp"].strip() != "2"
seen["it is root"] = os.getuid() == 0
with open("/box/canary", "w") as file:
    file.write("x")
import _pytest, pytest
print(json.dumps(seen))
"""


def choose(*, unsafe_no_sandbox: bool = False) -> Sandbox:
    """The back end for this process: the one that holds here, or none when that was asked for.

    Raises:
        SandboxUnavailable: as `probe`.
    """
    return PlainProcess() if unsafe_no_sandbox else probe()


@functools.cache
def probe() -> Sandbox:
    """The first back end that holds on this machine, asked once a process.

    Raises:
        SandboxUnavailable: none does; says what was tried, why it failed and what mends it.
    """
    try:
        sandbox = Bubblewrap()
    except SandboxUnavailable as error:
        raise SandboxUnavailable(f"no sandbox: bubblewrap: {error.message}", hint=error.hint) from error
    result = _in_thread(sandbox)
    faults = list(_faults(result))
    if faults:
        raise SandboxUnavailable(f"no sandbox: {sandbox.name}: {'; '.join(faults)}", hint=_remedy(result))
    return sandbox


def _in_thread(sandbox: Sandbox) -> Result:
    """Run the canary, whether or not this thread already has an event loop."""
    results: list[Result] = []
    spec = Spec(("python", "-I", "-c", _CANARY), limits=Limits(seconds=20, processes=24))
    thread = threading.Thread(target=lambda: results.append(asyncio.run(sandbox.run(spec))))
    thread.start()
    thread.join()
    if not results:
        raise SandboxUnavailable(f"no sandbox: {sandbox.name}: its canary could not be run", hint="company doctor")
    return results[0]


def _faults(result: Result) -> Iterator[str]:
    if result.status != "exit" or result.exit_status != 0:
        yield f"the canary did not run ({result.status}): {result.stderr.strip()[-300:]}"
        return
    for fault, true in json.loads(result.stdout).items():
        if true:
            yield fault


def _remedy(result: Result) -> str:
    words = result.stderr
    if "Unknown option" in words or "unknown option" in words:
        return "bubblewrap 0.8 or newer is needed: sudo apt install -t stable bubblewrap"
    if "uid map" in words or "Operation not permitted" in words or "Permission denied" in words:
        return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if "No permissions to creat" in words or "user namespace" in words:
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000"
    return "company doctor"
