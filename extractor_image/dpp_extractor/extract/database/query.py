"""Say in SQLAlchemy Core what is asked of a table: its rows in a window, and counts about its
cursor.

Called by each engine's reader. Every identifier is quoted by the dialect's compiler, so that any
name works and none can be code; a bound is only ever a parsed number, date or timestamp.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, TableClause, and_, column, func, or_, select, table
from sqlalchemy.sql.elements import quoted_name

from dpp_extractor.batch import SourceTable

_SHOWN_KEYS: Final = 3

Expression = ColumnElement[Any]
Form = Callable[[Expression], Expression]
Where = Callable[[Expression], Sequence[ColumnElement[bool]]]
"""An engine's way to say something of the cursor: `low <= cursor`, `cursor < high`, or that it lies
in the future.
"""


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
    order: Form | None = None,
) -> Select[Any]:
    """Select the table's columns, each in the form its type needs; ordered by (cursor, key) within
    bounds.
    """
    origin = relation.clause([item.name for item in source.columns])
    chosen = [
        forms.get(item.name, _plain)(origin.c[item.name]).label(f"c{place}")
        for place, item in enumerate(source.columns)
    ]
    statement = select(*chosen).select_from(origin)
    if within is not None and source.cursor is not None:
        cursor = _effective(source, origin)
        first = () if order is None else (order(cursor),)
        names = [name for name in source.key if name != source.cursor]
        statement = statement.where(say(source, origin, within)).order_by(
            *first, cursor, *(origin.c[name] for name in names)
        )
    return statement if limit_rows is None else statement.limit(limit_rows)


def build_count(
    relation: Relation, name: str, where: Where, source: SourceTable | None = None
) -> Select[Any]:
    """Count the rows of which `where` is true for the named column; with the cursor's table, also
    for the column that stands in where it is NULL.
    """
    if source is None or source.coalesce is None:
        origin = relation.clause([name])
        return select(func.count()).select_from(origin).where(*where(origin.c[name]))
    origin = relation.clause([name, source.coalesce])
    return select(func.count()).select_from(origin).where(say(source, origin, where))


def build_count_without(
    relation: Relation, source: SourceTable, name: str, unusable: Where
) -> Select[Any]:
    """Count the rows that no window can place: of a cursor that `unusable` is true of, or NULL with
    nothing in its stead.
    """
    if source.coalesce is None:
        return build_count(relation, name, unusable)
    origin = relation.clause([name, source.coalesce])
    cursor, other = origin.c[name], origin.c[source.coalesce]
    where = and_(*unusable(cursor), or_(cursor.is_not(None), *unusable(other)))
    return select(func.count()).select_from(origin).where(where)


def build_max(
    relation: Relation, name: str, where: Where | None = None, source: SourceTable | None = None
) -> Select[Any]:
    """Select the greatest value of a column; with the cursor's table, of what windows compare."""
    if source is None or source.coalesce is None:
        origin = relation.clause([name])
        value: Expression = origin.c[name]
    else:
        origin = relation.clause([name, source.coalesce])
        value = _effective(source, origin)
    statement = select(func.max(value)).select_from(origin)
    return statement if where is None else statement.where(*where(value))


def build_first(relation: Relation, source: SourceTable, name: str, where: Where) -> Select[Any]:
    """Select the key (or the named column, without a key) of the first row of which `where` is
    true.
    """
    named = source.key or (name,)
    others = () if source.coalesce is None else (source.coalesce,)
    origin = relation.clause(list(dict.fromkeys((name, *named, *others))))
    return (
        select(*(origin.c[item].label(f"k{place}") for place, item in enumerate(named)))
        .select_from(origin)
        .where(say(source, origin, where) if others else and_(*where(origin.c[name])))
        .order_by(*(origin.c[item] for item in dict.fromkeys((name, *named))))
        .limit(1)
    )


def build_duplicates(relation: Relation, source: SourceTable, within: Where | None) -> Select[Any]:
    """Select up to three keys that occur more than once in what would be read.

    A row with a NULL in its key has none: it goes to quarantine and hides nothing.
    """
    origin = relation.clause(list_compared(source))
    key = [origin.c[name] for name in source.key]
    statement = select(*(item.label(f"k{place}") for place, item in enumerate(key)))
    if within is not None and source.cursor is not None:
        statement = statement.where(say(source, origin, within))
    return (
        statement.select_from(origin)
        .where(*(item.is_not(None) for item in key))
        .group_by(*key)
        .having(func.count() > 1)
        .order_by(*key)
        .limit(_SHOWN_KEYS)
    )


def list_compared(source: SourceTable) -> list[str]:
    """List the columns that a question about the keys of a window is about."""
    compared = (source.cursor, source.coalesce)
    return list(dict.fromkeys((*source.key, *(name for name in compared if name is not None))))


def or_missing(source: SourceTable, within: Where, missing: Where | None = None) -> Where:
    """Add the rows without a cursor to a window, where the dataset wants them in each."""
    if not source.brings_nulls:
        return within
    absent = missing or is_null
    return lambda cursor: [or_(and_(*within(cursor)), and_(*absent(cursor)))]


def is_null(cursor: Expression) -> list[ColumnElement[bool]]:
    """Say that a value is NULL."""
    return [cursor.is_(None)]


def key_text(source: SourceTable, name: str, values: Sequence[object]) -> str:
    """Write a key for a warning: `id=7, line=2`. Bytes that are no text become the sign for that."""
    named = source.key or (name,)
    text = ", ".join(f"{item}={value}" for item, value in zip(named, values, strict=True))
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def say(source: SourceTable, origin: TableClause, where: Where) -> ColumnElement[bool]:
    """Say it of the cursor, and where that is NULL of the column in its stead.

    Not of COALESCE of the two: no index serves that, one on each of them serves this.
    """
    cursor = origin.c[source.cursor or ""]
    said = and_(*where(cursor))
    if source.coalesce is None:
        return said
    return or_(said, and_(cursor.is_(None), *where(origin.c[source.coalesce])))


def _effective(source: SourceTable, origin: TableClause) -> Expression:
    cursor = origin.c[source.cursor or ""]
    if source.coalesce is None:
        return cursor
    return func.coalesce(cursor, origin.c[source.coalesce])


def _plain(expression: Expression) -> Expression:
    return expression
