"""The command line as a user types it: real processes, exit status, standard output and standard error apart."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

RIGHT = '### shout.py\n```python\ndef shout(text):\n    return text.upper() + "!"\n```'


def company(folder: Path, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("COMPANY_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "company", *words],
        cwd=folder, input=stdin, capture_output=True, text=True, timeout=120, check=False, env={**clean, **environment},
    )  # fmt: skip


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A model that writes one file."""
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"reply": RIGHT}]))
    return "script:script.yaml"


def test_help_names_every_command(tmp_path: Path) -> None:
    done = company(tmp_path, "--help")
    assert done.returncode == 0
    for name in ("run", "resume", "runs", "show", "sop", "model", "bench", "doctor", "init"):
        assert f"\n  {name} " in done.stdout


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    done = company(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"company {version('company-sim')}\n")


def test_help_is_quick_because_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = "import sys, company.cli; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "langgraph",
        "langchain_core",
        "langchain_openai",
        "openai",
        "pydantic",
        "httpx",
        "git",
        "jinja2",
        "yaml",
        "pytest",
    }
    assert heavy & set(eval(done.stdout)) == set()  # our own output


def test_a_run_and_what_it_leaves(tmp_path: Path, script: str) -> None:
    done = company(
        tmp_path, "run", "a module shout.py", "--sop", "zero_shot", "--model", script, "--name", "s", "--json"
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    wanted = {
        "run", "status", "repo", "commit", "sop", "accepted", "calls", "cached_steps", "prompt_tokens",
        "completion_tokens", "cost_usd", "seconds", "model_seconds", "sandbox", "steps",
    }  # fmt: skip
    assert wanted <= set(outcome)
    assert outcome["status"] == "delivered"
    assert outcome["repo"] == str(tmp_path / "workspace" / "s")
    assert "Delivered and accepted." in done.stderr
    assert f"cd {tmp_path / 'workspace' / 's'} && git log --stat" in done.stderr
    assert "\x1b" not in done.stderr
    listed = company(tmp_path, "runs")
    assert outcome["run"] in listed.stdout
    assert "delivered" in listed.stdout
    shown = company(tmp_path, "show", "s", "shout.py")
    assert shown.stdout.startswith("def shout(text):")
    again = company(tmp_path, "run", "a module shout.py", "--sop", "zero_shot", "--model", script, "--name", "s")
    assert again.returncode == 2
    assert "nothing is ever overwritten" in again.stderr


def test_the_requirement_may_come_from_standard_input(tmp_path: Path, script: str) -> None:
    done = company(
        tmp_path, "run", "-", "--sop", "zero_shot", "--model", script, "--name", "s", stdin="a module x.py\n"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "workspace/s/.company/requirement.md").read_text() == "a module x.py\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["run", ""], 2, "error: the requirement is empty"),
        (["run", "x" * 20001], 2, "at most 20000 are taken"),
        (["run", "x", "--sop", "watrfall"], 2, "did you mean `waterfall`?"),
        (["run", "x", "--sop", "missing.yaml"], 2, "there is no procedure at `missing.yaml`"),
        (["run", "x", "--model", "opnai:gpt"], 2, "did you mean `openai`?"),
        (["run", "x", "--model", "local:qwen"], 2, "unknown embedded model `qwen`"),
        (["run", "x", "--model", "local:nofile.gguf"], 2, "cannot read the model file"),
        (["run", "x", "--model", "openai:gpt"], 2, "OPENAI_API_KEY is not set"),
        (["run", "x", "--model", "script:none.yaml"], 2, "none.yaml: cannot read the script"),
        (["run", "x", "--limit", "cals=3"], 2, "there is no limit `cals`"),
        (["run", "x", "--limit", "calls=0"], 2, "must be more than 0"),
        (["run", "x", "--input", "colour=red", "--dry-run"], 2, "has no input `colour`"),
        (["run", "x", "--name", "../up", "--dry-run"], 2, "is no name for a folder"),
        (["resume"], 2, "there is no run to go on with"),
        (["resume", "nosuch"], 2, "there is no run `nosuch`"),
        (["show", "nosuch"], 2, "there is no run `nosuch`"),
        (["sop", "show", "nosuch"], 2, "there is no procedure `nosuch`"),
        (["model", "pull", "gpt"], 2, "unknown embedded model `gpt`"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_bad_input_is_one_clear_error_and_makes_nothing(
    tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    done = company(tmp_path, *words)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "error", "place"),
    [
        (["run", "", "--json"], 2, "the requirement is empty", ""),
        (["run", "x", "--json", "--model", "script:none.yaml"], 2, "cannot read the script", "none.yaml"),
        (["resume", "--json"], 2, "there is no run to go on with here", ""),
        (["redo", "nosuch", "--json"], 2, "there is no run `nosuch` here", ""),
        (["runs", "--json", "--workspace", "nosuch"], 2, "there is no such folder", "nosuch"),
        (["diff", "a", "b", "--json"], 2, "there is no run `a` here", ""),
    ],
)
def test_with_json_an_error_is_an_object_too(
    tmp_path: Path, words: list[str], status: int, error: str, place: str
) -> None:
    done = company(tmp_path, *words)
    assert done.returncode == status
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told.keys(), told["place"]) == ({"error", "place", "hint"}, place)
    assert told["error"].startswith(error)
    assert f"error: {place}{': ' if place else ''}{told['error']}" in done.stderr
    assert not told["hint"] or f"hint: {told['hint']}" in done.stderr


