"""What a procedure may say: every key, its type, range and meaning. `schema.py` makes the JSON Schema from this.

Where keys stand in the source: `loader.py`. What the values refer to: `linker.py`. ``x-ref`` names a definition there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from company.sop.diagnostics import Diagnostics, closest, did_you_mean, listing
from company.sop.loader import Node

VERSION = 1
TIERS = ("small", "medium", "large")
_EXPRESSION = {"type": ["string", "boolean", "number"], "description": "An expression."}
_TYPE = {"x-ref": "Type"}
_REFERENCES = {
    "anyOf": [
        {"type": "string"},
        {"type": "object"},
        {"type": "array", "items": {"type": ["string", "object"]}},
    ]
}
_BLOCK = {"x-ref": "Block"}
_LIMITS = {"x-ref": "LimitsSpec"}
_ACCEPT = {"anyOf": [{"type": ["string", "boolean"]}, {"x-ref": "RoleStep"}, {"x-ref": "RunStep"}]}


def _text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


Expr = Annotated[str, BeforeValidator(_text), WithJsonSchema(_EXPRESSION)]
ModelName = Annotated[str, WithJsonSchema({"x-ref": "Model"})]
RoleName = Annotated[str, WithJsonSchema({"x-ref": "Role"})]
ProcedureName = Annotated[str, WithJsonSchema({"x-ref": "Procedure"})]
TypeText = Annotated[Any, WithJsonSchema(_TYPE)]
LimitsMap = Annotated[dict[str, Any] | None, WithJsonSchema(_LIMITS)]
References = Annotated[Any, WithJsonSchema(_REFERENCES)]
Block = Annotated[dict[str, Any], WithJsonSchema(_BLOCK)]
Names = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
                  WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}})]  # fmt: skip

Tools = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
                  WithJsonSchema({"anyOf": [{"x-ref": "Tool"}, {"type": "array", "items": {"x-ref": "Tool"}}]})]  # fmt: skip


class Spec(BaseModel):
    """Base of everything that YAML may say: closed, strict, documented."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class RoleSpec(Spec):
    """Who works: `roles/<role>.yaml`, or an entry of `roles:` merged over it."""

    title: str | None = Field(None, min_length=1, max_length=80)
    """What a person would call it: `Product Manager`. Required in the end, from the file or inline."""
    profile: str | None = Field(None, min_length=1)
    """Who they are, their goal, their constraints. Required in the end, from the file or inline."""
    model: ModelName | None = None
    """`small`, `medium`, `large` or `provider:model`; the run's model by default."""
    temperature: float | None = Field(None, ge=0, le=2)
    """0 is as repeatable as the model can be; the run's setting by default."""
    tools: Tools | None = None
    """Tools that the role may be given by a step: `python`, `shell`, `files.read` …, `mcp.SERVER`."""
    limits: LimitsMap = None
    """What the role may use in a whole run, in all of its steps; no limit of its own by default."""


class LimitsSpec(Spec):
    """What a run, a role or a step may use in a whole run, checked before every call. A limit that is left out does not exist."""

    calls: int | None = Field(None, ge=1)
    """Model calls, repairs included."""
    tokens: int | None = Field(None, ge=1)
    """Prompt and completion tokens of all calls together."""
    minutes: float | None = Field(None, gt=0)
    """Wall time of the run, minutes; of a role or a step, the time in which a call of it is under way."""
    usd: float | None = Field(None, gt=0)
    """Cost of all calls, US dollars."""


class DeliverSpec(Spec):
    """When the run counts as accepted."""

    accept: Expr | None = None
    """Whether the run succeeded; without it, that the last step finished."""


class StepSpec(Spec):
    """What every kind of step may say."""

    after: Names | None = None
    """Steps of the same block that must finish first though nothing of theirs is read."""
    when: Expr | None = None
    """Where false, the step is skipped and its result is null, readable only as `maybe.STEP`."""
    retry: int = Field(0, ge=0, le=10)
    """How often the whole step is tried again after it failed; 0 is never."""
    timeout: float | None = Field(None, gt=0, le=86400)
    """Seconds for the whole step; the run's setting by default."""


