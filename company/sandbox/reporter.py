"""What watches pytest from inside a child: reports each test, and that the test runner was not turned.

It shares its process with generated code, so it makes forging hard, not impossible. Its judge: `harness.py`.
"""

from __future__ import annotations

import builtins
import importlib
import os
import re
import sys
import unittest
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest import legacypath, runner
from _pytest.config import default_plugins

_MESSAGE = 1500
_LOADING = r"^(Hint: make sure|Traceback:).*\n|^/\S*/importlib/__init__\.py:.*\n(?: +.*\n)*"
"""What pytest adds when a test file does not load, and tells nobody anything."""
Wrapper = Generator[None, Any, Any]
Part = tuple[str, Any, str, object, object]


def machinery() -> list[Part]:
    """Every function and class of the test runner, to see afterwards that they are still the same."""
    for name in default_plugins:
        importlib.import_module(f"_pytest.{name}")
    parts: list[Part] = []
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] not in {"pytest", "_pytest", "pluggy", "unittest"}:
            continue
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        owners: list[Any] = [module, *(owner for owner in classes if owner.__module__ == module_name)]
        for owner in owners:
            for name, value in vars(owner).items():
                if callable(value) or isinstance(value, property | staticmethod | classmethod):
                    label = f"{owner.__name__}.{name}"
                    parts.append((label, vars(owner), name, value, getattr(value, "__code__", None)))
    return parts


def plugin(skip: set[str], parts: list[Part], send: Callable[..., None]) -> object:
    """The reporter. It lives in closures: generated code finds no attribute or global to turn."""
    plain = dict(vars(builtins))
    codes: dict[str, object] = {}
    found: dict[str, dict[str, str]] = {}
    alarm: list[str] = []

    def look() -> None:
        if not alarm and (changed := _changed(parts)):
            alarm.append(f"the code under test changes the test runner (`{changed}`)")

    class Reporter:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            items[:] = [item for item in items if item.nodeid not in skip]
            for item in items:
                codes[item.nodeid] = _code(item)

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.skipped:
                send("collect", message=f"not counted as passed: {_reason(report)}")
            elif report.failed:
                send("collect", message=_tail(report.longreprtext))

        def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
            # Above all `sys.exit()` in a module that is imported: pytest itself does not say where.
            places = [f"{place.path}:{place.lineno + 1}: in {place.name}" for place in excinfo.traceback]
            here = [place for place in places if place.startswith(f"{Path.cwd()}/")]
            send(
                "collect",
                message=_tail("\n".join([*here, f"E   {excinfo.exconly()} while the file was loaded"])),
            )

        @pytest.hookimpl(wrapper=True)
        def pytest_runtestloop(self, session: pytest.Session) -> Wrapper:
            result = yield
            if items := list(session.items):
                for wrong in _canaries(items[0]):
                    alarm.append(f"the code under test changes what the test runner sees ({wrong})")
                send("probed")
            return result

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            found[nodeid] = {"outcome": "missing", "message": ""}
            send("start", id=nodeid)

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(self, item: pytest.Item) -> Wrapper:
            code = _code(item)
            if code is not codes.get(item.nodeid) and item.nodeid in codes:
                alarm.append(f"the code under test replaces the test `{item.nodeid}`")
            try:
                return (yield)
            finally:
                look()

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            case = found[report.nodeid]
            if report.skipped:
                case["outcome"] = "failed" if hasattr(report, "wasxfail") else "missing"
                case["message"] = f"not counted as passed: {_reason(report)}"
            elif report.failed:
                # A failure of the test itself says more than what its clean-up then stumbles over.
                if case["outcome"] != "failed":
                    case["outcome"] = "failed" if report.when == "call" else "error"
                    case["message"] = _tail(report.longreprtext)
            elif report.when == "call" and not hasattr(report, "wasxfail"):
                case["outcome"] = "passed"

        def pytest_runtest_logfinish(self, nodeid: str) -> None:
            send("case", id=nodeid, **found[nodeid])

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(self) -> None:
            look()
            names = {name for name, value in plain.items() if name != "_" and vars(builtins).get(name) is not value}
            if names:
                alarm.append(f"the code under test replaces the built-in `{min(names)}`")
            if alarm:
                send("tampered", message=alarm[0])
            send("end")

    return Reporter()


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    return str(getattr(report, "wasxfail", "")) or _tail(report.longreprtext)


def _code(item: pytest.Item) -> object:
    function = getattr(item, "function", None)
    return getattr(function, "__code__", function)


def _changed(parts: list[Part]) -> str | None:
    # One of pytest's own plugins puts methods into its other classes while it is configured.
    own = {id(value) for value in vars(legacypath).values()}
    for label, names, name, value, code in parts:
        now = names.get(name)
        if now is not value and id(getattr(now, "fget", now)) not in own:
            return label
        if getattr(value, "__code__", None) is not code:
            return label
    return None


def _canaries(item: pytest.Item) -> Iterator[str]:
    """Tests whose outcome is known, run as the file's own are; what came out otherwise."""
    one, two = len("1"), len("22")

    def raises_nothing() -> None:
        with pytest.raises(ZeroDivisionError):
            pass

    def wrong_assert() -> None:
        assert one == two

    def wrong_error() -> None:
        raise ValueError(one)

    def wrong_equal() -> None:
        unittest.TestCase().assertEqual(one, two)  # noqa: PT009 - this is what is probed

    def wrong_approximation() -> None:
        if one != pytest.approx(two):
            raise AssertionError(two)

    def right() -> None:
        assert one + one == two
        unittest.TestCase().assertEqual(one + one, two)  # noqa: PT009 - this is what is probed
        with pytest.raises(ZeroDivisionError):
            _ = one / (two - one - one)

    module = item.getparent(pytest.Module)
    for test in (raises_nothing, wrong_assert, wrong_error, wrong_equal, wrong_approximation, right):
        name = f"test_{os.urandom(6).hex()}"
        canary = pytest.Function.from_parent(module, name=name, callobj=test)
        calls = [report for report in runner.runtestprotocol(canary, log=False) if report.when == "call"]
        if calls and calls[0].passed is not (test is right):
            yield f"the probe `{test.__name__}` came out wrong"


def _tail(text: str) -> str:
    """The end of a failure's text, whole lines, paths as the repository has them."""
    text = re.sub(_LOADING, "", text, flags=re.MULTILINE)
    for folder in (Path.cwd(), Path(os.__file__).parent):
        text = text.replace(f"{folder}/", "")
    text = text.strip()
    if len(text) <= _MESSAGE:
        return text
    return "…\n" + text[-_MESSAGE + 2 :].partition("\n")[2]
