"""A Mermaid flowchart → its picture: what a design's document draws, and what models commonly write; the rest stays text.

Only nodes and plain arrows are known; a chart with anything else (labels at edges, other lines, edges back to their own node, subgraphs, styles)
has no picture, so that no picture leaves anything out. Where things go: `sop/layout.py`. Who shows it: `html.py`, whose sheet has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from company.sop.diagram import Edge
from company.sop.layout import PAD, Text, arranged, boxed
from company.sop.svg import drawing

_MOST_LETTERS, _MOST_NODES, _MOST_EDGES = 10_000, 30, 60
_HEAD = re.compile(r"(?:flowchart|graph)(?:\s+(?:LR|RL|TD|TB|BT))?\s*;?")
_NODE = re.compile(
    r"([A-Za-z_]\w*)(?:\[\"([^\"\]]*)\"\]|\[([^\"\[\]]*)\]|\(\"([^\"]*)\"\)|\(([^\"()]*)\)|\{([^\"{}]*)\})?"
)
_ARROW = re.compile(r"\s*-->\s*(?!\|)")
_BREAK = re.compile(r"<br\s*/?>|\\n")
_WORDS = frozenset({"end", "subgraph", "class", "classDef", "style", "linkStyle", "click", "direction"})


def picture(text: str) -> str:
    """The chart as SVG, without scripts and addresses; empty where there is anything that is not known."""
    chart = parsed(text)
    if not chart:
        return ""
    nodes, pairs = chart
    order, back = _order(nodes, pairs)
    texts = {
        name: [Text(first, "name"), *(Text(line, "who") for line in rest)] for name, (first, *rest) in nodes.items()
    }
    parts = {name: boxed(name, "part", texts[name]) for name in order}
    edges = [Edge(one, other, back=(one, other) in back) for one, other in pairs]
    whole = arranged(parts, edges).moved(PAD, PAD)
    names = ", ".join(lines[0] for lines in nodes.values())
    return drawing(whole, whole.width + 2 * PAD, whole.height + 2 * PAD, f"diagram of {names}")


def parsed(text: str) -> tuple[dict[str, list[str]], list[tuple[str, str]]] | None:
    """Each node with the lines of its text, and the edges, each once; None for a chart with anything else, or too large a one."""
    if len(text) > _MOST_LETTERS:
        return None
    head, *lines = [line.strip() for line in text.strip().splitlines()] or [""]
    if not _HEAD.fullmatch(head):
        return None
    nodes: dict[str, list[str]] = {}
    pairs: dict[tuple[str, str], None] = {}
    for line in lines:
        if not line or line.startswith("%%"):
            continue
        at, before = 0, ""
        while True:
            found = _NODE.match(line, at)
            if not found or found[1] in _WORDS:
                return None
            said = next((each for each in found.groups()[1:] if each is not None), None)
            if said is not None or found[1] not in nodes:
                nodes[found[1]] = _lines(said if said is not None else found[1])
            if before == found[1]:
                return None
            if before:
                pairs[before, found[1]] = None
            at, before = found.end(), found[1]
            if line[at:].strip() in ("", ";"):
                break
            arrow = _ARROW.match(line, at)
            if not arrow:
                return None
            at = arrow.end()
    fits = 0 < len(nodes) <= _MOST_NODES and len(pairs) <= _MOST_EDGES
    return (nodes, [*pairs]) if fits else None


def _lines(said: str) -> list[str]:
    """A node's text; ``#34;`` is a letter by its number."""
    return [re.sub(r"#(\d{1,6});", _letter, line).strip() for line in _BREAK.split(said)]


def _letter(found: re.Match[str]) -> str:
    number = int(found[1])
    letter = chr(number) if number < 0x110000 else ""
    return letter if letter and letter.isprintable() else found[0]


def _order(nodes: Mapping[str, object], pairs: Sequence[tuple[str, str]]) -> tuple[list[str], set[tuple[str, str]]]:
    """The nodes, each after those that lead to it, and the edges that lead back: of each cycle one."""
    back: set[tuple[str, str]] = set()
    while True:
        sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(nodes, ()))
        for one, other in pairs:
            if (one, other) not in back:
                sorter.add(other, one)
        try:
            return list(sorter.static_order()), back
        except CycleError as error:
            cycle: list[str] = error.args[1]
            back.add((cycle[-2], cycle[-1]))
