"""The fenced blocks of a reply and the paths that models write beside them, on their fence, or in their first comment.

Which block becomes which file: `replies.py`. Nothing here knows what was asked for.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import NamedTuple

_NAME = r"[\w.\-]+"
PATH = rf"(?:[A-Za-z]:)?[\\/]?(?:{_NAME}[\\/])*{_NAME}\.[A-Za-z]\w{{0,9}}"
"""What may be a path in free text: at least a name with an extension. Judged later, so `../x.py` is found whole."""

_OPEN = re.compile(r"^([ \t]*(?:[-*>]\s+|\d+[.)]\s+)?)(`{3,}|~{3,})\s*([^`]*?)\s*$")
_INFO_PATH = re.compile(rf"(?:^|[\s:=\"'({{])({PATH})(?=$|[\s\"')}}:,])")
_LANGUAGE = re.compile(r"^\{?\.?([A-Za-z][\w+#-]*)")
_COMMENT_PATH = re.compile(
    r"^(?:#+|//+|/\*+|<!--|;+|--+)[\s\-=*#~]*"
    rf"(?:(?:file|file ?name|filepath|path|module)(?:\s*[:=]\s*|\s+))?[`'\"*]*({PATH})[`'\"*]*"
    r"(?:\s*\((?:new|updated|changed|modified|complete|full|unchanged)[^)]*\))?[\s\-=*#~:]*(?:\*/|-->)?$",
    re.IGNORECASE,
)
_LABEL_LINE = re.compile(
    r"^(?:#{1,6}\s+|[-*+]\s+|\d+[.)]\s+|>\s+)*"
    r"(?:(?:step\s+)?\d+[.:)]?\s+)?(?:the\s+)?(?:(?:new|updated|full|complete)\s+)?(?:(?:file|file ?name|path|module|source)\b(?:\s+\d+)?)?"
    rf"[\s:*`'\"(\[]*({PATH})[\s:*_`'\")\]]*(?:\([^)]*\)|[-–—:].*)?[\s:*_]*$",
    re.IGNORECASE,
)
_NO_PATH = re.compile(r"^#{1,6}\s*(?:the\s+)?(?:real\s+)?(?:file\s*)?(?:path|name|file)s?\s*:?\s*$", re.IGNORECASE)
"""A heading with the word that stood in the question in a path's place; the path itself is the next line."""
_SECTION = re.compile(r"^#{2,6} [A-Z]+(?: [A-Z]+)*$")
_PATH_ALONE = re.compile(rf"^\s*[`'\"*]*({PATH})[`'\"*]*\s*$")
_HEADING = re.compile(r"^(?:#{1,6}\s|\*\*.+\*\*:?$)")
_MENTION = re.compile(rf"(?<![\w/\\.])({PATH})(?![\w/\\])")
_USAGE = re.compile(
    r"\b(usage|example|run|running|use|using|used|import|importing|call|calling|invoke|execute|output|prints?|try|test it|demo)\b",
    re.IGNORECASE,
)
_LONGEST_LABEL = 200
"""Characters of a line that is looked at for a path."""
_MOST_ENDS = 40
"""Closing fences that are tried for one block; each costs a parse."""
_THOUGHT = re.compile(r"\s*<think(?:ing)?>")
_THOUGHTS = re.compile(r"^\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)


_DEFINED = re.compile(r"^(?:async def|def|class) ", re.MULTILINE)


@dataclass
class Block:
    """One fenced block, or the part of one that belongs to one file."""

    language: str
    """In lower case; empty where the fence does not say."""
    body: list[str]
    path: str = ""
    """As written; empty where nothing names one."""
    mentioned: str = ""
    """A path in the sentence before the block: less than `path`, more than nothing."""
    closed: bool = True
    row: int = 0
    """The row of its fence in the text."""


class _End(NamedTuple):
    """Where a block's body ends."""

    row: int
    """The first row that is not in it."""
    rest: int
    """The row with which the text after it begins."""
    closed: bool = True


def without_thoughts(text: str) -> str:
    """Without what a reasoning model wrote before its answer, and with ``\\n`` as the only end of line."""
    return _THOUGHTS.sub("", text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), count=1)


def in_thoughts(text: str) -> bool:
    """Whether a text ends in what a reasoning model writes before its answer."""
    return bool(_THOUGHT.match(without_thoughts(text)))


def blocks_of(text: str) -> list[Block]:
    """The blocks in order, each with the path that its fence or the line before it gives."""
    return [block for outer in _outer_blocks(text) for block in _unwrapped(outer) or [outer]]


def _outer_blocks(text: str) -> list[Block]:
    lines = text.split("\n")
    heads = _file_heads(lines)
    found: list[Block] = []
    row = 0
    before = 0
    while row < len(lines):
        opening = _OPEN.match(lines[row])
        if not opening:
            row += 1
            continue
        indent, fence, info = len(opening[1].expandtabs(4)), opening[2], opening[3]
        block = Block(_language(info), [], _info_path(info), row=row)
        if not block.path:
            block.path, block.mentioned = _path_before(lines[before:row])
        following = next((head for head in heads if head > row), len(lines))
        end = _end(lines, row, fence, indent, block, following)
        block.body, block.closed = [_dedent(line, indent) for line in lines[row + 1 : end.row]], end.closed
        found.append(block)
        row = before = end.rest
    return found


