"""A team's machines: runs kept in PostgreSQL and pushed to a remote, begun on one machine and ended on another.

A machine is a folder with settings of its own; the database and the remote are what they share.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from answering import Answering, answering
from database import PASSWORD, Server, serving
from gated import GATED
from pydantic import SecretStr
from running import REQUIREMENT, git
from typer.testing import CliRunner

from company import postgres, wiring
from company.answers import Given
from company.cli import app
from company.engine import NewRun, Outcome
from company.errors import CompanyError, UsageError, WorkspaceBusy, WorkspaceError
from company.events import Event, read
from company.records import RunRecord
from company.settings import Settings, load_settings
from company.sitting import Watch

SECRET = PASSWORD[:7]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture(autouse=True)
def empty(server: Server) -> None:
    """No tables, at the beginning of each test."""
    server.ask("DROP SCHEMA public CASCADE")
    server.ask("CREATE SCHEMA public")
    server.ask("GRANT USAGE ON SCHEMA public TO PUBLIC")


@dataclass
class Machine:
    """One of the team's: a folder with its `company.toml`."""

    folder: Path
    settings: Settings

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """The command, as a process in a session of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COMPANY_")}
        return subprocess.Popen(
            [sys.executable, "-m", "company", *words], cwd=self.folder, env=kept,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def say(self, *words: str) -> str:
        """What a command prints, in this process."""
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(app, list(words)).output

    def run(self, name: str, listen: Callable[[Event], None] = lambda event: None, **more: Any) -> Outcome:
        """A run in this process."""
        new = NewRun({"requirement": REQUIREMENT}, "waterfall", self.workspace, name, "mine:m")
        return asyncio.run(wiring.run(new, self.settings, Watch((listen,), **more)))

    def resume(self, run: str = "") -> Outcome:
        return asyncio.run(wiring.resume(self.workspace, run, self.settings))

    def runs(self) -> list[RunRecord]:
        return wiring.runs(self.workspace, self.settings)

    def notices(self, outcome: Outcome) -> list[str]:
        journal = read(self.workspace / ".company/runs" / outcome.run / "events.jsonl")
        return [event["text"] for event in journal if event["event"] == "notice"]

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def repo(self) -> Path:
        return self.workspace / "out"


@dataclass
class Team:
    """Two machines, what they share, and the model that both ask."""

    one: Machine
    two: Machine
    remote: Path
    model: Answering

    def alone(self) -> Machine:
        """A machine of nobody's team."""
        settings = self.one.settings.model_copy(update={"state": SecretStr(""), "remote": ""})
        return Machine(self.one.folder.with_name("alone"), settings)


