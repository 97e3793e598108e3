"""Every name both images and the user must agree on: group, labels, reasons, outcomes, file keys.

Called by all of core and both images. Nothing here computes: a constant that needs logic belongs elsewhere.
Reasons and outcomes are frozen lists: users alert on them, and reports carry their place, so new ones go to the end.
"""

from enum import StrEnum
from typing import Final, Literal

GROUP: Final = "extraction.dpp.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND_EXTRACTION: Final = "DistributorExtraction"
KIND_RUN: Final = "ExtractionRun"

ANNOTATION_SELECT: Final = f"{GROUP}/select"
"""Which objects of the source a DistributorExtraction is meant to list; for people's commands, no run reads it."""

PROTOCOL: Final = 1
"""Version of the documents that cross the Job border (RunRequest, RunReport)."""

COMMIT_FORMAT: Final = 1
"""Version of `commitInfo.dpp`; an image that meets a newer `min_reader` exits 29."""

LIVE_LANE: Final = "live"
LIVE_APP_ID: Final = "dpp"

COLUMN_OP: Final = "_dpp_op"
COLUMN_READ_AT: Final = "_dpp_read_at"
COLUMN_ORDER: Final = "_dpp_order"
RESERVED_COLUMNS: Final = (COLUMN_OP, COLUMN_READ_AT, COLUMN_ORDER)
RESERVED_PREFIX: Final = "_dpp_"

Unfit = Literal["Quarantine", "Fail", "SetNull", "Text"]
"""What is done with a value that its column's type cannot hold. Not `Null`: YAML reads that as nothing at all."""


class UnitOutcome(StrEnum):
    """How one dataset of a run ended (api.md, "A run is a list of units")."""

    COMMITTED = "Committed"
    UNCHANGED = "Unchanged"
    ALREADY_COMMITTED = "AlreadyCommitted"
    BLOCKED = "Blocked"
    FAILED = "Failed"
    SKIPPED = "Skipped"


class RunOutcome(StrEnum):
    """How a run ended, folded from its units."""

    SUCCEEDED = "Succeeded"
    PARTIAL = "Partial"
    FAILED = "Failed"


class Condition(StrEnum):
    """Condition types of a DistributorExtraction's status."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    RUNNING = "Running"
    LAST_RUN_SUCCEEDED = "LastRunSucceeded"
    FRESH = "Fresh"
    SOURCE_REACHABLE = "SourceReachable"
    CREDENTIALS_VALID = "CredentialsValid"
    CONTRACT_SATISFIED = "ContractSatisfied"
    SCHEMA_STABLE = "SchemaStable"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    """Of an ExtractionRun only: the one summary of something that ends."""


class Reason(StrEnum):
    """Why something is as it is: the one frozen list for conditions, errors, Events and records."""

    SUCCEEDED = "Succeeded"
    UNCHANGED = "Unchanged"
    PARTIAL_RUN = "PartialRun"
    INVALID_SPEC = "InvalidSpec"
    NOT_YET = "NotYet"
    TENANCY_DENIED = "TenancyDenied"
    INVALID_POLICY = "InvalidPolicy"
    SPEC_TOO_LARGE = "SpecTooLarge"
    FEATURE_NOT_UNDERSTOOD = "FeatureNotUnderstood"
    CREDENTIALS_UNAVAILABLE = "CredentialsUnavailable"
    CREDENTIALS_REFUSED = "CredentialsRefused"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    SOURCE_OBJECT_MISSING = "SourceObjectMissing"
    SOURCE_OBJECT_DENIED = "SourceObjectDenied"
    SOURCE_READ_FAILED = "SourceReadFailed"
    VALUE_UNREPRESENTABLE = "ValueUnrepresentable"
    REPLACE_TOO_SMALL = "ReplaceTooSmall"
    KEY_NOT_UNIQUE = "KeyNotUnique"
    CURSOR_HAS_NULLS = "CursorHasNulls"
    QUARANTINE_FULL = "QuarantineFull"
    SCHEMA_CHANGED = "SchemaChanged"
    DESTINATION_UNAVAILABLE = "DestinationUnavailable"
    DESTINATION_DENIED = "DestinationDenied"
    CONDITIONAL_WRITES_IGNORED = "ConditionalWritesIgnored"
    FENCED = "Fenced"
    STREAM_OWNED_BY_ANOTHER = "StreamOwnedByAnother"
    STREAM_IDENTITY_CHANGED = "StreamIdentityChanged"
    STREAM_CHAIN_BROKEN = "StreamChainBroken"
    STREAM_BEHIND = "StreamBehind"
    STREAM_RESTORED = "StreamRestored"
    STREAM_FOREIGN_CHANGE = "StreamForeignChange"
    STREAM_FORMAT_NEWER = "StreamFormatNewer"
    TABLE_MISSING = "TableMissing"
    EPOCH_BEHIND = "EpochBehind"
    NO_HORIZON = "NoHorizon"
    VAULT_UNAVAILABLE = "VaultUnavailable"
    INDEX_BEHIND = "IndexBehind"
    RESOURCES_EXHAUSTED = "ResourcesExhausted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    STOPPED_BY_SIGNAL = "StoppedBySignal"
    OVERTAKEN = "Overtaken"
    INTERNAL = "Internal"
    ACCEPTED = "Accepted"
    NOT_YET_KNOWN = "NotYetKnown"
    IDLE = "Idle"
    RUN_UNDER_WAY = "RunUnderWay"
    RUN_STARTED = "RunStarted"
    RUN_SUCCEEDED = "RunSucceeded"
    RUN_FAILED = "RunFailed"
    RUN_RETRIED = "RunRetried"
    RUN_MISSED = "RunMissed"
    SUSPENDED = "Suspended"
    NOT_SUSPENDED = "NotSuspended"
    WITHIN_OBJECTIVES = "WithinObjectives"
    FRESHNESS_BREACHED = "FreshnessBreached"
    FAILURES_EXCEEDED = "FailuresExceeded"
    CIRCUIT_OPENED = "CircuitOpened"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    UNSCHEDULABLE = "Unschedulable"
    ADMISSION_DENIED = "AdmissionDenied"
    POD_NOT_STARTED = "PodNotStarted"
    JOB_LOST = "JobLost"
    REPORT_LOST = "ReportLost"
    CANCELLED = "Cancelled"
    EXTRACTION_MISSING = "ExtractionMissing"
    POLICY_REJECTED = "PolicyRejected"
    TOO_MANY_DELETES = "TooManyDeletes"


RUN_REASONS: Final = (
    *tuple(Reason)[: tuple(Reason).index(Reason.INTERNAL) + 1],
    Reason.TOO_MANY_DELETES,
)
"""Reasons a run itself can give; the others are the operator's, and never cross the Job border."""
