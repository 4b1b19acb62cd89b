"""The page of a run: python benchmarks/studio.py [--no-browser]

Runs of 100, 2,000 and 10,000 events. Seconds of the first look and of one more, when nothing and when one event is new, beside reading
the whole journal again; the page's size and seconds; bytes sent for each event to 1 and to 20 viewers, and from the line in the journal
until a viewer has it, and until it is in a browser's page. Everything of one size in one process, one after another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from company.events import Event, line, parse
from company.executions import executions
from company.progress import Progress
from company.records import Request, keep
from company.report import Report
from company.settings import Settings
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.sop.procedure import Procedure
from company.store import Folder
from company.studio.app import application
from company.studio.desk import Desk
from company.studio.run_page import RunParts

SIZES = (100, 2_000, 10_000)
NEW = 40
"""Events that are appended while viewers look."""
RUN = "20260101-000000-studio"


def procedure() -> Procedure:
    """The one that runs."""
    return load_procedure("waterfall", Library(None))


def events(many: int) -> Iterator[Event]:
    """A run of the waterfall that goes round its loop again and again."""
    now = time.time() - many
    began = {
        "run": RUN, "name": "made", "requirement": "A program", "sop": "waterfall", "model": "openai:m", "sandbox": "bubblewrap",
        "repo": "/nowhere", "steps": [step.path for step in procedure().walk() if not step.transparent], "judges": ["verify.test"], "limits": {"calls": 99_999},
    }  # fmt: skip
    yield {"event": "run_started", "time": now, **began}
    number = 1
    while True:
        for event in _round(number):
            now += 1
            yield {"time": round(now, 3), **event}
        number += 1


def _round(number: int) -> Iterator[dict[str, Any]]:
    made_of = dict.fromkeys(("the step", "the input `code`", "the role", "the prompt", "the model"), f"{number:020x}")
    for step, kind, role in (("verify.fix", "role", "engineer"), ("verify.test", "run", "")):
        where = {"step": step, "item": "", "round": str(number)}
        ident = f"{step}#{number}"
        about = {"id": ident, "kind": kind, "role": role, "why": "the input `code` changed", "made_of": made_of}
        yield {"event": "step_started", **where, **about}
        if role:
            call = {
                "id": ident,
                "step": step,
                "role": role,
                "item": "",
                "round": number,
                "attempt": 1,
                "call": number,
                "key": f"{number:064x}",
            }
            yield {
                "event": "call_started",
                **call,
                "prompt_estimate": 900,
                "model": "openai:m",
                "temperature": 0.8,
                "max_tokens": 2048,
                "seed": number,
            }
            used = {"prompt_tokens": 700, "completion_tokens": 200, "cached_tokens": 500, "seconds": 2.5, "usd": 0.001}
            yield {
                "event": "call_finished",
                **call,
                **used,
                "from_store": False,
                "retries": 0,
                "model": "openai:m",
                "served": "m",
                "finish_reason": "stop",
            }
            yield {"event": "reply_accepted", **call}
        else:
            yield {
                "event": "verdict",
                "step": step,
                "id": ident,
                "passed": False,
                "summary": f"{number} tests fail",
                "sandbox": "bubblewrap",
            }
        yield {
            "event": "commit",
            "step": ident,
            "sha": f"{number:040x}",
            "author": "Engineer",
            "subject": f"round {number}",
            "files": f"{number:064x}",
        }
        yield {"event": "step_finished", **where, "id": ident, "values": {step: f"{number:064x}"}, "seconds": 2.7}
    yield {"event": "loop_round", "step": "verify", "item": "", "round": number, "until": False}


def lay_out(workspace: Path, many: int) -> Iterator[Event]:
    """A run with so many events in a workspace; gives those that come after."""
    store = Folder(workspace / ".company")
    request = Request(RUN, "made", "waterfall", "openai:m", {"requirement": "A program"}, {}, False)
    keep(store, request, procedure())
    coming = events(many)
    with journal(workspace).open("wb") as file:
        for _ in range(many):
            file.write(line(next(coming)) + b"\n")
    return coming


def journal(workspace: Path) -> Path:
    """Of the run."""
    return workspace / ".company" / "runs" / RUN / "events.jsonl"


@contextmanager
def studio(workspace: Path, port: int = 0) -> Iterator[str]:
    """A studio in a thread of this process; its address."""
    desk = Desk(workspace, Folder(workspace / ".company"), Settings(), None)
    server = uvicorn.Server(
        uvicorn.Config(
            application(desk, "token"),
            port=port,
            log_level="warning",
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/token/"
    finally:
        server.should_exit = True
        desk.close()
        thread.join()


def looks(workspace: Path, coming: Iterator[Event]) -> dict[str, float]:
    """Milliseconds of a look, and of reading everything again."""
    desk = Desk(workspace, Folder(workspace / ".company"), Settings(), None)
    parts = RunParts(desk.story(RUN))
    found = {"first": seconds(parts), "idle": min(seconds(parts) for _ in range(20))}
    times = []
    with journal(workspace).open("ab") as file:
        for _ in range(NEW):
            file.write(line(next(coming)) + b"\n")
            file.flush()
            times.append(seconds(parts))
    found["new"] = statistics.median(times)

    def again() -> None:
        read = [*parse(journal(workspace).read_bytes().splitlines())]
        Report.of(read)
        progress = Progress()
        for event in read:
            progress.see(event)
        executions(read)

    return {**found, "again": seconds(again)}


def seconds(work: Any) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


async def sent(workspace: Path, coming: Iterator[Event], address: str, viewers: int) -> tuple[float, float]:
    """Bytes for each event and viewer, and the median seconds until the last viewer has it."""
    got: list[int] = [0] * viewers
    lags: list[float] = []
    wrote: dict[int, float] = {}
    have: dict[int, int] = {}

    async def look(number: int, client: httpx.AsyncClient, ready: asyncio.Event, since: str) -> None:
        async with client.stream("GET", f"{address}runs/{RUN}/live?since={since}", timeout=60) as answer:
            ready.set()
            async for text in answer.aiter_lines():
                got[number] += len(text.encode()) + 1
                if text.startswith("data: "):
                    for part in json.loads(text[6:]):
                        if part.startswith("ev-") and int(part[3:]) in wrote:
                            have[int(part[3:])] = have.get(int(part[3:]), 0) + 1
                            if have[int(part[3:])] == viewers:
                                lags.append(time.perf_counter() - wrote[int(part[3:])])

    limits = httpx.Limits(max_connections=viewers + 2)
    async with httpx.AsyncClient(limits=limits) as client:
        page = (await client.get(f"{address}runs/{RUN}", timeout=60)).text
        since = page.partition("live?since=")[2].partition('"')[0]
        ready = [asyncio.Event() for _ in range(viewers)]
        tasks = [asyncio.create_task(look(number, client, ready[number], since)) for number in range(viewers)]
        for each in ready:
            await each.wait()
        before, number = sum(got), len(journal(workspace).read_bytes().splitlines())
        with journal(workspace).open("ab") as file:
            for _ in range(NEW):
                wrote[number] = time.perf_counter()
                file.write(line(next(coming)) + b"\n")
                file.flush()
                number += 1
                await asyncio.sleep(0.05)
        async with asyncio.timeout(30):
            while len(lags) < NEW:
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return (sum(got) - before) / NEW / viewers, statistics.median(lags)


def in_a_browser(workspace: Path, coming: Iterator[Event], address: str) -> tuple[float, float]:
    """Seconds until the page is there and laid out, and the median from a line until it is in the page."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or ""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.perf_counter()
        page.goto(f"{address}runs/{RUN}")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        whole = time.perf_counter() - began
        page.wait_for_timeout(600)
        page.evaluate(
            "window.came = {}; document.addEventListener('part', ({ detail }) => { window.came[detail] = Date.now(); })"
        )
        number = len(journal(workspace).read_bytes().splitlines())
        wrote = {}
        with journal(workspace).open("ab") as file:
            for _ in range(NEW):
                wrote[f"ev-{number}"] = time.time() * 1000
                file.write(line(next(coming)) + b"\n")
                file.flush()
                number += 1
                page.wait_for_timeout(50)
        page.locator(f"#ev-{number - 1}").wait_for()
        came = page.evaluate("window.came")
        browser.close()
    return whole, statistics.median(came[ident] - at for ident, at in wrote.items()) / 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-browser", action="store_true")
    with_browser = not parser.parse_args().no_browser
    print(
        "events   first look    idle   1 new   all again |  page MB  page s | bytes an event, viewer: 1   20 | s until there: 1   20  browser"
    )
    for many in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Path(folder)
            coming = lay_out(workspace, many)
            look = looks(workspace, coming)
            with studio(workspace) as address:
                began = time.perf_counter()
                size = len(httpx.get(f"{address}runs/{RUN}", timeout=60).content) / 1e6
                took = time.perf_counter() - began
                one = asyncio.run(sent(workspace, coming, address, 1))
                twenty = asyncio.run(sent(workspace, coming, address, 20))
                page = in_a_browser(workspace, coming, address) if with_browser else (0.0, 0.0)
            print(
                f"{many:>6}  {look['first']:>8.0f} ms {look['idle']:>6.1f} {look['new']:>7.1f}  {look['again']:>7.0f} ms |"
                f" {size:>8.2f} {took:>8.2f} |                        {one[0]:>5.0f} {twenty[0]:>5.0f} |              {one[1]:>5.2f} {twenty[1]:>5.2f} {page[1]:>6.2f}"
                + (f"  (shown after {page[0]:.2f} s)" if with_browser else "")
            )


if __name__ == "__main__":
    main()
