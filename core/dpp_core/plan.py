"""Resolution: (extraction, policy, run) → RunRequest, one pure function for the operator and the
command line.

Neither clock nor environment is read here: what depends on them (`now`, run_id) comes in with the
run. Equal arguments give equal bytes, so `dpp plan` shows exactly what the operator would hand
over.
"""

import difflib
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from dpp_core.engines import DEFAULT_PORTS, say_ready
from dpp_core.errors import SpecError, SpecTooLargeError, TenancyError, UsageError
from dpp_core.handover import (
    REQUEST_LIMIT_BYTES,
    Credentials,
    DatabaseSource,
    Deletes,
    Destination,
    Incremental,
    RunRequest,
    SourceLimits,
    Unit,
    Values,
    build_request_bytes,
)
from dpp_core.names import Reason
from dpp_core.policy import (
    DestinationPolicy,
    Policy,
    compute_policy_digest,
    find_destination,
    find_tenant,
)
from dpp_core.rollout import Rollout, active_image
from dpp_core.run import ExtractionRun, ExtractionRunSpec, RunMeta, RunUnit
from dpp_core.spec.columns import ColumnsSpec, ValuesSpec
from dpp_core.spec.dataset import DatasetSpec, IncrementalSpec
from dpp_core.spec.extraction import Extraction
from dpp_core.spec.source import DatabaseLimitsSpec
from dpp_core.tenancy import check_tenancy


def new_run(  # noqa: PLR0913 - facts that only the edge knows
    extraction: Extraction,
    policy: Policy,
    now: datetime,
    run_id: str,
    *,
    datasets: Sequence[str] = (),
    publish: Literal["Live", "None"] = "Live",
    rollout: Rollout | None = None,
) -> ExtractionRun:
    """Make the run that reads the given datasets now (all that are not suspended when none is
    named).

    A dataset named here is read even when it is suspended: a person asked for it. Raises UsageError
    for an unknown one.
    """
    settings = extraction.spec.run
    seconds = (settings and settings.deadline_seconds) or policy.defaults.deadline_seconds
    spec = ExtractionRunSpec(
        extraction=extraction.metadata.name,
        created_at=now,
        deadline_at=now + timedelta(seconds=seconds),
        generation=extraction.metadata.generation,
        image=active_image(policy, rollout) or None,
        publish=publish,
        units=tuple(
            RunUnit(name=dataset.name, epoch=dataset.epoch)
            for dataset in _choose_datasets(extraction, datasets)
        ),
    )
    metadata = RunMeta(name=run_id, namespace=extraction.metadata.namespace)
    return ExtractionRun(metadata=metadata, spec=spec)


def _choose_datasets(extraction: Extraction, names: Sequence[str]) -> list[DatasetSpec]:
    known = {dataset.name: dataset for dataset in extraction.spec.datasets}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(
                f"There is no dataset {name!r} in {extraction.metadata.name}.{meant}",
                field="spec.datasets",
                fix=f"Known: {', '.join(sorted(known))}.",
            )
    if names:
        return [dataset for dataset in extraction.spec.datasets if dataset.name in names]
    chosen = [dataset for dataset in extraction.spec.datasets if not dataset.suspend]
    if not chosen:
        raise SpecError(
            f"Every dataset of {extraction.metadata.name} is suspended, so there is nothing to "
            f"read.",
            field="spec.datasets",
            fix="Set suspend: false on one, or name one with --dataset.",
        )
    return chosen


def resolve(extraction: Extraction, policy: Policy, run: ExtractionRun) -> RunRequest:
    """Resolve a run into all a Job needs to know.

    Raises TenancyError or SpecError with the field's path, SpecTooLargeError when the request is
    over 128 KiB.
    """
    _check(extraction, policy, run)
    request = _build_request(extraction, policy, run)
    size_bytes = len(build_request_bytes(request))
    if size_bytes > REQUEST_LIMIT_BYTES:
        largest = max(request.units, key=lambda unit: len(unit.model_dump_json()))
        raise SpecTooLargeError(
            f"The resolved request of {extraction.metadata.name} has {size_bytes} bytes; at most "
            f"{REQUEST_LIMIT_BYTES} can be handed over. The largest dataset is {largest.dataset}.",
            field="spec.datasets",
            fix="Split the extraction in two, or shorten lists of columns (exclude is often "
            "shorter than include).",
        )
    return request


def resolve_bytes(extraction: Extraction, policy: Policy, run: ExtractionRun) -> bytes:
    """Resolve into the canonical JSON that crosses the Job border."""
    return build_request_bytes(resolve(extraction, policy, run))


