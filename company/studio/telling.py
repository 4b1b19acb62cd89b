"""An event in words, one line for each: what the log of a run's page says, everything in order.

Which events there are: `events.py`. The same on a terminal, with less: `terminal.py`. The page: `run_page.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from company.events import Event
from company.ingredients import DRY
from company.progress import KEPT, clean, round_note, tool_note
from company.terminal import also_money, duration

_LONG = 400
PROBLEMS = "!"
"""In a step's place: what went wrong anywhere."""


class Line(NamedTuple):
    """One line of the log."""

    number: int
    time: float
    step: str
    """Path of its step, for the filter; empty for what is the run's."""
    open: str
    """Id of the execution that it leads to; empty for none."""
    where: str
    """Step, item and round, for people."""
    tone: str
    """``good``, ``bad``, ``warn``, ``asks``, ``soft`` or nothing."""
    text: str


class Wanted(NamedTuple):
    """Which lines are looked for; empty: all."""

    step: str = ""
    """Path of a step, with those in it; `PROBLEMS` for what went wrong."""
    words: str = ""
    """In place and text, whatever their case; every one of them."""

    @property
    def query(self) -> str:
        """As an address has it, below its ``?``."""
        return urlencode({name: value for name, value in self._asdict().items() if value})

    def fits(self, line: Line) -> bool:
        """Whether a line is one of these; `run.js` decides the same of those that come."""
        if self.step == PROBLEMS:
            found = line.tone in ("bad", "warn")
        else:
            found = not self.step or f"{line.step}.".startswith(f"{self.step}.")
        said = f"{line.where} {line.text}".casefold()
        return found and all(word in said for word in self.words.casefold().split())


def line(number: int, event: Event) -> Line:
    """An event as a line."""
    about = str(event.get("step", ""))
    ident = str(event.get("id", "")) or (about.removesuffix("@edit") if "#" in about else "")
    path = about.partition("#")[0].partition("[")[0]
    where = ident or f"{about}{f' [{item}]' if (item := event.get('item')) else ''}"
    try:
        tone, text = _TOLD.get(event["event"], _other)(event)
    except (KeyError, TypeError, ValueError):
        tone, text = "soft", f"{event['event']} (this line of the journal is damaged)"
    return Line(number, float(event["time"]), path, ident, where.replace("@again", "").removesuffix("#1"), tone, text)


def _begins(event: Event) -> tuple[str, str]:
    verb = "starting" if event["event"] == "run_started" else "going on with"
    return "", clean(f"{verb} {event['sop']} with {event['model']} in {event['repo']}, {event['sandbox']}", _LONG)


def _step_started(event: Event) -> tuple[str, str]:
    why = f": {event['why']}" if event.get("why") and not str(event["why"]).startswith(DRY) else ""
    kind = str(event.get("kind", ""))
    who = str(event.get("role", "")).replace("_", " ") or {"for_each": "items", "run": "command"}.get(kind, kind)
    return "", clean(f"{who} begins{why}", _LONG)


def _step_finished(event: Event) -> tuple[str, str]:
    if "kept_from" in event:
        saved = f"{event['saved_tokens']} tokens{also_money(event.get('saved_usd'))}"
        return "good", clean(f"{KEPT}, from the run {event['kept_from']}: {saved}")
    return "good", f"finished in {duration(event['seconds'])}"


def _call_started(event: Event) -> tuple[str, str]:
    piece = f" for its field {event['field']}" if event.get("field") else ""
    again = f", attempt {event['attempt']}" if event.get("attempt", 1) != 1 else ""
    return "soft", clean(f"asks {event.get('model', '')}{piece}{again}", _LONG)


def _call_finished(event: Event) -> tuple[str, str]:
    speed = event["completion_tokens"] / event["seconds"] if event["seconds"] else 0
    source = KEPT if event["from_store"] else f"{event['seconds']:.1f} s"
    rate = f", {speed:.1f} tokens/s" if speed and not event["from_store"] else ""
    cut = ", cut at its longest" if event.get("finish_reason") == "length" else ""
    tried = f", {event['retries']} tries broke off before" if event.get("retries") else ""
    return "soft", f"{event['prompt_tokens']} + {event['completion_tokens']} tokens, {source}{rate}{cut}{tried}"


def _items(event: Event) -> tuple[str, str]:
    needs: Mapping[str, list[str]] = event["needs"]
    return "soft", clean(f"{len(needs)} items: {', '.join(needs)}", _LONG)


def _round(event: Event) -> tuple[str, str]:
    good = event["until"]
    if "@again" in event["step"]:
        return "", "nothing is sent back, the run goes on" if good else "the work is sent back"
    tone = "soft" if event.get("forced") else "good" if good else "warn"
    return tone, round_note(event)


def _decided(event: Event) -> tuple[str, str]:
    by = "you" if event.get("by") == "person" else "headless"
    return "", clean(f"{event['choice']}{f': {said}' if (said := event.get('comment')) else ''} ({by})", _LONG)


def _finished(event: Event) -> tuple[str, str]:
    tones = {"delivered": "good", "failed": "bad"}
    reason = f": {event['reason']}" if event.get("reason") else ""
    return tones.get(event["status"], "warn"), clean(f"{event['status']}{reason}", _LONG)


def _tool(event: Event) -> tuple[str, str]:
    return ("bad" if event.get("ok") is False else "soft"), tool_note(event)


def _other(event: Event) -> tuple[str, str]:
    return "soft", clean(event["event"].replace("_", " "))


_TOLD: Mapping[str, Callable[[Event], tuple[str, str]]] = {
    "run_started": _begins,
    "run_resumed": _begins,
    "run_finished": _finished,
    "step_started": _step_started,
    "step_finished": _step_finished,
    "step_skipped": lambda event: ("soft", clean(f"skipped, {event.get('reason', '')}", _LONG)),
    "step_failed": lambda event: ("bad", clean(f"failed, {event['reason']}", _LONG)),
    "items": _items,
    "call_started": _call_started,
    "call_finished": _call_finished,
    "call_failed": lambda event: ("bad", clean(f"the call broke off: {event.get('reason') or event['kind']}", _LONG)),
    "reply_accepted": lambda event: ("soft", "the reply is usable"),
    "reply_rejected": lambda event: ("warn", clean(f"the reply is not usable: {event['reason']}", _LONG)),
    "tool_started": _tool,
    "tool_finished": _tool,
    "verdict": lambda event: (
        "good" if event["passed"] else "bad",
        clean(f"{'PASSED' if event['passed'] else 'FAILED'}, {event['summary']}", _LONG),
    ),
    "commit": lambda event: ("", clean(f"commit {event['sha'][:7]} by {event['author']}: {event['subject']}", _LONG)),
    "loop_round": _round,
    "gate_opened": lambda event: ("asks", clean(f"a person decides: {', '.join(event['choices'])}", _LONG)),
    "gate_decided": _decided,
    "notice": lambda event: ("warn", clean(event["text"], _LONG)),
}