class WorkSpec(StepSpec):
    """What a step with a result of its own may say."""

    in_: References = Field(None, alias="in")
    """What it reads: names of inputs and earlier steps, dotted for parts, or `name: expression`."""
    updates: str | None = None
    """The earlier step whose artifact this step's result changes."""
    commit: bool = True
    """Whether the result is committed to the repository."""


class RoleStep(WorkSpec):
    """Work by a role: one model call."""

    role: RoleName
    """The role, a file of `roles/` or an entry of `roles:`; `$step.field` takes the one that the field names."""
    prompt: str | None = None
    """The template `prompts/<role>/<prompt>.md.j2`, else `prompts/shared/<prompt>.md.j2`; the step's name by default."""
    out: TypeText
    """The type of the result."""
    model: ModelName | None = None
    """`small`, `medium`, `large` or `provider:model`; the role's by default."""
    temperature: float | None = Field(None, ge=0, le=2)
    """0 is as repeatable as the model can be; the role's by default."""
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    """Longest reply, tokens; the run's setting by default."""
    grain: Literal["file", "function"] = "file"
    """How much code is asked for at once: a whole file, or one function at a time: of a `FileSpec` in `in:`, of the code that a `Patch`
    changes, or, with `[SourceFile]`, of code that the requirement shows with two or more functions left empty."""
    tools: Tools | None = None
    """Tools that may be called in this step, each granted by the role; none by default."""
    tool_calls: int = Field(5, ge=1, le=50)
    """With `tools`: most calls of them."""
    sample: int = Field(1, ge=1, le=32)
    """Number of answers; with more than 1, the result is the list of those that came."""
    cascade: Annotated[list[ModelName], Field(min_length=1, max_length=8)] | None = None
    """Models, one asked after another until `accept` is content; the same one may stand there more than once."""
    accept: Annotated[Any, WithJsonSchema(_ACCEPT)] = None
    """With `cascade`: an expression over `answer`, or a step that judges it and gives one `bool`."""
    limits: LimitsMap = None
    """What it may use in a whole run, in all items and rounds; no limit of its own by default."""


class RunStep(WorkSpec):
    """A command in the sandbox, at the repository's root."""

    run: str = Field(min_length=1)
    """The command line; `pytest` runs the tests and gives a TestRun, `survey` maps the repository (Codebase), `select` compares
    programs (Selection), `read` gives the files that a ChangePlan edits or a Selection chose."""
    out: TypeText = None
    """`TestRun` for pytest, `Codebase` for survey, `Selection` for select, `[SourceFile]` for read, else `CommandResult`; may be left out."""


class GateStep(StepSpec):
    """A decision by a person. No step below it begins before it is made. Its result is a `Decision`."""

    gate: Literal["human"]
    """Who decides."""
    show: References = None
    """What the person sees, and may edit."""
    choices: dict[str, str] = Field(min_length=1)
    """What may be chosen, and where it leads: `next`, `fail`, or an earlier step of the block, to do it again from there."""
    max: int | None = Field(None, ge=1, le=99)
    """How often a choice may lead back; then it is not offered any more. Required where one does."""
    headless: str
    """The choice that is taken where nobody can be asked; it leads to `next` or `fail`."""


class ForEachStep(StepSpec):
    """The same work once for each item of a list. Its result is the list of the items' results."""

    for_each: Expr
    """The list."""
    as_: str = Field(alias="as")
    """The item's name inside `do`."""
    key: Expr | None = None
    """Text that identifies the item, for `needs` and for the commits; numbers from 1 by default."""
    needs: Expr | None = None
    """Keys of the items that must be done before this one; their results are `deps` inside `do`."""
    parallel: int = Field(1, ge=1, le=64)
    """Items at work at once; with 1, the results so far are `done` inside `do`."""
    max: int = Field(100, ge=1, le=1000)
    """Most items; a longer list fails the step before anything is paid for."""
    on_error: Literal["stop", "collect"] = "stop"
    """`stop`: an item that fails ends the run. `collect`: it is left out of the result, and those that need it; if none
    is left, the step fails."""
    do: Annotated[dict[str, Any], WithJsonSchema({"anyOf": [{"x-ref": "Step"}, {"x-ref": "Block"}]})]
    """One step, or a block of steps whose last one gives the item's result."""
    limits: LimitsMap = None
    """What it may use in a whole run, all items together; no limit of its own by default."""


