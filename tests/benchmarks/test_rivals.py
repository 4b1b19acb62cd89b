"""The door to the model and what a rival leaves, with a stand-in for ChatDev in the real sandbox: no rival is needed."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests import fault_server as fs
from tests.scripts_of import load

counting = load("rivals/counting")
run = load("rivals/run")

STAND_IN = """
import json, os, pathlib, socket, sys, urllib.error, urllib.request

def ask(path="/chat/completions", **more):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": sys.argv[2]}], **more}).encode()
    with urllib.request.urlopen(urllib.request.Request(os.environ["BASE_URL"] + path, body)) as answer:
        return answer.read().decode()

def refused(deed):
    try:
        deed()
    except (OSError, urllib.error.HTTPError) as error:
        return type(error).__name__

left = pathlib.Path(__file__).parent / "WareHouse/project_1"
(left / "pkg").mkdir(parents=True)
(left / "pkg/a.py").write_text(json.loads(ask())["choices"][0]["message"]["content"])
(left / ".hidden.py").write_text("")
(left / "passwd.py").symlink_to("/etc/passwd")
(left / "root").symlink_to("/")
(left / "seen.json").write_text(json.dumps({
    "streamed": ask(stream=True),
    "with usage": ask(stream=True, stream_options={"include_usage": True}),
    "fails": refused(ask),
    "another path": refused(lambda: ask("/embeddings")),
    "direct": refused(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])))),
    "written": refused(lambda: pathlib.Path(__file__).write_text("")),
    "environment": " ".join(os.environ.values()),
}))
sys.exit(7)
"""


def test_a_rival_has_a_model_and_nothing_else(tmp_path: Path) -> None:
    home, out = tmp_path / "ChatDev-1", tmp_path / "out"
    (home / ".venv/bin").mkdir(parents=True)
    (home / ".venv/bin/python").symlink_to(Path(sys.executable).resolve())
    (home / "WareHouse").mkdir()
    (home / "run.py").write_text(STAND_IN)

    async def measured() -> tuple[dict[str, Any], list[fs.Seen]]:
        script = (fs.whole("x = 1\ny = 2\n"), fs.ok("a", "b"), fs.ok("c"), fs.error("500 Oh"))
        async with fs.serving(*script) as faults:
            port = faults.base_url.split(":")[-1].split("/")[0]
            rest = (port, faults.base_url, "secret", "small", out, 1.0, None)
            return await asyncio.to_thread(run.measure, "chatdev", home, *rest), faults.requests

    found, requests = asyncio.run(measured())
    assert {request.body["model"] for request in requests} == {"small"}
    assert {request.headers["authorization"] for request in requests} == {"Bearer secret"}
    assert [path.relative_to(out / "code").as_posix() for path in sorted((out / "code").rglob("*"))] == [
        "pkg",
        "pkg/a.py",
        "seen.json",
    ]
    seen = json.loads((out / "code/seen.json").read_text())
    assert "secret" not in seen.pop("environment")
    assert '"usage"' not in seen.pop("streamed")
    assert '"usage"' in seen.pop("with usage")
    assert seen == {
        "fails": "HTTPError",
        "another path": "HTTPError",
        "direct": "ConnectionRefusedError",
        "written": "OSError",
    }
    usage = fs.USAGE
    assert found.pop("seconds") > 0
    assert found == {
        "rival": "chatdev",
        "version": "ChatDev-1",
        "model": "small",
        "calls": 4,
        "failed_calls": 1,
        "uncounted_calls": 1,
        "prompt_tokens": 3 * usage["prompt_tokens"],
        "completion_tokens": 3 * usage["completion_tokens"],
        "files": 1,
        "lines": 2,
        "ended": "exit",
        "exit_status": 7,
    }
    calls = [json.loads(line) for line in (out / "calls.jsonl").read_text().splitlines()]
    assert [call["status"] for call in calls] == [200, 200, 200, 500]
    assert calls[0]["asked"]["messages"][0]["content"].isdigit()


def test_a_rival_that_does_not_end_is_stopped_and_what_it_left_counts(tmp_path: Path) -> None:
    home, out = tmp_path / "ChatDev-1", tmp_path / "out"
    (home / ".venv/bin").mkdir(parents=True)
    (home / ".venv/bin/python").symlink_to(Path(sys.executable).resolve())
    (home / "WareHouse").mkdir()
    (home / "run.py").write_text(
        f"import os, time\nos.makedirs('{run.WORK}/WareHouse/project_1')\n"
        f"open('{run.WORK}/WareHouse/project_1/a.py', 'w').write('x = 1\\n')\ntime.sleep(60)\n"
    )
    found = run.measure("chatdev", home, "", "http://127.0.0.1:9/v1", "", "small", out, 0.05, None)
    assert (found["ended"], found["exit_status"], found["files"], found["calls"]) == ("timeout", None, 1, 0)


def test_a_link_is_no_folder_of_code(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "elsewhere/project").mkdir(parents=True)
    (tmp_path / "elsewhere/project/a.py").write_text("")
    (tmp_path / "work/workspace").symlink_to(tmp_path / "elsewhere")
    run.collect(tmp_path / "work", ("workspace/project",), tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []
