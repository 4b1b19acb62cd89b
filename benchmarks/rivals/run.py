"""A rival on the projects' requirements, judged as ours are: python benchmarks/rivals/run.py RIVAL HOME PROJECT … --model NAME --out DIR

Runs it in a sandbox in which there is a model and no network, takes the code that it left, and prints two JSON lines a
project: what it cost, and what `accept.py` says. Counting: `counting.py`. Installing the rivals: `README.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counting import Counting

from company.errors import CompanyError, SandboxUnavailable
from company.sandbox import Limits, seccomp
from company.sandbox.interpreter import SYSTEM
from company.sandbox.process import Descriptors, Outcome, watch

HERE = Path(__file__).resolve().parent
PORT = 18080
MODEL_URL = f"http://127.0.0.1:{PORT}/v1"
"""What every rival is told, inside."""
WORK = "/work"
"""The one writable folder inside; beside it only what a rival names itself."""


@dataclass(frozen=True)
class Rival:
    """How a rival is started, and where it leaves its code."""

    command: Callable[[Path, str, str], tuple[str, ...]]
    """From its home, the requirement and the model's name; the first word is run by its own Python."""
    left: tuple[str, ...]
    """Where its code is, below the working folder: the first pattern that finds a folder holds."""
    distribution: str = ""
    """Its name on the package index: HOME is then its environment. Empty: HOME is a checkout with `.venv` in it."""
    files: Callable[[str, str], Mapping[str, str]] = lambda requirement, model: {}
    """What must lie in the working folder, from the requirement and the model's name."""
    stdin: bytes = b""
    writable: tuple[str, ...] = ()
    """Folders of HOME that it insists on writing to: they are the working folder's of that name."""


RIVALS = {
    "gpt-engineer": Rival(
        distribution="gpt_engineer",
        command=lambda home, requirement, model: (f"{home}/bin/gpt-engineer", "project", "--model", model),
        files=lambda requirement, model: {"project/prompt": requirement},
        stdin=b"y\n" + b"n\n" * 9,  # run what was written; send nobody a review
        left=("project",),
    ),
    "metagpt": Rival(
        distribution="metagpt",
        command=lambda home, requirement, model: (f"{home}/bin/metagpt", requirement, "--project-name", "project"),
        files=lambda requirement, model: {
            "home/.metagpt/config2.yaml": json.dumps(  # JSON is YAML
                {"llm": {"api_type": "openai", "base_url": MODEL_URL, "api_key": "none", "model": model}}
            )
        },
        left=("workspace/project/project", "workspace/project"),
    ),
    "chatdev": Rival(
        # It knows a few models by name alone and refuses others; which one answers is the door's business.
        command=lambda home, requirement, model: (
            *(f"{home}/run.py", "--task", requirement, "--name", "project", "--model", "GPT_4O"),
        ),
        left=("WareHouse/project_*",),
        writable=("WareHouse",),
    ),
}


def prefix(python: Path) -> Path:
    """Where the interpreter behind an environment is installed."""
    return Path(os.path.realpath(python)).parents[1]


async def confined(
    rival: Rival,
    home: Path,
    requirement: str,
    model: str,
    work: Path,
    socket: Path,
    limits: Limits,
    tokens: Path | None,
) -> Outcome:
    """Run it with nothing but its own home, the system's programs, one folder to write to and the model's socket."""
    program, tool = seccomp.program(), shutil.which("bwrap")
    if program is None or tool is None:
        raise SandboxUnavailable("a rival runs what it wrote, and there is no sandbox", hint="company doctor")
    python = home / ("bin/python" if rival.distribution else ".venv/bin/python")
    shown = [place for place in (prefix(python), home) if not any(place.is_relative_to(part) for part in SYSTEM)]
    environment = {
        "PATH": f"{python.parent}:/usr/bin:/bin", "HOME": f"{WORK}/home", "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1", "TIKTOKEN_CACHE_DIR": "/tokens",
        "GIT_AUTHOR_NAME": "rival", "GIT_AUTHOR_EMAIL": "rival@localhost",
        "GIT_COMMITTER_NAME": "rival", "GIT_COMMITTER_EMAIL": "rival@localhost",
        # Each of them reads another one.
        "OPENAI_API_KEY": "none", "OPENAI_API_BASE": MODEL_URL, "OPENAI_BASE_URL": MODEL_URL, "BASE_URL": MODEL_URL,
    }  # fmt: skip

    def arguments(descriptors: Descriptors) -> Iterator[str]:
        yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL")
        yield from ("--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--die-with-parent", "--new-session")
        yield from ("--seccomp", str(descriptors.data(program)), "--clearenv")
        yield from (word for key, value in environment.items() for word in ("--setenv", key, value))
        for place in SYSTEM:
            if place.is_symlink():
                yield from ("--symlink", str(place.readlink()), str(place))
            elif place.is_dir():
                yield from ("--ro-bind", str(place), str(place))
        yield from ("--proc", "/proc", "--dev", "/dev")
        for place in ("/dev/shm", "/tmp"):
            yield from ("--perms", "1777", "--size", str(64 << 20), "--tmpfs", place)
        yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")
        users = str(descriptors.data(f"rival:x:1000:1000::{WORK}/home:/bin/sh\n".encode()))
        yield from ("--ro-bind-data", users, "/etc/passwd")
        for place in (*shown, *((tokens,) if tokens else ())):
            yield from ("--ro-bind", str(place), "/tokens" if place == tokens else str(place))
        yield from ("--bind", str(work), WORK, "--ro-bind", str(socket), "/model")
        for name in rival.writable:
            (work / name).mkdir()
            yield from ("--bind", str(work / name), str(home / name))
        yield from ("--ro-bind", str(HERE / "relay.py"), "/relay.py", "--remount-ro", "/", "--chdir", WORK)

    with Descriptors() as descriptors:
        return await watch(
            (
                *(tool, *arguments(descriptors), "--"),
                *("prlimit", f"--nproc={limits.processes}", f"--fsize={limits.file_mb << 20}", "--core=0"),
                *(str(python), "/relay.py", "/model", str(PORT)),
                *(str(python), *rival.command(home, requirement, model)),
            ),
            environment={},
            limits=limits,
            stdin=rival.stdin,
            descriptors=descriptors,
        )


