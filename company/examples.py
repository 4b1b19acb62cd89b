"""The examples that a requirement's own words give, found by rule: what a call returns, what a command prints.

They are the checks that decide: no model has had a chance to get them wrong. Lines `assert`: `asserts.py`. Who adds others:
`llm/structured.py`.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from company.artifacts import Call, Check, Command
from company.asserts import asserted_in
from company.literals import CALL, LONGEST, call_ends, is_literal, literal_at
from company.pairs import Pair, pairs_in

_GIVES = re.compile(
    r"[`'\"]*\s*(?:#\s*)?(?:should |must |will |would )?(?:returns?|gives?|is|are|equals?|yields?|becomes|evaluates to|[-=]+>|[→➔➙➛➜➝➞⇒⟶⟹↦]|==|=)\s*(?:the (?:list|string|number|dict\w*|tuple)\s+)?[`]*",
    re.IGNORECASE,
)
_LINKS = r"[`'\")]*\s*[.,;:(]*\s*(?:(?:and|but|when|where|while|it|this|which|that|the (?:result|value|answer))\s+)*"
_SHOULD = re.compile(
    rf"{_LINKS}(?:should|must|ought to|was supposed to)\s+(?:have\s+)?(?:be|been|return|returned|give|given|yield|raise|equal)\w*\s+[`]*",
    re.IGNORECASE,
)
_BUT_EXPECTED = re.compile(rf"{_LINKS}(?:I\s+)?expected(?:\s+(?:value|result))?:?\s+(?:is\s+)?[`]*", re.IGNORECASE)
_BUT = re.compile(r"[`'\"]*,?\s*but\s+[`]*", re.IGNORECASE)
_WAS_EXPECTED = re.compile(r"[`'\"]*\s+(?:was|is) expected", re.IGNORECASE)
_INSTEAD = re.compile(r"[`'\"]*,?\s*(?:instead of|rather than)\s+[`]*", re.IGNORECASE)
_NOUN = re.compile(
    r"[`'\"]*\s+(?!(?:and|or|but|while|whereas|then|as|because|since|so|when|if|for|not|instead|rather|holds|which|where)\b)[a-z]+(?!\w*\()"
)
_WANTED = re.compile(r"\b(?:should|must|will|would)\b", re.IGNORECASE)
_EXPECTED = re.compile(r"\b(?:expect(?:ed|s)?|want(?:ed|s)?|correct|right|after(?:wards)?|example)\b", re.IGNORECASE)
_FAULTY = re.compile(
    r"\b(?:bug|wrong\w*|incorrect\w*|broken|fails?|problem|actual(?:ly)?|currently|observed|reproduc\w*)\b",
    re.IGNORECASE,
)
_SHOULD_BE = re.compile(
    r"\W*(?:(?:and|but|which|that|it|this|the (?:last|result|value|output)\w*|instead)\W+)*(?:should|must|ought|expected|is wrong|instead of|rather than)\b",
    re.IGNORECASE,
)
_PROMPT = re.compile(r"^([ \t]*)>>> .*(?:\n(?![ \t]*\n)\1.*)*", re.MULTILINE)
"""A session, to the blank line or the line further out that ends it, such as the fence after a docstring."""
_MODULE = re.compile(r"[A-Za-z_][\w.]*")
"""What a check can import from."""
_RAISES = re.compile(r"[`'\"]*\s*(?:should |must |will )?raises? (?:an? )?[`]*(\w*(?:Error|Exception))", re.IGNORECASE)
_COMMAND = re.compile(r"([`\"])(python3? [^`\"\n]{1,160}?)\1|`(python3? [^`\n]{1,160})`")
_PRINTS = re.compile(
    r"[,;:]?\s*(?:(?:then|it|this|which|and|should|must|will)\s+)*(?:prints?|outputs?|shows?|writes?|displays?|->|→|=>)\s*(?:exactly\s+)?([`\"'])(.{1,200}?)\1"
)
_QUOTED = re.compile(r"([\"`])([^\"`\n]{1,200}?)\1")
_STARTED = re.compile(r"\bpython3? (?:-m ([\w.]+)|([\w./-]+\.py)\b)")
_PROGRAM = re.compile(r"\bcommand[- ]line\b|\bcli\b|\bconsole\b|\bterminal\b|\bscript\b", re.IGNORECASE)
_OTHER_USE = re.compile(
    r"\b(?:anything else|other(?:wise| command)|unknown command|(?:no|without|wrong) arguments?)\b|\busage\b",
    re.IGNORECASE,
)
_VALUE = r"('[^'\n]{1,40}'|[A-Za-z0-9_.:/@+-]{1,20})"
_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]{2,}\b|<\w+>|\[\w+\]")
_BRACKETED = re.compile(r"<\w+>|\[\w+\]")


def is_program(requirement: str) -> bool:
    """Whether the words ask for something that is started from a command line, rather than imported."""
    return bool(_STARTED.search(requirement) or _PROGRAM.search(requirement))


def started_file(requirement: str) -> str:
    """The file that the words say is run: ``python todo.py`` is ``todo.py``, ``python -m shop`` ``shop/__main__.py``."""
    match = _STARTED.search(requirement)
    if not match:
        return ""
    return match[2] or match[1].replace(".", "/") + "/__main__.py"


def calls_in(requirement: str, modules: Mapping[str, str], plain: Collection[str] = ()) -> list[Check]:
    """Calls with their stated results: ``slug("A b")`` returns ``"a-b"``, what lines ``assert`` say, and what a Python
    session shows after ``>>>``.

    Args:
        modules: name of a function or class → the module that defines it.
        plain: classes that are made without arguments. A session that begins with an object of nobody is about one of
            those, if the text names one alone: people leave out how they got it.
    """
    modules = {name: module for name, module in modules.items() if _MODULE.fullmatch(module)}
    found: dict[tuple[str, str], Check] = {}
    asserted = list(asserted_in(requirement, modules))
    for match in CALL.finditer(requirement):
        name = match[1]
        if name not in modules or any(each.start <= match.start() < each.end for each in asserted):
            continue
        for end in call_ends(requirement, match.end() - 1):
            text = requirement[match.start() : end]
            if not _is_concrete(text):
                continue
            expected = _stated(requirement[end:])
            text = ast.unparse(ast.parse(text)) if "\n" in text else text
            if expected and expected != text:
                call = Call(imports=f"from {modules[name]} import {name}", expression=text, expected=expected)
                found[text, expected] = Check(
                    title=f"example of {name}", quote=requirement[match.start() : end + 60].split("\n")[0][:200],
                    calls=[call], commands=[],
                )  # fmt: skip
            break
    for pair in pairs_in(requirement, modules):
        found.setdefault((pair.expression, pair.expected), _example(pair, requirement, modules))
    for each in asserted:
        if each.check and not _SHOULD_BE.search(requirement[each.start : each.end].partition("#")[2]):
            (call,) = each.check.calls
            found.setdefault((call.expression, call.expected), each.check)
    return [*found.values(), *_shown(requirement, modules, plain)]


def _example(pair: Pair, requirement: str, modules: Mapping[str, str]) -> Check:
    call = Call(
        imports=f"from {modules[pair.name]} import {pair.name}", expression=pair.expression, expected=pair.expected
    )
    quote = " ".join(requirement[pair.place : pair.place + 200].split())
    return Check(title=f"example of {pair.name}", quote=quote, calls=[call], commands=[])


def _shown(requirement: str, modules: Mapping[str, str], plain: Collection[str]) -> Iterator[Check]:
    """What the sessions of Python in the text show: one check for each value, with the lines before it."""
    meant = [name for name in plain if name in modules and re.search(rf"\b{name}\b", requirement)]
    found: dict[tuple[str, str], Check | None] = {}
    for block in _PROMPT.finditer(requirement):
        if _is_fault(requirement[: block.start()], requirement[block.end() :]):
            continue
        try:
            lines = doctest.DocTestParser().get_examples(block[0])
        except ValueError:
            continue
        before: list[str] = []
        bound = set(dir(builtins))
        imports: dict[str, str] = {}
        for line in lines:
            try:
                tree = ast.parse(line.source)
            except SyntaxError:
                break
            source, first = ast.unparse(tree), tree.body[0]
            if isinstance(first, ast.Import | ast.ImportFrom):
                imports |= {alias.asname or alias.name.partition(".")[0]: source for alias in first.names}
                continue
            names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
            bound |= {node.id for node in names if not isinstance(node.ctx, ast.Load)}
            asked = [node.id for node in names if node.id not in bound | imports.keys()]
            strange = {*asked} - modules.keys()
            objects = {
                node.value.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            }
            if strange and (before or len(strange) > 1 or len(meant) != 1 or not strange <= objects):
                break  # it begins in the middle: nobody can run it
            if strange:
                before.append(f"{min(strange)} = {meant[0]}()")
                bound |= strange
                asked = [meant[0] if name in strange else name for name in asked]
            imports |= {name: f"from {modules[name]} import {name}" for name in asked}
            expected = _first_literal(line)
            error = expected.removeprefix("raises ") if expected.startswith("raises ") else ""
            needed = {error: f"from {modules[error]} import {error}"} if error in modules else {}
            needed |= imports
            lead = next((name for name, text in needed.items() if _module_in(text) in modules.values()), "")
            own = needed.pop(error if error in needed else lead, "")
            setup = "\n".join([*needed.values(), *before])
            fits = max(len(source), len(expected)) <= LONGEST and len(setup) <= LONGEST * 10 and len(own) <= 160
            if lead and isinstance(first, ast.Expr) and expected and fits:
                check = Check(
                    title=f"example of {lead}"[:100], quote=" ".join(block[0].split())[:200], commands=[],
                    setup=setup, calls=[Call(imports=own, expression=source, expected=expected)],
                )  # fmt: skip
                known = found.setdefault((setup, source), check)
                if known and known.calls != check.calls:  # actual and expected: nobody knows which is which
                    found[setup, source] = None
            if not line.exc_msg:
                before.append(source)
    yield from (check for check in found.values() if check)


def _module_in(statement: str) -> str:
    """What an import statement imports, or imports from."""
    return statement.split()[1].rstrip(",")


def _is_fault(before: str, after: str) -> bool:
    """Whether a session shows what goes wrong, by the lines around it: nobody wants that."""
    said = [line for line in before.rstrip("`\n ").split("\n") if line.strip() and not line.strip().startswith("```")]
    lead = said[-1] if said else ""
    follow = next((line for line in after.split("\n") if line.strip() and not line.strip().startswith("```")), "")
    wanted = bool(_WANTED.search(lead) or _EXPECTED.search(lead))
    faulty = bool(_FAULTY.search(lead)) and not lead.strip().startswith(":")  # a docstring's field
    return (faulty and not wanted) or bool(_SHOULD_BE.match(follow))


def _first_literal(line: doctest.Example) -> str:
    """What a session says that a line gives: a literal, perhaps of several lines, or the error that it raises."""
    if _SHOULD_BE.search(line.source.partition("#")[2]) or _SHOULD_BE.search(line.want):
        return ""  # a note beside it
    if line.exc_msg:
        error = re.match(r"[\w.]+", line.exc_msg)
        return f"raises {error[0].rpartition('.')[2]}" if error else ""
    lines = line.want.rstrip().split("\n")
    tries = ("\n".join(lines[:count]).strip() for count in range(len(lines), 0, -1))
    return next((" ".join(text.split("\n")) for text in tries if is_literal(text)), "")


def commands_in(requirement: str) -> list[Command]:
    """One session of commands with what they print, where neither has a placeholder: ``python a.py 3`` prints ``9``.

    It ends before the first of which the text does not say what it prints: who knows what that leaves behind.
    """
    found: dict[str, Command] = {}
    placeholders = placeholders_in(requirement)
    for match in _COMMAND.finditer(requirement):
        command = match[2] or match[3]
        said = _PRINTS.match(requirement, match.end())
        if _PLACEHOLDER.search(command.partition(" ")[2]):
            continue
        if not said:
            break
        if not placeholders & set(re.findall(r"\w+", said[2])) and not _BRACKETED.search(said[2]):
            found.setdefault(command, Command(command=command, stdin="", stdout=said[2], exit_status=0))
    return list(found.values())


class Usage(NamedTuple):
    """How a command is written, and everything that the words after it quote: what it may print."""

    words: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words after what starts the program."""
        return self.words[3 if self.words[1:2] == ("-m",) else 2 :]

    @property
    def given(self) -> list[str]:
        """The arguments as a program gets them: what is in quotes is one."""
        try:
            return shlex.split(" ".join(self.arguments))
        except ValueError:
            return list(self.arguments)

    @property
    def verb(self) -> str:
        """The first of them, where it is a word to be typed as it is."""
        first = self.arguments[:1]
        return first[0] if first and re.fullmatch(r"[a-z][a-z-]*", first[0]) else ""

    @property
    def function(self) -> str:
        """The verb as the name of a function: ``add-item`` is ``add_item``."""
        return self.verb.replace("-", "_")


