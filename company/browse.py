"""What the commits of a repository hold, read for people: folders, files, who wrote each line, what a commit changed, all as a zip.

Only objects that a commit reaches: nothing of the working tree, no link is followed, and no attribute or setting in the
repository changes what is shown. How git is called: `gitdoor.py`. Who shows it: `studio/repository_page.py`.
"""

from __future__ import annotations

import io
import re
import stat
import time
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from company import gitdoor
from company.errors import UnsafePath, UsageError
from company.gitdoor import EXECUTABLE, FOLDER, LINK, MODULE, Entry
from company.paths import safe_path

if TYPE_CHECKING:
    import git

Kind = Literal["folder", "file", "link", "module"]
MOST_SHOWN = 1 << 20
"""Bytes of a file that is shown; a larger one can be had as it is."""
MOST_SENT = 64 << 20
"""Bytes of one file, and of all files of a zip."""
MOST_CHANGES = 2000
"""Files of one commit that are listed."""
_SHA = re.compile(r"[0-9a-f]{40}")
_BLAMED = re.compile(r"^([0-9a-f]{40}) \d+ (\d+) (\d+)$", re.MULTILINE)
_KINDS: Mapping[int, Kind] = {FOLDER: "folder", LINK: "link", MODULE: "module"}
_EARLIEST = 315532800
"""A zip knows no time before 1980."""


class Item(NamedTuple):
    """What lies in a folder."""

    name: str
    kind: Kind
    size: int
    """Bytes; 0 of a folder."""
    entry: Entry


class Changed(NamedTuple):
    """A path that a commit changed; None where it was not, or is no more."""

    path: str
    before: Entry | None
    after: Entry | None


def belongs(repo: git.Repo, sha: str, tip: str) -> bool:
    """Whether there is a commit of this id, and it is `tip` or comes before it."""
    if not _SHA.fullmatch(sha) or gitdoor.commit_of(repo, sha) is None:
        return False
    return sha == tip or gitdoor.follows(repo, tip, sha)


def kind_of(entry: Entry) -> Kind:
    """What an entry of a tree is."""
    return _KINDS.get(entry.mode, "file")


def at(repo: git.Repo, commit: str, path: str) -> Entry | None:
    """What a commit has at a path, the top folder at an empty one; None where it has nothing. A link is what it is."""
    tree = gitdoor.tree_at(repo, commit)
    if not tree:
        return None
    here = Entry(FOLDER, tree)
    for name in path.split("/") if path else ():
        found = gitdoor.entries(repo, here.sha).get(name) if here.mode == FOLDER else None
        if found is None:
            return None
        here = found
    return here


def items(repo: git.Repo, folder: Entry) -> list[Item]:
    """What lies in a folder, folders first."""
    found = []
    for name, entry in gitdoor.entries(repo, folder.sha).items():
        kind = kind_of(entry)
        found.append(Item(name, kind, size(repo, entry) if kind == "file" else 0, entry))
    return sorted(found, key=lambda item: (item.kind != "folder", item.name))


def size(repo: git.Repo, entry: Entry) -> int:
    """Bytes of a file."""
    return int(repo.git.get_object_header(entry.sha.hex())[2])


def content(repo: git.Repo, entry: Entry, most: int) -> bytes | None:
    """What a file holds, or where a link leads; None where it has more than `most` bytes."""
    return gitdoor.data(repo, entry.sha) if size(repo, entry) <= most else None


def text_of(content: bytes) -> str | None:
    """A file as text; None for one that is none."""
    return None if b"\0" in content[:8000] else content.decode("utf-8", "replace")


def writers(repo: git.Repo, commit: str, path: str, lines: int) -> list[str]:
    """Of each of the first lines of a file, the commit that wrote it: authors are read from there, past any .mailmap."""
    if not lines:
        return []
    said: str = repo.git.blame("--incremental", "--no-textconv", "-L", f"1,{lines}", commit, "--", path)
    found = [""] * lines
    for sha, first, many in _BLAMED.findall(said):
        found[int(first) - 1 : int(first) - 1 + int(many)] = [sha] * int(many)
    return found


def last_changes(repo: git.Repo, history: list[str], folder: str) -> dict[str, str]:
    """Name in a folder → the newest of these commits, each followed by its parent, that changed it.

    Names that none of them changed are left out.
    """
    found: dict[str, str] = {}
    here = _names(repo, history[0], folder) if history else {}
    missing = set(here)
    now = here
    for sha, parent in zip(history, [*history[1:], ""], strict=True):
        if not missing:
            break
        if not parent and gitdoor.parent_of(gitdoor.data(repo, bytes.fromhex(sha))):
            break  # the history goes on, and is not looked through
        before = _names(repo, parent, folder) if parent else {}
        if before != now:
            changed = {name for name in missing if before.get(name) != now.get(name)}
            found |= dict.fromkeys(changed, sha)
            missing -= changed
        now = before
    return found


def _names(repo: git.Repo, commit: str, folder: str) -> dict[str, Entry]:
    entry = at(repo, commit, folder)
    return gitdoor.entries(repo, entry.sha) if entry and entry.mode == FOLDER else {}


def changes(repo: git.Repo, commit: str, parent: str) -> list[Changed]:
    """What differs from a commit's parent, at most `MOST_CHANGES` + 1 paths; everything in the first commit."""
    before = gitdoor.tree_at(repo, parent) if parent else None
    return list(islice(_changes(repo, before, gitdoor.tree_at(repo, commit), ""), MOST_CHANGES + 1))


def _changes(repo: git.Repo, before: bytes | None, after: bytes | None, above: str) -> Iterator[Changed]:
    old, new = gitdoor.entries(repo, before), gitdoor.entries(repo, after)
    for name in sorted({*old, *new}):
        one, two = old.get(name), new.get(name)
        if one == two:
            continue
        folders = tuple(entry.sha if entry and entry.mode == FOLDER else None for entry in (one, two))
        if any(folders):
            yield from _changes(repo, folders[0], folders[1], f"{above}{name}/")
        files = tuple(None if entry and entry.mode == FOLDER else entry for entry in (one, two))
        if any(files):
            yield Changed(above + name, *files)


def archive(repo: git.Repo, commit: str, name: str, made: int) -> bytes:
    """The files of a commit as a zip, in a folder `name`; without what is not `packable`.

    Args:
        made: the commit's time, which all files get: the same commit is the same zip.

    Raises:
        UsageError: the files are too large together.
    """
    whole, room = io.BytesIO(), MOST_SENT
    when = time.gmtime(max(made, _EARLIEST))[:6]
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, entry in sorted(gitdoor.walk(repo, gitdoor.tree_at(repo, commit)).items()):
            if not packable(path, entry):
                continue
            room -= size(repo, entry)
            if room < 0:
                raise UsageError(
                    f"the files of this commit are larger than {MOST_SENT >> 20} MiB together",
                    hint="take them from the repository: git clone, or git archive",
                )
            about = zipfile.ZipInfo(f"{name}/{path}", when)
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = (stat.S_IFREG | (0o755 if entry.mode == EXECUTABLE else 0o644)) << 16
            packed.writestr(about, gitdoor.data(repo, entry.sha))
    return whole.getvalue()


def packable(path: str, entry: Entry) -> bool:
    """Whether a zip may hold it: a file whose path stays inside the folder on every system."""
    try:
        return kind_of(entry) == "file" and safe_path(path) == unicodedata.normalize("NFC", path)
    except UnsafePath:
        return False
