"""What all pages of the studio share: the workspace and its store, the settings, and a feed for each page that is looked at.

Nothing here drives a run: one that is begun here is a process of its own, as if it had been typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from company.store import Folder
from company.studio.feeds import Feed, Parts

if TYPE_CHECKING:
    from starlette.requests import Request

    from company.settings import Settings
    from company.store import Store

INNER = "company.desk"
"""Where a request says that it came to a studio inside."""
_MOST_INNER = 8


@dataclass
class Desk:
    """One studio."""

    workspace: Path
    store: Store
    settings: Settings
    user_dir: Path | None
    """Folder of one's own procedures, roles and prompts; None where there is none."""
    feeds: dict[str, Feed] = field(default_factory=dict)
    inner: dict[Path, Desk] = field(default_factory=dict)
    """Of the workspaces in it that are looked at."""

    def feed(self, name: str, make: Callable[[], Parts], every: float = 0.3) -> Feed:
        """The feed of a page: the same for all its viewers."""
        if name not in self.feeds:
            self.feeds[name] = Feed(make, every)
        return self.feeds[name]

    def inside(self, folder: Path) -> Desk:
        """The studio of a workspace inside this one, as each run of a measurement has one."""
        if folder not in self.inner:
            while len(self.inner) >= _MOST_INNER:
                self.inner.pop(next(iter(self.inner))).close()
            self.inner[folder] = Desk(folder, Folder(folder / ".company"), self.settings, self.user_dir)
        return self.inner[folder]

    def close(self) -> None:
        """End what viewers wait for: a server that ends would wait for them."""
        for feed in self.feeds.values():
            feed.close()
        for desk in self.inner.values():
            desk.close()


def desk_of(request: Request) -> Desk:
    """The studio that a request came to: the workspace's, or one inside it."""
    desk: Desk = request.scope.get(INNER) or request.app.state.desk
    return desk
