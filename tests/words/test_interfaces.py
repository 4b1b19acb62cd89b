"""What a requirement's words say of interfaces: whose functions, methods, classes; and what the design makes of it."""

import re

import pytest

from company.artifacts import FileSpec, Part
from company.examples import command_pattern, is_program
from company.interfaces import (
    classes_in,
    functions_in,
    section_of,
    signatures_in,
    store_in,
    words_about,
    words_about_main,
)
from company.llm.names import names_in
from company.llm.stated import as_stated, with_main, with_store
from company.llm.structured import _as_written, _PartAnswer

SHOP = (
    "Make a package shop. shop/cart.py has a class Cart: Cart() is empty; add(name, price) adds a thing; total() returns the "
    "sum. shop/text.py has price_line(name, price, width=20), one line, and headline(text), in capitals. shop/cart.py also has "
    "merge(a, b), which makes one of two."
)
PATHS = ["shop/cart.py", "shop/text.py"]


def test_each_file_has_the_words_that_follow_its_name() -> None:
    assert section_of("shop/text.py", PATHS, SHOP) == (
        "shop/text.py has price_line(name, price, width=20), one line, and headline(text), in capitals. "
    )
    assert "merge(a, b)" in section_of("shop/cart.py", PATHS, SHOP)
    assert section_of("one.py", ["one.py"], SHOP) == SHOP
    assert section_of("other.py", [*PATHS, "other.py"], SHOP) == ""
    assert section_of("a.py", ["a.py", "b.py"], "no file is named") == ""
    assert section_of("a.py", ["a.py", "b.py"], "cut(text, width) in a.py, and paste(text) in b.py") == ""


def test_functions_are_told_from_methods() -> None:
    assert functions_in(section_of("shop/text.py", PATHS, SHOP)) == {
        "price_line": "def price_line(name, price, width=20)",
        "headline": "def headline(text)",
    }
    assert list(classes_in(SHOP)) == ["Cart"]
    assert "add" not in functions_in(section_of("shop/cart.py", PATHS, SHOP))
    assert signatures_in("cut(text) cuts; cut(text, width) is no second one; f(1) is an example") == {
        "cut": "def cut(text)"
    }


def test_the_words_about_a_class_are_those_about_its_methods_too() -> None:
    assert words_about("Cart", section_of("shop/cart.py", PATHS, SHOP)).startswith("class Cart: Cart() is empty; add(")
    assert words_about("headline", SHOP).startswith("shop/text.py has")
    assert words_about("absent", SHOP) == ""


TASKS = (
    'A script tasks.py. "python tasks.py add TEXT" prints "added TEXT"; if it is there already, it prints "there". "python tasks.py '
    'list" prints all, the oldest first; with none it prints nothing. Called with anything else it prints "usage: tasks.py add|list".'
)
DATES = (
    "dates.py has day(text), which takes text such as 1 May; an empty one raises ValueError. In dates/more.py: week(text) gives "
    "its week, not the day; so does year(text), by day(text). The names are long."
)
CODES = (
    "encode(n) and decode(s). encode raises ValueError(s) for n < 1. A sum: mean(xs) uses sum(xs) and is O(n). "
    "An empty list raises ValueError(x)."
)
ADDS = (
    '"python t.py add TEXT" adds it, add_task refuses empty texts. Otherwise it prints "no". "python t.py list" lists. '
    'Called with anything else it prints "usage: t.py".'
)
ITEMS = (
    "A todo list:\n\n- `python t.py add TEXT` adds a task\n- `python t.py list` lists them, the oldest first\n"
    '- with no arguments it prints "usage: t.py"\n'
)
AREA = "triangle(n) returns the n-th one. It is n(n+1)/2, or sqrt((n-1)^2). A negative n raises ValueError. In a.py: square(n)."
SLUG = "Write slug.py with a function slugify that takes a text. Words are joined by dashes."
NOTES = '"python n.py list TAG" prints the notes, newest first; with no argument all of them. "python n.py go" goes.'
WRITTEN = 'The function add_task returns its number. "python t.py add TEXT" prints it, "python t.py list" lists.'
ONE_SENTENCE = (
    'A program that keeps tasks: "python todo.py add TEXT" prints "added", "python todo.py list" prints "1 x"'
)


