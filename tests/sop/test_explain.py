"""Every code of the checker is explained, and every example of an explanation does what it says."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from company.errors import SopError, UsageError
from company.sop.diagnostics import CODES, SourceText
from company.sop.explain import explanation, explanations
from company.sop.library import Library
from company.sop.linker import link

FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


class Example(NamedTuple):
    """A procedure, and files beside it by path."""

    procedure: str
    files: dict[str, str]


def examples(code: str) -> tuple[Example, Example]:
    """The wrong one and the right one of a code."""
    about, wrong, right = re.split(r"^(?:Wrong|Right):\n", explanations()[code], flags=re.MULTILINE)
    assert about.strip()
    assert not FENCE.search(about), "every example is under Wrong or Right, so that it is tested"
    found = []
    for text in (wrong, right):
        blocks = FENCE.findall(text)
        assert not FENCE.sub("", text).strip(), "nothing but examples there"
        (procedure,) = [body for language, path, body in blocks if language == "yaml" and not path]
        found.append(Example(procedure, {path: body for _, path, body in blocks if path}))
    return found[0], found[1]


def codes(example: Example, folder: Path) -> list[str]:
    """What the checker says of an example, against the shipped library."""
    for path, text in {**example.files, "sops/example.yaml": example.procedure}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    try:
        source = SourceText(folder / "sops/example.yaml", "sops/example.yaml", example.procedure)
        return [found.code for found in link(source, Library(folder)).warnings]
    except SopError as error:
        return [found.code for found in error.diagnostics]


def test_every_code_is_explained_and_no_other() -> None:
    assert list(explanations()) == list(CODES)


@pytest.mark.parametrize("code", CODES)
def test_the_wrong_example_gives_the_code_alone_and_the_right_one_nothing(code: str, tmp_path: Path) -> None:
    wrong, right = examples(code)
    assert set(codes(wrong, tmp_path)) == {code}
    assert codes(right, tmp_path) == []


@pytest.mark.parametrize("given", ["SOP204", "sop204", "204", " Sop204 "])
def test_a_code_may_be_written_in_several_ways(given: str) -> None:
    assert explanation(given).startswith(f"SOP204: {CODES['SOP204']}\n\n")


@pytest.mark.parametrize(
    ("given", "hint"), [("SOP24", "SOP204"), ("2O4", "lists them"), ("x", "lists them"), ("999", "lists them")]
)
def test_an_unknown_code_has_a_way_out(given: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        explanation(given)
    assert raised.value.exit_code == 2
    assert hint in raised.value.hint
