"""Where two constructs meet: each of these once checked and then did something else than it said."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from running import PRD, events, git, go_on
from running import start as begin
from test_reuse import own

from company.engine import Outcome
from company.errors import SopError
from company.people import Answer, Question
from company.report import Report
from company.sop.diagnostics import SourceText
from company.sop.library import Library
from company.sop.linker import link

__all__ = ["own"]

MAIN = "### main.py\n```python\nprint(1)\n```"


def start(folder: Path, text: str, script: list[dict[str, Any]], **more: Any) -> Outcome:
    """A run whose requirement names no file, so that replies are what they say they are."""
    return begin(folder, text, script, requirement="Something that works.", **more)


def code(path: str, body: str = "print(1)") -> str:
    return f"### {path}\n```python\n{body}\n```"


def steps(*lines: str, more: str = "") -> str:
    return "sop: 1\n" + more + "steps:\n" + "\n".join(f"  {line}" for line in lines) + "\n"


def people(*answers: Answer) -> tuple[list[Question], Any]:
    asked: list[Question] = []
    left = list(answers)

    async def person(question: Question) -> Answer:
        asked.append(question)
        return left.pop(0)

    return asked, person


def done(folder: Path) -> list[str]:
    return [event["step"] for event in events(folder) if event["event"] == "step_finished"]


NESTED = steps(
    "prd: {role: writer, prompt: say, in: {about: requirement}, out: str}",
    "a:   {role: writer, prompt: talk, in: {about: prd, before: prev.g1}, out: str}",
    "g1:  {gate: human, show: a, choices: {ok: next, again: a}, max: 1, headless: ok}",
    "b:   {role: writer, prompt: talk, in: {about: a, before: prev.g2}, out: str}",
    "g2:  {gate: human, show: b, choices: {ok: next, first: a}, max: 1, headless: ok}",
)


@pytest.fixture
def talk(own: Path) -> Path:
    (own / "prompts/shared/talk.md.j2").write_text("{# optional: before #}\n{{ about }}\n{{ before }}\n")
    return own


def test_two_gates_one_inside_the_way_back_of_the_other(talk: Path) -> None:
    asked, person = people(Answer("again", "x"), Answer("ok"), Answer("first", "y"), Answer("ok"), Answer("ok"))
    script = [{"step": "prd", "reply": "p"}]
    script += [{"step": step, "reply": f"{step}{n}"} for n in range(3) for step in ("a", "b")]
    outcome = start(talk, NESTED, script[:6], user_dir=talk, person=person)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert done(talk) == ["prd", "a", "g1", "a", "g1", "b", "g2", "a", "g1", "b", "g2"]
    assert [question.step for question in asked] == ["g1", "g1", "g2", "g1", "g2"]


def test_two_choices_may_not_lead_back_to_different_steps(talk: Path) -> None:
    text = NESTED.replace("first: a}", "first: a, second: b}")
    with pytest.raises(SopError) as caught:
        link(SourceText(Path("x.yaml"), "x.yaml", text), Library(talk))
    assert "the choices of `g2` lead back to `a` and `b`" in caught.value.report


def test_a_cascade_in_a_loop_sees_the_rounds_of_that_loop(talk: Path) -> None:
    text = (
        steps(
            "l:",
            "  loop:",
            "    code: {role: writer, prompt: talk, in: {about: requirement, before: prev.code}, out: str,",
            "           cascade: [small, small], accept: answer == 'good'}",
            "    last: {run: 'true', in: code}",
            "  max: 2",
            "main: {role: writer, prompt: code, in: {notes: l.history}, out: [SourceFile]}",
            more="",
        )
        + "deliver: {accept: len(l.history) == 2 and l.code == 'good'}\n"
    )
    replies = [(1, "bad"), (2, "good"), (1, "good")]
    script: list[dict[str, Any]] = [{"step": "l.code", "round": n, "reply": reply} for n, reply in replies]
    outcome = start(talk, text, [*script, {"step": "main", "reply": MAIN}], user_dir=talk)
    assert (outcome.status, outcome.reason, outcome.calls) == ("delivered", "", 4)


def test_an_answer_that_is_not_taken_never_was_a_file(talk: Path) -> None:
    text = (
        steps(
            "code: {role: writer, in: {about: requirement}, out: [SourceFile], cascade: [small, small],",
            "       accept: {run: 'python -m compileall -q .', in: answer}}",
            "check: {run: 'python -m compileall -q .', in: code}",
        )
        + "deliver: {accept: check.passed}\n"
    )
    script = [{"step": "code", "reply": code("bad.py", "def (")}, {"step": "code", "reply": MAIN}]
    outcome = start(talk, text, script, user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert not (outcome.repo / "bad.py").exists()
    assert git(outcome.repo, "log", "--format=%an %s", "--", "main.py") == "Writer code: write main.py\n"


def test_a_model_that_gives_nothing_usable_is_no_end_of_a_cascade(talk: Path) -> None:
    text = steps(
        "code: {role: writer, in: {about: requirement}, out: [SourceFile], cascade: [small, large],",
        "       accept: {run: 'true', in: answer}}",
    )
    script: list[dict[str, Any]] = [*[{"step": "code", "round": 1, "reply": "no code"}] * 3]
    outcome = start(talk, text, [*script, {"step": "code", "round": 2, "reply": MAIN}], user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert [e["step"] for e in events(talk) if e["event"] == "step_skipped"] == ["code.accept"]


def test_where_no_model_gives_anything_the_step_fails(talk: Path) -> None:
    text = steps(
        "code: {role: writer, in: {about: requirement}, out: [SourceFile], cascade: [small], accept: len(answer) > 0}"
    )
    outcome = start(talk, text, [*[{"step": "code", "reply": "no code"}] * 3], user_dir=talk)
    assert outcome.status == "failed"
    assert "no usable reply after 3 tries" in outcome.reason
    (talk / "script.yaml").write_text(json.dumps([{"step": "code", "reply": MAIN}]))
    assert go_on(talk).status == "delivered"  # the last model is asked anew


def test_the_best_round_of_each_item_is_put_back(talk: Path) -> None:
    more = "artifacts: {Names: {names: [str]}, Mark: {good: bool, score: float}}\n"
    text = steps(
        "list: {role: checker, prompt: say, in: {about: requirement}, out: Names}",
        "each:",
        "  for_each: list.names",
        "  as: name",
        "  key: name",
        "  do:",
        "    l:",
        "      loop:",
        "        file: {role: writer, prompt: code, in: {about: name}, out: [SourceFile], temperature: 0.8}",
        "        mark: {role: checker, prompt: say, in: {about: file}, out: Mark}",
        "      until: mark.good",
        "      best: mark.score",
        "      max: 2",
        "      on_max: continue",
        "tidy: {run: 'true', in: {all: len(each)}}",
        more=more,
    )
    script: list[dict[str, Any]] = [{"step": "list", "reply": {"names": ["a", "b"]}}]
    for item in "ab":
        for number, (body, score) in enumerate((("BEST = 1", 9), ("WORSE = 1", 1)), 1):
            where = {"item": item, "round": number}
            script += [
                {"step": "each.l.file", **where, "reply": code(f"{item}.py", body)},
                {"step": "each.l.mark", **where, "reply": {"good": False, "score": score}},
            ]
    outcome = start(talk, text, script, user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert {(outcome.repo / f"{item}.py").read_text() for item in "ab"} == {"BEST = 1\n"}


def test_a_procedure_may_not_be_called_like_one_that_it_uses(talk: Path) -> None:
    text = steps("one: {use: inner, with: {about: requirement}}", more="name: inner\n")
    with pytest.raises(SopError) as caught:
        link(SourceText(Path("own.yaml"), "own.yaml", text), Library(talk))
    assert "`inner` uses itself" in caught.value.report  # a resumed run could not tell the two apart


def test_samples_may_be_gone_through(talk: Path) -> None:
    text = steps(
        "drafts: {role: checker, prompt: say, in: {about: requirement}, out: Prd, sample: 2}",
        "each: {for_each: drafts, as: draft, do: {role: writer, prompt: say, in: {about: draft.title}, out: str}}",
        "main: {role: writer, prompt: code, in: {notes: each}, out: [SourceFile]}",
    )
    script = [*[{"step": "drafts", "reply": PRD}] * 2, *[{"step": "each", "reply": "x"}] * 2]
    outcome = start(talk, text, [*script, {"step": "main", "reply": MAIN}], user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")


@pytest.mark.parametrize(("replies", "left"), [([MAIN, *["no"] * 6], 1), (["no"] * 9, 0)])
def test_samples_that_never_came_are_left_out_unless_none_did(talk: Path, replies: list[Any], left: int) -> None:
    (talk / "prompts/shared/count.md.j2").write_text("{{ drafts | length }}\n")
    text = steps(
        "drafts: {role: writer, prompt: say, in: {about: requirement}, out: [SourceFile], sample: 3}",
        "many: {role: writer, prompt: count, in: drafts, out: str}",
        "main: {role: writer, prompt: say, in: {about: many}, out: [SourceFile]}",
    )
    script = [*({"step": "drafts", "reply": reply} for reply in replies)]
    outcome = start(
        talk, text, [*script, {"step": "many", "reply": "x"}, {"step": "main", "reply": MAIN}], user_dir=talk
    )
    told = [event["text"] for event in events(talk) if event["event"] == "notice"]
    lost = [
        line for line in told if line.startswith("drafts#1: 2 of 3 samples never came (no usable reply after 3 tries")
    ]
    if left:
        assert (outcome.status, outcome.reason, len(lost)) == ("delivered", "", 1)
        finished = next(
            event for event in events(talk) if event["event"] == "step_finished" and event["id"] == "drafts#1"
        )
        assert finished["values"]["drafts"]
    else:
        assert (outcome.status, lost) == ("failed", [])
        assert "step drafts#1: no usable reply after 3 tries" in outcome.reason


def test_what_a_person_writes_must_have_the_type_of_the_step(talk: Path) -> None:
    text = steps(
        "pick: {role: checker, prompt: say, in: {about: requirement}, out: 'one_of(writer, checker)'}",
        "look: {gate: human, show: pick, choices: {ok: next}, headless: ok}",
        "main: {role: $pick, prompt: say, in: {about: requirement}, out: str}",
    )
    _, person = people(Answer("ok", "", {"pick": "nonsense"}))
    outcome = start(talk, text, [{"step": "pick", "reply": {"value": "writer"}}], user_dir=talk, person=person)
    assert outcome.status == "failed"
    assert "`pick` does not fit" in outcome.reason


def test_a_loop_that_is_given_whole_has_its_rounds(talk: Path) -> None:
    (talk / "prompts/shared/whole.md.j2").write_text("{{ talk.history | length }}\n")
    text = steps(
        "talk:",
        "  loop:",
        "    say: {role: writer, prompt: talk, in: {about: requirement, before: prev.say}, out: str}",
        "  max: 2",
        "sum:  {role: writer, prompt: whole, in: {talk: talk}, out: str}",
    )
    script = [{"step": "talk.say", "reply": "a"}, {"step": "talk.say", "reply": "b"}, {"step": "sum", "reply": "c"}]
    outcome = start(talk, text, script, user_dir=talk)
    assert outcome.status == "delivered"
    procedure = link(SourceText(Path("x.yaml"), "x.yaml", text), Library(talk))
    assert procedure.histories == {"talk"}


def test_a_skipped_loop_is_null_as_a_whole(talk: Path) -> None:
    text = steps(
        "a: {role: writer, prompt: say, in: {about: requirement}, out: str}",
        "l:",
        "  when: a == 'never'",
        "  loop: {b: {role: writer, prompt: say, in: {about: a}, out: str}}",
        "  max: 2",
        "c: {role: writer, prompt: say, in: {about: a}, out: str, when: maybe.l != None}",
        "d: {role: writer, prompt: say, in: {about: a}, out: str, when: maybe.l == None}",
    )
    script = [{"step": "a", "reply": "a"}, {"step": "d", "reply": "d"}]
    outcome = start(talk, text, script, user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")


def test_a_gate_in_a_loop_is_a_wall_too(talk: Path) -> None:
    text = steps(
        "talk:",
        "  loop:",
        "    say:  {role: writer, prompt: talk, in: {about: requirement, before: prev.look}, out: str}",
        "    look: {gate: human, show: say, choices: {ok: next, no: next}, headless: ok}",
        "  until: look.choice == 'ok'",
        "  max: 3",
        "main: {role: writer, prompt: code, in: {about: requirement}, out: [SourceFile]}",
    )
    outcome = start(talk, text, [{"step": "talk.say", "reply": "a"}], user_dir=talk)
    assert (outcome.status, outcome.calls) == ("interrupted", 1)


def test_a_gate_that_nobody_answers_loses_no_reply_that_is_under_way(talk: Path) -> None:
    from company.llm.scripted import ScriptedModel

    slow = steps(
        "a:    {role: writer, prompt: say, in: {about: requirement}, out: str}",
        "b:    {role: checker, prompt: say, in: {about: requirement}, out: str}",
        "look: {gate: human, show: a, choices: {ok: next}, headless: ok}",
    )
    real = ScriptedModel.complete

    async def complete(self: ScriptedModel, request: Any, on_tokens: Any = None) -> Any:
        if request.label.step == "b":
            await asyncio.sleep(0.5)
        return await real(self, request, on_tokens)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedModel, "complete", complete)
        outcome = start(talk, slow, [{"step": "a", "reply": "a"}, {"step": "b", "reply": "b"}], user_dir=talk)
    assert (outcome.status, outcome.calls) == ("interrupted", 2)
    again = go_on(talk, headless=True)
    assert (again.status, again.calls) == ("delivered", 2)


def test_a_refusal_is_never_collected_away(talk: Path) -> None:
    more = "artifacts: {Names: {names: [str]}}\n"
    text = steps(
        "list: {role: checker, prompt: say, in: {about: requirement}, out: Names}",
        "each:",
        "  for_each: list.names",
        "  as: name",
        "  key: name",
        "  on_error: collect",
        "  do:",
        "    say:  {role: writer, prompt: say, in: {about: name}, out: str}",
        "    look: {gate: human, show: say, choices: {ok: next, no: fail}, headless: ok, retry: 3}",
        more=more,
    )
    _, person = people(Answer("ok"), Answer("no", "bad"))
    script = [{"step": "list", "reply": {"names": ["a", "b"]}}, *[{"step": "each.say", "reply": "x"}] * 2]
    outcome = start(talk, text, script, user_dir=talk, person=person)
    assert outcome.status == "failed"
    assert "`no` was chosen" in outcome.reason


def test_nested_items_have_ids_of_their_own(talk: Path) -> None:
    more = "artifacts: {Tree: {folders: [str], files: [str]}}\n"
    text = steps(
        "tree: {role: checker, prompt: say, in: {about: requirement}, out: Tree}",
        "outer:",
        "  for_each: tree.folders",
        "  as: folder",
        "  key: folder",
        "  do:",
        "    inner: {for_each: tree.files, as: file, key: file, do: {role: writer, prompt: say, in: {about: file}, out: str}}",
        more=more,
    )
    script: list[dict[str, Any]] = [{"step": "tree", "reply": {"folders": ["src", "src/app"], "files": ["app/x", "x"]}}]
    outcome = start(talk, text, [*script, *[{"step": "outer.inner", "reply": "x"}] * 4], user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    idents = [e["id"] for e in events(talk) if e["event"] == "step_finished" and e["step"] == "outer.inner.do"]
    assert len(set(idents)) == 4


def test_the_time_that_a_person_takes_is_not_the_runs(talk: Path) -> None:
    text = steps(
        "a:    {role: writer, prompt: say, in: {about: requirement}, out: str}",
        "look: {gate: human, show: a, choices: {ok: next}, headless: ok}",
        "b:    {role: writer, prompt: say, in: {about: requirement}, out: str}",
        more="limits: {minutes: 0.05}\n",
    )

    async def person(question: Question) -> Answer:
        await asyncio.sleep(3.5)
        return Answer("ok")

    script = [{"step": "a", "reply": "a"}, {"step": "b", "reply": "b"}]
    outcome = start(talk, text, script, user_dir=talk, person=person)
    assert (outcome.status, outcome.reason) == ("delivered", "")


@pytest.mark.parametrize(
    "below",
    [
        "code: {role: writer, in: {about: requirement}, out: [SourceFile], cascade: [small], accept: len(answer) > 0, after: first}",
        "code: {after: first, loop: {text: {role: writer, prompt: say, in: {about: requirement}, out: str}}, max: 1}",
        "code: {use: inner, with: {about: requirement}, after: first}",
    ],
    ids=["cascade", "loop", "use"],
)
def test_what_stops_one_step_loses_nothing_beside_it(talk: Path, below: str) -> None:
    text = steps(
        "first: {loop: {a: {role: writer, prompt: say, in: {about: requirement}, out: str}}, max: 1}",
        "drafts: {role: checker, prompt: say, in: {about: requirement}, out: str, after: first}",
        below,
        "last: {run: 'true', after: code}",
    )
    replies: list[dict[str, Any]] = [{"step": "first.a", "reply": "a"}, {"step": "drafts", "reply": "b"}]
    others = [{"step": step, "reply": MAIN if step == "code" else "c"} for step in ("code", "code.text", "code.more")]
    outcome = start(talk, text, [*replies, *others], user_dir=talk, limits={"calls": 1})
    assert outcome.status == "limited"
    again = go_on(talk, limits={"calls": 20})
    assert (again.status, again.reason) == ("delivered", "")
    assert "last" in done(talk)


def test_a_step_hears_every_gate_that_sends_it_back(talk: Path) -> None:
    text = steps(
        "a:  {role: writer, prompt: talk, in: {about: requirement, before: '[prev.g1, prev.g2]'}, out: str}",
        "g1: {gate: human, show: a, choices: {ok: next, again: a}, max: 1, headless: ok}",
        "g2: {gate: human, show: a, choices: {ok: next, again: a}, max: 1, headless: ok}",
    )
    _, person = people(Answer("again", "x"), Answer("ok"), Answer("again", "y"), Answer("ok"), Answer("ok"))
    outcome = start(talk, text, [{"step": "a", "reply": f"a{n}"} for n in range(3)], user_dir=talk, person=person)
    assert (outcome.status, outcome.reason) == ("delivered", "")


def test_documents_of_items_whose_keys_are_alike_do_not_share_a_file(talk: Path) -> None:
    text = steps(
        "list: {role: checker, prompt: say, in: {about: requirement}, out: Names}",
        "each: {for_each: list.names, as: name, key: name, do: {role: checker, prompt: say, in: {about: name}, out: Review}}",
        more="artifacts: {Names: {names: [str]}}\n",
    )
    names = ["a/b", "a-b", "a b", "../../x", "x", "..", "A-B", "漢" * 60]
    script: list[dict[str, Any]] = [{"step": "list", "reply": {"names": names}}]
    script += [{"step": "each", "reply": {"approved": True, "comments": []}}] * len(names)
    outcome = start(talk, text, script, user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert len(list((outcome.repo / ".company/artifacts/each").glob("*.json"))) == len(names)


def test_what_is_under_way_beside_a_gate_that_nobody_answers_is_kept(talk: Path) -> None:
    from company.llm.scripted import ScriptedModel

    text = steps(
        "list: {role: checker, prompt: say, in: {about: requirement}, out: Names}",
        "each:",
        "  for_each: list.names",
        "  as: name",
        "  key: name",
        "  parallel: 3",
        "  do:",
        "    one:  {role: writer, prompt: say, in: {about: name}, out: str}",
        "    two:  {role: writer, prompt: say, in: {about: one}, out: str}",
        "    look: {gate: human, show: two, choices: {ok: next}, headless: ok}",
        more="artifacts: {Names: {names: [str]}}\n",
    )
    real = ScriptedModel.complete

    async def complete(self: ScriptedModel, request: Any, on_tokens: Any = None) -> Any:
        await asyncio.sleep({"b": 0.3, "c": 0.8}.get(request.label.item, 0))
        return await real(self, request, on_tokens)

    script: list[dict[str, Any]] = [{"step": "list", "reply": {"names": ["a", "b", "c"]}}]
    script += [
        {"step": f"each.{step}", "item": item, "reply": f"{item}{step}"} for item in "abc" for step in ("one", "two")
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedModel, "complete", complete)
        outcome = start(talk, text, script, user_dir=talk)
    assert outcome.status == "interrupted"
    begun = [(e["step"], e["item"]) for e in events(talk) if e["event"] == "call_started"]
    ended = [(e["step"], e["item"]) for e in events(talk) if e["event"] == "call_finished"]
    assert sorted(begun) == sorted(ended)  # nothing that was paid for is lost
    again = go_on(talk, headless=True)
    assert (again.status, again.calls) == ("delivered", 7)


def test_a_used_procedure_does_not_hear_the_gates_around_it(talk: Path) -> None:
    (talk / "sops/heard.yaml").write_text(
        "sop: 1\ninputs: {about: str}\nsteps:\n"
        "  a:    {role: writer, prompt: talk, in: {about: about, before: prev.look}, out: str, when: prev.look == None}\n"
        "  look: {gate: human, choices: {ok: next, redo: a}, max: 1, headless: ok}\n"
    )
    text = steps(
        "top:  {use: heard, with: {about: requirement}}",
        "look: {gate: human, choices: {ok: next, redo: top}, max: 1, headless: ok}",
    )
    _, person = people(Answer("ok"), Answer("redo", "OUTER"), Answer("ok"), Answer("ok"))
    outcome = start(talk, text, [{"step": "top.a", "reply": n} for n in "12"], user_dir=talk, person=person)
    assert (outcome.status, outcome.calls) == ("delivered", 2)  # in the inner first round there is no decision


def test_an_undone_round_gives_other_steps_their_files_back(talk: Path) -> None:
    text = steps(
        "base: {role: writer, prompt: code, in: {about: requirement}, out: [SourceFile]}",
        "l:",
        "  loop:",
        "    file: {role: writer, prompt: code, in: {about: len(base), notes: prev.file}, out: [SourceFile]}",
        "    mark: {role: checker, prompt: say, in: {about: file}, out: Mark}",
        "  until: mark.good",
        "  best: mark.score",
        "  max: 2",
        "  on_max: continue",
        "last: {run: 'true', in: base}",
        more="artifacts: {Mark: {good: bool, score: float}}\n",
    )
    two = [code("a.py", "A = 1"), code("a.py", "A = 2") + "\n\n" + code("util.py", "WRONG = 1")]
    script: list[dict[str, Any]] = [{"step": "base", "reply": code("main.py") + "\n\n" + code("util.py", "RIGHT = 1")}]
    for number, (reply, score) in enumerate(zip(two, (9, 1), strict=True), 1):
        script.append({"step": "l.file", "round": number, "reply": reply})
        script.append({"step": "l.mark", "round": number, "reply": {"good": False, "score": score}})
    outcome = start(talk, text, script, user_dir=talk)
    assert (outcome.status, outcome.reason) == ("delivered", "")
    assert (outcome.repo / "util.py").read_text() == "RIGHT = 1\n"
    assert (outcome.repo / "a.py").read_text() == "A = 1\n"


def test_gates_that_are_open_at_once_take_the_same_time(talk: Path) -> None:
    text = steps(
        "list: {role: checker, prompt: say, in: {about: requirement}, out: Names}",
        "each:",
        "  for_each: list.names",
        "  as: name",
        "  parallel: 3",
        "  do: {gate: human, choices: {ok: next}, headless: ok}",
        more="artifacts: {Names: {names: [str]}}\nlimits: {minutes: 5}\n",
    )

    async def person(question: Question) -> Answer:
        await asyncio.sleep(1)
        return Answer("ok")

    script = [{"step": "list", "reply": {"names": ["a", "b", "c"]}}]
    outcome = start(talk, text, script, user_dir=talk, person=person)
    assert outcome.status == "delivered"
    report = Report.of(events(talk))
    assert 0.9 < report.waited < min(2.5, report.seconds)


@pytest.mark.parametrize(
    ("condition", "good"),
    [
        ("maybe.x == None or not maybe.x.passed", True),
        ("maybe.x != None and not maybe.x.passed", True),
        ("not (maybe.x == None) and not maybe.x.passed", True),
        ("not maybe.x.passed", False),
        ("not (maybe.x.passed or b == 'b')", False),
        ("not (maybe.x.passed and b == 'b')", False),
    ],
)
def test_null_under_not(talk: Path, condition: str, good: bool) -> None:
    text = steps(
        "b: {role: writer, prompt: say, in: {about: requirement}, out: str}",
        "x: {run: 'true', when: b == 'b'}",
        f"y: {{run: 'true', when: {condition!r}}}"
        if "'" not in condition
        else f'y: {{run: "true", when: "{condition}"}}',
    )
    try:
        link(SourceText(Path("x.yaml"), "x.yaml", text), Library(talk))
    except SopError as error:
        assert not good, error.report
        assert {found.code for found in error.diagnostics} == {"SOP207"}
    else:
        assert good


@pytest.mark.parametrize(
    ("fix", "accept", "good"),
    [
        ("when: not test.passed", "test.passed", True),
        ("when: test.passed", "test.passed", False),
        ("when: test.score < 1", "test.passed", False),
        ("after: test", "test.passed", False),
    ],
)
def test_an_acceptance_rests_on_the_last_version(fix: str, accept: str, good: bool) -> None:
    text = steps(
        "code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}",
        "test: {run: pytest, in: code}",
        f"mend: {{role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile], updates: code, {fix}}}",
    )
    text += f"deliver: {{accept: {accept}}}\n"
    try:
        link(SourceText(Path("x.yaml"), "x.yaml", text), Library(None))
    except SopError as error:
        assert not good, error.report
        assert {found.code for found in error.diagnostics} == {"SOP618"}
    else:
        assert good