@pytest.mark.parametrize(
    ("name", "requirement", "words"),
    [
        (
            "add_task",
            TASKS,
            '"python tasks.py add TEXT" prints "added TEXT"; if it is there already, it prints "there".',
        ),
        ("tasks_list", TASKS, '"python tasks.py list" prints all, the oldest first; with none it prints nothing.'),
        ("tasks_load", TASKS, ""),
        ("day", DATES, f"{DATES.partition(' In ')[0]} so does year(text), by day(text)."),
        ("week", DATES, "In dates/more.py: week(text) gives its week, not the day;"),
        ("year", DATES, "so does year(text), by day(text). The names are long."),
        ("encode", CODES, CODES.partition(" A sum")[0]),
        ("mean", CODES, "A sum: mean(xs) uses sum(xs) and is O(n). An empty list raises ValueError(x)."),
        ("add_task", ADDS, '"python t.py add TEXT" adds it, add_task refuses empty texts. Otherwise it prints "no".'),
        ("add_item", '"python s.py add-item NAME" adds. "python s.py go" goes.', '"python s.py add-item NAME" adds.'),
        ("add_task", ITEMS, "- `python t.py add TEXT` adds a task"),
        ("list_tasks", ITEMS, "- `python t.py list` lists them, the oldest first"),
        ("triangle", AREA, AREA.partition(" In")[0]),
        ("slugify", SLUG, SLUG),
        ("list_notes", NOTES, NOTES.partition(' "python n.py go')[0]),
        ("add_task", WRITTEN, WRITTEN.partition(' "python t.py list')[0]),
        ("list_all", ONE_SENTENCE, '"python todo.py list" prints "1 x"'),
    ],
)
def test_the_words_about_a_function_go_on_to_where_another_begins(name: str, requirement: str, words: str) -> None:
    assert words_about(name, requirement) == words


@pytest.mark.parametrize(
    ("requirement", "store"),
    [
        ("A program that keeps a list in todo.json: it adds", ("todo.json", "keeps a list in todo.json")),
        ("People are stored in the file `people.csv`, with a header; more", ("people.csv", "stored in the file `people.csv`, with a header")),
        ("It reads lines in todo.txt. It keeps them sorted.", None),
        ("It keeps nothing; what is in todo.json is read", None),
        ("Nothing may be stored in todo.json", None),
        ("It stores the results in out.json", None),
        ("It keeps people in people.csv and orders in orders.csv", None),
        ("It keeps rows in an SQLite database in shop.db", None),
    ],
)  # fmt: skip
def test_where_a_program_keeps_its_data(requirement: str, store: tuple[str, str] | None) -> None:
    assert store_in(requirement) == store


def test_a_program_that_keeps_data_has_one_part_that_loads_it_and_one_that_saves_it() -> None:
    words = 'a.py keeps notes in my-notes.json. "python a.py add TEXT" adds one.'
    file = FileSpec(path="a.py", purpose="p", depends_on=[], parts=[part("def add(text)"), part("def main()")])
    stored = with_store(file, words)
    assert [each.signature for each in stored.parts[:2]] == ["def load_my_notes()", "def save_my_notes(data)"]
    assert stored.parts[2:] == file.parts
    assert with_store(stored, words) == stored
    assert with_store(file, "a.py adds") == file
    many = file.model_copy(update={"parts": [part(f"def f{number}()") for number in range(10)]})
    assert with_store(many, words) == many
    for signature in (
        "class Notes",
        "def save_notes(notes)",
        "def notes_load()",
        "def persist(notes)",
        "def get_notes()",
    ):
        own = file.model_copy(update={"parts": [part(signature)]})
        assert with_store(own, words) == own
    long = f"a.py keeps notes in {'n' * 30}.json with {'- one ' * 400}"
    assert len(with_store(file, long).parts[0].quote) == 600


KEEPS = (
    'tasks.py keeps tasks in tasks.json. "python tasks.py add TEXT" adds one, "python tasks.py up NAME" and "python tasks.py up NAME 5" '
    'count, "python tasks.py list" lists, "python tasks.py set <id> IN" sets. "python tasks.py find [TEXT]" finds.'
)


