"""Rows in, one summary out: nothing of the hidden judge in it, and nothing left out in silence."""

import io
import json
import math
from typing import Any

import pytest
from made_rows import SECRET, row, rows_of
from rich.console import Console

from company.bench.honesty import honesty
from company.bench.summary import summarise
from company.bench.tables import markdown, rate, tables, terminal


def test_a_procedure_against_the_baseline() -> None:
    rows = [*rows_of("waterfall", "++++-+++++-+", prompt_tokens=5900, lines=60), *rows_of("zero_shot", "+-+-+-+-+-+-")]
    base, made = summarise(rows).groups
    assert (base.sop, base.against, made.sop) == ("zero_shot", None, "waterfall"), "the baseline comes first"
    assert made.passed
    assert base.passed
    assert made.passed.value == pytest.approx(10 / 12)
    assert made.against
    assert made.against.tasks == 12
    assert made.against.difference
    assert made.against.difference.value == pytest.approx(4 / 12)
    assert made.against.gained == ("t1", "t3", "t5", "t7", "t9", "t11")
    assert made.against.lost == ("t4", "t10")
    assert made.against.removed
    assert made.against.removed.value == pytest.approx(4 / 6)
    assert (made.tokens, made.line_tokens, made.cached_tokens, made.calls) == (6000, 100, 300, 2)
    assert made.usd == pytest.approx(0.001)
    assert made.score == pytest.approx((10 + 2 * 0.25) / 12)
    assert made.failures == {"wrong answer": 2}


def test_a_model_and_a_variation_have_their_own_baseline() -> None:
    rows = [
        *rows_of("zero_shot", "++"),
        *rows_of("zero_shot", "--", variation="rename"),
        *rows_of("debate", "+-", variation="rename"),
        *rows_of("debate", "++", model="local:large"),
    ]
    found = {(group.model, group.sop, group.variation): group.against for group in summarise(rows).groups}
    against = found["local:tiny", "debate", "rename"]
    assert against
    assert against.difference
    assert against.difference.value == 0.5
    assert found["local:large", "debate", ""] is None
    assert (
        "debate local:large test: zero_shot was not run, so there is nothing to compare with." in summarise(rows).notes
    )


def test_a_variation_is_compared_with_the_common_tasks_as_they_are() -> None:
    rows = [row(f"t{number}", passed=number < 10) for number in range(20)]
    rows += [row(f"t{number}", passed=number == 10, variation="rename") for number in range(8, 20)]
    plain, varied = summarise(rows).groups
    assert plain.varied is None
    assert varied.varied
    assert (varied.varied.tasks, varied.varied.unpaired) == (12, 8)
    assert varied.varied.difference
    assert varied.varied.difference.value == pytest.approx(-1 / 12)
    assert varied.varied.p == 1.0
    assert (varied.varied.gained, varied.varied.lost) == (("t10",), ("t8", "t9"))
    text = markdown(summarise(rows))
    assert "## Tasks said otherwise (data set small, split test, model local:tiny, variation rename)" in text
    section = text.partition("## Tasks said otherwise")[2].partition("##")[0]
    assert "| zero_shot | 12 | -8.3 % [" in section
    assert "] | 1.000 | 1 | 2 |" in section
    assert "on 12 common tasks; 8 that were measured only one way are left out" in text
    alone = summarise(rows_of("zero_shot", "+" * 12, variation="rename"))
    assert alone.notes == (
        "zero_shot local:tiny test rename: the tasks as they are were not run, so there is nothing to compare with.",
    )
    assert "said otherwise" not in markdown(alone)


def test_what_must_be_known_is_noted() -> None:
    rows = [
        *rows_of("zero_shot", "+-+"),
        *rows_of("waterfall", "++"),
        row("t0", "waterfall", True, seed=1, sop_digest="d2"),
        row("t1", "waterfall", False),
    ]
    summary = summarise(rows)
    assert summary.groups[1].runs == 3
    assert summary.groups[1].passed
    assert summary.groups[1].passed.value == 0.5, "the last row of the same task and seed counts"
    notes = " ".join(summary.notes)
    for said in (
        "1 rows were of a task, procedure and seed that came again later",
        "2 versions of the procedure are counted together",
        "1 runs of a task and seed are missing",
        "compared with zero_shot on 2 common tasks; 1 that only one of them has are left out",
        "2 tasks are too few to tell procedures apart",
    ):
        assert said in notes


def test_nothing_of_the_hidden_judge_is_in_a_summary_of_the_test_half() -> None:
    for split, seen in (("test", False), ("all", False), ("dev", True)):
        rows = [*rows_of("zero_shot", "+-+-", split=split), *rows_of("waterfall", "-+++", split=split)]
        summary = summarise(rows)
        text = markdown(summary) + json.dumps(summary.as_json()) + shown(rows)
        assert (SECRET in " ".join(text.split())) is seen, split


