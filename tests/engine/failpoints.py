"""Runs that are killed at a named point, at a random time, and again while they resume; and the judgement of what is left.

One process imports everything, then forks a child for each sitting: the command itself, whose parts are wrapped so that
it kills itself at the n-th passing of a point. Run by `test_crashes.py`: failpoints.py FOLDER KILLS; a JSON line a case.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from functools import partial, wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from crashing import PROCEDURES, Procedure, answer, lay_out, words
from damages import DAMAGES, WORKSPACE
from traces import Left, asked, differences, left

from company import cli, engine, events, gitdoor, nodes, paths, wiring
from company.cache import Objects, Replies
from company.llm.client import OnTokens, Reply, Request
from company.llm.scripted import ScriptedModel, _reply, _text
from company.sandbox import probe
from company.workspace import Repository, WorkingTree

WORKERS = 3
DAMAGED = {"deep": 1, "waterfall": 2}
"""The procedures whose workspaces are damaged: by each of the damages, by every second one."""
SITTING = 120
"""Seconds after which a child hangs."""


# --- in a child -------------------------------------------------------------------------------------


@dataclass
class Points:
    """What the running child passed, and where it ends itself."""

    passed: Counter[str] = field(default_factory=Counter)
    name: str = ""
    number: int = 0
    by: int = signal.SIGKILL
    lock: threading.Lock = field(default_factory=threading.Lock)

    def passing(self, name: str) -> None:
        """Count it; die here if this is the place."""
        with self.lock:
            self.passed[name] += 1
            here = (name, self.passed[name]) == (self.name, self.number)
        if here:
            if self.by != signal.SIGKILL:
                log("stopped")
            os.kill(os.getpid(), self.by)


POINTS = Points()
ASKED: ContextVar[str] = ContextVar("asked", default="")


def log(*said: str) -> None:
    """A line that outlives the child: what was asked of the model, and which replies are on disk."""
    with open("../log", "ab", buffering=0) as lines:
        lines.write(" ".join(said).encode() + b"\n")


def around(owner: Any, name: str, point: Callable[..., str] | str = "") -> None:
    """Wrap a function of a class or module so that it passes a point before and one after."""
    plain: Any = getattr(owner, name)

    def label(args: Any) -> str:
        return point(*args) if callable(point) else point or name.strip("_")

    if iscoroutinefunction(plain):

        @wraps(plain)
        async def later(*args: Any, **more: Any) -> Any:
            POINTS.passing(f"before {label(args)}")
            result = await plain(*args, **more)
            POINTS.passing(f"after {label(args)}")
            return result

        setattr(owner, name, later)
        return

    @wraps(plain)
    def wrapped(*args: Any, **more: Any) -> Any:
        POINTS.passing(f"before {label(args)}")
        result = plain(*args, **more)
        POINTS.passing(f"after {label(args)}")
        return result

    setattr(owner, name, wrapped)


def instrument() -> None:
    """Put the points into the parts of a run, and our model in the place of the script."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async def complete(self: ScriptedModel, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        asked = [request.messages, request.schema, request.temperature, request.seed]
        key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
        ASKED.set(key)
        log("asked", key)
        return _reply(self.name, request, _text(answer(request)), "stop", on_tokens)

    put = Replies.put

    def kept(self: Replies, key: str, entry: dict[str, Any]) -> None:
        put(self, key, entry)
        if "finish_reason" in entry:
            log("kept", ASKED.get())

    ScriptedModel.complete = complete
    Replies.put = kept
    around(ScriptedModel, "complete", "request")
    around(Replies, "put", lambda self, key, entry: "reply kept" if "finish_reason" in entry else "tool result kept")
    around(events.Journal, "emit", lambda self, event: f"journal {event}")
    around(Objects, "put", "object")
    around(gitdoor, "store", lambda repo, kind, content: f"git {kind}")
    around(Repository, "move_head", "ref moved")
    around(Repository, "_refresh_index", "index written")
    around(Repository, "create", "repository made")
    around(Repository, "restore", "restore")
    around(WorkingTree, "stage", "file staged")
    around(WorkingTree, "place", "file placed")
    around(WorkingTree, "remove", "file removed")
    around(paths, "write_synced", "temporary file")
    around(AsyncSqliteSaver, "aput", "checkpoint")
    around(AsyncSqliteSaver, "aput_writes", "checkpoint of a node")
    around(nodes, "run_command", "command")
    around(nodes, "run_tests", "tests")
    around(wiring, "keep", "request kept")
    around(engine, "compile_procedure", "graph")


