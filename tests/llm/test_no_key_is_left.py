"""Keys are planted wherever one may lie; then all that runs leave is searched for them, in every form in which they are sent."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from pydantic import SecretStr

from company import wiring
from company.engine import NewRun
from company.llm import client
from company.llm.client import ChatModel
from company.llm.endpoint import Endpoint
from company.settings import Settings, load_settings
from tests import fault_server as fs
from tests.engine.test_traces import collector

PLANTED = {
    "variable": "sk-planted/variable+0123456789",
    "file": "sk-planted/file+0123456789",
    "password": "planted/password+0123456789",
    "tools": "planted/tools+0123456789",
    "query": "planted/query+0123456789",
    "proxy": "planted/proxy+0123456789",
    "token": "planted/token+01234567890123",
}
SOP = """sop: 1
steps:
  first: {role: writer, prompt: tell, in: {about: requirement}, out: str, tools: [mcp.own]}
  second: {role: writer, prompt: tell, in: {about: first}, out: str, model: "filed:m"}
"""
DONE = fs.ok(json.dumps({"thought": "", "call": {"tool": "done"}}))
SERVING = str(Path(__file__).parents[1] / "tools/serving.py")


def forms(kind: str) -> set[bytes]:
    """A planted key as it lies somewhere or is sent: plain, in an address, in a header."""
    key = PLANTED[kind].encode()
    texts = [key, b"me:" + key] if kind in ("password", "proxy") else [key, key + b":"] if kind == "token" else [key]
    codes = (base64.b64encode, base64.urlsafe_b64encode)
    return {key, quote(PLANTED[kind], safe="").encode(), *(code(text).rstrip(b"=") for text in texts for code in codes)}


def echo(*kinds: str) -> str:
    """What a server says that shows what it was sent."""
    return " ".join(form.decode() for kind in kinds for form in sorted(forms(kind)))


TOKEN = f"http://{quote(PLANTED['token'], safe='')}:@127.0.0.1:"
PROXY = f"http://me:{quote(PLANTED['proxy'], safe='')}@127.0.0.1:"
MINE, FILED = echo("variable", "password", "query"), echo("file")


def lay_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "roles/writer.yaml": "title: Writer\nprofile: You write.\ntools: [mcp.own]\n",
        "prompts/writer/tell.md.j2": "Tell {{ about }}\n",
        "own.yaml": SOP,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MINE_KEY", PLANTED["variable"])
    monkeypatch.setenv("NOTES_TOKEN", PLANTED["tools"])
    monkeypatch.setenv("COMPANY_MODELS", str(folder / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))  # pauses, and whatever else is remembered of endpoints


def set_up(folder: Path, url: str) -> None:
    """The settings; what is set there by hand is no leak, and lies elsewhere than what is searched."""
    secret = folder.parent / "secret"
    secret.write_text(PLANTED["file"] + "\n")
    secret.chmod(0o600)
    host = url.removeprefix("http://")
    with_user = f"http://me:{quote(PLANTED['password'], safe='')}@{host}?token={quote(PLANTED['query'], safe='')}"
    (folder / "company.toml").write_text(
        f'model = "mine:m"\n[providers.mine]\nbase_url = "{with_user}"\nkey = "MINE_KEY"\n'
        f'[providers.filed]\nbase_url = "{url}"\nkey = "file:{secret}"\n'
        f'[mcp.own]\ncommand = "{sys.executable}"\nargs = ["{SERVING}", "stdio"]\nenv = {{TOKEN = "NOTES_TOKEN"}}\n'
    )


def left(folder: Path, *said: bytes) -> list[str]:
    """Where a planted key is found: in files, in git's objects, in what was said."""
    found = {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "company.toml"
    }
    for repository in {path.parent for path in folder.rglob(".git")}:
        words = ["git", "-C", str(repository), "cat-file", "--batch-all-objects", "--batch"]
        found[f"objects of {repository}"] = subprocess.run(words, capture_output=True, check=True).stdout
    found |= {f"output {number}": text for number, text in enumerate(said)}
    assert sum(map(len, found.values())) > 10_000, "there is something to search"
    return [
        f"{kind} in {place}"
        for place, text in found.items()
        for kind in PLANTED
        for form in forms(kind)
        if form in text
    ]


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    (tmp_path / "filler").write_text("x" * 20_000)
    for kind in PLANTED:
        for form in forms(kind):
            assert left(tmp_path, b"a " + form + b" b")


