"""Find a table or view in a SQLite file: its columns, declared types and unique keys.

Called by `snapshot`. Names are compared as SQLite does, without case, and are then used as the file
spells them.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from dpp_core.errors import SourceObjectError
from dpp_core.handover import Unit
from dpp_extractor.batch import SourceColumn, SourceTable
from dpp_extractor.extract.database.columns import name_nearest, select_table
from dpp_extractor.extract.database.query import Relation
from dpp_extractor.extract.database.sqlite.types import Kind, map_type

_SCHEMA = "main"
_HIDDEN = 1


@dataclass(frozen=True, slots=True)
class Found:
    """An object as found, and what its columns mean."""

    relation: Relation
    table: SourceTable
    kinds: tuple[Kind, ...]


def find_object(connection: sqlite3.Connection, unit: Unit) -> Found:
    """Describe the unit's object. SourceObjectError (31) when missing, SpecError (20) otherwise."""
    name = _find_name(connection, unit)
    columns = list_columns(connection, name)
    table = select_table(unit, columns, list_unique(connection, name, columns))
    kinds = tuple(choose_kind(column) for column in table.columns)
    return Found(Relation(_SCHEMA, name), table, kinds)


def list_columns(connection: sqlite3.Connection, name: str) -> list[SourceColumn]:
    """Describe the columns of a table or view, hidden ones left out."""
    shown = connection.execute(
        'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?, ?) WHERE hidden <> ?',
        (name, _SCHEMA, _HIDDEN),
    ).fetchall()
    rowid = [column for column, declared, _, pk in shown if pk and declared.upper() == "INTEGER"]
    is_alias = len(rowid) == 1 and sum(1 for row in shown if row[3]) == 1
    return [
        SourceColumn(
            name=column,
            source_type=declared,
            arrow_type=map_type(declared).arrow_type,
            nullable=not (required or (is_alias and pk)),
            fidelity=map_type(declared).fidelity,
            # Texts of one column may or may not have a fraction; all have seconds.
            second_digits=0,
            # SQLite keeps any value in any column, but a number in the key that is its row's number.
            may_be_unfit=not (is_alias and pk),
        )
        for column, declared, required, pk in shown
    ]


def list_names(connection: sqlite3.Connection) -> dict[str, str]:
    """Give every table and view of the file, and which of both it is."""
    rows = connection.execute(
        "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE "
        "'sqlite~_%' ESCAPE '~'"
    )
    return {str(name): str(kind) for name, kind in rows}


def choose_kind(column: SourceColumn) -> Kind:
    """Say how a column is read: as declared, or as any value's text when it shall be text."""
    mapped = map_type(column.source_type)
    return mapped.kind if mapped.arrow_type == column.arrow_type else Kind.ANY


def _find_name(connection: sqlite3.Connection, unit: Unit) -> str:
    names = list(list_names(connection))
    wanted = {unit.object.casefold(), unit.object.removeprefix(f"{_SCHEMA}.").casefold()}
    found = [name for name in names if name.casefold() in wanted]
    if not found:
        raise SourceObjectError(
            "The SQLite file has no table or view "
            f"{unit.object!r}.{name_nearest(unit.object, names)}",
            field=f"datasets[{unit.dataset}].object",
            fix=f"It has: {', '.join(sorted(names)[:40]) or 'nothing'}.",
        )
    return unit.object if unit.object in found else found[0]


def list_unique(
    connection: sqlite3.Connection, name: str, columns: Sequence[SourceColumn]
) -> list[list[str]]:
    """List the sets of columns that identify a row, the primary key first."""
    required = {column.name for column in columns if not column.nullable}
    primary = connection.execute(
        "SELECT name FROM pragma_table_xinfo(?, ?) WHERE pk > 0", (name, _SCHEMA)
    ).fetchall()
    keys = [[column for (column,) in primary]]
    indexes = connection.execute(
        'SELECT name FROM pragma_index_list(?, ?) WHERE "unique" AND NOT partial', (name, _SCHEMA)
    ).fetchall()
    for (index,) in indexes:
        parts = connection.execute(
            "SELECT name FROM pragma_index_xinfo(?, ?) WHERE key", (index, _SCHEMA)
        ).fetchall()
        keys.append([column for (column,) in parts])
    # A primary key may hold NULLs in SQLite, and an expression has no name.
    return [key for key in keys if key and set(key) <= required]
