"""`company doctor` and `company init`: what this machine can do, and a folder of one's own to edit.

What is shipped: `sop/library.py`. The sandbox's own probe: `sandbox/choose.py`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from company.errors import CompanyError, ModelError, UsageError, extra

if TYPE_CHECKING:
    from company.settings import Settings

_TOML = """\
# Settings of `company` for this folder. Everything here is optional; what stands behind `#` is the default.

# model = "local:qwen2.5-coder-1.5b"   # of every step that names none
# temperature = 0.0
# max_tokens = 2048                    # longest reply of a step that sets none
# step_timeout = 3600.0                # seconds of a step that sets none
# test_seconds = 60.0                  # of one test run or command in the sandbox
# threads = 0                          # of the embedded model; 0 is one for each core
# slots = 1                            # requests that the embedded model works on at once
# context = 8192                       # tokens of prompt and reply of one request to the embedded model
# state = "postgresql://USER@HOST/DB"  # a team's runs are kept there; by default in the workspace's folder
# remote = "git@HOST:TEAM/{name}.git"  # each run's branch is pushed there; by default nowhere

# [tiers]                              # what `model: small` means in a procedure
# small = "local:qwen2.5-coder-0.5b"

# [providers.mine]                     # then: --model mine:NAME
# base_url = "http://127.0.0.1:8080/v1"
# key = "MINE_API_KEY"                 # where the key is: a variable, file:PATH or keyring:SERVICE/USER
# key_header = "api-key"               # the header of the key; by default Authorization, as a bearer token
# structured = "schema"                # or shape, tool, json, prompt: how it is asked for JSON; by default what was found out
# temperature = true                   # false: its models take none, as many that reason
# max_tokens_as = "max_tokens"         # what it calls the bound of a reply
# seed_as = "seed"                     # what it calls the seed; "": none is sent
# stream_options = true                # false: it refuses that field
# parallel = 4                         # requests at the same time
# deadline = 1800.0                    # seconds of one whole call
# context = 32768                      # tokens of prompt and reply together; unknown by default
# price = {input = 0.15, output = 0.60}   # US dollars for a million tokens

# [mcp.notes]                          # a server of tools; a role is granted mcp.notes or mcp.notes.TOOL
# command = "notes-server"             # started on this machine, outside the sandbox, when a step needs it
# args = ["--folder", "notes"]
# env = {TOKEN = "NOTES_TOKEN"}        # its variable and the environment variable that holds the value
# deadline = 60.0                      # seconds of one call

# [mcp.issues]
# url = "https://issues.example/mcp"   # one that runs already
# key = "ISSUES_TOKEN"                 # where the bearer token is, as above
"""
_README = """\
# A company of your own

`sops/` are the procedures, `roles/` who works, `prompts/` what they are asked. `company run` in this folder, or below it, takes these
files before the shipped ones; delete what you do not want to change.

    company sop new my_own              # a procedure of your own, from one that there is
    company sop check
    company run "a command line tool that …" --sop waterfall
    company serve                       # or all of it in the browser
