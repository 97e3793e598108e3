"""List what a PostgreSQL holds: tables and views, their columns, keys, indexes, sizes and rights.

Called by `snapshot.PostgresSource.discover`. Four questions to the catalogue, however many tables
there are: the names, and then only of what is wanted the rest. No row is read, and counts of rows
are the server's own estimates.
"""

from collections import defaultdict
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, text

from dpp_extractor.batch import FoundColumn, FoundObject
from dpp_extractor.extract.database.postgresql.catalogue import build_grant
from dpp_extractor.extract.database.postgresql.types import map_type
from dpp_extractor.extract.database.query import Relation
from dpp_extractor.ports import Wanted

# Tables of extensions are no data of the user's.
_NAMES: Final = text("""
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
""")

_OBJECTS: Final = text("""
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
    CASE WHEN c.relkind = 'p' THEN (
        SELECT sum(greatest(p.reltuples, 0)) FROM pg_catalog.pg_partition_tree(c.oid) t
        JOIN pg_catalog.pg_class p ON p.oid = t.relid WHERE t.isleaf
    ) WHEN c.relkind <> 'v' AND c.reltuples >= 0 THEN c.reltuples END::bigint AS rows,
    CASE WHEN c.relkind = 'p' THEN (
        SELECT sum(pg_catalog.pg_table_size(t.relid)) FROM pg_catalog.pg_partition_tree(c.oid) t
        WHERE t.isleaf
    ) WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) END::bigint AS size_bytes,
    pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_read,
    c.relkind = 'r' AND c.relhassubclass AS has_children,
    c.relispartition OR EXISTS (
        SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid
    ) AS is_part,
    current_user::text AS login
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (CAST(:oids AS oid[]))
ORDER BY n.nspname, c.relname
""")

_COLUMNS: Final = text("""
WITH RECURSIVE typed AS (
    SELECT a.attrelid, a.attnum, a.attname::text AS name, a.attnotnull,
        pg_catalog.format_type(a.atttypid, a.atttypmod) AS shown,
        a.atttypid AS type, a.atttypmod AS modifier
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY (CAST(:oids AS oid[])) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT d.attrelid, d.attnum, d.name, d.attnotnull, d.shown, t.typbasetype, t.typtypmod
    FROM typed d JOIN pg_catalog.pg_type t ON t.oid = d.type
    WHERE t.typtype = 'd'
)
SELECT c.attrelid AS oid, c.name, c.attnotnull, c.shown, c.modifier, t.typname::text AS type,
    t.typnamespace = 'pg_catalog'::regnamespace AS is_builtin
FROM typed c JOIN pg_catalog.pg_type t ON t.oid = c.type
WHERE t.typtype <> 'd'
ORDER BY c.attrelid, c.attnum
""")

# The primary key first, then the unique index with the fewest columns; only such without NULLs are
# keys. An index serves a window by its first column, when it is sorted and holds all rows.
_INDEXES: Final = text("""
SELECT i.indrelid AS oid, min(x.relname::text) AS name,
    array_agg(a.attname::text ORDER BY k.place) AS columns,
    min(a.attname::text) FILTER (
        WHERE k.place = 1 AND i.indpred IS NULL AND m.amname IN ('btree', 'brin')
    ) AS leading,
    bool_and(i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND a.attnotnull) AS is_key
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = x.relam
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = ANY (CAST(:oids AS oid[])) AND i.indisvalid AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, i.indrelid
ORDER BY i.indrelid, bool_or(i.indisprimary) DESC, count(*), min(a.attname::text), min(x.relname::text)
""")


def list_objects(connection: Connection, is_wanted: Wanted) -> tuple[FoundObject, ...]:
    """List the wanted tables and views of the user's schemas by name."""
    named = connection.execute(_NAMES).all()
    chosen = [row.oid for row in named if is_wanted(_name(row), f"{row.schema}.{row.name}")]
    wanted = {"oids": chosen}
    shown = connection.execute(_OBJECTS, wanted).all()
    columns: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(_COLUMNS, wanted):
        columns[row.oid].append(row)
    indexes: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(_INDEXES, wanted):
        indexes[row.oid].append(row)
    return tuple(_build_object(row, columns[row.oid], indexes[row.oid]) for row in shown)


def _build_object(row: Row[Any], columns: list[Row[Any]], indexes: list[Row[Any]]) -> FoundObject:
    # An index of a parent table says nothing about the rows of its children.
    keys = [] if row.has_children else [tuple(each.columns) for each in indexes if each.is_key]
    return FoundObject(
        object=_name(row),
        full_name=f"{row.schema}.{row.name}",
        kind=_name_kind(row),
        columns=tuple(
            FoundColumn(
                name=each.name,
                source_type=each.shown,
                arrow_type=map_type(
                    each.type, each.modifier, is_builtin=each.is_builtin
                ).arrow_type,
                nullable=not each.attnotnull,
                indexes=tuple(index.name for index in indexes if index.leading == each.name),
            )
            for each in columns
        ),
        key=keys[0] if keys else (),
        rows=row.rows,
        size_bytes=row.size_bytes,
        grant="" if row.may_read else build_grant(Relation(row.schema, row.name), row.login),
    )


def _name(row: Row[Any]) -> str:
    return str(row.name if row.schema == "public" else f"{row.schema}.{row.name}")


def _name_kind(row: Row[Any]) -> Literal["table", "view", "part"]:
    if row.is_part:
        return "part"
    return "view" if row.kind in ("v", "m") else "table"
