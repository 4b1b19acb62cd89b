"""Black-box acceptance of a repository: `python benchmarks/accept.py PROJECT_DIR REPO_DIR [--json]`.

Each check of `PROJECT_DIR/acceptance.py` runs its commands, one after another, on a fresh copy of the repository in the
project's sandbox; what they print and their exit status are compared here, outside it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from company.sandbox import Limits, Sandbox, Spec, choose

SECONDS = 10
_DRIVER = """
import json, subprocess, sys
done = []
for run in json.load(sys.stdin):
    argv = [sys.executable, *run["argv"]]
    try:
        p = subprocess.run(argv, input=run["stdin"], capture_output=True, text=True, timeout=8)
        done.append([p.returncode, p.stdout, p.stderr])
    except subprocess.TimeoutExpired:
        done.append([None, "", "timeout"])
print(json.dumps(done))
"""


@dataclass(frozen=True)
class Run:
    """One command: arguments of the Python interpreter, and what must come of it."""

    argv: tuple[str, ...]
    stdout: str | None = None
    """Exactly, but for white space at the end; None: anything."""
    status: int = 0
    stderr: str | None = None
    stdin: str = ""


@dataclass(frozen=True)
class Check:
    """Commands that share one copy of the repository. It passes if all of them do what they must."""

    name: str
    runs: tuple[Run, ...]


def program(script: str, *arguments: str, **expected: Any) -> Run:
    """``python SCRIPT ARGUMENTS``."""
    return Run((script, *arguments), **expected)


def value(imports: str, expression: str, expected: object) -> Run:
    """The value of an expression, compared by its `repr`."""
    return Run(("-c", f"{imports}\nprint(repr({expression}))"), stdout=repr(expected))


def raises(imports: str, expression: str, error: str, message: str | None = None) -> Run:
    """An expression that must raise an error, with its message where one is given."""
    code = (
        f"{imports}\ntry:\n    {expression}\nexcept {error} as error:\n    print('raised', str(error))\n"
        "else:\n    print('nothing raised')"
    )
    if message is None:
        code = code.replace("str(error)", "''")
    return Run(("-c", code), stdout=f"raised {message or ''}")


def checks_of(project: Path) -> list[Check]:
    """The checks of a project."""
    sys.modules.setdefault("accept", sys.modules[__name__])
    spec = importlib.util.spec_from_file_location(f"acceptance_{project.name}", project / "acceptance.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[Check] = module.CHECKS
    return found


def files_of(repo: Path) -> dict[str, bytes]:
    """What the sandbox gets: the repository without git and without tests."""
    found = {}
    for path in sorted(repo.rglob("*")):
        relative = path.relative_to(repo)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not path.is_symlink() and not hidden and relative.parts[0] not in ("tests", "docs"):
            found[relative.as_posix()] = path.read_bytes()
    return found


async def _passes(sandbox: Sandbox, files: dict[str, bytes], check: Check) -> tuple[bool, str]:
    orders = [{"argv": list(run.argv), "stdin": run.stdin} for run in check.runs]
    limits = Limits(seconds=SECONDS * len(orders), cpu_seconds=SECONDS * len(orders))
    result = await sandbox.run(Spec(("python", "-I", "-c", _DRIVER), files, json.dumps(orders).encode(), limits))
    if result.status == "setup_failed":
        raise SystemExit(f"the sandbox failed: {result.stderr}")
    try:
        done = json.loads(result.stdout)
    except ValueError:
        return False, f"{result.status} {result.stderr[-200:]}"
    for run, (status, stdout, stderr) in zip(check.runs, done, strict=True):
        shown = " ".join(run.argv)[-80:]
        if run.stdout is not None and stdout.rstrip() != run.stdout.rstrip():
            return False, f"{shown}: printed {stdout.rstrip()[-120:]!r}, not {run.stdout.rstrip()!r} {stderr[-160:]!r}"
        if run.stderr is not None and stderr.rstrip() != run.stderr.rstrip():
            return False, f"{shown}: error output {stderr.rstrip()[-120:]!r}, not {run.stderr.rstrip()!r}"
        if status != run.status:
            return False, f"{shown}: exit status {status}, not {run.status}"
    return True, ""


def accept(project: Path, repo: Path) -> dict[str, tuple[bool, str]]:
    """Check name → whether it passes, and why not."""
    sandbox, files = choose(), files_of(repo)

    async def each() -> dict[str, tuple[bool, str]]:
        return {check.name: await _passes(sandbox, files, check) for check in checks_of(project)}

    return asyncio.run(each())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("repo", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = accept(arguments.project, arguments.repo)
    passed = sum(ok for ok, _ in found.values())
    if arguments.json:
        print(json.dumps({"passed": passed, "of": len(found), "checks": {name: ok for name, (ok, _) in found.items()}}))
        return
    for name, (ok, why) in found.items():
        print(f"{'pass' if ok else 'FAIL'}  {name}{f': {why}' if why else ''}")
    print(f"{passed} of {len(found)}")


if __name__ == "__main__":
    main()
