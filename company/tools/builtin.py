"""The tools that come with company: programs in the sandbox, and reading the step's files. Nothing runs on the host.

What a tool is: `base.py`. A program gets a copy of the files, and what it changes is gone when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from company.errors import UnsafePath
from company.llm.shapes import closed
from company.paths import safe_path
from company.sandbox import Limits, Result, Spec, broken
from company.sop.diagnostics import closest
from company.tools.base import Output, Tool, Workbench

MOST_HITS = 40
"""Lines that a search gives."""
MOST_LISTED = 200
"""Files that a list gives."""
_LONGEST_COMMAND = 100_000
"""Characters; a system takes no longer argument."""
_LINE = 200
_PATH = {"type": "string", "minLength": 1, "maxLength": 300}
_CODE = {"type": "string", "minLength": 1}
_NUMBER = {"type": "integer", "minimum": 0}


async def _python(arguments: Mapping[str, Any], bench: Workbench) -> Output:
    # Over standard input: a command line has a longest length, and holds no zero byte.
    code = arguments["code"].encode("utf-8", "replace")
    return await _run(bench, ("python", "-"), code, silent="It printed nothing: use print() to see a value.")


async def _shell(arguments: Mapping[str, Any], bench: Workbench) -> Output:
    command = arguments["command"].encode("utf-8", "replace").decode("utf-8")
    if "\0" in command or len(command) > _LONGEST_COMMAND:
        return Output("The command has a zero byte in it or is too long.", ok=False)
    return await _run(bench, ("/bin/sh", "-c", command), b"", silent="It printed nothing.")


async def _run(bench: Workbench, argv: tuple[str, ...], stdin: bytes, silent: str) -> Output:
    limits = Limits(seconds=bench.seconds, cpu_seconds=max(1, ceil(bench.seconds)))
    result = await bench.sandbox.run(Spec(argv, bench.files, stdin, limits))
    if result.status == "setup_failed":
        raise broken(result)
    streams = (("Standard output", result.stdout), ("Standard error", result.stderr))
    said = [f"{title}:\n{text.rstrip()}" for title, text in streams if text.strip()]
    return Output("\n\n".join([_ending(result, limits), *(said or [silent])]), result.exit_status == 0)


def _ending(result: Result, limits: Limits) -> str:
    words = {
        "timeout": f"It was stopped: it took longer than {limits.seconds:g} seconds.",
        "output_limit": "It was stopped: it printed too much.",
        "memory_limit": "It was stopped: it used too much memory.",
    }
    return words.get(result.status, f"Exit status {result.exit_status}.")


# --- files ------------------------------------------------------------------------------------------


async def _read(arguments: Mapping[str, Any], bench: Workbench) -> Output:
    found = _file(arguments["path"], bench)
    if isinstance(found, Output):
        return found
    path, text = found
    lines = text.splitlines()
    first, last = max(1, arguments["first_line"]), arguments["last_line"] or len(lines)
    if first > len(lines) or last < first:
        return Output(f"{path} has {len(lines)} lines; there are none from {first} to {last}.", ok=not lines)
    shown = lines[first - 1 : last]
    return Output("\n".join([f"{path}, lines {first} to {first + len(shown) - 1} of {len(lines)}:", *shown]))


def _file(given: str, bench: Workbench) -> tuple[str, str] | Output:
    """A file's path in normal form, and its text; or why there is none."""
    try:
        path = safe_path(given)
    except UnsafePath as error:
        return Output(f"{error.message}. Use a relative path such as src/main.py.", ok=False)
    content = bench.files.get(path)
    if content is None:
        inside = [one for one in bench.files if one.startswith(f"{path}/")]
        if inside:
            return Output(f"{path} is a folder; it holds {', '.join(sorted(inside)[:20])}.", ok=False)
        near = closest(path, bench.files)
        return Output(f"There is no file {path}." + (f" Did you mean {near}?" if near else ""), ok=False)
    text = _text(content)
    return Output(f"{path} is no text: {len(content)} bytes.", ok=False) if text is None else (path, text)


def _text(content: bytes) -> str | None:
    """None for what is no text."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


async def _search(arguments: Mapping[str, Any], bench: Workbench) -> Output:
    wanted = arguments["text"].casefold()
    hits = []
    count = 0
    for path in sorted(bench.files):
        for number, line in enumerate((_text(bench.files[path]) or "").splitlines(), 1):
            if wanted in line.casefold():
                count += 1
                if count <= MOST_HITS:
                    hits.append(f"{path}:{number}: {line.strip()[:_LINE]}")
    if count > MOST_HITS:
        hits.append(f"… and {count - MOST_HITS} more lines")
    return Output("\n".join(hits) or f"No line of {len(bench.files)} files has it.")


async def _list(arguments: Mapping[str, Any], bench: Workbench) -> Output:
    folder = arguments["folder"].strip().removeprefix("./").strip("/")
    folder = "" if folder == "." else folder
    paths = sorted(path for path in bench.files if not folder or path.startswith(f"{folder}/"))
    if not paths:
        return Output(f"There is no folder {folder}." if folder else "There are no files yet.", ok=not folder)
    lines = [f"{path} ({len(bench.files[path])} bytes)" for path in paths[:MOST_LISTED]]
    more = [f"… and {len(paths) - MOST_LISTED} more"] if len(paths) > MOST_LISTED else []
    return Output("\n".join(lines + more))


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "python",
            "Runs Python code in a copy of the project and gives what it prints.",
            closed(code=_CODE),
            _python,
        ),
        Tool(
            "shell",
            "Runs a shell command in a copy of the project, without network, and gives what it prints.",
            closed(command={**_CODE, "maxLength": 1000}),
            _shell,
        ),
        Tool(
            "files.read",
            "Reads a file of the project; `last_line` 0 is its end.",
            closed(path=_PATH, first_line=_NUMBER, last_line=_NUMBER),
            _read,
        ),
        Tool(
            "files.search",
            "Finds the lines of the project's files that have a text in them, letter case aside.",
            closed(text={"type": "string", "minLength": 1, "maxLength": 200}),
            _search,
        ),
        Tool(
            "files.list",
            'Lists the files of the project with their sizes; `folder` "" is all of them.',
            closed(folder={"type": "string", "maxLength": 200}),
            _list,
        ),
    )
}
