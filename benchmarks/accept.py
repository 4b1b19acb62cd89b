"""Black-box acceptance of a repository: `python benchmarks/accept.py PROJECT_DIR REPO_DIR [--json]`.

Each check of `PROJECT_DIR/acceptance.py` runs its commands, one after another, on a fresh copy of the repository in the
project's sandbox; what they print and their exit status are compared outside it. How: `company/bench/blackbox.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from company.bench.blackbox import checks_of, passes
from company.bench.judging import visible
from company.sandbox import choose


def accept(project: Path, repo: Path) -> dict[str, tuple[bool, str]]:
    """Check name → whether it passes, and why not."""
    sandbox = choose()
    paths = (path for path in sorted(repo.rglob("*")) if path.is_file() and not path.is_symlink())
    files = visible({path.relative_to(repo).as_posix(): path.read_bytes() for path in paths})

    async def each() -> dict[str, tuple[bool, str]]:
        checks = checks_of((project / "acceptance.py").read_text("utf-8"), str(project / "acceptance.py"))
        return {check.name: await passes(sandbox, files, check) for check in checks}

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
