"""A team's store: what `store.py` keeps in a folder is in PostgreSQL, so that any machine can go on with any run.

The folder stays as this machine's copy: everything is written there first, so what a lost connection kept from the
database is sent at the next sitting here. The repository's commits: `remotes.py`. Needs the extra ``postgres``.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import unquote

from company.checkpoints import pruned
from company.errors import UsageError, WorkspaceBusy, WorkspaceError, extra
from company.events import TRANSIENT, Event, line, parse, read
from company.store import Folder, Notice
from company.workspace import write_atomic

if TYPE_CHECKING:
    import psycopg
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from pydantic import SecretStr

_PATIENCE = 15.0
"""Seconds in which a database that went away may come back: a restart takes a few."""
_TABLES: tuple[LiteralString, ...] = (
    "CREATE TABLE IF NOT EXISTS company_kept (name text PRIMARY KEY, data bytea NOT NULL)",
    "CREATE TABLE IF NOT EXISTS company_journal (run text, seq integer, line bytea NOT NULL, PRIMARY KEY (run, seq))",
    "CREATE TABLE IF NOT EXISTS company_leases (run text PRIMARY KEY, holder text NOT NULL, token text NOT NULL)",
)
_SETTING_UP, _REQUESTS = "set up", "runs/%/request.json"
_IN_FOLDER = re.compile(r"runs/[^/]+/(request\.json|library/.+\.(yaml|j2))")
"""What a run's folder has beside its journal."""
_OPTIONS: dict[str, Any] = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "application_name": "company"}
_TRY: LiteralString = "SELECT pg_try_advisory_lock(hashtext('company'), hashtext(%s))"
_LOCKS: LiteralString = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = hashtext('company')::bigint & 4294967295"
    " AND objid::bigint = hashtext(%s)::bigint & 4294967295"
)
_ADVICE = (
    (r"password authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist",
     "mend the user or the password, there, in PGPASSWORD or in ~/.pgpass"),
    (r"database .* does not exist", "make it with `createdb`, or name another one"),
    (r"permission denied|no schema has been selected", "let the user make tables: GRANT CREATE, USAGE ON SCHEMA public TO …; or own those there are"),
    (r"too many (clients|connections)", "raise the server's max_connections, or wait"),
)  # fmt: skip


