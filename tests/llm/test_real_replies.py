"""What real replies of small models taught the parser of code, one small case each.

The replies themselves: `corpus/`. What else is known of replies of code: `test_replies.py`.
"""

from __future__ import annotations

from company.llm.code_replies import parse_code, whole_files


def made(text: str, *expected: str) -> dict[str, str]:
    return {file.path: file.content for file in parse_code(text, expected=expected)}


def test_the_underscores_of_a_name_are_no_marks_around_it() -> None:
    text = "### __init__.py\n```python\nx = 1\n```\n\n### a.py\n```python\ny = 2\n```"
    assert made(text, "box/__init__.py", "box/a.py") == {"box/__init__.py": "x = 1\n", "box/a.py": "y = 2\n"}
    assert made("**`__main__.py`**:\n```python\nx = 1\n```") == {"__main__.py": "x = 1\n"}


def test_a_name_in_other_letters_is_the_one_that_was_asked_for() -> None:
    code = "def total():\n    return 1\n"
    example = "```python\ndef add():\n    pass\n\ndef main():\n    add()\n```"
    text = f"For instance:\n{example}\nThe `Cart.py` file:\n```python\n{code}```"
    assert made(text, "cart.py") == {"cart.py": code}
    cut = whole_files(f"### Cart.py\n```\n{code}```\n\n### other.py\n```\ndef a", ("cart.py",))
    assert [(file.path, file.content) for file in cut.values()] == [("cart.py", code)]
    both = f"### Cart.py\n```python\n{code}```\n### cart.py\n```python\nx = 1\n```"
    assert set(made(both, "Cart.py", "cart.py")) == {"Cart.py", "cart.py"}


def test_a_file_that_is_given_again_without_its_imports_keeps_them() -> None:
    body = "\n\ndef area(r):\n    return pi * r * r\n"
    first, again = f"from math import pi\n{body}", body.lstrip()
    text = f"### area.py\n```python\n{first}```\n\n### area.py\n```python\n{again}```"
    assert made(text, "area.py") == {"area.py": first}
    changed = again.replace("pi", "3")
    text = f"### area.py\n```python\n{first}```\n\n### area.py\n```python\n{changed}```"
    assert made(text, "area.py") == {"area.py": changed}


def test_the_word_that_stood_for_a_path_and_the_path_under_it_are_no_code() -> None:
    code = "def area(r):\n    return 3 * r * r\n"
    inside = f"```python\n### PATH\narea.py\n\n### SOLUTION\n\n{code}\n### END SOLUTION\n```"
    assert made(inside, "area.py") == {"area.py": code}
    assert made(inside.replace("\narea.py", "\n`src/area.py`"), "area.py") == {"area.py": code}
    two = f"```python\n### PATH\na.py\n{code}\n### PATH\nb.py\nx = 1\n```"
    assert made(two) == {"a.py": code, "b.py": "x = 1\n"}
    listed = "```\n### PATH\na.py\nb.py\n```"
    assert made(f"### a.py\n```python\n{code}```\n### b.py\n```python\nx = 1\n```\n{listed}") == {
        "a.py": code,
        "b.py": "x = 1\n",
    }
    text = f'def form():\n    """\n### PATH\na.py\n### SOLUTION\n    """\n\n\n{code}'
    assert made(f"```python\n{text}```", "area.py") == {"area.py": text}


def test_a_program_in_a_fence_of_its_own_inside_a_block_of_words_is_taken_out() -> None:
    code = "def area(r):\n    return 3 * r * r\n"
    words = "### PATH\narea.py\n\n### NAME\nArea of a circle\n\n### FUNCTION"
    assert made(f"```python\n{words}\n```python\n{code}```", "area.py") == {"area.py": code}
    assert made(f"```python\n{words}\n```python\n{code}```") == {"area.py": code}
    whole = 'def doc():\n    """\n    ```python\n    x = 1\n    ```\n    """\n'
    assert made(f"```python\n{whole}```", "area.py") == {"area.py": whole}
