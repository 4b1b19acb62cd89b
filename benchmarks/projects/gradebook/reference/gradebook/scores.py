def average(scores):
    return round(sum(scores) / len(scores), 1) if scores else 0.0


def drop_lowest(scores):
    if len(scores) < 2:
        return []
    rest = list(scores)
    rest.remove(min(rest))
    return rest
