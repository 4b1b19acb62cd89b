"""A run's repository in the studio: who wrote which line, history, downloads; and a repository full of malice."""

import hashlib
import io
import os
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from serving import company, serving

from company.workspace import Repository

PWN = "<script>window.pwned = 1</script>"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="window.pwned = 1">{PWN}</svg>'
FILES = {
    "evil.html": f"<!doctype html>{PWN}<img src=x onerror='window.pwned=1'>\n",
    "evil.svg": SVG,
    "evil.md": f"{PWN}\n\n[press](javascript:window.pwned=1) [beside](a/b/c/d/deep.txt) [out](../../../etc/passwd) [host](//evil.example/x) ![](http://evil.example/x.png)\n\n<img src=x onerror=window.pwned=1>\n",
    "<img src=x onerror=window.pwned=1>.txt": "named so\n",
    '" onmouseover="window.pwned=1.txt': "quoted\n",
    "'-><script>window.pwned=1<script>.py": "'''</code></pre>" + PWN + "'''\n",
    "line\nbreak \x1b[31mred.txt": "\x1b]0;title\x07 and \u202eevil\n",
    "giant.txt": "x" * 900_000 + "\nlast\n",
    "many.py": "a = 1\n" * 30_000,
    "large.txt": "large\n" * 400_000,
    "binary.bin": "\0\x01\x02",
    "empty.txt": "",
    "windows.txt": "one\r\ntwo\r\n",
    "a/b/c/d/deep.txt": "deep\n",
    ".gitattributes": "* export-ignore filter=evil diff=evil -diff text eol=crlf\n",
    ".mailmap": "Nobody <nobody@company.invalid> <engineer@company.invalid>\n",
    "aux.c": "int a;\n",
}
ENGINEER = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Engineer"), ("EMAIL", "engineer@company.invalid"))
}
LINKS = {"link": "/etc/passwd", "folder-link": "/etc", "a/up": "../../../../../../etc/passwd", "self": "self"}
CLIENT = httpx.Client(timeout=30)
NOT_PACKED = {
    *LINKS,
    "aux.c",
    *(name for name in FILES if any(mark in name for mark in '<"\n')),
    "caf\udce9.txt",
    "nested",
}


def git(repo: Path, *words: str, stdin: bytes = b"", **environment: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=repo, input=stdin, capture_output=True, check=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **ENGINEER, **environment},
    )  # fmt: skip
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def commit_raw(repo: Path, rows: Mapping[str, tuple[str, str]], files: Mapping[str, str]) -> str:
    """A commit on the branch of whatever git can be made to hold; the working tree is left alone."""
    index = {"GIT_INDEX_FILE": str(repo.parent / "index")}
    git(repo, "read-tree", "HEAD", **index)
    known = dict(rows)
    for path, text in files.items():
        known[path] = "100644", git(repo, "hash-object", "-w", "--stdin", stdin=text.encode("utf-8", "surrogateescape"))
    said = "".join(f"{mode} {sha}\t{path}\0" for path, (mode, sha) in known.items())
    git(repo, "update-index", "-z", "--index-info", stdin=said.encode("utf-8", "surrogateescape"), **index)
    tree = git(repo, "write-tree", **index)
    sha = git(repo, "commit-tree", tree, "-p", "HEAD", "-m", f"{PWN} \x1b[31m", **index)
    git(repo, "update-ref", "refs/heads/main", sha)
    return sha


def by(repository: Repository, author: str, files: Mapping[str, bytes | None], step: str, run: str) -> str:
    made = repository.commit(
        files, subject=f"{step}: by {author}", author=author, email_slug=author.lower().replace(" ", "-"),
        trailers={"Company-Run": run, "Company-Step": step, "Company-Model": "m", "Company-Tokens": "77"},
    )  # fmt: skip
    assert made
    return made.sha


class Made:
    """A workspace with one run, whose repository was written to by two roles and then by an enemy."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder
        told = company("run", "Say hello", "--name", "hello", "--sop", "zero_shot", "--dry-run", workspace=folder)
        self.run = str(told["run"])
        self.repo = folder / "hello"
        repository = Repository.open(self.repo)
        self.first = by(
            repository, "Engineer", {"shared.py": b"one = 1\ntwo = 2\nthree = 3\n"}, "code.do[shared.py]#1", self.run
        )
        self.second = by(
            repository, "QA Engineer", {"shared.py": b"one = 1\ntwo = 22\nthree = 3\n"}, "verify.fix#2", self.run
        )
        rows = {
            path: ("120000", git(self.repo, "hash-object", "-w", "--stdin", stdin=to.encode()))
            for path, to in LINKS.items()
        }
        rows["nested"] = "160000", "1" * 40
        self.third = commit_raw(self.repo, rows, {**FILES, "caf\udce9.txt": "odd\n"})
        blob = git(self.repo, "hash-object", "-w", "--stdin", stdin=b"never committed")
        self.loose = git(
            self.repo,
            "commit-tree",
            git(self.repo, "mktree", stdin=f"100644 blob {blob}\tloose.txt\n".encode()),
            "-m",
            "x",
        )
        self.blob = blob
        (self.repo / "untracked.txt").write_text("SECRET of the working tree\n")
        (folder / "outside.txt").write_text("SECRET outside\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def at(made: Made) -> Iterator[str]:
    """The address of the repository's pages."""
    with serving(made.workspace) as address:
        yield f"{address}runs/{made.run}/repo"


