"""The only place that runs generated code: one protocol, its back ends, and the verdict of tests run in them.

Which roles may ask for a run, and what follows from a verdict, is the procedure's business: `nodes.py`.
"""

from company.sandbox.base import Limits, Result, Sandbox, Spec
from company.sandbox.bubblewrap import Bubblewrap
from company.sandbox.checks import static_problems
from company.sandbox.choose import choose, probe
from company.sandbox.existing import compared, not_runnable
from company.sandbox.plain import PlainProcess
from company.sandbox.verdict import broken, run_command, run_tests

__all__ = [
    "Bubblewrap",
    "Limits",
    "PlainProcess",
    "Result",
    "Sandbox",
    "Spec",
    "broken",
    "choose",
    "compared",
    "not_runnable",
    "probe",
    "run_command",
    "run_tests",
    "static_problems",
]
