"""What several programs do with the same inputs, seen in one start of the sandbox, so that they can be compared.

What happens inside: `prober.py`. What follows from it: `company/selection.py`. It is no verdict: `verdict.py` gives those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from company.sandbox.base import Limits, Sandbox, Spec
from company.sandbox.verdict import broken

SECONDS = 0.5
"""Processor time of one input in one program."""
MOST_PROBES = 60
"""Inputs that programs are compared on."""
_BOOT = """
import json, sys
job = json.load(sys.stdin)
space = {"__name__": "prober"}
exec(compile(job.pop("source"), "prober", "exec"), space)
space["main"](job)
"""
_SOURCE = Path(__file__).with_name("prober.py").read_text("utf-8")
"""As it was when this program began, as what judges is."""


class Probe(NamedTuple):
    """One input: an expression after some statements, or commands of which the last is looked at."""

    setup: str = ""
    expression: str = ""
    expected: str | None = None
    """What it should give: a literal, ``raises NAME``, or what the last command should print; None where nobody says."""
    commands: tuple[tuple[str, str], ...] = ()
    """Command lines, each with what is typed into it."""
    status: int = 0
    """The exit status that the last command should have."""


class Seen(NamedTuple):
    """What a program gave for an input."""

    text: str
    """Equal for equal values; ``raises NAME``, ``late``, ``died``, or ``unsteady`` where it gives another each time."""
    held: bool
    """Whether it is what was expected."""

    @property
    def is_value(self) -> bool:
        """Whether it is an answer at all."""
        return self.text not in ("late", "died", "unsteady") and not self.text.startswith("raises ")


async def behaviours(
    sandbox: Sandbox, programs: Sequence[Mapping[str, str]], probes: Sequence[Probe], seconds: float
) -> list[list[Seen]]:
    """For each program (path → text) what it gives for each input. Each is asked twice: what differs is `unsteady`.

    Args:
        seconds: wall time of it all; what was not come to by then has ``late``.

    Raises:
        SandboxUnavailable: the sandbox itself failed.
    """
    probes = probes[:MOST_PROBES]
    tree = {
        f"p{number}/{path}": text.encode("utf-8", "replace")
        for number, program in enumerate(programs)
        for path, text in program.items()
    }
    job = {
        "source": _SOURCE,
        "programs": [f"p{number}" for number in range(len(programs))],
        "probes": [probe._asdict() for probe in probes],
        "seconds": SECONDS,
        "memory": 1 << 30,
    }
    limits = Limits(seconds=seconds, cpu_seconds=int(seconds) + 1, output_bytes=4 << 20)
    result = await sandbox.run(Spec(("python", "-I", "-c", _BOOT), tree, json.dumps(job).encode(), limits))
    if result.status == "setup_failed":
        raise broken(result)
    whole = result.stdout.split("\n")[:-1]  # a limit may have cut the last one
    told = [[[Seen(*one) for one in each] for each in json.loads(line)] for line in whole]
    told += [[[Seen("late", False)] * len(probes)] * 2] * (len(programs) - len(told))
    return [[one if one == two else Seen("unsteady", False) for one, two in zip(*pair, strict=True)] for pair in told]
