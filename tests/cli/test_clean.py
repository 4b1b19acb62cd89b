"""`company runs`, the room that runs take, and `--clean`: what no run needs goes, everything else stays."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
import yaml

from company import housekeeping, wiring
from company.cache import Objects, Replies, Results
from company.cli_diff import diff
from company.cli_runs import runs, show
from company.errors import UsageError
from company.events import read
from company.housekeeping import clean, survey
from company.lock import Lock
from company.records import runs as records_of
from company.settings import Settings
from company.store import Folder
from tests.engine.running import RIGHT, WRONG, git, go_on, start

SOP = """sop: 1
steps:
  text: {role: reviewer, prompt: say, in: {about: requirement}, out: str}
  code: {role: engineer, prompt: say, in: {about: text}, out: [SourceFile]}
deliver: {accept: len(code) == 1}
"""
KEY = "ab" * 32
WEEK = 7 * 86400.0


def project(folder: Path) -> Path:
    prompt = folder / "prompts/shared/say.md.j2"
    prompt.parent.mkdir(parents=True)
    prompt.write_text("{{ about }}\nsays {{ role.title }}\n")
    return folder


def redo(folder: Path, *replies: str, again: tuple[str, ...] = ()) -> wiring.Outcome:
    (folder / "script.yaml").write_text(yaml.safe_dump([{"reply": reply} for reply in replies]))
    return asyncio.run(wiring.redo(folder / "ws", "out", Settings(), again=again, user_dir=folder))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its redo with other code, in one repository, a week old."""
    folder = project(tmp_path_factory.mktemp("clean"))
    script = [{"step": "text", "reply": "one"}, {"step": "code", "reply": RIGHT}]
    assert start(folder, SOP, script, user_dir=folder).status == "delivered"
    assert redo(folder, WRONG, again=("code",)).calls == 1
    age(folder / "ws")
    return folder


@pytest.fixture
def folder(first: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(first, tmp_path / "copy"))


def age(workspace: Path) -> None:
    """Nothing in it was used for a week."""
    for path in (workspace / ".company").rglob("*"):
        os.utime(path, (time.time() - WEEK,) * 2)


def ids(folder: Path) -> tuple[str, str]:
    old, new = sorted(path.name for path in (folder / "ws/.company/runs").iterdir())
    return old, new


def held(folder: Path, *kinds: str) -> set[str]:
    home = folder / "ws/.company"
    return {path.relative_to(home).as_posix() for kind in kinds for path in (home / kind).rglob("*") if path.is_file()}


def do(folder: Path, *named: str) -> list[str]:
    return list(clean(folder / "ws", survey(folder / "ws", named)))


def test_what_runs_refer_to_stays_and_their_redo_is_still_free(folder: Path) -> None:
    before = held(folder, "runs", "steps", "replies")
    plan = survey(folder / "ws")
    assert (plan.runs, plan.kept["steps"], plan.kept["replies"], plan.rest) == ((), (), (), ())
    assert set(plan.threads) == set(ids(folder))
    assert do(folder) == []
    assert held(folder, "runs", "steps", "replies") == before
    objects = Objects(Folder(folder / "ws/.company"))
    for run in ids(folder):
        for event in read(folder / "ws/.company/runs" / run / "events.jsonl"):
            assert objects.holds([*event.get("values", {}).values(), event.get("files")])
    assert survey(folder / "ws").is_empty
    again = redo(folder)
    assert (again.status, again.calls, again.cached_steps) == ("delivered", 0, 2)


