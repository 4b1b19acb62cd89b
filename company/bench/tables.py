"""A summary as people read it: Markdown for a file, tables for a terminal; the same numbers in both.

What the numbers are: `summary.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from company.bench.honesty import NOTES
from company.bench.statistics import Comparison, Interval
from company.bench.summary import BASELINE, Flip, Group, Pair, Summary
from company.progress import clean
from company.terminal import money

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_FLIPS = 20
T = TypeVar("T", bound=Group | Pair)
_NONE = "–"


class Table(NamedTuple):
    """Cells as text; the first `named` columns are names, the others numbers."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    named: int
    notes: Sequence[str] = ()


def markdown(summary: Summary, most_flips: int = MOST_FLIPS) -> str:
    """The whole summary."""
    return "\n\n".join("\n".join(_markdown(table)) for table in tables(summary, most_flips)) + "\n"


def terminal(summary: Summary, most_flips: int = MOST_FLIPS) -> RenderableType:
    """The same for a console of rich's; foreign words in it steer nothing."""
    from rich.console import Group as Stack
    from rich.table import Table as Grid
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in tables(summary, most_flips):
        grid = Grid(title=Text(table.title, style="bold"), title_justify="left", box=None, padding=(0, 2, 0, 0))
        for place, head in enumerate(table.heads):
            grid.add_column(Text(head), justify="left" if place < table.named else "right", overflow="fold")
        for row in table.rows:
            grid.add_row(*(Text(cell) for cell in row))
        parts += [grid, *(Text(note, style="dim") for note in table.notes), Text()]
    return Stack(*parts)


def tables(summary: Summary, most_flips: int = MOST_FLIPS) -> list[Table]:
    """What there is to show; a table without rows is left out."""
    groups = summary.groups
    kinds = list(dict.fromkeys(category for group in groups for category in group.failures))
    made = [
        _table(
            "Quality", groups, _QUALITY, (f"Δ and p: against {BASELINE} on the same tasks and seeds.", *summary.notes)
        ),
        _table(
            "Tasks said otherwise",
            [group for group in groups if group.varied],
            _VARIED,
            ("Against the same procedure and model on the same tasks and seeds as they are.",),
        ),
        _pairs(summary.pairs),
        _table("Cost, for each run", groups, _COST),
        _table("What the company says of its own work", groups, _HONESTY, NOTES),
        _claims(groups),
        _table("Runs that failed, by category", groups if kinds else (), {kind: _counted(kind) for kind in kinds}),
        _flips(
            "Tasks that went the other way",
            [flip for flip in summary.flips if flip.against == BASELINE],
            most_flips,
            f" against {BASELINE}",
        ),
        _flips(
            "Tasks on which two procedures differ",
            [flip for flip in summary.flips if flip.against != BASELINE],
            most_flips,
        ),
    ]
    return [table for table in made if table.rows]


Cell = Callable[[Group], str]


def _counted(kind: str) -> Cell:
    return lambda group: str(group.failures.get(kind, 0))


def _table(
    title: str, groups: Sequence[T], cells: Mapping[str, Callable[[T], str]], notes: Sequence[str] = ()
) -> Table:
    """One line a group, or a pair; columns that are the same everywhere are said in the title."""
    names: dict[str, Callable[[Group | Pair], str]] = {
        "data set": lambda group: clean(group.dataset), "split": lambda group: clean(group.split),
        "model": lambda group: clean(group.model), "variation": lambda group: clean(group.variation) or "as it is",
        "procedure": lambda group: clean(group.sop),
    }  # fmt: skip
    same = {name for name, cell in names.items() if len({cell(group) for group in groups}) == 1} - {"procedure"}
    said = ", ".join(f"{name} {names[name](groups[0])}" for name in names if name in same) if groups else ""
    shown = {name: cell for name, cell in names.items() if name not in same}
    rows = [[cell(group) for cell in (*shown.values(), *cells.values())] for group in groups]
    return Table(f"{title} ({said})" if said else title, [*shown, *cells], rows, len(shown), notes)


def _pairs(pairs: Sequence[Pair]) -> Table:
    """Procedure against procedure."""
    notes = ["Δ and p: against the other procedure on the tasks and seeds that both have."]
    count = len({(pair.dataset, pair.sop, pair.other, pair.model, pair.variation) for pair in pairs})  # halves apart
    if count > 1:
        notes.append(
            f"p is not corrected for {count} comparisons: of twenty that differ by chance alone one is below 0.05. "
            f"What is below {0.05 / count:.4f} stands for itself."
        )
    table = _table("Procedures against each other", pairs, _PAIRS, notes)
    return table._replace(named=table.named + 1)


