"""The page of one run, in a browser: watched from its first step to its end, joined late, killed, and gone on with."""

import subprocess
import sys
import time
from pathlib import Path

from serving import serving


def begin(workspace: Path, *words: str) -> subprocess.Popen[bytes]:
    """A run as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "company", "run", *words, "--headless", "--json", "--workspace", str(workspace)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def run_of(workspace: Path, within: float = 60) -> str:
    """The id of the only run, as soon as there is one."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if found := [*(workspace / ".company" / "runs").glob("*/request.json")]:
            return found[0].parent.name
        time.sleep(0.02)
    raise AssertionError("no run began")


def states(page: object) -> dict[str, str]:
    """Step → how it stands, in the list and in the picture, which must say the same."""
    listed = page.eval_on_selector_all("#steps > li", "all => all.map(each => [each.dataset.step, each.dataset.state])")
    drawn = page.eval_on_selector_all(
        ".company-sop a.step", "all => all.map(each => [each.dataset.step, each.getAttribute('class').split(' ')[1]])"
    )
    assert {path: state for path, state in drawn if not path.endswith(".do")} == dict(listed)
    return dict(listed)


def test_a_run_is_watched_from_its_first_step_to_its_end(page: object, tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        page.goto(address)
        process = begin(tmp_path, "A to-do list in a file", "--name", "todo", "--dry-run")
        page.goto(f"{address}runs/{run_of(tmp_path)}")
        assert "delivered" not in page.inner_text("#run-state")
        page.evaluate(
            """() => { window.kept = true; window.seen = {};
            document.addEventListener("part", () => { for (const each of document.querySelectorAll("#steps > li"))
              (window.seen[each.dataset.step] ??= new Set()).add(each.dataset.state); }); }"""
        )
        page.locator("#run-state .state.delivered").wait_for()
        assert process.wait(30) == 0
        assert page.evaluate("window.kept")
        assert set(states(page).values()) == {"done"}
        seen = page.evaluate("[...(window.seen['verify.test'] ?? [])]")
        assert "running" in seen, seen
        journal = next((tmp_path / ".company" / "runs").glob("*/events.jsonl"))
        lines = page.locator("#log li")
        assert lines.count() == len(journal.read_text().splitlines())
        assert lines.last.inner_text().endswith("delivered")
        late = page.context.new_page()
        late.goto(page.url)
        watched = page.inner_text("#log"), states(page), page.inner_text("#run-used")
        assert (late.inner_text("#log"), states(late), late.inner_text("#run-used")) == watched
        for each in (page, late):
            each.goto("about:blank")
