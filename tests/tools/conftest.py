"""What the tests of tools share: a real sandbox, and a small repository on the bench."""

from __future__ import annotations

import pytest

from company.sandbox import Bubblewrap, Sandbox
from company.tools.base import Workbench

FILES = {
    "main.py": b"from src.words import count\n\n\ndef main():\n    print(count('a b'))\n",
    "src/words.py": b"def count(text):\n    return len(text.split())\n",
    "logo.png": b"\x89PNG\x00\x01",
    "notes.md": "Zählt Wörter.\n".encode(),
}


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return Bubblewrap()


@pytest.fixture
def bench(sandbox: Sandbox) -> Workbench:
    return Workbench(FILES, sandbox, seconds=20.0)
