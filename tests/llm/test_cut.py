"""Replies of code that were cut: what is made of them is whole and right, or is refused. Never a half, never another text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from company.cache import Replies
from company.errors import StepFailed
from company.events import Journal
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import Message, OnTokens, Reply, Request, StepLabel
from company.llm.code_replies import parse_code, whole_files
from company.llm.gateway import Gateway
from company.llm.joining import cut_of, is_circling, joins, sound_files, without_circle
from company.llm.recording import Recorder, read_exchanges
from company.store import Folder

LEDGER = '''"""Books of a small shop.

Use it so:

```python
book = Book()
book.add("tea", 3)
```
"""

from __future__ import annotations

import json
from pathlib import Path

RATES = {
    "tea": 7,
    "cloth": 19,
}


class Book:
    """Entries in the order in which they came."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int]] = []

    def add(self, name: str, amount: int) -> None:
        """One entry more.

        ```
        book.add("tea", 3)
        ```
        """
        if amount <= 0:
            raise ValueError(f"no amount: {amount}")
        self.entries.append((name, amount))

    @property
    def total(self) -> int:
        total = 0
        for _, amount in self.entries:
            total += amount
        return total


def save(book: Book, path: Path) -> None:
    text = json.dumps(book.entries)
    path.write_text(text)
    print()
    print()


if __name__ == "__main__":
    save(Book(), Path("book.json"))
