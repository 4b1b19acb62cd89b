"""Settings from every source, which one wins, and what a mistake in each says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from company.errors import UsageError
from company.settings import McpServer, Price, Settings, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and none of our variables."""
    for name in [name for name in os.environ if name.startswith("COMPANY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistake(**arguments: object) -> UsageError:
    with pytest.raises(UsageError) as raised:
        load_settings(**arguments)
    return raised.value


def test_without_any_source_everything_has_its_default() -> None:
    settings = load_settings()
    assert (settings.model, settings.tiers, settings.providers) == ("local:qwen2.5-coder-1.5b", {}, {})
    assert settings.max_tokens == 2048


def test_sources_win_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "company.toml").write_text('model = "a:toml"\nmax_tokens = 100\nthreads = 3\nslots = 5\n')
    (folder / ".env").write_text("COMPANY_MODEL=a:dotenv\nCOMPANY_MAX_TOKENS=200\nCOMPANY_THREADS=4\n")
    monkeypatch.setenv("COMPANY_MODEL", "a:environment")
    monkeypatch.setenv("COMPANY_MAX_TOKENS", "300")
    settings = load_settings(model="a:argument", max_tokens=None)
    assert (settings.model, settings.max_tokens, settings.threads, settings.slots) == ("a:argument", 300, 4, 5)


def test_providers_and_tiers_are_tables_and_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "company.toml").write_text(
        '[tiers]\nsmall = "mine:tiny"\n[providers.mine]\nbase_url = "http://127.0.0.1:1/v1"\nkey = "MINE_KEY"\n'
        "price = {input = 0.5, output = 2}\n"
    )
    monkeypatch.setenv("COMPANY_TIERS__LARGE", "mine:huge")
    settings = load_settings()
    assert settings.tiers == {"small": "mine:tiny", "large": "mine:huge"}
    mine = settings.providers["mine"]
    assert (mine.key, mine.price, mine.structured) == ("MINE_KEY", Price(input=0.5, output=2), None)


def test_servers_of_tools_are_tables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "company.toml").write_text(
        '[mcp.notes]\ncommand = "notes"\nargs = ["--all"]\nenv = {TOKEN = "NOTES_TOKEN"}\n'
        '[mcp.issues]\nurl = "https://issues.example/mcp"\nkey = "ISSUES_TOKEN"\ndeadline = 5\n'
    )
    monkeypatch.setenv("COMPANY_MCP__LOCAL__COMMAND", "server")
    servers = load_settings().mcp
    assert servers["notes"] == McpServer(command="notes", args=["--all"], env={"TOKEN": "NOTES_TOKEN"})
    assert (servers["issues"].key, servers["issues"].deadline, servers["issues"].command) == ("ISSUES_TOKEN", 5.0, "")
    assert servers["local"].command == "server"


