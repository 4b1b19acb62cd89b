from accept import Check, Run, raises, value

I = "from gradebook.scores import average, drop_lowest\nfrom gradebook.letters import letter, passed"


def with_file(text, **expected):
    make = Run(("-c", f"open('class.txt', 'w').write({text!r})"))
    return make, Run(("-m", "gradebook", "class.txt"), **expected)


CHECKS = [
    Check("average", (value(I, "average([70, 81, 95])", 82.0), value(I, "average([1, 2, 2])", 1.7))),
    Check("average of nothing", (value(I, "average([])", 0.0),)),
    Check("drop lowest", (value(I, "drop_lowest([5, 3, 9])", [5, 9]),)),
    Check("drop one of equal ones", (value(I, "drop_lowest([4, 2, 2, 7])", [4, 2, 7]),)),
    Check("drop: too few", (value(I, "drop_lowest([8])", []), value(I, "drop_lowest([])", []))),
    Check("drop leaves the list alone", (value(I + "\nx = [3, 1]\ndrop_lowest(x)", "x", [3, 1]),)),
    Check("letters", (value(I, "[letter(n) for n in (100, 90, 89.9, 80, 70, 60, 59.9, 0)]", ["A", "A", "B", "B", "C", "D", "F", "F"]),)),
    Check("letter out of range", (raises(I, "letter(101)", "ValueError"), raises(I, "letter(-1)", "ValueError"))),
    Check("passed", (value(I, "[passed(60), passed(59)]", [True, False]),)),
    Check("program", with_file("Bo,60,100,80\nCy,70,50\n", stdout="Bo: 90.0 A\nCy: 70.0 C")),
    Check("program: empty lines", with_file("\nDi,95,85,90\n\n", stdout="Di: 92.5 A")),
    Check("program: no file", (Run(("-m", "gradebook", "nofile.txt"), stdout="", stderr="cannot read nofile.txt", status=1),)),
]