'''
SHAPES = "def area(side: float) -> float:\n    return side * side\n\n\ndef edge(area: float) -> float:\n    return area**0.5\n"
DATA = '{\n  "names": [\n    "a",\n    "b"\n  ],\n  "rate": 7\n}\n'
ONE = {"ledger.py": LEDGER}
THREE = {"shapes.py": SHAPES, "ledger.py": LEDGER, "data.json": DATA}


def reply_of(files: dict[str, str]) -> str:
    kinds = {"py": "python", "json": "json"}
    blocks = [f"### {path}\n```{kinds[path.rpartition('.')[2]]}\n{text}```\n" for path, text in files.items()]
    return "Here it is.\n\n" + "\n".join(blocks) + "\nRun it with `python ledger.py`.\n"


@dataclass
class Given:
    """A model that gives one reply after the other; `answer` makes those that are not written yet."""

    replies: list[tuple[str, str]]
    answer: Callable[[Request], str] | None = None
    asked: list[Request] = field(default_factory=list)
    name: str = "given:m"
    identity: str = "given"
    context: int | None = None

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        self.asked.append(request)
        if self.replies:
            text, finish = self.replies.pop(0)
        else:
            assert self.answer, "nothing is left to say"
            text, finish = self.answer(request), "stop"
        return Reply(text, finish, 10, 10, None, "m", 0.0)

    async def close(self) -> None:
        """Nothing is held."""


def ask(
    model: Given,
    folder: Path,
    expects: Sequence[str],
    *,
    needs_all: bool = True,
    record: Path | None = None,
    most: int = 100,
) -> str:
    """The text that a question's reader gets."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / "events.jsonl")
    recorder = Recorder(record) if record else None
    gateway = Gateway(
        {None: model}, Replies(Folder(folder)), Budget({}, {}, {}), journal, temperature=0.0, max_tokens=most, recorder=recorder
    )  # fmt: skip
    question = Ask(
        StepLabel("code", "engineer"), (Message("user", "Write it."),), expects=tuple(expects), needs_all=needs_all
    )

    def read(text: str) -> str:
        parse_code(text, expected=expects)
        return text

    try:
        return asyncio.run(gateway.ask(question, read))
    finally:
        journal.close()


def files_of(text: str, expects: Iterable[str]) -> dict[str, str]:
    return {file.path: file.content for file in parse_code(text, expected=tuple(expects))}


def rest_after(whole: str, request: Request) -> str:
    """What a model that does as it is told says: the next lines in a block, or the files that are missing."""
    given, told = request.messages[-2].content, request.messages[-1].content
    if "do not give it again" in told:
        wanted = {path: text for path, text in THREE.items() if f"`{path}`" in told.partition("Give now only")[2]}
        return reply_of(wanted)
    assert "after the line" in told
    lines = whole.split("\n")
    row = len(given.split("\n"))
    assert lines[:row] == given.split("\n")
    return "```python\n" + "\n".join(lines[row:])


def cuts_of(whole: str) -> list[str]:
    """A reply cut at every end of a line, before it, and in the middle of each line."""
    found = []
    place = 0
    for line in whole.split("\n")[:-1]:
        found += [whole[: place + len(line) // 2], whole[: place + len(line)], whole[: place + len(line) + 1]]
        place += len(line) + 1
    return sorted({text for text in found if text.strip()}, key=len)


@pytest.mark.parametrize("files", [ONE, THREE], ids=["one file", "three files"])
def test_a_reply_cut_anywhere_becomes_the_whole_or_is_asked_for_again(files: dict[str, str], tmp_path: Path) -> None:
    whole = reply_of(files)
    ways = {"used": 0, "again": 0}
    for number, cut in enumerate(cuts_of(whole)[:: 2 * len(files) - 1]):
        model = Given([(cut, "length")])

        def answer(request: Request) -> str:
            if "whole and shorter" in request.messages[-1].content:
                ways["again"] += 1
                return whole
            return rest_after(whole, request)

        model.answer = answer
        text = ask(model, tmp_path / str(number), tuple(files))
        assert files_of(text, files) == files, cut
        ways["used"] += 1
        assert len(model.asked) <= 4
    assert ways["again"] < ways["used"] / 2, ways  # it is of use


# --- other ways to go on ----------------------------------------------------------------------------

OTHER = 'import sys\n\n\ndef greet(name):\n    return f"hello {name}"\n\n\nprint(greet(sys.argv[1]))\n'


def raw(body: list[str], rest: list[str]) -> str:
    return "\n".join(rest)


def with_prose(body: list[str], rest: list[str]) -> str:
    return "Sure, here is the rest of it:\n\n```python\n" + "\n".join(rest) + "\nI hope this helps!\n"


def from_the_beginning(body: list[str], rest: list[str]) -> str:
    return "```python\n" + "\n".join([*body, *rest])


def last_line_again(body: list[str], rest: list[str]) -> str:
    return "```python\n" + "\n".join([body[-1], *rest])


def five_lines_again(body: list[str], rest: list[str]) -> str:
    return "```python\n" + "\n".join([*body[-5:], *rest])


def in_a_list(body: list[str], rest: list[str]) -> str:
    return "1. ```python\n" + "\n".join(f"   {line}" if line else "" for line in rest)


def a_line_left_out(body: list[str], rest: list[str]) -> str:
    row = next((row for row, line in enumerate(rest) if line.strip()), 0)
    return "```python\n" + "\n".join([*rest[:row], *rest[row + 1 :]])


def the_next_definition(body: list[str], rest: list[str]) -> str:
    row = next((row for row, line in enumerate(rest) if line.startswith(("def ", "class ", "if "))), 0)
    return "```python\n" + "\n".join(rest[row:] if any(rest[:row]) else rest)


def at_the_margin(body: list[str], rest: list[str]) -> str:
    return "```python\n" + "\n".join(line.strip() for line in rest)


def another_program(body: list[str], rest: list[str]) -> str:
    return f"```python\n{OTHER}```\n"


def nothing_but_a_fence(body: list[str], rest: list[str]) -> str:
    return "```\n"


def made(cut_text: str, whole: str, way: Callable[[list[str], list[str]], str]) -> list[dict[str, str]] | None:
    """What the joins come to; None where a cut is not gone on with."""
    cut = cut_of(cut_text, ["ledger.py"])
    if cut is None:
        return None
    rest = whole.split("\n")[len(cut.text.split("\n")) :]
    found = [sound_files(join.text, ["ledger.py"], needs_all=True) for join in joins(cut, way(cut.body, rest))]
    return [files for number, files in enumerate(found) if files and files not in found[:number]]


@pytest.mark.parametrize(
    ("way", "least"),
    [(raw, 0.8), (with_prose, 0.8), (from_the_beginning, 0.8), (last_line_again, 0.4), (five_lines_again, 0.8), (in_a_list, 0.8)],
)  # fmt: skip
def test_a_join_is_the_whole_or_none(way: Callable[[list[str], list[str]], str], least: float) -> None:
    whole = reply_of(ONE)
    cuts = [text for text in cuts_of(whole) if cut_of(text, ["ledger.py"])]
    right = 0
    for cut in cuts:
        files = made(cut, whole, way) or []
        assert ONE in files or not files, cut
        right += files == [ONE]
    assert right / len(cuts) >= least


@pytest.mark.parametrize(
    "way", [another_program, nothing_but_a_fence, at_the_margin, the_next_definition, a_line_left_out]
)
def test_what_does_not_go_on_is_not_used(way: Callable[[list[str], list[str]], str]) -> None:
    once = {"ledger.py": LEDGER.replace("    print()\n", "", 1)}  # of two lines that are alike one may go unseen
    whole = reply_of(once)
    wrong = [cut for cut in cuts_of(whole) if [files for files in made(cut, whole, way) or [] if files != once]]
    assert [cut[-60:] for cut in wrong] == []


def test_a_block_is_gone_on_with_in_two_pieces_and_recorded(tmp_path: Path) -> None:
    whole = reply_of(ONE)
    first, second = whole[:600], whole[: len(whole) * 3 // 4]

    def piece(request: Request, text: str) -> str:
        return "```python\n" + "\n".join(text.split("\n")[len(request.messages[-2].content.split("\n")) :])

    class InTurn(Given):
        async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
            if len(self.asked) == 1:
                self.replies.append((piece(request, second), "length"))
            return await super().complete(request, on_tokens)

    model = InTurn([(first, "length")], lambda request: rest_after(whole, request))
    record = tmp_path / "talk.jsonl"
    text = ask(model, tmp_path / "run", ["ledger.py"], record=record)
    assert files_of(text, ONE) == ONE
    assert [request.label.attempt for request in model.asked] == [1, 1, 1]
    assert [request.temperature for request in model.asked] == [0.0, 0.0, 0.0]
    assert [request.messages[-1].content.split(" after")[0] for request in model.asked[1:]] == [
        "Your reply was cut"
    ] * 2
    kept = read_exchanges(record.read_bytes(), record)
    assert [each.reply.finish_reason for each in kept if each.reply] == ["length", "length", "stop"]
    again = Given([])  # what lies in the store is not asked again
    again.name, again.identity = model.name, model.identity
    assert ask(again, tmp_path / "run", ["ledger.py"]) == text


def test_a_reply_is_gone_on_with_twice_at_most_for_one_question(tmp_path: Path) -> None:
    cut = reply_of(ONE).partition("_, amount")[0]
    model = Given([(cut, "length")], None)

    async def always_cut(request: Request, on_tokens: OnTokens | None = None) -> Reply:
        model.asked.append(request)
        text = rest_after(reply_of(ONE), request)[:130] if "after the line" in request.messages[-1].content else cut
        return Reply(text, "length", 10, 10, None, "m", 0.0)

    model.complete = always_cut  # type: ignore[method-assign]
    with pytest.raises(StepFailed, match="cut at 100 tokens"):
        ask(model, tmp_path, ["ledger.py"])
    assert [request.label.attempt for request in model.asked] == [1, 1, 1, 2, 3]


def test_missing_files_alone_are_asked_for_and_what_came_whole_stays(tmp_path: Path) -> None:
    whole = reply_of(THREE)
    other = {"shapes.py": "def area(): ...\n", "ledger.py": LEDGER, "data.json": DATA, "extra.py": OTHER}
    other_reply = "\n".join(f"### {path}\n```{path.rpartition('.')[2]}\n{text}```" for path, text in other.items())
    model = Given([(whole[: whole.index("class Book")], "length"), (other_reply, "stop")])
    assert files_of(ask(model, tmp_path, list(THREE)), THREE) == THREE
    told = model.asked[1].messages
    assert "`shapes.py` came whole" in told[-1].content
    assert "only `ledger.py`, `data.json`" in told[-1].content
    assert "class" not in told[-2].content  # no line of what was cut
    assert model.asked[1].expects == ("ledger.py", "data.json")


def test_a_model_that_goes_round_in_circles_is_told_so(tmp_path: Path) -> None:
    turn = '    if name == "tea":\n        rate = 7\n    else:\n        rate = 19\n'
    cut = "```python\ndef rate(name):\n" + turn * 9 + "    if name =="
    model = Given([(cut, "length"), (reply_of(ONE), "stop")])
    assert files_of(ask(model, tmp_path, ["ledger.py"]), ONE) == ONE
    said, told = model.asked[1].messages[-2:]
    assert "again and again" in told.content
    assert said.content.count("rate = 19") == 1  # it is not shown its circle
    assert model.asked[1].label.attempt == 2


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 12,
        "a = 1\nb = 2\n" * 6,
        's = "' + "ab " * 400,
        '{"text": "It sorts them. ' + f"Where there are none, {'it has to ' * 12}say so. " * 12,
        "def f():\n    pass\n\n\n" * 5 + "def f",
    ],
)
def test_circles_are_seen(text: str) -> None:
    assert without_circle(text)
    assert len(without_circle(text)) < len(text) / 2


class Watched(list[str]):
    """Pieces of a reply, and how many of them were looked at."""

    looked_at = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.looked_at += len(found)
        return found

    def __iter__(self) -> Iterator[str]:
        self.looked_at += len(self)
        return super().__iter__()


@pytest.mark.parametrize(("turns", "circles"), [(0, False), (2, False), (3, True)])
def test_a_circle_is_looked_for_at_the_end_of_a_reply_however_long_that_is(turns: int, circles: bool) -> None:
    turn = [f"    row_{number} = table[{number}]\n" for number in range(150)]
    pieces = Watched([f"x{number} = {number}\n" for number in range(60_000)] + turn * turns)
    assert is_circling(pieces) is circles
    assert 0 < pieces.looked_at <= 20_000


@pytest.mark.parametrize(
    "text", [LEDGER, LEDGER[:500], "    }\n  }\n}\n" * 2, "print()\nprint()\nprint()\n", "", "a" * 50, DATA]
)
def test_what_is_no_circle(text: str) -> None:
    assert without_circle(text) == ""


@pytest.mark.parametrize(
    "cut",
    [
        "I would begin with the",
        "```python\ndef f(",
        "```python\ndef f():\n    retu",
        "### README.md\n```markdown\n# Title\n\nWords.\n\nMore wor",
        "```html\n<p>\n<b>\n<i>a</i>\n</b",
        "```python\nx = 1\n```\nIt sets x and",
    ],
)
def test_what_cannot_be_gone_on_with_is_asked_for_again(cut: str, tmp_path: Path) -> None:
    model = Given([(cut, "length"), (reply_of(ONE), "stop")])
    assert files_of(ask(model, tmp_path, ["ledger.py"]), ONE) == ONE
    assert model.asked[1].label.attempt == 2
    assert model.asked[1].messages[-1].content == "Your reply was cut at 100 tokens. Answer again, whole and shorter."


def test_half_of_an_edit_is_no_edit(tmp_path: Path) -> None:
    block = "### ledger.py\n```python\n<<<<<<< SEARCH\na = 1\n=======\na = 2\n>>>>>>> REPLACE\n```\n\n"
    model = Given([(block + block[:40], "length"), (reply_of(ONE), "stop")])
    assert files_of(ask(model, tmp_path, ["ledger.py"]), ONE) == ONE
    assert model.asked[1].label.attempt == 2


def test_a_patch_that_was_cut_need_not_have_every_file(tmp_path: Path) -> None:
    whole = reply_of({"ledger.py": LEDGER})
    model = Given([(whole[:700], "length")], lambda request: rest_after(whole, request))
    assert files_of(ask(model, tmp_path, ["ledger.py", "shapes.py"], needs_all=False), ["ledger.py"]) == ONE
    assert len(model.asked) == 2


def test_a_talk_without_room_is_asked_again(tmp_path: Path) -> None:
    whole = reply_of(ONE)
    model = Given([(whole[:900], "length"), (whole, "stop")], context=540)
    assert files_of(ask(model, tmp_path, ["ledger.py"], most=300), ONE) == ONE  # the repair just fits
    assert model.asked[1].label.attempt == 2


# --- what is whole in a cut reply -------------------------------------------------------------------


def test_files_that_are_whole_before_the_cut() -> None:
    whole = "### a.py\n```python\ndef a():\n    return 1\n```"
    again = f"{whole}\n\n{whole[: len(whole) // 2]}"
    assert {path: file.content for path, file in whole_files(again, ["a.py"]).items()} == {
        "a.py": "def a():\n    return 1\n"
    }
    assert list(whole_files(again, ["a.py", "b.py"])) == ["a.py"]
    assert whole_files(whole[:-4], ["a.py"]) == {}
    assert whole_files(again, []) == {}
    assert whole_files("no code at all, and cut", ["a.py"]) == {}


HELPER = "### helper.py\n```python\ndef help():\n    return 1\n```\n\n"
FIRST = "### a.py\n```python\ndef a():\n    return 1\n```\nWait, that is wrong:\n\n"
SECOND = "### a.py\n```python\ndef a():\n    return 2\n```\n\n"


def test_a_file_beside_the_expected_ones_is_carried_along(tmp_path: Path) -> None:
    cut = HELPER + "### a.py\n```python\nfrom helper import help\n```\nThis is wh"
    text = ask(Given([(cut, "length")]), tmp_path / "all", ["a.py"])
    assert files_of(text, ["a.py"])["helper.py"] == "def help():\n    return 1\n"
    model = Given([(cut, "length"), (reply_of({"b.py": "b = 1\n"}), "stop")])
    text = ask(model, tmp_path / "some", ["a.py", "b.py"])
    assert set(files_of(text, ["a.py", "b.py"])) == {"a.py", "b.py", "helper.py"}
    assert list(whole_files(HELPER + "In `more.py`:\n```python\ndef more(): ...\n```\nSo", ["a.py", "b.py"])) == [
        "helper.py"
    ]


def test_of_a_file_that_is_given_again_the_last_whole_version_counts(tmp_path: Path) -> None:
    assert whole_files(FIRST + SECOND + "This now", ["a.py"])["a.py"].content == "def a():\n    return 2\n"
    piece = "### a.py\n```python\ndef b():\n    return 2\n```\n\n"
    assert whole_files(FIRST + piece + "This now", ["a.py"]) == {}
    circles = {"This now is right.\n": "2", SECOND + FIRST: "1"}  # of two versions by turns none is the better
    for turn, value in circles.items():
        text = ask(Given([(FIRST + SECOND + turn * 9, "length")]), tmp_path / value, ["a.py"])
        assert files_of(text, ["a.py"]) == {"a.py": f"def a():\n    return {value}\n"}


@pytest.mark.parametrize("rest", [FIRST, FIRST[:50], "The user wants"])
def test_a_reply_cut_in_its_thoughts_is_asked_again_at_once(rest: str, tmp_path: Path) -> None:
    model = Given([(f"<think>\n{rest}", "length"), (reply_of(ONE), "stop")])
    assert files_of(ask(model, tmp_path, ["ledger.py"]), ONE) == ONE
    assert [request.label.attempt for request in model.asked] == [1, 2]
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        # a fence in a docstring, and the cut behind it
        '### a.py\n```python\n"""Use:\n\n```\na()\n```\n\nMore wor',
        # an example ahead of the module
        "```python\nprint(a())\n```\n\nThe module:\n\n```python\ndef a():\n    retu",
        "```python\ndef helper(): ...\n```\n\n```python\ndef a():\n    return 1\n\n\ndef b():\n    retu",
        # parts left out
        "### a.py\n```python\ndef a():\n    return 1\n# ... rest of the code remains the same\n```\n\nThat is wha",
        # a piece of it, told of in a sentence
        "In `a.py` the limit is:\n```python\nLIMIT = 3\n```\n\n```python\ndef a():\n    retu",
        # how to run it
        "```bash\npython a.py\n```\n\n```python\nde",
    ],
)
def test_no_half_of_a_file_and_no_example_is_taken_for_it(text: str) -> None:
    assert whole_files(text, ["a.py"]) == {}


def test_markdown_is_whole_only_where_another_block_follows_it() -> None:
    readme = "### README.md\n```markdown\n# Title\n\n```bash\npython a.py\n```\n"
    expected = ["README.md", "a.py"]
    assert whole_files(readme + "\nMore", expected) == {}
    assert whole_files(readme + "```\n\n### a.p", expected) == {}
    assert list(whole_files(readme + "```\n\n### a.py\n```python\nde", expected)) == ["README.md"]
    assert whole_files(readme + "\n```python\nimport a\n", expected) == {}
    assert list(whole_files(readme + "\n### a.py\n```python\na = 1\n```\n\nTha", expected)) == ["a.py"]
    bare = "### README.md\n```markdown\n# Title\n```\npython a.py\n```\n\n### a.py\n```python\nde"
    assert whole_files(bare, expected) == {}