class Postgres:
    """A store in a database. One connection, which holds the lease of the run that this process drives.

    Raises:
        UsageError: psycopg is not installed.
    """

    def __init__(self, home: Path, dsn: SecretStr, place: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            hint = extra("postgres")
            raise UsageError("a state in PostgreSQL needs the extra `postgres`", place=place, hint=hint) from error
        self.home = home
        self._psycopg = psycopg
        self._folder = Folder(home)
        self._dsn, self._place = dsn, place
        self._connection: psycopg.Connection[Any] | None = None
        self._patience = 0.0  # a server that was never there is not waited for
        self._deaf_until = 0.0
        self._driven, self._has_held = "", False
        self._token = secrets.token_hex(8)
        self._known: dict[str, bytes] = {}
        """What the database has under a name, as far as this process put or got it."""
        self._next = 0
        """The journal's lines in the database; those after it wait in `_unsent`."""
        self._unsent: list[bytes] = []

    def __enter__(self) -> Postgres:
        self._ask("SELECT 1")
        return self

    def __exit__(self, *error: object) -> None:
        self._hang_up()

    def get(self, name: str) -> bytes | None:
        if name not in self._known:
            rows = self._ask("SELECT data FROM company_kept WHERE name = %s", name)
            if rows:
                self._known[name] = bytes(rows[0][0])
            elif (here := self._folder.get(name)) is not None:  # the connection was lost before it could be sent
                self.put(name, here)
        return self._known.get(name)

    def put(self, name: str, data: bytes) -> None:
        if self._known.get(name) != data:
            self._folder.put(name, data)
            self._ask(
                "INSERT INTO company_kept AS old VALUES (%s, %s) ON CONFLICT (name)"
                " DO UPDATE SET data = excluded.data WHERE old.data <> excluded.data",
                name, data,
            )  # fmt: skip
            self._known[name] = data

    def runs(self) -> list[str]:
        """Those of the database, from every machine, and those that were begun here before there was one."""
        rows = self._ask("SELECT split_part(name, '/', 2) FROM company_kept WHERE name LIKE %s", _REQUESTS)
        return list(dict.fromkeys([*(str(run) for (run,) in rows), *self._folder.runs()]))

    def marks(self) -> dict[str, object]:
        counted = dict(self._ask("SELECT run, count(*) FROM company_journal GROUP BY run"))
        here = self._folder.marks()
        return {run: (counted.get(run), here.get(run)) for run in self.runs()}

    def names(self) -> set[str]:
        rows = self._ask(
            "SELECT convert_from(data, 'UTF8')::json ->> 'name' FROM company_kept WHERE name LIKE %s", _REQUESTS
        )
        return {str(name) for (name,) in rows}

    def events(self, run: str) -> Iterator[Event]:
        kept = self._lines(run)
        yield from parse(kept)
        yield from parse(self._only_here(run, kept) or ())

    def record(self, run: str, event: Event) -> None:
        if event["event"] in TRANSIENT:
            return
        self._unsent.append(line(event))
        if time.monotonic() < self._deaf_until:
            return
        try:
            self._send(run)
        except WorkspaceBusy:
            raise
        except WorkspaceError:  # the next thing that must be kept stops the run; this line is in the folder
            self._deaf_until = time.monotonic() + 5

    def fetch(self, run: str) -> None:
        self._bring(self._names(run))
        kept = self._lines(run)
        only_here = self._only_here(run, kept)
        journal = self.home / "runs" / run / "events.jsonl"
        if only_here is None:  # another machine went on from what the database had
            journal.replace(journal.with_name(f"events.jsonl.aside-{int(time.time())}"))
            only_here = []
        if only_here and not kept:  # begun before there was a database
            for under in ("objects", "replies", f"runs/{run}/tools"):
                for path in (self.home / under).rglob("*.json"):
                    self.get(path.relative_to(self.home).as_posix())
        self._next, self._unsent = len(kept), only_here
        self._send(run)
        lines = [*kept, *only_here]
        if [line(event) for event in read(journal)] != lines:
            journal.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(journal, b"".join(text + b"\n" for text in lines))

    def library(self, run: str) -> Path:
        self._bring(name for name in self._names(run) if name.startswith(f"runs/{run}/library/"))
        return self._folder.library(run)

    @contextmanager
    def lease(self, run: str) -> Iterator[None]:
        self._driven, self._next, self._unsent = run, 0, []
        self._hang_up()
        try:
            self._ask("SELECT 1")
            yield
            with suppress(WorkspaceError):
                self._send(run)
        finally:
            self._driven, self._has_held = "", False
            self._hang_up()

    def is_driven(self, run: str, repo: Path) -> bool:
        return bool(self._ask(_LOCKS, run))

    @asynccontextmanager
    async def checkpoints(self, notice: Notice) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool

        logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())  # what it would say, our errors say
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            self._dsn.get_secret_value(),
            min_size=1, max_size=2, open=False, timeout=_PATIENCE, reconnect_timeout=_PATIENCE,
            check=AsyncConnectionPool.check_connection,
            kwargs={**_OPTIONS, "autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        )  # fmt: skip
        try:
            async with pool:
                saver = pruned(AsyncPostgresSaver)(pool)
                await self._set_up_checkpoints(saver)
                yield saver
        except self._psycopg.Error as error:
            raise self._error(error) from None

    def about(self) -> str:
        """The server's version and which database it is, for people."""
        ((version, name, host),) = self._ask(
            "SELECT current_setting('server_version'), current_database(), inet_server_addr()"
        )
        return f"PostgreSQL {version}, database {name} at {host or 'a socket of this machine'}"

    # --- the journal ------------------------------------------------------------------------------------

    def _names(self, run: str) -> list[str]:
        """What the run's folder has beside its journal."""
        rows = self._ask("SELECT name FROM company_kept WHERE starts_with(name, %s)", f"runs/{run}/")
        names = {str(name) for (name,) in rows}
        names |= {path.relative_to(self.home).as_posix() for path in (self.home / "runs" / run).rglob("*")}
        return sorted(name for name in names if _IN_FOLDER.fullmatch(name) and ".." not in name.split("/"))

    def _bring(self, names: Iterable[str]) -> None:
        """Put what is kept under the names into this machine's folder."""
        for name in names:
            if (data := self.get(name)) is not None:
                self._folder.put(name, data)

    def _lines(self, run: str) -> list[bytes]:
        rows = self._ask("SELECT line FROM company_journal WHERE run = %s ORDER BY seq", run)
        return [bytes(text) for (text,) in rows]

    def _only_here(self, run: str, kept: list[bytes]) -> list[bytes] | None:
        """The lines of this machine that the database lacks; None where it has others in their place."""
        here = [line(event) for event in self._folder.events(run)]
        if here[: len(kept)] == kept[: len(here)]:
            return here[len(kept) :]
        return None

    def _send(self, run: str) -> None:
        while self._unsent:
            self._ask(
                "INSERT INTO company_journal VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                run,
                self._next,
                self._unsent[0],
            )
            self._next += 1
            del self._unsent[0]

    # --- the connection ---------------------------------------------------------------------------------

    def _ask(self, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, which may run twice: a connection that was lost is made again for a while."""
        end = time.monotonic() + self._patience
        while True:
            try:
                cursor = self._connected().execute(query, values or None)
                rows = cursor.fetchall() if cursor.description else []
            except self._psycopg.OperationalError as error:
                self._hang_up()
                if time.monotonic() >= end:
                    self._patience = 0.0
                    raise self._error(error) from None
                time.sleep(0.2)
            except self._psycopg.Error as error:
                raise self._error(error) from None
            else:
                self._patience = _PATIENCE
                return rows

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            dsn = self._dsn.get_secret_value()
            connection = self._psycopg.connect(dsn, autocommit=True, prepare_threshold=None, **_OPTIONS)
            try:
                for name, value in (("idle", 10), ("interval", 5), ("count", 3)):  # who vanished frees his run soon
                    connection.execute("SELECT set_config(%s, %s, false)", (f"tcp_keepalives_{name}", str(value)))
                self._set_up(connection)
                if self._driven:
                    self._hold(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _hold(self, connection: psycopg.Connection[Any]) -> None:
        """Take the lease of the run that is driven: a lock of this connection, free when it ends, however it ends."""
        run = self._driven
        won = connection.execute(_TRY, (run,)).fetchone() == (True,)
        row = connection.execute("SELECT holder, token FROM company_leases WHERE run = %s", (run,)).fetchone()
        holder, token = row or ("another process", "")
        if not won and token == self._token:  # our own last connection, of whose end the server does not know yet
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({_LOCKS}) AS held", (run,))
            raise self._psycopg.OperationalError("the connection that was lost still holds the run")
        if not won or (self._has_held and token != self._token):
            raise WorkspaceBusy(
                f"the run {run} is busy: {holder} drives it" if not won else f"{holder} went on with the run {run}",
                hint="wait until it has ended there, or stop it; the run is free when its process is gone",
            )
        me = f"{socket.gethostname()}, pid {os.getpid()},"
        connection.execute(
            "INSERT INTO company_leases VALUES (%s, %s, %s)"
            " ON CONFLICT (run) DO UPDATE SET holder = excluded.holder, token = excluded.token",
            (run, me, self._token),
        )
        self._has_held = True

    # --- tables and errors ------------------------------------------------------------------------------

    def _set_up(self, connection: psycopg.Connection[Any]) -> None:
        """Make the tables, unless they are there: then no right to make any is needed."""
        if connection.execute("SELECT to_regclass('company_leases')").fetchone() == (None,):
            with self._alone(connection):
                for statement in _TABLES:
                    connection.execute(statement)

    async def _set_up_checkpoints(self, saver: AsyncPostgresSaver) -> None:
        there = self._ask("SELECT to_regclass('checkpoint_migrations')") != [(None,)]
        newest = self._ask("SELECT max(v) FROM checkpoint_migrations") if there else [(None,)]
        if newest[0][0] is None or newest[0][0] < len(saver.MIGRATIONS) - 1:
            with self._alone(self._connected()):
                await saver.setup()

    @contextmanager
    def _alone(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Keep other machines from making tables. Tried again and again: whoever waits in a statement blocks an index."""
        while connection.execute(_TRY, (_SETTING_UP,)).fetchone() != (True,):
            time.sleep(0.05)
        try:
            yield
        finally:
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock(hashtext('company'), hashtext(%s))", (_SETTING_UP,))

    def _error(self, error: psycopg.Error) -> WorkspaceError:
        text = " ".join(str(error).split())
        for secret in _passwords(self._dsn.get_secret_value()):
            text = text.replace(secret, "***")
        advice = (hint for pattern, hint in _ADVICE if re.search(pattern, text))
        hint = next(advice, "see that the server runs and can be reached from here (`company doctor`)")
        return WorkspaceError(
            f"the database of the state cannot be used: {text[:400]}",
            place=self._place,
            hint=f"{hint}; then `company resume` goes on with a run, nothing is lost",
        )


def _passwords(dsn: str) -> list[str]:
    """The passwords in an address, as written and as meant, longest first."""
    written = [dsn.partition("://")[2].rpartition("@")[0].partition(":")[2]]
    written += re.findall(r"[?&]password=([^&]*)", dsn)
    return sorted({one for text in written for one in (text, unquote(text)) if one}, key=len, reverse=True)
