"""The list of procedures, the editor of one, and what is refused."""

import hashlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import serving

from company.sop.library import Library

MISTAKE = ("role: qa,", "role: qaa,")


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a settings file and nothing else."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "company.toml").touch()
    return folder


@pytest.fixture(scope="module")
def used(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of our own, with the same run."""
    return shutil.copytree(workspace, tmp_path_factory.mktemp("used"), dirs_exist_ok=True, symlinks=True)


@pytest.fixture(scope="module")
def desk(used: Path, mine: Path) -> Iterator[str]:
    """A studio begun in that folder."""
    with serving(used, mine) as address:
        yield address


@pytest.fixture
def shut(page: object) -> Iterator[object]:
    """A page that is left at the end, whatever is typed in it."""
    page.on("dialog", lambda asked: asked.accept())
    yield page
    page.goto("about:blank")


def write(page: object, text: str) -> None:
    """Put a text in the place of the one in the editor, as pasting does."""
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(text)


def ask(address: str, headers: dict[str, str] | None = None, **fields: str) -> tuple[int, str]:
    """What a form sends; the answer's status and text."""
    asked = urllib.request.Request(address, urllib.parse.urlencode(fields).encode(), headers or {})
    try:
        with urllib.request.urlopen(asked) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def began(address: str) -> str:
    """The run that a begun command became."""
    for _ in range(60):
        with urllib.request.urlopen(address) as reply:
            kind, _, name = reply.geturl().rpartition("/")
            if kind.endswith("/runs"):
                return name
        time.sleep(0.5)
    raise AssertionError(f"nothing came of {address}")


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "company", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_list_has_every_procedure_with_its_drawing_and_its_runs(shut: object, desk: str) -> None:
    shut.goto(f"{desk}sops")
    for name in ("waterfall", "debate"):
        card = shut.locator("li", has=shut.get_by_role("link", name=name, exact=True))
        assert card.locator("svg").is_visible()
    card = shut.locator("li", has=shut.get_by_role("link", name="waterfall", exact=True))
    assert "Requirements, design, code and tests" in card.inner_text()
    card.get_by_role("link", name="1 run", exact=True).click()
    shut.get_by_role("link", name="todo").wait_for()


def test_a_mistake_is_marked_and_mended_and_the_drawing_follows(shut: object, desk: str) -> None:
    shut.goto(f"{desk}sops/waterfall")
    text = Library(None).sop("waterfall").text
    write(shut, text.replace(*MISTAKE))
    found = shut.locator("#findings li")
    found.get_by_text("there is no role `qaa`").wait_for()
    assert "SOP401" in found.inner_text()
    assert "did you mean `qa`?" in found.inner_text()
    assert shut.locator(".cm-lintRange-error").inner_text() == "qaa"
    assert "dim" in shut.locator("#drawing").get_attribute("class")
    assert shut.locator("#picture svg").count() == 1
    found.get_by_role("link", name="line 20").click()
    assert shut.evaluate("document.getElementById('editor').shadowRoot.getSelection().toString()") == "qaa"
    shut.keyboard.insert_text("qa")
    shut.locator(".cm-lintRange-error").wait_for(state="detached")
    write(
        shut,
        text.replace("  tests:", "  checks:")
        .replace("code, tests]", "code, checks]")
        .replace(" qa,", " qa, prompt: tests,"),
    )
    shut.locator("#picture svg text", has_text="checks").wait_for()
    assert shut.locator("#drawing.dim").count() == 0
    shut.get_by_text("Differs from the shipped").click()
    assert "+ step checks: QA Engineer" in shut.locator("#differs").inner_text()


def test_the_answer_to_the_newest_text_is_shown(shut: object, desk: str) -> None:
    text = Library(None).sop("waterfall").text
    held: list[object] = []

    def hold(route: object) -> None:
        if "qaa" in (route.request.post_data or "") and "accept" in route.request.headers:
            held.append(route)
        else:
            route.continue_()

    shut.route("**/sops/waterfall", hold)
    shut.goto(f"{desk}sops/waterfall")
    write(shut, text.replace(*MISTAKE))
    while not held:
        shut.wait_for_timeout(50)
    write(shut, text.replace("max: 4", "max: 5"))
    shut.get_by_text("Differs from the shipped").wait_for()
    with shut.expect_response("**/sops/waterfall"):
        held[0].continue_()
    shut.wait_for_timeout(300)
    assert shut.locator(".cm-lintRange-error").count() == 0
    assert shut.locator("#findings .passed").count() == 1


def test_a_step_of_the_drawing_leads_to_its_line_and_back(shut: object, desk: str) -> None:
    shut.goto(f"{desk}sops/waterfall")
    shut.locator(".cm-content").wait_for()
    step = shut.locator("#picture a[data-step='verify.test']")
    step.press("Enter")
    shut.locator("#picture a[data-step='verify.test'][aria-current]").wait_for()
    assert shut.locator(".cm-activeLine").inner_text().lstrip().startswith("test: {run: pytest")
    for line, current in (("until: test.passed", "verify"), ("prd:", "prd"), ("limits:", "")):
        shut.locator(".cm-line", has_text=line).first.click()
        found = shut.locator("#picture a[aria-current]").evaluate_all("links => links.map(link => link.dataset.step)")
        assert found == [current] * bool(current)


def test_roles_are_offered_and_taken_by_keyboard(shut: object, desk: str) -> None:
    shut.goto(f"{desk}sops/zero_shot")
    write(shut, "sop: 1\nsteps:\n  code: {role: }")
    shut.keyboard.press("ArrowLeft")
    shut.keyboard.press("Control+Space")
    shut.locator(".cm-tooltip-autocomplete li", has_text="security_reviewer").wait_for()
    shut.keyboard.type("sec")
    shut.wait_for_timeout(150)  # as the widget does not take a choice that has just been shown
    shut.keyboard.press("Enter")
    shut.get_by_text("code: {role: security_reviewer}").wait_for()


def test_tab_indents_and_leaves_after_escape(shut: object, desk: str) -> None:
    shut.goto(f"{desk}sops/zero_shot")
    write(shut, "sop: 1\n")
    shut.keyboard.press("Tab")
    inside = "document.activeElement.id"
    assert shut.evaluate(inside) == "editor"
    assert shut.locator(".cm-line").last.inner_text() == "  "
    shut.keyboard.press("Escape")
    shut.keyboard.press("Tab")
    assert shut.evaluate(inside) != "editor"


def test_what_is_saved_is_the_user_s_and_the_command_line_agrees(shut: object, desk: str, mine: Path) -> None:
    shut.goto(f"{desk}sops/reflection")
    shipped = Library(None).sop("reflection")
    write(shut, shipped.text.replace("max: 3", "max: 2"))
    shut.get_by_text("not saved").wait_for()
    shut.keyboard.press("ControlOrMeta+s")
    shut.get_by_text("it takes the place of the shipped one").wait_for()
    shut.get_by_text("not saved").wait_for(state="detached")
    assert "max: 2" in (mine / "sops/reflection.yaml").read_text()
    assert (mine / "sops/sop-1.json").is_file()
    assert Library(None).sop("reflection").text == shipped.text
    assert "reflection: checks, 4 model calls" in command("sop", "check", "reflection", folder=mine).stdout
    write(shut, shipped.text.replace("role: engineer", "role: engineerr"))
    shut.get_by_text("there is no role `engineerr`").wait_for()
    shut.get_by_role("button", name="Save").click()
    shut.get_by_text("saved as").wait_for()
    said = command("sop", "check", "reflection", folder=mine)
    assert (said.returncode, "SOP401" in said.stderr) == (2, True)


def test_a_file_that_was_changed_on_disk_is_not_overwritten_unasked(shut: object, desk: str, mine: Path) -> None:
    file = mine / "sops/changing.yaml"
    shut.goto(f"{desk}sops")
    shut.get_by_label("New procedure").fill("changing")
    shut.get_by_label("made from").select_option("zero_shot")
    shut.get_by_role("button", name="Write it").click()
    shut.locator(".cm-content").wait_for()
    assert "name: changing" in file.read_text()
    file.write_text(file.read_text() + "# from another editor\n")
    write(shut, file.read_text() + "# from here\n")
    shut.get_by_role("button", name="Save").click()
    shut.get_by_text("the file was changed on disk").wait_for()
    assert "from here" not in file.read_text()
    shut.get_by_text("What differs from the file").click()
    assert "+# from here" in shut.locator("#told").inner_text()
    shut.get_by_role("button", name="Write this text over it").click()
    shut.get_by_text("saved as").wait_for()
    assert "from here" in file.read_text()


def test_a_dry_run_of_the_text_as_it_stands(shut: object, desk: str, used: Path) -> None:
    shut.goto(f"{desk}sops/zero_shot")
    text = Library(None).sop("zero_shot").text
    write(shut, f"{text}# not saved\n")
    shut.locator("summary", has_text="Dry run").click()
    shut.get_by_label("requirement").fill("Try the draft")
    shut.get_by_label("requirement").press("Enter")
    link = shut.locator("#told").get_by_role("link", name="see it")
    link.wait_for()
    run = began(f"{desk}{link.get_attribute('href')}")
    assert "# not saved" in (used / ".company/runs" / run / "library/own/zero_shot.yaml").read_text()
    shut.goto(f"{desk}runs/{run}")
    shut.get_by_text("Try the draft").first.wait_for()


def test_without_scripts_the_same_answers_come_as_a_page(desk: str, mine: Path) -> None:
    text = Library(None).sop("waterfall").text
    status, html = ask(f"{desk}sops/waterfall", text=text.replace(*MISTAKE), do="check", seen="")
    assert status == 200
    assert "there is no role `qaa`" in html
    assert "role: qaa" in html
    status, html = ask(f"{desk}sops/waterfall", text=text.replace("\n", "\r\n"), do="save", seen="")
    assert (status, "saved as" in html) == (200, True)
    assert (mine / "sops/waterfall.yaml").read_text() == text
    assert ask(f"{desk}sops/waterfall", text="sop: 1", do="save", seen="")[0] == 409
    (mine / "sops/waterfall.yaml").unlink()


def test_a_file_that_is_gone_can_be_written_again(desk: str, mine: Path) -> None:
    file, text = mine / "sops/leaving.yaml", Library(None).sop("zero_shot").text.replace("zero_shot", "leaving")
    status, html = ask(f"{desk}sops/leaving", text=text, do="save", seen="0" * 64)
    assert (status, "changed on disk" in html, file.exists()) == (409, True, False)
    status, html = ask(f"{desk}sops/leaving", text=text, over="none", seen="0" * 64)
    assert (status, file.read_text()) == (200, text)
    file.write_bytes(text.replace("\n", "\r\n").encode())
    seen = hashlib.sha256(file.read_bytes()).hexdigest()
    assert ask(f"{desk}sops/leaving", text=f"{text}# more\n", do="save", seen=seen)[0] == 200
    assert file.read_bytes() == f"{text}# more\n".replace("\n", "\r\n").encode()


def test_requests_of_other_sites_and_odd_names_are_refused(desk: str, mine: Path) -> None:
    before = sorted(mine.rglob("*"))
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert ask(f"{desk}sops/reflection", headers, text="sop: 1", do="save", seen="")[0] == 403
    for name in ("..%2fx", "%2e%2e", "..%5cx", "a%2f..%2fb", "UPPER", "x.yaml", "a" * 61, "%00"):
        assert ask(f"{desk}sops/{name}", text="sop: 1", do="save", seen="")[0] == 404
    for name, pattern in (("../x", "reflection"), ("mine", "../../etc/passwd")):
        assert ask(f"{desk}sops", **{"name": name, "from": pattern})[0] == 409
    assert sorted(mine.rglob("*")) == before


def test_nothing_is_written_through_a_link(desk: str, mine: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(Library(None).sop("zero_shot").text)
    (mine / "sops").mkdir(exist_ok=True)
    (mine / "sops/led.yaml").symlink_to(other)
    status, html = ask(f"{desk}sops/led", text="sop: 1", do="save", seen="")
    assert (status, "this is a link" in html) == (409, True)
    assert other.read_text() != "sop: 1"
    (mine / "sops/led.yaml").unlink()


def test_texts_that_would_take_for_ever_are_answered(desk: str) -> None:
    laughs = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a, *a]\n" for n in range(3000))
    status, html = ask(f"{desk}sops/reflection", text=laughs, do="check", seen="")
    assert (status, "SOP104" in html) == (200, True)
    many = "".join(f"   s{n}: {{run: pytest, in: [prev.s{n}], out: TestRun}}\n" for n in range(400))
    status, html = ask(
        f"{desk}sops/reflection", text=f"sop: 1\nsteps:\n a:\n  loop:\n{many}  max: 3\n", do="check", seen=""
    )
    assert (status, "too many for a drawing" in html) == (200, True)
    status, html = ask(f"{desk}sops/reflection", text="#" * 300_000, do="check", seen="")
    assert (status, "the text was not checked" in html) == (200, True)


def test_without_a_folder_the_way_to_one_is_told(shut: object, workspace: Path, tmp_path: Path) -> None:
    with serving(workspace, tmp_path) as address:
        status, html = ask(f"{address}sops/reflection", text="sop: 1", do="save", seen="")
        assert (status, "company init DIR" in html) == (409, True)
        shut.goto(f"{address}sops/reflection")
        shut.get_by_text("company init DIR").wait_for()
        shut.goto("about:blank")
    assert not [*tmp_path.iterdir()]


def test_into_the_shipped_library_nothing_is_written(studio: str) -> None:
    root = Path(__file__).resolve().parents[2]
    assert ask(f"{studio}sops", **{"name": "new-one", "from": "reflection"})[0] == 409
    assert ask(f"{studio}sops/reflection", text="sop: 1", do="save", seen="")[0] == 409
    assert not (root / "sops/new-one.yaml").exists()


def test_what_a_code_means(shut: object, desk: str) -> None:
    shut.goto(f"{desk}sops/explain/SOP401")
    assert "unknown role" in shut.locator("main").inner_text()
    assert ask(f"{desk}sops/explain/SOP999")[0] in (404, 405)
