"""What the two views make of whole runs: states, times, limits, resumed runs, and text that wants to do harm."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from company.cli_model import download_progress
from company.events import Event
from company.terminal import LiveView, PlainView

STEPS = ["prd", "code", "code.do", "verify", "verify.fix", "verify.test"]
EVIL = "\x1b[2J\x1b]0;owned\x07[bold red]:bug:[/] \u202egnp.exe\r\nnew line"


class Run:
    """A run whose clock the test moves; shows every event to both views."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.live = LiveView(clock=lambda: self.now)
        self.out = io.StringIO()
        self.plain = PlainView(Console(file=self.out, width=80, force_terminal=False))

    def emit(self, event: str, after: float = 0.0, **fields: Any) -> None:
        self.now += after
        entry: Event = {"event": event, "time": self.now, "item": "", "round": "1", **fields}
        self.live(entry)
        self.plain(entry)

    def begin(self, event: str = "run_started", **fields: Any) -> None:
        what = {
            "run": "r1",
            "name": "todo",
            "sop": "waterfall",
            "model": "local:m",
            "sandbox": "bwrap",
            "repo": "ws/todo",
        }
        self.emit(event, **{**what, "steps": STEPS, **fields})

    def call(self, step: str, number: int, seconds: float, tokens: int, item: str = "", store: bool = False) -> None:
        self.emit("call_started", step=step, call=number, item=item, attempt=1)
        self.emit(
            "call_finished", seconds, step=step, call=number, item=item, from_store=store, prompt_tokens=100,
            completion_tokens=tokens, cached_tokens=0, seconds=seconds, usd=0.0, model="local:m",
        )  # fmt: skip

    def screen(self, width: int = 80, height: int = 24) -> str:
        console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, record=True)
        console.print(self.live)
        return "\n".join(line.rstrip() for line in console.export_text().splitlines())

    def row(self, step: str) -> str:
        (line,) = [line for line in self.screen().splitlines() if line.split()[1:2] == [step]]
        return " ".join(line.split())


@pytest.fixture
def run() -> Run:
    made = Run()
    made.begin()
    return made


def test_a_whole_run_as_it_looks_on_a_terminal(run: Run) -> None:
    run.begin(limits={"calls": 120, "tokens": 200000, "minutes": 30.0, "usd": None})
    run.emit("step_started", step="prd", role="product_manager", kind="role")
    run.call("prd", 1, 10.0, 50)
    run.emit("step_finished", step="prd", seconds=10.0)
    run.emit("step_started", step="code", role="", kind="for_each")
    run.emit("step_started", step="code.do", role="engineer", kind="role", item="todo/store.py")
    run.emit("step_started", step="code.do", role="engineer", kind="role", item="todo/cli.py")
    run.call("code", 2, 5.0, 40, "todo/store.py")
    run.emit("step_finished", step="code.do", item="todo/store.py", seconds=5.0)
    run.emit("call_started", step="code", call=3, item="todo/cli.py", attempt=1)
    run.emit("call_progress", 2.0, step="code", call=3, item="todo/cli.py", tokens=1, text="def f():\n")
    run.emit("call_progress", 4.0, step="code", call=3, item="todo/cli.py", tokens=60, text="    return 1")
    assert run.screen() == "\n".join(
        [
            "waterfall → todo   1 of 4 steps   local:m",
            " step      role             tokens  tok/s        time",
            " ✓ prd     product_manager      50    5.0        10 s",
            " ▶ code    engineer            100   15.0        11 s  todo/cli.py",
            " · verify",
            "   · fix",
            "   · test",
            " engineer todo/cli.py │ def f():",
            "                      │     return 1",
            "21 s of 30 min   290 of 200000 tokens   2 of 120 calls   Ctrl-C stops",
        ]
    )


