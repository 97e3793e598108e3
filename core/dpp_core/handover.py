"""The two documents that cross the Job border: RunRequest in, RunReport out.

Called by `plan` (builds requests), the extractor (reads requests, writes reports) and the operator (the reverse).
Both carry `protocol`; unknown fields are ignored on read, because operator N meets extractor N-1 and N+1 daily;
what must not be ignored is named in `must_understand`. No secret may ever be in either.
"""

import base64
import json
import zlib
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from dpp_core.errors import SpecError
from dpp_core.names import PROTOCOL, Reason, RunOutcome, UnitOutcome

REPORT_LIMIT_BYTES: Final = 4096
REQUEST_LIMIT_BYTES: Final = 128 * 1024
HIGH_LIMIT_CHARACTERS: Final = 32
_REPORT_PREFIX: Final = "dpp1:"
FEATURES: Final = frozenset({"database", "replace", "append"})
"""What this version understands; a request that must be understood beyond it is refused with exit 20."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Incremental(_Document):
    """How a dataset's change is found: rows with `low <= cursor < high`."""

    cursor: str
    initial: str | None = None
    lag_seconds: int | None = None
    nulls: Literal["Exclude"] | None = None


class Unit(_Document):
    """One dataset of a run. `known_seq` null means: nobody knows, scan back."""

    dataset: str
    object: str
    key: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: dict[str, str] = Field(default_factory=dict)
    incremental: Incremental | None = None
    write: Literal["Replace", "Append"] = "Replace"
    epoch: int = 0
    known_seq: int | None = None


class DatabaseSource(_Document):
    """A resolved database source; for sqlite `database` is the file's path and `host` is empty."""

    engine: Literal["postgresql", "sqlite"]
    host: str = ""
    port: int | None = None
    database: str
    tls: Literal["VerifyFull", "VerifyCa", "Require", "Disable"] = "VerifyFull"


class Destination(_Document):
    """A resolved destination: a local folder or an S3 bucket, and where its credentials come from."""

    kind: Literal["Folder", "S3"]
    path: str = ""
    bucket: str = ""
    endpoint: str = ""
    region: str = ""
    prefix: str = ""
    credentials: str = "Ambient"


class Credentials(_Document):
    """Where the source's secret lives; never the secret."""

    path: str = ""
    delivery: Literal["Agent", "Direct"] = "Agent"
    vault_role: str = ""


class RunRequest(_Document):
    """All a Job needs to know, resolved: the same bytes from the operator and from `dpp plan`."""

    protocol: int = PROTOCOL
    must_understand: tuple[str, ...] = ()
    run_id: str
    correlation_id: str
    cluster: str
    namespace: str
    extraction: str
    distributor: str
    generation: int = 0
    type: str = "Manual"
    created_at: datetime
    deadline_at: datetime
    publish: Literal["Live", "Shadow", "None"] = "Live"
    limit_rows: int | None = None
    source: DatabaseSource
    credentials: Credentials = Credentials()
    hosts: tuple[str, ...] = ()
    destination: Destination
    units: tuple[Unit, ...]
    approve: tuple[str, ...] = ()
    attempts: int = 1
    budget_bytes: int | None = None
    traceparent: str = ""
    image: str = ""
    policy_digest: str = ""


class UnitReport(_Document):
    """How one dataset ended. `high` is for display only; `code` is 0 for a good end."""

    dataset: str
    outcome: UnitOutcome
    seq: int | None = None
    version: int | None = None
    rows: int = 0
    quarantined: int = 0
    high: str = ""
    code: int = 0
    reason: Reason | None = None
    message: str = ""
    fingerprint: str = ""


class RunReport(_Document):
    """How a run ended, unit by unit; goes out in the termination message."""

    protocol: int = PROTOCOL
    run_id: str
    attempt_id: str
    outcome: RunOutcome
    exit_code: int
    started_at: datetime
    ended_at: datetime
    index: Literal["Current", "Behind", "Off"] = "Off"
    truncated: bool = False
    units: tuple[UnitReport, ...]


def parse_request(body: bytes) -> RunRequest:
    """Read a RunRequest; refuse what this version does not understand before anything is read.

    Raises SpecError (exit 20) naming the feature or the field.
    """
    try:
        request = RunRequest.model_validate_json(body)
    except ValueError as error:
        raise SpecError(f"The run request cannot be read: {error}") from error
    unknown = sorted(set(request.must_understand) - FEATURES)
    if unknown or request.protocol > PROTOCOL:
        raise SpecError(
            f"The run request {request.run_id} needs {', '.join(unknown) or 'a newer protocol'}; this extractor "
            f"speaks protocol {PROTOCOL} and understands {', '.join(sorted(FEATURES))}.",
            reason=Reason.FEATURE_NOT_UNDERSTOOD,
            fix="Use a newer extractor image.",
        )
    return request


def build_request_bytes(request: RunRequest) -> bytes:
    """Render a request canonically (sorted keys, no spaces), so that equal requests are equal bytes."""
    fields = request.model_dump(mode="json", exclude_none=True)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def build_termination_message(report: RunReport) -> bytes:
    """Fit a report into 4,096 bytes: zlib + base85; full, then with shorter messages, then failing units first.

    100 worst-case units fit (tested); a report beyond that is cut to its failing units and says `truncated`.
    """
    for message_characters in (120, 60, 24, 0):
        body = _encode(_shortened(report, message_characters))
        if len(body) <= REPORT_LIMIT_BYTES:
            return body
    units = sorted(report.units, key=lambda unit: unit.code == 0)
    while True:
        units = units[: len(units) * 3 // 4]
        cut = report.model_copy(update={"units": tuple(units), "truncated": True})
        body = _encode(_shortened(cut, 24))
        if len(body) <= REPORT_LIMIT_BYTES:
            return body


def parse_termination_message(body: bytes) -> RunReport:
    """Read what `build_termination_message` wrote. Raises SpecError when it is anything else."""
    text = body.decode("ascii", errors="replace").strip()
    if not text.startswith(_REPORT_PREFIX):
        raise SpecError("The termination message is not a DPP run report.")
    try:
        fields = json.loads(zlib.decompress(base64.b85decode(text.removeprefix(_REPORT_PREFIX))))
        fields["units"] = [_unit_from_row(row) for row in fields["units"]]
        return RunReport.model_validate(fields)
    except (ValueError, zlib.error, KeyError, IndexError, TypeError) as error:
        raise SpecError(f"The termination message is damaged: {error}") from error


def _shortened(report: RunReport, message_characters: int) -> RunReport:
    units = tuple(
        unit.model_copy(
            update={
                "message": unit.message[:message_characters],
                "high": unit.high[:HIGH_LIMIT_CHARACTERS],
            }
        )
        for unit in report.units
    )
    return report.model_copy(update={"units": units})


_ROW: Final = (
    "dataset",
    "outcome",
    "seq",
    "version",
    "rows",
    "quarantined",
    "high",
    "code",
    "reason",
    "message",
    "fingerprint",
)


def _unit_from_row(row: list[object]) -> dict[str, object]:
    return dict(zip(_ROW, row, strict=False))


def _encode(report: RunReport) -> bytes:
    fields = report.model_dump(mode="json", exclude={"units"})
    fields["units"] = [
        [unit.model_dump(mode="json")[name] for name in _ROW] for unit in report.units
    ]
    packed = zlib.compress(json.dumps(fields, separators=(",", ":")).encode(), 9)
    return _REPORT_PREFIX.encode() + base64.b85encode(packed)