def open_block(text: str) -> tuple[list[str], Block] | None:
    """The block in which a text was cut, with all that follows its fence as its body, and the lines before it.

    Python that was cut inside a docstring with fences has one that only looks closed: it does not parse up to there.
    """
    lines = text.split("\n")
    for block in blocks_of(text):
        if not block.closed or (block.language in PYTHON and not parses("\n".join(block.body))):
            opening = _OPEN.match(lines[block.row])
            indent = len(opening[1].expandtabs(4)) if opening else 0
            block.body = [_dedent(line, indent) for line in lines[block.row + 1 :]]
            return lines[: block.row], block
    return None


def first_fence(lines: list[str]) -> tuple[int, int, str] | None:
    """The row of the first fence, how far it is indented, and the language that it names; None without a fence."""
    for row, line in enumerate(lines):
        if opening := _OPEN.match(line):
            return row, len(opening[1].expandtabs(4)), _language(opening[3])
    return None


def split_files(block: Block) -> list[Block]:
    """One block per file where path comments at the left margin part it; a path comment at the top is taken off."""
    parts: list[Block] = [Block(block.language, [], block.path, block.mentioned)]
    body = _titled(block.body)
    inside = inside_strings(body)
    structured = False
    for row, line in enumerate(body):
        path = "" if row in inside else comment_path(line, block.language)
        if path and not any(_is_code(earlier) for earlier in parts[-1].body) and not structured:
            head = [kept for kept in parts[-1].body if kept.startswith("#!")]  # a shebang may come before the path
            if not parts[-1].path or same_name(parts[-1].path, path):
                parts[-1] = Block(block.language, head, parts[-1].path or path)
                structured = True
                continue
        elif path and (structured or (not block.path and path.endswith(".py") and _both_parse(body, row))):
            parts.append(Block(block.language, [], path))
            structured = True
            continue
        parts[-1].body.append(line)
    return parts


def _titled(body: list[str]) -> list[str]:
    """A block in which a path on a line of its own, under a heading that says nothing but that one comes, is a comment.

    Who writes that writes headings such as ``### SOLUTION`` as well: they go.
    """
    if not any(map(_NO_PATH.match, body)):
        return body
    made, inside = list(body), inside_strings(body)
    for row, line in enumerate(body):
        if row in inside or not _NO_PATH.match(line):
            made[row] = "" if row not in inside and _SECTION.match(line) else made[row]
            continue
        said = [at for at in range(row + 1, len(body)) if body[at].strip()][:2]
        paths = [_PATH_ALONE.match(body[at]) for at in said]
        if paths and paths[0] and not (len(paths) > 1 and paths[1]):  # several are a list of files
            made[row : said[0] + 1] = [*[""] * (said[0] - row), f"# {paths[0][1]}"]
    return made


def comment_path(line: str, language: str) -> str:
    """The path that a comment line consists of; empty where it is another line, or a path of another language."""
    match = _COMMENT_PATH.match(line) if len(line) <= _LONGEST_LABEL else None
    if not match or (language in PYTHON and not match[1].endswith((".py", ".pyi"))):
        return ""
    if language in MARKDOWN and not match[1].endswith((".md", ".markdown")):
        return ""  # a title
    return match[1]


