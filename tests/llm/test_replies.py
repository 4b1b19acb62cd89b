"""Replies as models really write them: documents, lists, files of code, and the names that a requirement gives."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from company.artifacts import BUILT_IN, Checks, Design, FileSpec, Prd, Requirement, Review
from company.errors import ReplyError
from company.llm.replies import LIST_MAX, names_in, parse_code, parse_document, parse_list, schema_for

REVIEW = {"approved": False, "comments": ["say more"]}
PRD: dict[str, Any] = {
    "title": "Todo",
    "goals": ["g"],
    "user_stories": ["s"],
    "requirements": [{"id": "R1", "priority": "must", "text": "t"}],
    "acceptance_criteria": ["c"],
    "unclear": [],
}


# --- schemas


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [one for value in schema for one in objects(value)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if "properties" in schema else []
    return own + [one for value in schema.values() for one in objects(value)]


@pytest.mark.parametrize("cls", BUILT_IN.values(), ids=BUILT_IN)
def test_schema_is_closed_complete_and_flat(cls: type[BaseModel]) -> None:
    schema = schema_for(cls)
    assert "$ref" not in json.dumps(schema)
    assert "$defs" not in schema
    found = objects(schema)
    assert found
    for one in found:
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])


def test_schema_keeps_a_property_called_title_and_drops_titles() -> None:
    schema = schema_for(Prd)
    assert schema["properties"]["title"] == {"maxLength": 80, "minLength": 1, "type": "string"}
    assert "title" not in schema


def test_schema_of_a_list() -> None:
    items = schema_for(Review, many=True)["properties"]["items"]
    assert items == {"type": "array", "items": schema_for(Review), "minItems": 1, "maxItems": LIST_MAX}


class Node(BaseModel):
    name: str = "x"
    children: list[Node] = []


def test_schema_of_a_class_that_holds_itself_keeps_its_definition() -> None:
    schema = schema_for(Node)
    assert schema["$defs"]["Node"]["required"] == ["name", "children"]
    assert "default" not in json.dumps(schema)


# --- documents


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(REVIEW), id="bare"),
        pytest.param("\ufeff\r\n" + json.dumps(REVIEW, indent=1).replace("\n", "\r\n"), id="bom-crlf"),
        pytest.param(f"```json\n{json.dumps(REVIEW)}\n```", id="fence"),
        pytest.param(f"```\n{json.dumps(REVIEW)}\n```", id="fence-without-language"),
        pytest.param(f"```json\n{json.dumps(REVIEW)}", id="fence-never-closed"),
        pytest.param(f"Here is my review:\n\n{json.dumps(REVIEW)}\n\nHope {{it}} helps.", id="prose"),
        pytest.param('{"approved": false, "comments": ["say more",],}', id="trailing-commas"),
        pytest.param(f"<think>{{hm}} so [1]</think>\n{json.dumps(REVIEW)}", id="thoughts"),
        pytest.param(json.dumps({"Review": REVIEW}), id="named"),
        pytest.param(f"[as asked]\n{json.dumps(REVIEW)}", id="brackets-in-prose"),
    ],
)
def test_document_is_found(text: str) -> None:
    assert parse_document(text, Review) == Review(approved=False, comments=["say more"])


def test_commas_and_fences_inside_strings_stay() -> None:
    comment = 'write ```json\n{,}\n``` or [1, ] and \\ "quoted", ]'
    assert parse_document(json.dumps({"approved": True, "comments": [comment]}), Review).comments == [comment]
    loose = json.dumps({"approved": True, "comments": [comment]})[:-1] + ",}"
    assert parse_document(loose, Review).comments == [comment]


def test_raw_newline_in_a_string_is_read() -> None:
    assert parse_document('{"approved": true, "comments": ["a\nb"]}', Review).comments == ["a\nb"]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(
            {**PRD, "title": ""}, ['- title: String should have at least 1 character; you gave ""'], id="short"
        ),
        pytest.param({k: v for k, v in PRD.items() if k != "goals"}, ["- goals: missing"], id="missing"),
        pytest.param({**PRD, "extra": 1}, ["- extra: there is no such field; leave it out"], id="extra"),
        pytest.param(
            {**PRD, "requirements": [{"id": "REQ", "priority": "must", "text": "t"}]},
            ["- requirements[0].id: String should match pattern '^R[0-9]{1,2}$'; you gave \"REQ\""],
            id="nested",
        ),
        pytest.param({**PRD, "goals": "one"}, ['- goals: Input should be a valid list; you gave "one"'], id="type"),
    ],
)
def test_reason_names_each_field(data: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(ReplyError) as caught:
        parse_document(json.dumps(data), Prd)
    assert caught.value.reason.splitlines()[1:] == lines
    assert caught.value.raw == json.dumps(data)


def test_reason_is_short_even_for_a_reply_full_of_faults() -> None:
    data = {"checks": [{"x" * 500: [["y"] * 300]} for _ in range(10)]}
    with pytest.raises(ReplyError) as caught:
        parse_document(json.dumps(data), Checks)
    lines = caught.value.reason.splitlines()
    assert len(lines) == 12
    assert lines[-1].endswith("more")


class WithDefaults(BaseModel):
    name: str
    inner: list[Node] = []


def test_defaults_are_not_filled_in() -> None:
    with pytest.raises(ReplyError) as caught:
        parse_document('{"name": "n"}', WithDefaults)
    assert "- inner: missing" in caught.value.reason
    with pytest.raises(ReplyError) as caught:
        parse_document('{"name": "n", "inner": [{"name": "a", "children": [{"name": "b"}]}]}', WithDefaults)
    assert "- inner[0].children[0].children: missing" in caught.value.reason


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("I cannot do that.", "there is no JSON in it", id="prose"),
        pytest.param('{"approved": true, "comments": ["a', "stops before", id="cut-in-a-string"),
        pytest.param('{"approved": true, "comments": ["a"', "stops before", id="cut"),
        pytest.param('{"approved": true "comments": []}', "Expecting ',' delimiter", id="no-comma"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(
            '{"approved": true, "approved": false, "comments": []}', "approved: given more than once", id="twice"
        ),
        pytest.param('{"approved": NaN, "comments": []}', "NaN is no JSON number", id="nan"),
        pytest.param('[{"approved": true}]', "the top level", id="list"),
        pytest.param("", "there is no JSON in it", id="nothing"),
    ],
)
def test_what_is_no_document(text: str, what: str) -> None:
    with pytest.raises(ReplyError) as caught:
        parse_document(text, Review)
    assert what in caught.value.reason
    assert len(caught.value.reason.splitlines()) <= 12


@pytest.mark.parametrize(
    "text", [json.dumps({"items": [REVIEW, REVIEW]}), f"Sure:\n```json\n{json.dumps([REVIEW] * 2)}\n```"]
)
def test_list(text: str) -> None:
    assert parse_list(text, Review) == [Review(approved=False, comments=["say more"])] * 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"items": []}', f"give 1 to {LIST_MAX} entries, not 0"),
        ('{"items": [{"approved": 3, "comments": []}]}', "- items[0].approved: "),
        ('{"things": []}', 'one key "items"'),
    ],
)
def test_list_that_does_not_fit(text: str, what: str) -> None:
    with pytest.raises(ReplyError) as caught:
        parse_list(text, Review)
    assert what in caught.value.reason


class Anything(BaseModel):
    text: str
    numbers: list[int]
    inner: dict[str, Annotated[str, Field(max_length=50)]]


@given(
    st.builds(
        Anything,
        text=st.text(),
        numbers=st.lists(st.integers()),
        inner=st.dictionaries(st.text(), st.text(max_size=50)),
    ),
    st.sampled_from(["{}", "```json\n{}\n```", "Here:\n\n{}\n\nDone.", "~~~\n{}\n~~~"]),
    st.sampled_from([None, 1]),
)
def test_any_document_is_read_back(document: Anything, frame: str, indent: int | None) -> None:
    text = frame.replace("{}", json.dumps(document.model_dump(), indent=indent))
    assert parse_document(text, Anything) == document


@given(st.text(alphabet='{}[]",:`~\n\\ab1 #', max_size=60))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (lambda: parse_document(text, Review), lambda: parse_list(text, Review), lambda: parse_code(text)):
        try:
            parse()
        except ReplyError as error:
            assert error.reason
            assert error.raw == text


# --- code


def files(text: str, *expected: str, single: bool = False) -> dict[str, str]:
    return dict(parse_code(textwrap.dedent(text), expected=expected, single=single))


A, B = "def a():\n    return 1\n", "def b():\n    return 2\n"


def two(first: str, second: str) -> str:
    return f"Here are the files.\n\n{first}\n{A}```\n\n{second}\n{B}```\n\nThat is all.\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(two("### pkg/a.py\n```python", "### pkg/b.py\n```python"), id="headings"),
        pytest.param(two("### pkg/a.py\n\n```python", "### `pkg/b.py`:\n\n\n```python"), id="headings-blank-lines"),
        pytest.param(two("**pkg/a.py**\n```python", "**`pkg/b.py`**:\n```python"), id="bold"),
        pytest.param(two("`pkg/a.py`\n```python", "pkg/b.py:\n```python"), id="plain-lines"),
        pytest.param(two("File: pkg/a.py\n```py", "Filename: `pkg/b.py`\n```"), id="labels"),
        pytest.param(
            two("1. **pkg/a.py** (the core)\n```python", "2. `pkg/b.py` - the rest\n```python"), id="numbered"
        ),
        pytest.param(two("#### 1. pkg/a.py\n```python", "#### File 2: pkg/b.py\n```python"), id="numbered-headings"),
        pytest.param(two("```python pkg/a.py", "```python pkg/b.py"), id="info"),
        pytest.param(two("```python:pkg/a.py", "```pkg/b.py"), id="info-colon-bare"),
        pytest.param(two('```python title="pkg/a.py"', "```python filename=pkg/b.py"), id="info-title"),
        pytest.param(two('```{.python title="pkg/a.py"}', "```{.python filename='pkg/b.py'}"), id="info-braces"),
        pytest.param(two("```python\n# pkg/a.py", "```python\n# file: pkg/b.py"), id="comments"),
        pytest.param(
            two("```python\n# --- pkg/a.py ---\n", "```python\n#!/usr/bin/env python3\n# File: `pkg/b.py`"), id="rules"
        ),
        pytest.param(f"```python\n# pkg/a.py\n{A}\n# pkg/b.py\n{B}```\n", id="one-block"),
        pytest.param(f"```python\n# file: pkg/a.py\n\n{A}\n\n# === pkg/b.py ===\n\n{B}\n```\n", id="one-block-rules"),
        pytest.param(
            f"```python\n### module pkg/a.py\n\n{A}\n\n### module pkg/b.py\n\n{B}\n```\n", id="one-block-modules"
        ),
        pytest.param(f"### pkg/a.py\n```python\n# pkg/a.py\n{A}\n# pkg/b.py\n{B}```\n", id="one-block-heading"),
        pytest.param(f"# pkg/a.py\n{A}\n# pkg/b.py\n{B}", id="no-fence"),
        pytest.param(f"~~~python pkg/a.py\n{A}~~~\n~~~~ pkg/b.py\n{B}~~~~\n", id="tildes"),
        pytest.param(two("### pkg/a.py\n```python", "### pkg/b.py\n```python").replace("\n", "\r\n"), id="crlf"),
        pytest.param(two("### ./pkg/a.py\n```python", "### pkg\\b.py\n```python"), id="dots-backslashes"),
        pytest.param(
            "<think>```python\nx</think>\n" + two("### pkg/a.py\n```python", "### pkg/b.py\n```python"), id="thoughts"
        ),
        pytest.param(textwrap.indent(two("pkg/a.py\n```python", "pkg/b.py\n```python"), "   "), id="indented"),
        pytest.param(
            f"- pkg/a.py\n- pkg/b.py\n\n```python\n# pkg/a.py\n{A}```\n```python\n# pkg/b.py\n{B}```", id="list-above"
        ),
        pytest.param(f"### pkg/a.py\n```python\n{A}\n### pkg/b.py\n```python\n{B}```", id="first-not-closed"),
    ],
)
def test_two_files(text: str) -> None:
    for expected in ((), ("pkg/a.py", "pkg/b.py")):
        found = dict(parse_code(text, expected=expected))
        assert {path: body.removeprefix("#!/usr/bin/env python3\n") for path, body in found.items()} == {
            "pkg/a.py": A, "pkg/b.py": B,
        }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"```python\n{A}```", id="one-block"),
        pytest.param(A, id="no-fence"),
        pytest.param(f"Sure!\n\n```\n{A}```\nEnjoy.", id="no-language"),
        pytest.param(f"```python\n# todo.py\n{A}```", id="comment"),
        pytest.param(f"```python\n# src/todo.py\n{A}```", id="other-folder"),
        pytest.param(f"```python\n# app.py\n{A}```", id="another-name"),
        pytest.param(f"```python\n# /home/user/project/todo.py\n{A}```", id="absolute"),
        pytest.param(f"Save this as `todo.py`:\n\n```python\n{A}```", id="sentence"),
        pytest.param(f"```python\n{A}```\n\nUsage:\n\n```bash\npython todo.py add milk\n```", id="shell-after"),
        pytest.param(f"### Usage of todo.py\n```bash\npython todo.py\n```\n```python\n{A}```", id="shell-before"),
        pytest.param(f"```python\n{A}```\n\nIt prints:\n\n```\nadded #1 12.50 food\n```", id="output-after"),
        pytest.param(f"```python\n{A}```\n\n### Example\n```python\nfrom todo import a\nprint(a())\n```", id="example"),
        pytest.param(
            f"Example:\n```python\nimport todo\nx = todo.a()\n```\nCode:\n```python\n{A}```", id="example-first"
        ),
        pytest.param(f"```python\n{A}```\n```pycon\n>>> a()\n1\n```\n```python\n>>> a()\n1\n```", id="sessions"),
        pytest.param(f"```python\n{A}```\nData:\n```json\n[1]\n```", id="json-data"),
        pytest.param(
            f"### todo.py\n```python\ndef a(): pass\n```\nFixed:\n### todo.py\n```python\n{A}```", id="last-wins"
        ),
        pytest.param(f"```python\ndef a(): pass\n```\nBetter:\n```python\n{A}```", id="later-version"),
        pytest.param(
            f"### todo.py\n```python\n{A}```\n### Test\n```python\nimport todo\nassert todo.a()\n```", id="asserts"
        ),
        pytest.param(f"````python\n{A}````", id="longer-fence"),
        pytest.param(f"```markdown\n```python\n{A}```\n", id="wrapped-once-closed"),
        pytest.param(f"```markdown\n### todo.py\n```python\n{A}```\n```\nThat is all.", id="wrapped"),
        pytest.param(f"### todo.py\n```markdown\n```python\n{A}```\n```", id="wrapped-under-its-name"),
        pytest.param(f"### /home/user/project/tasks.py\n```python\n{A}```", id="absolute-another-name"),
        pytest.param(
            f"### todo.py\n```python\n{A}```\nIn `todo.py` the limit is:\n```python\nLIMIT = 3\n```", id="a-piece-after"
        ),
        pytest.param(f"- todo.py:\n\n  ```python\n{textwrap.indent(A, '  ')}  ```", id="in-a-list"),
    ],
)
def test_one_expected_file(text: str) -> None:
    assert parse_code(text, expected=["todo.py"], single=True) == [("todo.py", A)]


def test_without_expectation_it_is_main() -> None:
    assert files(f"```python\n{A}```") == {"main.py": A}


def test_expected_file_in_a_package_is_known_by_its_name() -> None:
    assert files(f"### area.py\n```python\n{A}```", "shapes/area.py", "shapes/cli.py") == {"shapes/area.py": A}
    assert files(f"### cli.py\n```python\n{A}```", "one/cli.py", "two/cli.py") == {"cli.py": A}


def test_a_placeholder_for_a_folder_is_none() -> None:
    assert files(f"### /path/to/area.py\n```python\n{A}```", "shapes.py") == {
        "shapes.py": A
    }  # the only one that is meant
    assert files(f"### /path/to/area.py\n```python\n{A}```", "shapes.py", "cli.py") == {"area.py": A}
    two = "\n".join(f"### /path/to/{name}/cart.py\n```python\n{A}```" for name in ("shop", "blog"))
    assert files(two) == files(two, "shop/cart.py", "blog/cart.py") == {"shop/cart.py": A, "blog/cart.py": A}
    with pytest.raises(ReplyError) as caught:
        files(f"### /home/area.py\n```python\n{A}```", "shapes.py", "cli.py")
    assert caught.value.message == "the reply is no code: the path `/home/area.py` leads out"


DOCSTRING = '''\
def f():
    """Example.

    ```python
    f()
    ```

