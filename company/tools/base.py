"""What a tool is: a name, a sentence for the model, a schema for its arguments, and a call that gives bounded text.

The tools themselves: `builtin.py`, `servers.py`. Which a role gets: `registry.py`. How a model calls one: `talk.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from company.llm.shapes import misfit
from company.sandbox import Sandbox

MOST = 4000
"""Characters of one result."""


class Output(NamedTuple):
    """What a call gave."""

    text: str
    """For the model; never empty."""
    ok: bool = True
    """Whether it did what was asked: arguments that cannot be used and programs that fail did not."""


@dataclass(frozen=True)
class Workbench:
    """What a tool works on. Nothing that a tool does changes it."""

    files: Mapping[str, bytes]
    """The repository's files as the step sees them, path to content, without `.company/` and `.git/`."""
    sandbox: Sandbox
    seconds: float
    """Wall time of one call that runs something in the sandbox."""


@dataclass(frozen=True)
class Tool:
    """Something that a model may ask for by name."""

    name: str
    """`python`, `files.read`, `mcp.SERVER.TOOL`."""
    about: str
    """One sentence for the model."""
    parameters: Mapping[str, Any]
    """JSON schema of the arguments: a closed object, every property required."""
    run: Callable[[Mapping[str, Any], Workbench], Awaitable[Output]]
    """Does it, with arguments that fit."""

    async def call(self, arguments: Mapping[str, Any], bench: Workbench) -> Output:
        """Run it; the text is cut to `MOST` characters. What is wrong with the arguments is told in the text.

        Raises:
            SandboxUnavailable: the sandbox itself failed.
        """
        if fault := misfit(arguments, self.parameters, "arguments"):
            return Output(f"This call cannot be made: {fault}.", ok=False)
        output = await self.run(arguments, bench)
        return Output(cut(output.text), output.ok)


def cut(text: str, most: int = MOST) -> str:
    """At most about `most` characters of a text, head and tail, and how much is left out; never empty.

    Half of a surrogate pair becomes `?`, since no request can carry it.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= most:
        return text or "(nothing)"
    head = most // 2
    return f"{text[:head]}\n… {len(text) - 2 * head} characters left out …\n{text[-head:]}"
