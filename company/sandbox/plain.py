"""No sandbox at all: a child process in a temporary folder. Only for who asks for it in so many words.

Generated code can read and write whatever this user can. The real back end: `bubblewrap.py`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from company.sandbox.base import Result, Spec, check_paths
from company.sandbox.process import Descriptors, watch


class PlainProcess:
    """Runs jobs unprotected. Wall time, output and memory are limited, the rest of `Limits` is not."""

    name = "no sandbox"

    async def run(self, spec: Spec) -> Result:
        """As `Sandbox.run` says, except that a process which leaves the tree may outlive the job."""
        check_paths(spec.files)
        environment = {key: value for key in ("PATH", "LANG") if (value := os.environ.get(key))}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Descriptors() as descriptors:
            box, home = _lay_out(Path(folder), spec)
            environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
            if spec.report:
                environment["COMPANY_REPORT_FD"] = str(descriptors.pipe())
            argv = (sys.executable, *spec.argv[1:]) if spec.argv[0] == "python" else spec.argv
            try:
                outcome = await watch(
                    argv,
                    environment=environment,
                    limits=spec.limits,
                    stdin=spec.stdin,
                    descriptors=descriptors,
                    folder=str(box),
                )
            except OSError as error:
                return Result("exit", 127, "", f"{argv[0]}: {error.strerror}\n", 0.0, b"", self.name)
        code = outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code
        return Result(
            outcome.reason,
            code if outcome.reason == "exit" else None,
            outcome.stdout.decode("utf-8", "replace"),
            outcome.stderr.decode("utf-8", "replace"),
            outcome.seconds,
            b"".join(outcome.extra),
            self.name,
        )


def _lay_out(folder: Path, spec: Spec) -> tuple[Path, Path]:
    box, home = folder / "box", folder / "home"
    box.mkdir()
    home.mkdir()
    for path, content in spec.files.items():
        target = box / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if content.startswith(b"#!"):
            target.chmod(0o755)
    return box, home
