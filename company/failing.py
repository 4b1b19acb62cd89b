"""What fails in a test run, in the fewest lines that a small model can mend by: what must come, what comes, and where it broke.

Tests that the engine made are told as a sentence each; of others the test and the end of the traceback are shown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from company.artifacts import TestCase, TestRun

MOST_FAILING = 2
"""Failures that are shown at once to the role that mends: a small model mends one rule at a time."""
_COMPARED = re.compile(r"^E +(?:AssertionError: )?assert (.+) == (.+)$", re.MULTILINE)
_RAISED = re.compile(r"^E +([A-Z]\w*(?:\.\w+)*(?:: .*)?)$", re.MULTILINE)
_FRAME = re.compile(r"^(?!tests/)([\w./-]+\.py):(\d+): in (\S+)\n +(.+)$", re.MULTILINE)
_HANGS = re.compile(r'did not finish within (\d+) s(?:; it was at:\n *File "([^"]+)", line (\d+) in (\S+))?')
_SAID = re.compile(r"^E +AssertionError: ?((?!assert ).*(?:\nE +(?!\s*assert ).*)*)", re.MULTILINE)
_BELOW = re.compile(r"^E     (\S.*|  \S.*)$", re.MULTILINE)
_LONG = 300


def failing(run: TestRun | None) -> str:
    """What a machine found, then the first failures that decide."""
    if run is None:
        return ""
    wrong = [case for case in run.cases if case.outcome != "passed"]
    shown = [case for case in wrong if case.required][:MOST_FAILING] or wrong[:1]
    lines = [f"- {problem}" for problem in run.problems[:4]]
    for case in shown:
        lines += [f"- {sentence}"] if (sentence := told(case)) else [*_whole(case)]
    if not shown and run.output:
        lines += ["```", *run.output.splitlines()[-25:], "```"]
    return "\n".join(lines)


def _whole(case: TestCase) -> Iterator[str]:
    yield f"- {case.id}: {case.outcome}"
    yield from ["```python", case.source, "```"] if case.source else []
    yield from ["```", *case.message.splitlines()[-20:], "```"]


def told(case: TestCase) -> str:
    """A failure as a sentence: ``cut("ab")`` must give ``"a"``. It gives ``"b"``. Empty where the test is none of the engine's."""
    try:
        (function,) = ast.parse(case.source).body
    except (SyntaxError, ValueError):
        return ""
    if not isinstance(function, ast.FunctionDef) or case.outcome not in ("failed", "error"):
        return ""
    body = [node for node in function.body if not isinstance(node, ast.Import | ast.ImportFrom) and not _is_text(node)]
    asked = [node for node in body if isinstance(node, ast.Assert | ast.With)]
    if [argument.arg for argument in function.args.args] == ["run"]:
        return _session(body, case.message)
    if len(asked) != 1 or not body or body[-1] is not asked[0]:
        return ""
    wanted, call = _wanted(asked[0])
    if not wanted:
        return ""
    before = "; ".join(ast.unparse(node) for node in body[:-1])
    after = f"After `{before}`, `{call}`" if before else f"`{call}`"
    return f"{after} must {wanted}. {_instead(case.message)}"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _wanted(node: ast.stmt) -> tuple[str, str]:
    """What an assertion wants, and of which expression."""
    if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], ast.Eq):
        return f"give `{_cut(ast.unparse(node.test.comparators[0]))}`", ast.unparse(node.test.left)
    made = node.items[0].context_expr if isinstance(node, ast.With) else None
    if (
        isinstance(node, ast.With)
        and isinstance(made, ast.Call)
        and made.args
        and ast.unparse(made.func) == "pytest.raises"
    ):
        return f"raise {ast.unparse(made.args[0])}", ast.unparse(node.body[0])
    return "", ""


def _instead(message: str) -> str:
    """What came instead: a value, nothing, an error with its place, or no end."""
    if hangs := _HANGS.search(message):
        place = f" It was at {hangs[2]}:{hangs[3]} in {hangs[4]}." if hangs[2] else ""
        return f"It does not end within {hangs[1]} s.{place}"
    if "DID NOT RAISE" in message:
        return "It raises nothing."
    if compared := _COMPARED.search(message):
        return f"It gives `{_cut(_whole_text(compared[1], message))}`."
    raised = _RAISED.findall(message)
    if not raised:
        return f"It fails: {_cut(message.strip().splitlines()[-1] if message.strip() else 'nothing was said')}"
    frames = _FRAME.findall(message)
    place = f" at {frames[-1][0]}:{frames[-1][1]} in {frames[-1][2]}: `{frames[-1][3].strip()}`" if frames else ""
    return f"It raises {_cut(raised[-1])}{place}."


def _session(body: list[ast.stmt], message: str) -> str:
    """Commands one after another, of which the last does not do what it should."""
    calls = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Call)]
    typed = [call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)]
    commands = [command for command in typed if isinstance(command, str)]
    compared = _COMPARED.search(message)
    if not compared or not commands:
        return ""
    *before, last = [f"`{command}`" for command in commands]
    after = f"After {', '.join(before)}, {last}" if before else last
    said = _SAID.search(message)
    errors = [line.removeprefix("E").strip() for line in said[1].splitlines() if line.strip(" E~^")] if said else []
    errors = [re.sub(r'^File "(?:[^"]*/project/)?([^"]+)"', r"\1", line) for line in errors]
    why = f" It says: {_cut(' / '.join(errors[-3:]))}" if errors else ""
    got = _whole_text(compared[1], message)
    if "trouble(output, errors)" in ast.unparse(body[-1]):
        return f"{after} must work.{why or f' It says: {_cut(got)}'}"
    if compared[2].isdigit():
        return f"{after} must end with exit status {compared[2]}, as by `sys.exit({compared[2]})`. It ends with {compared[1]}.{why}"
    first = next((node.test for node in body if isinstance(node, ast.Assert)), None)
    wanted = ast.unparse(first.comparators[0]) if isinstance(first, ast.Compare) else compared[2]
    if got == "''" and wanted == repr("\n".join(errors)):
        return f"{after} must print {_cut(wanted)} to standard output. It prints that to standard error."
    return f"{after} must print {_cut(wanted)}. It prints {_cut(got)}.{why}"


def _whole_text(shown: str, message: str) -> str:
    """A text that pytest shows with a gap, without it, where it shows below all of the one line that came."""
    below = _BELOW.findall(message)
    came = [line[1:].strip() for line in below if line[0] == "+"]
    is_whole = len(came) == 1 and all(line[0] in "+-?" for line in below)
    return repr(came[0]) if shown[0] in "'\"" and "..." in shown and is_whole else shown


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
