"""Asks a model for code in awkward situations and records what it says: python benchmarks/code_replies.py --model openai:NAME --out FILE

What the parser must make of such replies is checked by tests on kept recordings: `tests/llm/corpus/`. Nothing is repaired here:
each reply is kept as it came. OPENAI_BASE_URL names the endpoint.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import NamedTuple

from company.errors import ModelError
from company.llm.client import Message, Request, StepLabel
from company.llm.providers import open_model
from company.llm.recording import Recorder
from company.prompts import SYSTEM
from company.settings import load_settings

_FORM = "For each file give the line `### PATH` and one fenced block with the complete file."


class Situation(NamedTuple):
    name: str
    words: str
    expects: tuple[str, ...]
    max_tokens: int = 900
    before: tuple[str, ...] = ()
    """What was said before, by turns, the first by the user."""


_SHOP = '''### shop.py
```python
class Basket:
    """What a customer buys."""

    def __init__(self):
        self.items = {}

    def add(self, name, price, count=1):
        self.items[name] = (price, count)

    def total(self):
        return sum(price for price, count in self.items.values())
```'''

SITUATIONS = (
    Situation("one", f"A module stack.py with a class Stack: push, pop, peek, size. {_FORM}", ("stack.py",)),
    Situation("bare", "Write stack.py with a class Stack: push, pop, peek, size.", ("stack.py",)),
    Situation(
        "two",
        f"temperature.py has to_celsius(f) and to_fahrenheit(c); cli.py reads a number and a unit from the command line and prints it in the other unit. {_FORM}",
        ("temperature.py", "cli.py"),
    ),
    Situation(
        "three",
        f"store.py keeps notes in notes.json, search.py finds notes by a word, notes.py is the command line program that uses both. {_FORM}",
        ("store.py", "search.py", "notes.py"),
    ),
    Situation(
        "three, one block",
        "Write store.py (keeps notes in notes.json), search.py (finds notes by a word) and notes.py (the program that uses both).",
        ("store.py", "search.py", "notes.py"),
    ),
    Situation(
        "package",
        f"A package shapes with shapes/__init__.py, shapes/circle.py and shapes/square.py, each with area and perimeter. {_FORM}",
        ("shapes/__init__.py", "shapes/circle.py", "shapes/square.py"),
    ),
    Situation(
        "fences inside",
        f"render.py with a function to_markdown(code, language) that returns the code inside a fenced Markdown block of three backticks; its docstring shows an example of what it returns, fences included. {_FORM}",
        ("render.py",),
    ),
    Situation(
        "readme",
        f"slug.py with slugify(text), and README.md that explains it with code blocks for installation and use. {_FORM}",
        ("slug.py", "README.md"),
    ),
    Situation(
        "readme outside",
        "Write a README.md for a library slug.py with slugify(text): what it is, how to install it, two examples in fenced code blocks. Give README.md in one fenced block.",
        ("README.md",),
    ),
    Situation(
        "data",
        f"config.json with a name and a port, and server.py that reads it and prints both. {_FORM}",
        ("config.json", "server.py"),
    ),
    Situation(
        "page",
        f"page.html with a form of two fields, style.css for it, and make.py that writes both names of the files to index.txt. {_FORM}",
        ("page.html", "style.css", "make.py"),
    ),
    Situation(
        "toml",
        f"pyproject.toml for a package called wordcount and wordcount.py with count_words(text). {_FORM}",
        ("pyproject.toml", "wordcount.py"),
    ),
    Situation(
        "reasons first",
        "First explain step by step how binary search works and what can go wrong, with small examples in code. Then give search.py with binary_search(items, wanted). Then show how to run it in a shell and what it prints.",
        ("search.py",),
    ),
    Situation(
        "no fence",
        "Write search.py with binary_search(items, wanted). Answer with the file's text alone: no Markdown, no fences, no explanation.",
        ("search.py",),
    ),
    Situation(
        "cut",
        f"ledger.py: a command line program that keeps accounts in a file, with add, list, total, export and import, each with errors for bad input, all documented. {_FORM}",
        ("ledger.py",),
        220,
    ),
    Situation(
        "cut in the second",
        f"roman.py with to_roman(n) and from_roman(text), and morse.py with encode(text) and decode(code) and the whole table. {_FORM}",
        ("roman.py", "morse.py"),
        420,
    ),
    Situation(
        "repair",
        "The test failed:\n\n    assert Basket.total of two apples at 3 is 6\n    AssertionError: assert 3 == 6\n\nGive the whole corrected file.",
        ("shop.py",),
        900,
        (f"A module shop.py with a class Basket: add(name, price, count), total(). {_FORM}", _SHOP),
    ),
    Situation(
        "one method",
        "Add a method `remove(name)` that raises KeyError for what is not there. Give only the functions and classes that change, in one python block.",
        ("shop.py",),
        600,
        (f"A module shop.py with a class Basket: add(name, price, count), total(). {_FORM}", _SHOP),
    ),
    Situation(
        "edit",
        "Make total() count every piece. Give the change as a block:\n\n### shop.py\n<<<<<<< SEARCH\nthe lines as they are\n=======\nthe lines as they should be\n>>>>>>> REPLACE",
        ("shop.py",),
        600,
        (f"A module shop.py with a class Basket: add(name, price, count), total(). {_FORM}", _SHOP),
    ),
    Situation(
        "tests",
        f"Write tests/test_shop.py with pytest tests for the class Basket of shop.py: add(name, price, count), total(). {_FORM}",
        ("tests/test_shop.py",),
    ),
    Situation(
        "strings",
        f"mailing.py with letter(name, items): a letter as an f-string in triple quotes with a table of the items, and HELP, a string of several lines that holds a usage example in a code block. {_FORM}",
        ("mailing.py",),
    ),
    Situation(
        "german",
        f"Ein Modul rechnung.py mit der Funktion brutto(netto, satz=19), die den Bruttobetrag zurückgibt; negative Beträge sind ein Fehler. Kommentare auf Deutsch. {_FORM}",
        ("rechnung.py",),
    ),
    Situation(
        "unicode",
        f"emoji.py with a dict of ten words and their emoji, and replace(text) that puts them in; « » quotes in the messages. {_FORM}",
        ("emoji.py",),
    ),
    Situation(
        "list",
        "Explain in a numbered list how to build counter.py, a program that counts the lines of a file: 1. the function, with its code indented under the point, 2. main, with its code, 3. the whole file.",
        ("counter.py",),
    ),
    Situation(
        "diff",
        "Give the change as a unified diff of shop.py that makes total() count every piece.",
        ("shop.py",),
        600,
        (f"A module shop.py with a class Basket: add(name, price, count), total(). {_FORM}", _SHOP),
    ),
    Situation(
        "shell",
        f"backup.sh that copies a folder to a folder named by the date, and restore.py that copies the newest back. {_FORM}",
        ("backup.sh", "restore.py"),
    ),
)
_WARMTHS = (0.0, 0.8)


async def ask_all(name: str, out: Path, parallel: int) -> None:
    """One reply for each situation and temperature."""
    recorder, free = Recorder(out), asyncio.Semaphore(parallel)

    async with open_model(name, load_settings()) as model:

        async def one(situation: Situation, number: int, temperature: float) -> None:
            turns = (*situation.before, situation.words)
            said = [Message("assistant" if turn % 2 else "user", text) for turn, text in enumerate(turns)]
            label = StepLabel("code", "engineer", situation.name, attempt=number)
            request = Request(
                messages=(Message("system", SYSTEM), *said), schema=None, schema_name="", temperature=temperature,
                max_tokens=situation.max_tokens, seed=number, label=label, expects=situation.expects,
            )  # fmt: skip
            async with free:
                try:
                    answer = await model.complete(request)
                except ModelError as error:
                    print(f"{situation.name}: {error}")
                    return
            recorder.add(None, model, request, answer)

        await asyncio.gather(
            *(
                one(situation, number, temperature)
                for situation in SITUATIONS
                for number, temperature in enumerate(_WARMTHS, 1)
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parallel", type=int, default=4)
    arguments = parser.parse_args()
    asyncio.run(ask_all(arguments.model, arguments.out, arguments.parallel))


if __name__ == "__main__":
    main()
