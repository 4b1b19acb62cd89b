"""Git as a user calls it, to judge from outside what the repository holds."""

import os
import subprocess
from pathlib import Path


def git(at: Path, *arguments: str, check: bool = True) -> str:
    """What `git` prints, without the outer world's configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], cwd=at, env=environment, capture_output=True, check=False)
    assert done.returncode == 0 or not check, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape")


def is_sound(at: Path) -> bool:
    """Whether every object is there and whole, and neither index nor working tree differs from HEAD."""
    git(at, "fsck", "--strict", "--full")
    return git(at, "status", "--porcelain", "--ignored=no", "--untracked-files=no") == ""
