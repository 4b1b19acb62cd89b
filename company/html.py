"""Artifacts, code, diffs and Markdown as safe pieces of HTML, for whoever shows a run as a page; with the rules they need.

Nothing in a piece asks for anything from elsewhere or runs, whatever a model wrote; and however long it is, a piece is bounded.
Markdown of artifacts: `markdown.py`. Who makes pages of the pieces: `cli_report.py`.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from company.artifacts import (
    Artifact,
    Check,
    Checks,
    Codebase,
    CommandResult,
    Decision,
    Design,
    Patch,
    Prd,
    Review,
    SourceFile,
    TestCase,
    TestFile,
    TestRun,
)
from company.flowchart import picture as picture_of
from company.markdown import render

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MOST_LINES = 2000
"""Of one piece; of a longer text the beginning is shown."""
MOST_COLUMNS = 1000
"""Characters of one line that are shown."""
MOST_CHARACTERS = 300_000
"""Of one piece."""
MOST_MARKDOWN = 60_000
"""Characters of a Markdown text."""
MOST_WORDS = 4000
"""Characters of a text that has no lines, such as a title."""
_MOST_COMPARED = 5000
"""Lines of a file that are compared with another; the time grows with their square."""
_WIDEST_COLOURED, _MOST_COLOURED = 300, 50_000
"""Characters of a line, and of a text, that is coloured: some of the colourers' expressions take the square of it, or worse."""
_MOST_ENTRIES = 300
"""Of a list that is shown."""
_MOST_DEPTH = 12
"""Of values in values."""
_CONTEXT = 3
_HEADINGS = 2
"""By how many levels a document's headings stand below those of the page."""
_LEXERS = {
    "py": "python", "pyi": "python", "js": "javascript", "mjs": "javascript", "ts": "typescript", "tsx": "tsx", "css": "css",
    "html": "html", "xml": "xml", "svg": "xml", "json": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml", "ini": "ini",
    "cfg": "ini", "sh": "bash", "sql": "sql", "c": "c", "h": "c", "cpp": "cpp", "rs": "rust", "go": "go",
    "rb": "ruby", "md": "markdown", "diff": "diff", "python": "python", "javascript": "javascript", "typescript": "typescript",
    "bash": "bash", "shell": "bash", "console": "console", "rust": "rust", "ruby": "ruby", "markdown": "markdown",
}  # fmt: skip
"""Ends of file names, and what fences are marked with → Pygments' name; whatever else a model writes is not coloured."""
_HIDDEN = re.compile(r"[^\n\t -~\u00a1-\u00ac\u00ae-\u02ff\u4e00-\u9fff]")
"""What may have to be made visible: a quick look before the exact one."""


def artifact_html(value: Any) -> str:
    """What a step left: an artifact, a list or a mapping of them, or a plain value."""
    return _shown(value, 0)


