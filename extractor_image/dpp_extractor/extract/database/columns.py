"""Choose a dataset's columns, key and cursor from what the catalogue shows; the same for every
engine.

Called by each engine's `describe`. Pure; a name that is not there is answered with the nearest one
that is.
"""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

import pyarrow as pa

from dpp_core.errors import SourceObjectError, SpecError
from dpp_core.handover import Unit
from dpp_core.names import RESERVED_PREFIX
from dpp_extractor.batch import SourceColumn, SourceTable
from dpp_extractor.extract.database.unfit import settle_unfit
from dpp_extractor.extract.database.window import cursor_kind


def select_table(
    unit: Unit, columns: Sequence[SourceColumn], unique_keys: Iterable[Collection[str]]
) -> SourceTable:
    """Restrict a table to the unit's include and exclude, in the table's own order.

    `unique_keys` are the sets of columns of which the source guarantees: never NULL, never twice.
    Raises SourceObjectError (31) for a column that is not there, SpecError (20) for a choice that
    cannot work.
    """
    names = [column.name for column in columns]
    for field, wanted in (("columns.include", unit.include), ("columns.exclude", unit.exclude)):
        _require(unit, field, wanted, names)
    kept = [
        column
        for column in columns
        if (not unit.include or column.name in unit.include) and column.name not in unit.exclude
    ]
    _refuse_reserved(unit, kept)
    _require(unit, "key", unit.key, names)
    cursor = unit.incremental.cursor if unit.incremental else None
    if cursor is not None:
        _require(unit, "incremental.cursor", (cursor,), names)
    coalesce = unit.incremental.coalesce if unit.incremental else None
    if coalesce is not None:
        _require(unit, "incremental.coalesce", (coalesce,), names)
    compared = unit.incremental.compared if unit.incremental else ()
    _require_kept(unit, kept, (*unit.key, *compared))
    _require(unit, "values.columns", tuple(unit.values.columns) if unit.values else (), names)
    table = SourceTable(
        object=unit.object,
        columns=settle_unfit(unit, kept),
        key=unit.key,
        cursor=cursor,
        key_is_unique=any(set(unique) <= set(unit.key) for unique in unique_keys if unique),
        coalesce=coalesce,
        brings_nulls=unit.incremental is not None and unit.incremental.nulls == "Include",
    )
    if cursor is not None:
        cursor_kind(table.column(cursor))
    if cursor is not None and coalesce is not None:
        _refuse_unlike(table.column(cursor), table.column(coalesce))
    return table


def _refuse_unlike(cursor: SourceColumn, other: SourceColumn) -> None:
    """Refuse a column to stand in for the cursor whose values are not compared as the cursor's are."""
    wanted, given = cursor.arrow_type, other.arrow_type
    if cursor_kind(other) == cursor_kind(cursor) and (
        pa.types.is_integer(wanted) or wanted == given
    ):
        return
    raise SpecError(
        f"Column {other.name!r} of type {other.source_type} cannot stand in for the cursor "
        f"{cursor.name!r} of type {cursor.source_type}: they are not compared alike.",
        field="incremental.coalesce",
        fix="Name a column of the cursor's own type.",
    )


def name_nearest(wanted: str, names: Iterable[str]) -> str:
    """Say which existing name was perhaps meant: ` Did you mean 'x'?`, or nothing."""
    folded = {name.casefold(): name for name in names}
    found = get_close_matches(wanted.casefold(), folded, n=1, cutoff=0.6)
    return f" Did you mean {folded[found[0]]!r}?" if found else ""


def _require(unit: Unit, field: str, wanted: Sequence[str], names: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            raise SourceObjectError(
                f"Source object {unit.object!r} has no column {name!r}.{name_nearest(name, names)}",
                field=f"datasets[{unit.dataset}].{field}",
                fix=f"Its columns are: {', '.join(names[:40])}{', …' if len(names) > 40 else ''}.",
            )


def _refuse_reserved(unit: Unit, kept: Sequence[SourceColumn]) -> None:
    reserved = [c.name for c in kept if c.name.casefold().startswith(RESERVED_PREFIX)]
    if reserved:
        raise SpecError(
            f"Source object {unit.object!r} has a column {reserved[0]!r}; names beginning with "
            f"{RESERVED_PREFIX!r} are the product's own.",
            field=f"datasets[{unit.dataset}].columns",
            fix="Leave it out with `columns.exclude`, or read a view that gives it another name.",
        )
    if not kept:
        raise SpecError(
            f"No column of source object {unit.object!r} is left to read.",
            field=f"datasets[{unit.dataset}].columns",
            fix="Widen `columns.include` or shorten `columns.exclude`.",
        )


def _require_kept(unit: Unit, kept: Sequence[SourceColumn], needed: Sequence[str]) -> None:
    names = {column.name for column in kept}
    missing = [name for name in needed if name not in names]
    if missing:
        raise SpecError(
            f"Column {missing[0]!r} of {unit.object!r} is key or cursor, or stands in for it, but is left out.",
            field=f"datasets[{unit.dataset}].columns",
            fix="Add it to `columns.include`, or take it out of `columns.exclude`.",
        )
