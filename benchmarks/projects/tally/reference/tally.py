import json
import sys
from pathlib import Path

FILE = Path("tally.json")


def main(args):
    counters = json.loads(FILE.read_text()) if FILE.exists() else {}
    command, rest = args[0], args[1:]
    ordered = sorted(counters.items(), key=lambda item: (-item[1], item[0]))
    status = 0
    if command == "up":
        counters[rest[0]] = counters.get(rest[0], 0) + (int(rest[1]) if len(rest) > 1 else 1)
        print(rest[0], counters[rest[0]])
    elif command == "down":
        if counters.get(rest[0], 0) == 0:
            print(rest[0], "is at 0")
            return 1
        counters[rest[0]] -= 1
        print(rest[0], counters[rest[0]])
    elif command == "show":
        for name, count in ordered:
            print(name, count)
    elif command == "reset":
        if counters.pop(rest[0], None) is None:
            print("unknown", rest[0])
            status = 1
        else:
            print("reset", rest[0])
    elif command == "top":
        print(ordered[0][0] if ordered else "-")
    FILE.write_text(json.dumps(counters))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