def test_what_no_run_refers_to_goes_unless_it_was_used_of_late(folder: Path) -> None:
    home = folder / "ws/.company"
    store = Folder(home)
    objects, results, replies = Objects(store), Results(store), Replies(store)
    inner = objects.put({"kind": "json", "value": "held by a result"})
    outer = objects.put({"kind": "references", "value": [inner]})
    used = objects.put({"kind": "json", "value": "used again"})
    results.put(KEY, {"run": "gone", "model": "", "tokens": 1, "values": {"x": outer}, "commit": None})
    results.fail(KEY, 1)
    replies.put(KEY, {"text": "hello"})
    for name in (f".new-{'0' * 16}", f"objects/{inner[:2]}/.new-{'1' * 16}", "state.sqlite.damaged-1000"):
        (home / name).write_text("left half done")
    (folder / f"ws/.new-{'2' * 16}/.git").mkdir(parents=True)
    for other in (".new-mine", "notes.txt", f"objects/{inner[:2]}/notes.json"):
        (home / other).write_text("not ours")
    assert all(KEY not in path.name for kind in housekeeping.KEPT for path in survey(folder / "ws").kept[kind])
    age(folder / "ws")
    os.utime(folder / f"ws/.new-{'2' * 16}", (1000, 1000))
    plan = survey(folder / "ws")
    assert {path.stem for path in plan.kept["objects"]} >= {inner, outer, used}
    assert sorted(path.name for path in plan.kept["steps"]) == [f"{KEY}.failed", f"{KEY}.json"]
    assert [path.stem for path in plan.kept["replies"]] == [KEY]
    assert len(plan.rest) == 4
    objects.put({"kind": "json", "value": "used again"})  # a run comes to it after it was listed
    assert list(clean(folder / "ws", plan)) == []
    assert not objects.holds([inner])
    assert objects.holds([used])
    assert (results.get(KEY), results.failures(KEY), replies.get(KEY)) == (None, 0, None)
    assert not list((folder / "ws").rglob(".new-0*")) + list((folder / "ws").glob(".new-2*"))
    assert not (home / "state.sqlite.damaged-1000").exists()
    assert all((home / name).exists() for name in (".new-mine", "notes.txt", f"objects/{inner[:2]}/notes.json"))


def test_a_run_that_was_stopped_keeps_all_that_it_goes_on_with(tmp_path: Path) -> None:
    folder = project(tmp_path)
    stopped = start(folder, SOP, [{"step": "text", "reply": "one"}], user_dir=folder)
    assert stopped.status == "failed"
    age(folder / "ws")
    before = held(folder, "objects", "replies", "steps", "runs")
    plan = survey(folder / "ws")
    assert plan.is_empty
    assert do(folder) == []
    assert held(folder, "objects", "replies", "steps", "runs") == before
    with sqlite3.connect(folder / "ws/.company/state.sqlite") as database:
        assert database.execute("SELECT count(*) FROM checkpoints").fetchone()[0] > 0
    database.close()
    (folder / "script.yaml").write_text(yaml.safe_dump([{"step": "code", "reply": RIGHT}]))
    assert go_on(folder).status == "delivered"
    age(folder / "ws")
    do(folder)
    with sqlite3.connect(folder / "ws/.company/state.sqlite") as database:
        assert database.execute("SELECT count(*) FROM checkpoints").fetchone()[0] == 0
    database.close()


def test_a_journal_that_does_not_note_replies_keeps_them_all(folder: Path) -> None:
    old, _ = ids(folder)
    journal = folder / "ws/.company/runs" / old / "events.jsonl"
    journal.write_text(re.sub(r'"key": "[0-9a-f]{64}", ', "", journal.read_text()))
    Replies(Folder(folder / "ws/.company")).put(KEY, {"text": "hello"})
    age(folder / "ws")
    plan = survey(folder / "ws")
    assert plan.kept["replies"] == ()
    assert "replies are all kept" in plan.notes[0]


def test_a_redo_goes_with_its_branch_when_the_repository_stands_elsewhere(folder: Path) -> None:
    old, new = ids(folder)
    repo = folder / "ws/out"
    (doomed,) = survey(folder / "ws", [new]).runs
    assert (doomed.whole, doomed.branch) == (False, "")
    assert "the repository stands on it" in doomed.stays
    git(repo, "switch", "-q", "main")
    (doomed,) = survey(folder / "ws", [new]).runs
    assert (doomed.whole, doomed.branch, doomed.stays) == (False, f"company/{new}", "")
    before = held(folder, "steps", "replies")
    assert do(folder, new) == []
    assert git(repo, "branch", "--format=%(refname:short)").split() == ["main"]
    assert [record.run for record in records_of(Folder(folder / "ws/.company"))] == [old]
    gone = before - held(folder, "steps", "replies")
    assert sorted(name.partition("/")[0] for name in gone) == ["replies", "steps"]
    assert '"!"' in (repo / "shout.py").read_text()
    assert survey(folder / "ws").is_empty


