"""What this machine has for the embedded model's server, and what of it a model needs: looked at before one is started.

Taken from the kernel and from the head of the GGUF file. Who starts it: `local.py`.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from company.errors import UsageError

_SIMPLE = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 20
"""Bytes of a name or text in a file's head; more is damage."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes that a server needs."""

    weights: int
    """The file."""
    per_token: int
    """Keys and values of one token of context, as far as it is certain that they are kept."""
    work: int
    """Buffers of one batch, and the process itself."""

    def total(self, context: int, slots: int) -> int:
        """All of it, for so many tokens of context in each of so many slots."""
        return self.weights + self.per_token * context * slots + self.work


def needs(path: Path) -> Needs | None:
    """What the model in `path` needs; None where its head does not say (the server will say what is wrong with it)."""
    try:
        with path.open("rb") as file:
            head = _head(file)
        kind = head["general.architecture"]
        width, heads = int(head[f"{kind}.embedding_length"]), _most(head[f"{kind}.attention.head_count"])
        key = head.get(f"{kind}.attention.key_length", width // heads)
        value = head.get(f"{kind}.attention.value_length", width // heads)
        per_token = _kept_heads(head, kind) * (key + value) * 2  # half precision
        work = _PROCESS + _BATCH * 4 * 16 * width
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, struct.error):
        return None
    return Needs(path.stat().st_size, per_token, work)


def _kept_heads(head: dict[str, Any], kind: str) -> int:
    """Heads of all layers that keep every token's keys and values. The other layers keep a window or a state: no more is certain."""
    layers, heads = int(head[f"{kind}.block_count"]), head[f"{kind}.attention.head_count"]
    shared = head.get(f"{kind}.attention.head_count_kv", heads)
    if head.get(f"{kind}.attention.sliding_window"):
        return 0
    if isinstance(shared, list):
        return sum(shared)
    if every := head.get(f"{kind}.full_attention_interval"):
        return layers // int(every) * int(shared)
    return 0 if any(name.startswith(f"{kind}.ssm.") for name in head) else layers * int(shared)


def _most(value: Any) -> int:
    """The value, or the most of a list that has one for each layer."""
    return max(value) if isinstance(value, list) else int(value)


_PROCESS = 250 * 2**20
"""Bytes of Python, llama.cpp and the server's own tables."""

_BATCH = 512
"""Tokens that llama.cpp works on at once; its buffers grow with it, here some sixteen numbers wide as the model."""


def available(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that may be used without swapping: the machine's, within the limit of the container whose folder is `group`."""
    import psutil

    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # "max" or no such file: no limit
        limit = int((group / "memory.max").read_text())
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # What of files lies in memory, as the model's own does once it was read, gives way to whoever needs the room.
        spare = sum(int(facts.get(name, "0")) for name in ("inactive_file", "active_file", "slab_reclaimable"))
        free = min(free, limit - int((group / "memory.current").read_text()) + spare)
    return free


def refuse_too_little(path: Path, model: str, context: int, slots: int) -> None:
    """See that there is memory for a server: one that has too little is killed in the midst of a run, or swaps for hours.

    Raises:
        UsageError: there is too little; the hint says what would fit.
    """
    need, free = needs(path), available()
    if need is None or need.total(context, slots) <= free:
        return
    per_slot = (free - need.total(0, 1)) // max(1, need.per_token) // 1024 * 1024
    ways = ["end other programs"]
    if slots > 1 and per_slot >= context:
        ways.append(f"set `slots = {per_slot // context}`")
    if per_slot >= 1024:
        ways.append(f"set `context = {per_slot // slots if per_slot >= 1024 * slots else 1024}`")
    ways.append("take a smaller model")
    raise UsageError(
        f"{model} needs {need.total(context, slots) / 1e9:.1f} GB of memory with {slots} "
        f"{'slot' if slots == 1 else 'slots'} of {context} tokens, and {free / 1e9:.1f} GB are free",
        place=str(path),
        hint=", or ".join(ways),
    )


def usable_cores() -> int:
    """Cores that this process may use: physical ones, within its CPU affinity and its container's quota."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or allowed
    quota = allowed
    with suppress(OSError, ValueError):  # "max" or no such file: no quota
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        quota = max(1, int(limit) // int(period))
    return min(allowed, physical, quota)


def _head(file: BinaryIO) -> dict[str, Any]:
    """Facts of a GGUF file by name, up to the vocabulary, before which all of them stand."""
    if file.read(4) != b"GGUF":
        raise ValueError("not GGUF")
    _, _, count = struct.unpack("<IQQ", file.read(20))
    facts: dict[str, Any] = {}
    for _ in range(count):
        name = _text(file)
        kind: int = struct.unpack("<I", file.read(4))[0]
        if name == "tokenizer.ggml.tokens":
            break
        facts[name] = _value(file, kind)
    return facts


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        each, count = struct.unpack("<IQ", file.read(12))
        if count > _LONGEST or each == _ARRAY:
            raise ValueError("no list of a model's head")
        return [_value(file, each) for _ in range(count)]
    form = f"<{_SIMPLE[kind]}"
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST:
        raise ValueError("a text too long")
    return file.read(length).decode("utf-8", "replace")
