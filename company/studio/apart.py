"""Runs a function in a process of its own that can be ended: what a stranger's text makes slow or large ends with it, not the studio.

What is run so: `checking.py`. A run of a procedure is a process of another kind: `processes.py`.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any

from company.errors import Broken, CompanyError

MEMORY = 2_000_000_000
"""Bytes that such a process may have."""
_READY = b"ready"
_PATIENCE = 60.0
"""Seconds until the first one has everything imported."""


class TooMuch(CompanyError):
    """It took too long, or too much memory, and was ended."""


@cache
def _context() -> ForkServerContext:
    """Processes begin as copies of one that has everything imported: a few milliseconds instead of a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["company.studio.checking", "jinja2.meta"]
    )  # the second is imported by the first when needed
    return context


def apart(function: Callable[..., Any], *args: Any, seconds: float, most: int) -> Any:
    """What the function returns. Waits: call it in a thread.

    Args:
        function: of a module, and what it returns is JSON.
        most: bytes of the result.

    Raises:
        TooMuch: it was ended.
        Broken: it failed.
    """
    mine, its = _context().Pipe(duplex=False)
    process = _context().Process(target=_work, args=(its, seconds, function, args), daemon=True)
    process.start()
    its.close()
    try:
        if not mine.poll(_PATIENCE) or mine.recv_bytes() != _READY or not mine.poll(seconds):
            raise TooMuch(f"it takes longer than {seconds:g} s", hint="make the text smaller")
        answer = json.loads(mine.recv_bytes(most))
    except (EOFError, OSError) as error:
        raise TooMuch("it takes too much memory, or is too large", hint="make the text smaller") from error
    finally:
        process.kill()
        process.join()
        mine.close()
    if "error" in answer:
        raise Broken(answer["error"])
    return answer["value"]


def _work(answer: Connection, seconds: float, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """In the other process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1,) * 2)
    answer.send_bytes(_READY)
    try:
        said = {"value": function(*args)}
    except MemoryError:
        return
    except Exception as error:  # noqa: BLE001 - the studio says what it was
        said = {"error": f"{type(error).__name__}: {error}"}
    answer.send_bytes(json.dumps(said).encode())
