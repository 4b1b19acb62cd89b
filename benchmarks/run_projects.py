"""Procedures against one another on `benchmarks/projects/`: python benchmarks/run_projects.py --sops zero_shot,waterfall

Runs `company run` on each requirement, judges each repository with `accept.py`, and keeps a JSON line for each run, so
that an interrupted measurement goes on where it stopped. Prints a Markdown table of every run and the means.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept import accept

PROJECTS = Path(__file__).parent / "projects"
_KEPT = (
    "status",
    "accepted",
    "calls",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "seconds",
    "model_seconds",
    "replies",
    "verdict",
)


def measure(project: Path, sop: str, seed: int, model: str, workspace: Path) -> dict[str, Any]:
    """One run, judged. Each has a workspace of its own: nothing is reused."""
    home = workspace / f"{sop}-{project.name}-{seed}"
    command = [
        *(sys.executable, "-m", "company", "run", (project / "requirement.txt").read_text("utf-8").strip()),
        *("--sop", sop, "--workspace", str(home), "--name", project.name, "--headless", "--plain", "--json"),
        *(("--model", model) if model else ()),
    ]
    began = time.time()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        outcome = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        outcome = {"status": f"exit {done.returncode}", "accepted": False}
    repo = home / project.name
    verdicts = accept(project, repo if repo.is_dir() else home)
    passed = sum(ok for ok, _ in verdicts.values())
    return {
        "project": project.name,
        "sop": sop,
        "seed": seed,
        "model": outcome.get("model", model),
        "passed": passed,
        "of": len(verdicts),
        "share": round(passed / len(verdicts), 4),
        "failed": {name: why for name, (ok, why) in verdicts.items() if not ok},
        "wall": round(time.time() - began, 1),
        **{key: outcome.get(key) for key in _KEPT},
    }


def table(rows: list[dict[str, Any]], sops: list[str]) -> Iterator[str]:
    """Markdown: every run, then the means."""
    yield "| project | procedure | accepted checks | own verdict | calls | tokens in + out | from cache | minutes | model-bound |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in sorted(rows, key=lambda row: (row["project"], sops.index(row["sop"]), row["seed"])):
        seconds, bound = row["seconds"] or 0, row["model_seconds"] or 0
        share = (row["cached_tokens"] or 0) / row["prompt_tokens"] if row["prompt_tokens"] else 0
        yield (
            f"| {row['project']} | {row['sop']} | {row['passed']} of {row['of']} | {row['status']} | {row['calls']} "
            f"| {row['prompt_tokens']} + {row['completion_tokens']} | {share:.0%} | {seconds / 60:.1f} "
            f"| {bound / seconds if seconds else 0:.1%} |"
        )
    yield ""
    yield "| procedure | runs | mean share of accepted checks | whole projects | tokens | minutes | own verdict right |"
    yield "|---|---|---|---|---|---|---|"
    for sop in sops:
        mine = [row for row in rows if row["sop"] == sop]
        if not mine:
            continue
        count = len(mine)
        tokens = sum((row["prompt_tokens"] or 0) + (row["completion_tokens"] or 0) for row in mine) / count
        right = sum(bool(row["accepted"]) == (row["passed"] == row["of"]) for row in mine)
        yield (
            f"| {sop} | {count} | {sum(row['share'] for row in mine) / count:.1%} "
            f"| {sum(row['passed'] == row['of'] for row in mine)} of {count} | {tokens:.0f} "
            f"| {sum(row['seconds'] or 0 for row in mine) / count / 60:.1f} | {right} of {count} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sops", default="zero_shot,waterfall")
    parser.add_argument("--projects", default="", help="names, separated by commas; all by default")
    parser.add_argument("--model", default="")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each")
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"))
    parser.add_argument("--workspace", type=Path, default=Path("workspace/benchmark"))
    arguments = parser.parse_args()
    sops = arguments.sops.split(",")
    names = arguments.projects.split(",") if arguments.projects else sorted(path.name for path in PROJECTS.iterdir())
    rows = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    known = {(row["project"], row["sop"], row["seed"]) for row in rows}
    for seed in range(1, arguments.seeds + 1):
        for sop in sops:
            for name in names:
                if (name, sop, seed) in known:
                    continue
                row = measure(PROJECTS / name, sop, seed, arguments.model, arguments.workspace)
                rows.append(row)
                with arguments.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{sop} {name}: {row['passed']} of {row['of']}, {row['wall']:.0f} s", file=sys.stderr, flush=True)
    chosen = [row for row in rows if row["sop"] in sops and row["project"] in names]
    print("\n".join(table(chosen, sops)))


if __name__ == "__main__":
    main()
