"""What a reply used, in tokens: the server's counts where they can be true, else a guess from the number of characters.

Who asks: `client.py`. What tokens cost, and what a run may use of them: `budget.py`. All limits go by what is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_CHARS_PER_TOKEN = 4


class Used(NamedTuple):
    """Fields of a `Reply`, by their names there."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None
    estimated: bool


def used(told: Mapping[str, Any] | None, prompt: Iterable[str], text: str) -> Used:
    """What a reply used. Where there is text there are tokens: a count of none, or of fewer, is guessed, as a missing one is.

    Args:
        told: LangChain's `UsageMetadata`; None where the server gave no counts.
        prompt: the texts of the messages.
        text: the reply's.
    """
    told = told or {}
    read, written = _count(told.get("input_tokens")), _count(told.get("output_tokens"))
    cached = _count((told.get("input_token_details") or {}).get("cache_read"))
    return Used(
        prompt_tokens=read or _guess(*prompt),
        completion_tokens=written or _guess(text),
        cached_tokens=min(cached, read) if read and cached is not None else None,
        estimated=not read or written is None or bool(text and not written),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _guess(*texts: str) -> int:
    return -(-sum(map(len, texts)) // _CHARS_PER_TOKEN)