def test_runs_leave_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project"
    lay_out(folder, monkeypatch)
    said: list[bytes] = []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OPENAI_LOG": "debug"}
    environment |= dict.fromkeys(("OPENAI_PROXY", "HTTPS_PROXY"), f"{PROXY}9")

    async def command(*words: str) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "company", *words, env=environment, stdout=-1, stderr=-1, cwd=folder
        )
        titles = asyncio.create_task(watch(process.pid))
        said.extend(await process.communicate())
        titles.cancel()
        assert process.returncode is not None
        return process.returncode

    async def watch(pid: int) -> None:
        while psutil.pid_exists(pid):
            try:
                for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
                    said.append(" ".join(one.cmdline()).encode())
            except psutil.Error:
                pass
            await asyncio.sleep(0.2)

    async def main() -> list[int]:
        script = (
            fs.error("500 Internal Server Error", MINE, Retry_After_Ms="10"),
            DONE,
            fs.ok("Hello."),
            fs.raw(f"<html>{FILED}</html>".encode(), "403 Forbidden", "text/html", X_Echo="x"),
            fs.raw(fs.event({"error": {"message": FILED, "code": 401}})),
            fs.ok("Well."),
        )
        async with fs.serving(*script) as server:
            set_up(folder, server.base_url)
            codes = [await command("model", "list")]
            ways = ("--headless", "--plain", "--record", "rec.jsonl")
            codes.append(await command("run", "x", "--sop", "own.yaml", "--name", "out", *ways))
            codes += [await command("resume", "--json", *ways) for _ in range(2)]
            sent = [seen.headers["authorization"] for seen in server.requests]
        assert sent[0] == "Basic " + base64.b64encode(f"me:{PLANTED['password']}".encode()).decode()
        assert sent[-1] == f"Bearer {PLANTED['file']}"
        return codes

    with collector() as (address, spans):
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        assert asyncio.run(main()) == [0, 1, 1, 0], b"\n".join(said).decode()
    assert b"***" in b"".join(said)
    assert b"auto-detection" not in b"".join(said), "what a library thinks of proxies is not told: they are used"
    assert b"chat m" in b"".join(spans)
    assert (folder / "rec.jsonl").read_text().count("***") >= 2, "what was told of keys is there, and hidden"
    assert list((folder / "cache/company/pauses").iterdir())
    assert left(folder, *said, *spans) == []


@pytest.mark.parametrize(
    ("model", "address", "told"),
    [
        pytest.param("plain:m", PROXY, "407", id="refuses-a-request"),
        pytest.param("safe:m", PROXY, "407", id="refuses-a-tunnel"),
        pytest.param("plain:m", TOKEN, "407", id="takes-a-token"),
        pytest.param("plain:m", TOKEN.replace(":@", "@"), "407", id="takes-a-token-alone"),
        pytest.param("safe:m", PROXY.replace("http", "socks5"), "all_proxy", id="without-its-package"),
        pytest.param("plain:m", PROXY.replace("http", "socks"), "all_proxy", id="of-no-known-kind"),
        pytest.param("safe:m", f"http://me:{PLANTED['proxy']}@127.0.0.1:", "all_proxy", id="no-address"),
    ],
)
def test_a_proxy_leaves_no_password_and_no_token(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    model: str,
    address: str,
    told: str,
) -> None:
    folder = tmp_path / "project"
    lay_out(folder, monkeypatch)
    (folder / "own.yaml").write_text(SOP.replace(", tools: [mcp.own]", "").replace(', model: "filed:m"', ""))
    (folder / "company.toml").write_text(
        '[providers.plain]\nbase_url = "http://models.example/v1"\n[providers.safe]\nbase_url = "https://models.example/v1"\n'
    )
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.001)

    async def main() -> str:
        said = echo("token" if "token" in address else "proxy")
        refusal = fs.error("407 Proxy Authentication Required", said, X_Echo=said)
        async with fs.serving(refusal) as server:
            port = server.base_url.rpartition(":")[2].partition("/")[0]
            for name in ("OPENAI_PROXY", "all_proxy"):
                monkeypatch.setenv(name, address + port)
            new = NewRun({"requirement": "x"}, "own.yaml", folder / "ws", name="out", user_dir=folder, model=model)
            outcome = await wiring.run(new, load_settings())
            print(outcome.reason, outcome.hint)
            return outcome.reason

    reason = asyncio.run(main())
    assert told in reason
    assert "defect" not in reason
    out, err = capfd.readouterr()
    assert left(folder, out.encode(), err.encode()) == []


def test_a_defect_in_the_midst_of_a_call_leaves_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "project"
    lay_out(folder, monkeypatch)
    (folder / "own.yaml").write_text(SOP.replace(", tools: [mcp.own]", ""))
    caplog.set_level("DEBUG")

    def broken(tries: int) -> float:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(client, "_backoff", broken)

    async def main() -> str:
        async with fs.serving(fs.error("500 Internal Server Error", MINE)) as server:
            set_up(folder, server.base_url)
            new = NewRun(
                inputs={"requirement": "x"}, sop="own.yaml", workspace=folder / "ws", name="out", user_dir=folder
            )
            settings = load_settings()
            print(repr(settings))
            return (await wiring.run(new, settings)).reason

    assert "ZeroDivisionError" in asyncio.run(main())
    (journal,) = folder.rglob("events.jsonl")
    assert "Traceback" in journal.read_text()
    out, err = capfd.readouterr()
    assert "mine" in out
    assert left(folder, caplog.text.encode(), out.encode(), err.encode()) == []


def test_what_is_shown_of_settings_and_endpoints_has_no_key() -> None:
    url = "http://me:planted@127.0.0.1:9/v1?token=planted"
    settings = Settings(
        providers={"mine": {"base_url": url}},  # type: ignore[dict-item]
        mcp={"own": {"url": url}},  # type: ignore[dict-item]
        remote="https://me:planted@host/{name}.git",
        state=SecretStr("postgresql://me:planted@host/db"),
    )
    endpoint = Endpoint(url, SecretStr("planted"))
    for shown in (settings, settings.providers, settings.mcp, endpoint, vars(ChatModel("mine:m", endpoint))):
        assert "planted" not in f"{shown!r} {shown}"