def url(at: str, path: str, inner: str = "", **more: str) -> str:
    asked = {"path": path, **more}
    return f"{at}{inner}?" + "&".join(
        f"{name}={quote(value, safe='', errors='surrogateescape')}" for name, value in asked.items()
    )


def test_beside_each_line_stands_the_role_that_wrote_it(page: object, at: str, made: Made) -> None:
    page.goto(url(at, "shared.py"))
    page.get_by_text("2 lines").wait_for()
    beside = page.locator(".beside .l")
    assert [text.strip() for text in beside.all_text_contents()] == ["Engineer", "QA Engineer", "Engineer"]
    code, roles = (
        [line.bounding_box()["y"] for line in page.locator(each).all()] for each in (".code .l", ".beside .l")
    )
    assert [round(one - two) for one, two in zip(code, roles, strict=True)] == [0, 0, 0]
    page.get_by_role("link", name="QA Engineer, line 2: verify.fix#2").click()
    page.get_by_role("heading", name="verify.fix#2: by QA Engineer").wait_for()
    assert page.url.endswith(f"/repo/commit/{made.second}")
    page.get_by_text("two = 22").wait_for()
    step = page.get_by_role("link", name="verify.fix#2", exact=True)
    assert step.get_attribute("href") == f"runs/{made.run}?open=verify.fix%232"
    page.get_by_text("77 tokens by m").wait_for()
    page.go_back()
    page.get_by_role("link", name="Text", exact=True).click()
    page.locator(".code").wait_for()
    assert page.locator(".beside").count() == 0
    assert page.url.endswith("view=plain")


def test_the_history_goes_back_to_the_start(page: object, at: str, made: Made) -> None:
    page.goto(at)
    page.get_by_role("link", name="History").click()
    page.get_by_text("start: run zero_shot").wait_for()
    rows = page.locator("tbody tr")
    assert rows.count() == len(git(made.repo, "log", "--format=%h").split())
    assert "code.do[shared.py]#1" in rows.nth(2).inner_text()
    assert "77" in rows.nth(2).inner_text()
    rows.nth(2).get_by_role("link").first.click()
    page.get_by_role("link", name="All files at this commit").click()
    page.get_by_text("This is how it was at that commit.").wait_for()
    assert page.get_by_role("link", name="evil.html").count() == 0
    page.get_by_role("link", name="shared.py", exact=True).click()
    page.get_by_text("two = 2").wait_for()
    page.get_by_role("link", name="See how it is now").click()
    page.get_by_role("link", name="evil.html").wait_for()


def test_the_zip_holds_the_files_of_the_commit_and_no_others(page: object, at: str, made: Made) -> None:
    answer = CLIENT.get(f"{at}/zip")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''hello-{made.third[:10]}.zip"
    packed = zipfile.ZipFile(io.BytesIO(answer.content))
    top = f"hello-{made.third[:10]}/"
    listed = [row.partition("\t") for row in git(made.repo, "ls-tree", "-r", "-z", "HEAD").split("\0") if row]
    blobs = {path: about.split()[2] for about, _, path in listed if path not in NOT_PACKED}
    assert {name.removeprefix(top) for name in packed.namelist()} == set(blobs)
    for name in packed.namelist():
        data = packed.read(name)
        assert hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == blobs[name.removeprefix(top)]
    assert CLIENT.get(f"{at}/zip").content == answer.content
    earlier = zipfile.ZipFile(io.BytesIO(CLIENT.get(f"{at}/zip?at={made.first}").content))
    assert earlier.read(f"hello-{made.first[:10]}/shared.py") == b"one = 1\ntwo = 2\nthree = 3\n"
    page.goto(at)
    page.get_by_text("Not in the zip").wait_for()
    with page.expect_download() as got:
        page.get_by_role("link", name="Download as zip").click()
    assert got.value.suggested_filename == f"hello-{made.third[:10]}.zip"


