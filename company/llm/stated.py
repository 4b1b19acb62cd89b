"""What a requirement's own words make of a design, by rule: the parts that it gives, where data is kept, what is started.

What the words say: `company/interfaces.py`. How a model is asked for the rest: `structured.py`.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Collection, Sequence

from company.artifacts import MOST_PARTS, FileSpec, Part
from company.examples import have_no_verb, usages_in
from company.interfaces import classes_in, functions_in, store_in, words_about, words_about_main
from company.literals import CALL

_TOUCHES = re.compile(r"(?:^|_)(?:load|read|fetch|open|save|write|store|persist|dump|json|file)(?:_|$)|^get_\w+s$")
"""Names of parts that may be about where the data is kept."""


def as_stated(found: Sequence[Part], section: str, elsewhere: Collection[str]) -> list[Part]:
    """The parts that a file's words give, whether or not the model thought of them, with those that it added itself.

    Not among them are methods of the file's classes, and what the words give to another file.
    """
    classes, functions = classes_in(section), functions_in(section)
    stated = {name: f"class {name}" for name in classes} | functions
    methods = {match[1] for words in classes.values() for match in CALL.finditer(words)} - functions.keys()
    added = {part.name: part for part in found}
    for name, signature in stated.items():
        made = Part(
            signature=signature, purpose=f"What the requirement says of {name}", quote=words_about(name, section)[:600]
        )
        added.setdefault(name, made)
    wrong = (methods | set(elsewhere)) - stated.keys()
    return [part for name, part in added.items() if name not in wrong]


def with_store(file: FileSpec, requirement: str) -> FileSpec:
    """A program that keeps data in a file has one part that loads it and one that saves it, before all that need them."""
    store = store_in(requirement)
    known = any(_TOUCHES.search(part.name) or not part.is_function for part in file.parts)
    is_filter = have_no_verb(usages_in(requirement))  # what it writes, it never reads
    if not store or known or is_filter or len(file.parts) > MOST_PARTS - 3:
        return file
    name, words = store
    stem = re.sub(r"\W+", "_", name.rpartition(".")[0]).strip("_").lower()
    holds = f"Returns what {name} holds; where it is missing, no data."
    load = Part(signature=f"def load_{stem}()", purpose=holds, quote=words[:600])
    save = Part(signature=f"def save_{stem}(data)", purpose=f"Writes what load_{stem}() returns to {name}.", quote="")
    return file.model_copy(update={"parts": [load, save, *file.parts]})


def with_main(file: FileSpec, requirement: str) -> FileSpec:
    """A file that is run has a `main`, whether or not the model thought of it, after all that it calls.

    It takes no parameters, unless the words say what it is called with.
    """
    known = next((part for part in file.parts if part.name == "main"), None)
    plain = Part(signature="def main() -> int", purpose=known.purpose if known else "Starts the program", quote="")
    made = known if known and re.search(r"(?<![\w.])main\((?!\))", requirement) else plain
    others = [part for part in file.parts if part.name != "main"]
    main = made.model_copy(update={"quote": words_about_main(requirement)})
    return file.model_copy(update={"parts": [*others, main]})


def as_typed(signature: str, words: Sequence[Sequence[str]]) -> str:
    """The first line of a function that stands for a command: it takes the words as they are typed, and prints what comes of them.

    Data that the model would hand to it, it loads itself.

    Args:
        words: what follows the command in each of its forms, one at least: ``NAME``, or ``NAME 5``; placeholders and numbers alone.
    """
    node = ast.parse(f"{signature}:\n    pass\n").body[0]
    if not isinstance(node, ast.FunctionDef):
        return signature
    plain = [*node.args.posonlyargs, *node.args.args]
    defaults = dict(zip([each.arg for each in plain[::-1]], node.args.defaults[::-1], strict=False))
    placeholders = {name for form in words for word in form if (name := _parameter(word))}
    single = [
        each for each in plain if each.annotation is None or ast.unparse(each.annotation) in ("str", "int", "float")
    ]
    spare = iter([each.arg for each in single if each.arg not in placeholders])
    longest = max(words, key=len)
    names = list(
        dict.fromkeys(_parameter(word) or next(spare, f"value_{place}") for place, word in enumerate(longest, 1))
    )
    least = min(map(len, words))
    told = [
        f"{name}: str" + (f" = {_default(defaults.get(name))}" if place >= least else "")
        for place, name in enumerate(names)
    ]
    return f"def {node.name}({', '.join(told)}) -> None"


def _parameter(word: str) -> str:
    """The parameter for a placeholder, ``TASK_ID`` or ``<id>``; empty for a number, which is an example of one."""
    stands = word.strip("<>").lower()
    if not stands.isidentifier():
        return ""
    return f"{stands}_" if keyword.iskeyword(stands) else stands


def _default(value: ast.expr | None) -> str:
    known = value.value if isinstance(value, ast.Constant) else None
    return "None" if known is None else repr(str(known))