def test_with_json_a_procedure_that_does_not_check_gives_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("sop: 1\nsteps:\n  a: {role: enginer, in: requirement, out: [SourceFile]}\n")
    told = json.loads(company(tmp_path, "run", "x", "--sop", "bad.yaml", "--json").stdout)
    assert (told["error"], told["place"]) == ("the procedure has 1 mistake", "bad.yaml")
    assert [(found["code"], found["line"]) for found in told["diagnostics"]] == [("SOP401", 3)]


def test_with_json_a_disk_that_cannot_be_written_is_an_object(tmp_path: Path, script: str) -> None:
    (tmp_path / "workspace").write_text("a file, not a folder")
    done = company(tmp_path, "run", "x", "--sop", "zero_shot", "--model", script, "--json")
    assert done.returncode == 1
    assert "could not create the workspace" in json.loads(done.stdout)["error"]


def test_a_dry_run_explains_what_each_step_is_made_of_and_keeps_nothing(tmp_path: Path, script: str) -> None:
    done = company(tmp_path, "run", "a module shout.py", "--sop", "zero_shot", "--dry-run", "--explain", "--name", "d")
    assert done.returncode == 0, done.stderr
    code, compiled = (line for line in done.stderr.splitlines() if line.startswith("  because "))
    for made_of in ("the input `requirement`", "the role", "the prompt", "the model"):
        assert made_of in code
    assert "the command" in compiled
    assert "the input `code`" in compiled
    assert "made of  the step, the input `requirement`" in company(tmp_path, "show", "d", "code").stdout
    assert not list((tmp_path / "workspace/.company").glob("steps/*/*"))
    words = ("run", "a module shout.py", "--sop", "zero_shot", "--model", script, "--explain", "--name", "s")
    assert "because it was never done here" in company(tmp_path, *words).stderr


def test_a_procedure_with_mistakes_shows_them_all(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "sop: 1\nsteps:\n  a: {role: enginer, in: requirement, out: [SourceFile]}\n  b: {rol: qa}\n"
    )
    done = company(tmp_path, "run", "x", "--sop", "bad.yaml")
    assert done.returncode == 2
    assert "error[SOP401]: there is no role `enginer`" in done.stderr
    assert "error[SOP305]" in done.stderr
    assert company(tmp_path, "sop", "check", "bad.yaml").returncode == 2
    assert company(tmp_path, "sop", "check").returncode == 0


def test_an_unreachable_endpoint_fails_the_run_and_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "company.toml").write_text('[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\ndeadline = 4\n')
    done = company(tmp_path, "run", "x", "--sop", "zero_shot", "--model", "mine:m", "--name", "s")
    assert done.returncode == 1
    assert "cannot connect" in done.stderr or "took longer" in done.stderr
    assert "company resume" in done.stderr
    assert (tmp_path / "workspace/s/.company/requirement.md").exists()


def test_a_limit_stops_and_resume_goes_on(tmp_path: Path) -> None:
    critic = {"step": "polish.critic", "reply": {"approved": True, "comments": []}}
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"step": "polish.draft", "reply": RIGHT}, critic]))
    words = ("--sop", "reflection", "--model", "script:script.yaml", "--name", "s", "--limit", "calls=1")
    stopped = company(tmp_path, "run", "x", *words)
    assert stopped.returncode == 4
    assert "the run's limit of 1 calls is reached" in stopped.stderr
    done = company(tmp_path, "resume", "--limit", "calls=5", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["calls"] == 2  # one before the stop, one after


def test_money_without_a_price_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "company.toml").write_text('[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\n')
    done = company(tmp_path, "run", "x", "--sop", "zero_shot", "--model", "mine:m", "--limit", "usd=1")
    assert done.returncode == 2
    assert "no price for `mine:m`" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modell = 'x'\n", "did you mean `model`?"),
        ("model = \n", "it is no TOML"),
        ("temperature = 9\n", "temperature"),
    ],
)
def test_mistakes_in_the_settings_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "company.toml").write_text(text)
    done = company(tmp_path, "run", "x", "--dry-run")
    assert done.returncode == 2
    assert said in done.stderr
    assert "company.toml" in done.stderr


