"""The commands that a requirement quotes, tried for whether they work at all: no traceback, and no usage shown in place of the work.

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
_HELP = re.compile(r"-+h|-*(?:help|usage)")
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
_TROUBLE = '''

def trouble(output, errors):
    """The error that a program broke down with, or the usage that it shows instead of doing what it is told."""
    last = errors.rpartition("\\n")[2] if '  File "' in errors else ""
    if last and not last.startswith("EOFError"):  # that there is nothing to read is no fault of its own
        return last
    first = (output or errors).partition("\\n")[0]
    return first if first.lower().startswith("usage") else ""
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
    if not usage.arguments or any(_HELP.fullmatch(word) for word in usage.arguments):
        return ""  # that may be what shows the usage
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
    """That each command works as the first of all, and after those before it. All decide; none is a stated example."""
    functions = list(_functions(commands_in(requirement)))
    if not functions:
        return None
    about = "That the commands which the requirement quotes work at all: what they print is looked at elsewhere."
    return testgen.Tests(PATH, testgen.head_of_sessions(about) + _TROUBLE + "".join(functions), ())


def _functions(typed: Sequence[str]) -> Iterator[str]:
    for place, command in enumerate(typed):
        for name, before in (("first", typed[:0]), ("later", typed[:place])):
            if name == "first" or before:
                lines = ["", "", f"def test_{name}_{place + 1}_{testgen.slug(command.partition(' ')[2])}(run):"]
                lines += [f"    run({each!r})" for each in before]
                lines += [
                    f"    _, output, errors = run({command!r})",
                    '    assert trouble(output, errors) == "", errors',
                    "",
                ]
                yield "\n".join(lines)