def _claims(groups: Sequence[Group]) -> Table:
    """Per procedure: what it said, and how often the judge passes that."""
    rows = [
        [group.name, claim.said, str(claim.runs), rate(claim.right), _number(claim.score, "{:.2f}")]
        for group in groups
        for claim in group.honesty.claims
    ]
    return Table(
        "What it said, and how often the judge passes it", ("procedure", "said", "runs", "passed", "score"), rows, 2
    )


def _flips(title: str, flips: Sequence[Flip], most: int, against: str = "") -> Table:
    """As many gained as lost ones, as far as there are any: a reader must see both."""
    gained, lost = ([flip for flip in flips if flip.gained is side] for side in (True, False))
    room = max(most - len(lost), most // 2)
    shown = [*gained[:room], *lost[: most - len(gained[:room])]]
    rows = [
        [
            clean(flip.task), " ".join(filter(None, (flip.sop, flip.model, flip.variation))), clean(flip.against),
            "gained" if flip.gained else "lost", flip.failure, flip.detail, flip.failed.command,
        ]
        for flip in shown
    ]  # fmt: skip
    notes = [
        f"{len(gained)} gained and {len(lost)} lost{against}; {len(shown)} are shown, each with the run that failed."
    ]
    heads: Sequence[str] = ("task", "procedure", "against", "is", "failure", "judge", "failing run")
    if not any(flip.detail for flip in shown):
        heads, rows = [head for head in heads if head != "judge"], [[*row[:5], row[6]] for row in rows]
    return Table(title, heads, rows, len(heads), notes)


# --- cells ------------------------------------------------------------------------------------------------


def rate(interval: Interval | None, *, sign: bool = False) -> str:
    """``61.0 % [48.2, 72.5]``."""
    if interval is None or not math.isfinite(interval.value):
        return _NONE
    form = "{:+.1f}" if sign else "{:.1f}"
    value = form.format(100 * interval.value + 0.0)
    if interval.low is None or interval.high is None:
        return f"{value} %"
    return f"{value} % [{form.format(100 * interval.low)}, {form.format(100 * interval.high)}]"


def _number(value: float | None, form: str = "{:,.1f}") -> str:
    return _NONE if value is None else form.format(value)


def _p(against: Comparison | None) -> str:
    p = against.p if against else None
    return _NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


_QUALITY: dict[str, Cell] = {
    "tasks": lambda group: str(group.tasks),
    "seeds": lambda group: str(group.seeds),
    "pass@1": lambda group: rate(group.passed),
    "score": lambda group: f"{group.score:.3f}",
    "Δ": lambda group: rate(group.against.difference, sign=True) if group.against else _NONE,
    "p": lambda group: _p(group.against),
    "failures removed": lambda group: rate(group.against.removed, sign=True) if group.against else _NONE,
    "gained": lambda group: str(len(group.against.gained)) if group.against else _NONE,
    "lost": lambda group: str(len(group.against.lost)) if group.against else _NONE,
}
_VARIED: dict[str, Cell] = {
    "common tasks": lambda group: str(group.varied.tasks) if group.varied else _NONE,
    "Δ": lambda group: rate(group.varied.difference, sign=True) if group.varied else _NONE,
    "p": lambda group: _p(group.varied),
    "gained": lambda group: str(len(group.varied.gained)) if group.varied else _NONE,
    "lost": lambda group: str(len(group.varied.lost)) if group.varied else _NONE,
}
_PAIRS: dict[str, Callable[[Pair], str]] = {
    "against": lambda pair: clean(pair.other),
    "common tasks": lambda pair: str(pair.against.tasks),
    "Δ": lambda pair: rate(pair.against.difference, sign=True),
    "p": lambda pair: _p(pair.against),
    "gained": lambda pair: str(len(pair.against.gained)),
    "lost": lambda pair: str(len(pair.against.lost)),
}
_COST: dict[str, Cell] = {
    "calls": lambda group: _number(group.calls),
    "tokens": lambda group: f"{group.tokens:,.0f}",
    "from cache": lambda group: f"{group.cached_tokens:,.0f}",
    "tokens a line": lambda group: _number(group.line_tokens),
    "seconds": lambda group: _number(group.seconds),
    "in the model": lambda group: _number(group.model_seconds),
    "usd": lambda group: money(group.usd),
}
_HONESTY: dict[str, Cell] = {
    "accepted": lambda group: f"{group.honesty.claims[0].runs} of {group.runs}",
    "precision": lambda group: rate(group.honesty.precision),
    "recall": lambda group: rate(group.honesty.recall),
    "rightly refused": lambda group: rate(group.honesty.rightly_refused),
    "failed and said so": lambda group: rate(group.honesty.knew),
    "failed and accepted": lambda group: rate(group.honesty.misled),
}


def _markdown(table: Table) -> Iterator[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    yield f"## {table.title}"
    yield ""
    yield line(table.heads)
    yield line(["---" if place < table.named else "---:" for place in range(len(table.heads))])
    yield from (line(row) for row in table.rows)
    for note in table.notes:
        yield ""
        yield note
