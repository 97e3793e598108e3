"""What a document must look like for FerretDB to keep it. Pure.

Called by `adapters.ferret` before each write. FerretDB 1.x refuses NUL in strings, `.` and `$` in
keys, NaN and infinities, arrays in arrays, and integers beyond 64 bits; BSON instants have
milliseconds. Here such values become texts that say the same, so that a record is never lost for
one odd value; the exact one is in the bucket's record.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

LARGEST_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
DEEPEST_NESTING: Final = 24
_INT64: Final = range(-(2**63), 2**63)
_SAFE_KEY: Final = str.maketrans({".": "．", "$": "＄", "\0": "␀"})
_SAFE_TEXT: Final = str.maketrans({"\0": "␀"})


def build_document(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Build the document that FerretDB keeps: same names and values, but for what it cannot hold.

    Instants are floored to milliseconds and must be aware; `_id` belongs to the index and is left
    out.
    """
    return {
        _build_key(name): _build_value(value, 1) for name, value in fields.items() if name != "_id"
    }


def build_id(collection: str, key: Mapping[str, Any]) -> str:
    """Build the 24 hexadecimal digits of the document's id: the same key gives the same id
    everywhere.
    """
    canonical = json.dumps(
        [collection, sorted((name, str(value)) for name, value in key.items())], ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _build_key(name: Any) -> str:
    return _text(str(name)).translate(_SAFE_KEY) or "_"


def _build_value(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | bytes):
        return value
    if depth > DEEPEST_NESTING:
        return _text(str(value))
    if isinstance(value, Mapping):
        return {_build_key(name): _build_value(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_build_element(each, depth + 1) for each in value]
    return _build_scalar(value)


def _build_element(value: Any, depth: int) -> Any:
    """An array in an array becomes its JSON text: FerretDB 1.x does not keep nested arrays."""
    if isinstance(value, list | tuple | set | frozenset):
        return _text(json.dumps(list(value), ensure_ascii=False, default=str))
    return _build_value(value, depth)


def _build_scalar(value: Any) -> Any:
    if isinstance(value, int):
        return int(value) if value in _INT64 else str(value)
    if isinstance(value, float):
        # adding 0.0 turns -0.0, which FerretDB does not know, into 0.0
        return value + 0.0 if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return _text(str(value))


def _instant(value: datetime) -> datetime | str:
    """Keep a naive instant as text: BSON would take it for UTC, and nobody knows that it is."""
    if value.tzinfo is None:
        return value.isoformat()
    utc = value.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().translate(_SAFE_TEXT)
