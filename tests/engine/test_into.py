"""Runs in a repository that is there: what they start from, what they leave in it, and what they leave alone."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import events, git, go_on

from company import wiring
from company.clones import Source
from company.engine import NewRun, Outcome
from company.errors import UsageError
from company.events import read
from company.settings import Settings

REQUIREMENT = (
    "In shop/cart.py, total() must take off a discount in percent: total([100, 100], discount=10) returns 180."
)
CART = '''"""The cart."""

import math

RATE = 1  # nobody knows why


def total(prices):
    # whole numbers only
    return math.floor(sum(prices) * RATE)


class Cart:
    """Holds prices."""

    def __init__(self):
        self.prices = []

    def add(self, price):
        self.prices.append(price)
'''
OLD_TESTS = """import pytest
from shop.cart import Cart, total


@pytest.mark.parametrize("prices", [[1], [1, 2]])
def test_total(prices, more):
    assert total(prices) == sum(prices) + more


def test_broken_before():
    assert total([1]) == 2


class TestCart:
    def test_add(self, more):
        cart = Cart()
        cart.add(3 + more)
        assert cart.prices == [3]
"""
CONFTEST = "import pytest\n\n\n@pytest.fixture\ndef more():\n    return 0\n"
PLAN = {
    "approach": "A parameter.",
    "changes": [{"action": "edit", "path": "shop/cart.py", "what": "total gets discount"}],
}
CHECKS = {
    "calls": [{"imports": "from shop.cart import total", "expression": "total([50], discount=50)", "expected": "25"}],
    "commands": [],
}
RIGHT = """```python
def total(prices, discount=0):
    # whole numbers only
    return math.floor(sum(prices) * RATE * (100 - discount) / 100)
```"""
BREAKS = RIGHT.replace("math.floor(", "1 + math.floor(")


def repository(at: Path, files: dict[str, str | bytes] | None = None) -> Path:
    """A repository with one commit."""
    default: dict[str, str | bytes] = {
        "shop/__init__.py": "", "shop/cart.py": CART, "tests/test_cart.py": OLD_TESTS, "tests/conftest.py": CONFTEST,
        "README.md": "# Shop\n", "docs/plan.md": "theirs\n", ".gitignore": "*.log\n",
    }  # fmt: skip
    for path, content in (default if files is None else files).items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(content.encode() if isinstance(content, str) else content)
    subprocess.run(["git", "init", "-q", "-b", "trunk", str(at)], check=True)
    commit_all(at)
    return at


def commit_all(at: Path) -> None:
    git(at, "add", "-A")
    git(at, "-c", "user.name=U", "-c", "user.email=u@x", "commit", "-q", "-m", "theirs")


def into(
    folder: Path, repo: Path, script: list[dict[str, Any]], requirement: str = REQUIREMENT, **more: Any
) -> Outcome:
    path = folder / "script.yaml"
    path.write_text(yaml.safe_dump(script, allow_unicode=True))
    fields = {"sop": "feature", "name": "out", "model": f"script:{path}", "workspace": folder / "ws"} | more
    new = NewRun(inputs={"requirement": requirement}, into=repo, **fields)
    return asyncio.run(wiring.run(new, Settings()))


def steps(*edits: str, plan: Any = PLAN, checks: Any = CHECKS) -> list[dict[str, Any]]:
    """Replies: the plan, an edit, checks, and a mending for each further reply."""
    first, *fixes = edits
    return [
        {"step": "plan", "reply": plan},
        {"step": "edit", "reply": first},
        {"step": "tests", "reply": checks},
        *({"step": "verify.fix", "reply": fix} for fix in fixes),
    ]


def test_a_feature_becomes_a_branch_and_nothing_else_changes(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    (repo / "shop/cart.py").write_text("not committed\n")
    (repo / "untracked.txt").write_text("x\n")
    before = git(repo, "status", "--porcelain", "--branch")
    outcome = into(tmp_path, repo, steps(RIGHT))
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert outcome.verdict == "3 of 3 tests that passed before still pass, 1 of 1 new ones pass"
    assert outcome.branch == f"company/{outcome.run}"
    assert git(repo, "status", "--porcelain", "--branch") == before
    assert (repo / "shop/cart.py").read_text() == "not committed\n"
    assert git(repo, "rev-parse", outcome.branch).strip() == outcome.commit
    changed = git(repo, "diff", "--name-only", "trunk", outcome.branch).split()
    records = [path for path in changed if path.startswith(f".company/{outcome.run}/")]
    assert [path for path in changed if path not in records] == ["shop/cart.py", "tests/test_out.py"]
    assert {path.rpartition("/")[2] for path in records} >= {"sop.yaml", "requirement.md", "run.json", "plan.json"}
    assert not any("survey" in path or "before" in path for path in records)
    difference = git(repo, "diff", "-U0", "trunk", outcome.branch, "--", "shop/cart.py")
    assert [line for line in difference.split("\n") if line[:1] in "+-" and line[:3] not in ("+++", "---")][:-1] == [
        "-def total(prices):",
        "+def total(prices, discount=0):",
        "-    return math.floor(sum(prices) * RATE)",
        "+    return math.floor(sum(prices) * RATE * (100 - discount) / 100)",
    ]
    notices = [event["text"] for event in events(tmp_path) if event["event"] == "notice"]
    assert f"{repo} has work that is not committed (shop/cart.py, untracked.txt)" in notices[0]
    git(repo, "stash", "-q", "-u")
    git(repo, "checkout", "-q", outcome.branch)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=repo, capture_output=True, check=False
    )
    assert b"1 failed, 4 passed" in done.stdout


def test_what_passed_before_must_still_pass(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    outcome = into(tmp_path, repo, steps(BREAKS, RIGHT))
    assert outcome.status == "delivered"
    verdicts = [event["summary"] for event in events(tmp_path) if event["event"] == "verdict"]
    assert verdicts == [
        "3 of 4 required tests pass",
        "1 of 3 tests that passed before still pass, 0 of 1 new ones pass",
        "3 of 3 tests that passed before still pass, 1 of 1 new ones pass",
    ]
    other = tmp_path / "other"  # or the reply to the same question would be taken from the run before
    other.mkdir()
    outcome = into(other, repo, steps(BREAKS, *[BREAKS.replace("1 +", f"{n} +") for n in (2, 3, 4)]), name="worse")
    assert outcome.status == "unaccepted"
    assert git(repo, "rev-parse", outcome.branch).strip() == outcome.commit
    changed = git(repo, "diff", "--name-only", "trunk", outcome.branch, "--", ".", ":!.company").split()
    assert changed == ["shop/cart.py", "tests/test_worse.py"]  # rounds that were undone left nothing besides
    best = max((event["summary"] for event in verdicts_of(other, outcome)), key=lambda text: text.split()[0])
    assert outcome.verdict == best, "it is of what stands, not of the last round"


def verdicts_of(folder: Path, outcome: Outcome) -> list[dict[str, Any]]:
    journal = read(folder / "ws/.company/runs" / outcome.run / "events.jsonl")
    return [event for event in journal if event["event"] == "verdict" and event["step"] == "verify.test"]


def test_new_tests_that_held_before_show_nothing(tmp_path: Path) -> None:
    held = {"imports": "from shop.cart import total", "expression": "total([50])", "expected": "50"}
    script = [
        step if step["step"] != "tests" else {**step, "reply": {"calls": [held], "commands": []}}
        for step in steps(RIGHT)
    ]
    words = "In shop/cart.py, total() must take off a discount in percent."
    outcome = into(tmp_path, repository(tmp_path / "repo"), script, words)
    assert (outcome.status, outcome.calls) == ("unaccepted", 3), "nothing fails, so nobody is asked to mend anything"
    assert outcome.verdict == (
        "3 of 3 tests that passed before still pass, 1 of 1 new ones pass, and passed before the change too"
    )


def test_the_tests_that_judge_are_those_of_the_base(tmp_path: Path) -> None:
    """Neither a changed fixture nor a new conftest or setting of the run has a say."""
    repo = repository(tmp_path / "repo", {
        "shop/__init__.py": "", "shop/cart.py": CART, "tests/test_cart.py": OLD_TESTS, "tests/conftest.py": CONFTEST,
        "setup.cfg": "[tool:pytest]\nusefixtures = more\n",
    })  # fmt: skip
    cheat = "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef more():\n    return 1\n"
    plan = {"approach": "x", "changes": [
        PLAN["changes"][0],
        {"action": "create", "path": "pytest.ini", "what": "settings"},
    ]}  # fmt: skip
    script = [
        {"step": "plan", "reply": plan},
        {"step": "edit", "item": "shop/cart.py", "reply": BREAKS},
        {"step": "edit", "item": "pytest.ini", "reply": "### pytest.ini\n```ini\n[pytest]\naddopts = -k nothing\n```"},
        {"step": "tests", "reply": CHECKS},
        *[{"step": "verify.fix", "reply": f"### conftest.py\n```python\n{cheat}```\n\n### shop/cart.py\n{BREAKS.replace('1 +', f'{n} +')}"} for n in (2, 3, 4)],
    ]  # fmt: skip
    outcome = into(tmp_path, repo, script)
    assert outcome.status == "unaccepted"
    assert outcome.verdict == "1 of 3 tests that passed before still pass, 0 of 1 new ones pass"


def test_settings_and_packages_of_other_layouts(tmp_path: Path) -> None:
    """A package in `src/`, tests inside another, fixtures that a setting wants, and one that cannot be loaded here."""
    repo = repository(tmp_path / "repo", {
        "src/shop/__init__.py": "", "src/shop/cart.py": CART,
        "src/shop/tests/__init__.py": "", "src/shop/tests/test_cart.py": OLD_TESTS, "src/shop/tests/conftest.py": CONFTEST,
        "src/shop/tests/test_web.py": "import requests_that_is_not_there\n\n\ndef test_web():\n    pass\n",
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--cov"\nmarkers = ["slow"]\nrequired_plugins = "pytest-cov"\n',
        "packaging/build.sh": "#!/bin/sh\n", "packaging/__init__.py": "",
    })  # fmt: skip
    plan = {**PLAN, "changes": [{**PLAN["changes"][0], "path": "cart.py"}]}
    outcome = into(tmp_path, repo, steps(RIGHT, plan=plan))
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert outcome.verdict == "3 of 3 tests that passed before still pass, 1 of 1 new ones pass"
    assert "src/shop/tests/test_out.py" in git(repo, "ls-tree", "-r", "--name-only", outcome.branch)
    notices = [event["text"] for event in events(tmp_path) if event["event"] == "notice"]
    said = "src/shop/tests/test_web.py could not be run before the change: No module named requests_that_is_not_there"
    assert said in notices
    record = json.loads((outcome.repo / f".company/{outcome.run}/artifacts/verify.test.json").read_text())
    assert record["problems"] == [said]


def test_a_repository_without_tests_and_a_file_that_is_no_code(tmp_path: Path) -> None:
    long = "".join(f"line {number}\r\n" for number in range(2000))
    repo = repository(tmp_path / "repo", {"cart.py": CART, "data.txt": long, "notes.bin": b"\0\1"})
    (repo / "run.sh").write_text("#!/bin/sh\necho one\n")
    (repo / "run.sh").chmod(0o755)
    os.symlink("cart.py", repo / "link.py")
    commit_all(repo)
    plan = {"approach": "x", "changes": [
        {"action": "edit", "path": "cart.py", "what": "total gets discount"},
        {"action": "edit", "path": "data.txt", "what": "line 1000"},
        {"action": "edit", "path": "run.sh", "what": "echo two"},
        {"action": "create", "path": "über/neu.txt", "what": "new"},
    ]}  # fmt: skip
    block = "<<<<<<< SEARCH\nline 999\nline 1000\n=======\nline 999\nline one thousand\n>>>>>>> REPLACE\n"
    script = [
        {"step": "plan", "reply": plan},
        {"step": "edit", "item": "cart.py", "reply": RIGHT},
        {"step": "edit", "item": "data.txt", "attempt": 1, "reply": block.replace("line 999\n", "line 99\n", 1)},
        {"step": "edit", "item": "data.txt", "attempt": 2, "reply": block},
        {"step": "edit", "item": "run.sh", "reply": "### run.sh\n```sh\n#!/bin/sh\necho two\n```"},
        {"step": "edit", "item": "über/neu.txt", "reply": "### über/neu.txt\n```txt\nneu\n```"},
        {"step": "tests", "reply": {**CHECKS, "calls": [{**CHECKS["calls"][0], "imports": "from cart import total"}]}},
    ]  # fmt: skip
    outcome = into(tmp_path, repo, script)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    changed = git(repo, "-c", "core.quotepath=off", "diff", "--numstat", "trunk", outcome.branch).split("\n")
    assert "1\t1\tdata.txt" in changed
    assert "1\t1\trun.sh" in changed
    assert "1\t0\tüber/neu.txt" in changed
    assert git(repo, "show", f"{outcome.branch}:tests/test_out.py")
    assert "100755" in git(repo, "ls-tree", outcome.branch, "run.sh")
    assert b"line one thousand\r\n" in (outcome.repo / "data.txt").read_bytes()
    rejected = [event["reason"] for event in events(tmp_path) if event["event"] == "reply_rejected"]
    assert rejected == ["the reply cannot be applied: a search is not found in data.txt"]


def test_a_plan_may_edit_only_what_there_is(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    wrong = {**PLAN, "changes": [{"action": "edit", "path": "shop/card.py", "what": "x"}]}
    tests = {**PLAN, "changes": [{"action": "edit", "path": "tests/test_cart.py", "what": "x"}]}
    script = [{"step": "plan", "reply": wrong}, {"step": "plan", "reply": tests}, *steps(RIGHT)]
    assert into(tmp_path, repo, script).status == "delivered"
    rejected = [event["reason"] for event in events(tmp_path) if event["event"] == "reply_rejected"]
    assert rejected[0] == "the plan edits `shop/card.py`, which is not there"
    assert "test" in rejected[1]


def test_what_was_delivered_is_gone_on_with_by_the_same_command(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    first = into(tmp_path, repo, steps(RIGHT))
    again = RIGHT.replace("discount=0", "discount=0, tax=0").replace(") / 100)", ") / 100) + tax")
    more = {**CHECKS, "calls": [{**CHECKS["calls"][0], "expression": "total([50], tax=1)", "expected": "51"}]}
    second = into(tmp_path, first.repo, steps(again, checks=more), "total([50], tax=1) returns 51.", name="tax")
    assert second.status == "delivered"
    assert second.verdict == "4 of 4 tests that passed before still pass, 1 of 1 new ones pass"
    assert git(first.repo, "rev-parse", second.branch).strip() == second.commit
    assert git(first.repo, "rev-parse", "HEAD").strip() == first.commit
    assert {path.name for path in (second.repo / ".company").iterdir()} == {first.run, second.run}


def test_a_run_that_was_stopped_leaves_its_branch_and_is_resumed(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    outcome = into(tmp_path, repo, steps(RIGHT), limits={"calls": 2})
    assert (outcome.status, outcome.verdict) == ("limited", ""), "what was tested before the run is not its verdict"
    stopped = git(repo, "rev-parse", outcome.branch).strip()
    assert "discount" in git(repo, "show", f"{outcome.branch}:shop/cart.py")
    git(repo, "checkout", "-q", outcome.branch)
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"step": "tests", "reply": CHECKS}]))
    resumed = go_on(tmp_path, {"calls": 9})
    assert (resumed.status, resumed.accepted) == ("failed", True)
    assert "checked out" in resumed.reason
    assert git(repo, "rev-parse", "HEAD").strip() == stopped
    git(repo, "checkout", "-q", "trunk")
    resumed = go_on(tmp_path)
    assert (resumed.status, resumed.branch, resumed.calls) == ("delivered", outcome.branch, 3)
    assert git(repo, "rev-parse", outcome.branch).strip() == resumed.commit
    assert git(repo, "merge-base", "--is-ancestor", stopped, outcome.branch) == ""


def test_a_dry_run_leaves_no_branch(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    outcome = into(tmp_path, repo, [], dry_run=True)
    assert (outcome.status, outcome.reason, outcome.branch) == ("delivered", "", "")
    assert git(repo, "branch", "--format=%(refname:short)").split() == ["trunk"]


def test_a_workspace_inside_the_repository_is_none_of_its_files(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    outcome = into(tmp_path, repo, steps(RIGHT), workspace=repo / "workspace")
    assert outcome.status == "delivered"
    assert git(repo, "status", "--porcelain") == ""
    with pytest.raises(UsageError, match="the workspace is the repository itself"):
        into(tmp_path, repo, [], workspace=repo)


def test_other_procedures_work_in_a_repository_too(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    script = [{"step": "code", "reply": "### hello.py\n```python\nprint('hi')\n```"}]
    outcome = into(tmp_path, repo, script, "A script hello.py that says hi.", sop="zero_shot")
    assert outcome.status == "delivered"
    assert "hello.py" in git(repo, "diff", "--name-only", "trunk", outcome.branch).split()


def test_a_redo_of_such_a_run_leaves_a_branch_of_its_own_and_keeps_what_was_edited(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    os.symlink("README.md", repo / "link")
    commit_all(repo)
    first = into(tmp_path, repo, steps(RIGHT))
    assert first.accepted, first.reason
    clone = first.repo
    (clone / "link").unlink()
    (clone / "link").symlink_to("docs")
    (clone / "docs/plan.md").chmod(0o755)
    cart = clone / "shop/cart.py"
    cart.write_text(cart.read_text().replace("# whole numbers only", "# whole numbers, as agreed"))
    again = asyncio.run(wiring.redo(tmp_path / "ws", first.run, Settings()))
    assert (again.status, again.calls) == ("delivered", 1), "QA reads the code that was edited, and is asked again"
    assert again.branch == f"company/{again.run}"
    assert "as agreed" in git(repo, "show", f"company/{again.run}:shop/cart.py")
    assert "as agreed" not in git(repo, "show", f"company/{first.run}:shop/cart.py")
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "ls-tree", "--name-only", again.branch, ".company/").split() == [f".company/{first.run}"]
    kept = f"refs/company/edits/{again.run}"
    assert (git(clone, "show", f"{kept}:link"), os.readlink(clone / "link")) == ("docs", "README.md")
    assert "100755" in git(clone, "ls-tree", kept, "docs/plan.md")
    assert git(clone, "status", "--porcelain") == ""
    journal = read(tmp_path / "ws/.company/runs" / again.run / "events.jsonl")
    said = [event["text"] for event in journal if event["event"] == "notice" and kept in event["text"]]
    assert [text.partition(",")[0] for text in said] == ["docs/plan.md is executable", "link is a symbolic link"]


def test_a_workspace_inside_the_repository_is_no_work_of_theirs(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    outcome = into(tmp_path, repo, steps(RIGHT), workspace=repo / "workspace")
    assert outcome.status == "delivered"
    journals = [*(repo / "workspace/.company/runs").glob("*/events.jsonl")]
    notices = [event["text"] for path in journals for event in read(path) if event["event"] == "notice"]
    assert len(notices) == 1  # where its branch is
    assert git(repo, "status", "--porcelain") == ""
    (repo / "notes").mkdir()
    (repo / "notes/later.txt").write_text("x\n")
    assert Source.at(repo).uncommitted() == ["notes/"]


def test_a_model_that_sees_nothing_to_change_does_not_end_the_run(tmp_path: Path) -> None:
    plan, edit, checks, fix = steps("No changes are needed.", RIGHT)
    outcome = into(tmp_path, repository(tmp_path / "repo"), [plan, edit, edit, edit, checks, fix])
    assert outcome.status == "delivered"
    notices = [event["text"] for event in events(tmp_path) if event["event"] == "notice"]
    assert any("there is no code in it; the files stay as they were" in text for text in notices)
    assert [event["passed"] for event in verdicts_of(tmp_path, outcome)] == [False, True]


def test_a_mending_that_never_comes_is_a_round_without_a_change(tmp_path: Path) -> None:
    plan, edit, checks, fix, mended = steps(BREAKS, "I apologize.", RIGHT)
    outcome = into(tmp_path, repository(tmp_path / "repo"), [plan, edit, checks, fix, fix, fix, mended])
    assert outcome.status == "delivered"
    assert any("shop/cart.py stays as it was" in event.get("text", "") for event in events(tmp_path))


def test_a_change_without_any_new_test_is_not_mended_for_nothing(tmp_path: Path) -> None:
    plan, edit, checks = steps(RIGHT, checks={"calls": [], "commands": []})
    words = "In shop/cart.py, total() must take off a discount in percent."
    outcome = into(tmp_path, repository(tmp_path / "repo"), [plan, edit, checks, checks, checks], words)
    assert (outcome.status, outcome.calls) == ("unaccepted", 5)
    assert outcome.verdict == (
        "3 of 3 tests that passed before still pass, 0 of 0 new ones pass: nothing shows the change"
    )
