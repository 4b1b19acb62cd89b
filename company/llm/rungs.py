"""The ways to ask an endpoint for a reply that fits a schema, best first: a new rung is one function, and its entry in `RUNGS`.

Which of them is used, and when it goes down: `ladder.py`. Who sends the request: `client.py`. Code and free text have no schema,
and go by no rung.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from company.endpoints import Rung
from company.errors import ReplyError
from company.llm.replies import Misfit, parse_json
from company.llm.shapes import form

if TYPE_CHECKING:
    from company.llm.client import Message, Request


class Form(NamedTuple):
    """What differs in a request from one rung to the next."""

    messages: tuple[Message, ...]
    body: dict[str, Any]
    """Fields of the request's body, beside those that every request has."""


def by_schema(request: Request) -> Form:
    """The decoder is held to the schema; the model itself never sees it."""
    return _held(request, request.schema)


def by_shape(request: Request) -> Form:
    """The same without bounds of texts, lists and numbers: strict mode of some services refuses a schema that has any."""
    return _held(request, _unbounded(request.schema))


def by_tool(request: Request) -> Form:
    """The one tool that there is must be called; the arguments of the call are the reply."""
    name = _name(request)
    function = {"name": name, "description": "Takes the answer.", "parameters": request.schema}
    tools = [{"type": "function", "function": function}]
    told = (
        _told(request, f"Call `{name}` with arguments of this form") if request.label.attempt > 1 else request.messages
    )
    return Form(told, {"tools": tools, "tool_choice": {"type": "function", "function": {"name": name}}})


def by_json(request: Request) -> Form:
    """The reply is held to be a JSON object, and its form is in the prompt."""
    return Form(_told(request, _ALONE), {"response_format": {"type": "json_object"}})


def by_prompt(request: Request) -> Form:
    """The form is in the prompt; whoever reads the reply is tolerant."""
    return Form(_told(request, _ALONE), {})


RUNGS: Mapping[Rung, Callable[[Request], Form]] = {
    "schema": by_schema,
    "shape": by_shape,
    "tool": by_tool,
    "json": by_json,
    "prompt": by_prompt,
}
"""Best first."""
UNSEEN: frozenset[Rung] = frozenset({"schema", "shape", "tool"})
"""Those at which the model sees the schema only if the endpoint does its part."""


def below(rung: Rung) -> Rung | None:
    """The next best; None below the last. Not `shape`: what ignores a schema ignores that as well, and a refusal has many reasons."""
    rungs = [each for each in RUNGS if each != "shape" or each == rung]
    return next(iter(rungs[rungs.index(rung) + 1 :]), None)


class Arguments:
    """Of the tool calls that come in pieces, the text of the first: a model may call twice, and its first answer counts."""

    def __init__(self) -> None:
        self._index: Any = None
        self._id = ""
        self._text = ""
        self._has_begun = self._has_ended = False

    def take(self, parts: Iterable[Mapping[str, Any]]) -> str:
        """The text that these pieces add."""
        before = len(self._text)
        for part in parts:
            index, ident = part.get("index"), part.get("id") or self._id
            if not self._has_begun:
                self._has_begun, self._index, self._id = True, index, ident
            # Some servers give every call the same index, others every piece of one call a new id.
            self._has_ended |= index == self._index and ident != self._id and _is_json(self._text)
            if index == self._index and not self._has_ended:
                self._id = ident
                self._text += part.get("args") or ""
        return self._text[before:]


def holds(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether there is a JSON object in a reply that has exactly the keys of the schema, whatever lies under them."""

    def fit(value: Any) -> None:
        if "properties" in schema and (not isinstance(value, dict) or value.keys() != schema["properties"].keys()):
            raise Misfit(["it has other keys"])

    try:
        parse_json(text, "object", fit)
    except ReplyError:
        return False
    return True


def _held(request: Request, schema: Any) -> Form:
    held = {"name": _name(request), "strict": True, "schema": schema}
    return Form(request.messages, {"response_format": {"type": "json_schema", "json_schema": held}})


_BOUNDS = frozenset({
    "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minItems", "maxItems", "uniqueItems",
})  # fmt: skip


def _unbounded(node: Any) -> Any:
    """A copy of a schema without bounds; names of properties are no keywords."""
    if isinstance(node, list):
        return [_unbounded(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: value for key, value in node.items() if key not in _BOUNDS}
    for key, value in made.items():
        if key in ("properties", "$defs"):
            made[key] = {name: _unbounded(inner) for name, inner in value.items()}
        elif key not in ("enum", "const"):
            made[key] = _unbounded(value)
    return made


def _is_json(text: str) -> bool:
    """Whether it is a whole JSON object."""
    try:
        return text.rstrip().endswith("}") and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


_ALONE = "Answer with JSON alone, in this form"


def _told(request: Request, how: str) -> tuple[Message, ...]:
    """The talk with the form of the answer at its end: shown a schema, a small model gives the schema back."""
    *before, last = request.messages
    said = f"{last.content}\n\n{how}, filled in:\n{form(request.schema or {})}"
    return (*before, last._replace(content=said))


def _name(request: Request) -> str:
    return request.schema_name or "reply"
