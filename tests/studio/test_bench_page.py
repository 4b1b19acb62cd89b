"""Results of measurements in the studio: one real measurement, and rows that no run made beside it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
import yaml
from serving import serving

from company.bench.rows import read
from tests.bench.made_rows import SECRET, row, rows_of
from tests.bench.tiny import TWICE, make

EVIL = "<script>window.pwned = 1</script>\x1b[31m"


def run_of(workspace: Path) -> tuple[str, str]:
    """Below which address the pages of the only real run are, and its id."""
    (home,) = (path.parent for path in workspace.glob("bench/set/zero_shot/*/.company"))
    return f"bench/of/set/zero_shot/{home.name}/", next((home / ".company/runs").iterdir()).name


def put(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    keyed = (made | {"key": str(number)} for number, made in enumerate(rows))
    (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(made)}\n" for made in keyed))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which zero_shot was measured on one task, and files with rows of other procedures."""
    folder = tmp_path_factory.mktemp("measured")
    name, _ = make(folder, "token")
    (folder / "one.yaml").write_text(
        yaml.safe_dump([{"step": "code", "reply": f"`solution.py`\n```python\n{TWICE}```"}])
    )
    done = subprocess.run(
        [sys.executable, "-m", "company", "bench", name, "--split", "all", "--model", "script:one.yaml", "--plain"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bench = folder / "workspace/bench"
    (made,) = (dict(each) for each in read(bench / "RESULTS.jsonl"))
    assert made["passed"], made
    elsewhere = {"workspace": "/elsewhere/bench/../../x", "run": "../../x"}
    put(bench, "beside", [
        made, made | elsewhere | {"sop": "waterfall", "passed": False, "score": 0.0, "failure": "wrong value", "accepted": True},
    ])  # fmt: skip
    put(bench, "made", [
        *rows_of("zero_shot", "++--" * 5), *rows_of("waterfall", "-+++" * 5), row(EVIL, EVIL, False, model=EVIL, failure=EVIL, dataset=EVIL),
        *rows_of("zero_shot", "+-", split="dev"), *rows_of("waterfall", "-+", split="dev"),
    ])  # fmt: skip
    (bench / "damaged.jsonl").write_text('{"key": 1\n[]\n\n')
    return folder / "workspace"


@pytest.fixture(scope="module")
def address(measured: Path) -> Iterator[str]:
    with serving(measured) as address:
        yield address


def test_a_measurement_is_read_down_to_its_runs(page: object, address: str, measured: Path) -> None:
    page.goto(address)
    page.get_by_role("link", name="Benchmarks").click()
    page.get_by_role("link", name="beside").click()
    page.get_by_role("heading", name="Quality").wait_for()
    quality = page.get_by_role("region", name="Quality")
    cells = quality.locator("tr", has_text="zero_shot").locator("td").all_inner_texts()
    assert any(cell.startswith("100.0 %") for cell in cells), cells
    page.get_by_role("heading", name="What the company says of its own work").wait_for()
    page.get_by_text("The test half of set has been looked at 1 time").wait_for()
    picture = page.locator("figure img").first
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 960
    lost = page.get_by_role("region", name="Tasks that went the other way")
    lost.get_by_text("1 lost").wait_for()
    assert lost.get_by_text("company show ../../x --workspace /elsewhere").count() == 1
    address, run = run_of(measured)
    assert lost.get_by_role("link", name="the one that passed").get_attribute("href") == f"{address}runs/{run}"
    page.get_by_text("All runs: set").click()
    assert page.get_by_role("link", name="passed, seed 1").get_attribute("href") == f"{address}runs/{run}"


def test_a_run_of_a_measurement_has_the_pages_of_any_run(page: object, address: str, measured: Path) -> None:
    below, run = run_of(measured)
    inner = address + below
    page.goto(f"{inner}runs/{run}/repo")
    page.get_by_text("a run of a measurement").wait_for()
    page.get_by_role("link", name="solution.py", exact=True).click()
    page.get_by_text("return 2 * n").wait_for()
    assert page.url.startswith(inner)
    page.get_by_role("link", name="Benchmarks").click()
    page.get_by_role("heading", name="Benchmarks").wait_for()
    assert page.url == f"{address}bench"
    assert httpx.post(f"{inner}runs/{run}/repo").status_code == 405


def test_a_picture_keeps_its_style_and_may_do_nothing_else(address: str) -> None:
    for name in ("small-test", "small-dev"):
        answer = httpx.get(f"{address}bench/made/{name}.svg")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        assert "<style>" in answer.text
        ElementTree.fromstring(answer.text)
        assert "<script" not in answer.text
    assert httpx.get(f"{address}bench/made/nothing.svg").status_code == 404


def test_foreign_words_are_words(page: object, address: str) -> None:
    for path in ("bench", "bench/made", "bench/damaged", "bench/beside"):
        page.goto(address + path)
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("[window.pwned, document.documentElement.scrollWidth]") == [None, width], path
    page.goto(f"{address}bench/made")
    text = page.evaluate("document.querySelector('main').textContent")
    assert "window.pwned" in text
    assert "\x1b" not in text


def test_what_the_judge_said_is_shown_of_the_open_half_alone(address: str) -> None:
    text = httpx.get(f"{address}bench/made").text
    flips, secret = text.partition('id="flips"')[2], SECRET.partition("#")[0].strip()
    assert text.count(secret) == flips.count(secret) == 2, "of the two tasks of dev that went the other way"


@pytest.mark.parametrize(
    "path",
    [
        "bench/looks", "bench/nothing", "bench/..%2fmade", "bench/made.jsonl", "bench/of/set/zero_shot/nothing/", "bench/of/../../x/",
        "bench/of/..%2f..%2f/x/y/", "bench/of/%2e%2e/%2e%2e/%2e%2e/", "bench/of/set/zero_shot/%00/", "bench/of/set//x/", "bench/made/..%2f..%2fx.svg",
    ],
)  # fmt: skip
def test_nothing_else_is_served(address: str, path: str) -> None:
    assert httpx.get(address + path).status_code in ((404, 307) if path == "bench/.." else (404,))


def test_a_link_out_of_the_workspace_is_no_measurement(address: str, measured: Path, tmp_path: Path) -> None:
    (tmp_path / ".company/runs").mkdir(parents=True)
    link = measured / "bench/set/zero_shot/link"
    link.symlink_to(tmp_path)
    try:
        assert httpx.get(f"{address}bench/of/set/zero_shot/link/").status_code == 404
    finally:
        link.unlink()


def test_without_a_measurement_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        assert "Nothing has been measured here yet" in httpx.get(f"{address}bench").text
