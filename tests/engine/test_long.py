"""Long runs leave no more behind for each step than short ones, and runs side by side leave what each would leave alone."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import git, start

from company import checkpoints, store, wiring
from company.engine import NewRun, Outcome
from company.events import Event, read
from company.llm import providers
from company.llm.scripted import ScriptedModel
from company.settings import Settings

ROUNDS = """
sop: 1
name: rounds
steps:
  outer:
    loop:
      inner:
        loop:
          say: {role: engineer, prompt: zero_shot, in: requirement, out: str, commit: false}
        until: say == "enough"
        max: 50
        on_max: continue
    until: inner.say == "enough"
    max: %d
    on_max: continue
"""
EACH = """
sop: 1
name: each
inputs: {requirement: str, names: "[str]"}
steps:
  each:
    for_each: names
    as: name
    key: name
    max: 100
    do: {role: engineer, prompt: zero_shot, in: {requirement: name%s}, out: str, commit: false}
"""


def kept(folder: Path) -> tuple[int, int]:
    """Checkpoints, and bytes of all that the database holds."""
    with sqlite3.connect(folder / "ws/.company/state.sqlite") as database:
        rows, size = database.execute("select count(*), sum(length(checkpoint)) from checkpoints").fetchone()
        (writes,) = database.execute("select coalesce(sum(length(value)), 0) from writes").fetchone()
    database.close()
    return rows, size + writes


def test_checkpoints_do_not_grow_with_the_rounds(tmp_path: Path) -> None:
    sizes = {}
    for rounds in (1, 4):
        folder = tmp_path / str(rounds)
        folder.mkdir()
        outcome = start(folder, ROUNDS % rounds, [{"reply": "more"}] * (50 * rounds))
        assert (outcome.status, outcome.calls) == ("delivered", 50 * rounds), outcome.reason
        sizes[rounds] = kept(folder)
    assert sizes[4][0] <= checkpoints.MOST
    assert sizes[4][1] < 2 * sizes[1][1]


def test_a_checkpoint_is_on_disk_before_the_next_step_begins(tmp_path: Path) -> None:
    """Else steps that are quicker than the disk pile up in memory, and a kill loses them all."""
    from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

    stored: list[int] = []

    def look(event: Event) -> None:
        if event["event"] == "call_started":
            with sqlite3.connect(tmp_path / "ws/.company/state.sqlite") as database:
                newest = "select type, checkpoint from checkpoints order by checkpoint_id desc limit 1"
                row = database.execute(newest).fetchone()
            database.close()
            stored.append(EncryptedSerializer(store.Seal()).loads_typed(row)["channel_values"]["rounds"]["outer.inner"])

    start(tmp_path, ROUNDS % 1, [{"reply": "more"}] * 50, listen=look)
    assert stored == list(range(1, 51))


def test_checkpoints_hold_references_and_no_artifacts(tmp_path: Path) -> None:
    body = "a long answer " * 5_000
    outcome = start(tmp_path, ROUNDS % 1, [{"reply": body}] * 50)
    assert outcome.status == "delivered", outcome.reason
    rows, size = kept(tmp_path)
    assert rows > 0
    assert size < len(body)
    files = (tmp_path / "ws/.company").glob("state.sqlite*")
    assert not any(b"a long answer" in path.read_bytes() for path in files)


@pytest.mark.parametrize(("reads", "lists"), [("", 1), (", design: done", 21)])
def test_the_results_before_an_item_are_kept_as_a_list_only_where_it_reads_them(
    tmp_path: Path, reads: str, lists: int
) -> None:
    path = tmp_path / "each.yaml"
    path.write_text(EACH % reads)
    (tmp_path / "prompts/engineer").mkdir(parents=True)
    (tmp_path / "prompts/engineer/zero_shot.md.j2").write_text("{# optional: design #}{{ requirement }}{{ design }}\n")
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": f"answer {number}"} for number in range(20)]))
    inputs = {"requirement": "x", "names": "\n".join(f"n{number}" for number in range(20))}
    new = NewRun(inputs, str(path), tmp_path / "ws", model=f"script:{tmp_path / 'script.yaml'}", user_dir=tmp_path)
    outcome = asyncio.run(wiring.run(new, Settings()))
    assert outcome.status == "delivered", outcome.reason
    objects = [one.read_text() for one in (tmp_path / "ws/.company/objects").rglob("*.json")]
    assert sum('"kind": "references"' in text for text in objects) == lists


# --- side by side -----------------------------------------------------------------------------------

SMALL = """
sop: 1
name: small
steps:
  plan: {role: engineer, prompt: zero_shot, in: requirement, out: str}
  polish:
    loop:
      say: {role: engineer, prompt: zero_shot, in: {requirement: plan}, out: str}
    until: say == "enough"
    max: 3
