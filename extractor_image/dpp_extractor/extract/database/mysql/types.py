"""Map the types of MySQL and MariaDB to the Arrow types of the standard, and say in which form the
server must send them.

Called by `catalogue`. Pure; the map is the design page's "Types". What is not listed is read as the
text that the server writes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import cast, func, literal_column
from sqlalchemy.dialects.mysql import TIME

from dpp_extractor.batch import Fidelity
from dpp_extractor.extract.database.query import Expression, Form

_UTC_MICROSECONDS: Final = pa.timestamp("us", "UTC")
_MICROSECONDS: Final = pa.timestamp("us")
_MAX_DIGITS: Final = 38
_UTF8_SETS: Final = frozenset({"utf8", "utf8mb3", "utf8mb4", "ascii"})
_SPATIAL: Final = frozenset(
    {
        *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring"),
        *("multipolygon", "geometrycollection", "geomcollection"),
    }
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the catalogue says of a column's type.

    `declared` is the whole type (`int(10) unsigned`), `name` its first word, `digits` and `scale`
    those of a number, `second_digits` the fraction of a time, `charset` empty for what is no text.
    """

    name: str
    declared: str
    digits: int = 0
    scale: int = 0
    second_digits: int = 0
    charset: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """How a type is read: `form` turns the column into what the server shall send, None = as it
    is. `always_fits`: the Arrow type holds every value there can be.
    """

    arrow_type: pa.DataType
    fidelity: Fidelity = "exact"
    form: Form | None = None
    second_digits: int = 6
    always_fits: bool = True


def _number_form(expression: Expression) -> Expression:
    # Without it a FLOAT is sent with six digits, and one with a scale is rounded. Times one keeps
    # the sign of a zero.
    return expression * literal_column("1e0")


def _integer_form(expression: Expression) -> Expression:
    return expression + literal_column("0")


def _clock_form(expression: Expression) -> Expression:
    return cast(expression, TIME(fsp=6))


def _utf8_form(expression: Expression) -> Expression:
    # Asked for, and not left to the session: a session's conversion would also touch texts that
    # are UTF-8 already, and put a question mark for each damaged byte.
    converted: Expression = func.convert(expression.op("USING")(literal_column("utf8mb4")))
    return converted


def _shape_form(expression: Expression) -> Expression:
    return func.concat("SRID=", func.st_srid(expression), ";", func.st_astext(expression))


def _bits_form(count: int) -> Form:
    return lambda expression: func.lpad(func.bin(_integer_form(expression)), count, "0")


_FIXED: Final[dict[str, Mapped]] = {
    # tinyint(1) is a number too: it holds what any tinyint holds, not only 0 and 1.
    "tinyint": Mapped(pa.int8()),
    "smallint": Mapped(pa.int16()),
    "mediumint": Mapped(pa.int32()),
    "int": Mapped(pa.int32()),
    "bigint": Mapped(pa.int64()),
    "tinyint unsigned": Mapped(pa.int16(), "widened"),
    "smallint unsigned": Mapped(pa.int32(), "widened"),
    "mediumint unsigned": Mapped(pa.int32()),
    "int unsigned": Mapped(pa.int64(), "widened"),
    "bigint unsigned": Mapped(pa.decimal128(20, 0), "widened"),
    "year": Mapped(pa.int16()),
    "float": Mapped(pa.float32(), form=_number_form),
    "double": Mapped(pa.float64(), form=_number_form),
    # Zero dates, and days that no calendar has.
    "date": Mapped(pa.date32(), always_fits=False),
    "time": Mapped(pa.string(), "text", _clock_form),
    "binary": Mapped(pa.binary()),
    "varbinary": Mapped(pa.binary()),
    "tinyblob": Mapped(pa.binary()),
    "blob": Mapped(pa.binary()),
    "mediumblob": Mapped(pa.binary()),
    "longblob": Mapped(pa.binary()),
    "vector": Mapped(pa.binary()),
}
_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})


def map_type(shown: Shown) -> Mapped:
    """Map a column's type as the catalogue shows it."""
    if shown.name == "decimal":
        return _map_decimal(shown)
    if shown.name == "timestamp":
        return Mapped(_UTC_MICROSECONDS, second_digits=shown.second_digits, always_fits=False)
    if shown.name == "datetime":
        return Mapped(_MICROSECONDS, second_digits=shown.second_digits, always_fits=False)
    if shown.name == "bit":
        return _map_bits(shown.digits)
    if shown.name in _SPATIAL:
        return Mapped(pa.string(), "text", _shape_form)
    if " unsigned" in shown.declared and f"{shown.name} unsigned" in _FIXED:
        return _FIXED[f"{shown.name} unsigned"]
    return _FIXED.get(shown.name) or _map_text(shown)


def _map_decimal(shown: Shown) -> Mapped:
    if 0 < shown.digits <= _MAX_DIGITS and 0 <= shown.scale <= shown.digits:
        return Mapped(pa.decimal128(shown.digits, shown.scale))
    return Mapped(pa.string(), "text")


def _map_bits(count: int) -> Mapped:
    if count == 1:
        return Mapped(pa.bool_(), form=_integer_form)
    return Mapped(pa.string(), "text", _bits_form(count))


def _map_text(shown: Shown) -> Mapped:
    fidelity: Fidelity = "exact" if shown.name in _TEXTS else "text"
    if shown.charset in _UTF8_SETS:
        # Sent as they are stored, which can be damaged; what the server writes itself cannot.
        return Mapped(pa.string(), fidelity, always_fits=False)
    is_converted = shown.charset not in ("", "binary")
    return Mapped(pa.string(), fidelity, _utf8_form if is_converted else None)


Forms = dict[str, Callable[[Any], Any]]
