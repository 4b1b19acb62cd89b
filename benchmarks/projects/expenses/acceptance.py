from accept import Check, program


def x(*a, **k):
    return program("expenses.py", *a, **k)


A, B = x("add", "12", "books"), x("add", "3.5", "tea")
CHECKS = [
    Check("add", (x("add", "7.25", "lunch", stdout="added 1: 7.25 lunch"),)),
    Check("add counts up", (A, x("add", "3.5", "tea", stdout="added 2: 3.50 tea"))),
    Check("amount is no number", (x("add", "lots", "tea", stdout="", stderr="bad amount", status=1),)),
    Check("amount is not positive", (x("add", "0", "tea", stderr="bad amount", status=1), x("add", "-2", "tea", stderr="bad amount", status=1))),
    Check("a bad amount stores nothing", (x("add", "x", "tea", status=1), x("list", stdout="nothing yet"))),
    Check("list", (A, B, x("list", stdout="1: 12.00 books\n2: 3.50 tea"))),
    Check("list: nothing", (x("list", stdout="nothing yet"),)),
    Check("total", (A, B, x("total", stdout="15.50"))),
    Check("total of a category", (A, B, A, x("total", "books", stdout="24.00"))),
    Check("total: nothing", (x("total", stdout="0.00"),)),
    Check("remove", (A, B, x("remove", "1", stdout="removed 1"), x("list", stdout="2: 3.50 tea"))),
    Check("remove: unknown", (A, x("remove", "5", stdout="", stderr="no expense 5", status=1))),
]
