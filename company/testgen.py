"""Test files made from documents: QA's checks, and the interfaces of a design; readable pytest, no plumbing by a model.

Which of the tests decide and which only inform is found here by comparing them with the requirement's own words.
Running them: `sandbox/verdict.py`.
"""

from __future__ import annotations

import ast
import builtins
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from company.artifacts import Call, Check, Checks, Command, Design, Part
from company.examples import Usage, calls_in, stated_output, usages_in
from company.literals import is_literal

CHECKS_PATH = "tests/test_requirement.py"
INTERFACE_PATH = "tests/test_interface.py"

_LOOSE = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.NamedExpr)
"""Expressions that `==` would read otherwise than as one side."""
_HEAD = '''"""{about}"""

{imports}
'''
_RUNNER = '''
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def run(tmp_path):
    """Runs commands one after another in a fresh copy of the project."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "tests", "__pycache__"))

    def command(line, stdin=""):
        words = shlex.split(line)
        done = subprocess.run(
            [sys.executable, *words[1:]], cwd=folder, input=stdin, capture_output=True, text=True, timeout=8
        )
        return done.returncode, done.stdout.rstrip(), done.stderr.rstrip()[-1500:]

    return command
'''


class Tests(NamedTuple):
    """A made test file, and the tests in it that decide nothing."""

    path: str
    text: str
    optional: tuple[str, ...]
    """Ids: ``tests/test_requirement.py::test_3_empty_text``."""
    stated: int = 0
    """How many of the others are examples that the requirement itself states."""


def usable_checks(
    checks: Checks, modules: Collection[str], parts: Mapping[str, Part] = MappingProxyType({})
) -> tuple[list[Check], list[str]]:
    """The checks that can be run, and why each other one cannot.

    Args:
        modules: the design's paths; empty if unknown.
        parts: the design's functions by name: what they return is not of another type.
    """
    kept: list[Check] = []
    reasons: list[str] = []
    for check in checks.checks:
        calls, commands = [], []
        for call in map(_with_literal, check.calls):
            problem = _call_problem(call, modules, check.setup) or _type_problem(call, parts)
            if problem:
                reasons.append(f"{check.title}: {problem}")
            else:
                calls.append(call)
        for command in check.commands:
            problem = command_problem(command, modules)
            if problem:
                reasons.append(f"{check.title}: {problem}")
                break  # what follows it may depend on it
            commands.append(command)
        if calls or commands:
            kept.append(check.model_copy(update={"calls": calls, "commands": commands}))
        elif not check.calls and not check.commands:
            reasons.append(f"{check.title}: it has neither calls nor commands")
    return kept, reasons


_NO_VALUE = frozenset({"error", "errors", "exception", "raises", "fails", "invalid"})
"""Words in the place of a value that mean: it does not work."""


def _with_literal(call: Call) -> Call:
    """The call with its value as Python writes it, if that fits: a model often leaves the quotes of a text out."""
    expected = call.expected.strip()
    if _error_name(expected) or is_literal(expected) or expected.lower() in _NO_VALUE:
        return call
    return call.fitted(expected=repr(expected)) or call


