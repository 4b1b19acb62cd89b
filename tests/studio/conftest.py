"""The studio as its users have it: `company serve` as a process of its own, and a real browser that looks at it.

`page` fails a test at its end if the browser complained about anything, or asked any other address than the studio's.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import company, serving

CHROMIUM = shutil.which("chromium") or ""


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one finished dry run of the waterfall. Tests only read it."""
    folder = tmp_path_factory.mktemp("studio")
    made = company("run", "A to-do list in a file", "--name", "todo", "--dry-run", "--headless", workspace=folder)
    assert made["status"] == "delivered", made
    return folder


@pytest.fixture(scope="session")
def studio(workspace: Path) -> Iterator[str]:
    """The address of a studio of `workspace`."""
    with serving(workspace) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium; not for longer than a module, since while it is there no other test can run an event loop."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed: scripts/browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: object) -> Iterator[object]:
    """An empty page, 1440 pixels wide."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(15_000)
    made = context.new_page()

    def hear(said: object) -> None:
        refused = any(f"status of {status} " in said.text for status in (409, 422))  # a form that is shown again
        if said.type in ("error", "warning") and not refused:
            complaints.append(said.text)

    made.on("console", hear)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on(
        "request",
        lambda asked: None if asked.url.startswith("http://127.0.0.1:") else complaints.append(f"asked {asked.url}"),
    )
    yield made
    context.close()
    assert not complaints
