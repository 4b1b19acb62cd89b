"""Each execution of a step, folded from a run's events: who did it and why, whether it was kept, what it cost and left.

The events: `events.py`. The sums of a run: `report.py`. Who shows it: `company show`, `company diff`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from company.events import Event

How = Literal["made", "kept", "edited", "skipped", "failed", "begun"]
"""`kept`: taken from an earlier run; `edited`: a person changed what it gave; `begun`: it did not come to its end."""
_EDITED = "@edit"


@dataclass
class Execution:
    """A step at one item in one round."""

    id: str
    role: str = ""
    """Empty for a command and a gate."""
    kind: str = ""
    how: How = "begun"
    why: str = ""
    """Why it was done or not, in words, as against the run that came before; for a skipped or failed one the reason."""
    made_of: Mapping[str, str] = field(default_factory=dict)
    """What went into it → hash; empty without a key."""
    kept_from: str = ""
    """The run that made what was kept."""
    saved_tokens: int = 0
    calls: int = 0
    """That were paid for."""
    tokens: int = 0
    """Of its paid calls."""
    model: str = ""
    seconds: float = 0.0
    commit: str = ""
    subject: str = ""
    values: Mapping[str, str | None] = field(default_factory=dict)
    """Step path → reference of what it left."""
    files: str = ""
    """Reference of the files that it put into the repository."""

    @property
    def step(self) -> str:
        """The step's path."""
        return self.id.partition("#")[0].partition("[")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called in journal, messages and commits: with its item, and with its round where one is named."""
        path, rest = self.step, self.id.removeprefix(self.step)
        shorter = path.removesuffix(".do")
        return tuple(f"{one}{end}" for one in (path, shorter) for end in (rest, rest.rpartition("#")[0], ""))


def executions(events: Iterable[Event]) -> dict[str, Execution]:
    """The executions of a journal by their ids, in the order in which they began."""
    found: dict[str, Execution] = {}
    for event in events:
        see(found, event)
    return found


def see(found: dict[str, Execution], event: Event) -> Execution | None:
    """Take in one event; the execution that it is about, if it says anything of one."""

    def one(event: Event) -> Execution:
        ident = event.get("id") or _ident(event)
        return found.setdefault(ident, Execution(ident))

    name, made = event["event"], None
    if name == "step_started":
        made = one(event)
        made.how, made.role, made.kind = "begun", event.get("role", ""), event.get("kind", "")
        made.why, made.made_of = event.get("why", ""), event.get("made_of", {})
    elif name == "step_skipped":
        made = one(event)
        made.how, made.why = "skipped", event.get("reason", "")
    elif name == "call_finished" and event.get("id"):
        made = one(event)
        made.model = event["model"]
        if not event["from_store"]:
            made.calls += 1
            made.tokens += event["prompt_tokens"] + event["completion_tokens"]
    elif name == "commit" and "#" in event["step"]:  # the others belong to the run, not to a step
        made = one({"id": event["step"].removesuffix(_EDITED)})
        made.how = "edited" if event["step"].endswith(_EDITED) else made.how
        made.commit, made.subject, made.files = event["sha"], event["subject"], event.get("files", "")
    elif name == "step_finished":
        made = one(event)
        made.values, made.seconds = event["values"], event["seconds"]
        if "kept_from" in event:
            made.kept_from, made.saved_tokens = event["kept_from"], event["saved_tokens"]
        if made.how != "edited":
            made.how = "kept" if made.kept_from else "made"
    elif name == "step_failed":
        made = one(event)
        made.how, made.why = "failed", event["reason"]
    return made


def _ident(event: Mapping[str, Any]) -> str:
    """The id that an event without one is about, as `state.step_id` makes it."""
    item = event.get("item", "")
    return f"{event['step']}{f'[{item}]' if item else ''}#{event.get('round', '1')}"