def begin(folder: Path, arguments: list[str], kill: Kill | None = None, tag: str = "") -> int:
    """One command in a child; its process id. What it says goes to files beside the folder, named with the tag."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setsid()
            os.chdir(folder)
            for number, name in ((0, os.devnull), (1, f"../out{tag}"), (2, f"../err{tag}")):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | (os.O_APPEND if number == 2 else os.O_TRUNC)), number)
            if kill and kill.name:
                POINTS.name, POINTS.number, POINTS.by = kill.name, kill.number, kill.by
            sys.argv = ["company", *arguments]
            cli.main()
        except SystemExit as error:
            status = int(error.code or 0)
        except BaseException:  # noqa: BLE001 - told to whoever reads what the child said
            traceback.print_exc()
        finally:
            Path("../passed").write_text(json.dumps(POINTS.passed))
            Path("../imported").write_text("\n".join(sys.modules))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return child


def ended(child: int, after: float = 0.0) -> int:
    """A child's exit status, or minus the signal that ended it; `after` so many seconds it is killed."""
    began = time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        spent = time.monotonic() - began
        if (after and spent > after) or spent > SITTING:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if spent > SITTING:
                raise AssertionError("a sitting hangs")
            return -signal.SIGKILL
        time.sleep(0.002)


# --- cases ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """Where a sitting ends: at a passing of a point, or after a time in seconds."""

    name: str = ""
    number: int = 0
    by: int = signal.SIGKILL
    after: float = 0.0


@dataclass(frozen=True)
class Case:
    """A run with its kills, one for each sitting until it is let end."""

    procedure: Procedure
    kills: tuple[Kill, ...]
    damage: str = ""
    """What befalls the workspace before the last sitting."""


def play(folder: Path, case: Case) -> tuple[list[str], Path]:
    """Run, kill, resume, until it is at its end: the kills that came to pass, and the workspace."""
    home = folder / "home"
    home.mkdir(parents=True)
    lay_out(home)
    workspace = home / WORKSPACE
    killed: list[str] = []
    for kill in (*case.kills, None):
        if any((workspace / ".company/runs").glob("*/request.json")):
            if case.damage and not kill:
                note(folder, "lost" if "repl" in case.damage else "damaged")
                workspace = home / DAMAGES[case.damage][1](folder)
            arguments = ["resume", "--headless", "--plain", "--json", "--workspace", str(workspace.relative_to(home))]
        else:
            arguments = words(case.procedure, "--name", "out")
        status = ended(begin(home, arguments, kill), kill.after if kill else 0.0)
        said = (folder / "err").read_text()
        softly = kill and kill.by != signal.SIGKILL and "stopped" in (folder / "log").read_text()
        if kill and (status == -signal.SIGKILL or softly):
            killed.append(f"{signal.Signals(kill.by).name} {kill.name or 'at a random time'}")
            assert status in (-signal.SIGKILL, 130, 0), (status, said)
            if status != 0:
                continue  # else it was asked to stop when nothing was left to do
        assert status == 0 or "there is no run to go on with" in said, f"status {status}: {said[-3000:]}"
        if case.damage:
            assert not kill, "it was not killed before the damage"
            assert DAMAGES[case.damage][0] in said, said[-3000:]
        return killed, workspace
    raise AssertionError("unreachable")


