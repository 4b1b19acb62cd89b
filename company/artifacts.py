"""The documents that roles hand to one another: frozen pydantic models, each documented where it is declared.

Two families: documents (asked for as schema-constrained JSON) and code (asked for as fenced blocks, wrapped here).
How a reply becomes one of these: `llm/structured.py`. How one becomes files of the repository: `publish.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ShortText = Annotated[str, Field(min_length=1, max_length=160)]
LongText = Annotated[str, Field(min_length=1, max_length=500)]
FilePath = Annotated[str, Field(min_length=1, max_length=200)]
"""A relative path with ``/``; `paths.safe_path` is what guards the repository."""
Signature = Annotated[str, Field(max_length=300, pattern=r"^(async )?(def|class) [A-Za-z_].*$")]
"""The first line of a definition, without its trailing colon: ``def add(a: int, b: int) -> int``."""


MOST_PARTS = 12
"""Functions and classes of one file of a design."""
MOST_CHANGES = 6
"""Files of one change."""
MOST_FILES = 8
"""Files of a design that is asked for."""


class Artifact(BaseModel):
    """Base of all artifacts: frozen, closed, comparable."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    is_code: ClassVar[bool] = False
    """Whether a model is asked for fenced blocks instead of JSON."""

    def fitted(self, **fields: Any) -> Self | None:
        """With other values in some fields; None where they break the bounds, for it could not be read back from where it is kept."""
        try:
            return type(self).model_validate({**dict(self), **fields})
        except ValidationError:
            return None


class Requirement(Artifact):
    """One thing the product must do."""

    id: str = Field(pattern=r"^R[0-9]{1,2}$")
    """Identifier, ``R1``, ``R2`` …, referred to by tests and reviews."""
    priority: Literal["must", "should", "could"]
    """How badly it is needed."""
    text: ShortText
    """The requirement, in the words of the user where the user gave words."""


class Prd(Artifact):
    """A product requirements document."""

    title: Annotated[str, Field(min_length=1, max_length=80)]
    """The product's name."""
    goals: Annotated[list[ShortText], Field(min_length=1, max_length=2)]
    """What the product is for."""
    user_stories: Annotated[list[ShortText], Field(min_length=1, max_length=2)]
    """As a …, I want …, so that …"""
    requirements: Annotated[list[Requirement], Field(min_length=1, max_length=6)]
    """What must be true of the product."""
    acceptance_criteria: Annotated[list[ShortText], Field(min_length=1, max_length=3)]
    """How one sees that it is: given, when, then."""
    unclear: Annotated[list[ShortText], Field(max_length=2)]
    """What the requirement leaves open, and what was assumed. Empty where nothing is."""


class Part(Artifact):
    """A function or a class that a file must define at its top level."""

    signature: Signature
    """The exact first line, without the colon."""
    purpose: ShortText
    """What it does, one sentence."""
    quote: Annotated[str, Field(max_length=600)]
    """The requirement's own words that define it, or what follows from them; empty where the requirement has none."""

    @property
    def is_function(self) -> bool:
        """Whether it is a function rather than a class."""
        return not self.signature.startswith("class ")

    @property
    def name(self) -> str:
        """The name that the signature defines."""
        words = self.signature.replace("(", " ").replace(":", " ").split()
        return words[2] if words[0] == "async" else words[1]


class FileSpec(Artifact):
    """One file of the design."""

    path: FilePath
    """Where it lies in the repository."""
    purpose: ShortText
    """What it is for, one sentence."""
    depends_on: Annotated[list[FilePath], Field(max_length=10)]
    """Paths of the design's files that this one imports. Never itself, never in a circle."""
    parts: Annotated[list[Part], Field(max_length=MOST_PARTS)]
    """The functions and classes it defines, in order. Empty for a file that is no module."""


