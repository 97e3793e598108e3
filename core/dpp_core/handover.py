"""The two documents that cross the Job border: RunRequest in, RunReport out.

Called by `plan` (builds requests), the extractor (reads requests, writes reports) and the operator (the reverse).
Both carry `protocol`; unknown fields are ignored on read, because operator N meets extractor N-1 and N+1 daily;
what must not be ignored is named in `must_understand`. No secret may ever be in either.
"""

import json
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dpp_core.errors import SpecError
from dpp_core.names import PROTOCOL, Reason, RunOutcome, Unfit, UnitOutcome

REQUEST_LIMIT_BYTES: Final = 128 * 1024
FEATURES: Final = frozenset(
    {"database", "replace", "append", "maintain", "values", "deletes", "nulls", "limits", "replica"}
)
"""What this version understands; a request that must be understood beyond it is refused with exit 20."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Incremental(_Document):
    """How a dataset's change is found: rows with `low <= cursor < high`."""

    cursor: str
    initial: str | None = None
    lag_seconds: int | None = None
    nulls: Literal["Exclude", "Include", "Coalesce"] | None = None
    coalesce: str | None = None

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns that windows compare: the cursor, and what stands in for a NULL one."""
        return (self.cursor,) if self.coalesce is None else (self.cursor, self.coalesce)

    @property
    def cursor_text(self) -> str:
        """The cursor as commits and the index name it: another stand-in is another stream."""
        return " else ".join(self.compared)


class Values(_Document):
    """What is done with values that their column's type cannot hold; `columns` by source name."""

    unfit: Unfit = "Quarantine"
    columns: dict[str, Unfit] = Field(default_factory=dict)


class Deletes(_Document):
    """How rows deleted at the source are found: by their keys, or by a column that marks them.

    `column` and `value` are those of SoftDeleteColumn; without a value any but NULL marks. A larger share of the
    table's keys than `most_percent` is not deleted before a person approves; None: the extractor's own bound.
    """

    kind: Literal["KeyDiff", "SoftDeleteColumn"]
    column: str | None = None
    value: str | None = None
    most_percent: int | None = None


class Unit(_Document):
    """One dataset of a run. `known_seq` null means: nobody knows, scan back."""

    dataset: str
    object: str
    key: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: dict[str, str] = Field(default_factory=dict)
    incremental: Incremental | None = None
    values: Values | None = None
    write: Literal["Replace", "Append"] = "Replace"
    epoch: int = 0
    known_seq: int | None = None
    deletes: Deletes | None = None

    @property
    def compares_keys(self) -> bool:
        """Say whether deleted rows are found by comparing the keys of source and table."""
        return self.deletes is not None and self.deletes.kind == "KeyDiff"


class SourceLimits(_Document):
    """How hard the source may be used; None: no bound, or the extractor's own."""

    read_seconds: int | None = None
    rows_per_second: int | None = None
    field_bytes: int | None = None


class DatabaseSource(_Document):
    """A resolved database source; for sqlite `database` is the file's path and `host` is empty."""

    engine: Literal["postgresql", "sqlite", "mysql", "mariadb"]
    host: str = ""
    port: int | None = None
    database: str
    tls: Literal["VerifyFull", "VerifyCa", "Require", "Disable"] = "VerifyFull"
    limits: SourceLimits | None = None
    replica_host: str | None = None
    replica_port: int | None = None

    @property
    def replica(self) -> "DatabaseSource | None":
        """The replica as a source of its own; None where there is none."""
        if not self.replica_host:
            return None
        place = {"host": self.replica_host, "port": self.replica_port}
        return self.model_copy(update={**place, "replica_host": None, "replica_port": None})


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
    index: str | None = None
    """Path in Vault of the index's secret."""
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
    deleted: int = 0
    high: str = ""
    code: int = 0
    reason: Reason | None = None
    message: str = ""
    fingerprint: str = ""


class RunReport(_Document):
    """How a run ended, unit by unit; goes out in the termination message.

    The seconds tell how long one statement lived at the source at most, and how old its snapshot got.
    """

    protocol: int = PROTOCOL
    run_id: str
    attempt_id: str
    outcome: RunOutcome
    exit_code: int
    started_at: datetime
    ended_at: datetime
    index: Literal["Current", "Behind", "Off"] = "Off"
    truncated: bool = False
    longest_statement_seconds: float = 0.0
    snapshot_age_seconds: float = 0.0
    units: tuple[UnitReport, ...]


def parse_request(body: bytes) -> RunRequest:
    """Read a RunRequest; refuse what this version does not understand before anything is read.

    What must be understood comes first: a request of a newer form is told so, whatever its fields look like.
    Raises SpecError (exit 20) naming the feature or the field.
    """
    try:
        fields = json.loads(body)
        _refuse_beyond(fields)
        return RunRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise SpecError(
            f"The run request cannot be read: {place}: {first['msg']}.", field=place
        ) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(f"The run request cannot be read: {error}.") from error


def _refuse_beyond(fields: object) -> None:
    """Refuse features and protocols of a later version; what is malformed is left to validation."""
    if not isinstance(fields, dict):
        return
    wanted, protocol = fields.get("must_understand"), fields.get("protocol", PROTOCOL)
    names = {str(name) for name in wanted} if isinstance(wanted, list) else set()
    unknown = sorted(names - FEATURES)
    if isinstance(protocol, int) and protocol > PROTOCOL:
        unknown.append(f"protocol {protocol}")
    if unknown:
        raise SpecError(
            f"The run request {fields.get('run_id')} needs {', '.join(unknown)}; this extractor speaks protocol "
            f"{PROTOCOL} and understands {', '.join(sorted(FEATURES))}.",
            reason=Reason.FEATURE_NOT_UNDERSTOOD,
            field="must_understand",
            fix="Use a newer extractor image.",
        )


def build_request_bytes(request: RunRequest) -> bytes:
    """Render a request canonically (sorted keys, no spaces), so that equal requests are equal bytes."""
    fields = request.model_dump(mode="json", exclude_none=True)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
