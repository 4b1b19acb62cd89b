"""The page of one run, in a browser: watched from its first step to its end, joined late, killed, and a step opened beside it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from endpoints import Model, answering
from serving import serving

from company.events import Event, line
from tests.scripts_of import load

studio_made = load("studio")


@contextmanager
def begun(workspace: Path, *words: str, model: Model | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A run as a process of its own; killed if it is not over."""
    there = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "none"} if model else {}
    process = subprocess.Popen(
        [sys.executable, "-m", "company", "run", *words, "--headless", "--json", "--workspace", str(workspace)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **there},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


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
    words = ("A to-do list in a file", "--name", "todo", "--dry-run")
    with serving(tmp_path) as address, begun(tmp_path, *words) as process:
        page.goto(f"{address}runs/{run_of(tmp_path)}")
        assert page.locator("#run-state .state.dry-run").count() == 0
        page.evaluate(
            """() => { window.kept = true; window.seen = {};
            const look = () => { for (const each of document.querySelectorAll("#steps > li"))
              (window.seen[each.dataset.step] ??= new Set()).add(each.dataset.state); };
            document.addEventListener("part", look); look(); }"""
        )
        page.locator("#run-state .state.dry-run").wait_for(timeout=50_000)
        assert process.wait(30) == 0
        assert page.evaluate("window.kept")
        assert set(states(page).values()) == {"done"}
        seen = page.evaluate("[...(window.seen['verify.test'] ?? [])]")
        assert (seen[0], seen[-1]) == ("waiting", "done")  # a quick step may be over before a look finds it running
        lines = page.locator("#log li")
        assert lines.count() == len(journal_of(tmp_path, run_of(tmp_path)).read_text().splitlines())
        assert lines.last.inner_text().endswith("delivered")
        late = page.context.new_page()
        late.goto(page.url)
        watched = page.inner_text("#log"), states(page), page.inner_text("#run-used")
        assert (late.inner_text("#log"), states(late), late.inner_text("#run-used")) == watched
        for each in (page, late):
            each.goto("about:blank")


def journal_of(workspace: Path, run: str) -> Path:
    return workspace / ".company" / "runs" / run / "events.jsonl"


def test_a_reply_is_read_as_it_is_written_and_a_killed_run_says_so(page: object, tmp_path: Path) -> None:
    words = ("Say hello", "--name", "hello", "--sop", "zero_shot", "--model", "openai:m")
    with answering() as model, serving(tmp_path) as address:
        with begun(tmp_path, *words, model=model):
            run = run_of(tmp_path)
            page.goto(f"{address}runs/{run}?open=code")
            page.locator("#steps [data-step=code][data-state=running]").wait_for(timeout=30_000)
            live = page.locator("#turns .live")
            model.say("```python\n# <b>hello.py</b>\n")
            live.get_by_text("# <b>hello.py</b>").wait_for(timeout=30_000)
            page.wait_for_timeout(300)  # what comes sooner waits for the next piece
            model.say("print(" + "1 + " * 1500 + "1)\n")
            live.get_by_text("1 + 1)").wait_for()
            assert page.locator("#turns details", has_text="Prompt").count() == 1
            assert "Say hello" in page.locator("#turns details", has_text="Prompt").inner_html()
        page.locator("#run-state .state.interrupted").wait_for()
        assert "stopped or killed" in page.inner_text("#run-state")
        assert f"company resume {run} --workspace {tmp_path}" in page.inner_text("#run-state")
        assert states(page)["code"] == "stopped"
        page.locator("#turns .state.stopped").wait_for()
        page.goto("about:blank")


def test_after_the_server_comes_back_nothing_is_missed(browser: object, tmp_path: Path) -> None:
    """The browser asks again by itself and says what it has, of which the new server knows nothing."""
    page = browser.new_page()  # one that may complain of the server being away
    made = studio_made.lay_out(tmp_path, 250)
    journal = studio_made.journal(tmp_path)
    with studio_made.studio(tmp_path) as address:
        page.goto(f"{address}runs/{studio_made.RUN}")
        append(journal, made, 30)
        page.locator("#ev-279").wait_for()
        page.evaluate("window.kept = true")
    append(journal, made, 130)
    with studio_made.studio(tmp_path, int(address.split(":")[2].split("/")[0])):
        page.locator("#ev-409").wait_for()
        append(journal, made, 5)
        page.locator("#ev-414").wait_for()
        order = page.eval_on_selector_all("#log li", "all => all.map(each => Number(each.id.slice(3)))")
        assert order == [*range(415)]
        assert page.evaluate("window.kept")
        page.close()


def test_two_thousand_events_stay_smooth(page: object, tmp_path: Path) -> None:
    made = studio_made.lay_out(tmp_path, 2000)
    journal = studio_made.journal(tmp_path)
    with studio_made.studio(tmp_path) as address:
        page.goto(f"{address}runs/{studio_made.RUN}")
        assert page.locator("#log li").count() == 2000
        log = page.locator("#log")
        at_end = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 24"
        assert log.evaluate(at_end)
        page.wait_for_timeout(1200)
        page.evaluate(
            """() => { window.parts = []; window.long = 0;
            document.addEventListener("part", ({ detail }) => window.parts.push(detail));
            new PerformanceObserver((list) => { for (const each of list.getEntries()) window.long = Math.max(window.long, each.duration); })
              .observe({ entryTypes: ["longtask"] }); }"""
        )
        append(journal, made, 150)
        page.locator("#ev-2149").wait_for()
        assert log.evaluate(at_end), "it follows"
        parts = page.evaluate("window.parts")
        assert sum(part.startswith("ev-") for part in parts) == 150
        assert len(parts) < 150 + 40, "what has not changed is not sent again"
        assert page.evaluate("window.long") < 1000
        log.evaluate("log => { log.scrollTop = 500; }")
        page.locator("#to-end").wait_for()
        append(journal, made, 20)
        page.locator("#ev-2169").wait_for(state="attached")
        assert log.evaluate("log => log.scrollTop") < 1000, "who reads further up stays there"
        page.locator("#to-end").click()
        assert log.evaluate(at_end)
        page.locator("#to-end").wait_for(state="hidden")
        page.select_option("#filter", "verify.test")
        page.wait_for_url("**step=verify.test*")
        append(journal, made, 14)
        page.locator("#ev-2183").wait_for(state="attached")
        shown = page.eval_on_selector_all(
            "#log li", "all => all.filter(each => each.checkVisibility()).map(each => each.dataset.step)"
        )
        assert set(shown) == {"verify.test"}
        page.goto("about:blank")


def append(journal: Path, made: Iterator[Event], many: int) -> None:
    """The next events of a run."""
    with journal.open("ab") as file:
        for _ in range(many):
            file.write(line(next(made)) + b"\n")


def test_a_damaged_line_is_passed_over(page: object, workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path / "copy")
    journal = journal_of(tmp_path / "copy", run_of(workspace))
    lines = journal.read_text().splitlines()
    whole = len(lines)
    lines[3:3] = [
        '{"event": "step_sta',
        "null",
        '{"event": "verdict", "time": "soon"}',
        '{"event": "notice", "text": "x"}',
        "\0\0",
    ]
    journal.write_text("\n".join(lines) + "\n" + '{"event": "notice", "time": 1, "te')
    with serving(tmp_path / "copy") as address:
        page.goto(f"{address}runs/{journal.parent.name}")
        assert page.locator("#log li").count() == whole
        assert set(states(page).values()) == {"done"}
        page.goto("about:blank")


def test_a_run_that_does_not_exist_is_an_error_that_says_so(browser: object, studio: str) -> None:
    page = browser.new_page()
    for path in ("runs/nothing", "runs/nothing/live", "runs/..%2f..", "runs/nothing?open=code"):
        assert page.goto(f"{studio}{path}").status in (403, 404), path
    page.goto(f"{studio}runs/nothing")
    assert "there is no run `nothing` here" in page.inner_text("[role=alert]")
    page.close()


def test_a_step_opens_by_click_by_keyboard_and_by_address(page: object, studio: str, workspace: Path) -> None:
    run = run_of(workspace)
    page.goto(f"{studio}runs/{run}")
    page.evaluate("window.kept = true")
    page.locator(".company-sop a[data-step=design]").click()
    title = page.locator("#panel .opened-title")
    title.get_by_text("design#1").wait_for()
    assert page.evaluate("document.activeElement.className") == "opened-title"
    assert page.url.endswith("?open=design")
    assert page.locator("#panel-left .piece").count() == 1
    page.keyboard.press("Escape")
    page.locator("#panel").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.getAttribute('data-step')") == "design"
    box = page.locator(".company-sop a[data-step='verify.test']")
    box.focus()
    page.keyboard.press("Enter")
    title.get_by_text("verify.test#2").wait_for()
    page.locator("#panel nav a", has_text="#1").click()
    title.get_by_text("verify.test#1").wait_for()
    page.go_back()
    title.get_by_text("verify.test#2").wait_for()
    page.go_back()
    page.locator("#panel").wait_for(state="hidden")
    page.go_forward()
    title.get_by_text("verify.test#2").wait_for()
    assert page.evaluate("window.kept")
    page.reload()
    assert "verify.test#2" in title.inner_text()
    page.locator("#panel-made a", has_text="design#1").click()
    title.get_by_text("design#1").wait_for()
    page.goto("about:blank")


def test_it_can_be_read_without_javascript(browser: object, studio: str, workspace: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{studio}runs/{run_of(workspace)}")
    everything = page.locator("#log li").count()
    page.locator("#steps a", has_text="prd").click()
    assert "prd#1" in page.inner_text("#panel .opened-title")
    assert page.locator("#turns details", has_text="Prompt").count() == 1
    page.select_option("#filter", "verify")
    page.get_by_role("button", name="Show").click()
    assert "prd#1" in page.inner_text("#panel .opened-title")
    assert 0 < page.locator("#log li").count() < everything
    assert all(
        step.startswith("verify")
        for step in page.eval_on_selector_all("#log li", "all => all.map(each => each.dataset.step)")
    )
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_window(page: object, studio: str, workspace: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for opened in ("", "?open=prd", "?open=verify.test", "?open=code", "?open=tests"):
        page.goto(f"{studio}runs/{run_of(workspace)}{opened}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, opened
    page.goto("about:blank")


def test_the_report_is_kept_and_never_shown(studio: str, workspace: Path) -> None:
    (run,) = (path.name for path in (workspace / ".company/runs").iterdir())
    answer = httpx.get(f"{studio}runs/{run}/report")
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{run}.html"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "A to-do list in a file" in answer.text
    assert "<script" not in answer.text


def test_the_journal_can_be_taken_away_as_it_is(studio: str, workspace: Path) -> None:
    (folder,) = (workspace / ".company/runs").iterdir()
    answer = httpx.get(f"{studio}runs/{folder.name}/journal")
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{folder.name}.jsonl"
    assert answer.content == (folder / "events.jsonl").read_bytes()


def test_lines_of_the_log_are_looked_for_by_words(page: object, studio: str, workspace: Path) -> None:
    (run,) = (path.name for path in (workspace / ".company/runs").iterdir())
    page.goto(f"{studio}runs/{run}")
    page.get_by_role("searchbox", name="Words in the log").fill("commit QA")
    page.keyboard.press("Enter")
    page.wait_for_url("**words=commit+QA**")
    lines = page.locator("#log li").all_inner_texts()
    assert lines
    assert all("commit" in each and "QA" in each for each in lines)
    page.locator("#steps a", has_text="prd").click()
    page.locator("#panel .close").click()
    page.wait_for_selector("#panel", state="hidden")
    assert "words=commit+QA" in page.url
    assert page.get_by_role("searchbox", name="Words in the log").input_value() == "commit QA"
    page.locator("#steps a", has_text="prd").click()
    page.locator("#panel .opened-title").wait_for()
    page.get_by_role("searchbox", name="Words in the log").fill("no such words")
    page.keyboard.press("Enter")
    page.wait_for_url("**words=no+such+words**")
    assert page.locator("#panel .opened-title").inner_text().startswith("prd"), "what was open stays"
    page.get_by_text("No line fits.").get_by_role("link").click()
    page.wait_for_url("**?open=prd")
    assert page.locator("#log li").count() > 9


def test_the_time_of_each_step_leads_to_it(page: object, studio: str, workspace: Path) -> None:
    (run,) = (path.name for path in (workspace / ".company/runs").iterdir())
    page.goto(f"{studio}runs/{run}")
    assert page.locator("#when li .one").all_inner_texts()[:2] == ["prd", "design"]
    page.locator("#when li", has_text="verify.test").locator("rect").last.click()
    assert page.locator("#panel .opened-title").inner_text().startswith("verify.test#2")
