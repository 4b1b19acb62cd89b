"""An OpenAI-compatible server: its address, its key, what it takes, and what all of its models share.

Requests to it: `client.py`. Which are known by name: `company/endpoints.py`; how the operator sets one: `settings.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from pydantic import SecretStr

from company.credentials import bare, is_http, sendable
from company.endpoints import Rung
from company.errors import UsageError
from company.llm.ladder import Ladder
from company.llm.pacing import Pace

_PLACES: WeakValueDictionary[tuple[int, str], asyncio.Semaphore] = WeakValueDictionary()
"""The event loop's id, and an address → its places, for as long as somebody has one or waits for one."""


@dataclass(frozen=True, eq=False)
class Endpoint:
    """An OpenAI-compatible server. Whoever asks at one address shares its slots and its pauses.

    Raises:
        UsageError: the address or the key cannot be used in a request.
    """

    base_url: str = field(repr=False)
    """Address up to and with ``/v1``; its query goes with every request."""
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    """Empty for a server without one."""
    parallel: int = 4
    """Requests at the same time, of this process and to this address."""
    deadline_seconds: float = 1800.0
    """Bound of a whole call, repeated tries included."""
    idle_seconds: float = 600.0
    """How long the server may send nothing, for instance while it reads the prompt."""
    retries: int = 4
    """How often a failed request is sent again."""
    structured: Rung | None = None
    """The rung by which replies that fit a schema are asked for, and no other. None: the one that is remembered, else `preset`."""
    preset: Rung = "schema"
    """The rung to begin with where none is set or remembered."""
    remembers: bool = True
    """Whether the rung that was found is kept for later runs."""
    temperature: bool = True
    """Whether it takes a temperature; none is sent where it does not."""
    key_header: str = ""
    """The header that carries the key; empty: ``Authorization``, as a bearer token."""
    max_tokens_as: str = ""
    """What it calls the bound of a reply; empty: ``max_tokens``, but for OpenAI's own service."""
    seed_as: str = "seed"
    """What it calls the seed; empty: none is sent."""
    stream_options: bool = True
    """Whether it takes ``stream_options``, which ask for token counts."""
    key_name: str = "OPENAI_API_KEY"
    """Where the operator sets the key; hints name it."""
    url_name: str = "OPENAI_BASE_URL"
    """Where the operator sets the address; hints name it."""
    pace: Pace = field(init=False, repr=False)
    _ladders: dict[str, Ladder] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not is_http(self.base_url):
            raise UsageError(
                f"`{self.url}` is no address of a model endpoint",
                hint=f"set {self.url_name} to something like http://127.0.0.1:8080/v1",
            )
        key = self.api_key.get_secret_value().strip()
        if not sendable(key):
            raise UsageError("the API key holds characters that no key has", hint=f"set {self.key_name} again")
        object.__setattr__(self, "api_key", SecretStr(key))
        object.__setattr__(self, "pace", Pace(self.url))

    @property
    def url(self) -> str:
        """The address as it is shown and told from others: without user, password, query and the slash at its end."""
        return bare(self.base_url)

    @property
    def slots(self) -> asyncio.Semaphore:
        """The places at the address; where endpoints differ in `parallel`, as many as who asks first allows."""
        place = id(asyncio.get_running_loop()), self.url
        return _PLACES.setdefault(place, asyncio.Semaphore(self.parallel))

    def ladder(self, model: str) -> Ladder:
        """By which rung a model is asked; whoever asks it through this endpoint shares what is found out."""
        made = Ladder(self.url, model, fixed=self.structured, preset=self.preset, remembers=self.remembers)
        return self._ladders.setdefault(model, made)

    @property
    def bound_name(self) -> str:
        """The field that bounds a reply: OpenAI's own service wants another name than all others."""
        of_openai = is_of_openai(urlsplit(self.base_url).hostname or "")
        return self.max_tokens_as or ("max_completion_tokens" if of_openai else "max_tokens")


def is_of_openai(host: str) -> bool:
    """Whether a host is OpenAI's own."""
    return f".{host.lower()}".endswith(".openai.com")
