"""`company serve`: the studio of a workspace, on this machine alone.

The application: `studio/app.py`. Who may ask it: `studio/guard.py`.
"""

from __future__ import annotations

import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company.cli_runs import WORKSPACE, WorkspaceOption
from company.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    workspace: WorkspaceOption = WORKSPACE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Open the studio: watch runs, begin and answer them, read what they made, edit procedures. Ctrl-C ends it; runs go on."""
    import webbrowser

    import uvicorn

    from company import wiring
    from company.settings import load_settings
    from company.sop.library import own_folder
    from company.studio.app import application
    from company.studio.connections import Connection
    from company.studio.desk import Desk

    settings = load_settings()
    listener = _listen(port)
    token = secrets.token_urlsafe(24)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/{token}/"
    with wiring.open_store(workspace, settings) as store, listener:
        desk = Desk(workspace.resolve(), store, settings, own_folder())

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                desk.close()
                super().handle_exit(sig, frame)

        server = Server(
            uvicorn.Config(
                application(desk, token), log_level="warning", access_log=False, lifespan="off", ws="none",
                server_header=False, proxy_headers=False, http=Connection, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        print(address, flush=True)
        print(
            "The studio is open at this address; whoever has it may begin runs here. Ctrl-C ends it.", file=sys.stderr
        )
        with _leading_to(address) if browser else nullcontext() as page:
            if page:
                webbrowser.open(page)
            server.run(sockets=[listener])


@contextmanager
def _leading_to(address: str) -> Iterator[str]:
    """A page that only this user can read and that leads to the address: on a browser's command line everybody would see the token."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="company-studio-", suffix=".html"
    ) as file:  # readable by its owner alone
        file.write(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={address}"><a href="{address}">The studio</a>\n'
        )
        file.flush()
        yield Path(file.name).as_uri()


def _listen(port: int) -> socket.socket:
    """A socket on loopback, and nowhere else."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()  # from now on whoever comes waits until the application is there
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} cannot be had: {error.strerror}", hint="leave `--port` out to take a free one"
        ) from error
    return listener
