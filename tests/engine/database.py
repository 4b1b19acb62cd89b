"""A PostgreSQL server of the tests' own, from the distribution's programs: in a folder of its own, on loopback, with a password."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

PASSWORD = "planted/p@ss word"


def programs() -> Path:
    """Where `initdb` and `postgres` lie. Fails where they could have been installed, else skips."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path))
    if found:
        return found[-1].parent
    if os.geteuid() == 0 and shutil.which("apt-get"):
        pytest.fail("there is no PostgreSQL server: scripts/database installs it")
    pytest.skip("there is no PostgreSQL server on this machine; `initdb` and `postgres` are needed")


class Server:
    """The server; `dsn` is its address with the password."""

    def __init__(self, folder: Path) -> None:
        self._bin, self._data = programs(), folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = folder / "log"
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, secret):
                shutil.chown(path, "nobody")
        words = ("--username=team", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync")
        subprocess.run(
            [self._bin / "initdb", "--pgdata", self._data, *words], check=True, capture_output=True, **self._as_user()
        )

    def _as_user(self) -> dict[str, Any]:
        """The server refuses to run as root."""
        return {"cwd": "/"} | ({"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {})

    @property
    def dsn(self) -> str:
        return self.address("team", PASSWORD)

    def address(self, user: str, password: str, database: str = "postgres") -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = ("fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1", f"port={self.port}")
        words = [word for setting in settings for word in ("-c", setting)]
        command = [self._bin / "postgres", "-D", self._data, *words]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())
        end = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.dsn).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < end
                time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, its connections with it."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def ask(self, query: Any, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def everything(self) -> str:
        """All that is in its tables, as text."""
        tables = self.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [self.ask(f'SELECT * FROM "{table}"') for (table,) in tables]
        return "\n".join(str(row) for each in rows for row in each)


@contextmanager
def serving() -> Iterator[Server]:
    """A server that is started, and ended with its folder."""
    with tempfile.TemporaryDirectory(prefix="company-pg-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
