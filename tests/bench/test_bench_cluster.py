"""Measurements spread over a real Ray cluster on this machine: what is killed in mid-run is made elsewhere, and nothing is lost or paid twice.

The cluster of most tests: a head without a core and two nodes with one each, begun by `ray start`, each a process group of its own.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from modelled import Endpoint, endpoint
from test_bench_cli import TWO, ended, summary
from test_bench_runs import BARE
from tiny import TWICE, make, write

from company import wiring
from company.bench import cluster
from company.bench.hands import Answer
from company.bench.runner import plan
from company.errors import MachineLost, UsageError
from company.records import read_request
from company.settings import Settings
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.store import Folder

if cluster.importlib.util.find_spec("ray") is None:  # type: ignore[attr-defined]
    pytest.skip("the extra `ray` is not installed", allow_module_level=True)

pytestmark = pytest.mark.timeout(600)  # Ray starts a dozen processes, each of which loads a second of Python
KEY = "sk-nobody-may-read-this-anywhere"
MARK = "OF_THIS_TEST"
"""A variable by which all processes of a test are found, whoever began them."""


@dataclass
class Nodes:
    """A running cluster."""

    address: str
    environment: dict[str, str]
    folder: Path
    """Ray's own, with its logs."""
    begun: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def begin(self, *words: str) -> None:
        """Begin a node; on a busy machine Ray gives up on itself after 30 s, and is asked again."""
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats", *words]
        for number in range(3):
            log = self.folder / f"node{len(self.begun)}-{number}.txt"
            with log.open("wb") as file:
                made = subprocess.Popen(
                    command, env=self.environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
                )
            while made.poll() is None:
                if "Ray runtime started" in log.read_text():
                    self.begun.append(made)
                    return
                time.sleep(0.2)
        raise AssertionError(log.read_text())


def environment(folder: Path, mark: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("COMPANY_", "OPENAI_", "RAY_"))}
    own = {
        MARK: mark,
        "COLUMNS": "200",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "FAKE_KEY": KEY,
        "PYTHONPATH": os.getcwd(),
    }
    return clean | own | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path may not be longer
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    host = socket.gethostbyname(socket.gethostname())
    made = Nodes(f"{host}:{port}", environment(tmp_path_factory.mktemp("machine"), f"nodes {port}"), folder)
    memory = ("--object-store-memory", "80000000")
    try:
        made.begin("--head", f"--node-ip-address={host}", f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
                   f"--temp-dir={folder}", *memory)  # fmt: skip
        for _ in range(2):
            made.begin(f"--address={made.address}", "--num-cpus=1", *memory)
        yield made
    finally:
        for process in of_mark(f"nodes {port}"):
            process.kill()
        for each in made.begun:
            each.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def begun_on(nodes: Nodes) -> set[Path]:
    """The runs that lie on the machines."""
    return {path for path in Path(nodes.environment["XDG_CACHE_HOME"]).glob("company/bench/*") if path.is_dir()}


def of_mark(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def begin(folder: Path, model: Endpoint, env: dict[str, str], *words: str) -> subprocess.Popen[str]:
    provider = {"base_url": f"http://127.0.0.1:{model.port}/v1", "key": "FAKE_KEY"}
    env = env | {f"COMPANY_PROVIDERS__FAKE__{name.upper()}": value for name, value in provider.items()}
    command = [sys.executable, "-m", "company", "bench", "set", "--model", "fake:m", "--split", "all", *words]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def caller(model: Endpoint) -> psutil.Process:
    """The process that made the request which hangs."""
    assert model.reached.wait(150)
    model.reached.clear()
    (pid,) = {
        each.pid for each in psutil.net_connections("tcp") if each.laddr.port == model.caller and each.pid is not None
    }
    return psutil.Process(pid)


def tasks(folder: Path) -> None:
    """`given`, which is let into a repository, and `fresh`; and the procedure `two`."""
    make(folder, "folder")
    (folder / "set/double").rename(folder / "set/given")
    make(folder, "token")
    (folder / "set/double").rename(folder / "set/fresh")
    write(folder / "two.yaml", TWO)


def rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "workspace/bench/RESULTS.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def lasting(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what is another in each run."""
    another = {"run", "workspace", "repo", "seconds", "model_seconds", "time"}
    made = [{name: value for name, value in row.items() if name not in another} for row in found]
    return sorted(made, key=lambda row: str(row["key"]))


def test_a_run_whose_process_is_killed_again_and_again_is_no_result(tmp_path: Path, nodes: Nodes) -> None:
    make(tmp_path, "token")
    with endpoint("solution.py", TWICE) as model:
        model.hangs_at = 1
        process = begin(tmp_path, model, nodes.environment, "--on", nodes.address, "--plain")
        for number in range(1, 4):
            victim = caller(model)
            model.hangs_at = number + 1
            victim.kill()
        status, _, err = ended(process)
        assert status == 1, err
        assert (
            "1 runs are no result yet, for instance double: double: the machine that made it went away 3 times" in err
        )
        assert "it is begun again, try 3 of 3" in err
        assert rows(tmp_path) == []


def test_a_node_that_dies_in_mid_run_loses_nothing_and_nothing_is_paid_twice(tmp_path: Path, nodes: Nodes) -> None:
    spread, alone, before = tmp_path / "spread", tmp_path / "alone", begun_on(nodes)
    tasks(spread)
    tasks(alone)
    with endpoint("solution.py", TWICE) as model:
        model.hangs_at = 3
        words = ("--sop", "two.yaml", "--json", "--plain")
        process = begin(spread, model, nodes.environment, *words, "--on", nodes.address)
        hand = caller(model)
        node = next(each for each in nodes.begun if each.pid in {parent.pid for parent in hand.parents()})
        for each in (*psutil.Process(node.pid).children(recursive=True), node):
            each.kill()
        status, out, err = ended(process)
        assert status == 0, err
        assert err.count("its machine went away") == 1, err
        model.released.set()
        found = rows(spread)
        paid = len(model.bodies)
        status, other, err = ended(begin(alone, model, nodes.environment, *words))
        assert status == 0, err
        assert lasting(found) == lasting(rows(alone))
        assert (paid, len(model.bodies) - paid) == (7, 6)  # the call that hung is made again
        groups = [
            [(each["sop"], each["runs"], each["passed"]) for each in summary(text)["groups"]] for text in (out, other)
        ]
        assert groups[0] == groups[1]
        for row in found:
            (record,) = wiring.runs(Path(row["workspace"]), Settings(_env_file=None))  # type: ignore[call-arg]
            assert (record.run, str(record.repo), record.status) == (row["run"], row["repo"], "delivered")
            assert (record.repo / "solution.py").is_file()
            request = read_request(Folder(Path(row["workspace"]) / ".company"), row["run"])
            assert bool(request.into) == (row["task"] == "given")
            assert not request.into or Path(request.into).is_relative_to(spread)
            assert request.source in ("zero_shot", str(spread / "two.yaml"))
        assert begun_on(nodes) == before, "what has arrived is not kept on the machines"
        again, calls = begin(spread, model, nodes.environment, *words, "--on", nodes.address), len(model.bodies)
        status, _, err = ended(again)
        assert (status, len(model.bodies), len(rows(spread))) == (0, calls, 4), err
    for path in nodes.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_ctrl_c_stops_softly_and_leaves_nothing_running(tmp_path: Path) -> None:
    make(tmp_path, "token")
    write(tmp_path / "two.yaml", TWO)
    env = environment(tmp_path, str(tmp_path))
    before = {*Path("/tmp").glob("company-ray-*")}
    with endpoint("solution.py", TWICE) as model:
        words = ("--sop", "two.yaml", "--parallel", "1", "--plain")
        model.hangs_at = 2
        process = begin(tmp_path, model, env, *words, "--on", "ray")
        caller(model)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.stderr
        for line in process.stderr:
            if "Stopping" in line:
                break
            assert line.startswith(("This counts", "2 of", "1 of", "On Ray: machines: 1", "[1/2] double")), line
        time.sleep(0.5)
        model.released.set()
        status, _, err = ended(process)
        assert (status, [row["sop"] for row in rows(tmp_path)]) == (130, ["zero_shot"]), err
        assert not of_mark(str(tmp_path))
        assert {*Path("/tmp").glob("company-ray-*")} <= before
        calls = len(model.bodies)
        status, _, err = ended(begin(tmp_path, model, env, *words))  # what came back is gone on with here
        assert (status, len(model.bodies) - calls) == (0, 1), err
        assert [(row["sop"], row["calls"], row["passed"]) for row in rows(tmp_path)] == [
            ("zero_shot", 1, True),
            ("two", 2, True),
        ]


def test_a_place_to_run_on_is_checked_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for on in ("ray", "ray://head:10001", "10.0.0.1:6379", "[::1]:6379"):
        cluster.check_address(on)
    with pytest.raises(UsageError, match="no place `rays`"):
        cluster.check_address("rays")
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(UsageError) as found:
        cluster.check_address("ray")
    assert "'.[ray]'" in found.value.hint


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    make(tmp_path, "token")
    with endpoint("solution.py", TWICE) as model:
        status, _, err = ended(begin(tmp_path, model, environment(tmp_path, str(tmp_path)), "--on", "127.0.0.1:1"))
    assert status == 2, err
    assert "127.0.0.1:1: nothing answers there" in err
    assert "ray start --head" in err


def test_a_busy_hand_is_waited_for_and_patience_counts_while_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 0.2)
    told: list[str] = []

    async def job() -> None:
        place, stop = cluster.Cluster("ray", Settings(_env_file=None), told.append), asyncio.Event()  # type: ignore[call-arg]
        place._hands = {"busy", "lost"}
        place._idle.put_nowait("busy")
        assert await place._free(stop) == "busy"
        waiting = asyncio.create_task(place._free(stop))
        await asyncio.sleep(0.5)
        place._idle.put_nowait(MachineLost("no process could be started"))  # for the hand that was lost
        await asyncio.sleep(0.5)
        assert not waiting.done(), "the other hand is at work"
        assert told == ["no process could be started; the other machines go on"]
        place._rests("busy")
        place._idle.put_nowait("busy")
        assert await waiting == "busy"
        place._rests("busy")  # and is lost: the one that is to be in its place finds no machine
        began = time.monotonic()
        with pytest.raises(MachineLost, match="no core free"):
            await place._free(stop)
        assert time.monotonic() - began > 0.15

    asyncio.run(job())


