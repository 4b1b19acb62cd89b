"""What a workspace holds that no run needs, and its deletion: the only place that deletes what runs left behind.

Which part of a repository may go: `ownership.py`. What is kept, and why it is young after use: `store.py`. A name counts as
needed wherever it is written in a run's request, journal or checkpoints, or in something needed. Asking first: `cli_clean.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from company import threads
from company.cache import digest
from company.clones import branch_of
from company.errors import WorkspaceError
from company.events import read
from company.lock import Lock
from company.ownership import drop_branch, keeps_branch, keeps_repository
from company.paths import disk_errors
from company.records import FINISHED, Request, read_request
from company.report import Report
from company.store import Folder

YOUNG = 3600.0
"""Seconds: what was written or used since is never deleted, since a run may be about to note that it needs it."""
KEPT = ("steps", "objects", "replies", "prompts")
"""The folders of what is kept by hash, in the order in which they are cleared: what refers to others first."""
_NAME = re.compile(rb'"([0-9a-f]{64})"')
_TEMPORARY = re.compile(r"\.new-[0-9a-f]{16}")
_SET_ASIDE = re.compile(r"state\.sqlite\.damaged-(\d+)")
_BIN = "deleted"
"""Where in `.company` what is to go is moved first, so that it is gone as a whole even if we are killed."""


@dataclass(frozen=True)
class Doomed:
    """A run that is to be deleted."""

    run: str
    status: str
    """As it ended; empty for one that was killed."""
    folder: Path
    repo: Path
    branch: str
    """Its own branch, which goes; empty where none does."""
    whole: bool
    """Whether the repository goes."""
    stays: str
    """Why its repository or its branch stays; empty where what it has goes, or there is none."""
    bytes: int
    start: str = ""
    """The commit that it began from in somebody's repository: what led to that is not its own."""


@dataclass(frozen=True)
class Plan:
    """What would be deleted."""

    runs: tuple[Doomed, ...]
    busy: Mapping[str, str]
    """Runs that were named and are under way → what says so."""
    kept: Mapping[str, tuple[Path, ...]]
    """Each of `KEPT` → the files that no run refers to."""
    threads: Mapping[str, int]
    """Runs whose checkpoints are to go → bytes."""
    rest: tuple[Path, ...]
    """Databases that were set aside, and what killed processes left."""
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.runs or self.threads or self.rest or any(self.kept.values()))


@dataclass(frozen=True)
class _Run:
    folder: Path
    request: Request
    status: str
    """As `run_finished` said; empty for one that is under way or was killed."""
    sat: float
    """When its last sitting began; 0 before the first."""
    last: float
    """When anything was last written about it."""

    @property
    def identity(self) -> str:
        return self.folder.name


@dataclass
class _Needed:
    """What the runs of a workspace refer to."""

    names: set[str] = field(default_factory=set)
    all_replies: bool = False
    """A journal was written before replies were noted in it."""


def size(path: Path) -> int:
    """Bytes on the disk of a file or a folder; what vanishes meanwhile counts nothing."""
    total = 0
    with suppress(OSError):
        total += path.lstat().st_blocks * 512
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with suppress(OSError):
                total += Path(folder, name).lstat().st_blocks * 512
    return total


def kept_sizes(workspace: Path) -> dict[str, int]:
    """Bytes of what is kept for all runs of a workspace, by kind."""
    home = workspace / ".company"
    sizes = {kind: size(home / kind) for kind in reversed(KEPT)}
    return {**sizes, "state database": sum(size(path) for path in home.glob("state.sqlite*"))}