@pytest.fixture
def team(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    (tmp_path / "git").mkdir()
    with answering() as model:
        machines = []
        for name in ("one", "two"):
            (folder := tmp_path / name).mkdir()
            (folder / "company.toml").write_text(
                f'state = "{server.dsn}"\nremote = "{tmp_path}/git/{{name}}.git"\n'
                f'[providers.mine]\nbase_url = "http://127.0.0.1:{model.port}/v1"\n'
            )
            monkeypatch.chdir(folder)
            machines.append(Machine(folder, load_settings()))
        yield Team(*machines, tmp_path / "git/out.git", model)


def wait_for(model: Answering, requests: int) -> None:
    end = time.monotonic() + 120
    while len(model.bodies) < requests:
        assert time.monotonic() < end, f"only {len(model.bodies)} requests came"
        time.sleep(0.005)


def at(name: str, number: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """Listens for the n-th event of a name, and acts then."""
    seen = Counter[str]()

    def listen(event: Event) -> None:
        seen[event["event"]] += 1
        if event["event"] == name and seen[name] == number:
            act()

    return listen


def commits(repo: Path) -> list[str]:
    """The history but for ids, times, and what tells one run from another."""
    said = git(repo, "log", "--reverse", "--format=%x00%an %ae%n%s%n%(trailers:unfold)", "--name-status")
    return sorted(re.sub(r"Company-Run: .*", "", said).split("\0"))


def tree(repo: Path) -> list[str]:
    """The files but for those that say how long something took."""
    timed = (".company/run.json", ".company/artifacts/verify.test.json")
    return [line for line in git(repo, "ls-tree", "-r", "HEAD").splitlines() if not line.endswith(timed)]


def test_a_gate_that_waits_on_one_machine_is_answered_on_the_other(team: Team) -> None:
    (team.one.folder / "gated.yaml").write_text(GATED)
    words = ("run", REQUIREMENT, "--sop", "./gated.yaml", "--model", "mine:m", "--name", "out", "--plain")
    process = team.one.begin(*words)
    process.communicate()
    assert process.returncode == 130
    (gate,) = json.loads(team.two.say("show", "out", "--json"))["waits"]
    assert (gate["gate"], [each["type"] for each in gate["shown"]]) == ("look#1", ["Prd"])
    given = [Given("look", "approve", "from over there")]
    outcome = asyncio.run(wiring.resume(team.two.workspace, "out", team.two.settings, answers=given))
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert "Person: look: approve (from over there)" in git(team.two.repo, "log", "--format=%an: %s")


def test_killed_on_one_machine_and_ended_on_the_other(team: Team, tmp_path: Path, server: Server) -> None:
    whole = team.alone().run("out")
    team.model.bodies.clear()
    team.model.pause = 0.3
    process = team.one.begin("run", REQUIREMENT, "--model", "mine:m", "--name", "out", "--plain")
    wait_for(team.model, 3)
    (run,) = team.two.runs()
    assert (run.name, run.status) == ("out", "running")
    with pytest.raises(WorkspaceBusy, match=rf"the run {run.run} is busy: \S+, pid {process.pid}, drives it"):
        team.two.resume("out")
    assert not team.two.repo.exists()
    wait_for(team.model, whole.calls)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not team.remote.exists(), "it was killed before it could push"
    team.model.pause = 0.0
    assert [record.status for record in team.two.runs()] == ["interrupted"]
    assert "Shout" in team.two.say("show", "out", "prd")
    assert not team.two.repo.exists(), "looking makes nothing"

    ended = team.two.begin("resume", "out", "--plain", "--json")
    out, err = ended.communicate(timeout=120)
    assert ended.returncode == 0, err
    assert json.loads(out)["calls"] == whole.calls
    assert "commits again that this repository did not have" in err
    twice = {body: count for body, count in Counter(team.model.bodies).items() if count > 1}
    assert sum(count - 1 for count in twice.values()) <= 1, "at most the answer that was on its way when it was killed"
    assert tree(team.two.repo) == tree(whole.repo)
    assert commits(team.two.repo) == commits(whole.repo)
    assert git(team.two.repo, "status", "--porcelain") == ""
    assert git(team.remote, "rev-parse", "main") == git(team.two.repo, "rev-parse", "main")
    mine = git(team.one.repo, "rev-list", "HEAD").split()
    assert set(mine) < set(git(team.two.repo, "rev-list", "HEAD").split()), "commits made again are the same commits"

    for machine in (team.one, team.two):
        assert [(one.name, one.status) for one in machine.runs()] == [("out", "delivered")]
    assert not (team.one.repo / "README.md").exists()
    assert "README.md" not in git(team.one.repo, "ls-files").split(), "this machine's repository lacks the end"
    assert "def shout" in team.one.say("show", "out", "shout.py")
    with pytest.raises(UsageError, match=r"is finished \(delivered\)"):
        team.one.resume("out")
    team.two.repo.rename(team.two.workspace / "moved")
    with pytest.raises(UsageError, match="another machine has a run named out"):
        team.two.run("out")
    assert team.two.run("second").cached_steps > 0, "what one machine paid for, no other pays for"
    assert [one.name for one in team.one.runs()] == ["second", "out"]

    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "company.toml"]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert SECRET not in server.everything()


def test_stopped_here_and_ended_there_and_back_again(team: Team) -> None:
    stop = asyncio.Event()
    first = team.one.run("out", at("commit", 3, stop.set), stop=stop)
    assert first.status == "interrupted"
    assert git(team.remote, "rev-parse", "main").strip() == first.commit
    (note := team.two.folder / "note").write_text("")
    git(team.two.folder, "clone", "-q", str(team.remote), "clone")
    clone = team.two.folder / "clone"
    note.rename(clone / "NOTE")
    git(clone, "add", "NOTE")
    git(clone, "-c", "user.name=P", "-c", "user.email=p@x", "commit", "-qm", "A person's own")
    git(clone, "rm", "-q", "docs/prd.md")
    git(clone, "-c", "user.name=P", "-c", "user.email=p@x", "commit", "-qm", "A person's second")
    git(clone, "push", "-q")
    second = asyncio.Event()
    task = asyncio.run(
        wiring.resume(team.two.workspace, "", team.two.settings, Watch((at("commit", 1, second.set),), second))
    )
    assert task.status == "interrupted"
    assert (team.two.repo / "NOTE").exists()
    done = team.one.resume()
    assert done.status == "delivered"
    assert (team.one.repo / "NOTE").exists()
    assert not (team.one.repo / "docs/prd.md").exists(), "what was deleted elsewhere is deleted here"
    assert git(team.one.repo, "status", "--porcelain") == ""
    assert git(team.remote, "rev-parse", "main").strip() == done.commit
    assert len(set(team.model.bodies)) == len(team.model.bodies), "nothing was asked twice"


def test_the_server_is_restarted_under_a_run_and_the_remote_is_not_there(team: Team, server: Server) -> None:
    def restart() -> None:
        server.stop()
        threading.Timer(1.0, server.start).start()

    team.one.settings.remote = str(team.one.folder / "no/such/{name}")
    outcome = team.one.run("out", at("call_started", 3, restart))
    assert outcome.status == "delivered"
    note = team.one.notices(outcome)[-1]
    assert note.startswith("not pushed; the next sitting does it, or git -C "), note
    assert ": git push failed: " in note
    assert len(set(team.model.bodies)) == len(team.model.bodies)
    assert [record.status for record in team.two.runs()] == ["delivered"]


def test_without_its_server_a_run_stops_and_loses_nothing(
    team: Team, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 0.3)
    try:
        ended = team.one.run("out", at("call_started", 2, server.stop))
        assert ended.status == "failed"
        assert "company.toml:1: the database of the state cannot be used: " in ended.reason
        assert "company resume" in ended.hint
        assert git(team.remote, "rev-parse", "main").strip() == ended.commit, "the remote needs no database"
        with pytest.raises(WorkspaceError, match=r"company\.toml:1: the database of the state"):
            team.one.resume()
    finally:
        server.start()
    assert [record.status for record in team.two.runs()] == ["interrupted"]
    assert team.one.resume().status == "delivered"
    assert len(set(team.model.bodies)) == len(team.model.bodies), "the reply that could not be sent was on the disk"
    assert [record.status for record in team.two.runs()] == ["delivered"]


def test_lines_that_two_machines_wrote_are_never_mixed(team: Team, server: Server, tmp_path: Path) -> None:
    """The first was cut off from the database and wrote on; meanwhile the second took the run over."""
    event: Event = {"event": "notice", "time": 1.0, "text": "one"}
    journal = team.one.workspace / ".company/runs/r/events.jsonl"
    with wiring.open_store(team.one.workspace, team.one.settings) as one:
        with one.lease("r"):
            one.put("runs/r/request.json", b"{}")
            one.record("r", event)
            server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'company'")
            with wiring.open_store(team.two.workspace, team.two.settings) as two, two.lease("r"):
                two.fetch("r")
                two.record("r", {**event, "text": "two"})
            with pytest.raises(WorkspaceBusy, match="went on with the run r"):
                one.put("runs/r/request.json", b"{ }")
        assert one.get("runs/r/request.json") == b"{}"
        journal.write_text("".join(json.dumps({**event, "text": text}) + "\n" for text in ("one", "cut off")))
        with one.lease("r"):
            one.fetch("r")
    assert [event["text"] for event in read(journal)] == ["one", "two"]
    (aside,) = journal.parent.glob("events.jsonl.aside-*")
    assert "cut off" in aside.read_text()


def test_a_lost_connection_of_our_own_is_no_other_machine(team: Team, server: Server) -> None:
    with wiring.open_store(team.one.workspace, team.one.settings) as store, store.lease("r"):
        assert isinstance(store, postgres.Postgres)
        lost = store._connection
        store._connection = None  # the network is gone; the server does not know yet
        store.put("objects/a", b"1")
        assert server.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(1,)]
        assert lost
        lost.close()


