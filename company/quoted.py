"""The commands that a requirement quotes, tried for whether they break down: a program that ends in a traceback is never what was asked for.

No model has a say in them, and nobody needs to know what they should print. What the words state of that: `examples.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from company import testgen
from company.artifacts import Command
from company.examples import Usage, usages_in

PATH = "tests/test_commands.py"
MOST = 8
"""Commands that are tried."""
_ANY_WORD = re.compile(
    r"(?:\w+_)?(?:NAME|TEXT|TITLE|WORDS?|MESSAGE|NOTE|TASK|ITEM|CATEGORY|TAG|LABEL|KEY|VALUE|DESCRIPTION|PRODUCT|PHONE|"
    r"QUERY|TERM|NUMBER|NUM|COUNT|AMOUNT|QUANTITY|PRICE|INDEX|ID|[ABNXY])_?\d?",
    re.IGNORECASE,
)
"""Placeholders for which `1` is a value, whether they stand for a text or for a number."""
_WAITS = re.compile(
    r"\b(?:serv(?:e[rs]?|ing)|listens?|ports?|interactive\w*|prompts?|menu|watch(?:es)?|daemon|window|forever|keeps? running)\b",
    re.IGNORECASE,
)
"""Words for a program that does not end by itself, or that waits to be answered."""
_UNCAUGHT = '''

def uncaught(errors):
    """The error that a program broke down with. That there is nothing to read is no fault of its own."""
    last = errors.rpartition("\\n")[2] if '  File "' in errors else ""
    return "" if last.startswith("EOFError") else last
'''


def commands_in(requirement: str) -> list[str]:
    """The first commands that the text quotes, `1` in the place of each placeholder: ``python a.py add 1``.

    Left out are those that may need what is not there (a file, a date), and all where the program waits for somebody.
    """
    if _WAITS.search(requirement):
        return []
    typed = dict.fromkeys(text for usage in usages_in(requirement) if (text := _typed(usage)))
    made = (Command(command=text, stdin="", stdout="", exit_status=0) for text in typed)
    return [each.command for each in made if not testgen.command_problem(each, ())][:MOST]


def _typed(usage: Usage) -> str:
    """A command as it is typed; empty where nobody knows what one of its words stands for."""
    start = len(usage.words) - len(usage.arguments)
    typed = [*usage.words[:start], *map(_value, usage.arguments)]
    return " ".join(typed) if all(typed) else ""


def _value(word: str) -> str:
    stands = word[1:-1] if re.fullmatch(r"<\w+>", word) else word
    if stands != word or re.fullmatch(r"[A-Z][A-Z0-9_]*", word):
        return "1" if _ANY_WORD.fullmatch(stands) else ""
    is_plain = re.fullmatch(r"-?\d+\.\d+", word) or not re.search(r"[][()<>{}|/\\.*;&$…]", word)
    return word if is_plain else ""


def tests_of(requirement: str) -> testgen.Tests | None:
    """That no command breaks down: each as the first of all, and after those before it. All decide; none is a stated example."""
    functions = list(_functions(commands_in(requirement)))
    if not functions:
        return None
    about = "That no command which the requirement quotes breaks down: what it prints is looked at elsewhere."
    return testgen.Tests(PATH, testgen.head_of_sessions(about) + _UNCAUGHT + "".join(functions), ())


def _functions(typed: Sequence[str]) -> Iterator[str]:
    for place, command in enumerate(typed):
        for name, before in (("first", typed[:0]), ("later", typed[:place])):
            if name == "first" or before:
                lines = ["", "", f"def test_{name}_{place + 1}_{testgen.slug(command.partition(' ')[2])}(run):"]
                lines += [f"    run({each!r})" for each in before]
                lines += [f"    _, _, errors = run({command!r})", '    assert uncaught(errors) == "", errors', ""]
                yield "\n".join(lines)