def test_a_failed_test_run_stays_failed_when_its_step_ends(run: Run) -> None:
    run.emit("step_started", step="verify.test", role="", kind="run")
    run.emit("verdict", 1.0, step="verify.test", passed=False, summary="1 of 2 required tests pass", sandbox="bwrap")
    run.emit("step_finished", step="verify.test", seconds=1.0)
    assert run.row("test") == "✗ test 1 s 1 of 2 required tests pass"
    assert "tests: 1 of 2 required tests pass" in run.screen()
    run.emit("step_started", step="verify.test", role="", kind="run", round="2")
    assert run.row("test") == "▶ test 1 s"
    run.emit("verdict", 1.0, step="verify.test", passed=True, summary="2 of 2 required tests pass", sandbox="bwrap")
    run.emit("step_finished", step="verify.test", seconds=1.0)
    assert run.row("test") == "✓ test ×2 2 s 2 of 2 required tests pass"


def test_a_loop_has_the_state_of_its_rounds(run: Run) -> None:
    assert run.row("verify") == "· verify"
    run.emit("step_started", step="verify.test", role="", kind="run")
    assert run.row("verify") == "▶ verify"
    run.emit("step_finished", step="verify.test", seconds=0.0)
    run.emit("loop_round", step="verify", round=1, until=False)
    assert run.row("verify") == "✗ verify round 1 is not good yet"
    run.emit("step_started", step="verify.fix", role="engineer", kind="role")
    assert run.row("verify") == "▶ verify round 2"
    run.emit("step_finished", step="verify.fix", seconds=0.0)
    run.emit("loop_round", step="verify", round=2, until=True)
    assert run.row("verify") == "✓ verify round 2 is good"


def test_items_at_the_same_time_are_counted_and_their_time_is_not_added_up(run: Run) -> None:
    run.emit("step_started", step="code", role="", kind="for_each")
    for item in ("a.py", "b.py", "c.py"):
        run.emit("step_started", step="code.do", role="engineer", kind="role", item=item)
    for item in ("a.py", "b.py"):
        run.emit("step_finished", 10.0, step="code.do", item=item, seconds=10.0)
    assert run.row("code") == "▶ code ×2 engineer 20 s c.py"
    run.emit("step_finished", 10.0, step="code.do", item="c.py", seconds=30.0)
    run.emit("step_finished", step="code", seconds=30.0)
    assert run.row("code") == "✓ code ×3 engineer 30 s"


def test_a_long_prompt_a_repair_and_a_failure_are_seen(run: Run) -> None:
    run.emit("step_started", step="prd", role="product_manager", kind="role")
    run.emit("call_started", step="prd", call=1, attempt=1, model="mine:m")
    assert run.row("prd").endswith("waiting for the endpoint")
    run.emit("call_started", step="prd", call=1, attempt=1, model="local:m")
    assert run.row("prd").endswith("reading the prompt")
    run.emit("call_progress", 1.0, step="prd", call=1, tokens=3, text="{")
    assert "reading" not in run.row("prd")
    run.emit("reply_rejected", step="prd", attempt=1, reason="no JSON")
    assert run.row("prd").endswith("asking again: no JSON")
    run.emit("reply_accepted", step="prd", attempt=2)
    assert "asking" not in run.row("prd")
    run.emit("step_failed", step="prd", id="prd#1", reason="no usable reply after 3 tries")
    assert run.row("prd").startswith("✗ prd")
    assert run.row("prd").endswith("no usable reply after 3…")


def test_what_was_under_way_when_the_run_stopped_is_marked(run: Run) -> None:
    run.emit("step_started", step="prd", role="product_manager", kind="role")
    run.emit("run_finished", 5.0, status="interrupted", reason="", accepted=False, seconds=5.0)
    run.now += 1000
    assert run.row("prd") == "■ prd product_manager 5 s"
    assert "5 s   0 tokens   0 calls\n" in f"{run.screen()}\n"
    assert "Ctrl-C" not in run.screen()


def test_a_resumed_run_shows_what_was_done_before_without_the_pause(run: Run) -> None:
    run.emit("step_started", step="prd", role="product_manager", kind="role")
    run.call("prd", 1, 10.0, 50)
    run.emit("step_finished", step="prd", seconds=10.0)
    run.emit("step_started", step="code", role="", kind="for_each")
    run.now += 100_000  # killed, and left alone for a day
    run.begin("run_resumed")
    assert run.row("prd") == "✓ prd product_manager 50 5.0 10 s"
    assert run.row("code") == "■ code 0 s"
    run.emit("step_started", 5.0, step="code", role="", kind="for_each")
    assert "15 s   150 tokens   1 calls" in run.screen()


