"""The tasks of two public sets as requirements, each with the tests that judge and that no prompt may hold a line of.

HumanEval (https://github.com/openai/human-eval, MIT) and sanitized MBPP (https://github.com/google-research/google-research, CC BY 4.0).
Asking models for them: `cascade.py`. Judging what they answer: `cascade_judge.py`.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FILE = "solution.py"
"""What every task asks for."""


class Task(NamedTuple):
    name: str
    requirement: str
    """All that a model is told."""
    signature: str
    """The first line of the function; the requirement gives it."""
    before: str
    """What stands beside the function when the tests run: helpers that the requirement shows."""
    hidden: str
    """The tests that judge, as a program."""
    secret: tuple[str, ...]
    """Texts that no prompt may hold: the tests' lines, their calls, the reference."""
    reference: str

    @property
    def entry(self) -> str:
        """The function's name."""
        return self.signature.removeprefix("def ").partition("(")[0]


def tasks(name: str, data: Path) -> Iterator[Task]:
    """The tasks of ``humaneval`` or ``mbpp``, in their order; `data` is the file or its folder."""
    files = sorted(data.glob("*.json*")) if data.is_dir() else [data]
    if len(files) != 1:
        raise SystemExit(f"{data}: one .json, .jsonl or .jsonl.gz is wanted there")
    text = (gzip.decompress(files[0].read_bytes()) if files[0].suffix == ".gz" else files[0].read_bytes()).decode()
    entries = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines() if line]
    for entry in entries:
        task = _humaneval(entry) if name == "humaneval" else _mbpp(entry)
        refuse_secrets(task, task.requirement)
        yield task


def refuse_secrets(task: Task, prompt: str) -> None:
    """See that a prompt holds nothing of the tests that judge, however it is spaced."""
    plain = "".join(prompt.split())
    for secret in task.secret:
        assert "".join(secret.split()) not in plain, f"{task.name}: `{secret}` is in the prompt"


def _humaneval(entry: dict[str, Any]) -> Task:
    """The set's prompt: imports, helpers, signature, docstring with its examples."""
    tree = ast.parse(entry["prompt"])
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry["entry_point"]]
    rest = ast.Module([node for node in tree.body if node not in functions], [])
    asserts = [line.strip() for line in entry["test"].splitlines() if line.strip().startswith("assert")]
    return Task(
        name=entry["task_id"],
        requirement=f"Write {FILE} with this function:\n\n```python\n{entry['prompt'].strip()}\n```",
        signature=_signature(functions[-1]),
        before=ast.unparse(rest),
        hidden=f"{entry['test']}\n\ncheck({entry['entry_point']})\n",
        secret=(*(line for line in asserts if "candidate" in line), "candidate(", entry["canonical_solution"]),
        reference=entry["prompt"] + entry["canonical_solution"],
    )


def _mbpp(entry: dict[str, Any]) -> Task:
    """The set's sentence, and the first line of the reference's function, whose name the sentence lacks.

    The set's usual prompt shows a test instead; here none is shown. The tests are looked at only for which of the
    reference's functions they call.
    """
    tests = "\n".join(entry["test_list"])
    called = [node for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Call)]
    names = {node.func.id for node in called if isinstance(node.func, ast.Name)}
    functions = [
        node for node in ast.parse(entry["code"]).body if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    signature = _signature(functions[-1])
    calls = [ast.unparse(node) for node in called if isinstance(node.func, ast.Name) and node.func.id in signature]
    sentence = entry["prompt"].strip()
    return Task(
        name=f"MBPP/{entry['task_id']}",
        requirement=f"{sentence}\n\nIt is `{signature.removeprefix('def ')}` in {FILE}.",
        signature=signature,
        before="",
        hidden="\n".join([*entry["test_imports"], tests]) + "\n",
        secret=(*entry["test_list"], *(call for call in calls if re.search(r"\(.+\)", call)), entry["code"]),
        reference=entry["code"],
    )


def _signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}"