```
f()
```
    """
    return "```"


def g():
    return 2
'''


@pytest.mark.parametrize("fence", ["```", "````", "~~~"])
def test_fences_inside_code_do_not_end_it(fence: str) -> None:
    text = f"### x.py\n{fence}python\n{DOCSTRING}{fence}\nDone.\n### y.py\n{fence}python\n{A}{fence}\n"
    assert dict(parse_code(text)) == {"x.py": DOCSTRING, "y.py": A}


def test_fences_inside_markdown_do_not_end_it() -> None:
    readme = "# Todo\n\n```bash\npython todo.py\n```\n\nMore.\n"
    text = f"### README.md\n```markdown\n{readme}```\n### todo.py\n```python\n{A}```\n"
    assert dict(parse_code(text)) == {"README.md": readme, "todo.py": A}


@pytest.mark.parametrize(
    ("language", "path", "body"),
    [
        ("json", "data/config.json", '{"a": 1}\n'),
        ("toml", "pyproject.toml", "[project]\n"),
        ("html", "web/index.html", "<p>hi</p>\n"),
        ("text", "requirements.txt", "x\n"),
        ("bash", "run.sh", "echo hi\n"),
        ("", "setup.cfg", "[metadata]\n"),
    ],
)
def test_other_files_with_a_path(language: str, path: str, body: str) -> None:
    assert files(f"### {path}\n```{language}\n{body}```\n### a.py\n```python\n{A}```") == {path: body, "a.py": A}


def test_a_readme_is_called_by_no_title() -> None:
    readme = "# todo.py\n\nIt keeps notes.\n\n## notes.py\n\nMore.\n"
    assert files(f"```markdown\n{readme}```", "README.md") == {"README.md": readme}


@pytest.mark.parametrize("end", ["", "\n\nIt prints nothing."])
def test_a_readme_with_fences_that_lacks_its_last_one_is_whole_at_the_end_of_the_text(end: str) -> None:
    readme = f"# Todo\n\n```bash\npip install todo\n```\n\nUse it:\n\n```python\nimport todo\n```{end}\n"
    for opening in ("### README.md\n```markdown\n", "### README.md\n```\n"):
        text = f"### todo.py\n```python\n{A}```\n\n{opening}{readme}"
        assert files(text, "todo.py", "README.md") == {"todo.py": A, "README.md": readme}


@pytest.mark.parametrize("end", ["\n\nIt pri", "\n\n```python\nimp", f"\n\n### todo.py\n```python\n{A}```"])
def test_a_readme_whose_end_nobody_can_tell_is_refused(end: str) -> None:
    text = f"### README.md\n```markdown\n# Todo\n\n```bash\npip install todo\n```{end}"
    with pytest.raises(ReplyError, match="cut inside a block"):
        parse_code(text, expected=["README.md", "todo.py"])


def test_a_heading_names_the_block_under_its_sentence() -> None:
    text = (
        f"### `a.py`\nIt keeps all in `data.json`.\n\n```python\n{A}```\n\n### `b.py`\nOne more.\n\n```python\n{B}```\n"
        "### c.py\nRun it so:\n```python\nprint()\n```"
    )
    assert files(text, "a.py", "b.py", "c.py") == {"a.py": A, "b.py": B, "c.py": "print()\n"}
    assert files(text, "a.py", "b.py") == {"a.py": A, "b.py": B}
    again = f"{text}\n\n### `a.py`\nThe heart of it:\n\n```python\nreturn_value = 1\n```\n"
    assert files(again, "a.py", "b.py") == {"a.py": A, "b.py": B}


def test_pieces_of_a_file_are_no_file() -> None:
    with pytest.raises(ReplyError, match="in pieces"):
        parse_code(f"### a.py\n```python\n{A}```\n\n### a.py\n```python\n{B}```", expected=["a.py"])


def test_a_broken_file_that_is_not_closed_does_not_take_in_the_next() -> None:
    with pytest.raises(ReplyError, match="cut inside a block"):
        parse_code(f"### a.py\n```python\ndef a(:\n\n### b.py\n```python\n{B}```", expected=["a.py", "b.py"])


def test_comment_that_names_a_file_in_the_middle_of_code_does_not_split_it() -> None:
    code = 'import json\n\n# config.json\nPATH = "config.json"\n\n\ndef load():\n    # helpers.py\n    return json.load(open(PATH))\n'
    assert files(f"```python\n{code}```", "app.py") == {"app.py": code}
    text = 'TEXT = """\n# other.py\nx = 1\n"""\n\n\ndef f():\n    return TEXT\n'
    assert files(f"```python\n# app.py\n{text}```", "app.py") == {"app.py": text}


