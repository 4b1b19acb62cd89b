"""What the documents show works: every procedure in them checks against the shipped library."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from company import wiring
from company.artifacts import BUILT_IN
from company.engine import NewRun
from company.settings import McpServer, Provider, Settings
from company.sop.diagnostics import SourceText
from company.sop.library import Library
from company.sop.linker import link

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(yaml|jinja)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def examples() -> list[tuple[str, int, str]]:
    """The procedures of the documents: whole, or steps that are set into one."""
    found = []
    for path in (ROOT / "README.md", ROOT / "docs" / "sop-language.md"):
        for number, (_, text) in enumerate(BLOCK.findall(path.read_text("utf-8"))):
            if text.startswith("sop: 1\n"):
                found.append((path.name, number, text))
            elif text.startswith("  "):
                found.append((path.name, number, f"sop: 1\nsteps:\n{text}"))
    return found


EXAMPLES = examples()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the role and the prompt that the reference shows."""
    blocks = [text for _, text in BLOCK.findall((ROOT / "docs" / "sop-language.md").read_text("utf-8"))]
    (role,) = [text for text in blocks if text.startswith("title: ")]
    (prompt,) = [text for text in blocks if "{% include" in text]
    for name, text in {"roles/security_auditor.yaml": role, "prompts/security_auditor/audit.md.j2": prompt}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


@pytest.mark.parametrize(("name", "number", "text"), EXAMPLES)
def test_a_procedure_in_the_documents_checks_and_goes_through_a_dry_run(
    name: str, number: int, text: str, project: Path
) -> None:
    called = re.search(r"^name: (\S+)$", text, re.MULTILINE)
    path = project / f"{called[1] if called else 'example'}.yaml"
    path.write_text(text, "utf-8")
    procedure = link(SourceText(path, name, text), Library(project))
    assert not procedure.warnings, [str(warning) for warning in procedure.warnings]
    new = NewRun(
        inputs={"requirement": "A module shout.py with a function shout(text)."},
        sop=str(path),
        workspace=project / "ws",
        name="out",
        user_dir=project,
        dry_run=True,
    )
    outcome = asyncio.run(wiring.run(new, Settings()))
    assert (outcome.status, outcome.reason) == ("delivered", "")


