"""The first page: the runs of the workspace, live and past, as far as they fit what is looked for, a page at a time.

To begin one: `starting.py`. One run: `run_page.py`. What is known of the runs: `shelf.py`. The same list on a terminal: `company runs`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.routing import Route

from company.studio.desk import Desk, desk_of
from company.studio.pages import page, render, stream

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response

    from company.studio.feeds import Feed, Parts
    from company.studio.shelf import Entry

_EVERY = 1.0
"""Seconds between two looks at the list."""
_PAGE = 50
"""Runs on a page."""
_STATES = {
    "running": "running", "waits": "waits for you", "delivered": "delivered", "unaccepted": "unaccepted", "failed": "failed",
    "limited": "limited", "interrupted": "interrupted", "dry run": "dry run", "damaged": "damaged",
}  # fmt: skip
_LONGEST = 200
"""Characters of a text that is looked for."""


@dataclass(frozen=True)
class Wanted:
    """Which runs are looked for; empty: any."""

    status: str = ""
    sop: str = ""
    text: str = ""
    """In id, name, requirement and model, whatever its case; every word of it."""
    page: int = 1

    @classmethod
    def of(cls, query: QueryParams) -> Wanted:
        """As an address has it; what makes no sense is as if it were not there."""
        number = query.get("page", "")
        status = query.get("status", "")
        return cls(
            status if status in _STATES else "",
            query.get("sop", "")[:_LONGEST],
            query.get("text", "")[:_LONGEST].strip(),
            max(1, int(number)) if number.isascii() and number.isdecimal() and len(number) < 9 else 1,
        )

    def fits(self, entry: Entry) -> bool:
        """Whether a run is one of these."""
        record = entry.record
        if (self.status and entry.shown != self.status) or (self.sop and record.sop != self.sop):
            return False
        said = f"{record.run} {record.name} {record.requirement} {record.model}".casefold()
        return all(word in said for word in self.text.casefold().split())

    def query(self, **changes: object) -> str:
        """As an address has it, below its ``?``."""
        fields = {"status": self.status, "sop": self.sop, "text": self.text, "page": self.page, **changes}
        return urlencode({name: value for name, value in fields.items() if value and (name, value) != ("page", 1)})

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.status or self.sop or self.text)


def _feed(desk: Desk, wanted: Wanted) -> Feed:
    def make() -> Parts:
        every = desk.shelf.entries()
        found = [entry for entry in every if wanted.fits(entry)]
        pages = max(1, -(-len(found) // _PAGE))
        number = min(wanted.page, pages)
        shown = found[(number - 1) * _PAGE : number * _PAGE]
        table = render("runs_table.html.j2", entries=shown, wanted=wanted, number=number, pages=pages, states=_STATES)
        return {
            "summary": render("runs_summary.html.j2", counts=_counts(every), found=len(found), wanted=wanted),
            "runs": table,
        }

    return desk.feed(f"runs?{wanted.query()}", make, _EVERY)


def _counts(entries: Iterable[Entry]) -> dict[str, int]:
    """Status → how many runs have it; ``all`` has their number."""
    counts = {"all": 0, "running": 0, "waits": 0}
    for entry in entries:
        counts["all"] += 1
        counts[entry.shown] = counts.get(entry.shown, 0) + 1
    return counts


async def runs(request: Request) -> Response:
    """The list."""
    desk, wanted = desk_of(request), Wanted.of(request.query_params)
    feed = _feed(desk, wanted)
    parts = await feed.look()
    entries = await asyncio.to_thread(desk.shelf.entries)
    sops = sorted({entry.record.sop for entry in entries} | ({wanted.sop} if wanted.sop else set()))
    return page(
        request, "runs.html.j2", parts=parts, version=feed.version, workspace=str(desk.workspace), wanted=wanted, sops=sops, states=_STATES
    )  # fmt: skip


async def live(request: Request) -> Response:
    """The list's changes."""
    return stream(request, _feed(desk_of(request), Wanted.of(request.query_params)))


ROUTES = [Route("/", runs), Route("/live", live)]