def _check(extraction: Extraction, policy: Policy, run: ExtractionRun) -> None:
    violations = check_tenancy(extraction, policy)
    if violations:
        first = violations[0]
        more = f" ({len(violations) - 1} more)" if len(violations) > 1 else ""
        raise TenancyError(
            f"{first.field}: {first.message}{more}", field=first.field, fix=first.fix
        )
    wanted = (extraction.metadata.namespace, extraction.metadata.name)
    if (run.metadata.namespace, run.spec.extraction) != wanted:
        raise SpecError(
            f"Run {run.metadata.name} is of {run.metadata.namespace}/{run.spec.extraction}, not "
            f"of {'/'.join(wanted)}.",
            field="spec.extraction",
            fix="Give the run and its own extraction.",
        )


def _build_request(extraction: Extraction, policy: Policy, run: ExtractionRun) -> RunRequest:
    spec, settings = extraction.spec, extraction.spec.run
    source = _resolve_source(extraction)
    units = _resolve_units(extraction, policy, run)
    created_at = run.spec.created_at.astimezone(UTC)
    deadline_at = run.spec.deadline_at or created_at + timedelta(
        seconds=(settings and settings.deadline_seconds) or policy.defaults.deadline_seconds
    )
    return RunRequest(
        must_understand=_list_features(run, source, units),
        run_id=run.metadata.name,
        correlation_id=_choose_correlation_id(run),
        cluster=policy.cluster,
        namespace=extraction.metadata.namespace,
        extraction=extraction.metadata.name,
        distributor=spec.distributor,
        generation=run.spec.generation,
        type=run.spec.type,
        created_at=created_at,
        deadline_at=deadline_at.astimezone(UTC),
        publish=run.spec.publish,
        source=source,
        credentials=_resolve_credentials(extraction, policy),
        hosts=tuple(host for host in (source.host, source.replica_host) if host),
        destination=_resolve_destination(extraction, policy),
        index=policy.index.credentials if policy.index else None,
        units=units,
        approve=spec.approve,
        attempts=(settings and settings.attempts) or policy.defaults.attempts,
        traceparent=run.spec.trace_parent or "",
        image=run.spec.image or "",
        policy_digest=compute_policy_digest(policy),
    )


_KEPT_NULLS: Final = ("Include", "Coalesce")
"""An image that does not know these would leave rows out, or refuse the document as broken."""


def _list_features(
    run: ExtractionRun, source: DatabaseSource, units: Sequence[Unit]
) -> tuple[str, ...]:
    """List what the image must understand.

    One that does not know upkeep would read the source instead, one that does not know values would quarantine, one
    that does not know limits or replicas would ask more of the source than it allows.
    """
    features = {"database", *(unit.write.lower() for unit in units)}
    if run.spec.type == "Maintain":
        features.add("maintain")
    if any(unit.values for unit in units):
        features.add("values")
    if any(unit.deletes for unit in units):
        features.add("deletes")
    if any(unit.incremental and unit.incremental.nulls in _KEPT_NULLS for unit in units):
        features.add("nulls")
    if source.limits:
        features.add("limits")
    if source.replica:
        features.add("replica")
    return tuple(sorted(features))


