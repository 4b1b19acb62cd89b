"""Every mistake of `tests/bad_sops/` gives exactly the report beside it."""

from pathlib import Path

import pytest
from support import LIBRARY, report

from company.sop.diagnostics import CODES

FOLDER = Path(__file__).parent.parent / "bad_sops"
CASES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_report(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(LIBRARY)  # so that paths in notes are relative
    assert report(case.read_text(), case.stem) + "\n" == case.with_suffix(".txt").read_text()


def test_every_code_has_a_case_and_every_report_a_procedure() -> None:
    texts = {path.stem: path.read_text() for path in FOLDER.glob("*.txt")}
    assert set(texts) == {case.stem for case in CASES}
    seen = {code for code in CODES if any(f"[{code}]" in text for text in texts.values())}
    assert set(CODES) - seen == {"SOP105"}  # its file would be large: see test_loader.py


def test_warnings_alone_let_a_procedure_pass() -> None:
    for path in FOLDER.glob("*.txt"):
        assert ("error[" not in path.read_text()) == path.stem.startswith("warn_")
