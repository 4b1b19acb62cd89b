"""The picture of a summary: well formed, nothing from elsewhere, labels apart."""

import itertools
import random
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import row, rows_of

from company.bench.figures import PANEL_HEIGHT, Axis, Point, Rect, figures, placed
from company.bench.summary import summarise

SVG = "{http://www.w3.org/2000/svg}"


def picture(rows: list[dict[str, object]]) -> ET.Element:
    (text,) = figures(summarise(rows)).values()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    return ET.fromstring(text)


def words(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def test_a_mark_for_each_procedure_and_model_in_both_panels() -> None:
    rows = [
        *rows_of("zero_shot", "+-+-+-"),
        *rows_of("waterfall", "++++--", prompt_tokens=40_000, seconds=20),
        *rows_of("zero_shot", "+++-+-", model="local:large", prompt_tokens=800),
    ]
    root = picture(rows)
    marks = [each for each in root.iter() if (each.get("class") or "").startswith("mark ")]
    assert len(marks) == 6
    said = words(root)
    assert said.count("zero_shot") == 4
    assert said.count("waterfall") == 2
    assert "Tokens for each run, logarithmic" in said, "more than a decade"
    assert "Seconds for each run" in said, "less than one"
    assert {"local:tiny", "local:large"} <= set(said)
    assert "Data set small, split test, 6 tasks, 1 seed." in said


def test_one_procedure_alone() -> None:
    said = words(picture([row(seconds=0.0)]))
    assert "Data set small, split test, 1 task, 1 seed, model local:tiny." in said


def test_a_picture_for_each_data_set_split_and_variation() -> None:
    rows = [row(), row(variation="rename"), row(split="dev"), row(dataset="other")]
    assert set(figures(summarise(rows))) == {"small-test", "small-test-rename", "small-dev", "other-test"}
    assert figures(summarise([])) == {}


def test_foreign_words_do_no_harm() -> None:
    root = picture([row(dataset="<script>&\x00", sop="a<b")])
    assert "a<b" in words(root)


@pytest.mark.parametrize("log", [False, True])
def test_ticks_lie_on_the_axis(log: bool) -> None:
    for high in (2.0, 9.0, 40.0, 12_345.0, 7e6):
        axis = Axis(0.5 if log else 0.0, high, 0, 400, log)
        ticks = axis.ticks()
        assert 2 <= len(ticks) <= 14
        assert all(0 <= axis.place(tick) <= 400.001 for tick in ticks)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7))
def test_labels_do_not_overlap(seed: int, count: int) -> None:
    rng = random.Random(seed)
    names = ["zero_shot", "waterfall", "debate", "reflection", "self_consistency", "cascade", "agile"]
    groups = summarise([row(sop=name) for name in names[:count]]).groups
    points = []
    for group in groups:
        y = rng.uniform(80, 360)
        points.append(
            Point(group, rng.uniform(80, 430), y, min(394, y + rng.uniform(5, 60)), max(64, y - rng.uniform(5, 60)))
        )
    panel = Rect(58, 64, 466, 64 + PANEL_HEIGHT)
    labels = placed(points, panel)
    assert len(labels) == count
    for one, two in itertools.combinations(labels, 2):
        assert one.box.overlap(two.box) == 0
    for label in labels:
        assert panel.left <= label.x
        assert label.box.right <= panel.right
        assert panel.top <= label.box.top
        assert label.box.bottom <= panel.bottom
