"""Commits in a child that is killed at its n-th touch of the disk, for every n, and judges what `restore` makes of it.

Run by `test_crash.py`: killed.py FOLDER; prints one line for each kill and ends with status 0 when all held.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from git_cli import git, is_sound

from company.lock import Lock
from company.workspace import Repository

TOUCHES = ("open", "os.", "subprocess.Popen", "shutil.")
OLD = {"keep": b"1", "change": b"old\r\n", "gone": b"3", "deep/er/gone": b"4", "deep/stays": b"5"}
NEW: dict[str, bytes | None] = {"change": b"new\r\n", "gone": None, "deep/er/gone": None, "added/x": b"6", "y": b"7"}
AFTER = {"keep": b"1", "change": b"new\r\n", "deep/stays": b"5", "added/x": b"6", "y": b"7"}


def act(repo: Repository) -> None:
    repo.commit(NEW, subject="new", author="E", email_slug="e", trailers={"Company-Step": "new"})


def die_at(touch: int, folder: Path) -> None:
    """End this process, as kill -9 would, just before its touch of this number in the repository."""
    left = touch

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event.startswith(TOUCHES) and (event.startswith("sub") or any(str(folder) in str(a) for a in arguments) or (
            event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
        )):  # fmt: skip
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed(repo: Repository, touch: int) -> bool:
    """Commit in a child that dies at a touch; False when it came to its end."""
    child = os.fork()
    if child == 0:
        with Lock(repo.path):
            die_at(touch, repo.path)
            act(repo)
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, status
    return os.WIFSIGNALED(status)


def on_disk(repo: Repository) -> dict[str, bytes]:
    found = (
        path for path in repo.path.rglob("*") if path.is_file() and ".git" not in path.relative_to(repo.path).parts
    )
    return {path.relative_to(repo.path).as_posix(): path.read_bytes() for path in found}


def judge(repo: Repository) -> str:
    """What `restore` mended, after it has been seen that nothing is lost, halved or doubled."""
    mended = repo.restore()
    done = "Company-Step: new" in git(repo.path, "log", "--format=%B")
    want = AFTER if done else OLD
    assert on_disk(repo) == want == repo.files(), (on_disk(repo), done)
    assert is_sound(repo.path)
    assert [commit.subject for commit in repo.log()] == (["new", "old"] if done else ["old"])
    assert repo.restore() == [], "a second look finds nothing to mend"
    if not done:
        act(repo)
    assert on_disk(repo) == AFTER == repo.files()
    assert is_sound(repo.path)
    assert len(repo.log()) == 2
    left = [path for path in repo.path.rglob("*") if path.name.startswith((".new-", "new-")) or path.suffix == ".lock"]
    orphans = [path for path in left if "objects" not in path.parts]  # an object cut short is dead weight, no more
    assert not orphans, orphans
    return f"{'after' if done else 'before'} the branch moved; mended {mended}"


def main() -> None:
    folder = Path(sys.argv[1])
    base = Repository.create(folder / "base")
    base.commit(OLD, subject="old", author="E", email_slug="e", trailers={})
    touch = 0
    while True:
        copy = folder / f"copy{touch}"
        shutil.copytree(base.path, copy, symlinks=True)
        git(copy, "status")  # the copy's files have other inodes: let the index know them
        repo = Repository.open(copy)
        was_killed = killed(repo, touch)
        print(touch, judge(repo), flush=True)
        shutil.rmtree(copy)
        if not was_killed:
            break
        touch += 1


if __name__ == "__main__":
    main()
