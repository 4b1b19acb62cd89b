"""What the procedure tests share: a small library of roles and prompts, and how a text is checked against it."""

from pathlib import Path

from company.errors import SopError
from company.sop.diagnostics import SourceText, render
from company.sop.library import Library
from company.sop.linker import Procedure, link

LIBRARY = Path(__file__).parent / "library"


def library() -> Library:
    """The test library alone."""
    return Library(None, shipped=LIBRARY)


def source(text: str, name: str = "test") -> SourceText:
    """A procedure that is shown as `sops/<name>.yaml`."""
    return SourceText(Path(f"sops/{name}.yaml"), f"sops/{name}.yaml", text)


def linked(text: str) -> Procedure:
    """A procedure that must check."""
    return link(source(text), library())


def report(text: str, name: str = "test") -> str:
    """What the checker says: every error, or the warnings of a procedure that checks; empty where all is well."""
    try:
        warnings = link(source(text, name), library()).warnings
    except SopError as error:
        return error.report
    return render(warnings) if warnings else ""
