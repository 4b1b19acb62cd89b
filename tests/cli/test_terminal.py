"""The two views of a run, fed with events."""

import io

from rich.console import Console

from company.events import Event
from company.progress import clean
from company.terminal import LiveView, PlainView, duration

STEPS = ["prd", "code", "code.do", "verify", "verify.test", "verify.fix"]
START: Event = {
    "event": "run_started", "time": 100.0, "run": "r", "name": "out", "requirement": "x", "sop": "waterfall",
    "model": "local:m", "sandbox": "bubblewrap (user)", "repo": "ws/out", "steps": STEPS,
}  # fmt: skip
EVENTS: list[Event] = [
    START,
    {"event": "step_started", "time": 101.0, "step": "prd", "item": "", "round": "1", "kind": "role", "role": "product_manager"},
    {"event": "call_started", "time": 101.0, "step": "prd", "call": 1, "attempt": 1},
    {"event": "call_progress", "time": 120.0, "step": "prd", "call": 1, "tokens": 55, "text": "{"},
    {"event": "call_finished", "time": 130.0, "step": "prd", "call": 1, "from_store": False, "prompt_tokens": 300,
     "completion_tokens": 120, "cached_tokens": 10, "seconds": 20.0, "model": "local:m"},
    {"event": "reply_rejected", "time": 130.0, "step": "prd", "attempt": 1, "reason": "\x1b[31mno [bold]JSON[/bold]\x07"},
    {"event": "step_finished", "time": 131.0, "step": "prd", "item": "", "round": "1", "id": "prd#1", "values": {}, "seconds": 30.0},
    {"event": "verdict", "time": 140.0, "step": "verify.test", "passed": False, "summary": "1 of 2 required tests pass", "sandbox": "x"},
    {"event": "commit", "time": 141.0, "step": "prd#1", "sha": "0123456789", "author": "Product Manager", "subject": "prd: write"},
]  # fmt: skip


def plain(*events: Event) -> str:
    out = io.StringIO()
    view = PlainView(Console(file=out, width=80, force_terminal=False))
    for event in events:
        view(event)
    return out.getvalue()


def picture(view: LiveView, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, record=True)
    console.print(view)
    return console.export_text().rstrip("\n").split("\n")


def test_plain_lines_say_each_fact_once() -> None:
    assert plain(*EVENTS).split("\n") == [
        "starting waterfall (r) with local:m in ws/out, bubblewrap (user)",
        "prd: product_manager begins",
        "prd: 55 tokens so far",
        "prd: 300 + 120 tokens, 20.0 s, 6.0 tokens/s",
        "prd: reply not usable, [31mno [bold]JSON[/bold]",
        "verify.test: FAILED, 1 of 2 required tests pass",
        "  commit 0123456 by Product Manager: prd: write",
        "",
    ]


def test_the_live_view_shows_every_step_with_its_numbers() -> None:
    view = LiveView()
    for event in EVENTS:
        view(event)
    lines = picture(view)
    text = "\n".join(lines)
    assert "waterfall → out" in lines[0]
    assert any("✓ prd" in line and "product_manager" in line and "120" in line and "30 s" in line for line in lines)
    assert any("✗ test" in line and "1 of 2 required tests" in line for line in lines)
    assert "420 tokens   cost unknown   1 calls" in text
    assert "\x1b" not in text


def test_it_fits_a_small_terminal_however_many_steps_there_are() -> None:
    view = LiveView()
    steps = [f"step_number_{number}_with_a_long_name" for number in range(60)]
    view({**START, "steps": steps})
    view(
        {
            "event": "step_started",
            "time": 101.0,
            "step": steps[40],
            "item": "",
            "round": "1",
            "kind": "role",
            "role": "qa",
        }
    )
    lines = picture(view)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert any("step_number_40" in line for line in lines)


def test_foreign_text_is_one_clean_line() -> None:
    assert clean("a\x1b]0;title\x07b\n\tc\u202e") == "a ]0;title b c"
    assert clean("x" * 300, 10) == "xxxxxxxxx…"


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 0.04, 0.3, 0.94, 0.96)] == ["0 s", "0 s", "0.3 s", "0.9 s", "1 s"]
    assert [duration(seconds) for seconds in (8.4, 185, 3725)] == ["8 s", "3 min 05 s", "1 h 02 min"]


TOOL: Event = {
    "time": 125.0, "id": "prd#1", "step": "prd", "role": "product_manager", "item": "", "round": 1, "name": "python",
    "arguments": {"code": "print('\x1b[31m')\n" + "x" * 100},
}  # fmt: skip
ENDED = {**TOOL, "event": "tool_finished", "seconds": 0.31, "ok": True, "from_store": False, "size": 120}


def test_calls_of_tools_are_told() -> None:
    begun = EVENTS[:2]
    lines = plain({**TOOL, "event": "tool_started"}, ENDED, {**ENDED, "ok": False, "from_store": True}).split("\n")
    call = "prd: python(print(' [31m') " + "x" * 44 + "…)"
    assert lines == [
        f"{call} → 120 characters, 0.3 s",
        f"{call} → failed, 120 characters, kept from before",
        "",
    ]
    view = LiveView()
    for event in (*begun, {**TOOL, "event": "tool_started"}):
        view(event)
    assert any("▶ prd" in line and "python(print(" in line and "→" not in line for line in picture(view, 160))
    view(ENDED)
    assert any("▶ prd" in line and "→ 120 characters" in line for line in picture(view, 160))
