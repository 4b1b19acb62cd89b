"""Pieces of HTML made of whatever models wrote: nothing of it runs or asks, nothing is hidden, and nothing is without end."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from typing import Any

import pytest

from company import html
from company.artifacts import (
    Call,
    Check,
    Checks,
    Codebase,
    Command,
    CommandResult,
    Decision,
    Design,
    FileSpec,
    Part,
    Patch,
    Prd,
    Requirement,
    Review,
    SourceFile,
    TestCase,
    TestFile,
    TestRun,
)

EVIL = (
    "\"'><script>alert(1)</script><svg/onload=alert(2)><img src=x onerror=alert(3)>]]>--></style></pre>"
    "[go](javascript:alert(4)) ![see](https://evil.example/x.png) [d](data:text/html,x) [e](JaVaScRiPt:x) <https://evil.example> "
    "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe\u2066 a\u200bb \u061c &#8238; &#x1b; &lt;b&gt; {{ 7*7 }} \udcff\x00"
)
TAGS = {
    "a", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "figcaption", "figure", "h3", "h4", "h5",
    "h6", "hr", "li", "ol", "p", "pre", "q", "s", "span", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"class", "tabindex", "scope", "data-old", "data-new", "href", "title", "rel", "start"}
DRAWN = {"svg", "defs", "marker", "path", "rect", "text"}
"""What a flowchart's picture is made of."""
PLACES = {
    "class", "role", "aria-label", "width", "height", "viewbox", "id", "refx", "refy", "markerwidth", "markerheight", "markerunits", "orient",
    "d", "marker-end", "x", "y", "rx", "text-anchor",
}  # fmt: skip
VOID = {"br", "hr"}