def _call_problem(call: Call, modules: Collection[str], setup: str) -> str:
    if not _error_name(call.expected) and not is_literal(call.expected.strip()):
        if call.expected.strip().lower() in _NO_VALUE:
            return f"`{call.expression}` must give a value, or an error by its name: raises ValueError"
        return f"what `{call.expression}` must give is no Python value, and too long for a text"
    try:
        imported = ast.parse(call.imports.strip()).body
        expression = ast.parse(call.expression.strip(), mode="eval").body
        before = ast.parse(setup)
    except SyntaxError:
        return f"`{call.imports}` or `{call.expression}` is no Python"
    nodes = [node for tree in (before, expression) for node in ast.walk(tree)]
    if any(isinstance(node, ast.Await | ast.Yield | ast.YieldFrom) for node in nodes):
        return f"`{call.expression}` waits or yields, which only a function can"
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    names, error = _imported(imported), _error_name(call.expected)
    if not names & (used | {error}):
        strange = min(used - {*dir(builtins)}, default="")
        which = f" uses `{strange}`, which nothing defines, and" if strange else ""
        return f"`{call.expression}`{which} uses nothing of `{call.imports}`: a call begins with `{min(names, default='')}(`"
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)} | _imported(nodes) | names | {*dir(builtins)}
    if unknown := used - bound:
        return f"`{call.expression}` uses `{min(unknown)}`, which nothing defines"
    if error and not hasattr(builtins, error) and error not in names:
        return f"`{error}` is neither Python's own nor imported by `{call.imports}`"
    for node in imported:
        wanted = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        wanted += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in wanted:
            place = module.replace(".", "/")
            if (
                modules
                and not {f"{place}.py", f"{place}/__init__.py"} & set(modules)
                and not _is_package(place, modules)
            ):
                return f"there is no module `{module}` in the design"
    return ""


def _imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that import statements bind."""
    found = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    return {alias.asname or alias.name.partition(".")[0] for node in found for alias in node.names}


_RETURNS: Mapping[str, tuple[type, ...]] = MappingProxyType({
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "bytes": (bytes,), "None": (type(None),),
    "list": (list,), "dict": (dict,), "tuple": (tuple,), "set": (set,),
})  # fmt: skip


def _type_problem(call: Call, parts: Mapping[str, Part]) -> str:
    """Whether a check expects of a function what its signature says it never returns."""
    expression = ast.parse(call.expression.strip(), mode="eval").body
    name = expression.func.id if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) else ""
    if name not in parts or not is_literal(call.expected.strip()):
        return ""
    node = ast.parse(f"{parts[name].signature}:\n    pass\n").body[0]
    returns = node.returns if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
    wanted = ast.unparse(returns).partition("[")[0] if returns and "|" not in ast.unparse(returns) else ""
    value = ast.literal_eval(call.expected.strip())
    if wanted not in _RETURNS or (
        isinstance(value, _RETURNS[wanted]) and isinstance(value, bool) <= (wanted == "bool")
    ):
        return ""
    return f"`{name}` returns {wanted}, and the check wants {call.expected.strip()[:60]}"


def _is_package(place: str, modules: Collection[str]) -> bool:
    return any(path.startswith(f"{place}/") for path in modules)


def command_problem(command: Command, modules: Collection[str]) -> str:
    """Why a command cannot be run; empty if it can."""
    try:
        words = shlex.split(command.command)
    except ValueError:
        return f"`{command.command}` is no command line"
    if len(words) < 2 or words[0] not in ("python", "python3"):
        return f"`{command.command}` does not begin with `python FILE`"
    if any(word in ("|", "&&", "||", ";", ">", ">>", "<") for word in words):
        return f"`{command.command}` needs a shell"
    if words[1] == "-m":
        place = words[2].replace(".", "/") if len(words) > 2 else ""
        if modules and f"{place}.py" not in modules and not _is_package(place, modules):
            return f"there is no module `{place}` in the design"
    elif not words[1].endswith(".py") or (modules and words[1].removeprefix("./") not in modules):
        return f"`{words[1]}` is not among the design's files"
    return ""


def _error_name(expected: str) -> str:
    match = re.fullmatch(r"raises ([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt))", expected.strip())
    return match[1] if match else ""


# --- checks -----------------------------------------------------------------------------------------


def from_checks(checks: Checks, requirement: str, *, stated_alone: bool = False) -> Tests:
    """Each call as one test, each command as one that runs those before it first.

    Those that the requirement does not state in so many words are optional, as long as it states any; with `stated_alone`
    they are left out then.
    """
    usages, examples = usages_in(requirement), stated_calls(checks, requirement)
    functions: list[str] = []
    stated: dict[str, bool] = {}
    for number, check in enumerate(checks.checks, 1):
        if check.calls:
            name = f"test_{number}_{slug(check.title)}"
            functions.append(_calls(name, check))
            stated[name] = all(is_in(examples, check, call) for call in check.calls)
        for place, command in enumerate(check.commands, 1):
            name = f"test_{number}_{place}_{slug(command.command.partition(' ')[2])}"
            functions.append(_session(name, check, place))
            stated[name] = is_stated_command(command, usages)
    if stated_alone and any(stated.values()):
        functions = [text for text, kept in zip(functions, stated.values(), strict=True) if kept]
        stated = {name: True for name, kept in stated.items() if kept}
    commands = any("(run)" in text for text in functions)
    used = {"pytest"} if any(_error_name(call.expected) for check in checks.checks for call in check.calls) else set()
    about = "What the requirement asks for, as QA reads it."
    head = head_of_sessions(about) if commands else _HEAD.format(about=about, imports=_imports(used))
    text = head + "".join(f"\n\n{function}" for function in functions)
    optional = [f"{CHECKS_PATH}::{name}" for name, true in stated.items() if not true]
    return Tests(CHECKS_PATH, text, tuple(optional) if any(stated.values()) else (), sum(stated.values()))


def head_of_sessions(about: str) -> str:
    """The top of a test file whose tests type commands by a fixture `run`."""
    return _HEAD.format(about=about, imports=_imports({"pytest", "shlex", "shutil", "subprocess", "sys"})) + _RUNNER


def stated_calls(checks: Checks, requirement: str) -> set[tuple[str, str, str]]:
    """The calls that the requirement itself gives, as far as the checks import them: lines before one, itself, its value."""
    modules: dict[str, str] = {}
    for check in checks.checks:
        for text in (check.setup, *(call.imports for call in check.calls)):
            for node in ast.parse(text).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    modules |= {alias.name: getattr(node, "module", alias.name) or "" for alias in node.names}
    plain = {
        match[1] for check in checks.checks for match in re.finditer(r"^\w+ = (\w+)\(\)$", check.setup, re.MULTILINE)
    }
    stated = calls_in(requirement, modules, plain)
    return {(check.setup, *_plain_call(call)) for check in stated for call in check.calls}


def is_in(stated: Collection[tuple[str, str, str]], check: Check, call: Call) -> bool:
    """Whether a check's call is among those of `stated_calls`."""
    return (check.setup, *_plain_call(call)) in stated


