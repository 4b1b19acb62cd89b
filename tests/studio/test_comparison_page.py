"""Two runs side by side: a run and its redo with other code, by a scripted model."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml
from serving import serving

from company import wiring
from company.settings import Settings
from tests.engine.running import SAID, WRONG, start_said

EVIL = WRONG.replace("    return", "    # <script>window.pwned = 1</script> \x1b[2J\n    return")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A workspace, a run, and its redo with another prompt and a reply that is wrong."""
    with ThreadPoolExecutor(1) as beside:  # the browser's own loop runs in this thread
        return beside.submit(_make, tmp_path_factory.mktemp("compared")).result()


def _make(folder: Path) -> tuple[Path, str, str]:
    first, prompt = start_said(folder)
    prompt.write_text("{{ about }}\nsays </pre><b>{{ role.title }}</b>\n")
    (folder / "own.yaml").write_text(SAID.replace("deliver:", "limits: {calls: 9}\ndeliver:"))
    (folder / "script.yaml").write_text(yaml.safe_dump([{"step": "code", "reply": EVIL}]))
    second = asyncio.run(wiring.redo(folder / "ws", "out", Settings(), again=["code"], user_dir=folder))
    assert second.status == "unaccepted"
    return folder / "ws", first.run, second.run


@pytest.fixture(scope="module")
def address(two: tuple[Path, str, str]) -> Iterator[str]:
    with serving(two[0]) as address:
        yield address


def row(page: object, section: str, name: str) -> list[str]:
    """The cells of a row of a section's table."""
    head = page.locator("th", has_text=re.compile(f"^{re.escape(name)}$"))
    found = page.get_by_role("region", name=section).locator("tr", has=head)
    return [" ".join(cell.split()) for cell in found.first.locator("td").all_inner_texts()]


def test_two_runs_are_chosen_and_laid_side_by_side(page: object, address: str, two: tuple[Path, str, str]) -> None:
    _, first, second = two
    page.goto(address)
    page.get_by_role("link", name="Compare").click()
    page.get_by_label("First run").select_option(first)
    page.get_by_label("Second run").select_option(second)
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="Two runs").wait_for()
    assert page.url.endswith(f"compare?a={first}&b={second}")
    assert row(page, "What they came to", "status") == ["delivered", "unaccepted"]
    assert row(page, "What they came to", "accepted") == ["yes", "no"]
    assert row(page, "What they were asked", "limit calls")[1] == "9"
    assert "limits: {calls: 9}" in page.get_by_role("region", name="What they were asked").inner_text()
    assert "say.md.j2" in page.get_by_role("region", name="What they were asked").inner_text()
    assert row(page, "Steps", "design#1")[:2] == ["made", "kept"]
    assert row(page, "Steps", "code#1")[:2] == ["made", "made"]
    architect, engineer = (row(page, "What they cost", role) for role in ("architect", "engineer"))
    assert architect[0] == "2"
    assert "saved" in " ".join(architect[3:])
    assert engineer[0] == engineer[3] == "1"
    before, after = row(page, "Tests", "check#1")
    assert before != after
    delivered = page.get_by_role("region", name="What they delivered")
    delivered.get_by_text("shout.py", exact=True).first.wait_for()
    assert page.evaluate("window.pwned") is None
    link = page.get_by_role("region", name="Steps").get_by_role("link", name="kept").first
    assert link.get_attribute("href") == f"runs/{second}?open=design%231"
    page.get_by_role("link", name="The other way about").click()
    page.wait_for_url(f"**/compare?a={second}&b={first}")


def test_a_narrow_page_does_not_scroll_sideways(page: object, address: str, two: tuple[Path, str, str]) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for path in ("compare", f"compare?a={two[1]}&b={two[2]}"):
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_run_goes_back_to_another_in_its_repository(page: object, address: str, two: tuple[Path, str, str]) -> None:
    """The redo's history has the first run's commits, which name their run; the first run has none of the redo's."""
    _, first, second = two
    page.goto(f"{address}runs/{second}/repo")
    page.get_by_role("link", name="compare with the run it goes back to").click()
    page.get_by_role("heading", name="Two runs").wait_for()
    assert page.url.endswith(f"compare?a={first}&b={second}")
    page.goto(f"{address}runs/{second}/repo?path=shout.py")
    page.get_by_role("link", name="Engineer").first.click()
    newest = page.url.rpartition("/")[2]
    assert httpx.get(f"{address}runs/{second}/repo/commit/{newest}").status_code == 200
    assert httpx.get(f"{address}runs/{first}/repo/commit/{newest}").status_code == 404


@pytest.mark.parametrize("asked", ["a=nobody&b=out", "a=out&b=..%2f..", "a=out&b=%00", "a=%3Cscript%3E&b=out"])
def test_what_is_no_run_is_told(address: str, asked: str) -> None:
    answer = httpx.get(f"{address}compare?{asked}")
    assert answer.status_code == 404
    assert "<script>" not in answer.text.replace("<script src", "").replace("<script type", "")
    assert "there is no run" in answer.text


def test_a_run_beside_itself_differs_in_nothing(address: str, two: tuple[Path, str, str]) -> None:
    text = httpx.get(f"{address}compare?a={two[1]}&b={two[1]}").text
    for words in ("Both are the same run.", "The same procedure.", "No test came out otherwise.", "The same files."):
        assert words in text
