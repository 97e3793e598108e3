"""Rejected rows become JSON lines beside the table, never in it.

Called by `unit` before the commit, so that a committed watermark never passes a row that is nowhere.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dpp_extractor.batch import Rejected


def build_quarantine(rejected: Iterable[Rejected]) -> bytes:
    """Render one line a row: the rule it broke, the column, why, and its values as text by source column."""
    return b"".join(
        json.dumps(
            {
                "rule": row.rule,
                "column": row.column,
                "detail": row.detail,
                "values": row.values,
            },
            ensure_ascii=False,
            sort_keys=True,
        ).encode("utf-8", "backslashreplace")  # what is no Unicode stands as its escape
        + b"\n"
        for row in rejected
    )


def keep_under_table_names(
    rejected: Iterable[Rejected], names: Mapping[str, str]
) -> Iterator[Rejected]:
    """Name the values as the table does: rows rejected while reading still carry the source's names."""
    for row in rejected:
        values = {names.get(name, name): value for name, value in row.values.items()}
        yield replace(row, values=values, column=names.get(row.column, row.column))
