"""What a person changed in a run's repository after it was over, as changes of what its steps gave.

An artifact's JSON is its source and its Markdown is made from it; both may be edited, and both are made anew from what was
edited. Code is its own source. A verdict was executed and is nobody's to change. What is made of it: `redo.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from company import publish
from company.artifacts import CommandResult, Decision, Patch, SourceFile, TestFile, TestRun, flat
from company.cache import Objects
from company.documents import edited
from company.errors import UsageError
from company.publish import Guest
from company.report import Report
from company.sop.procedure import Procedure, Step
from company.state import Edit, pack, parts_of, unpack

_EDITED = "@edit"
_VERDICTS = (TestRun, CommandResult, Decision)


@dataclass(frozen=True)
class Changes:
    """Everything that a person changed."""

    edits: Mapping[str, Edit]
    """Id of a step's execution → what was made of its result, with the edits of earlier times."""
    asked: Mapping[str, str]
    """`sop` or `requirement` → its new text."""
    others: Mapping[str, bytes | None]
    """The files that no step made: path → content."""


def changes(
    changed: Mapping[str, bytes | None],
    report: Report,
    before: Mapping[str, Edit],
    objects: Objects,
    procedure: Procedure,
    requirement: str,
    guest: Guest | None,
    given: Collection[str],
) -> Changes:
    """What changed files mean.

    Args:
        changed: path → what is there now; None for a file that was deleted.
        report: of the run that made them.
        before: the edits that this run itself began with.
        given: the paths whose contents the repository does not hold.

    Raises:
        UsageError: a change does not fit its artifact, or is of something that is not to be edited.
    """
    reader = _Reader(report, objects, {step.path: step for step in procedure.walk()}, requirement, guest)
    records = guest.records if guest else publish.RECORDS
    own = {f"{records}/sop.yaml": "sop", f"{records}/requirement.md": "requirement"}
    edits, asked, others = dict(before), {}, {}
    texts: dict[str, dict[str, str | None]] = {}
    documents: dict[str, str] = {}
    source = next(reversed(report.commits.values()), {"sha": "HEAD"})["sha"][:12]
    for path, content in sorted(changed.items()):
        ident = reader.owner(path)
        try:
            if path in own and content is None:
                raise UsageError("the run is made from it, and it is deleted", place=path, hint=_undo(path))
            elif path in own:
                asked[own[path]] = _text(path, content)
                if not asked[own[path]].strip():
                    raise UsageError("the run is made from it, and it is empty", place=path, hint=_undo(path))
            elif path == f"{records}/run.json":
                raise UsageError("it says what the run was, and is not to be edited", place=path, hint=f"edit the requirement or the procedure instead; {_undo(path)}")  # fmt: skip
            elif not ident:
                others[path] = content
            else:
                old = edits.get(ident)
                values = dict(old.values) if old else dict(report.done[ident])
                values, made = reader.edit(ident, values, path, _text(path, content))
                if path in given and made[path] == reader.left(path):
                    raise UsageError(
                        "nothing of what you changed in it counts: space, or what is made from the rest of it, as its diagram is",
                        place=path, hint="change what it says",
                    )  # fmt: skip
                if len(made) > 1 and documents.setdefault(ident, path) != path:
                    other = documents[ident]
                    raise UsageError(
                        f"{other} was changed too, and both are made from one another", place=path, hint=_undo(path)
                    )
                texts.setdefault(ident, {}).update(made)
                edits[ident] = Edit(values, {})
        except UsageError as error:
            if path in given:  # there is nothing to undo
                error.hint = error.hint.removesuffix(_undo(path)).removesuffix("; ") or "give another text for it"
            # also where the change is staged or committed
            error.hint = error.hint.replace("git restore ", f"git restore --source={source} --staged --worktree ")
            raise
    for ident, made in texts.items():
        earlier = objects.get(before[ident].made["files"])["value"] if ident in before else {}
        files = objects.put({"kind": "files", "value": {**earlier, **made}})
        subject = f"{ident.partition('#')[0]}: change {', '.join(sorted(made))}"[:120]
        edits[ident] = Edit(
            edits[ident].values, {"files": files, "subject": subject, "slug": "person", "title": "Person"}
        )
    return Changes(edits, asked, others)


