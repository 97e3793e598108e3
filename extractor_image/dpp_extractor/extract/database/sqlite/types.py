"""Map the types that SQLite tables declare to the Arrow types of the standard.

Called by `catalogue`. Pure. SQLite keeps any value in any column: the declared type says what a
column means, and
`cells` checks each value against it. The words are looked for in this order; none of them found
means text.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa

from dpp_extractor.batch import Fidelity


class Kind(StrEnum):
    """What a declared type means, each with a reader of its own in `cells`."""

    INTEGER = "integer"
    BOOLEAN = "boolean"
    REAL = "real"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    BLOB = "blob"
    TEXT = "text"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Mapped:
    kind: Kind
    arrow_type: pa.DataType
    fidelity: Fidelity = "exact"


_DECIMAL: Final = re.compile(r"(?:DECIMAL|NUMERIC|NUMBER)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_ZONED: Final = re.compile(r"TIMESTAMPTZ|DATETIMETZ|WITH TIME ZONE")
_MICROSECONDS: Final = pa.timestamp("us")
_MAX_DIGITS: Final = 38

_WORDS: Final = (
    (re.compile(r"BOOL"), Mapped(Kind.BOOLEAN, pa.bool_())),
    (_ZONED, Mapped(Kind.TIMESTAMPTZ, pa.timestamp("us", "UTC"))),
    (re.compile(r"DATETIME|TIMESTAMP"), Mapped(Kind.TIMESTAMP, _MICROSECONDS)),
    (re.compile(r"^DATE\b"), Mapped(Kind.DATE, pa.date32())),
    (re.compile(r"INTERVAL|POINT"), Mapped(Kind.ANY, pa.string(), "text")),
    (re.compile(r"INT"), Mapped(Kind.INTEGER, pa.int64())),
    (re.compile(r"CHAR|CLOB|TEXT"), Mapped(Kind.TEXT, pa.string())),
    (re.compile(r"BLOB|BINARY|BYTEA"), Mapped(Kind.BLOB, pa.binary())),
    (re.compile(r"REAL|FLOA|DOUB"), Mapped(Kind.REAL, pa.float64())),
)


def map_type(declared: str) -> Mapped:
    """Map a declared type, as `DECIMAL(12, 2)`; nothing declared (a view's expression) is any
    value's text.
    """
    words = declared.upper().strip()
    decimal = _DECIMAL.search(words)
    if decimal:
        precision, scale = int(decimal[1]), int(decimal[2] or 0)
        if 0 < precision <= _MAX_DIGITS and scale <= precision:
            return Mapped(Kind.DECIMAL, pa.decimal128(precision, scale))
        return Mapped(Kind.ANY, pa.string(), "text")
    for pattern, mapped in _WORDS:
        if pattern.search(words):
            return mapped
    return Mapped(Kind.ANY, pa.string(), "text")