def test_a_dotenv_of_other_programs_is_left_alone(folder: Path) -> None:
    (folder / ".env").write_text("MODEL=gpt\nTHREADS=many\nDATABASE_URL=postgres://\nCOMPANY_NAME=Acme\n")
    assert load_settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ('modle = "a:b"', "company.toml:1", "there is no setting `modle`", "did you mean `model`?"),
        ("\nthreads = 'two'", "company.toml:2", "`threads`: Input should be a valid integer", ""),
        ("temperature = 3", "company.toml:1", "`temperature`: Input should be less than or equal to 2", ""),
        (
            '[providers.a]\nbase_url = "http://x"\n[providers.b]\nbase_url = "http://x"\ndeadlin = 3',
            "company.toml:5",
            "there is no setting `providers.b.deadlin`",
            "did you mean `deadline`?",
        ),
        (
            '[providers.a]\nbase_url = "http://x"\nprice = {input = 1, out = 2}',
            "company.toml:3",
            "there is no setting `providers.a.price.out`",
            "did you mean `output`?",
        ),
        ("[providers.a]\nkey = 'K'", "company.toml:1", "`providers.a.base_url` is missing", ""),
        ("[tiers]\ntiny = 'a:b'", "company.toml:2", "`tiers.tiny`: Input should be 'small', 'medium' or 'large'", ""),
        ("providers.local.base_url = 'http://x'", "company.toml:1", "`providers`: the name `local` is taken", ""),
        *(
            (
                f'[providers.a]\nbase_url = "{url}"',
                "company.toml:2",
                "`providers.a.base_url`: it begins with http://",
                "",
            )
            for url in ("h/v1", "ftp://h/v1", "http://", "http://h:port/v1", "http://[::1/v1", "http://h /v1")
        ),
        (
            "[providers.a]\nbase_url = 'http://h'\nkey = 'sk-1'",
            "company.toml:3",
            "`providers.a.key`: it says where the",
            "",
        ),
        (
            "[providers.a]\nbase_url = 'http://h'\nkey = 'file:'",
            "company.toml:3",
            "`providers.a.key`: it says where",
            "",
        ),
        ("[providers.a]\nbase_url = 'http://h'\nkey = 'keyring:x'", "company.toml:3", "`providers.a.key`: it says", ""),
        ("[mcp.a]\ncommand = 'x'\nenv = {T = 'a b'}", "company.toml:3", "`mcp.a.env`: it says where the key is", ""),
        ("model = ", "company.toml", "it is no TOML: Invalid value (at", ""),
        ("model = 1\nmodel = 2", "company.toml", "it is no TOML: Cannot overwrite a value", ""),
        ("[mcp.a]\nargs = ['x']", "company.toml:1", "`mcp.a`: give either `command` or `url`", ""),
        ("[mcp.a]\ncommand = 'x'\nurl = 'http://h/'", "company.toml:1", "`mcp.a`: give either `command` or", ""),
        ("[mcp.a]\nurl = 'h/mcp'", "company.toml:1", "`mcp.a`: `url` begins with http:// or https://", ""),
        ("[mcp.a]\nurl = 'http://h/'\nargs = ['x']", "company.toml:1", "`mcp.a`: `args` and `env` are of a", ""),
        ("[mcp.a]\ncommand = 'x'\nkey = 'K'", "company.toml:1", "`mcp.a`: `key` is of a `url`", ""),
        ("[mcp.a]\ncommand = 'x'\ndeadline = 0", "company.toml:3", "`mcp.a.deadline`: Input should be greater", ""),
        ("[mcp.a]\ncomand = 'x'", "company.toml:2", "there is no setting `mcp.a.comand`", "did you mean `command`?"),
        ("[mcp.'a.b']\ncommand = 'x'", "company.toml:1", "`mcp`: `a.b` is no name of a server", ""),
        ("frobnicate = 1", "company.toml:1", "there is no setting `frobnicate`", "there are model, tiers, providers"),
    ],
)
def test_a_mistake_in_the_file_says_where_and_what(
    folder: Path, text: str, place: str, message: str, hint: str
) -> None:
    (folder / "company.toml").write_text(text)
    error = mistake()
    assert error.place == place
    assert error.message.startswith(message)
    assert error.hint.startswith(hint)
    assert bool(error.hint) == bool(hint)


def test_a_file_that_is_not_text_or_cannot_be_read(folder: Path) -> None:
    (folder / "company.toml").write_bytes(b"model = '\xff'")
    assert mistake().message.startswith("it is no TOML: 'utf-8' codec can't decode")
    (folder / "company.toml").unlink()
    (folder / "company.toml").mkdir()
    assert mistake().message == "cannot read it: Is a directory"
    (folder / "company.toml").rmdir()
    (folder / ".env").write_bytes(b"COMPANY_MODEL=\xff")
    assert mistake().place == ".env"


def test_a_mistake_in_the_environment_names_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "company.toml").write_text("threads = 2")
    monkeypatch.setenv("COMPANY_THREADS", "two")
    assert mistake().place == "COMPANY_THREADS"
    monkeypatch.delenv("COMPANY_THREADS")
    monkeypatch.setenv("COMPANY_TIERS", "{small")
    error = mistake()
    assert '"tiers"' in error.message
    assert "COMPANY_TIERS__SMALL" in error.hint
    monkeypatch.delenv("COMPANY_TIERS")
    (folder / ".env").write_text("COMPANY_SLOTS=0")
    assert mistake().place == ".env or COMPANY_SLOTS"


@pytest.mark.parametrize("source", ["environment", ".env"])
def test_a_misspelt_variable_is_no_silent_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    if source == ".env":
        (folder / ".env").write_text("COMPANY_MODLE=a:b")
    else:
        monkeypatch.setenv("COMPANY_MODLE", "a:b")
    error = mistake()
    assert error.message == "there is no setting `COMPANY_MODLE`"
    assert error.hint == "did you mean COMPANY_MODEL?"


def test_variables_of_others_with_our_prefix_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANY_NAME", "Acme")
    monkeypatch.setenv("COMPANY_MODELS", "/models")
    assert load_settings().model == "local:qwen2.5-coder-1.5b"
