"""Every page of the studio for those who do not see it as drawn, or see it small: axe-core finds nothing serious, nothing scrolls sideways."""

from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from serving import company, crawled, serving, shape
from test_acting import CODE, PRD, SOP

RUN = {"step": "prd", "reply": PRD}, {"step": "code", "reply": CODE}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """A studio with a finished run, one that waits at a gate and one that failed; and each of its pages."""
    folder = tmp_path_factory.mktemp("access")
    (folder / "slow.yaml").write_text(SOP.replace("sleep 3", "true"))
    (folder / "script.yaml").write_text(yaml.safe_dump([*RUN]))
    (folder / "empty.yaml").write_text("[]")
    where = folder / "workspace"
    slow, script = str(folder / "slow.yaml"), f"script:{folder / 'script.yaml'}"
    done = company("run", "A to-do list in a file", "--name", "todo", "--dry-run", "--headless", workspace=where)["run"]
    waits = company("run", "shout", "--sop", slow, "--model", script, "--name", "gate", workspace=where)["run"]
    failed = company(
        "run", "x", "--sop", slow, "--model", f"script:{folder / 'empty.yaml'}", "--name", "broken", workspace=where
    )["run"]
    with serving(where) as address:
        refused = httpx.post(
            f"{address}new", data={"requirement": "x", "sop": "zero_shot", "model": "nobody:x"}, timeout=60
        )
        assert refused.status_code in (303, 422)
        found = {
            shape(url): url.removeprefix(address)
            for url, text in crawled(address)
            if text.startswith("<!doctype") and not url.endswith("/report")
        }
        pages = [*found.values(), "?text=nothing+fits", "no/such/page", "sops/explain/SOP201"]
        pages += [f"runs/{run}{page}" for run in (done, waits, failed) for page in ("", "/actions", "/gates")]
        pages += [f"runs/{done}?open=code", f"runs/{waits}?open=look"]
        pages += [f"runs/{done}/repo?path={path}" for path in ("README.md", "main.py")]
        pages += [f"compare?a={done}&b={waits}"]
        if refused.status_code == 303:
            pages.append(urljoin(address, refused.headers["location"]).removeprefix(address))
        yield address, [*dict.fromkeys(pages)]


@pytest.mark.parametrize(("colours", "width"), [("light", 1440), ("dark", 390)])
def test_nothing_serious_is_found_on_any_page(
    browser: object, addresses: tuple[str, list[str]], colours: str, width: int
) -> None:
    address, pages = addresses
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=colours, reduced_motion="reduce"
    )
    found = []
    try:
        page = context.new_page()
        for path in pages:
            page.goto(address + path)
            page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wide = "[...document.querySelectorAll('main *')].filter(each => each.getBoundingClientRect().right > innerWidth + 1)"
                found.append(
                    f"{path}: scrolls sideways: {page.evaluate(wide + '.map(each => each.outerHTML.slice(0, 90)).slice(0, 3)')}"
                )
            for each in Axe().run(page).response["violations"]:
                if each["impact"] in ("serious", "critical"):
                    found += [f"{path}: {each['id']}: {node['html'][:160]}" for node in each["nodes"][:3]]
        page.goto("about:blank")
    finally:
        context.close()
    assert not found, "\n".join(found)
