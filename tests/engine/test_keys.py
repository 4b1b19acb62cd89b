"""What a step's key is made of, and that a run does again exactly the steps that depend on what changed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from company import wiring
from company.cache import digest
from company.engine import NewRun, Outcome
from company.events import Event
from company.ingredients import ingredients
from company.llm.gateway import Gateway
from company.llm.scripted import ScriptedModel
from company.prompts import Prompts
from company.settings import Settings
from company.sitting import Watch
from company.sop.diagnostics import Span
from company.sop.procedure import Role, Step
from company.sop.types import STR, ArtifactType, ListOf, Type
from company.state import Block, Earlier, RunContext, RunState, Site

WORDS = st.sampled_from(["", "a", "b", "ab", "a b", "é"])


@dataclass(frozen=True)
class World:
    """Everything that a step's result depends on, and at the end some of what it does not depend on."""

    requirement: str
    profile: str
    template: str
    included: str
    model: str
    temperature: float | None
    max_tokens: int | None
    out: Type
    grain: str
    sample: int
    tools: tuple[str, ...]
    tool_calls: int
    value: Any
    name: str
    files: tuple[tuple[str, bytes], ...]
    path: str
    item: str
    round: int
    changes: str | None
    again: int
    seed: int
    run: str
    retry: int
    timeout: float
    elsewhere: str


FREE = ("run", "retry", "timeout", "elsewhere")
"""What a role's step does not depend on."""
WORLDS = st.builds(
    World,
    requirement=WORDS,
    profile=WORDS,
    template=WORDS,
    included=WORDS,
    model=st.sampled_from(["local:a", "local:b", "local:a elsewhere"]),
    temperature=st.sampled_from([None, 0.0, 0.5]),
    max_tokens=st.sampled_from([None, 100, 200]),
    out=st.sampled_from([STR, ListOf(STR), ArtifactType("Prd"), ListOf(ArtifactType("Prd"))]),
    grain=st.sampled_from(["file", "function"]),
    sample=st.integers(1, 3),
    tools=st.sampled_from([("python",), ("python", "shell"), ("shell",)]),
    tool_calls=st.integers(1, 3),
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-1, 1), WORDS),
        lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(WORDS, inner, max_size=2)),
        max_leaves=3,
    ),
    name=st.sampled_from(["x", "y"]),
    files=st.dictionaries(st.sampled_from(["a.py", "b.py"]), st.sampled_from([b"", b"1"]), max_size=2).map(
        lambda files: tuple(sorted(files.items()))
    ),
    path=st.sampled_from(["loop.code", "loop.codes"]),
    item=st.sampled_from(["", "a", "b"]),
    round=st.integers(1, 2),
    changes=st.sampled_from([None, "ref-1", "ref-2"]),
    again=st.integers(0, 2),
    seed=st.integers(1, 3),
    run=WORDS,
    retry=st.integers(0, 2),
    timeout=st.sampled_from([1.0, 2.0]),
    elsewhere=WORDS,
)  # fmt: skip


def key_of(world: World) -> str:
    """The key of a role's step in a world."""
    model = ScriptedModel([], world.model)
    context = cast(RunContext, _Context(world, model))
    role = Role("engineer", "Engineer", world.profile)
    step = Step(
        "code", world.path, "role", Span("x.yaml", 1, 1, 1, 2),
        out=world.out, role=role, prompt="engineer/code", temperature=world.temperature, max_tokens=world.max_tokens,
        grain=world.grain, sample=world.sample, tools=world.tools, tool_calls=world.tool_calls, retry=world.retry,
        updates="code" if world.changes else None,
    )  # fmt: skip
    loop = Step("loop", "loop", "loop", step.span, body=(step,), max=3)
    site = Site(step, (Block((loop,)), Block((step,), loop)))
    state: RunState = {"values": {"code": world.changes}, "rounds": {"loop": world.round}, "item": world.item}
    made_of = ingredients(site, state, context, (role, step.prompt), {world.name: world.value}, dict(world.files))
    return digest(made_of)


