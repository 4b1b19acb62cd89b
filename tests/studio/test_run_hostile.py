"""What a model wrote is shown as text on a run's page, whatever it is: nothing of it runs, and nothing is asked from elsewhere."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import serving

sys.path.append(str(Path(__file__).parents[1] / "engine"))

from running import CHECKS, INTERFACE, OUTLINE, PRD, RIGHT, WRONG, start

EVIL = (
    "<script>window.evil=1</script><svg onload='window.evil=2'></svg><img src=x onerror='window.evil=3'>"
    "</pre></textarea><style>body{display:none}</style>"
)
LINKS = "[a](javascript:window.evil=4) ![p](http://evil.invalid/x.png) [b](data:text/html,evil) <a href='javascript:window.evil=5'>c</a>"
STEERING = "\x1b[31mred\x1b[0m \u202egnisrever\u202c \x07"
GIANT = "x" * 60_000


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a run that is full of it, and its workspace."""
    folder = tmp_path_factory.mktemp("hostile")
    prd = {**PRD, "title": "<script>window.evil=6</script>", "goals": [EVIL[:160], LINKS[:160]], "unclear": [STEERING]}
    code = f"{RIGHT[:-4]}  # {EVIL} {STEERING}\n# {GIANT}\n```"
    script = [
        {"step": "prd", "reply": f"{EVIL}{STEERING}{GIANT}"},
        {"step": "prd", "reply": prd},
        {"step": "design", "reply": {**OUTLINE, "approach": f"{EVIL} {LINKS}"[:500]}},
        {"step": "design", "reply": INTERFACE},
        {"step": "tests", "reply": CHECKS},
        {"step": "code", "reply": WRONG},
        {"step": "verify.fix", "reply": code},
    ]
    asked = f"{EVIL}\n{LINKS}\n{STEERING}\nA module shout.py with shout(text)."
    with ThreadPoolExecutor() as pool:  # the browser's thread has a loop already
        made = pool.submit(start, folder, "waterfall", script, requirement=asked).result()
    assert made.status in ("delivered", "unaccepted"), made.reason
    with serving(folder / "ws") as address:
        yield f"{address}runs/{made.run}", folder / "ws"


def test_hostile_artifacts_are_text(page: object, hostile: tuple[str, Path]) -> None:
    address, _ = hostile
    page.goto(address)
    everything = page.eval_on_selector_all(
        "#log a", "all => [...new Set(all.map(each => each.getAttribute('href').split('open=')[1]))]"
    )
    assert len(everything) >= 6
    for opened in everything:
        page.goto(f"{address}?open={opened}")
        for each in page.locator("main details").all():
            each.evaluate("each => { each.open = true; }")
        assert page.evaluate("window.evil") is None
        assert (
            page.locator(
                "main script, main img, main style, #panel svg:not(.diagram), .diagram :not(defs, marker, path, rect, text), main [onload], main [onerror]"
            ).count()
            == 0
        )
        links = page.eval_on_selector_all("main a", "all => all.map(each => String(each.getAttribute('href')))")
        assert not [link for link in links if not link.startswith(("runs/", "new?like=", "compare?a="))]
        text = page.inner_text("main")
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert page.evaluate("document.documentElement.scrollWidth") <= 1440
        assert len(page.content()) < 2_000_000
    page.goto(f"{address}?open=prd%231")
    assert "<script>window.evil=6</script>" in page.inner_text("#panel-left")
    assert "<script>window.evil=1</script>" in page.text_content(".requirement")
    page.goto("about:blank")
