"""What the user sets: the project's `company.toml`, `COMPANY_…`, `.env` here; explicit arguments win over all three.

Which endpoint a model's name means: `llm/providers.py`; servers of tools: `tools/servers.py`. Keys are never settings: a
provider or a server says where its key is, and `credentials.py` reads it there.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from company.credentials import check_source, is_http
from company.endpoints import Rung, known
from company.errors import UsageError
from company.sop.diagnostics import closest
from company.sop.library import SETTINGS, own_folder, show
from company.sop.tool_names import SERVER

_PREFIX = "COMPANY_"
_NOT_SETTINGS = frozenset({"COMPANY_MODELS"})
"""Variables of ours that `llm/download.py` reads itself."""
_GONE = {
    "providers.NAME.schemas": '`structured` is in its place, and best left out; for `schemas = false` write `structured = "prompt"`'
}
"""Settings that there were → what to write."""


class Price(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid")
    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(None, ge=0)
    """Of prompt tokens that the server had in its cache; as `input` by default."""


class Provider(BaseModel):
    """An OpenAI-compatible endpoint: `[providers.NAME]`."""

    model_config = ConfigDict(extra="forbid")
    base_url: str = Field(repr=False)
    """Its address, usually ending in ``/v1``; a query in it goes with every request."""
    key: str = ""
    """Where the key is: a variable's name, ``file:PATH`` or ``keyring:SERVICE/USER``; empty for an endpoint without one."""
    key_header: str = Field("", pattern=r"^[A-Za-z0-9-]*$")
    """The header that carries the key; by default ``Authorization``, as a bearer token."""
    structured: Rung | None = None
    """How it is asked for replies that fit a schema, best first; by default what `company model check` or a run found out."""
    temperature: bool = True
    """Whether its models take a temperature; reasoning models often do not."""
    max_tokens_as: Literal["", "max_tokens", "max_completion_tokens"] = ""
    """What it calls the bound of a reply; by default ``max_tokens``, and OpenAI's own name where the address is OpenAI's."""
    seed_as: Literal["", "seed", "random_seed"] = "seed"
    """What it calls the seed; empty: none is sent."""
    stream_options: bool = True
    """Whether it takes ``stream_options``, which ask for token counts; some give them unasked and refuse the field."""
    parallel: int = Field(4, ge=1, le=256)
    """Requests at the same time to its address, of one process; of several entries with that address the smallest holds."""
    deadline: float = Field(1800.0, gt=0)
    """Seconds of one whole call, repeated tries included."""
    context: int | None = Field(None, ge=512)
    """Tokens of prompt and reply together; unknown by default."""
    price: Price | None = None
    """The list price in `llm/prices.toml` by default. Without one the cost is unknown, and a limit on money is refused."""

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if not is_http(url):
            raise ValueError(
                "it begins with http:// or https:// and names a host, for instance http://127.0.0.1:8080/v1"
            )
        return url

    @field_validator("key")
    @classmethod
    def _is_somewhere(cls, key: str) -> str:
        return check_source(key)


