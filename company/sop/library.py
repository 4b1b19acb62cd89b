"""Finds procedures, roles and prompts: beside a procedure given by path, in the user's project, in the shipped library.

What the files mean: `loader.py`, `linker.py`. Rendering prompts: `company/prompts.py`.
"""

from __future__ import annotations

import os
import re
import stat
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from company.errors import UsageError
from company.markdown import FILTERS
from company.sop.diagnostics import SourceText, closest, listing

if TYPE_CHECKING:
    import jinja2

SETTINGS = "company.toml"
"""What a project folder's settings are called; read by `company/settings.py`."""
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
    """The user's project folder: the current one or the nearest above it with a `company.toml` or a `sops/`.

    For the current one `roles/` or `prompts/` will do: whoever puts a prompt there wants it used.
    The search ends below the home folder's parent and the root of the file system: what lies there is nobody's project.
    """
    here = Path.cwd()
    try:
        end = {Path.home().parent, Path(here.anchor)}
    except RuntimeError:  # nobody's home
        end = {Path(here.anchor)}
    for folder in (here, *here.parents):
        if folder in end and folder != here:
            break
        names = ("sops", "roles", "prompts") if folder == here else ("sops",)
        if (folder / SETTINGS).is_file() or any((folder / name).is_dir() for name in names):
            return folder
    return None


def is_path(name_or_path: str) -> bool:
    """Whether it means a file: it has a folder or a YAML suffix. Anything else is a procedure's name."""
    return "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith((".yaml", ".yml"))


class Library:
    """The look-up order. `user_dir` is the user's project folder; None uses the shipped library alone."""

    def __init__(self, user_dir: Path | None, shipped: Path | None = None, *, first: Path | None = None) -> None:
        folders = [folder for folder in (first, user_dir, shipped or shipped_folder()) if folder]
        self.folders: tuple[Path, ...] = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self._user_dir, self._shipped = user_dir, shipped

    def beside(self, file: Path) -> Library:
        """The library for a procedure given by its path: what lies beside the file comes first.

        In a folder `sops/`, that is its parent's; else its own folder's, where that has `roles/` or `prompts/`.
        """
        folder = file.absolute().parent
        if folder.name == "sops":
            folder = folder.parent
        elif not any((folder / name).is_dir() for name in ("roles", "prompts")):
            return self
        return Library(self._user_dir, self._shipped, first=folder)

    def sop(self, name_or_path: str) -> SourceText:
        """A procedure's source, by its path (see `is_path`) or its name.

        Raises:
            UsageError: there is none, or it cannot be read.
        """
        if is_path(name_or_path):
            path = Path(os.path.expanduser(name_or_path))  # noqa: PTH111  # pathlib's raises for a user that is not there
            if not _is_file(path):
                what = "a folder, no procedure," if stat.S_ISDIR(_mode(path)) else "no procedure"
                raise UsageError(f"there is {what} at `{name_or_path}`", hint=self._path_hint(path))
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
        return next((folder / relative for folder in self.folders if _is_file(folder / relative)), None)

    def _names(self, folder: str, suffix: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for base in reversed(self.folders):
            for path in sorted((base / folder).glob(f"*{suffix}")):
                found[path.name.removesuffix(suffix)] = path
        return dict(sorted(found.items()))

    def _sop_hint(self, name: str) -> str:
        known = self.sops()
        near = closest(name, known)
        first = f"did you mean `{near}`? " if near else ""
        return f"{first}there are {listing(known, 40)}; {self.tried(f'sops/{name}.yaml')}"

    def _path_hint(self, path: Path) -> str:
        if path.stem in self.sops():
            return f"there is one called `{path.stem}`: give that name, without a path"
        try:
            beside = sorted(file.name for file in path.parent.iterdir() if file.suffix in (".yaml", ".yml"))
        except OSError:
            return f"there is no folder `{show(path.parent)}` that can be read"
        near = closest(path.name, beside)
        if near:
            return f"did you mean `{show(path.parent / near)}`?"
        return f"`{show(path.parent)}` has {listing(beside)}" if beside else f"`{show(path.parent)}` has no YAML file"


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(_mode(path))


def _mode(path: Path) -> int:
    """What kind of thing is there; 0 for nothing, and for a name that is too long for the disk."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


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
