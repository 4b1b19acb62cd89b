"""The wheel in an empty environment: the command works, and the library came along."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check", "-w", str(folder), str(ROOT))
    subprocess.run([sys.executable, *words], check=True, capture_output=True, timeout=280)
    (found,) = folder.glob("*.whl")
    return found


def test_it_carries_procedures_roles_and_prompts(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("sops/waterfall.yaml", "roles/engineer.yaml", "prompts/engineer/code.md.j2"):
        assert f"company/_library/{name}" in names
    assert {
        "company/_library/sops/sop-1.json",
        "company/sop/explanations.md",
        "company/llm/prices.toml",
        "company/html.css",
        "company/handout.html.j2",
        "company/handout.md.j2",
    } <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "workspace/")) for name in names)


def test_it_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """The packages it needs are those of this environment, by a path file; `company` itself is only in the new one."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=200)
    python = tmp_path / "venv" / "bin" / "python"
    words = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel))
    subprocess.run([python, *words], check=True, capture_output=True, timeout=200)
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    needed = [path for path in ours.iterdir() if "company_sim" not in path.name and path.name != "__pycache__"]
    for path in needed:
        if not (site / path.name).exists() and not path.name.endswith(".pth"):
            (site / path.name).symlink_to(path)
    command = tmp_path / "venv" / "bin" / "company"
    where = subprocess.run(
        [python, "-c", "import company; print(company.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(tmp_path)), where.stderr
    words = ("run", "a module x.py", "--sop", "zero_shot", "--dry-run", "--name", "out")
    done = subprocess.run([command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "workspace" / "out" / "x.py").exists()
