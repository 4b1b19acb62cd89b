"""What all pages of the studio share: the workspace and its store, the settings, and a feed for each page that is looked at.

Nothing here drives a run: one that is begun here is a process of its own, as if it had been typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from company.studio.feeds import Feed, Parts
from company.studio.shelf import Shelf

if TYPE_CHECKING:
    from starlette.requests import Request

    from company.settings import Settings
    from company.store import Store
    from company.studio.processes import Begun


@dataclass
class Desk:
    """One studio."""

    workspace: Path
    store: Store
    settings: Settings
    user_dir: Path | None
    """Folder of one's own procedures, roles and prompts; None where there is none."""
    shelf: Shelf = field(init=False)
    feeds: dict[str, Feed] = field(default_factory=dict)
    begun: dict[str, Begun] = field(default_factory=dict)
    """What was begun here, by its key: `processes.py`."""
    stopping: dict[str, int] = field(default_factory=dict)
    """Run → the process of it that was asked to stop."""

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.store)

    def feed(self, name: str, make: Callable[[], Parts], every: float = 0.3) -> Feed:
        """The feed of a page: the same for all its viewers."""
        if name not in self.feeds:
            self.feeds[name] = Feed(make, every)
        return self.feeds[name]

    def close(self) -> None:
        """End what viewers wait for: a server that ends would wait for them."""
        for feed in self.feeds.values():
            feed.close()


def desk_of(request: Request) -> Desk:
    """The studio that a request came to."""
    desk: Desk = request.app.state.desk
    return desk
