"""The plan of a run that goes back to an earlier one: its procedure as it is now, what a person changed, where its branch begins.

What a person's changes mean: `edits.py`. Carried out by `wiring.redo`; which steps are done again is decided by their keys,
`ingredients.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from company import branches
from company.cache import Objects
from company.clones import branch_of
from company.commits import START
from company.edits import Changes, changes
from company.errors import UnsafePath, UsageError
from company.guests import guest_of
from company.paths import safe_path
from company.records import Request, own_file
from company.report import Report
from company.sop.diagnostics import did_you_mean
from company.sop.library import Library, read_source
from company.sop.linker import link, load_procedure
from company.sop.procedure import Procedure
from company.state import Edit, parts_of
from company.store import Store
from company.workspace import Repository


@dataclass(frozen=True)
class Plan:
    """What a run that goes back to another is made of."""

    request: Request
    """With the earlier run's model and the limits that were set for it."""
    procedure: Procedure
    changed: Mapping[str, bytes | None]
    """What the working tree holds that no commit does: path → content, None for a file that was deleted."""
    notes: tuple[str, ...]
    """What to tell people."""


def plan(
    base: Request, store: Store, repository: Repository, identity: str, again: Sequence[str], sop: str, library: Library
) -> Plan:
    """How a run is made again. Changes nothing.

    Args:
        identity: the new run's.
        again: steps to do anew though nothing changed.
        sop: another procedure; empty for the run's own, as it is now.

    Raises:
        UsageError: the repository stands elsewhere, a change cannot be taken over, or there is no such step.
        SopError: the procedure, as it is now, does not check.
    """
    folder = store.home / "runs" / base.run
    report = Report.of(store.events(base.run))
    kept = Library(folder / "library", folder / "library")
    before = load_procedure(str(folder / "library" / own_file(base.sop)), kept)
    objects = Objects(store, before.artifacts)
    dirty, changed = _changed(base, report, repository)
    earlier = {ident: Edit(**edit) for ident, edit in base.edits.items()}
    requirement = str(base.inputs.get("requirement", ""))
    found = changes(changed, report, earlier, objects, before, requirement, guest_of(base, repository))
    procedure, source = _procedure(base, folder, repository, found, sop, library)
    numbers = dict(base.again)
    for name in again:
        numbers[_step(name, procedure)] = numbers.get(name, 0) + 1
    anew = [ident for ident in found.edits if any(_is_in(ident, name) for name in again)]
    if new := [ident for ident in anew if ident not in earlier or earlier[ident] != found.edits[ident]]:
        raise UsageError(
            f"you changed what `{new[0]}` made, and --from would make it anew",
            hint="leave out --from to keep your change, or undo it with `git restore`",
        )
    dropped = [path for ident in anew for path in objects.get(found.edits[ident].made["files"])["value"]]
    inputs = dict(base.inputs)
    if "requirement" in found.asked and "requirement" in inputs:
        inputs["requirement"] = found.asked["requirement"].strip()
    before_others = objects.get(base.others)["value"] if base.others else {}
    texts, notes = _texts(found.others, base.branch)
    files = {**before_others, **texts}
    others = objects.put({"kind": "files", "value": files}) if files else ""
    first = report.commits.get(START)
    fork = base.fork or (first["sha"] if first else "")
    if not fork:
        raise UsageError(f"the run {base.run} was stopped before its first commit", hint=f"company resume {base.run}")
    request = replace(
        base, run=identity, inputs=inputs, sop=procedure.name, source=source, branch=branch_of(identity), base=base.run,
        origin=base.first, fork=fork, again=numbers,
        limits={**asdict(procedure.limits), **_own_limits(base, before)},
        edits={ident: asdict(edit) for ident, edit in found.edits.items() if ident not in anew}, others=others,
    )  # fmt: skip
    if dropped:
        notes.append(
            f"--from makes anew what you had edited: {', '.join(dropped)}; your version stays on {base.branch}"
        )
    return Plan(request, procedure, dirty, tuple(notes))


