"""Asks a person at a gate, on the terminal: shows the artifact, takes a choice with a comment, opens `$EDITOR`.

What is asked and what an answer is: `people.py`. When: `gates.py`.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import shlex
import sys
import tempfile
import termios
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from company.artifacts import Artifact, SourceFile, TestFile
from company.errors import Interrupted, UsageError
from company.people import Answer, Question, as_text, from_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_CLOSED = "standard input was closed at a gate"


class TerminalPerson:
    """The person at this terminal, asked one question at a time.

    Args:
        hide, show: take the live view away and bring it back.
    """

    def __init__(self, console: Console, hide: Callable[[], None], show: Callable[[], None]) -> None:
        self._console = console
        self._hide, self._show = hide, show
        self._turn = asyncio.Lock()
        self._pending = b""
        self._drafts: dict[str, str] = {}
        self.waiting = False
        """Whether a question stands on the screen."""

    async def __call__(self, question: Question) -> Answer:
        """Ask until there is an answer.

        Raises:
            Interrupted: standard input ends.
        """
        async with self._turn:
            self._hide()
            self.waiting = True
            try:
                return await self._ask(question)
            finally:
                self.waiting = False
                self._show()

    async def _ask(self, question: Question) -> Answer:
        edited: dict[str, Any] = {}
        self._drafts.clear()
        self._pending = b""  # nobody answers a question before it is there
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        self._present(question)
        while True:
            words = (await self._line("your choice: ")).split(maxsplit=1)
            word, comment = (words[0], words[1] if len(words) > 1 else "") if words else ("", "")
            if word in ("e", "edit") and question.editable and word not in question.choices:
                await self._edit(question, comment, edited)
                continue
            choice = _meant(word, question)
            if not choice:
                self._say(f"`{word}` is none of the choices" if word else "type a choice, or its number", "yellow")
                continue
            if choice in question.used_up:
                self._say(f"`{choice}` is not offered any more", "yellow")
                continue
            if question.choices[choice] == "fail" and choice != word:
                sure = await self._line(f"`{choice}` ends the run as failed: type {choice} to do so: ")
                if sure.strip() != choice:
                    continue
            if not comment and question.choices[choice] != "next":
                comment = (await self._line("what is wrong? (enter for no comment) ")).strip()
            return Answer(choice, comment, edited)

    # --- what is seen

    def _present(self, question: Question) -> None:
        from company.markdown import render
        from company.progress import clean
        from company.terminal import harmless

        where = f"{question.step} [{question.item}]" if question.item else question.step
        self._say(f"\n━━ {clean(where)}: your decision ━━", "bold cyan")
        for name, value in question.shown.items():
            self._say(f"\n{name}", "bold")
            self._say(harmless(render(value)).strip() or "(nothing: the step was skipped)")
        self._say("")
        for number, (choice, target) in enumerate(question.choices.items(), 1):
            if choice in question.used_up:
                self._say(f"  -  {choice:<12} not any more: it was sent back as often as the gate allows", "dim")
            else:
                self._say(f"  {number}  {choice:<12} {_leads(target, question.left)}")
        if question.editable:
            names = " or ".join(f"`e {name}`" for name in question.shown if name in question.editable)
            self._say(f"  e  {'edit':<12} change it first ({names} in $EDITOR)")
        example = next((choice for choice, target in question.choices.items() if target != "next"), "")
        how = f"A comment may follow the choice: `{example} the names are wrong`. " if example else ""
        self._say(f"{how}Ctrl-C stops the run here; `company resume` asks again.", "dim")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, soft_wrap=True)

    def _difference(self, old: Any, new: Any) -> None:
        """What an edit changed, line by line."""
        from company.markdown import render
        from company.terminal import harmless

        lines = difflib.unified_diff(render(old).splitlines(), render(new).splitlines(), lineterm="", n=0)
        for line in [*lines][2:]:
            self._say(harmless(line), "green" if line.startswith("+") else "red" if line.startswith("-") else "dim")

    # --- what is typed

    async def _line(self, prompt: str) -> str:
        """One line from the terminal, without a thread that would outlive the question."""
        self._console.print(prompt, end="")
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        descriptor = sys.stdin.fileno()
        while b"\n" not in self._pending:
            arrived.clear()
            loop.add_reader(descriptor, arrived.set)
            try:
                await arrived.wait()
            finally:
                loop.remove_reader(descriptor)
            data = os.read(descriptor, 65536)
            if not data:
                raise Interrupted(_CLOSED, hint="`company resume` asks again")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace")

    async def _edit(self, question: Question, name: str, edited: dict[str, Any]) -> None:
        """Let the person change one thing that is shown; what does not fit is said, and kept for the next try."""
        names = [each for each in question.shown if each in question.editable]
        name = name.strip() or (names[0] if len(names) == 1 else "")
        if name not in names:
            self._say(f"which one? {', '.join(f'e {each}' for each in names)}", "yellow")
            return
        old = edited.get(name, question.shown[name])
        try:
            if isinstance(old, list) and old and all(isinstance(one, SourceFile | TestFile) for one in old):
                made: Any = [await self._in_editor(one, one.path) for one in old]
            else:
                made = await self._in_editor(old, name)
            changed = question.fitting(name, made)
            self._drafts.clear()
        except UsageError as error:
            self._say(f"not taken: {error}" + (f"; {error.hint}" if error.hint else ""), "yellow")
            return
        if changed == old:
            self._say(f"{name} is as it was")
            return
        edited[name] = changed
        self._say(f"{name} is changed:")
        self._difference(old, changed)

    async def _in_editor(self, value: Any, name: str) -> Any:
        try:
            editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "") or ["vi"]
        except ValueError as error:
            raise UsageError(f"EDITOR is no command: {error}") from error
        structured = isinstance(value, Artifact | list | dict) and not isinstance(value, SourceFile | TestFile)
        ending = ".json" if structured else Path(name).suffix or ".md"
        with _file(self._drafts.get(name) or as_text(value), ending) as path:
            try:
                process = await asyncio.create_subprocess_exec(*editor, str(path))
            except OSError as error:
                raise UsageError(
                    f"cannot start the editor `{editor[0]}`: {error.strerror}", hint="set EDITOR to one that is here"
                ) from error
            if status := await process.wait():
                raise UsageError(f"the editor ended with status {status}")
            try:
                text = path.read_text("utf-8")
            except UnicodeDecodeError as error:
                raise UsageError("it is not UTF-8 text") from error
            except OSError as error:
                raise UsageError(f"what the editor left cannot be read: {error.strerror}") from error
            self._drafts[name] = text  # what does not fit is there again at the next try
            return from_text(text, value)


@contextmanager
def _file(text: str, ending: str) -> Iterator[Path]:
    """A file of its own for the editor, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="company-edit-") as folder:
        path = Path(folder) / f"edit{ending}"
        path.write_text(text, "utf-8")
        yield path


def _leads(target: str, left: int) -> str:
    times = "once more" if left == 1 else f"{left} times more"
    back = f"back to {target}, with your comment ({times} at most)"
    return {"next": "goes on", "fail": "ends the run as failed"}.get(target, back)


def _meant(word: str, question: Question) -> str:
    """The choice that a number, a name or the beginning of one means; empty for none."""
    choices = list(question.choices)
    if word in choices:
        return word
    if word.isdecimal() and 1 <= int(word) <= len(choices):
        return choices[int(word) - 1]
    begun = [choice for choice in choices if word and choice.startswith(word)]
    return begun[0] if len(begun) == 1 else ""
