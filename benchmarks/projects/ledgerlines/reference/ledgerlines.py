def parse_line(line):
    body, _, comment = line.partition("#")
    fields = body.split()
    if len(fields) != 3:
        raise ValueError(f"bad line: {line}")
    try:
        amount = float(fields[2])
    except ValueError:
        raise ValueError(f"bad line: {line}") from None
    return {"date": fields[0], "category": fields[1], "amount": amount, "comment": comment.strip()}


def parse_ledger(text):
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [parse_line(line) for line in lines]


def balance(entries):
    return round(sum(entry["amount"] for entry in entries), 2)


def by_category(entries):
    sums = {}
    for entry in entries:
        sums[entry["category"]] = sums.get(entry["category"], 0) + entry["amount"]
    return {name: round(sums[name], 2) for name in sorted(sums)}


def largest(entries):
    return max(entries, key=lambda entry: abs(entry["amount"]), default=None)
