"""Procedures of one's own: a new one from one that there is, and what an editor writes back.

Which file is found by a name: `library.py`. On a terminal: `company sop new`; in a browser: `company/studio/editor.py`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from company.errors import UsageError
from company.paths import disk_errors, write_synced
from company.sop.diagnostics import SourceText
from company.sop.library import LARGEST, SLUG, Library, show
from company.sop.linker import link, load_procedure
from company.sop.loader import renamed
from company.sop.procedure import Procedure
from company.sop.schema import schema_text

LONGEST = 60
"""Letters of a name."""


class Begun(NamedTuple):
    """A new procedure."""

    path: Path
    pattern: Procedure
    """What it was made from."""
    shadows: Path | None
    """Whose place it takes in this project."""


def check_name(name: str) -> str:
    """The name, if a procedure can be called so.

    Raises:
        UsageError: it cannot.
    """
    if not SLUG.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"`{name}` is no name for a procedure", hint=f"small letters, digits, `-` and `_`; {LONGEST} at most"
        )
    return name


def begin(name: str, pattern: str, project: Path) -> Begun:
    """Write `sops/NAME.yaml` of a project from a procedure that there is.

    Raises:
        UsageError: the name cannot be used or is taken, or there is no such pattern.
        SopError: the pattern does not check there.
    """
    check_name(name)
    library = Library(project)
    found = load_procedure(pattern, library)
    path = file_of(name, project)
    if os.path.lexists(path):
        raise UsageError("there is a procedure already, and nothing is ever overwritten", place=show(path))
    text = renamed(SourceText(found.path, found.name, found.text), name)
    link(SourceText(path, show(path), text), library)  # a pattern given by path may need roles that lie beside it alone
    shadows = library.sops().get(name)
    _write(path, text, library)
    return Begun(path, found, shadows)


def file_of(name: str, project: Path) -> Path:
    """Where a procedure of a project lies, or will.

    Raises:
        UsageError: the name cannot be used, or the place leads out of the project.
    """
    path = project / "sops" / f"{check_name(name)}.yaml"
    for link_or_not in (path.parent, path):
        if link_or_not.is_symlink():
            raise UsageError(
                "this is a link, and may lead out of the project",
                place=show(link_or_not),
                hint="edit the file that it leads to",
            )
    return path


def version(path: Path) -> str:
    """What tells one content of a file from another; empty where there is no file."""
    with disk_errors("read the procedure", path):
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""


def save(name: str, text: str, project: Path, seen: str) -> str | None:
    """Write a procedure of a project.

    Args:
        seen: the `version` of the file that the text was made from.

    Returns:
        The new version; None where the file is another one than `seen` by now, and nothing was written.

    Raises:
        UsageError: the name cannot be used, or the text is too large.
    """
    path = file_of(name, project)
    if len(text.encode()) > LARGEST:
        raise UsageError(f"it is larger than {LARGEST} bytes", place=show(path), hint="split it into several files")
    if version(path) != seen:
        return None
    if (
        seen and path.read_bytes().count(b"\r\n") > text.count("\n") / 2
    ):  # an editor gives lines without their kind of end
        text = text.replace("\n", "\r\n")
    _write(path, text, Library(project))
    return version(path)


def _write(path: Path, text: str, library: Library) -> None:
    """The whole file or nothing; beside it the schema, for editors."""
    for_editors = path.parent / "sop-1.json"
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk_errors("write the procedure", path):
        path.parent.mkdir(exist_ok=True)
        try:
            write_synced(staged, text.encode(), 0o666)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
        if not for_editors.exists():
            for_editors.write_text(schema_text(library.roles, library.sops()), "utf-8")
