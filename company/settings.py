"""What the user sets: `company.toml`, the environment (`COMPANY_…`), `.env`; explicit arguments win over all three.

Which endpoint a model's name means: `llm/providers.py`. Keys are never settings: a provider names the variable that
holds its key.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from company.errors import UsageError
from company.sop.diagnostics import closest

FILE = "company.toml"


class Price(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid")
    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Provider(BaseModel):
    """An OpenAI-compatible endpoint: `[providers.NAME]`."""

    model_config = ConfigDict(extra="forbid")
    base_url: str
    """Its address, usually ending in ``/v1``."""
    key: str = ""
    """Name of the environment variable that holds the key; empty for an endpoint without one."""
    schemas: bool = True
    """Whether it takes a JSON schema for replies; false puts the schema into the prompt."""
    parallel: int = Field(4, ge=1, le=256)
    """Requests at the same time."""
    deadline: float = Field(1800.0, gt=0)
    """Seconds of one whole call, repeated tries included."""
    context: int | None = Field(None, ge=512)
    """Tokens of prompt and reply together; unknown by default."""
    price: Price | None = None
    """Unknown by default: the cost of a run is unknown then, and a limit on money is refused."""


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(env_prefix="COMPANY_", env_file=".env", env_nested_delimiter="__", extra="forbid")
    model: str = "local:qwen2.5-coder-1.5b"
    """The model of every step that names none."""
    tiers: dict[Literal["small", "medium", "large"], str] = {}
    """The model behind a tier; one that is not set is `model`."""
    providers: dict[str, Provider] = {}
    """Endpoints by name. `openai` is always there, from OPENAI_BASE_URL and OPENAI_API_KEY."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Of every step and role that sets none."""
    max_tokens: int = Field(2048, ge=64)
    """Longest reply of a step that sets none, tokens."""
    step_timeout: float = Field(3600.0, gt=0)
    """Seconds of a step that sets none."""
    test_seconds: float = Field(60.0, gt=0)
    """Wall time of one test run or command in the sandbox."""
    threads: int = Field(0, ge=0)
    """Of the embedded model's server; 0 is one for each core."""
    slots: int = Field(1, ge=1, le=64)
    """Requests that the embedded model's server works on at once: on a few cores two take longer than one after another."""
    context: int = Field(8192, ge=1024)
    """Tokens of prompt and reply together that one request to the embedded model may use."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, `.env`, `company.toml`."""
        return init_settings, env_settings, _DotEnv(settings_cls, dotenv_settings), _Toml(settings_cls)


class _DotEnv(PydanticBaseSettingsSource):
    """Of a `.env`, which other programs read too, only what is ours."""

    def __init__(self, settings_cls: type[BaseSettings], inner: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._inner = inner

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._inner.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in self._inner().items() if name in self.settings_cls.model_fields}


class _Toml(PydanticBaseSettingsSource):
    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        path = Path(FILE)
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsageError(f"cannot read it: {error.strerror}", place=FILE) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"it is no TOML: {error}", place=FILE) from error


def load_settings(**arguments: Any) -> Settings:
    """The settings, `arguments` that are None left aside.

    Raises:
        UsageError: a source has a mistake; the message names the setting.
    """
    try:
        return Settings(**{name: value for name, value in arguments.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = ""
        if first["type"] == "extra_forbidden":
            fields = Provider.model_fields if name.startswith("providers.") else Settings.model_fields
            near = closest(str(first["loc"][-1]), fields)
            hint = f"did you mean `{near}`?" if near else f"there are {', '.join(fields)}"
            message = f"there is no setting `{name}`"
        else:
            message = f"`{name}`: {first['msg']}"
        raise UsageError(message, place=f"{FILE}, .env or a COMPANY_ variable", hint=hint) from error
