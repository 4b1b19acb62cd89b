"""`company model …`: which models there are; fetching and serving the embedded one, building its runtime; proving that an endpoint works.

Where models come from: `llm/providers.py`, `llm/download.py`, `llm/local.py`. The build: `llm/building.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="Models: list, pull, serve, build, check.", no_args_is_help=True, rich_markup_mode=None)
_PLAIN_SECONDS = 5.0


@contextmanager
def download_progress(console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar for a download on a terminal, a line now and then elsewhere; nothing until there is news."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Bar(*columns, TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task("", total=None, visible=False)
    last = ("", 0.0)

    def end() -> None:
        if bar.live.is_started:  # where it is not, stopping it prints an empty line
            bar.stop()

    def report(done: int, total: int, what: str) -> None:
        nonlocal last
        if total and console.is_terminal:
            bar.start()
            bar.update(task, completed=done, total=total, description=what, visible=True)
            return
        end()  # the download is over; there is room for one live display at a time
        if what != last[0] or time.monotonic() - last[1] > _PLAIN_SECONDS:
            last = (what, time.monotonic())
            share = f" {done / total:.0%} of {total / 1e6:.0f} MB" if total else ""
            console.print(f"{what}{share}", markup=False, style="dim")

    try:
        yield report
    finally:
        end()


JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """The embedded models, and the endpoints: those of company.toml and those that are known by name."""
    from company.credentials import bare
    from company.endpoints import KNOWN, known
    from company.errors import ModelError
    from company.llm.catalogue import DEFAULT, MODELS
    from company.llm.download import find
    from company.settings import load_settings

    settings = load_settings()
    embedded: list[dict[str, Any]] = []
    endpoints: list[dict[str, Any]] = []
    for model in MODELS.values():
        try:
            state = "here" if find(model) else "absent"
        except ModelError:
            state = "damaged"
        told = {"name": f"local:{model.name}", "default": model.name == DEFAULT, "state": state}
        embedded.append({**told, "bytes": model.bytes, "licence": model.licence, "note": model.note})
    set_up = {name: (entry.base_url, entry.key) for name, entry in settings.providers.items()}
    by_name = {name: (fields["base_url"], fields.get("key", "")) for name in KNOWN for fields in [known(name)]}
    for name, (url, source) in {**by_name, **set_up}.items():
        endpoints.append({"name": name, "base_url": bare(url), "key": source, "set": name in set_up})
    if as_json:
        print(json.dumps({"model": settings.model, "embedded": embedded, "endpoints": endpoints}, ensure_ascii=False))
        return
    for one in embedded:
        where = {
            "here": "here",
            "absent": f"{one['bytes'] / 1e6:.0f} MB to fetch",
            "damaged": f"damaged, company model pull {one['name'].removeprefix('local:')} fetches it again",
        }[one["state"]]
        print(f"{one['name']}{' (default)' if one['default'] else ''}: {where}, {one['licence']}. {one['note']}")
    for one in endpoints:
        key = f" with the key in {one['key']}" if one["key"] else ""
        print(f"{one['name']}:MODEL: {one['base_url']}{key}")
    print(f"a run uses {settings.model} unless told otherwise")


def _called(name: str) -> str:
    """An embedded model's name as the catalogue has it; the default's for none."""
    from company.llm.catalogue import DEFAULT

    return name.removeprefix("local:") or DEFAULT


@app.command()
def pull(name: Annotated[str, typer.Argument(help="Name in the catalogue, with or without `local:`.")] = "") -> None:
    """Fetch an embedded model once, verified by its SHA-256; goes on where an earlier pull stopped."""
    from company.llm import catalogue, download
    from company.terminal import console_on_stderr

    model = catalogue.get(_called(name))
    with download_progress(console_on_stderr()) as progress:
        path = download.pull(model, progress=progress)
    print(path)


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="Name in the catalogue, or a path to a GGUF file.")] = "",
    port: Annotated[int, typer.Option(help="0 takes any free one.", min=0, max=65535)] = 0,
) -> None:
    """Serve the embedded model to other programs on loopback, until Ctrl-C."""
    from company.llm.download import locate
    from company.llm.local import LocalServer, serve_forever
    from company.llm.runtime import kept
    from company.settings import load_settings

    settings = load_settings()
    called, path = locate(_called(name))
    server = LocalServer(
        path,
        name=called,
        context=settings.context,
        slots=settings.slots,
        threads=settings.threads,
        port=port,
        build=kept(),
        notice=lambda text: print(text, file=sys.stderr),
    )

    def ready(up: LocalServer) -> None:
        print(f"OPENAI_BASE_URL={up.base_url}")
        print(f"OPENAI_API_KEY={up.api_key}", flush=True)
        print(f"serving {up.model}; Ctrl-C ends it", file=sys.stderr)

    try:
        serve_forever(server, ready=ready)
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)


@app.command()
def build(
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the build; the installed wheel is used again.")
    ] = False,
) -> None:
    """Build the embedded model's runtime for this very processor; kept only where it is faster than the installed one."""
    from company.llm import building
    from company.terminal import console_on_stderr

    if remove:
        print(f"removed {gone}" if (gone := building.remove()) else "there is no build")
        return
    console = console_on_stderr()
    verdict = building.build(building.model_here(), lambda line: console.print(line, style="dim", soft_wrap=True))
    for name, speeds in (("wheel", verdict.wheel), ("build", verdict.build)):
        print(f"{name}: {speeds.read:.0f} tokens/s read, {speeds.written:.1f} written")
    if verdict.kept:
        print(f"a call is {verdict.times:.2f} times as fast: kept, and used from now on ({verdict.kept})")
    else:
        print(
            f"a call is {verdict.times:.2f} times as fast, and {building.WORTH} are needed: the wheel is used as before"
        )


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="PROVIDER:MODEL; the run's by default.")] = "", as_json: JsonOption = False
) -> None:
    """Prove that a model answers, streams, counts its tokens, and find the best way to ask it for replies that fit a schema."""
    from company.llm import providers
    from company.llm.check import CheckReport
    from company.llm.check import check as prove
    from company.settings import load_settings
    from company.terminal import console_on_stderr

    settings = load_settings()
    model = name or settings.model
    providers.check_name(model, settings)

    async def ask() -> CheckReport:
        with download_progress(console_on_stderr()) as progress:
            async with providers.open_model(model, settings, progress=progress) as opened:
                return await prove(opened)

    report = asyncio.run(ask())
    if as_json:
        print(json.dumps({**asdict(report), "ok": report.ok}, ensure_ascii=False))
    else:
        for finding in report.findings:
            mark = "ok" if finding.ok else "FAILED" if finding.needed else "missing"
            print(f"{finding.name:<10} {mark:<8} {finding.detail}")
        print(f"{report.model}: {'works' if report.ok else 'does not work'} ({report.seconds:.1f} s)")
    if not report.ok:
        sys.exit(1)