def test_a_reply_that_was_paid_for_before_costs_nothing(run: Run) -> None:
    run.emit("step_started", step="prd", role="product_manager", kind="role")
    run.call("prd", 1, 0.0, 50, store=True)
    assert run.row("prd").endswith("kept from before")
    assert "0 tokens   0 calls" in run.screen()


@pytest.mark.parametrize("size", [(80, 24), (60, 12), (200, 50)])
def test_however_many_steps_the_picture_fits_and_shows_what_is_at_work(size: tuple[int, int]) -> None:
    run = Run()
    run.begin(steps=[f"step{number}" for number in range(100)])
    run.emit("notice", text="x" * 500)
    for number in (3, 97):
        run.emit("step_started", step=f"step{number}", role="engineer", kind="role", item="")
    lines = run.screen(*size).splitlines()
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]
    assert any("▶ step3 " in line for line in lines)
    assert any("▶ step97 " in line for line in lines)
    assert " of 100)" in lines[1]


def test_no_text_of_a_model_steers_the_terminal() -> None:
    run = Run()
    run.begin(name=EVIL, sop=EVIL, run=EVIL, model=EVIL, repo=EVIL)
    run.emit("step_started", step="code.do", role=EVIL, kind="role", item=EVIL)
    run.emit("call_started", step="code", call=1, item=EVIL, attempt=1)
    run.emit("call_progress", 20.0, step="code", call=1, item=EVIL, tokens=5, text="{")
    run.emit("reply_rejected", step="code", item=EVIL, attempt=1, reason=EVIL)
    run.emit("step_failed", step="code.do", item=EVIL, id="x", reason=EVIL)
    run.emit("step_skipped", step="prd", reason=EVIL)
    run.emit("verdict", step="verify.test", passed=False, summary=EVIL, sandbox="b")
    run.emit("commit", step="x", sha="0123456789", author=EVIL, subject=EVIL)
    run.emit("notice", text=EVIL)
    for shown in (run.out.getvalue(), run.screen(200)):
        assert set(shown) & set("\x1b\x07\r\u202e") == set()
        assert "[bold red]:bug:[/]" in shown
        assert "\nnew line" not in shown


def test_plain_lines_go_on_while_a_call_is_silent(run: Run) -> None:
    run.emit("call_started", step="prd", call=1, attempt=1, model="local:m")
    run.emit("call_started", step="code", call=2, attempt=1, model="mine:m")
    start = run.now
    for seconds in range(1, 48):
        run.plain.tick(start + seconds)
    run.emit("call_progress", 50.0, step="prd", call=1, tokens=7, text="{")
    run.call("code", 2, 0.0, 9)
    run.plain.tick(start + 65)
    run.call("prd", 1, 1.0, 9)
    run.plain.tick(start + 500)
    assert run.out.getvalue().splitlines()[1:] == [
        "prd: reading the prompt for 15 s",
        "code: waiting for the endpoint for 15 s",
        "prd: reading the prompt for 30 s",
        "code: waiting for the endpoint for 30 s",
        "prd: reading the prompt for 45 s",
        "code: waiting for the endpoint for 45 s",
        "code: 100 + 9 tokens, 0.0 s, 0.0 tokens/s",
        "prd: 7 tokens so far",
        "prd: 100 + 9 tokens, 1.0 s, 9.0 tokens/s",
    ]


def writing(run: Run, *texts: str, item: str = "") -> None:
    """Replies under way beside one another."""
    for number, text in enumerate(texts, 1):
        where = {"step": "code", "item": item or f"file{number}.py", "call": number}
        run.emit("step_started", **{**where, "step": "code.do"}, role="engineer", kind="role")
        run.emit("call_started", **where, attempt=1, model="m:m")
        run.emit("call_progress", **where, tokens=5, text=text)


