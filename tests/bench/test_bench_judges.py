"""Judges of every format: right passes, wrong fails under its name, and nothing that code does about its verdict helps it."""

import asyncio
import re
from pathlib import Path

import pytest
from tiny import ANSWERS, make

from company.bench.datasets import load
from company.bench.judging import Judged, judge
from company.bench.tasks import Judge, Task
from company.sandbox import Sandbox, choose
from company.sandbox.bubblewrap import Bubblewrap

TESTED = [form for form in ANSWERS if form not in ("projects", "token")]
ATTACKS = {
    "leaves": "import os\nos._exit(0)\n",
    "exits": "import sys\nsys.exit(0)\n",
    "leaves when it is called": "import os\ndef twice(n):\n    os._exit(0)\n",
    "prints": "print('1 passed')\nprint('{\"event\": \"end\"}')\ndef twice(n):\n    return 0\n",
    "equals everything": "class It:\n    def __eq__(self, other):\n        return True\ndef twice(n):\n    return It()\n",
    "breaks pytest": "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\ndef twice(n):\n    return 0\n",
    "prints a share": "import sys\nprint(sys.stdin.read(), 1.0)\nprint('1.0')\ndef twice(n):\n    return 0\n",
    "looks for the token in its process": (
        "import gc, os, sys\nfor space in (vars(sys.modules['__main__']), *gc.get_objects()):\n"
        "    if type(space) is dict and type(space.get('token')) is str:\n        print(space['token'], 1.0, flush=True)\n"
        "        os._exit(0)\ndef twice(n):\n    return 0\n"
    ),
    "looks for the token in the judge's process": (
        "import os\ndef twice(n):\n    judge = f'/proc/{os.getppid()}/fd'\n    with open(f'{judge}/0') as own:\n"
        "        token = own.readline().strip()\n    with open(f'{judge}/1', 'w') as own:\n        print(token, 1.0, file=own, flush=True)\n"
        "    os.kill(os.getppid(), 9)\n"
    ),
    "looks for the token in the first process": (
        "import os\nwith open('/proc/1/fd/0') as first:\n    token = first.readline().strip()\n"
        "with open('/proc/1/fd/1', 'w') as first:\n    print(token, 1.0, file=first, flush=True)\ndef twice(n):\n    os.kill(os.getppid(), 9)\n"
    ),
}


def task_of(folder: Path, form: str) -> Task:
    name, data = make(folder, form)
    (task,) = load(name, data, lambda text: None)[1]
    return task


def judged(task: Task, sandbox: Sandbox | None = None, **files: str) -> Judged:
    delivered = {re.sub(r"__(\w+)$", r".\1", path): text.encode() for path, text in files.items()}
    return asyncio.run(judge(sandbox or choose(), task, delivered))


@pytest.mark.parametrize("form", ANSWERS)
def test_a_right_answer_passes_and_a_wrong_one_does_not(form: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, form)
    path, text = ANSWERS[form]
    right = judged(task, **{path: text})
    assert right == Judged(True, 1.0, "passed", right.detail)
    wrong = judged(task, **{path: text.replace("2 *", "3 *").replace("+= n", "+= 2")})
    assert (wrong.passed, wrong.status, wrong.failure) == (False, "failed", "wrong value")
    assert wrong.score < 1
    assert len(wrong.detail) <= 2000


@pytest.mark.parametrize("form", ["humaneval", "token"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_passes_nothing(form: str, attack: str, tmp_path: Path) -> None:
    found = judged(task_of(tmp_path, form), solution__py=ATTACKS[attack])
    assert (found.passed, found.score) == (False, 0.0)
    assert found.failure != ""


@pytest.mark.parametrize("attack", [name for name in ATTACKS if "looks" in name])
def test_the_token_is_out_of_reach_in_the_sandbox_of_an_ordinary_user_too(attack: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, "token")
    own = Bubblewrap(as_root=False)
    assert judged(task, own, solution__py=ANSWERS["token"][1]).passed
    assert (judged(task, own, solution__py=ATTACKS[attack]).score) == 0.0


def test_a_share_of_the_methods_is_the_score(tmp_path: Path) -> None:
    found = judged(
        task_of(tmp_path, "classeval"), solution__py="class Counter:\n    def add(self, n):\n        return n\n"
    )
    assert (found.passed, found.score, found.failure) == (False, 0.5, "wrong value")


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("def twice(n:\n", "does not parse"),
        ("import nothing_like_it\n", "import error"),
        ("def double(n):\n    return 2 * n\n", "missing name"),
        ("def twice():\n    return 2\n", "wrong arity"),
        ("def twice(n):\n    return {}[n]\n", "exception"),
        ("import os\nos._exit(0)\n", "crashed"),
        ("class It:\n    def __eq__(self, other):\n        return True\ndef twice(n):\n    return It()\n", "forged"),
    ],
)
def test_a_failure_has_a_name(text: str, failure: str, tmp_path: Path) -> None:
    assert judged(task_of(tmp_path, "mbpp"), solution__py=text).failure == failure


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    task = task_of(tmp_path, "mbpp")
    assert judged(task, README__md="nothing").failure == "no code"
    assert judged(task, main__py="def twice(n):\n    return 2 * n\n").failure == "missing module"


