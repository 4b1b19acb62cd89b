"""Ways out of the sandbox, tried in both forms: each prints what it achieved, and must have achieved nothing.

Below them what ordinary programs need, which must work. Limits: `test_limits.py`. Faking: `test_verdict.py`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from company.sandbox import Bubblewrap, Limits, Sandbox, Spec, seccomp
from company.sandbox.bubblewrap import REPORT_FD

SECRET = "sk-canary-2f9c51"
PRELUDE = """
import ctypes, errno, os, pathlib, signal, socket, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
def tries(*deeds):
    for deed in deeds:
        try:
            if deed() is not False: print("ESCAPED", deed)
        except (OSError, ValueError, KeyError) as error:
            print("refused:", repr(error), file=sys.stderr)
def writes(path):
    def deed():
        with open(path, "ab") as file: file.write(b"harm")
    return deed
"""


class Host:
    """What a job must not reach: listeners of every kind, and a file that everybody may read and write."""

    def __init__(self, folder: Path) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0company-{os.getpid()}")
        self.path = socket.socket(socket.AF_UNIX)
        self.path.bind(str(folder / "s"))
        self.secret = folder / "secret"
        self.secret.write_text(SECRET)
        for place in (folder, folder / "s", self.secret):
            place.chmod(0o777)
        for listener in (self.abstract, self.path):
            listener.listen()
        for listener in (self.tcp, self.udp, self.abstract, self.path):
            listener.setblocking(False)

    def untouched(self) -> bool:
        for listener in (self.tcp, self.abstract, self.path):
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                continue
            return False
        try:
            self.udp.recv(10)
        except BlockingIOError:
            return self.secret.read_text() == SECRET
        return False

    def close(self) -> None:
        for listener in (self.tcp, self.udp, self.abstract, self.path):
            listener.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    place = Host(tmp_path_factory.mktemp("host"))
    yield place
    place.close()


def do(box: Sandbox, code: str) -> str:
    limits = Limits(seconds=15, processes=64)
    result = asyncio.run(box.run(Spec(("python", "job.py"), {"job.py": code.encode()}, limits=limits)))
    assert result.status == "exit", result
    assert result.exit_status == 0, result.stderr
    return result.stdout


# The probe's name → Python. `tries` prints when a deed succeeds. HOST_… are filled in from the fixture.
ESCAPES = {
    "tcp to the host": "tries(lambda: socket.create_connection(('127.0.0.1', HOST_TCP), 1))",
    "udp to the host": """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b'x', ('127.0.0.1', HOST_UDP))  # goes to the sandbox's own loopback
""",
    "abstract socket": r"""
s = socket.socket(socket.AF_UNIX)
tries(lambda: s.connect('\0company-HOST_PID'))
""",
    "path socket": """
s = socket.socket(socket.AF_UNIX)
tries(lambda: s.connect('HOST_FOLDER/s'))
""",
    "internet": "tries(lambda: socket.create_connection(('192.0.2.1', 80), 1))",
    "udp route": """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tries(lambda: s.sendto(b'x', ('192.0.2.1', 53)))
""",
    "dns": "tries(lambda: socket.getaddrinfo('example.com', 80))",
    "vsock": "tries(lambda: socket.socket(40, socket.SOCK_STREAM))",
    "netlink": "tries(lambda: socket.socket(16, socket.SOCK_RAW, 0))",
    "alg": "tries(lambda: socket.socket(38, socket.SOCK_SEQPACKET))",
    "packet": "tries(lambda: socket.socket(17, socket.SOCK_RAW, 0))",
    "raw": "tries(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))",
    "bluetooth, can, xdp": "tries(*(lambda f=f: socket.socket(f, 3) for f in (29, 31, 44)))",
    "key in the environment": "print('ESCAPED' if 'HOST_SECRET' in str(os.environ) else '')",
    "key in /proc": """
for entry in pathlib.Path('/proc').glob('[0-9]*'):
    for name in ('environ', 'cmdline'):
        try: text = (entry / name).read_bytes()
        except OSError: continue
        if b'HOST_SECRET' in text or b'HOST_FOLDER' in text: print('ESCAPED', entry, name)
""",
    "key in a descriptor": """
for fd in os.listdir('/proc/self/fd'):
    try: text = os.pread(int(fd), 1 << 20, 0)
    except OSError: continue
    if b'HOST_SECRET' in text: print('ESCAPED', fd)
""",
    "the host's file": "tries(lambda: open('HOST_FOLDER/secret').read(), writes('HOST_FOLDER/secret'))",
    "the host's file through /proc": """
tries(*(lambda p=p: open(f'/proc/{p}/root/HOST_FOLDER/secret').read() for p in range(1, 9)))
tries(*(lambda p=p: open(f'/proc/{p}/cwd/../HOST_FOLDER/secret').read() for p in range(1, 9)))
""",
    "a link out": """
