"""How a command ends that did not go well: errors as text and with `--json` as objects, and standard streams that nobody reads.

The only renderer of errors. The errors: `errors.py`; which exit status a run has, and what it prints: `cli.py`.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import typer

from company.errors import Broken, CompanyError, SopError, UsageError

Misuse: type[Any] = typer.BadParameter.__mro__[1]
"""What typer raises for arguments that cannot be: it exports this class by its heirs alone."""


def misused(error: Any) -> UsageError | None:
    """Such an error as one of ours; None where a group of commands was named alone, and its help is what is shown."""
    context = error.ctx
    if context and error.message == context.get_help():
        return None
    command = context.command_path if context else "company"
    return UsageError(error.format_message().rstrip("."), hint=f"`{command} --help` says what it takes")


def show_error(error: CompanyError) -> None:
    """Place and fact, then the way out, on standard error; with `--json` as an object on standard output too."""
    from company.terminal import harmless

    if isinstance(error, SopError) and error.report:
        print(harmless(error.report) + "\n", file=sys.stderr)
    print(harmless(f"error: {error}"), file=sys.stderr)
    if error.hint:
        print(harmless(f"\nhint: {error.hint}"), file=sys.stderr)
    found = [each.data() for each in error.diagnostics] if isinstance(error, SopError) else []
    error_as_json(error.message, error.place, error.hint, found)


def error_as_json(error: str, place: str = "", hint: str = "", diagnostics: Iterable[dict[str, Any]] = ()) -> None:
    """With `--json` an error is the object that standard output ends with; a program reads no text for people."""
    if "--json" not in sys.argv[1:]:
        return
    told = {"error": error, "place": place, "hint": hint} | (
        {"diagnostics": found} if (found := [*diagnostics]) else {}
    )
    with suppress(OSError):  # nobody may be there to read it, and the exit status says the same
        print(json.dumps(told, ensure_ascii=False), flush=True)


def open_streams() -> None:
    """Make the standard streams fit to be used, whatever the command was started with.

    One that is closed leads nowhere, else the next file that is opened would be in its place and get what is printed. A terminal that is
    not UTF-8 is no reason to fail. Messages that cannot be written are dropped: they are no reason to stop a run.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    told = sys.stderr
    if told is sys.__stderr__ and isinstance(told, io.TextIOWrapper):
        told.flush()
        raw = io.BufferedWriter(_Unheard(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, told.encoding, "backslashreplace", line_buffering=True)


class _Unheard(io.FileIO):
    """Standard error, which leads nowhere once nobody is there to read it, or the disk behind it is full."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BlockingIOError:
            raise
        except OSError:
            lead_nowhere(self.fileno())
            return len(data)


def lead_nowhere(number: int) -> None:
    """Let what is written to a standard stream from now on, and what is still to be, be lost without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def hand_over(text: str, status: str, again: str) -> None:
    """Print what a run came to. That nobody reads it is said, and changes nothing of how the run ended.

    Args:
        status: how it ended.
        again: the command that shows it.

    Raises:
        Broken: it cannot be written.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        lead_nowhere(1)
        print(f"note: nobody reads standard output any more; `{again}` shows what it came to", file=sys.stderr)
    except OSError as error:
        lead_nowhere(1)
        what = f"the run ended ({status}), and its result cannot be written to standard output: {error.strerror}"
        raise Broken(what, hint=f"`{again}` shows what it came to") from error
