"""Public list prices of models, by the address that they are asked at: `prices.toml`, each price with its date.

Who takes them: `providers.price_of`, where the operator has set none. What tokens cost: `budget.usd`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from company.settings import Price


class Listed(NamedTuple):
    """A price of the list."""

    price: Price
    date: str
    """Since when it is known: ``2026-09-22``, or ``2026-03`` for a month."""
    source: str
    """The provider's own page."""


def list_price(url: str, model: str) -> Listed | None:
    """The price of a model at its provider's own address; None for any other address, and for a model that is not listed."""
    parts = urlsplit(url)
    return table().get((parts.hostname or "", model)) if parts.scheme == "https" else None


@cache
def table() -> dict[tuple[str, str], Listed]:
    """Every listed price, by host and model."""
    data = tomllib.loads(Path(__file__).with_name("prices.toml").read_text("utf-8"))
    found = {}
    for provider in data["provider"]:
        for model, entry in provider["models"].items():
            date = entry.pop("date")
            found[provider["host"], model] = Listed(Price(**entry), date, provider["source"])
    return found