@pytest.mark.parametrize("name", [*FILES, "caf\udce9.txt"])
def test_a_file_is_sent_as_it_is_and_never_as_a_page(at: str, name: str) -> None:
    answer = CLIENT.get(url(at, name, "/raw"))
    assert answer.status_code == 200
    assert answer.content == FILES.get(name, "odd\n").encode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_nothing_that_a_model_wrote_runs_or_breaks_a_page(page: object, at: str, made: Made) -> None:
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    shown = [url(at, path) for path in ("", *FILES, "link", "nested", "caf\udce9.txt")]
    for address in (*shown, url(at, "evil.md", view="roles"), f"{at}/history", f"{at}/commit/{made.third}"):
        assert page.goto(address).status == 200, address
        pwned, scripts, width = page.evaluate(
            "[window.pwned, document.scripts.length, document.documentElement.scrollWidth]"
        )
        assert (pwned, scripts) == (None, 2), address
        assert width <= 1440, address
    page.goto(url(at, "a/b/c/d"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("d#main"), "skipping to the content stays on the page"


def test_a_document_leads_to_the_files_that_it_names(page: object, at: str) -> None:
    page.goto(url(at, "evil.md"))
    assert page.locator(".document a").all_inner_texts() == ["beside", "out"]
    out = page.get_by_role("link", name="out").get_attribute("href")
    assert CLIENT.get(f"{at.rpartition('/runs/')[0]}/{out}").status_code == 404
    page.get_by_role("link", name="beside").click()
    page.get_by_text("deep", exact=True).wait_for()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("large.txt", "too large to be shown"),
        ("binary.bin", "no text, and not shown"),
        ("empty.txt", "an empty file"),
        ("giant.txt", "more characters"),
        ("many.py", "28000 more lines left out"),
        ("link", "a link to /etc/passwd, which is not followed"),
        ("nested", "a repository of its own"),
    ],
)
def test_what_is_not_shown_is_said(at: str, path: str, said: str) -> None:
    answer = CLIENT.get(url(at, path))
    assert said in answer.text
    assert len(answer.content) < 1_500_000
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "..%2foutside.txt", "../outside.txt", "a/../../outside.txt", "%2e%2e%2foutside.txt", "/etc/passwd", "//etc/passwd", ".git/config",
        ".git", "shared.py/", "a//b", "./shared.py", "untracked.txt", "folder-link/passwd", "link/x", "nested/x", "a/up/x", "\\..\\x",
        "shared.py\0", "no such file", "HEAD:shared.py", ":/shared.py", "--output=x", "loose.txt",
    ],
)  # fmt: skip
def test_what_the_commit_has_not_is_not_there(at: str, path: str) -> None:
    for address in (url(at, path), url(at, path, "/raw"), f"{at}?path={path}", f"{at}/raw?path={path}", f"{at}/{path}"):
        try:
            answer = CLIENT.get(address)
        except httpx.InvalidURL:
            continue
        assert answer.status_code == 404, address
        assert "SECRET" not in answer.text


@pytest.mark.parametrize("path", ["link", "folder-link", "a/up", "self", "nested", "a", ""])
def test_no_link_is_followed_and_no_folder_sent(at: str, path: str) -> None:
    assert CLIENT.get(url(at, path, "/raw")).status_code == 404


def test_only_commits_of_the_run_are_shown(at: str, made: Made) -> None:
    for sha in (
        made.loose,
        made.blob,
        "0" * 40,
        "HEAD",
        "main",
        "--all",
        made.first[:12],
        f"{made.first}^",
        f"{made.first}:x",
        " ",
    ):
        for address in (
            f"{at}?at={quote(sha, safe='')}",
            f"{at}/zip?at={quote(sha, safe='')}",
            f"{at}/commit/{quote(sha, safe='')}",
        ):
            answer = CLIENT.get(address)
            assert answer.status_code == 404, address
            assert "never committed" not in answer.text


def test_a_run_without_its_repository_says_so(made: Made) -> None:
    moved = made.repo.with_name("moved")
    made.repo.rename(moved)
    try:
        with serving(made.workspace) as address:
            answer = CLIENT.get(f"{address}runs/{made.run}/repo")
        assert answer.status_code == 404
        assert "the repository of this run is not here" in answer.text
    finally:
        moved.rename(made.repo)


def test_every_address_is_about_a_run_that_there_is(at: str) -> None:
    root = at.rpartition("/runs/")[0]
    for run in ("nobody", "..", "%2e%2e%2f", "hello%00"):
        assert CLIENT.get(f"{root}/runs/{run}/repo").status_code == 404
