"""What makes up the sandbox's Python: the base interpreter, its standard library, pytest; nothing else.

Where they appear inside: `bubblewrap.py`.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from company.errors import SandboxUnavailable

PACKAGES = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
"""What generated code and its tests may import beside the standard library."""
SYSTEM = tuple(Path(path) for path in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"))
"""What every sandbox sees of the machine, read-only."""


@dataclass(frozen=True)
class Interpreter:
    """The base Python of this process, wherever it was installed."""

    executable: Path
    """The real file, no virtual environment, no link."""
    version: str
    """``3.11``."""
    parts: tuple[Path, ...]
    """Files and folders outside `SYSTEM` that it needs."""
    hidden: tuple[Path, ...]
    """Folders of installed packages inside `parts`, to be covered."""
    packages: tuple[Path, ...]
    """The folders, or single files, of `PACKAGES`."""
    versions: tuple[tuple[str, str], ...]
    """Name and version of the distributions that they come from."""


@functools.cache
def current() -> Interpreter:
    """The interpreter this process runs on.

    Raises:
        SandboxUnavailable: pytest or something it needs is not installed here.
    """
    executable = Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    wanted = [executable, Path(sys.base_prefix) / "lib", Path(sys.base_prefix) / "lib64", library]
    parts: list[Path] = []
    for part in wanted:
        covered = any(part.is_relative_to(place) for place in (*SYSTEM, *parts))
        if part.exists() and not part.is_symlink() and not covered:
            parts.append(part)
    site = library / "site-packages"
    hidden = (site,) if site.is_dir() and any(site.is_relative_to(part) for part in parts) else ()
    packages = tuple(_place(name) for name in PACKAGES)
    versions = tuple((name, metadata.version(name)) for name in PACKAGES if name not in ("_pytest", "py"))
    return Interpreter(executable, "{}.{}".format(*sys.version_info[:2]), tuple(parts), hidden, packages, versions)


def _place(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        raise SandboxUnavailable(
            f"`{name}`, which the sandbox runs tests with, is not installed",
            hint=f"{sys.executable} -m pip install pytest",
        )
    place = Path(spec.origin)
    return place.parent if place.name == "__init__.py" else place
