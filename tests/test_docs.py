"""What the documents show works: every procedure in them checks against the shipped library."""

import re
from pathlib import Path

import pytest

from company.sop.diagnostics import SourceText
from company.sop.library import Library
from company.sop.linker import link

ROOT = Path(__file__).parent.parent
EXAMPLES = [
    (path.name, number, text)
    for path in (ROOT / "README.md", ROOT / "docs" / "sop-language.md")
    for number, text in enumerate(re.findall(r"```yaml\n(sop: 1\n.*?)```", path.read_text("utf-8"), re.DOTALL))
]


@pytest.mark.parametrize(("name", "number", "text"), EXAMPLES)
def test_a_procedure_in_the_documents_checks(name: str, number: int, text: str) -> None:
    called = re.search(r"^name: (\w+)$", text, re.MULTILINE)
    path = Path(f"{called[1] if called else name}.yaml")
    procedure = link(SourceText(path, name, text), Library(None))
    assert not procedure.warnings


def test_there_are_examples_in_both() -> None:
    assert {name for name, _, _ in EXAMPLES} == {"README.md", "sop-language.md"}


def test_the_shipped_procedures_check_without_a_warning() -> None:
    from company.sop.linker import load_procedure

    library = Library(None)
    assert set(library.sops()) >= {"waterfall", "zero_shot", "reflection"}
    for name in library.sops():
        assert not load_procedure(name, library).warnings, name


def test_links_between_the_documents_lead_somewhere() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_no_benchmark_is_reachable_from_prompts_or_code() -> None:
    names = [path.name for path in (ROOT / "benchmarks" / "projects").iterdir()]
    texts = [path for folder in ("prompts", "roles", "sops", "company") for path in (ROOT / folder).rglob("*.*")]
    for path in texts:
        if path.suffix in (".py", ".j2", ".yaml"):
            words = set(re.findall(r"\w+", path.read_text("utf-8").lower()))
            found = {
                name
                for name in names
                if f"{name}.py" in path.read_text("utf-8") or (name in words and path.suffix != ".py")
            }
            assert not found, f"{path}: {found}"
