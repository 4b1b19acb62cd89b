"""`company bench` as a user types it: a process with an endpoint, output, exit status, a kill in the midst of a run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from modelled import Endpoint, endpoint
from tiny import TWICE, make, write

TWO = """sop: 1
name: two
description: Two calls.
steps:
  first: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile], after: first}
"""


def begin(folder: Path, model: Endpoint, *words: str) -> subprocess.Popen[str]:
    """The command in a folder that holds the procedure `two` and tasks, with an endpoint."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("COMPANY_", "OPENAI_"))}
    clean["COMPANY_PROVIDERS__FAKE__BASE_URL"] = f"http://127.0.0.1:{model.port}/v1"
    command = [sys.executable, "-m", "company", "bench", "set", "--model", "fake:m", "--split", "all", *words]
    return subprocess.Popen(command, cwd=folder, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=250)
    return process.returncode, out, err


def summary(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def test_a_killed_measurement_goes_on_in_the_midst_of_a_run(tmp_path: Path) -> None:
    make(tmp_path, "token")
    write(tmp_path / "two.yaml", TWO)
    with endpoint("solution.py", TWICE) as model:
        model.hangs_at = 3
        process = begin(tmp_path, model, "--sop", "two.yaml", "--parallel", "1", "--json")
        assert model.reached.wait(200)
        process.send_signal(signal.SIGKILL)
        ended(process)
        model.released.set()
        status, out, err = ended(begin(tmp_path, model, "--sop", "two.yaml", "--json"))
        assert (status, len(model.bodies)) == (0, 4), err  # the call that was under way is made again, no other
        assert "[2/2] double by two, seed 1: passed, 2 calls" in err
        assert "look 1 at the test half" in err
        groups = {group["sop"]: group for group in summary(out)["groups"]}
        assert {sop: group["passed"]["value"] for sop, group in groups.items()} == {"zero_shot": 1.0, "two": 1.0}
        rows = [json.loads(line) for line in (tmp_path / "workspace/bench/RESULTS.jsonl").read_text().splitlines()]
        assert [(row["sop"], row["passed"], row["calls"]) for row in rows] == [("zero_shot", True, 1), ("two", True, 2)]
        assert "another program" not in err
        model.down = True
        results = tmp_path / "workspace/bench/RESULTS.jsonl"
        results.write_text(results.read_text().replace(rows[0]["program"], "0.0.9 beef"))
        status, out, err = ended(begin(tmp_path, model, "--sop", "two.yaml"))
        assert (status, len(model.bodies)) == (0, 4), err
        assert "zero_shot" in out
        assert "look 1 at the test half" in err
        assert f"another program than this one ({rows[0]['program']}) made are used as they are: 2 by 0.0.9 beef" in err
    pictures = [path.read_text() for path in (tmp_path / "workspace/bench").glob("*.svg")]
    assert ["<svg" in picture for picture in pictures] == [True]


def test_a_task_is_also_asked_otherwise(tmp_path: Path) -> None:
    make(tmp_path, "token")
    with endpoint("solution.py", TWICE) as model:
        status, out, err = ended(begin(tmp_path, model, "--vary", "distract", "--parallel", "1", "--json"))
        assert (status, len(model.bodies)) == (0, 2), err
    asked = [json.loads(line) for line in (tmp_path / "workspace/bench/RESULTS.jsonl").read_text().splitlines()]
    assert [row["variation"] for row in asked] == ["", "distract"]
    assert len({row["key"] for row in asked}) == 2
    assert [group["variation"] for group in summary(out)["groups"]] == ["", "distract"]


def test_a_model_puts_a_task_into_other_words_once(tmp_path: Path) -> None:
    make(tmp_path, "token")
    other = "Please: a module solution.py with a function twice(n) which gives the double of a number."
    script = [
        {"step": "rewrite", "reply": f"<text>\n{other}\n</text>"},
        {"step": "same_meaning", "reply": {"differences": [], "same": True}},
    ]
    (tmp_path / "probe.yaml").write_text(yaml.safe_dump(script))
    words = ("--vary", "paraphrase", "--vary-by", "script:probe.yaml", "--json")
    with endpoint("solution.py", TWICE) as model:
        status, _, err = ended(begin(tmp_path, model, *words))
        assert (status, len(model.bodies)) == (0, 2), err
        assert any("Please: " in json.dumps(body) for body in model.bodies)
        (tmp_path / "probe.yaml").write_text("[]")  # nothing is asked for again
        status, _, err = ended(begin(tmp_path, model, *words))
        assert (status, len(model.bodies)) == (0, 2), err
        status, _, err = ended(begin(tmp_path, model, "--vary", "rename", "--vary-by", "script:probe.yaml"))
        assert status == 2
        assert "--vary-by goes with --vary paraphrase" in err
    asked = [json.loads(line) for line in (tmp_path / "workspace/bench/RESULTS.jsonl").read_text().splitlines()]
    assert {row["variation"] for row in asked} == {"", "paraphrase by script:probe.yaml"}
    assert [path.name for path in (tmp_path / "workspace/bench").glob("*paraphrase*.svg")] == [
        "set-test-paraphrase-by-script-probe.yaml.svg"
    ]


def test_what_another_program_made_and_began_is_said_before_a_model_is_paid_for_other_words(tmp_path: Path) -> None:
    make(tmp_path, "token")
    (tmp_path / "probe.yaml").write_text("[]")  # whoever is asked for other words ends this
    with endpoint("solution.py", TWICE) as model:
        assert ended(begin(tmp_path, model))[0] == 0
        results = tmp_path / "workspace/bench/RESULTS.jsonl"
        results.write_text(json.dumps(json.loads(results.read_text()) | {"program": "0.0.9 beef"}) + "\n")
        model.down = True
        assert ended(begin(tmp_path, model, "--seeds", "2"))[0] == 1
        (home,) = (tmp_path / "workspace/bench/set/zero_shot").glob("double-s2-*")
        home.rename(home.with_name(f"{home.name[:-6]}000000"))
        words = ("--seeds", "2", "--vary", "paraphrase", "--vary-by", "script:probe.yaml")
        status, _, err = ended(begin(tmp_path, model, *words))
    assert status, err
    assert "made are used as they are: 1 by 0.0.9 beef" in err
    assert "Runs that another program began are not gone on with, and are paid for anew: 1" in err
    assert err.index("paid for anew") < err.index("into other words")


def test_a_variation_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, "token")
    with endpoint("solution.py", TWICE) as model:
        status, _, err = ended(begin(tmp_path, model, "--vary", "shout"))
        assert (status, model.bodies) == (2, [])
    assert "no variation `shout`" in err


def test_an_endpoint_that_refuses_is_told_and_no_result(tmp_path: Path) -> None:
    make(tmp_path, "token")
    with endpoint("solution.py", TWICE) as model:
        model.down = True
        status, _, err = ended(begin(tmp_path, model, "--plain"))
    assert status == 1
    assert "1 runs are no result yet, for instance double" in err
    assert "the same command goes on" in err
    assert not (tmp_path / "workspace/bench/RESULTS.jsonl").exists()
