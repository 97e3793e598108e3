"""Find a table or view in PostgreSQL's catalogue: its columns, types, keys, and what the user may
read.

Called by `snapshot`. The catalogue is asked by value, never by text put together; an object that is
missing or not granted is answered with the nearest name or the statement that grants it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Connection, Row, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from dpp_core.errors import SourceObjectError, SpecError
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.batch import SourceColumn, SourceTable
from dpp_extractor.extract.database.columns import name_nearest, select_table
from dpp_extractor.extract.database.postgresql.types import Forms, map_type
from dpp_extractor.extract.database.query import Relation

_RELATIONS: Final = text("""
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name,
    c.relkind = 'r' AND c.relhassubclass AS has_children,
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_enter,
    pg_catalog.has_any_column_privilege(c.oid, 'SELECT') AS may_read,
    current_user::text AS login,
    pg_catalog.getdatabaseencoding()::text <> 'SQL_ASCII' AS has_encoding
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS wanted (schema, name)
    ON n.nspname = wanted.schema AND c.relname = wanted.name
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p')
""")

_NAMES: Final = text("""
SELECT n.nspname || '.' || c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY 1
LIMIT 5000
""")

# A domain is followed to its base type; the modifier then is the domain's own.
_COLUMNS: Final = text("""
WITH RECURSIVE typed AS (
    SELECT a.attnum, a.attname::text AS name, a.attnotnull,
        pg_catalog.format_type(a.atttypid, a.atttypmod) AS shown,
        a.atttypid AS type, a.atttypmod AS modifier,
        pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS may_read
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT d.attnum, d.name, d.attnotnull, d.shown, t.typbasetype, t.typtypmod, d.may_read
    FROM typed d
    JOIN pg_catalog.pg_type t ON t.oid = d.type
    WHERE t.typtype = 'd'
)
SELECT c.name, c.attnotnull, c.shown, c.modifier, c.may_read, t.typname::text AS type,
    t.typnamespace = 'pg_catalog'::regnamespace AS is_builtin
FROM typed c
JOIN pg_catalog.pg_type t ON t.oid = c.type
WHERE t.typtype <> 'd'
ORDER BY c.attnum
""")

_UNIQUE: Final = text("""
SELECT array_agg(a.attname::text) AS columns
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = :oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
    AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid
HAVING bool_and(a.attnotnull)
""")


@dataclass(frozen=True, slots=True)
class Found:
    """An object as found: who it is, and the form each of its columns is asked for in.

    `has_encoding` is False where the server does not know what its texts are, and checks none.
    """

    oid: int
    relation: Relation
    table: SourceTable
    forms: Forms
    grant: str
    has_encoding: bool = True


def find_object(connection: Connection, unit: Unit) -> Found:
    """Describe the unit's object. SourceObjectError (31) when missing or denied, SpecError (20)
    otherwise.
    """
    row = _find_relation(connection, unit)
    relation = Relation(row.schema, row.name)
    grant = build_grant(relation, row.login)
    if not (row.may_enter and row.may_read):
        raise _denied(unit, grant)
    shown = connection.execute(_COLUMNS, {"oid": row.oid}).all()
    mapped = {
        item.name: map_type(item.type, item.modifier, is_builtin=item.is_builtin) for item in shown
    }
    columns = [
        SourceColumn(
            name=item.name,
            source_type=item.shown,
            arrow_type=mapped[item.name].arrow_type,
            nullable=not item.attnotnull,
            fidelity=mapped[item.name].fidelity,
            second_digits=mapped[item.name].second_digits,
            may_be_unfit=not mapped[item.name].always_fits
            or (not row.has_encoding and pa.types.is_string(mapped[item.name].arrow_type)),
        )
        for item in shown
    ]
    # An index of a parent table says nothing about the rows of its children.
    keys = [] if row.has_children else connection.execute(_UNIQUE, {"oid": row.oid}).scalars().all()
    table = select_table(unit, columns, keys)
    _require_granted(unit, table, shown, grant)
    forms = {name: m.form for name, m in mapped.items() if m.form is not None}
    return Found(row.oid, relation, table, forms, grant, row.has_encoding)


def split_names(name: str) -> list[tuple[str, str]]:
    """List what an object name can mean: the schema `public`, or a schema before any of its
    dots.
    """
    meanings = [("public", name)]
    meanings += [
        (name[:place], name[place + 1 :]) for place, sign in enumerate(name) if sign == "."
    ]
    return [meaning for meaning in meanings if all(meaning)]


def build_grant(relation: Relation, login: str) -> str:
    """Write the statements that let a user read a table."""
    dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # keeps % single
    quote = dialect.identifier_preparer.quote_identifier
    schema, name, user = quote(relation.schema), quote(relation.name), quote(login)
    return f"GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT ON TABLE {schema}.{name} TO {user};"


def _find_relation(connection: Connection, unit: Unit) -> Row[Any]:
    meanings = split_names(unit.object)
    found = connection.execute(
        _RELATIONS,
        {"schemas": [schema for schema, _ in meanings], "names": [name for _, name in meanings]},
    ).all()
    if len(found) > 1:
        meant = " or ".join(f"{row.name!r} in schema {row.schema!r}" for row in found)
        raise SpecError(
            f"Source object {unit.object!r} can be {meant}.",
            field=f"datasets[{unit.dataset}].object",
            fix="Give it a name with only one meaning, for instance through a view.",
        )
    if not found:
        names = [name.removeprefix("public.") for name in connection.execute(_NAMES).scalars()]
        raise SourceObjectError(
            f"The source has no table or view {unit.object!r}.{_elsewhere(unit.object, names)}",
            field=f"datasets[{unit.dataset}].object",
            fix=(
                "Write it as `table` (in schema public) or `schema.table`, as the database spells "
                "it."
            ),
        )
    return found[0]


def _elsewhere(wanted: str, names: Sequence[str]) -> str:
    same = [name for name in names if name.casefold().rpartition(".")[2] == wanted.casefold()]
    return f" Did you mean {same[0]!r}?" if same else name_nearest(wanted, names)


def _require_granted(unit: Unit, table: SourceTable, shown: Sequence[Row[Any]], grant: str) -> None:
    readable: Mapping[str, bool] = {item.name: item.may_read for item in shown}
    denied = [column.name for column in table.columns if not readable[column.name]]
    if denied:
        raise _denied(unit, grant, f" column {denied[0]!r} of")


def _denied(unit: Unit, grant: str, part: str = "") -> SourceObjectError:
    return SourceObjectError(
        f"The user has no right to read{part} source object {unit.object!r}.",
        reason=Reason.SOURCE_OBJECT_DENIED,
        field=f"datasets[{unit.dataset}].object",
        fix=f"Run as its owner: {grant}",
    )
