"""What a Ray cluster gains, and what it costs. python benchmarks/ray_scaling.py [TASKS] [SECONDS]

The same tasks in one process, one and two at once, and on a cluster of one and of two nodes with a core each, all on this machine, one
after the other: once with a model that takes its time, once with a judge that computes. Prints seconds and how often faster than one
process with one run at a time: over the whole command, and without its start and end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ.update({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"})  # listens on loopback
REPLY = "### solution.py\n```python\ndef twice(n):\n    return 2 * n\n```\n"
JUDGE = """import sys, time
token = sys.stdin.readline().strip()
from solution import twice
while time.process_time() < {seconds}:
    pass
print(token, int(twice(21) == 42))
"""
CORES = {"Ray, one node": 1, "Ray, two nodes": 2}
PLACES = {"one process, one at once": 1, "one process, two at once": 2} | CORES
"""Where runs are made → how many at once."""


def endpoint(seconds: float) -> ThreadingHTTPServer:
    """A model that always says the same, after so many seconds."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(seconds)
            message = {"role": "assistant", "content": REPLY}
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            about = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
            body = json.dumps({**about, "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def lay_out(folder: Path, tasks: int, seconds: float) -> None:
    for number in range(tasks):
        task = folder / f"set/task{number}"
        (task / "judge").mkdir(parents=True)
        (task / "requirement.md").write_text(f"A module solution.py with twice(n), number {number}.\n")
        (task / "judge/check.py").write_text(JUDGE.format(seconds=seconds))
        (task / "judge.toml").write_text('command = "python check.py"\n')


def measured(folder: Path, port: int, at_once: int, address: str) -> tuple[float, float, list[dict[str, Any]]]:
    """Seconds of the command, of its runs from the first to the last, and the rows."""
    env = {**os.environ, "COMPANY_PROVIDERS__SLOW__BASE_URL": f"http://127.0.0.1:{port}/v1"}
    words = ["bench", "set", "--model", "slow:m", "--split", "all", "--plain", "--parallel", str(at_once)]
    words += ["--on", address] if address else []
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "company", *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    whole = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    rows = [json.loads(line) for line in (folder / "workspace/bench/RESULTS.jsonl").read_text().splitlines()]
    runs = max(row["time"] for row in rows) - min(row["time"] - row["seconds"] for row in rows)
    return whole, runs, rows


def on_cluster(folder: Path, port: int, nodes: int) -> tuple[float, float, list[dict[str, Any]]]:
    from ray.cluster_utils import Cluster  # the head has no core: only the nodes make runs

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        return measured(folder, port, nodes, cluster.address)
    finally:
        cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="?", type=int, default=8)
    parser.add_argument("seconds", nargs="?", type=float, default=3.0)
    asked = parser.parse_args()
    print("| what takes time | where | command, s | ratio | its runs, s | ratio | load |")
    print("|---|---|---|---|---|---|---|")
    for kind, model, judge in (("the model", asked.seconds, 0.0), ("the judge", 0.0, asked.seconds)):
        server, first, same = endpoint(model), (0.0, 0.0), None
        for place, at_once in PLACES.items():
            with tempfile.TemporaryDirectory() as name:
                lay_out(Path(name), asked.tasks, judge)
                make = on_cluster if place in CORES else measured
                words = (at_once,) if place in CORES else (at_once, "")
                whole, runs, rows = make(Path(name), server.server_port, *words)
            keys = sorted((row["key"], row["passed"], row["calls"]) for row in rows)
            same = same or keys
            assert keys == same, "another place has other results"
            first = first if first[0] else (whole, runs)
            cells = [f"{whole:.1f}", f"{first[0] / whole:.2f}", f"{runs:.1f}", f"{first[1] / runs:.2f}"]
            print(f"| {kind} | {place} | {' | '.join(cells)} | {os.getloadavg()[0]:.1f} |", flush=True)
        server.shutdown()


if __name__ == "__main__":
    main()