def parses(source: str) -> bool:
    """Whether it is Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in generated code is its own affair
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def same_name(one: str, other: str) -> bool:
    """Whether two paths end in the same file name."""
    return re.split(r"[\\/]", one)[-1] == re.split(r"[\\/]", other)[-1]


PYTHON = frozenset({"python", "py", "python3", "py3"})
MARKDOWN = frozenset({"markdown", "md"})


def _language(info: str) -> str:
    match = _LANGUAGE.match(info)
    if not match or re.fullmatch(PATH, info.split()[0].strip("{}")):
        return ""
    return match[1].lower()


def _info_path(info: str) -> str:
    match = _INFO_PATH.search(info)
    return match[1] if match else ""


def _path_before(lines: list[str]) -> tuple[str, str]:
    """A path that labels the next block, and one that the words before it mention."""
    said = [(row, line.strip()[-_LONGEST_LABEL:]) for row, line in enumerate(lines) if line.strip()]
    row, line = said[-1] if said else (0, "")
    if label := _LABEL_LINE.match(line):
        above = _LABEL_LINE.match(lines[row - 1].strip()[-_LONGEST_LABEL:]) if row else None
        is_list = bool(above and above[1] != label[1])  # of the files that come, not the name of this one
        return ("", "") if is_list or _USAGE.search(line.replace(label[1], "")) else (label[1], "")
    if _USAGE.search(line):
        return "", ""
    heading = next((at for at in reversed(range(len(said))) if _HEADING.match(said[at][1])), len(said))
    section = [line for _, line in said[heading:]]
    if section and (label := _LABEL_LINE.match(section[0])) and not any(map(_USAGE.search, section[1:])):
        return "", label[1]
    mentions = {match[1] for match in _MENTION.finditer(line)}
    return "", mentions.pop() if len(mentions) == 1 else ""


def _end(lines: list[str], start: int, fence: str, indent: int, block: Block, following: int) -> _End:
    """Where a block ends that begins at a row, if the next file begins at `following`.

    Models nest fences of the same length, in docstrings and in Markdown. Python ends where it parses; anything else
    where every inner fence that names a language has been closed too.
    """
    closing = re.compile(rf"^\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
    ends = [row for row in range(start + 1, len(lines)) if closing.match(lines[row])]
    if block.language in PYTHON or not (block.language or _is_markdown(block)):
        for end in sorted([*ends[:_MOST_ENDS], following]):
            source = "\n".join(_dedent(line, indent) for line in lines[start + 1 : end])
            if end < len(lines) and parses(source):
                return _End(end, end if end == following else end + 1)
    depth = 1
    for row in range(start + 1, len(lines)) if block.language not in PYTHON else ():
        if closing.match(lines[row]):
            depth -= 1
            if depth == 0:
                return _End(row, row + 1)
        elif (inner := _OPEN.match(lines[row])) and inner[2].startswith(fence):
            depth += 1
    if ends and ends[0] < following and not _is_markdown(block):
        return _End(ends[0], ends[0] + 1)
    # models that nest fences lose count: the text's last fence has to do for two, or its last sentence for the one that is due
    last = next((row for row in reversed(range(start + 1, len(lines))) if lines[row].strip()), start)
    closed = last in ends or bool(ends and lines[last].rstrip().endswith((".", "!", "?")))
    return _End(following, following, closed=closed and depth == 1 and following == len(lines))


def _is_markdown(block: Block) -> bool:
    return block.language in MARKDOWN or (not block.language and block.path.endswith((".md", ".markdown")))


def _file_heads(lines: list[str]) -> list[int]:
    """The rows of lines that name a file and have an opening fence under them."""
    heads = []
    said = 0
    for row, line in enumerate(lines):
        if (opening := _OPEN.match(line)) and opening[3] and _path_before(lines[max(0, said - 1) : row])[0]:
            heads.append(said)
        said = row if line.strip() else said
    return heads


def _unwrapped(block: Block) -> list[Block]:
    """The blocks inside one of Markdown that holds the reply: it begins with a fence, or with a file's name and a fence.

    Or in one of Python that is no Python, but has words and then a fence with a program.
    """
    if block.language in PYTHON and (opening := first_fence(block.body)) and opening[2] in PYTHON:
        code = block.body[opening[0] + 1 :]
        source = "\n".join(code)
        if not parses("\n".join(block.body)) and parses(source) and _DEFINED.search(source):
            head = split_files(Block(block.language, block.body[: opening[0]], block.path))[0]
            return [Block(opening[2], code, head.path, block.mentioned, block.closed, block.row)]
    if block.language not in MARKDOWN or block.path.endswith((".md", ".markdown")):
        return []
    opening = first_fence(block.body)
    before = [line for line in block.body[: opening[0]] if line.strip()] if opening else []
    if not opening or opening[2] in MARKDOWN or len(before) > 1 or (before and not _path_before(before)[0]):
        return []
    inner = _outer_blocks("\n".join(block.body))
    for each in inner:
        each.row += block.row + 1
    if len(inner) == 1:
        inner[0].path = inner[0].path or block.path
    return inner


def _dedent(line: str, width: int) -> str:
    """Without up to `width` columns of leading white space."""
    return line[min(width, len(line) - len(line.lstrip(" \t"))) :] if width else line


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#!") and "coding:" not in line


def inside_strings(body: list[str]) -> set[int]:
    """Rows that begin inside a string of several lines, by the quotes before them."""
    rows: set[int] = set()
    quote = ""
    for row, line in enumerate(body):
        if quote:
            rows.add(row)
        place = 0
        while place < len(line):
            three = line[place : place + 3]
            if quote:
                if line[place] == "\\":
                    place += 2
                    continue
                if three == quote:
                    quote, place = "", place + 3
                    continue
            elif three in ('"""', "'''"):
                quote, place = three, place + 3
                continue
            elif line[place] == "#":
                break
            elif line[place] in "\"'":
                place = _string_end(line, place)
                continue
            place += 1
    return rows


def _string_end(line: str, start: int) -> int:
    place = start + 1
    while place < len(line) and line[place] != line[start]:
        place += 2 if line[place] == "\\" else 1
    return place + 1


def _both_parse(body: list[str], row: int) -> bool:
    return parses("\n".join(body[:row])) and parses("\n".join(body[row + 1 :]))
