"""How long the checker and the compiler take for long procedures, side by side with the shipped ones, in one run.

    python benchmarks/checker.py [--steps 2000]

Prints seconds and the ratio per step. Four shapes: steps one after another, steps side by side, loops, blocks inside blocks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from company.compiler import compile_procedure
from company.sop.diagnostics import SourceText
from company.sop.library import Library
from company.sop.linker import link

HEAD = "sop: 1\nname: long\nsteps:\n"
ROLE = "{{role: engineer, prompt: zero_shot, in: {{requirement: {source}}}, out: str}}"


def chain(steps: int) -> str:
    """Each step reads the one above."""
    lines = [f"  s0: {ROLE.format(source='requirement')}"]
    lines += [f"  s{n}: {ROLE.format(source=f's{n - 1}')}" for n in range(1, steps)]
    return HEAD + "\n".join(lines) + "\n"


def fan(steps: int) -> str:
    """All read the first, and the last reads all."""
    lines = [f"  s0: {ROLE.format(source='requirement')}"]
    lines += [f"  s{n}: {ROLE.format(source='s0')}" for n in range(1, steps - 1)]
    everything = ", ".join(f"s{n}" for n in range(1, steps - 1))
    last = f"  last: {{run: python -c pass, in: [{everything}]}}"
    return HEAD + "\n".join([*lines, last]) + "\n"


def loops(steps: int) -> str:
    """Loops of three steps and a gate that leads back."""
    lines: list[str] = []
    for n in range(steps // 4):
        lines += [
            f"  l{n}:",
            "    loop:",
            "      a: {role: engineer, prompt: zero_shot, in: {requirement: prev.b.choice}, out: str}",
            "      b: {gate: human, show: a, choices: {go: next, back: a}, max: 2, headless: go}",
            f'    until: b.choice == "go"\n    max: 3\n    after: {f"l{n - 1}" if n else "[]"}',
        ]
    return HEAD + "\n".join(lines) + "\n"


def nested(steps: int) -> str:
    """For each item a block of ten steps, again and again."""
    lines: list[str] = []
    for n in range(steps // 11):
        lines += [f"  n{n}:", "    for_each: items", "    as: item", "    do:"]
        lines += [f"      a{m}: {ROLE.format(source=f'a{m - 1}' if m else 'item')}" for m in range(10)]
    return HEAD.replace("steps:", "inputs: {items: [str]}\nsteps:") + "\n".join(lines) + "\n"


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    steps: int = parser.parse_args().steps
    library = Library(None)
    shipped = library.sop("waterfall")
    link(shipped, library)  # what is loaded once is not what is measured
    print(f"{'procedure':<12}{'steps':>7}{'check s':>10}{'compile s':>11}{'check ms/step':>15}{'compile ms/step':>17}")
    sources = {"waterfall": shipped}
    for shape in (chain, fan, loops, nested):
        path = Path(f"{shape.__name__}.yaml")
        sources[shape.__name__] = SourceText(path, str(path), shape(steps))
    for name, source in sources.items():
        procedure = link(source, library)
        count = sum(1 for _ in procedure.walk())
        checked = seconds(lambda source=source: link(source, library))
        compiled = seconds(lambda procedure=procedure: compile_procedure(procedure))
        per = (checked * 1000 / count, compiled * 1000 / count)
        print(f"{name:<12}{count:>7}{checked:>10.3f}{compiled:>11.3f}{per[0]:>15.3f}{per[1]:>17.3f}")


if __name__ == "__main__":
    main()
