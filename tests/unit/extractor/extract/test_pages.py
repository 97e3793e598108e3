"""Pages of a long read: every row lies in one of them, and their size follows from the measured rate."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest

from dpp_extractor.batch import RawBatch, SourceColumn, SourceTable, Window
from dpp_extractor.extract.database.mysql import paging as mysql
from dpp_extractor.extract.database.mysql.bounds import compile_statement as in_mysql
from dpp_extractor.extract.database.pages import (
    Cut,
    Place,
    build_high,
    build_next,
    build_page,
    choose_columns,
    decide_page_rows,
    read_in_pages,
)
from dpp_extractor.extract.database.postgresql import paging as postgresql
from dpp_extractor.extract.database.postgresql.snapshot import compile_statement as in_postgresql
from dpp_extractor.extract.database.query import Relation, build_read

ID = SourceColumn("id", "bigint", pa.int64(), nullable=False)
NAME = SourceColumn('na`"me', "varchar(9)", pa.string(), nullable=False)
AT = SourceColumn("at", "timestamp", pa.timestamp("us"))
FLAG = SourceColumn("flag", "bit(1)", pa.binary(), nullable=False)
TABLE = SourceTable("t", (ID, NAME, AT, FLAG), key=("id",), key_is_unique=True)
WINDOW = Window("at", "timestamp", None, "2026-01-01T00:00:00.000000")
T = Relation("s", "t")


@dataclass(slots=True)
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("rows", "seconds", "page_rows", "wanted"),
    [
        pytest.param(10_000, 0.1, 10_000, 80_000, id="fast: it grows by eight at most"),
        pytest.param(10_000, 5.0, 10_000, 14_000, id="steady: it fits the time, less a reserve"),
        pytest.param(10_000, 70.0, 10_000, 1_000, id="slow: it shrinks at once"),
        pytest.param(1, 900.0, 10_000, 1, id="a row that takes longer than all of it is a page"),
        pytest.param(10_000, 0.0, 10_000, 80_000, id="no time at all"),
        pytest.param(0, 5.0, 10_000, 10_000, id="an empty page tells nothing"),
    ],
)
def test_a_page_is_as_large_as_the_measured_rate_allows(
    rows: int, seconds: float, page_rows: int, wanted: int
) -> None:
    assert decide_page_rows(rows, seconds, 10.0, page_rows) == wanted


def test_pages_follow_each_other_without_a_gap_and_none_lives_too_long() -> None:
    clock, rows, seen, lived = Clock(), 1_000_000, [], []

    def find_high(low: Place | None, page_rows: int) -> Place | None:
        start = int(low[0]) if low else 0
        return (str(start + page_rows),) if start + page_rows < rows else None

    def read_page(low: Place | None, high: Place | None) -> Iterator[RawBatch]:
        start, end = int(low[0]) if low else 0, int(high[0]) if high else rows
        began = clock.seconds
        for first in range(start, end, 10_000):
            part = range(first, min(first + 10_000, end))
            clock.seconds += len(part) / 5_000
            yield RawBatch(pa.record_batch({"id": list(part)}))
        lived.append(clock.seconds - began)

    for batch in read_in_pages(find_high, read_page, 10, clock):
        seen += batch.rows["id"].to_pylist()

    assert seen == list(range(rows))
    assert max(lived) <= 10
    assert len(lived) <= rows / 5_000 / 10 * 2


@pytest.mark.parametrize(
    ("table", "window", "names"),
    [
        pytest.param(TABLE, None, ["id"], id="a unique key"),
        pytest.param(TABLE, WINDOW, ["at"], id="a window: its cursor"),
        pytest.param(SourceTable("t", TABLE.columns, key=("id",)), None, [], id="not unique"),
        pytest.param(SourceTable("t", TABLE.columns), None, [], id="no key"),
        pytest.param(
            SourceTable("t", (FLAG,), key=("flag",), key_is_unique=True), None, [], id="no order"
        ),
        pytest.param(
            SourceTable("t", (AT,), key=("at",), key_is_unique=True), None, [], id="may be NULL"
        ),
    ],
)
def test_a_read_is_divided_by_what_has_an_order(
    table: SourceTable, window: Window | None, names: list[str]
) -> None:
    assert [each.name for each in choose_columns(table, window, mysql.TONGUE)] == names


def test_the_statements_name_the_range_in_each_servers_own_words() -> None:
    cut = Cut(T, (ID, NAME), None, None, postgresql.TONGUE)
    page = build_read(T, TABLE, {}, None, None).where(*build_page(cut, ("1", "a'b%"), ("2", "\\c")))

    said = " ".join(in_postgresql(page).split())
    high = " ".join(in_postgresql(build_high(cut, ("1", "x"), 5)).split())

    assert said.endswith(
        """WHERE "id" >= '1' AND ("id", "na`""me") >= ('1', 'a''b%') """
        """AND "id" <= '2' AND ("id", "na`""me") < ('2', '\\c')"""
    )
    assert high.endswith("""ORDER BY "id", "na`""me" LIMIT 1 OFFSET 5""")


def test_mysql_gets_texts_that_cannot_be_code() -> None:
    cut = Cut(T, (NAME,), None, None, mysql.TONGUE)

    said = " ".join(in_mysql(build_next(cut, ("a'\\b",))).split())

    assert "CAST" not in said
    assert 'convert(`na``"me` USING utf8mb4)' in said
    assert "`na``\"me` > _utf8mb4 x'61275c62'" in said


def test_rows_without_a_cursor_lie_in_the_first_page_alone() -> None:
    cut = Cut(T, (AT,), None, "at", postgresql.TONGUE)
    conditions = [
        " ".join(str(each) for each in build_page(cut, low, high))
        for low, high in ((None, ("2026",)), (("2026",), ("2027",)), (("2027",), None))
    ]

    assert [each.count("IS NULL") for each in conditions] == [1, 0, 0]