def _plain_call(call: Call) -> tuple[str, str]:
    """Expression and value however they are quoted and spaced."""
    expected = call.expected.strip()
    value = expected if _error_name(expected) else ast.unparse(ast.parse(expected, mode="eval"))
    return ast.unparse(ast.parse(call.expression.strip(), mode="eval")), value


def is_stated_command(command: Command, usages: Sequence[Usage]) -> bool:
    """Whether the requirement quotes the command, or one with placeholders in its place, with what it prints."""
    said = command.stdout.rstrip()
    return bool(said) and stated_output(command.command, said, usages) == said


def slug(title: str) -> str:
    """A title as a part of a test's name."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:50] or "check"


def _imports(used: Collection[str]) -> str:
    plain = [f"import {name}" for name in sorted({*used} - {"pytest"})]
    lines = [*plain, *(["from pathlib import Path"] if "shutil" in used else [])]
    third = ["import pytest"] if "pytest" in used else []
    return "\n".join([*lines, *([""] if lines and third else []), *third])


def _calls(name: str, check: Check) -> str:
    lines = [f"def {name}():", f"    {_docstring(check.quote or check.title)}"]
    for statement in dict.fromkeys(call.imports.strip() for call in check.calls):
        lines.append(f"    {statement}")
    lines += [f"    {line}" if line else "" for line in check.setup.split("\n")] if check.setup else []
    lines.append("")
    for call in check.calls:
        error = _error_name(call.expected)
        tree = ast.parse(call.expression.strip(), mode="eval").body
        expression = ast.unparse(tree)
        if error:
            lines += [f"    with pytest.raises({error}):", f"        {expression}"]
        else:
            side = f"({expression})" if isinstance(tree, _LOOSE) else expression
            lines.append(f"    assert {side} == {call.expected.strip()}")
    return "\n".join(lines) + "\n"


def _session(name: str, check: Check, place: int) -> str:
    """The commands before the one at `place`, whatever they print, and then that one."""
    lines = [f"def {name}(run):", f"    {_docstring(check.quote or check.title)}"]
    for command in check.commands[: place - 1]:
        lines.append(f"    run({_arguments(command)})")
    command = check.commands[place - 1]
    said = "output or errors" if command.exit_status else "output"
    lines.append(f"    status, output, errors = run({_arguments(command)})")
    lines.append(f"    assert ({said}) == {command.stdout.rstrip()!r}, errors")
    lines.append(f"    assert status == {command.exit_status}, errors")
    return "\n".join(lines) + "\n"


def _arguments(command: Command) -> str:
    return repr(command.command) + (f", stdin={command.stdin!r}" if command.stdin else "")


def _docstring(text: str) -> str:
    plain = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{plain}{" " if plain.endswith(chr(34)) else ""}"""'