class McpServer(BaseModel):
    """A server of the Model Context Protocol, whose tools roles may be granted: `[mcp.NAME]`."""

    model_config = ConfigDict(extra="forbid")
    command: str = ""
    """The program to start; it talks over its standard input and output."""
    args: list[str] = []
    """The program's arguments."""
    env: dict[str, str] = {}
    """The program's variable → where its value is, as a provider's key; others it gets only a few of."""
    url: str = Field("", repr=False)
    """Address of a server that runs already, instead of `command`."""
    key: str = ""
    """Where the bearer token for `url` is, as a provider's key; empty for a server without one."""
    deadline: float = Field(60.0, gt=0)
    """Seconds of one call."""

    @field_validator("key")
    @classmethod
    def _is_somewhere(cls, key: str) -> str:
        return check_source(key)

    @field_validator("env")
    @classmethod
    def _are_somewhere(cls, env: dict[str, str]) -> dict[str, str]:
        return {name: check_source(source) for name, source in env.items()}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("give either `command` or `url`")
        if self.url and not re.fullmatch(r"https?://[^\s/]+\S*", self.url):
            raise ValueError("`url` begins with http:// or https:// and has no spaces")
        if self.url and (self.args or self.env):
            raise ValueError("`args` and `env` are of a `command`, not of a `url`")
        if self.command and self.key:
            raise ValueError("`key` is of a `url`; a `command` gets its key by `env`")
        return self


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", env_nested_delimiter="__", extra="forbid", hide_input_in_errors=True
    )
    model: str = "local:qwen2.5-coder-1.5b"
    """The model of every step that names none."""
    tiers: dict[Literal["small", "medium", "large"], str] = {}
    """The model behind a tier; one that is not set is `model`."""
    providers: dict[str, Provider] = {}
    """Endpoints by name. One without `base_url` takes what it leaves out from the endpoint that is known by its name."""
    mcp: dict[str, McpServer] = {}
    """Servers of tools by name; a role is granted `mcp.NAME` or `mcp.NAME.TOOL`."""
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
    state: SecretStr = SecretStr("")
    """Where a team's runs are kept: ``postgresql://USER@HOST/DATABASE``; empty: in the workspace's folder."""
    remote: str = Field("", repr=False)
    """Where each run's branch is pushed: a URL or a path, in which ``{name}`` is the repository's name; empty: nowhere."""

    def model_for(self, called: str | None, run: str) -> str:
        """What a step calls its model → ``provider:model``. `run` is the run's: for None, and for a tier that is not set.

        In a dry run (`run` is ``dry``), and where a recording is replayed, it is that for every step.
        """
        if run == "dry" or run.startswith("replay:") or called is None:
            return run
        tiers: Mapping[Any, str] = self.tiers
        return tiers.get(called) or (called if ":" in called else run)

    @field_validator("providers", mode="before")
    @classmethod
    def _filled(cls, providers: Any) -> Any:
        if not isinstance(providers, dict):
            return providers
        return {
            name: {**known(name), **entry} if isinstance(entry, dict) and "base_url" not in entry else entry
            for name, entry in providers.items()
        }

    @field_validator("providers")
    @classmethod
    def _usable_names(cls, providers: dict[str, Provider]) -> dict[str, Provider]:
        for name in providers:
            if name in ("local", "replay", "script", "dry"):
                raise ValueError(f"the name `{name}` is taken: choose another")
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
                raise ValueError(f"`{name}` is no name: letters, digits, `_`, `.` and `-`")
        return providers

    @field_validator("state")
    @classmethod
    def _address(cls, state: SecretStr) -> SecretStr:
        if not re.fullmatch(r"(postgres(ql)?://([^\s/?#@]*@)?[^\s@]*)?", state.get_secret_value()):
            raise ValueError(
                "it is postgresql://USER@HOST/DATABASE; in a password @ is written %40, / %2F, ? %3F, # %23, and % %25"
            )
        return state

    @field_validator("remote")
    @classmethod
    def _somewhere(cls, remote: str) -> str:
        if remote.startswith("-") or "::" in remote or re.search(r"[\s\0]", remote):
            raise ValueError("it is a URL or a path that git can push to, without spaces")
        if left := re.search(r"[{}][^{}]*", remote.replace("{name}", "")):
            raise ValueError(f"only `{{name}}` stands for something, not `{left[0]}`")
        return remote

    @field_validator("mcp")
    @classmethod
    def _usable_servers(cls, servers: dict[str, McpServer]) -> dict[str, McpServer]:
        for name in servers:
            if not re.fullmatch(SERVER, name):
                raise ValueError(f"`{name}` is no name of a server: letters, digits, `_` and `-`")
        return servers

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
        assert isinstance(inner, DotEnvSettingsSource)
        # Left in, a `MODEL=…` of another program would be taken for our setting `model`.
        inner.env_vars = {name: text for name, text in inner.env_vars.items() if name.startswith(_PREFIX.lower())}
        self._inner = inner

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._inner.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        found = self._inner()
        _refuse_misspelt(found.keys() - self.settings_cls.model_fields, ".env")
        return {name: value for name, value in found.items() if name in self.settings_cls.model_fields}