@pytest.mark.parametrize(
    ("signature", "typed"),
    [
        ("def add_task(number: int, text) -> int", "def add_task(text: str) -> None"),
        ("def add(tasks: list[str], text: str = '')", "def add(text: str) -> None"),
        ("def list_tasks(most: int = 3) -> list[str]", "def list_tasks() -> None"),
        ("def up(data: dict, name: str, count: int = 1)", "def up(name: str, count: str = '1') -> None"),
        ("def up(name: str, count: int = 1)", "def up(name: str, count: str = '1') -> None"),
        ("def up()", "def up(name: str, value_2: str = None) -> None"),
        ("def set_task(id, value)", "def set_task(id: str, in_: str) -> None"),
        ("def find(text=None)", "def find(text=None)"),
        ("def total(tasks: list) -> int", "def total(tasks: list) -> int"),
        ("class Listing", "class Listing"),
        ("def load_list() -> list", "def load_list() -> list"),
        ("def is_add(word: str) -> bool", "def is_add(word: str) -> bool"),
    ],
)
def test_what_stands_for_a_command_takes_its_words_as_they_were_typed(signature: str, typed: str) -> None:
    answer = _PartAnswer(signature=signature, purpose="p")
    assert _as_written(answer, {}, KEEPS, "").signature == typed
    assert _as_written(answer, {}, KEEPS.replace("keeps", "sorts"), "").signature == signature


def test_main_hands_the_words_on_as_they_were_typed() -> None:
    assert "calls the other functions with the words as they were typed" in words_about_main(KEEPS)
    assert "as they were typed" not in words_about_main(TASKS)


def test_what_is_run_has_a_main_without_parameters() -> None:
    file = FileSpec(path="a.py", purpose="p", depends_on=[], parts=[part("def main(path: str)"), part("def add(text)")])
    assert [each.signature for each in with_main(file, "a script a.py").parts] == [
        "def add(text)",
        "def main() -> int",
    ]
    for words in ("main(path)", 'main("x") returns 0', "main(path: str)", "main(argv=None)"):
        assert with_main(file, f"a script a.py with {words}").parts[-1].signature == "def main(path: str)"


@pytest.mark.parametrize(
    "text",
    [
        "a `LRUCache` class in lru.py with get(key), which takes a function, and put(key, value)",
        "a class called LRUCache: get(key) gives one. It has put(key, value) too",
        'The "LRUCache" class has get(key) and put(key, value)',
    ],
)
def test_a_class_is_told_in_many_ways(text: str) -> None:
    assert list(classes_in(text)) == ["LRUCache"]
    assert not functions_in(text)


def test_what_is_no_class() -> None:
    assert not classes_in("A Python class is taught in the first class of the day")


def test_a_store_that_nothing_reads_is_none() -> None:
    file = FileSpec(path="clean.py", purpose="p", depends_on=[], parts=[part("def clean(path)")])
    assert with_store(file, "`python clean.py FILE` keeps the rest in clean.csv") == file


def part(signature: str) -> Part:
    return Part(signature=signature, purpose="p", quote="")


def test_a_design_has_what_the_words_give_and_nothing_of_another_file() -> None:
    section = "shop/cart.py has a class Cart: add(name, price) adds a thing; total() returns the sum."
    found = [
        part("def add(name: str, price: float) -> None"),
        part("def total() -> float"),
        part("def load() -> dict"),
        part("def headline(text)"),
    ]
    parts = as_stated(found, section, {"headline"})
    assert [each.signature for each in parts] == ["def load() -> dict", "class Cart"]
    assert "total()" in parts[1].quote
    text = as_stated([part("def headline(text: str) -> str")], section_of("shop/text.py", PATHS, SHOP), {"Cart"})
    assert [each.signature for each in text] == [
        "def headline(text: str) -> str",
        "def price_line(name, price, width=20)",
    ]


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Write a Python module durations.py for lengths of time.", False),
        ("Write it so that python todo.py list prints all", True),
        ("so that `python -m shop` works", True),
        ("A command-line tool", True),
        ("A module for the Python 3 standard", False),
    ],
)
def test_what_is_started_is_a_program(text: str, program: bool) -> None:
    assert is_program(text) is program


