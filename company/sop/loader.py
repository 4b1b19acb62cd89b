"""Text → a tree of plain data whose keys and values know their places; the unsafe is reported.

What the data may say: `spec.py`. Built on PyYAML's event stream: nothing is constructed, nothing recurses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from company.sop.diagnostics import LINE_BREAK, SECRET, Diagnostics, SourceText, Span

DEEPEST = 40
"""Nesting of mappings and lists."""
MOST_NODES = 200_000
"""Keys and values of one file."""
LARGEST = 1_000_000
"""Characters of one file."""
_TOO_DEEP = f"the file is nested more than {DEEPEST} deep"
Value = Any
_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TRAPS = {word: word.lower() in ("yes", "on", "y") for base in ("yes", "no", "on", "off", "y", "n")
          for word in (base, base.capitalize(), base.upper())}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,3})?")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Entry(NamedTuple):
    """A key of a mapping and its value."""

    key: Span
    node: Node


@dataclass
class Node:
    """One value. `value` is a scalar, a list of nodes, or a mapping from key to `Entry`."""

    value: Value
    span: Span
    text: str = ""
    """A scalar as written, without its quotes."""
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)

    @property
    def is_map(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.value, list)

    @property
    def listed(self) -> list[Node]:
        """Its items, or itself alone where one value stands for a list of one."""
        return self.items if self.is_list else [self]

    def get(self, key: str) -> Node | None:
        """The value of a key; None where there is none."""
        entry = self.entries.get(key)
        return entry.node if entry else None

    def place(self, *path: str | int) -> Span:
        """Where a path of keys and indexes leads; as far along as it exists."""
        node = self
        for part in path:
            if isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            elif isinstance(part, str) and part in node.entries:
                node = node.entries[part].node
            else:
                break
        return node.span

    def data(self) -> Value:
        """The plain Python value."""
        if self.is_map:
            return {key: entry.node.data() for key, entry in self.entries.items()}
        return [item.data() for item in self.items] if self.is_list else self.value


def load(source: SourceText, report: Diagnostics) -> Node | None:
    """The document's top mapping, or None after reporting why there is none.

    Never raises on any text. Duplicate keys, anchors and tags are reported and the rest is still read.
    """
    report.add_source(source)
    if len(source.text) > LARGEST:
        report.error("SOP105", f"the file is larger than {LARGEST} characters", source.whole())
        return None
    builder = _Builder(source, report)
    try:
        builder.build(yaml.parse(source.text, Loader=_Loader))
    except yaml.YAMLError as error:
        _report_syntax(source, report, error)
        return None
    except _Stop:
        return None
    except UnicodeError:
        report.error("SOP106", "the file holds characters that are no text", source.whole())
        return None
    root = builder.root
    if root is None or root.value is None:
        is_role = source.path.parent.name == "roles"
        what, way = ("role", "it has `title:` and `profile:`") if is_role else ("procedure", "it begins with `sop: 1`")
        report.error("SOP106", f"there is no {what} in the file", source.whole(), way)
        return None
    if not root.is_map:
        report.error("SOP303", "the file is not a mapping", root.span, "it begins with `sop: 1`")
        return None
    return root


def renamed(source: SourceText, name: str) -> str:
    """The text of a procedure with another `name:`, all else letter for letter; one that has none stays as it is."""
    root = load(source, Diagnostics())
    node = root.get("name") if root else None
    if not node:
        return source.text
    starts = [0, *(match.end() for match in LINE_BREAK.finditer(source.text))]
    span = node.span
    start, end = starts[span.line - 1] + span.column - 1, starts[span.end_line - 1] + span.end_column - 1
    plain = name[0].isalpha() and name not in _WORDS and name not in _TRAPS
    return source.text[:start] + (name if plain else f'"{name}"') + source.text[end:]


def _report_syntax(source: SourceText, report: Diagnostics, error: yaml.YAMLError) -> None:
    """PyYAML's own words, from its Python parser: the C one says the same things differently."""
    depth = 0
    try:
        for event in yaml.parse(source.text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:  # reading on would take minutes
                span = _span(source, event.start_mark, event.end_mark)
                report.error("SOP105", _TOO_DEEP, span)
                return
    except yaml.YAMLError as same:
        error = same
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
    span = _span(source, mark, mark) if mark else _at(source, getattr(error, "position", 0))
    label = ""
    if "'\\t'" in words or "\\t" in words:
        label = "indent with spaces: YAML allows no tabs there"
    elif "mapping values are not allowed" in words:
        label = "put the text in quotes, or mend the indentation"
    report.error("SOP101", f"this is not YAML: {words}", span, label)


class _Stop(Exception):
    """A bound was reached and reported; the rest of the file is not read."""


@dataclass
class _Open:
    """A mapping or list that is not closed yet."""

    node: Node
    key: tuple[str, Span] | None = None
    waiting: bool = False
    """A mapping: whether a key has been read and its value has not."""


class _Builder:
    def __init__(self, source: SourceText, report: Diagnostics) -> None:
        self.root: Node | None = None
        self._source = source
        self._report = report
        self._open: list[_Open] = []
        self._count = 0

    def build(self, events: Iterator[yaml.Event]) -> None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    span = _span(self._source, event.start_mark, event.end_mark)
                    self._report.error("SOP106", "a second document begins", span, "one procedure a file")
                    raise _Stop
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close(event)

    def _node(self, event: yaml.NodeEvent) -> None:
        span = _span(self._source, event.start_mark, event.end_mark)
        self._count += 1
        if self._count > MOST_NODES or len(self._open) > DEEPEST:
            what = f"more than {MOST_NODES} values" if self._count > MOST_NODES else f"nested more than {DEEPEST} deep"
            self._report.error("SOP105", f"the file is too large: {what}", span)
            raise _Stop
        if isinstance(event, yaml.AliasEvent):
            self._report.error("SOP104", f"`*{event.anchor}` is an alias", span, "write the value again")
            self._place(Node(None, span), event)
            return
        if event.anchor:
            self._report.error("SOP104", f"`&{event.anchor}` is an anchor", span, "write the value where it is used")
        tag = getattr(event, "tag", None)
        if tag and tag != "!":
            self._report.error("SOP104", f"`{tag}` is a tag", span, "a procedure is plain data")
        if isinstance(event, yaml.ScalarEvent):
            self._place(self._scalar(event, span), event)
            return
        node = Node({} if isinstance(event, yaml.MappingStartEvent) else [], span)
        if self._is_key():
            self._report.error("SOP106", "a key is a mapping or a list", span, "keys are plain words")
        self._open.append(_Open(node))

    def _is_key(self) -> bool:
        return bool(self._open) and self._open[-1].node.is_map and not self._open[-1].waiting

    def _scalar(self, event: yaml.ScalarEvent, span: Span) -> Node:
        text: str = event.value
        if SECRET.search(text):
            hint = "take it out: the endpoint's key is read from the environment"
            self._report.error("SOP308", "this looks like a secret", span, hint)
        if event.style:  # quoted or a block; the C parser says "" for plain
            return Node(text, span, text)
        if text in _WORDS:
            return Node(_WORDS[text], span, text)
        if text in _TRAPS and not self._is_key():
            label = f"write `{'true' if _TRAPS[text] else 'false'}`, or quote it"
            self._report.warning("SOP103", f"`{text}` is text here, not true or false", span, label)
        if _INT.fullmatch(text):
            return Node(int(text), span, text)
        return Node(float(text) if _FLOAT.fullmatch(text) else text, span, text)

    def _close(self, event: yaml.Event) -> None:
        closed = self._open.pop()
        node = closed.node
        if node.items or node.entries:
            last = node.items[-1].span if node.items else list(node.entries.values())[-1].node.span
            end_line, end_column = last.end_line, last.end_column
            start_mark, mark = event.start_mark, event.end_mark
            if start_mark and mark and mark.index > start_mark.index:  # a closing bracket
                end_line, end_column = mark.line + 1, mark.column + 1
            start = node.span
            node.span = Span(start.path, start.line, start.column, end_line, end_column)
        self._place(node, event)

    def _place(self, node: Node, event: yaml.Event) -> None:
        """Put a finished node where it belongs: into its list, or as key or value of its mapping."""
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if top.node.is_list:
            top.node.items.append(node)
        elif not top.waiting:
            top.key, top.waiting = self._key(node), True
        else:
            name, span = top.key or ("", node.span)
            top.key, top.waiting = None, False
            if name in top.node.entries:
                first = top.node.entries[name].key
                self._report.error("SOP102", f"`{name}` is written twice", span, related=(("first", first),))
            elif name:
                top.node.entries[name] = Entry(span, node)

    def _key(self, node: Node) -> tuple[str, Span]:
        if node.is_map or node.is_list:
            return "", node.span
        if node.text == "<<":
            self._report.error("SOP104", "`<<` is a merge key", node.span, "write the keys out")
            return "", node.span
        if not node.text:
            self._report.error("SOP106", "a key is empty", node.span, "keys are plain words")
        return node.text, node.span


def _span(source: SourceText, start: Any, end: Any) -> Span:
    """From PyYAML's marks. The C parser's end of a plain scalar or block lies after its trailing space."""
    end_line, end_column = end.line, end.column
    if (end_line, end_column) <= (start.line, start.column):
        end_line, end_column = start.line, start.column + 1
    if end_column == 0 and end_line > start.line:
        end_line -= 1
        end_column = len(source.lines[end_line]) if end_line < len(source.lines) else 1
    return Span(source.shown, start.line + 1, start.column + 1, end_line + 1, end_column + 1)


def _at(source: SourceText, index: int) -> Span:
    """The place of a character by its number."""
    passed = 0
    for number, line in enumerate(source.lines, 1):
        if index <= passed + len(line):
            return Span(source.shown, number, index - passed + 1, number, index - passed + 2)
        passed += len(line) + 1
    return source.whole()
