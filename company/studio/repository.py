"""A run's repository as its page tells of it: files and lines with the roles behind them, commits with their steps.

The page: `repository_page.py`. How commits are read: `company/browse.py`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode

from company import browse, gitdoor, records
from company.browse import MOST_CHANGES, MOST_SENT, MOST_SHOWN
from company.errors import UsageError
from company.gitdoor import Commit, Entry
from company.html import code_html, diff_html, markdown_html
from company.records import Request, RunRecord
from company.report import Report
from company.studio.actions import is_redoable
from company.studio.pages import path_to
from company.workspace import Repository

if TYPE_CHECKING:
    import git

    from company.studio.desk import Desk

_PAGE = 100
"""Commits of one page of the history."""
_LOOKED_THROUGH = 300
"""Commits among which a folder's page looks for the last change of each name."""
_MOST_ITEMS = 1000
"""Names of one folder that are shown."""
_MOST_DIFFED = 100
_MOST_HTML = 3_000_000
"""Files, and characters, that the page of one commit shows."""
_COLOURS = 8
_MARKDOWN = (".md", ".markdown")
_READMES = ("README.md", "readme.md", "Readme.md")


def asked(query: bytes, name: str) -> str:
    """What an address asks for; also a name of a file that is no UTF-8."""
    found = parse_qs(query.decode("latin-1"), errors="surrogateescape", encoding="utf-8")
    return found.get(name, [""])[0]


def _is_typable(content: bytes) -> bool:
    """Whether a form brings a text back as it was: it knows one kind of line ends, and no lone carriage return."""
    both = content.count(b"\r\n")
    return content.count(b"\r") == both and both in (0, content.count(b"\n"))


class Told(NamedTuple):
    """A commit as it is told of."""

    sha: str
    subject: str
    author: str
    time: int
    run: str
    """The run that made it, where it is one of this workspace."""
    step: str
    """The id of the step's execution; empty where it is of no step."""
    model: str
    tokens: str
    link: str
    opened: str
    """Address of the step in its run's page; empty without one."""


class Line(NamedTuple):
    """What stands beside a line of a file."""

    colour: str
    told: Told | None
    """In the first of the lines that one commit wrote."""
    lines: str


class Looked(NamedTuple):
    """A template and what it shows."""

    template: str
    values: dict[str, Any]


@contextmanager
def opened(desk: Desk, run: str) -> Iterator[Shown]:
    """The repository of a run, to be read in one thread.

    Raises:
        UsageError: there is no such run, or its repository is not here.
    """
    record = records.find(desk.store, run)
    if not (record.repo / ".git").is_dir():
        raise UsageError(
            "the repository of this run is not here",
            place=str(record.repo),
            hint=f"it lies where it was made; `company show {record.run}` tells what is known of it",
        )
    repository = Repository.open(record.repo)
    with repository.opened() as repo:
        yield Shown(desk, record, repository, repo)