class _Reader:
    def __init__(
        self, report: Report, objects: Objects, steps: Mapping[str, Step], requirement: str, guest: Guest | None
    ) -> None:
        self._report = report
        self._objects = objects
        self._steps = steps
        self._requirement = requirement
        self._guest = guest
        self._wrote: dict[str, list[tuple[str, str | None]]] = {}
        """Path → the commits that wrote it, the last one last: id and text."""
        for ident, event in report.commits.items():
            if "files" not in event:
                raise UsageError(
                    "the run was made by an earlier version of company", hint="`company run` begins a new one"
                )
            for path, text in objects.get(event["files"])["value"].items():
                self._wrote.setdefault(path, []).append((ident.removesuffix(_EDITED), text))

    def owner(self, path: str) -> str:
        """The id of the step's execution that made what a file holds at the end of the run; empty for a file of none."""
        wrote = self._wrote.get(path, [])
        last = wrote[-1][1] if wrote else None
        return next((ident for ident, text in reversed(wrote) if text == last and ident in self._report.done), "")

    def left(self, path: str) -> str | None:
        """What a file held at the end of the run."""
        return self._wrote[path][-1][1]

    def edit(
        self, ident: str, values: dict[str, str | None], path: str, text: str
    ) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """What a step leaves once one of its files is another, and the files that this makes."""
        old = self.left(path)
        changed = {
            name: value
            for name, ref in values.items()
            if (value := _with_file(unpack(self._objects, ref), path, old, text, self._guest)) is not None
        }
        if changed:
            return {**values, **{name: pack(self._objects, value) for name, value in changed.items()}}, {path: text}
        name, item, _ = parts_of(ident)
        step = self._steps.get(name)
        value = unpack(self._objects, values.get(name))
        if step is None or step.out is None:
            raise UsageError(
                f"the step `{name}`, which made it, is gone from the procedure", place=path, hint=_undo(path)
            )
        if any(isinstance(one, _VERDICTS) for one in flat(value)):
            raise UsageError(
                "a verdict or a decision is not to be edited", place=path, hint=f"edit what it is about instead; {_undo(path)}"
            )  # fmt: skip
        new = self._document(step, value, path, text) if path.endswith((".json", ".md")) else value
        files = publish.files_of(
            name.removesuffix(".do"), item, new, self._requirement, candidates=step.sample > 1, guest=self._guest
        )
        if path not in files or not path.endswith((".json", ".md")):
            raise UsageError(
                f"it is made from what `{name}` gave, and is not to be edited itself", place=path,
                hint=f"edit {next((one for one in files if one.endswith('.json')), 'what it is made from')} instead; {_undo(path)}",
            )  # fmt: skip
        made: dict[str, str | None] = {where: data.decode() for where, data in files.items()}
        gone = publish.files_of(
            name.removesuffix(".do"), item, value, self._requirement, candidates=step.sample > 1, guest=self._guest
        )
        made = {**{where: None for where in gone if where not in files}, **made}
        return {**values, name: pack(self._objects, new)}, made

    def _document(self, step: Step, value: Any, path: str, text: str) -> Any:
        """The artifact that an edited file stands for."""
        assert step.out
        try:
            data = json.loads(text) if path.endswith(".json") else edited(value, text, path)
            return TypeAdapter(step.out.annotation).validate_python(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"it does not fit: {where}{': ' if where else ''}{first['msg']}", place=path, hint=_undo(path)
            ) from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"it is no JSON: {error}", place=path, hint=_undo(path)) from error


def _with_file(value: Any, path: str, old: str | None, new: str, guest: Guest | None) -> Any:
    """A value in which a file is another one; None where it holds no such file."""
    if isinstance(value, SourceFile | TestFile):
        same = value.path == path and publish.styled(value, guest).decode() == old
        plain = new.removeprefix("\ufeff").replace("\r\n", "\n") if guest else new
        return value.model_copy(update={"content": plain}) if same else None
    if isinstance(value, Patch):
        inner = _with_file(list(value.files), path, old, new, guest)
        return None if inner is None else value.model_copy(update={"files": inner})
    if isinstance(value, list):
        each = [_with_file(one, path, old, new, guest) for one in value]
        known = any(one is not None for one in each)
        return [one if new is None else new for one, new in zip(value, each, strict=True)] if known else None
    return None


def _text(path: str, content: bytes | None) -> str:
    if content is None:
        raise UsageError(
            "a step made it, and it is deleted", place=path,
            hint=f"edit what asks for it instead, the design for instance; {_undo(path)}",
        )  # fmt: skip
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError("it is not UTF-8 text", place=path, hint="save it as UTF-8") from error


def _undo(path: str) -> str:
    return f"undo the change: git restore {path}"
