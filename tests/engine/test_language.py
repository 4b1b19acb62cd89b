"""What each construct of the language does when it runs."""

from pathlib import Path
from typing import Any

import pytest
from running import RIGHT, events, git, start

from company.errors import UsageError

TWO_FILES = "Two modules, a.py and b.py. a.py has one() that returns 1, b.py has two() that returns 2; two() returns 2."


def code(body: str, path: str = "") -> str:
    heading = f"### {path}\n" if path else ""
    return f"{heading}```python\n{body}\n```"


def sop(steps: str, more: str = "") -> str:
    return f"sop: 1\nname: own\n{more}steps:\n{steps}"


def design(*depends: tuple[str, list[str]]) -> list[dict[str, Any]]:
    """Replies for a design of files with what they import."""
    outline = {"approach": "Files.", "entry_point": "", "dependencies": []}
    files = [{"purpose": "A file.", "depends_on": wanted, "parts": []} for _, wanted in depends]
    return [{"step": "design", "reply": outline}, *({"step": "design", "reply": file} for file in files)]


EACH = """
  design: {role: architect, in: requirement, out: Design}
  code:
    for_each: design.files
    as: file
    key: file.path
    needs: file.depends_on
    parallel: 4
    do: {role: engineer, prompt: code, in: [requirement, design, file, deps], out: SourceFile}
"""


def test_items_wait_for_what_they_need_and_see_it(tmp_path: Path) -> None:
    seen: list[str] = []
    script = [
        *design(("a.py", ["b.py"]), ("b.py", [])),
        {"step": "code", "item": "b.py", "reply": code("def two():\n    return 2")},
        {"step": "code", "item": "a.py", "reply": code("from b import two\n\ndef one():\n    return two() - 1")},
    ]

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "step_started" and event["item"]:
            seen.append(event["item"])

    outcome = start(tmp_path, sop(EACH), script, requirement=TWO_FILES, listen=listen)
    assert outcome.status == "delivered"
    assert seen == ["b.py", "a.py"]
    assert (outcome.repo / "a.py").read_text().startswith("from b import two")


def test_a_circle_of_imports_in_a_design_is_cut_and_said(tmp_path: Path) -> None:
    script = [
        *design(("a.py", ["b.py"]), ("b.py", ["a.py"])),
        {"step": "code", "item": "b.py", "reply": code("def two():\n    return 2")},
        {"step": "code", "item": "a.py", "reply": code("def one():\n    return 1")},
    ]
    outcome = start(tmp_path, sop(EACH), script, requirement=TWO_FILES)
    assert outcome.status == "delivered"
    assert any("leads in a circle" in event["text"] for event in events(tmp_path) if event["event"] == "notice")


def test_more_items_than_allowed_fail_before_any_is_paid_for(tmp_path: Path) -> None:
    text = sop(EACH.replace("    parallel: 4\n", "    parallel: 4\n    max: 1\n"))
    outcome = start(tmp_path, text, design(("a.py", []), ("b.py", [])), requirement=TWO_FILES)
    assert outcome.status == "failed"
    assert "has 2 items and `code` allows 1" in outcome.reason
    assert outcome.calls == 3


LOOP = """
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}
  verify:
    loop:
      fix:  {role: engineer, in: [requirement, code, prev.test], out: Patch, updates: code, when: prev.test != None}
      test: {run: pytest, in: [code, tests], out: TestRun}
    until: test.passed
    max: 3
"""
TESTS = "  tests: {role: qa, prompt: tests_as_code, in: requirement, out: [TestFile]}\n"
QA = 'from shout import shout\n\ndef test_a():\n    assert shout("hi") == "HI!"\n\ndef test_b():\n    assert shout("") == "!"\n\ndef test_c():\n    assert shout("a")[0] == "A"'
OWN_PROMPT = "{{ requirement }}\nWrite tests.\n"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's folder with a prompt of its own."""
    folder = tmp_path / "prompts" / "qa"
    folder.mkdir(parents=True)
    (folder / "tests_as_code.md.j2").write_text(OWN_PROMPT)
    return tmp_path


def loop_script(*drafts: str) -> list[dict[str, Any]]:
    first, *fixes = drafts
    return [
        {"step": "tests", "reply": code(QA, "tests/test_shout.py")},
        {"step": "code", "reply": code(first, "shout.py")},
        *({"step": "verify.fix", "reply": code(fix, "shout.py")} for fix in fixes),
    ]