# --- interfaces -------------------------------------------------------------------------------------


def from_design(design: Design, requirement: str) -> Tests | None:
    """That each module loads and has what the design says. A part that the requirement does not name is optional."""
    functions, optional = [], []
    for spec in design.files:
        if not spec.path.endswith(".py") or spec.path.endswith("__main__.py") or not spec.parts:
            continue
        module = module_of(spec.path)
        if not all(part.isidentifier() for part in module.split(".")):
            continue
        for part in spec.parts:
            name = f"test_{slug(module)}_has_{part.name}"
            functions.append(_interface(name, module, part))
            if not is_named(part.name, requirement):
                optional.append(f"{INTERFACE_PATH}::{name}")
    if not functions:
        return None
    head = _HEAD.format(about="That the modules load and define what the design says.", imports=_imports({"inspect"}))
    return Tests(INTERFACE_PATH, head + "".join(f"\n\n{function}" for function in functions), tuple(optional))


def moved(tests: Tests, path: str) -> Tests:
    """A made file under another path, for a repository in which its own may be taken."""
    text = tests.text.replace("resolve().parent.parent\n", f"resolve().parents[{path.count('/')}]\n")
    return Tests(path, text, tuple(test.replace(tests.path, path) for test in tests.optional), tests.stated)


def module_of(path: str) -> str:
    """What a file is imported as: ``shop/cart.py`` is ``shop.cart``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def is_named(name: str, requirement: str) -> bool:
    """Whether the requirement names it as code; an ordinary word such as `add` may be a command of a program."""
    return bool(re.search(rf"(?<![\w.]){name}\(|`{name}`|\b(?:class|function|method) {name}\b", requirement))


def _interface(name: str, module: str, part: Part) -> str:
    lines = [f"def {name}():", f"    {_docstring(part.signature)}", f"    from {module} import {part.name}", ""]
    parameters = parameters_of(part)
    if parameters is None:
        lines.append(f"    assert inspect.isclass({part.name})")
    else:
        lines.append(f"    assert [*inspect.signature({part.name}).parameters] == {parameters!r}")
    return "\n".join(lines) + "\n"


def parameters_of(part: Part) -> list[str] | None:
    """The names of a function's parameters; None for a class."""
    node = ast.parse(f"{part.signature}:\n    pass\n").body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    variadic = [arguments.vararg] if arguments.vararg else []
    return [a.arg for a in [*plain, *variadic, *arguments.kwonlyargs, *([arguments.kwarg] if arguments.kwarg else [])]]
