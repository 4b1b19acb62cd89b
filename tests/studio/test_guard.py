"""Who may ask the studio, and what every answer says about itself."""

import httpx
import pytest


def test_the_address_opens_the_list_of_runs(studio: str) -> None:
    answer = httpx.get(studio)
    assert answer.status_code == 200
    assert "todo" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("token", ["", "x", "static/studio.css"])
def test_without_the_token_nothing_is_served(studio: str, token: str) -> None:
    root = "/".join(studio.split("/")[:3])
    answer = httpx.get(f"{root}/{token}")
    assert answer.status_code == 403
    assert "todo" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_name_that_was_bent_to_this_machine_is_refused(studio: str, host: str) -> None:
    answer = httpx.get(studio, headers={"host": host})
    assert answer.status_code in (400, 421)
    assert "todo" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
)  # fmt: skip
def test_another_sites_page_changes_nothing(studio: str, headers: dict[str, str]) -> None:
    assert httpx.post(studio, headers=headers).status_code == 403


def test_every_answer_forbids_what_the_studio_does_not_need(studio: str) -> None:
    for path in ("", "static/live.js", "no/such/page"):
        headers = httpx.get(studio + path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_no_file_outside_is_served(studio: str) -> None:
    for path in ("static/../app.py", "static/%2e%2e/app.py", "static/..%2f..%2f..%2fpyproject.toml"):
        assert httpx.get(studio + path).status_code == 404
