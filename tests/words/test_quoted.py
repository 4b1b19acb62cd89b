"""The commands that a requirement quotes: which are tried, and what comes of a program that breaks down, for real."""

import asyncio

import pytest

from company import publish, quoted
from company.artifacts import Check, Checks, Command, SourceFile
from company.assemble import definition
from company.failing import told
from company.sandbox import choose, run_tests
from company.selection import select

WORDS = (
    'A program notes.py: "python notes.py add TEXT" prints "added 1", "python notes.py show NUMBER" prints the note, '
    '"python notes.py list" prints all of them. "python notes.py ask" reads a line.'
)
BREAKS = """
import sys

def notes():
    return open("notes.txt").read().splitlines()

def show(number):
    print(notes()[number])

command = sys.argv[1]
if command == "add":
    with open("notes.txt", "a") as file:
        file.write(sys.argv[2] + "\\n")
    print("added 1")
elif command == "show":
    show(int(sys.argv[2]))
elif command == "list":
    print(*notes())
elif command == "ask":
    input()
"""
MENDED = """
import sys
from pathlib import Path

def notes():
    return Path("notes.txt").read_text().splitlines() if Path("notes.txt").exists() else []

command = sys.argv[1]
if command == "add":
    with open("notes.txt", "a") as file:
        file.write(sys.argv[2] + "\\n")
    print("added 1")
elif command == "show":
    sys.exit(f"no note {sys.argv[2]}")
elif command == "list":
    print(*notes())
elif command == "ask":
    input()
"""
USAGE = """
import sys

print("usage: notes.py add|show|list")
sys.exit(2)
"""


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ("`python a.py add NAME 4.50` and `python a.py total`", ["python a.py add 1 4.50", "python a.py total"]),
        ("`python3 -m shop add <item_name>`", ["python3 -m shop add 1"]),
        ("`python a.py add NAME`, `python a.py add TEXT`", ["python a.py add 1"]),
        ('`python a.py say "good day"`', ['python a.py say "good day"']),
        ("`python a.py FILE`, `python a.py on DATE`, `python a.py <path>`, `python a.py x.csv`", []),
        ("`python a.py [--all]`, `python a.py add|list`, `python a.py add NAME ...`, `python a.py a; ls`", []),
        ("`python a.py say 'good`", []),
        ("A web server: `python a.py` listens on port 80", []),
        ("an interactive game, `python a.py`", []),
        ("no command at all", []),
        (
            "`python a.py`, `python a.py help`, `python a.py --help`, `python a.py -h`, `python a.py run`",
            ["python a.py run"],
        ),
        (" ".join(f"`python a.py {letter}`" for letter in "abcdefghijk"), [f"python a.py {x}" for x in "abcdefgh"]),
    ],
)
def test_the_commands_that_can_be_tried(words: str, commands: list[str]) -> None:
    assert quoted.commands_in(words) == commands


def test_each_is_tried_first_and_after_the_others() -> None:
    made = quoted.tests_of(WORDS)
    assert made
    assert made.optional == ()
    assert made.stated == 0
    runs = [
        asyncio.run(run_tests(choose(), {"notes.py": code.encode()}, {made.path: made.text.encode()}))
        for code in (BREAKS, MENDED)
    ]
    broke = [case for case in runs[0].cases if case.outcome != "passed"]
    assert [case.id.partition("::")[2] for case in broke] == [
        "test_first_2_notes_py_show_1",
        "test_later_2_notes_py_show_1",
        "test_first_3_notes_py_list",
    ]
    said = [
        told(case.model_copy(update={"source": definition(made.text, case.id.partition("::")[2])})) for case in broke
    ]
    assert said[1] == (
        "After `python notes.py add 1`, `python notes.py show 1` must work. It says: notes.py, line 8, in show / print(notes()[number]) / IndexError: list index out of range"
    )
    assert "FileNotFoundError" in said[2]
    usage = asyncio.run(run_tests(choose(), {"notes.py": USAGE.encode()}, {made.path: made.text.encode()}))
    shown = usage.cases[0].model_copy(update={"source": definition(made.text, usage.cases[0].id.partition("::")[2])})
    assert usage.score == 0
    assert told(shown) == "`python notes.py add 1` must work. It says: 'usage: notes.py add|show|list'"
    assert runs[1].passed
    assert len(runs[1].cases) == 7


def test_what_is_written_for_qa_s_checks() -> None:
    checks = Checks(checks=[])
    paths = [made.path for made in publish.made_tests(checks, WORDS)]
    assert paths == ["tests/test_requirement.py", "tests/test_commands.py"]
    assert [made.path for made in publish.made_tests(checks, "a function")] == paths[:1]
    assert [made.path for made in publish.made_tests(checks, WORDS, "tests/test_new.py")] == ["tests/test_new.py"]


def test_a_program_that_breaks_down_is_not_selected() -> None:
    command = Command(command="python notes.py add tea", stdin="", stdout="added 1", exit_status=0)
    checks = Checks(checks=[Check(title="s", quote="", calls=[], commands=[command])])
    programs = [[SourceFile(path="notes.py", content=code)] for code in (BREAKS, BREAKS, MENDED)]
    chosen = asyncio.run(select(choose(), [*programs, checks], WORDS, 60))
    assert chosen.files == programs[2]
    assert chosen.holds
    for code in (BREAKS, USAGE.replace('"usage', '"added 1" if sys.argv[1] == "add" else "usage')):
        broken = asyncio.run(select(choose(), [[SourceFile(path="notes.py", content=code)], checks], WORDS, 60))
        assert not broken.holds
        assert broken.stated == 1
