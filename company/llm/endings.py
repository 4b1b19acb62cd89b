"""Why a reply ended: services have many words for it, and whoever reads a reply knows three, those of `Ending`.

Who asks: `client.py`. What is done about a reply that was cut: `cut.py`; about one that a filter ended: `calls.py`.
"""

from __future__ import annotations

import re
from typing import Literal

from company.errors import EndpointError
from company.llm.faults import excerpt

Ending = Literal["stop", "length", "content_filter"]
"""It is whole; it was cut by a limit of tokens, or in a circle; a filter of the service ended it."""

_WHOLE = frozenset({
    "stop", "stop_sequence", "stop_string_found", "end", "end_turn", "eos", "eos_found", "eos_token", "endoftext", "complete", "completed",
    "done", "finish", "finished", "tool_call", "tool_calls", "tool_use", "function_call",
})  # fmt: skip
_CUT = re.compile(r"length|max.*tokens|tokens?_limit|context_window|repetition")
"""A reply that goes round in circles is cut, too: it would go on so until the limit."""
_FILTERED = re.compile(r"filter|safety|sensitive|refus|moderation|guardrail|prohibited|blocklist|recitation")
_PASSES = re.compile(
    r"error|abort|cancel|resource|unavailable|overload|timeout|time_limit|interrupt|fail|malformed|^other$"
)
"""What may not come again when the same is asked again."""


def ending(reason: str, place: str) -> Ending:
    """What a finish reason means.

    Args:
        place: the endpoint's address, for the error.

    Raises:
        EndpointError: the reply broke off, or the word is not known: half a reply is not used.
    """
    word = reason.strip().lower().replace("-", "_")
    if word in _WHOLE:
        return "stop"
    if _CUT.search(word):
        return "length"
    if _FILTERED.search(word):
        return "content_filter"
    shown = excerpt(reason, ())
    if _PASSES.search(word):
        hint = "the endpoint is in trouble; run `company resume` later"
        raise EndpointError(f"the endpoint broke the reply off (`{shown}`)", retryable=True, place=place, hint=hint)
    raise EndpointError(
        f"the reply ended with `{shown}`, and whether it is whole then is not known",
        place=place,
        hint="another server or model, or a newer version of this one, may end its replies with `stop`",
    )
