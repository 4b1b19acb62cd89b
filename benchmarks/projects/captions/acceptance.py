from accept import Check, value

I = "from captions import title_case, shorten, initials"
CHECKS = [
    Check("title: small words inside", (value(I, 'title_case("a tale of two cities")', "A Tale of Two Cities"),)),
    Check("title: last word", (value(I, 'title_case("what it comes to")', "What It Comes To"),)),
    Check("title: first word", (value(I, 'title_case("on the road")', "On the Road"),)),
    Check("title: the rest is small", (value(I, 'title_case("WAR AND PEACE")', "War and Peace"),)),
    Check("title: spaces", (value(I, 'title_case("  the   old  man ")', "The Old Man"),)),
    Check("title: empty", (value(I, 'title_case("")', ""),)),
    Check("shorten: fits", (value(I, 'shorten("hello world", 11)', "hello world"),)),
    Check("shorten: drops words", (value(I, 'shorten("the quick brown fox jumps", 15)', "the quick..."),)),
    Check("shorten: exact fit", (value(I, 'shorten("alpha beta gamma", 13)', "alpha beta..."),)),
    Check("shorten: no word fits", (value(I, 'shorten("extraordinary thing", 8)', "extraord"),)),
    Check("initials", (value(I, 'initials("grace brewster murray hopper")', "G.B.M.H."),)),
    Check("initials: empty", (value(I, 'initials("")', ""),)),
]
