"""Which keys live in the table and are not in the source any more, found a range of keys at a time.

Called by `deletes`. Both sides are put aside on disk first; while a range is larger than memory allows it is split by
keys of its own sample, and what is left is compared at once. Memory therefore does not grow with the table, and the
disk holds both sides twice at most, compressed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from dpp_core.names import COLUMN_ORDER, COLUMN_READ_AT
from dpp_extractor.compare.keys import KEY, LIVE, SETTLED, keep_latest
from dpp_extractor.compare.spill import Spill, choose_bounds, split

RANGE_BYTES: Final = 4 * 1024 * 1024
"""Both sides of a range that is compared at once. Measured on 1M keys: 16 MiB take 40 MB more and no time less."""
MOST_RANGES: Final = 64
DEEPEST: Final = 8


@dataclass(slots=True)
class Difference:
    """What was found. `deleted` holds the key columns of the rows that went; who makes it closes it.

    `missing_rows` are rows of the source that no window will bring; `first_missing` is the key of one of them.
    """

    deleted: Spill
    table_keys: int = 0
    source_keys: int = 0
    missing_rows: int = 0
    first_missing: Mapping[str, Any] = field(default_factory=dict)


def find_difference(
    table: Spill, source: Spill, names: Sequence[str], range_bytes: int = RANGE_BYTES
) -> Difference:
    """Compare the two sides, and close both.

    `table` holds the key columns, `_dpp_read_at`, `_dpp_order` and `_dpp_live` of every row; `source` the key columns
    and `_dpp_settled`. No key has a NULL.
    """
    fields = [table.schema.field(name) for name in names]
    found = Difference(Spill(pa.schema(fields)))
    try:
        _descend(table, source, _Work(tuple(names), range_bytes, found), depth=0)
    except BaseException:
        found.deleted.close()
        raise
    finally:
        table.close()
        source.close()
    return found


@dataclass(frozen=True, slots=True)
class _Work:
    names: tuple[str, ...]
    range_bytes: int
    found: Difference


def _descend(table: Spill, source: Spill, work: _Work, depth: int) -> None:
    size_bytes = table.size_bytes + source.size_bytes
    bounds = pa.array([], pa.binary())
    if size_bytes > work.range_bytes and depth < DEEPEST:
        ranges = min(MOST_RANGES, 2 * size_bytes // work.range_bytes + 1)
        bounds = choose_bounds((table, source), work.names, ranges)
    if len(bounds) == 0:
        _compare(table, source, work)
        return
    rows = table.rows + source.rows
    with ExitStack() as stack:
        tables = split(table, work.names, bounds, stack)
        sources = split(source, work.names, bounds, stack)
        table.close()
        source.close()
        for left, right in zip(tables, sources, strict=True):
            # A range that holds all rows is one key with many versions: splitting it again would be for ever.
            is_whole = left.rows + right.rows == rows
            _descend(left, right, work, DEEPEST if is_whole else depth + 1)
            left.close()
            right.close()


def _compare(table: Spill, source: Spill, work: _Work) -> None:
    latest = _fold(table, work, (COLUMN_READ_AT, COLUMN_ORDER))
    there = _fold(source, work, (SETTLED,))
    live = latest.filter(latest.column(LIVE))
    is_gone = pc.invert(pc.is_in(live.column(KEY), value_set=there.column(KEY)))
    gone = live.filter(is_gone).select(list(work.names))
    for rows in gone.to_batches():
        work.found.deleted.write(rows)
    is_new = pc.invert(pc.is_in(there.column(KEY), value_set=live.column(KEY)))
    missing = there.filter(pc.and_(is_new, there.column(SETTLED))).select(list(work.names))
    work.found.table_keys += live.num_rows
    work.found.source_keys += there.num_rows
    if missing.num_rows and not work.found.missing_rows:
        work.found.first_missing = missing.slice(0, 1).to_pylist()[0]
    work.found.missing_rows += missing.num_rows


def _fold(spill: Spill, work: _Work, order: tuple[str, ...]) -> pa.Table:
    """Read a range and keep one row a key; many versions of few keys are folded on the way."""
    held: list[pa.Table] = []
    size_bytes = 0
    for rows in _tables(spill):
        held.append(rows)
        size_bytes += rows.nbytes
        if size_bytes > work.range_bytes:
            held = [keep_latest(_join(held), work.names, order).drop_columns(KEY)]
            size_bytes = 0
    whole = _join(held) if held else spill.schema.empty_table()
    return keep_latest(whole, work.names, order)


def _tables(spill: Spill) -> Iterator[pa.Table]:
    for rows in spill.batches():
        yield pa.Table.from_batches([rows])


def _join(held: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(held).combine_chunks()
