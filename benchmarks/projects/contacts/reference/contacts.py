import csv
import sys
from pathlib import Path

FILE = Path("contacts.csv")


def load():
    if not FILE.exists():
        return []
    with FILE.open(newline="") as file:
        return list(csv.DictReader(file))


def save(people):
    with FILE.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "phone"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(people)


def main(args):
    people = load()
    match args:
        case ["add", name, phone]:
            if any(p["name"].lower() == name.lower() for p in people):
                print(f"{name} exists")
                return 1
            save([*people, {"name": name, "phone": phone}])
            print(f"saved {name}")
        case ["find", text]:
            found = sorted((p for p in people if text.lower() in p["name"].lower()), key=lambda p: p["name"])
            if not found:
                print("no match")
                return 1
            for p in found:
                print(f"{p['name']}: {p['phone']}")
        case ["change", name, phone]:
            known = [p for p in people if p["name"] == name]
            if not known:
                print(f"{name} is unknown")
                return 1
            known[0]["phone"] = phone
            save(people)
            print(f"changed {name}")
        case ["count"]:
            print(len(people))
        case _:
            print("usage: contacts.py add|find|change|count")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
