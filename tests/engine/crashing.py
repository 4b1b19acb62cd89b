"""Procedures that are killed on purpose, in a folder of their own, and a model that answers them alike each time.

What kills them and judges what is left: `failpoints.py`. Each answer depends on its question alone, and no two are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running import CHECKS, INTERFACE, OUTLINE, PRD, REQUIREMENT, RIGHT, WRONG

from company.llm.client import Request

FILES = {
    "company.toml": "",
    "script.yaml": "[]",
    "roles/writer.yaml": "title: Writer\nprofile: You write.\ntools: [files.list, python]\n",
    "roles/checker.yaml": "title: Checker\nprofile: You check.\n",
    "prompts/shared/say.md.j2": "{# optional: about, notes #}\n{{ about }}{{ notes }}\nsays {{ role.title }}\n",
    "prompts/writer/code.md.j2": "{# optional: about, notes #}\n{{ about }}{{ notes }}\n",
    "sops/inner.yaml": """sop: 1
inputs: {about: str}
steps:
  text: {role: writer, prompt: say, in: about, out: str}
  more: {role: writer, prompt: say, in: {about: text}, out: str}
""",
    "sops/wide.yaml": """sop: 1
artifacts: {Names: {names: [str]}, Mark: {good: bool, score: float}}
steps:
  list: {role: checker, prompt: say, in: {about: requirement}, out: Names}
  look: {gate: human, show: list, choices: {ok: next, no: fail}, headless: ok}
  drafts: {role: writer, prompt: say, in: {about: list}, out: Prd, sample: 2}
  each:
    for_each: list.names
    as: name
    key: name
    parallel: 3
    do:
      polish:
        loop:
          file: {role: writer, prompt: code, in: {about: name, notes: prev.mark}, out: [SourceFile], temperature: 0.8}
          mark: {role: checker, prompt: say, in: {about: file}, out: Mark}
        until: mark.good
        best: mark.score
        max: 3
        on_max: continue
  built: {run: python -m compileall -q ., in: {drafts: len(drafts), each: len(each)}}
deliver: {accept: built.passed}
""",
    "sops/deep.yaml": """sop: 1
artifacts: {Mark: {good: bool, score: float}}
steps:
  outer:
    loop:
      plan: {role: writer, prompt: say, in: {about: requirement, notes: prev.mark}, out: str}
      said: {use: inner, with: {about: plan}}
      tries:
        loop:
          code: {role: writer, in: {about: said.more, notes: prev.grade}, out: [SourceFile], temperature: 0.8}
          grade: {role: checker, prompt: say, in: {about: code}, out: Mark}
        until: grade.good
        best: grade.score
        max: 2
        on_max: continue
      mark: {role: checker, prompt: say, in: {about: tries.code}, out: Mark, commit: false}
    until: mark.good
    max: 2
  pick:
    {role: writer, prompt: code, in: {about: outer.plan, notes: outer.history}, out: [SourceFile],
     cascade: [small, small], accept: len(answer) > 1}
  seen:
    {role: writer, prompt: code, in: {about: pick}, out: [SourceFile], tools: [files.list, python], tool_calls: 2}
deliver: {accept: outer.mark.good}
""",
    "sops/uneven.yaml": """sop: 1
artifacts: {Item: {name: str, needs: [str]}, Items: {items: [Item]}}
steps:
  list: {role: checker, prompt: say, in: {about: requirement}, out: Items}
  each:
    for_each: list.items
    as: item
    key: item.name
    needs: item.needs
    parallel: 2
    on_error: collect
    do: {role: writer, prompt: code, in: {about: item, notes: deps}, out: [SourceFile], retry: 1}
  look: {gate: human, show: each, choices: {ok: next, no: fail}, headless: ok}
  test: {run: pytest, in: each}
deliver: {accept: not test.passed}
""",
}


@dataclass(frozen=True)
class Procedure:
    """What is run: a procedure, and which of its steps go on at the same time."""

    name: str
    beside: frozenset[str]
    """First names of steps whose commits come in any order among themselves."""


PROCEDURES = (
    Procedure("wide", frozenset({"drafts", "each"})),
    Procedure("deep", frozenset()),
    Procedure("uneven", frozenset({"each"})),
    Procedure("waterfall", frozenset({"code", "tests"})),
)


def lay_out(folder: Path) -> None:
    """Write the files of the project."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def words(procedure: Procedure, *more: str) -> list[str]:
    """The command that begins a run."""
    sop = procedure.name if procedure.name == "waterfall" else f"sops/{procedure.name}.yaml"
    model = ["--model", "script:script.yaml", "--headless", "--plain", "--json"]
    requirement = REQUIREMENT if procedure.name == "waterfall" else "Something that works."
    return ["run", requirement, "--sop", sop, *model, *more]


def file(path: str, text: str) -> str:
    return f"### {path}\n```python\n{text}\n```"


def answer(request: Request) -> Any:
    """The reply to a request, as text or data."""
    label, kind, seed = request.label, request.schema_name, request.seed
    said = f"{label.step} {label.item} {label.round} {seed}"
    name = label.step.rpartition(".")[2]
    asked = "\n".join(message.content for message in request.messages)
    if kind == "ToolCall":
        listed = asked.count(" gave:\n")
        calls: list[dict[str, Any]] = [
            {"tool": "files.list", "arguments": {"folder": ""}},
            {"tool": "python", "arguments": {"code": f"print({seed})"}},
        ]
        return {"thought": said, "call": calls[listed]}
    if name == "list":
        if "needs" in str(request.schema):
            return {"items": [{"name": name, "needs": ["a"] * (name == "c")} for name in ("a", "bad", "c", "d")]}
        return {"names": ["a", "b", "c"]}
    if kind == "Mark":
        score = {1: 2.0, 2: 1.0, 3: 3.0}[label.round] + seed / 1e9
        return {"good": label.round == (2 if name == "mark" else 9) and label.item in ("", "a"), "score": score}
    documents = {"Prd": {**PRD, "title": said}, "Outline": OUTLINE, "FileSpec": INTERFACE, "Checks": CHECKS}
    if kind in documents:
        return documents[kind]
    if label.item == "shout.py" or label.step == "verify.fix":
        return RIGHT if "What fails" in asked else WRONG
    if label.item == "bad" or (label.item == "d" and label.attempt == 1):
        return "no code at all"
    if name in ("file", "code"):
        return file(f"{name}_{label.item}.py", f"SAID = {said!r}")
    if label.step == "each":
        return file(f"{label.item}.py", f"SAID = {said!r}")
    if name == "pick":
        more = file("more.py", "MORE = 1") if label.round == 2 else ""
        return file("pick.py", f"SAID = {said!r}") + more
    if name == "seen":
        return file("seen.py", f"SAID = {said!r}")
    return said
