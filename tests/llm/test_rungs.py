"""The ladder of structured replies against a real server: what each rung sends and reads, when it goes down, what is remembered."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from company.endpoints import KNOWN, Rung
from company.errors import EndpointError, UsageError
from company.llm import ladder
from company.llm.check import CheckReport, check
from company.llm.client import ChatModel, EmptyReply, Message, Reply, Request, StepLabel
from company.llm.endpoint import Endpoint
from company.llm.providers import open_model
from company.llm.rungs import RUNGS
from company.llm.scripted import DryModel, minimal
from company.llm.shapes import closed, form
from company.settings import Settings, load_settings
from tests import fault_server as fs

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
REQUEST = Request((Message("user", "Say."),), SCHEMA, "Thing", 0.0, 50, 7, StepLabel("code", "engineer"))
LIMERICK = "There was an old man of the sea"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is remembered is kept in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "company/endpoints"


@dataclass
class Speaker:
    """A server that holds replies to the schema at the rungs `holds`, refuses those of `refuses`, and ignores the others."""

    holds: tuple[Rung, ...] = ()
    refuses: tuple[Rung, ...] = ()
    status: str = "400 Bad Request"
    bounds: bool = True
    """Whether it takes a schema that bounds texts or lists."""
    asked: list[str] = field(default_factory=list)

    async def __call__(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        rung, schema = fs.asked_schema(body)
        self.asked.append(rung)
        if not self.bounds and "maxLength" in json.dumps(schema):
            await fs.error(self.status, "Invalid schema for response_format: 'maxLength' is not permitted.")(
                body, writer
            )
        elif rung in self.refuses:
            word = "tool_choice" if rung == "tool" else "response_format"
            await fs.error(self.status, f"{word} is not supported")(body, writer)
        elif rung in self.holds and schema:
            value = {
                key: "ultramarine" if key == "colour" else minimal(one, {}) for key, one in schema["properties"].items()
            }
            await fs.says(json.dumps(value), by_call=rung == "tool")(body, writer)
        else:
            await fs.says(LIMERICK)(body, writer)


def with_model(
    server: fs.Behaviour, use: Callable[[ChatModel], Any], notices: list[str] | None = None, **settings: Any
) -> Any:
    async def pause(seconds: float) -> None:
        raise AssertionError("nothing is to be waited for")

    async def main() -> Any:
        async with fs.serving(server) as served:
            said = notices if notices is not None else []
            model = ChatModel("mine:m", Endpoint(served.base_url, **settings), notice=said.append, sleep=pause)
            try:
                return await use(model)
            finally:
                await model.close()

    return asyncio.run(main())


def once(server: fs.Behaviour, **settings: Any) -> Reply:
    reply: Reply = with_model(server, lambda model: model.complete(REQUEST), **settings)
    return reply


# --- what is sent, and read


@pytest.mark.parametrize(
    "rung", [rung for rung in RUNGS if rung != "shape"]
)  # of a schema without bounds it is the same
def test_a_forced_rung_is_asked_by_and_held_to(rung: Rung) -> None:
    server = Speaker(holds=(rung,))
    assert json.loads(once(server, structured=rung).text) == {"a": 0}
    assert server.asked == [rung]


def test_code_and_free_text_go_by_no_rung() -> None:
    server = Speaker()
    request = Request((Message("user", "Say."),), None, "", 0.0, 50, 7, StepLabel("code", "engineer"))
    for rung in RUNGS:
        with_model(server, lambda model: model.complete(request), structured=rung)
    assert server.asked == [""] * len(RUNGS)


def stream(*chunks: dict[str, Any], finish: str = "tool_calls") -> fs.Behaviour:
    return fs.raw(b"".join(map(fs.event, [*chunks, fs.piece(None, finish)])) + b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("server", "text"),
    [
        pytest.param(stream(fs.call(None, ident="x"), fs.call('{"a"'), fs.call(": 1}")), '{"a": 1}', id="pieces"),
        pytest.param(
            stream(fs.call('{"a": 1}', ident="x"), fs.call('{"a": 2}', 1, "y")), '{"a": 1}', id="several-calls"
        ),
        pytest.param(
            stream(fs.call('{"a":', ident="x"), fs.call(" 1}"), fs.call('{"a": 2}', 0, "y"), fs.call(" ")),
            '{"a": 1}', id="several-calls-of-one-index",
        ),
        pytest.param(
            stream(fs.call('{"a"', ident="x"), fs.call(": {}", ident="y"), fs.call("}", ident="z"), fs.call("{}", ident="w")),
            '{"a": {}}', id="an-id-for-every-piece",
        ),
        pytest.param(stream(fs.piece('{"a": 3}'), finish="stop"), '{"a": 3}', id="text-instead"),
        pytest.param(stream(fs.piece("I call."), fs.call('{"a": 1}', ident="x")), '{"a": 1}', id="text-beside"),
        pytest.param(stream(fs.piece("Four."), fs.call("", ident="x")), "Four.", id="text-and-an-empty-call"),
        pytest.param(
            fs.whole("", tool_calls=[{"id": "x", "function": {"name": "Thing", "arguments": '{"a": 5}'}}]),
            '{"a": 5}', id="not-streamed",
        ),
    ],
)  # fmt: skip
def test_the_arguments_of_the_first_call_are_the_reply(server: fs.Behaviour, text: str) -> None:
    assert once(server, structured="tool").text == text


def test_a_call_without_arguments_is_an_empty_reply() -> None:
    with pytest.raises(EmptyReply):
        once(stream(fs.call("", ident="x")), structured="tool")


def test_a_cut_call_is_a_cut_reply() -> None:
    assert once(stream(fs.call('{"a": ', ident="x"), finish="length"), structured="tool").finish_reason == "length"


# --- going down


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
def test_what_is_refused_is_asked_by_the_next_rung_at_once_and_remembered(status: str, cache: Path) -> None:
    server, notices = Speaker(holds=("json",), refuses=("schema", "tool"), status=status), []

    async def twice(model: ChatModel) -> str:
        await model.complete(REQUEST)
        await model.complete(REQUEST)
        other = ChatModel("mine:m", Endpoint(model.endpoint.base_url), notice=notices.append)  # a later run
        await other.complete(REQUEST)
        await other.close()
        return model.endpoint.url

    url = with_model(server, twice, notices, retries=0)
    assert server.asked == ["schema", "tool", "json", "json", "json"]
    assert [notice.rpartition("; ")[2] for notice in notices] == [
        "structured replies are asked for by `tool` instead of `schema` from now on",
        "structured replies are asked for by `json` instead of `tool` from now on",
    ]
    (path,) = cache.iterdir()
    kept = json.loads(path.read_text())
    assert (kept.pop("date")[:2], kept) == ("20", {"address": url, "model": "m", "rung": "json"})
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(cache.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.parametrize("rung", ["schema", "tool"])
def test_an_empty_reply_goes_down_unless_its_bound_was_used_up(rung: Rung) -> None:
    for finish, then in (("stop", "tool" if rung == "schema" else "json"), ("length", rung)):
        asked: list[str] = []

        async def server(body: dict[str, Any], writer: asyncio.StreamWriter, finish=finish, asked=asked) -> None:  # type: ignore[no-untyped-def]
            asked.append(fs.asked_schema(body)[0])
            await fs.ok("", finish=finish)(body, writer)

        async def twice(model: ChatModel) -> None:
            ladder.remember(model.endpoint.url, "m", rung)
            for _ in range(2):
                with pytest.raises(EmptyReply):
                    await model.complete(REQUEST)

        with_model(server, twice)
        assert asked == [rung, then]


def test_what_a_higher_rung_gave_after_a_refusal_is_no_reason_to_remember_the_lower(cache: Path) -> None:
    one = ladder.Ladder("http://h/v1", "m", fixed=None, preset="schema", remembers=True)
    assert one.rung(print) == "schema"
    assert one.down("schema", "refused", print)
    one.worked("schema")  # a call that was on its way
    assert not cache.exists()
    one.worked("tool")
    assert ladder.recall("http://h/v1", "m", print) == "tool"


def test_a_tool_is_remembered_only_once_it_was_called_with_the_keys_of_the_schema(cache: Path) -> None:
    texts = iter(['{"b": 0}', '{"a": 0}'])

    async def server(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if fs.asked_schema(body)[0] == "schema":
            await fs.error("400 Bad Request", "response_format is not supported")(body, writer)
        else:
            await fs.says(next(texts), by_call=True)(body, writer)

    async def twice(model: ChatModel) -> list[bool]:
        seen = []
        for _ in range(2):
            await model.complete(REQUEST)
            seen.append(cache.exists())
        return seen

    assert with_model(server, twice) == [False, True]


def test_calls_that_are_refused_at_the_same_time_go_down_once() -> None:
    server, notices = Speaker(holds=("tool",), refuses=("schema",)), []
    with_model(server, lambda model: asyncio.gather(*(model.complete(REQUEST) for _ in range(3))), notices)
    assert server.asked == ["schema"] * 3 + ["tool"] * 3
    assert len(notices) == 1


def test_a_schema_that_is_not_held_to_is_not_asked_for_again() -> None:
    server, notices = Speaker(holds=("json",)), []

    async def thrice(model: ChatModel) -> list[str]:
        return [(await model.complete(REQUEST)).text for _ in range(3)]

    assert with_model(server, thrice, notices) == [LIMERICK, LIMERICK, '{"a": 0}']
    assert server.asked == ["schema", "tool", "json"]
    assert ["holds no reply to its schema" in notices[0], "the tool is called" in notices[1]] == [True, True]


def test_other_keys_are_not_held_to_and_a_cut_reply_says_nothing() -> None:
    for text, finish, rungs in (('{"b": 1}', "stop", ["schema", "tool"]), ("The sea", "length", ["schema", "schema"])):
        asked: list[str] = []

        async def server(
            body: dict[str, Any], writer: asyncio.StreamWriter, text=text, finish=finish, asked=asked
        ) -> None:  # type: ignore[no-untyped-def]
            asked.append(fs.asked_schema(body)[0])
            await fs.ok(text, finish=finish)(body, writer)

        async def twice(model: ChatModel) -> None:
            await model.complete(REQUEST)
            await model.complete(REQUEST)

        with_model(server, twice)
        assert asked == rungs


def test_from_a_rung_that_was_set_nothing_goes_down() -> None:
    server, notices = Speaker(refuses=("schema",)), []
    with pytest.raises(EndpointError, match="response_format is not supported") as raised:
        with_model(server, lambda model: model.complete(REQUEST), notices, structured="schema")
    assert '`structured = "schema"` is set for it' in raised.value.hint
    assert once(Speaker(), structured="schema").text == LIMERICK
    assert (server.asked, notices) == (["schema"], [])


def test_other_refusals_stay_what_they_are() -> None:
    fault = fs.error("400 Bad Request", "messages must alternate")
    for server in (fault, fs.error("400 Bad Request", "this context_length is too long for a schema")):
        with pytest.raises(EndpointError) as raised:
            once(server)
        assert not raised.value.refused


# --- what is set, remembered, known


def test_what_is_set_wins_over_what_is_remembered_and_that_over_what_is_known(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "k")

    async def asked(**entry: Any) -> str:
        server = Speaker(holds=("schema", "tool", "json", "prompt"))
        async with fs.serving(server) as served:
            monkeypatch.setitem(KNOWN, "groq", {**KNOWN["groq"], "base_url": served.base_url})
            if "remembered" in entry:
                ladder.remember(served.base_url, "m", entry.pop("remembered"))
            if "base_url" in entry:
                entry["base_url"] = served.base_url + "?v=1"
            settings = Settings(providers={"groq": entry} if entry else {})  # type: ignore[arg-type]
            async with open_model("groq:m", settings) as model:
                await model.complete(REQUEST)
        return server.asked[0]

    assert asyncio.run(asked()) == "json"
    assert asyncio.run(asked(base_url="of one's own")) == "schema"
    assert asyncio.run(asked(remembered="tool")) == "tool"
    assert asyncio.run(asked(remembered="tool", structured="prompt")) == "prompt"


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"rung": "best"}', '{"rung": "json", "address": "http://x/v1", "model": "m"}', "\x00"])  # fmt: skip
def test_a_damaged_memory_is_ignored_and_said(text: str, cache: Path) -> None:
    server, notices = Speaker(holds=("schema",)), []

    async def damaged(model: ChatModel) -> None:
        path = ladder.remember(model.endpoint.url, "m", "json")
        assert path
        path.write_text(text)
        await model.complete(REQUEST)

    with_model(server, damaged, notices)
    assert server.asked == ["schema"]
    assert "is damaged and was ignored" in notices[0]


def test_where_nothing_can_be_written_a_run_goes_on(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    assert once(Speaker(holds=("tool",), refuses=("schema",))).text == '{"a": 0}'


def test_the_name_of_the_file_tells_no_secret(cache: Path) -> None:
    endpoint = Endpoint("https://user:pass@h/v1?key=secret")
    path = ladder.remember(endpoint.url, "m", "tool")
    assert path
    assert not {"user", "pass", "secret"} & set(path.name.split("."))
    assert "pass" not in path.read_text() + path.name
    assert "secret" not in path.read_text()


def test_a_setting_that_is_gone_names_the_one_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "company.toml").write_text('[providers.mine]\nbase_url = "http://127.0.0.1:1/v1"\nschemas = false\n')
    with pytest.raises(UsageError, match="there is no setting `providers") as raised:
        load_settings()
    assert 'structured = "prompt"' in raised.value.hint
    assert raised.value.place.endswith("company.toml:3")


# --- the probe


def checked(server: Speaker, **settings: Any) -> CheckReport:
    report: CheckReport = with_model(server, check, retries=0, **settings)
    return report


@pytest.mark.parametrize(
    ("server", "best", "tried"),
    [
        (Speaker(holds=("schema", "tool")), "schema", ["schema"]),
        (Speaker(holds=("tool",)), "tool", ["schema", "tool"]),
        (Speaker(holds=("json",), refuses=("schema", "tool")), "json", ["schema", "shape", "tool", "json"]),
        (Speaker(), "prompt", ["schema", "tool", "json"]),
        (Speaker(holds=("schema",), bounds=False), "shape", ["schema", "shape"]),
    ],
)
def test_the_best_rung_is_found_and_remembered(server: Speaker, best: str, tried: list[str], cache: Path) -> None:
    report = checked(server)
    assert server.asked == ["", *(rung.replace("shape", "schema") for rung in tried)]
    assert report.ok
    found = {finding.name: finding for finding in report.findings}
    assert [name for name in found if name in RUNGS] == tried
    assert [found[name].ok for name in tried] == [name == best for name in tried]
    (path,) = cache.iterdir()
    assert json.loads(path.read_text())["rung"] == best
    assert found["structured"].detail == f"`{best}` is remembered in {path}; `structured` in company.toml overrides it"


def test_a_probe_climbs_again_and_says_what_overrides_it(cache: Path) -> None:
    server = Speaker(holds=("schema",))
    report = checked(server, structured="prompt")
    assert server.asked == ["", "schema"]
    assert report.findings[-1].detail.endswith('; `structured = "prompt"` overrides it')


def test_a_fault_that_may_pass_teaches_nothing(cache: Path) -> None:
    report = checked(Speaker(refuses=("schema",), status="503 Service Unavailable"))
    assert [(f.name, f.ok) for f in report.findings[-2:]] == [("schema", False), ("structured", False)]
    assert not cache.exists()


@pytest.mark.parametrize("thoughts", ["", "<think>The user wants"], ids=["unseen", "in-the-reply"])
def test_a_context_without_room_to_think_teaches_nothing(thoughts: str, cache: Path) -> None:
    """Thinking leaves nothing of a short reply, and a longer one is refused: no reason to remember a worse way."""

    async def small(body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if body["max_tokens"] > 2000:
            longest = "This model's maximum context length is 2048 tokens. Please reduce max_tokens."
            await fs.error("400 Bad Request", longest)(body, writer)
        elif fs.asked_schema(body)[0]:
            await fs.ok(thoughts, finish="length")(body, writer)
        else:
            await fs.says("One, two, three.")(body, writer)

    report = with_model(small, check, retries=0)
    assert [(f.name, f.ok) for f in report.findings[-2:]] == [("schema", False), ("structured", False)]
    assert "a reply of 80 tokens was cut" in report.findings[-2].detail
    assert "maximum context length is 2048" in report.findings[-2].detail
    assert not cache.exists()


def test_what_is_no_endpoint_of_others_remembers_nothing(cache: Path) -> None:
    assert checked(Speaker(holds=("tool",)), remembers=False).findings[-1].detail == "asked for by `tool`"
    assert [finding.name for finding in asyncio.run(check(DryModel())).findings][-1] == "schema"
    assert not cache.exists()


BOUNDED = {
    "type": "object", "additionalProperties": False, "required": ["maxLength", "words"],
    "properties": {
        "maxLength": {"type": "string", "maxLength": 3, "pattern": "a+"},
        "words": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"$ref": "#/$defs/word"}},
    },
    "$defs": {"word": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": [{"maxItems": 1}]}]}},
}  # fmt: skip


FORM = """{
  "title": "<…>",
  "kind": "a" or "b",
  "steps": [{
    "id": "<…>",
    "done": true or false
  } or {
    "size": 0
  }],
  "never": []
}
- `title`, `steps.id`: at most 9 characters
- `steps`: 1 to 3 entries
- `steps.id`: matches ^R"""


def test_who_is_not_held_to_a_schema_is_shown_a_form() -> None:
    """Shown a schema, a small model gives the schema back."""
    name = {"type": "string", "maxLength": 9, "minLength": 1}
    ident = closed(id={**name, "pattern": "^R"}, done={"type": "boolean"})
    schema = closed(
        title=name,
        kind={"enum": ["a", "b"]},
        steps={
            "type": "array",
            "items": {"anyOf": [ident, closed(size={"type": "integer"})]},
            "minItems": 1,
            "maxItems": 3,
        },
        never={"type": "array", "items": name, "maxItems": 0},
    )
    told = replace(REQUEST, schema=schema)
    for rung in ("json", "prompt"):
        assert (
            RUNGS[rung](told).messages[-1].content
            == f"Say.\n\nAnswer with JSON alone, in this form, filled in:\n{FORM}"
        )
    assert RUNGS["tool"](told).messages == told.messages
    again = replace(told, label=StepLabel("code", "engineer", attempt=2))
    assert (
        RUNGS["tool"](again).messages[-1].content
        == f"Say.\n\nCall `Thing` with arguments of this form, filled in:\n{FORM}"
    )
    for rung in ("schema", "shape"):
        assert RUNGS[rung](again).messages == told.messages


def test_a_class_that_holds_itself_is_shown_as_a_form_that_ends() -> None:
    leaf = {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}
    node = closed(
        name={"type": "string", "maxLength": 9}, inside={"type": "array", "items": {"$ref": "#/$defs/Node"}}, next=leaf
    )
    fields, _, bounds = form({**node, "$defs": {"Node": node}}).rpartition("\n- ")
    value = json.loads(re.sub(r"\}(\s*) or null", r"}\1", fields))
    assert value["inside"][0]["inside"][0] == {"name": "<…>", "inside": [], "next": None}
    assert value["next"]["next"] == {"name": "<…>", "inside": [], "next": None}
    assert bounds == "`name`, `inside.name`, `next.name`: at most 9 characters"


def test_a_form_shows_maps_numbers_and_all_that_is_nested() -> None:
    deep = closed(a=closed(b=closed(c=closed(d=closed(e=closed(f={"type": "integer", "minimum": 1, "maximum": 100}))))))
    schema = closed(
        scores={"type": "object", "additionalProperties": {"type": "integer"}},
        free={"type": "object"},
        **deep["properties"],
    )
    fields, _, bounds = form(schema).rpartition("\n- ")
    deepest = {"a": {"b": {"c": {"d": {"e": {"f": 0}}}}}}
    assert json.loads(fields) == {"scores": {"<…>": 0}, "free": {}, **deepest}
    assert bounds == "`a.b.c.d.e.f`: 1 to 100"


@pytest.mark.parametrize(("most", "said"), [(40, ""), (41, ", a few words"), (200, ", one short sentence"), (201, "")])
def test_how_much_a_text_holds_is_said_in_words_too(most: int, said: str) -> None:
    """Small models do not count letters."""
    assert form({"type": "string", "maxLength": most}) == f'"<…>"\n- ``: at most {most} characters{said}'


def test_the_shape_is_the_schema_without_bounds() -> None:
    asked = RUNGS["shape"](replace(REQUEST, schema=BOUNDED)).body["response_format"]["json_schema"]
    assert asked["strict"] is True
    assert asked["schema"] == {
        "type": "object", "additionalProperties": False, "required": ["maxLength", "words"],
        "properties": {"maxLength": {"type": "string"}, "words": {"type": "array", "items": {"$ref": "#/$defs/word"}}},
        "$defs": {"word": {"anyOf": [{"type": "integer"}, {"enum": [{"maxItems": 1}]}]}},
    }  # fmt: skip
    assert RUNGS["schema"](replace(REQUEST, schema=BOUNDED)).body["response_format"]["json_schema"]["schema"] == BOUNDED


def test_a_run_is_never_led_to_the_shape_by_a_failure() -> None:
    server = Speaker(holds=("tool",), refuses=("schema",))
    assert once(server).text == '{"a": 0}'
    assert server.asked == ["schema", "tool"]
    assert once(Speaker(holds=("schema",), bounds=False), structured="shape").text == '{"a": 0}'