def test_a_machine_that_is_not_to_be_had_breaks_no_run_while_another_hand_is_there_or_is_being_had() -> None:
    lost = MachineLost("no process could be started")

    async def job() -> None:
        place, stop = cluster.Cluster("ray", Settings(_env_file=None), lambda text: None), asyncio.Event()  # type: ignore[call-arg]
        place._hands = {"starting"}
        place._idle.put_nowait(lost)
        waiting = asyncio.create_task(place._free(stop))
        for _ in range(9):
            await asyncio.sleep(0)
        assert not waiting.done(), "it is neither busy nor idle yet"
        place._idle.put_nowait("starting")
        assert await waiting == "starting"
        place._hands, place._busy = set(), set()
        hired = asyncio.Event()

        async def hire() -> None:
            await hired.wait()
            place._hands.add("late")
            place._idle.put_nowait("late")

        place._hiring.add(asyncio.create_task(hire()))
        place._idle.put_nowait(lost)
        waiting = asyncio.create_task(place._free(stop))
        for _ in range(9):
            await asyncio.sleep(0)
        hired.set()
        assert await waiting == "late"
        place._hands, place._hiring = set(), set()
        place._idle.put_nowait(lost)
        with pytest.raises(MachineLost, match="no process could be started"):
            await place._free(stop)

    asyncio.run(job())


class Handy:
    """A hand that answers at once, and notes whether it counts as busy while it forgets."""

    def __init__(self, place: cluster.Cluster) -> None:
        self._place = place
        self.busy: list[bool] = []
        self.make = self.forget = self

    async def remote(self, order: Any) -> Any:
        self.busy.append(self in self._place._busy)
        return Answer(None, None, b"")


def test_a_hand_is_at_work_until_what_it_made_is_here_and_forgotten_there(tmp_path: Path) -> None:
    ray = cluster.importlib.import_module("ray")  # type: ignore[attr-defined]
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    (made,) = plan(
        [(BARE, "")], {"zero_shot": load_procedure("zero_shot", Library(None))}, settings, "dry", 1, tmp_path
    )

    async def job() -> None:
        place = cluster.Cluster("ray", settings, lambda text: None, _ray=ray)
        hand = Handy(place)
        place._hands = {hand}
        place._idle.put_nowait(hand)
        assert await place.make(made, asyncio.Event(), lambda: None) is None
        assert (hand.busy, place._busy, place._idle.qsize()) == ([True, True], set(), 1)

    asyncio.run(job())
