import sys

from gradebook.letters import letter
from gradebook.scores import average, drop_lowest


def main():
    try:
        with open(sys.argv[1]) as file:
            lines = file.read().splitlines()
    except OSError:
        print(f"cannot read {sys.argv[1]}", file=sys.stderr)
        return 1
    for line in lines:
        if line.strip():
            name, *scores = line.split(",")
            mean = average(drop_lowest([float(score) for score in scores]))
            print(f"{name}: {mean} {letter(mean)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
