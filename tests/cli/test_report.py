"""`company report`: one file that tells a run and runs nothing, whatever models wrote; the same as Markdown."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from company.cli_report import report
from company.errors import UsageError
from company.events import Journal
from company.records import Request
from company.sop.svg import SIGNS
from tests.engine.running import CHECKS, INTERFACE, OUTLINE, PRD, REQUIREMENT, RIGHT, WRONG, start

EVIL = (
    "\"'><script>alert(1)</script><svg/onload=alert(2)> [x](javascript:alert(3)) ![y](https://evil.example/y.png) "
    "\x1b[2J \u202egnp.exe </style></svg>--> {{ 7*7 }} | `` | "
)


class Page(HTMLParser):
    """Everything in a page that could act or ask, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.odd, self.text, self.open = set[str](), list[str](), "", list[str]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.odd += [f"{tag} {name}={value}" for name, value in attrs if self._acts(name, value or "")]
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    @staticmethod
    def _acts(name: str, value: str) -> bool:
        return (
            name.startswith("on")
            or name in ("style", "src", "srcset", "action", "xlink:href")
            or (name == "href" and value[:1] != "#")
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with a run whose first code fails, and whose roles wrote what they could to do harm."""
    folder = tmp_path_factory.mktemp("report")
    evil_code = WRONG.replace("    return", f"    # {EVIL}\n    return")
    script: list[dict[str, Any]] = [
        {"step": "prd", "reply": {**PRD, "title": EVIL[:70], "goals": [EVIL[:150]], "unclear": [EVIL[-150:]]}},
        {"step": "design", "reply": {**OUTLINE, "approach": EVIL}},
        {"step": "design", "reply": {**INTERFACE, "purpose": EVIL[:150]}},
        {"step": "tests", "reply": CHECKS},
        {"step": "code", "reply": evil_code},
        {"step": "verify.fix", "reply": RIGHT},
    ]
    outcome = start(folder, "waterfall", script, requirement=f"{REQUIREMENT} {EVIL}")
    assert (outcome.status, outcome.reason) == ("delivered", "")
    return folder / "ws", outcome.run


def written(made: tuple[Path, str], folder: Path, form: Any) -> str:
    path = folder / f"told.{form}"
    report("out", made[0], form, path)
    return path.read_text("utf-8")


def test_the_page_runs_nothing_and_asks_for_nothing(made: tuple[Path, str], tmp_path: Path) -> None:
    text = written(made, tmp_path, "html")
    page = Page(text)
    assert page.open == []
    assert page.odd == []
    assert page.tags.isdisjoint(
        {"script", "iframe", "object", "embed", "link", "img", "form", "base", "image", "use", "foreignobject"}
    )
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)|@import", text)
    assert not set(text) & set("\x1b\x07\u202e")
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text


def test_the_page_tells_the_whole_run(made: tuple[Path, str], tmp_path: Path) -> None:
    text = written(made, tmp_path, "html")
    words = " ".join(Page(text).text.split())
    for fact in (
        made[1], "Product Manager", "QA Engineer", "2 of 2 required tests pass", "1 of 2 required tests pass", "round 2",
        "verify, round 1: not good yet", "tests/test_requirement.py::test_1", "prd: write the requirements", "and 1 of the run's own records",
        "company run", "--sop waterfall --model script:script.yaml", "Seed 1", "AssertionError", "Acceptance criteria",
    ):  # fmt: skip
        assert fact in words, fact
    assert str(made[0].parent) not in text
    assert "<title>verify.test: done</title>" in text
    assert text.count('class="sign"') == 8
    assert '<span class="l del"' in text
    assert '<span class="k">return</span>' in text


def test_the_markdown_has_no_html_but_its_own(made: tuple[Path, str], tmp_path: Path) -> None:
    text = written(made, tmp_path, "md")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    every = [inner for token in tokens for inner in (token, *(token.children or ()))]
    raw = [token.content.strip() for token in every if token.type in ("html_block", "html_inline")]
    assert raw
    assert all(
        re.fullmatch(r"<details><summary>[0-9a-f]{10}: what it changed</summary>|</details>", each) for each in raw
    )
    assert not [token for token in every if token.type in ("link_open", "image")]
    assert not set(text) & set("\x1b\x07\u202e")
    for fact in ("## Verdicts and rounds", "verify.test\\#2", "+    return text.upper()", "--sop waterfall"):
        assert fact in text, fact


def test_a_run_that_was_killed_and_one_of_which_little_is_left(tmp_path: Path) -> None:
    request = Request(
        "20260101-000000-aaaa", "gone", "own", "openai:m", {"requirement": "x"}, {"calls": 3}, unsafe_no_sandbox=False
    )
    folder = tmp_path / ".company/runs" / request.run
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(asdict(request)))
    with pytest.raises(UsageError, match="nothing is known"):
        report(request.run, tmp_path, None, tmp_path / "x.html")
    journal = Journal(folder / "events.jsonl")
    where = {"step": "code", "item": "", "round": "1", "id": "code#1"}
    journal.emit("run_started", run=request.run, name="gone", requirement="x", sop="own", model="openai:m", sandbox="b", repo="r", steps=["code"], judges=None, limits={})  # fmt: skip
    journal.emit("step_started", **where, kind="role", role="engineer", why="", made_of={})
    journal.emit("step_finished", **where, values={"code": "0" * 64}, seconds=1.0)
    journal.emit(
        "commit", step="code#1", sha="f" * 40, author="E", slug="e", subject="s", trailers={}, made=1, files="1" * 64
    )
    journal.emit(
        "step_started", **{**where, "id": "b#1", "step": "b"}, kind="role", role="engineer", why="", made_of={}
    )
    journal.close()
    for form, wanted in (("html", "What it left cannot be shown"), ("md", "What it left cannot be shown")):
        text = written_of(request.run, tmp_path, form)
        assert wanted in text
        assert "interrupted" in text
        assert "cannot be read any more" in text


def written_of(run: str, workspace: Path, form: Any) -> str:
    report(run, workspace, form, workspace / f"told.{form}")
    return (workspace / f"told.{form}").read_text("utf-8")


def test_a_long_run_is_bounded(tmp_path: Path) -> None:
    request = Request(
        "20260101-000000-aaaa", "long", "own", "m", {"requirement": "x" * 100_000}, {}, unsafe_no_sandbox=False
    )
    folder = tmp_path / ".company/runs" / request.run
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(asdict(request)))
    journal = Journal(folder / "events.jsonl")
    for number in range(3000):
        where = {"step": "code.do", "item": f"{number}.py", "round": "1", "id": f"code.do[{number}.py]#1"}
        journal.emit("step_started", **where, kind="role", role="engineer", why="", made_of={})
        journal.emit("step_finished", **where, values={}, seconds=1.0)
        journal.emit("notice", text="n" * 5000)
    journal.close()
    began = time.monotonic()
    for form in ("html", "md"):
        text = written_of(request.run, tmp_path, form)
        assert "2600 more executions" in text
        assert len(text) < 2_000_000
    assert time.monotonic() - began < 20


def test_the_command(made: tuple[Path, str], tmp_path: Path) -> None:
    def company(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "company", "report", made[1], "--workspace", str(made[0]), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    done = company()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{made[1]}.html\n", "")
    assert (tmp_path / f"{made[1]}.html").read_text().startswith("<!doctype html>")
    assert json.loads(company("--json", "--output", "told.md").stdout) == {"run": made[1], "file": "told.md"}
    assert (tmp_path / "told.md").read_text().startswith("# out\n")
    assert company("--output", "-", "--format", "md").stdout.startswith("# out\n")
    failed = company("--output", "no/such/folder.html")
    assert failed.returncode != 0
    assert "Traceback" not in failed.stderr


def test_every_state_has_a_sign() -> None:
    assert {*SIGNS} == {"done", "failed", "running", "stopped", "skipped", "waiting"}
