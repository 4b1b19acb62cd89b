"""The map of a repository: what matters for the words comes first, and it fits into its budget."""

import time
from collections.abc import Mapping

import pytest

from company.survey import survey

FILES: Mapping[str, bytes] = {
    "README.md": b"# Shop\nInvoices and carts.\n",
    "shop/__init__.py": b"",
    "shop/cart.py": b"from shop.money import Money\n\nRATE = 1\n\n\nclass Cart(list):\n    def __init__(self, owner):\n        pass\n\n    def add_item(self, item: str) -> None:\n        pass\n\n    def _hidden(self):\n        pass\n",
    "shop/money.py": b"class Money:\n    def rounded(self):\n        return 1\n\n\ndef parse_amount(text):\n    return int(text)\n",
    "shop/invoice.py": b"from . import cart\n\n\ndef render_invoice(cart):\n    return ''\n",
    "shop/utils/money.py": b"def other():\n    pass\n",
    "web/app.js": b"export function start(port) {\n}\nclass App {\n}\n",
    "web/main.go": b"package main\n\nfunc (s *Server) Run(addr string) error {\n}\n",
    "tests/test_cart.py": b"def test_cart():\n    pass\n",
    "logo.png": b"\x89PNG\0\0",
    "latin.txt": b"\xe9",
    ".company/x/run.json": b"{}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("add_item must refuse empty names", "shop/cart.py"),
        ("parse_amount('1,5') fails", "shop/money.py"),
        ("The invoice should show the date", "shop/invoice.py"),
        ('Traceback:\n  File "/home/u/x/shop/utils/money.py", line 2, in other\nValueError: no', "shop/utils/money.py"),
        ('File "shop/cart.py", line 2\nFile "shop/money.py", line 6, in parse_amount\nValueError', "shop/money.py"),
        ("the server must listen on another port: web/main.go", "web/main.go"),
        ("App.start crashes in app.js", "web/app.js"),
    ],
)
def test_what_the_words_are_about_comes_first(words: str, first: str) -> None:
    found = survey(FILES, words)
    assert found.files[0] == first
    assert found.map.split("\n")[1].startswith(first)


def test_the_map_says_what_files_define() -> None:
    found = survey(FILES, "cart")
    assert found.map.startswith("9 files of text, 1 of them tests\n")
    assert (
        "shop/cart.py (14 lines)\n  RATE\n  class Cart(list)\n    __init__(owner)\n    add_item(item: str) -> None\n"
        in found.map
    )
    assert "  export function start(port)\n  class App\n" in found.map
    assert "func (s *Server) Run(addr string) error" in found.map
    assert "_hidden" not in found.map
    assert set(found.files) == FILES.keys() - {"tests/test_cart.py", "logo.png", "latin.txt", ".company/x/run.json"}


def test_a_large_repository_is_mapped_at_once_and_within_its_budget() -> None:
    files = {f"pkg{n % 40}/mod{n}.py": b"import os\n\n\ndef f%d(x):\n    return x\n" % n * 20 for n in range(5000)}
    began = time.process_time()
    found = survey(files, "f4321 is slow, see also pkg3/mod43.py")
    assert time.process_time() - began < 6  # about one second where nothing else runs
    assert len(found.map) <= 6000
    assert set(found.files[:2]) == {"pkg1/mod4321.py", "pkg3/mod43.py"}
    assert "More files, by folder: " in found.map


def test_nothing_is_lost_for_one_file_and_for_none() -> None:
    assert survey({}, "x").files == []
    found = survey({"big.py": b"".join(b"def f%d(): pass\n" % n for n in range(2000))}, "x")
    assert found.files == ["big.py"]
    assert "  def f0()" in found.map
    assert len(found.map) <= 6000
