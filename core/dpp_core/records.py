"""The documents that say what happened: the run record in the bucket, and what the index holds.

Called by the extractor's record stage (writes) and by whoever reads history. The bucket's documents are the truth; the
index's can be rebuilt from them. No secret may be in any of them, and of a source row nothing but the key that a
message names.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dpp_core.names import Reason, RunOutcome, UnitOutcome


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WindowRecord(_Record):
    """What was read: `[low, high)` on the cursor, and who held `high` back."""

    cursor: str
    kind: str
    low: str | None
    high: str
    holder: str = ""
    reason: str = ""


class CountsRecord(_Record):
    """Rows by fate: read = filtered + quarantined + written, and those of `deleted` that were read.

    `future` rows lie beyond the source's clock; `deleted` rows say that a key is gone. `nulled` counts values by
    column: those that became NULL because the column's type cannot hold them.
    """

    read: int = 0
    filtered: int = 0
    quarantined: int = 0
    written: int = 0
    future: int = 0
    nulled: dict[str, int] = Field(default_factory=dict)
    deleted: int = 0


class LoadRecord(_Record):
    """What the source was asked to bear: how long one statement lived there at most, and how old the snapshot got."""

    statements: int = 0
    longest_statement_seconds: float = 0.0
    longest_statement: str = ""
    snapshot_age_seconds: float = 0.0


class UnitRecord(_Record):
    """One dataset of a run, in full. `load` None: the source was not asked."""

    dataset: str
    outcome: UnitOutcome
    attempt_id: str = ""
    kind: str = ""
    seq: int | None = None
    version: int | None = None
    epoch: int = 0
    read_at: datetime | None = None
    window: WindowRecord | None = None
    counts: CountsRecord = CountsRecord()
    parts: int = 0
    bytes: int = 0
    schema_fingerprint: str = ""
    quarantine: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    approved: tuple[str, ...] = ()
    code: int = 0
    reason: Reason | None = None
    message: str = ""
    fingerprint: str = ""
    load: LoadRecord | None = None


class RunRecord(_Record):
    """One process's try of a run: `_dpp/runs/<run_id>/<attempt_id>.json`, written once, failed tries too."""

    format: Literal[1] = 1
    run_id: str
    attempt_id: str
    correlation_id: str
    cluster: str
    namespace: str
    extraction: str
    distributor: str
    generation: int
    type: str
    publish: str
    created_at: datetime
    started_at: datetime
    ended_at: datetime
    outcome: RunOutcome
    exit_code: int
    plan_digest: str
    image: str = ""
    code_version: str = ""
    source: dict[str, Any] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    index: Literal["Current", "Behind", "Off"] = "Off"
    units: tuple[UnitRecord, ...] = ()
    load: LoadRecord | None = None


class CatalogColumn(_Record):
    """A column as the catalog shows it, with where it comes from."""

    name: str
    type: str
    source_name: str = ""
    source_type: str = ""
    fidelity: str = ""
    unfit: str = ""


class CatalogRecord(_Record):
    """A dataset as the catalog shows it after its latest commit."""

    namespace: str
    extraction: str
    dataset: str
    distributor: str
    table: str
    object: str
    write: str
    key: tuple[str, ...]
    cursor: str | None
    columns: tuple[CatalogColumn, ...]
    schema_fingerprint: str
    seq: int
    version: int
    updated_at: datetime
