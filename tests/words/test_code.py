"""Generated code, put together and looked at: parts, patches, forgotten imports, placeholders."""

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from company.assemble import Module, definition, docstring, elided, graft
from company.lint import (
    complaints,
    findings,
    hidden_methods,
    placeholders_left,
    undefined_names,
    with_imports,
    with_values,
)


def test_a_module_grows_part_by_part() -> None:
    module = Module("Says things.", ("load", "main"))
    assert module.add("import json\nFILE = 'a.json'\n\ndef load():\n    return json.load(open(FILE))\n", "load")
    assert module.names == {"load", "main", "json", "FILE"}
    assert not module.add("def other():\n    pass\n", "main")
    assert module.add(
        "import json\n\ndef load():\n    return None\n\ndef main(args):\n    # start\n    print(load())\n", "main"
    )
    assert module.text() == (
        '"""Says things."""\n\nimport json\nimport sys\n\nFILE = \'a.json\'\n\n\ndef other():\n    pass\n\n\n'
        "def load():\n    return json.load(open(FILE))\n\n\ndef main(args):\n    # start\n    print(load())\n\n\n"
        'if __name__ == "__main__":\n    sys.exit(main(sys.argv[1:]))\n'
    )


def test_a_main_without_arguments_is_called_without() -> None:
    module = Module("", ("main",))
    module.add("def main():\n    return 0", "main")
    assert module.text().endswith("sys.exit(main())\n")


OLD = '"""Doc."""\n\nimport os\n\nX = 1\n\n\n@cache\ndef a():\n    return X\n\n\ndef b():\n    return 2\n\n\nif __name__ == "__main__":\n    a()\n'


def test_a_patch_of_one_function() -> None:
    new = "import re\nX = 5\n\ndef b():\n    return 3\n\ndef c():\n    return 4\n"
    merged = graft(OLD, new)
    assert merged.startswith('"""Doc."""\nimport re\n')
    assert "X = 5" in merged
    assert "X = 1" not in merged
    assert "@cache\ndef a():\n    return X\n" in merged
    assert "def b():\n    return 3\n" in merged
    assert merged.index("def c()") < merged.index('if __name__ == "__main__":')
    ast.parse(merged)


names = st.sampled_from(["a", "b", "c", "d"])
modules = st.lists(st.tuples(names, st.integers(0, 9)), min_size=1, max_size=4, unique_by=lambda pair: pair[0]).map(
    lambda pairs: "\n\n\n".join(f"def {name}():\n    return {value}" for name, value in pairs) + "\n"
)


@given(modules, modules)
@settings(max_examples=60, deadline=None)
def test_a_graft_has_the_new_functions_and_keeps_the_others(old: str, new: str) -> None:
    made = graft(old, new)
    functions = {node.name for node in ast.parse(made).body if isinstance(node, ast.FunctionDef)}
    for name in "abcd":
        expected = definition(new, name) or definition(old, name)
        assert definition(made, name) == expected
        assert (name in functions) == bool(expected)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f(a):\n    return a + b", ["b"]),
        ("import os\nprint(os.sep, json.x)", ["json"]),
        ("def f():\n    global g\n    g = 1\ndef h():\n    return g", []),
        ("[x for x in range(3) if x]\nclass A:\n    y = 1\n    def m(self):\n        return self.y", []),
        ("from x import *\nprint(anything)", []),
        ("try:\n    pass\nexcept ValueError as e:\n    print(e, __file__)", []),
        ("def f():\n    return g()\ndef g():\n    return later", ["later"]),
    ],
)
def test_undefined_names(code: str, found: list[str]) -> None:
    assert undefined_names(code) == found


def test_an_undefined_name_in_a_text_is_told_as_what_it_may_be() -> None:
    text, plain = (findings(code, (), ())[0].text for code in ('print(f"usage: {up|1}")', 'print(f"{up}", up)'))
    assert (
        text
        == "`up` in the braces of an f-string is code, and nowhere defined: write `{{` and `}}` where a brace is meant."
    )
    assert plain.startswith("`up` is used and nowhere defined")


def test_forgotten_standard_imports_are_added_after_the_docstring() -> None:
    assert (
        with_imports('"""Doc."""\nprint(json.dumps(1), csv)\n')
        == '"""Doc."""\n\nimport csv\nimport json\nprint(json.dumps(1), csv)\n'
    )
    assert with_imports("print(numpy)\n") == "print(numpy)\n"
    assert with_imports("print(") == "print("


