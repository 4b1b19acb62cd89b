"""The endpoints that are known by name: address, where the key is, and in what they depart from OpenAI's. Data alone.

The fields are those of `settings.Provider`, whose entries in `company.toml` win; `structured` is weaker than what was found out
(`llm/ladder.py`). What was tried with which: `docs/endpoints.md`.
"""

from __future__ import annotations

import os
from typing import Any, Literal

Rung = Literal["schema", "shape", "tool", "json", "prompt"]
"""A way to ask for replies that fit a schema, best first: `llm/rungs.py`."""
KNOWN: dict[str, dict[str, Any]] = {
    # On this machine, at the address that each takes by itself.
    "llamacpp": {"base_url": "http://127.0.0.1:8080/v1"},
    "lmstudio": {"base_url": "http://127.0.0.1:1234/v1"},
    "ollama": {"base_url": "http://127.0.0.1:11434/v1"},
    "vllm": {"base_url": "http://127.0.0.1:8000/v1"},
    # Services.
    "deepseek": {
        "base_url": "https://api.deepseek.com/v1",
        "key": "DEEPSEEK_API_KEY",
        "structured": "json",
        "seed_as": "",
    },
    "groq": {"base_url": "https://api.groq.com/openai/v1", "key": "GROQ_API_KEY", "structured": "json"},
    "mistral": {
        "base_url": "https://api.mistral.ai/v1",
        "key": "MISTRAL_API_KEY",
        "seed_as": "random_seed",
        "stream_options": False,
    },
    "openai": {"base_url": "https://api.openai.com/v1", "key": "OPENAI_API_KEY", "structured": "shape"},
    "openrouter": {"base_url": "https://openrouter.ai/api/v1", "key": "OPENROUTER_API_KEY"},
    "together": {"base_url": "https://api.together.xyz/v1", "key": "TOGETHER_API_KEY", "structured": "prompt"},
}

SERVICES = {
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.openai.com": "openai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
}
"""The end of a service's host → what OpenTelemetry calls it, whatever it is called in `company.toml`."""


def known(name: str) -> dict[str, Any]:
    """The fields of a known endpoint, empty for another name. OPENAI_BASE_URL is where `openai` is, with a key or without.

    What it takes for structured replies is not among them: `preset_of`.
    """
    fields = dict(KNOWN.get(name, {}))
    fields.pop("structured", None)
    url = os.environ.get("OPENAI_BASE_URL", "").strip()
    if name == "openai" and url:
        fields["base_url"] = url
        fields["key"] = "OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else ""
    return fields


def preset_of(name: str, base_url: str) -> Rung:
    """The rung to begin with at an address; `schema` for one that is not the known endpoint's own."""
    fields = KNOWN.get(name, {})
    rung: Rung = fields.get("structured", "schema") if fields.get("base_url") == base_url else "schema"
    return rung
