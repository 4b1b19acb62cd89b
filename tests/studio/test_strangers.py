"""Whoever was not given the address gets nothing, whatever he sends; and nothing of what must stay here is shown to anybody."""

import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from serving import company, crawled, serving

FORM = {"content-type": "application/x-www-form-urlencoded"}


def raw(address: str, request: bytes, seconds: float = 10) -> bytes:
    """What comes back for these bytes, to the end of the connection."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=seconds) as wire:
        wire.sendall(request)
        answer = b""
        with suppress(TimeoutError, ConnectionResetError):
            while piece := wire.recv(65536):
                answer += piece
    return answer


def head(address: str, target: str, method: str = "GET", *more: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {urlsplit(address).netloc}", "Connection: close", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.parametrize(
    "method", ["OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND", "get", "X" * 500]
)
def test_other_methods_do_nothing(studio: str, method: str) -> None:
    path = urlsplit(studio).path
    answer = raw(studio, head(studio, path, method))
    assert status(answer) in (400, 405), answer[:200]
    assert b"todo" not in answer
    assert b"access-control" not in answer.lower()


def test_head_says_what_get_would_and_no_more(studio: str) -> None:
    answer = raw(studio, head(studio, urlsplit(studio).path, "HEAD"))
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n")


def test_a_target_that_is_no_plain_path_opens_nothing(studio: str) -> None:
    token = urlsplit(studio).path.strip("/")
    other = "y" if token[-1] == "x" else "x"
    for target in (
        f"http://evil.example/{token}/", f"//{token}/", f"//evil.example/{token}/", "/", "*", "/%2e%2e/", f"/%2f{token}/",
        f"/x/../{token}/", f"/{token}", f"/{token[:-1]}/", f"/{token[:-1]}{other}/", f"/{token}x/", f"/{token.swapcase()}/",
        "/favicon.ico", "/static/live.js", "/runs", f"/?{token}/", f"/;/{token}/", f"\\{token}\\", "/\x00/",
    ):  # fmt: skip
        answer = raw(studio, head(studio, target))
        assert status(answer) in (0, 400, 403, 404, 405), (target, answer[:200])
        assert b"todo" not in answer, target
        assert token.encode() not in answer, target


def test_paths_that_climb_are_not_there(studio: str) -> None:
    token = urlsplit(studio).path
    for path in (
        "runs/%2e%2e", "runs/..%2f..%2fetc", "runs/%2e%2e/actions", "runs/.../gates", "runs/%00/actions", "starting/%2e%2e", "static//etc/passwd",
        "static/%5c..%5capp.py", "/", "runs//actions", "%2e%2e/%2e%2e/",
    ):  # fmt: skip
        answer = raw(studio, head(studio, token + path))
        assert status(answer) in (400, 404), (path, answer[:300])
        assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "hosts", [["Host: evil.example"], ["Host: 127.0.0.1", "Host: evil.example"], ["Host: 127.0.0.1.nip.io"], ["Host: "], []]
)  # fmt: skip
def test_only_this_machines_names_are_answered(studio: str, hosts: list[str]) -> None:
    lines = [
        f"GET {urlsplit(studio).path} HTTP/1.1",
        *hosts,
        "X-Forwarded-Host: 127.0.0.1",
        "Connection: close",
        "",
        "",
    ]
    answer = raw(studio, "\r\n".join(lines).encode())
    assert status(answer) in (400, 421), answer[:200]
    assert b"todo" not in answer


def test_what_is_too_long_is_refused(studio: str) -> None:
    assert status(raw(studio, head(studio, urlsplit(studio).path + "x" * 200_000))) in (0, 400, 414, 431)
    assert httpx.post(f"{studio}new", content=b"requirement=" + b"x" * 5_000_000, headers=FORM).status_code == 413
    pieces = (b"x" * 100_000 for _ in range(60))  # no length is told
    with suppress(httpx.WriteError):  # it need not listen to the end
        assert httpx.post(f"{studio}new", content=pieces, headers=FORM).status_code == 413
    many = "&".join(f"a{number}=1" for number in range(5000)).encode()
    assert httpx.post(f"{studio}new", content=many, headers=FORM).status_code == 400
    assert httpx.post(f"{studio}new", content=b"requirement=%ff%fe", headers=FORM).status_code == 400
    assert httpx.post(f"{studio}new", json={"requirement": "x"}).status_code == 415
    assert (
        httpx.post(f"{studio}new", content=b"requirement=x", headers={"content-type": "text/plain"}).status_code == 415
    )
    assert httpx.get(studio, params={"text": "x" * 10_000, "page": "9" * 400, "status": "<script>"}).status_code == 200


def test_another_sites_form_begins_nothing(studio: str, workspace: Path) -> None:
    before = sorted((workspace / ".company" / "runs").iterdir())
    run = before[0].name
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        for path in ("new", f"runs/{run}/actions", f"runs/{run}/gates", f"runs/{run}/gates/check", "starting/x"):
            answer = httpx.post(studio + path, data={"requirement": "x", "do": "redo"}, headers=headers)
            assert answer.status_code == 403, path
            assert "access-control-allow-origin" not in answer.headers
    for path in ("new", f"runs/{run}/actions"):  # looking changes nothing
        assert httpx.get(studio + path, params={"do": "redo", "requirement": "x"}).status_code == 200
    assert sorted((workspace / ".company" / "runs").iterdir()) == before


def test_many_who_say_nothing_keep_nobody_out(studio: str) -> None:
    place = urlsplit(studio)
    with ExitStack() as stack:
        wires = []
        for number in range(300):
            wire = stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=10))
            wires.append(wire)
            wire.sendall(
                (b"", b"GET / HT", b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\na")[number % 3]
            )
        began = time.monotonic()
        answer = httpx.get(studio)
        assert answer.status_code == 200
        assert time.monotonic() - began < 5
        wires[0].settimeout(30)
        assert wires[0].recv(1) == b""  # it waited long enough for a request
    assert httpx.get(studio).status_code == 200


def test_no_key_is_in_any_page_log_or_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"OPENAI_API_KEY": "sk-planted-in-the-environment", "MINE": "planted-by-variable", "COMPANY_REMOTE": ""}
    inside = "planted-in-the-settings"
    (tmp_path / "company.toml").write_text(
        f'[providers.mine]\nbase_url = "http://user:{inside}@127.0.0.1:9/v1?key={inside}"\nkey = "MINE"\ndeadline = 1\n'
        f'[mcp.tools]\nurl = "http://127.0.0.1:9/?key={inside}"\nkey = "MINE"\n'
    )
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    where = tmp_path / "workspace"
    company("run", "A to-do list", "--name", "todo", "--dry-run", "--headless", workspace=where)
    planted = [inside, *filter(None, secrets.values())]
    with serving(where) as address:
        token = urlsplit(address).path.strip("/")
        begun = httpx.post(
            f"{address}new", data={"requirement": "x", "sop": "zero_shot", "model": "mine:m"}, timeout=60
        )
        refused = httpx.post(
            f"{address}new", data={"requirement": "x", "sop": "zero_shot", "model": "min:m"}, timeout=60
        )
        assert (begun.status_code, refused.status_code) in ((303, 422), (303, 303))  # where it takes long, a page waits
        end = time.monotonic() + 60
        while "failed" not in httpx.get(address).text and time.monotonic() < end:
            time.sleep(0.5)
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        said = [("refused", refused.text), ("ps", listed), *crawled(address)]
    assert len(said) > 10
    for place, text in said:
        assert [key for key in planted if key in text] == [], place
    assert token not in listed
    for path in where.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert [key for key in [*planted, token] if key.encode() in data] == [], path


def test_a_second_browser_without_the_address_sees_nothing(studio: str, browser: object) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        answer = page.goto("/".join(studio.split("/")[:3]) + "/")
        assert answer.status == 403
        assert "todo" not in page.content()
        assert context.cookies() == []
    finally:
        context.close()


def test_only_the_loopback_is_listened_at(studio: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("no other address than the loopback")
        mine = probe.getsockname()[0]
    if mine.startswith("127."):
        pytest.skip("no other address than the loopback")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((mine, urlsplit(studio).port), timeout=2).close()
