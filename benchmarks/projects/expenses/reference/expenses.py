import json
import sys
from pathlib import Path

FILE = Path("expenses.json")


def load():
    return json.loads(FILE.read_text()) if FILE.exists() else {"next": 1, "items": []}


def save(data):
    FILE.write_text(json.dumps(data))


def show(item):
    return f"{item['number']}: {item['amount']:.2f} {item['category']}"


def fail(text):
    print(text, file=sys.stderr)
    return 1


def main(args):
    data = load()
    command, rest = args[0], args[1:]
    if command == "add":
        try:
            amount = float(rest[0])
        except ValueError:
            amount = 0.0
        if not amount > 0:
            return fail("bad amount")
        item = {"number": data["next"], "amount": amount, "category": rest[1]}
        data["next"] += 1
        data["items"].append(item)
        save(data)
        print("added " + show(item))
    elif command == "list":
        print("\n".join(map(show, data["items"])) or "nothing yet")
    elif command == "total":
        chosen = [i["amount"] for i in data["items"] if not rest or i["category"] == rest[0]]
        print(f"{sum(chosen):.2f}")
    elif command == "remove":
        kept = [i for i in data["items"] if str(i["number"]) != rest[0]]
        if len(kept) == len(data["items"]):
            return fail(f"no expense {rest[0]}")
        data["items"] = kept
        save(data)
        print(f"removed {rest[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