def test_syntax_errors_do_not_hide_a_file() -> None:
    broken = "def a(:\n    return 1\n"
    assert files(f"### a.py\n```python\n{broken}```\n### b.py\n```python\n{B}```") == {"a.py": broken, "b.py": B}


def test_empty_package_file() -> None:
    text = f"### pkg/__init__.py\n```python\n```\n### pkg/a.py\n```python\n{A}```"
    assert files(text) == {"pkg/__init__.py": "", "pkg/a.py": A}
    assert files(f"```python\n# pkg/__init__.py\n\n# pkg/a.py\n{A}```") == {"pkg/__init__.py": "", "pkg/a.py": A}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("", "fenced block", id="nothing"),
        pytest.param("Sorry, I cannot.", "fenced block", id="prose"),
        pytest.param("sorry", "fenced block", id="a-word-that-parses"),
        pytest.param(f"### a.py\n```python\n{A}```\n### b.py\n```python\ndef b():\n    ret", "cut", id="cut-second"),
        pytest.param(f"```python\n{A}", "cut", id="cut"),
        pytest.param("```bash\npython x.py\n```", "fenced block", id="only-shell"),
        pytest.param("```diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n```", "not a diff", id="diff"),
        pytest.param(f"### x.py\n```python\n{A}\n# ... rest of the code unchanged\n```", "left out", id="elision"),
        pytest.param(f"### x.py\n```python\n{A}\n# (existing code here)\n```", "left out", id="elision-existing"),
        pytest.param(f"### x.py\n```python\n{A}\n# ... existing code ...\n```", "left out", id="elision-dots"),
        pytest.param(f"### ../x.py\n```python\n{A}```", "relative", id="parent"),
        pytest.param(f"```python /etc/x.py\n{A}```", "relative", id="absolute"),
        pytest.param("### x.py\n```python\n```", "fenced block", id="empty-file"),
    ],
)
def test_what_is_no_code(text: str, what: str) -> None:
    with pytest.raises(ReplyError) as caught:
        parse_code(text)
    assert what in caught.value.reason
    assert caught.value.raw == text


