from accept import Check, raises, value

I = "from inventory.stock import Stock\nfrom inventory import report\ns = Stock()"
F = I + "\ns.add('nut', 10, 0.5)\ns.add('bolt', 4, 1.25)"
CHECKS = [
    Check("empty", (value(I, "s.items()", []), value(I, "s.quantity('nut')", 0))),
    Check("add", (value(F, "s.items()", [("bolt", 4, 1.25), ("nut", 10, 0.5)]),)),
    Check("add again", (value(F + "\ns.add('nut', 5, 0.75)", "s.items()[1]", ("nut", 15, 0.75)),)),
    Check("remove", (value(F + "\ns.remove('nut', 3)", "s.quantity('nut')", 7),)),
    Check("remove all", (value(F + "\ns.remove('bolt', 4)", "s.items()", [("nut", 10, 0.5)]),)),
    Check("remove too many", (raises(F, "s.remove('bolt', 5)", "ValueError", "not enough bolt"),)),
    Check("remove unknown", (raises(F, "s.remove('gear', 1)", "KeyError"),)),
    Check("total value", (value(F, "report.total_value(s)", 10.0),)),
    Check("total value of nothing", (value(I, "float(report.total_value(s))", 0.0),)),
    Check("low", (value(F, "report.low(s, 5)", ["bolt"]), value(F, "report.low(s, 11)", ["bolt", "nut"]))),
    Check("text", (value(F, "report.as_text(s)", "bolt: 4 x 1.25 = 5.00\nnut: 10 x 0.50 = 5.00"),)),
    Check("text of nothing", (value(I, "report.as_text(s)", ""),)),
]