class Page(HTMLParser):
    """What a browser would see; fails where a piece is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.open, self.links = "", list[str](), list[str]()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS | DRAWN
        assert {name for name, _ in attrs} <= (PLACES if tag in DRAWN else ATTRIBUTES)
        assert all(value == "url(#company-sop-tip)" for name, value in attrs if name == "marker-end")
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def case(**more: Any) -> TestCase:
    return TestCase(**{"id": EVIL, "outcome": "failed", "required": True, "message": EVIL, "source": EVIL, **more})


def values(text: str) -> list[Any]:
    """Artifacts of every kind full of a text, however long."""
    part = {"signature": f"def f{text}", "purpose": text, "quote": text}
    spec = {"path": text, "purpose": text, "depends_on": [text], "parts": [part]}
    prd = {
        "title": text, "goals": [text], "user_stories": [text], "acceptance_criteria": [text], "unclear": [text],
        "requirements": [{"id": "R1", "priority": "must", "text": text}],
    }  # fmt: skip
    check = {
        "title": text, "quote": text, "setup": text, "calls": [{"imports": text, "expression": text, "expected": text}],
        "commands": [{"command": text, "stdin": text, "stdout": text, "exit_status": 0}],
    }  # fmt: skip

    def made(kind: Any, fields: dict[str, Any]) -> Any:
        """Without the bounds of what a model is asked for: an artifact may come from elsewhere."""
        return kind.model_construct(**fields)

    prd["requirements"] = [made(Requirement, prd["requirements"][0])]
    spec["parts"] = [made(Part, part)]
    check["calls"] = [made(Call, check["calls"][0])]
    check["commands"] = [made(Command, check["commands"][0])]
    file = SourceFile.model_construct(path=f"{text}.py", content=text)
    return [
        made(Prd, prd),
        made(Design, {"approach": text, "entry_point": text, "dependencies": [text], "files": [made(FileSpec, spec)]}),
        file,
        TestFile.model_construct(path=f"{text}.py", content=text),
        Patch(files=[file]),
        Checks(checks=[made(Check, check)]),
        Review.model_construct(approved=False, comments=[text]),
        Decision(choice=text, comment=text),
        Codebase(map=text, files=[text]),
        CommandResult(passed=False, status="ran", exit_status=1, stdout=text, stderr=text),
        TestRun(
            passed=False, cases=[case(id=text, message=text, source=text)], summary=text, output=text, problems=[text],
            status="ran", score=0.0, sandbox=text,
        ),
        {text: [text, {text: text}]},
        [text, 1, None],
        f"{text}\n{text}",
        text,
    ]  # fmt: skip


PIECES = [*values(EVIL), *values(f"# {EVIL}\n\n{EVIL}\n- {EVIL}\n\n    {EVIL}\n```{EVIL}\n{EVIL}\n")]


@pytest.mark.parametrize("value", PIECES, ids=lambda value: type(value).__name__)
def test_no_artifact_runs_asks_or_hides_anything(value: Any) -> None:
    harmless(html.artifact_html(value))


def harmless(piece: str) -> Page:
    page = Page(piece)
    assert not set(piece) & set("\x1b\x07\x00\u202e\u2066\u200b\u061c\udcff")
    assert all(link.startswith("https://evil.example") for link in page.links)
    piece.encode()
    return page


@pytest.mark.parametrize("name", ["x.py", "x.md", "x.html", "x.json", "x.js", "x.yaml", "x", EVIL])
def test_nor_does_code_or_a_diff(name: str) -> None:
    text = f"{EVIL}\n'{EVIL}\n"
    page = harmless(html.code_html(name, text))
    assert "<script>alert(1)</script>" in page.text
    assert "\u241b[2J" in page.text
    assert "⟨U+202E⟩gnp.exe" in page.text
    for before, after in ((None, text), (text, None), (text, text + EVIL), ("", text)):
        harmless(html.diff_html(before, after, name))
    harmless(html.text_html(EVIL))


def test_markdown_keeps_its_form_and_loses_what_would_act() -> None:
    piece = html.markdown_html(
        '# One\n\n[web](https://a.example/x?a=1&b="2) [mail](mailto:a@b.c) [js](javascript:alert) [near](docs/x.md)\n\n'
        "![pic](https://a.example/p.png)\n\n| a | b |\n|:-:|---|\n| 1 | `2` |\n\n```python\ndef f(): ...\n```\n\n"
        "```mermaid\nflowchart\n```\n\n<b>no</b> ~~gone~~ &#8238;\n"
    )
    page = Page(piece)
    assert "<h3>One</h3>" in piece
    assert page.links == ["https://a.example/x?a=1&b=%222", "mailto:a@b.c"]
    assert 'rel="noopener noreferrer nofollow"' in piece
    assert "picture: pic (https://a.example/p.png)" in page.text
    assert "[js](javascript:alert) [near](docs/x.md)" in page.text
    assert "<td>1</td>\n<td><code>2</code></td>" in piece
    assert '<span class="k">def</span>' in piece
    assert "<summary>diagram (Mermaid)</summary>" in piece
    assert "<b>no</b>" in page.text
    assert "⟨U+202E⟩" in page.text


LONG = "x = '" + "(a. " * 500_000
MANY = "(a = '\n" * 300_000


@pytest.mark.parametrize("text", [LONG, MANY, "[" * 500_000, "|a" * 9000 + "\n" + "|-" * 9000 + "\n" + "|1\n" * 9000])
def test_however_much_a_model_wrote_a_piece_is_bounded_and_soon_made(text: str) -> None:
    began = time.monotonic()
    for value in values(text)[:-4]:
        assert len(html.artifact_html(value)) < 3_000_000
    for piece in (
        html.markdown_html(text),
        html.code_html("x.py", text),
        html.diff_html(text, text + "more", "x.py"),
        html.diff_html(None, text, "x.py"),
        html.artifact_html([text] * 2000),
    ):
        assert len(piece) < 3_000_000
    assert time.monotonic() - began < 30
    deep: Any = "end"
    for _ in range(5000):
        deep = [{"in": deep}]
    assert "deeper values are left out" in html.artifact_html(deep)


def test_what_is_left_out_is_said() -> None:
    assert "1 more line left out" in html.code_html("x.py", "a\n" * 2001)
    assert "… 500 more characters" in html.text_html("a" * 1500)
    assert "3 more entries left out" in html.artifact_html(["a"] * 303)
    assert "too many to compare" in html.diff_html("a\n" * 6000, "b", "x")


def test_a_diff_shows_lines_with_their_numbers() -> None:
    before, after = (
        "".join(f"{number}\n" for number in range(30)),
        "".join(f"{number}\n" for number in range(31) if number != 9),
    )
    piece = html.diff_html(before, after, "a.txt")
    assert '<span class="l del" data-old="10" data-new="">9\n</span>' in piece
    assert '<span class="l add" data-old="" data-new="30">30\n</span>' in piece
    assert "⋯" in piece
    assert '<span class="how">changed</span>' in piece
    assert '<span class="how">new</span>' in html.diff_html(None, "a\n", "x")
    assert '<span class="how">deleted</span>' in html.diff_html("a\n", None, "x")
    assert 'class="l' not in html.diff_html("", "", "x")


def test_tests_and_reviews_say_how_it_stands() -> None:
    run = TestRun(
        passed=False, cases=[case(id="t::ok", outcome="passed", source="", message=""), case(id="t::bad", required=False)],
        summary="1 of 2", output="", problems=[], status="ran", score=0.5, sandbox="x",
    )  # fmt: skip
    piece = html.artifact_html(run)
    assert piece.index("t::bad") < piece.index("t::ok")
    assert "does not decide" in piece
    assert '<p class="badge bad">1 of 2</p>' in piece
    assert '<p class="badge good">approved</p>' in html.artifact_html(Review(approved=True, comments=[]))


def test_the_rules_ask_for_nothing() -> None:
    rules = html.style()
    assert "prefers-color-scheme: dark" in rules
    assert "url(" not in rules
    assert "@import" not in rules
