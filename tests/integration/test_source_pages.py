"""Long reads of real servers in pages: the same rows, from one snapshot, in statements that stay short."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dpp_core.errors import DppError
from dpp_core.handover import Incremental, Unit
from dpp_extractor.batch import Window
from dpp_extractor.extract.database import pages
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.guard.pace import Pace
from places import open_server
from servers.mariadb import Schema
from servers.postgres import Database

PAGED = Limits(connect_seconds=3, read_seconds=5, block_bytes=20_000)
WHOLE = replace(PAGED, read_seconds=None)


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh database of one of the servers."""

    engine: str
    database: Database | Schema

    @property
    def execute(self) -> Any:
        return self.database.execute

    @property
    def series(self) -> str:
        is_postgres = self.engine == "postgresql"
        return "generate_series(1, 5000) s(seq)" if is_postgres else "seq_1_to_5000"

    def after(self, moment: str, number: str, unit: str) -> str:
        if self.engine == "postgresql":
            return f"{moment} + ({number}) * interval '1' {unit}"
        return f"{moment} + INTERVAL ({number}) {unit}"

    def open(self, limits: Limits) -> Any:
        return open_server(self.engine, self.database, limits, run_id="run")


@pytest.fixture(params=["postgresql", "mariadb"])
def place(request: pytest.FixtureRequest) -> Place:
    """Give a fresh database of each server in turn."""
    fixture = "database" if request.param == "postgresql" else "schema"
    return Place(request.param, request.getfixturevalue(fixture))


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages begin with 300 rows and stay near that, so that a small table has many."""
    monkeypatch.setattr(pages, "FIRST_PAGE_ROWS", 300)
    monkeypatch.setattr(pages, "_MOST_GROWTH", 2)


@dataclass(slots=True)
class Seen:
    """What a read gave, and what it cost."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    statements: int = 0
    notes: tuple[str, ...] = ()


def read(place: Place, unit: Unit, window: Window | None = None, limits: Limits = PAGED) -> Seen:
    seen = Seen()
    with place.open(limits) as source, source.snapshot() as view:
        table = view.describe(unit)
        view.take_load()
        for batch in view.read(table, window, None):
            seen.rows += batch.rows.to_pylist()
        load = view.take_load()
    seen.statements, seen.notes = load.statements, load.notes
    return seen