def have_no_verb(usages: Sequence[Usage]) -> bool:
    """Whether a program has one use, since none of its commands begins with a word to be typed as it is."""
    return bool(usages) and not any(usage.verb for usage in usages)


def usages_in(requirement: str) -> list[Usage]:
    """The commands that the text quotes, placeholders and all: ``python a.py add NAME`` … prints ``saved NAME``."""
    found = []
    matches = list(_COMMAND.finditer(requirement))
    for match, following in zip(matches, [*matches[1:], None], strict=False):
        end = following.start() if following else len(requirement)
        said = requirement[match.end() : end]
        outputs = tuple(quoted[2] for quoted in _QUOTED.finditer(said))
        found.append(Usage(tuple((match[2] or match[3]).split()), outputs))
    return found


def command_pattern(start: str, requirement: str) -> str:
    """A regular expression for commands that begin with `start`: those that the text quotes, with any values.

    Where it quotes none, any words may follow. Where it says what comes of a wrong command, one may be typed.
    """
    begin = start.split()
    forms: dict[str, None] = {}
    for usage in usages_in(requirement):
        if list(usage.words[: len(begin)]) == begin and not any(
            word[:1] in "[<(" or "..." in word for word in usage.words
        ):
            rest = usage.words[len(begin) :]
            forms["".join(f" {_form(word, first=not place)}" for place, word in enumerate(rest))] = None
    escaped = start.replace(".", "\\.")  # and no more: a server's grammar knows few escapes
    if not forms:
        return f"^{escaped}( [^\n]{{1,80}})?$"
    if _OTHER_USE.search(requirement):
        forms |= {"": None, " [a-z]{1,12}": None}
    return f"^{escaped}({'|'.join(forms)})$"


