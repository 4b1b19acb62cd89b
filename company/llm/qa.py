"""What QA is asked for: calls and one session of commands, beside the examples that the requirement itself gives.

Examples by rule: `company/examples.py`; the test file that checks become: `company/testgen.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from company.artifacts import Artifact, Call, Check, Checks, Command, Design, SourceFile, flat
from company.assemble import parsed
from company.errors import ReplyError, StepFailed
from company.examples import (
    Usage,
    calls_in,
    command_pattern,
    commands_in,
    have_no_verb,
    is_program,
    placeholders_in,
    started_file,
    stated_output,
    usages_in,
)
from company.interfaces import classes_in, functions_in, section_of
from company.literals import sides_of
from company.llm.ask import Ask
from company.llm.gateway import Gateway
from company.llm.names import names_in
from company.llm.replies import parse_document, schema_for
from company.testgen import is_named, module_of, usable_checks

_SHOWN = re.compile(r"^```(?:python|py)?[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
MOST_EXAMPLES = 8
"""Checks that are taken from the requirement's own examples."""
MOST_CHECKS = 5
"""Checks that QA is asked for."""
_MOST_CALLS, _MOST_COMMANDS = 8, 12
"""That are taken, where a server does not hold the model to what it was asked for."""
Notice = Callable[[str], None]


class _Answer(Artifact):
    calls: list[Call]
    commands: list[Command]


async def ask_for_checks(gateway: Gateway, ask: Ask, given: Mapping[str, Any], notice: Notice) -> Checks:
    """The requirement's own examples, and what QA adds: calls, and commands that make one session."""
    requirement = str(given.get("requirement", ""))
    files = [spec for value in given.values() if isinstance(value, Design) for spec in value.files]
    modules = {spec.path for spec in files}
    owners = {part.name: module_of(spec.path) for spec in files for part in spec.parts}
    parts = {part.name: part for spec in files for part in spec.parts}
    code = [value for value in flat(list(given.values())) if isinstance(value, SourceFile)]
    shown = [] if code or files else list(shown_in(requirement))
    owners = owners if code or files or shown else _named(requirement)
    owners |= {name: module_of(file.path.removeprefix("src/")) for file in [*shown, *code] for name in _defined(file)}
    commands = commands_in(requirement)[:MOST_EXAMPLES]
    session = [Check(title="examples of commands", quote="", calls=[], commands=commands)] if commands else []
    plain = [name for file in [*shown, *code] for name in _plain_classes(file)]
    stated = [*calls_in(requirement, owners, plain)[:MOST_EXAMPLES], *session]
    examples, _ = usable_checks(Checks(checks=stated), modules)
    dropped: list[str] = []

    def read(text: str) -> list[Check]:
        answer = parse_document(text, _Answer, "list of calls and commands for Checks")
        kept, dropped[:] = usable_checks(Checks(checks=_as_checks(answer, requirement)), modules, parts)
        if len(answer.calls) > _MOST_CALLS or len(answer.commands) > _MOST_COMMANDS:
            dropped.append(f"those after {_MOST_CALLS} calls and {_MOST_COMMANDS} commands")
        if not kept and not examples:  # where there are some, they decide, and no others are worth a second question
            alike = ["all calls give the same: take some that give other values"] * _are_all_alike(answer.calls)
            idle = alike or [f"`{call.expression}` calls nothing" for call in answer.calls] or ["there is none"]
            reasons = "\n".join(f"- {reason}" for reason in (dropped or idle)[:6])
            raise ReplyError("no check can be run", raw=text, reason=f"No check can be run:\n{reasons}")
        return kept

    functions = [name for name in owners if is_named(name, requirement)]
    schema = _schema(requirement, owners, functions)
    classes = [*classes_in(requirement), *(name for name, part in parts.items() if not part.is_function)]
    written = [node for file in [*shown, *code] for node in _body(file) if isinstance(node, ast.ClassDef)]
    idle = {node.name for node in written if not any(_is_public_method(each) for each in node.body)}
    called = [name for name in functions or owners if name not in idle]
    narrow = _narrowed(schema, called, [*classes, *(node.name for node in written)])
    try:
        other = (ask.under(narrow, "Checks"), read) if narrow else None
        found = await gateway.ask(ask.under(schema, "Checks"), read, other)
    except StepFailed as error:
        notice(f"QA wrote no check that can be run ({error.message}); the requirement's own examples are tested")
        return Checks(checks=examples)
    for reason in dropped:
        notice(f"a check was left out: {reason}")
    return Checks(checks=_each_once([*examples, *found]))


