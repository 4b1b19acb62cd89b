"""Start-up and size: python benchmarks/startup.py

`company --help` against `python -c pass`, and from the start of `company run` to its first request at an endpoint, as the
best of several, side by side; the number and size of the installed packages, with the embedded model's runtime and without.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

ROUNDS = 7


def best(*command: str) -> float:
    """Seconds of the quickest of several runs."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return min(times)


def first_request() -> float:
    """Seconds from starting the process to the moment when the endpoint has its first request."""
    came: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(time.perf_counter())
            self.send_error(400)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            url = f"http://127.0.0.1:{server.server_port}/v1"
            (Path(folder) / "company.toml").write_text(f'[providers.mine]\nbase_url = "{url}"\n')
            came.clear()
            began = time.perf_counter()
            words = ("-m", "company", "run", "a module x.py", "--sop", "zero_shot", "--model", "mine:m")
            subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, check=False)
            times.append(came[0] - began)
    server.shutdown()
    return min(times)


def installed() -> dict[str, float]:
    """Distribution → MB, of what `company` needs, itself included."""
    from packaging.requirements import Requirement

    sizes: dict[str, float] = {}
    waiting = ["company-sim"]
    while waiting:
        distribution = metadata.distribution(waiting.pop())
        name = distribution.metadata["Name"].lower()
        if name in sizes:
            continue
        files = [distribution.locate_file(file) for file in distribution.files or ()]
        sizes[name] = sum(Path(str(file)).stat().st_size for file in files if Path(str(file)).is_file()) / 1e6
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return sizes


def main() -> None:
    bare, help_ = best(sys.executable, "-c", "pass"), best(sys.executable, "-m", "company", "--help")
    print(
        f"python -c pass {1000 * bare:.0f} ms, company --help {1000 * help_:.0f} ms: {help_ / bare:.1f} times as long"
    )
    print(f"start of `company run` to the first request: {first_request():.2f} s")
    sizes = installed()
    without = {name: size for name, size in sizes.items() if name != "xllamacpp"}
    print(f"without the embedded model's runtime: {len(without)} packages, {sum(without.values()):.0f} MB")
    print(f"with it: {len(sizes)} packages, {sum(sizes.values()):.0f} MB")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:5]:
        print(f"  {name} {size:.0f} MB")


if __name__ == "__main__":
    main()