def test_ordinary_comments_are_not_elisions() -> None:
    code = "# The rest of the file is padding bytes.\nx = 1\n# previous value, unchanged\ny = 2\n\n\ndef a():\n    return 3\n"
    assert files(f"```python\n{code}```", "a.py") == {"a.py": code}


def test_blocks_that_nobody_can_tell_apart_are_refused() -> None:
    text = f"```python\n{A}```\n```python\n{B}```"
    with pytest.raises(ReplyError) as caught:
        parse_code(text, expected=["a.py", "b.py"])
    assert "### a.py" in caught.value.reason


def test_single_file_that_is_not_there() -> None:
    with pytest.raises(ReplyError) as caught:
        parse_code(f"### x.py\n```python\n{A}```\n### y.py\n```python\n{B}```", expected=["todo.py"], single=True)
    assert "`todo.py`" in caught.value.reason


def test_single_leaves_other_files_aside() -> None:
    text = f"### todo.py\n```python\n{A}```\n### test_todo.py\n```python\n{B}```"
    assert files(text, "todo.py", single=True) == {"todo.py": A}
    assert files(text, "todo.py") == {"todo.py": A, "test_todo.py": B}


CODE = st.sampled_from(
    [
        A,
        B,
        DOCSTRING,
        "import sys\n\nprint('# x.py', '```')\n",
        'S = """\n~~~\n# y.py\n```\n"""\n\n\ndef s():\n    return S\n',
    ]
)


