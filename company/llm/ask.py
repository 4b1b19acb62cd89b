"""One question to a model, as a step puts it: the talk so far, what the answer must be like, and who asks.

What becomes of it: `gateway.py`. What is asked for which type of artifact: `structured.py`. The request that is sent: `client.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from company.llm.client import Message, StepLabel


@dataclass(frozen=True)
class Ask:
    """One question. `schema` None asks for code or free text."""

    label: StepLabel
    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    schema_name: str = ""
    expects: tuple[str, ...] = ()
    needs_all: bool = True
    """Whether a reply of code must hold every file that it expects; a patch gives those that change."""
    defines: str = ""
    model: str | None = None
    """As the step says; None is the run's model."""
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int = 0
    ident: str = ""
    """Which execution of the step asks, for the journal."""
    field: str = ""
    """Which piece of a document is asked for alone; empty for all of it."""

    def follow(self, *messages: Message) -> Ask:
        """The same conversation, gone on with."""
        return replace(self, messages=(*self.messages, *messages))

    def told(self, text: str) -> Ask:
        """The conversation with something more said to the model; many chat templates take no two user messages in a row."""
        *before, last = self.messages
        if last.role == "user":
            return replace(self, messages=(*before, Message("user", f"{last.content}\n\n{text}")))
        return self.follow(Message("user", text))

    def under(self, schema: dict[str, Any], name: str) -> Ask:
        """The same question, its answer held to a schema."""
        return replace(self, schema=schema, schema_name=name)

    def alone(self, text: str) -> Ask:
        """The same task in other words, and nothing of the talk but what the system says."""
        system = [message for message in self.messages if message.role == "system"]
        return replace(self, messages=(*system, Message("user", text)))
