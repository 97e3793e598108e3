"""Delta's schema JSON from an Arrow schema and back.

Called by `body` (metaData) and `fold` (what the table has). Pure. The map of types is the law of
the log's page: no void, no decimal256, no nanoseconds ever reaches a table, so an Arrow type
outside the map is our bug.
"""

import json
import re
from typing import Any, Final

import pyarrow as pa

from dpp_core.errors import InternalError, StreamError
from dpp_core.names import Reason

_PRIMITIVES: Final[tuple[tuple[str, pa.DataType], ...]] = (
    ("byte", pa.int8()),
    ("short", pa.int16()),
    ("integer", pa.int32()),
    ("long", pa.int64()),
    ("float", pa.float32()),
    ("double", pa.float64()),
    ("boolean", pa.bool_()),
    ("string", pa.string()),
    ("binary", pa.binary()),
    ("date", pa.date32()),
    ("timestamp", pa.timestamp("us", tz="UTC")),
    ("timestamp_ntz", pa.timestamp("us")),
)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DECIMAL: Final = re.compile(r"decimal\((\d+),(-?\d+)\)")


def build_schema(schema: pa.Schema) -> dict[str, Any]:
    """Build Delta's schema, with field metadata as text."""
    return {"type": "struct", "fields": [_field_to_delta(field) for field in schema]}


def build_schema_string(schema: pa.Schema) -> str:
    return json.dumps(build_schema(schema), separators=(",", ":"), ensure_ascii=False)


def parse_schema(schema_string: str) -> pa.Schema:
    """Read a schema back. Raises StreamError (29) for a type we never write: somebody else changed
    the table.
    """
    try:
        fields = json.loads(schema_string)["fields"]
        return pa.schema([_field_from_delta(field) for field in fields])
    except (ValueError, KeyError, TypeError) as error:
        raise StreamError(
            f"The table's schema holds what DPP never writes: {error}",
            reason=Reason.STREAM_FOREIGN_CHANGE,
            fix="Replace the table by raising the dataset's epoch.",
        ) from error


def columns_of(schema_string: str) -> list[Any]:
    """Return names, types and nullability without field metadata: what must be equal for columns
    not to have moved.
    """
    fields = json.loads(schema_string)["fields"]
    return [[field["name"], _bare(field["type"]), field.get("nullable", True)] for field in fields]


def has_timestamp_ntz(schema: pa.Schema) -> bool:
    """Return whether any field, nested ones included, is a timestamp without zone."""
    return "timestamp_ntz" in _type_names(build_schema(schema))


def is_plain_name(name: str) -> bool:
    """Return whether a name needs no quoting anywhere; only such columns carry statistics."""
    return _PLAIN_NAME.fullmatch(name) is not None


def list_skipping_columns(schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns whose minimum and maximum every writer states exactly: whole numbers,
    dates, instants.

    They go into `delta.dataSkippingStatsColumns`. Without it deltalake's Arrow path compares a
    column that lacks a minimum, while others have one, with NULL and returns 0 rows; and a
    compaction by a stranger would state decimals through a float.
    """
    return tuple(
        field.name
        for field in schema
        if is_plain_name(field.name)
        and (
            pa.types.is_integer(field.type)
            or pa.types.is_date(field.type)
            or pa.types.is_timestamp(field.type)
        )
    )


def merge_for_append(table: pa.Schema, ours: pa.Schema) -> pa.Schema:
    """Return the table's columns in their order with our types, then our new ones.

    A column the source no longer has stays (old files hold its values) and becomes nullable: new
    files lack it. A new column is nullable: old files lack it.
    """
    kept = [
        ours.field(field.name) if field.name in ours.names else field.with_nullable(True)
        for field in table
    ]
    new = [field.with_nullable(True) for field in ours if field.name not in table.names]
    return pa.schema(kept + new)


def _bare(kind: Any) -> Any:
    if not isinstance(kind, dict):
        return kind
    bare = {
        name: _bare(value) for name, value in kind.items() if name not in ("metadata", "fields")
    }
    if "fields" in kind:
        bare["fields"] = [
            [field["name"], _bare(field["type"]), field.get("nullable", True)]
            for field in kind["fields"]
        ]
    return bare


def _type_names(kind: Any) -> set[str]:
    if isinstance(kind, str):
        return {kind}
    inner = [field["type"] for field in kind.get("fields", ())]
    inner += [kind[name] for name in ("elementType", "keyType", "valueType") if name in kind]
    return set().union(*(_type_names(value) for value in inner)) if inner else set()


def _field_to_delta(field: pa.Field) -> dict[str, Any]:
    metadata = {
        key.decode(): value.decode() for key, value in sorted((field.metadata or {}).items())
    }
    return {
        "name": field.name,
        "type": _type_to_delta(field.type, field.name),
        "nullable": field.nullable,
        "metadata": metadata,
    }


def _type_to_delta(kind: pa.DataType, name: str) -> Any:
    for delta_name, arrow_type in _PRIMITIVES:
        if kind == arrow_type:
            return delta_name
    if pa.types.is_decimal128(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if kind in (pa.large_string(), pa.string_view()):
        return "string"
    if kind in (pa.large_binary(), pa.binary_view()):
        return "binary"
    if pa.types.is_struct(kind):
        fields = [_field_to_delta(kind.field(position)) for position in range(kind.num_fields)]
        return {"type": "struct", "fields": fields}
    if pa.types.is_map(kind):
        return {
            "type": "map",
            "keyType": _type_to_delta(kind.key_type, name),
            "valueType": _type_to_delta(kind.item_type, name),
            "valueContainsNull": kind.item_field.nullable,
        }
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {
            "type": "array",
            "elementType": _type_to_delta(kind.value_type, name),
            "containsNull": kind.value_field.nullable,
        }
    raise InternalError(f"Column {name} has the Arrow type {kind}, which has no Delta type.")


def _field_from_delta(field: dict[str, Any]) -> pa.Field:
    metadata = {key: str(value) for key, value in (field.get("metadata") or {}).items()}
    kind = _type_from_delta(field["type"])
    return pa.field(field["name"], kind, field.get("nullable", True), metadata or None)


def _type_from_delta(kind: Any) -> pa.DataType:
    if isinstance(kind, str):
        decimal = _DECIMAL.fullmatch(kind)
        return (
            pa.decimal128(int(decimal.group(1)), int(decimal.group(2)))
            if decimal
            else dict(_PRIMITIVES)[kind]
        )
    if kind["type"] == "struct":
        return pa.struct([_field_from_delta(field) for field in kind["fields"]])
    if kind["type"] == "array":
        element = pa.field("element", _type_from_delta(kind["elementType"]), kind["containsNull"])
        return pa.list_(element)
    if kind["type"] == "map":
        value = pa.field("value", _type_from_delta(kind["valueType"]), kind["valueContainsNull"])
        return pa.map_(_type_from_delta(kind["keyType"]), value)
    raise ValueError(f"unknown type {kind['type']!r}")
