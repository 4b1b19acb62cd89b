"""What a form sends: its fields as texts, of a bounded size.

Who may send one at all: `guard.py`. What is done with them: the pages.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException

from company.studio.guard import LARGEST

if TYPE_CHECKING:
    from starlette.requests import Request

_FIELDS = 1000
_PATIENCE = 30.0
"""Seconds in which a form must be there."""


class Form:
    """The fields of a form; one that was left empty, or is not there, is an empty text."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """A field as it was typed; browsers end its lines in another way than files."""
        return self._fields.get(name, [""])[-1].replace("\r\n", "\n")

    def word(self, name: str) -> str:
        """A field of one line, without spaces around it."""
        return self.text(name).strip()

    def on(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self._fields

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be there several times."""
        return list(self._fields.get(name, ()))

    def beginning(self, prefix: str) -> dict[str, str]:
        """The fields whose names begin so, by the rest of their names."""
        return {name.removeprefix(prefix): self.text(name) for name in self._fields if name.startswith(prefix)}


async def form_of(request: Request, most: int = LARGEST) -> Form:
    """The form that a request brings.

    Raises:
        HTTPException: it is larger than `most` bytes, or no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "This takes a form as browsers send it: application/x-www-form-urlencoded.")
    data = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for piece in request.stream():
                data += piece
                if len(data) > most:
                    raise HTTPException(413, f"The form is larger than {most} bytes.")
    except TimeoutError as error:
        raise HTTPException(408, "The form did not come to its end.") from error
    try:
        return Form(parse_qs(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS))
    except ValueError as error:
        raise HTTPException(400, "The form cannot be read: it is not UTF-8 text, or has too many fields.") from error
