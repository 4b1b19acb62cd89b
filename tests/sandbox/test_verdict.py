"""Ways to fake a pass, none of which may be one; and what an honest run reports.

The sandbox's walls: `test_escapes.py`. Its limits: `test_limits.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from company.artifacts import TestCase, TestRun
from company.sandbox import Bubblewrap, Limits, Sandbox, choose, run_tests, static_problems
from company.sandbox import verdict as module
from company.sandbox.verdict import expected_tests

TESTS = """
from calc import add

def test_add():
    assert add(1, 2) == 3

def test_negative():
    assert add(-1, -2) == -3
"""
WRONG = "def add(a, b):\n    return a - b\n"
RIGHT = "def add(a, b):\n    return a + b\n"


async def judged(
    tree: dict[str, str],
    tests: dict[str, str] | str = TESTS,
    *,
    box: Sandbox | None = None,
    optional: Collection[str] = (),
    seconds: float = 20,
    **limits: int,
) -> TestRun:
    if isinstance(tests, str):
        tests = {"tests/test_calc.py": tests}
    return await run_tests(
        box or Bubblewrap(),
        {path: text.encode() for path, text in tree.items()},
        {path: text.encode() for path, text in tests.items()},
        optional=optional,
        limits=Limits(seconds=seconds, **limits),
    )


def verdict(tree: dict[str, str], tests: dict[str, str] | str = TESTS, **options: Any) -> TestRun:
    return asyncio.run(judged(tree, tests, **options))


def case(run: TestRun, name: str) -> TestCase:
    return next(case for case in run.cases if case.id.endswith(f"::{name}"))


def outcomes(run: TestRun) -> dict[str, str]:
    return {case.id.partition("::")[2]: case.outcome for case in run.cases}


def test_what_judges_is_what_this_process_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__file__", str(tmp_path / "verdict.py"))
    for name in ("harness", "reporter"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('another checkout')\n")
    assert verdict({"calc.py": RIGHT}).passed


# The way's name → the files of the repository, all of which have a wrong `add`.
FAKES: dict[str, dict[str, str]] = {
    "sys.exit on import": {"calc.py": "import sys\nsys.exit(0)\n" + WRONG},
    "os._exit on import": {"calc.py": "import os\nos._exit(0)\n" + WRONG},
    "sys.exit in the call": {"calc.py": "import sys\ndef add(a, b): sys.exit(0)\n"},
    "os._exit in the call": {"calc.py": "import os\ndef add(a, b): os._exit(0)\n"},
    "os._exit at the end": {"calc.py": "import atexit, os\natexit.register(os._exit, 0)\n" + WRONG},
    "os._exit from a thread": {
        "calc.py": "import os, threading\nthreading.Timer(0.2, os._exit, [0]).start()\n" + WRONG
        + "import time\ndef add(a, b): time.sleep(9)\n"
    },
    "exec of true": {"calc.py": "import os\nos.execv('/bin/true', ['true'])\n"},
    "fork, and the parent leaves": {"calc.py": "import os\nif os.fork(): os._exit(0)\n" + WRONG},
    "fork, and the child passes": {
        "calc.py": "import os\ndef add(a, b): return a + b if os.fork() == 0 else 0\n"
    },
    "forged text": {
        "calc.py": "print('2 passed in 0.01s')\nimport sys\nsys.stderr.write('2 passed')\n" + WRONG
    },
    "forged results in every descriptor": {
        "calc.py": WRONG + """
import json, os
for fd in range(3, 64):
    for name in ("test_add", "test_negative"):
        line = {"nonce": "", "event": "case", "id": f"tests/test_calc.py::{name}", "outcome": "passed"}
        try: os.write(fd, (json.dumps(line) + "\\n" + json.dumps({"event": "end"}) + "\\n").encode())
        except OSError: pass