def _choose_correlation_id(run: ExtractionRun) -> str:
    """Take the trace's id when there is one; else derive one, so that a retry has the same without
    remembering it.
    """
    if run.spec.trace_parent:
        return run.spec.trace_parent.split("-")[1]
    parts = (
        run.metadata.namespace,
        run.metadata.name,
        run.spec.created_at.astimezone(UTC).isoformat(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _resolve_source(extraction: Extraction) -> DatabaseSource:
    database = extraction.spec.source.database
    if database is None:
        raise SpecError(
            "source.api is not supported yet.",
            reason=Reason.NOT_YET,
            field="spec.source.api",
            fix="Use source.database.",
        )
    if database.engine == "sqlite":
        return DatabaseSource(
            engine="sqlite",
            database=database.database,
            tls="Disable",
            limits=_resolve_limits(database.limits),
        )
    if database.engine not in ("postgresql", "mysql", "mariadb"):
        raise SpecError(
            f"engine {database.engine} is not supported yet.",
            reason=Reason.NOT_YET,
            field="spec.source.database.engine",
            fix=f"Use {say_ready('or')}.",
        )
    port = database.port or DEFAULT_PORTS[database.engine]
    return DatabaseSource(
        engine=database.engine,
        host=database.host or "",
        port=port,
        database=database.database,
        tls=database.tls.mode if database.tls else "VerifyFull",
        limits=_resolve_limits(database.limits),
        replica_host=database.replica.host if database.replica else None,
        replica_port=(database.replica.port or port) if database.replica else None,
    )


def _resolve_limits(limits: DatabaseLimitsSpec | None) -> SourceLimits | None:
    """Nothing where nothing is bounded, so that such a request stays as it was."""
    if limits is None or limits == DatabaseLimitsSpec():
        return None
    return SourceLimits(
        read_seconds=limits.max_read_seconds,
        rows_per_second=limits.max_rows_per_second,
        field_bytes=limits.max_field_bytes,
    )


def _resolve_credentials(extraction: Extraction, policy: Policy) -> Credentials:
    credentials = extraction.spec.credentials
    if credentials is None:
        return Credentials()
    tenant = find_tenant(policy, extraction.metadata.namespace)
    return Credentials(
        path=credentials.path,
        delivery=credentials.delivery,
        vault_role=(tenant and tenant.vault_role) or "",
    )


def _resolve_destination(extraction: Extraction, policy: Policy) -> Destination:
    place = find_destination(policy, extraction.spec.destination.profile)
    if place is None:
        raise SpecError("The destination's profile is unknown.", field="spec.destination.profile")
    return build_destination(place)


def build_destination(place: DestinationPolicy) -> Destination:
    """Turn a destination of the policy into the one that is handed over."""
    if place.folder is not None:
        return Destination(kind="Folder", path=place.folder)
    return Destination(
        kind="S3",
        bucket=place.bucket or "",
        endpoint=place.endpoint or "",
        region=place.region or "",
        prefix=place.prefix,
        credentials=place.credentials,
    )


def _resolve_units(extraction: Extraction, policy: Policy, run: ExtractionRun) -> tuple[Unit, ...]:
    known = {dataset.name: dataset for dataset in extraction.spec.datasets}
    pinned = run.spec.units or tuple(
        RunUnit(name=dataset.name, epoch=dataset.epoch)
        for dataset in _choose_datasets(extraction, ())
    )
    missing = [unit.name for unit in pinned if unit.name not in known]
    if missing:
        raise SpecError(
            f"Run {run.metadata.name} names datasets that {extraction.metadata.name} no longer "
            f"has: "
            f"{', '.join(missing[:3])}.",
            field="spec.units",
            fix="Make a new run.",
        )
    return tuple(_resolve_unit(known[unit.name], unit, policy) for unit in pinned)


def _resolve_unit(dataset: DatasetSpec, pinned: RunUnit, policy: Policy) -> Unit:
    columns = dataset.columns or ColumnsSpec()
    return Unit(
        dataset=dataset.name,
        object=dataset.object or dataset.name,
        key=dataset.key,
        include=columns.include,
        exclude=columns.exclude,
        rename=columns.rename,
        incremental=_resolve_incremental(dataset.incremental),
        values=_resolve_values(dataset.values),
        write="Append" if dataset.incremental else "Replace",
        epoch=pinned.epoch,
        known_seq=pinned.known_seq,
        deletes=_resolve_deletes(dataset, policy),
    )


def _resolve_deletes(dataset: DatasetSpec, policy: Policy) -> Deletes | None:
    """Nothing for Ignore, so that such a request is byte for byte what it was before there was more."""
    if dataset.deletes == "KeyDiff":
        return Deletes(kind="KeyDiff", most_percent=policy.defaults.max_deleted_percent)
    soft = dataset.soft_delete
    if dataset.deletes == "SoftDeleteColumn" and soft is not None:
        return Deletes(kind="SoftDeleteColumn", column=soft.column, value=soft.value)
    return None


def _resolve_incremental(incremental: IncrementalSpec | None) -> Incremental | None:
    if incremental is None:
        return None
    return Incremental(
        cursor=incremental.cursor,
        initial=incremental.initial,
        lag_seconds=incremental.lag_seconds,
        nulls=incremental.nulls,
        coalesce=incremental.coalesce,
    )


def _resolve_values(values: ValuesSpec | None) -> Values | None:
    """Hand over what differs from quarantining every row: a request without it stays as it was."""
    if values is None:
        return None
    columns = {c.name: c.unfit for c in values.columns if c.unfit != values.unfit}
    if values.unfit == "Quarantine" and not columns:
        return None
    return Values(unfit=values.unfit, columns=columns)
