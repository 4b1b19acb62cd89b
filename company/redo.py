"""The plan of a run that goes back to an earlier one: its procedure as it is now, what a person changed, where its branch begins.

What a person's changes mean: `edits.py`. Carried out by `wiring.redo`; which steps are done again is decided by their keys,
`ingredients.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from company import branches
from company.branches import Work
from company.cache import Objects
from company.clones import branch_of
from company.commits import START
from company.edits import Changes, changes
from company.errors import UnsafePath, UsageError
from company.events import Event
from company.gitdoor import EXECUTABLE, KINDS, REGULAR
from company.guests import guest_of
from company.paths import safe_path
from company.records import Request, own_file, procedure_of
from company.report import Report
from company.sop.checks import within
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
    work: Work
    """What the working tree and the index hold that no commit does."""
    notes: tuple[str, ...]
    """What to tell people."""


def plan(
    base: Request, store: Store, repository: Repository, identity: str, again: Sequence[str], sop: str, library: Library,
    given: Mapping[str, bytes],
) -> Plan:  # fmt: skip
    """How a run is made again. Changes nothing.

    Args:
        identity: the new run's.
        again: steps to do anew though nothing changed.
        sop: another procedure; empty for the run's own, as it is now.
        given: path → what is to be there, beside what the repository holds.

    Raises:
        UsageError: the repository stands elsewhere, a change cannot be taken over, or there is no such step.
        SopError: the procedure, as it is now, does not check.
    """
    folder = store.home / "runs" / base.run
    report = Report.of(store.events(base.run))
    before = procedure_of(store, base.run)
    objects = Objects(store, before.artifacts)
    work, changed, notes = _changed(base, report, repository, kept_at(identity), given)
    earlier = {ident: Edit(**edit) for ident, edit in base.edits.items()}
    requirement = str(base.inputs.get("requirement", ""))
    found = changes(changed, report, earlier, objects, before, requirement, guest_of(base, repository), given)
    procedure, source = _procedure(base, folder, repository, found, sop, library)
    numbers = dict(base.again)
    for name in again:
        numbers[_step(name, procedure)] = numbers.get(name, 0) + 1
    anew = [ident for ident in found.edits if any(_is_in(ident, name) for name in again)]
    if new := [ident for ident in anew if ident not in earlier or earlier[ident] != found.edits[ident]]:
        raise UsageError(
            f"you changed what `{new[0]}` made, and --from would make it anew",
            hint="leave out --from to keep your change, or undo it: with `git restore`, or without --edit",
        )
    dropped = [path for ident in anew for path in objects.get(found.edits[ident].made["files"])["value"]]
    inputs = dict(base.inputs)
    if "requirement" in found.asked and "requirement" in inputs:
        inputs["requirement"] = found.asked["requirement"].strip()
    before_others = objects.get(base.others)["value"] if base.others else {}
    first = report.commits.get(START)
    fork = base.fork or (first["sha"] if first else "")
    if not fork:
        raise UsageError(f"the run {base.run} was stopped before its first commit", hint=f"company resume {base.run}")
    begun = branches.tree(repository, fork)
    texts, told = _texts(found.others, lambda path: _where(path, work, base, kept_at(identity)))
    files = {path: text for path, text in {**before_others, **texts}.items() if text is not None or path in begun}
    written = {path for commit in _written(report, objects) for path, text in commit.items() if text is not None}
    _see_room(repository, [path for path, text in files.items() if text is not None], {*begun, *written})
    others = objects.put({"kind": "files", "value": files}) if files else ""
    back = [path for path, text in texts.items() if text is None and not (path in begun or path in before_others)]
    notes += [*told, *(f"{path} is deleted, and a run that ends without one writes it again" for path in back)]
    notes += _unread(found.edits, earlier, objects, procedure, f"{base.records}/artifacts/")
    own_limits = _own_limits(base, before)
    for name in [name for name in own_limits if not procedure.may_limit(name)]:
        notes.append(f"the limit {name} is of nothing that the procedure has now, and is dropped")
        del own_limits[name]
    request = replace(
        base, run=identity, inputs=inputs, sop=procedure.name, source=source, branch=branch_of(identity), base=base.run,
        origin=base.first, fork=fork, again=numbers,
        limits={**procedure.bounds, **own_limits},
        edits={ident: asdict(edit) for ident, edit in found.edits.items() if ident not in anew}, others=others,
    )  # fmt: skip
    if dropped:
        notes.append(
            f"--from makes anew what you had edited: {', '.join(dropped)}; your version stays on {base.branch}"
        )
    return Plan(request, procedure, work, tuple(notes))


def read_given(words: Sequence[str]) -> dict[str, bytes]:
    """What ``--edit`` gives: path in the repository → content.

    Args:
        words: ``PATH=FILE`` each; `FILE` may be ``-`` for standard input.

    Raises:
        UsageError: one is not that, names a path twice or one that cannot be, or its file cannot be read.
    """
    found: dict[str, bytes] = {}
    for word in words:
        path, equals, file = (word[:-2], "=", "-") if word.endswith("=-") else word.partition("=")
        if not (path and equals and file):
            raise UsageError(f"--edit takes PATH=FILE, and `{word}` is not that", hint="--edit main.py=mine.py")
        try:
            fits = safe_path(path) == path
        except UnsafePath:
            fits = False
        if not fits or path in found:
            said = "twice" if fits else "a path that no file of a repository has"
            raise UsageError(f"--edit names {said}", place=shown(path), hint="--edit main.py=mine.py")
        try:
            if file == "-" and sum(each.endswith("=-") for each in words) > 1:
                raise UsageError(
                    "--edit takes one text from standard input, not two", place=path, hint="give the others as files"
                )
            found[path] = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            found[path].decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                "what --edit gives is not UTF-8 text", place=shown(file), hint="save it as UTF-8"
            ) from error
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", "") or str(error)
            raise UsageError(
                f"cannot read what --edit gives: {said}", place=shown(file), hint="--edit main.py=mine.py"
            ) from error
    return found


def kept_at(run: str) -> str:
    """The ref that leads to what was not committed when a run was asked to go back to another."""
    return f"refs/company/edits/{run}"


def shown(path: str) -> str:
    """A path for people: one that is no plain text escaped."""
    return path if path.isprintable() else ascii(path)


def _where(path: str, work: Work, base: Request, kept: str) -> str:
    """Where a change stays that is not taken over."""
    return f"under {kept}" if path in work.entries else f"on {base.branch}, where it was committed"


def _not_committed(base: Request, last: Event | None, repository: Repository) -> Work:
    """What the repository holds besides its commits, once it is seen that it can be gone back from there.

    Raises:
        UsageError: something is under way, or it stands elsewhere.
    """
    if last is None and base.base:
        raise UsageError(
            f"the run {base.run} was stopped before its first step",
            hint=f"company resume {base.run}; or go back to the run before it: company redo {base.base}",
        )
    place = str(repository.path)
    if command := branches.under_way(repository):
        raise UsageError(
            f"a {command} is under way in the repository", place=place, hint=f"end it, or git {command} --abort"
        )
    if own := branches.beside(repository, base.branch):
        raise UsageError(
            f"the repository stands on commits that the run's branch `{base.branch}` has not ({own[:10]})", place=place,
            hint=f"take them over first: git switch {base.branch} && git cherry-pick {own[:10]}",
        )  # fmt: skip
    work = branches.edited(repository)
    if work.unmerged:
        raise UsageError(
            f"{shown(work.unmerged[0])} has conflicts that are not resolved", place=place,
            hint="resolve them and `git add` it, then give the redo again",
        )  # fmt: skip
    if work and repository.branch() != base.branch:
        raise UsageError(
            f"the repository stands on `{repository.branch()}` with changes that are not committed, and the run's branch "
            f"is `{base.branch}`", place=place,
            hint=f"git stash && git switch {base.branch} && git stash pop; or name the run they are about",
        )  # fmt: skip
    return work


def _changed(
    base: Request, report: Report, repository: Repository, kept: str, given: Mapping[str, bytes]
) -> tuple[Work, dict[str, bytes | None], list[str]]:
    """What is not committed, the files that hold something else than the run left there, and what to say of the rest.

    Args:
        kept: the ref that is to lead to what is not committed.
        given: what is to be in files; it takes the place of what was committed there.

    Raises:
        UsageError: also where a file that is given was changed in the working tree, or holds what is no text.
    """
    last = next(reversed(report.commits.values()), None)
    work = _not_committed(base, last, repository)
    at = last["sha"] if last else "HEAD"
    left = branches.tree(repository, at)
    now = {**branches.tree(repository, repository.tip(base.branch) or at), **work.entries}
    changed = {path: now.get(path) for path in sorted({**left, **now}) if left.get(path) != now.get(path)}
    plain = {path: new for path, new in changed.items() if all(e.mode in REGULAR for e in (left.get(path), new) if e)}
    read = {path: new for path, new in plain.items() if new and path not in work.contents}
    contents = {**branches.contents(repository, read), **work.contents}
    files = {
        path: contents[path] if new else None
        for path, new in plain.items()
        if not (new and path in left and left[path].sha == new.sha)
    }
    tracked = branches.tree(repository, "HEAD") if given else {}
    for path, content in given.items():
        if path in work.entries:
            raise UsageError(
                "it is given another text, and was changed in the working tree too",
                place=path,
                hint="leave one of them out",
            )
        if (at_path := now.get(path)) and at_path.mode not in REGULAR:
            raise UsageError(f"it is {KINDS[at_path.mode]}, and no text can be given for it", place=path)
        standing = repository.tree.read(path) if path not in tracked else None
        if (standing and standing[0] != content) or (path not in tracked and repository.tree.target(path) is not None):
            raise UsageError(
                "something that git does not track lies there, and would be written over", place=path,
                hint="move it away, or leave this file out",
            )  # fmt: skip
        files.pop(path, None)
        before = left.get(path)
        if not (before and before.mode in REGULAR and branches.contents(repository, {path: before})[path] == content):
            files[path] = content
    notes = []
    for path, new in changed.items():
        old, where = left.get(path), _where(path, work, base, kept)
        if path not in plain:
            odd = next(each for each in (new, old) if each and each.mode not in REGULAR)
            notes.append(
                f"{shown(path)} {'is' if odd is new else 'was'} {KINDS[odd.mode]}, and a run takes over nothing but files: "
                f"your change stays {where}"
            )
        elif new and (new.mode == EXECUTABLE) != bool(old and old.mode == EXECUTABLE):
            is_now, sign = ("executable", "+") if new.mode == EXECUTABLE else ("no longer executable", "-")
            notes.append(
                f"{shown(path)} is {is_now}, and a run takes over only what is in a file: that stays {where}; here "
                f"`chmod {sign}x` does it again"
            )
    if work.staged:
        paths = ", ".join(map(shown, sorted(work.staged)))
        notes.append(f"{paths}: what the file holds counts, not what is staged; git keeps that: git show {kept}~1")
    return work, files, notes


def _written(report: Report, objects: Objects) -> Iterator[Mapping[str, str | None]]:
    """The files of each of a run's commits, but for those that no step made."""
    for ident, event in report.commits.items():
        if "files" in event and ident != f"{START}@edit":
            yield objects.get(event["files"])["value"]


