"""From a reply's text to a document that fits its class, or a list of them; and the schema to ask for one with.

Code: `code_replies.py`, files that a requirement names: `names.py`; both can be had from here.
Asking, and asking again with `ReplyError.reason`: `gateway.py`. Fences in text: `fences.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from company.errors import ReplyError
from company.llm.code_replies import CodeFile, parse_code
from company.llm.fences import blocks_of, without_thoughts
from company.llm.names import names_in
from company.llm.shapes import BLANK

__all__ = [
    "LIST_MAX",
    "CodeFile",
    "Misfit",
    "names_in",
    "parse_code",
    "parse_document",
    "parse_json",
    "parse_list",
    "schema_for",
]

Document = TypeVar("Document", bound=BaseModel)

LIST_MAX = 12
"""Most items of a list that a step asks for: a small model under a schema otherwise goes on for ever."""
_REASON_LINES = 12
_BRACKET = re.compile(r"[{\[]")
_MOST_BRACKETS = 50
"""Pieces in brackets that are tried when there is prose around the JSON."""


def schema_for(cls: type[BaseModel], *, many: bool = False) -> dict[str, Any]:
    """JSON schema of a document, or with `many` of ``{"items": [document, …]}`` with 1 to `LIST_MAX` items.

    Objects are closed and every property is required. References are put in place, except where a class holds itself.
    """
    whole = cls.model_json_schema()
    definitions = whole.pop("$defs", {})
    recursive = {name for name in definitions if name in _reach(definitions[name], definitions, set())}
    schema = _strict(whole, definitions, recursive)
    kept = {name: _strict(definitions[name], definitions, recursive) for name in sorted(recursive)}
    if many:
        items = {"type": "array", "items": schema, "minItems": 1, "maxItems": LIST_MAX}
        schema = {
            "type": "object",
            "properties": {"items": items},
            "required": ["items"],
            "additionalProperties": False,
        }
    return {**schema, "$defs": kept} if kept else schema


def _reach(node: Any, definitions: dict[str, Any], seen: set[str]) -> set[str]:
    """Names of the definitions that a schema leads to."""
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _reach(value, definitions, seen)
    reference = node.get("$ref") if isinstance(node, dict) else None
    if isinstance(reference, str) and (name := reference.rpartition("/")[2]) not in seen:
        seen.add(name)
        _reach(definitions[name], definitions, seen)
    return seen


def _strict(node: Any, definitions: dict[str, Any], recursive: set[str]) -> Any:
    """A copy of a schema, closed, complete, without titles and defaults."""
    if isinstance(node, list):
        return [_strict(value, definitions, recursive) for value in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).rpartition("/")[2]
    if name and name not in recursive:
        return _strict({**definitions[name], **{k: v for k, v in node.items() if k != "$ref"}}, definitions, recursive)
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("title", "default", "description", "discriminator"):
            continue
        if key == "properties":
            made[key] = {field: _strict(inner, definitions, recursive) for field, inner in value.items()}
        else:
            made[key] = value if key in ("enum", "const") else _strict(value, definitions, recursive)
    if "properties" in made:
        made["required"] = list(made["properties"])
        made["additionalProperties"] = False
    return made


def parse_document(text: str, cls: type[Document], what: str = "") -> Document:
    """The document in a reply: alone, in a fence, or with prose around it; trailing commas and backslashes that escape nothing are forgiven.

    Args:
        what: what people call it; the class's name by default.

    Raises:
        ReplyError: there is none, it is cut, or it does not fit; `reason` names each field for the model.
    """
    return parse_json(text, what or cls.__name__, lambda data: _validate(_unnamed(data, cls), cls, ""))


def parse_list(text: str, cls: type[Document]) -> list[Document]:
    """The documents of a reply ``{"items": […]}``, or of a bare list; see `parse_document`."""

    def read(data: Any) -> list[Document]:
        items = data.get("items") if isinstance(data, dict) and set(data) == {"items"} else data
        if not isinstance(items, list):
            raise Misfit(['the top level must be an object with the one key "items", which holds a list'])
        if not 1 <= len(items) <= LIST_MAX:
            raise Misfit([f"items: give 1 to {LIST_MAX} entries, not {len(items)}"])
        return [_validate(item, cls, f"items[{place}].") for place, item in enumerate(items)]

    return parse_json(text, f"list of {cls.__name__}", read)


class Misfit(Exception):
    """Data that is JSON and not what was asked for, one line per fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


Result = TypeVar("Result")


