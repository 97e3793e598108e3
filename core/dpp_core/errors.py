"""The one error tree, and the frozen exit codes with the rule that picks one for a run.

    DppError
    ├── UsageError                    2   wrong use of the command line
    ├── SpecError                    20   configuration or plan invalid, feature not understood
    │   ├── PolicyError              20   the platform policy itself is wrong
    │   ├── TenancyError             20   the namespace's policy entry does not allow it
    │   └── SpecTooLargeError        20   the resolved request is over 128 KiB
    ├── CredentialsMissingError      21   file not there, empty, torn, key missing
    ├── CredentialsRefusedError      22   the source refused user or password
    ├── SourceUnavailableError       23   temporary: unreachable, restarting, throttled to the end
    ├── SourceObjectError            31   table or column missing, or not granted
    ├── BlockedError                 24   a guard or rule: nothing committed for this unit
    ├── SchemaChangedError           25   a schema change that needs approval
    ├── DestinationUnavailableError  26   temporary: the store does not answer as it should
    │   └── DestinationDeniedError   26   permanent: the store refuses (grant, bucket name, signature)
    ├── FencedError                  27   a newer run owns the stream
    ├── ResourcesError               28   memory, disk or descriptors
    ├── StreamError                  29   the stream needs a person
    ├── VaultUnavailableError        30   temporary: sealed, standby, unreachable
    ├── InternalError                70   our bug
    ├── TemporaryFailure             75   try again; what was committed stays
    │   └── DeadlineError            75   the run's time is over, so the other units stop too
    └── StoppedError                143   stopped by a signal

Each class is born permanent or temporary and carries its exit code and default reason. Drivers' errors are
translated into it once, at the adapter that owns the driver. A message never holds a secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from dpp_core.names import Reason


class DppError(Exception):
    """An outcome the product foresees; `str()` is one sentence for a person.

    `field` is the path in the resource the message is about, `fix` what to do next.
    """

    exit_code: ClassVar[int] = 70
    is_temporary: ClassVar[bool] = False
    is_shared: ClassVar[bool] = False
    """True when the cause lies outside one dataset, so the other units of the run stop too."""
    default_reason: ClassVar[Reason] = Reason.INTERNAL
    retry_after_seconds: float = 0.0
    """What the other side asked for (Retry-After); set by the adapter, obeyed by guard/retry."""

    def __init__(
        self, message: str, *, reason: Reason | None = None, field: str = "", fix: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.field = field
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class UsageError(DppError):
    exit_code = 2
    default_reason = Reason.INVALID_SPEC


class SpecError(DppError):
    exit_code = 20
    default_reason = Reason.INVALID_SPEC


class PolicyError(SpecError):
    default_reason = Reason.INVALID_POLICY


class TenancyError(SpecError):
    default_reason = Reason.TENANCY_DENIED


class SpecTooLargeError(SpecError):
    default_reason = Reason.SPEC_TOO_LARGE


class CredentialsMissingError(DppError):
    exit_code = 21
    is_shared = True
    default_reason = Reason.CREDENTIALS_UNAVAILABLE


class CredentialsRefusedError(DppError):
    exit_code = 22
    is_shared = True
    default_reason = Reason.CREDENTIALS_REFUSED


class SourceUnavailableError(DppError):
    exit_code = 23
    is_temporary = True
    is_shared = True
    default_reason = Reason.SOURCE_UNREACHABLE


class BlockedError(DppError):
    """A guard stopped the unit; `fingerprint` is what an approval must match."""

    exit_code = 24
    default_reason = Reason.REPLACE_TOO_SMALL

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        field: str = "",
        fix: str = "",
        fingerprint: str = "",
    ) -> None:
        super().__init__(message, reason=reason, field=field, fix=fix)
        self.fingerprint = fingerprint


class SchemaChangedError(BlockedError):
    exit_code = 25
    default_reason = Reason.SCHEMA_CHANGED


class DestinationUnavailableError(DppError):
    exit_code = 26
    is_temporary = True
    is_shared = True
    default_reason = Reason.DESTINATION_UNAVAILABLE


class DestinationDeniedError(DestinationUnavailableError):
    is_temporary = False
    default_reason = Reason.DESTINATION_DENIED


class FencedError(DppError):
    exit_code = 27
    default_reason = Reason.FENCED


class ResourcesError(DppError):
    exit_code = 28
    is_shared = True
    default_reason = Reason.RESOURCES_EXHAUSTED


class StreamError(DppError):
    """The stream needs a person; `fingerprint` (empty when none can help) is what an approval must match."""

    exit_code = 29
    default_reason = Reason.STREAM_CHAIN_BROKEN

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        field: str = "",
        fix: str = "",
        fingerprint: str = "",
    ) -> None:
        super().__init__(message, reason=reason, field=field, fix=fix)
        self.fingerprint = fingerprint


class VaultUnavailableError(DppError):
    exit_code = 30
    is_temporary = True
    is_shared = True
    default_reason = Reason.VAULT_UNAVAILABLE


class SourceObjectError(DppError):
    exit_code = 31
    default_reason = Reason.SOURCE_OBJECT_MISSING


class InternalError(DppError):
    exit_code = 70


class TemporaryFailure(DppError):  # noqa: N818 - it is not an error: the same run started again goes on
    exit_code = 75
    is_temporary = True
    default_reason = Reason.OVERTAKEN


class DeadlineError(TemporaryFailure):
    is_shared = True
    default_reason = Reason.DEADLINE_EXCEEDED


class StoppedError(DppError):
    exit_code = 143
    is_temporary = True
    is_shared = True
    default_reason = Reason.STOPPED_BY_SIGNAL


@dataclass(frozen=True, slots=True)
class ExitCode:
    """A row of the frozen table: what the code means and what the operator does with it."""

    code: int
    meaning: str
    policy: str
    is_temporary: bool = False


EXIT_CODES: Final[dict[int, ExitCode]] = {
    row.code: row
    for row in (
        ExitCode(0, "every unit committed, unchanged or already committed", "advance"),
        ExitCode(2, "wrong use of the command line", "never in a Job"),
        ExitCode(
            20,
            "configuration or plan invalid, feature not understood",
            "FailJob, Stalled InvalidSpec",
        ),
        ExitCode(21, "credentials not there", "FailJob, one retry by the operator"),
        ExitCode(22, "authentication refused by the source", "FailJob, auth circuit opens"),
        ExitCode(23, "source unreachable or throttled to the end", "count, back off", True),
        ExitCode(24, "blocked by contract or guard, nothing committed for that unit", "FailJob"),
        ExitCode(25, "schema change blocked", "FailJob, needs approval in git"),
        ExitCode(26, "destination unavailable", "count, back off", True),
        ExitCode(27, "fenced by a newer run", "FailJob, no alert"),
        ExitCode(28, "resources: memory, disk, descriptors", "FailJob, one Job with more memory"),
        ExitCode(29, "the stream needs a person", "FailJob, Stalled"),
        ExitCode(30, "Vault unavailable or sealed", "count, back off", True),
        ExitCode(31, "source object missing or not granted", "FailJob"),
        ExitCode(70, "our bug", "one retry, then FailJob"),
        ExitCode(75, "temporary; what was committed stays", "count, resume", True),
        ExitCode(
            143,
            "stopped by signal; what was committed stays",
            "ignore on disruption, resume",
            True,
        ),
    )
}

_FIRST_ALWAYS: Final = (22, 28)
_TEMPORARY_ORDER: Final = (30, 26, 23, 75)
_PERMANENT_ORDER: Final = (29, 21, 20, 31, 70, 25, 24, 27)


def decide_exit_code(codes: Iterable[int]) -> int:
    """Pick the run's exit code from its units' codes (0 for a good unit).

    The order is frozen in the API page: 22 at once; else 28; else the first temporary of 30, 26, 23, 75; else the
    first of 29, 21, 20, 31, 70, 25, 24, 27. A stop by signal (143) outranks all but 22: the others will be met again.
    """
    seen = {code for code in codes if code != 0}
    if not seen:
        return 0
    if 143 in seen and 22 not in seen:
        return 143
    for code in (*_FIRST_ALWAYS, *_TEMPORARY_ORDER, *_PERMANENT_ORDER):
        if code in seen:
            return code
    return 70