def examples_in(requirement: str, more: Checks) -> Checks:
    """The examples of a requirement that shows the heads of its own code, and then other checks."""
    shown = list(shown_in(requirement))
    owners = {name: module_of(file.path) for file in shown for name in _defined(file)}
    stated = calls_in(requirement, owners, [name for file in shown for name in _plain_classes(file)])[:MOST_EXAMPLES]
    found, _ = usable_checks(Checks(checks=stated), ())
    return Checks(checks=_each_once([*found, *more.checks]))


def _named(requirement: str) -> dict[str, str]:
    """Name → module, of the functions and classes whose file the requirement's own words tell: QA may see nothing else."""
    paths = names_in(requirement)
    found: dict[str, str] = {}
    for path in paths:
        section = section_of(path, paths, requirement)
        for name in (*functions_in(section), *classes_in(section)):
            found.setdefault(name, module_of(path))
    return found


def shown_in(requirement: str) -> Iterator[SourceFile]:
    """The code that the requirement itself shows, where it names the one file that it is for: heads, skeletons."""
    paths = names_in(requirement)
    if len(paths) == 1:
        for match in _SHOWN.finditer(requirement):
            heads = match[1].rstrip()
            whole = next((text for text in (heads, f"{heads}\n    pass") if parsed(text)), "")
            if whole:
                yield SourceFile(path=paths[0], content=whole)


