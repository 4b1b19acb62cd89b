"""Changes of repositories that are there: python benchmarks/features.py --data CLASSEVAL.json [--split dev|test] [--limit 8]

Makes a repository of three classes of ClassEval (https://github.com/FudanSELab/ClassEval, MIT) and their tests. In a `feature` one method of
the first class is not there yet, in a `bug` one operator of it is wrong; the requirement is its description, or what a call of it
gives and must give. `company run --into` works on it, and the method's own tests, which nobody was shown, judge the branch.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import copy
import doctest
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from company.sandbox import Limits, Result, Spec, choose

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
_WAIT = 60
"""Seconds that judging may take."""
_SANDBOX = choose()


class Task(NamedTuple):
    name: str
    requirement: str
    files: dict[str, str]
    hidden: str
    """The text of the tests that judge."""


def tasks(data: list[dict[str, Any]], kind: str) -> Iterator[Task]:
    """The tasks that can be made of the classes: those whose hidden tests tell what is there from what should be."""
    for number, entry in enumerate(data):
        neighbours = [data[(number + more) % len(data)] for more in (1, 2)]
        for method in reversed(entry["methods_info"]):
            task = _task(entry, method, neighbours, kind)
            if task and not passes(task.files, task.hidden) and passes(_whole(task, entry), task.hidden):
                yield task
                break


def _task(entry: dict[str, Any], method: dict[str, Any], neighbours: list[dict[str, Any]], kind: str) -> Task | None:
    name, where = method["method_name"], _module(entry)
    if f"{name}(" in entry["solution_code"].replace(f"def {name}(", "") or name.startswith("_"):
        return None  # the class itself calls it
    hidden = _tests(entry, {method["test_class"]})
    known = {each["test_class"] for each in entry["methods_info"]} - {method["test_class"]}
    other = "\n".join(
        each["test_code"]
        for each in entry["methods_info"]
        if each["test_class"] in known and f".{name}(" not in each["test_code"]
    )
    files = {f"{_module(each)}.py": _code(each) for each in (entry, *neighbours)}
    files |= {f"tests/test_{_module(each)}.py": _tests(each, set(each["test_classes"])) for each in neighbours}
    files["tests/test_" + where + ".py"] = _head(entry) + other + "\n"
    whole = ast.parse(_code(entry))
    if kind == "feature":
        description = method["method_description"]
        signature = description[4 : description.index('"""')].strip().rstrip(":")
        words = re.sub(r"\n[ \t]+", "\n", description[description.index('"""') :].strip('"\n '))
        requirement = f"Add the method `{signature}` to the class `{entry['class_name']}`.\n\n{words}\n"
        files[f"{where}.py"] = ast.unparse(_without(whole, entry["class_name"], name)) + "\n"
        return Task(f"feature-{where}-{name}", requirement, files, hidden)
    shown = _example(method["method_description"], name)
    if not shown:
        return None
    setup, call, wanted = shown
    for wrong in _mutants(whole, entry["class_name"], name):
        files[f"{where}.py"] = ast.unparse(wrong) + "\n"
        imports = f"from {where} import {entry['class_name']}"
        got = _value(files, imports, setup, call)
        if got and got != wanted and _value({**files, f"{where}.py": _code(entry)}, imports, setup, call) == wanted:
            session = "\n".join(f">>> {line}" for line in (*setup, call))
            requirement = f"`{entry['class_name']}.{name}` is wrong. This must come of it:\n\n{session}\n{wanted}\n\nIt gives {got}.\n"
            return Task(f"bug-{where}-{name}", requirement, dict(files), hidden)
    return None


def _module(entry: dict[str, Any]) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", entry["class_name"]).lower()


def _code(entry: dict[str, Any]) -> str:
    return ast.unparse(ast.parse("\n".join(entry["import_statement"]) + "\n" + entry["solution_code"])) + "\n"


def _head(entry: dict[str, Any]) -> str:
    imports = [line for line in entry["test"].split("\n") if re.match(r"(import|from) ", line)]
    return "\n".join(dict.fromkeys([*imports, *entry["import_statement"], f"from {_module(entry)} import *", "\n\n"]))


def _tests(entry: dict[str, Any], wanted: set[str]) -> str:
    classes = [node for node in ast.parse(entry["test"]).body if isinstance(node, ast.ClassDef) and node.name in wanted]
    return _head(entry) + "\n\n\n".join(ast.unparse(node) for node in classes) + "\n"


def _whole(task: Task, entry: dict[str, Any]) -> dict[str, str]:
    return {**task.files, f"{_module(entry)}.py": _code(entry)}


def _method(tree: ast.Module, owner: str, name: str) -> tuple[ast.ClassDef, ast.FunctionDef] | None:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == name:
                    return node, inner
    return None


def _without(tree: ast.Module, owner: str, name: str) -> ast.Module:
    made = copy.deepcopy(tree)
    if found := _method(made, owner, name):
        found[0].body.remove(found[1])
        found[0].body = found[0].body or [ast.Pass()]
    return made


