"""What the next run would do with each dataset, by the very decisions of a run, without its reads.

Called by the command line. Head, identity, window and columns are decided as `intent` does it; what
a run finds out by reading rows (NULLs, keys that occur twice) is told from the catalogue instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpp_core.errors import DppError
from dpp_core.forecast import Caution, UnitForecast
from dpp_core.handover import RunRequest, Unit
from dpp_core.records import UnitRecord
from dpp_core.redaction import redact
from dpp_extractor.batch import FoundObject, SourceTable, Window
from dpp_extractor.counters import refuse_blind
from dpp_extractor.extract.database.cautions import find_cautions, is_cheap_to_bound
from dpp_extractor.extract.database.selection import find_named
from dpp_extractor.extract.database.window import cursor_kind
from dpp_extractor.intent import approve_schema, find_window
from dpp_extractor.ports import Snapshot
from dpp_extractor.publish.admit import Admission, Block, admit
from dpp_extractor.publish.fold import NO_TABLE, Head
from dpp_extractor.publish.identity import build_identity
from dpp_extractor.standardise.columns import build_schema, plan_columns
from dpp_extractor.standardise.evolve import SchemaPlan, decide_schema


@dataclass(frozen=True, slots=True)
class Ground:
    """What the datasets are held against: heads of their tables (none = no table yet), units ended
    before the source is asked, approvals, and what the source's catalogue shows of them.
    """

    heads: Mapping[str, Head]
    ended: Mapping[str, UnitRecord]
    blocks: tuple[Block, ...]
    found: Sequence[FoundObject]


def forecast_units(
    request: RunRequest, snapshot: Snapshot, ground: Ground
) -> tuple[UnitForecast, ...]:
    """Say for each dataset what a run would read now. Raises only what would end all of them."""
    return tuple(_forecast(unit, request, snapshot, ground) for unit in request.units)


def _forecast(unit: Unit, request: RunRequest, snapshot: Snapshot, ground: Ground) -> UnitForecast:
    ended = ground.ended.get(unit.dataset)
    if ended is not None:
        return UnitForecast(
            dataset=unit.dataset,
            object=unit.object,
            reads="Refused",
            code=ended.code,
            reason=ended.reason,
            message=ended.message,
        )
    try:
        return _foresee(unit, request, snapshot, ground)
    except DppError as error:
        if error.is_shared:
            raise
        return UnitForecast(
            dataset=unit.dataset,
            object=unit.object,
            reads="Refused",
            code=error.exit_code,
            reason=error.reason,
            message=redact(error.message),
            fix=redact(error.fix),
        )


def _foresee(unit: Unit, request: RunRequest, snapshot: Snapshot, ground: Ground) -> UnitForecast:
    head = ground.heads.get(unit.dataset, NO_TABLE)
    if head.own is not None and head.own.final:
        return UnitForecast(
            dataset=unit.dataset,
            object=unit.object,
            reads="Nothing",
            message=f"Run {request.run_id} has committed it as {head.own.seq} already.",
        )
    found = find_named(ground.found, unit.object)
    table = snapshot.describe(unit)
    kind_of_cursor = cursor_kind(table.column(table.cursor)) if table.cursor else ""
    identity = build_identity(request.source, unit, kind_of_cursor)
    admission = admit(head, unit, identity, ground.blocks)
    schema = _plan_schema(unit, table, head, admission)
    approve_schema(unit, schema, head, ground.blocks)
    refuse_blind(unit, table, snapshot.clocks, request.source.engine)
    is_open = kind_of_cursor == "integer" and not is_cheap_to_bound(unit, found)
    window = None if is_open else find_window(unit, table, admission, snapshot)
    is_idle = unit.incremental is not None and window is None and not is_open
    return UnitForecast(
        dataset=unit.dataset,
        object=unit.object,
        reads="Nothing" if is_idle else "Window" if unit.incremental else "Full",
        kind=admission.kind,
        cursor=table.cursor or "",
        low=_find_low(unit, admission, window),
        high=window.high if window else None,
        estimated_rows=0 if is_idle else snapshot.estimate_rows(table, window),
        cautions=(*find_cautions(unit, table, found, window), *_tell_columns(schema)),
    )


def _plan_schema(unit: Unit, table: SourceTable, head: Head, admission: Admission) -> SchemaPlan:
    is_reset = admission.kind == "reset"
    return decide_schema(
        unit.dataset,
        None if is_reset else head.schema,
        build_schema(plan_columns(table, unit)),
        replaces_all=is_reset or admission.kind == "replace",
    )


def _find_low(unit: Unit, admission: Admission, window: Window | None) -> str | None:
    if window is not None:
        return window.low
    if isinstance(admission.low, str):
        return admission.low
    return unit.incremental.initial if unit.incremental else None


def _tell_columns(schema: SchemaPlan) -> tuple[Caution, ...]:
    told = [f"Column {name} is new." for name in schema.added]
    told += [f"Column {name} became wider." for name in schema.widened]
    return tuple(Caution(about="Schema", message=message) for message in told)