"""
BESIDE = 50


def script(number: int) -> list[dict[str, Any]]:
    return [
        {"step": "plan", "reply": f"the plan of {number}"},
        {"step": "polish.say", "round": 1, "reply": f"not yet {number}"},
        {"step": "polish.say", "round": 2, "reply": "enough"},
    ]


async def begin(workspace: Path, sop: Path, number: int, **more: Any) -> Outcome:
    new = NewRun(
        {"requirement": "a program that shouts"}, str(sop), workspace, model=f"script:{sop.parent / f'{number}.yaml'}", **more
    )  # fmt: skip
    return await wiring.run(new, Settings())


@asynccontextmanager
async def slowly(name: str, *_: object, **__: object) -> AsyncIterator[ScriptedModel]:
    """A model that takes a while to open: meanwhile all runs have looked for a name that is free."""
    await asyncio.sleep(0.5)
    yield ScriptedModel.from_file(Path(name.partition(":")[2]))


def test_fifty_runs_at_once_in_one_workspace_are_what_each_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same requirement and without names: each still gets a folder, a journal and checkpoints of its own."""
    monkeypatch.setattr(providers, "open_model", slowly)
    sop = tmp_path / "small.yaml"
    sop.write_text(SMALL)
    for number in range(BESIDE):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(script(number)))

    async def all_of_them() -> list[Outcome]:
        return await asyncio.gather(*(begin(tmp_path / "ws", sop, number) for number in range(BESIDE)))

    outcomes = asyncio.run(all_of_them())
    assert {(one.status, one.reason, one.calls) for one in outcomes} == {("delivered", "", 3)}
    assert len({one.run for one in outcomes}) == len({one.name for one in outcomes}) == BESIDE
    for number, one in enumerate(outcomes):
        files = {path.relative_to(one.repo): path for path in (one.repo / "docs").iterdir()}
        assert f"the plan of {number}\n" in files[Path("docs/plan.md")].read_text()
        journal = tmp_path / "ws/.company/runs" / one.run / "events.jsonl"
        assert {event["run"] for event in read(journal) if "run" in event} == {one.run}
        assert git(one.repo, "status", "--porcelain") == ""
    alone = asyncio.run(begin(tmp_path / "alone", sop, 7))
    assert steps_and_files(outcomes[7]) == steps_and_files(alone)
    listed = {record.run: record for record in wiring.runs(tmp_path / "ws", Settings())}
    assert {(run, record.name, record.status, record.calls) for run, record in listed.items()} == {
        (one.run, one.name, "delivered", 3) for one in outcomes
    }


def steps_and_files(outcome: Outcome) -> tuple[list[str], dict[str, str]]:
    """The history by author, subject and step; and the files, without what names the run or tells the time."""
    log = git(outcome.repo, "log", "--format=%an|%s|%(trailers:key=Company-Step,valueonly,separator=)")
    files = git(outcome.repo, "ls-files").split()
    return log.splitlines(), {
        name: (outcome.repo / name).read_text().replace(outcome.name.replace("-", " ").capitalize(), "TITLE")
        for name in files
        if name != ".company/run.json"
    }


def test_a_state_database_that_is_busy_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting it aside would take it from under the runs that keep it busy."""
    path = tmp_path / "state.sqlite"
    holder = sqlite3.connect(path)
    holder.execute("create table checkpoints (a)")
    holder.commit()
    holder.execute("begin exclusive")
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0.05))
    with pytest.raises(sqlite3.OperationalError, match="locked"), sqlite3.connect(path) as other:
        other.execute("pragma quick_check").fetchone()
    other.close()
    assert store._is_sound(path)
    holder.close()
    path.write_bytes(b"x" * 9000)
    assert not store._is_sound(path)