def _mutants(tree: ast.Module, owner: str, name: str) -> Iterator[ast.Module]:
    """The module with one operator of the method turned into another, each in turn."""
    found = _method(tree, owner, name)
    for number, node in enumerate(ast.walk(found[1]) if found else ()):
        for field in ("op", "ops"):
            old: Any = getattr(node, field, None)
            first = old[0] if isinstance(old, list) and old else old
            if isinstance(first, ast.AST) and type(first) in _SWAPS:
                made = copy.deepcopy(tree)
                inner = _method(made, owner, name)
                assert inner
                new = list(ast.walk(inner[1]))[number]
                swapped = _SWAPS[type(first)]()
                setattr(new, field, [swapped, *getattr(new, field)[1:]] if field == "ops" else swapped)
                yield made


def _example(description: str, name: str) -> tuple[list[str], str, str] | None:
    """Of a docstring: the lines before its first call of the method, the call, and what it gives."""
    setup: list[str] = []
    try:
        for each in doctest.DocTestParser().get_examples(description):
            if f".{name}(" in each.source and each.want.strip():
                return setup, each.source.strip(), each.want.strip()
            setup.append(each.source.strip())
    except ValueError:
        pass
    return None


def _value(files: dict[str, str], imports: str, setup: list[str], call: str) -> str:
    """What an expression gives; empty where it fails."""
    result = in_sandbox(files, "-c", "\n".join([imports, *setup, f"print(repr({call}))"]))
    return result.stdout.strip().rpartition("\n")[2] if result.exit_status == 0 else ""


def passes(files: dict[str, str], hidden: str) -> bool:
    """Whether all of the tests pass that judge a task."""
    return in_sandbox({**files, "judge.py": hidden}, "-m", "unittest", "-q", "judge").exit_status == 0


def in_sandbox(files: dict[str, str], *words: str) -> Result:
    texts = {path: text.encode() for path, text in files.items()}
    result = asyncio.run(_SANDBOX.run(Spec(("python", *words), texts, limits=Limits(seconds=_WAIT))))
    if result.status == "setup_failed":
        raise SystemExit(f"the sandbox failed: {result.stderr}")
    return result


def measure(task: Task, home: Path, model: str) -> dict[str, Any]:
    """One run on a repository of its own, judged."""
    repo = home / "repos" / task.name
    if repo.exists():
        shutil.rmtree(repo)
    for path, text in task.files.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(text)
    git = ("git", "-C", str(repo), "-c", "user.name=Owner", "-c", "user.email=owner@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-q", "-m", "What there is")):
        subprocess.run([*git, *words], check=True)
    command = [
        sys.executable,
        "-m",
        "company",
        "run",
        task.requirement,
        "--into",
        str(repo),
        "--workspace",
        str(home / task.name),
    ]
    command += ["--headless", "--plain", "--json", *(("--model", model) if model else ())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        outcome = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        outcome = {"status": f"exit {done.returncode}"}
    made = dict(task.files)
    if outcome.get("branch"):
        for path in task.files:
            shown = subprocess.run(
                [*git, "show", f"{outcome['branch']}:{path}"], stdout=subprocess.PIPE, text=True, check=False
            )
            made[path] = shown.stdout if shown.returncode == 0 else ""
    row = {"task": task.name, "right": passes(made, task.hidden)}
    return row | {key: outcome.get(key) for key in ("status", "calls", "prompt_tokens", "completion_tokens", "seconds")}


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: every run, then the sums by kind."""
    yield "| task | hidden tests | own verdict | calls | tokens | minutes |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        tokens = (row["prompt_tokens"] or 0) + (row["completion_tokens"] or 0)
        verdict = "pass" if row["right"] else "fail"
        yield f"| {row['task']} | {verdict} | {row['status']} | {row['calls']} | {tokens} | {(row['seconds'] or 0) / 60:.1f} |"
    yield ""
    yield "| kind | runs | right | accepted | accepted and right | not accepted and right |"
    yield "|---|---|---|---|---|---|"
    for kind in ("feature", "bug"):
        mine = [row for row in rows if row["task"].startswith(kind)]
        accepted = [row for row in mine if row["status"] == "delivered"]
        right = sum(row["right"] for row in mine)
        both = sum(row["right"] for row in accepted)
        yield f"| {kind} | {len(mine)} | {right} | {len(accepted)} | {both} | {right - both} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--split", choices=("dev", "test"), default="dev", help="every second class is for the last look"
    )
    parser.add_argument("--kinds", default="feature,bug")
    parser.add_argument("--limit", type=int, default=8, help="tasks of each kind")
    parser.add_argument("--model", default="")
    parser.add_argument(
        "--home", type=Path, required=True, help="a new folder: repositories, workspaces, results.jsonl"
    )
    given = parser.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    lines = given.home / "results.jsonl"
    rows = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    data = json.loads(given.data.read_text())[given.split == "test" :: 2]
    for kind in given.kinds.split(","):
        for task in itertools.islice(tasks(data, kind), given.limit):
            if task.name not in {row["task"] for row in rows}:
                rows.append(measure(task, given.home, given.model))
                with lines.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
