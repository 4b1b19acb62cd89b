"""Measurements: nothing of a judge reaches a model or a role's tools, nothing is paid for twice, whatever stops them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_rows import row as made_row
from modelled import Endpoint, endpoint
from scripts_of import load as script
from tiny import ANSWERS, make, write

from company import cli_bench
from company.bench import making, rows, runner
from company.bench.datasets import load
from company.bench.making import Here, Job
from company.bench.runner import Bench, Progress, plan
from company.bench.tasks import Judge, Task
from company.errors import CompanyError, Interrupted, UsageError
from company.settings import Settings
from company.sop.library import Library
from company.sop.linker import load_procedure

ONE = ("zero_shot",)
BARE = Task("own", "t", "r", Judge("tests", {}))
WITH_SERVER = """sop: 1
name: with
description: A server's tools.
roles: {engineer: {tools: [mcp.own]}}
steps:
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile], tools: [mcp.own]}
"""
EVERY = ("zero_shot", "waterfall", "adaptive_consistency", "test_first", "tool_use")


def bench(
    folder: Path,
    form: str,
    model: Endpoint,
    sops: tuple[str, ...] = ONE,
    seeds: int = 1,
    stop_after: int = 1000,
    parallel: int = 1,
) -> tuple[Bench, list[Progress]]:
    """A measurement that stops after so many runs."""
    name, data = make(folder, form)
    tasks = load(name, data, lambda text: None)[1]
    procedures = {sop: load_procedure(sop, Library(None)) for sop in sops}
    jobs = plan([(task, "") for task in tasks], procedures, model.settings, "fake:m", seeds, folder / "workspace")
    told: list[Progress] = []
    stop = asyncio.Event()

    def tell(progress: Progress) -> None:
        told.append(progress)
        if len(told) >= stop_after:
            stop.set()

    return Bench(jobs, Here(model.settings, parallel), folder / "RESULTS.jsonl", tell, stop), told


@pytest.fixture
def model() -> Iterator[Endpoint]:
    with endpoint(*ANSWERS["folder"]) as found:
        yield found


def hidden(folder: Path, form: str) -> set[str]:
    """The lines that only the judge of a tiny set has."""
    name, data = make(folder, form)
    files = [text for task in load(name, data, lambda text: None)[1] for text in task.judge.files.values()]
    lines = {line.strip() for text in files for line in text.splitlines() if "judge_only" in line}
    assert lines
    return lines | ({"return n + n  # judge_only example"} if form == "exercism" else set())


@pytest.mark.parametrize("form", ANSWERS)
def test_no_line_of_a_judge_reaches_a_model_or_a_role_s_tools(form: str, tmp_path: Path) -> None:
    secret = hidden(tmp_path, form)
    with endpoint(*ANSWERS[form]) as found:
        sops = EVERY if form == "humaneval" else ONE if form in ("exercism", "projects", "classeval") else EVERY[:2]
        measured, _ = bench(tmp_path, form, found, sops)
        asyncio.run(measured.run())
        assert [row["passed"] for row in measured.rows] == [True] * len(sops)
        prompts = [message["content"] for body in found.bodies for message in body["messages"]]
    assert len(prompts) >= 2 * len(sops)
    assert any("shell gave:\n\nExit status 0." in prompt for prompt in prompts) is ("tool_use" in sops)
    kept = [path for path in (tmp_path / "workspace").rglob("*") if path.is_file() and ".git" not in path.parts]
    assert any(path.name == ANSWERS[form][0] for path in kept)
    for text in (*prompts, *(path.read_text("utf-8", "replace") for path in kept)):
        assert "judge_only" not in text
        assert not any(line in text for line in secret)


def test_what_was_delivered_is_judged_by_another_judge_and_nothing_is_asked(tmp_path: Path, model: Endpoint) -> None:
    measured, _ = bench(tmp_path, "humaneval", model)
    asyncio.run(measured.run())
    asked = len(model.bodies)
    lab, read = script("judged_again"), [*rows.read(tmp_path / "RESULTS.jsonl")]
    task = load("humaneval", make(tmp_path, "humaneval")[1], lambda text: None)[1][0]
    files = {path: f"{text}\nassert False\n" for path, text in task.judge.files.items()}
    stricter = Task("humaneval+", task.name, task.requirement, Judge(task.judge.kind, files))
    out = tmp_path / "again.jsonl"
    for _ in range(2):  # judged, and read again
        others = [{**read[0], **other} for other in ({"task": "unknown"}, {"dataset": "mbpp"}, {"variation": "rename"})]
        ((first, row),) = asyncio.run(lab.judged([*read, *others], {task.name: stricter}, out))
        assert [row[name] for name in ("dataset", "passed", "run")] == ["humaneval+", False, read[0]["run"]]
        assert first == read[0]
        assert first["passed"]
    assert len(out.read_text().splitlines()) == 1
    told = {step: asyncio.run(lab.judged(read, {task.name: task}, out, step))[0][1] for step in ("compile", "code")}
    assert [(step, row["passed"], bool(row["judged"]["commit"])) for step, row in told.items()] == [
        ("compile", True, True), ("code", False, True),
    ]  # fmt: skip
    assert len(model.bodies) == asked
    text = "\n".join(lab.table([(first, row)], ""))
    assert "| zero_shot with fake:m | 1 | 100.0 %" in text
    assert "| -100.0 %" in text
    with pytest.raises(SystemExit, match="no run has a commit of a step start"):
        asyncio.run(lab.judged(read, {task.name: task}, out, "start"))
    idents = ("vote.draft#1", "verify@best#5", "code.do[a.py]#1", "codes#1")
    assert [[lab.is_of(ident, step) for ident in idents] for step in ("vote", "verify", "code")] == [
        [True, False, False, False], [False, True, False, False], [False, False, True, False],
    ]  # fmt: skip


def test_the_lab_of_strategies_reads_what_a_run_drew(tmp_path: Path, model: Endpoint) -> None:
    measured, _ = bench(tmp_path, "humaneval", model, ("zero_shot", "adaptive_consistency"))
    asyncio.run(measured.run())
    lab, file = script("selection"), tmp_path / "RESULTS.jsonl"
    file.write_text(file.read_text().replace('"split": "test"', '"split": "dev"'))  # the tiny task is of either half
    lines, guesses = lab.read_rows(file, "adaptive_consistency")
    assert [line["sample"] for line in lines] == [*range(len(lines))]
    assert len(lines) >= 3
    assert {text for line in lines for _, text in line["files"]} == {ANSWERS["humaneval"][1]}
    assert [each.calls for each in guesses["Tiny/0"].checks]
    assert len(lab.read_rows(file, "zero_shot")[0]) == 1
    task = load("humaneval", make(tmp_path, "humaneval")[1], lambda text: None)[1][0]
    for _ in range(2):  # made, and read again
        (drawn,) = asyncio.run(lab.gather([task], lines, guesses, tmp_path / "examined"))
        assert drawn.right == [True] * len(lines)
        assert drawn.choice()[0].agreeing == len(lines)


def test_a_row_says_what_the_run_came_to_and_a_second_call_pays_nothing(tmp_path: Path, model: Endpoint) -> None:
    measured, told = bench(tmp_path, "humaneval", model)
    asyncio.run(measured.run())
    (row,) = rows.read(tmp_path / "RESULTS.jsonl")
    assert [each.row for each in told] == [row]
    expected = {
        "dataset": "humaneval",
        "task": "Tiny/0",
        "sop": "zero_shot",
        "seed": 1,
        "variation": "",
        "status": "delivered",
    }
    expected |= {
        "accepted": True,
        "passed": True,
        "score": 1.0,
        "calls": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
    }
    expected |= {"lines": 2, "failure": "", "model": "fake:m"}
    assert {name: row[name] for name in expected} == expected
    assert row["judged"]["status"] == "passed"
    assert (Path(row["repo"]) / "solution.py").is_file()
    calls = len(model.bodies)
    again, told = bench(tmp_path, "humaneval", model)
    asyncio.run(again.run())
    assert (again.rows, [each.row for each in told], len(model.bodies)) == ([row], [None], calls)


def test_a_row_from_before_is_of_the_half_that_its_task_is_of_now(tmp_path: Path, model: Endpoint) -> None:
    asyncio.run(bench(tmp_path, "folder", model)[0].run())
    (row,) = rows.read(tmp_path / "RESULTS.jsonl")
    rows.append(tmp_path / "RESULTS.jsonl", {**row, "split": "dev" if row["split"] == "test" else "test"})
    again, _ = bench(tmp_path, "folder", model)
    asyncio.run(again.run())
    assert again.rows == [row]


def test_another_seed_asks_other_questions(tmp_path: Path, model: Endpoint) -> None:
    asyncio.run(bench(tmp_path, "mbpp", model, seeds=3)[0].run())
    assert len({body["seed"] for body in model.bodies}) == 3
    assert len({row["key"] for row in rows.read(tmp_path / "RESULTS.jsonl")}) == 3


def test_a_stopped_measurement_goes_on(tmp_path: Path, model: Endpoint) -> None:
    measured, _ = bench(tmp_path, "mbpp", model, seeds=3, stop_after=1)
    with pytest.raises(Interrupted):
        asyncio.run(measured.run())
    assert len([*rows.read(tmp_path / "RESULTS.jsonl")]) == 1
    asyncio.run(bench(tmp_path, "mbpp", model, seeds=3)[0].run())
    assert (len([*rows.read(tmp_path / "RESULTS.jsonl")]), len(model.bodies)) == (3, 3)


def test_a_run_that_its_endpoint_broke_off_is_no_result_and_is_gone_on_with(tmp_path: Path, model: Endpoint) -> None:
    model.down = True
    measured, told = bench(tmp_path, "mbpp", model)
    asyncio.run(measured.run())
    assert ([*rows.read(tmp_path / "RESULTS.jsonl")], len(measured.broken)) == ([], 1)
    assert told[0].trouble
    model.down = False
    again, _ = bench(tmp_path, "mbpp", model)
    asyncio.run(again.run())
    assert again.rows[0]["passed"]
    assert len([*(tmp_path / "workspace/bench/mbpp/zero_shot").glob("*/.company/runs/*")]) == 1  # the same run


def test_a_measurement_whose_endpoint_is_gone_ends_soon(tmp_path: Path, model: Endpoint) -> None:
    model.down = True
    with pytest.raises(CompanyError):
        asyncio.run(bench(tmp_path, "mbpp", model, seeds=6)[0].run())
    assert len(model.bodies) == 3


def test_a_line_that_a_kill_cut_off_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.jsonl"
    rows.append(path, {"key": "a", "n": 1})
    with path.open("a") as file:
        file.write('{"key": "b", "n"')
    rows.append(path, {"key": "c", "n": 3})
    assert [row["key"] for row in rows.read(path)] == ["a", "c"]


@pytest.mark.parametrize(
    "changed",
    [
        {"context": 4096},
        {"test_seconds": 1.0},
        {"step_timeout": 5.0},
        *(
            {"providers": {"fake": {"base_url": "http://a/v1"} | entry}}
            for entry in (
                {"base_url": "http://b/v1"},
                {"structured": "prompt"},
                {"temperature": False},
                {"seed_as": ""},
                {"max_tokens_as": "max_completion_tokens"},
                {"context": 4096},
            )
        ),
    ],
)
def test_a_result_belongs_to_what_was_set(changed: dict[str, Any], tmp_path: Path) -> None:
    def key(**other: Any) -> str:
        ordinary: dict[str, Any] = {"providers": {"fake": {"base_url": "http://a/v1"}}}
        settings = Settings(**ordinary | other, _env_file=None)
        procedures = {"zero_shot": load_procedure("zero_shot", Library(None))}
        return plan([(BARE, "")], procedures, settings, "fake:m", 1, tmp_path)[0].key

    assert key(**changed) != key()
    assert key(providers={"fake": {"base_url": "http://a/v1"}, "other": {"base_url": "http://c/v1"}}) == key()


def test_only_a_newline_ends_a_row(tmp_path: Path) -> None:
    made = [{"key": "a", "detail": "x\u2028y"}, {"key": "b", "detail": "x\x85y\x0c"}]
    for row in made:
        rows.append(tmp_path / "RESULTS.jsonl", row)
    assert [*rows.read(tmp_path / "RESULTS.jsonl")] == made


def test_a_seed_is_kept_for_the_resumed_run_and_is_an_ingredient(tmp_path: Path, model: Endpoint) -> None:
    asyncio.run(bench(tmp_path, "mbpp", model, seeds=2)[0].run())
    requests = sorted(
        (json.loads(path.read_text())["seed"], path.parent)
        for path in (tmp_path / "workspace/bench/mbpp/zero_shot").glob("*/.company/runs/*/request.json")
    )
    assert [seed for seed, _ in requests] == [1, 2]
    made_of = [(folder / "events.jsonl").read_text() for _, folder in requests]
    assert ["the seed" in text for text in made_of] == [False, True]


def test_only_so_many_runs_at_once_and_all_are_made(tmp_path: Path, model: Endpoint) -> None:
    measured, told = bench(tmp_path, "mbpp", model, seeds=4, parallel=3)
    asyncio.run(measured.run())
    assert len(measured.rows) == len(told) == 4
    assert sorted(row["seed"] for row in measured.rows) == [1, 2, 3, 4]


def test_a_run_that_reached_its_limit_passes_nothing(tmp_path: Path, model: Endpoint) -> None:
    own = tmp_path / "narrow.yaml"
    call = "{role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]"
    steps = f"steps:\n  one: {call}}}\n  two: {call}, after: one}}\n"
    own.write_text(f"sop: 1\nname: narrow\ndescription: Two calls.\nlimits: {{tokens: 10}}\n{steps}")
    asyncio.run(bench(tmp_path, "mbpp", model, (str(own),))[0].run())
    (row,) = rows.read(tmp_path / "RESULTS.jsonl")
    assert (row["status"], row["accepted"], row["passed"], row["failure"]) == ("limited", None, False, "limit")


def test_a_result_belongs_to_the_script_s_text_and_the_servers_of_its_tools(tmp_path: Path) -> None:
    write(tmp_path / "with.yaml", WITH_SERVER)
    write(tmp_path / "script.yaml", "[]")

    def key(sop: str, model: str, **server: Any) -> str:
        settings = Settings(mcp={"own": {"command": "serve"} | server}, _env_file=None)  # type: ignore[arg-type,call-arg]
        procedures = {sop: load_procedure(sop, Library(None))}
        return plan([(BARE, "")], procedures, settings, model, 1, tmp_path)[0].key

    script, own = f"script:{tmp_path / 'script.yaml'}", str(tmp_path / "with.yaml")
    before = key("zero_shot", script)
    assert key("zero_shot", script, args=["--strict"]) == before, "no step of it uses the server"
    assert key(own, "fake:m", args=["--strict"]) != key(own, "fake:m")
    assert key(own, "fake:m", deadline=5) != key(own, "fake:m")
    write(tmp_path / "script.yaml", "[] # another")
    assert key("zero_shot", script) != before
    with pytest.raises(UsageError, match="cannot read the script") as told:
        key("zero_shot", f"script:{tmp_path / 'none.yaml'}")
    assert told.value.place.endswith("none.yaml")


def test_a_row_says_which_program_made_it_and_another_out_measures_anew_with_another_program(
    tmp_path: Path, model: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(bench(tmp_path, "mbpp", model)[0].run())
    (old,) = rows.read(tmp_path / "RESULTS.jsonl")
    assert old["program"] == making.program()
    patched = "9.9 of another line"
    monkeypatch.setattr(making, "program", lambda: patched)
    monkeypatch.setattr(runner, "program", lambda: patched)
    again, _ = bench(tmp_path, "mbpp", model)
    assert runner.by_others(again.jobs, again.out) == {old["program"]: 1}
    asyncio.run(again.run())
    assert (again.rows, len(model.bodies)) == ([old], 1), "what was paid for is used"
    again.out, again.rows = tmp_path / "ANEW.jsonl", []
    asyncio.run(again.run())
    (new,) = again.rows
    assert (new["program"], new["key"], len(model.bodies)) == (patched, old["key"], 2)
    assert new["workspace"] != old["workspace"], "what another program made is not judged as this one's"
    assert runner.by_others(again.jobs, again.out) == {}


def test_runs_that_another_program_began_are_counted_until_they_are_begun_anew(
    tmp_path: Path, model: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(bench(tmp_path, "mbpp", model)[0].run())
    model.down = True
    begun, _ = bench(tmp_path, "mbpp", model, seeds=2)
    asyncio.run(begun.run())
    assert runner.begun_by_others(begun.jobs, begun.out) == 0, "it is this one's own"
    monkeypatch.setattr(runner, "program", lambda: "9.9 of another line")
    again, _ = bench(tmp_path, "mbpp", model, seeds=2)
    assert runner.begun_by_others(again.jobs, again.out) == 1
    assert runner.begun_by_others(again.jobs, tmp_path / "ANEW.jsonl") == 1, "what was ended is no begun one"
    asyncio.run(again.run())
    assert runner.begun_by_others(again.jobs, again.out) == 0


class Clockwork:
    """Runs that take as long as they are said to, by a clock that only they move."""

    def __init__(self, seconds: list[float], at_once: int) -> None:
        self.now, self._seconds, self._at_once = 0.0, seconds, at_once
        self.waits: dict[int, float] = {}
        """Seed → seconds until there is a machine for its run."""
        self._ends: list[float] = []

    @asynccontextmanager
    async def open(self, jobs: Sequence[Job]) -> AsyncIterator[int]:
        yield self._at_once

    async def make(self, job: Job, stop: asyncio.Event, begins: Callable[[], None]) -> rows.Row:
        self.now += self.waits.pop(job.seed, 0.0)
        begins()
        ends = self.now + self._seconds[job.seed - 1]
        self._ends.append(ends)
        await asyncio.sleep(0)  # the others begin
        while min(self._ends) < ends:
            await asyncio.sleep(0)
        self.now = ends
        self._ends.remove(ends)
        return made_row(job.task.name, seed=job.seed) | {"key": job.key}


def test_the_time_left_is_at_least_that_of_the_longest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    procedures = {"zero_shot": load_procedure("zero_shot", Library(None))}
    jobs = plan([(BARE, "")], procedures, Settings(_env_file=None), "dry", 4, tmp_path)  # type: ignore[call-arg]
    place, left = Clockwork([100, 101, 102, 150], at_once=3), []
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: place.now))
    tell = lambda told: left.append(told.seconds_left)  # noqa: E731
    asyncio.run(Bench(jobs, place, tmp_path / "RESULTS.jsonl", tell, asyncio.Event()).run())
    # the last run begins at 100 s, and about 100 s are left then; at 102 s it has run for 2 of them
    assert left == pytest.approx([100, 99.5, 99, 0])


def test_waiting_for_a_machine_is_no_part_of_how_long_a_run_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    procedures = {"zero_shot": load_procedure("zero_shot", Library(None))}
    jobs = plan([(BARE, "")], procedures, Settings(_env_file=None), "dry", 3, tmp_path)  # type: ignore[call-arg]
    place, left = Clockwork([100, 100, 100], at_once=1), []
    place.waits = {1: 5000}
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: place.now))
    tell = lambda told: left.append(told.seconds_left)  # noqa: E731
    asyncio.run(Bench(jobs, place, tmp_path / "RESULTS.jsonl", tell, asyncio.Event()).run())
    assert left == pytest.approx([200, 100, 0])


def test_the_time_left_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(cli_bench, "time", SimpleNamespace(monotonic=lambda: now[0]))
    left, unknown = cli_bench._Left(100.0), cli_bench._Left(None)
    assert (str(left), str(unknown)) == ("about 1 min 40 s left", "")
    now[0] += 70
    assert str(left) == "about 30 s left"
    now[0] += 70
    assert str(left) == "", "it takes longer than was thought"
