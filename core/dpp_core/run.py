"""The ExtractionRun (xrun): one run of an extraction, pinned to what was known when it was made.

Made by the operator or a person; the command line makes one in memory (`plan.new_run`). Everything
but `cancel` is immutable, so that a retry resolves to the same request.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from dpp_core.spec.extraction import MOST_DATASETS, drop_servers_own
from dpp_core.spec.fields import (
    Closed,
    Count,
    DatasetName,
    Epoch,
    Form,
    ImageReference,
    Instant,
    Label40,
    Label63,
    ObjectName,
    Rule,
    Text64,
    Text120,
    Text256,
    build_not_yet,
)

RunType = Literal["Scheduled", "Manual", "Backfill", "Replay", "Shadow", "Validate", "Maintain"]
RUN_TYPES_READY: Final[tuple[RunType, ...]] = ("Scheduled", "Manual", "Maintain")

TraceParent = Annotated[
    str,
    StringConstraints(max_length=55),
    Form(
        r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
        "must be a W3C traceparent: 00-<32 hex>-<16 hex>-<2 hex>.",
    ),
]


class RunWindow(Closed):
    """The range of cursor values a Backfill or Replay reads."""

    low: Text64 | None = Field(default=None, description="First value, inclusive.")
    high: Text64 | None = Field(default=None, description="Last value, exclusive.")
    datasets: tuple[DatasetName, ...] = Field(
        default=(), max_length=MOST_DATASETS, description="Only these datasets; all when empty."
    )


class RunUnit(Closed):
    """What was known of one dataset when the run was made."""

    name: DatasetName = Field(description="The dataset.")
    known_seq: Count | None = Field(
        default=None,
        description="Number of the last commit known; nothing known when not given, then the run "
        "looks back itself.",
    )
    epoch: Epoch = Field(default=0, description="The dataset's epoch.")


class ExtractionRunSpec(Closed):
    """One run, pinned. Immutable but for cancel."""

    extraction: Label40 = Field(
        description="Name of the DistributorExtraction, in the same namespace."
    )
    type: RunType = Field(
        default="Manual",
        description="Why the run exists. Scheduled and Manual read the source, Maintain looks after "
        "the tables (larger files, checkpoints) and reads nothing; the others are not supported yet.",
    )
    created_at: Instant = Field(
        description="When the run was made (RFC 3339, with zone); retries keep it."
    )
    deadline_at: Instant | None = Field(
        default=None, description="When the run must have ended; retries keep it."
    )
    scheduled_at: Instant | None = Field(
        default=None, description="The due time that a Scheduled run serves."
    )
    generation: Count = Field(
        default=0, description="Generation of the extraction's spec the run was made from."
    )
    image: ImageReference | None = Field(
        default=None, description="The extractor image the run is pinned to."
    )
    revision: Label63 | None = Field(
        default=None, description="Name of the image's revision in a rollout."
    )
    window: RunWindow | None = Field(
        default=None, description="Range of a Backfill or Replay. Not supported yet."
    )
    publish: Literal["Live", "Shadow", "None"] = Field(
        default="Live",
        description="Live commits to the tables, None commits nothing, Shadow is not supported "
        "yet.",
    )
    units: tuple[RunUnit, ...] = Field(
        default=(),
        max_length=MOST_DATASETS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        description="The datasets of the run; all of the extraction that are not suspended when "
        "empty.",
    )
    trace_parent: TraceParent | None = Field(
        default=None, description="W3C trace context the run continues."
    )
    reason: Text256 | None = Field(
        default=None, description="Why a person made this run; kept in the records."
    )
    cancel: Text120 | None = Field(
        default=None,
        description="Any text stops the run at its next safe point; the only field that may "
        "change.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        build_not_yet(
            "type",
            "a type other than Scheduled, Manual and Maintain",
            lambda run: run.type in RUN_TYPES_READY,
            "self.type in ['Scheduled', 'Manual', 'Maintain']",
            "Use Manual.",
        ),
        build_not_yet(
            "window",
            "window",
            lambda run: run.window is None,
            "!has(self.window)",
            "Remove window.",
        ),
        build_not_yet(
            "publish",
            "publish: Shadow",
            lambda run: run.publish != "Shadow",
            "self.publish != 'Shadow'",
            "Use Live or None.",
        ),
        Rule(
            "publish",
            "type: Maintain needs publish: Live; it commits larger files.",
            "Use Live, or another type.",
            lambda run: run.type != "Maintain" or run.publish == "Live",
            "self.type != 'Maintain' || self.publish == 'Live'",
        ),
        Rule(
            "deadlineAt",
            "deadlineAt must lie after createdAt, by at most 72 hours.",
            "Move deadlineAt, or remove it.",
            lambda run: (
                run.deadline_at is None
                or 0 < (run.deadline_at - run.created_at).total_seconds() <= 259_200
            ),
            "!has(self.deadlineAt) || (self.deadlineAt > self.createdAt && "
            "self.deadlineAt - self.createdAt <= duration('72h'))",
        ),
        Rule(
            "units",
            "units holds two entries of one name.",
            "Name each dataset once.",
            lambda run: len({unit.name for unit in run.units}) == len(run.units),
        ),
    )


class RunMeta(Closed):
    """The parts of an xrun's metadata that matter here."""

    name: ObjectName = Field(description="Name of the run: the run_id everywhere.")
    namespace: Label63 = Field(default="default", description="Namespace of its extraction.")
    generation: int = Field(default=0, description="Set by the API server.")
    uid: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    _drop = model_validator(mode="before")(drop_servers_own)


class ExtractionRun(Closed):
    """An ExtractionRun as a file or the API server holds it; its name is the run_id everywhere."""

    api_version: Literal["extraction.dpp.dev/v1alpha1"] = "extraction.dpp.dev/v1alpha1"
    kind: Literal["ExtractionRun"] = "ExtractionRun"
    metadata: RunMeta
    spec: ExtractionRunSpec
    status: dict[str, Any] | None = None
