"""What a run of a procedure will use, in words: calls, tokens, and money or time, for each model that its steps ask.

The arithmetic: `sop/estimate.py`. Prices: `llm/providers.py`. Who shows it: `cli_sop.py`, `studio/checking.py`.
"""

from __future__ import annotations

from company.llm.providers import check_provider, price_of
from company.progress import clean
from company.settings import load_settings
from company.sop.estimate import LOCAL_READ, LOCAL_WRITE, Estimate, Range, estimate
from company.sop.procedure import Procedure
from company.terminal import duration


def estimated(procedure: Procedure, chosen: str = "") -> list[str]:
    """A line for each model that the steps use, and what was assumed of a local one's speed.

    Args:
        chosen: the run's model; the settings' by default.

    Raises:
        UsageError: the settings, or a model's name, are wrong.
    """
    settings = load_settings()
    used: dict[str, Estimate] = {}
    for called, part in estimate(procedure).items():
        name = settings.model_for(called, chosen or settings.model)
        check_provider(name, settings)
        used[name] = used.get(name, Estimate()) + part
    lines = []
    for name, found in used.items():
        price = price_of(name, settings)
        if name.startswith("local:"):
            spent, so = found.seconds(), f"at {LOCAL_READ} tokens/s read and {LOCAL_WRITE} written on two cores"
            cost = f"no money, {_from_to(duration(spent.least), duration(spent.most))} {so}"
        elif price is None:
            cost = "price unknown"
        else:
            paid = found.prompt.times(price.input / 1e6) + found.reply.times(price.output / 1e6)
            cost = _from_to(f"${paid.least:.4f}", f"${paid.most:.4f}")
        calls = _from_to(f"{found.calls.least:g}", f"{found.calls.most:g}")
        tokens = f"tokens {_tokens(found.prompt)} read, {_tokens(found.reply)} written"
        lines.append(f"{clean(name)}: calls {calls}; {tokens}; {cost}")
    return lines or ["no model is asked"]


def _from_to(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def _tokens(found: Range) -> str:
    """With two digits that count: more would promise too much."""
    return _from_to(*(f"{float(f'{end:.2g}'):.0f}" for end in (found.least, found.most)))