def survey(workspace: Path, named: Collection[str] = (), older_than: float | None = None) -> Plan:
    """What no run needs. Deletes nothing.

    Args:
        named: ids of runs that are to go too.
        older_than: seconds; runs about which nothing was written since go too.

    Raises:
        WorkspaceError: a request or the database cannot be read, so that what is needed is not known.
    """
    home, now = workspace / ".company", time.time()
    held = threads.sizes(home)  # before the runs: a run is there before its checkpoints are
    runs = _runs(home)
    chosen = [run for run in runs if run.identity in named or (older_than is not None and run.last < now - older_than)]
    under_way = {run.identity: _under_way(workspace, run) for run in chosen}
    doomed = [run for run in chosen if not under_way[run.identity]]
    gone = {run.identity for run in doomed}
    staying = [run for run in runs if run.identity not in gone]
    finished = {run.identity for run in staying if run.status in FINISHED}
    alive = {run.identity for run in staying}
    needed, notes = _needed(home, staying), []
    if needed.all_replies:
        notes.append("replies are all kept: there are runs of an earlier version, which does not say which it used")
    cutoff = _cutoff(workspace, staying, now)
    return Plan(
        runs=tuple(_doomed(workspace, run, doomed, staying) for run in doomed),
        busy={identity: text for identity, text in under_way.items() if text},
        kept={kind: tuple(_unneeded(home, kind, needed, cutoff)) for kind in KEPT},
        threads={name: count for name, count in held.items() if name not in alive or name in finished},
        rest=tuple(_rest(workspace, cutoff)),
        notes=tuple(notes),
    )


def clean(workspace: Path, plan: Plan) -> Iterator[str]:
    """Delete what a plan says, as far as it still holds; says in lines what could not be deleted.

    Killed at any point it leaves a workspace that works; the next one finishes.
    """
    home = workspace / ".company"
    for doomed in plan.runs:
        try:
            yield from _delete_run(workspace, doomed)
        except WorkspaceError as error:
            yield f"{doomed.run} stays: {error}"
    now = survey(workspace)  # what is needed may have changed while somebody thought about it
    _empty_bin(home)
    for thread in plan.threads.keys() & now.threads.keys():
        threads.forget(home, thread)
    if not any(_under_way(workspace, run) for run in _runs(home)):
        threads.compact(home)
    for kind in KEPT:
        for path in {*plan.kept[kind]} & {*now.kept[kind]}:
            with disk_errors("delete", path), suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= YOUNG:  # it may have been used since we looked
                    path.unlink()
    for path in {*plan.rest} & {*now.rest}:
        with disk_errors("delete", path):
            _remove(path)


# --- what is there ----------------------------------------------------------------------------------


def _runs(home: Path) -> list[_Run]:
    found, store = [], Folder(home)
    for path in sorted((home / "runs").glob("*/request.json")):
        journal = path.with_name("events.jsonl")
        report = Report.of(read(journal))
        last = max(one.stat().st_mtime for one in (path, journal) if one.exists())
        found.append(_Run(path.parent, read_request(store, path.parent.name), report.status, report.sitting, last))
    return found


def _repo(workspace: Path, run: _Run) -> Path | None:
    """The run's repository, where it is a folder of this workspace with git in it."""
    path = workspace / run.request.name
    plain = run.request.name == path.name and run.request.name not in ("", ".", "..", ".company")
    return path if plain and not path.is_symlink() and (path / ".git").is_dir() else None


def _under_way(workspace: Path, run: _Run) -> str:
    repo = _repo(workspace, run)
    if repo and Folder(workspace / ".company").is_driven(run.identity, repo):
        return f"a run is under way in {repo}"
    return "" if run.sat or run.last < time.time() - YOUNG else "it is about to begin"


def _cutoff(workspace: Path, runs: Iterable[_Run], now: float) -> float:
    """What was used since is left alone: an hour, and as long as the runs that are under way have been at work."""
    began = [run.sat for run in runs if not run.status and run.sat and _under_way(workspace, run)]
    return min([now - YOUNG, *began])


def _doomed(workspace: Path, run: _Run, doomed: Iterable[_Run], staying: Iterable[_Run]) -> Doomed:
    repo = _repo(workspace, run)
    own = run.request.branch if run.request.branch == branch_of(run.identity) else ""
    alive = {other.identity for other in staying}
    sharing = [other.identity for other in staying if other.request.name == run.request.name]
    first = next(other for other in doomed if other.request.name == run.request.name)
    stays, whole, branch = "", False, ""
    if repo and sharing:
        stays = keeps_branch(repo, own, alive) if own else ""
        branch = "" if stays else own
        stays = stays or ("" if own else f"{', '.join(sharing)} share{'s' * (len(sharing) == 1)} the repository")
    elif repo:
        stays = keeps_repository(repo, alive, run.request.start)
        whole = not stays
    count = size(run.folder) + (size(repo) if repo and whole and first is run else 0)
    return Doomed(
        run.identity,
        run.status,
        run.folder,
        workspace / run.request.name,
        branch,
        whole,
        stays,
        count,
        run.request.start,
    )