class _Toml(PydanticBaseSettingsSource):
    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        try:
            return tomllib.loads(_toml_text())
        except OSError as error:
            raise UsageError(f"cannot read it: {error.strerror}", place=show(_file())) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"it is no TOML: {error}", place=show(_file())) from error


def load_settings(**arguments: Any) -> Settings:
    """The settings, `arguments` that are None left aside.

    Raises:
        UsageError: a source has a mistake; place and message name the file or variable, and the setting.
    """
    _refuse_misspelt((name for name in os.environ if name.startswith(_PREFIX)), "the environment")
    try:
        return Settings(**{name: value for name, value in arguments.items() if value is not None})
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read it: {error}", place=".env") from error
    except SettingsError as error:  # its message names the setting and the source
        hint = "a table is written as JSON, or one variable a value: COMPANY_TIERS__SMALL=provider:model"
        raise UsageError(f"no JSON: {error}", place="a COMPANY_ variable", hint=hint) from error
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A misspelt setting is often why another is missing.
        first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
        path = [str(part) for part in first["loc"] if part != "[key]"]
        name, hint = ".".join(path), ""
        if first["type"] == "extra_forbidden":
            message = f"there is no setting `{name}`"
            fields = _table(path).model_fields
            near = closest(path[-1], fields)
            hint = f"did you mean `{near}`?" if near else f"there are {', '.join(fields)}"
            hint = _GONE.get(".".join([*path[:-2], "NAME", path[-1]]), hint) if len(path) == 3 else hint
        elif first["type"] == "missing":
            message = f"`{name}` is missing"
        else:
            message = f"`{name}`: {first['msg'].removeprefix('Value error, ')}"
        raise UsageError(message, place=_place(path), hint=hint) from error


def _table(path: Sequence[str]) -> type[BaseModel]:
    """Which table a setting of this name would lie in."""
    if len(path) == 1:
        return Settings
    if path[0] == "mcp":
        return McpServer
    return Provider if len(path) == 3 else Price


def _refuse_misspelt(names: Iterable[str], place: str) -> None:
    """A variable that is almost one of ours is a mistake; any other with our prefix is somebody else's."""
    for name in sorted(names):
        if name.upper() in _NOT_SETTINGS:
            continue
        setting = name.lower().removeprefix(_PREFIX.lower()).partition("__")[0]
        near = closest(setting, Settings.model_fields)
        if near and setting not in Settings.model_fields:
            raise UsageError(
                f"there is no setting `{name.upper()}`", place=place, hint=f"did you mean {_PREFIX}{near.upper()}?"
            )


def place_of(setting: str) -> str:
    """Where a setting was set: a variable, a line of `company.toml`, or `.env`."""
    return _place([setting])


def _place(path: Sequence[str]) -> str:
    """Where a setting with a mistake was set."""
    variable = _PREFIX + "__".join(path).upper()
    if any(name.upper() == variable for name in os.environ):
        return variable
    for depth in range(len(path), 0, -1):
        line = _line(path[:depth])
        if line:
            return f"{show(_file())}:{line}"
    return f".env or {_PREFIX}{path[0].upper()}" if path else show(_file())


def _line(path: Sequence[str]) -> int:
    """The line of `company.toml` that sets it, or the value that it lies in; 0 without one."""
    table: list[str] = []
    around = 0
    for number, line in enumerate(_toml_text().splitlines(), 1):
        if header := re.match(r"\s*\[+([^\]]+)\]", line):
            found = table = _keys(header[1])
        elif setting := re.match(r"\s*([\w.\s\"'-]+?)\s*=", line):
            found = [*table, *_keys(setting[1])]
        else:
            continue
        if found[: len(path)] == list(path):
            return number
        if found == list(path[: len(found)]) and not header:
            around = number
    return around


def _keys(dotted: str) -> list[str]:
    return [key.strip().strip("\"'") for key in dotted.split(".")]


def _toml_text() -> str:
    path = _file()
    return path.read_text("utf-8") if path.exists() else ""


def _file() -> Path:
    """The `company.toml` of the project folder, which need not exist; of the current folder where there is no project."""
    return (own_folder() or Path.cwd()) / SETTINGS
