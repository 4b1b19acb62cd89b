"""Models that are none: replies from a file, and dry runs that make the smallest reply which fits.

Both answer the protocol in `client.py`. Their token counts are estimates, a quarter of the characters.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from company.errors import UsageError
from company.llm.client import EmptyReply, OnTokens, Reply, Request


class ScriptEntry(BaseModel):
    """One reply of a script. A key that is left out fits every call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: str | None = None
    role: str | None = None
    item: str | None = None
    """Key of the item inside a for_each; ``""`` for calls outside."""
    round: int | None = None
    attempt: int | None = None
    """1 for the first call, more for repairs; what goes on with a cut reply has the number of that."""
    reply: str | dict[str, Any] | list[Any]
    """The text; data is written as JSON."""
    finish_reason: str = Field(default="stop", pattern="^(stop|length|content_filter)$")

    def fits(self, request: Request) -> bool:
        """Whether this is a reply to that call."""
        wanted = ((name, getattr(self, name)) for name in ("step", "role", "item", "round", "attempt"))
        return all(value is None or value == getattr(request.label, name) for name, value in wanted)


_ENTRIES = TypeAdapter(list[ScriptEntry])


class ScriptedModel:
    """Gives written replies, each once: the first unused one that fits a call.

    A script is a YAML or JSON file that holds a list::

        - step: prd
          reply: {title: Word counter, goals: [count words]}
        - step: code
          item: wordfreq.py
          round: 2
          reply: |
            ```python
            print("hello")
            ```
        - role: qa
          attempt: 1
          reply: '{"checks": ['
          finish_reason: length

    Calls of a for_each that run at the same time come in any order: name their `item`.
    """

    def __init__(self, entries: list[ScriptEntry], name: str = "script", identity: str = "") -> None:
        self.name, self.identity = name, identity or name
        self.context: int | None = None
        self._left = list(entries)

    @classmethod
    def from_file(cls, path: Path, identity: str = "") -> ScriptedModel:
        """Read a script.

        Args:
            identity: as of a `Model`; the path by default.

        Raises:
            UsageError: the file cannot be read, or an entry has a key that no script has.
        """
        try:
            data = yaml.safe_load(path.read_text("utf-8"))
            entries = _ENTRIES.validate_python(data)
        except OSError as error:
            raise UsageError(f"cannot read the script: {error.strerror}", place=str(path)) from error
        except UnicodeDecodeError as error:
            raise UsageError("the script is not UTF-8 text", place=str(path)) from error
        except yaml.YAMLError as error:
            raise UsageError(f"the script is no YAML: {' '.join(str(error).split())}", place=str(path)) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"the script does not fit: {where or 'top level'}: {first['msg']}",
                place=str(path),
                hint="a script is a list of entries with step, role, item, round, attempt, reply, finish_reason",
            ) from error
        return cls(entries, f"script:{path.name}", identity or f"script:{path}")

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        """The first unused reply that fits.

        Raises:
            UsageError: there is none.
            EmptyReply: it is an empty text.
        """
        for place, entry in enumerate(self._left):
            if entry.fits(request):
                del self._left[place]
                return _reply(self.name, request, _text(entry.reply), entry.finish_reason, on_tokens)
        label = request.label
        left = "; left over: " + ", ".join(self.unused()[:5]) if self._left else "; none is left"
        raise UsageError(
            f"{self.name} has no reply for step `{label.step}`, role `{label.role}`, item `{label.item}`, "
            f"round {label.round}, attempt {label.attempt}{left}",
            hint="add an entry for it; each entry is used once",
        )

    async def close(self) -> None:
        """Nothing is held."""

    def unused(self) -> list[str]:
        """The entries that no call asked for, in words: a test that leaves some has not run what it meant to."""
        return [
            " ".join(f"{key}={value}" for key, value in entry.model_dump(exclude_none=True).items() if key in _KEYS)
            or "(any call)"
            for entry in self._left
        ]


_KEYS = ("step", "role", "item", "round", "attempt")


_DRY_ARGUMENTS = {"code": 'print("dry run")', "command": "echo dry run", "path": "main.py", "folder": ""}
"""Arguments of built-in tools that do no harm and mean something."""


class DryModel:
    """No model at all: the smallest documents that fit the schema, with one entry in each list of documents, and files that do
    nothing. In the first round of a loop every bool is false, later true."""

    name = identity = "dry"
    context: int | None = None

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        """The same reply for the same request.

        Raises:
            UsageError: the schema has something that no value can be made for.
        """
        if request.schema is None:
            text = "\n".join(_dry_file(path, request.defines) for path in request.expects or ("main.py",))
        else:
            value = minimal(request.schema, request.schema.get("$defs", {}), yes=request.label.round != 1)
            if request.schema_name == "Checks":  # a check that can be run, of what a dry file has
                if "commands" in value:
                    value["commands"] = []
                for call in value.get("calls", ()):
                    call |= {"expression": f"callable({call['imports'].rpartition(' ')[2]})", "expected": "True"}
            if request.schema_name == "ToolCall":
                given = value["call"].get("arguments", {})
                given |= {name: sample for name, sample in _DRY_ARGUMENTS.items() if name in given}
            text = json.dumps(value, ensure_ascii=False, indent=1)
        return _reply(self.name, request, text, "stop", on_tokens)

    async def close(self) -> None:
        """Nothing is held."""


