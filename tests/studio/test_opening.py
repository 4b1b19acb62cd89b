"""How the studio is opened in a browser: by a page that nobody else can read, never by an address that `ps` shows."""

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse


def test_the_browser_is_told_the_address_by_a_private_page(tmp_path: Path) -> None:
    browser, told = tmp_path / "browser", tmp_path / "told"
    browser.write_text(
        f'#!/bin/sh\nstat -c %a "${{1#file://}}" >{told}.mode\ncat "${{1#file://}}" >{told}.page\necho "$1" >{told}\n'
    )
    browser.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "company", "serve", "--workspace", str(tmp_path / "ws")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "BROWSER": f"{browser} %s"},
    )  # fmt: skip
    assert process.stdout
    address = process.stdout.readline().strip()
    for _ in range(200):
        if told.exists() and told.read_text():
            break
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    opened = told.read_text().strip()
    assert urlparse(opened).scheme == "file"
    assert address not in opened
    assert int(Path(f"{told}.mode").read_text(), 8) == stat.S_IRUSR | stat.S_IWUSR
    assert re.findall(r'url=([^"]*)"', Path(f"{told}.page").read_text()) == [address]
    assert not Path(urlparse(opened).path).exists()
