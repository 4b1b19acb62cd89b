"""The commands that a requirement quotes: which are tried, and what comes of a program that breaks down, for real."""

import asyncio

import pytest

from company import publish, quoted
from company.artifacts import Check, Checks, Command, SourceFile
from company.assemble import definition
from company.failing import told
from company.sandbox import choose, run_tests
from company.sandbox.behaviour import Seen
from company.selection import select, standing

WORDS = (
    'A program notes.py: "python notes.py add TEXT" prints "added 1", "python notes.py show NUMBER" prints the note, '
    '"python notes.py list" prints all of them. "python notes.py hear" is quiet.'
)
COMMANDS = """
command = sys.argv[1]
if command == "add":
    with open("notes.txt", "a") as file:
        file.write(sys.argv[2] + "\\n")
    print("added 1")
elif command == "show":
    show(int(sys.argv[2]))
elif command == "list":
    print(*notes())
elif command == "hear":
    input()
"""
BREAKS = f"""
import sys

def notes():
    return open("notes.txt").read().splitlines()

def show(number):
    print(notes()[number])
{COMMANDS}"""
MENDED = f"""
import sys
from pathlib import Path

def notes():
    return Path("notes.txt").read_text().splitlines() if Path("notes.txt").exists() else []

def show(number):
    sys.exit(f"no note {{number}}")
{COMMANDS}"""
USAGE = """
import sys

print("added 1" if sys.argv[1] == "add" else "usage: notes.py add|show|list")
"""


BOTH = "`python a.py add TEXT` adds, `python a.py list` lists."


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        (BOTH, ["python a.py add 1", "python a.py list"]),
        ("`python3 -m shop add <item_name>` and `python3 -m shop set NAME 4.50`", ["python3 -m shop add 1", "python3 -m shop set 1 4.50"]),
        ("`python a.py add NAME`, `python a.py add TEXT`, `python a.py go`", ["python a.py add 1", "python a.py go"]),
        ('`python a.py say "good day"`, `python a.py go`', ["python a.py say 'good day'", "python a.py go"]),
        ("`python a.py sum A B` and `python a.py go`", ["python a.py sum 1 1", "python a.py go"]),
        (f"{BOTH} It keeps them in a.json.", ["python a.py add 1", "python a.py list"]),
        (" ".join(f"`python a.py x{letter}`" for letter in "abcdefghijk"), [f"python a.py x{x}" for x in "abcdefgh"]),
        # a program that has one command: whether its word is one to be typed nobody can tell
        ("`python fib.py n`", []),
        ("`python gcd.py a b`, `python gcd.py A B`", []),
        ("`python wc.py filename` counts", []),
        # values of which nobody knows what they may be
        ("`python a.py done number`, `python a.py add FILE`, `python a.py on DATE`, `python a.py at YYYY-MM-DD`, `python a.py go <path>`", []),
        ("`python a.py a [--all]`, `python a.py b|c`, `python a.py d NAME ...`, `python a.py e; ls`, `python a.py f --count=N`", []),
        ("`python a.py say 'good`, `python a.py go x.csv`", []),
        # what may be meant to be refused
        ('`python a.py foo` prints "usage: a.py add"; `python a.py go` goes', ["python a.py go"]),
        ("`python a.py add` without a text says so; `python a.py go` goes", ["python a.py go"]),
        ("`python a.py show` raises ValueError; `python a.py decode TEXT` decodes it; `python a.py go` goes", ["python a.py go"]),
        ("`python a.py help` explains; `python a.py go` goes", ["python a.py go"]),
        ("`python a.py add` adds, `python a.py list` lists, `python a.py done NUMBER` ends", ["python a.py done 1"]),
        ("`python a.py take AMOUNT`, `python a.py show` shows. Who has not enough gets a MoneyError.", ["python a.py show"]),
        ("- `python a.py add TEXT`\n- `python a.py go`\n- with no arguments it prints its usage", ["python a.py add 1", "python a.py go"]),
        # what waits, and what needs what is not there
        (f"A web server. {BOTH}", []),
        (f"An interactive game. {BOTH}", []),
        (f"{BOTH} The numbers come from standard input.", []),
        (f"{BOTH} It runs for 25 minutes.", []),
        (f"{BOTH} They come from sales.csv.", []),
        (f"{BOTH} They come from data/raw/sales.mp3.", []),
        (f"{BOTH} Es wartet 5 Sekunden.", []),
        (f"{BOTH} It keeps them in a.json and their owners in b.json.", []),
        ("no command at all", []),
    ],
)  # fmt: skip
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
    shown = next(case for case in usage.cases if case.outcome != "passed")
    shown = shown.model_copy(update={"source": definition(made.text, shown.id.partition("::")[2])})
    assert told(shown) == "`python notes.py show 1` must work. It says: 'usage: notes.py add|show|list'"
    absent = asyncio.run(run_tests(choose(), {"other.py": b"1"}, {made.path: made.text.encode()}))
    assert absent.score == 0
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
    for code in (BREAKS, USAGE, "if"):
        broken = asyncio.run(select(choose(), [[SourceFile(path="notes.py", content=code)], checks], WORDS, 60))
        assert not broken.holds
        assert broken.stated == 1


def test_what_hangs_or_dies_does_not_work() -> None:
    texts = ["late", "died", "raises KeyError", "raises Usage", "raises EOFError", "0: a", "1: "]
    found = [standing([[Seen(text, held=False)]], ["quoted"], 0).unbroken for text in texts]
    assert found == [0, 0, 0, 0, 1, 1, 1]


def test_that_two_programs_print_nothing_is_no_agreement() -> None:
    silent = "import sys\nif sys.argv[1] == 'add': print('added 1')\n"
    command = Command(command="python notes.py add tea", stdin="", stdout="added 1", exit_status=0)
    checks = Checks(checks=[Check(title="s", quote="", calls=[], commands=[command])])
    found = [[SourceFile(path="notes.py", content=f"{silent}# {number}")] for number in range(2)]
    chosen = asyncio.run(select(choose(), [*found, checks], WORDS.replace("add TEXT", "put TEXT"), 60))
    assert chosen.agreeing == 1
