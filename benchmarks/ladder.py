"""Which replies end as valid artifacts, on each rung of the ladder: python benchmarks/ladder.py ask … / table FILE …

`ask` puts the questions of the shipped procedures about many requirements to a model, through the product's own gateway on one
rung (those for code on the first alone: they are the same on each), or in one of two other ways: `plain`, LangChain's
`with_structured_output` once, and `text`, JSON between tags in free text that is asked for anew, with the same words, up to six
times (the way of MetaGPT's action nodes). `table` folds what they left. Those two ways: `other_ways.py`.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import hashlib
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from other_ways import MOST_TOKENS, class_of, no_use, plain, tagged
from pydantic import BaseModel, SecretStr

from company.artifacts import BUILT_IN, Codebase, SourceFile, to_json
from company.cache import Replies
from company.errors import CompanyError
from company.events import Journal, read
from company.llm.ask import Ask
from company.llm.budget import Budget
from company.llm.client import ChatModel, Message, OnTokens, Reply, Request, StepLabel
from company.llm.endpoint import Endpoint
from company.llm.gateway import Gateway
from company.llm.recording import Recorder
from company.llm.structured import obtain
from company.prompts import SYSTEM, Prompts
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.sop.types import ArtifactType, ListOf, Type
from company.store import Folder

RUNGS = ("schema", "tool", "json", "prompt")
OTHERS = ("plain", "text")
_DOCUMENTS = ("Prd", "Plan", "Design", "Checks", "Review", "ChangePlan")
_STUB = "def solution(value):\n    return value\n"
"""The program that is reviewed and changed where the model gave none."""
_CHANGE = (
    "Every function and method that is called from outside raises a TypeError that names the argument when it is given None "
    "for one. Add a function about() that returns one line of text, which says what the module is for."
)
"""What is asked of a program that was written for the requirement: it has to be something that it cannot do yet."""


class Kind(NamedTuple):
    """A step of a shipped procedure that asks for one type of artifact."""

    name: str
    procedure: str
    step: str


KINDS = (
    Kind("Prd", "waterfall", "prd"),
    Kind("Plan", "planning", "plan"),
    Kind("Design", "waterfall", "design"),
    Kind("Checks", "waterfall", "tests"),
    Kind("SourceFile", "zero_shot", "code"),
    Kind("Review", "chat_chain", "review.critic"),
    Kind("ChangePlan", "feature", "plan"),
    Kind("Patch", "feature", "edit.do"),
)


class Calls:
    """A model that keeps what each call of one question used."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.name, self.identity, self.context = model.name, model.identity, model.context
        self.made: list[dict[str, Any]] = []

    async def complete(self, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        """See `Model.complete`."""
        reply = await self._model.complete(request, on_tokens)
        self.made.append(
            {
                "attempt": request.label.attempt,
                "prompt": reply.prompt_tokens,
                "tokens": reply.completion_tokens,
                "seconds": round(reply.seconds, 3),
                "finish": reply.finish_reason,
            }
        )
        return reply

    async def close(self) -> None:
        """The model is shared."""


class Asker:
    """Puts one requirement's questions to a model."""

    def __init__(
        self, arm: str, model: str, url: str, key: str, folder: Path, parallel: int, code: Path | None
    ) -> None:
        self.arm = arm
        self.recorder = Recorder(code) if code else None
        """Of the replies of code."""
        self.name, self.url, self.key = model, url, key
        structured: Any = arm if arm in RUNGS else "prompt"
        endpoint = Endpoint(url, SecretStr(key), parallel=parallel, structured=structured)
        self.model = ChatModel(model, endpoint, context=8192)
        self.folder = folder
        self.procedures = {kind.procedure: load_procedure(kind.procedure, Library(None)) for kind in KINDS}
        self.prompts = {name: Prompts(procedure.sources) for name, procedure in self.procedures.items()}

    async def ask(self, kind: Kind, given: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """What became of one question, and the artifact; None where there is none."""
        procedure = self.procedures[kind.procedure]
        step = next(step for step in procedure.walk() if step.path == kind.step)
        assert step.role
        assert step.out
        text = self.prompts[kind.procedure].render(step.prompt, step.role, given)
        began, otherwise = time.monotonic(), False
        if self.arm == "plain":
            value, calls, error = await plain(class_of(step.out), text, self.name.partition(":")[2], self.url, self.key)
            error = error or no_use(value, given)
        elif self.arm == "text":
            value, calls, error = await self._text(class_of(step.out), text)
            error = error or no_use(value, given)
        else:
            value, calls, error, otherwise = await self._ladder(step.out, text, given, step.temperature, step.role.name)
        line = {
            "kind": kind.name, "arm": self.arm, "model": self.name, "valid": not error, "error": error[:300], "calls": calls,
            "otherwise": otherwise,
            "seconds": round(time.monotonic() - began, 3), "value": to_json(value),
        }  # fmt: skip
        return line, value

    async def _text(self, model: type[BaseModel], text: str) -> tuple[Any, list[dict[str, Any]], str]:
        calls = Calls(self.model)
        value, error = await tagged(model, text, calls.complete)
        return value, calls.made, error

    async def _ladder(
        self, out: Type, text: str, given: Mapping[str, Any], temperature: float | None, role: str
    ) -> tuple[Any, list[dict[str, Any]], str, bool]:
        calls, notices, value, error = Calls(self.model), list[str](), None, ""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            folder = Path(name)
            journal = Journal(folder / "events.jsonl")
            gateway = Gateway(
                {None: calls}, Replies(Folder(folder)), Budget({}, {}), journal,
                temperature=0.0, max_tokens=MOST_TOKENS,
                recorder=self.recorder if is_code(out) else None,
            )  # fmt: skip
            messages = (Message("system", SYSTEM), Message("user", text))
            ask = Ask(StepLabel("ladder", role), messages, temperature=temperature, ident="ladder")
            try:
                value = await obtain(gateway, ask, out, given, notices.append)
            except CompanyError as fault:
                error = fault.message
            finally:
                journal.close()
            said = [event["text"] for event in read(folder / "events.jsonl") if event["event"] == "notice"]
        # A role's step goes on without what the model never gave: here that is no valid reply.
        lost = [notice for notice in notices if "no check that can be run" in notice or "stay as they were" in notice]
        return value, calls.made, lost[0] if lost else error, any("; asked " in text for text in said)


def is_code(out: Type) -> bool:
    item = out.item if isinstance(out, ListOf) else out
    return isinstance(item, ArtifactType) and item.model.is_code


async def questions(
    asker: Asker, requirement: str, kept: Mapping[str, Any], only: Collection[str] = ()
) -> list[dict[str, Any]]:
    """What became of each kind's question about one requirement.

    Args:
        kept: the values that the first arm got; they stand in for this arm's own, so that all arms are asked the same.
        only: the kinds that are asked for; all, where there is none.
    """
    lines: list[dict[str, Any]] = []
    values: dict[str, Any] = {}

    async def put(name: str, given: Mapping[str, Any]) -> None:
        if asker.arm != "schema" and name not in _DOCUMENTS:
            return  # code is asked for in the same words on every rung
        if only and name not in only:
            return
        kind = next(kind for kind in KINDS if kind.name == name)
        text = _CHANGE if kind.procedure == "feature" else requirement
        line, value = await asker.ask(kind, {"requirement": text, **given})
        lines.append(line)
        values[name] = value

    await asyncio.gather(put("Prd", {}), put("Plan", {}), put("SourceFile", {}))
    code = kept.get("SourceFile") or to_json(values.get("SourceFile")) or []
    files = [SourceFile(**file) for file in code] or [SourceFile(path="main.py", content=_STUB)]
    listing = "\n".join(f"## {file.path}\n" + "\n".join(_heads(file.content)) for file in files)
    survey = Codebase(map=listing, files=[file.path for file in files])
    await asyncio.gather(put("Design", {}), put("Review", {"draft": files}), put("ChangePlan", {"survey": survey}))
    design = _again("Design", kept, values)
    await put("Checks", {"design": design} if design else {})
    plan = _again("ChangePlan", kept, values)
    if plan:
        await put("Patch", {"code": files, "change": plan.changes[0]})
    return lines


def _again(name: str, kept: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    return BUILT_IN[name].model_validate(kept[name]) if kept.get(name) else values.get(name)


def _heads(code: str) -> list[str]:
    return [line for line in code.split("\n") if re.match(r"(class|def|async def|    def) ", line)]


# --- requirements -----------------------------------------------------------------------------------


def requirements(mbpp: Path, classeval: Path | None) -> list[tuple[str, str]]:
    """Name and text of what is asked for: every second task, so that half of each set was never a prompt here."""
    found = []
    for task in json.loads(mbpp.read_text())[::2]:
        heads = [ast.unparse(node.args) for node in ast.parse(task["code"]).body if isinstance(node, ast.FunctionDef)]
        names = [node.name for node in ast.parse(task["code"]).body if isinstance(node, ast.FunctionDef)]
        text = f"{task['prompt'].strip()} A module solution.py with the function {names[-1]}({heads[-1]})."
        found.append((f"mbpp-{task['task_id']}", text))
    if classeval:
        for task in json.loads(classeval.read_text())[::2]:
            about = " ".join(task["class_description"].strip('"\n ').split())
            heads = [f"- {method['method_name']}: {_purpose(method)}" for method in task["methods_info"]]
            text = f"{about} A module solution.py with the class {task['class_name']}, its methods:\n" + "\n".join(
                heads
            )
            found.append((task["task_id"], text))
    projects = Path(__file__).parent / "projects"
    for path in sorted(projects.glob("*/requirement.txt")):
        found.append((path.parent.name, path.read_text()))
    # Mixed, so that an unfinished measurement has some of each kind.
    return sorted(found, key=lambda task: hashlib.sha256(task[0].encode()).digest())


def _purpose(method: dict[str, Any]) -> str:
    text = method["method_description"].partition('"""')[2]
    return " ".join(text.strip('"\n ').split("\n\n")[0].split(":param")[0].split())[:160]


async def ask_all(args: argparse.Namespace) -> None:
    """Ask every question whose line is not in the file yet."""
    out = Path(args.out)
    done = {json.loads(line)["task"] for line in out.read_text().splitlines()} if out.exists() else set()
    kept: dict[str, dict[str, Any]] = defaultdict(dict)
    for name in args.inputs:
        for line in map(json.loads, Path(name).read_text().splitlines()):
            if line["arm"] == "schema" and line["valid"] and line["model"] == args.model:
                kept[line["task"]][line["kind"]] = line["value"]
    part, parts = map(int, args.shard.split("/"))
    tasks = requirements(Path(args.mbpp), Path(args.classeval) if args.classeval else None)[: args.limit][part::parts]
    free = asyncio.Semaphore(args.parallel)
    with tempfile.TemporaryDirectory() as folder, out.open("a") as file:
        asker = Asker(
            args.arm,
            args.model,
            args.url,
            args.key,
            Path(folder),
            args.parallel * 3,
            Path(args.record) if args.record else None,
        )

        async def one(name: str, text: str) -> None:
            async with free:
                for line in await questions(asker, text, kept[name], args.only):
                    file.write(json.dumps({"task": name, **line}, ensure_ascii=False) + "\n")
                    file.flush()

        await asyncio.gather(*(one(name, text) for name, text in tasks if name not in done))
        await asker.model.close()


# --- the table --------------------------------------------------------------------------------------


def stage_of(line: dict[str, Any]) -> str:
    """How far a question had to go: ``first``, ``repair``, ``other`` (in pieces, or another form) or ``never``."""
    if not line["valid"]:
        return "never"
    last = max((call["attempt"] for call in line["calls"]), default=1)
    return "first" if last == 1 else "other" if line["otherwise"] else "repair"


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: one row for each model, way and type of artifact, and one for all types."""
    rows = [
        "| model | way | artifact | questions | first try | repaired | in pieces or another form | never | calls | tokens in + out, median | seconds, median |"
    ]
    rows.append("|---|---|---|---|---|---|---|---|---|---|---|")
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        for kind in (line["kind"], "all documents" if line["kind"] in _DOCUMENTS else "all code"):
            groups[line["model"], line["arm"], kind].append(line)
    order = [*(kind.name for kind in KINDS), "all documents", "all code"]
    ways = [*RUNGS, *OTHERS]
    for model, arm, kind in sorted(groups, key=lambda key: (key[0], ways.index(key[1]), order.index(key[2]))):
        group = groups[model, arm, kind]
        stages = [stage_of(line) for line in group]
        shares = " | ".join(
            f"{stages.count(stage) / len(stages):.1%}" for stage in ("first", "repair", "other", "never")
        )
        calls = sum(len(line["calls"]) for line in group) / len(group)
        into = median(sum(call.get("prompt", 0) for call in line["calls"]) for line in group)
        out = median(sum(call.get("tokens", 0) for call in line["calls"]) for line in group)
        seconds = median(sum(call["seconds"] for call in line["calls"]) for line in group)
        rows.append(
            f"| {model} | {arm} | {kind} | {len(group)} | {shares} | {calls:.2f} | {into:.0f} + {out:.0f} | {seconds:.1f} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    ask = commands.add_parser("ask")
    ask.add_argument("--mbpp", required=True, help="sanitized-mbpp.json")
    ask.add_argument("--classeval", help="ClassEval_data.json")
    ask.add_argument("--model", required=True, help="name in the table and at the endpoint: x:NAME")
    ask.add_argument("--url", required=True)
    ask.add_argument("--key", default="none")
    ask.add_argument("--arm", choices=[*RUNGS, *OTHERS], required=True)
    ask.add_argument("--inputs", nargs="*", default=[], help="what `schema` left, for the other ways")
    ask.add_argument(
        "--only", nargs="*", default=[], help="kinds of artifact; what they are asked with comes from `--inputs`"
    )
    ask.add_argument("--limit", type=int, default=220)
    ask.add_argument("--shard", default="0/1")
    ask.add_argument("--parallel", type=int, default=4, help="requirements at the same time")
    ask.add_argument("--record", help="a file for the replies of code")
    ask.add_argument("--out", required=True)
    fold = commands.add_parser("table")
    fold.add_argument("files", nargs="+")
    args = parser.parse_args()
    if args.command == "ask":
        asyncio.run(ask_all(args))
    else:
        print(table([json.loads(line) for name in args.files for line in Path(name).read_text().splitlines()]))


if __name__ == "__main__":
    main()
