"""Scripts give what was written, once, and fail loudly; dry runs make replies that fit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from company.artifacts import BUILT_IN, Review
from company.errors import UsageError
from company.llm.client import EmptyReply, Message, Model, Reply, Request, StepLabel
from company.llm.replies import parse_code, parse_document, parse_list, schema_for
from company.llm.scripted import DryModel, ScriptedModel, from_pattern, minimal

DOCUMENTS = {name: cls for name, cls in BUILT_IN.items() if not cls.is_code}


def request(label: StepLabel, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "messages": (Message("user", "12345678"),), "schema": None, "schema_name": "", "temperature": 0.0,
        "max_tokens": 10, "seed": None, "label": label,
    }  # fmt: skip
    return Request(**{**fields, **changes})


def ask(
    model: Model, step: str = "s", role: str = "r", item: str = "", round: int = 0, attempt: int = 1, **more: Any
) -> Reply:
    return asyncio.run(model.complete(request(StepLabel(step, role, item, round, attempt), **more)))


def script(tmp_path: Path, text: str) -> ScriptedModel:
    path = tmp_path / "replies.yaml"
    path.write_text(text, "utf-8")
    return ScriptedModel.from_file(path)


SCRIPT = """\
- {step: code, item: a.py, round: 2, reply: second round}
- {step: code, item: a.py, reply: first}
- {step: code, item: a.py, reply: again}
- {role: qa, attempt: 2, reply: repaired}
- {step: prd, reply: {title: Tödo, goals: [g]}}
- step: cut
  finish_reason: length
  reply: |
    half
"""


def test_entries_are_found_by_what_they_name_and_used_once(tmp_path: Path) -> None:
    model = script(tmp_path, SCRIPT)
    assert model.name == "script:replies.yaml"
    assert ask(model, "code", item="a.py", round=1).text == "first"
    assert ask(model, "code", item="a.py", round=2).text == "second round"
    assert ask(model, "code", item="a.py", round=2).text == "again"
    assert ask(model, "test", "qa", attempt=2).text == "repaired"
    assert json.loads(ask(model, "prd").text) == {"title": "Tödo", "goals": ["g"]}
    cut = ask(model, "cut")
    assert (cut.text, cut.finish_reason) == ("half\n", "length")
    assert model.unused() == []


def test_usage_is_estimated_the_same_each_time(tmp_path: Path) -> None:
    model = script(tmp_path, "- reply: abcde\n- reply: abcde")
    first, second = ask(model), ask(model)
    assert first == second
    assert (first.prompt_tokens, first.completion_tokens, first.estimated) == (2, 2, True)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    asyncio.run(
        script(tmp_path, "- reply: abcde").complete(request(StepLabel("s", "r")), lambda *one: told.append(one))
    )
    assert told == [(2, "abcde")]


def test_missing_reply_is_loud_and_says_what_is_left(tmp_path: Path) -> None:
    model = script(tmp_path, "- {step: prd, reply: x}\n- {step: code, item: a.py, reply: y}")
    ask(model, "prd")
    with pytest.raises(UsageError) as caught:
        ask(model, "code", "engineer", "b.py", 3, 2)
    message = str(caught.value)
    assert "step `code`, role `engineer`, item `b.py`, round 3, attempt 2" in message
    assert "left over: step=code item=a.py" in message
    assert model.unused() == ["step=code item=a.py"]


def test_empty_reply_is_a_failed_reply(tmp_path: Path) -> None:
    with pytest.raises(EmptyReply) as caught:
        ask(script(tmp_path, "- reply: ''"))
    assert caught.value.reply.prompt_tokens == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- {stpe: prd, reply: x}", "0.stpe"),
        ("- {step: prd}", "0.reply"),
        ("- {reply: x, finish_reason: never}", "finish_reason"),
        ("a: b", "top level"),
        ("", "top level"),
        ("- {reply: [", "no YAML"),
        ("- !!python/object/apply:os.system ['true']", "no YAML"),
    ],
)
def test_bad_script_is_refused_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        script(tmp_path, text)
    assert what in str(caught.value)
    assert "replies.yaml" in caught.value.place


def test_script_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        ScriptedModel.from_file(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"- reply: \xff\n")
    with pytest.raises(UsageError, match="UTF-8"):
        ScriptedModel.from_file(tmp_path / "latin.yaml")


# --- dry runs


@pytest.mark.parametrize("cls", DOCUMENTS.values(), ids=DOCUMENTS)
def test_dry_documents_fit_their_class(cls: type[BaseModel]) -> None:
    model = DryModel()
    document = parse_document(ask(model, schema=schema_for(cls)).text, cls)
    assert isinstance(document, cls)
    assert parse_list(ask(model, schema=schema_for(cls, many=True)).text, cls) == [document]


def test_dry_review_approves_so_that_loops_end() -> None:
    assert parse_document(ask(DryModel(), schema=schema_for(Review)).text, Review) == Review(approved=True, comments=[])


class Odd(BaseModel):
    word: Literal["low", "high"]
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}(a|b)?$")
    odd: str = Field(pattern=r"^[^a-z\s]+\W$")
    few: Annotated[list[int], Field(min_length=2)]
    number: float = Field(gt=0, lt=1)
    below: int = Field(le=-3)
    long: str = Field(min_length=30, max_length=31)
    maybe: str | None
    table: dict[str, int]
    fixed: Literal[3]


class Tree(BaseModel):
    children: list[Tree]


@pytest.mark.parametrize("cls", [Odd, Tree])
def test_dry_run_honours_what_a_schema_asks(cls: type[BaseModel]) -> None:
    assert parse_document(ask(DryModel(), schema=schema_for(cls)).text, cls)


def test_dry_run_says_which_pattern_it_cannot_serve() -> None:
    with pytest.raises(UsageError, match=r"\(\?=b\)"):
        minimal({"type": "string", "pattern": "^a(?=b)b{1}c(?<!c)$"}, {})
    with pytest.raises(UsageError, match="no value"):
        minimal({"type": "gadget"}, {})


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("^R[0-9]{1,2}$", "R0"), ("^(async )?(def|class) [A-Za-z_].*$", "def a"), (r"[^\d]\S+x", "aax"), ("", "")],
)
def test_text_for_a_pattern(pattern: str, text: str) -> None:
    assert from_pattern(pattern) == text


def test_dry_code_holds_each_file_that_is_asked_for() -> None:
    paths = ("pkg/a.py", "tests/test_a.py", "README.md", "data.json")
    reply = ask(DryModel(), expects=paths)
    files = parse_code(reply.text, expected=paths)
    assert tuple(file.path for file in files) == paths
    for path, content in files:
        if path.endswith(".py"):
            compile(content, path, "exec")
    assert "def test_" in files[1].content
    assert json.loads(files[3].content) == {}
    assert [file.path for file in parse_code(ask(DryModel()).text)] == ["main.py"]
    assert ask(DryModel(), expects=paths) == reply
