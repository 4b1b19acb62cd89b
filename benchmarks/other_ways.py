"""Two other ways to a document, which the ladder is compared with: `plain`, LangChain's `with_structured_output`, asked once, and
`tagged`, JSON between tags in free text that is asked for anew, with the same words (the way of MetaGPT's action nodes).

The ladder itself, the questions and the table: `ladder.py`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from company.artifacts import ChangePlan, Checks, Codebase, Design, flat
from company.errors import CompanyError
from company.llm.client import Message, Reply, Request, StepLabel
from company.prompts import SYSTEM
from company.sop.types import ArtifactType, Type
from company.testgen import usable_checks

TRIES = 6
"""Of `tagged`."""
MOST_TOKENS = 2048
"""Of a reply, in every way."""


async def plain(
    model: type[BaseModel], text: str, name: str, url: str, key: str
) -> tuple[Any, list[dict[str, Any]], str]:
    """What LangChain makes of one reply: the document or None, the call, and what is wrong."""
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        model=name, base_url=url, api_key=SecretStr(key), temperature=0, max_tokens=MOST_TOKENS, max_retries=0, timeout=1800
    )  # fmt: skip
    began = time.monotonic()
    try:
        made: Any = await chat.with_structured_output(model, include_raw=True).ainvoke(
            [("system", SYSTEM), ("user", text)]
        )
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is no artifact
        return None, [{"attempt": 1, "seconds": time.monotonic() - began}], f"{type(error).__name__}: {error}"
    usage = made["raw"].usage_metadata or {}
    calls = [
        {
            "attempt": 1,
            "prompt": usage.get("input_tokens", 0),
            "tokens": usage.get("output_tokens", 0),
            "seconds": round(time.monotonic() - began, 3),
        }
    ]
    fault = made["parsing_error"]
    return made["parsed"], calls, f"{type(fault).__name__}: {fault}" if fault else ""


async def tagged(model: type[BaseModel], text: str, complete: Callable[[Request], Awaitable[Reply]]) -> tuple[Any, str]:
    """The document of the first reply that holds one, or None and what was wrong with the last."""
    shown = json.dumps(_like(model.model_json_schema(), model.model_json_schema()), indent=4)
    prompt = (
        f"{text}\n## format example\n[CONTENT]\n{shown}\n[/CONTENT]\n\n"
        "## action\nWrite the content in the language of the requirement, in the form of the format example, "
        "between [CONTENT] and [/CONTENT]."
    )
    fault = ""
    for number in range(1, TRIES + 1):
        request = Request(
            messages=(Message("system", SYSTEM), Message("user", prompt)), schema=None, schema_name="",
            temperature=0.0, max_tokens=MOST_TOKENS, seed=number, label=StepLabel("text", "text", attempt=number),
        )  # fmt: skip
        try:
            reply = await complete(request)
            found = re.search(r"\[CONTENT\]\s*(.*?)\s*\[/CONTENT\]", reply.text, re.DOTALL)
            body = re.sub(r"^```\w*\n|\n```$", "", found[1] if found else reply.text.strip())
            return model.model_validate(json.loads(body, strict=False)), ""
        except (CompanyError, ValueError) as error:
            fault = f"{type(error).__name__}: {error}"
    return None, fault


def no_use(value: Any, given: Mapping[str, Any]) -> str:
    """Why a document that fits its schema is still no use, by the rules that the rungs' replies are held to; empty if it is."""
    seen = list(flat(list(given.values())))
    if isinstance(value, Checks):
        specs = [spec for one in seen if isinstance(one, Design) for spec in one.files]
        parts = {part.name: part for spec in specs for part in spec.parts}
        kept, _ = usable_checks(value, {spec.path for spec in specs}, parts)
        return "" if kept else "no check that can be run"
    known = [path for one in seen if isinstance(one, Codebase) for path in one.files]
    if isinstance(value, ChangePlan):
        lost = [change.path for change in value.changes if change.action == "edit" and change.path not in known]
        return f"edits {', '.join(lost)}, which is not there" if lost else ""
    return ""


def class_of(out: Type) -> type[BaseModel]:
    assert isinstance(out, ArtifactType)
    return out.model


def _like(node: dict[str, Any], whole: dict[str, Any]) -> Any:
    """A value of a schema's shape, its strings saying what belongs there."""
    if "$ref" in node:
        return _like(whole["$defs"][node["$ref"].rpartition("/")[2]], whole)
    if node.get("type") == "object":
        return {name: _like(inner, whole) for name, inner in node["properties"].items() if "default" not in inner}
    if node.get("type") == "array":
        return [_like(node["items"], whole)]
    if "enum" in node:
        return node["enum"][0]
    return {"boolean": False, "integer": 0, "number": 0.0}.get(node.get("type", ""), node.get("title", "…"))
