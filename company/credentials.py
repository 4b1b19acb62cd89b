"""Keys: where one is (a variable, a file, the system's keyring), read when it is needed; and that none of them is shown.

Who says where a key is: `settings.py`. Who sends one: `llm/client.py`, `tools/link.py`. What a run writes to is never told one.
"""

from __future__ import annotations

import base64
import importlib
import os
import re
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from company.errors import UsageError, extra
from company.sop.library import own_folder

_FILE, _KEYRING = "file:", "keyring:"
_LONGEST = 1 << 16
_SECRET_WORDS = re.compile(r"key|token|secret|sig|pass|auth|cred", re.IGNORECASE)


def check_source(source: str) -> str:
    """The source as it is: the name of an environment variable, ``file:PATH``, ``keyring:SERVICE/USER``, or empty.

    Raises:
        ValueError: it is none of these. The message does not hold it, for it may be a key by mistake.
    """
    service, _, user = source.removeprefix(_KEYRING).rpartition("/")
    if source.startswith(_KEYRING):
        right = bool(service and user)
    elif source.startswith(_FILE):
        right = source != _FILE and "\0" not in source
    else:
        plain = (
            re.fullmatch(r"[A-Z_][A-Z0-9_]*", source) is not None
        )  # else it looks like a key, unless there is such a variable
        right = not source or plain or (source.isidentifier() and source in os.environ)
    if not right:
        raise ValueError(
            "it says where the key is: a variable's name, file:PATH or keyring:SERVICE/USER; no key itself"
        )
    return source


def read_key(source: str, holder: str) -> str:
    """The key that lies there; what is asked for it: ``the provider `mine```.

    Raises:
        UsageError: there is none, or others can read its file.
    """
    if source.startswith(_FILE):
        key = _from_file(_path(source.removeprefix(_FILE)))
    elif source.startswith(_KEYRING):
        key = _from_keyring(*source.removeprefix(_KEYRING).rpartition("/")[::2])
    else:
        key = os.environ.get(source, "")
    key = key.strip()
    if not key:
        missing = "holds no key" if source.startswith(_FILE) else "is not set"
        is_place = source.startswith((_FILE, _KEYRING)) or re.fullmatch(r"[A-Z_][A-Z0-9_]*", source)
        named = source if is_place else "the variable that `key` names"  # what is no such name may be a key, put there
        raise UsageError(f"{named} {missing}", hint=f"it holds the key of {holder}")
    return key


def sendable(key: str) -> bool:
    """Whether a key can be sent in a header."""
    return all("!" <= letter <= "~" for letter in key)


def _path(text: str) -> Path:
    return (own_folder() or Path.cwd()) / Path(text).expanduser()


def _from_file(path: Path) -> str:
    try:
        file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8", errors="replace")  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"cannot read the key: {error.strerror}", place=str(path)) from error
    with file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UsageError("a key is read from a file, and this is none", place=str(path))
        if found.st_uid != os.geteuid():
            raise UsageError(
                "the file of the key belongs to somebody else, who could change or read it",
                place=str(path),
                hint=f"put the key into a file of your own: install -m 600 {shlex.quote(str(path))} COPY",
            )
        if found.st_mode & 0o077:
            raise UsageError(
                f"others than you can read or write the key (mode {stat.S_IMODE(found.st_mode):04o})",
                place=str(path),
                hint=f"chmod 600 {shlex.quote(str(path))}",
            )
        return file.read(_LONGEST)


def _from_keyring(service: str, user: str) -> str:
    try:
        keyring: Any = importlib.import_module("keyring")
    except ImportError:
        raise UsageError("the package that reads the keyring is not installed", hint=extra("keyring")) from None
    try:
        key = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        said = " ".join(str(error).split())[:200]
        hint = "open the keyring, or keep the key in a variable or a file (file:PATH)"
        raise UsageError(f"the keyring cannot be read: {said or type(error).__name__}", hint=hint) from error
    if key is None:
        by_hand = f"keyring set {shlex.quote(service)} {shlex.quote(user)}"
        raise UsageError(f"the keyring has no key of `{user}` for `{service}`", hint=f"put it there: {by_hand}")
    return str(key)


# --- what is not shown ------------------------------------------------------------------------------


def bare(url: str) -> str:
    """An address without user, password, query and the slash at its end, fit to be shown and to tell one from another."""
    scheme, mark, rest = url.partition("://")
    rest = rest.rpartition("@")[2]  # a password that nobody escaped may hold any of the marks that end a host
    return f"{scheme}{mark}{rest.partition('?')[0].partition('#')[0].rstrip('/')}"


def is_http(url: str) -> bool:
    """Whether it is an address that HTTP requests can be sent to."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and re.search(r"[\s\0]", url) is None
        )
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False


def secrets_of(key: str, url: str) -> tuple[str, ...]:
    """What no message may hold: a key, and what an address has of passwords and tokens; each in every form that it is sent in."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    words = [value for name, value in parse_qsl(parts.query) if _SECRET_WORDS.search(name)]
    basic = [f"{user}:{password}"] if user or password else []
    plain = [text for text in (key, password, *([] if password else [user]), *words, *basic) if text]
    return tuple(sorted({form for text in plain for form in _forms(text)}, key=len, reverse=True))


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret in it made unreadable."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _forms(text: str) -> set[str]:
    coded = {code(text.encode()).decode() for code in (base64.b64encode, base64.urlsafe_b64encode)}
    return {text, quote(text, safe=""), quote_plus(text), *coded, *(one.rstrip("=") for one in coded)}
