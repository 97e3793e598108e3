"""Divide a long read into pages, so that no statement lives much longer than the source allows.

Called by the readers of database servers when the source has `limits.maxReadSeconds`. Pages lie in the
one snapshot and are half-open ranges `[low, high)` of one or more columns: the cursor of a window, the
unique key of a whole read. Each row lies in one page, whatever its values are: the first page has no
low end, the last no high one, and rows whose cursor is NULL lie in the first. A page's high end is
asked of the server, as text; its size follows from the rate measured so far, reader included.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, column, or_, select, tuple_
from sqlalchemy.sql.elements import quoted_name

from dpp_extractor.batch import RawBatch, SourceColumn, SourceTable, Window
from dpp_extractor.extract.database.query import Expression, Relation, Where

FIRST_PAGE_ROWS: Final = 10_000
_MOST_PAGE_ROWS: Final = 1_000_000_000
_MOST_GROWTH: Final = 8
_SHARE: Final = 0.7
"""Of the seconds allowed, so that a page that goes slower than the ones before it still fits."""

Place = tuple[str, ...]
"""The values of the columns that pages are cut by, as the server's own texts."""


@dataclass(frozen=True, slots=True)
class Tongue:
    """What differs between servers: how a value is asked for as text, and how that text is said again."""

    as_text: Callable[[SourceColumn, Expression], Expression]
    literal: Callable[[SourceColumn, str], Expression]
    can_cut: Callable[[SourceColumn], bool]


@dataclass(frozen=True, slots=True)
class Cut:
    """By which columns a read is divided."""

    relation: Relation
    columns: tuple[SourceColumn, ...]
    within: Where | None
    cursor: str | None
    tongue: Tongue


def choose_columns(
    table: SourceTable, window: Window | None, tongue: Tongue
) -> tuple[SourceColumn, ...]:
    """Choose the columns to divide a read by; () when it has to be one statement.

    A window is divided by its cursor, which need not be unique: rows of one value stay together.
    """
    if window is not None:
        cursor = table.column(window.cursor)
        return (cursor,) if tongue.can_cut(cursor) else ()
    key = tuple(table.column(name) for name in table.key)
    is_cut = table.key_is_unique and all(not each.nullable and tongue.can_cut(each) for each in key)
    return key if is_cut else ()


def build_high(cut: Cut, low: Place | None, skipped_rows: int) -> Select[Any]:
    """Ask for the place that so many rows from `low` on lie before."""
    statement = _build_places(cut).offset(skipped_rows)
    return statement if low is None else statement.where(_compare(cut, low, is_low=True))


def build_next(cut: Cut, low: Place) -> Select[Any]:
    """Ask for the first place after `low`: a page may be no smaller than one value's rows."""
    names = [_name(each) for each in cut.columns]
    said = [cut.tongue.literal(each, text) for each, text in zip(cut.columns, low, strict=True)]
    after = names[0] > said[0] if len(names) == 1 else tuple_(*names) > tuple_(*said)
    return _build_places(cut).where(after)


def build_page(cut: Cut, low: Place | None, high: Place | None) -> list[ColumnElement[bool]]:
    """Say which rows lie in a page."""
    conditions: list[ColumnElement[bool]] = []
    if low is not None:
        conditions.append(_compare(cut, low, is_low=True))
    if high is not None:
        below = _compare(cut, high, is_low=False)
        has_nulls = low is None and any(each.nullable for each in cut.columns)
        nulls = [_name(each).is_(None) for each in cut.columns]
        conditions.append(or_(below, *nulls) if has_nulls else below)
    return conditions


def find_high(
    cut: Cut, low: Place | None, rows: int, ask: Callable[[Select[Any]], Place | None]
) -> Place | None:
    """Find a page's high end; a value that has more rows than a page fills one alone."""
    found = ask(build_high(cut, low, rows))
    if found is not None and found == low:
        found = ask(build_next(cut, low))
    return found


def read_in_pages(
    find_high: Callable[[Place | None, int], Place | None],
    read_page: Callable[[Place | None, Place | None], Iterator[RawBatch]],
    most_seconds: float,
    clock: Callable[[], float],
) -> Iterator[RawBatch]:
    """Read page after page until one has no high end."""
    low: Place | None = None
    page_rows = FIRST_PAGE_ROWS
    while True:
        high = find_high(low, page_rows)
        began, rows = clock(), 0
        for batch in read_page(low, high):
            rows += batch.rows.num_rows + len(batch.rejected)
            yield batch
        if high is None:
            return
        low = high
        page_rows = decide_page_rows(rows, clock() - began, most_seconds, page_rows)


def decide_page_rows(rows: int, seconds: float, most_seconds: float, page_rows: int) -> int:
    """Choose the next page's rows from what the last one took; it grows by no more than eight times."""
    if not rows:
        return page_rows
    fitting = int(rows * most_seconds * _SHARE / max(seconds, 0.001))
    return max(1, min(fitting, page_rows * _MOST_GROWTH, _MOST_PAGE_ROWS))


def _build_places(cut: Cut) -> Select[Any]:
    names = [_name(each) for each in cut.columns]
    texts = [
        cut.tongue.as_text(each, name).label(f"p{place}")
        for place, (each, name) in enumerate(zip(cut.columns, names, strict=True))
    ]
    statement = select(*texts).select_from(cut.relation.clause())
    if cut.within is not None and cut.cursor is not None:
        statement = statement.where(*cut.within(column(quoted_name(cut.cursor, quote=True))))
    nullable = [name for each, name in zip(cut.columns, names, strict=True) if each.nullable]
    return statement.where(*(name.is_not(None) for name in nullable)).order_by(*names).limit(1)


def _compare(cut: Cut, place: Place, *, is_low: bool) -> ColumnElement[bool]:
    """Compare all columns at once; the first one alone, too, which lets every server use an index."""
    names: Sequence[Expression] = [_name(each) for each in cut.columns]
    said = [cut.tongue.literal(each, text) for each, text in zip(cut.columns, place, strict=True)]
    if len(names) == 1:
        return names[0] >= said[0] if is_low else names[0] < said[0]
    first = names[0] >= said[0] if is_low else names[0] <= said[0]
    both = (tuple_(*names), tuple_(*said))
    return and_(first, both[0] >= both[1] if is_low else both[0] < both[1])


def _name(each: SourceColumn) -> Expression:
    return column(quoted_name(each.name, quote=True))