def collect(work: Path, patterns: tuple[str, ...], code: Path) -> None:
    """The files that a rival left, without hidden ones and without any link: a link may lead out of its folder."""
    code.mkdir()
    found = (path for pattern in patterns for path in sorted(work.glob(pattern)))
    root = next(
        (path for path in found if path.is_dir() and path.resolve() == work.resolve() / path.relative_to(work)), None
    )
    for folder, folders, names in os.walk(root) if root else ():
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            if path.is_file() and not path.is_symlink():
                target = code / path.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def version(rival: Rival, home: Path) -> str:
    """The installed distribution's, else the name of the checkout's folder."""
    found = next(home.glob(f"lib/python3*/site-packages/{rival.distribution}-*.dist-info"), None)
    return found.name.removesuffix(".dist-info").rpartition("-")[2] if rival.distribution and found else home.name


def measure(
    name: str,
    home: Path,
    requirement: str,
    base_url: str,
    key: str,
    model: str,
    out: Path,
    minutes: float,
    tokens: Path | None,
) -> dict[str, Any]:
    """One run. Below `out` stay the code, every call with what was said, the log, and the rival's own folder.

    Raises:
        FileExistsError: `out` is there already.
        SandboxUnavailable: there is none.
    """
    rival, work = RIVALS[name], out / "work"
    for path, text in {"home/.keep": "", **rival.files(requirement, model)}.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(text, "utf-8")
    limits = Limits(seconds=minutes * 60, memory_mb=4096, output_bytes=64 << 20, processes=512, file_mb=64)
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        socket = Path(folder, "model")
        with Counting(socket, base_url, key, model) as door:
            threading.Thread(target=door.serve_forever, daemon=True).start()
            outcome = asyncio.run(confined(rival, home, requirement, model, work, socket, limits, tokens))
            door.shutdown()
    (out / "log.txt").write_bytes(outcome.stdout + outcome.stderr)
    (out / "calls.jsonl").write_text("".join(json.dumps(asdict(call)) + "\n" for call in door.calls), "utf-8")
    collect(work, rival.left, out / "code")
    python = [path.read_bytes() for path in sorted((out / "code").rglob("*.py"))]
    return {
        "rival": name,
        "version": version(rival, home),
        "model": model,
        "seconds": round(outcome.seconds, 1),
        **door.totals(),
        "files": len(python),
        "lines": sum(len(text.splitlines()) for text in python),
        "ended": outcome.reason,
        "exit_status": outcome.exit_code if outcome.reason == "exit" else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rival", choices=sorted(RIVALS))
    parser.add_argument("home", type=Path, help="its environment; of chatdev the checkout, with `.venv` in it")
    parser.add_argument("projects", type=Path, nargs="+", help="folders with requirement.txt and acceptance.py")
    parser.add_argument("--model", required=True, help="as the endpoint calls it; the endpoint is in OPENAI_BASE_URL")
    parser.add_argument("--out", type=Path, required=True, help="a folder for what is kept, one a project in it")
    parser.add_argument("--minutes", type=float, default=60, help="wall time of one run")
    parser.add_argument("--tokens", type=Path, help="tiktoken's cache: there is no network to fetch it over")
    arguments = parser.parse_args()
    base_url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY", "none")
    if not base_url:
        parser.error("OPENAI_BASE_URL is not set; it is the endpoint, such as http://127.0.0.1:8080/v1")
    tokens = arguments.tokens.resolve() if arguments.tokens else None
    for project in arguments.projects:
        out = arguments.out.resolve() / project.name
        out.mkdir(parents=True)
        requirement = (project / "requirement.txt").read_text("utf-8").strip()
        try:
            found = measure(
                arguments.rival, arguments.home.absolute(), requirement, base_url, key, arguments.model, out,
                arguments.minutes, tokens,
            )  # fmt: skip
        except CompanyError as error:
            parser.exit(5, f"error: {error}\n")
        print(json.dumps({"project": project.name, **found}), flush=True)
        subprocess.run([sys.executable, HERE.parent / "accept.py", project, out / "code", "--json"], check=True)


if __name__ == "__main__":
    main()
