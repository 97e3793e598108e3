"""Map PostgreSQL's types to the Arrow types of the standard, and say in which form the server must
write them.

Called by `catalogue`. Pure; the map is the design page's "Types". What is not listed is read as its
text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Numeric, Text, cast, func

from dpp_extractor.batch import Fidelity
from dpp_extractor.extract.database.query import Expression

_UTC_MICROSECONDS: Final = pa.timestamp("us", "UTC")
_MICROSECONDS: Final = pa.timestamp("us")
_MAX_DIGITS: Final = 38


@dataclass(frozen=True, slots=True)
class Mapped:
    """How a type is read: `form` turns the column into what the server shall send, None = as it
    is. `always_fits`: the Arrow type holds every value there can be.
    """

    arrow_type: pa.DataType
    fidelity: Fidelity = "exact"
    form: Callable[[Expression], Expression] | None = None
    second_digits: int = 6
    always_fits: bool = True


def _hex(expression: Expression) -> Expression:
    return func.encode(expression, "hex")


def _clock_text(expression: Expression) -> Expression:
    return func.to_char(expression, "HH24:MI:SS.US")


def _numeric_text(expression: Expression) -> Expression:
    # money is written in the server's locale; its number is not.
    return cast(cast(expression, Numeric()), Text())


_FIXED: Final[dict[str, Mapped]] = {
    "bool": Mapped(pa.bool_()),
    "int2": Mapped(pa.int16()),
    "int4": Mapped(pa.int32()),
    "int8": Mapped(pa.int64()),
    "oid": Mapped(pa.int64(), "widened"),
    "xid": Mapped(pa.int64(), "widened"),
    "float4": Mapped(pa.float32()),
    "float8": Mapped(pa.float64()),
    "text": Mapped(pa.string()),
    "varchar": Mapped(pa.string()),
    "bpchar": Mapped(pa.string()),
    "name": Mapped(pa.string()),
    "bytea": Mapped(pa.binary(), form=_hex),
    "date": Mapped(pa.date32(), always_fits=False),
    "time": Mapped(pa.string(), "text", _clock_text),
    "money": Mapped(pa.string(), "text", _numeric_text),
}


def map_type(name: str, modifier: int, *, is_builtin: bool) -> Mapped:
    """Map a base type by its catalogue name and modifier (`atttypmod`, -1 when none).

    A type of the same name in a schema of the user's own is not built in and is read as text.
    """
    if not is_builtin:
        return Mapped(pa.string(), "text")
    if name == "numeric":
        return _map_numeric(modifier)
    if name == "timestamptz":
        return _map_timestamp(_UTC_MICROSECONDS, modifier)
    if name == "timestamp":
        return _map_timestamp(_MICROSECONDS, modifier)
    return _FIXED.get(name, Mapped(pa.string(), "text"))


def _map_numeric(modifier: int) -> Mapped:
    if modifier < 0:
        return Mapped(pa.string(), "text")
    packed = modifier - 4
    precision, scale = packed >> 16 & 0xFFFF, ((packed & 0x7FF) ^ 0x400) - 0x400
    if precision > _MAX_DIGITS or not 0 <= scale <= precision:
        return Mapped(pa.string(), "text")
    # NaN is a value of every numeric.
    return Mapped(pa.decimal128(precision, scale), always_fits=False)


def _map_timestamp(arrow_type: pa.DataType, modifier: int) -> Mapped:
    digits = modifier if 0 <= modifier <= 6 else 6
    return Mapped(arrow_type, second_digits=digits, always_fits=False)


Forms = dict[str, Callable[[Any], Any]]