# --- what is needed ---------------------------------------------------------------------------------


def _needed(home: Path, runs: Iterable[_Run]) -> _Needed:
    """Every name that is written in what runs keep, and in what those names lead to."""
    needed, open_threads = _Needed(), []
    for run in runs:
        journal = run.folder / "events.jsonl"
        for path in (run.folder / "request.json", journal):
            if path.exists():
                needed.names |= {name.decode() for name in _NAME.findall(path.read_bytes())}
        for event in read(journal):
            if event["event"] == "step_started" and event.get("made_of"):
                needed.names.add(digest(event["made_of"]))
            needed.all_replies |= event["event"] == "call_finished" and "key" not in event
        if run.status not in FINISHED:
            open_threads.append(run.identity)
    needed.names |= threads.names_in(home, open_threads)
    fresh = set(needed.names)
    while fresh:
        found: set[str] = set()
        for name in fresh:
            for path in (home / "steps" / name[:2] / f"{name}.json", home / "objects" / name[:2] / f"{name}.json"):
                with suppress(FileNotFoundError):
                    found |= {each.decode() for each in _NAME.findall(path.read_bytes())}
        fresh = found - needed.names
        needed.names |= found
    return needed


def _unneeded(home: Path, kind: str, needed: _Needed, cutoff: float) -> Iterator[Path]:
    if kind == "replies" and needed.all_replies:
        return
    for path in sorted((home / kind).glob("??/*")):
        named = re.fullmatch(r"[0-9a-f]{64}", path.stem) and path.suffix in (".json", ".failed")
        if named and path.stem not in needed.names and path.stat().st_mtime < cutoff:
            yield path


def _rest(workspace: Path, cutoff: float) -> Iterator[Path]:
    """Databases that were set aside, and what processes that were killed left half done."""
    home = workspace / ".company"
    for path in sorted(home.glob("state.sqlite.damaged-*")):
        when = _SET_ASIDE.fullmatch(path.name)
        if when and int(when[1]) < cutoff:
            yield path
    for pattern in (
        ".new-*",
        ".company/.new-*",
        ".company/runs/**/.new-*",
        *(f".company/{kind}/??/.new-*" for kind in KEPT),
    ):
        for path in sorted(workspace.glob(pattern)):
            if _TEMPORARY.fullmatch(path.name) and path.lstat().st_mtime < cutoff:
                yield path
    yield from sorted((home / _BIN).glob("*"))


# --- deletion ---------------------------------------------------------------------------------------


def _delete_run(workspace: Path, doomed: Doomed) -> Iterator[str]:
    """The repository or the branch, then the records: a run that is left half done is still listed, and can be named again."""
    has_git = (doomed.repo / ".git").is_dir() and not doomed.repo.is_symlink()
    with Lock(doomed.repo) if has_git else nullcontext():
        runs = _runs(workspace / ".company")
        others = {run.identity for run in runs} - {doomed.run}
        sharing = {run.identity for run in runs if run.request.name == doomed.repo.name} - {doomed.run}
        if doomed.whole and has_git and not sharing:
            if why := keeps_repository(doomed.repo, others, doomed.start):
                yield f"{doomed.repo} stays: {why}"
            else:
                _throw_away(workspace, doomed.repo)
        elif doomed.branch and has_git:
            if why := keeps_branch(doomed.repo, doomed.branch, others):
                yield f"{doomed.branch} stays: {why}"
            else:
                drop_branch(doomed.repo, doomed.branch)
        _throw_away(workspace, doomed.folder)


def _throw_away(workspace: Path, path: Path) -> None:
    """Gone as a whole, or not at all."""
    bin_ = workspace / ".company" / _BIN
    with disk_errors("delete", path):
        bin_.mkdir(exist_ok=True)
        path.rename(bin_ / f"{path.name}-{time.time_ns()}")


def _empty_bin(home: Path) -> None:
    with disk_errors("delete", home / _BIN), suppress(FileNotFoundError):
        shutil.rmtree(home / _BIN)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
