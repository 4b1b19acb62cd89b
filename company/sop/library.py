"""Finds procedures, roles and prompts: first in the user's own folder, then in the shipped library.

What the files mean: `loader.py`, `linker.py`. Rendering prompts: `company/prompts.py`.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from company.errors import UsageError
from company.markdown import FILTERS
from company.sop.diagnostics import SourceText, closest, listing

if TYPE_CHECKING:
    import jinja2

LARGEST = 1_000_000
"""Bytes of a procedure, role or prompt file."""
PROMPT_SUFFIX = ".md.j2"
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*")


def shipped_folder() -> Path:
    """The folder with the shipped `sops/`, `roles/` and `prompts/`: of the wheel, else of the checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_library"
    return installed if installed.is_dir() else package.parent


def own_folder() -> Path | None:
    """The folder of the user's own procedures, roles and prompts: the current one, where it has any."""
    here = Path.cwd()
    return here if any((here / name).is_dir() for name in ("sops", "roles", "prompts")) else None


class Library:
    """The look-up order. `user_dir` is the user's project folder; None uses the shipped library alone."""

    def __init__(self, user_dir: Path | None, shipped: Path | None = None) -> None:
        folders = [user_dir] if user_dir else []
        self.folders: tuple[Path, ...] = tuple(
            dict.fromkeys(p.resolve() for p in (*folders, shipped or shipped_folder()))
        )

    def sop(self, name_or_path: str) -> SourceText:
        """A procedure's source. A value with a folder or a `.yaml` suffix is a path, anything else a name.

        Raises:
            UsageError: there is none, or it cannot be read.
        """
        if "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
            path = Path(name_or_path).expanduser()
            if not path.is_file():
                raise UsageError(f"there is no procedure at `{name_or_path}`", hint=self._sop_hint(path.stem))
            return read_source(path)
        found = self._find(f"sops/{name_or_path}.yaml") if SLUG.fullmatch(name_or_path) else None
        if not found:
            raise UsageError(f"there is no procedure `{name_or_path}`", hint=self._sop_hint(name_or_path))
        return read_source(found)

    def sops(self) -> dict[str, Path]:
        """Every procedure by name."""
        return self._names("sops", ".yaml")

    def role(self, name: str) -> SourceText | None:
        """The source of `roles/<name>.yaml`, or None."""
        found = self._find(f"roles/{name}.yaml") if SLUG.fullmatch(name) else None
        return read_source(found) if found else None

    @cached_property
    def roles(self) -> dict[str, Path]:
        """Every role file by role name."""
        return self._names("roles", ".yaml")

    def prompt(self, role: str, prompt: str) -> tuple[str, Path] | None:
        """Name (``role/prompt`` or ``shared/prompt``) and file of a role's prompt, or None."""
        if SLUG.fullmatch(role) and SLUG.fullmatch(prompt):
            for folder in (role, "shared"):
                if found := self._find(f"prompts/{folder}/{prompt}{PROMPT_SUFFIX}"):
                    return f"{folder}/{prompt}", found
        return None

    def prompts(self, role: str) -> dict[str, Path]:
        """Every prompt of a role by name."""
        return self._names(f"prompts/{role}", PROMPT_SUFFIX)

    @cached_property
    def templates(self) -> jinja2.Environment:
        """Templates by their path below `prompts/`, in the look-up order; for analysis only."""
        import jinja2

        folders = [str(folder / "prompts") for folder in self.folders]
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folders), autoescape=False)
        environment.filters.update(FILTERS)
        return environment

    def tried(self, relative: str) -> str:
        """Where a file was looked for, for a diagnostic's note."""
        return "looked for " + " and ".join(f"`{show(folder / relative)}`" for folder in self.folders)

    def _find(self, relative: str) -> Path | None:
        for folder in self.folders:
            if (folder / relative).is_file():
                return folder / relative
        return None

    def _names(self, folder: str, suffix: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for base in reversed(self.folders):
            for path in sorted((base / folder).glob(f"*{suffix}")):
                found[path.name.removesuffix(suffix)] = path
        return dict(sorted(found.items()))

    def _sop_hint(self, name: str) -> str:
        known = self.sops()
        near = closest(name, known)
        if near:
            return f"did you mean `{near}`? {self.tried(f'sops/{name}.yaml')}"
        return f"there are {listing(known)}; {self.tried(f'sops/{name}.yaml')}"


def read_source(path: Path) -> SourceText:
    """The text of a file.

    Raises:
        UsageError: it cannot be read, is not UTF-8, or is larger than `LARGEST`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read it: {error.strerror}", place=show(path)) from error
    if len(data) > LARGEST:
        raise UsageError(f"it is larger than {LARGEST} bytes", place=show(path), hint="split it into several files")
    try:
        return SourceText(path, show(path), data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"it is not UTF-8 text (byte {error.start})", place=show(path), hint="save it as UTF-8"
        ) from error


def show(path: Path) -> str:
    """A path as messages show it: relative where it lies below the working directory."""
    absolute, here = path.absolute(), Path.cwd()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else absolute.as_posix()
