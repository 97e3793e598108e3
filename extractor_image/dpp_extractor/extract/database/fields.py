"""Refuse a value that is too large to be carried through the stages, before it is copied once more.

Called by each engine's reader with the last row of a block: a row that is larger than a block ends it.
The message names the row by its key and never shows the value.
"""

from collections.abc import Sequence

from dpp_core.errors import SourceObjectError
from dpp_core.names import Reason
from dpp_extractor.batch import SourceTable
from dpp_extractor.extract.database.query import key_text


def refuse_large(
    table: SourceTable, cells: Sequence[object], sizes_bytes: Sequence[int], most_bytes: int
) -> None:
    """Raise SourceObjectError (31) when a value has more bytes than allowed; `cells` are in the order
    of the table's columns.
    """
    size_bytes = max(sizes_bytes, default=0)
    if size_bytes <= most_bytes:
        return
    name = table.columns[list(sizes_bytes).index(size_bytes)].name
    names = [each.name for each in table.columns]
    key = [_show(cells[names.index(each)]) for each in table.key]
    row = f"the row with {key_text(table, '', key)}" if key else "a row"
    raise SourceObjectError(
        f"Column {name!r} of {table.object!r} holds {size_bytes:,} bytes in {row}; at most "
        f"{most_bytes:,} are read.",
        reason=Reason.SOURCE_READ_FAILED,
        field="source.database.limits.maxFieldBytes",
        fix="Leave the column out with columns.exclude, read a view that shortens it, or raise "
        "source.database.limits.maxFieldBytes and the run's memory (about eight times the value).",
    )


def _show(cell: object) -> str:
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    return text[:100]