class _Context:
    """The part of a run's context that a key is made from."""

    def __init__(self, world: World, model: ScriptedModel) -> None:
        gateway: Any = Gateway(
            {None: model}, cast(Any, None), cast(Any, None), cast(Any, None), temperature=0.0, max_tokens=100
        )
        self.requirement, self.run, self.seed = world.requirement, world.run, world.seed
        self.gateway, self.test_seconds, self.step_timeout = gateway, 60.0, world.timeout
        self.sandbox = type("Sandbox", (), {"name": "plain"})
        self.earlier = Earlier(origin=world.run, again={world.path: world.again} if world.again else {})
        self.headless = False
        self.guest = None
        self.prompts = Prompts(
            {
                "prompts/engineer/code.md.j2": world.template + "{% include 'shared/more.md.j2' %}",
                "prompts/shared/more.md.j2": world.included,
                "prompts/engineer/other.md.j2": world.elsewhere,
            }
        )


def told(world: World) -> tuple[Any, ...]:
    """What of a world a key must tell apart: parameters that are not set are the run's."""
    settled = replace(world, temperature=world.temperature or 0.0, max_tokens=world.max_tokens or 100)
    fields = [repr(getattr(settled, name)) for name in settled.__dataclass_fields__ if name not in FREE]
    return (*fields, world.run if world.again else "")


@given(WORLDS, WORLDS)
def test_keys_are_the_same_exactly_where_everything_that_goes_in_is(one: World, other: World) -> None:
    assert (key_of(one) == key_of(other)) == (told(one) == told(other))


@given(WORLDS, WORLDS, st.data())
def test_a_key_changes_with_each_thing_that_goes_in_and_with_nothing_else(
    one: World, other: World, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(one.__dataclass_fields__)))
    changed = replace(one, **{field: getattr(other, field)})
    assert (key_of(changed) == key_of(one)) == (told(changed) == told(one))


# --- a run does again exactly what depends on a change ------------------------------------------------

SOP = """
sop: 1
name: own
inputs: {requirement: str, tone: str}
artifacts:
  Topics: {topics: [str]}
steps:
  plan:   {role: planner, in: requirement, out: Topics}
  style:  {role: writer, prompt: style, in: tone, out: str}
  texts:
    for_each: plan.topics
    as: topic
    max: 5
    do: {role: writer, prompt: text, in: [topic, style], out: str, commit: false}
  title:  {role: planner, prompt: title, in: plan, out: str}
  whole:  {role: editor, model: large, in: [title, texts], out: str}
"""
FILES = {
    "company.toml": 'tiers = {large = "script:SCRIPT"}\n',
    "sops/own.yaml": SOP,
    "roles/planner.yaml": "title: Planner\nprofile: Plans.\n",
    "roles/writer.yaml": "title: Writer\nprofile: Writes.\n",
    "roles/editor.yaml": "title: Editor\nprofile: Edits.\n",
    "prompts/planner/plan.md.j2": "Plan {{ requirement }}",
    "prompts/planner/title.md.j2": "Title {{ plan }}",
    "prompts/writer/style.md.j2": "Style {{ tone }}",
    "prompts/writer/text.md.j2": "{% include 'shared/rule.md.j2' %} {{ topic }} {{ style }}",
    "prompts/shared/rule.md.j2": "Be short.",
    "prompts/editor/whole.md.j2": "{{ title }} {{ texts }}",
}
SCRIPT: list[dict[str, Any]] = [
    {"step": "plan", "reply": {"topics": ["one", "two"]}},
    {"step": "style", "reply": "plain"},
    {"step": "texts", "item": "1", "reply": "text of one"},
    {"step": "texts", "item": "2", "reply": "text of two"},
    {"step": "texts", "item": "3", "reply": "text of three"},
    {"step": "title", "reply": "A title"},
    {"step": "whole", "reply": "All of it"},
]  # fmt: skip
ALL = ["plan", "style", "texts.do[1]", "texts.do[2]", "title", "whole"]
Change = Callable[[Path], Mapping[str, str]]


def write(project: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def steps_made(project: Path, monkeypatch: pytest.MonkeyPatch, name: str, **inputs: str) -> tuple[list[str], Outcome]:
    """Run the procedure as it lies in the project; the executions that were really done."""
    monkeypatch.chdir(project)
    found: list[Event] = []
    new = NewRun(
        inputs={"requirement": "a text", "tone": "calm", **inputs}, sop="own", workspace=project / "ws", name=name,
        model=f"script:{project / 'script.yaml'}", user_dir=project,
    )  # fmt: skip
    settings = Settings(tiers={"large": f"script:{project / 'script.yaml'}"})
    outcome = asyncio.run(wiring.run(new, settings, Watch((found.append,))))
    assert outcome.status == "delivered", outcome.reason
    done = [
        event["id"].partition("#")[0]
        for event in found
        if event["event"] == "step_finished" and "kept_from" not in event
    ]
    return sorted(done, key=done.index), outcome


def set_text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))

    return change


