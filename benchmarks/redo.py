"""What `company redo` pays for after three typical edits: python benchmarks/redo.py --projects tally,durations

Each project is run once; then each edit is made to a copy of that workspace and of the folder with its procedure, and the run
is made again there: QA's prompt, the design, and QA's model. Prints tokens and minutes of the first run and of what was paid again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECTS = Path(__file__).parent / "projects"
EDITS = ("nothing", "a prompt", "the design", "a role's model")


def company(folder: Path, *words: str) -> dict[str, Any]:
    """One command in a folder with a procedure of its own; the object that it ends with."""
    command = [sys.executable, "-m", "company", *words, "--plain", "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    outcome: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return outcome


def edit(what: str, folder: Path, repo: Path, other: str) -> None:
    """Make one typical change."""
    if what == "a prompt":
        (prompt,) = (folder / "prompts/qa").glob("tests.md.j2")
        prompt.write_text(prompt.read_text() + "\nPrefer inputs at the edges of what is allowed.\n")
    elif what == "the design":
        design = repo / ".company/artifacts/design.json"
        data = json.loads(design.read_text())
        part = data["files"][-1]["parts"][-1]
        part["quote"] = f"{part['quote']} It says what went wrong in one line.".strip()
        design.write_text(json.dumps(data, indent=1) + "\n")
    elif what == "a role's model":
        role = folder / "roles/qa.yaml"
        role.write_text(role.read_text().rstrip() + f"\nmodel: {other}\n")


def measure(project: str, model: str, other: str, home: Path) -> list[dict[str, Any]]:
    """The first run of a project, and a redo after each edit."""
    folder = home / project
    subprocess.run([sys.executable, "-m", "company", "init", str(folder)], check=True, stdout=subprocess.DEVNULL)
    text = (PROJECTS / project / "requirement.txt").read_text("utf-8").strip()
    chosen = ("--model", model) if model else ()
    first = company(folder, "run", text, "--name", "out", "--headless", *chosen)
    rows = [{"project": project, "what": "first run", **first}]
    for what in EDITS:
        copy = home / f"{project}-{what.replace(' ', '-')}"
        shutil.copytree(folder, copy, symlinks=True)
        edit(what, copy, copy / "workspace/out", other)
        rows.append({"project": project, "what": what, **company(copy, "redo", first["run"], "--headless")})
    return rows


def table(rows: list[dict[str, Any]]) -> None:
    """Markdown, one line a run."""
    print("| project | edit | verdict | calls paid | tokens paid | share of the first run | steps kept | minutes |")
    print("|---|---|---|---|---|---|---|---|")
    whole = 1
    for row in rows:
        paid = row["prompt_tokens"] + row["completion_tokens"]
        whole = paid if row["what"] == "first run" else whole
        print(
            f"| {row['project']} | {row['what']} | {row['status']} | {row['calls']} | {paid} | {paid / whole:.0%} "
            f"| {row['cached_steps']} | {row['seconds'] / 60:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--projects", default="tally,durations,captions")
    parser.add_argument("--model", default="")
    parser.add_argument("--other", default="local:qwen2.5-coder-0.5b", help="QA's model after the third edit")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        rows = [
            row
            for project in given.projects.split(",")
            for row in measure(project, given.model, given.other, Path(home))
        ]
    table(rows)


if __name__ == "__main__":
    main()
