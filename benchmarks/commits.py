"""What a commit costs with the number of files in the repository. python benchmarks/commits.py [FILES …] [--commits 20]

Each line is one repository, filled by one commit; then commits that change one file and add one, by us, and in a copy of it by `git add`
and `git commit`, in turn. CPU is that of this process and of the programs that it starts. The numbers: `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from company.workspace import Repository

WIDTH = 20
"""Names in each folder of a nested repository."""
SHAPES: dict[str, Callable[[int], str]] = {
    "flat": lambda number: f"source/file{number:05}.py",
    "nested": lambda number: (
        f"part{number // WIDTH**2:03}/piece{number // WIDTH % WIDTH:02}/file{number % WIDTH:02}.py"
    ),
}


def cpu() -> float:
    """Milliseconds of this process and of those that it started and that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used) * 1000


def ours(repository: Repository, files: dict[str, bytes | None], number: int) -> None:
    """One commit as a step makes it."""
    trailers = {"Company-Run": "r", "Company-Step": f"each/{number}"}
    assert repository.commit(
        files, subject=f"step {number}", author="Engineer", email_slug="engineer", trailers=trailers
    )


def theirs(at: Path, files: dict[str, bytes | None], number: int) -> None:
    """One commit as a person makes it."""
    for path, content in files.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(content or b"")
    git(at, "add", "--", *(files if len(files) < WIDTH else ["."]))
    git(at, "commit", "--quiet", "-m", f"step {number}")


def git(at: Path, *words: str) -> str:
    """What plain git prints, without the machine's configuration."""
    who = {f"GIT_{role}_{field}": "p@x" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-c", "gc.auto=0", *words]
    return subprocess.run(command, cwd=at, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(shape: str, count: int, commits: int, folder: Path) -> tuple[float, float]:
    """The medians of a commit by us and by plain git, milliseconds of CPU."""
    name = SHAPES[shape]
    repository = Repository.create(folder / "ours")
    files: dict[str, bytes | None] = {name(number): b"VALUE = %d\n" % number for number in range(count)}
    theirs(folder / "ours", files | {"README.md": b"first\n"}, 0)
    shutil.copytree(folder / "ours", folder / "theirs")
    for who in ("ours", "theirs"):
        git(folder / who, "status")
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(1, commits + 1):
        changed = name(number * 7 % count) if count else "README.md"
        more: dict[str, bytes | None] = {
            changed: b"VALUE = -%d\n" % number,
            name(count + number): b"NEW = %d\n" % number,
        }
        for who in spent:
            began = cpu()
            if who == "ours":
                ours(repository, more, number)
            else:
                theirs(folder / "theirs", more, number)
            spent[who].append(cpu() - began)
    for who in spent:
        assert git(folder / who, "status", "--porcelain") == "", who
    assert git(folder / "ours", "rev-parse", "HEAD^{tree}") == git(folder / "theirs", "rev-parse", "HEAD^{tree}")
    return statistics.median(spent["ours"]), statistics.median(spent["theirs"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=int, default=[0, 200, 2000, 10000])
    parser.add_argument("--commits", type=int, default=20, help="of each kind, in each repository")
    asked = parser.parse_args()
    print(
        "| folders | files | a commit, ms of CPU | `git add`, `git commit` | ours ÷ git | ours ÷ ours without files |\n|"
        + "---|" * 6
    )
    for shape in SHAPES:
        least = 0.0
        for count in asked.files:
            with tempfile.TemporaryDirectory() as folder:
                mine, plain = measure(shape, count, asked.commits, Path(folder))
            least = least or mine
            print(
                f"| {shape} | {count:,} | {mine:.1f} | {plain:.1f} | {mine / plain:.2f} | {mine / least:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