def script(step: str, reply: Any) -> Callable[[Path], None]:
    """Another answer of the model, for a step that will be asked again."""

    def change(project: Path) -> None:
        entries = [{**entry, "reply": reply} if entry["step"] == step else entry for entry in SCRIPT]
        (project / "script.yaml").write_text(yaml.safe_dump(entries))

    return change


CHANGES: dict[str, tuple[list[Callable[[Path], None]], list[str]]] = {
    "nothing": ([], []),
    "a prompt at the end": ([set_text("prompts/editor/whole.md.j2", "{{ title }}", "Whole: {{ title }}")], ["whole"]),
    "a prompt with the same answer": ([set_text("prompts/planner/title.md.j2", "Title", "A title for")], ["title"]),
    "a prompt with another answer": (
        [set_text("prompts/planner/title.md.j2", "Title", "A title for"), script("title", "Another")],
        ["title", "whole"],
    ),
    "an included template": ([set_text("prompts/shared/rule.md.j2", "short", "brief")], ["texts.do[1]", "texts.do[2]"]),
    "a role": ([set_text("roles/planner.yaml", "Plans.", "Plans well.")], ["plan", "title"]),
    "a plan with one topic more": (
        [
            set_text("prompts/planner/plan.md.j2", "Plan", "Make a plan of"),
            script("plan", {"topics": ["one", "two", "three"]}),
        ],
        ["plan", "title", "texts.do[3]", "whole"],
    ),
    "a step": ([set_text("sops/own.yaml", "in: plan, out: str}", "in: plan, out: str, temperature: 0.5}")], ["title"]),
    "a step's model": ([set_text("sops/own.yaml", "model: large, ", "")], []),
    "nothing that counts": (
        [
            set_text("sops/own.yaml", "{role: planner, in: requirement, out: Topics}", "{role: planner, in: requirement, out: Topics, retry: 1}"),
            set_text("sops/own.yaml", "name: own", "name: own\ndescription: Something."),
        ],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_does_again_what_depends_on_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FILES | {"company.toml": "", "script.yaml": yaml.safe_dump(SCRIPT)})
    first, _ = steps_made(tmp_path, monkeypatch, "first")
    assert sorted(step for step in first if step != "texts") == sorted(ALL)
    changes, expected = CHANGES[name]
    for change in changes:
        change(tmp_path)
    made, outcome = steps_made(tmp_path, monkeypatch, "second")
    assert sorted(step for step in made if step != "texts") == sorted(expected)
    if name == "nothing":
        assert (outcome.calls, outcome.cached_steps, outcome.saved_tokens > 0) == (0, len(ALL), True)


def test_another_input_does_again_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FILES | {"company.toml": "", "script.yaml": yaml.safe_dump(SCRIPT)})
    steps_made(tmp_path, monkeypatch, "first")
    made, _ = steps_made(tmp_path, monkeypatch, "second", tone="loud")
    assert [step for step in made if step != "texts"] == ["style"]


def test_a_tier_that_is_another_model_does_again_what_asks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FILES | {"company.toml": "", "script.yaml": yaml.safe_dump(SCRIPT)})
    steps_made(tmp_path, monkeypatch, "first")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(SCRIPT))
    found: list[Event] = []
    new = NewRun(
        inputs={"requirement": "a text", "tone": "calm"}, sop="own", workspace=tmp_path / "ws", name="second",
        model=f"script:{tmp_path / 'script.yaml'}", user_dir=tmp_path,
    )  # fmt: skip
    settings = Settings(tiers={"large": f"script:{tmp_path / 'other.yaml'}"})
    asyncio.run(wiring.run(new, settings, Watch((found.append,))))
    begun = {event["step"]: event["why"] for event in found if event["event"] == "step_started" and event["why"]}
    assert [step for step, why in begun.items() if not why.startswith("nothing")] == ["whole"]
    assert "the model changed" in begun["whole"]
