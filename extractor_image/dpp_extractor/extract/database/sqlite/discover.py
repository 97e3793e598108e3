"""List what a SQLite file holds: tables and views, their columns, keys and indexes.

Called by `snapshot.SqliteSource.discover`. A file keeps no counts of rows, so none are told, unless
ANALYZE was run: then its first index's count is.
"""

import sqlite3
from typing import Final

from dpp_extractor.batch import FoundColumn, FoundObject
from dpp_extractor.extract.database.sqlite.catalogue import list_columns, list_names, list_unique
from dpp_extractor.extract.database.sqlite.types import map_type
from dpp_extractor.ports import Wanted

_SCHEMA: Final = "main"


def list_objects(connection: sqlite3.Connection, is_wanted: Wanted) -> tuple[FoundObject, ...]:
    """List the wanted tables and views of the file by name."""
    counts = _read_counts(connection)
    return tuple(
        _build_object(connection, name, kind, counts.get(name))
        for name, kind in sorted(list_names(connection).items())
        if is_wanted(name, f"{_SCHEMA}.{name}")
    )


def _build_object(
    connection: sqlite3.Connection, name: str, kind: str, rows: int | None
) -> FoundObject:
    columns = list_columns(connection, name)
    indexes = _list_indexes(connection, name)
    keys = list_unique(connection, name, columns)
    return FoundObject(
        object=name,
        full_name=f"{_SCHEMA}.{name}",
        kind="view" if kind == "view" else "table",
        columns=tuple(
            FoundColumn(
                name=each.name,
                source_type=each.source_type,
                arrow_type=map_type(each.source_type).arrow_type,
                nullable=each.nullable,
                indexes=tuple(index for index, column in indexes if column == each.name),
            )
            for each in columns
        ),
        key=tuple(keys[0]) if keys else (),
        rows=rows,
    )


def _list_indexes(connection: sqlite3.Connection, name: str) -> list[tuple[str, str]]:
    """List each index with the column it begins with; the table itself is sorted by its rowid."""
    own = connection.execute(
        "SELECT 'rowid', name FROM pragma_table_xinfo(?) WHERE pk = 1 AND upper(type) = 'INTEGER'"
        " AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(?) WHERE pk > 1)",
        (name, name),
    ).fetchall()
    made = connection.execute(
        "SELECT l.name, i.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i"
        " WHERE i.seqno = 0 AND NOT l.partial AND i.name IS NOT NULL ORDER BY l.name",
        (name,),
    ).fetchall()
    return [*own, *made]


def _read_counts(connection: sqlite3.Connection) -> dict[str, int]:
    has_counts = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'"
    ).fetchone()[0]
    if not has_counts:
        return {}
    rows = connection.execute("SELECT tbl, stat FROM sqlite_stat1").fetchall()
    return {str(table): int(str(stat).split()[0]) for table, stat in rows if stat}
