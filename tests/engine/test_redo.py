"""A run that goes back to another: what a person edited is taken over, what depends on it is made again, the rest is kept."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import CHECKS, INTERFACE, OUTLINE, PRD, REQUIREMENT, RIGHT, WATERFALL, WRONG, git, go_on, start

from company import branches, wiring
from company.engine import NewRun, Outcome
from company.errors import CompanyError, UsageError
from company.events import Event, read
from company.people import Answer, Question
from company.redo import read_given
from company.settings import Settings
from company.sitting import Watch
from company.workspace import Repository

SCRIPT: list[dict[str, Any]] = [*WATERFALL, {"step": "code", "reply": RIGHT}]
MINE = 'def shout(text: str) -> str:\n    """As I like it."""\n    return text.upper() + "!"\n'


@pytest.fixture
def first(tmp_path: Path) -> Outcome:
    """A run of waterfall that is over and accepted."""
    outcome = start(tmp_path, "waterfall", SCRIPT)
    assert outcome.accepted, outcome.reason
    return outcome


def redo(folder: Path, run: str, script: list[dict[str, Any]] | None = None, **more: Any) -> Outcome:
    """Make a run again, with another script where one is given."""
    if script is not None:
        (folder / "script.yaml").write_text(yaml.safe_dump(script))
    watch = Watch(person=more.pop("person", None))
    return asyncio.run(wiring.redo(folder / "ws", run, Settings(), watch, **more))


def journal(folder: Path, run: str) -> list[Event]:
    return list(read(folder / "ws/.company/runs" / run / "events.jsonl"))


def made(folder: Path, run: str) -> list[str]:
    """The executions that a run really did, in order."""
    ends = [event for event in journal(folder, run) if event["event"] == "step_finished"]
    return [event["id"].partition("#")[0] for event in ends if "kept_from" not in event and event["step"] != "code"]


def subjects(repo: Path, since: str) -> list[str]:
    return git(repo, "log", "--reverse", "--format=%an: %s", f"{since}..HEAD").splitlines()


def test_from_a_step_does_it_anew_and_keeps_what_does_not_change(tmp_path: Path, first: Outcome) -> None:
    main = git(first.repo, "rev-parse", "main")
    again = redo(tmp_path, first.run, again=["design"])
    assert (again.status, again.calls) == ("delivered", 2)  # the design is asked for in two pieces
    assert made(tmp_path, again.run) == ["design"]
    assert git(first.repo, "rev-parse", "main") == main
    assert git(first.repo, "branch", "--show-current") == f"company/{again.run}\n"
    # The same answer was given, so the same commits lead to it: the branches part at the delivery.
    assert git(first.repo, "merge-base", "main", "HEAD") == git(first.repo, "rev-parse", "main~1")
    third = redo(tmp_path, again.run, again=["design"])
    assert third.calls == 2, "asked for once more, it is done once more"


def test_what_depends_on_another_answer_is_made_again(tmp_path: Path, first: Outcome) -> None:
    louder = {**INTERFACE, "purpose": "Says things very loudly."}
    script = [{"step": "design", "reply": OUTLINE}, {"step": "design", "reply": louder},
              {"step": "tests", "reply": CHECKS}, {"step": "code", "reply": RIGHT}]  # fmt: skip
    again = redo(tmp_path, first.run, script, again=["design"])
    assert again.accepted, again.reason
    assert sorted(made(tmp_path, again.run)) == ["code.do[shout.py]", "design", "tests", "verify.test"]
    why = {event["step"]: event["why"] for event in journal(tmp_path, again.run) if event["event"] == "step_started"}
    assert why["design"] == "it was asked for with --from"
    assert "the input `design`" in why["tests"]
    assert why["prd"] == f"nothing that goes into it has changed since {first.run}"


@pytest.mark.parametrize("path", ["docs/prd.md", ".company/artifacts/prd.json"])
def test_an_edited_document_is_taken_over_in_both_its_forms(tmp_path: Path, first: Outcome, path: str) -> None:
    file = first.repo / path
    file.write_text(file.read_text().replace("say things loudly", "say things so that all hear"))
    again = redo(tmp_path, first.run, [])
    assert (again.status, again.calls) == ("delivered", 0)
    data = json.loads((first.repo / ".company/artifacts/prd.json").read_text())
    assert data == {**PRD, "goals": ["say things so that all hear"]}
    assert "say things so that all hear" in (first.repo / "docs/prd.md").read_text()
    assert git(first.repo, "log", "-1", "--format=%an %s", "--", path) == (
        "Person prd: change .company/artifacts/prd.json, docs/prd.md\n"
    )
    assert "say things loudly" in git(first.repo, "show", f"main:{path}")
    (note,) = [event["text"] for event in journal(tmp_path, again.run) if "reads what" in event.get("text", "")]
    assert note.startswith("no step of the procedure reads what `prd` made: your change of ")
    assert path in note
    assert git(first.repo, "status", "--porcelain") == ""


def test_a_file_that_is_given_counts_as_an_edit_and_the_working_tree_stays(tmp_path: Path, first: Outcome) -> None:
    text = (first.repo / "docs/design.md").read_text().replace("Capitals and a mark.", "Capitals, then a mark.")
    wrong = (first.repo / ".company/artifacts/design.json").read_bytes().replace(b'"files"', b'"fils"')
    with pytest.raises(UsageError, match="it does not fit") as refused:
        redo(tmp_path, first.run, edits={".company/artifacts/design.json": wrong})
    assert (refused.value.place, refused.value.hint) == (".company/artifacts/design.json", "give another text for it")
    for path, instead in (
        (".company/run.json", "edit the requirement or the procedure instead"),
        ("docs/verify.test.md", "edit what it is about instead"),
        ("tests/test_interface.py", "edit .company/artifacts/design.json instead"),
        ("docs/tests.md", "edit its JSON in .company/artifacts/ instead"),
    ):
        with pytest.raises(UsageError) as refused:
            redo(tmp_path, first.run, edits={path: (first.repo / path).read_bytes() + b"\n"})
        assert (refused.value.place, refused.value.hint) == (path, instead)
    drawn = (first.repo / "docs/design.md").read_bytes().replace(b"flowchart LR", b"flowchart TD")
    with pytest.raises(UsageError, match="its diagram is"):
        redo(tmp_path, first.run, edits={"docs/design.md": drawn})
    assert git(first.repo, "branch", "--list").split() == ["*", "main"]
    again = redo(tmp_path, first.run, SCRIPT, edits={"docs/design.md": text.encode(), "notes.txt": b"mine\n"})
    assert again.accepted
    assert sorted(set(made(tmp_path, again.run)) - {"design"}) == ["code.do[shout.py]", "tests", "verify.test"]
    assert (first.repo / "docs/design.md").read_text() == text
    assert (first.repo / "notes.txt").read_text() == "mine\n"
    assert git(first.repo, "show", "main:docs/design.md") != text
    assert (
        redo(
            tmp_path, first.run, [], edits={"docs/design.md": git(first.repo, "show", "main:docs/design.md").encode()}
        ).calls
        == 0
    )


def test_a_file_that_is_given_writes_over_nothing_that_git_does_not_track(tmp_path: Path, first: Outcome) -> None:
    mine = first.repo / "notes.txt"
    mine.write_text("precious\n")
    with pytest.raises(UsageError, match="git does not track lies there"):
        redo(tmp_path, first.run, edits={"notes.txt": b"given\n"})
    assert mine.read_text() == "precious\n"
    assert git(first.repo, "branch", "--list").split() == ["*", "main"]
    assert redo(tmp_path, first.run, [], edits={"notes.txt": b"precious\n"}).accepted
    assert mine.read_text() == "precious\n"


def test_a_file_that_is_given_and_changed_is_refused(tmp_path: Path, first: Outcome) -> None:
    (first.repo / "shout.py").write_text("changed = 1\n")
    with pytest.raises(UsageError, match="was changed in the working tree too"):
        redo(tmp_path, first.run, edits={"shout.py": b"other = 1\n"})
    assert (first.repo / "shout.py").read_text() == "changed = 1\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["main.py"], "takes PATH=FILE"), (["main.py="], "takes PATH=FILE"), (["../x=f"], "a path that no file of a repository has"),
        ([".git/config=f"], "a path that no file of a repository has"), (["a=f", "a=f"], "names twice"), (["a=gone"], "cannot read"),
        (["a=odd"], "not UTF-8"), (["a=-", "b=-"], "one text from standard input"),
    ],
)  # fmt: skip
def test_an_edit_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").write_text("x")
    Path("odd").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=said):
        read_given(words)
    assert read_given(["a=f"]) == {"a": b"x"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"typed")))
    assert read_given(["a=b.py=-"]) == {"a=b.py": b"typed"}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (".company/run.json", "edit the requirement or the procedure instead"),
        (".company/artifacts/verify.test.json", "edit what it is about instead"),
        (".company/requirement.md", ""),
    ],
)
def test_what_is_wrong_with_a_given_file_names_no_git_command(
    tmp_path: Path, first: Outcome, path: str, hint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        redo(tmp_path, first.run, edits={path: b""})
    assert "git restore" not in refused.value.hint
    assert not hint or refused.value.hint == hint


def test_an_edited_design_makes_again_what_reads_it(tmp_path: Path, first: Outcome) -> None:
    file = first.repo / "docs/design.md"
    file.write_text(file.read_text().replace("Capitals and a mark.", "Capitals, then a mark."))
    again = redo(tmp_path, first.run, SCRIPT)
    assert again.accepted
    assert sorted(set(made(tmp_path, again.run)) - {"design"}) == ["code.do[shout.py]", "tests", "verify.test"]
    data = json.loads((first.repo / ".company/artifacts/design.json").read_text())
    assert data["files"][0]["parts"][0]["purpose"] == "Capitals, then a mark."
    assert not [event for event in journal(tmp_path, again.run) if "reads what" in event.get("text", "")]


def test_edited_code_is_tested_and_a_second_redo_still_has_it(tmp_path: Path, first: Outcome) -> None:
    (first.repo / "shout.py").write_text(MINE)
    again = redo(tmp_path, first.run, [])
    assert (again.accepted, again.calls, again.status) == (True, 0, "delivered")
    assert made(tmp_path, again.run) == ["verify.test"]
    assert "Person: code.do[shout.py]: change shout.py" in subjects(first.repo, "main")
    assert (first.repo / "shout.py").read_text() == MINE
    third = redo(tmp_path, again.run, SCRIPT, again=["tests"])
    assert third.accepted
    assert (first.repo / "shout.py").read_text() == MINE


def test_edited_code_that_fails_its_tests_is_mended_as_any_other(tmp_path: Path, first: Outcome) -> None:
    (first.repo / "shout.py").write_text(MINE.replace('+ "!"', ""))
    again = redo(tmp_path, first.run, [{"step": "verify.fix", "round": 2, "reply": RIGHT}])
    assert again.accepted, again.reason
    assert made(tmp_path, again.run) == ["verify.test", "verify.fix", "verify.test"]


def test_an_edit_is_kept_where_what_it_was_made_from_changed_too(tmp_path: Path, first: Outcome) -> None:
    (first.repo / "shout.py").write_text(MINE)
    file = first.repo / "docs/design.md"
    file.write_text(file.read_text().replace("Capitals and a mark.", "Capitals, then a mark."))
    again = redo(tmp_path, first.run, [{"step": "tests", "reply": CHECKS}])
    assert again.accepted
    assert (first.repo / "shout.py").read_text() == MINE
    notices = [event["text"] for event in journal(tmp_path, again.run) if event["event"] == "notice"]
    assert any("code.do[shout.py]#1: kept as you edited it, though" in text for text in notices)


def test_commits_of_the_user_and_files_of_nobody_are_taken_over(tmp_path: Path, first: Outcome) -> None:
    (first.repo / "shout.py").write_text(MINE)
    (first.repo / "NOTES").write_text("mine\n")
    (first.repo / "README.md").write_text("# My own\n")
    git(first.repo, "add", "-A")
    git(first.repo, "-c", "user.name=Me", "-c", "user.email=me@x", "commit", "-qm", "my own")
    main = git(first.repo, "rev-parse", "main")
    again = redo(tmp_path, first.run, [])
    assert again.accepted
    assert {name: (first.repo / name).read_text() for name in ("shout.py", "NOTES", "README.md")} == {
        "shout.py": MINE, "NOTES": "mine\n", "README.md": "# My own\n",
    }  # fmt: skip
    assert git(first.repo, "rev-parse", "main") == main


def test_another_requirement_and_another_procedure_are_edited_where_they_lie(tmp_path: Path, first: Outcome) -> None:
    (first.repo / ".company/requirement.md").write_text(REQUIREMENT + " It is for everybody.\n")
    again = redo(tmp_path, first.run, SCRIPT)
    assert again.accepted
    assert {"prd", "design", "code.do[shout.py]", "tests"} <= set(made(tmp_path, again.run))
    sop = first.repo / ".company/sop.yaml"
    sop.write_text(sop.read_text().replace("max: 4", "max: 5"))
    third = redo(tmp_path, again.run, [])
    assert (third.calls, made(tmp_path, third.run)) == (0, [])
    assert "max: 5" in git(first.repo, "show", "HEAD:.company/sop.yaml")
    sop.write_text(sop.read_text().replace("until:", "untill:"))
    with pytest.raises(UsageError) as error:
        redo(tmp_path, third.run, [])
    assert "untill" in error.value.report  # type: ignore[attr-defined]  # a SopError


REFUSED = {
    "both forms": (
        {"docs/prd.md": ("loudly", "softly"), ".company/artifacts/prd.json": ("Shout", "Cry")},
        "was changed too, and both are made from one another",
    ),
    "no artifact": ({".company/artifacts/prd.json": ('"must"', '"perhaps"')}, "it does not fit: requirements.0.priority"),
    "no JSON": ({".company/artifacts/prd.json": ("{", "{{")}, "it is no JSON"),
    "another form": ({"docs/prd.md": ("## Goals", "## Aims")}, "`## Aims` is no part of this document"),
    "a verdict": ({".company/artifacts/verify.test.json": ("passed", "failed")}, "a verdict or a decision is not to be edited"),
    "made from the checks": ({"tests/test_requirement.py": ("import", "import  ")}, "is not to be edited itself"),
    "the record": ({".company/run.json": ("calls", "Calls")}, "is not to be edited"),
    "deleted": ({"shout.py": ("", None)}, "a step made it, and it is deleted"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_change_that_cannot_be_taken_over_is_refused_and_stays(tmp_path: Path, first: Outcome, name: str) -> None:
    files, message = REFUSED[name]
    for path, (old, new) in files.items():
        file = first.repo / path
        assert file.exists(), sorted(first.repo.rglob("*"))
        if new is None:
            file.unlink()
        else:
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, new))
    before = git(first.repo, "status", "--porcelain"), git(first.repo, "log", "--all", "--format=%h")
    with pytest.raises(CompanyError, match=message) as error:
        redo(tmp_path, first.run)
    assert error.value.place
    assert (git(first.repo, "status", "--porcelain"), git(first.repo, "log", "--all", "--format=%h")) == before
    assert len(list((tmp_path / "ws/.company/runs").iterdir())) == 1


def test_steps_that_are_not_there_and_steps_that_were_edited_are_refused(tmp_path: Path, first: Outcome) -> None:
    with pytest.raises(UsageError, match="has no step `desing`") as error:
        redo(tmp_path, first.run, again=["desing"])
    assert "did you mean `design`" in error.value.hint
    (first.repo / "shout.py").write_text(MINE)
    with pytest.raises(UsageError, match=r"you changed what `code.do\[shout.py\]#1` made"):
        redo(tmp_path, first.run, again=["code"])
    assert (first.repo / "shout.py").read_text() == MINE


def test_uncommitted_work_on_another_branch_is_not_taken_for_the_runs(tmp_path: Path, first: Outcome) -> None:
    again = redo(tmp_path, first.run, again=["prd"])
    (first.repo / "shout.py").write_text(MINE)
    with pytest.raises(UsageError, match=f"stands on `company/{again.run}` with changes that are not committed"):
        redo(tmp_path, first.run)
    assert (first.repo / "shout.py").read_text() == MINE


def test_what_was_not_committed_can_always_be_found_again(tmp_path: Path, first: Outcome) -> None:
    (first.repo / "shout.py").write_text(MINE)
    again = redo(tmp_path, first.run, [])
    assert git(first.repo, "show", f"refs/company/edits/{again.run}:shout.py") == MINE


def test_a_redo_that_a_limit_stops_goes_on_where_it_stood(tmp_path: Path, first: Outcome) -> None:
    (first.repo / ".company/requirement.md").write_text(REQUIREMENT + " It is for everybody.\n")
    again = redo(tmp_path, first.run, SCRIPT, limits={"calls": 1})
    assert again.status == "limited"
    ended = go_on(tmp_path, {"calls": 50})
    assert (ended.run, ended.accepted, ended.calls) == (again.run, True, 5)
    history = subjects(first.repo, "main")
    assert len(history) == len(set(history))


def test_files_that_the_new_design_has_not_are_gone(tmp_path: Path, first: Outcome) -> None:
    requirement = first.repo / ".company/requirement.md"
    requirement.write_text(REQUIREMENT.replace("shout.py", "cry.py").replace("A module", "A small module"))
    script = yaml.safe_load(yaml.safe_dump(SCRIPT).replace("from shout", "from cry"))
    again = redo(tmp_path, first.run, script)
    assert again.accepted, again.reason
    assert (first.repo / "cry.py").exists()
    assert not (first.repo / "shout.py").exists()


GATED = """
sop: 1
steps:
  prd: {role: product_manager, in: requirement, out: Prd}
  ok: {gate: human, show: [prd], choices: {go: next, no: fail}, headless: go}
  code: {role: engineer, prompt: draft, in: requirement, out: [SourceFile]}