def _form(word: str, *, first: bool) -> str:
    is_literal_word = re.fullmatch(r"--?[a-z][a-z0-9-]*" if not first else r"-{0,2}[a-z][a-z0-9_-]*", word)
    return word if is_literal_word else _VALUE


def placeholders_in(requirement: str) -> set[str]:
    """The words in capitals that stand for a value in the requirement's commands: ``NAME``."""
    words = {word for usage in usages_in(requirement) for word in usage.words}
    return {word for word in words if re.fullmatch(r"[A-Z][A-Z0-9_]+", word)}


def stated_output(command: str, stdout: str, usages: Sequence[Usage]) -> str | None:
    """The text, placeholders filled in, if the requirement quotes each of its lines for this command; else None."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    for usage in usages:
        bound = _bind(words, usage.words)
        if bound is None:
            continue
        possible = {_fill(output, bound) for output in usage.outputs}
        filled = _fill(stdout.rstrip(), bound)
        if filled and all(line in possible for line in filled.split("\n")):
            return filled
    return None


def _bind(words: Sequence[str], pattern: Sequence[str]) -> dict[str, str] | None:
    """What the placeholders of a usage stand for in a command; None where it is another one."""
    if len(words) != len(pattern):
        return None
    bound = {}
    for word, wanted in zip(words, pattern, strict=True):
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", wanted):
            bound[wanted] = word
        elif word != wanted and not (wanted.startswith("python") and word.startswith("python")):
            return None
    return bound


def _fill(text: str, bound: Mapping[str, str]) -> str:
    return re.sub(r"\b[A-Z][A-Z0-9_]*\b", lambda match: bound.get(match[0], match[0]), text)


def _is_concrete(text: str) -> bool:
    """Whether a call's arguments are all literals: a signature's are names."""
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call):
        return False
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    return bool(arguments) and all(is_literal(argument) for argument in arguments)


def _stated(after: str) -> str:
    """The literal that the words after a call give as its value, or the error that it raises."""
    if said := _RAISES.match(after):
        first, end = f"raises {said[1]}", said.end()
    elif said := _GIVES.match(after):
        first, length = literal_at(after[said.end() :])
        end = said.end() + length
        if re.fullmatch(r"[-+.\d]+|None|True|False", first) and _NOUN.match(after[end:]):
            return ""  # `returns 2 items`
    else:
        return ""
    return first if not first or _WANTED.search(said[0]) else _corrected(first, after[end:])


def _corrected(first: str, rest: str) -> str:
    """What a call must give where the words go on after what it gives: a bug report says both. Empty if that is not clear."""
    if other := _SHOULD.match(rest) or _BUT_EXPECTED.match(rest) or _INSTEAD.match(rest):
        error = re.match(r"(?:an? )?[`]*(\w*(?:Error|Exception))\b", rest[other.end() :])
        return f"raises {error[1]}" if error else literal_at(rest[other.end() :])[0]
    if other := _BUT.match(rest):
        value, length = literal_at(rest[other.end() :])
        if value and _WAS_EXPECTED.match(rest[other.end() + length :]):
            return value
    return first
