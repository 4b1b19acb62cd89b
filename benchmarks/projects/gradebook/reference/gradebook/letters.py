def letter(score):
    if not 0 <= score <= 100:
        raise ValueError("score out of range")
    for limit, name in ((90, "A"), (80, "B"), (70, "C"), (60, "D")):
        if score >= limit:
            return name
    return "F"


def passed(score):
    return letter(score) != "F"
