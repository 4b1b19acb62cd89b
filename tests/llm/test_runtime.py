"""Memory before a server is started, and a build of the runtime: made by pip from a stub of its source, measured, kept, used."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
import tiny_gguf
from hypothesis import given
from hypothesis import strategies as st

import company
from company.errors import Broken, EndpointError, UsageError
from company.llm import building, machine, runtime
from company.llm.local import LocalServer

pytest.importorskip("xllamacpp")
needs_pip = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this environment has no pip")

SAME = """
import sys
from pathlib import Path
here = str(Path(__file__).parents[1])
Path(here, "was-loaded").touch()
sys.path.remove(here)
del sys.modules["xllamacpp"]
import xllamacpp
"""
"""A build that is the installed wheel itself, and leaves a mark when it is loaded."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(company.__file__).parents[1]))
    return tmp_path / "cache" / "company" / "runtime"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_gguf.write(tmp_path / "tiny.gguf")


def stub(folder: Path, code: str) -> Path:
    """A package that stands for a build."""
    (folder / "xllamacpp").mkdir(parents=True)
    (folder / "xllamacpp" / "__init__.py").write_text(code)
    return folder


# --- memory ------------------------------------------------------------------------------------------


def test_what_a_model_needs_stands_in_its_head(model: Path) -> None:
    needs = machine.needs(model)
    assert needs
    assert needs.weights == model.stat().st_size
    assert needs.per_token == 1 * (32 + 32) * 2  # one layer, one head of 32 for keys and one for values, two bytes each
    assert needs.total(100, 3) - needs.total(0, 1) == 300 * needs.per_token


@pytest.mark.parametrize(
    ("facts", "heads"),
    [
        ({"attention.head_count_kv": 4}, 6 * 4),
        ({}, 6 * 8),
        ({"attention.head_count_kv": [0, 0, 4, 0, 4, 2]}, 10),
        ({"attention.head_count": [8, 4, 8, 4, 8, 8]}, 40),
        ({"attention.head_count_kv": 4, "full_attention_interval": 4, "ssm.state_size": 128}, 4),
        ({"attention.head_count_kv": [0, 0, 4, 0, 0, 4], "ssm.state_size": 128}, 8),
        ({"attention.head_count_kv": 4, "ssm.state_size": 128}, 0),
        ({"attention.head_count_kv": 4, "attention.sliding_window": 1024}, 0),
        ({"attention.head_count_kv": 4, "attention.sliding_window": 0}, 6 * 4),
    ],
)
def test_only_what_is_certain_to_be_kept_of_a_token_counts(
    facts: dict[str, int | list[int]], heads: int, tmp_path: Path
) -> None:
    known = {"block_count": 6, "embedding_length": 512, "attention.head_count": 8, **facts}
    path = tiny_gguf.write_head(tmp_path / "head.gguf", "other", known)
    needs = machine.needs(path)
    assert needs
    assert needs.per_token == heads * (64 + 64) * 2
    if not heads:
        machine.refuse_too_little(path, "other", 10**9, 2)


def test_what_lies_in_memory_of_files_is_free_in_a_container(tmp_path: Path) -> None:
    def free(limit: str, stat: str) -> int:
        for name, text in (("max", limit), ("current", "230000000"), ("stat", stat)):
            (tmp_path / f"memory.{name}").write_text(f"{text}\n")
        return machine.available(tmp_path)

    stat = "anon 15000000\nfile 210000000\ninactive_file 30000000\nactive_file 180000000\nslab_reclaimable 4000000"
    assert free("300000000", stat) == 284000000
    assert free("300000000", "anon 15000000") == 70000000
    assert free("max", stat) > 284000000