def note(folder: Path, said: str) -> None:
    """A line in the case's log."""
    with (folder / "log").open("a") as lines:
        lines.write(f"{said}\n")


def cases_of(procedure: Procedure, passed: dict[str, int], seconds: float, share: int, covered: set[str]) -> list[Case]:
    """About `share` kills: at points, those first that no case has covered; softly, during the resume, at random times."""
    draw = random.Random(procedure.name)
    names = sorted(passed)
    draw.shuffle(names)
    names.sort(key=lambda name: name in covered)
    found: list[Case] = []
    for number in range(share * 4 // 7):  # some are killed once, most twice
        name, other = names[number % len(names)], draw.choice(names)
        covered.add(name)
        by = {3: signal.SIGTERM, 7: signal.SIGINT}.get(number % 8, signal.SIGKILL)
        first = Kill(name, draw.choice((1, passed[name], draw.randint(1, passed[name]))), by)
        second = Kill(other, draw.randint(1, 1 + passed[other] // 4))
        if number % 6 == 5 and number >= len(names) // 2:
            first, second = (Kill(after=draw.uniform(0.05, seconds / 2)) for _ in range(2))
        found.append(Case(procedure, (first, second)))
    return found


def damaged(procedure: Procedure, passed: dict[str, int]) -> list[Case]:
    """Each damage after a kill in the midst of the run."""
    draw = random.Random(procedure.name)
    found = []
    for name in list(DAMAGES)[:: DAMAGED[procedure.name]]:
        point = draw.choice(("after journal step_finished", "before ref moved", "after checkpoint", "after reply kept"))
        number = passed[point] * draw.randint(2, 4) // 5
        found.append(Case(procedure, (Kill(point, max(2, number)),), name))
    return found


def judged(folder: Path, case: Case, whole: Left) -> dict[str, Any]:
    """How a case went."""
    verdict: dict[str, Any] = {
        "procedure": case.procedure.name,
        "damage": case.damage,
        "kills": [asdict(kill) for kill in case.kills],
    }
    try:
        verdict["killed"], workspace = play(folder, case)
        found = left(folder, case.procedure, workspace)
        if "repl" in case.damage:  # what was lost is asked and paid for once more
            found.record = whole.record
        verdict["wrong"] = list(differences(whole, found))
        twice = asked(folder)[1]
        if "repl" not in case.damage and twice > 3 * len(verdict["killed"]):  # so many calls may be under way at once
            verdict["wrong"].append(f"{twice} questions were asked again")
    except (AssertionError, subprocess.CalledProcessError, OSError, ValueError) as error:
        verdict["wrong"] = [f"{type(error).__name__}: {error}", traceback.format_exc()]
    if not verdict["wrong"]:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    else:
        verdict |= {
            "folder": str(folder),
            "wrong": [text[:1200] for text in verdict["wrong"][:2]],
        }  # one write of a pipe
    return verdict


def at_once(folder: Path, procedure: Procedure) -> dict[str, Any]:
    """Two runs that are begun in one workspace at the same time, without a name: each has a repository of its own."""
    home = folder / "home"
    home.mkdir(parents=True)
    lay_out(home)
    children = [begin(home, words(procedure), tag=tag) for tag in "ab"]
    statuses = [ended(child) for child in children]
    made = sorted(path.name for path in (home / WORKSPACE).iterdir() if path.name != ".company")
    wrong = [] if statuses == [0, 0] and made == ["something-works", "something-works-2"] else [f"{statuses} {made}"]
    return {"procedure": procedure.name, "damage": "two runs at once", "kills": [], "wrong": wrong}


def busy(folder: Path, procedure: Procedure, whole: Left, *named: str, held: bool = True) -> dict[str, Any]:
    """Two resumes of one run at the same time: one goes on, the other is told that it is busy.

    `held`: the first stands still in its midst until the other has ended; else both begin at once, and on a busy machine one
    may find that the other has ended.
    """
    home = folder / "home"
    home.mkdir(parents=True)
    lay_out(home)
    ended(begin(home, words(procedure, "--name", "out"), Kill("after journal step_finished", 3)))
    resume = ["resume", *named, "--headless", "--plain", "--json"]
    first = begin(home, resume, Kill("after journal run_resumed", 1, signal.SIGSTOP) if held else None, "a")
    if held:
        os.waitpid(first, os.WUNTRACED)
    second = ended(begin(home, resume, tag="b"))
    if held:
        os.kill(first, signal.SIGCONT)
    statuses = [ended(first), second]
    said = (folder / "errb").read_text()
    wrong = list(differences(whole, left(folder, procedure, home / WORKSPACE)))
    expected, words_of_it = (1, f"is busy, pid {first}") if named else (2, "is under way")
    worked = [tag for tag in "ab" if " begins\n" in (folder / f"err{tag}").read_text()]
    in_turn = not held and statuses == [0, 0] and len(worked) == 1  # one had ended before the other looked
    if not (in_turn or sorted(statuses) in ([0, 1], [0, 2])) or (
        held and (second != expected or words_of_it not in said)
    ):
        wrong.append(f"{statuses} {said}")
    return {"procedure": procedure.name, "damage": "two resumes at once", "kills": [], "wrong": wrong}


def preload(folder: Path) -> None:
    """Import what a child had to: the next ones have it when they are forked."""
    for name in (folder / "imported").read_text().split():
        if name not in sys.modules and not name.startswith("git.objects.submodule"):
            with suppress(ImportError):
                importlib.import_module(name)
    gc.freeze()  # nothing of this is looked through, and so copied, in a child
    assert threading.active_count() == 1, "only a process of one thread can be forked"


def in_workers(works: list[Callable[[], dict[str, Any]]]) -> None:
    """Do the works in forked workers, each of one thread; their verdicts go to standard output."""
    children = []
    for turn in range(WORKERS):
        child = os.fork()
        if child == 0:
            for work in works[turn::WORKERS]:
                os.write(1, json.dumps(work()).encode() + b"\n")
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    assert not failed


def main() -> None:
    """The reference runs, then the cases."""
    root, share = Path(sys.argv[1]), int(sys.argv[2])
    only = sys.argv[3:]
    probe()
    instrument()
    works: list[Callable[[], dict[str, Any]]] = []
    covered: set[str] = set()
    by_turn: list[list[Callable[[], dict[str, Any]]]] = []
    for procedure in PROCEDURES:
        if only and procedure.name not in only:
            continue
        folder = root / procedure.name
        began = time.monotonic()
        _, workspace = play(folder, Case(procedure, ()))
        seconds = time.monotonic() - began
        whole = left(folder, procedure, workspace)
        preload(folder)
        passed = json.loads((folder / "passed").read_text())
        cases = cases_of(procedure, passed, seconds, share, covered)
        if procedure.name in DAMAGED:
            cases += damaged(procedure, passed)
        print(json.dumps({"reference": procedure.name, "seconds": seconds, "points": passed}), flush=True)
        by_turn.append([
            lambda at=root / f"{procedure.name}-{number}", case=case, whole=whole: judged(at, case, whole)
            for number, case in enumerate(cases)
        ])  # fmt: skip
        if procedure.name == "deep":
            by_turn.append([
                *(partial(at_once, root / f"twice-{number}", procedure) for number in range(3)),
                partial(busy, root / "busy-named", procedure, whole, "out"),
                partial(busy, root / "busy", procedure, whole),
                partial(busy, root / "race-named", procedure, whole, "out", held=False),
                partial(busy, root / "race", procedure, whole, held=False),
            ])  # fmt: skip
    works = [work for several in by_turn for work in several]
    in_workers(works)


if __name__ == "__main__":
    main()
