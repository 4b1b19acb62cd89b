"""Whole runs against an endpoint that misbehaves now and then: they end right or stop resumable, and no reply is lost or paid twice."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from company.llm import client
from tests.llm import unsteady


@pytest.mark.parametrize(("rate", "runs"), [(0.01, 10), (0.1, 14), (0.5, 16)])
def test_runs_end_right_however_often_the_endpoint_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, runs: int
) -> None:
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.001)
    before, told = 0, []
    for seed in range(runs):
        told.append(unsteady.play(tmp_path / str(seed), rate, seed + round(rate * 1000)))
        before = before or psutil.Process().memory_info().rss  # the first run imports what the others need
    grown = (psutil.Process().memory_info().rss - before) >> 20
    asked = sum(sum(one.server.faults.values()) for one in told)
    faults = asked - sum(one.server.faults["none"] for one in told)
    seconds = sum(one.seconds for one in told)
    print(
        f"{rate:.0%}: {runs} runs in {sum(one.sittings for one in told)} sittings, {asked} requests, {faults} faults, "
        f"{seconds:.1f} s, {grown} MiB more"
    )
    assert faults or rate < 0.1
    assert max(one.sittings for one in told) > 1 or rate < 0.5
    assert grown < 200