class Design(Artifact):
    """How the product is built: files, interfaces, and who imports whom."""

    approach: LongText
    """The idea in a few sentences."""
    files: Annotated[list[FileSpec], Field(min_length=1, max_length=12)]
    """Every source file, without tests."""
    entry_point: Annotated[str, Field(max_length=120)]
    """How a user starts it, for instance ``python todo.py``; empty for a library."""
    dependencies: Annotated[list[str], Field(max_length=6)]
    """Packages outside the standard library. Empty is best: the sandbox has none and no network."""


class SourceFile(Artifact):
    """One file of code."""

    is_code: ClassVar[bool] = True
    path: FilePath
    content: str
    """The whole text of the file."""


class Patch(Artifact):
    """Changed files, whole."""

    is_code: ClassVar[bool] = True
    files: Annotated[list[SourceFile], Field(min_length=1)]
    """Each file as it should be after the change."""


class Change(Artifact):
    """What is to be done in one file of a repository that is there."""

    action: Literal["create", "edit"]
    """`edit` for a file that is there, `create` for a new one."""
    path: FilePath
    """Where it lies in the repository."""
    what: Annotated[str, Field(min_length=1, max_length=300)]
    """What is added, changed or removed, and in which functions, in words."""


class ChangePlan(Artifact):
    """How a repository is to be changed: which files, and what in each. Tests are somebody else's."""

    approach: LongText
    """The idea, or the cause of what is to be mended, in a sentence or two."""
    changes: Annotated[list[Change], Field(min_length=1, max_length=MOST_CHANGES)]
    """In the order in which they are made."""


class Codebase(Artifact):
    """What there is in a repository, as far as it may matter for a requirement. It is measured, no role writes it."""

    map: str
    """Files and what they define, those that matter most first, cut to fit into a prompt."""
    files: list[str]
    """The paths of all files that may be changed, in that order."""


class Call(Artifact):
    """One expectation of a library: an expression and the value it must have."""

    imports: Annotated[str, Field(max_length=160, pattern=r"^(from|import) [A-Za-z_].*$")]
    """The import line that the expression needs."""
    expression: Annotated[str, Field(min_length=1, max_length=300)]
    """A Python expression."""
    expected: Annotated[str, Field(min_length=1, max_length=300)]
    """A Python literal, or ``raises ValueError`` for an exception."""


class Command(Artifact):
    """One command of a command-line program's check."""

    command: Annotated[str, Field(min_length=1, max_length=200)]
    """What a user types, from the folder of the program: ``python todo.py add milk``."""
    stdin: Annotated[str, Field(max_length=400)]
    """What is typed into it; empty for nothing."""
    stdout: Annotated[str, Field(max_length=600)]
    """What it must print to standard output, exactly, without the last newline."""
    exit_status: Annotated[int, Field(ge=0, le=255)]
    """Its exit status."""


class Check(Artifact):
    """One executable expectation. `calls` for a library, `commands` for a program; the other list is empty."""

    title: Annotated[str, Field(min_length=1, max_length=100)]
    """What is checked."""
    quote: Annotated[str, Field(max_length=400)]
    """The words of the requirement that say so."""
    calls: Annotated[list[Call], Field(max_length=4)]
    commands: Annotated[list[Command], Field(max_length=12)]
    """One session: each command finds what those before it left."""
    setup: Annotated[str, Field(max_length=4000)] = ""
    """Python statements that come before the calls, one a line."""


class Checks(Artifact):
    """QA's plan, executable: the engine writes the test file from it, so no test is broken by its own plumbing."""

    checks: Annotated[list[Check], Field(max_length=20)]
    """Empty only where none could be written."""


class TestFile(Artifact):
    """A file of tests written as code."""

    __test__ = False
    is_code: ClassVar[bool] = True
    path: FilePath
    content: str


