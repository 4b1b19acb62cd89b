"""The list of runs, in a browser."""

from pathlib import Path

from serving import company, serving


def test_a_run_that_ends_while_one_looks_appears_without_a_reload(page: object, tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        page.goto(address)
        page.get_by_text("No run yet.").wait_for()
        page.evaluate("window.kept = true")
        company("run", "Say hello", "--name", "hello", "--sop", "zero_shot", "--dry-run", workspace=tmp_path)
        page.get_by_role("link", name="hello").wait_for()
        page.locator("#runs .state", has_text="dry run").wait_for()
        assert page.evaluate("window.kept")
        page.goto("about:blank")


def test_the_colours_chosen_are_kept(page: object, studio: str) -> None:
    page.goto(studio)
    for _ in range(2):
        page.get_by_role("button", name="Colours").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark == "rgb(13, 17, 23)"
