from accept import Check, raises, value

I = "from durations import parse_duration, format_duration, total"
CHECKS = [
    Check("parse: several units", (value(I, 'parse_duration("1h30m")', 5400),)),
    Check("parse: one unit", (value(I, 'parse_duration("45s")', 45), value(I, 'parse_duration("3d")', 259200))),
    Check("parse: spaces", (value(I, 'parse_duration("2d 4h")', 187200), value(I, 'parse_duration("1h 5m 2s")', 3902))),
    Check("parse: capitals", (value(I, 'parse_duration("2H10M")', 7800),)),
    Check("parse: wrong order", (raises(I, 'parse_duration("5m1h")', "ValueError", "bad duration"),)),
    Check("parse: empty", (raises(I, 'parse_duration("")', "ValueError", "bad duration"),)),
    Check("parse: rubbish", (raises(I, 'parse_duration("abc")', "ValueError", "bad duration"),
                             raises(I, 'parse_duration("10")', "ValueError", "bad duration"))),
    Check("parse: a unit twice", (raises(I, 'parse_duration("1h2h")', "ValueError", "bad duration"),)),
    Check("format: all units", (value(I, "format_duration(90061)", "1d1h1m1s"),)),
    Check("format: leaves zero units out", (value(I, "format_duration(86460)", "1d1m"), value(I, "format_duration(7200)", "2h"))),
    Check("format: zero", (value(I, "format_duration(0)", "0s"),)),
    Check("format: negative", (raises(I, "format_duration(-1)", "ValueError"),)),
    Check("total", (value(I, 'total(["1h", "30m", "30m"])', "2h"),)),
]