class LoopStep(StepSpec):
    """A block repeated until it is good. Inside, `prev.x` is last round's `x`, `history` all rounds."""

    loop: Block
    """The steps of a round."""
    until: Expr | None = None
    """Checked after each round; the loop ends when it holds. Without it, `max` rounds are run."""
    max: int = Field(ge=1, le=100)
    """Most rounds."""
    best: Expr | None = None
    """A number, higher is better: a round that ends no higher is undone, so the best round so far is what goes on."""
    on_max: Literal["continue", "fail"] = "fail"
    """After the last round without success: go on with what there is, or fail the run."""
    limits: LimitsMap = None
    """What it may use in a whole run, all rounds together; no limit of its own by default."""


class UseStep(StepSpec):
    """Another procedure as one step. It sees its inputs alone; its steps are read as `STEP.NAME`."""

    use: ProcedureName
    """Its name."""
    with_: References = Field(None, alias="with")
    """Its inputs: names, dotted for parts, or `input: expression`."""
    limits: LimitsMap = None
    """What it may use in a whole run, all of its steps together; no limit of its own by default."""


class Sop(Spec):
    """A whole procedure."""

    sop: Literal[1]
    """Version of the language."""
    name: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    """What it is called on the command line; the file's name by default."""
    description: str = Field("", max_length=400)
    """One sentence."""
    inputs: Annotated[dict[str, Any] | None, WithJsonSchema({"type": "object", "additionalProperties": _TYPE})] = None
    """Name and type of what the run is given; `{requirement: str}` by default."""
    limits: LimitsMap = None
    """What the whole run may use; no limit by default."""
    roles: Annotated[
        dict[str, dict[str, Any]] | None,
        WithJsonSchema({"type": "object", "additionalProperties": {"x-ref": "RoleSpec"}}),
    ] = None
    """Roles of this procedure alone, or changes to the ones of the library."""
    artifacts: Annotated[
        dict[str, dict[str, Any]] | None,
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "object", "additionalProperties": _TYPE}}),
    ] = None
    """Types of this procedure alone: the name, its fields and their types."""
    steps: Block
    """The steps, in order."""
    deliver: Annotated[dict[str, Any] | None, WithJsonSchema({"x-ref": "DeliverSpec"})] = None
    """When the run counts as accepted."""


KINDS: dict[str, type[StepSpec]] = {
    "role": RoleStep,
    "run": RunStep,
    "gate": GateStep,
    "for_each": ForEachStep,
    "loop": LoopStep,
    "use": UseStep,
}
"""The key that makes a step what it is."""
S = TypeVar("S", bound=Spec)


def read(model: type[S], node: Node, report: Diagnostics, what: str) -> S | None:
    """Validate a mapping against a model; None after reporting its mistakes. `what` names it in messages."""
    try:
        found = model.model_validate(node.data())
    except ValidationError as error:
        problems: list[dict[str, Any]] = [
            {**problem} for problem in error.errors(include_url=False, include_input=False)
        ]
        unknown = [str(problem["loc"][0]) for problem in problems if problem["type"] == "extra_forbidden"]
        misspelt = {closest(key, keys_of(model)) for key in unknown}
        for problem in problems:
            if problem["type"] != "missing" or problem["loc"][0] not in misspelt:
                _report(model, node, report, what, problem)
        return None
    return found


