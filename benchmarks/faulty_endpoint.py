"""Runs against an endpoint that fails at random: python benchmarks/faulty_endpoint.py --runs 100 --rates 0.01,0.1,0.5

Each run goes on in as many sittings as it takes; one that loses a reply, pays twice or hangs ends the benchmark with its seed.
What a run is and what must hold: `tests/llm/unsteady.py`. Prints one line a rate: sittings, requests, faults by kind, memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from company.llm import client
from tests.llm import unsteady


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rates", default="0.01,0.1,0.5")
    parser.add_argument("--seed", type=int, default=1000)
    words = parser.parse_args()
    client._BACKOFF_SECONDS = 0.001
    for rate in map(float, words.rates.split(",")):
        sittings, seconds, most = [], [], 0
        faults: Counter[str] = Counter()
        for seed in range(words.seed, words.seed + words.runs):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    told = unsteady.play(Path(folder), rate, seed)
                except BaseException:
                    print(f"rate {rate}, seed {seed}:", file=sys.stderr)
                    raise
            sittings.append(told.sittings)
            seconds.append(told.seconds)
            faults += told.server.faults
            most = max(most, psutil.Process().memory_info().rss >> 20)
        asked = sum(faults.values())
        print(
            f"{rate:.0%}: {words.runs} runs, {sum(sittings)} sittings (at most {max(sittings)}), {asked} requests, "
            f"{asked - faults['none']} faults, {sum(seconds):.0f} s, at most {most} MiB"
        )
        print("   ", ", ".join(f"{name} {times}" for name, times in faults.most_common() if name != "none"))


if __name__ == "__main__":
    main()
