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


def test_pages_that_nobody_sees_keep_no_connection_from_others(page: object, tmp_path: Path) -> None:
    hide = "Object.defineProperty(document, 'hidden', { get: () => window.away ?? true, configurable: true })"
    with serving(tmp_path) as address:
        others = [page.context.new_page() for _ in range(9)]
        for other in others:
            other.add_init_script(hide)
            other.goto(address)
        page.goto(address)  # a browser has six connections to one address
        company("run", "Say hello", "--name", "hello", "--sop", "zero_shot", "--dry-run", workspace=tmp_path)
        page.get_by_role("link", name="hello").wait_for()
        assert others[0].get_by_role("link", name="hello").count() == 0
        others[0].evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        others[0].get_by_role("link", name="hello").wait_for()
        for each in (page, *others):
            each.goto("about:blank")


def test_runs_are_looked_for_a_page_at_a_time(page: object, tmp_path: Path) -> None:
    company("run", "Say hello", "--name", "first", "--sop", "zero_shot", "--dry-run", workspace=tmp_path)
    runs = tmp_path / ".company" / "runs"
    (one,) = runs.iterdir()
    request, journal = (one / "request.json").read_text(), (one / "events.jsonl").read_text()
    for number in range(120):
        run = f"20250101-0000{number % 60:02}-{number:03}abcdef"
        (runs / run).mkdir()
        text = request.replace(one.name, run).replace('"first"', f'"copy-{number}"')
        if number % 40 == 0:
            text = text.replace('"zero_shot"', '"waterfall"').replace("Say hello", "<b>Shout & cry</b>")
        (runs / run / "request.json").write_text(text)
        (runs / run / "events.jsonl").write_text(journal.replace(one.name, run))
    with serving(tmp_path) as address:
        page.goto(address)
        assert "121 runs" in page.locator("#summary").inner_text()
        assert page.locator("#runs tbody tr").count() == 50
        page.get_by_role("link", name="Older").click()
        page.get_by_role("link", name="Older").click()
        assert page.locator("#runs tbody tr").count() == 21
        assert "page 3 of 3" in page.locator(".pages").inner_text()
        page.get_by_role("searchbox").fill("shout CRY")
        page.get_by_label("Procedure").select_option("waterfall")
        page.get_by_role("button", name="Find").click()
        assert "3 of 121 runs" in page.locator("#summary").inner_text()
        assert page.locator("#runs tbody tr").count() == 3
        assert "<b>Shout & cry</b>" in page.locator("#runs .cut").first.inner_text()
        assert page.get_by_label("Procedure").input_value() == "waterfall"
        page.get_by_label("Status").select_option("failed")
        page.get_by_role("button", name="Find").click()
        page.get_by_text("No run fits that.").wait_for()
        page.goto("about:blank")