@given(st.binary(max_size=300))
def test_a_damaged_head_says_nothing(junk: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(b"GGUF" + junk)
        file.flush()
        assert machine.needs(Path(file.name)) is None


def test_a_server_that_does_not_fit_is_not_started(model: Path) -> None:
    async def start(context: int, slots: int) -> UsageError:
        with pytest.raises(UsageError) as caught:
            await LocalServer(model, name="tiny", context=context, slots=slots).__aenter__()
        return caught.value

    free = machine.available()
    much = free // 128 // 4
    error = asyncio.run(start(much, 8))
    assert f"with 8 slots of {much} tokens, and" in error.message
    assert "GB of memory" in error.message
    assert error.place == str(model)
    assert "set `slots = 3`" in error.hint
    assert "set `context = " in error.hint
    assert "slots" not in asyncio.run(start(free, 1)).hint
    assert not (model.parent / "cache" / "company" / "servers" / "tiny.json").exists()


# --- a build that is kept ----------------------------------------------------------------------------


def serve_with(build: Path | None, model: Path) -> list[str]:
    """Start a server and ask whether it answers; returns the notices."""
    news: list[str] = []

    async def work() -> None:
        async with LocalServer(model, name="tiny", context=256, slots=1, build=build, notice=news.append) as server:
            assert await server.alive()

    asyncio.run(work())
    return news


def test_the_server_loads_a_kept_build(model: Path) -> None:
    assert runtime.kept() is None
    home = stub(runtime.home(), SAME)
    assert runtime.kept() == home
    assert serve_with(runtime.kept(), model) == []
    assert (home / "was-loaded").exists()


def doctor() -> str:
    """What `company doctor` says of the runtime."""
    done = subprocess.run([sys.executable, "-m", "company", "doctor"], capture_output=True, text=True, check=False)
    return next(line for line in done.stdout.splitlines() if line.startswith("runtime "))


def test_doctor_offers_a_build_and_says_which_one_is_used() -> None:
    unused = runtime.unused()
    assert ("company model build" in doctor()) == bool(unused)
    assert all(each in doctor() for each in unused)
    home = stub(runtime.home(), SAME)
    assert doctor().endswith("built for this processor")
    (home / "xllamacpp" / "__init__.py").write_text("raise ImportError('another libc')")
    assert "does not load: company model build makes it anew" in doctor()


def test_parameters_go_to_llama_cpp_by_their_names(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**params: object) -> None:
        monkeypatch.setattr(LocalServer, "params", lambda self: params)
        serve_with(None, model)

    start(n_ubatch=64, cache_type_k="ggml_type.GGML_TYPE_Q8_0", **{"cpuparams.n_threads": 1})
    start(**{"speculative.types": ["common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE"]})
    with pytest.raises(EndpointError, match="no_such_parameter"):
        start(no_such_parameter=1)


@pytest.mark.parametrize("code", ["raise ImportError('another libc')", "import os; os.abort()"])
def test_a_build_that_does_not_load_gives_way_to_the_wheel(code: str, model: Path) -> None:
    stub(runtime.home(), code)
    assert runtime.built_for(runtime.kept()) == frozenset()
    assert "so the installed one is used (company model build makes it anew)" in serve_with(runtime.kept(), model)[-1]


def test_a_build_of_another_version_or_processor_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    stub(runtime.home(), SAME)
    assert runtime.kept()
    with monkeypatch.context() as other:
        other.setattr(runtime, "version", lambda: "1.0")
        assert runtime.kept() is None
    with monkeypatch.context() as other:
        other.setattr(runtime, "instructions", lambda: frozenset({"avx9"}))
        assert runtime.kept() is None


def test_what_the_wheel_leaves_unused_is_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "instructions", lambda: frozenset({"amx_int8", "fpu"}))
    assert runtime.unused() in ([], ["AMX_INT8"])
    assert "AMX_INT8" in runtime.unused() or "AMX_INT8" in runtime.built_for(None)
    monkeypatch.setattr(runtime, "instructions", frozenset)
    assert runtime.unused() == []


# --- building ----------------------------------------------------------------------------------------

BACKEND = r"""
import zipfile
def build_wheel(folder, *rest, **more):
    print("[ 50%] Building CXX object")
    {action}
    name, files = "xllamacpp-{version}-py3-none-any.whl", {{
        "xllamacpp/__init__.py": {code!r},
        "xllamacpp-{version}.dist-info/METADATA": "Metadata-Version: 2.1\nName: xllamacpp\nVersion: {version}\n",
        "xllamacpp-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "xllamacpp-{version}.dist-info/RECORD": "",
    }}
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
"""