def test_init_makes_a_folder_whose_procedures_check_and_change_the_run(tmp_path: Path) -> None:
    assert company(tmp_path, "init", "mine").returncode == 0
    mine = tmp_path / "mine"
    assert company(mine, "sop", "check").returncode == 0
    again = company(tmp_path, "init", "mine")
    assert again.returncode == 2
    assert "nothing is ever overwritten" in again.stderr
    (mine / "roles" / "editor.yaml").write_text("title: Editor\nprofile: You read closely.\n")
    (mine / "prompts" / "editor").mkdir()
    (mine / "prompts" / "editor" / "look.md.j2").write_text("{{ requirement }}{{ code }}")
    sop = mine / "sops" / "zero_shot.yaml"
    sop.write_text(
        sop.read_text().replace(
            "  compile:", "  look: {role: editor, in: [requirement, code], out: Review}\n  compile:"
        )
    )
    done = company(mine, "run", "a module x.py", "--sop", "zero_shot", "--dry-run", "--name", "s", "--json")
    assert done.returncode == 0, done.stderr
    assert {"Editor", "Engineer"} <= set(
        subprocess.run(
            ["git", "-C", json.loads(done.stdout)["repo"], "log", "--format=%an"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
    )


def test_no_permission_is_one_clear_error(tmp_path: Path, script: str) -> None:
    (tmp_path / "workspace").write_text("a file, not a folder")
    done = company(tmp_path, "run", "x", "--sop", "zero_shot", "--model", script)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "could not create the workspace" in done.stderr


def test_doctor_says_what_is_there(tmp_path: Path) -> None:
    done = company(tmp_path, "doctor")
    assert done.returncode == 0, done.stdout
    assert "bubblewrap" in done.stdout


def test_without_a_sandbox_the_run_refuses(tmp_path: Path, script: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git",):
        path = next(Path(p) / name for p in os.environ["PATH"].split(":") if (Path(p) / name).exists())
        (tools / name).symlink_to(path)
    done = company(tmp_path, "run", "x", "--sop", "zero_shot", "--model", script, PATH=str(tools))
    assert done.returncode == 5
    assert "bubblewrap" in done.stderr
    assert "hint:" in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_sop_show_draws(tmp_path: Path) -> None:
    text = company(tmp_path, "sop", "show", "waterfall").stdout
    assert "verify.test → verify.fix   [again until test.passed, 4 rounds at most]" in text
    assert company(tmp_path, "sop", "show", "waterfall", "--format", "mermaid").stdout.startswith("flowchart TD\n")


def test_doctor_looks_at_the_project(tmp_path: Path) -> None:
    (tmp_path / "company.toml").write_text('[mcp.notes]\ncommand = "no-such-program"\n')
    done = company(tmp_path, "doctor")
    assert "settings     ok       " in done.stdout
    assert "mcp.notes: there is no program `no-such-program`" in done.stdout
    (tmp_path / "company.toml").write_text("modle = 1\n")
    wrong = company(tmp_path, "doctor")
    assert wrong.returncode == 1
    assert "did you mean `model`?" in wrong.stdout


def test_a_run_into_a_repository_says_which_branch_it_left(tmp_path: Path, script: str) -> None:
    for words in (["init", "-q", "-b", "trunk", "shop"], ["-C", "shop", "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-c", "user.name=U", "-c", "user.email=u@x", *words], cwd=tmp_path, check=True)
    words = ("run", "a module shout.py", "--into", "shop", "--model", script, "--name", "s")
    done = company(tmp_path, *words, "--sop", "zero_shot", "--json")
    outcome = json.loads(done.stdout)
    assert outcome["branch"] == f"company/{outcome['run']}"
    assert f"branch      {outcome['branch']} (" in done.stderr
    listed = company(tmp_path, "show", "s").stdout
    assert f".company/{outcome['run']}/docs/compile.md" in listed
    assert company(tmp_path, "show", "s", "requirement").stdout == "a module shout.py\n"
    for place, fact in (("nowhere", "no such folder"), (".", "not the top folder of a git repository")):
        done = company(tmp_path, "run", "x", "--into", place)
        assert done.returncode == 2
        assert fact in done.stderr
        assert "hint:" in done.stderr
    assert not (tmp_path / "workspace/x").exists()
