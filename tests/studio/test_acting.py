"""A run in the hands of somebody with a browser: begun by the form, stopped, gone on with, answered at its gate, made again."""

import json
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml
from serving import company, serving

SOP = """sop: 1
name: slow
steps:
  prd:  {role: product_manager, in: requirement, out: Prd}
  nap:  {run: "sleep 3", commit: false, after: prd}
  look: {gate: human, show: prd, choices: {approve: next, revise: prd, reject: fail}, max: 2, headless: approve, after: nap}
  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile], after: look}
"""
TONED = """sop: 1
name: toned
inputs: {requirement: str, tone: "one_of(loud, soft)", times: int}
steps:
  prd:  {role: product_manager, in: [requirement, tone, times], out: Prd}
"""
PRD = {
    "title": "Shout", "goals": ["say things loudly"], "user_stories": ["As a user, I want capitals, so that I am heard"],
    "requirements": [{"id": "R1", "priority": "must", "text": "shout returns capitals"}],
    "acceptance_criteria": ['shout("hi") returns "HI!"'], "unclear": [],
}  # fmt: skip
CODE = '```python\ndef shout(text: str) -> str:\n    return text.upper() + "!"\n```'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a slow procedure and a script for it; its workspace is `workspace/`."""
    (tmp_path / "sops").mkdir()
    (tmp_path / "sops" / "slow.yaml").write_text(SOP)
    (tmp_path / "sops" / "toned.yaml").write_text(TONED)
    script = [{"step": "prd", "reply": PRD}, {"step": "code", "reply": CODE}]
    (tmp_path / "script.yaml").write_text(yaml.safe_dump(script))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def events(project: Path, run: str) -> list[dict[str, object]]:
    journal = project / "workspace" / ".company" / "runs" / run / "events.jsonl"
    return [json.loads(line) for line in journal.read_text().splitlines()]


def wait_for(project: Path, run: str, event: str, step: str) -> None:
    end = time.monotonic() + 30
    while not any(told["event"] == event and told.get("step") == step for told in events(project, run)):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_run_is_begun_stopped_gone_on_with_answered_and_made_again(page: object, project: Path) -> None:
    with serving(project / "workspace") as address:
        # A mistake first: it is said, and nothing that was typed is lost.
        page.goto(address)
        page.get_by_role("link", name="New run").click()
        page.get_by_label("Requirement").fill("--limit shout")
        page.get_by_label("Procedure", exact=True).select_option("slow")
        page.get_by_label("Model", exact=True).fill("script:no-such.yaml")
        page.get_by_text("Name, limits, and more").click()
        page.get_by_label("Name of the repository").fill("shout")
        page.get_by_label("tokens", exact=True).fill("50000")
        page.get_by_role("button", name="Start").click()
        assert "no-such.yaml" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("Requirement").input_value() == "--limit shout"
        assert page.get_by_label("tokens", exact=True).input_value() == "50000"
        page.get_by_label("Model", exact=True).fill("script:script.yaml")
        page.get_by_role("button", name="Start").dblclick()
        page.wait_for_url("**/runs/2*")
        run = page.url.rpartition("/")[2]

        # It runs, and is stopped softly: what is under way comes to its end.
        page.goto(address)
        page.locator("#runs .state.running").wait_for()
        page.goto(f"{address}runs/{run}/actions")
        wait_for(project, run, "step_started", "nap")
        page.get_by_role("button", name="Stop").dblclick()
        page.wait_for_url(f"**/runs/{run}")
        page.goto(f"{address}runs/{run}/actions")
        page.locator("#stands .state.interrupted").wait_for()
        told = events(project, run)
        assert [event["step"] for event in told if event["event"] == "step_finished"] == ["prd", "nap"]
        assert [event["limits"] for event in told if event["event"] == "run_started"] == [{"tokens": 50000}]
        assert told[0]["requirement"] == "--limit shout"

        # It is gone on with, as far as its gate, where an edit must fit before it is taken.
        page.get_by_role("button", name="Resume").click()
        page.wait_for_url(f"**/runs/{run}")
        page.goto(f"{address}runs/{run}/actions")
        page.locator("#stands .state.waits").wait_for()
        page.get_by_role("link", name="Answer the gate").click()
        page.get_by_text("Edit prd").click()
        text = page.get_by_label("prd", exact=True).and_(page.locator("textarea"))
        fits = text.input_value()
        text.fill(fits.replace('"must"', '"whenever"'))
        page.locator(".fault", has_text="does not fit").wait_for()
        page.get_by_label("approve", exact=False).check()
        page.get_by_label("Comment", exact=True).fill("louder")
        page.get_by_role("button", name="Answer, and go on").click()
        assert "does not fit" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("approve", exact=False).is_checked()
        assert page.get_by_label("Comment", exact=True).input_value() == "louder"
        assert "whenever" in text.input_value()
        text.fill(fits.replace("say things loudly", "say things very loudly"))
        page.locator(".fault", has_text="does not fit").wait_for(state="detached")
        page.get_by_role("button", name="Answer, and go on").click()
        page.wait_for_url(f"**/runs/{run}")
        page.goto(f"{address}runs/{run}/actions")
        page.locator("#stands .state.delivered").wait_for()
        (decided,) = [event for event in events(project, run) if event["event"] == "gate_decided"]
        assert (decided["choice"], decided["comment"], decided["edited"], decided["by"]) == (
            "approve", "louder", ["prd"], "person",
        )  # fmt: skip
        made = (project / "workspace" / "shout" / "docs" / "prd.md").read_text()
        assert "very loudly" in made

        # It is made again from a step; what lies before is kept.
        page.get_by_text("Make it again").first.click()
        page.get_by_label("Do anew").select_option("code")
        page.get_by_role("button", name="Make it again").click()
        page.wait_for_url(re.compile(rf".*/runs/2(?!{run[1:]}$)[^/]*$"))
        again = page.url.rpartition("/")[2]
        page.goto(f"{address}?status=delivered")
        page.locator(f"#run-{again}").wait_for()
        assert page.locator("#runs tbody tr").count() == 2
        assert [event["step"] for event in events(project, again) if event["event"] == "call_started"] == ["code"]
        page.goto("about:blank")


def test_a_run_outlives_the_studio_that_began_it(page: object, project: Path) -> None:
    with serving(project / "workspace") as address:
        page.goto(f"{address}new?sop=slow")
        page.get_by_label("Requirement").fill("shout")
        page.get_by_label("Model", exact=True).fill("script:script.yaml")
        page.get_by_label("Headless").check()
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/runs/2*")
        run = page.url.rpartition("/")[2]
        token = address.split("/")[3]
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert "company run" in listed
        assert token not in listed
        page.goto("about:blank")
    with serving(project / "workspace") as address:
        page.goto(f"{address}runs/{run}/actions")
        page.locator("#stands .state.delivered").wait_for()
        page.goto("about:blank")
    kept = [path for path in (project / "workspace").rglob("*") if path.is_file()]
    assert [path for path in kept if token.encode() in path.read_bytes()] == []


def test_what_a_procedure_takes_besides_is_asked_for(page: object, project: Path) -> None:
    with serving(project / "workspace") as address:
        page.goto(f"{address}new?sop=waterfall")
        page.get_by_label("Requirement").fill("shout")
        assert page.get_by_label("tone one_of").is_hidden()
        page.get_by_label("Procedure", exact=True).select_option("toned")
        page.get_by_label("tone one_of").select_option("soft")
        page.get_by_label("times").fill("many")
        page.get_by_label("Dry run").check()
        page.get_by_role("button", name="Start").click()
        page.get_by_role("alert").get_by_text("`times` must be int").wait_for()
        page.get_by_label("times").fill("3")
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/runs/2*")
        run = page.url.rpartition("/")[2]
        kept = json.loads((project / "workspace" / ".company" / "runs" / run / "request.json").read_text())
        assert kept["inputs"] == {"requirement": "shout", "tone": "soft", "times": 3}
        page.get_by_role("link", name="New run like this").click()
        assert page.get_by_label("Requirement").input_value() == "shout"
        assert page.get_by_label("tone one_of").input_value() == "soft"
        assert page.get_by_label("times").input_value() == "3"
        page.goto("about:blank")


def test_a_run_that_does_not_stop_by_itself_is_stopped_at_once(page: object, project: Path) -> None:
    procedure = project / "sops" / "slow.yaml"
    procedure.write_text(SOP.replace("sleep 3", "sleep 55"))
    with serving(project / "workspace") as address:
        page.goto(f"{address}new?sop=slow")
        page.get_by_label("Requirement").fill("shout")
        page.get_by_label("Model", exact=True).fill("script:script.yaml")
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/runs/2*")
        run = page.url.rpartition("/")[2]
        wait_for(project, run, "step_started", "nap")
        busy = httpx.post(f"{address}runs/{run}/actions", data={"do": "resume"}, timeout=60)
        assert busy.status_code == 409
        assert "busy" in busy.text or "under way" in busy.text
        began = time.monotonic()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("stopping after the calls that are under way").wait_for()
        page.get_by_role("button", name="Stop at once").click()
        page.get_by_role("button", name="Resume").wait_for()
        assert time.monotonic() - began < 30
        assert httpx.post(f"{address}runs/{run}/actions", data={"do": "stop"}).status_code == 409
        assert httpx.post(f"{address}runs/{run}/actions", data={"do": "dance"}).status_code == 409
        assert events(project, run)[-1]["status"] == "interrupted"
        page.goto("about:blank")


def test_what_a_step_made_is_edited_and_the_run_made_again_from_it(page: object, project: Path) -> None:
    (project / "sops" / "quick.yaml").write_text(SOP.replace("slow", "quick").replace("sleep 3", "true"))
    words = ("a shout", "--sop", "quick", "--name", "loud", "--model", "script:script.yaml", "--headless")
    run = str(company("run", *words, workspace=project / "workspace")["run"])
    repo = project / "workspace" / "loud"
    kept = (repo / "main.py").read_text()
    with serving(project / "workspace") as address:
        page.goto(f"{address}runs/{run}?open=prd")
        page.locator("#panel-commit").get_by_role("link", name="docs/prd.md").click()
        text = page.get_by_role("textbox", name="Text of docs/prd.md")
        before = text.input_value()
        page.get_by_role("button", name="Make it again with this").click()
        assert "nothing was changed" in page.get_by_role("alert").inner_text()
        page.get_by_role("textbox", name="Text of").fill("no document any more")
        page.get_by_role("button", name="Make it again with this").click()
        assert "docs/prd.md" in page.get_by_role("alert").inner_text()
        assert page.get_by_role("textbox", name="Text of").input_value() == "no document any more"
        page.get_by_role("textbox", name="Text of").fill(before.replace("say things loudly", "say <b>all</b> loudly"))
        page.get_by_label("Headless").check()
        page.get_by_role("button", name="Make it again with this").click()
        page.wait_for_url("**/runs/2*")
        expect_over(page)
        again = page.url.rpartition("/")[2]
        assert again != run
        kin = page.get_by_role("navigation", name="Runs in this repository")
        assert kin.get_by_role("link", name=run).count() == 1
        kin.get_by_role("link", name="compare").click()
        assert f"compare?a={run}&b={again}" in page.url
        page.goto(f"{address}runs/{again}/repo?path=docs/prd.md&view=plain")
        assert "say <b>all</b> loudly" in page.locator(".piece").inner_text()
        assert page.get_by_role("link", name="Edit", exact=True).count() == 1
        stale = {"path": "main.py", "text": "x = 1\n", "base": "0" * 64}
        told = httpx.post(
            f"{address}runs/{run}/edit",
            data=stale,
            headers={"Origin": address.split("/")[0] + "//" + address.split("/")[2]},
            timeout=30,
        )
        assert told.status_code == 422
        assert "was changed since this page was opened" in told.text
        refused = httpx.get(f"{address}runs/{run}/edit?path=.git/config", timeout=30)
        assert refused.status_code == 404
        assert "has nothing of this name" in refused.text
    assert (repo / "main.py").read_text() == kept
    done = [
        told["id"] for told in events(project, again) if told["event"] == "step_finished" and "kept_from" not in told
    ]
    assert "code#1" not in done, "what does not depend on it is kept"


def expect_over(page: object) -> None:
    page.wait_for_selector("#run-state .state.delivered, #run-state .state.unaccepted", timeout=30_000)
