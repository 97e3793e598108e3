"""Say in SQLAlchemy Core what is asked of a table: its rows in a window, and counts about its cursor.

Called by each engine's reader. Every identifier is quoted by the dialect's compiler, so that any name works and none
can be code; a bound is only ever a parsed number, date or timestamp.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, TableClause, column, func, select, table
from sqlalchemy.sql.elements import quoted_name

from dpp_extractor.batch import SourceTable

Expression = ColumnElement[Any]
Form = Callable[[Expression], Expression]
Where = Callable[[Expression], Sequence[ColumnElement[bool]]]
"""An engine's way to say something of the cursor: `low <= cursor`, `cursor < high`, or that it lies in the future."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as the catalogue names it."""

    schema: str
    name: str

    def clause(self, columns: Sequence[str] = ()) -> TableClause:
        return table(
            quoted_name(self.name, quote=True),
            *(column(quoted_name(name, quote=True)) for name in columns),
            schema=quoted_name(self.schema, quote=True),
        )


def build_read(
    relation: Relation,
    source: SourceTable,
    forms: Mapping[str, Form],
    within: Where | None,
    limit_rows: int | None,
) -> Select[Any]:
    """Select the table's columns, each in the form its type needs; ordered by (cursor, key) within bounds."""
    origin = relation.clause([item.name for item in source.columns])
    chosen = [
        forms.get(item.name, _plain)(origin.c[item.name]).label(f"c{place}")
        for place, item in enumerate(source.columns)
    ]
    statement = select(*chosen).select_from(origin)
    if within is not None and source.cursor is not None:
        statement = statement.where(*within(origin.c[source.cursor])).order_by(
            *(origin.c[name] for name in dict.fromkeys((source.cursor, *source.key)))
        )
    return statement if limit_rows is None else statement.limit(limit_rows)


def build_count_null(relation: Relation, name: str) -> Select[Any]:
    origin = relation.clause([name])
    return select(func.count()).select_from(origin).where(origin.c[name].is_(None))


def build_max(relation: Relation, name: str) -> Select[Any]:
    origin = relation.clause([name])
    return select(func.max(origin.c[name])).select_from(origin)


def build_future(
    relation: Relation, source: SourceTable, name: str, later: Where
) -> tuple[Select[Any], Select[Any]]:
    """The count of rows that `later` is true for, and the key of the one with the least cursor."""
    named = source.key or (name,)
    origin = relation.clause(list(dict.fromkeys((name, *named))))
    count = select(func.count()).select_from(origin).where(*later(origin.c[name]))
    first = (
        select(*(origin.c[item].label(f"k{place}") for place, item in enumerate(named)))
        .select_from(origin)
        .where(*later(origin.c[name]))
        .order_by(*(origin.c[item] for item in dict.fromkeys((name, *named))))
        .limit(1)
    )
    return count, first


def key_text(source: SourceTable, name: str, values: Sequence[object]) -> str:
    """Write a key for a warning: `id=7, line=2`."""
    named = source.key or (name,)
    return ", ".join(f"{item}={value}" for item, value in zip(named, values, strict=True))


def _plain(expression: Expression) -> Expression:
    return expression