"""
    },
    "the report's environment variable": {
        "calc.py": WRONG + "import os\nos.write(int(os.environ['COMPANY_REPORT_FD']), b'{}')\n"
    },
    "pytest.skip on import": {"calc.py": "import pytest\npytest.skip('x', allow_module_level=True)\n"},
    "pytest.skip in the call": {"calc.py": "import pytest\ndef add(a, b): pytest.skip('x')\n"},
    "pytest.xfail": {"calc.py": "import pytest\ndef add(a, b): pytest.xfail('x')\n"},
    "pytest.exit": {"calc.py": "import pytest\ndef add(a, b): pytest.exit('fine', 0)\n"},
    "KeyboardInterrupt": {"calc.py": "def add(a, b): raise KeyboardInterrupt\n"},
    "GeneratorExit": {"calc.py": "def add(a, b): raise GeneratorExit\n"},
    "conftest that empties": {
        "calc.py": WRONG, "conftest.py": "def pytest_collection_modifyitems(items): items.clear()\n"
    },
    "conftest that flips": {
        "calc.py": WRONG,
        "tests/conftest.py": "import pytest\n@pytest.hookimpl(hookwrapper=True)\n"
            "def pytest_runtest_makereport():\n"
        "    out = yield\n    out.get_result().outcome = 'passed'\n",
    },
    "conftest that xfails": {
        "calc.py": WRONG,
        "conftest.py": "import pytest\ndef pytest_collection_modifyitems(items):\n"
        "    for i in items: i.add_marker(pytest.mark.xfail)\n",
    },
    "conftest written while running": {
        "calc.py": "text = 'def pytest_collection_modifyitems(items): items.clear()'\n"
        "open('conftest.py', 'w').write(text)\n" + WRONG
    },
    "pytest.ini": {"calc.py": WRONG, "pytest.ini": "[pytest]\naddopts = --collect-only -k nothing\n"},
    "pyproject.toml": {
        "calc.py": WRONG, "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--collect-only'\n"
    },
    "setup.cfg": {"calc.py": WRONG, "setup.cfg": "[tool:pytest]\naddopts = --co\n"},
    "tox.ini": {"calc.py": WRONG, "tox.ini": "[pytest]\naddopts = --co\n"},
    "own pytest": {"calc.py": WRONG, "pytest.py": "def main(*a, **k): return 0\n"},
    "own _pytest": {"calc.py": WRONG, "_pytest/__init__.py": "", "_pytest/config.py": ""},
    "own pluggy": {"calc.py": WRONG, "pluggy.py": "x = 1\n"},
    "sitecustomize": {"calc.py": WRONG, "sitecustomize.py": "import os\nos._exit(0)\n"},
    "shadow of the standard library": {"calc.py": WRONG, "json.py": "import os\nos._exit(0)\n"},
    "shadow beside the tests": {"calc.py": WRONG, "tests/json.py": "import os\nos._exit(0)\n"},
    "rewritten tests": {
        "calc.py": WRONG, "tests/test_calc.py": "def test_add(): pass\ndef test_negative(): pass\n"
    },
    "tests rewritten while running": {
        "calc.py": "open('tests/test_calc.py', 'w').write('def test_add(): pass\\n"
            "def test_negative(): pass')\n" + WRONG
    },
    "the test module's functions replaced": {
        "calc.py": """
import sys
def add(a, b):
    names = sys._getframe(1).f_globals
    for name in list(names):
        if name.startswith("test_"): names[name] = lambda: None
    return 0
"""
    },
    "the tests' code replaced": {
        "calc.py": """
import gc
def quiet(): pass
def add(a, b):
    for f in gc.get_objects():
        if getattr(f, "__name__", "") == "test_negative" and hasattr(f, "__code__"):
            f.__code__ = quiet.__code__
    return 3
"""
    },
    "patched runner": {
        "calc.py": WRONG + "import _pytest.python as p\np.Function.runtest = lambda self: None\n"
    },
    "patched runner's code": {
        "calc.py": WRONG + "import _pytest.python as p\ndef quiet(self): pass\n"
            "p.Function.runtest.__code__ = quiet.__code__\n"
    },
    "patched reports": {
        "calc.py": WRONG + """
import _pytest.reports as r
old = r.TestReport.from_item_and_call.__func__
def new(cls, item, call):
    report = old(cls, item, call)
    report.outcome, report.longrepr = "passed", None
    return report
r.TestReport.from_item_and_call = classmethod(new)
"""
    },
    "patched outcome of a call": {
        "calc.py": WRONG + """