def source(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str = SAME, action: str = "pass") -> None:
    """A source archive of the installed version for pip to find, which a build backend of its own turns into a wheel."""
    version = runtime.version()
    root = f"xllamacpp-{version}"
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(version=version, code=code, action=action),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: xllamacpp\nVersion: {version}\n",
    }
    folder.mkdir()
    with tarfile.open(folder / f"{root}.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{root}/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def left(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()} - {"build.lock", "build.log"}


@needs_pip
def test_a_faster_build_is_kept_and_a_slower_one_thrown_away(
    cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(tmp_path / "archives", monkeypatch)
    monkeypatch.setattr(building, "WORTH", 1000)
    news: list[str] = []
    verdict = building.build(model, news.append)
    assert verdict.kept is None
    assert left(cache) == set()
    assert runtime.kept() is None
    assert any(line.startswith("compiled 50%") for line in news)
    assert sum(line.startswith("wheel: ") for line in news) == sum(line.startswith("build: ") for line in news) == 3

    monkeypatch.setattr(building, "WORTH", 0)
    verdict = building.build(model, news.append)
    assert verdict.kept == runtime.kept() == runtime.home()
    assert left(cache) == {runtime.home().name}
    assert verdict.times == verdict.wheel.call / verdict.build.call
    serve_with(runtime.kept(), model)
    building.remove()
    assert runtime.kept() is None


@needs_pip
@pytest.mark.parametrize(
    ("code", "action", "message"),
    [
        (SAME, "raise SystemExit('fatal error: no such header')", "the build failed"),
        ("raise ImportError('another libc')", "pass", "the build does not load"),
    ],
)
def test_a_failed_build_leaves_its_log_alone(
    code: str, action: str, message: str, cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(tmp_path / "archives", monkeypatch, code, action)
    with pytest.raises(Broken, match=message) as caught:
        building.build(model, lambda line: None)
    assert caught.value.place == str(cache / "build.log")
    assert (cache / "build.log").read_text()
    assert left(cache) == set()


@needs_pip
def test_a_build_that_does_not_serve_is_not_measured_as_the_wheel(
    cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads_alone = SAME + "\nif sys.argv[0].endswith('server_process.py'):\n    raise ImportError('no server')\n"
    source(tmp_path / "archives", monkeypatch, loads_alone)
    monkeypatch.setattr(building, "WORTH", 0)
    with pytest.raises(EndpointError, match="the server of measured-build ended while it started"):
        building.build(model, lambda line: None)
    assert left(cache) == set()


def test_what_cannot_be_measured_is_not_built(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_check_tools", lambda: None)
    monkeypatch.setattr(machine, "available", lambda: 10**8)
    with pytest.raises(UsageError, match=r"a build is measured beside the wheel, which needs 0\.5 GB"):
        building.build(model, lambda line: None)
    assert not cache.exists()


def test_what_a_build_needs_is_named_by_its_packages(
    cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UsageError) as caught:
        building.build(model, lambda line: None)
    assert caught.value.message.startswith("a build needs cmake, a C++ compiler (`c++`), make")
    assert "apt install cmake g++ make" in caught.value.hint
    assert not cache.exists()


@needs_pip
def test_where_this_environment_has_no_pip_the_one_on_the_path_builds_for_this_python(
    cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(tmp_path / "archives", monkeypatch, "import sys; print(sys.prefix)")
    other = tmp_path / "bin" / "pip"
    other.parent.mkdir()
    other.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexec {sys.executable} -m pip "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)
    monkeypatch.setitem(sys.modules, "pip", None)
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        made = Path(folder, "made")
        building._make(runtime.version(), Path(folder), made, tmp_path / "log", lambda line: None)
        assert (made / "xllamacpp" / "__init__.py").exists()
    assert f"--python {sys.executable}" in (tmp_path / "asked").read_text()


def test_without_any_pip_a_build_says_how_to_get_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("cmake", "c++", "make"):
        (tmp_path / tool).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(UsageError, match=r"there is no pip; `python -m ensurepip` or `uv pip install pip` adds it"):
        building.build(model, lambda line: None)


def test_without_a_model_there_is_nothing_to_measure_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANY_MODELS", str(tmp_path))
    command = [sys.executable, "-m", "company", "model", "build"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no embedded model here to measure a build with" in done.stderr
    assert "company model pull" in done.stderr
    done = subprocess.run([*command, "--remove"], capture_output=True, text=True, check=True)
    assert done.stdout == "there is no build\n"
