"""What the operator reports about a kind: conditions and the few facts a person looks for first.

Written only by the operator, as a mirror of what the log in the bucket says; nothing decides by it.
At most 4 KB for an extraction of 20 datasets: progress and counts by dataset live in the run's
status.
"""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from dpp_core.names import Condition, Reason, RunOutcome, UnitOutcome
from dpp_core.spec.extraction import MOST_DATASETS
from dpp_core.spec.fields import Closed

Line = Annotated[str, StringConstraints(max_length=120)]
Name = Annotated[str, StringConstraints(max_length=63)]
High = Annotated[str, StringConstraints(max_length=32)]
OF_EXTRACTION: Final = tuple(each for each in Condition if each is not Condition.SUCCEEDED)
OF_RUN: Final = (Condition.SUCCEEDED, Condition.RUNNING, Condition.RECONCILING, Condition.STALLED)

Reference = Annotated[str, StringConstraints(max_length=512)]
Count = Annotated[int, Field(ge=0, le=9_007_199_254_740_991)]
Generation = Annotated[int, Field(ge=-1, le=9_007_199_254_740_991)]


class ConditionStatus(Closed):
    """One condition; its reason is from the one frozen list."""

    type: Annotated[str, StringConstraints(max_length=63)] = Field(
        description="What the condition is about."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: Generation = Field(description="Generation of the spec it was said of.")
    last_transition_time: AwareDatetime = Field(description="When status last changed.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        description="Why, in one word."
    )
    message: Line = Field(default="", description="Why, in one sentence.")


class EffectiveStatus(Closed):
    """What was filled in from outside the spec."""

    policy_digest: Annotated[str, StringConstraints(max_length=71)] = Field(
        description="Digest of the policy used."
    )
    image: Reference = Field(default="", description="Extractor image of new runs.")
    schedule: tuple[Line, ...] = Field(
        default=(), max_length=8, description="Cron expressions with H filled in."
    )
    time_zone: Name = Field(default="", description="Time zone in which they are read.")


class RunSummary(Closed):
    """One run in a few words."""

    name: Name = Field(description="Name of the ExtractionRun.")
    outcome: RunOutcome | None = Field(
        default=None, description="How it ended; not yet when absent."
    )
    started_at: AwareDatetime | None = Field(default=None, description="When it started.")
    ended_at: AwareDatetime | None = Field(default=None, description="When it ended.")
    rows: Count = Field(default=0, description="Rows written.")
    exit_code: int | None = Field(
        default=None, ge=0, le=255, description="Exit code of its last try."
    )
    reason: Reason | None = Field(default=None, description="Why it ended so, in one word.")
    type: Name = Field(default="", description="Why the run exists.")
    generation: Count = Field(
        default=0, description="Generation of the spec the run was made from."
    )


class ExtractionStatus(Closed):
    """Status of a DistributorExtraction."""

    observed_generation: Generation = Field(
        default=-1,
        description="Generation of the spec the rest was said of; -1 before the first look.",
    )
    conditions: tuple[ConditionStatus, ...] = Field(
        default=(),
        max_length=len(OF_EXTRACTION),
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
        description="What holds now: " + ", ".join(OF_EXTRACTION) + ".",
    )
    mode: Literal["Database", "Api"] | None = Field(
        default=None, description="How the source is read."
    )
    effective: EffectiveStatus | None = Field(
        default=None, description="What was filled in from outside the spec."
    )
    active_run: RunSummary | None = Field(default=None, description="The run under way.")
    last_run: RunSummary | None = Field(default=None, description="The run that ended last.")
    last_success_at: AwareDatetime | None = Field(
        default=None, description="When the last successful run ended."
    )
    scheduled_until: AwareDatetime | None = Field(
        default=None, description="Due times up to here are served or let go."
    )
    next_run_at: AwareDatetime | None = Field(default=None, description="When the next run is due.")
    last_manual_trigger: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="The last spec.trigger.manual that was served."
    )
    watermark: High | None = Field(
        default=None, description="The lowest watermark among incremental datasets; display only."
    )
    consecutive_failures: Count = Field(
        default=0, description="Failures in a row, of the dataset that has most."
    )


class UnitStatus(Closed):
    """How one dataset of a run stands."""

    name: Name = Field(description="The dataset.")
    outcome: UnitOutcome | None = Field(
        default=None, description="How it ended; not yet when absent."
    )
    reason: Reason | None = Field(default=None, description="Why.")
    code: int | None = Field(default=None, ge=0, le=255, description="Its exit code, when not 0.")
    failures: Count = Field(default=0, description="Failures of this dataset in a row.")
    seq: Count | None = Field(default=None, description="Number of its commit.")
    rows: Count = Field(default=0, description="Rows written so far.")
    deleted: Count | None = Field(
        default=None, description="Delete rows written: keys that went at the source."
    )
    high: High | None = Field(default=None, description="Its watermark; display only.")


class RunStatus(Closed):
    """Status of an ExtractionRun."""

    observed_generation: Generation = Field(
        default=-1,
        description="Generation of the spec the rest was said of; -1 before the first look.",
    )
    conditions: tuple[ConditionStatus, ...] = Field(
        default=(),
        max_length=len(OF_RUN),
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
        description="What holds now: " + ", ".join(OF_RUN) + ".",
    )
    outcome: RunOutcome | None = Field(
        default=None, description="How it ended; not yet when absent."
    )
    exit_code: int | None = Field(
        default=None, ge=0, le=255, description="Exit code of its last try."
    )
    reason: Reason | None = Field(
        default=None, description="Why it stands or ended so, in one word."
    )
    message: Line = Field(default="", description="How it stands or ended, in one sentence.")
    job_name: Name = Field(default="", description="Name of its Job.")
    attempts: Annotated[int, Field(ge=0, le=100)] = Field(default=0, description="Tries so far.")
    started_at: AwareDatetime | None = Field(default=None, description="When it started.")
    ended_at: AwareDatetime | None = Field(default=None, description="When it ended.")
    progress_at: AwareDatetime | None = Field(
        default=None, description="When the counts were last brought up to date."
    )
    rows: Count = Field(default=0, description="Rows written so far.")
    units: tuple[UnitStatus, ...] = Field(
        default=(),
        max_length=MOST_DATASETS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        description="How each dataset stands.",
    )