os.symlink('HOST_FOLDER/secret', 'link'); os.symlink('/proc/1/root/HOST_FOLDER', 'folder')
tries(lambda: open('link').read(),
      lambda: open('folder/secret').read(), writes('link'))
tries(lambda: os.link('HOST_FOLDER/secret', 'hard'))
""",
    "home folders": """
for home in ('/root', '/home'):
    for place, folders, files in os.walk(home):
        inside = place.startswith('HOST_BASE') or 'HOST_BASE'.startswith(place)
        if not inside or place == home and files: print('ESCAPED', place)
tries(lambda: os.listdir(os.path.expanduser('~root') + '/.ssh'),
      lambda: os.listdir('/root/.ssh'))
""",
    "the host's etc": """
tries(lambda: open('/etc/shadow').read(), lambda: os.listdir('/etc/ssh'))
if set(os.listdir('/etc')) - {'passwd', 'group', 'hosts', 'nsswitch.conf', 'ld.so.cache'}: print('ESCAPED')
""",
    "write the system": """
tries(*map(writes, ('/x', '/usr/x', '/usr/bin/env', '/etc/passwd', '/etc/x')))
tries(*map(writes, ('/venv/x', '/venv/bin/x', '/dev/x')))
tries(writes(sys.executable), writes(os.path.realpath(sys.executable)))
tries(writes(os.__file__), writes('/.box.tar'))
import pytest
tries(writes(pytest.__file__), writes(os.path.dirname(pytest.__file__) + '/../x.pth'))
tries(lambda: os.mkdir(os.path.dirname(os.__file__) + '/site-packages/x'))
""",
    "write /proc and /sys": """
tries(*map(writes, ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/sys/vm/drop_caches',
    '/proc/sys/kernel/hostname', '/sys/power/state')))
tries(lambda: open('/proc/kcore', 'rb').read(1),
      lambda: open('/dev/mem', 'rb').read(1))
""",
    "devices": """
tries(lambda: os.mknod('/tmp/d', 0o60600, os.makedev(8, 0)),
      lambda: open('/dev/sda', 'rb'))
if set(os.listdir('/dev')) & {'mem', 'kmem', 'sda', 'kvm', 'fuse', 'vsock'}: print('ESCAPED')
""",
    "remount": "tries(lambda: call(165, None, b'/usr', None, 0x1020, None))",
    "mount": "tries(lambda: call(165, b'none', b'/tmp', b'tmpfs', 0, None))",
    "umount": "tries(lambda: call(166, b'/etc/ld.so.cache', 2), lambda: call(166, b'/usr', 2))",
    "new mount calls": "tries(lambda: call(428, -100, b'/', 1), lambda: call(430, b'tmpfs', 0))",
    "chroot": """
os.mkdir('/tmp/c')
tries(lambda: os.chroot('/tmp/c'), lambda: call(155, b'.', b'.'))
""",
    "user namespace": """
tries(lambda: call(272, 0x10000000),
      lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0))
""",
    "every namespace": """
tries(*(lambda f=f: call(272, f) for f in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x40000000)))
""",
    "unshare the program": """
print('ESCAPED' if subprocess.run(['unshare', '-Ur', 'true']).returncode == 0 else '')
""",
    "bwrap the program": """
print('ESCAPED' if subprocess.run(['bwrap', '--ro-bind', '/', '/', 'true']).returncode == 0 else '')
""",
    "setns": """
tries(*(lambda n=n: call(308, os.open(f'/proc/1/ns/{n}', os.O_RDONLY), 0) for n in ('mnt', 'net', 'user')))
""",
    "ptrace": "tries(lambda: call(101, 16, 1, 0, 0), lambda: call(310, 1, None, 0, None, 0, 0))",
    "memory of process 1": "tries(lambda: open('/proc/1/mem', 'r+b').read(1))",
    "keyctl": """
tries(lambda: call(250, 0, -3, 1),
      lambda: call(248, b'user', b'x', b'x', 1, -3))
""",
    "bpf and perf": "tries(lambda: call(321, 0, None, 0), lambda: call(298, None, 0, -1, -1, 0))",
    "io_uring": """
b = ctypes.create_string_buffer(200)
tries(lambda: call(425, 8, b))
""",
    "userfaultfd": "tries(lambda: call(323, 1))",
    "clone3": """
b = ctypes.create_string_buffer(88)
struct.pack_into('Q', b, 0, 0x10000000)
struct.pack_into('Q', b, 32, 17)
tries(lambda: call(435, b, 88))
""",
    "x32 calls": "tries(lambda: call(0x40000000 + 272, 0x10000000))",
    "memory that nobody counts": "tries(lambda: os.memfd_create('x'), lambda: call(29, 0, 4096, 0o1600))",
    "become another": """
