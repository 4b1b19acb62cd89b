"""A real GGUF model of 140 KB, one layer, zero weights: llama.cpp loads and serves it at once.

It says nothing sensible; it is there so that the server's life can be tested for real and without a download.
"""

from __future__ import annotations

import struct
from pathlib import Path

_UINT32, _FLOAT32, _STRING, _ARRAY, _INT32 = 4, 6, 8, 9, 5
_WIDTH, _FEED, _CONTEXT = 32, 64, 4096


def write(path: Path) -> Path:
    """Write the model to `path`."""
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *map(chr, range(33, 127)),
        "▁",
    ]
    kinds = [2, 3, 3, *[6] * 256, *[1] * 95]
    facts = [
        _text("general.architecture", "llama"),
        _number("llama.context_length", _CONTEXT),
        _number("llama.embedding_length", _WIDTH),
        _number("llama.block_count", 1),
        _number("llama.feed_forward_length", _FEED),
        _number("llama.attention.head_count", 1),
        _number("llama.rope.dimension_count", _WIDTH),
        _name("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", _FLOAT32, 1e-5),
        _text("tokenizer.ggml.model", "llama"),
        _array("tokenizer.ggml.tokens", _STRING, b"".join(map(_name, tokens)), len(tokens)),
        _array(
            "tokenizer.ggml.scores",
            _FLOAT32,
            struct.pack(f"<{len(tokens)}f", *[0.0] * len(tokens)),
            len(tokens),
        ),
        _array("tokenizer.ggml.token_type", _INT32, struct.pack(f"<{len(tokens)}i", *kinds), len(tokens)),
        _number("tokenizer.ggml.bos_token_id", 1),
        _number("tokenizer.ggml.eos_token_id", 2),
    ]
    square, wide, tall = (_WIDTH, _WIDTH), (_WIDTH, _FEED), (_FEED, _WIDTH)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (_WIDTH, len(tokens)),
        "output": (_WIDTH, len(tokens)),
        "output_norm": (_WIDTH,),
        "blk.0.attn_norm": (_WIDTH,),
        "blk.0.attn_q": square,
        "blk.0.attn_k": square,
        "blk.0.attn_v": square,
        "blk.0.attn_output": square,
        "blk.0.ffn_norm": (_WIDTH,),
        "blk.0.ffn_gate": wide,
        "blk.0.ffn_up": wide,
        "blk.0.ffn_down": tall,
    }
    table, offset = b"", 0
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        table += _name(f"{name}.weight") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += count * 4  # every size here is a multiple of the alignment, 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(facts)) + b"".join(facts) + table
    path.write_bytes(head + b"\0" * (-len(head) % 32) + b"\0" * offset)
    return path


def write_head(path: Path, kind: str, numbers: dict[str, int | list[int]]) -> Path:
    """Write the head of a model of some other kind, and nothing else, to `path`."""
    facts = [_text("general.architecture", kind)]
    for name, value in numbers.items():
        if isinstance(value, int):
            facts.append(_number(f"{kind}.{name}", value))
        else:
            facts.append(_array(f"{kind}.{name}", _INT32, struct.pack(f"<{len(value)}i", *value), len(value)))
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(facts)) + b"".join(facts))
    return path


def _name(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _text(key: str, value: str) -> bytes:
    return _name(key) + struct.pack("<I", _STRING) + _name(value)


def _number(key: str, value: int) -> bytes:
    return _name(key) + struct.pack("<II", _UINT32, value)


def _array(key: str, kind: int, items: bytes, count: int) -> bytes:
    return _name(key) + struct.pack("<IIQ", _ARRAY, kind, count) + items
