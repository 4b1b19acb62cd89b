"""What each code of the checker means: `explanations.md` in this folder, read and looked up.

Who reports a code: `diagnostics.py` lists them all. A test checks every example: a wrong one gives its code, a right one
does not.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from company.errors import UsageError
from company.sop.diagnostics import CODES, did_you_mean


@cache
def explanations() -> dict[str, str]:
    """Code to its text in Markdown, in the order of the file."""
    text = files("company.sop").joinpath("explanations.md").read_text("utf-8")
    parts = re.split(r"^## (SOP\d+)\n", text, flags=re.MULTILINE)
    return {code: body.strip() + "\n" for code, body in zip(parts[1::2], parts[2::2], strict=True)}


def explanation(code: str) -> str:
    """The text of a code, headed by what `CODES` says of it. Case does not matter, and ``204`` is ``SOP204``.

    Raises:
        UsageError: there is no such code.
    """
    known = code.strip().upper()
    known = f"SOP{known}" if known.isdecimal() else known
    if known not in CODES:
        hint = did_you_mean(known, CODES)
        raise UsageError(f"there is no code `{code}`", hint=f"{hint} `company sop explain` lists them".strip())
    return f"{known}: {CODES[known]}\n\n{explanations()[known]}"
