"""Shipped procedures, damaged as people and editors damage them: the checker answers, quickly, and what it lets pass compiles."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from company.compiler import compile_procedure
from company.errors import SopError
from company.sop.diagnostics import SourceText
from company.sop.diagram import edges, mermaid
from company.sop.library import Library
from company.sop.linker import link

LIBRARY = Library(None)
SHIPPED = {name: path.read_text("utf-8") for name, path in LIBRARY.sops().items()}
FEATURES = Path(__file__).parent.parent / "bad_sops"
TEXTS = [*SHIPPED.values(), *(path.read_text("utf-8") for path in sorted(FEATURES.glob("*.yaml")))]
WORDS = [
    "role:", "run:", "gate: human", "for_each:", "loop:", "use: build", "in:", "out:", "when:", "until:", "max:", "do:", "as:", "key:",
    "needs:", "after:", "updates:", "cascade: [small]", "accept:", "sample: 3", "tools: [python]", "choices:", "headless:", "show:",
    "with:", "steps:", "artifacts:", "roles:", "inputs:", "deliver:", "best:", "prev", "history", "answer", "maybe.", "requirement",
    "design.files", "[]", "{}", "[[", "}}", "null", "~", "true", "yes", "0", "-1", "1e9", "1_000", "*x", "&x", "<<: *x", "!!python/object",
    "'", '"', "|", ">", "#", "@", "`", "%", "\t", "\x00", "\u2028", "\ufeff", "é", "𝒙", "$lead.expert", "one_of(a, b)", "[SourceFile]",
    "Review", "not", "and", "==", "(" * 40, "a." * 50, "x" * 2000,
]  # fmt: skip


def damaged(text: str, chance: random.Random) -> str:
    """The text after one to six edits."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(lines))
        line = lines[place]
        match chance.randrange(9):
            case 0:
                del lines[place]
            case 1:
                lines.insert(place, chance.choice(lines))
            case 2:
                other = chance.randrange(len(lines))
                lines[place], lines[other] = lines[other], line
            case 3:
                at = chance.randint(0, len(line))
                lines[place] = line[:at] + chance.choice(WORDS) + line[at:]
            case 4:
                lines[place] = " " * chance.randint(0, 8) + line.lstrip()
            case 5 if line:
                at = chance.randrange(len(line))
                lines[place] = line[:at] + line[at + 1 :]
            case 6:
                words = line.split(" ")
                words[chance.randrange(len(words))] = chance.choice(WORDS)
                lines[place] = " ".join(words)
            case 7:
                lines = lines[: place + 1]
            case _:
                start = chance.randrange(len(lines))
                lines[place:place] = lines[start : start + chance.randint(1, 6)]
        if not lines:
            lines = [""]
    return "\n".join(lines)


def answer(text: str) -> bool:
    """Whether the checker lets it pass; where it does, everything that reads a procedure takes it."""
    began = time.process_time()
    try:
        procedure = link(SourceText(Path("sops/fuzz.yaml"), "sops/fuzz.yaml", text), LIBRARY)
    except SopError as error:
        assert error.report.count("error[SOP") >= 1, text
        return False
    finally:
        assert time.process_time() - began < 1, text
    compile_procedure(procedure)
    assert edges(procedure)
    assert mermaid(procedure)
    return True


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(TEXTS), st.integers(0, 2**32))
def test_a_damaged_procedure_is_checked_and_never_crashes(text: str, seed: int) -> None:
    answer(damaged(text, random.Random(seed)))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_no_text_at_all_crashes_the_checker(text: str) -> None:
    answer(text)


def test_some_damage_is_let_pass_and_some_is_not() -> None:
    passed = [answer(damaged(SHIPPED["waterfall"], random.Random(seed))) for seed in range(80)]
    assert 3 < sum(passed) < 77  # else the test above tries nothing


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(f"b{n}: &b{n} [*a, *a, *a, *a, *a]" for n in range(9)),
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "a:\n" + "\n".join(" " * depth + "a:" for depth in range(1, 800)),
        "sop: 1\nsteps: {a: {role: engineer, when: " + "(" * 900 + "}}",
        "sop: 1\nsteps: {a: {role: engineer, when: " + "not " * 240 + "x}}",
        "sop: 1\nartifacts: {A: {x: " + "[" * 30 + "str" + "]" * 30 + "}}\nsteps: {}",
        "sop: 1\nsteps:\n"
        + "\n".join(f"  s{n}: {{gate: human, choices: {{a: s0}}, max: 1, headless: a}}" for n in range(300)),
        "x" * 900_000,
        "sop: 1\nname: " + "9" * 100_000,
    ],
    ids=lambda text: text[:20].replace("\n", " "),
)
def test_bombs_are_refused_within_a_second(text: str) -> None:
    assert answer(text) is False


def test_procedures_that_use_the_next_twice_are_refused_within_a_second(tmp_path: Path) -> None:
    (tmp_path / "sops").mkdir()
    for number in range(24):
        uses = "".join(f"  {name}: {{use: d{number + 1}, with: requirement}}\n" for name in "ab")
        (tmp_path / f"sops/d{number}.yaml").write_text(f"sop: 1\nsteps:\n{uses}")
    last = "sop: 1\nsteps:\n  c: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}\n"
    (tmp_path / "sops/d24.yaml").write_text(last)
    first = tmp_path / "sops/d0.yaml"
    began = time.process_time()
    with pytest.raises(SopError) as caught:
        link(SourceText(first, "sops/d0.yaml", first.read_text()), Library(tmp_path))
    assert time.process_time() - began < 1
    assert {found.code for found in caught.value.diagnostics} == {"SOP105"}