def shown(rows: list[dict[str, object]]) -> str:
    console = Console(file=io.StringIO(), width=400)
    console.print(terminal(summarise(rows)))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_tasks_that_went_the_other_way_lead_to_their_runs() -> None:
    rows = [*rows_of("zero_shot", "-" * 30 + "+++"), *rows_of("waterfall", "+" * 30 + "---")]
    summary = summarise(rows)
    assert len(summary.flips) == 33
    first = summary.flips[0]
    assert (first.task, first.gained, first.failure) == ("t0", True, "wrong answer")
    assert first.failed.command == "company show r-t0-zero_shot --workspace 'out/work space'"
    assert first.passed.command == "company show r-t0-waterfall --workspace 'out/work space'"
    text = markdown(summary, most_flips=10)
    assert "30 gained and 3 lost against zero_shot; 10 are shown" in text
    assert text.count("| lost | wrong answer |") == 3
    assert text.count("| gained | wrong answer |") == 7


def test_with_several_seeds_the_failing_and_the_passing_run_are_found() -> None:
    seeds = [(0, True), (1, False), (2, True)]
    rows = [row("a", "zero_shot", passed, seed=seed, run=f"z{seed}") for seed, passed in seeds]
    rows += [row("a", "debate", True, seed=seed, run=f"d{seed}") for seed, _ in seeds]
    (flip,) = summarise(rows).flips
    assert "show z1 " in flip.failed.command
    assert "show d0 " in flip.passed.command


def test_the_tables() -> None:
    rows = [*rows_of("zero_shot", "+-+-+-+-+-+-"), *rows_of("waterfall", "++++++++++++", usd=None)]
    text = markdown(summarise(rows))
    assert "## Quality (data set small, split test, model local:tiny, variation as it is)" in text
    quality = next(line for line in text.split("\n") if line.startswith("| waterfall | 12 |"))
    assert quality.split(" | ")[3].startswith("100.0 % [75.8, 100.0]")
    assert "+50.0 % [+25.0, +75.0] | 0.031 | +100.0 % | 6 | 0 |" in quality
    assert "unknown" in next(line for line in text.split("\n") if line.startswith("| waterfall | 2.0 |"))
    assert "| zero_shot | 6 of 12 |" in text
    assert "Under zero_shot a run is accepted as soon as its files can be compiled" in text
    plain = " ".join(shown(rows).split())
    assert "100.0 % [75.8, 100.0]" in plain
    assert "[bold]" not in plain


def test_nothing_ran() -> None:
    summary = summarise([])
    assert summary.as_json() == {"baseline": "zero_shot", "groups": [], "pairs": [], "flips": [], "notes": []}
    assert tables(summary) == []
    assert shown([]).strip() == ""


def test_a_summary_is_json_without_nan() -> None:
    rows = rows_of("zero_shot", "--", accepted=None, lines=0)
    data = summarise(rows).as_json()
    json.dumps(data, allow_nan=False)
    (group,) = data["groups"]
    assert group["honesty"]["precision"] == {"value": None, "low": None, "high": None}
    assert group["line_tokens"] is None
    assert markdown(summarise(rows)).count("–") > 3


def test_foreign_words_steer_nothing() -> None:
    rows = [row("a|b\x1b[2J\nc", "zero_shot", False, failure="x\x1b]0;y\x07"), row("a|b\x1b[2J\nc", "debate", True)]
    text = markdown(summarise(rows)) + shown(rows)
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "a\\|b [2J c" in text


def test_rates() -> None:
    assert rate(None) == "–"
    assert rate(honesty([]).precision) == "–"


def test_does_the_company_know_what_it_has_done() -> None:
    rows = [
        *rows_of("w", "++++++++--", accepted=True),
        *rows_of("w", "+---", accepted=False),
        *rows_of("w", "-", accepted=None),
    ]
    found = honesty(rows)
    assert found.precision.value == 0.8
    assert found.rightly_refused.value == 0.75
    assert found.recall.value == pytest.approx(8 / 9)
    assert found.knew.value == pytest.approx(3 / 15)
    assert found.misled.value == pytest.approx(2 / 15)
    assert found.precision.low
    assert 0.4 < found.precision.low < 0.8
    assert [(claim.said, claim.runs) for claim in found.claims] == [
        ("accepted", 10),
        ("not accepted", 4),
        ("said nothing", 1),
    ]
    assert found.claims[1].right.value == 0.25
    assert found.claims[1].score == pytest.approx((1 + 3 * 0.25) / 4)
    assert math.isnan(honesty(rows_of("w", "++", accepted=False)).precision.value)