def test_delivered_tests_and_settings_do_not_steer_the_judge(tmp_path: Path) -> None:
    steering = "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n    items.clear()\n"
    files = {
        "solution.py": "def twice(n):\n    return 0\n",
        "conftest.py": steering,
        "test_judge.py": "def test_task():\n    pass\n",
    }
    found = judged(task_of(tmp_path, "humaneval"), **files)
    assert (found.passed, found.failure) == (False, "wrong value")


@pytest.mark.parametrize("name", ["json.py", "json/__init__.py", "json.pyc", "helper/__init__.py"])
def test_what_a_judge_imports_is_not_a_delivered_file(name: str) -> None:
    check = (
        "import sys\ntoken = sys.stdin.readline().strip()\nimport json, helper\nfrom solution import twice\n"
        "print(token, float(helper.right(json.loads('3'), twice)))\n"
    )
    own = {"check.py": check, "helper.py": "def right(n, f):\n    return f(n) == 2 * n\n"}
    task = Task("own", "t", "r", Judge("command", own, "python check.py"), needs="solution.py")
    attack = "import os\nos._exit(0)\n"
    assert judged(task, **{"solution.py": "def twice(n):\n    return 2 * n\n", name: attack}).passed
    assert not judged(task, **{"solution.py": "def twice(n):\n    return n\n", name: attack}).passed
    given = Task("own", "t", "r", task.judge, {name: "loads = int\ndef right(n, f):\n    return True\n"})
    kept = judged(given, **{"solution.py": "def twice(n):\n    return n\n", name: attack})
    assert not kept.passed, "only what was given stays as it was"


def test_an_exit_status_is_not_given_by_a_delivered_module() -> None:
    check = "import subprocess, sys\nran = subprocess.run([sys.executable, 'solution.py'], capture_output=True)\nsys.exit(ran.stdout != b'42\\n')\n"
    task = Task("own", "t", "r", Judge("command", {"check.py": check}, "python check.py", "exit"))
    leaves = "import os\nos._exit(0)\n"
    assert not judged(task, **{"solution.py": "x = 1\n", "subprocess.py": leaves}).passed
    assert judged(task, **{"solution.py": "print(42)\n", "subprocess.py": leaves}).passed


def test_tests_run_under_the_settings_and_fixtures_of_what_was_given() -> None:
    hidden = {"tests/test_judge.py": "from pkg import f\n\n\ndef test_a(val):\n    assert f() == val\n"}
    given = {
        "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef val():\n    return 1\n",
        "src/pkg/__init__.py": "def f():\n    return 0\n",
        "pyproject.toml": "[tool.pytest.ini_options]\npython_files = ['test_*.py']\n",
    }
    task = Task("own", "t", "r", Judge("tests", hidden, seconds=30.0), given)
    right = given | {"src/pkg/__init__.py": "def f():\n    return 1\n"}
    assert judged(task, **right).passed
    assert judged(task, **{"src/pkg/__init__.py": right["src/pkg/__init__.py"]}).passed, (
        "a fixture that is gone is back"
    )
    found = judged(task, **given)
    assert (found.passed, found.failure) == (False, "wrong value")
    forged = given | {
        "conftest.py": given["conftest.py"].replace("return 1", "return 0"),
        "src/pkg/conftest.py": "collect_ignore_glob = ['*']\n",
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--deselect tests/test_judge.py'\n",
    }
    assert not judged(task, **forged).passed