import _pytest.runner as r
old = r.CallInfo.from_call.__func__
def new(cls, func, *a, **k):
    call = old(cls, func, *a, **k)
    call.excinfo = None
    return call
r.CallInfo.from_call = classmethod(new)
"""
    },
    "a plugin registered while running": {
        "calc.py": """
import gc, pytest
class Plugin:
    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem): return True
def add(a, b):
    for thing in gc.get_objects():
        if isinstance(thing, pytest.PytestPluginManager): thing.register(Plugin())
    return 3
"""
    },
    "patched pluggy": {
        "calc.py": WRONG + "import pluggy._manager as m\nold = m.PluginManager._hookexec\n"
        "m.PluginManager._hookexec = lambda s, n, *a: None if n == 'pytest_pyfunc_call' else old(s, n, *a)\n"
    },
    "patched AssertionError": {
        "calc.py": WRONG + "import builtins, pytest\nbuiltins.AssertionError = pytest.skip.Exception\n"
    },
    "a patched runner, and a stop before the probes": {
        "calc.py": """
import gc, pytest, _pytest.python as p
def quiet(self):
    for thing in gc.get_objects():
        if isinstance(thing, pytest.Session): thing.shouldstop = "enough"
p.Function.runtest = quiet
def add(a, b): return 0
"""
    },
    "nested pytest": {"calc.py": WRONG + "import pytest\npytest.main(['-q', '--co'])\n"},
    "kill the judge": {"calc.py": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + WRONG},
    "kill everyone": {"calc.py": "import os, signal\nos.kill(-1, signal.SIGKILL)\n" + WRONG},
    "write into the judge": {
        "calc.py": "import os\nopen(f'/proc/{os.getppid()}/mem', 'r+b')\n"
            "print(os.listdir(f'/proc/{os.getppid()}/fd'))\n"
        + RIGHT
    },
    "hang": {"calc.py": "def add(a, b):\n    while True: pass\n"},
    "hang on import": {"calc.py": "while True: pass\n"},
    "no such function": {"calc.py": "def plus(a, b): return a + b\n"},
    "nothing": {},
}  # fmt: skip


ENDS_ALL = {"kill the judge", "kill everyone"}


@pytest.fixture(scope="module")
def faked() -> dict[str, TestRun]:
    """The verdicts on all fakes, a few at a time."""

    async def every() -> dict[str, TestRun]:
        turn = asyncio.Semaphore(3)

        async def one(name: str) -> TestRun:
            async with turn:
                return await judged(FAKES[name], TESTS, seconds=4 if "hang" in name or "thread" in name else 20)

        return dict(zip(FAKES, await asyncio.gather(*map(one, FAKES)), strict=True))

    return asyncio.run(every())


@pytest.mark.parametrize("name", FAKES)
def test_a_fake_is_no_pass(name: str, faked: dict[str, TestRun]) -> None:
    run = faked[name]
    assert not run.passed
    assert run.status == ("crashed" if name in ENDS_ALL else "ran")  # the judge was there
    assert run.score < 1
    assert any(case.required and case.outcome != "passed" and case.message for case in run.cases)


@pytest.mark.parametrize("name", ["pytest.ini", "own pytest", "shadow beside the tests", "sitecustomize", "tox.ini"])
def test_what_tries_to_steer_does_not_disturb(name: str) -> None:
    tree = {**FAKES[name], "calc.py": RIGHT}
    run = verdict(tree)
    assert run.passed
    assert any(next(path for path in tree if path != "calc.py") in problem for problem in run.problems)


@pytest.mark.parametrize("name", ["patched runner", "patched reports", "patched pluggy"])
def test_tampering_is_named(name: str, faked: dict[str, TestRun]) -> None:
    assert any("the code under test changes" in problem for problem in faked[name].problems)


def test_an_always_equal_object_is_found_by_reading() -> None:
    """It passes where it runs, in the same process as the comparison; what can be seen is said."""
    code = "class Any:\n    def __eq__(self, other):\n        return True\ndef add(a, b):\n    return Any()\n"
    assert verdict({"calc.py": code}).problems == ["calc.py:2: an `__eq__` that always answers True proves nothing"]


def test_a_pass(box: Sandbox) -> None:
    run = verdict({"calc.py": RIGHT}, box=box)
    assert run.passed
    assert (run.score, run.status, run.sandbox, run.problems) == (1.0, "ran", box.name, [])
    assert run.summary == "2 of 2 required tests pass"
    assert [(case.id, case.message) for case in run.cases] == [
        ("tests/test_calc.py::test_add", ""),
        ("tests/test_calc.py::test_negative", ""),
    ]


def test_a_failure_says_what_was_expected(box: Sandbox) -> None:
    run = verdict({"calc.py": WRONG}, box=box)
    assert (run.passed, run.score, run.status) == (False, 0.0, "ran")
    message = case(run, "test_add").message
    assert "tests/test_calc.py:5: in test_add" in message
    assert "E   assert -1 == 3" in message
    assert "where -1 = add(1, 2)" in message
    assert "/box" not in run.output + message
    assert "2 failed" in run.output


def test_without_any_sandbox_too() -> None:
    plain = choose(unsafe_no_sandbox=True)
    assert verdict({"calc.py": RIGHT}, box=plain).passed
    assert not verdict({"calc.py": WRONG}, box=plain).passed
    assert verdict({"calc.py": RIGHT}, box=plain).sandbox == "no sandbox"


KINDS = """
import asyncio, subprocess, sys, unittest
import pytest