def test_a_module_run_is_a_package_where_its_files_are_named() -> None:
    text = 'I need a package grades. In grades/a.py: f(x). grades/__main__.py makes "python -m grades FILE" work.'
    assert names_in(text) == ["grades/a.py", "grades/__main__.py"]
    assert names_in('a file grades.py, so that "python -m grades" works') == ["grades.py"]


USES = (
    '"python a.py add NAME PHONE" adds. "python a.py list" lists. "python a.py list --all" lists more. '
    "Called with anything else it prints its usage."
)


@pytest.mark.parametrize(
    ("command", "may"),
    [
        ("python a.py add Ann 12", True),
        ("python a.py add 'Ann Lee' 12", True),
        ("python a.py add Ann Lee 12", False),
        ("python a.py add Ann", False),
        ("python a.py list", True),
        ("python a.py list --all", True),
        ("python a.py list all", False),
        ("python a.py", True),
        ("python a.py frobnicate", True),
        ("python b.py list", False),
        ("python a.py list; rm x", False),
    ],
)
def test_commands_are_typed_as_the_requirement_writes_them(command: str, may: bool) -> None:
    pattern = command_pattern("python a.py", USES)
    assert bool(re.fullmatch(pattern, command)) is may


def test_without_quoted_commands_any_words_may_follow() -> None:
    assert re.fullmatch(command_pattern("python a.py", "a script a.py"), "python a.py x 'y z'")
    assert not re.fullmatch(command_pattern("python a.py", '"python a.py go"'), "python a.py")
    assert re.fullmatch(command_pattern("python a.py", '"python a.py show [NAME]"'), "python a.py anything at all")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ops.py with import(path) and export(path)", ["export"]),
        ("either one(s) or(two) of the word(s) in the file(s), in O(n) time", []),
        ("cut(text) returns text so that len(text) is at most 20", ["cut"]),
        ("a function format(text, width) that formats", ["format"]),
        ("merge(first,\n  second) merges", ["merge"]),
        ("Account(owner) is made, f(1) is called, g() too", []),
    ],
)
def test_what_only_looks_like_a_function_is_none(text: str, names: list[str]) -> None:
    found = signatures_in(text)
    assert list(found) == names
    for line in found.values():
        assert Part(signature=line, purpose="p", quote="").name in names


def test_the_words_about_a_class_end_where_functions_begin() -> None:
    text = "bank.py with a class Account with deposit(amount). It also has a function load(path) and save(path)."
    assert list(functions_in(text)) == ["load", "save"]
    parts = as_stated([part("def load(path)"), part("def deposit(amount)")], text, ())
    assert [each.name for each in parts] == ["load", "Account", "save"]


def test_a_program_is_told_where_each_command_has_its_words() -> None:
    said = words_about_main('"python a.py add NAME PHONE" adds, "python a.py list" lists, "python -m a FILE" reads.')
    assert '`python a.py add NAME PHONE`: sys.argv[1] is "add", sys.argv[2] the NAME, sys.argv[3] the PHONE; ' in said
    assert '`python a.py list`: sys.argv[1] is "list"; ' in said
    assert said.endswith("`python -m a FILE`: sys.argv[1] the FILE")
    assert "status. Called with anything else it prints" in words_about_main(TASKS)
    one = words_about_main(
        'cut(text) cuts. "python a.py FILE" prints it; what is empty is left out. cut("a") gives "a".'
    )
    said = '"python a.py FILE" prints it; what is empty is left out.'
    assert one.endswith(f"status. `python a.py FILE`: sys.argv[1] the FILE {said}")
    assert words_about_main('"python game.py" prints the board.').endswith('status. "python game.py" prints the board.')
    spoken = words_about_main('`python a.py add "Buy milk" 3` and `python a.py list`')
    assert 'sys.argv[1] is "add", sys.argv[2] the Buy milk, sys.argv[3] the 3; ' in spoken
    assert words_about_main("`python gcd.py a b`").endswith(
        "`python gcd.py a b`: sys.argv[1] the a, sys.argv[2] the b `python gcd.py a b`"
    )
    stated = words_about_main(
        'deposit(balance, n). "python b.py deposit N" and "python b.py show". It is kept in b.txt.'
    )
    assert "as they were typed" not in stated
    assert words_about_main("a script").endswith("returns the exit status.")