def _see_room(repository: Repository, own: Collection[str], others: Set[str]) -> None:
    """See that a person's files can be had beside those of the run, and that nothing stands where they are written.

    Raises:
        UsageError: one is a file where another needs a folder.
    """
    folders = {folder: path for path in others for folder in branches.above(path)}
    for path in own:
        file = next((folder for folder in branches.above(path) if folder in others), "")
        if file or path in folders:
            held = f"`{file}`, a file of the run" if file else f"the folder of `{folders[path]}`, a file of the run"
            raise UsageError(
                f"your file `{path}` takes the place of {held}", place=str(repository.path),
                hint=f"give it another name: git mv {file or path} NAME; then give the redo again",
            )  # fmt: skip
    branches.in_the_way(repository, {*own, *others})


def _unread(
    edits: Mapping[str, Edit], earlier: Mapping[str, Edit], objects: Objects, procedure: Procedure, documents: str
) -> Iterator[str]:
    """What to say of newly edited documents, whose JSON lies in `documents`, that no step of the procedure reads."""
    steps = {step.path for step in procedure.walk()}
    for ident, edit in edits.items():
        path = parts_of(ident)[0]
        files = objects.get(edit.made["files"])["value"]
        is_document = any(name.startswith(documents) for name in files)
        if edit != earlier.get(ident) and is_document and path in steps and not within(path, procedure.reads):
            yield (
                f"no step of the procedure reads what `{path.removesuffix('.do')}` made: your change of {', '.join(files)} is kept "
                "and committed as yours, and nothing is made anew from it"
            )


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
    usual = procedure.bounds
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


def _texts(files: Mapping[str, bytes | None], where: Callable[[str], str]) -> tuple[dict[str, str | None], list[str]]:
    """The files that are text, and what to say of the others."""
    found: dict[str, str | None] = {}
    notes = []
    for path, content in files.items():
        try:
            text = None if content is None else content.decode()
            if safe_path(path) != path:
                raise UnsafePath("its letters are composed in another way")
            found[path] = text
        except (UnicodeDecodeError, UnsafePath):
            notes.append(
                f"{shown(path)} is no text with a plain path, and a run takes over nothing else: your change stays {where(path)}"
            )
    return found, notes
