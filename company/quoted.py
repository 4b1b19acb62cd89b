"""The commands that a requirement quotes, tried for whether they work at all: no traceback, and no usage shown in place of the work.

No model has a say in them, and nobody needs to know what they should print. What the words state of that: `examples.py`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence

from company import testgen
from company.artifacts import Command
from company.examples import Usage, usages_in
from company.interfaces import has_other_files, sentences_of

PATH = "tests/test_commands.py"
MOST = 8
"""Commands that are tried."""
_HELP = re.compile(r"-+h|-*(?:help|usage)")
_ANY_WORD = re.compile(
    r"(?:[A-Z]+_)?(?:NAME|TEXT|TITLE|WORDS?|NOTE|TASK|ITEM|CATEGORY|TAG|DESCRIPTION|PRODUCT|PHONE|TERM|"
    r"NUMBER|NUM|COUNT|AMOUNT|QUANTITY|PRICE|INDEX|ID|[ABNXY])_?\d?",
    re.IGNORECASE,
)
"""Placeholders for which `1` is a value, whether they stand for a text or for a number."""
_WAITS = re.compile(
    r"\b(?:serv(?:e[rs]?|ing)|listens?|ports?|interactive\w*|prompts?|menu|watch(?:es)?|daemon|window|forever|keeps? running|"
    r"timers?|stopwatch|count(?:s|ing)?[ -]?down|sleeps?|seconds?|minutes?|until|games?|real[ -]time|ctrl|"
    r"stdin|standard input|pip(?:e[sd]?|ing)|types?|typed|asks?|reads? (?:\w+ ){0,3}lines?|waits?|hours?|"
    r"\d+ ?(?:secs?|mins?|hrs?)|pomodoros?|curses|gui|editor|clipboard|browser|downloads?|fetch(?:es)?|internet|api|"
    r"sockets?|localhost|git|sekunden?|minuten?|wartet)\b|秒|分钟|等待",
    re.IGNORECASE,
)
"""Words for a program that takes its time, wants to be told something, or needs what is not in the sandbox."""
_ODD = re.compile(
    r"\busage\b|\b(?:anything|something) else\b|\bother(?:wise)?\b|\bunknown commands?\b|\bwithout\b|\bno arguments?\b|\bwrong\b|"
    r"\binvalid\b|\braises?\b|\btraceback\b|\b(?:de|en)(?:code|crypt)s?\b|\bpars(?:es?|ing)\b|\bevaluat\w+|\bconvert\w*|\bimports?\b|"
    r"\bfails?\b|\bcrash\w*|\w+error\b",
    re.IGNORECASE,
)
"""Words of a sentence whose command may be meant to be refused, or takes no word of anybody's."""
_TAKES = re.compile(
    r"(?:add|new|create|insert|set|put|del|delete|remove|rm|done|complete|finish|mark|edit|update|change|rename|find|search|"
    r"deposit|withdraw)(?:-\w+)?"
)
"""Commands that are about something: quoted alone, they stand for what has more words."""
_RAISES = re.compile(r"\braises?\b|\b[A-Z]\w*Error\b")
_TROUBLE = '''

def trouble(output, errors):
    """The error that a program broke down with, or the usage that it shows instead of doing what it is told."""
    last = errors.rpartition("\\n")[2]
    is_absent = "can't open file" in last or "No module named" in last
    if ('  File "' in errors or is_absent) and not last.startswith("EOFError"):  # that there is nothing to read is no fault of its own
        return last
    first = (output or errors).partition("\\n")[0]
    return first if first.lower().startswith("usage") else ""
'''


def commands_in(requirement: str) -> list[str]:
    """The first commands that the text quotes, `1` in the place of each placeholder: ``python a.py add 1``.

    Of a program with several, told by a word each, that needs nothing which is not there and waits for nobody. Left out is what
    may need more than a word or a number, or may be meant to be refused: nobody can tell what a right program does then.
    """
    if _WAITS.search(requirement) or has_other_files(requirement):
        return []
    verbs = {usage.verb for usage in usages_in(requirement) if usage.verb}
    if len(verbs) < 2:
        return []
    plain = (clause for clause in sentences_of(requirement) if not _ODD.search(clause))
    usages = [usage for clause in plain for usage in usages_in(clause)]
    is_short = any(len(usage.arguments) == 1 and _TAKES.fullmatch(usage.verb) for usage in usages)
    may_raise = bool(_RAISES.search(requirement))
    whole = (usage for usage in usages if not (may_raise if len(usage.arguments) > 1 else is_short))
    typed = dict.fromkeys(text for usage in whole if (text := _typed(usage, verbs)))
    made = (Command(command=text, stdin="", stdout="", exit_status=0) for text in typed)
    return [each.command for each in made if not testgen.command_problem(each, ())][:MOST]


def _typed(usage: Usage, verbs: Collection[str]) -> str:
    """A command as it is typed; empty where nobody knows what one of its words stands for."""
    if usage.verb not in verbs or _HELP.fullmatch(usage.verb):
        return ""
    values = [_value(word) for word in usage.given[1:]]
    start = usage.words[: len(usage.words) - len(usage.arguments)]
    return " ".join([*start, usage.verb, *map(shlex.quote, values)]) if all(values) else ""


def _value(word: str) -> str:
    """What is typed for a word: a placeholder's value, a number, or words that were in quotes; else nothing."""
    stands = word[1:-1] if re.fullmatch(r"<\w+>", word) else word
    if stands != word or re.fullmatch(r"[A-Z][A-Z0-9_]*", word):
        return "1" if _ANY_WORD.fullmatch(stands) else ""
    return word if re.fullmatch(r"-?\d+(?:\.\d+)?|[a-z]+(?: [a-z]+)+", word) else ""


def tests_of(requirement: str) -> testgen.Tests | None:
    """That each command works as the first of all, and after those before it. All decide; none is a stated example."""
    functions = list(_functions(commands_in(requirement)))
    if not functions:
        return None
    about = "That the commands which the requirement quotes work at all: what they print is looked at elsewhere."
    return testgen.Tests(PATH, testgen.head_of_sessions(about) + _TROUBLE + "".join(functions), ())


def _functions(typed: Sequence[str]) -> Iterator[str]:
    for number, command in enumerate(typed, 1):
        name = f"{number}_{testgen.slug(command.partition(' ')[2])}"
        yield _function(f"test_first_{name}", (), command)
        if number > 1:
            yield _function(f"test_later_{name}", typed[: number - 1], command)


def _function(name: str, before: Sequence[str], command: str) -> str:
    lines = [f"def {name}(run):", *(f"    run({each!r})" for each in before)]
    lines += [f"    _, output, errors = run({command!r})", '    assert trouble(output, errors) == "", errors']
    return "\n".join(["", "", *lines, ""])
