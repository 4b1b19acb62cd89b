"""Each endpoint has a page whose address, settings and links are right, and the small rules about prices and hints beside it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from company.endpoints import KNOWN
from company.errors import UsageError
from company.llm.check import check
from company.llm.client import ChatModel
from company.llm.endpoint import Endpoint
from company.llm.providers import price_of
from company.settings import Price, Settings, load_settings
from tests import fault_server as fs

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.stem: path.read_text("utf-8") for path in (DOCS / "endpoints").glob("*.md")}
PARTS = ("What differs", "Structured replies", "Prices", "What was tried")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "COMPANY_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_every_endpoint_has_its_page_and_the_index_names_them() -> None:
    assert set(PAGES) == {*KNOWN, "azure", "another"}
    index = (DOCS / "endpoints.md").read_text("utf-8")
    assert set(re.findall(r"\(endpoints/(\w+)\.md\)", index)) == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_where_it_is_and_its_settings_are_settings(name: str, folder: Path) -> None:
    text = PAGES[name]
    assert [part for part in PARTS if f"\n**{part}.** " not in text] == []
    assert "Not tried:" in text
    if name in KNOWN:
        address, key = re.findall(r"^Address: `(\S+)` · key: (\w+)", text, re.MULTILINE)[0]
        assert (address, key) == (KNOWN[name]["base_url"], KNOWN[name].get("key", "none"))
    for path in re.findall(r"\]\((\.\./[^)#]+)\)", text):
        assert (DOCS / "endpoints" / path).exists(), path
    (block,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (folder / "company.toml").write_text(block)
    (called,) = load_settings().providers
    assert called == {"another": "mine"}.get(name, name)


HERE, SERVICE = {"base_url": "http://localhost:9999/v1"}, {"base_url": "https://gateway.example/v1"}


@pytest.mark.parametrize(
    ("model", "providers", "free"),
    [
        *((f"{name}:m", {}, True) for name in ("ollama", "llamacpp", "lmstudio", "vllm")),
        ("vllm:m", {"vllm": HERE}, True),
        ("vllm:m", {"vllm": SERVICE}, False),
        ("mine:m", {"mine": HERE}, False),
        ("openai:unlisted", {"openai": HERE}, False),
        ("ollama:gpt-oss:120b-cloud", {}, False),
        ("ollama:glm:cloud", {}, False),
    ],
)
def test_a_program_on_this_machine_costs_nothing(model: str, providers: dict[str, dict[str, str]], free: bool) -> None:
    settings = Settings(providers=providers)  # type: ignore[arg-type]
    assert price_of(model, settings) == (Price(input=0, output=0) if free else None)


def test_a_price_that_is_set_counts_also_here() -> None:
    settings = Settings(providers={"ollama": {"price": {"input": 1, "output": 2}}})  # type: ignore[dict-item]
    assert price_of("ollama:m", settings) == Price(input=1, output=2)


@pytest.mark.parametrize(
    "text", ['base_ur = "http://h/v1"', 'price = {input = 1, output = 1}\nbase_ur = "http://h/v1"\nparallel = "x"']
)
def test_a_misspelt_setting_is_told_before_what_is_missing(text: str, folder: Path) -> None:
    (folder / "company.toml").write_text(f"[providers.mine]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert caught.value.message == "there is no setting `providers.mine.base_ur`"
    assert caught.value.hint == "did you mean `base_url`?"
    assert caught.value.place == f"company.toml:{2 + text.count('price')}"


@pytest.mark.parametrize(
    "behaviour",
    [
        fs.error("500 Internal Server Error"),
        fs.error("429 Too Many Requests"),
        fs.error("429 Too Many Requests", "insufficient_quota"),
        fs.error("429 Too Many Requests", Retry_After="3600"),
        fs.reset(),
        fs.ok("half", finish=""),
    ],
)
def test_a_check_has_no_run_to_go_on_with(
    behaviour: fs.Behaviour, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

    async def main() -> str:
        async def at_once(seconds: float) -> None:
            await asyncio.sleep(0)

        async with fs.serving(behaviour) as server:
            model = ChatModel("mine:m", Endpoint(server.base_url, retries=1), sleep=at_once)
            report = await check(model)
            await model.close()
            return " ".join(finding.detail for finding in report.findings)

    said = asyncio.run(main())
    assert "company resume" not in said
    assert said
