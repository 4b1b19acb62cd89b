"""Replies that change what is there: applied whole or not at all, and told with the real lines where they do not fit."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from company.artifacts import SourceFile
from company.errors import ReplyError
from company.excerpts import LEFT_OUT, excerpt
from company.llm.classes import keeping_members
from company.llm.edits import applied, changed_module, edits_in, patched

OLD = '''"""Doc."""
import os

LIMIT = 3


def a(x):
    return x  # a comment


class Box:
    """Holds."""

    size = 1

    def put(self, x):
        self.x = x

    def get(self):
        return self.x


if __name__ == "__main__":
    print(a(1))
'''
TEXT = "one\ntwo\n  three\nfour\ntwo\n"


def block(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"


def apply(reply: str, **files: str) -> dict[str, str]:
    known = {name.replace("_", "."): text for name, text in files.items()}
    return applied(edits_in(reply, [*known]), known, reply)


@pytest.mark.parametrize(
    ("reply", "made"),
    [
        (block("  three", "  drei"), "one\ntwo\n  drei\nfour\ntwo\n"),
        (block("three\nfour", "drei\n  vier"), None),
        (block("four\ntwo", ""), "one\ntwo\n  three\n"),
        (f"Here:\n\n```\n{block('one', 'eins')}```\n", "eins\ntwo\n  three\nfour\ntwo\n"),
        (block("one   ", "eins"), "eins\ntwo\n  three\nfour\ntwo\n"),
        (block("one", "eins") + block("four", "vier"), "eins\ntwo\n  three\nvier\ntwo\n"),
    ],
)  # fmt: skip
def test_blocks(reply: str, made: str | None) -> None:
    if made is None:  # `three` is indented and `four` is not: not the same shift
        with pytest.raises(ReplyError, match="not found"):
            apply(reply, a_txt=TEXT)
    else:
        assert apply(reply, a_txt=TEXT) == {"a.txt": made}


def test_a_block_that_is_indented_otherwise_is_shifted() -> None:
    reply = block("def put(self, x):\n    self.x = x", "def put(self, x):\n    if x:\n        self.x = x")
    made = apply(reply, a_py=OLD)["a.py"]
    assert "    def put(self, x):\n        if x:\n            self.x = x\n\n    def get" in made
    reply = block("      def get(self):\n          return self.x", "      def get(self):\n          return 2")
    assert "    def get(self):\n        return 2\n" in apply(reply, a_py=OLD)["a.py"]


@pytest.mark.parametrize(
    ("reply", "fact", "told"),
    [
        (block("two", "zwei"), "not unique", "2 times in `a.txt`"),
        (block("on", "eins"), "not found", "letter for letter:\none"),
        (block("thrre\nfour", "x"), "not found", "  three\nfour"),
        (block("one", "one"), "change nothing", "change nothing"),
        (block("one", "eins") + block("nowhere", "x"), "not found", "nowhere"),
        (block("", "x"), "empty search", "SEARCH part"),
        ("<<<<<<< SEARCH\none\n=======\neins\n", "not complete", ">>>>>>> REPLACE"),
    ],
)
def test_blocks_that_do_not_fit_say_why(reply: str, fact: str, told: str) -> None:
    with pytest.raises(ReplyError, match=fact) as caught:
        apply(reply, a_txt=TEXT)
    assert told in caught.value.reason


def test_a_block_is_of_the_file_that_is_named_before_it() -> None:
    reply = f"### src/a.txt\n{block('one', 'eins')}\nand `b.txt`:\n{block('x', 'y')}"
    files = {"src/a.txt": TEXT, "b.txt": "x\n"}
    made = applied(edits_in(reply, [*files]), files, reply)
    assert {path: text.partition("\n")[0] for path, text in made.items()} == {"src/a.txt": "eins", "b.txt": "y"}
    with pytest.raises(ReplyError, match="no path"):
        edits_in(block("one", "x"), [*files])


def test_a_block_that_breaks_python_is_refused() -> None:
    with pytest.raises(ReplyError, match="does not parse") as caught:
        apply(block("    return x  # a comment", "    return (x"), a_py=OLD)
    assert "return (x" in caught.value.reason


def change(new: str, wanted: str = "") -> str:
    return changed_module("a.py", OLD, new, wanted, new)


def test_a_function_alone_changes_nothing_else() -> None:
    made = change("def a(x, y=0):\n    return x + y\n")
    assert made == OLD.replace("def a(x):\n    return x  # a comment", "def a(x, y=0):\n    return x + y")


def test_methods_alone_are_put_into_their_class() -> None:
    made = change(
        "class Box:\n    limit = 5\n\n    def get(self):\n        return 2\n\n    def drop(self):\n        del self.x\n"
    )
    assert '"""Holds."""\n\n    limit = 5\n    size = 1\n\n    def put(self, x):\n        self.x = x\n' in made
    assert "    def get(self):\n        return 2\n\n    def drop(self):\n        del self.x\n\n\nif __name__" in made
    ast.parse(made)


def test_what_a_reply_elides_stays() -> None:
    new = f"import os\nimport re\n\ndef a(x):\n    {LEFT_OUT}\n\nclass Box:\n    def put(self, x):\n        ...\n\n    def get(self):\n        return re.sub('a', 'b', self.x)\n"
    made = change(new)
    assert "return x  # a comment" in made
    assert "        self.x = x\n" in made
    assert "import re\n" in made
    assert "re.sub" in made


def test_the_whole_file_again_changes_only_what_differs() -> None:
    made = change(OLD.replace("  # a comment", "").replace("LIMIT = 3", "LIMIT = 4"))
    assert made == OLD.replace("LIMIT = 3", "LIMIT = 4")


def test_a_function_goes_only_where_the_task_speaks_of_it() -> None:
    new = OLD.replace("def a(x):\n    return x  # a comment\n\n\n", "").replace("print(a(1))", "print(1)")
    assert "def a" not in change(new, "remove the function a")
    kept = change("def b():\n    return 1\n")
    assert "def a" in kept
    assert "def b" in kept


def test_a_reply_that_changes_nothing_is_told_so() -> None:
    for new in (OLD, "def a(x):\n    return x\n", f"def a(x):\n    {LEFT_OUT}\n"):
        with pytest.raises(ReplyError, match="changes nothing"):
            change(new)


def test_a_class_written_anew_keeps_the_members_that_it_leaves_out() -> None:
    made = keeping_members(OLD, "import re\n\n\nclass Box:\n    def get(self):\n        return 2\n")
    assert made.startswith("import re\n")
    assert "        self.x = x\n\n    def get(self):\n        return 2\n" in made


def test_a_file_that_is_no_python_is_not_cut() -> None:
    old = SourceFile(path="a.js", content="".join(f"line({number});\n" for number in range(50)))
    with pytest.raises(ReplyError, match="would be cut"):
        patched("", [old], [SourceFile(path="a.js", content="line(1);\n")], "")
    made = patched("", [old], [SourceFile(path="a.js", content=old.content + "more();\n")], "")
    assert made[0].content.endswith("more();\n")


LINES = st.lists(st.sampled_from(["a", "b", "  c", "d", ""]), min_size=1, max_size=8)


@given(LINES, st.integers(0, 7), st.integers(1, 4), LINES)
@settings(max_examples=100, deadline=None)
def test_a_block_replaces_exactly_what_it_names_or_nothing(
    lines: list[str], at: int, size: int, replace: list[str]
) -> None:
    search = lines[at : at + size]
    if not "".join(search).strip():
        return
    reply = block("\n".join(search), "\n".join(replace))
    try:
        (made,) = apply(reply, a_txt="\n".join(lines) + "\n").values()
    except ReplyError:
        return
    places = [n for n in range(len(lines)) if [x.strip() for x in lines[n : n + size]] == [x.strip() for x in search]]
    assert places
    kept = [line.strip() for line in (*lines[:at], *lines[at + size :]) if line.strip()]
    assert sorted([*kept, *(line.strip() for line in replace if line.strip())]) == sorted(
        line.strip() for line in made.split("\n") if line.strip()
    )


def test_an_excerpt_keeps_what_the_words_name() -> None:
    code = "import os\n\n\n" + "\n\n\n".join(
        f"def f{number}(x):\n" + "".join(f"    x += {row}\n" for row in range(30)) + "    return x"
        for number in range(40)
    )
    shown = excerpt("a.py", code, "f7() is wrong", 3000)
    assert len(shown) < 4500
    assert "def f7(x):\n    x += 0\n    x += 1\n" in shown
    assert "def f39(x):\n    ...  # left out" in shown
    ast.parse(shown)
    text = "".join(f"row {number}\n" for number in range(3000)) + "needle here\n"
    shown = excerpt("a.txt", text, "the needle", 500)
    assert "needle here" in shown
    assert "row 0\n" in shown
    assert len(shown) < 600