@dataclass
class Shown:
    """One look at a repository."""

    desk: Desk
    record: RunRecord
    repository: Repository
    repo: git.Repo

    @cached_property
    def request(self) -> Request:
        """What was asked."""
        return records.read_request(self.desk.store, self.record.run)

    @property
    def branch(self) -> str:
        """Where the run commits."""
        return self.request.branch

    @cached_property
    def tip(self) -> str:
        """The last commit of the run's branch, or the last one that it made where there is no branch any more; empty for none."""
        if found := self.repository.tip(self.branch):
            return found
        made = (event["sha"] for event in reversed(Report.of(self.desk.store.events(self.record.run)).commits.values()))
        return next((sha for sha in made if gitdoor.commit_of(self.repo, sha)), "")

    @cached_property
    def _runs(self) -> frozenset[str]:
        return frozenset(self.desk.store.runs())

    @cached_property
    def _known(self) -> dict[str, Told]:
        return {}

    def link(self, *inner: str, **query: str) -> str:
        """An address in this repository's pages; what is empty is left out."""
        known = {name: value for name, value in query.items() if value and (name, value) != ("at", self.tip)}
        address = path_to("runs", self.record.run, "repo", *inner)
        return f"{address}?{urlencode(known, errors='surrogateescape')}" if known else address

    def told(self, sha: str) -> Told:
        """A commit by its id."""
        if sha not in self._known:
            self._known[sha] = self.tell(gitdoor.parse(sha, gitdoor.data(self.repo, bytes.fromhex(sha))))
        return self._known[sha]

    def tell(self, commit: Commit) -> Told:
        """A commit with its step."""
        said = commit.trailers
        run, step = said.get("Company-Run", ""), said.get("Company-Step", "").removesuffix("@edit")
        run, step = run if run in self._runs else "", step if "#" in step else ""
        return Told(
            commit.sha, commit.subject, commit.author, commit.time, run, step, said.get("Company-Model", ""),
            said.get("Company-Tokens", ""), self.link("commit", commit.sha),
            f"{path_to('runs', run)}?{urlencode({'open': step})}" if run and step else "",
        )  # fmt: skip

    def _at(self, at: str) -> str:
        """The commit that is asked for, the last one by default; only those of this run's history are shown.

        Raises:
            UsageError: there is none.
        """
        if not self.tip:
            raise UsageError(
                "nothing has been committed yet",
                place=self.record.name,
                hint="a run's first commit is made as it begins",
            )
        if at and not browse.belongs(self.repo, at, self.tip):
            raise UsageError(
                "the run has no such commit", place=self.record.name, hint="its history lists those that there are"
            )
        return at or self.tip

    def _entry(self, sha: str, path: str) -> Entry:
        entry = browse.at(self.repo, sha, path)
        if entry is None:
            raise UsageError(
                "the commit has nothing of this name", place=self.record.name, hint="its top folder shows what it has"
            )
        return entry

    # --- files ----------------------------------------------------------------------------------------

    def look(self, at: str, path: str, view: str) -> Looked:
        """A folder, a file, or whatever else a commit has there."""
        sha = self._at(at)
        entry = self._entry(sha, path)
        kind = browse.kind_of(entry)
        common = {"at": self.told(sha), "path": path, "steps_to": self._crumbs(sha, path)}
        if kind == "folder":
            return Looked("folder", common | self._folder(sha, path, entry))
        if kind == "file":
            return Looked("file", common | self._file(sha, path, entry, view))
        said = "a link, which is not followed"
        if kind == "module":
            said = f"a repository of its own, at its commit {entry.sha.hex()[:10]}"
        elif target := browse.content(self.repo, entry, 4096):
            said = f"a link to {target.decode('utf-8', 'replace')}, which is not followed"
        return Looked("file", common | {"said": said, "views": {}, "view": "", "size": 0, "body": "", "sent": False})

    def _crumbs(self, sha: str, path: str) -> list[tuple[str, str]]:
        names = path.split("/") if path else []
        top = (self.record.name, self.link(at=sha))
        return [top, *((name, self.link(at=sha, path="/".join(names[: n + 1]))) for n, name in enumerate(names))]

    def _folder(self, sha: str, path: str, entry: Entry) -> dict[str, Any]:
        found = browse.items(self.repo, entry)
        shown = found[:_MOST_ITEMS]
        history = [each.sha for each in self.repository.log(sha, _LOOKED_THROUGH)]
        last = browse.last_changes(self.repo, history, path)
        above = f"{path}/" if path else ""
        rows = [
            (item, self.link(at=sha, path=above + item.name), self.told(last[item.name]) if item.name in last else None)
            for item in shown
        ]
        readme = next((item for name in _READMES for item in shown if item.name == name and item.kind == "file"), None)
        text = self._text(readme.entry) if readme else None
        everything = gitdoor.walk(self.repo, gitdoor.tree_at(self.repo, sha)) if not path else {}
        return {
            "rows": rows, "more": len(found) - len(shown), "readme": markdown_html(text, self._to(sha, path)) if text else "", "readme_name": readme.name if readme else "",
            "unpacked": [name for name, each in everything.items() if not browse.packable(name, each)],
        }  # fmt: skip

    def _to(self, sha: str, folder: str) -> Callable[[str], str]:
        """Where a document in a folder leads by a relative path; one that leads out leads nowhere that there is."""
        return lambda path: self.link(at=sha, path=posixpath.normpath(posixpath.join(folder, path)))

    def _text(self, entry: Entry) -> str | None:
        content = browse.content(self.repo, entry, MOST_SHOWN)
        return None if content is None else browse.text_of(content)

    def _file(self, sha: str, path: str, entry: Entry, view: str) -> dict[str, Any]:
        size = browse.size(self.repo, entry)
        made: dict[str, Any] = {"size": size, "views": {}, "view": "", "body": "", "sent": size <= MOST_SENT}
        content = browse.content(self.repo, entry, MOST_SHOWN)
        text = None if content is None else browse.text_of(content)
        if text is None:
            return made | {"said": "no text, and not shown" if content is not None else "too large to be shown"}
        views = {"roles": "Roles", "plain": "Text"}
        if path.endswith(_MARKDOWN):
            views = {"read": "Document", **views}
        view = view if view in views else next(iter(views))
        made |= {
            "said": "" if text else "an empty file",
            "view": view,
            "views": {name: (label, self.link(at=sha, path=path, view=name)) for name, label in views.items()},
        }
        if view == "read":
            return made | {"body": markdown_html(text, self._to(sha, path.rpartition("/")[0]))}
        made["body"] = code_html(path, text)
        if view == "roles" and text:
            made |= self._roles(sha, path, made["body"].count('<span class="l">'))
        return made

    def _roles(self, sha: str, path: str, lines: int) -> dict[str, Any]:
        """What stands beside the lines that are shown: who wrote them."""
        by = browse.writers(self.repo, sha, path, lines)
        colours: dict[str, str] = {}
        counts: dict[str, int] = {}
        beside: list[Line] = []
        for writer, each in groupby(by):
            many = len([*each])
            told = self.told(writer) if writer else None
            author = told.author if told else ""
            counts[author] = counts.get(author, 0) + many
            colour = colours.setdefault(author, f"w{len(colours) % _COLOURS}")
            first = len(beside) + 1
            words = f"line {first}" if many == 1 else f"lines {first} to {first + many - 1}"
            beside += [Line(colour, told if not n else None, words) for n in range(many)]
        roles = [(name, colours[name], counts[name]) for name in sorted(counts, key=lambda name: -counts[name])]
        return {"beside": beside, "roles": roles}

    # --- commits --------------------------------------------------------------------------------------

    def history(self, at: str) -> dict[str, Any]:
        """A page of commits."""
        found = self.repository.log(self._at(at), _PAGE + 1)
        older = self.link("history", at=found[_PAGE].sha) if len(found) > _PAGE else ""
        return {"commits": [self.tell(each) for each in found[:_PAGE]], "older": older, "newest": not at}

    def commit(self, sha: str) -> dict[str, Any]:
        """What a commit changed."""
        sha = self._at(sha)
        parents = self.repository.log(sha, 2)[1:]
        parent = parents[0].sha if parents else ""
        changed = browse.changes(self.repo, sha, parent)
        files, room = [], _MOST_HTML
        for each in changed[:_MOST_DIFFED]:
            html, said = self._diff(each) if room > 0 else ("", "not shown: the commit is large")
            room -= len(html)
            link = self.link(at=sha, path=each.path) if each.after else ""
            files.append((each.path, link, html, said))
        return {
            "at": self.told(sha), "parent": self.told(parent) if parent else None, "files": files,
            "rest": [each.path for each in changed[_MOST_DIFFED:MOST_CHANGES]], "many": len(changed) > MOST_CHANGES,
        }  # fmt: skip

    def _diff(self, changed: browse.Changed) -> tuple[str, str]:
        """The difference as HTML, or why there is none."""
        texts: list[str | None] = []
        for entry in (changed.before, changed.after):
            if entry is None:
                texts.append(None)
            elif (kind := browse.kind_of(entry)) != "file":
                return "", {"link": "a link, which is not followed"}.get(kind, "a repository of its own")
            elif (text := self._text(entry)) is None:
                return "", "no text, or too large to be shown"
            else:
                texts.append(text)
        if texts[0] == texts[1]:
            return "", "its text is the same; only whether it can be executed has changed"
        return diff_html(texts[0], texts[1], changed.path), ""

    # --- to be changed --------------------------------------------------------------------------------

    def edit(self, path: str) -> str:
        """Where a file can be edited; empty where the run cannot be made again now."""
        address = path_to("runs", self.record.run, "edit")
        return f"{address}?{urlencode({'path': path}, errors='surrogateescape')}" if is_redoable(self.record) else ""

    def text(self, path: str) -> str:
        """A file as the last commit has it, to be edited.

        Raises:
            UsageError: there is none, or it is no text.
        """
        entry = self._entry(self._at(""), path)
        content = browse.content(self.repo, entry, MOST_SHOWN) if browse.kind_of(entry) == "file" else None
        try:
            path.encode()  # a form sends no other names
            if content is not None and b"\0" not in content and _is_typable(content):
                return content.decode()
        except UnicodeError:
            pass
        raise UsageError(
            "this is no text that can be edited here", place=path.encode("utf-8", "replace").decode(),
            hint="edit it in the repository",
        )  # fmt: skip

    # --- as it is -------------------------------------------------------------------------------------

    def raw(self, at: str, path: str) -> bytes:
        """A file."""
        entry = self._entry(self._at(at), path)
        if browse.kind_of(entry) != "file":
            raise UsageError("this is no file", place=self.record.name, hint="folders can be had as a zip")
        content = browse.content(self.repo, entry, MOST_SENT)
        if content is None:
            raise UsageError(
                f"the file is larger than {MOST_SENT >> 20} MiB", place=self.record.name,
                hint="take it from the repository: git clone",
            )  # fmt: skip
        return content

    def archive(self, at: str) -> tuple[str, bytes]:
        """The name of the zip, and itself."""
        told = self.told(self._at(at))
        name = f"{self.record.name}-{told.sha[:10]}"
        return f"{name}.zip", browse.archive(self.repo, told.sha, name, told.time)

    @staticmethod
    def bytes(size: int) -> str:
        """For people: ``812 B``, ``3.4 KiB``, ``1.2 MiB``."""
        if size < 1024:
            return f"{size} B"
        return f"{size / 1024:.1f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"
