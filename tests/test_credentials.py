"""Where a key lies: a variable, a file that nobody else can read, the keyring; and the forms in which none may be shown."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from company import credentials
from company.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with a file of a key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "company.toml").write_text("")
    (tmp_path / "key").write_text(" k-123\n")
    (tmp_path / "key").chmod(0o600)
    return tmp_path


def refusal(source: str) -> UsageError:
    with pytest.raises(UsageError) as raised:
        credentials.read_key(source, "the provider `mine`")
    return raised.value


def test_a_key_is_read_from_a_variable_or_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_KEY", "k-1 ")
    assert credentials.read_key("MINE_KEY", "x") == "k-1"
    assert credentials.read_key("file:key", "x") == "k-123"
    assert credentials.read_key(f"file:{folder}/key", "x") == "k-123"
    monkeypatch.setenv("HOME", str(folder))
    assert credentials.read_key("file:~/key", "x") == "k-123"
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")  # a path is the project folder's, wherever in it somebody stands
    assert credentials.read_key("file:key", "x") == "k-123"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_file_that_others_can_read_or_write_is_refused_with_the_way_out(folder: Path, mode: int) -> None:
    (folder / "key").chmod(mode)
    error = refusal("file:key")
    assert f"(mode {mode:04o})" in error.message
    assert error.hint == f"chmod 600 {folder}/key"
    assert error.place == f"{folder}/key"
    assert "k-123" not in str(error)


def test_a_file_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    error = refusal("file:key")
    assert "belongs to somebody else" in error.message
    assert "install -m 600" in error.hint


def test_what_holds_no_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINE_KEY", raising=False)
    assert refusal("MINE_KEY").message == "MINE_KEY is not set"
    assert refusal("MINE_KEY").hint == "it holds the key of the provider `mine`"
    assert refusal("file:none").message == "cannot read the key: No such file or directory"
    (folder / "key").write_text("\n")
    assert refusal("file:key").message == "file:key holds no key"
    os.mkfifo(folder / "fifo", 0o600)
    assert "this is none" in refusal("file:fifo").message, "and it does not wait for a writer"
    assert refusal("file:.").message == "cannot read the key: Is a directory"


def test_the_keyring_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "keyring", None)
    error = refusal("keyring:mine/me")
    assert "not installed" in error.message
    assert error.hint == "`pip install -e '.[keyring]'` in the folder of company's source"


def test_a_key_in_the_keyring(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    from keyring.backends import fail, null

    class Kept(null.Keyring):  # type: ignore[misc]
        def get_password(self, service: str, user: str) -> str | None:
            return "k-9" if (service, user) == ("https://mine/x", "me") else None

    before = keyring.get_keyring()
    try:
        keyring.set_keyring(Kept())
        assert credentials.read_key("keyring:https://mine/x/me", "x") == "k-9"
        error = refusal("keyring:mine/me")
        assert error.message == "the keyring has no key of `me` for `mine`"
        assert error.hint == "put it there: keyring set mine me"
        keyring.set_keyring(fail.Keyring())
        assert "the keyring cannot be read" in refusal("keyring:mine/me").message
    finally:
        keyring.set_keyring(before)


def test_what_is_hidden_of_a_key_and_an_address() -> None:
    secrets = credentials.secrets_of("k/1+2", "https://me:p%40ss@h/v1?api-version=2024&token=t0k")
    basic = base64.b64encode(b"me:p@ss").decode()
    text = f"k/1+2 k%2F1%2B2 {base64.b64encode(b'k/1+2').decode()} p@ss p%40ss {basic} t0k 2024"
    assert credentials.hide(text, secrets) == "*** *** *** *** *** *** *** 2024"
    assert credentials.bare("https://me:p%40ss@h:1/v1?token=t") == "https://h:1/v1"
    assert credentials.hide("none at all", credentials.secrets_of("", "http://h/v1")) == "none at all"
