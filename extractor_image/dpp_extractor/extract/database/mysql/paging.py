"""Say the ends of pages in MySQL's terms.

Called by `snapshot`. Texts go and come as UTF-8 and are written as hexadecimal, so that no character
of theirs can be code; they are compared by the column's own collation, which also makes its key unique.
"""

import re
from typing import Final

import pyarrow as pa
from sqlalchemy import cast, func, literal_column
from sqlalchemy.dialects.mysql import CHAR

from dpp_core.errors import InternalError
from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.pages import Tongue
from dpp_extractor.extract.database.query import Expression

_PLAIN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?)?")
_TEXT: Final = re.compile(r"(var)?char\b", re.IGNORECASE)
_DATE_CHARACTERS: Final = 10


def _as_text(column: SourceColumn, name: Expression) -> Expression:
    if _is_text(column):
        return func.convert(literal_column(f"{_quoted(name)} USING utf8mb4"))
    return cast(name, CHAR())


def _literal(column: SourceColumn, text: str) -> Expression:
    if _is_text(column):
        return literal_column(f"_utf8mb4 x'{text.encode().hex()}'")
    if _MOMENT.fullmatch(text):
        kind = "DATE" if len(text) == _DATE_CHARACTERS else "TIMESTAMP"
        return literal_column(f"{kind}'{text}'")
    if _PLAIN.fullmatch(text):
        return literal_column(text)
    raise InternalError(f"A page cannot end at a value of {column.name!r}.")


def _can_cut(column: SourceColumn) -> bool:
    """Whole and exact numbers, dates, instants, and texts: what compares as its text says."""
    kind = column.arrow_type
    is_number = pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    return bool(is_number or pa.types.is_timestamp(kind) or pa.types.is_date(kind)) or _is_text(
        column
    )


def _is_text(column: SourceColumn) -> bool:
    return _TEXT.match(column.source_type) is not None


def _quoted(name: Expression) -> str:
    return "`" + str(getattr(name, "name", name)).replace("`", "``") + "`"


TONGUE: Final = Tongue(_as_text, _literal, _can_cut)
