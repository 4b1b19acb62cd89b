"""How fast a server of the embedded model reads and writes, by its own clock: one question asked and timed.

Used to choose between the wheel and a build (`building.py`) and by `benchmarks/local_speed.py`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from company.errors import EndpointError
from company.llm.local import LocalServer

_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Timed:
    """One reply and what it took."""

    text: str
    read: int
    """Tokens of the prompt that were worked on."""
    cached: int
    """Tokens of the prompt that the server had."""
    read_seconds: float
    written: int
    """Tokens of the reply."""
    write_seconds: float
    guessed: int
    """Tokens that a draft proposed, and how many of them stood."""
    stood: int


async def ask(
    server: LocalServer, prompt: str, *, tokens: int, schema: dict[str, Any] | None = None, cache: bool = True
) -> Timed:
    """Ask `server` at temperature 0 for at most `tokens` tokens.

    Raises:
        EndpointError: no answer.
    """
    import httpx

    body: dict[str, Any] = {
        "model": server.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "cache_prompt": cache,
    }
    if schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_SECONDS) as client:
            reply = await client.post(
                f"{server.base_url}/chat/completions",
                headers={"Authorization": f"Bearer {server.api_key}"},
                json=body,
            )
            reply.raise_for_status()
    except httpx.HTTPError as failed:
        raise EndpointError(f"no answer from the server of {server.model}: {failed}", place=str(server.log)) from failed
    said = reply.json()
    clock = said["timings"]
    return Timed(
        text=said["choices"][0]["message"]["content"],
        read=clock["prompt_n"],
        cached=clock["cache_n"],
        read_seconds=clock["prompt_ms"] / 1000,
        written=clock["predicted_n"],
        write_seconds=clock["predicted_ms"] / 1000,
        guessed=clock.get("draft_n", 0),
        stood=clock.get("draft_n_accepted", 0),
    )


async def ask_at_once(server: LocalServer, prompts: list[str], *, tokens: int) -> float:
    """Ask all of `prompts` at the same time, none from the cache; returns the tokens written per second of wall time."""
    began = time.monotonic()
    replies = await asyncio.gather(*(ask(server, prompt, tokens=tokens, cache=False) for prompt in prompts))
    return sum(reply.written for reply in replies) / (time.monotonic() - began)