def markdown_html(text: str, to: Callable[[str], str] | None = None) -> str:
    """Markdown as HTML: no HTML of its own, no pictures; links to web and mail, and to files by a relative path where `to` makes it an address."""
    left_out, shown = _left_out(len(text) - MOST_MARKDOWN, "character"), plain(text[:MOST_MARKDOWN])
    lines = (line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…" for line in shown.split("\n"))
    return f'<div class="document">{_markdown(to is not None).render(chr(10).join(lines), {"to": to})}{left_out}</div>'


def code_html(path: str, text: str) -> str:
    """A file's text with numbered lines, coloured where its name tells the language."""
    return _numbered(text, _lexer(path.rpartition("/")[2].rpartition(".")[2]))


def diff_html(before: str | None, after: str | None, path: str) -> str:
    """What changed in a file, line by line; None for a file that is not there."""
    old, new = ([] if text is None else plain(text).split("\n") for text in (before, after))
    for lines in (old, new):
        if lines and not lines[-1]:
            lines.pop()
    head = {(True, False): "new", (False, True): "deleted"}.get((before is None, after is None), "changed")
    name = f'<figcaption><code>{escaped(path)}</code> <span class="how">{head}</span></figcaption>'
    if max(len(old), len(new)) > _MOST_COMPARED:
        told = f"{len(old)} lines before, {len(new)} after: too many to compare"
        return f'<figure class="diff">{name}<p class="left-out">{told}</p></figure>'
    rows = [*_compared(old, new)]
    lines, more = _bounded([line for *_, line in rows])
    body = "".join(_row(kind, at, to, line) for (kind, at, to, _), line in zip(rows, lines, strict=False))
    return f'<figure class="diff">{name}<pre tabindex="0">{body}</pre>{_left_out(more, "line")}</figure>'


def text_html(text: str) -> str:
    """Any text as it is, with its line ends: what a program printed."""
    lines, more = _bounded(plain(text).rstrip("\n").split("\n"))
    return f'<pre tabindex="0">{escape(chr(10).join(lines))}</pre>{_left_out(more, "line")}'


def escaped(text: object) -> str:
    """A short text as it may stand in a page, between tags or in quotes."""
    return escape(plain(_cut(str(text), MOST_WORDS)))


def plain(text: str) -> str:
    """Text without what steers a terminal or the order of letters: what is hidden is made visible instead."""
    return _HIDDEN.sub(lambda found: _visible(found[0]), text.replace("\r\n", "\n"))


def style() -> str:
    """The rules for all pieces, light and dark."""
    return resources.files("company").joinpath("html.css").read_text("utf-8")


def _visible(char: str) -> str:
    if char < " " or char == "\x7f":
        return chr(0x2421 if char == "\x7f" else 0x2400 + ord(char))
    kind = unicodedata.category(char)
    if kind in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn") and char not in "\u200c\u200d":  # joiners of letters, emoji
        return f"⟨U+{ord(char):04X}⟩"
    return char


# --- artifacts --------------------------------------------------------------------------------------


def _shown(value: Any, depth: int) -> str:
    if depth > _MOST_DEPTH:
        return '<p class="left-out">deeper values are left out</p>'
    if isinstance(value, Prd | Design):
        return markdown_html(render(value))
    if isinstance(value, SourceFile | TestFile):
        return f'<figure class="file"><figcaption><code>{escaped(value.path)}</code></figcaption>{code_html(value.path, value.content)}</figure>'
    if isinstance(value, Patch):
        return _shown(list(value.files), depth + 1)
    if isinstance(value, Checks):
        return _checks(value)
    if isinstance(value, TestRun):
        return _test_run(value)
    if isinstance(value, CommandResult):
        status = f"exit status {value.exit_status}" if value.status == "ran" else value.status
        parts = [_badge(value.passed, status)]
        parts += [
            f"<h4>{name}</h4>{text_html(text)}"
            for name, text in (("stdout", value.stdout), ("stderr", value.stderr))
            if text
        ]
        return "".join(parts)
    if isinstance(value, Review):
        comments = _listed(escaped(comment) for comment in value.comments)
        return _badge(value.approved, "approved" if value.approved else "changes wanted") + comments
    if isinstance(value, Decision):
        said = f"<p>{escaped(value.comment)}</p>" if value.comment else ""
        return f"<p><strong>{escaped(value.choice)}</strong></p>{said}"
    if isinstance(value, Codebase):
        return text_html(value.map)
    if isinstance(value, Artifact):
        return _record(((name, getattr(value, name)) for name in type(value).model_fields), depth)
    if isinstance(value, dict):
        return _record(((str(name), inner) for name, inner in value.items()), depth)
    if isinstance(value, list | tuple):
        return _list(value, depth)
    if value is None or value == "":
        return '<p class="none">nothing</p>'
    if isinstance(value, bool):
        return f"<p>{'yes' if value else 'no'}</p>"
    text = str(value)
    return markdown_html(text) if "\n" in text.strip() else f"<p>{escaped(text)}</p>"


def _record(fields: Iterable[tuple[str, Any]], depth: int) -> str:
    rows = (f"<dt>{escaped(name.replace('_', ' '))}</dt><dd>{_shown(value, depth + 1)}</dd>" for name, value in fields)
    return f"<dl>{''.join(rows)}</dl>"


def _list(values: Sequence[Any], depth: int) -> str:
    if not values:
        return '<p class="none">nothing</p>'
    shown, more = values[:_MOST_ENTRIES], len(values) - _MOST_ENTRIES
    if all(isinstance(value, str | int | float) for value in shown):
        inner = _listed(escaped(value) for value in shown)
    else:
        inner = "".join(_shown(value, depth + 1) for value in shown)
    return inner + _left_out(more, "entry")


def _checks(plan: Checks) -> str:
    if not plan.checks:
        return '<p class="none">nothing could be checked</p>'
    return _table(("checked", "does", "expected"), (row for check in plan.checks for row in _check(check)))


def _check(check: Check) -> Iterator[tuple[str, ...]]:
    """Its rows; what is checked stands in the first."""
    quote = f'<br><q class="quote">{escaped(check.quote)}</q>' if check.quote else ""
    title = f"{escaped(check.title)}{quote}"
    for call in check.calls:
        yield title, _code(call.expression), _code(call.expected)
        title = ""
    for command in check.commands:
        typed = f"<br>given {_code(command.stdin)}" if command.stdin else ""
        prints = _code(command.stdout) if command.stdout else "nothing printed"
        yield title, f"{_code(command.command)}{typed}", f"{prints}<br>exit status {command.exit_status}"
        title = ""
    if title:
        yield title, "", ""


def _test_run(run: TestRun) -> str:
    rows = []
    for case in sorted(run.cases, key=lambda case: (case.outcome == "passed", not case.required))[:_MOST_ENTRIES]:
        passed = case.outcome == "passed"
        decides = "" if case.required else ' <span class="note">does not decide</span>'
        rows.append((_badge(passed, case.outcome, "span"), f"{_code(case.id)}{decides}{_why(case)}"))
    problems = _listed(escaped(problem) for problem in run.problems)
    output = f"<details><summary>output</summary>{text_html(run.output)}</details>" if run.output else ""
    return "".join([
        _badge(run.passed, run.summary),
        f"<h4>found before the tests ran</h4>{problems}" if problems else "",
        _table(("outcome", "test"), rows) if rows else "",
        _left_out(len(run.cases) - _MOST_ENTRIES, "test"),
        output,
    ])  # fmt: skip


def _why(case: TestCase) -> str:
    """What a test that did not pass is, and what it said."""
    if case.outcome == "passed" or not (case.message or case.source):
        return ""
    source = code_html("test.py", case.source) if case.source else ""
    return f"<details><summary>why</summary>{source}{text_html(case.message) if case.message else ''}</details>"


def _badge(good: bool, text: str, tag: str = "p") -> str:
    return f'<{tag} class="badge {"good" if good else "bad"}">{escaped(text)}</{tag}>'


def _code(text: str) -> str:
    return f"<code>{escaped(text)}</code>"


def _listed(items: Iterable[str]) -> str:
    inner = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{inner}</ul>" if inner else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


# --- code -------------------------------------------------------------------------------------------


def _numbered(text: str, lexer: str) -> str:
    lines, more = _bounded(plain(text).removesuffix("\n").split("\n"))
    short = all(len(line) <= _WIDEST_COLOURED for line in lines)
    short = short and sum(map(len, lines)) <= _MOST_COLOURED
    rows = _coloured(lines, lexer) if lexer and short else [*map(escape, lines)]
    body = "".join(f'<span class="l">{row}\n</span>' for row in rows)
    return f'<pre class="code" tabindex="0"><code>{body}</code></pre>{_left_out(more, "line")}'


def _coloured(lines: Sequence[str], lexer: str) -> list[str]:
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    found = get_lexer_by_name(lexer, stripnl=False, ensurenl=True)
    rows = highlight("\n".join(lines), found, HtmlFormatter(nowrap=True)).split("\n")[:-1]
    return rows if len(rows) == len(lines) else [*map(escape, lines)]


def _lexer(end: str) -> str:
    return _LEXERS.get(end.lower(), "")


def _compared(old: list[str], new: list[str]) -> Iterator[tuple[str, int, int, str]]:
    """Lines of a diff: ``+``, ``-``, a space or ``…`` between two places, the line's numbers before and after, the line."""
    groups = difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT)
    for place, group in enumerate(groups):
        if place:
            yield "…", 0, 0, ""
        for kind, first, last, start, end in group:
            if kind == "equal":
                for offset, line in enumerate(old[first:last]):
                    yield " ", first + offset + 1, start + offset + 1, line
                continue
            for number, line in enumerate(old[first:last], first + 1):
                yield "-", number, 0, line
            for number, line in enumerate(new[start:end], start + 1):
                yield "+", 0, number, line