@given(
    st.dictionaries(st.sampled_from(["a.py", "pkg/b.py", "pkg/sub/c_d.py", "e2.py"]), CODE, min_size=1),
    st.sampled_from(
        ["### {}\n\n```python\n", "**{}**\n````python\n", "```python {}\n", "~~~py\n# {}\n", "`{}`:\n```\n"]
    ),
    st.sampled_from(["", "Here you are.\n\n"]),
)
def test_any_files_are_read_back(wanted: dict[str, str], frame: str, prose: str) -> None:
    text = prose
    for path, code in wanted.items():
        opening = frame.replace("{}", path)
        fence = (
            opening[opening.index("```") if "```" in opening else opening.index("~~~") :].split("p")[0].split("\n")[0]
        )
        text += f"{opening}{code}{fence.strip()}\n\nSome words about it.\n\n"
    found = dict(parse_code(text, expected=list(wanted)))
    assert found == wanted
    assert all(ast.parse(code) for code in found.values())


# --- names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Write a library `durations.py` for human durations. `parse(text)` turns …", ["durations.py"]),
        ("A tracker in `spend.py` that keeps data in `spend.json`. `python spend.py add X` prints Y.", ["spend.py"]),
        ("A package `shapes` with modules `area.py` and `cli.py`.", ["shapes/area.py", "shapes/cli.py"]),
        ("A package `shapes` with the modules `area` and `cli`. Use `int`.", ["shapes/area.py", "shapes/cli.py"]),
        ("Write a package shapes with modules area.py and cli.py.", ["shapes/area.py", "shapes/cli.py"]),
        ("A Python package called shapes. It has modules `area.py`, `cli.py`.", ["shapes/area.py", "shapes/cli.py"]),
        (
            "Make the `shapes` package:\n\n- `area.py`: areas\n- `cli.py`: the program\n",
            ["shapes/area.py", "shapes/cli.py"],
        ),
        ("A package `shapes` with `shapes/area.py` and `shapes/cli.py`.", ["shapes/area.py", "shapes/cli.py"]),
        ("A package `shapes` with a module `area.py`, and a script `run.py`.", ["shapes/area.py", "run.py"]),
        ("`python -m wordfreq FILE` prints counts.", ["wordfreq.py"]),
        (
            "A package `shapes`. `python -m shapes` and `python -m shapes.cli` work.",
            ["shapes/__main__.py", "shapes/cli.py"],
        ),
        ("`a.py`, `b.py` and tests in `tests/test_a.py`, test_b.py; run `python -m pytest`.", ["a.py", "b.py"]),
        ("No third-party packages. Use a package manager. No package is needed with main.py.", ["main.py"]),
        ("See https://example.org/x.py and ../y.py; files like *.py or data.json, not a.pyc.", []),
        ("A todo app.", []),
        ("Use todo.py. Then call todo.py again.", ["todo.py"]),
        ("pkg/core.py must not import pkg/cli.py", ["pkg/core.py", "pkg/cli.py"]),
        ("", []),
    ],
)
def test_names_in_a_requirement(text: str, names: list[str]) -> None:
    assert names_in(text) == names


