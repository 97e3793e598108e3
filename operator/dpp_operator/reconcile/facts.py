"""What is seen and what is decided, as frozen values; the words every other module here speaks.

Made by `reading` (from raw objects) and by `extraction.decide`; carried out by `apply`. Nothing is computed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dpp_core.handover import RunReport
from dpp_core.names import Reason
from dpp_core.policy import Policy
from dpp_core.run import ExtractionRun
from dpp_core.spec.extraction import Extraction
from dpp_core.status import ExtractionStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Accepted:
    """An extraction as the API server holds it, and what is wrong with it (`refusal`) when it may not run."""

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: datetime
    is_deleted: bool = False
    extraction: Extraction | None = None
    reason: Reason = Reason.ACCEPTED
    refusal: str = ""

    @property
    def may_run(self) -> bool:
        return self.extraction is not None and not self.refusal and not self.is_deleted


@dataclass(frozen=True, slots=True)
class Ending:
    """How a try ended. `report` is None when the process left none; `is_lost` when nobody knows how it ended."""

    code: int
    reason: Reason
    message: str
    at: datetime
    report: RunReport | None = None
    is_lost: bool = False
    is_memory: bool = True
    """Of code 28: more memory may help; disk is another matter."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod has not started."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Try:
    """One Job of a run, with what its pods tell."""

    number: int
    job_name: str
    created_at: datetime
    started_at: datetime | None = None
    ending: Ending | None = None
    trouble: Trouble | None = None
    has_live_pod: bool = False
    is_deleted: bool = False
    earlier_codes: tuple[int, ...] = ()
    image: str = ""
    request: bytes = b""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One ExtractionRun with its tries, oldest first. `run` is None when it cannot be read; then `refusal` says why."""

    name: str
    uid: str
    created_at: datetime
    run: ExtractionRun | None
    status: RunStatus = field(default_factory=RunStatus)
    tries: tuple[Try, ...] = ()
    is_ours: bool = False
    is_owned: bool = True
    is_deleted: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How far a running process says it is."""

    at: datetime
    rows: int
    units: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is seen besides the extraction itself. `circuits` are instants until which others' failures with the
    same secret keep it from being used.
    """

    policy: Policy
    runs: tuple[RunFacts, ...] = ()
    circuits: tuple[datetime, ...] = ()
    heartbeats: Mapping[str, Heartbeat] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a try: its Job, and before that the run itself when `is_new`.

    `lost_job` names a Job that must really be gone, since this try replaces it.
    """

    run: ExtractionRun
    number: int
    request: bytes
    image: str
    size: str = "Small"
    earlier_codes: tuple[int, ...] = ()
    is_new: bool = False
    lost_job: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """An Event: said once for the same object, reason and key."""

    kind: Literal["Normal", "Warning"]
    reason: Reason
    message: str
    about_run: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now. Empty fields mean: nothing to write. Carrying it out twice is harmless."""

    start: Start | None = None
    runs: Mapping[str, RunStatus] = field(default_factory=dict)
    status: ExtractionStatus | None = None
    delete_jobs: tuple[str, ...] = ()
    delete_runs: tuple[str, ...] = ()
    adopt_runs: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    check_at: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return not (
            self.start
            or self.runs
            or self.status
            or self.delete_jobs
            or self.delete_runs
            or self.adopt_runs
        )


Raw = Mapping[str, Any]
"""An object of the API server as JSON."""
