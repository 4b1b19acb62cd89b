"""The public API is what it says, and costs nothing to import."""

import subprocess
import sys

import pytest

import company


def test_every_name_is_there_and_nothing_else_is_promised() -> None:
    assert set(company.__all__) == set(company._HOMES)
    for name in company.__all__:
        assert getattr(company, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = company.nothing  # type: ignore[attr-defined]


def test_importing_it_loads_nothing() -> None:
    code = "import sys, company; print(sorted(name for name in sys.modules if name.startswith('company.')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
