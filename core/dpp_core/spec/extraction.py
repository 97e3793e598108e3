"""The DistributorExtraction itself: its spec put together, and what of a Kubernetes object a file
may hold.

Read by `documents` (files), `plan` (resolution), `crd` (schema) and the operator. Nothing is
decided here.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dpp_core.spec.dataset import DATASETS_LIST, DatasetSpec
from dpp_core.spec.fields import (
    Closed,
    Flag,
    Label40,
    Label63,
    ObjectName,
    Rule,
    SetList,
    are_distinct,
    build_immutable,
    build_not_yet,
)
from dpp_core.spec.schedule import ScheduleSpec, TriggerSpec
from dpp_core.spec.source import CredentialsSpec, SourceSpec

MOST_DATASETS = 100
LONGEST_RUN_SECONDS = 259_200
"""72 hours; data files of an unpublished run are safe from clean-up for longer than twice this."""


class DestinationSpec(Closed):
    """Where the tables go."""

    profile: Label63 = Field(description="Name of a destination in the platform policy.")


class HistorySpec(Closed):
    """How many finished runs are kept as objects; the records in the bucket are not touched."""

    successful: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        default=3, description="Finished runs kept that succeeded."
    )
    failed: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        default=3, description="Finished runs kept that did not."
    )


class RunSpec(Closed):
    """How each run is carried out; the policy's defaults hold for what is not given."""

    deadline_seconds: Annotated[int, Field(strict=True, ge=360, le=LONGEST_RUN_SECONDS)] | None = (
        Field(default=None, description="Longest time a run may take, 360 seconds to 72 hours.")
    )
    attempts: Annotated[int, Field(strict=True, ge=1, le=10)] | None = Field(
        default=None, description="Most tries of one run."
    )
    size: Literal["Small", "Medium", "Large"] | None = Field(
        default=None, description="Resources of the run's Job, by the policy's sizes."
    )
    history: HistorySpec | None = Field(
        default=None, description="How many finished runs are kept as objects."
    )


class ObjectivesSpec(Closed):
    """When the extraction is no longer good enough and Ready becomes False."""

    freshness_seconds: Annotated[int, Field(strict=True, ge=60, le=31_536_000)] | None = Field(
        default=None, description="Longest time since the last success."
    )
    failures: Annotated[int, Field(strict=True, ge=1, le=100)] | None = Field(
        default=None, description="Most failures in a row."
    )


class ExtractionSpec(Closed):
    """One distributor's extraction: source, credentials, datasets, destination, schedule."""

    distributor: Label40 = Field(
        description="Whose data this is; must be allowed by the namespace's policy entry. "
        "Immutable."
    )
    source: SourceSpec = Field(description="The ERP and how it is reached.")
    credentials: CredentialsSpec | None = Field(
        default=None,
        description="Where the source's secret lives. Needed for everything but sqlite.",
    )
    datasets: tuple[DatasetSpec, ...] = Field(
        min_length=1,
        max_length=MOST_DATASETS,
        json_schema_extra=DATASETS_LIST,
        description="What is extracted, 1 to 100, each with a name of its own.",
    )
    destination: DestinationSpec = Field(description="Where the tables go.")
    schedule: ScheduleSpec | None = Field(
        default=None, description="When runs are due; only by trigger when not given."
    )
    trigger: TriggerSpec | None = Field(default=None, description="Asks for a run by hand.")
    approve: tuple[ObjectName, ...] = Field(
        default=(),
        max_length=20,
        json_schema_extra=dict(SetList),
        description="Names of blocked runs whose block may pass once: a schema change, a "
        "shrunken table, a moved source.",
    )
    run: RunSpec | None = Field(default=None, description="How each run is carried out.")
    objectives: ObjectivesSpec | None = Field(
        default=None, description="When the extraction is no longer good enough."
    )
    suspend: Flag = Field(default=False, description="Start no new runs; running ones finish.")
    deletion_policy: Literal["Retain", "ReleaseSource", "Purge"] = Field(
        default="Retain",
        description="What happens outside the cluster when this object is deleted. Retain leaves "
        "everything as it is; "
        "ReleaseSource and Purge are not supported yet.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        build_immutable("distributor"),
        Rule(
            "credentials",
            "credentials is needed for every source but sqlite.",
            "Add credentials: {path: <path of the secret>}.",
            lambda spec: spec.credentials is not None or _is_sqlite(spec),
            "has(self.credentials) || (has(self.source.database) && self.source.database.engine "
            "== 'sqlite')",
        ),
        Rule(
            "approve",
            "approve names one run twice.",
            "Name each run once.",
            lambda spec: are_distinct(spec.approve),
        ),
        Rule(
            "datasets",
            "datasets holds two entries of one name.",
            "Give each dataset a name of its own; the source's name belongs in object.",
            lambda spec: len({dataset.name for dataset in spec.datasets}) == len(spec.datasets),
        ),
        Rule(
            "datasets",
            "lagSeconds: 0 is only right for sqlite: elsewhere rows are stamped before they can "
            "be seen.",
            "Use at least 1, or remove lagSeconds.",
            lambda spec: (
                _is_sqlite(spec)
                or all(
                    dataset.incremental is None or dataset.incremental.lag_seconds != 0
                    for dataset in spec.datasets
                )
            ),
            "(has(self.source.database) && self.source.database.engine == 'sqlite') || "
            "self.datasets.all(d, "
            "!has(d.incremental) || !has(d.incremental.lagSeconds) || d.incremental.lagSeconds > "
            "0)",
        ),
        build_not_yet(
            "deletionPolicy",
            "deletionPolicy other than Retain",
            lambda spec: spec.deletion_policy == "Retain",
            "self.deletionPolicy == 'Retain'",
            "Use Retain.",
        ),
    )


def _is_sqlite(spec: ExtractionSpec) -> bool:
    return spec.source.database is not None and spec.source.database.engine == "sqlite"


_SERVERS_OWN = frozenset(
    [
        "generateName",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ]
)


def drop_servers_own(metadata: Any) -> Any:
    """Leave out what only the API server writes, so that `kubectl get -o yaml` can be validated as
    it is.
    """
    if not isinstance(metadata, dict):
        return metadata
    return {name: value for name, value in metadata.items() if name not in _SERVERS_OWN}


class ObjectMeta(Closed):
    """The parts of Kubernetes' metadata that matter here; what the server adds is left alone."""

    name: Label40 = Field(
        description="Name of the extraction; part of every key in the bucket, at most 40 "
        "characters."
    )
    namespace: Label63 = Field(default="default", description="Namespace, which is the tenant.")
    generation: int = Field(default=0, description="Set by the API server.")
    uid: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    _drop = model_validator(mode="before")(drop_servers_own)


class Extraction(Closed):
    """A DistributorExtraction as a file or the API server holds it. `status` is the operator's, not
    read here.
    """

    api_version: Literal["extraction.dpp.dev/v1alpha1"] = "extraction.dpp.dev/v1alpha1"
    kind: Literal["DistributorExtraction"] = "DistributorExtraction"
    metadata: ObjectMeta
    spec: ExtractionSpec
    status: dict[str, Any] | None = None