def test_a_run_whose_repository_others_share_leaves_it(folder: Path) -> None:
    old, new = ids(folder)
    (doomed,) = survey(folder / "ws", [old]).runs
    assert (doomed.whole, doomed.stays) == (False, f"{new} shares the repository")
    assert do(folder, old) == []
    assert redo(folder).calls == 0  # the redo needs nothing of the run that it went back to


def test_all_runs_of_a_repository_go_with_it(folder: Path) -> None:
    assert [run.whole for run in survey(folder / "ws", ids(folder)).runs] == [True, True]
    assert do(folder, *ids(folder)) == []
    assert [path.name for path in (folder / "ws").iterdir()] == [".company"]
    assert held(folder, "objects", "replies", "steps", "runs", "deleted") == set()


def commit(repo: Path, *words: str) -> None:
    git(repo, "-c", "user.name=Me", "-c", "user.email=me@example.org", "commit", "-q", *words)


def edit(repo: Path) -> None:
    (repo / "shout.py").write_text("mine\n")


def stage(repo: Path) -> None:
    text = (repo / "shout.py").read_text()
    edit(repo)
    git(repo, "add", "shout.py")
    (repo / "shout.py").write_text(text)


def add(repo: Path) -> None:
    (repo / ".gitignore").write_text((repo / ".gitignore").read_text())
    (repo / "notes.txt").write_text("mine\n")


def own_commit_on_another_branch(repo: Path) -> None:
    git(repo, "switch", "-q", "-c", "mine")
    commit(repo, "--allow-empty", "-m", "mine")
    git(repo, "switch", "-q", "main")


def amend(repo: Path) -> None:
    commit(repo, "--amend", "--no-edit")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (edit, "changes that are not committed (shout.py)"),
        (stage, "changes that are staged and not committed (shout.py)"),
        (add, "files that are not committed (notes.txt)"),
        (own_commit_on_another_branch, "commits of others ("),
        (amend, "commits of others ("),
        (lambda repo: git(repo, "worktree", "add", "-q", "--detach", "../linked"), "linked work trees"),
    ],
)
def test_what_a_person_did_keeps_the_repository(folder: Path, change: object, why: str) -> None:
    assert callable(change)
    repo = folder / "ws/out"
    change(repo)
    for run in survey(folder / "ws", ids(folder)).runs:
        assert (run.whole, run.branch) == (False, "")
        assert why in run.stays
    do(folder, *ids(folder))
    assert (repo / ".git/HEAD").exists()


def test_a_change_that_comes_after_the_listing_keeps_it_too(folder: Path) -> None:
    plan = survey(folder / "ws", ids(folder))
    edit(folder / "ws/out")
    (line,) = clean(folder / "ws", plan)
    assert "stays: it has changes that are not committed" in line
    assert (folder / "ws/out/shout.py").read_text() == "mine\n"


def test_a_run_that_is_under_way_stays_whole(folder: Path) -> None:
    everything = held(folder, "objects", "replies", "steps", "runs")
    with Lock(folder / "ws/out"):
        plan = survey(folder / "ws", ids(folder))
        assert plan.runs == ()
        assert set(plan.busy) == set(ids(folder))
    plan = survey(folder / "ws", ids(folder))
    with Lock(folder / "ws/out"):  # one that began after the listing
        lines = list(clean(folder / "ws", plan))
    assert len(lines) == 2
    assert all("is busy" in line for line in lines)
    assert held(folder, "replies", "steps", "runs") <= everything
    assert (folder / "ws/out/.git/HEAD").exists()


def test_a_run_that_is_about_to_begin_stays(folder: Path) -> None:
    _, new = ids(folder)
    request = folder / "ws/.company/runs" / new / "request.json"
    (request.parent / "events.jsonl").unlink()
    os.utime(request)
    assert survey(folder / "ws", [new]).busy == {new: "it is about to begin"}


