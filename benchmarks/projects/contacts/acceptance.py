from accept import Check, Run, program


def x(*a, **k):
    return program("contacts.py", *a, **k)


A, B = x("add", "Ann Lee", "555-1"), x("add", "Bob", "555-2")
CHECKS = [
    Check("add", (x("add", "Zoe", "12", stdout="saved Zoe"),)),
    Check("add: name is there", (A, x("add", "Ann Lee", "9", stdout="Ann Lee exists", status=1))),
    Check("add: other capitals", (A, x("add", "ANN LEE", "9", stdout="ANN LEE exists", status=1), x("count", stdout="1"))),
    Check("file", (A, Run(("-c", "print(open('contacts.csv').read().split())"), stdout=str(["name,phone", "Ann", "Lee,555-1"])))),
    Check("find", (A, B, x("find", "bo", stdout="Bob: 555-2"))),
    Check("find sorts", (B, A, x("find", "", stdout="Ann Lee: 555-1\nBob: 555-2"))),
    Check("find: none", (A, x("find", "xyz", stdout="no match", status=1))),
    Check("find: no file yet", (x("find", "a", stdout="no match", status=1),)),
    Check("change", (A, x("change", "Ann Lee", "777", stdout="changed Ann Lee"), x("find", "ann", stdout="Ann Lee: 777"))),
    Check("change: unknown", (A, x("change", "Cy", "1", stdout="Cy is unknown", status=1))),
    Check("count", (x("count", stdout="0"), A, B, x("count", stdout="2"))),
    Check("usage", (x(stdout="usage: contacts.py add|find|change|count", status=2), x("dance", stdout="usage: contacts.py add|find|change|count", status=2))),
]