def test_what_the_roles_write_is_seen_its_last_lines() -> None:
    run = Run()
    run.begin()
    writing(run, "one\ntwo\n\n  three", "x" * 200 + "END", "数える" * 40)
    lines = run.screen().splitlines()
    assert lines[-7:-1] == [
        " engineer file1.py │ two",
        "                   │   three",
        f" engineer file2.py │ {'x' * 59}",
        f"                   │ {'x' * 23}END",
        f" engineer file3.py │ {('数える' * 40)[87:116]}",
        f"                   │ {('数える' * 40)[116:]}",
    ]
    run.emit("call_progress", step="code", item="file1.py", call=1, tokens=1, text="anew")
    assert " engineer file1.py │ anew" in run.screen()
    run.call("code", 1, 1.0, 9, "file1.py")
    assert "file1.py │" not in run.screen()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 132, 200])
@pytest.mark.parametrize("height", [10, 15, 24, 50])
def test_whatever_is_written_the_picture_fits(width: int, height: int) -> None:
    run = Run()
    run.begin(steps=[*STEPS, *(f"step{number}" for number in range(20))], limits={"usd": 1.0, "tokens": 10**9})
    writing(run, *(EVIL * 20 + "数える" * number for number in range(12)), item=EVIL)
    run.emit("verdict", step="verify.test", passed=False, summary=EVIL, sandbox="b")
    run.emit("notice", text=EVIL * 9)
    for stopping in (False, True):
        run.live.stopping = stopping
        shown = run.screen(width, height)
        assert len(shown.splitlines()) <= height
        assert max(cell_len(line) for line in shown.splitlines()) <= width
        assert set(shown) & set("\x1b\x07\r\u202e") == set()
        assert "│" in shown
        assert "▶ code" in shown


def test_money_is_told_where_it_is_known_and_a_soft_stop(run: Run) -> None:
    run.call("prd", 1, 1.0, 9)
    assert "$" not in run.screen()
    run.emit("call_finished", step="prd", call=2, from_store=False, prompt_tokens=1, completion_tokens=1, seconds=1.0, usd=0.25)  # fmt: skip
    assert "$0.2500" in run.screen()
    run.begin("run_resumed", limits={"usd": 2.0})
    assert "$0.2500 of $2.0000" in run.screen()
    run.live.stopping = True
    assert run.screen().endswith("stopping after the calls under way; Ctrl-C stops at once")
    assert run.screen(60).endswith("\nstopping after the calls under way; Ctrl-C stops at once")
    run.emit("call_finished", step="prd", call=3, from_store=False, prompt_tokens=1, completion_tokens=1, seconds=1.0, usd=None)  # fmt: skip
    assert "cost unknown" in run.screen(120)
    run.emit("run_finished", status="interrupted")
    assert "Ctrl-C" not in run.screen()


def progress_of(terminal: bool, *reports: tuple[int, int, str]) -> str:
    """What a download shows."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=terminal, color_system=None)
    with download_progress(console) as progress:
        for report in reports:
            progress(*report)
    return out.getvalue()


def test_a_download_is_a_line_now_and_then_in_a_log_and_nothing_without_one() -> None:
    part = [(number * 1_000_000, 100_000_000, "fetching from the hub") for number in range(100)]
    shown = progress_of(False, *part, (100_000_000, 100_000_000, "checking SHA-256"), (0, 0, "loading m"))
    assert shown == "fetching from the hub 0% of 100 MB\nchecking SHA-256 100% of 100 MB\nloading m\n"
    assert progress_of(False) == ""


def test_a_download_is_a_bar_on_a_terminal_which_is_gone_when_the_model_loads() -> None:
    half, whole = (50_000_000, 100_000_000, "fetching"), (100_000_000, 100_000_000, "checking SHA-256")
    shown = progress_of(True, half, whole, (0, 0, "loading m"))
    assert "50.0/100.0 MB" in shown or "100.0/100.0 MB" in shown
    assert shown.endswith("loading m\n")
    assert progress_of(True) == ""