"""


def test_a_decision_holds_in_the_runs_that_go_back_to_it_and_in_no_other(tmp_path: Path) -> None:
    asked: list[str] = []

    async def person(question: Question) -> Answer:
        asked.append(question.step)
        return Answer("go", "fine")

    script = [{"step": "prd", "reply": PRD}, {"step": "code", "reply": RIGHT}, {"step": "code", "reply": WRONG}]
    first = start(tmp_path, GATED, script, person=person)
    assert (first.status, asked) == ("delivered", ["ok"])
    again = redo(tmp_path, first.run, again=["code"], person=person)
    assert (again.status, again.calls, asked) == ("delivered", 1, ["ok"])
    other = NewRun({"requirement": REQUIREMENT}, str(tmp_path / "own.yaml"), tmp_path / "ws", "other", first.model)
    outcome = asyncio.run(wiring.run(other, Settings(), Watch(person=person)))
    assert (outcome.status, outcome.calls, asked) == ("delivered", 0, ["ok", "ok"])


def test_another_run_does_not_repeat_the_replies_of_a_step_that_failed(tmp_path: Path) -> None:
    bad = [{"step": "prd", "reply": "no JSON"}] * 3
    first = start(tmp_path, GATED, bad, headless=True)
    assert first.status == "failed"
    (tmp_path / "script.yaml").write_text(
        yaml.safe_dump([{"step": "prd", "reply": PRD}, {"step": "code", "reply": RIGHT}])
    )
    other = NewRun(
        {"requirement": REQUIREMENT}, str(tmp_path / "own.yaml"), tmp_path / "ws", "other", first.model, headless=True
    )
    outcome = asyncio.run(wiring.run(other, Settings()))
    assert (outcome.status, outcome.calls) == ("delivered", 2)


@pytest.mark.parametrize("where", ["switch", "restore"])
def test_a_redo_that_dies_before_its_branch_is_there_can_be_resumed(
    tmp_path: Path, first: Outcome, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first.repo / "shout.py").write_text(MINE)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(branches if where == "switch" else Repository, where, die)
        with pytest.raises(KeyboardInterrupt):
            redo(tmp_path, first.run, [])
    ended = go_on(tmp_path)
    assert ended.accepted, ended.reason
    assert (first.repo / "shout.py").read_text() == MINE
    assert git(first.repo, "branch", "--show-current") == f"company/{ended.run}\n"
    assert git(first.repo, "status", "--porcelain") == ""


TWO = "### one.py\n```python\nA = 1\n```\n\n### two.py\n```python\nB = 1\n```\n"
OTHER = TWO.replace("B = 1", "raise SystemExit(1)")
POLISHED = """
sop: 1
steps:
  code:   {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}
  polish: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile], updates: code}
  check:  {run: python two.py, in: polish}
