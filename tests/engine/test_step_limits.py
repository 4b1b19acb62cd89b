"""Limits of steps and roles in whole runs: who stops whom, what is said, how it goes on; and the same numbers wherever they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running import events, go_on, start

from company.cli_runs import cost_table
from company.errors import UsageError
from company.settings import Price, Settings

SOP = """\
sop: 1
artifacts: {{Names: {{names: [str]}}}}
roles:
  writer: {{title: Writer, profile: You write.{role}}}
  lister: {{title: Lister, profile: You list.}}
steps:
  list: {{role: lister, in: requirement, out: Names}}
  say:
    for_each: list.names
    as: name
    key: name
    parallel: 4{step}
    do: {{role: writer, in: name, out: str}}
  end: {{role: lister, in: say, out: str, sample: 2}}
"""
SCRIPT: list[dict[str, Any]] = [
    {"step": "list", "reply": {"names": ["a", "b", "c", "d"]}},
    *({"step": "say", "item": item, "reply": f'"{item}{item}"'} for item in "abcd"),
    *({"step": "end", "reply": '"done"'} for _ in range(2)),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, text in {
        "lister/list": "List {{ requirement }}",
        "writer/say": "Say {{ name }}",
        "lister/end": "End {{ say }}",
    }.items():
        (tmp_path / "prompts" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "prompts" / f"{path}.md.j2").write_text(text)
    return tmp_path


def sop(step: str = "", role: str = "") -> str:
    return SOP.format(step=f"\n    limits: {step}" if step else "", role=f", limits: {role}" if role else "")


@pytest.mark.parametrize(
    ("step", "role", "limit", "said"),
    [
        ("{calls: 2}", "", "steps.say.calls", "the limit of 2 calls of the step `say` is reached"),
        ("", "{calls: 3}", "roles.writer.calls", "the limit of 3 calls of the role `writer` is reached"),
    ],
)
def test_a_limit_of_its_own_stops_the_run_and_resume_raises_it(
    folder: Path, step: str, role: str, limit: str, said: str
) -> None:
    stopped = start(folder, sop(step, role), SCRIPT, user_dir=folder)
    assert (stopped.status, stopped.reason) == ("limited", said)
    assert f"company resume --limit {limit}=" in stopped.hint
    most = 2 if step else 3
    assert stopped.calls == 1 + most, "what was under way has been paid for, and is kept"
    again = go_on(folder)
    assert (again.status, again.calls) == ("limited", stopped.calls), "without another limit nothing is asked"
    left = [entry for entry in SCRIPT if entry["step"] != "list"]
    answered = {event["item"] for event in events(folder) if event["event"] == "call_finished" and event["item"]}
    left = [entry for entry in left if entry.get("item") not in answered]
    (folder / "script.yaml").write_text(json.dumps(left))
    done = go_on(folder, {limit: 9})
    assert done.status == "delivered", done.reason
    assert done.calls == 7, "nothing was paid for twice"


def test_a_limit_that_was_raised_stays_so(folder: Path) -> None:
    start(folder, sop("{calls: 2}"), SCRIPT, user_dir=folder)
    raised = go_on(folder, {"steps.say.calls": 9, "calls": 3})
    assert raised.reason == "the run's limit of 3 calls is reached"
    assert go_on(folder).reason == raised.reason, "and not the step's, which was raised"


def test_a_limit_can_be_given_to_any_step_or_role_and_to_nothing_else(folder: Path) -> None:
    stopped = start(folder, sop(), SCRIPT, user_dir=folder, limits={"steps.end.calls": 1, "roles.writer.tokens": 9000})
    assert stopped.reason == "the limit of 1 calls of the step `end` is reached"
    for name, message in (("steps.sya.calls", "no step `sya`"), ("roles.wirter.usd", "no role `wirter`")):
        with pytest.raises(UsageError, match=message) as caught:
            start(folder, sop(), SCRIPT, user_dir=folder, limits={name: 1})
        assert "did you mean" in caught.value.hint
    with pytest.raises(UsageError, match=r"no step `say\.do\.x`"):
        go_on(folder, {"steps.say.do.x.calls": 1})


def test_money_of_a_step_needs_the_price_of_its_own_models_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("company.llm.providers.price_of", lambda name, settings: None)
    with pytest.raises(UsageError, match="a limit on money and no price for `script:"):
        start(folder, sop("{usd: 1}"), SCRIPT, user_dir=folder)
    cheap = Price(input=0, output=0)
    monkeypatch.setattr(
        "company.llm.providers.price_of", lambda name, settings: cheap if name.startswith("script") else None
    )
    text = sop("{usd: 1}").replace(
        "in: say, out: str, sample: 2", 'in: say, out: str, model: "mine:m", when: len(say) > 9'
    )
    settings = Settings.model_validate({"providers": {"mine": {"base_url": "http://127.0.0.1:1/v1"}}})
    monkeypatch.setattr("running.Settings", lambda: settings)
    assert start(folder, text, SCRIPT[:5], user_dir=folder).status == "delivered"


def test_the_same_numbers_in_every_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("company.llm.providers.price_of", lambda name, settings: Price(input=100, output=200))
    first = start(folder, sop(), SCRIPT, user_dir=folder)
    assert first.status == "delivered", first.reason
    kept = json.loads((first.repo / ".company" / "run.json").read_text())
    told = first.to_json()
    for name in ("calls", "prompt_tokens", "completion_tokens", "cost_usd", "saved_tokens", "saved_usd"):
        assert kept[name] == told[name], name
    for name in ("by_role", "by_step", "steps"):
        assert kept[name] == json.loads(json.dumps(told[name])), name
    assert first.cost_usd == pytest.approx((first.prompt_tokens * 100 + first.completion_tokens * 200) / 1e6)
    assert [(one["name"], one["calls"]) for one in first.by_role] == [("lister", 3), ("writer", 4)]
    assert [(one["name"], one["calls"]) for one in first.by_step] == [("list", 1), ("say", 4), ("end", 2)]
    for sums in (first.by_role, first.by_step):
        assert sum(one["usd"] for one in sums) == pytest.approx(first.cost_usd)
    first.repo.rename(folder / "first")
    again = start(folder, sop(), [], user_dir=folder)
    assert (again.status, again.calls, again.cost_usd) == ("delivered", 0, 0)
    assert again.saved_tokens == first.prompt_tokens + first.completion_tokens
    assert again.saved_usd == pytest.approx(first.cost_usd)
    assert sum(one["saved_usd"] for one in again.by_step) == pytest.approx(first.cost_usd)
    assert cost_table("step", again.by_step, with_money=True) == []


def test_the_table_of_costs_fits_a_terminal() -> None:
    used = {
        "name": "a_step_with_a_name.that_is_longer", "calls": 99999, "prompt_tokens": 12345678, "completion_tokens": 1234567,
        "cached_tokens": 12345678, "seconds": 359_999.0, "usd": 12345.678,
    }  # fmt: skip
    for sums in ([used], [{**used, "usd": None}], [{**used, "usd": 99.99999}]):
        for line in cost_table("step", sums, with_money=True):
            assert len(line) <= 76, "and four columns of margin"
            assert "  " in line
    assert "unknown" in cost_table("role", [{**used, "usd": None}], with_money=True)[1]
