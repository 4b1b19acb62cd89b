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
from company.studio.shelf import Shelf
from company.studio.story import Story

if TYPE_CHECKING:
    from starlette.requests import Request

    from company.settings import Settings
    from company.store import Store
    from company.studio.processes import Begun

_MOST_FEEDS, _MOST_STORIES = 100, 12
"""That are kept when nobody looks."""

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
    shelf: Shelf = field(init=False)
    feeds: dict[str, Feed] = field(default_factory=dict)
    begun: dict[str, Begun] = field(default_factory=dict)
    """What was begun here, by its key: `processes.py`."""
    stopping: dict[str, int] = field(default_factory=dict)
    """Run → the process of it that was asked to stop."""
    _stories: dict[str, Story] = field(default_factory=dict)
    """Run → its story; that which was asked for last is the last."""
    inner: dict[Path, Desk] = field(default_factory=dict)
    """Of the workspaces in it that are looked at."""

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.store)

    def feed(self, name: str, make: Callable[[], Parts], every: float = 0.3) -> Feed:
        """The feed of a page: the same for all its viewers."""
        if name not in self.feeds:
            unwatched = [each for each, feed in self.feeds.items() if not feed.watched]
            for each in unwatched[: max(0, len(self.feeds) - _MOST_FEEDS)]:
                del self.feeds[each]  # who comes back gets the page whole
            self.feeds[name] = Feed(make, every)
        return self.feeds[name]

    def story(self, run: str) -> Story:
        """What is known of a run: the same for all who look at it.

        Raises:
            UsageError: there is no such run.
        """
        made = self._stories.pop(run, None) or Story(self.store, run)
        self._stories[run] = made
        for old in [*self._stories][:-_MOST_STORIES]:
            of_it = {name: feed for name, feed in self.feeds.items() if name.partition("?")[0] == f"run/{old}"}
            if not any(
                feed.watched for feed in of_it.values()
            ):  # they hold the story: another one beside it would know nothing
                del self._stories[old]
                for name in of_it:
                    del self.feeds[name]
        return made

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
