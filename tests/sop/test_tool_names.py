"""The names of tools, as the checker reads them."""

import subprocess
import sys

import pytest

from company.sop.tool_names import BUILT_IN, granted, known, server_of
from company.tools.registry import NAMES, TOOLS


def test_every_name_has_its_tool() -> None:
    assert list(TOOLS) == list(NAMES) == list(BUILT_IN)


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("mcp.git", "git"),
        ("mcp.git.log", "git"),
        ("mcp.my-git_2.issues/list.all", "my-git_2"),
        ("mcp.", ""),
        ("mcp", ""),
        ("mcp.git.", ""),
        ("mcp.git log", ""),
        ("mcp.git.log\n", ""),
        ("python", ""),
    ],
)
def test_the_server_is_read_from_the_name(name: str, server: str) -> None:
    assert server_of(name) == server


def test_what_is_known() -> None:
    assert known("files.read")
    assert not known("files.write")
    assert known("mcp.git")
    assert known("mcp.git.log", ["git"])
    assert not known("mcp.git.log", ["issues"])


def test_a_grant_of_a_server_is_one_of_all_its_tools() -> None:
    assert granted("mcp.git.log", ["mcp.git"])
    assert granted("mcp.git.log", ["mcp.git.log"])
    assert granted("python", ["python"])
    assert not granted("mcp.git", ["mcp.git.log"])
    assert not granted("mcp.gitlab.log", ["mcp.git"])
    assert not granted("shell", ["python"])


def test_names_are_checked_without_loading_a_tool() -> None:
    code = "import sys, company.sop.tool_names; print([m for m in sys.modules if m.startswith(('company.tools', 'mcp', 'company.llm'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