class TestCase(Artifact):
    """What happened to one test."""

    __test__ = False
    id: str
    """``tests/test_x.py::test_name``."""
    outcome: Literal["passed", "failed", "error", "missing"]
    """`missing`: the host expected it, the run did not report it."""
    required: bool
    """False for an expectation that QA worked out and the requirement does not state: it informs, it does not decide."""
    message: str
    """The end of the failure's text; empty when it passed."""
    source: str = ""
    """The test itself, for the role that mends; empty when it passed."""


class TestRun(Artifact):
    """The executed verdict of the tests. `passed` is decided by the host, never by generated code."""

    __test__ = False
    passed: bool
    """At least one required test ran and every required test passed."""
    cases: list[TestCase]
    summary: str
    """One line for people: ``5 of 6 required tests pass``."""
    output: str
    """The end of the run's output, for the role that mends."""
    problems: list[str]
    """What machine checks found before any test ran: syntax, imports, missing interfaces."""
    status: Literal["ran", "timeout", "output_limit", "memory_limit", "crashed"]
    """How the process that ran them ended."""
    score: float
    """Share of required tests that passed, 0 to 1; 0 when nothing ran.

    Runs in which as many passed differ by a hundredth at most: up by the share of the others that passed, down by the
    share of all tests that ended in an error rather than in a wrong value.
    """
    sandbox: str
    """The back end that ran them."""
    stated: int = 0
    """How many of the required tests are examples that the requirement itself states. With 0, `passed` says only that the code and
    QA's reading of the requirement agree."""
    failed_before: int | None = None
    """How many of the new tests that must pass did not before the change; None where there was nothing before."""


class Selection(Artifact):
    """Which of several programs for one requirement to go on with, by what they do when they are run. It is measured, no role writes it."""

    files: list[SourceFile]
    """The chosen program."""
    candidates: int
    """Programs that were compared."""
    stated: int
    """Examples that the requirement states and that were run; 0 where it states none."""
    holds: bool
    """Whether the chosen program gives what each of them says, and the commands that the requirement quotes work."""
    agreeing: int
    """Programs that do what the chosen one does, itself among them. 1 where there was nothing to compare them on."""
    share: float
    """`agreeing` of `candidates`, 0 to 1."""
    inputs: int
    """Inputs on which the chosen program gives a value: those of checks and those that are derived from them."""
    set_aside: list[str]
    """Checks of QA's own that the chosen program and all that agree with it contradict: they are suspect. Each with what comes before it and
    what it says comes of it: ``from a import B; b = B(); b.add(5); b.total() == 4``, ``python a.py add x; python a.py list prints 'y'``."""
    summary: str
    """One line for people: ``3 of 4 candidates agree on 20 inputs, 2 of 2 examples hold``."""


class CommandResult(Artifact):
    """What a command in the sandbox did."""

    passed: bool
    """Exit status 0 and no limit reached."""
    status: str
    exit_status: int | None
    stdout: str
    stderr: str


class Review(Artifact):
    """A reviewer's opinion. It may send work back; it never overrules an executed verdict."""

    approved: bool
    """True when nothing must change."""
    comments: Annotated[list[ShortText], Field(max_length=6)]
    """What must change and where. Empty when approved."""


class Decision(Artifact):
    """What a person decided at a gate, or what its `headless:` says where nobody could be asked."""

    choice: str
    """One of the gate's `choices:`."""
    comment: str
    """What the person said about it; empty for nothing."""


BUILT_IN: dict[str, type[Artifact]] = {
    cls.__name__: cls
    for cls in (
        Prd, Requirement, Design, FileSpec, Part, SourceFile, Patch, Checks, Check, TestFile, TestRun, CommandResult,
        Review, Decision, Change, ChangePlan, Codebase, Selection,
    )
}  # fmt: skip
"""The artifact names that a procedure may use without declaring them."""


def flat(value: Any) -> Iterator[Any]:
    """An artifact alone, or those of a list, lists in it included."""
    if isinstance(value, list):
        for one in value:
            yield from flat(one)
    else:
        yield value


def to_json(value: Any) -> Any:
    """An artifact, or a list or dict of them, as plain JSON data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value
