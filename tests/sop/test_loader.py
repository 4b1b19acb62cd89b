"""Reading YAML: places, what is refused, and that nothing crashes it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support import library

from company.errors import SopError
from company.sop import loader
from company.sop.diagnostics import Diagnostics, SourceText, render
from company.sop.linker import link
from company.sop.loader import Node, load

WORKING = (Path(__file__).parent / "library/sops/waterfall.yaml").read_text()


def read(text: str) -> tuple[Node | None, str]:
    report = Diagnostics()
    node = load(SourceText(Path("x.yaml"), "x.yaml", text), report)
    found = [*report.errors(), *report.warnings()]
    return node, render(found) if found else ""


@pytest.mark.parametrize("parser", [yaml.SafeLoader, loader._Loader], ids=["python", "c"])
def test_data_and_places(parser: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_Loader", parser)
    text = "a: 1\nb: [x, 'y z', {c: 2.5}]\nd:\n  e: no\n  f: |\n    one\n    two\n  on: ~\n  g: 0x10\n  'h': \"1\"\n"
    node, report = read(text)
    assert node
    assert node.data() == {
        "a": 1, "b": ["x", "y z", {"c": 2.5}],
        "d": {"e": "no", "f": "one\ntwo\n", "on": None, "g": "0x10", "h": "1"},
    }  # fmt: skip
    places = {
        ("a",): (1, 4, 1, 5), ("b",): (2, 4, 2, 24), ("b", 1): (2, 8, 2, 13), ("b", 2, "c"): (2, 19, 2, 22),
        ("d", "e"): (4, 6, 4, 8), ("d", "nothing"): (4, 3, 10, 11),
    }  # fmt: skip
    for path, place in places.items():
        span = node.place(*path)
        assert (span.line, span.column, span.end_line, span.end_column) == place, path
    assert report.count("SOP103") == 1, "a key is no trap, a plain value is"


def test_lines_are_counted_as_yaml_counts_them() -> None:
    node, _ = read("a: 1\r\nb: 2\rc: 3\u2028d: 4\n\ufeffe: 5\n".replace("\ufeff", ""))
    assert node
    assert [node.place(key).line for key in "abcde"] == [1, 2, 3, 4, 5]
    _, report = read("a: é漢\u2028a: 2\n")
    assert "x.yaml:2:1" in report
    assert "2 | a: 2" in report


def test_carets_stand_under_wide_characters_and_tabs() -> None:
    _, report = read("漢字: {a: 1,\ta: 2}\n")
    line, caret = report.splitlines()[3:5]
    assert line == "1 | 漢字: {a: 1, a: 2}"
    assert caret.index("^") == line.index(", a") + 2 + 2, "two characters take two columns more"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: " + "[" * 60 + "]" * 60, "nested more than 40 deep"),
        ("a: " + "[" * 900_000, "nested more than 40 deep"),
        ("a:\n" + "".join(" " * n + "- \n" for n in range(1, 60)), "nested more than 40 deep"),
        ("a: [" + "1," * 200_001 + "]", "more than 200000 values"),
        ("a: " + "x" * 1_000_001, "larger than 1000000 characters"),
        ("a: \ud800", "no text"),
        ("a: \x00", "special characters are not allowed"),
    ],
    ids=["flow", "open", "block", "many", "long", "surrogate", "control"],
)
def test_bounds(text: str, said: str) -> None:
    node, report = read(text)
    assert node is None
    assert said in report


PIECES = st.sampled_from(
    ["a", "steps", ":", ": ", "\n", "\n  ", "- ", "[", "]", "{", "}", ",", "&a", "*a", "!!x", "!", "|", ">", "'", '"', "#",
     "? ", "<<: ", "---\n", "...\n", "%YAML 1.1\n", "\t", "\\", "yes", "1", "é", "\u2028", "\x85", "\ufeff", "~", "@", "`"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
def test_no_text_crashes_it(text: str) -> None:
    node, report = read(text)
    assert node is not None or report


WORDS = st.sampled_from(
    ["", "null", "true", "3", "-1", "[]", "{}", "[requirement]", "{a: b}", "prd", "code.x", "maybe.fix", "prev.test", "'('",
     "not not", "verify", "verify.test", "Prd", "'[Prd]'", "loop", "{loop: {}}", "{do: {}}", "[[x]]", "$x", "é", "a.b.c.d"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 400), st.integers(0, 3), WORDS)
def test_no_edit_of_a_procedure_crashes_the_linker(at: int, length: int, word: str) -> None:
    """Values swapped for others: the checker passes or reports, and every report has a place in the file."""
    tokens = [token for token in yaml.scan(WORKING, Loader=yaml.SafeLoader) if isinstance(token, yaml.ScalarToken)]
    token = tokens[at % len(tokens)]
    end = tokens[(at % len(tokens) + length) % len(tokens)].end_mark.index
    text = WORKING[: token.start_mark.index] + word + WORKING[max(end, token.end_mark.index) :]
    try:
        procedure = link(SourceText(Path("x.yaml"), "x.yaml", text), library())
    except SopError as error:
        assert "--> x.yaml:" in error.report
    else:
        assert procedure.text == text


def test_an_empty_role_is_called_a_role(tmp_path: Path) -> None:
    report = Diagnostics()
    assert load(SourceText(tmp_path / "roles/critic.yaml", "roles/critic.yaml", "# nothing yet\n"), report) is None
    said = render(report.errors())
    assert "there is no role in the file" in said
    assert "it has `title:` and `profile:`" in said
