"""A model says a task otherwise, rules and another model watch over it; the models' replies are written by hand."""

import asyncio
from pathlib import Path
from typing import Any

from company.bench.probing import probe
from company.bench.wording import CannotVary, Material
from company.cache import Replies
from company.events import Journal
from company.llm.budget import Budget
from company.llm.client import OnTokens, Reply, Request
from company.llm.gateway import Gateway
from company.llm.scripted import ScriptedModel, ScriptEntry
from company.sop.library import Library
from company.store import Folder

SECRET = "assert parse_line('hidden') == 41"
TASK = Material('Write t.py. `parse_line` returns 0 for "none".\n', judge={"test_t.py": SECRET}, needs="t.py")
GOOD = 'Make t.py. For "none", `parse_line` gives 0.'
FINE: dict[str, Any] = {"differences": [], "same": True}


class Heard:
    """Passes requests on and keeps them."""

    name = identity = "heard"
    context: int | None = None

    def __init__(self, inner: ScriptedModel) -> None:
        self.inner = inner
        self.requests: list[Request] = []

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        self.requests.append(request)
        return await self.inner.complete(request, on_tokens)

    async def close(self) -> None:
        """Nothing is held."""


def text(inner: str) -> str:
    return f"<text>\n{inner}\n</text>"


def probed(folder: Path, *replies: tuple[str, Any]) -> tuple[Material | CannotVary, list[Request]]:
    script = ScriptedModel([ScriptEntry(step=step, reply=reply) for step, reply in replies])
    model = Heard(script)
    journal = Journal(folder / "events.jsonl")
    gateway = Gateway({None: model}, Replies(Folder(folder)), Budget({}, {}), journal, temperature=0.0, max_tokens=512)
    try:
        found: Material | CannotVary = asyncio.run(probe(TASK, gateway, Library(None), 3))
    except CannotVary as error:
        found = error
    finally:
        journal.close()
    assert script.unused() == []
    assert not any(SECRET in message.content for request in model.requests for message in request.messages)
    return found, model.requests


def test_other_words_that_mean_the_same(tmp_path: Path) -> None:
    found, requests = probed(tmp_path, ("rewrite", f"Here it is.\n{text(GOOD)}"), ("same_meaning", FINE))
    assert isinstance(found, Material)
    assert found.requirement == GOOD + "\n"
    assert found.judge == TASK.judge
    assert found.changes == ("other words by a model, at try 1",)
    rewrite, judge = requests
    assert TASK.requirement.strip() in rewrite.messages[-1].content
    assert rewrite.schema is None
    assert "An earlier try" not in rewrite.messages[-1].content
    assert GOOD in judge.messages[-1].content
    assert judge.schema
    assert set(judge.schema["properties"]) == {"differences", "same"}


def test_rules_come_before_the_judging_agent(tmp_path: Path) -> None:
    replies = [text(GOOD.replace("`parse_line`", "the parser")), text(GOOD.replace("0", "zero")), text(GOOD)]
    found, requests = probed(tmp_path, *(("rewrite", reply) for reply in replies), ("same_meaning", FINE))
    assert isinstance(found, Material)
    assert [request.label.step for request in requests] == ["rewrite"] * 3 + ["same_meaning"]
    assert "- `parse_line` is gone" in requests[1].messages[-1].content
    assert "- `0` is gone" in requests[2].messages[-1].content


def test_a_text_without_marks_and_the_same_text_are_asked_for_again(tmp_path: Path) -> None:
    replies = [GOOD, text(TASK.requirement.strip()), text(GOOD)]
    found, requests = probed(tmp_path, *(("rewrite", reply) for reply in replies), ("same_meaning", FINE))
    assert isinstance(found, Material)
    assert "between a line `<text>`" in requests[1].messages[-1].content
    assert "That is the same text" in requests[2].messages[-1].content


def test_a_changed_meaning_is_written_anew_with_the_reason(tmp_path: Path) -> None:
    worse = GOOD.replace("For", "Except for")
    found, requests = probed(
        tmp_path,
        ("rewrite", text(worse)),
        ("same_meaning", {"differences": ["it is 0 for all but none"], "same": False}),
        ("rewrite", text(GOOD)),
        ("same_meaning", FINE),
    )
    assert isinstance(found, Material)
    assert found.changes == ("other words by a model, at try 2",)
    assert (
        "refused, because it changed what the text means: it is 0 for all but none" in requests[2].messages[-1].content
    )


def test_no_text_is_taken_that_the_judging_agent_refuses(tmp_path: Path) -> None:
    unsure = {"differences": ["one thing"], "same": True}
    found, _ = probed(tmp_path, *[("rewrite", text(GOOD)), ("same_meaning", unsure)] * 3)
    assert isinstance(found, CannotVary)
    assert found.message == "3 texts were refused, because they mean something else: one thing"


def test_a_model_that_cannot_do_it(tmp_path: Path) -> None:
    found, _ = probed(tmp_path, *[("rewrite", "I cannot.")] * 3)
    assert isinstance(found, CannotVary)
    assert "the model found no other words" in found.message