tries(lambda: os.setuid(0),
      lambda: os.setgid(0),
      lambda: os.setgroups([0]),
      lambda: os.setuid(65534))
""",
    "setuid programs": r"""
done = subprocess.run(['mount', '-t', 'tmpfs', 'none', '/tmp'], capture_output=True)
if done.returncode == 0: print('ESCAPED')
lines = open('/proc/self/status').read().split('\n')
if 'NoNewPrivs:\t1' not in lines: print('ESCAPED no_new_privs')
""",
    "capabilities": """
for line in open('/proc/self/status'):
    name, _, value = line.partition(':')
    if name in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb') and int(value, 16): print('ESCAPED', line)
""",
    "host processes": """
if len([p for p in os.listdir('/proc') if p.isdigit()]) > 6: print('ESCAPED')
tries(lambda: os.kill(HOST_PID, 0))
""",
    "raise the limits": """
import resource
tries(*(lambda r=r: resource.setrlimit(r, (1 << 40, 1 << 40)) 
    for r in (resource.RLIMIT_NPROC, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU)))
""",
    "reboot, clock, hostname": """
tries(lambda: call(169, 0xfee1dead, 672274793, 0x1234567, None),
      lambda: time.clock_settime(0, 0),
      lambda: socket.sethostname('x'))
""",
    "terminal input": """
import fcntl, termios
tries(lambda: fcntl.ioctl(0, termios.TIOCSTI, b'x'),
      lambda: os.open('/dev/tty', 2))
""",
    "descriptors of the host": """
for fd in os.listdir('/proc/self/fd'):
    try: place = os.readlink(f'/proc/self/fd/{fd}')
    except OSError: continue
    if not place.startswith(('pipe:', '/memfd:', '/proc/')) or int(fd) > 3: print('ESCAPED', fd, place)
    if place.startswith('/memfd:'):
        tries(lambda: os.pwrite(int(fd), b'x', 0),
              lambda: os.ftruncate(int(fd), 9))
        tries(lambda: os.pwrite(os.open(f'/proc/self/fd/{fd}', os.O_RDWR), b'x', 0))
""",
    "the sandbox's own words": r"""
for fd in range(3, 256):
    for text in (b'{"exit-code": 0}\n', b'{"nonce": ""}\n'):
        try: os.write(fd, text)
        except OSError: continue
        print('ESCAPED', fd)
""",
    "other packages": """
import importlib.util as u
for name in ('langgraph', 'psutil', 'pydantic', 'company', 'pip', 'httpx'):
    if u.find_spec(name): print('ESCAPED', name)
""",
    "core dumps": """
import resource
if resource.getrlimit(resource.RLIMIT_CORE)[1]: print('ESCAPED')
""",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_no_way_out(box: Sandbox, host: Host, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    words = {
        "HOST_TCP": host.tcp.getsockname()[1],
        "HOST_UDP": host.udp.getsockname()[1],
        "HOST_PID": os.getpid(),
        "HOST_FOLDER": host.secret.parent,
        "HOST_SECRET": SECRET,
        "HOST_BASE": sys.base_prefix,
    }
    code = ESCAPES[name]
    for word, value in words.items():
        code = code.replace(word, str(value))
    assert do(box, PRELUDE + code).strip() == ""
    assert host.untouched()


def test_the_probes_would_notice() -> None:
    """What `tries` runs does print when it succeeds."""
    assert "ESCAPED" in do(Bubblewrap(), PRELUDE + "tries(writes('/box/x'))")


def test_the_report_pipe_comes_only_when_asked_for(box: Sandbox) -> None:
    code = f"import os\nos.write(int(os.environ['{REPORT_FD}']), b'told')"
    result = asyncio.run(box.run(Spec(("python", "-c", code), report=True)))
    assert (result.report, result.exit_status) == (b"told", 0)
    assert asyncio.run(box.run(Spec(("python", "-c", code)))).exit_status == 1


@pytest.mark.parametrize(("machine", "steps"), [("x86_64", 100), ("aarch64", 90)])
def test_the_filter_is_written_for(machine: str, steps: int) -> None:
    program = seccomp.program(machine)
    assert program
    assert len(program) % 8 == 0
    assert steps < len(program) // 8 < 256


def test_no_filter_for_an_unknown_machine() -> None:
    assert seccomp.program("vax") is None


BENIGN = {
    "sys": "import sys; assert sys.version_info >= (3, 11); assert sys.executable == '/venv/bin/python'",
    "multiprocessing": """
