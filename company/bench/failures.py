"""What a failure is an instance of, by rules over what the judge saw; the first thing that went wrong is named.

Who judges: `judging.py`. Nobody's opinion is in it, so the same failure has the same name in every measurement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from company.artifacts import TestRun
from company.sandbox.checks import parse

Failure = Literal[
    "",
    "run failed",
    "limit",
    "no code",
    "missing module",
    "does not parse",
    "import error",
    "missing name",
    "wrong arity",
    "wrong value",
    "exception",
    "timeout",
    "too much",
    "forged",
    "crashed",
]
"""``too much``: memory or output; ``forged``: the code reached for its verdict; ``crashed``: the process ended itself."""

_FORGED = re.compile(
    r"the code under test (replaces|changes)|something other than the test runner wrote|this test ended the whole"
)
_ARITY = re.compile(
    r"TypeError: [\w.<>]+\(\) (takes|missing|got (an|some|multiple)|expected)|TypeError: \w+ expected (at most|at least|\d)"
)
_RULES: tuple[tuple[str, Failure], ...] = (
    (_FORGED.pattern, "forged"),
    (r"did not finish within|time for all tests was used up", "timeout"),
    (r"the process ended itself|the process was killed by|the test session was stopped|SystemExit", "crashed"),
    (r"syntax error|SyntaxError|IndentationError|TabError|cannot be read as Python", "does not parse"),
    (r"ModuleNotFoundError: No module named", "import error"),
    (
        r"ImportError: cannot import name|AttributeError: (module|type object|'\w+' object) .*has no attribute",
        "missing name",
    ),
    (r"ImportError", "import error"),
    (_ARITY.pattern, "wrong arity"),
    (r"MemoryError", "too much"),
    (r"^E +(AssertionError|assert )|AssertionError", "wrong value"),
    (r"^E +\w*(Error|Exception|Iteration|Interrupt)\b|Error: ", "exception"),
)


def of_tests(run: TestRun, files: Mapping[str, bytes], needs: str) -> Failure:
    """Why tests did not pass.

    Args:
        files: what was delivered and is judged.
        needs: the file that the tests import; empty where that is not one file.
    """
    if broken := of_files(files, needs):
        return broken
    if any(_FORGED.search(problem) or "`__eq__`" in problem for problem in run.problems):
        return "forged"
    if run.status != "ran" and not run.cases:
        return of_status(run.status)
    wrong = [case.message for case in run.cases if case.required and case.outcome != "passed"]
    first = next((text for text in wrong if not text.startswith("the same as ")), "")
    return of_text(first) or of_status(run.status) or "exception"


def of_files(files: Mapping[str, bytes], needs: str) -> Failure:
    """What can be seen of delivered files without running them."""
    code = [path for path in files if path.endswith(".py")]
    if not code:
        return "no code"
    if needs and needs not in files:
        return "missing module"
    if any(isinstance(parse(path, files[path]), str) for path in ([needs] if needs in files else code)):
        return "does not parse"
    return ""


def of_text(text: str) -> Failure:
    """What a traceback or a message is of."""
    return next((name for pattern, name in _RULES if re.search(pattern, text, re.MULTILINE)), "")


def of_status(status: str) -> Failure:
    """What a sandbox's status is of; nothing for a job that came to its end."""
    if status == "timeout":
        return "timeout"
    if status in ("memory_limit", "output_limit"):
        return "too much"
    return "crashed" if status in ("crashed", "exit") else ""
