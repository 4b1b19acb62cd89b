"""The error tree: what the operator did, what the model did, what broke.

    CompanyError
    ├── UsageError            the operator can mend it: bad argument, setting, file        exit 2
    │   └── SopError          a procedure does not check (carries every diagnostic)        exit 2
    ├── LimitReached          a limit of the run stopped it; it can be resumed             exit 4
    ├── Interrupted           the operator stopped it (Ctrl-C); it can be resumed           exit 130
    ├── ModelError            the model or its endpoint failed us                          exit 1
    │   ├── EndpointError     no usable answer over HTTP (unreachable, refused, 4xx, 5xx)
    │   ├── DeadlineExceeded  the whole call took longer than allowed
    │   └── ReplyError        an answer came, but it is no valid reply (raw text kept)
    ├── StepFailed            a step ended without its artifact; the run stops, resumable  exit 1
    │   └── Refused           a person said no at a gate
    └── Broken                the machine under us
        ├── SandboxUnavailable  no safe way to run generated code here                     exit 5
        ├── MachineLost         a machine of a cluster went away, with a run under way      exit 1
        ├── WorkspaceError      disk, permission, git                                      exit 1
        │   └── RunDamaged      what is kept of a run cannot be read
        ├── WorkspaceBusy       another run holds the lock                                 exit 1
        └── UnsafePath          a generated path would leave the repository

Every error carries a fact (`message`), optionally a `place` and a way out (`hint`). Only `cli_errors.py` prints them.
Diagnostics of the SOP checker live in `sop/diagnostics.py`.
"""

from __future__ import annotations

from typing import Any


def extra(name: str) -> str:
    """How an optional part is installed. Not by its name from an index: there the name may be somebody else's."""
    return f"`pip install -e '.[{name}]'` in the folder of company's source"


class CompanyError(Exception):
    """Base of every error we raise on purpose.

    Args:
        message: the fact, one sentence, no trailing full stop needed.
        place: where, for instance ``sops/waterfall.yaml:31``.
        hint: the way out, an action the reader can take.
    """

    exit_code = 1

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class UsageError(CompanyError):
    """Something the operator gave us is wrong and can be changed by them."""

    exit_code = 2


class SopError(UsageError):
    """A procedure does not check.

    `diagnostics` are all of its `sop.diagnostics.Diagnostic`s, warnings included; `report` is their rendering.
    """

    def __init__(
        self, message: str, *, report: str = "", diagnostics: tuple[Any, ...] = (), place: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, place=place, hint=hint)
        self.report = report
        self.diagnostics = diagnostics


class LimitReached(CompanyError):
    """A limit of the run (calls, tokens, minutes, usd) stopped it before the next call."""

    exit_code = 4


class Interrupted(CompanyError):
    """The operator stopped the run; what it has is kept."""

    exit_code = 130


class ModelError(CompanyError):
    """The model or its endpoint did not give what was asked."""


class EndpointError(ModelError):
    """No usable HTTP answer. `retryable` says whether the same request may succeed later.

    `refused`: the endpoint does not take the way in which a reply that fits a schema was asked for. `is_of_request`: it is this
    request that it does not take, or whose answer is no use, and another may be answered.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        place: str = "",
        hint: str = "",
        refused: bool = False,
        is_of_request: bool = False,
    ) -> None:
        super().__init__(message, place=place, hint=hint)
        self.refused = refused
        self.is_of_request = is_of_request
        self.retryable = retryable
        self.retry_after = retry_after


class DeadlineExceeded(ModelError):
    """The whole call, streaming included, took longer than its deadline."""


class ReplyError(ModelError):
    """A reply arrived but is not usable: empty, cut, not JSON, against the schema, no code in it.

    `raw` is the reply as it came, `reason` what the model should be told in order to repair it.
    """

    def __init__(self, message: str, *, raw: str = "", reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.raw = raw
        self.reason = reason or message


class NothingNew(ReplyError):
    """A reply gives back what it was shown. Told so, a small model changes something else; asked in another form, it does the task."""


class Filtered(ReplyError):
    """A filter of the service ended the reply. It is asked for in other words; pieces or another form would meet the same filter."""


class StepFailed(CompanyError):
    """A step ended without its artifact after every permitted attempt."""


class Refused(StepFailed):
    """A person chose at a gate to end the run here: nothing is tried again, nothing goes on without it."""


class Broken(CompanyError):
    """The machine under us failed, not the operator and not the model."""


class SandboxUnavailable(Broken):
    """There is no safe way to run generated code on this machine."""

    exit_code = 5


class MachineLost(Broken):
    """The machines of a cluster that made a run went away, or none is left that takes it."""


class WorkspaceError(Broken):
    """Disk, permission or git failed."""


class RunDamaged(WorkspaceError):
    """What is kept of a run's beginning cannot be read; other runs are not touched by that."""


class WorkspaceBusy(WorkspaceError):
    """Another process holds the workspace or the repository."""


class UnsafePath(Broken):
    """A path from a model would leave the repository or is not portable."""
