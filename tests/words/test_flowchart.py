"""A Mermaid flowchart as a picture: everything in it is drawn, or nothing is."""

import re
from xml.etree import ElementTree

import pytest

from company.artifacts import Design, FileSpec, Part
from company.flowchart import parsed, picture
from company.html import markdown_html
from company.markdown import diagram


def texts(svg: str) -> list[str]:
    return [str(each.text) for each in ElementTree.fromstring(svg).iter("text")]


def test_a_design_is_drawn_with_its_files_parts_and_imports() -> None:
    parts = [
        Part(signature="def load(path: str) -> list[dict[str, int]]", purpose="Reads.", quote=""),
        Part(signature="def save()", purpose="Writes.", quote=""),
    ]
    files = [
        FileSpec(path="app.py", purpose="Starts.", depends_on=["store.py", 'odd"name<.py'], parts=[]),
        FileSpec(path="store.py", purpose="Keeps.", depends_on=[], parts=parts), FileSpec(path='odd"name<.py', purpose="Odd.", depends_on=[], parts=[]),
    ]  # fmt: skip
    design = Design(approach="Two files.", entry_point="app.py", dependencies=[], files=files)
    drawn = picture(diagram(design))
    assert texts(drawn) == ["app.py", "store.py", "load", "save", 'odd"name<.py']
    assert drawn.count('class="line"') == 2


def test_nodes_come_after_what_leads_to_them_and_a_cycle_is_drawn() -> None:
    drawn = picture("graph TD;\n  B[second] --> C(third);\n  A --> B\n  C --> A\n  C-->D{last?}")
    assert set(texts(drawn)) == {"A", "second", "third", "last?"}
    assert drawn.count('class="line back"') == 1
    assert drawn.count('class="line"') == 3
    heights = {each.text: float(each.attrib["y"]) for each in ElementTree.fromstring(drawn).iter("text")}
    assert heights["third"] < heights["last?"]


@pytest.mark.parametrize(
    "chart",
    [
        "", "sequenceDiagram\n A->>B: hi", "graph TD\n A -->|yes| B", "graph TD\n A -- yes --> B", "graph TD\n subgraph one\n A --> B\n end",
        "graph TD\n A --> B:::hot", "graph TD\n A[one --> B", "graph TD\n style A fill:#f00", "graph TD\n A & B --> C", "graph TD",
        "graph TD\n A --> A", "graph TD\n A --- B", "graph TD\n A -.-> B", "graph TD\n A ==> B", "graph TD\n A" + " --> A --> B" * 2000,
        "graph TD\n click A href \"javascript:alert(1)\"", "flowchart XY\n A --> B",
        "graph TD\n" + "\n".join(f" n{n} --> n{n + 1}" for n in range(40)),
    ],
)  # fmt: skip
def test_a_chart_with_anything_else_has_no_picture(chart: str) -> None:
    assert parsed(chart) is None
    assert picture(chart) == ""
    assert "<svg" not in markdown_html(f"```mermaid\n{chart}\n```")


def test_hostile_text_stays_text() -> None:
    piece = markdown_html(
        '```mermaid\ngraph TD\n A["<script>alert(1)</script>#60;img#62;"] --> B["#x1;#55296;#99999999;#8238;gnp"]\n```'
    )
    assert "<script" not in piece
    assert "<img" not in piece
    assert "\u202e" not in piece
    svg = re.search("<svg.*?</svg>", piece, re.DOTALL)
    assert svg
    assert texts(svg[0])[0] == "<script>alert(1)</script><img>"


def test_a_document_has_a_bounded_number_of_pictures() -> None:
    chain = [f"n{n} --> n{n + 1}" for n in range(29)] + [f"n0 --> n{n}" for n in range(2, 29)]
    chart = "```mermaid\ngraph TD\n" + "\n".join(chain) + "\n```\n\n"
    assert markdown_html(chart * 30).count("<svg") == 10