@given(st.text(alphabet="`package shapes.py/-m tool\n:;,()", max_size=80))
def test_names_are_always_paths_of_python(text: str) -> None:
    for name in names_in(text):
        assert FileSpec.model_validate({"path": name, "purpose": "p", "depends_on": [], "parts": []}).path.endswith(
            ".py"
        )


def test_artifacts_are_read_back_from_their_own_json() -> None:
    requirement = Requirement(id="R1", priority="must", text="t")
    prd = Prd.model_validate({**PRD, "requirements": [requirement.model_dump()]})
    assert parse_document(prd.model_dump_json(), Prd) == prd
    design = Design(
        approach="a", entry_point="", dependencies=[],
        files=[FileSpec(path="a.py", purpose="p", depends_on=[], parts=[])],
    )  # fmt: skip
    assert parse_document(design.model_dump_json(indent=2), Design) == design


def test_a_method_as_it_stands_in_its_class_is_moved_to_the_margin() -> None:
    (file,) = parse_code("```python\n    def size(self):\n        return 1\n```", expected=("a.py",), single=True)
    assert file.content == "def size(self):\n    return 1\n"


def test_the_one_file_that_defines_something_is_the_one_that_is_asked_for() -> None:
    reply = "```python\n### loud.py\n\ndef shout(text):\n    return text\n\n### main.py\n\nprint('a')\n```"
    assert {file.path for file in parse_code(reply, expected=("shout.py",))} == {"shout.py", "main.py"}
    other = reply.replace("print('a')", "def main():\n    print('a')")
    assert {file.path for file in parse_code(other, expected=("shout.py",))} == {"loud.py", "main.py"}


