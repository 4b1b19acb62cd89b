"""The built-in tools, in a real sandbox: what a model is told of what it asked for, sensible or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from company.errors import SandboxUnavailable
from company.sandbox import Result, Sandbox, Spec
from company.tools.base import MOST, Output, Workbench, cut
from company.tools.builtin import TOOLS


def call(name: str, bench: Workbench, **arguments: Any) -> Output:
    return asyncio.run(TOOLS[name].call(arguments, bench))


def test_python_runs_at_the_root_of_the_files(bench: Workbench) -> None:
    code = "import os\nfrom src.words import count\nprint(count('a b c'), sorted(os.listdir()))"
    output = call("python", bench, code=code)
    assert output == Output("Exit status 0.\n\nStandard output:\n3 ['logo.png', 'main.py', 'notes.md', 'src']", ok=True)


def test_a_program_that_fails_says_how(bench: Workbench) -> None:
    output = call("python", bench, code="print(1)\nraise SystemExit('no')")
    assert not output.ok
    assert output.text == "Exit status 1.\n\nStandard output:\n1\n\nStandard error:\nno"
    assert "ZeroDivisionError" in call("python", bench, code="1 / 0").text
    assert "use print()" in call("python", bench, code="1 + 1").text


@pytest.mark.parametrize("code", ["print('\x00')", "print('\ud800')", "#" * 300_000 + "\nprint(7)"])
def test_code_that_no_command_line_could_carry(bench: Workbench, code: str) -> None:
    assert call("python", bench, code=code).text.startswith("Exit status ")


def test_what_a_program_changes_is_gone_and_no_network_is_there(bench: Workbench) -> None:
    assert call("shell", bench, command="rm main.py; echo x > new; ls; pwd").text.endswith(
        "logo.png\nnew\nnotes.md\nsrc\n/box"
    )
    assert "main.py" in call("shell", bench, command="ls").text
    assert set(bench.files) == {"main.py", "src/words.py", "logo.png", "notes.md"}
    reached = call("python", bench, code="import socket\nsocket.create_connection(('192.0.2.1', 9), 1)")
    assert not reached.ok
    assert "unreachable" in reached.text


def test_a_shell_is_a_shell(bench: Workbench) -> None:
    assert call("shell", bench, command="python -c 'import main; main.main()' | sed s/2/two/ && exit 3").text == (
        "Exit status 3.\n\nStandard output:\ntwo"
    )
    assert "zero byte" in call("shell", bench, command="echo \x00").text


def test_a_program_that_hangs_is_stopped(bench: Workbench) -> None:
    output = call("python", replace(bench, seconds=1.0), code="print('begun', flush=True)\nwhile True: pass")
    assert not output.ok
    assert output.text == "It was stopped: it took longer than 1 seconds.\n\nStandard output:\nbegun"


def test_output_is_bounded_head_and_tail_kept(bench: Workbench) -> None:
    output = call("python", bench, code="print('A' + 'x' * 100_000 + 'Z')")
    assert len(output.text) < MOST + 100
    assert output.text.startswith("Exit status 0.\n\nStandard output:\nAxxx")
    assert output.text.endswith("xxxZ")
    assert "96035 characters left out" in output.text
    endless = call("shell", bench, command="yes")
    assert endless.text.startswith("It was stopped: it printed too much.")
    assert not endless.ok


def test_a_sandbox_that_fails_is_no_result(bench: Workbench) -> None:
    class Broken:
        name = "broken"

        async def run(self, spec: Spec) -> Result:
            return Result("setup_failed", None, "", "no namespaces", 0.0, b"", self.name)

    sandbox: Sandbox = Broken()
    with pytest.raises(SandboxUnavailable, match="no namespaces"):
        call("python", replace(bench, sandbox=sandbox), code="1")


def test_arguments_that_do_not_fit_are_told_and_nothing_runs(bench: Workbench) -> None:
    assert call("python", bench) == Output("This call cannot be made: arguments.code is missing.", ok=False)
    assert "arguments.code must be text" in call("python", bench, code=["print(1)"]).text
    assert "there is no arguments.timeout" in call("python", bench, code="1", timeout=3).text
    assert "must be at most 1000 characters" in call("shell", bench, command="x" * 1001).text


# --- files ------------------------------------------------------------------------------------------


def test_a_file_is_read_whole_or_in_part(bench: Workbench) -> None:
    whole = call("files.read", bench, path="./src/words.py", first_line=0, last_line=0)
    assert whole.text == "src/words.py, lines 1 to 2 of 2:\ndef count(text):\n    return len(text.split())"
    part = call("files.read", bench, path="main.py", first_line=4, last_line=99)
    assert part.text == "main.py, lines 4 to 5 of 5:\ndef main():\n    print(count('a b'))"
    assert not call("files.read", bench, path="main.py", first_line=6, last_line=0).ok


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../secret", "has a part made of dots"),
        ("/etc/passwd", "is absolute"),
        ("src/../../etc/passwd", "has a part made of dots"),
        (".git/config", "git's own folder"),
        ("~/x", "starts with `~`"),
        ("a\x00b", "invisible character"),
        ("main", "Did you mean main.py?"),
        ("src", "is a folder; it holds src/words.py"),
        ("logo.png", "is no text: 6 bytes"),
        (".company/run.json", "There is no file .company/run.json."),
    ],
)
def test_a_path_that_leads_nowhere_or_out_is_refused(bench: Workbench, path: str, said: str) -> None:
    output = call("files.read", bench, path=path, first_line=0, last_line=0)
    assert said in output.text
    assert not output.ok
    assert "root:" not in output.text


def test_a_search_gives_places(bench: Workbench) -> None:
    assert call("files.search", bench, text="COUNT(").text == (
        "main.py:5: print(count('a b'))\nsrc/words.py:1: def count(text):"
    )
    assert call("files.search", bench, text="wörter").text == "notes.md:1: Zählt Wörter."
    assert call("files.search", bench, text="(a+)+$").text == "No line of 4 files has it."
    many = replace(bench, files={"a.txt": b"same\n" * 500})
    assert call("files.search", many, text="same").text.endswith("a.txt:40: same\n… and 460 more lines")


def test_files_are_listed_with_their_sizes(bench: Workbench) -> None:
    assert call("files.list", bench, folder="").text.splitlines()[0] == "logo.png (6 bytes)"
    assert call("files.list", bench, folder="./src/").text == "src/words.py (46 bytes)"
    assert not call("files.list", bench, folder="../").ok
    many = replace(bench, files={f"f{number:04}": b"" for number in range(1000)})
    assert call("files.list", many, folder=".").text.endswith("… and 800 more")


def test_a_text_is_cut_in_the_middle() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("a" * 10 + "b" * 10, 6) == "aaa\n… 14 characters left out …\nbbb"
    assert cut("") == "(nothing)"
    assert cut("\ud800") == "?"