def test_placeholders_get_their_values_where_there_are_some() -> None:
    code = 'def add(name):\n    """NAME is added."""\n    print("NAME exists", "ü NAME", end="")\n    print("usage: NAME")\n    print("no CITY")\n'
    made = with_values(code, {"NAME", "CITY"})
    assert made == code.replace('"NAME exists"', "f'{name} exists'").replace('"ü NAME"', "f'ü {name}'")
    assert placeholders_left(made, {"NAME", "CITY"}) == ["no CITY"]
    assert complaints(made, (), {"NAME", "CITY"}) == [
        'The text "no CITY" still holds a placeholder of the requirement: put the value in its place.'
    ]


def test_a_docstring_is_one_safe_sentence() -> None:
    assert docstring('It says """hi""". And more.') == "It says '''hi'''."


def test_a_program_always_has_a_main_that_fits_the_design() -> None:
    from company.artifacts import FileSpec
    from company.llm.stated import with_main

    spec = with_main(FileSpec(path="a.py", purpose="p", depends_on=[], parts=[]), "a script")
    assert [part.name for part in spec.parts] == ["main"]
    assert with_main(spec, "a script") == spec


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (
            "class S:\n    def __init__(self):\n        self.items = {}\n    def items(self):\n        return 1",
            [("S", "items")],
        ),
        ("class S:\n    def __init__(self):\n        self._items = {}\n    def items(self):\n        return 1", []),
        ("class S:\n    @property\n    def a(self):\n        return 1\n    def b(self):\n        self.a = 2", []),
        ("class S:\n    def a(self, other):\n        other.a = 1", []),
        ("class S:\n    def a(self):\n        return self.a", []),
    ],
)
def test_an_attribute_that_hides_a_method_is_seen(code: str, found: list[tuple[str, str]]) -> None:
    assert hidden_methods(code) == found
    assert bool(complaints(code, (), ())) is bool(found)


def test_what_is_written_anew_is_left_out_of_what_is_shown() -> None:
    code = "import re\n\n\n@cached\ndef a(x):\n    return 1\n\n\ndef b(): return a(1)\n\n\nclass C:\n    def a(self):\n        pass\n"
    shown = elided(code, "a", "def a(x)")
    assert "return 1" not in shown
    assert "def a(x):\n    ...  # left out\n\n\ndef b(): return a(1)\n" in shown
    assert "    def a(self):\n        pass\n" in shown
    ast.parse(elided(code, "b", "def b()"))
    assert elided(code, "absent", "def absent()") == code


def test_a_constant_that_names_a_function_stands_after_it() -> None:
    module = Module("", ("add", "main"))
    module.add("LIMIT = 3\ndef add(x):\n    return x + LIMIT\n", "add")
    module.add("COMMANDS = {'add': add}\ndef main():\n    return COMMANDS['add'](1)\n", "main")
    space: dict[str, Any] = {}
    exec(module.text().replace("sys.exit(main())", "pass"), space)
    assert space["main"]() == 4
    grafted = graft(
        "def a():\n    return 1\n\n\nif __name__ == '__main__':\n    a()\n", "T = {'a': a}\ndef b():\n    return T\n"
    )
    space = {}
    exec(grafted, space)
    assert space["b"]()["a"]() == 1


def test_part_of_a_tuple_of_constants_is_set_after_it() -> None:
    space: dict[str, Any] = {}
    exec(graft("A, B = 1, 2\n", "A = 3\n"), space)
    assert (space["A"], space["B"]) == (3, 2)


@pytest.mark.parametrize(
    "head",
    [
        "",
        "#!/usr/bin/env python3\n",
        '"""Doc."""\n',
        "from __future__ import annotations\n",
        '#!/bin/x\n"""Doc."""\n\nfrom __future__ import annotations\n',
    ],
)
def test_imports_go_where_python_allows_them(head: str) -> None:
    code = head + "X = json.dumps(1)\n"
    for made in (with_imports(code), graft(head + "X = 1\n", "import json\nY = json.dumps(1)\n")):
        assert made.startswith(head.split("\n")[0])
        exec(compile(made, "m", "exec"), {})


def test_a_text_in_a_nested_function_is_filled_in_once() -> None:
    code = "def a(name):\n    def b(name):\n        return 'NAME exists'\n    return b(name)\n"
    made = with_values(code, {"NAME"})
    assert made.count("{name} exists") == 1
    ast.parse(made)