# --- forms that are filled in


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (
            r'{"approved": true, "comments": ["for \(x\) and \d+", "\\n \n \"\u00e9",],}',
            ["for \\(x\\) and \\d+", '\\n \n "é'],
        ),
        (r'{"approved": true, "comments": ["C:\\dir\\", "a \\(b"]}', ["C:\\dir\\", "a \\(b"]),
        (r'{"approved": true, "comments": ["it\'s", "it\'s\n"]}', ["it's", "it's\n"]),
    ],
    ids=["of nothing", "right as it is", "of an apostrophe"],
)
def test_a_backslash_that_escapes_nothing_is_one(text: str, read: list[str]) -> None:
    assert parse_document(text, Review).comments == read


@pytest.mark.parametrize("said", [r"^\d+\b", r"C:\new\Data", r"\(\frac12 + \beta\)"])
def test_a_text_that_was_not_escaped_is_not_half_unescaped(said: str) -> None:
    with pytest.raises(ReplyError, match=r"Invalid \\escape"):
        parse_document(f'{{"approved": true, "comments": ["{said}"]}}', Review)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"title": "<…>"}, "title"),
        ({"goals": ["g", "<…>"]}, "goals[1]"),
        ({"requirements": [{**PRD["requirements"][0], "text": "<…>"}]}, "requirements[0].text"),
    ],
)
def test_what_is_left_blank_is_no_answer(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ReplyError, match=f"{re.escape(place)}: is left blank"):
        parse_document(json.dumps(PRD | change), Prd)
    assert parse_document(json.dumps(PRD | {"title": "and so on …"}), Prd).title == "and so on …"


class Scores(BaseModel):
    of: dict[str, list[str]]


def test_what_is_left_blank_in_a_map_is_none_either() -> None:
    for scores in ({"a": ["<…>"]}, {"<…>": ["b"]}):
        with pytest.raises(ReplyError, match="is left blank"):
            parse_document(json.dumps({"of": scores}), Scores)
