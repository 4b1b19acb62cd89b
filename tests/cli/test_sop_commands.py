"""`company sop …` as a user types it: in this process, which is quick, and once as a real one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from company import cli
from company.settings import load_settings
from company.sop.diagnostics import CODES
from company.sop.library import Library, own_folder
from company.sop.schema import json_schema

ROOT = Path(__file__).parent.parent.parent
ONE_STEP = "sop: 1\nsteps:\n  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile]}\n"
MISTAKES = (
    "sop: 1\nsteps:\n  a: {role: poet, in: requirement, out: str}\n  a: {role: engineer, promt: x, in: requirement}\n"
)
WARNED = "sop: 1\nname: other\n" + ONE_STEP.removeprefix("sop: 1\n")
PRICED = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\nprice = {input = 100, output = 200}\n'


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


def company(*words: str) -> Done:
    """The command in this process. Anything but an orderly exit fails the test."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["company", *words]
    status = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    finally:
        sys.argv = before
    return Done(status, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and none of our variables."""
    for name in [name for name in os.environ if name.startswith(("COMPANY_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def checked(*words: str) -> tuple[int, dict[str, Any]]:
    done = company("sop", "check", "--json", *words)
    assert done.err == ""
    return done.status, json.loads(done.out)


# --- explain


def test_explain_lists_every_code_and_shows_one() -> None:
    listed = company("sop", "explain")
    assert listed.status == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == list(CODES)
    shown = company("sop", "explain", "sop204")
    assert shown == company("sop", "explain", "204")
    assert shown.out.startswith("SOP204: an artifact has no such field\n")
    assert shown.out.index("Wrong:") < shown.out.index("Right:")


def test_explain_does_not_know_every_code() -> None:
    done = company("sop", "explain", "SOP24")
    assert (done.status, done.out) == (2, "")
    assert (
        done.err == "error: there is no code `SOP24`\n\nhint: did you mean `SOP204`? `company sop explain` lists them\n"
    )


# --- check


def test_check_as_json_for_editors() -> None:
    put("sops/good.yaml", ONE_STEP)
    put("sops/bad.yaml", MISTAKES)
    status, found = checked("good", "bad")
    assert status == 2
    good, bad = found["procedures"]
    assert good == {"name": "good", "path": "sops/good.yaml", "ok": True, "worst_calls": 1, "diagnostics": []}
    assert (bad["name"], bad["path"], bad["ok"], bad["worst_calls"]) == ("bad", "sops/bad.yaml", False, None)
    twice = next(each for each in bad["diagnostics"] if each["code"] == "SOP102")
    assert twice == {
        "severity": "error", "code": "SOP102", "message": "`a` is written twice", "path": "sops/bad.yaml", "line": 4,
        "column": 3, "end_line": 4, "end_column": 4, "label": "", "notes": [],
        "related": [{"path": "sops/bad.yaml", "line": 3, "column": 3, "message": "first"}],
    }  # fmt: skip
    role = next(each for each in bad["diagnostics"] if each["code"] == "SOP401")
    assert "the roles are `architect`, " in role["notes"][0]
    assert "`title: Poet`" in role["notes"][-1]
    assert set(found) == {"procedures"}, "there is no company.toml"


def test_check_without_files_takes_every_procedure() -> None:
    put("sops/mine.yaml", ONE_STEP)
    status, found = checked()
    assert status == 0
    assert {"mine", "waterfall"} <= {each["name"] for each in found["procedures"]}


def test_strict_takes_warnings_for_mistakes() -> None:
    put("sops/mine.yaml", WARNED)
    status, found = checked("mine")
    assert (status, found["procedures"][0]["ok"]) == (0, True)
    assert [each["code"] for each in found["procedures"][0]["diagnostics"]] == ["SOP310"]
    assert found["procedures"][0]["diagnostics"][0]["severity"] == "warning"
    status, found = checked("mine", "--strict")
    assert (status, found["procedures"][0]["ok"]) == (2, False)
    plain = company("sop", "check", "mine")
    assert (plain.status, plain.out) == (0, "mine: checks, 1 model calls in the worst case\n")
    assert "warning[SOP310]" in plain.err
    assert plain.err.endswith("hint: `company sop explain SOP310` shows such a mistake, and how it is mended\n")
    strict = company("sop", "check", "mine", "--strict")
    assert (strict.status, strict.out) == (2, "")


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ("none.yaml", "none.yaml", "there is no procedure at `none.yaml`"),
        ("none", None, "there is no procedure `none`"),
        ("sops/", "sops/", "there is a folder, no procedure, at `sops/`"),
        ("sops/bytes.yaml", "sops/bytes.yaml", "it is not UTF-8 text (byte 0)"),
        ("x" * 300, None, f"there is no procedure `{'x' * 300}`"),
        ("x" * 300 + ".yaml", "x" * 300 + ".yaml", f"there is no procedure at `{'x' * 300}.yaml`"),
        ("~nosuchuser/x.yaml", "~nosuchuser/x.yaml", "there is no procedure at `~nosuchuser/x.yaml`"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_finding(given: str, path: str | None, message: str) -> None:
    put("sops/bytes.yaml", "").write_bytes(b"\xff")
    status, found = checked(given)
    assert status == 2
    (only,) = found["procedures"]
    assert (only["name"], only["path"], only["ok"]) == (given, path, False)
    (finding,) = only["diagnostics"]
    assert (finding["severity"], finding["code"], finding["message"]) == ("error", None, message)
    assert (finding["line"], finding["column"]) == (1, 1)


@pytest.mark.parametrize("here", [".", "sops", "deep/er"])
def test_check_reads_the_settings_of_the_project(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put("sops/mine.yaml", ONE_STEP)
    put("company.toml", "threads = 1\nmodle = 'a:b'\n")
    Path(here).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    status, found = checked("mine")
    assert status == 2
    assert found["procedures"][0]["ok"]
    (finding,) = found["settings"]["diagnostics"]
    assert (finding["message"], finding["line"]) == ("there is no setting `modle`", 2)
    assert finding["path"].endswith("company.toml")
    assert finding["notes"] == ["did you mean `model`?"]
    plain = company("sop", "check", "mine")
    assert (plain.status, plain.out) == (2, "mine: checks, 1 model calls in the worst case\n")
    assert "company.toml:2: there is no setting `modle`" in plain.err


def test_settings_that_are_right_are_found_to_be() -> None:
    put("company.toml", PRICED)
    status, found = checked("waterfall")
    assert status == 0
    assert found["settings"]["ok"]


# --- where files are looked for


def test_the_project_is_searched_upwards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("company.toml", "max_tokens = 100\n")
    put(".env", "COMPANY_THREADS=3\n")
    put("a/b/.env", "COMPANY_THREADS=5\n")
    monkeypatch.chdir("a/b")
    assert own_folder() == folder
    assert (load_settings().max_tokens, load_settings().threads) == (100, 5), ".env is the current folder's"
    put("sops/inner.yaml", ONE_STEP)
    assert own_folder() == folder / "a/b"
    assert load_settings().max_tokens == 2048, "the nearer project has no settings of its own"


@pytest.mark.parametrize("where", ["home", "."])
def test_what_lies_above_the_home_folder_is_nobodys_project(
    where: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("company.toml", "max_tokens = 100\n")
    (folder / "home/work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.chdir("home/work")
    assert own_folder() is None
    assert load_settings().max_tokens == 2048
    put(str(folder / "home/company.toml"), "max_tokens = 200\n")
    assert own_folder() == folder / "home"
    monkeypatch.chdir(folder)
    assert own_folder() == folder, "the current folder itself always counts"


def test_a_procedure_given_by_path_finds_what_lies_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "sop: 1\nsteps:\n  ode: {role: poet, in: requirement, out: str}\n"
    for place in ("theirs/sops/ode.yaml", "flat/ode.yaml"):
        put(place, text)
        base = Path(place).parent.parent if "sops" in place else Path(place).parent
        put(str(base / "roles/poet.yaml"), f"title: Poet of {base}\nprofile: You rhyme.\n")
        put(str(base / "prompts/poet/ode.md.j2"), "{{ requirement }}")
    put("mine/sops/x.yaml", ONE_STEP)
    put("mine/roles/poet.yaml", "title: My Poet\nprofile: You do not.\n")
    put("alone/ode.yaml", text)
    monkeypatch.chdir("mine")
    assert "Poet of theirs" in company("sop", "show", "../theirs/sops/ode.yaml").out
    assert "Poet of flat" in company("sop", "show", "../flat/ode.yaml").out
    done = company("sop", "show", "../alone/ode.yaml")
    assert done.status == 2
    assert "SOP402" in done.err, "the role is the project's; a prompt for it there is none"
    put("prompts/poet/ode.md.j2", "{{ requirement }}")
    assert "My Poet" in company("sop", "show", "../alone/ode.yaml").out
    assert Library(own_folder()).beside(folder / "alone/ode.yaml").folders == Library(own_folder()).folders


def test_a_wrong_path_says_what_lies_there() -> None:
    put("some/review.yaml", ONE_STEP)
    said = company("run", "x", "--sop", "./some/reviw.yaml", "--dry-run").err
    assert "error: there is no procedure at `./some/reviw.yaml`" in said
    assert "did you mean `some/review.yaml`?" in said
    assert "sops/" not in said
    assert "has `review.yaml`" in company("sop", "show", "some/x.yaml").err
    assert "give that name, without a path" in company("sop", "show", "some/waterfall.yaml").err
    assert "there is no folder `nowhere`" in company("sop", "show", "nowhere/x.yaml").err


def test_a_mistake_points_at_its_explanation() -> None:
    put("bad.yaml", MISTAKES)
    said = company("run", "x", "--sop", "bad.yaml", "--dry-run").err
    assert "hint: `company sop explain SOP" in said
    assert "docs/" not in said


# --- show


def test_show_estimates_for_the_model_that_is_chosen() -> None:
    assert "local:qwen2.5-coder-1.5b: calls 1; tokens " in company("sop", "show", "zero_shot").out
    assert "at 55 tokens/s read and 13 written" in company("sop", "show", "zero_shot").out
    unknown = company("sop", "show", "reflection", "--model", "openai:gpt").out
    assert "openai:gpt: calls 2 to 6; tokens " in unknown
    assert unknown.endswith("; price unknown\n")
    put("company.toml", PRICED)
    assert "; $0." in company("sop", "show", "reflection", "--model", "mine:m").out
    put("company.toml", PRICED + '[tiers]\nsmall = "mine:tiny"\n')
    put(
        "two.yaml",
        ONE_STEP.replace("zero_shot", "zero_shot, model: small") + ONE_STEP.splitlines()[2].replace("code", "b"),
    )
    shown = company("sop", "show", "two.yaml").out
    assert "mine:tiny: calls 1" in shown
    assert "local:qwen2.5-coder-1.5b: calls 1" in shown


def test_show_draws_svg() -> None:
    done = company("sop", "show", "waterfall", "--format", "svg")
    assert (done.status, done.err) == (0, "")
    assert ElementTree.fromstring(done.out).tag.endswith("svg")


# --- new


def test_new_writes_a_procedure_that_checks_and_keeps_the_comments() -> None:
    done = company("sop", "new", "my_own", "--from", "waterfall")
    assert done.status == 0
    assert done.out.startswith("wrote sops/my_own.yaml from `waterfall`")
    assert "company sop check my_own" in done.out
    shipped = (ROOT / "sops/waterfall.yaml").read_text()
    assert Path("sops/my_own.yaml").read_text() == shipped.replace("name: waterfall", "name: my_own")
    own = Library(Path.cwd())
    assert json.loads(Path("sops/sop-1.json").read_text()) == json_schema(own.roles, own.sops())
    assert company("sop", "check", "--strict", "my_own").status == 0
    assert company("sop", "diff", "my_own", "waterfall") == Done(0, "", "")
    again = company("sop", "new", "my_own")
    assert (again.status, again.out) == (2, "")
    assert "nothing is ever overwritten" in again.err
    assert Path("sops/my_own.yaml").read_text().count("my_own") == 1


def test_new_takes_reflection_by_default_and_ones_own() -> None:
    assert "from `reflection`" in company("sop", "new", "first").out
    put("sops/first.yaml", Path("sops/first.yaml").read_text().replace("max: 3", "max: 5"))
    assert company("sop", "new", "second", "--from", "first").status == 0
    assert "max: 5" in Path("sops/second.yaml").read_text()


@pytest.mark.parametrize("name", ["123", "no", "null", "true", "y", "1e5", "a-b_c"])
def test_new_writes_names_that_yaml_would_read_otherwise(name: str) -> None:
    assert company("sop", "new", name).status == 0
    assert company("sop", "check", "--strict", name).status == 0


def test_new_in_a_folder_of_a_project_writes_to_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("company.toml", "")
    Path("deep").mkdir()
    monkeypatch.chdir("deep")
    assert company("sop", "new", "mine").status == 0
    assert (folder / "sops/mine.yaml").exists()
    assert company("sop", "new", "waterfall", "--from", "waterfall").out.count("takes the place of") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["../up"], "is no name for a procedure"),
        (["Mine"], "is no name for a procedure"),
        ([""], "is no name for a procedure"),
        (["x" * 61], "is no name for a procedure"),
        (["mine", "--from", "reflektion"], "did you mean `reflection`? there are `adaptive_consistency`, `build`, "),
        (["mine", "--from", "bad.yaml"], "error[SOP401]"),
        (["mine", "--from", "flat/ode.yaml"], "error[SOP401]"),
    ],
)
def test_new_refuses_and_writes_nothing(words: list[str], said: str) -> None:
    put("bad.yaml", MISTAKES)
    put("flat/ode.yaml", "sop: 1\nsteps:\n  ode: {role: poet, in: requirement, out: str}\n")
    put("flat/roles/poet.yaml", "title: Poet\nprofile: You rhyme.\n")
    put("flat/prompts/poet/ode.md.j2", "{{ requirement }}")
    done = company("sop", "new", *words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert not Path("sops").exists()


# --- diff, schema, init


def test_diff_takes_names_and_paths() -> None:
    company("sop", "new", "mine", "--from", "reflection")
    put("sops/mine.yaml", Path("sops/mine.yaml").read_text().replace("max: 3", "max: 2"))
    done = company("sop", "diff", "reflection", "./sops/mine.yaml")
    assert done.status == 0
    assert done.out == "~ step polish: max 3 → 2\n~ model calls in the worst case: 6 → 4\n"
    assert company("sop", "diff", "reflection", "none").status == 2


def test_the_shipped_schema_is_up_to_date() -> None:
    shipped = json.loads((ROOT / "sops/sop-1.json").read_text())
    library = Library(None)
    assert shipped == json_schema(library.roles, library.sops()), "run `company sop schema sops/sop-1.json`"


def test_init_gives_editors_the_schema() -> None:
    assert company("init", "mine").status == 0
    first = Path("mine/sops/reflection.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=sop-1.json"
    assert Path("mine/sops/sop-1.json").read_text() == (ROOT / "sops/sop-1.json").read_text()


# --- anything else


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few odd files."""
    path = tmp_path_factory.mktemp("odd")
    (path / "sops").mkdir()
    (path / "sops/a.yaml").write_text(MISTAKES)
    (path / "sops/b.yaml").write_bytes(b"\xff\xfe")
    (path / "sops/c.yaml").mkdir()
    (path / "sops/d.yaml").symlink_to("nowhere")
    (path / "sops/e.yaml").write_text(WARNED)
    return path


WORDS = st.sampled_from(
    ["a", "b", "c", "d", "e", "waterfall", "sops/b.yaml", "sops/c.yaml", "sops/d.yaml", "sops", ".", "/", "//", "~", "~x/y.yaml",
     "..", "", " ", "*.yaml", "-", "--", "--json", "--strict", "--from", "--format", "--format=svg", "--format=text", "--model",
     "--model=x:y", "--model=:", "--help", "SOP204", "204", "SOP", "2" * 50, "é漢\x1b[2J", "\ud800", "a.yaml/b", "x" * 5000,
     "x" * 5000 + ".yaml", "/dev/null/x.yaml", "C:\\x.yaml"]
) | st.text(st.characters(blacklist_characters="\0", codec="utf-8"), max_size=12)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["list", "show", "check", "explain", "diff", "new", "schema", "x"]), st.lists(WORDS, max_size=4))
@example("check", [])
@example("list", [])
@example("show", ["\ud800"])
@example("schema", ["/"])
@example("schema", ["nowhere/x.json"])
def test_no_argument_gives_a_traceback(odd: Path, command: str, words: list[str]) -> None:
    if command in ("new", "schema") and not {"/", "nowhere/x.json"} & set(words):
        words = [word for word in words if not word.startswith(("x", "e", "."))][:1]
    os.chdir(odd)
    done = company("sop", command, *words)
    assert done.status in (0, 1, 2)
    assert "Traceback" not in done.err
    if done.status:
        assert done.err or "--json" in words
    if "--json" in words and command == "check" and done.out and "--help" not in words and "Usage" not in done.out:
        json.loads(done.out)


def test_as_a_real_process(folder: Path) -> None:
    put("bad.yaml", MISTAKES)
    words = [sys.executable, "-m", "company", "sop", "check", "bad.yaml", "none.yaml", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stderr) == (2, "")
    assert [each["ok"] for each in json.loads(done.stdout)["procedures"]] == [False, False]


def test_check_knows_the_models_and_servers_that_the_project_has() -> None:
    put("company.toml", '[tiers]\nlarge = "bigg:qwen"\n')
    put(
        "sops/asks.yaml",
        "sop: 1\nroles: {engineer: {tools: mcp.notes}}\nsteps:\n"
        "  code: {role: engineer, prompt: zero_shot, in: requirement, out: [SourceFile], model: large, tools: mcp.notes}\n",
    )
    done = company("sop", "check", "asks")
    assert done.status == 2
    assert "sops/asks.yaml:4: `large`: there is no model provider `bigg`" in done.err
    assert "sops/asks.yaml:4: there is no MCP server `notes`" in done.err
    put("company.toml", '[tiers]\nlarge = "local:qwen2.5-coder-1.5b"\n[mcp.notes]\ncommand = "notes"\n')
    assert company("sop", "check", "asks").status == 0