def _defined(file: SourceFile) -> list[str]:
    """The public functions and classes of a Python file."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [node.name for node in _body(file) if isinstance(node, kinds) and not node.name.startswith("_")]


def _is_public_method(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")


def _plain_classes(file: SourceFile) -> Iterator[str]:
    """The classes of a Python file that are made without arguments."""
    for node in _body(file):
        if isinstance(node, ast.ClassDef) and not (node.bases or node.decorator_list):
            makers = [each.args for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            if all(len([*made.posonlyargs, *made.args]) - len(made.defaults) <= 1 for made in makers) and not any(
                value is None for made in makers for value in made.kw_defaults
            ):
                yield node.name


def _body(file: SourceFile) -> list[ast.stmt]:
    """The statements of a Python file; none of one that does not parse, or is no Python."""
    tree = parsed(file.content) if file.path.endswith(".py") else None
    return tree.body if tree else []


def _each_once(checks: Sequence[Check]) -> list[Check]:
    """The checks without those that call what an earlier one calls: a model repeats itself, with other values."""
    known: set[tuple[str, str]] = set()
    kept = []
    for check in checks:
        called = {(check.setup, ast.unparse(ast.parse(call.expression.strip(), mode="eval"))) for call in check.calls}
        if not called & known:
            kept.append(check)
        known |= called
    return kept


def _schema(requirement: str, owners: Mapping[str, str], functions: Sequence[str]) -> dict[str, Any]:
    """Calls where the requirement names functions, commands where it names a program; both where it names both."""
    program = is_program(requirement)
    schema = schema_for(_Answer)
    fields = schema["properties"]
    fields["calls"] |= {"minItems": 1, "maxItems": MOST_CHECKS} if functions or not program else {"maxItems": 0}
    fields["commands"] |= {"minItems": 1, "maxItems": MOST_CHECKS + 2} if program else {"maxItems": 0}
    if owners:
        fields["calls"]["items"]["properties"]["imports"] = {
            "enum": [f"from {owners[name]} import {name}" for name in functions or owners]
        }
    if file := started_file(requirement):
        start = (
            f"python -m {module_of(file).removesuffix('.__main__')}"
            if file.endswith("__main__.py")
            else f"python {file}"
        )
        fields["commands"]["items"]["properties"]["command"] = {
            "type": "string", "pattern": command_pattern(start, requirement), "maxLength": 200
        }  # fmt: skip
    return schema


_MOST_NAMES = 12
"""That the other form of the question allows calls of: each makes its pattern longer."""
_TEXT = "'[^'\"\\\\\n]{0,40}'"
_ATOM = f"[^'\"\\\\\n()]|{_TEXT}"
_TUPLE = f"\\(({_ATOM}|\\(({_ATOM}){{0,20}}\\)){{0,40}}\\)"
_INSIDE = f"({_ATOM}|{_TUPLE}){{0,120}}"
_VALUE = f"-?[0-9]{{1,12}}(\\.[0-9]{{1,8}})?|True|False|None|{_TEXT}|\\[{_INSIDE}\\]|{_TUPLE}|\\{{{_INSIDE}\\}}|raises [A-Z][A-Za-z]{{2,30}}"
"""A regular expression for the Python values that most calls have, and for errors."""


def _narrowed(schema: dict[str, Any], names: Sequence[str], classes: Collection[str]) -> dict[str, Any] | None:
    """The schema with calls that are calls, of functions or of a method of the classes; None where it asks for none."""
    if not names or not schema["properties"]["calls"]["maxItems"]:
        return None
    call = f"\\({_INSIDE}\\)"
    method = f"\\.[a-z_][a-z_0-9]{{0,40}}{call}"
    forms = [f"{name}{call}{method if name in classes else f'({method})?'}" for name in names[:_MOST_NAMES]]
    made = deepcopy(schema)
    fields = made["properties"]["calls"]["items"]["properties"]
    shown = f"a call such as {names[0]}(…), with plain Python values for its arguments"
    fields["expression"] |= {"pattern": f"^({'|'.join(forms)})$", "description": shown}
    value = "the value alone, as Python writes it, or for instance raises ValueError"
    fields["expected"] |= {"pattern": f"^({_VALUE})$", "description": value}
    return made


def _as_checks(answer: _Answer, requirement: str) -> list[Check]:
    usages, placeholders = usages_in(requirement), placeholders_in(requirement)
    calls = list(as_session([] if _are_all_alike(answer.calls) else answer.calls[:_MOST_CALLS]))
    session: list[Command] = []
    for command in answer.commands[:_MOST_COMMANDS]:
        if command in session[-1:]:
            continue
        words = Usage(tuple(command.command.split()), ()).arguments
        if not placeholders.isdisjoint(words):
            break  # typed as it stands there
        if have_no_verb(usages) and not command.exit_status and any(map(_FILE.fullmatch, words)):
            break  # a program of one use that should succeed with a file which nobody made
        stated = stated_output(command.command, command.stdout, usages)
        if not (filled := command.fitted(stdout=stated or command.stdout)):
            break  # what follows it may depend on it
        session.append(filled)
    return [*calls, *([Check(title="a session", quote="", calls=[], commands=session)] if session else [])]


_FILE = re.compile(r"[\w/-]+\.[a-z]{2,4}")
_ALIKE = 4
"""Calls of one function that all give the same, from which on nobody worked anything out."""


def _are_all_alike(calls: Sequence[Call]) -> bool:
    """Whether one value, which is no yes or no, is expected of many unlike calls: the model filled in a form."""
    values = {call.expected.strip() for call in calls}
    if len({call.expression.partition("(")[0] for call in calls}) > 1:
        return False
    is_answer = bool(values & {"True", "False", "None"}) or any(value.startswith("raises ") for value in values)
    return len({call.expression for call in calls}) >= _ALIKE and len(values) == 1 and not is_answer


def as_session(calls: Sequence[Call]) -> Iterator[Check]:
    """One check for each call. An assignment among them is no check; it comes before those that use its name, as in a session."""
    before: list[str] = []
    bound: set[str] = set()
    for call in map(_one_side, calls):
        try:
            tree = ast.parse(call.expression.strip())
        except SyntaxError:
            tree = ast.Module([], [])  # told to the model as what it is
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        if made and isinstance(tree.body[0], ast.Assign):
            before += [call.imports.strip(), ast.unparse(tree)]
            bound |= made
            continue
        uses = any(node.id in bound for node in names)
        lines = [line for line in dict.fromkeys(before) if line != call.imports.strip()] if uses else []
        yield Check(title=call.expression[:100], quote="", calls=[call], commands=[], setup="\n".join(lines))
        if uses and not call.expected.startswith("raises "):
            before.append(ast.unparse(tree))


def _one_side(call: Call) -> Call:
    """The call without the comparison with the very value that it must have: ``f(1) == 2`` must give ``2``."""
    try:
        made = ast.parse(call.expression.strip(), mode="eval").body
        value = ast.unparse(ast.parse(call.expected.strip(), mode="eval"))
    except SyntaxError:
        return call
    sides = sides_of(made)
    if not sides or ast.unparse(sides[1]) != value:
        return call
    return call.model_copy(update={"expression": ast.unparse(sides[0])})
