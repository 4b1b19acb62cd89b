"""A reply of code that was cut at its length: what of it is whole is kept and the rest asked for, or it is gone on with.

No line of it is used unless its file is whole. Where texts join: `joining.py`; who asks again from the beginning: `gateway.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from company.errors import ReplyError, StepFailed
from company.llm.ask import Ask
from company.llm.client import Message, Reply, Request
from company.llm.code_replies import parse_code, whole_files
from company.llm.edits import has_edits
from company.llm.fences import in_thoughts
from company.llm.joining import cut_of, joins, sound_files, without_circle
from company.markdown import fenced

MORE = 2
"""Calls that one question may have, beside its tries, for what was missing in replies that were cut."""


class Cuts:
    """What is done about the cut replies to one question.

    Args:
        call: asks once more, as the request of the reply that was cut did.
    """

    def __init__(self, call: Callable[[Ask, Request], Awaitable[Reply]]) -> None:
        self._call = call
        self._left = MORE

    async def whole(self, ask: Ask, text: str, request: Request) -> str:
        """A whole reply to `ask` from one to `request` that was cut.

        Raises:
            ReplyError: there is none, and the question is to be asked again.
        """
        fact = f"the reply was cut at {request.max_tokens} tokens"
        fault = ReplyError(
            fact,
            raw=text,
            reason=f"Your reply was cut at {request.max_tokens} tokens. Answer again, whole and shorter.",
        )
        if ask.schema is not None or in_thoughts(text) or has_edits(text):  # half of a change may do harm
            raise fault
        once = without_circle(text)
        files = {path: file.content for path, file in whole_files(once or text, ask.expects).items()}
        if ask.expects and files.keys() >= set(ask.expects):
            return _written(files)
        if once:
            reason = (
                "Your reply said the same again and again until it was cut. Answer again: each thing once, and stop."
            )
            raise ReplyError("the reply was cut, going round in circles", raw=once, reason=reason)
        try:
            if ask.needs_all and files.keys() & set(ask.expects):
                return await self._others(ask, files, request)
            return await self._rest(ask, text, request)
        except (ReplyError, StepFailed) as error:  # StepFailed: the talk has no room for more
            raise fault from error

    async def _others(self, ask: Ask, whole: Mapping[str, str], request: Request) -> str:
        """Ask for the files that are missing, alone; what came whole beside the expected ones is carried along."""
        missing = tuple(path for path in ask.expects if path not in whole)
        say = (
            f"Your reply was cut. {_listed(whole)} came whole and will be kept: do not give it again. Give now only "
            f"{_listed(missing)}, whole: for each file the line `### ` with its path, as `### {missing[0]}`, and one fenced block."
        )
        asked = replace(ask.follow(Message("assistant", _written(whole)), Message("user", say)), expects=missing)
        reply = await self._more(asked, request)
        text = reply.text if reply.finish_reason != "length" else await self.whole(asked, reply.text, request)
        given = {file.path: file.content for file in parse_code(text, expected=missing)}
        files = {path: whole[path] if path in whole else given.get(path) for path in (*ask.expects, *whole)}
        known = {path: content for path, content in files.items() if content is not None}
        joined = _written(known)
        if sound_files(joined, ask.expects, needs_all=True) != known:
            raise _none("a file is still missing, or is none")
        return joined

    async def _rest(self, ask: Ask, text: str, request: Request) -> str:
        """Let the model go on from a line whose next ones are known."""
        cut = cut_of(text, ask.expects)
        if not cut:
            raise _none("there is no place to go on from")
        say = (
            f"Your reply was cut after the line `{cut.body[-1].rstrip()}`. Go on with the line that comes next, in a "
            f"```{cut.language or 'python'} block, to the end. Repeat nothing, and begin nothing anew."
        )
        reply = await self._more(ask.follow(Message("assistant", cut.text), Message("user", say)), request)
        joined = list(joins(cut, reply.text))
        if reply.finish_reason == "length":
            if len(joined) != 1:
                raise _none("nobody can tell how it goes on")
            return await self.whole(ask, joined[0].text, request)
        ways: dict[str, dict[str, str]] = {}
        for way in joined:
            if (files := sound_files(way.text, ask.expects, needs_all=False)) and files not in ways.values():
                ways[way.text] = files
        if len(ways) != 1:
            raise _none("it is not whole with that, or in more than one way")
        ((made, files),) = ways.items()
        if ask.needs_all and not files.keys() >= set(ask.expects):
            return await self._others(ask, files, request)
        return made

    async def _more(self, ask: Ask, request: Request) -> Reply:
        if not self._left:
            raise _none("it was gone on with often enough")
        self._left -= 1
        return await self._call(ask, request)


def _written(files: Mapping[str, str]) -> str:
    return "\n\n".join(fenced(path, content) for path, content in files.items())


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _none(why: str) -> ReplyError:
    return ReplyError(f"a cut reply is not gone on with: {why}")