RECIPES = re.findall(
    r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "recipes.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize(("title", "text"), RECIPES, ids=[title for title, _ in RECIPES])
def test_a_recipe_holds(title: str, text: str, tmp_path: Path) -> None:
    shipped = (ROOT / "sops" / "waterfall.yaml").read_text("utf-8")
    head, rest = shipped.split("steps:\n")
    body, deliver = rest.split("\ndeliver:")
    old = _blocks(body)
    for _, block in BLOCK.findall(text):
        new, _, accept = block.partition("\ndeliver:")
        deliver = accept or deliver
        old |= _blocks(new)
    if title.startswith("Without"):
        del old["prd"]
    first = [name for name in ("prd", "design", "look", "tests") if name in old]  # as the recipes say
    old = {name: old[name] for name in dict.fromkeys([*first, *old])}
    procedure = f"{head}steps:\n{''.join(old.values())}\ndeliver:{deliver}"
    path = tmp_path / "waterfall.yaml"
    path.write_text(procedure, "utf-8")
    linked = link(SourceText(path, "waterfall.yaml", procedure), Library(None))
    assert [warning.message for warning in linked.warnings if warning.code != "SOP607"] == []
    new = NewRun(inputs={"requirement": "A tool."}, sop=str(path), workspace=tmp_path / "ws", name="out", dry_run=True)
    outcome = asyncio.run(wiring.run(new, Settings()))
    assert (outcome.status, outcome.reason) == ("delivered", "")


def _blocks(text: str) -> dict[str, str]:
    """The steps of a piece of YAML by name, each as it is written."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        if start := re.match(r"  (\w+):", line):
            name = start[1]
        if name:
            found[name] = found.get(name, "") + (line if line.endswith("\n") else line + "\n")
    return found


def test_the_runs_from_a_file_that_the_documents_show_go_through(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^company run .*script:.*$", text, re.MULTILINE)]
    assert [Path(words[-1]).name for words in commands] == [
        "waterfall.script.yaml",
        "feature.script.yaml",
        "review_board.script.yaml",
    ]
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    for words, calls in zip(commands, (6, 3, 9), strict=True):
        done = _company(tmp_path, *words[1:])
        if words[-1].endswith("review_board.script.yaml"):  # its gate waits for a person
            assert done.returncode == 130, done.stderr
            answer = '{"gate": "board", "choice": "accept"}'
            done = _company(tmp_path, "resume", json.loads(done.stdout)["run"], "--answer", "-", stdin=answer)
        assert done.returncode == 0, done.stderr
        outcome = json.loads(done.stdout)
        entries = len(yaml.safe_load((ROOT / words[-1].removeprefix("script:")).read_text("utf-8")))
        assert (outcome["accepted"], outcome["calls"]) == (True, calls)
        assert outcome["replies"] == {"first": entries, "repaired": 0, "failed": 0}


def _company(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "company", *words, "--json"]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_there_are_examples_in_both() -> None:
    assert {name for name, _, _ in EXAMPLES} == {"README.md", "sop-language.md"}


def test_the_shipped_procedures_check_without_a_warning() -> None:
    from company.sop.linker import load_procedure

    library = Library(None)
    assert set(library.sops()) >= {"waterfall", "zero_shot", "reflection"}
    for name in library.sops():
        assert not load_procedure(name, library).warnings, name


def anchors_of(text: str) -> set[str]:
    """What a heading is reached by, as the common hosts of repositories make it."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head) for head in re.findall(r"^#+ +(.+)$", plain, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


def test_links_between_the_documents_lead_somewhere() -> None:
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    targets = [(path, target) for path in paths for target in re.findall(r"\]\(([^)\s:]+)\)", path.read_text("utf-8"))]
    assert sum("#" in target for _, target in targets) > 10
    for path, target in targets:
        name, _, anchor = target.partition("#")
        found = path.parent / name if name else path
        assert found.exists(), f"{path.name}: {target}"
        assert not anchor or anchor in anchors_of(found.read_text("utf-8")), f"{path.name}: {target}"


def test_no_benchmark_is_reachable_from_prompts_or_code() -> None:
    names = [path.name for path in (ROOT / "benchmarks" / "projects").iterdir()]
    texts = [path for folder in ("prompts", "roles", "sops", "company") for path in (ROOT / folder).rglob("*.*")]
    for path in texts:
        if path.suffix in (".py", ".j2", ".yaml"):
            words = set(re.findall(r"\w+", path.read_text("utf-8").lower()))
            found = {
                name
                for name in names
                if f"{name}.py" in path.read_text("utf-8") or (name in words and path.suffix != ".py")
            }
            assert not found, f"{path}: {found}"


def test_every_setting_stands_in_its_document_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    tables = re.split(r"^`\[", text, flags=re.MULTILINE)
    assert len(tables) == 3
    for table, model in zip(tables, (Settings, Provider, McpServer), strict=True):
        shown: dict[str, str] = {}
        for names, defaults in re.findall(r"^\| (`.*?) \| (.*?) \| ", table, re.MULTILINE):
            shown |= zip(re.findall(r"`(\w+)`", names), [*re.findall(r"`(.*?)`", defaults), "", ""], strict=False)
        assert set(shown) == set(model.model_fields)
        for name, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            plain = default.get_secret_value() if isinstance(default, SecretStr) else default
            if shown[name]:  # of the others it says in words what comes of none
                assert shown[name] == json.dumps(plain), name
            else:
                assert plain is None or field.is_required(), name


def test_every_field_of_an_artifact_stands_in_its_document() -> None:
    text = (ROOT / "docs" / "artifacts.md").read_text("utf-8")
    shown = {
        name: re.findall(r"`(\w+)", fields)
        for name, fields in re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", text, re.MULTILINE)
    }
    assert set(shown) == set(BUILT_IN)
    for name, made in BUILT_IN.items():
        assert set(made.model_fields) - set(shown[name]) == set(), name