def parse_json(text: str, what: str, fit: Callable[[Any], Result]) -> Result:
    """What `fit` makes of the first JSON value in the text that it does not refuse by a `Misfit`.

    Raises:
        ReplyError: it refused all; the complaint is about the longest.
    """
    complaint: tuple[int, list[str]] = (0, [])
    syntax = "there is no JSON in it"
    for candidate in _candidates(without_thoughts(text)):
        try:
            return fit(_load(candidate))
        except Misfit as error:
            complaint = max(complaint, (len(candidate), error.faults), key=lambda one: one[0])
        except json.JSONDecodeError as error:
            if candidate[:1] in ("{", "["):
                syntax = _syntax(candidate, error)
        except RecursionError:
            syntax = "it is nested too deeply"
    if faults := complaint[1]:
        shown = faults[: _REASON_LINES - 2]
        more = [f"- and {len(faults) - len(shown)} more"] if len(faults) > len(shown) else []
        lines = ["Your JSON does not fit. Mend exactly this and give the whole JSON again:"]
        reason = "\n".join([*lines, *(f"- {fault}" for fault in shown), *more])
        raise ReplyError(f"the reply is no {what}: {faults[0]}", raw=text, reason=reason)
    reason = f"Your reply is no valid JSON: {syntax}. Answer with the whole JSON alone, no text around it."
    raise ReplyError(f"the reply is no {what}: {syntax}", raw=text, reason=reason)


def _candidates(text: str) -> Iterator[str]:
    """Texts that may be the JSON, likeliest first: everything, fenced blocks, what begins with a bracket."""
    yield text.strip()
    for block in blocks_of(text):
        if block.language in ("json", "", "json5", "jsonc"):
            yield "\n".join(block.body).strip()
    place = 0
    for _ in range(_MOST_BRACKETS):
        opening = _BRACKET.search(text, place)
        if not opening:
            return
        place = _balanced_end(text, opening.start())
        yield text[opening.start() : place].strip()


def _balanced_end(text: str, start: int) -> int:
    depth, quoted, place = 0, False, start
    while place < len(text):
        letter = text[place]
        if quoted:
            place += letter == "\\"
            quoted = letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return len(text)


def _load(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise Misfit([f"{name}: given more than once" for name in found if names.count(name) > 1])
        return found

    def refuse(name: str) -> Any:
        raise Misfit([f"{name} is no JSON number"])

    decoder = json.JSONDecoder(object_pairs_hook=unique, parse_constant=refuse, strict=False)
    try:
        return decoder.decode(text)
    except ValueError:
        return decoder.decode(_forgiven(text))


_STRING_OR_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _forgiven(text: str) -> str:
    """JSON without trailing commas, and with a backslash that escapes nothing, as in ``\\(x\\)``, for the backslash itself.

    Where a text has both such and letters that may be escaped, as in ``\\d\\b``, nobody knows which are meant: it stays wrong.
    """

    def string(match: re.Match[str]) -> str:
        text = _ESCAPE.sub(lambda one: "'" if one[1] == "'" else one[0], match[0])
        if {*_ESCAPE.findall(text)} & {*"bfnrtu"}:
            return text
        return _ESCAPE.sub(lambda one: one[0] if one[1] in '"\\/' else f"\\{one[0]}", text)

    return _STRING_OR_COMMA.sub(lambda found: "" if found[0] == "," else string(found), text)


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "it stops before the JSON is complete"
    return (
        f"{error.msg} at line {error.lineno}, near `{' '.join(text[max(0, error.pos - 20) : error.pos + 20].split())}`"
    )


def _unnamed(data: Any, cls: type[BaseModel]) -> Any:
    """Without an outer object that only names the document: ``{"Prd": {…}}``."""
    if isinstance(data, dict) and len(data) == 1:
        key, value = next(iter(data.items()))
        if key not in cls.model_fields and key.casefold() == cls.__name__.casefold() and isinstance(value, dict):
            return value
    return data


def _validate(data: Any, cls: type[Document], prefix: str) -> Document:
    try:
        document = cls.model_validate(data)
    except ValidationError as error:
        raise Misfit([prefix + _fault(detail) for detail in error.errors(include_url=False)]) from error
    except RecursionError as error:
        raise Misfit([f"{prefix}it is nested too deeply"]) from error
    if lacks := list(_lacks(document, prefix)):
        raise Misfit(lacks)
    return document


def _lacks(value: Any, place: str) -> Iterator[str]:
    """Fields that the reply did not give and the class filled, or that it left blank: a default is not an answer."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name not in value.model_fields_set:
                yield f"{place}{name}: missing"
            else:
                yield from _lacks(getattr(value, name), f"{place}{name}.")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _lacks(item, f"{place.removesuffix('.')}[{number}].")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _lacks(BLANK if key == BLANK else item, f"{place}{key}.")
    elif value == BLANK:
        yield f"{place.removesuffix('.')}: is left blank"


def _fault(detail: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).lstrip(".")
    if detail["type"] == "missing":
        return f"{place}: missing"
    if detail["type"] == "extra_forbidden":
        return f"{place}: there is no such field; leave it out"
    if detail["type"] == "model_type":  # pydantic would name our class
        detail = {**detail, "msg": "Input should be an object"}
    given = " ".join(json.dumps(detail["input"], ensure_ascii=False, default=str).split())
    shown = given if len(given) <= 60 else given[:60] + " …"
    return f"{place or 'the top level'}: {detail['msg']}; you gave {shown}"