def test_runs_from_before_there_was_a_database_are_taken_along(team: Team) -> None:
    stop = asyncio.Event()
    alone = team.alone()
    assert alone.run("out", at("commit", 2, stop.set), stop=stop).status == "interrupted"
    alone.workspace.rename(team.one.workspace)
    assert [record.status for record in team.one.runs()] == ["interrupted"]
    assert team.one.resume().status == "delivered"
    assert len(set(team.model.bodies)) == len(team.model.bodies)
    assert [record.status for record in team.two.runs()] == ["delivered"]


def test_what_is_wrong_is_said_with_its_place_and_a_way_out(
    team: Team, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.ask(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")

    def fault(dsn: str) -> CompanyError:
        (team.one.folder / "company.toml").write_text(f'model = "dry"\nstate = "{dsn}"\n')
        monkeypatch.chdir(team.one.folder)
        with pytest.raises(CompanyError) as raised:
            wiring.runs(team.one.workspace)
        error = raised.value
        assert error.place == "company.toml:2"
        assert SECRET not in f"{error!r} {error} {error.hint} {error.__cause__!r}"
        return error

    assert "password authentication failed" in fault(server.address("team", f"{PASSWORD}!")).message
    assert "~/.pgpass" in fault(server.address("nobody", PASSWORD)).hint
    assert "createdb" in fault(server.address("team", PASSWORD, "absent")).hint
    assert "GRANT CREATE" in fault(server.address("guest", PASSWORD)).hint
    assert "can be reached" in fault(f"postgresql://u:{SECRET}@127.0.0.1:1/x").hint
    assert "%40" in fault(f"postgresql://u:{SECRET}/p@ss@127.0.0.1:1/x").message
    assert SECRET not in repr(load_settings(state=server.dsn))

    with wiring.open_store(team.two.workspace, team.two.settings) as store:
        store.put("objects/a", b"1")
    server.ask("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO guest")
    guest = load_settings(state=server.address("guest", PASSWORD))
    with wiring.open_store(team.one.workspace, guest) as store:
        assert store.get("objects/a") == b"1", "tables that are there need not be made"

    said = team.two.say("doctor")
    assert re.search(r"state +ok +PostgreSQL \d+", said)
    assert SECRET not in said
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = fault(server.dsn)
    assert "'.[postgres]'" in error.hint


def test_a_redo_that_was_stopped_here_is_ended_there(team: Team) -> None:
    first = team.one.run("out")
    assert first.accepted, first.reason
    requirement = team.one.repo / ".company/requirement.md"
    requirement.write_text(requirement.read_text() + "It is for everybody.\n")
    stopped = asyncio.run(wiring.redo(team.one.workspace, first.run, team.one.settings, limits={"calls": 1}))
    assert stopped.status == "limited"
    ended = asyncio.run(
        wiring.resume(team.two.workspace, stopped.run, team.two.settings, limits={"calls": 50}),
    )
    assert (ended.run, ended.accepted) == (stopped.run, True), ended.reason
    assert git(team.two.repo, "branch", "--show-current") == f"company/{stopped.run}\n"
    mine = git(team.one.repo, "rev-list", "HEAD").split()
    assert set(mine) < set(git(team.two.repo, "rev-list", "HEAD").split())
    assert "everybody" in (team.two.repo / ".company/requirement.md").read_text()