import multiprocessing as m
def f(x): return x * x
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        with m.get_context(method).Pool(2) as pool: assert pool.map(f, [1, 2, 3]) == [1, 4, 9]
""",
    "shared memory": """
from multiprocessing import shared_memory as s
x = s.SharedMemory(create=True, size=1 << 20)
x.buf[0] = 7; x.close(); x.unlink()
""",
    "threads": """
from concurrent.futures import ThreadPoolExecutor as T
with T(30) as t: assert sum(t.map(int, '12345' * 20)) == 300
""",
    "asyncio": r"""
import asyncio
async def main():
    async def serve(r, w): w.write(await r.readline()); await w.drain(); w.close()
    server = await asyncio.start_server(serve, 'localhost', 0)
    r, w = await asyncio.open_connection(*server.sockets[0].getsockname()[:2]); w.write(b'hi\n')
    assert await r.readline() == b'hi\n'; w.close(); server.close()
    p = await asyncio.create_subprocess_exec('echo', 'x', stdout=-1)
    assert (await p.communicate())[0] == b'x\n'
asyncio.run(main())
""",
    "http.server": """
import http.server, threading, urllib.request
open('a.txt', 'w').write('hello')
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=s.serve_forever, daemon=True).start()
assert urllib.request.urlopen(f'http://localhost:{s.server_port}/a.txt').read() == b'hello'
s.shutdown()
""",
    "sqlite": """
import sqlite3
c = sqlite3.connect('x.db'); c.execute('pragma journal_mode=wal')
c.execute('create table t(a)'); c.execute('insert into t values (1)'); c.commit(); c.close()
""",
    "unix socket": """
import socket
s = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); s.listen()
c = socket.socket(socket.AF_UNIX); c.connect('/tmp/s'); a, b = socket.socketpair()
""",
    "files": """
import os, pathlib, shutil, tempfile
p = pathlib.Path('ü/ö'); p.mkdir(parents=True); (p / 'x').write_text('ß')
os.symlink('ü', 'l')
shutil.copytree('ü', 'c')
shutil.rmtree('ü')
tempfile.TemporaryDirectory().cleanup()
""",
    "home": """
import pathlib
(pathlib.Path.home() / '.todo.json').write_text('{}')
""",
    "user": """
import getpass, os, pwd
assert getpass.getuser() == 'user' == pwd.getpwuid(os.getuid()).pw_name
""",
    "names": """
import socket
socket.gethostbyname('localhost'); socket.gethostbyname(socket.gethostname())
""",
    "subprocess": r"""
import subprocess, sys
assert subprocess.check_output([sys.executable, '-c', 'print(1)'], text=True) == '1\n'
assert subprocess.check_output('ls | wc -l', shell=True, text=True).strip() == '1'
""",
    "random, time, zlib, ssl": """
import random, secrets, ssl, time, uuid, zlib, hashlib, lzma, bz2, decimal, zoneinfo
ssl.create_default_context(); secrets.token_hex(); time.sleep(0.01); uuid.uuid4()
""",
    "signals": """
import signal, os
hit = []
signal.signal(signal.SIGALRM, lambda *a: hit.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()
assert hit
""",
    "pty": """
import pty, os
pid, fd = pty.fork()
if pid == 0: os.execvp('echo', ['echo', 'x'])
assert b'x' in os.read(fd, 9)
""",
    "big integers and recursion": """
import math
assert len(str(math.factorial(1000))) == 2568
def f(n): return n and f(n - 1)
f(900)
""",
    "pytest": """
import pytest, subprocess, sys, pathlib
pathlib.Path('test_a.py').write_text('def test_a(tmp_path): pass')
assert b'1 passed' in subprocess.check_output([sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider'])
""",
}


@pytest.mark.parametrize("name", BENIGN)
def test_ordinary_programs_work(box: Sandbox, name: str) -> None:
    assert do(box, BENIGN[name]) == ""


def test_what_is_typed_in_is_read_whole_and_once_and_may_be_left_unread(box: Sandbox) -> None:
    typed = b"x" * (3 << 20)
    reads = "import sys\ngot = len(sys.stdin.buffer.read())\nfor name in ('/dev/stdin', '/proc/1/fd/0'):\n    try:\n        got += len(open(name, 'rb').read())\n    except OSError:\n        pass\nprint(got)"
    for code, said in ((reads, f"{len(typed)}\n"), ("print('done')", "done\n")):
        result = asyncio.run(box.run(Spec(("python", "-c", code), stdin=typed)))
        assert (result.status, result.exit_status, result.stdout) == ("exit", 0, said)
    again = asyncio.run(box.run(Spec(("python", "-c", "print(open('/dev/stdin').read())"), stdin=b"abc")))
    assert again.stdout == "abc\n"
