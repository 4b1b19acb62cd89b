from accept import Check, program


def x(*a, **k):
    return program("tally.py", *a, **k)


CHECKS = [
    Check("up", (x("up", "cats", stdout="cats 1"), x("up", "cats", stdout="cats 2"))),
    Check("up by a number", (x("up", "dogs", "4", stdout="dogs 4"), x("up", "dogs", "3", stdout="dogs 7"))),
    Check("down", (x("up", "a", "3"), x("down", "a", stdout="a 2"))),
    Check("down to zero", (x("up", "a"), x("down", "a", stdout="a 0"), x("down", "a", stdout="a is at 0", status=1))),
    Check("down: never counted", (x("down", "b", stdout="b is at 0", status=1),)),
    Check("show sorts by count", (x("up", "a"), x("up", "b", "9"), x("up", "c", "4"), x("show", stdout="b 9\nc 4\na 1"))),
    Check("show: equal ones by name", (x("up", "pear"), x("up", "apple"), x("show", stdout="apple 1\npear 1"))),
    Check("show: nothing", (x("show", stdout=""),)),
    Check("reset", (x("up", "a"), x("up", "b"), x("reset", "a", stdout="reset a"), x("show", stdout="b 1"))),
    Check("reset: unknown", (x("reset", "q", stdout="unknown q", status=1),)),
    Check("top", (x("up", "x"), x("up", "y", "2"), x("top", stdout="y"))),
    Check("top: none", (x("top", stdout="-"),)),
]