def _row(kind: str, old: int, new: int, line: str) -> str:
    """One line; its numbers and sign are drawn beside it by the rules, so that what is copied is the text alone."""
    if kind == "…":
        return '<span class="l gap">⋯\n</span>'
    name = {"+": "add", "-": "del", " ": "same"}[kind]
    numbers = f'data-old="{old or ""}" data-new="{new or ""}"'
    return f'<span class="l {name}" {numbers}>{escape(line)}\n</span>'


def _bounded(lines: list[str]) -> tuple[list[str], int]:
    """As many as are shown, each cut, and how many are not."""
    room, shown = MOST_CHARACTERS, list[str]()
    for line in lines[:MOST_LINES]:
        shown.append(_cut(line))
        room -= len(shown[-1])
        if room < 0:
            break
    return shown, len(lines) - len(shown)


def _cut(line: str, most: int = MOST_COLUMNS) -> str:
    return line if len(line) <= most else f"{line[:most]} … {len(line) - most} more characters"


def _left_out(more: int, what: str) -> str:
    many = what if more == 1 else f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f'<p class="left-out">{more} more {many} left out</p>' if more > 0 else ""


# --- Markdown ---------------------------------------------------------------------------------------

_LONGEST_LINE = 5000
_MOST_CHARTS = 10
"""Flowcharts of one document that are drawn."""
_ADDRESS = re.compile(r"(https?://|mailto:)[^\s]+", re.IGNORECASE)
_PATH = re.compile(r"[\w.%-][\w./%-]*")


