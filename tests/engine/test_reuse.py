"""Procedures that use procedures, roles that are chosen during the run, declared artifacts, rounds that are remembered,
items that fail alone, tools that a step calls."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import RIGHT, WRONG, events, git, go_on, start

from company.errors import EndpointError, UsageError
from company.llm.client import OnTokens, Reply, Request
from company.llm.scripted import ScriptedModel

EACH = """sop: 1
artifacts: {Plan: {names: [str]}}
steps:
  plan: {role: checker, prompt: say, in: {about: requirement}, out: Plan}
  each:
    for_each: plan.names
    as: name
    key: name
    on_error: collect
    do: {role: writer, prompt: say, in: {about: name}, out: int}
"""
"""Work for each name, without those that fail."""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of the user's own, with a role and prompts that show everything they are given."""
    for name, text in {
        "roles/writer.yaml": "title: Writer\nprofile: You write.\ntools: [python, files.list]\n",
        "roles/checker.yaml": "title: Checker\nprofile: You check.\n",
        "prompts/shared/say.md.j2": "{{ about }}\nsays {{ role.title }}\n",
        "prompts/writer/code.md.j2": "{# optional: about, notes #}\n{{ about }}{{ notes }}\n",
        "sops/inner.yaml": (
            "sop: 1\ninputs: {about: str}\nsteps:\n"
            "  text: {role: writer, prompt: say, in: about, out: str}\n"
            "  more: {role: writer, prompt: say, in: {about: text}, out: str}\n"
        ),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def prompts(folder: Path) -> list[str]:
    """What was asked, in order, by the steps: the replies are kept by it, the journal says when."""
    return [event["step"] for event in events(folder) if event["event"] == "call_finished"]


def test_a_used_procedure_sees_its_inputs_alone_and_gives_its_steps(own: Path) -> None:
    text = """sop: 1
steps:
  text:  {role: writer, prompt: say, in: {about: requirement}, out: str}
  first: {use: inner, with: {about: text}}
  again: {use: inner, with: {about: first.more}}
  code:  {role: writer, in: {about: again.more}, out: [SourceFile]}
deliver: {accept: again.text == "four" and first.text == "two" and text == "one"}
"""
    replies = [
        ("text", "one"),
        ("first.text", "two"),
        ("first.more", "three"),
        ("again.text", "four"),
        ("again.more", "five"),
    ]
    script = [*({"step": step, "reply": reply} for step, reply in replies), {"step": "code", "reply": RIGHT}]
    outcome = start(own, text, script, user_dir=own)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert prompts(own) == ["text", "first.text", "first.more", "again.text", "again.more", "code"]


def test_a_used_procedure_inside_a_loop_inside_a_for_each(own: Path) -> None:
    text = """sop: 1
artifacts:
  Names: {names: [str]}
  Verdict: {good: bool}
steps:
  list: {role: checker, prompt: say, in: {about: requirement}, out: Names}
  each:
    for_each: list.names
    as: name
    key: name
    parallel: 2
    do:
      polish:
        loop:
          said: {use: inner, with: {about: name}}
          look: {role: checker, prompt: say, in: {about: said.more}, out: Verdict}
        until: look.good
        max: 3
  code: {role: writer, in: {notes: each}, out: [SourceFile]}
"""
    script: list[dict[str, Any]] = [{"step": "list", "reply": {"names": ["a", "b"]}}]
    for item, rounds in (("a", 1), ("b", 2)):
        for number in range(1, rounds + 1):
            script += [
                {"step": "each.polish.said.text", "item": item, "round": number, "reply": f"{item}{number}"},
                {"step": "each.polish.said.more", "item": item, "round": number, "reply": f"{item}{number}!"},
                {"step": "each.polish.look", "item": item, "round": number, "reply": {"good": number == rounds}},
            ]
    outcome = start(own, text, [*script, {"step": "code", "reply": RIGHT}], user_dir=own)
    assert (outcome.status, outcome.reason, outcome.calls) == ("delivered", "", 11)


def test_the_role_that_works_is_chosen_during_the_run(own: Path) -> None:
    text = """sop: 1
artifacts: {Turn: {who: "one_of(writer, checker)", what: str, over: bool}}
steps:
  talk:
    loop:
      lead: {role: checker, prompt: say, in: {about: requirement}, out: Turn}
      work: {role: $lead.who, prompt: say, in: {about: lead.what}, out: str, when: not lead.over}
    until: lead.over
    max: 3
  code: {role: writer, in: {notes: talk.history}, out: [SourceFile]}
deliver: {accept: len(talk.history) == 3}
"""
    turns = [("writer", False), ("checker", False), ("writer", True)]
    script: list[dict[str, Any]] = []
    for number, (who, over) in enumerate(turns, 1):
        script.append({"step": "talk.lead", "round": number, "reply": {"who": who, "what": "that", "over": over}})
        script += [] if over else [{"step": "talk.work", "role": who, "round": number, "reply": f"{who} says so"}]
    outcome = start(own, text, [*script, {"step": "code", "reply": RIGHT}], user_dir=own)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    authors = git(outcome.repo, "log", "--reverse", "--format=%an %s").splitlines()
    assert [line for line in authors if "talk.work" in line] == [
        "Writer talk.work: answer",
        "Checker talk.work: answer",
    ]


def test_items_that_fail_are_left_out_with_those_that_need_them(own: Path) -> None:
    text = """sop: 1
artifacts:
  Task: {id: str, needs: [str]}
  Plan: {tasks: [Task]}
steps:
  plan: {role: checker, prompt: say, in: {about: requirement}, out: Plan}
  each:
    for_each: plan.tasks
    as: task
    key: task.id
    needs: task.needs
    on_error: collect
    do: {role: writer, prompt: say, in: {about: task}, out: int}
  code: {role: writer, in: {notes: each}, out: [SourceFile]}
deliver: {accept: len(each) == 1}
"""
    tasks = [{"id": "a", "needs": []}, {"id": "b", "needs": []}, {"id": "c", "needs": ["b"]}]
    script = [
        {"step": "plan", "reply": {"tasks": tasks}},
        {"step": "each", "item": "a", "reply": {"value": 1}},
        *[{"step": "each", "item": "b", "reply": "none"}] * 3,
        {"step": "code", "reply": RIGHT},
    ]
    outcome = start(own, text, script, user_dir=own)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    said = [event["text"] for event in events(own) if event["event"] == "notice" and "left out" in event["text"]]
    assert [line.split(":")[1].strip() for line in said] == ["`b` is left out", "`c` is left out"]
    assert "it needs `b`, which failed" in said[1]


@pytest.mark.parametrize("is_of_request", [False, True])
def test_an_outage_is_no_items_failure(is_of_request: bool, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"""{EACH}  code: {{role: writer, in: {{notes: each}}, out: [SourceFile]}}
deliver: {{accept: len(each) == 2}}
"""
    replies = [{"step": "each", "reply": {"value": 1}}] * 2
    script = [{"step": "plan", "reply": {"names": ["a", "b"]}}, *replies, {"step": "code", "reply": RIGHT}]
    complete, is_down = ScriptedModel.complete, True

    async def unsteady(model: ScriptedModel, request: Request, on_tokens: OnTokens | None = None) -> Reply:
        if is_down and request.label.item == "b":
            raise EndpointError("HTTP 400", is_of_request=is_of_request)
        return await complete(model, request, on_tokens)

    monkeypatch.setattr(ScriptedModel, "complete", unsteady)
    stopped = start(own, text, script, user_dir=own)
    if is_of_request:  # a prompt that is too long, for instance: that one is left out
        assert stopped.status == "unaccepted"
        return
    assert (stopped.status, "HTTP 400" in stopped.reason) == ("failed", True)
    is_down = False
    outcome = go_on(own)
    assert (outcome.status, outcome.accepted, outcome.reason) == ("delivered", True, "")


def test_when_every_item_fails_the_step_does(own: Path) -> None:
    script = [{"step": "plan", "reply": {"names": ["a"]}}, *[{"step": "each", "reply": "none"}] * 3]
    outcome = start(own, EACH, script, user_dir=own)
    assert outcome.status == "failed"
    assert "every item of `each` failed" in outcome.reason


def test_a_declared_artifact_is_asked_for_checked_kept_and_read_again(own: Path) -> None:
    text = """sop: 1
artifacts:
  Risk: {place: str, grave: bool}
  Report: {risks: [Risk], level: "one_of(low, high)", note: "str | null"}
steps:
  look: {role: checker, prompt: say, in: {about: requirement}, out: Report}
  code: {role: writer, in: {about: look}, out: [SourceFile]}
deliver: {accept: look.level == "high" and len(look.risks) == 1 and look.note == None}
"""
    wrong = {"risks": [], "level": "medium", "note": None}
    right = {"risks": [{"place": "line 1", "grave": True}], "level": "high", "note": None}
    script = [{"step": "look", "attempt": 1, "reply": wrong}, {"step": "look", "attempt": 2, "reply": right}]
    outcome = start(own, text, script, user_dir=own)  # no reply for `code`: the run stops, and is resumed
    assert outcome.status == "failed"
    folder = own / "ws/.company/runs" / outcome.run
    (own / "script.yaml").write_text(yaml.safe_dump([{"step": "code", "reply": RIGHT}]))
    again = go_on(own)
    assert (again.status, again.reason) == ("delivered", "")
    assert (folder / "library/own/own.yaml").read_text() == text
    assert json.loads((again.repo / ".company/artifacts/look.json").read_text()) == right


def test_a_step_calls_the_tools_that_it_names(own: Path) -> None:
    text = """sop: 1
steps:
  code: {role: writer, in: {about: requirement}, out: [SourceFile], tools: [python, files.list], tool_calls: 3}
"""
    call = {"thought": "try it", "call": {"tool": "python", "arguments": {"code": "print(6 * 7)"}}}
    done = {"thought": "enough", "call": {"tool": "done"}}
    script = [{"step": "code", "reply": call}, {"step": "code", "reply": done}, {"step": "code", "reply": RIGHT}]
    outcome = start(own, text, script, user_dir=own)
    assert (outcome.status, outcome.calls) == ("delivered", 3)
    (made,) = [event for event in events(own) if event["event"] == "tool_finished"]
    assert (made["step"], made["name"], made["ok"]) == ("code", "python", True)
    kept = list((own / "ws/.company/runs" / outcome.run / "tools").rglob("*.json"))
    assert "42" in json.loads(kept[0].read_text())["text"]


def test_a_tool_that_was_not_given_is_never_run(own: Path) -> None:
    text = """sop: 1
steps:
  code: {role: writer, in: {about: requirement}, out: [SourceFile], tools: files.list}
"""
    call = {"thought": "t", "call": {"tool": "python", "arguments": {"code": "print(1)"}}}
    script = [*[{"step": "code", "reply": call}] * 3]
    outcome = start(own, text, script, user_dir=own)
    assert outcome.status == "failed"
    assert not [event for event in events(own) if event["event"] == "tool_started"]


def test_a_server_that_is_not_declared_is_an_error_before_anything_is_made(own: Path) -> None:
    text = """sop: 1
roles: {writer: {tools: [mcp.notes]}}
steps:
  code: {role: writer, in: {about: requirement}, out: [SourceFile], tools: mcp.notes}
"""
    with pytest.raises(UsageError, match="notes"):
        start(own, text, [], user_dir=own)
    assert not (own / "ws" / "out").exists()


def test_each_tier_of_a_cascade_is_asked_in_its_turn(own: Path) -> None:
    text = """sop: 1
steps:
  code:
    role: writer
    in: {about: requirement}
    out: [SourceFile]
    cascade: [small, large]
    accept: len(answer) > 1
  check: {run: python -m compileall -q ., in: code}
deliver: {accept: check.passed}
"""
    outcome = start(own, text, [{"step": "code", "reply": WRONG}, {"step": "code", "reply": RIGHT}], user_dir=own)
    assert (outcome.status, outcome.calls) == ("delivered", 2)
    assert '"!"' in (outcome.repo / "shout.py").read_text()  # the last one goes on where none is good enough