def read_limits(node: Node, report: Diagnostics) -> dict[str, float]:
    """What stands under `limits:` of a mapping, by unit; its mistakes are reported."""
    limits = node.get("limits")
    found = read(LimitsSpec, limits, report, "`limits`") if limits and limits.is_map else None
    return found.model_dump(exclude_none=True) if found else {}


_WANTED = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "list": "a list",
    "dict": "a mapping",
}  # fmt: skip


def _report(model: type[Spec], node: Node, report: Diagnostics, what: str, problem: dict[str, Any]) -> None:
    kind, location = str(problem["type"]), [part for part in problem["loc"] if isinstance(part, str | int)]
    key, context = str(location[0]), problem.get("ctx", {})
    name = f"`{'.'.join(map(str, location))}`"
    span = node.place(*location)
    if kind == "extra_forbidden":
        _unknown_key(model, node, report, what, key)
    elif kind == "missing":
        bound = model is LoopStep and key == "max"
        code = {(LoopStep, "max"): "SOP603", (GateStep, "headless"): "SOP612"}.get((model, key), "SOP302")
        place = next(iter(node.entries.values())).key if node.entries else node.span
        message = f"{what} has no bound" if bound else f"{what} has no `{key}`"
        report.error(code, message, place, f"add `{key}:`", describe(model, key))
    elif kind == "literal_error":
        options = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        given = node.get(key)
        near = closest(given.text, options) if given else None
        label = f"did you mean `{near}`?" if near else ""
        wanted = "must be" if len(options) == 1 else "is one of"
        report.error("SOP304", f"{name} {wanted} {listing(options)}", span, label, describe(model, key))
    elif word := _WANTED.get(kind.removesuffix("_type").removesuffix("_from_float")):
        label = _said_badly(node, location, kind)
        if model is Sop and location == ["deliver"] and (given := node.get("deliver")) and given.text:
            label = f"write `{{accept: {given.text}}}`"
        report.error("SOP303", f"{name} must be {word}", span, label, describe(model, key))
    else:
        words = {
            "greater_than_equal": "at least {ge:g}",
            "less_than_equal": "at most {le:g}",
            "greater_than": "more than {gt:g}",
            "string_too_long": "at most {max_length} characters",
            "string_too_short": "not empty",
            "too_short": "not empty",
            "string_pattern_mismatch": "small letters, digits, `-` and `_`",
            "finite_number": "a finite number",
        }.get(kind)
        text = words.format(**context) if words else str(problem["msg"])
        report.error("SOP304", f"{name} must be {text}", span, "", describe(model, key))


def _unknown_key(model: type[Spec], node: Node, report: Diagnostics, what: str, key: str) -> None:
    known = keys_of(model)
    label = did_you_mean(key, known)
    notes = []
    others = [kind for kind, other in KINDS.items() if issubclass(model, StepSpec) and key in keys_of(other)]
    if not label and others:
        notes.append(f"`{key}` belongs to a step with {' or '.join(f'`{kind}:`' for kind in others)}")
    elif not label:
        notes.append(f"it may have {listing(known, 20)}")
    report.error("SOP301", f"{what} has no key `{key}`", node.entries[key].key, label, *notes)


def _said_badly(node: Node, location: list[str | int], kind: str) -> str:
    for part in location:
        child = node.get(part) if isinstance(part, str) else None
        if child is None:
            return ""
        node = child
    if kind == "bool_type" and node.text.lower() in ("yes", "on", "y", "no", "off", "n"):
        return f"write `{'true' if node.text.lower() in ('yes', 'on', 'y') else 'false'}`"
    return "put it in quotes" if kind == "string_type" and node.text and not isinstance(node.value, str) else ""


def keys_of(model: type[Spec]) -> list[str]:
    """The keys that a model's mapping may have, as written."""
    return [info.alias or name for name, info in model.model_fields.items()]


def describe(model: type[Spec], key: str) -> str:
    """The sentence under a field, as a note."""
    info = next((info for name, info in model.model_fields.items() if (info.alias or name) == key), None)
    return f"`{key}`: {info.description}" if info and info.description else ""