GOOD = 'def shout(text):\n    return text.upper() + "!"'
HALF = "def shout(text):\n    return text.upper()"  # test_c alone
NONE = "def shout(text):\n    return None"


def test_a_round_that_is_worse_is_undone(own: Path) -> None:
    text = sop(TESTS + LOOP.replace("    max: 3\n", "    best: test.score\n    max: 3\n    on_max: continue\n"))
    outcome = start(own, text, loop_script(HALF, NONE, NONE), user_dir=own)
    assert outcome.status == "delivered"  # no `accept`: the last step finished
    assert (outcome.repo / "shout.py").read_text() == HALF + "\n"
    assert git(outcome.repo, "status", "--porcelain") == ""
    assert "verify: go back to the best version so far" in git(outcome.repo, "log", "--format=%s")
    ended = [event for event in events(own) if event["event"] == "notice" and "undone" in event["text"]]
    assert len(ended) == 2


def test_without_best_the_last_round_stands(own: Path) -> None:
    text = sop(TESTS + LOOP.replace("    max: 3\n", "    max: 2\n    on_max: continue\n"))
    outcome = start(own, text, loop_script(HALF, NONE), user_dir=own)
    assert (outcome.repo / "shout.py").read_text() == NONE + "\n"


def test_a_loop_that_must_succeed_fails_the_run(own: Path) -> None:
    outcome = start(own, sop(TESTS + LOOP), loop_script(HALF, NONE, HALF), user_dir=own)
    assert outcome.status == "failed"
    assert "the loop `verify` is not done after 3 rounds: `test.passed` does not hold" in outcome.reason


def test_a_loop_ends_as_soon_as_it_is_good(own: Path) -> None:
    outcome = start(own, sop(TESTS + LOOP), loop_script(HALF, GOOD), user_dir=own)
    assert (outcome.status, outcome.calls) == ("delivered", 3)
    assert outcome.verdict == "3 of 3 required tests pass"


def test_who_mends_code_cannot_change_the_tests(own: Path) -> None:
    cheat = code(GOOD, "shout.py") + "\n" + code("def test_a():\n    pass", "tests/test_shout.py")
    script = [*loop_script(HALF), {"step": "verify.fix", "reply": cheat}]
    outcome = start(own, sop(TESTS + LOOP), script, user_dir=own)
    assert outcome.status == "delivered"
    assert (outcome.repo / "tests/test_shout.py").read_text() == QA + "\n"


def test_a_patch_of_one_function_leaves_the_others(own: Path) -> None:
    first = "import os\n\nX = 1\n\n\ndef helper():\n    return X\n\n\n" + HALF
    outcome = start(own, sop(TESTS + LOOP), loop_script(first, GOOD), user_dir=own)
    assert outcome.status == "delivered"
    assert (outcome.repo / "shout.py").read_text() == first.replace(HALF, GOOD) + "\n"


@pytest.mark.parametrize(
    "again", [RIGHT, code(GOOD, "loud.py") + "\n" + code(GOOD, "noise.py")], ids=["mended", "meant"]
)
def test_a_program_without_the_file_that_is_asked_for_is_told_once(again: str, tmp_path: Path) -> None:
    other = code(GOOD, "loud.py") + "\n" + code("def main():\n    print('a')", "main.py")
    script = [
        {"step": "code", "attempt": 1, "reply": other},
        {"step": "code", "attempt": 2, "reply": again},
    ]
    outcome = start(tmp_path, "zero_shot", script)
    assert (outcome.status, outcome.replies) == ("delivered", {"first": 0, "repaired": 1, "failed": 0})
    rejected = [event["reason"] for event in events(tmp_path) if event["event"] == "reply_rejected"]
    assert rejected == ["the reply has no `shout.py`"]
    assert (outcome.repo / "shout.py").is_file() is (again == RIGHT)


def test_a_reply_that_is_no_use_is_told_why_and_asked_again(tmp_path: Path) -> None:
    script = [
        {"step": "code", "attempt": 1, "reply": "I cannot do that."},
        {"step": "code", "attempt": 2, "reply": "```python\ndef shout(", "finish_reason": "length"},
        {"step": "code", "attempt": 3, "reply": RIGHT},
    ]
    outcome = start(tmp_path, "zero_shot", script)
    assert outcome.status == "delivered"
    assert outcome.replies == {"first": 0, "repaired": 1, "failed": 0}
    rejected = [event["reason"] for event in events(tmp_path) if event["event"] == "reply_rejected"]
    assert rejected == ["the reply is no code: there is no code in it", "the reply was cut at 2048 tokens"]


