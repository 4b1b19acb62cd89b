"""The runtime that the embedded model's server loads: the installed wheel, or a build for this very processor.

A build is made, measured and kept by `building.py`; `local.py` has the server load it. One folder per version of the
package and kind of processor, in ``runtime/`` of the cache folder: a build for another of either is never looked at.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from company.errors import UsageError
from company.llm.download import cache_dir

PACKAGE = "xllamacpp"

_NAMES = {
    "AVX512": "avx512f",
    "AVX512_VBMI": "avx512vbmi",
    "AVX512_VNNI": "avx512_vnni",
    "AVX512_BF16": "avx512_bf16",
    "AVX_VNNI": "avx_vnni",
    "AMX_INT8": "amx_int8",
    "DOTPROD": "asimddp",
    "MATMUL_INT8": "i8mm",
    "SVE": "sve",
}
"""What llama.cpp says that it was built for → what the kernel calls it."""


def version() -> str:
    """The installed version of the runtime.

    Raises:
        UsageError: none is installed.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(
            "the embedded model's runtime is not installed",
            hint=f"pip install {PACKAGE} adds it",
        )
    return metadata.version(PACKAGE)


def builds() -> Path:
    """The folder of all builds. It need not exist."""
    return cache_dir() / "runtime"


def home() -> Path:
    """Where the build of the installed version for this processor lies, if there is one."""
    kind = " ".join([platform.machine(), *sorted(instructions())])
    return builds() / f"{version()}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"


def kept() -> Path | None:
    """The build that the server loads; None: the wheel is used."""
    folder = home()
    return folder if (folder / PACKAGE).is_dir() else None


def instructions() -> frozenset[str]:
    """What this processor can do, by the kernel's names; nothing where the kernel does not say."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, values = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return frozenset(values.split())
    return frozenset()


def unused() -> list[str]:
    """Instructions of this processor that matter to a model and that the installed wheel was not built for."""
    has = built_for(None)
    can = instructions()
    return sorted(ours for ours, name in _NAMES.items() if name in can and ours not in has) if has else []


def built_for(folder: Path | None) -> frozenset[str]:
    """What a build says that it was built for; nothing when it does not load. In a process of its own: it may crash."""
    code = f"import sys; sys.path[:0] = sys.argv[1:]; import {PACKAGE}; print({PACKAGE}.get_system_info())"
    command = [sys.executable, "-P", "-c", code, *([str(folder)] if folder else [])]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    facts = said.stdout.strip().removeprefix("CPU :").split("|") if said.returncode == 0 else []
    return frozenset(name.strip() for name, _, value in (fact.partition("=") for fact in facts) if value.strip() == "1")
