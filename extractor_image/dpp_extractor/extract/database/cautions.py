"""What to look at before a dataset is read: its cursor's index, its key, the horizon, NULLs.

Called by `forecast`. Pure. None of it stops a run: what does is raised by the same code as in a run.
"""

from collections.abc import Iterator

import pyarrow as pa

from dpp_core.forecast import Caution
from dpp_core.handover import Unit
from dpp_core.redaction import redact
from dpp_extractor.batch import FoundColumn, FoundObject, SourceTable, Window
from dpp_extractor.extract.database.window import LAG_WITHOUT_HORIZON_SECONDS
from dpp_extractor.ports import Clocks


def find_cautions(
    unit: Unit, table: SourceTable, found: FoundObject | None, window: Window | None
) -> tuple[Caution, ...]:
    """Find what a person should know of one dataset; `found` None = the catalogue shows no more."""
    return (
        *_look_at_cursor(unit, found),
        *_look_at_key(unit, table, found),
        *_look_at_holder(window),
    )


def look_at_horizon(clocks: Clocks, units: tuple[Unit, ...]) -> tuple[Caution, ...]:
    """Say that open transactions of others cannot be seen, and what the source's owner can grant."""
    if not clocks.reason or not any(unit.incremental for unit in units):
        return ()
    lags = [u.incremental.lag_seconds for u in units if u.incremental]
    stays = f"{LAG_WITHOUT_HORIZON_SECONDS} s" if None in lags else "their lagSeconds"
    return (
        Caution(
            about="Horizon",
            message=f"No horizon: {redact(clocks.holder)}. Windows end {stays} behind the source's clock, and what a "
            "transaction writes that is open for longer is missed.",
            fix=clocks.fix
            or "Set lagSeconds above the longest transaction of the source's writers.",
        ),
    )


def is_cheap_to_bound(unit: Unit, found: FoundObject | None) -> bool:
    """Say whether the greatest value of a cursor can be asked for without reading a whole table."""
    column = _find_cursor(unit, found)
    return column is not None and bool(column.indexes)


def _find_cursor(unit: Unit, found: FoundObject | None) -> FoundColumn | None:
    if unit.incremental is None or found is None:
        return None
    name = unit.incremental.cursor
    return next((column for column in found.columns if column.name == name), None)


def _look_at_cursor(unit: Unit, found: FoundObject | None) -> Iterator[Caution]:
    column = _find_cursor(unit, found)
    if column is None or unit.incremental is None or found is None:
        return
    if not column.indexes and found.kind != "view":
        yield Caution(
            about="Index",
            message=f"No index begins with the cursor {column.name!r}: every run reads the whole table to find its "
            "window.",
            fix=f"Ask the source's owner for an index on {found.full_name} ({column.name}).",
        )
    if column.nullable and unit.incremental.nulls is None:
        yield Caution(
            about="Nulls",
            message=f"The cursor {column.name!r} can be NULL: one such row blocks the dataset.",
            fix="Have it declared NOT NULL, or choose with nulls: Exclude, Include or Coalesce.",
        )
    if pa.types.is_date(column.arrow_type):
        yield Caution(
            about="Days",
            message=f"The cursor {column.name!r} has days only: a day's rows are read once it is over.",
        )


def _look_at_key(unit: Unit, table: SourceTable, found: FoundObject | None) -> Iterator[Caution]:
    if unit.key and not table.key_is_unique:
        named = ", ".join(unit.key)
        yield Caution(
            about="Key",
            message=f"The source does not enforce that ({named}) is there once and never NULL: each run looks for keys "
            "that occur twice, and refuses them.",
            fix=f"The source enforces ({', '.join(found.key)})." if found and found.key else "",
        )
    elif not unit.key and found is not None and found.key:
        yield Caution(
            about="Key",
            message="No key is given.",
            fix=f"Write key: [{', '.join(found.key)}]; the source enforces it.",
        )
    elif not unit.key and found is not None and found.kind == "table":
        yield Caution(
            about="Key",
            message="No key is given and the source enforces none: it can only be read in full.",
        )


def _look_at_holder(window: Window | None) -> Iterator[Caution]:
    if window is not None and window.holder:
        yield Caution(
            about="Holder",
            message=f"The window ends where a transaction began that is still open: {redact(window.holder)}.",
        )