"""


def add_to(app: typer.Typer) -> None:
    """Add the two commands."""
    app.command()(doctor)
    app.command()(init)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """See what this machine can do, and what to do where it cannot."""
    needed, told = True, []
    for name, state, detail in _findings():
        mark = {True: "ok", False: "MISSING", None: "note"}[state]
        needed = needed and state is not False
        told.append({"name": name, "state": mark.lower(), "detail": detail})
        if not as_json:
            print(f"{name:<12} {mark:<8} {detail}")
    if as_json:
        print(json.dumps({"ok": needed, "findings": told}, ensure_ascii=False))
    else:
        print("everything that a run needs is here" if needed else "a run does not work here yet")
    if not needed:
        sys.exit(1)


def _findings() -> Iterator[tuple[str, bool | None, str]]:
    import importlib.util

    import psutil

    from company.llm import catalogue, runtime
    from company.llm.download import find, models_dir
    from company.llm.machine import usable_cores
    from company.sandbox import probe

    yield "python", True, sys.version.split()[0]
    yield from _project()
    git = shutil.which("git")
    version = subprocess.run([git, "--version"], capture_output=True, text=True, check=False).stdout if git else ""
    yield "git", bool(git), version.strip() or "install git 2.32 or newer"
    try:
        yield "sandbox", True, probe().name
    except CompanyError as error:
        yield "sandbox", False, f"{error.message}; {error.hint}"
    if importlib.util.find_spec(runtime.PACKAGE):
        yield "runtime", *_runtime()
    else:
        yield "runtime", None, "no embedded model: pip install xllamacpp"
    for model in catalogue.MODELS.values():
        try:
            found = find(model)
        except ModelError as error:
            yield "model", None, f"{model.name}: {error.message}; {error.hint}"
            continue
        detail = (
            str(found) if found else f"not fetched yet ({model.bytes / 1e6:.0f} MB): company model pull {model.name}"
        )
        yield "model", True if found else None, f"{model.name}: {detail}"
    memory = psutil.virtual_memory()
    enough = memory.available > 3e9
    less = "" if enough else ": little for the larger model; end other programs, or take local:qwen2.5-coder-0.5b"
    yield "memory", enough or None, f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free{less}"
    yield "cores", True, f"{usable_cores()} usable"
    home = models_dir()
    while not home.exists():
        home = home.parent
    free = shutil.disk_usage(home).free
    less = "" if free > 3e9 else ": too little to fetch the models; COMPANY_MODELS names a folder on another disk"
    yield "disk", free > 3e9 or None, f"{free / 1e9:.1f} GB free at {home}{less}"


def _runtime() -> tuple[bool | None, str]:
    """Which build of the embedded model's runtime is used, and whether another may be faster."""
    from company.llm import runtime

    what = f"{runtime.PACKAGE} {runtime.version()}, for the embedded model"
    kept = runtime.kept()
    if kept and runtime.built_for(kept):
        return True, f"{what}, built for this processor"
    if kept:
        return (
            None,
            f"{what}; the one that was built for this processor does not load: company model build makes it anew",
        )
    if unused := runtime.unused():
        return True, f"{what}; a build for this processor ({', '.join(unused)}) may be faster: company model build"
    return True, what


def _project() -> Iterator[tuple[str, bool | None, str]]:
    """The project's settings and the servers of tools that it declares."""
    import importlib.util

    from company.settings import load_settings
    from company.sop.library import SETTINGS, own_folder

    folder = own_folder()
    try:
        settings = load_settings()
    except CompanyError as error:
        yield "settings", False, f"{error}; {error.hint}".removesuffix("; ")
        return
    if folder and (folder / SETTINGS).is_file():
        yield "settings", True, str(folder / SETTINGS)
    if settings.state.get_secret_value():
        yield "state", *_state(settings)
    for name, server in settings.mcp.items():
        if not importlib.util.find_spec("langchain_mcp_adapters"):
            yield "tools", None, f"mcp.{name} needs an extra: {extra('mcp')}"
        elif server.command and not shutil.which(server.command):
            yield "tools", None, f"mcp.{name}: there is no program `{server.command}`"
        else:
            yield "tools", True, f"mcp.{name}: {server.command or server.url}"


def _state(settings: Settings) -> tuple[bool, str]:
    """Whether the team's database can be used."""
    from company.postgres import Postgres
    from company.settings import place_of

    try:
        with Postgres(Path.cwd() / ".company", settings.state, place_of("state")) as database:
            return True, database.about()
    except CompanyError as error:
        return False, f"{error}; {error.hint}"


def init(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Make a folder of your own: the shipped procedures, roles and prompts to edit, and a company.toml."""
    from company.paths import disk_errors
    from company.sop.library import shipped_folder

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("there is something here already, and nothing is ever overwritten", place=str(folder))
    with disk_errors("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("sops", "roles", "prompts"):
            shutil.copytree(shipped_folder() / name, folder / name)
        (folder / "company.toml").write_text(_TOML, "utf-8")
        (folder / "README.md").write_text(_README, "utf-8")
    print(
        f'made {folder}: edit sops/, roles/ and prompts/, then in it `company run "…"`, or `company serve` for the studio'
    )