def _changed(
    base: Request, report: Report, repository: Repository
) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
    """What is not committed, and everything that is otherwise than the run left it."""
    last = next(reversed(report.commits.values()), None)
    if last is None and base.base:
        raise UsageError(
            f"the run {base.run} was stopped before its first step",
            hint=f"company resume {base.run}; or go back to the run before it: company redo {base.base}",
        )
    if work := branches.under_way(repository):
        raise UsageError(
            f"a {work} is under way in the repository",
            place=str(repository.path),
            hint=f"end it, or git {work} --abort",
        )
    if own := branches.beside(repository, base.branch):
        raise UsageError(
            f"the repository stands on commits that the run's branch `{base.branch}` has not ({own[:10]})",
            place=str(repository.path),
            hint=f"take them over first: git switch {base.branch} && git cherry-pick {own[:10]}",
        )
    dirty = branches.edited(repository)
    here = repository.branch() == base.branch
    if dirty and not here:
        raise UsageError(
            f"the repository stands on `{repository.branch()}` with changes that are not committed, and the run's branch "
            f"is `{base.branch}`",
            place=str(repository.path),
            hint=f"git stash && git switch {base.branch} && git stash pop; or name the run they are about",
        )
    if last is None:
        return dirty, dict(dirty)
    left = repository.files(last["sha"])
    tip = repository.files(repository.tip(base.branch) or last["sha"])
    now: dict[str, bytes | None] = {**{path: None for path in left if path not in tip}, **tip, **dirty}
    return dirty, {path: content for path, content in now.items() if left.get(path) != content}


def _procedure(
    base: Request, folder: Path, repository: Repository, found: Changes, sop: str, library: Library
) -> tuple[Procedure, str]:
    """The procedure as it is now, and how it is found again."""
    if sop:
        return load_procedure(sop, library), sop
    if "sop" in found.asked:  # the file lies in the repository's working tree or at the tip of its branch
        kept = read_source(folder / "library" / own_file(base.sop))
        return link(replace(kept, shown=".company/sop.yaml", text=found.asked["sop"]), library), ""
    if not base.source:
        return link(read_source(folder / "library" / own_file(base.sop)), library), ""
    try:
        return load_procedure(base.source, library), base.source
    except UsageError as error:
        if type(error) is UsageError:
            error.hint = error.hint or "name the procedure: --sop NAME|PATH"
        raise


def _own_limits(base: Request, procedure: Procedure) -> dict[str, float]:
    """The limits that were set for the run, not by its procedure."""
    usual = asdict(procedure.limits)
    return {name: value for name, value in base.limits.items() if value != usual.get(name)}


def _step(name: str, procedure: Procedure) -> str:
    known = {
        step.path.removesuffix(".do"): step.path.removesuffix(".do")
        for step in procedure.walk()
        if not step.transparent
    }
    if name not in known:
        hint = did_you_mean(name, known, f"its steps are {', '.join(known)}")
        raise UsageError(f"the procedure {procedure.name} has no step `{name}`", hint=hint)
    return name


def _is_in(ident: str, name: str) -> bool:
    """Whether an execution is of a step, or of one inside it."""
    path = parts_of(ident)[0]
    return path == name or path.startswith(f"{name}.")


def _texts(files: Mapping[str, bytes | None], branch: str) -> tuple[dict[str, str | None], list[str]]:
    """The files that are text, and what to say of the others."""
    found: dict[str, str | None] = {}
    notes = []
    for path, content in files.items():
        try:
            safe_path(path)
            found[path] = None if content is None else content.decode()
        except (UnicodeDecodeError, UnsafePath):
            notes.append(
                f"{path} is no text with a plain path, and a run takes over nothing else: it stays where it was committed, "
                f"on {branch}, or under refs/company/edits"
            )
    return found, notes
