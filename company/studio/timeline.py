"""When each step of a run was at work: a bar for each execution on one scale of time, one row for each step, in the order in which they began.

The time between two sittings, in which nobody drove the run, is left out. What is known of the run: `story.py`; the page: `run_page.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from company.studio.pages import render
from company.studio.story import Story
from company.terminal import duration

_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds between two marks of the scale."""
_MOST_TICKS = 6
_GROWTH = 1.25
"""A run that goes on outgrows its scale by this factor, so that rows are seldom made anew for the scale's sake."""
_NEAREST = 0.2
"""Percent of the scale between two marks of sittings."""
_MOST_LANES = 6
"""Bars side by side in one row; what is beside more than those is drawn over the last."""
_MOST_BARS = 60
"""Bars of a row that can be pointed at; more are drawn as one shape for each state."""


class Bar(NamedTuple):
    """One execution; `at` and `width` are shares of the scale in percent."""

    ident: str
    state: str
    at: float
    width: float
    lane: int
    since: float
    """When what is under way began, by the server's clock; 0 when it is over."""
    told: str


class _Span(NamedTuple):
    ident: str
    began: float
    ended: float
    """Both in seconds of work since the run began."""
    is_open: bool
    """Whether it is of the newest sitting, and nothing says that it ended."""


def lanes(spans: Iterable[tuple[float, float]]) -> Iterator[int]:
    """The first lane that is free for each of these, which are in the order of their beginnings."""
    ends: list[float] = []
    for began, ended in spans:
        lane = next((number for number, end in enumerate(ends) if end <= began), min(len(ends), _MOST_LANES - 1))
        if lane == len(ends):
            ends.append(ended)
        ends[lane] = max(ends[lane], ended)
        yield lane


def _apart(places: Iterable[float]) -> list[float]:
    """These, in their order, without those that would be drawn over the one before."""
    found: list[float] = []
    for at in places:
        if not found or at - found[-1] >= _NEAREST:
            found.append(at)
    return found


def ticks(scale: float) -> list[tuple[float, str]]:
    """Where the scale has marks, in percent, and what they say."""
    every = next((each for each in _TICKS if scale / each <= _MOST_TICKS), _TICKS[-1] * max(1, round(scale / 5e5)))
    return [(100 * at / scale, duration(at)) for at in range(0, int(scale) + 1, every)]


class Timeline:
    """The parts `when-axis` and `when-N`; whoever calls it holds the story's lock."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._axis: tuple[float, int] = 0.0, 0
        """The scale in seconds, and how many sittings there were."""
        self._rows: dict[str, tuple[int, object]] = {}
        """Path of a step → its number, and how things stood when its row was made."""

    def __call__(self, now: float) -> dict[str, str]:
        """What has changed since the last call.

        Args:
            now: seconds since the epoch.
        """
        story, fold, made = self._story, self._story.fold, dict[str, str]()
        whole, (scale, _) = fold.worked, self._axis
        if story.is_live and fold.events:
            whole += max(0.0, now - fold.events[-1]["time"])  # another machine's clock may be ahead
        if not story.is_live:
            scale = max(whole, 0.1)
        while whole > scale or not scale:
            scale = max(10.0, scale * _GROWTH)
        if self._axis != (scale, len(fold.sittings)):
            self._axis = scale, len(fold.sittings)
            resumed = _apart(100 * at / scale for at in fold.sittings[1:])
            made["when-axis"] = render("run_when_axis.html.j2", scale=scale, ticks=ticks(scale), resumed=resumed)
        for path, idents in fold.by_step.items():
            step = story.steps.get(path)
            if step and step.body:
                continue
            number, stood = self._rows.get(path, (len(self._rows), None))
            stands = (story.touched(path), story.is_live, *self._axis)
            if stands != stood:
                self._rows[path] = number, stands
                made[f"when-{number}"] = self._row(number, path, [*self._spans(idents, whole)], now - whole)
        return made

    def gone(self) -> dict[str, str]:
        """The journal is another one: the rows that there are no more."""
        gone = {f"when-{number}": "" for number, _ in self._rows.values()}
        self._rows, self._axis = {}, (0.0, 0)
        return gone

    def _spans(self, idents: Iterable[str], whole: float) -> Iterator[_Span]:
        ends = [*self._story.fold.sittings[1:], whole]
        for ident in idents:
            sitting, began, ended = self._story.fold.times[ident]
            is_open = ended is None and sitting == len(ends) - 1
            yield _Span(ident, began, ends[sitting] if ended is None else ended, is_open)

    def _row(self, number: int, path: str, spans: list[_Span], begin: float) -> str:
        bars = [*self._bars(spans, begin)]
        shapes: dict[str, dict[str, None]] = {}
        if len(bars) > _MOST_BARS:
            for bar in bars:
                drawn = f"M{bar.at:.1f} {bar.lane * 14 + 7}h{max(bar.width, 0.15):.2f}"
                shapes.setdefault(bar.state, {})[drawn] = None  # thousands fall on one another
        used = sum(span.ended - span.began for span in spans)
        going = {bar.ident for bar in bars if bar.since}
        over = (
            sum(span.ended - span.began for span in spans if span.ident not in going) if going and not shapes else None
        )
        return render(
            "run_when.html.j2", number=number, path=path.removesuffix(".do"), bars=[] if shapes else bars, shapes={s: "".join(p) for s, p in shapes.items()},
            lanes=1 + max(bar.lane for bar in bars), used=used, over=over, times=len(bars), run=self._story.run,
        )  # fmt: skip

    def _bars(self, spans: list[_Span], begin: float) -> Iterator[Bar]:
        """Of a row; `begin` is when the run would have begun, had it gone on until now without a pause."""
        story, (scale, _) = self._story, self._axis
        spans.sort(key=lambda span: span.began)
        for span, lane in zip(spans, lanes((span.began, span.ended) for span in spans), strict=True):
            state, long = story.how(span.ident), span.ended - span.began
            goes_on = span.is_open and story.is_live and state in ("running", "waits")
            since = round(begin + span.began, 3) if goes_on else 0.0
            said = f"{span.ident.removesuffix('#1')}: {state}, {duration(long)}, after {duration(span.began)}"
            yield Bar(span.ident, state, 100 * span.began / scale, 100 * long / scale, lane, since, said)
