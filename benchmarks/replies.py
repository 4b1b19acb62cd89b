"""How often replies can be used: python benchmarks/replies.py WORKSPACE …

Folds the journals of the runs below the folders by model and kind of reply: usable at the first try, after being told what was
wrong, never. Run it on what `run_projects.py` left.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

from company.events import read


def main() -> None:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for folder in sys.argv[1:]:
        for journal in Path(folder).rglob("events.jsonl"):
            model = ""
            for event in read(journal):
                if event["event"] in ("run_started", "run_resumed"):
                    model = event["model"]
                elif event["event"] == "reply_accepted":
                    counts[model, event["step"]]["first" if event["attempt"] == 1 else "repaired"] += 1
                elif event["event"] == "reply_rejected" and event["attempt"] == 3:
                    counts[model, event["step"]]["never"] += 1
    print("| model | step | questions | first try | after repair | never |")
    print("|---|---|---|---|---|---|")
    for (model, step), count in sorted(counts.items()):
        total = sum(count.values())
        shares = " | ".join(f"{count[kind] / total:.1%}" for kind in ("first", "repaired", "never"))
        print(f"| {model} | {step} | {total} | {shares} |")
    for model in sorted({model for model, _ in counts}):
        count = sum((found for (name, _), found in counts.items() if name == model), Counter())
        total = sum(count.values())
        shares = " | ".join(f"{count[kind] / total:.1%}" for kind in ("first", "repaired", "never"))
        print(f"| {model} | all | {total} | {shares} |")


if __name__ == "__main__":
    main()
