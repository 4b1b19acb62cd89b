"""Which process holds a folder, told for certain: whoever is to be stopped must not be another that has its number now."""

import os
import subprocess
import sys
from pathlib import Path

from company.lock import Lock

HOLD = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); sys.stdin.read()"


def test_the_holder_is_the_process_that_has_the_lock_open(tmp_path: Path) -> None:
    assert Lock.is_free(tmp_path)
    assert Lock.holder(tmp_path) == 0
    assert not (tmp_path / ".company").exists()  # to look leaves nothing
    with Lock(tmp_path):
        assert not Lock.is_free(tmp_path)
        assert Lock.holder(tmp_path) == os.getpid()
    assert Lock.is_free(tmp_path)
    assert Lock.holder(tmp_path) == 0


def test_a_number_that_is_another_process_now_is_nobodys(tmp_path: Path) -> None:
    with Lock(tmp_path):
        pass
    busy, note = tmp_path / ".company" / "busy", tmp_path / ".company" / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(busy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        assert not Lock.is_free(tmp_path)
        for number in (str(os.getpid()), "1", "999999999", "no number", ""):
            note.write_text(number)
            assert Lock.holder(tmp_path) == 0
        note.write_text(str(holder.pid))
        assert Lock.holder(tmp_path) == holder.pid
        holder.communicate("")
    assert Lock.holder(tmp_path) == 0