def test_a_step_without_a_usable_reply_fails_and_writes_nothing(tmp_path: Path) -> None:
    outcome = start(tmp_path, "zero_shot", [{"reply": "no"}] * 3)
    assert outcome.status == "failed"
    assert "no usable reply after 3 tries" in outcome.reason
    assert git(outcome.repo, "ls-files").split() == [".company/requirement.md", ".company/sop.yaml", ".gitignore"]


def test_retry_does_a_failed_step_again(tmp_path: Path) -> None:
    text = sop("  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile], retry: 1}\n")
    outcome = start(tmp_path, text, [*[{"reply": "no"}] * 3, {"reply": RIGHT}])
    assert (outcome.status, outcome.calls) == ("delivered", 4)


def test_timeout_bounds_a_command(tmp_path: Path) -> None:
    text = sop("  wait: {run: python -c 'import time; time.sleep(60)', timeout: 1}\n")
    outcome = start(tmp_path, text, [])
    assert outcome.status in ("delivered", "failed")
    assert outcome.seconds < 30
    assert outcome.status == "failed" or "timeout" in (outcome.repo / "docs/wait.md").read_text()


def test_skipped_steps_are_null(tmp_path: Path) -> None:
    text = (
        sop(
            "  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}\n"
            "  extra: {run: python -c 1, when: len(code) > 5, in: code}\n"
            "  last: {run: python -c 1, when: maybe.extra.passed, in: code}\n",
            "",
        )
        + "deliver: {accept: len(code) == 1 and maybe.last == None}\n"
    )
    outcome = start(tmp_path, text, [{"reply": RIGHT}])
    assert outcome.status == "delivered"
    skipped = [event["step"] for event in events(tmp_path) if event["event"] == "step_skipped"]
    assert skipped == ["extra", "last"]


def test_a_role_of_ones_own_reviews_without_any_python(tmp_path: Path) -> None:
    (tmp_path / "roles").mkdir()
    (tmp_path / "prompts" / "editor").mkdir(parents=True)
    (tmp_path / "roles" / "editor.yaml").write_text("title: Editor\nprofile: You read closely.\n")
    (tmp_path / "prompts" / "editor" / "look.md.j2").write_text(
        "{{ requirement }}\n{{ code }}\nLook at it, {{ role.title }}."
    )
    text = (
        sop(
            "  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}\n"
            "  look: {role: editor, in: [requirement, code], out: Review}\n"
        )
        + "deliver: {accept: look.approved}\n"
    )
    script = [{"step": "code", "reply": RIGHT}, {"role": "editor", "reply": {"approved": False, "comments": ["no"]}}]
    outcome = start(tmp_path, text, script, user_dir=tmp_path)
    assert (outcome.status, outcome.accepted) == ("unaccepted", False)
    assert "Editor" in git(outcome.repo, "log", "--format=%an").split("\n")


def test_inputs_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the requirement is empty"):
        start(tmp_path, "zero_shot", [], requirement="  \n ")
    with pytest.raises(UsageError, match="at most 20000"):
        start(tmp_path, "zero_shot", [], requirement="x" * 20_001)
    assert not (tmp_path / "ws").exists()


def test_a_name_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ws" / "out").mkdir(parents=True)
    (tmp_path / "ws" / "out" / "precious").write_text("mine")
    with pytest.raises(UsageError, match="nothing is ever overwritten"):
        start(tmp_path, "zero_shot", [{"reply": RIGHT}])
    assert (tmp_path / "ws" / "out" / "precious").read_text() == "mine"


def test_a_repair_that_never_gives_its_function_is_a_round_without_a_change(own: Path) -> None:
    text = sop(
        TESTS
        + LOOP.replace("updates: code,", "updates: code, grain: function,").replace(
            "    max: 3\n", "    max: 2\n    on_max: continue\n"
        )
    )
    fixes = [{"step": "verify.fix", "reply": code(f"def other{number}():\n    pass")} for number in range(3)]
    outcome = start(own, text, [*loop_script(HALF), *fixes], user_dir=own)
    assert outcome.status == "delivered"
    assert (outcome.repo / "shout.py").read_text() == HALF + "\n"
