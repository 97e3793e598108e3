"""What is done with values that their column's type cannot hold: one rule for every engine.

Called by `columns` (what the author asked for becomes a word on each column) and by each engine's
reader (which row leaves, which value becomes NULL). Pure. `Fail` is a rejected row here; the stage
that takes it stops the dataset. `Text` is settled before the first row: the column is text.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from dpp_core.handover import Unit, Values
from dpp_core.names import Unfit
from dpp_extractor.batch import SourceColumn

Places = Mapping[int, Collection[int]]
"""Rows with a value that does not fit, by the column's place."""

_NOT_FOR_KEYS: Final = frozenset({"SetNull"})
_NOT_FOR_CURSORS: Final = frozenset({"SetNull", "Text"})


def settle_unfit(unit: Unit, columns: Iterable[SourceColumn]) -> tuple[SourceColumn, ...]:
    """Give each column the word that holds for it, and make the columns text that shall be text.

    A key keeps its value and a cursor its type: where the dataset's word would take that away, they
    have Quarantine. A column whose every value fits, or is text or bytes already, stays as it is.
    """
    values = unit.values or Values()
    return tuple(_settle(unit, column, values) for column in columns)


def choose_dropped(refused: Places, columns: Sequence[SourceColumn]) -> dict[int, int]:
    """Say which rows leave, each with the place of the column it leaves for; Fail comes first."""
    dropped: dict[int, int] = {}
    for place in sorted(refused, key=lambda place: (columns[place].unfit != "Fail", place)):
        if columns[place].unfit != "SetNull":
            for row in refused[place]:
                dropped.setdefault(row, place)
    return dropped


def count_nulled(
    refused: Places, dropped: Collection[int], columns: Sequence[SourceColumn]
) -> dict[str, int]:
    """Count the values that became NULL, by column; those of rows that left are not among them."""
    counted = {
        columns[place].name: sum(row not in dropped for row in rows)
        for place, rows in refused.items()
        if columns[place].unfit == "SetNull"
    }
    return {name: count for name, count in counted.items() if count}


def _settle(unit: Unit, column: SourceColumn, values: Values) -> SourceColumn:
    wanted = _choose(unit, column.name, values)
    if not column.may_be_unfit or wanted == "Quarantine":
        return column
    if wanted != "Text":
        return replace(column, unfit=wanted)
    if pa.types.is_string(column.arrow_type) or pa.types.is_binary(column.arrow_type):
        return column
    return replace(column, arrow_type=pa.string(), fidelity="text")


def _choose(unit: Unit, name: str, values: Values) -> Unfit:
    wanted = values.columns.get(name, values.unfit)
    is_cursor = unit.incremental is not None and name in unit.incremental.compared
    if is_cursor and wanted in _NOT_FOR_CURSORS:
        return "Quarantine"
    return "Quarantine" if name in unit.key and wanted in _NOT_FOR_KEYS else wanted