deliver: {accept: check.passed}
"""


def test_an_edit_of_one_file_of_a_step_that_changed_keeps_the_others_and_is_tested_with_them(tmp_path: Path) -> None:
    polish = {"step": "polish", "reply": "### one.py\n```python\nA = 2\n```"}
    first = start(tmp_path, POLISHED, [{"step": "code", "reply": TWO}, polish], requirement="Something.")
    assert first.accepted, first.reason
    (first.repo / "one.py").write_text("A = 3\n")
    (first.repo / ".company/requirement.md").write_text("Something else.\n")
    again = redo(tmp_path, first.run, [{"step": "code", "reply": OTHER}, polish])
    assert (first.repo / "one.py").read_text() == "A = 3\n"
    assert "SystemExit" in (first.repo / "two.py").read_text()
    assert (again.status, again.accepted) == ("unaccepted", False), "what is delivered is what was executed"

    (first.repo / "two.py").write_text("B = 2\n")
    (first.repo / ".company/requirement.md").write_text("Something else again.\n")
    third = redo(tmp_path, again.run, [{"step": "code", "reply": TWO}, polish])
    assert {name: (first.repo / name).read_text() for name in ("one.py", "two.py")} == {
        "one.py": "A = 3\n", "two.py": "B = 2\n",
    }  # fmt: skip
    assert third.accepted, third.reason


def test_a_file_that_git_does_not_know_is_not_lost_to_one_of_the_run(tmp_path: Path) -> None:
    script = [{"step": "prd", "reply": PRD}, {"step": "code", "reply": RIGHT}]
    first = start(tmp_path, GATED, script, headless=True, requirement="Something.")
    (first.repo / "mine.py").write_text("my own\n")
    script = [{"step": "code", "reply": "### mine.py\n```python\nX = 1\n```"}]
    again = redo(tmp_path, first.run, script, again=["code"], headless=True)
    (note,) = [event["text"] for event in journal(tmp_path, again.run) if "overwritten" in event.get("text", "")]
    sha = note.partition("cat-file -p ")[2].split("`")[0]
    assert git(first.repo, "cat-file", "-p", sha) == "my own\n"
    assert sha in git(first.repo, "for-each-ref", "refs/company/overwritten")


def test_what_is_kept_is_not_taken_where_it_would_be_committed_otherwise(tmp_path: Path) -> None:
    script = [{"step": "prd", "reply": PRD}, {"step": "code", "reply": RIGHT}]
    hidden = GATED.replace("out: [SourceFile]}", "out: [SourceFile], commit: false}")
    first = start(tmp_path, hidden, script, headless=True)
    assert not (first.repo / "shout.py").exists()
    (tmp_path / "own.yaml").write_text(GATED)
    again = redo(tmp_path, first.run, script, headless=True)
    assert (again.calls, (first.repo / "shout.py").exists()) == (0, True), "the reply is kept, the commit is made"


def test_commits_elsewhere_and_a_merge_under_way_are_refused(tmp_path: Path, first: Outcome) -> None:
    git(first.repo, "switch", "-qc", "work")
    (first.repo / "shout.py").write_text(MINE)
    person = ("-c", "user.name=Me", "-c", "user.email=me@x")
    git(first.repo, *person, "commit", "-qam", "mine")
    with pytest.raises(UsageError, match="stands on commits that the run's branch `main` has not") as error:
        redo(tmp_path, first.run)
    git(first.repo, "switch", "-q", "main")
    git(first.repo, *person, *error.value.hint.partition("&& git ")[2].split())
    assert redo(tmp_path, first.run, []).accepted
    git(first.repo, "switch", "-q", "main")
    (first.repo / ".git/MERGE_HEAD").write_text(git(first.repo, "rev-parse", "work"))
    with pytest.raises(UsageError, match="a merge is under way"):
        redo(tmp_path, first.run)
