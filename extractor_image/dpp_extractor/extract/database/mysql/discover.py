"""List what a MySQL or MariaDB server holds: tables and views, their columns, keys, indexes and sizes.

Called by `snapshot.MysqlSource.discover`. One question for the names, then two a database that
something is wanted of. No row is read; counts of rows are the server's own estimates, which may be
off by half. What the account may not see at all, the server's catalogue does not show.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dpp_extractor.batch import FoundColumn, FoundObject
from dpp_extractor.extract.database.mysql.catalogue import KEEPS_KEYS, build_grant, read_shown
from dpp_extractor.extract.database.mysql.connect import Cells, fetch
from dpp_extractor.extract.database.mysql.types import map_type
from dpp_extractor.extract.database.query import Relation
from dpp_extractor.ports import Wanted

_HERE: Final = "SELECT DATABASE(), CURRENT_USER()"

_OBJECTS: Final = """
SELECT table_schema, table_name, table_type, engine, table_rows, data_length + index_length
FROM information_schema.tables
WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
    AND table_type <> 'SEQUENCE'
ORDER BY table_schema, table_name
"""

_COLUMNS: Final = """
SELECT table_name, column_name, data_type, column_type, is_nullable, privileges,
    numeric_precision, numeric_scale, datetime_precision, character_set_name
FROM information_schema.columns
WHERE table_schema = %s
ORDER BY table_name, ordinal_position
"""

_INDEXES: Final = """
SELECT table_name, index_name, column_name, nullable, non_unique, index_type
FROM information_schema.statistics
WHERE table_schema = %s
ORDER BY table_name, index_name, seq_in_index
"""

_PRIMARY: Final = "PRIMARY"
_SORTED: Final = "BTREE"


@dataclass(slots=True)
class Index:
    """An index of a table. `is_key`: unique, and without expressions and NULLs."""

    name: str
    is_sorted: bool
    is_key: bool
    columns: list[str | None] = field(default_factory=list)


def list_objects(connection: Any, is_wanted: Wanted) -> tuple[FoundObject, ...]:
    """List the wanted tables and views of all databases that the account sees, by name."""
    here, login = fetch(connection, _HERE)[0]
    wanted = [
        row
        for row in fetch(connection, _OBJECTS)
        if is_wanted(_name(row, here), f"{row[0]}.{row[1]}")
    ]
    found: list[FoundObject] = []
    for schema in dict.fromkeys(row[0] for row in wanted):
        columns = _by_table(fetch(connection, _COLUMNS, (schema,)))
        indexes = _by_table(fetch(connection, _INDEXES, (schema,)))
        for row in wanted:
            if row[0] == schema:
                grant = _needed_grant(row, columns[row[1]], login or "")
                sorted_out = list_indexes(indexes[row[1]])
                found.append(
                    build_object(row, _name(row, here), columns[row[1]], sorted_out, grant)
                )
    return tuple(found)


def list_indexes(rows: Iterable[Cells]) -> list[Index]:
    """Gather the parts of each index, the primary key first, then by the number of columns."""
    found: dict[str, Index] = {}
    for _, name, column, nullable, non_unique, kind in rows:
        index = found.setdefault(
            name or "", Index(name or "", is_sorted=kind == _SORTED, is_key=non_unique == "0")
        )
        index.is_key = index.is_key and column is not None and nullable != "YES"
        index.columns.append(column)
    return sorted(
        found.values(), key=lambda each: (each.name != _PRIMARY, len(each.columns), each.name)
    )


def build_object(
    row: Cells, name: str, columns: Sequence[Cells], indexes: Sequence[Index], grant: str
) -> FoundObject:
    """Build what is told of one object from the catalogue's rows. Pure."""
    schema, table, kind, engine, rows, size_bytes = row
    # Other engines only pass on what somebody else holds.
    holds_keys = (engine or "").lower() in KEEPS_KEYS
    keys = [each.columns for each in indexes if each.is_key and holds_keys]
    return FoundObject(
        object=name,
        full_name=f"{schema}.{table}",
        kind="view" if kind == "VIEW" else "table",
        columns=tuple(
            FoundColumn(
                name=each[1] or "",
                source_type=each[3] or "",
                arrow_type=map_type(read_shown(each[2:])).arrow_type,
                nullable=each[4] != "NO",
                indexes=tuple(
                    index.name
                    for index in indexes
                    if index.is_sorted and index.columns[0] == each[1]
                ),
            )
            for each in columns
        ),
        key=tuple(part or "" for part in keys[0]) if keys else (),
        rows=int(rows) if rows is not None else None,
        size_bytes=int(size_bytes) if size_bytes is not None else None,
        grant=grant,
    )


def _needed_grant(row: Cells, columns: Sequence[Cells], login: str) -> str:
    may_read = any("select" in (each[5] or "").split(",") for each in columns)
    return "" if may_read else build_grant(Relation(row[0] or "", row[1] or ""), login)


def _by_table(rows: Iterable[Cells]) -> defaultdict[str | None, list[Cells]]:
    grouped: defaultdict[str | None, list[Cells]] = defaultdict(list)
    for row in rows:
        grouped[row[0]].append(row)
    return grouped


def _name(row: Cells, here: str | None) -> str:
    return str(row[1] if row[0] == here else f"{row[0]}.{row[1]}")