def ordered(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(map(repr, rows))


KEYS = {
    "number": ("id bigint NOT NULL, PRIMARY KEY (id)", "CAST(seq AS decimal(9)) - 2500", ("id",)),
    "composite": (
        "k smallint NOT NULL, id varchar(20) NOT NULL, PRIMARY KEY (k, id)",
        "seq % 7, CONCAT('it''s \\ 100% ', seq)",
        ("k", "id"),
    ),
    "text": (
        "id varchar(40) NOT NULL, PRIMARY KEY (id)",
        "CONCAT('Ł😀''\"', seq)",
        ("id",),
    ),
    "decimal": ("id numeric(20,4) NOT NULL, PRIMARY KEY (id)", "seq / 8.0", ("id",)),
    "date": (
        "id date NOT NULL, PRIMARY KEY (id)",
        "{day}",
        ("id",),
    ),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_whole_read_in_pages_gives_the_rows_of_one_statement(place: Place, kind: str) -> None:
    columns, values, key = KEYS[kind]
    place.execute(f"CREATE TABLE t ({columns})")
    values = values.replace("{day}", place.after("date '2020-01-01'", "seq", "day"))
    insert = f"INSERT INTO t SELECT {values} FROM {place.series}"
    if place.engine == "mariadb":
        values = values.replace("\\ ", "\\\\ ")
        insert = f"INSERT INTO t SELECT {values} FROM {place.series}"
    place.execute(insert)
    unit = Unit(dataset="t", object="t", key=key)

    whole, paged = read(place, unit, limits=WHOLE), read(place, unit)

    assert len(paged.rows) == 5000
    assert ordered(paged.rows) == ordered(whole.rows)
    assert whole.statements == 1
    assert paged.statements >= 10


def test_a_window_in_pages_gives_the_rows_of_one_statement_in_the_same_order(place: Place) -> None:
    at = "timestamp(3)" if place.engine == "postgresql" else "datetime(3)"
    place.execute(f"CREATE TABLE t (id bigint NOT NULL, at {at} NULL)")
    # 2,000 rows of one instant, more than a page; and rows without any, which no window brings.
    seconds = "CASE WHEN seq BETWEEN 1000 AND 2999 THEN 1000 WHEN seq <= 4900 THEN seq END"
    moment = place.after("timestamp '2026-01-01 00:00:00'", seconds, "second")
    place.execute(f"INSERT INTO t SELECT seq, {moment} FROM {place.series}")
    unit = Unit(
        dataset="t", object="t", key=("id",), write="Append", incremental=Incremental(cursor="at")
    )
    window = Window("at", "timestamp", "2026-01-01T00:00:03.000000", "2026-01-02T00:00:00.000000")

    whole, paged = read(place, unit, window, WHOLE), read(place, unit, window)

    assert len(paged.rows) == 4898
    assert paged.rows == whole.rows
    assert paged.statements >= 8


def test_a_table_without_a_unique_key_is_read_whole_and_said_so_when_it_takes_long(
    place: Place,
) -> None:
    place.execute("CREATE TABLE t (id bigint NOT NULL)")
    place.execute(f"INSERT INTO t SELECT seq FROM {place.series}")
    ticks = iter(range(0, 10_000_000, 3))
    limits = replace(PAGED, clock=lambda: float(next(ticks)))

    seen = read(place, Unit(dataset="t", object="t"), limits=limits)

    assert (len(seen.rows), seen.statements) == (5000, 1)
    assert "t was read in one statement" in seen.notes[0]
    assert "unique" in seen.notes[0]


def test_all_pages_lie_in_one_snapshot(place: Place) -> None:
    place.execute("CREATE TABLE t (id bigint NOT NULL PRIMARY KEY, v int NOT NULL)")
    place.execute(f"INSERT INTO t SELECT seq, 1 FROM {place.series}")
    rows: list[dict[str, Any]] = []

    with place.open(PAGED) as source, source.snapshot() as view:
        table = view.describe(Unit(dataset="t", object="t", key=("id",)))
        batches: Iterator[Any] = view.read(table, None, None)
        rows += next(batches).rows.to_pylist()
        place.execute("UPDATE t SET v = 2")
        place.execute("DELETE FROM t WHERE id > 4000")
        place.execute("INSERT INTO t VALUES (9999, 3)")
        for batch in batches:
            rows += batch.rows.to_pylist()

    assert rows == [{"id": number, "v": 1} for number in range(1, 5001)]


def test_a_read_in_pages_that_is_given_up_leaves_the_view_to_others(place: Place) -> None:
    place.execute("CREATE TABLE t (id bigint NOT NULL PRIMARY KEY)")
    place.execute(f"INSERT INTO t SELECT seq FROM {place.series}")
    unit = Unit(dataset="t", object="t", key=("id",))

    with place.open(PAGED) as source, source.snapshot() as view:
        table = view.describe(unit)
        given_up = view.read(table, None, None)
        next(given_up)
        given_up.close()
        again = sum(batch.rows.num_rows for batch in view.read(table, None, None))

    assert again == 5000


def test_rows_come_no_faster_than_the_source_allows(place: Place) -> None:
    place.execute("CREATE TABLE t (id bigint NOT NULL PRIMARY KEY)")
    place.execute(f"INSERT INTO t SELECT seq FROM {place.series}")
    waits: list[float] = []
    limits = replace(WHOLE, pace=Pace(500, lambda: 0.0, waits.append), block_bytes=2_000)

    seen = read(place, Unit(dataset="t", object="t", key=("id",)), limits=limits)

    assert len(seen.rows) == 5000
    # The clock stands still, so that each wait is for all of the debt so far.
    assert max(waits) == pytest.approx((5000 - 500) / 500)
    assert waits == sorted(waits)


LARGE = {
    "postgresql": "CREATE TABLE t (id int PRIMARY KEY, note text, body bytea);"
    "INSERT INTO t VALUES (1, 'a,\"b', NULL), (7, repeat('\"', 3000000), '\\x00'::bytea)",
    "mariadb": "CREATE TABLE t (id int PRIMARY KEY, note LONGTEXT, body BLOB);"
    "INSERT INTO t VALUES (1, 'a', NULL), (7, REPEAT('\"', 3000000), x'00')",
}


def test_a_value_that_is_too_large_is_named_with_its_row_and_what_to_do(place: Place) -> None:
    place.execute(LARGE[place.engine])
    limits = replace(WHOLE, field_bytes=2_000_000)
    unit = Unit(dataset="t", object="t", key=("id",))

    with pytest.raises(DppError) as refused:
        read(place, unit, limits=limits)

    error = refused.value
    assert (error.exit_code, error.is_temporary) == (31, False)
    assert "'note' of 't'" in str(error)
    assert "id=7" in str(error)
    assert "columns.exclude" in error.fix
    without = unit.model_copy(update={"exclude": ("note",)})
    assert [row["id"] for row in read(place, without, limits=limits).rows] == [1, 7]