def test_what_a_long_run_used_since_it_began_stays(folder: Path) -> None:
    _, new = ids(folder)
    journal = folder / "ws/.company/runs" / new / "events.jsonl"
    lines = journal.read_text().splitlines()
    began = {**json.loads(lines[0]), "time": time.time() - 2 * WEEK}
    journal.write_text("\n".join([json.dumps(began), *lines[1:-1]]) + "\n")
    Replies(Folder(folder / "ws/.company")).put(KEY, {"text": "hello"})
    age(folder / "ws")
    with Lock(folder / "ws/out"):
        assert survey(folder / "ws").kept["replies"] == ()
    assert len(survey(folder / "ws").kept["replies"]) == 1


def test_killed_in_the_middle_it_leaves_a_workspace_that_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Path] = []

    def killed_at_the_second(workspace: Path, path: Path) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(path)
        throw_away(workspace, path)

    throw_away = housekeeping._throw_away
    monkeypatch.setattr(housekeeping, "_throw_away", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        do(folder, *ids(folder))
    monkeypatch.undo()
    assert [path.name for path in moved[1:]] == ["out"]
    (left,) = records_of(Folder(folder / "ws/.company"))
    assert not left.repo.exists()
    assert do(folder, left.run) == []
    assert held(folder, "objects", "replies", "steps", "runs", "deleted") == set()


# --- the command ------------------------------------------------------------------------------------


def test_the_list_says_what_room_each_run_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = ids(folder)
    runs(workspace=folder / "ws", as_json=True)
    shown = capsys.readouterr()
    by_run = {row["run"]: row["bytes"] for row in map(json.loads, shown.out.splitlines())}
    repository = housekeeping.size(folder / "ws/out")
    assert by_run[new] == housekeeping.size(folder / "ws/.company/runs" / new)
    assert by_run[old] == housekeeping.size(folder / "ws/.company/runs" / old) + repository
    assert re.fullmatch(
        r"also kept: prompts \d+ kB, replies \d+ kB, objects \d+ kB, steps \d+ kB, state database \d+ kB\n", shown.err
    )
    runs(workspace=folder / "ws")
    assert re.search(r"delivered +\d+ kB +out .* (0\.)?\d s +A module", capsys.readouterr().out)


def test_nothing_is_deleted_without_a_yes_nor_by_any_other_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = ids(folder)
    Replies(Folder(folder / "ws/.company")).put(KEY, {"text": "hello"})
    age(folder / "ws")
    everything = {path for path in (folder / "ws").rglob("*") if "sqlite-" not in path.name}
    runs(workspace=folder / "ws", clean=True)
    shown = capsys.readouterr()
    assert "1 replies " in shown.out
    assert "the same question is paid for again" in shown.out
    assert f"nothing was deleted; `company runs --clean --workspace {folder}/ws --yes` deletes these " in shown.err
    runs([old], workspace=folder / "ws", clean=True, older_than=1)
    shown = capsys.readouterr()
    assert f"company runs --clean {old} --older-than 1 --workspace" in shown.err
    assert f"and its repository {folder}/ws/out" in shown.out
    runs(workspace=folder / "ws")
    show(new, "", folder / "ws")
    diff(old, new, folder / "ws")
    redo(folder)
    assert everything <= {*(folder / "ws").rglob("*")}
    capsys.readouterr()
    runs(workspace=folder / "ws", clean=True, yes=True)
    assert capsys.readouterr().err.startswith("deleted ")
    assert Replies(Folder(folder / "ws/.company")).get(KEY) is None
    runs(workspace=folder / "ws", clean=True, older_than=1, yes=True)
    assert [record.run for record in records_of(Folder(folder / "ws/.company"))] == [
        sorted(os.listdir(folder / "ws/.company/runs"))[0]
    ]


def test_what_is_wrong_with_the_command_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        runs(workspace=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="are for --clean"):
        runs(workspace=folder / "ws", yes=True)
    with pytest.raises(UsageError, match="no run `nothing`"):
        runs(["nothing"], workspace=folder / "ws", clean=True)
    with pytest.raises(UsageError, match="no number of days"):
        runs(workspace=folder / "ws", clean=True, older_than=-1)
