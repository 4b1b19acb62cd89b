from accept import Check, raises, value

I = "from ledgerlines import parse_line, parse_ledger, balance, by_category, largest"
E = I + "\nE = [dict(date='2024-01-0%d' % n, category=c, amount=a, comment='') for n, c, a in [(1, 'food', -10.1), (2, 'pay', 100.0), (3, 'food', -20.2)]]"
CHECKS = [
    Check("line with a comment", (value(I, 'parse_line("2024-05-01 food -12.5 # market")',
          {"date": "2024-05-01", "category": "food", "amount": -12.5, "comment": "market"}),)),
    Check("line without a comment", (value(I, 'parse_line("2024-05-02 pay 2000")',
          {"date": "2024-05-02", "category": "pay", "amount": 2000.0, "comment": ""}),)),
    Check("too few fields", (raises(I, 'parse_line("2024-05-01 food")', "ValueError", "bad line: 2024-05-01 food"),)),
    Check("too many fields", (raises(I, 'parse_line("2024-05-01 fast food 3")', "ValueError", "bad line: 2024-05-01 fast food 3"),)),
    Check("amount is no number", (raises(I, 'parse_line("2024-05-01 food much")', "ValueError", "bad line: 2024-05-01 food much"),)),
    Check("ledger", (value(I, 'len(parse_ledger("2024-05-01 a 1\\n\\n# note\\n2024-05-02 b 2 # x\\n"))', 2),)),
    Check("ledger: empty text", (value(I, 'parse_ledger("")', []),)),
    Check("balance", (value(E, "balance(E)", 69.7),)),
    Check("balance of nothing", (value(E, "float(balance([]))", 0.0),)),
    Check("by category", (value(E, "list(by_category(E).items())", [("food", -30.3), ("pay", 100.0)]),)),
    Check("largest", (value(E, "largest(E)['category']", "pay"), value(E, "largest(E[::2])['amount']", -20.2))),
    Check("largest of nothing", (value(E, "largest([])", None),)),
]
