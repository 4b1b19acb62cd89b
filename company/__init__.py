"""`make` for a software company: the public API. Names are loaded when they are first used, so importing costs nothing.

    import asyncio, company
    new = company.NewRun(inputs={"requirement": "…"}, sop="waterfall", workspace=Path("workspace"))
    outcome = asyncio.run(company.run(new, company.load_settings()))

The command line: `cli.py`. Everything that is not named here may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from company.engine import NewRun, Outcome
    from company.errors import CompanyError
    from company.settings import Settings, load_settings
    from company.sitting import Watch
    from company.sop.library import Library
    from company.sop.linker import load_procedure
    from company.sop.procedure import Procedure
    from company.wiring import resume, run, runs

_HOMES = {
    "CompanyError": "errors",
    "Library": "sop.library",
    "NewRun": "engine",
    "Outcome": "engine",
    "Procedure": "sop.procedure",
    "Settings": "settings",
    "Watch": "sitting",
    "load_procedure": "sop.linker",
    "load_settings": "settings",
    "resume": "wiring",
    "run": "wiring",
    "runs": "wiring",
}
__all__ = [
    "CompanyError",
    "Library",
    "NewRun",
    "Outcome",
    "Procedure",
    "Settings",
    "Watch",
    "load_procedure",
    "load_settings",
    "resume",
    "run",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