@pytest.fixture
def broken():
    raise ValueError("no data")

@pytest.mark.parametrize("n", [1, 2])
def test_many(n):
    assert n == 1

def test_fixture(broken):
    pass

@pytest.fixture
def untidy():
    yield
    raise ValueError("left")

def test_teardown(untidy):
    pass

def test_skipped():
    pytest.skip("later")

class TestGroup:
    def test_inside(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("builtins.input", lambda *a: "x")
        print(input())
        assert capsys.readouterr().out == "x\\n"

class Old(unittest.TestCase):
    def test_old(self):
        self.assertEqual(1, 1)
    def test_old_wrong(self):
        self.assertEqual(1, 2)

def test_subprocess():
    assert subprocess.check_output([sys.executable, "-c", "print(1)"]) == b"1\\n"

def test_stdin():
    with pytest.raises(OSError):
        input()

def test_dies():
    import os
    os.kill(os.getpid(), 11)

def test_loop():
    asyncio.run(asyncio.sleep(0))
"""


def test_every_kind_of_outcome(box: Sandbox) -> None:
    run = verdict({}, {"test_kinds.py": KINDS}, box=box)
    assert outcomes(run) == {
        "test_many[1]": "passed",
        "test_many[2]": "failed",
        "test_fixture": "error",
        "test_teardown": "error",
        "test_skipped": "missing",
        "TestGroup::test_inside": "passed",
        "Old::test_old": "passed",
        "Old::test_old_wrong": "failed",
        "test_subprocess": "passed",
        "test_stdin": "passed",
        "test_dies": "failed",
        "test_loop": "passed",
    }
    assert "ValueError: no data" in case(run, "test_fixture").message
    assert "later" in case(run, "test_skipped").message
    assert "SIGSEGV" in case(run, "test_dies").message
    assert "1 != 2" in case(run, "test_old_wrong").message
    assert run.status == "ran"


def test_a_hanging_test_is_named_and_the_others_run() -> None:
    tree = {"calc.py": "def add(a, b):\n    if a < 0:\n        while True:\n            pass\n    return a + b\n"}
    run = verdict(tree, seconds=4)
    assert outcomes(run) == {"test_add": "passed", "test_negative": "failed"}
    message = case(run, "test_negative").message
    assert "did not finish within 2 s" in message
    assert '"calc.py", line ' in message
    assert run.status == "ran"


def test_optional_tests_inform_and_do_not_decide() -> None:
    tree = {"calc.py": "def add(a, b):\n    return abs(a + b)\n"}
    run = verdict(tree, optional=["tests/test_calc.py::test_negative"])
    assert run.passed
    assert case(run, "test_negative").outcome == "failed"
    assert not case(run, "test_negative").required
    assert run.summary == "1 of 1 required tests pass, 0 of 1 others"
    every = ["tests/test_calc.py::test_negative", "tests/test_calc.py::test_add"]
    assert not verdict(tree, optional=every).passed


def test_one_file_that_does_not_load_leaves_the_others() -> None:
    tests = {
        "test_a.py": "import missing\ndef test_a(): pass\ndef test_b(): pass\n",
        "test_b.py": "def test_c(): pass\n",
    }
    run = verdict({}, tests)
    assert outcomes(run) == {"test_a": "error", "test_b": "error", "test_c": "passed"}
    assert "No module named 'missing'" in case(run, "test_a").message
    assert case(run, "test_b").message == "the same as test_a.py::test_a"
    assert any("`missing` is neither" in problem for problem in run.problems)


def test_tests_that_do_not_parse_are_no_pass() -> None:
    run = verdict({"calc.py": RIGHT}, {"test_a.py": "def test_a(:\n", "test_b.py": "def test_b(): pass\n"})
    assert not run.passed
    assert run.cases[0].outcome == "error"
    assert run.problems == ["test_a.py:1: syntax error: invalid syntax: def test_a(:"]


def test_a_program_that_ends_on_import_is_told_where() -> None:
    run = verdict({"calc.py": "import sys\n\ndef main():\n    sys.exit(2)\n\nmain()\n"})
    message = case(run, "test_add").message
    assert "calc.py:6: in <module>" in message
    assert "SystemExit: 2 while the file was loaded" in message


def test_no_tests_are_no_pass() -> None:
    assert not verdict({"calc.py": RIGHT}, {}).passed
    run = verdict({"calc.py": RIGHT}, {"tests/test_none.py": "x = 1\n"})
    assert (run.passed, run.score) == (False, 0.0)


def test_one_file_does_not_prepare_the_next() -> None:
    tests = {
        "test_a.py": "import pathlib\ndef test_a():\n    pathlib.Path('left').write_text('x')\n"
        "    (pathlib.Path.home() / 'left').write_text('x')\n    pathlib.Path('data.txt').unlink()\n",
        "test_b.py": "import pathlib\ndef test_b():\n    assert not pathlib.Path('left').exists()\n"
        "    assert not (pathlib.Path.home() / 'left').exists()\n"
        "    assert pathlib.Path('data.txt').read_text() == 'd'\n",
    }
    assert verdict({"data.txt": "d"}, tests).passed


def test_one_file_cannot_steer_the_next() -> None:
    plant = """
import os
open("tests/conftest.py", "w").write("def pytest_collection_modifyitems(items): items.clear()")
open("json.py", "w").write("import os; os._exit(0)")
os.makedirs("tests/__pycache__", exist_ok=True)
os.symlink("/usr", "tests/link")
os.chmod("tests", 0o555)
if os.fork() == 0:
    os.setsid()
    while True:
        try: open("/box/conftest.py", "w").write("def pytest_collection_modifyitems(items): items.clear()")
        except OSError: pass
def add(a, b): return a + b
"""
    second = "import json\ndef test_wrong():\n    assert json.loads('1') == 2\ndef test_right():\n    pass\n"
    run = verdict({"calc.py": plant}, {"tests/test_calc.py": TESTS, "tests/test_z.py": second})
    assert outcomes(run) == {
        "test_add": "passed",
        "test_negative": "passed",
        "test_wrong": "failed",
        "test_right": "passed",
    }


def test_files_beside_the_tests_are_there() -> None:
    tests = {
        "tests/test_calc.py": "from helpers import two\nfrom calc import add\ndef test_two(three):\n"
        "    assert add(1, two) == three\n",
        "tests/helpers.py": "two = 2\n",
        "tests/conftest.py": "import pytest\n@pytest.fixture\ndef three(): return 3\n",
    }
    run = verdict({"calc.py": RIGHT}, tests)
    assert run.passed, run
    assert run.problems == []


HOGS = """
import subprocess, sys
def add(a, b):
    hog = "x = b'x' * (90 << 20); import time; time.sleep(9)"
    for process in [subprocess.Popen([sys.executable, "-c", hog]) for _ in range(4)]:
        process.wait()
"""


@pytest.mark.parametrize(
    ("code", "options", "status"),
    [
        ("import os\ndef add(a, b):\n    os.kill(os.getppid(), 9)\n", {}, "crashed"),
        (HOGS, {"memory_mb": 250}, "memory_limit"),
        ("import os\nwhile True: os.write(1, b'x' * 9999)\n", {"output_bytes": 50_000}, "output_limit"),
    ],
)  # fmt: skip
def test_how_a_run_was_stopped(code: str, options: dict[str, int], status: str) -> None:
    run = verdict({"calc.py": code}, **options)
    assert not run.passed
    assert run.status == status
    assert len(run.output) <= 4000
    assert {case.outcome for case in run.cases} <= {"failed", "missing", "error"}


def test_a_memory_hog_fails_alone() -> None:
    run = verdict(
        {"calc.py": "def add(a, b):\n    if a < 0:\n        return len(b'x' * (2 << 30))\n    return a + b\n"}
    )
    assert outcomes(run) == {"test_add": "passed", "test_negative": "failed"}
    assert "MemoryError" in case(run, "test_negative").message


def test_messages_keep_their_end() -> None:
    tests = "def test_long():\n    assert list(range(5000)) == [str(n) * 50 for n in range(5000)]\n"
    message = case(verdict({}, {"test_a.py": tests}), "test_long").message
    assert 100 < len(message) <= 1500
    assert "assert" in message


def test_expected_ids_come_from_reading() -> None:
    code = b"""
def test_a(): pass
async def test_b(): pass
def helper(): pass
class TestX:
    def test_c(self): pass
    class TestY:
        def test_d(self): pass
class TestNot:
    def __init__(self): pass
    def test_e(self): pass
class Plain:
    def test_f(self): pass
class Old(unittest.TestCase):
    def test_g(self): pass
"""
    ids = ["test_a", "test_b", "TestX::test_c", "Old::test_g", "TestX::TestY::test_d"]
    assert expected_tests("t.py", code) == [f"t.py::{name}" for name in ids]


PROBLEMS = {
    "x = (\n": "a.py:1: syntax error: '(' was never closed: x = (",
    "import requests\n": "a.py:1: `requests` is neither",
    "def f():\n    import numpy as np\n": "a.py:2: `numpy` is neither",
    "from b import nothing\n": "a.py:1: `b.py` does not define `nothing`",
    "from pkg import nothing\n": "a.py:1: `pkg/__init__.py` does not define `nothing`",
    "from pkg.gone import x\n": "a.py:1: `pkg.gone` is neither",
    "from . import b\n": "a.py:1: `from .` leads out of any package",
}
CLEAN = [
    "import os.path, json, pytest\nfrom collections.abc import Iterator\n",
    "import b, pkg.inner\nfrom b import value, Thing, helper\nfrom pkg import inner\nfrom pkg.inner import deep\n",
    "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n",
    "from star import anything\n",
]
REST = {
    "b.py": b"value, other = 1, 2\nclass Thing: ...\nif value:\n    def helper(): ...\n",
    "star.py": b"from os import *\n",
    "pkg/__init__.py": b"",
    "pkg/inner.py": b"from . import second\nfrom .second import x\ndeep = 1\n",
    "pkg/second.py": b"x = 1\nfrom ..b import value\n",
}


@pytest.mark.parametrize("code", PROBLEMS)
def test_static_problems(code: str) -> None:
    rest = {**REST, "pkg/second.py": b"x = 1\n"}
    problems = static_problems({"a.py": code.encode(), **rest})
    assert len(problems) == 1
    assert problems[0].startswith(PROBLEMS[code])


@pytest.mark.parametrize("code", CLEAN)
def test_no_static_problems(code: str) -> None:
    assert static_problems({"a.py": code.encode(), **REST, "pkg/second.py": b"x = 1\n"}) == []


def test_static_problems_of_names() -> None:
    assert static_problems(REST) == ["pkg/second.py:2: `from ..b` leads out of any package; import it by its full name"]
    assert static_problems({"calendar.py": b""}) == [
        "calendar.py:1: hides the module `calendar` and is left out when the tests run; give it another name"
    ]
    twice = b"def test_a(): pass\ndef test_a(): pass\n"
    assert "defined a second time" in static_problems({"test_a.py": twice})[0]
    assert static_problems({"notes.md": b"import nothing", "data.bin": b"\xff\x00"}) == []
    assert static_problems({"a.py": b"x = '\x00'"})[0].startswith("a.py:1: ")
