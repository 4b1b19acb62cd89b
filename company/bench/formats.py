"""The public sets of functions and classes: one record each of a JSON file → tasks whose judge is a hidden file of tests.

Files and where they come from: `datasets.py`; folders of tasks: `folders.py`.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from company.bench.tasks import Judge, Task

MODULE = "solution.py"
JUDGE = "test_judge.py"
Record = Mapping[str, Any]

_NUMPY = '''
class np:
    """What these tests use of numpy, which the sandbox does not have: shapes must be the same here."""

    float32 = float64 = float

    class ndarray:
        """No answer is one."""

    @staticmethod
    def allclose(out, exp, rtol=1e-05, atol=1e-08):
        if isinstance(exp, (list, tuple)):
            return len(out) == len(exp) and all(np.allclose(a, b, rtol, atol) for a, b in zip(out, exp))
        return out == exp or abs(out - exp) <= atol + rtol * abs(exp)
'''


def _python(text: str) -> str:
    return f"```python\n{text.strip()}\n```\n"


def _judge(*lines: str) -> Judge:
    return Judge("tests", {JUDGE: "\n".join(lines) + "\n"})


# --- HumanEval and HumanEval+ -----------------------------------------------------------------------


def humaneval(dataset: str, records: Iterable[Record]) -> Iterator[Task]:
    """A function's head and docstring are shown as they are; the set's own `check` judges."""
    for record in records:
        prompt, name = record["prompt"], record["entry_point"]
        if not name.isidentifier():
            raise ValueError(f"`{name}` is no name of a function")
        yield Task(
            dataset=dataset,
            name=str(record["task_id"]),
            requirement=f"A module {MODULE} with this function:\n\n{_python(prompt)}",
            needs=MODULE,
            judge=_judge(
                _prelude(prompt, name),
                f"from solution import {name}",  # by its own name: some tests compare with it
                record["test"].replace("import numpy as np\n", _NUMPY),
                "",
                "",
                "def test_task():",
                f"    check({name})",
            ),
        )


def _prelude(prompt: str, name: str) -> str:
    """What the prompt holds besides the function that is asked for: some tests call it."""
    tree = ast.parse(f"{prompt}\n    pass\n")
    return "\n".join(ast.unparse(node) for node in tree.body if getattr(node, "name", "") != name)


# --- MBPP and MBPP+ ---------------------------------------------------------------------------------


def mbpp(dataset: str, records: Iterable[Record]) -> Iterator[Task]:
    """The text, the function's head and the first assert are shown, as the set's authors show asserts; the others judge.

    A `test` of a record, which MBPP+ has, judges instead of them (one of its many inputs is the shown one). A single assert
    is not shown: it judges.
    """
    for record in records:
        code, imports, asserts = record["code"], [*record.get("test_imports", ())], [*record["test_list"]]
        names, more = _called(code, imports, asserts)
        shown, asserts = (asserts[:1], asserts[1:]) if len(asserts) > 1 else ([], asserts)
        example = "".join(f"\nExample:\n\n{_python(each)}" for each in shown)
        heads = "\n".join(_heads(code, names))
        text = (record.get("prompt") or record["text"]).strip()
        if record.get("test"):
            tests = _NUMPY + record["test"].replace("import numpy as np\n", "")
            body = ["def test_task():", f"    exec(compile({tests!r}, 'judge', 'exec'), dict(globals()))"]
        else:
            body = [
                line
                for number, each in enumerate(asserts, 1)
                for line in (f"def test_{number}():", *(f"    {part}" for part in each.splitlines()), "", "")
            ]
        yield Task(
            dataset=dataset,
            name=str(record["task_id"]),
            requirement=f"A module {MODULE} with this function:\n\n{_python(heads)}\n{text}\n{example}",
            needs=MODULE,
            judge=_judge(*imports, *more, f"from solution import {', '.join(names)}", "", "", *body),
        )


def _called(code: str, imports: list[str], asserts: list[str]) -> tuple[list[str], list[str]]:
    """The names that the asserts need of a solution, and imports that they take from the reference without saying so."""
    tree = ast.parse(code)
    made = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    nodes = [node for line in (*imports, *asserts) for node in ast.walk(ast.parse(line))]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    bound = {(node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)}
    missing = used - made - bound - set(dir(builtins))
    return sorted(used & made), [f"import {name}" for name in sorted(missing)]


def _heads(code: str, names: list[str]) -> Iterator[str]:
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield f"def {node.name}({ast.unparse(node.args)}):"
        elif isinstance(node, ast.ClassDef) and node.name in names:
            yield f"class {node.name}:"


# --- ClassEval --------------------------------------------------------------------------------------


def classeval(dataset: str, records: Iterable[Record]) -> Iterator[Task]:
    """The class's skeleton with its descriptions is shown; the set's `unittest` classes judge, method by method."""
    for record in records:
        imports = record["import_statement"]
        imports = imports if isinstance(imports, list) else imports.splitlines()
        skeleton = record["skeleton"].strip()
        yield Task(
            dataset=dataset,
            name=str(record["task_id"]),
            requirement=f"A module {MODULE} with this class, every method written out:\n\n{_python(skeleton)}",
            needs=MODULE,
            judge=_judge(*imports, f"from solution import {record['class_name']}", record["test"]),
        )


READERS: Mapping[str, Callable[[str, Iterable[Record]], Iterator[Task]]] = {
    "humaneval": humaneval,
    "humaneval+": humaneval,
    "mbpp": mbpp,
    "mbpp+": mbpp,
    "classeval": classeval,
}
