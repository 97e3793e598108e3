"""Names and columns of the table: snake_case, reserved names kept free, the original in field metadata.

Called by `unit` once a dataset (plan_columns, build_schema) and once a batch (standardise_rows). Pure: no I/O, no
clock. Rules: data-log.md, "What a table means" and "Names".
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from dpp_core.errors import SpecError
from dpp_core.handover import Unit
from dpp_core.names import (
    COLUMN_OP,
    COLUMN_ORDER,
    COLUMN_READ_AT,
    RESERVED_PREFIX,
)
from dpp_extractor.batch import Column, SourceTable

SOURCE_NAME: Final = b"dpp.source_name"
SOURCE_TYPE: Final = b"dpp.source_type"
FIDELITY: Final = b"dpp.fidelity"
UNFIT: Final = b"dpp.unfit"
"""On a column in which values that do not fit became NULL; they are counted in the commits."""
RETIRED: Final = b"dpp.retired"
"""On a column that the source no longer has, after a person approved that; it is NULL in new rows."""

_TRANSLITERATED: Final = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "Ä": "Ae",
        "Ö": "Oe",
        "Ü": "Ue",
        "ß": "ss",
        "ø": "o",
        "æ": "ae",
        "ł": "l",
    }
)
_WORD_BORDER: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_WORD: Final = re.compile(r"[^\w]+|_+", re.UNICODE)

SYSTEM_FIELDS: Final = (
    pa.field(COLUMN_OP, pa.string()),
    pa.field(COLUMN_READ_AT, pa.timestamp("us", tz="UTC")),
    pa.field(COLUMN_ORDER, pa.int64()),
)


def standard_name(source_name: str) -> str:
    """Turn a source's column name into snake_case that every Delta reader accepts.

    Latin letters lose their marks (ä becomes ae), letters of other scripts stay, all else becomes one underscore.
    """
    text = source_name.translate(_TRANSLITERATED)
    text = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(letter)
    )
    text = _WORD_BORDER.sub("_", unicodedata.normalize("NFC", text))
    name = _NOT_WORD.sub("_", text).strip("_").lower()
    if not name:
        return "column"
    return f"c_{name}" if name[0].isdigit() else name


def plan_columns(table: SourceTable, unit: Unit) -> tuple[Column, ...]:
    """Name every column of the dataset. Raises SpecError when two names meet or a reserved name is taken."""
    columns = tuple(
        Column(
            name=unit.rename.get(column.name) or standard_name(column.name),
            arrow_type=column.arrow_type,
            source_name=column.name,
            source_type=column.source_type,
            fidelity=column.fidelity,
            nullable=column.nullable,
            unfit=column.unfit,
        )
        for column in table.columns
    )
    _refuse_unknown_renames(table, unit)
    taken: dict[str, str] = {}
    for column in columns:
        folded = column.name.casefold()
        if folded.startswith(RESERVED_PREFIX) or column.source_name.startswith(RESERVED_PREFIX):
            raise SpecError(
                f"Column {column.source_name!r} of {table.object!r} would become {column.name!r}; names that begin "
                f"with {RESERVED_PREFIX} belong to DPP.",
                field="columns.rename",
                fix="Leave it out with columns.exclude or give it another name with columns.rename.",
            )
        if folded in taken:
            raise SpecError(
                f"Columns {taken[folded]!r} and {column.source_name!r} of {table.object!r} would both become "
                f"{column.name!r}.",
                field="columns.rename",
                fix="Give one of them another name with columns.rename.",
            )
        taken[folded] = column.source_name
    return columns


def _refuse_unknown_renames(table: SourceTable, unit: Unit) -> None:
    known = {column.name for column in table.columns}
    unknown = sorted(set(unit.rename) - known)
    if unknown:
        raise SpecError(
            f"columns.rename names {unknown[0]!r}, which {table.object!r} does not have.",
            field="columns.rename",
            fix=f"It has: {', '.join(sorted(known))}.",
        )


def build_schema(columns: Sequence[Column]) -> pa.Schema:
    """Build the table's schema: the columns with their origin in field metadata, then the three `_dpp_` columns."""
    fields = [
        pa.field(
            column.name,
            column.arrow_type,
            metadata={
                SOURCE_NAME: column.source_name,
                SOURCE_TYPE: column.source_type,
                FIDELITY: column.fidelity,
                **({UNFIT: column.unfit} if column.unfit == "SetNull" else {}),
            },
        )
        for column in columns
    ]
    return pa.schema([*fields, *SYSTEM_FIELDS])


def standardise_rows(
    rows: pa.RecordBatch,
    columns: Sequence[Column],
    schema: pa.Schema,
    read_at: datetime,
    first_order: int,
) -> pa.RecordBatch:
    """Bring one batch under the table's names and types and add the `_dpp_` columns.

    `first_order` is the number of rows the unit has written before. Casts only widen; a column the source no longer
    has is NULL. Raises pa.ArrowInvalid when a value would change, which is our bug: types were planned before.
    """
    by_name = {column.name: column.source_name for column in columns}
    count = rows.num_rows
    system = {
        COLUMN_OP: pa.repeat(pa.scalar("read"), count),
        COLUMN_READ_AT: pa.repeat(pa.scalar(read_at, pa.timestamp("us", tz="UTC")), count),
        COLUMN_ORDER: build_orders(first_order, count),
    }
    arrays = []
    for field in schema:
        if field.name in system:
            arrays.append(system[field.name])
        elif field.name in by_name:
            array = rows.column(by_name[field.name])
            arrays.append(array if array.type == field.type else array.cast(field.type, safe=True))
        else:
            arrays.append(pa.nulls(count, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def build_orders(first: int, count: int) -> pa.Array:
    """Number rows from `first` on."""
    ones = pa.repeat(pa.scalar(1, pa.int64()), count)
    return pc.cumulative_sum(ones, start=first - 1)
