"""The command under signals, on a terminal, with closed pipes and full disks: real processes only."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from company.settings import Settings
from tests import fault_server as fs

RIGHT = '### shout.py\n```python\ndef shout(text):\n    return text.upper() + "!"\n```'
COMMAND = (sys.executable, "-m", "company")


def environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("COMPANY_", "OPENAI_"))} | more


def company(
    folder: Path, *words: str, stdin: bytes = b"", url: str = "", **more: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, input=stdin, env=environment(OPENAI_BASE_URL=url) if url else environment(), timeout=250, check=False,
        **{"capture_output": True, **more},
    )  # fmt: skip
    return subprocess.CompletedProcess(
        words, done.returncode, *((out or b"").decode() for out in (done.stdout, done.stderr))
    )


def slowly(seconds: float) -> fs.Behaviour:
    """A reply of right code that takes its time."""

    async def behave(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(fs.head())
        for letter in RIGHT:
            writer.write(fs.event(fs.piece(letter)))
            await writer.drain()
            await asyncio.sleep(seconds / len(RIGHT))
        writer.write(fs.event(fs.piece("", "stop")) + b"data: [DONE]\n\n")
        await writer.drain()

    return behave


async def interrupted(folder: Path, seconds: float, *signals: int) -> tuple[int, str]:
    """Exit status and standard error of a run that gets signals while a model answers."""
    async with fs.serving(slowly(seconds)) as server:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *("run", "a module shout.py", "--sop", "zero_shot", "--model", "openai:m", "--name", "s"),
            cwd=folder, env=environment(OPENAI_BASE_URL=server.base_url), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            while not server.requests:
                await asyncio.sleep(0.05)
                assert process.returncode is None
            for number in signals:
                await asyncio.sleep(0.3)
                process.send_signal(number)
            async with asyncio.timeout(150):
                _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, said.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_ends_after_the_call_and_resume_pays_for_nothing_twice(tmp_path: Path, number: int) -> None:
    status, said = asyncio.run(interrupted(tmp_path, 2.0, number))
    assert status == 130
    assert "Stopping after the calls that are under way" in said
    assert " steps   openai:m" not in said, "the live view is for terminals"
    assert re.search(r"code: \d+ \+ \d+ tokens", said), "the call was let end"
    assert "The run was interrupted." in said
    found = re.search(r"go on with  company (resume \S+)", said)
    assert found
    nobody = "http://127.0.0.1:9/v1"
    done = company(tmp_path, *found[1].split(), "--json", url=nobody)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["calls"] == 1


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    status, said = asyncio.run(interrupted(tmp_path, 200.0, signal.SIGINT, signal.SIGINT))
    assert status == 130
    assert "Traceback" not in said
    assert not re.search(r"code: \d+ \+ \d+ tokens", said), "the call was not waited for"
    assert "The run was interrupted." in said
    assert "company resume" in said


def on_a_terminal(folder: Path, *words: str, term: str = "xterm", stream: str = "stdout") -> str:
    """What a command that ends well shows on a terminal of 80 by 24."""
    master, slave = pty.openpty()
    settings = environment(TERM=term, COLUMNS="80", LINES="24", NO_COLOR="1")
    shown: dict[str, Any] = {stream: slave}
    with subprocess.Popen([*COMMAND, *words], cwd=folder, env=settings, **shown) as process:
        os.close(slave)
        said = b""
        while piece := _read(master):
            said += piece
    os.close(master)
    assert process.returncode == 0
    return said.decode()


def test_the_live_view_on_a_terminal_and_none_for_a_dumb_one(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    for term, drawn in (("xterm", True), ("dumb", False)):
        words = ("run", "x", "--sop", "zero_shot", "--model", "script:script.yaml", "--name", term)
        text = on_a_terminal(tmp_path, *words, term=term, stream="stderr")
        assert ("✓ code" in text) is drawn
        assert ("code: engineer begins" in text) is not drawn
        assert "Delivered and accepted." in text
        assert not re.search(r"\x1b\[[\d;]*3\d[;m]", text), "NO_COLOR is respected"


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = company(tmp_path, "sop", "show", "waterfall", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_clear_error(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = company(tmp_path, "sop", "list", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def test_a_terminal_that_is_not_utf8_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "sop", "show", "waterfall"],
        cwd=tmp_path, env=environment(PYTHONIOENCODING="ascii"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\\u2192" in done.stdout


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["run"], b"", "error: the requirement is empty"),
        (["run", "-"], b" \n", "error: the requirement is empty"),
        (["run", "-"], b"caf\xe9", "error: the requirement is not UTF-8 text (byte 3)"),
        (["run", "x", "--input", "requirement=y"], b"", "error: the requirement is given twice"),
        (["run", "x", "--input", "a=1", "--input", "a=2"], b"", "error: `--input a` is given twice"),
        (["run", "x", "--limit", "minutes=inf"], b"", "must be more than 0, and finite"),
        (["run", "x", "--limit", "calls=many"], b"", "the limit calls must be a number, not `many`"),
        (["run", "x", "--input", "a"], b"", "`--input a` is not K=V"),
    ],
)
def test_arguments_that_cannot_be_meant(tmp_path: Path, words: list[str], stdin: bytes, said: str) -> None:
    done = company(tmp_path, *words, stdin=stdin)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stdout == ""


def test_a_procedure_without_a_requirement_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "sop: 1\ninputs: {topic: str}\nsteps:\n  code: {role: engineer, prompt: look, in: topic, out: [SourceFile]}\n"
    )
    (tmp_path / "prompts" / "engineer").mkdir(parents=True)
    (tmp_path / "prompts" / "engineer" / "look.md.j2").write_text("{{ topic }}")
    done = company(tmp_path, "run", "--sop", "own.yaml", "--input", "topic=x", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "delivered"


def test_what_a_procedure_of_a_stranger_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text(
        'sop: 1\ndescription: "a\\e[2Jb"\nsteps:\n  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}\n'
    )
    done = company(tmp_path, "sop", "show", "evil.yaml")
    assert done.stdout.startswith("evil: a [2Jb\n")
    (tmp_path / "bad.yaml").write_text('sop: 1\n"ke\\e[2Jy": 1\nsteps: {}\n')
    done = company(tmp_path, "sop", "check", "bad.yaml", "none.yaml", "waterfall")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "there is no procedure at `none.yaml`" in done.stderr
    assert done.stdout.startswith("waterfall: checks")


def test_each_role_has_its_tokens_time_and_money(tmp_path: Path) -> None:
    async def run() -> str:
        async with fs.serving(fs.ok(RIGHT)) as server:
            provider = f'[providers.mine]\nbase_url = "{server.base_url}"\nprice = {{input = 1000, output = 2000}}\n'
            (tmp_path / "company.toml").write_text(provider)
            words = ("run", "x", "--sop", "zero_shot", "--model", "mine:m", "--name", "s", "--json")
            done = await asyncio.to_thread(company, tmp_path, *words)
            assert done.returncode == 0, done.stderr
            outcome = json.loads(done.stdout)
            paid = (outcome["prompt_tokens"] * 1000 + outcome["completion_tokens"] * 2000) / 1e6
            assert outcome["cost_usd"] == pytest.approx(paid)
            assert re.search(rf"engineer +1 +{outcome['prompt_tokens']} .*\${paid:.4f}\n", done.stderr)
            return done.stderr

    assert max(map(len, asyncio.run(run()).split("role  ")[1].splitlines())) <= 80


def test_show_lists_and_prints_what_a_run_made(tmp_path: Path) -> None:
    tabbed = "### shout.py\n```python\ndef shout(text):\n\treturn '\x1b[31m' + text\n```"
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": tabbed}]))
    words = ("run", "a module shout.py", "--sop", "zero_shot", "--model", "script:script.yaml", "--name", "s")
    assert company(tmp_path, *words).returncode == 0
    listed = company(tmp_path, "show", "s").stdout
    assert {"requirement", "sop", "compile", "shout.py"} <= {line.split()[0] for line in listed.splitlines()}
    assert company(tmp_path, "show", "s", "shout.py").stdout == "def shout(text):\n\treturn '\ufffd[31m' + text\n"
    assert company(tmp_path, "show", "s", "requirement").stdout == "a module shout.py\n"
    assert company(tmp_path, "show", "s", "compile").stdout.startswith("# compile\n")
    done = company(tmp_path, "show", "s", "shoot.py")
    assert done.returncode == 2
    assert "did you mean `shout.py`?" in done.stderr


def test_no_runs_is_said_and_is_no_data(tmp_path: Path) -> None:
    done = company(tmp_path, "runs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "there are no runs in workspace\n")


def test_a_damaged_model_file_is_named_and_stops_no_list(tmp_path: Path) -> None:
    (tmp_path / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf").write_bytes(b"GGUF cut")
    settings = environment(COMPANY_MODELS=str(tmp_path))
    for words in (("model", "list"), ("doctor",)):
        done = subprocess.run(
            [*COMMAND, *words], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "damaged" in done.stdout
        assert "company model pull qwen2.5-coder-0.5b" in done.stdout


def test_the_settings_that_init_writes_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert company(tmp_path, "init", "mine").returncode == 0
    text = (tmp_path / "mine" / "company.toml").read_text()
    monkeypatch.chdir(tmp_path / "mine")
    assert Settings() == Settings.model_construct(), "everything is commented out"
    (tmp_path / "mine" / "company.toml").write_text(re.sub(r"(?m)^# (\[|\w+ = )", r"\1", text))
    written = Settings()
    assert written.tiers == {"small": "local:qwen2.5-coder-0.5b"}
    assert written.providers["mine"].key == "MINE_API_KEY"
    assert set(written.mcp) == {"notes", "issues"}
    assert written.remote == "git@HOST:TEAM/{name}.git"
    examples = {"tiers": {}, "providers": {}, "mcp": {}, "remote": "", "state": Settings.model_construct().state}
    assert written.model_copy(update=examples) == Settings.model_construct()


REQUIREMENT = (
    'A module shout.py with a function shout(text) that returns it in capitals with "!": shout("hi") returns "HI!".'
)
FULL = """
free=$1; shift
mkdir full/ws
head -c $(( $(df --output=avail -B1 full | tail -1) - free )) /dev/zero >full/ballast
"$@" run --name s --json --model script:script.yaml --sop waterfall --workspace full/ws -- "$REQUIREMENT" >first 2>said; echo $? >status
ls -A full/ws >left
rm full/ballast
if grep -q 'give the command again' said
then "$@" run --name s --json --model script:script.yaml --sop waterfall --workspace full/ws -- "$REQUIREMENT" >second
else "$@" resume --json --workspace full/ws >second; fi
"""


@pytest.mark.parametrize("free", [5_000, 20_000, 60_000, 120_000, 200_000, 300_000, 400_000, 500_000])
def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(tmp_path: Path, free: int) -> None:
    """A real one, of 3 MB in a namespace of its own; `free` bytes are left when the run begins."""
    script = [
        {"step": "prd", "reply": PRD},
        {"step": "design", "reply": {"approach": "One function.", "entry_point": "", "dependencies": []}},
        {"step": "design", "reply": INTERFACE},
        {"step": "tests", "reply": {"calls": [CALL], "commands": []}},
        {"step": "code", "reply": RIGHT.replace("### shout.py\n", "")},
    ]
    (tmp_path / "script.yaml").write_text(yaml.safe_dump(script))
    (tmp_path / "full").mkdir()
    disk = ("bwrap", "--dev-bind", "/", "/", "--size", "3000000", "--tmpfs", str(tmp_path / "full"))
    words = [*disk, "bash", "-uc", FULL, "bash", str(free), *COMMAND]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=environment(REQUIREMENT=REQUIREMENT),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    said = (tmp_path / "said").read_text()
    assert (tmp_path / "status").read_text() == "1\n", done.stderr + said
    assert "free some space" in said
    assert "Traceback" not in said
    outcome = json.loads((tmp_path / "second").read_text())
    assert (outcome["status"], outcome["accepted"], outcome["calls"]) == ("delivered", True, 5)
    if "give the command again" in said:
        assert (tmp_path / "left").read_text() == ".company\n", "what could not begin leaves no repository"


PRD = {
    "title": "Shout", "goals": ["say things loudly"], "user_stories": ["As a user, I want capitals"],
    "requirements": [{"id": "R1", "priority": "must", "text": "shout returns capitals"}],
    "acceptance_criteria": ["it is loud"], "unclear": [],
}  # fmt: skip
INTERFACE = {
    "purpose": "Says things loudly.", "depends_on": [],
    "parts": [{"signature": "def shout(text)", "purpose": "Capitals and a mark."}],
}  # fmt: skip
CALL = {"imports": "from shout import shout", "expression": 'shout("")', "expected": '"!"'}
