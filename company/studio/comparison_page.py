"""Two runs side by side: what they were asked, what they came to and cost, their steps, tests and files.

What differs: `company/differences.py`. The same on a terminal: `cli_diff.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from starlette.routing import Route

from company import records, sides
from company.differences import FileChange, Side, difference
from company.html import diff_html
from company.studio.desk import desk_of
from company.studio.pages import page, path_to

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from company.differences import StepPair
    from company.records import RunRecord
    from company.report import Sums

_MOST_LISTED = 500
"""Runs to choose from."""
_MOST_STEPS, _MOST_TESTS, _MOST_FILES = 600, 200, 100
_MOST_HTML = 3_000_000
"""Characters of all differences of files."""
_ASKED_TEXTS = ("sop", "input requirement")
"""What `differences.py` calls the texts that have a place of their own here."""


class Row(NamedTuple):
    """Something in each of the two runs; `differs` where it is not the same."""

    name: str
    before: str
    after: str

    @property
    def differs(self) -> bool:
        return self.before != self.after


class Cost(NamedTuple):
    """What a role or a step used in each run; None where it was not at work."""

    name: str
    before: Sums | None
    after: Sums | None

    @property
    def more(self) -> int:
        """Tokens that the second run paid for beyond the first."""
        return tokens(self.after) - tokens(self.before)


class Step(NamedTuple):
    """A step in each run, with the addresses that show it."""

    pair: StepPair
    links: tuple[str, str]
    said: str


class File(NamedTuple):
    """A file that differs."""

    change: FileChange
    html: str
    said: str
    """Why the difference is not shown; empty where it is."""


def tokens(sums: Sums | None) -> int:
    """That were paid for."""
    return sums.prompt_tokens + sums.completion_tokens if sums else 0


def compare(request: Request) -> Response:
    """The page; without two runs it is the choice alone."""
    desk = desk_of(request)
    one, two = (request.query_params.get(name, "") for name in ("a", "b"))
    listed = desk.shelf.entries()[:_MOST_LISTED]
    if not one or not two:
        return page(request, "comparison_choice.html.j2", listed=listed, one=one, two=two)
    both = records.find(desk.store, one), records.find(desk.store, two)
    left, right = (sides.side(desk.store, record) for record in both)
    values = _compared(left, right, both)
    return page(
        request,
        "comparison.html.j2",
        listed=listed,
        one=both[0].run,
        two=both[1].run,
        runs=both,
        tokens=tokens,
        **values,
    )


def _compared(one: Side, two: Side, both: tuple[RunRecord, RunRecord]) -> dict[str, Any]:
    found = difference(one, two)
    asked = [
        Row(pair.name, *(sides.asked(pair.name, value) for value in (pair.before, pair.after))) for pair in found.asked
    ]
    numbers = [Row(*number) for number in sides.numbers(found.numbers)]
    ingredients = [change for change in found.files if change.group == "asked" and change.path not in _ASKED_TEXTS]
    delivered = [change for change in found.files if change.group != "asked"]
    steps = [*_steps(found.steps, both)]
    ways = [step.pair.after.how for step in steps if step.pair.after]
    return {
        "asked": asked, "numbers": numbers,
        "requirement": _requirement(one), "requirement_diff": _differing(_requirement(one), _requirement(two), "requirement"),
        "procedure_diff": _differing(_procedure(one), _procedure(two), f"{both[1].sop}.yaml"),
        "ingredients": [*_files(ingredients, one.library, two.library)],
        "verdicts": [*_verdicts(one, two)],
        "tests": [Row(pair.name, pair.before or "not there", pair.after or "not there") for pair in found.tests[:_MOST_TESTS]],
        "more_tests": len(found.tests) - _MOST_TESTS,
        "roles": [*_costs(one.report.by_role, two.report.by_role)],
        "by_step": [*_costs(one.report.by_step, two.report.by_step)],
        "steps": steps[:_MOST_STEPS], "more_steps": len(steps) - _MOST_STEPS,
        "ways": [(how, ways.count(how)) for how in dict.fromkeys(ways)],
        "delivered": [*_files(delivered, one.files, two.files)],
    }  # fmt: skip


def _requirement(side: Side) -> str:
    return str(side.request.inputs.get("requirement", ""))


def _procedure(side: Side) -> str | None:
    return side.library.get(records.own_file(side.request.sop))


def _differing(before: str | None, after: str | None, name: str) -> str:
    return "" if before == after else diff_html(before, after, name)


def _verdicts(one: Side, two: Side) -> Iterator[Row]:
    """Every run of the tests: what came out, in one line."""
    before, after = ({ident: said for ident, (said, _) in side.report.verdicts.items()} for side in (one, two))
    for ident in dict.fromkeys((*before, *after)):
        yield Row(ident, before.get(ident, "not run"), after.get(ident, "not run"))


def _costs(before: Iterable[Sums], after: Iterable[Sums]) -> Iterator[Cost]:
    one, two = ({sums.name: sums for sums in each} for each in (before, after))
    for name in dict.fromkeys((*one, *two)):
        yield Cost(name, one.get(name), two.get(name))


def _steps(pairs: Iterable[StepPair], both: tuple[RunRecord, RunRecord]) -> Iterator[Step]:
    for pair in pairs:
        links = tuple(
            f"{path_to('runs', record.run)}?{urlencode({'open': pair.id})}" if execution else ""
            for record, execution in zip(both, (pair.before, pair.after), strict=True)
        )
        said = pair.after.why if pair.after else ""
        if not said and pair.differs:
            said = f"not the same: {', '.join(pair.differs)}"
        yield Step(pair, (links[0], links[1]), said)


def _files(changes: Iterable[FileChange], before: Any, after: Any) -> Iterator[File]:
    """Each with its difference, as far as there is room."""
    room = _MOST_HTML
    for number, change in enumerate(changes):
        if not change.diff:
            yield File(change, "", "no text, and it differs")
        elif number >= _MOST_FILES or room <= 0:
            yield File(change, "", "not shown: there are too many")
        else:
            html = diff_html(_text(before, change.path), _text(after, change.path), change.path)
            room -= len(html)
            yield File(change, html, "")


def _text(tree: Any, path: str) -> str | None:
    found = tree.get(path)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


ROUTES = [Route("/compare", compare)]