def test_rows_of_several_programs_are_not_compared_in_silence() -> None:
    rows = [*rows_of("zero_shot", "+-" * 6, program="0.1.0 aa"), *rows_of("waterfall", "++" * 6, program="0.1.0 aa")]
    assert summarise(rows).notes == ()
    rows[-2:] = [row(f"t{number}", "waterfall") for number in (10, 11)]
    (note,) = summarise(rows).notes
    assert "small local:tiny: the rows are of 2 programs, and a difference may be theirs" in note
    assert "0.1.0 aa: 12 of zero_shot, 10 of waterfall; one that did not say: 2 of waterfall." in note
    assert "A new --out measures all by one." in note


def test_procedures_that_were_asked_for_are_compared_with_each_other() -> None:
    rows = [*rows_of("zero_shot", "-" * 12), *rows_of("a", "+" * 6 + "-" * 6), *rows_of("b", "-" + "+" * 8 + "---")]
    rows += rows_of("c", "+" * 12, model="local:large")
    summary = summarise(rows)
    (pair,) = summary.pairs
    assert (pair.sop, pair.other, pair.model, pair.against.tasks) == ("b", "a", "local:tiny", 12)
    assert (pair.against.gained, pair.against.lost, pair.against.p) == (("t6", "t7", "t8"), ("t0",), 0.625)
    data = summary.as_json()["pairs"][0]
    assert (data["other"], data["against"]["gained"], data["against"]["difference"]["value"]) == (
        "a",
        ["t6", "t7", "t8"],
        2 / 12,
    )
    text = markdown(summary)
    section = text.partition("## Procedures against each other")[2].partition("##")[0]
    assert "| b | a | 12 | +16.7 % [" in section
    assert "] | 0.625 | 3 | 1 |" in section
    assert "not corrected" not in section
    lost = text.partition("## Tasks on which two procedures differ")[2]
    assert "3 gained and 1 lost; 4 are shown" in lost
    assert "| t0 | b local:tiny | a | lost | wrong answer | company show r-t0-b --" in lost
    assert "against zero_shot; 14 are shown" in text.partition("## Tasks that went the other way")[2].partition("##")[0]


def test_five_procedures_make_ten_pairs_whose_p_is_said_not_to_be_corrected() -> None:
    rows = [each for sop in ("zero_shot", *"abcde") for each in rows_of(sop, "+-" * 6)]
    (table,) = (table for table in tables(summarise(rows)) if table.title.startswith("Procedures against"))
    assert [tuple(line[:2]) for line in table.rows[:3]] == [("b", "a"), ("c", "a"), ("d", "a")]
    assert (len(table.rows), table.named) == (10, 2)
    assert "not corrected for 10 comparisons" in table.notes[1]
    assert "below 0.0050" in table.notes[1]


def test_a_pair_that_was_measured_on_both_halves_is_one_comparison() -> None:
    rows = [each for sop in ("zero_shot", "a", "b") for each in rows_of(sop, "+-" * 6)]
    for number, each in enumerate(rows):
        each["split"] = "dev" if number % 3 else "test"

    def notes(found: list[dict[str, Any]]) -> str:
        made = tables(summarise(found, whole=True))
        return "\n".join(next(table for table in made if table.title.startswith("Procedures against")).notes)

    assert "not corrected" not in notes(rows)
    assert "not corrected for 2 comparisons" in notes([*rows, *({**each, "model": "local:large"} for each in rows)])


def test_both_halves_together_have_a_number_where_one_measurement_asked_for_both() -> None:
    rows = [*rows_of("zero_shot", "+-" * 6), *rows_of("a", "++" * 6), *rows_of("b", "++" * 6)]
    for number, each in enumerate(rows):
        each["split"] = "dev" if number % 3 else "test"
    rows += rows_of("zero_shot", "+", variation="rename", split="dev")
    assert {group.split for group in summarise(rows).groups} == {"dev", "test"}
    summary = summarise(rows, whole=True)
    found = {group.sop: group for group in summary.groups if group.split == "all"}
    assert [*found] == ["zero_shot", "a", "b"], "and of what has one half alone there is no whole"
    assert {group.tasks for group in found.values()} == {12}
    assert found["a"].against
    assert len(found["a"].against.gained) == 6
    assert [(pair.sop, pair.split) for pair in summary.pairs] == [("b", "all"), ("b", "dev"), ("b", "test")]
    assert len([flip for flip in summary.flips if flip.sop == "a"]) == 6, "each task once"
    assert "| all | zero_shot | 12 |" in markdown(summarise(rows[:-1], whole=True))
    assert not [note for note in summary.notes if "local:tiny all" in note and "too few" in note]
