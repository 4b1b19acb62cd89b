"""What steps do in a repository that was there before the run: its files are read, and its tests are run beside new ones.

The map of one: `survey.py`. How verdicts are compared: `sandbox/existing.py`. How steps come here: `nodes.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from company.artifacts import ChangePlan, SourceFile, TestRun
from company.errors import StepFailed
from company.llm.names import is_test
from company.sandbox import Limits, compared, not_runnable, run_tests
from company.sandbox.existing import SETTINGS
from company.state import RunContext

_SPARE_MB = 64


def planned(plan: ChangePlan, files: Mapping[str, bytes]) -> Iterator[SourceFile]:
    """The files that a plan edits, as they are, with plain ends of lines.

    Raises:
        StepFailed: one is not there, or is no text.
    """
    for change in plan.changes:
        if change.action == "edit":
            try:
                text = files[change.path].decode("utf-8-sig")
            except (KeyError, UnicodeDecodeError) as error:
                raise StepFailed(
                    f"the plan edits `{change.path}`, and there is no such file of text",
                    hint="give the step that plans the map of the repository: `in: [requirement, survey]`",
                ) from error
            yield SourceFile(path=change.path, content=text.replace("\r\n", "\n"))


async def run_beside(
    context: RunContext,
    files: Mapping[str, bytes],
    new: Mapping[str, bytes],
    optional: Collection[str],
    limits: Limits,
    before: TestRun | None,
) -> TestRun:
    """The repository's own tests as they were before the run, and the `new` ones; judged by the run `before`, if given.

    What the run did to tests, fixtures and settings of the repository does not count.
    """
    assert context.guest
    base = context.guest.before
    own = {path: data for path, data in base.items() if is_test(path) or path in SETTINGS}
    new = {path: data for path, data in new.items() if path not in base}
    kept = {path: data for path, data in files.items() if path in base or not is_test(path)}
    size = sum(map(len, kept.values())) >> 20
    limits = Limits(seconds=limits.seconds, disk_mb=_SPARE_MB + 2 * size)
    run = await run_tests(context.sandbox, kept, {**own, **new}, optional=optional, limits=limits, base=base)
    if before is None:
        for line in not_runnable(run)[:5]:
            context.journal.emit("notice", text=line)
        return run
    steering = {path: data for path, data in own.items() if path.endswith("conftest.py") or path in SETTINGS}
    unchanged = await run_tests(context.sandbox, base, {**steering, **new}, optional=optional, limits=limits, base=base)
    return compared(before, run, new.keys(), unchanged)