def _text(reply: str | dict[str, Any] | list[Any]) -> str:
    return reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)


def _reply(name: str, request: Request, text: str, finish: str, on_tokens: OnTokens | None) -> Reply:
    prompt = sum(len(message.content) for message in request.messages)
    reply = Reply(text, finish, -(-prompt // 4), -(-len(text) // 4), None, name, 0.0, estimated=True)
    if not text.strip():
        raise EmptyReply(f"{name} gave an empty reply", reply, reason="Your reply was empty. Answer the task in full.")
    if on_tokens:
        on_tokens(reply.completion_tokens, text)
    return reply


def _dry_file(path: str, defines: str) -> str:
    name = path.rpartition("/")[2]
    if not name.endswith(".py"):
        body = "{}" if name.endswith(".json") else "Dry run: no model wrote this."
        return f"### {path}\n\n```{name.rpartition('.')[2]}\n{body}\n```\n"
    is_test = name.startswith("test_") or name.endswith("_test.py")
    function = defines or ("test_nothing" if is_test else "main")
    body = f'"""Dry run: no model wrote this."""\n\n\ndef {function}() -> None:\n    """Do nothing."""'
    return f"### {path}\n\n```python\n{body}\n```\n"


_SAMPLES = ("main.py", "def main() -> None", "from math import sqrt", "R1")
"""Strings that mean something where a pattern allows them."""


def minimal(schema: dict[str, Any], definitions: dict[str, Any], *, yes: bool = True) -> Any:
    """The smallest value that fits a JSON schema of the kind that `replies.schema_for` makes; `yes` is what its bools are.

    Raises:
        UsageError: no value can be made.
    """
    if "$ref" in schema:
        return minimal(definitions[schema["$ref"].rpartition("/")[2]], definitions, yes=yes)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            shortest = next((one for one in schema[choice] if one.get("type") == "null"), schema[choice][0])
            return minimal(shortest, definitions, yes=yes)
    match schema.get("type"):
        case "object":
            return {key: minimal(value, definitions, yes=yes) for key, value in schema.get("properties", {}).items()}
        case "array":
            entries = schema.get("minItems", 0)
            if "properties" in schema["items"] and schema.get("maxItems", 1):
                entries = max(1, entries)  # so that a for_each has something to go through
            return [minimal(schema["items"], definitions, yes=yes) for _ in range(entries)]
        case "string":
            return _string(schema)
        case "integer" | "number" as kind:
            return _number(schema, kind)
        case "boolean":
            return yes
        case "null":
            return None
    raise UsageError(
        f"a dry run can make no value for the schema {json.dumps(schema)[:120]}",
        hint="give the field a type that JSON has, or run with a model",
    )


def _number(schema: dict[str, Any], kind: str) -> float:
    step = 1 if kind == "integer" else 0.5
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    value: float = max(0, low) if low is not None else 0
    return value if high is None else min(value, high)


def _string(schema: dict[str, Any]) -> str:
    shortest: int
    longest: int
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 1 << 20)
    pattern = schema.get("pattern")
    if pattern is None:
        return "…" * min(max(1, shortest), longest)
    for candidate in (*_SAMPLES, from_pattern(pattern)):
        if re.search(pattern, candidate) and shortest <= len(candidate) <= longest:
            return candidate
    raise UsageError(
        f"a dry run can make no text for the pattern {pattern}",
        hint="simplify the pattern: letters, classes, groups, alternatives and repeats are understood",
    )


def from_pattern(pattern: str) -> str:
    """A short text that a regular expression may match; look-arounds and back-references are left out."""
    parser: Any = importlib.import_module("re._parser")  # the standard library's own, and has no public name
    return _from_tokens(parser.parse(pattern))


def _from_tokens(tokens: Any) -> str:
    text = ""
    for operation, argument in tokens:
        match str(operation):
            case "LITERAL":
                text += chr(argument)
            case "NOT_LITERAL":
                text += "a" if argument != ord("a") else "b"
            case "ANY":
                text += "a"
            case "IN":
                text += _from_class(argument)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                text += _from_tokens(argument[2]) * argument[0]
            case "SUBPATTERN":
                text += _from_tokens(argument[3])
            case "BRANCH":
                text += _from_tokens(argument[1][0])
    return text


def _from_class(items: Any) -> str:
    """A letter of a character class, a plain one where there is a choice; empty where none is found."""
    negated = str(items[0][0]) == "NEGATE"
    first = chr(items[0][1]) if str(items[0][0]) == "LITERAL" else ""
    for letter in "aA0_ " + "".join(map(chr, range(33, 127))) + first:
        if any(_is_in(letter, str(kind), argument) for kind, argument in items) != negated:
            return letter
    return ""


def _is_in(letter: str, kind: str, argument: Any) -> bool:
    match kind:
        case "LITERAL":
            return bool(ord(letter) == argument)
        case "RANGE":
            low, high = argument
            return bool(low <= ord(letter) <= high)
        case "CATEGORY":
            escape = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
            *_, no, name = ["", *str(argument).split("_")]
            found = re.match(escape[name], letter) is not None
            return found != (no == "NOT")
    return False
