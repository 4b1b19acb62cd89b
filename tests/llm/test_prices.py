"""Which price counts: the operator's, else the list's at the provider's own address, else none."""

import re
from pathlib import Path

import pytest

from company.llm.prices import list_price, table
from company.llm.providers import listed_price, price_of
from company.settings import Price, Provider, Settings

OWN = "https://api.openai.com/v1"
LISTED = Price(input=0.15, output=0.60, cached=0.075)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)


def at(url: str, price: Price | None = None) -> Settings:
    return Settings(providers={"mine": Provider(base_url=url, price=price)})


def test_the_operator_s_price_comes_first() -> None:
    own = Price(input=1, output=2)
    assert price_of("mine:gpt-4o-mini", at(OWN, own)) == own
    assert listed_price("mine:gpt-4o-mini", at(OWN, own)) is None


def test_the_list_counts_at_the_provider_s_own_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert price_of("mine:gpt-4o-mini", at(OWN)) == LISTED
    assert price_of("openai:gpt-4o-mini", Settings()) == LISTED
    for url in (
        "http://127.0.0.1:8080/v1",
        "https://api.openai.com.example.org/v1",
        "https://proxy.example.org/api.openai.com/v1",
        "https://api.openai.com@example.org/v1",
        "http://api.openai.com/v1",
    ):
        assert price_of("mine:gpt-4o-mini", at(url)) is None, url
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    assert price_of("openai:gpt-4o-mini", Settings()) is None


@pytest.mark.parametrize("model", ["gpt-4o-mini-2099-01-01", "gpt-4o-mini ", "GPT-4o-mini", "gpt-0", ""])
def test_an_unknown_price_stays_unknown(model: str) -> None:
    assert price_of(f"mine:{model}", at(OWN)) is None


def test_what_runs_here_costs_nothing() -> None:
    for name in ("local:qwen2.5-coder-1.5b", "script:f.yaml", "dry"):
        assert price_of(name, Settings()) == Price(input=0, output=0)


def test_every_listed_price_has_a_date_and_a_source() -> None:
    assert len(table()) > 20
    for (host, model), listed in table().items():
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", listed.date), model
        assert listed.source.startswith("https://"), model
        assert 0 < listed.price.input < listed.price.output, model
        assert listed.price.cached is None or listed.price.cached < listed.price.input, model
        assert list_price(f"https://{host}/v1", model) == listed