@cache
def _markdown(paths: bool) -> MarkdownIt:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: bool(_ADDRESS.fullmatch(url) or (paths and _PATH.fullmatch(url)))  # type: ignore[method-assign]

    def heading(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        token = tokens[at]
        token.tag = f"h{min(6, int(token.tag[1]) + _HEADINGS)}"
        return self.renderToken(tokens, at, options, env)

    def picture(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """Its words and address: a page that is opened asks nobody for anything."""
        address = str(tokens[at].attrs.get("src", ""))
        return f'<span class="note">picture: {escaped(tokens[at].content)} ({escaped(address)})</span>'

    def link(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        href = str(tokens[at].attrs.get("href", ""))
        address = escaped(env["to"](unquote(href)) if paths and not _ADDRESS.fullmatch(href) else href)
        return f'<a href="{address}" title="{address}" rel="noopener noreferrer nofollow">'

    def table(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return '<div class="table" tabindex="0"><table>' if tokens[at].nesting > 0 else "</table></div>"

    def cell(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """Without the style that says how it is aligned: a page that allows no styles of its own has none."""
        return f"<{tokens[at].tag}>"

    def words(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """Once more made visible: `&#8238;` was none of the characters that are hidden before it was read."""
        return escaped(tokens[at].content)

    def code(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return _code(tokens[at].content)

    def fence(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        word = next(iter(tokens[at].info.split()), "")
        body = _numbered(tokens[at].content, _lexer(word))
        if word != "mermaid":
            return body
        env["charts"] = env.get("charts", 0) + 1
        drawn = picture_of(tokens[at].content) if env["charts"] <= _MOST_CHARTS else ""
        return f"{drawn}<details><summary>diagram (Mermaid)</summary>{body}</details>"

    def block(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return text_html(tokens[at].content)

    for name, rule in {
        "heading_open": heading, "heading_close": heading, "image": picture, "link_open": link, "table_open": table,
        "table_close": table, "th_open": cell, "td_open": cell, "fence": fence, "code_block": block, "text": words,
        "code_inline": code,
    }.items():  # fmt: skip
        parser.add_render_rule(name, rule)
    return parser
