"""What every source promises (`ports.Source`, `ports.Snapshot`), held against each of them."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from dpp_core.errors import SourceObjectError, SpecError
from dpp_core.handover import DatabaseSource, Incremental, Unit
from dpp_extractor.batch import Window
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.window import decide_window
from dpp_extractor.ports import Snapshot, Source
from fake_source import ORDERS, FakeSource, FakeTable, column
from servers.mariadb import MariaDb, Schema
from servers.postgres import Database, Postgres

Row = dict[str, Any]

DAY = datetime(2026, 1, 2, tzinfo=UTC)
UNIT = Unit(
    dataset="orders",
    object="orders",
    key=("id",),
    incremental=Incremental(cursor="updated_at"),
    write="Append",
)
BY_NUMBER = UNIT.model_copy(update={"incremental": Incremental(cursor="id")})
COLUMNS = "id BIGINT {key}, item TEXT, updated_at {instant}"


def _second(number: int) -> datetime:
    return DAY + timedelta(seconds=number)


def _row(number: int, at: int | None = 0, item: str | None = "pen") -> Row:
    return {"id": number, "item": item, "updated_at": None if at is None else _second(at)}


@dataclass(frozen=True, slots=True)
class Shop:
    """One source with a table `orders`; `loose` has the same columns and no key."""

    put: Callable[..., None]
    open: Callable[[], AbstractContextManager[Source]]
    late: Callable[[str, Row], AbstractContextManager[None]]
    """A transaction that writes a row stamped now, and commits when the block ends."""


def _fake() -> Shop:
    source = FakeSource(
        tables={
            "orders": FakeTable(),
            "loose": FakeTable(
                columns=(column("id", pa.int64()), *ORDERS[1:]),
                unique=(),
            ),
        },
        clock=datetime.now(UTC),
    )

    @contextmanager
    def late(table: str, row: Row) -> Iterator[None]:
        transaction = source.begin()
        transaction.put(table, row | {"updated_at": transaction.started_at})
        source.tick(5)
        yield
        transaction.commit()

    return Shop(put=source.put, open=source.open, late=late)


def _sqlite(folder: Path) -> Shop:
    path = folder / "shop.sqlite"
    with closing(sqlite3.connect(path)) as shop:
        shop.execute("PRAGMA journal_mode = wal")  # else a writer waits for our reader
        shop.execute(
            f"CREATE TABLE orders ({COLUMNS.format(key='PRIMARY KEY NOT NULL', instant='TIMESTAMPTZ')})"
        )
        shop.execute(f"CREATE TABLE loose ({COLUMNS.format(key='', instant='TIMESTAMPTZ')})")

    def insert(shop: sqlite3.Connection, table: str, row: Row) -> None:
        at = row["updated_at"]
        shop.execute(
            f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",
            (row["id"], row["item"], at and at.isoformat()),
        )

    def put(table: str, *rows: Row) -> None:
        with closing(sqlite3.connect(path)) as shop:
            for row in rows:
                insert(shop, table, row)
            shop.commit()

    @contextmanager
    def late(table: str, row: Row) -> Iterator[None]:
        with closing(sqlite3.connect(path, isolation_level=None)) as shop:
            shop.execute("BEGIN IMMEDIATE")
            insert(shop, table, row | {"updated_at": datetime.now(UTC)})
            yield
            shop.execute("COMMIT")

    source = DatabaseSource(engine="sqlite", database=str(path))
    return Shop(put=put, open=lambda: open_database(source, {}, run_id="r"), late=late)


def _postgresql(owner: Database, reader: Database) -> Shop:
    owner.execute(
        f"CREATE TABLE orders ({COLUMNS.format(key='PRIMARY KEY', instant='timestamptz')})"
    )
    owner.execute(f"CREATE TABLE loose ({COLUMNS.format(key='', instant='timestamptz')})")

    def insert(shop: psycopg.Connection[Any], table: str, row: Row, at: str = "%s") -> None:
        values: list[Any] = [row["id"], row["item"]]
        if at == "%s":
            values.append(row["updated_at"])
        over = (
            " ON CONFLICT (id) DO UPDATE SET item = excluded.item, updated_at = excluded.updated_at"
        )
        statement = f"INSERT INTO {table} VALUES (%s, %s, {at}){over if table == 'orders' else ''}"
        shop.execute(statement.encode(), values)

    def put(table: str, *rows: Row) -> None:
        with psycopg.connect(owner.dsn) as shop:
            for row in rows:
                insert(shop, table, row)

    @contextmanager
    def late(table: str, row: Row) -> Iterator[None]:
        with psycopg.connect(owner.dsn) as shop:
            insert(shop, table, row, at="now()")
            yield

    source = DatabaseSource(
        engine="postgresql",
        host=reader.host,
        port=reader.port,
        database=reader.name,
        tls="Disable",
    )
    secret = {"username": reader.user, "password": reader.password}
    return Shop(put=put, open=lambda: open_database(source, secret, run_id="r"), late=late)


def _mariadb(owner: Schema, reader: Schema) -> Shop:
    instant = "TIMESTAMP(6) NULL"
    owner.execute(f"CREATE TABLE orders ({COLUMNS.format(key='PRIMARY KEY', instant=instant)})")
    owner.execute(f"CREATE TABLE loose ({COLUMNS.format(key='', instant=instant)})")

    def insert(shop: Any, table: str, row: Row, at: str = "%s") -> None:
        values: list[Any] = [row["id"], row["item"]]
        if at == "%s":
            stamp = row["updated_at"]
            values.append(stamp and stamp.astimezone(UTC).replace(tzinfo=None))
        shop.cursor().execute(f"REPLACE INTO {table} VALUES (%s, %s, {at})", values)

    def connect(**options: Any) -> Any:
        return owner.connect(init_command="SET time_zone = '+00:00'", **options)

    def put(table: str, *rows: Row) -> None:
        with connect() as shop:
            for row in rows:
                insert(shop, table, row)

    @contextmanager
    def late(table: str, row: Row) -> Iterator[None]:
        with connect(autocommit=False) as shop:
            insert(shop, table, row, at="NOW(6)")
            yield
            shop.commit()

    source = DatabaseSource(
        engine="mariadb", host=reader.host, port=reader.port, database=reader.name, tls="Disable"
    )
    secret = {"username": reader.user, "password": reader.password}
    return Shop(put=put, open=lambda: open_database(source, secret, run_id="r"), late=late)


@pytest.fixture(params=["fake", "sqlite", "postgresql", "mariadb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """Give a shop in each source."""
    if request.param == "fake":
        return _fake()
    if request.param == "sqlite":
        return _sqlite(tmp_path)
    if request.param == "mariadb":
        maria: MariaDb = request.getfixturevalue("mariadb")
        schema: Schema = request.getfixturevalue("schema")
        return _mariadb(schema, maria.create_reader(schema, can_monitor=True))
    server: Postgres = request.getfixturevalue("postgres")
    owner: Database = request.getfixturevalue("database")
    return _postgresql(owner, server.create_reader(owner, can_monitor=True))


@contextmanager
def _view(shop: Shop) -> Iterator[Snapshot]:
    with shop.open() as source, source.snapshot() as view:
        yield view


def _window(low: int | None, high: int) -> Window:
    bounds = [
        None if at is None else _second(at).isoformat(timespec="microseconds") for at in (low, high)
    ]
    return Window("updated_at", "timestamp", bounds[0], str(bounds[1]))


def _read(view: Snapshot, unit: Unit, window: Window | None, limit: int | None = None) -> list[Row]:
    table = view.describe(unit)
    return [row for batch in view.read(table, window, limit) for row in batch.rows.to_pylist()]


def _ids(rows: list[Row]) -> list[int]:
    return [row["id"] for row in rows]


def _loose(**changes: Any) -> Unit:
    return UNIT.model_copy(update={"dataset": "loose", "object": "loose", **changes})


def test_a_source_says_what_it_is(shop: Shop) -> None:
    with shop.open() as source:
        assert source.ping()


def test_an_object_is_described_in_its_own_order_with_key_and_cursor(shop: Shop) -> None:
    with _view(shop) as view:
        table = view.describe(UNIT)

    assert [each.name for each in table.columns] == ["id", "item", "updated_at"]
    assert [each.arrow_type for each in table.columns] == [
        pa.int64(),
        pa.string(),
        pa.timestamp("us", "UTC"),
    ]
    assert (table.key, table.cursor, table.key_is_unique) == (("id",), "updated_at", True)
    assert [each.nullable for each in table.columns] == [False, True, True]


def test_the_catalogue_shows_what_is_wanted_with_its_key(shop: Shop) -> None:
    shop.put("orders", _row(1))
    asked: list[tuple[str, str]] = []

    def is_wanted(name: str, full_name: str) -> bool:
        asked.append((name, full_name))
        return True

    with shop.open() as source:
        found = {each.object: each for each in source.discover(is_wanted)}
        none = source.discover(lambda name, full_name: False)

    assert set(found) == {"orders", "loose"}
    assert all(full_name.endswith(f".{name}") for name, full_name in asked)
    assert (found["orders"].key, found["loose"].key) == (("id",), ())
    assert [each.name for each in found["orders"].columns] == ["id", "item", "updated_at"]
    assert (found["orders"].kind, found["orders"].grant, none) == ("table", "", ())


def test_rows_are_estimated_without_and_within_a_window(shop: Shop) -> None:
    shop.put("orders", *(_row(number, at=number) for number in range(5)))
    with _view(shop) as view:
        table = view.describe(UNIT)
        estimates = [view.estimate_rows(table, window) for window in (None, _window(1, 3))]

    assert all(estimate is not None and estimate >= 0 for estimate in estimates)


def test_a_key_that_nobody_enforces_is_not_taken_for_unique(shop: Shop) -> None:
    with _view(shop) as view:
        assert not view.describe(_loose()).key_is_unique


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"include": ("updated_at", "id")}, ["id", "updated_at"]),
        ({"exclude": ("item",)}, ["id", "updated_at"]),
        ({"include": ("id", "item", "updated_at"), "exclude": ("item",)}, ["id", "updated_at"]),
    ],
    ids=["include", "exclude", "both"],
)
def test_only_the_chosen_columns_are_described_and_read(
    shop: Shop, choice: dict[str, tuple[str, ...]], expected: list[str]
) -> None:
    shop.put("orders", _row(1))
    unit = UNIT.model_copy(update=choice)

    with _view(shop) as view:
        assert [each.name for each in view.describe(unit).columns] == expected
        assert [list(row) for row in _read(view, unit, None)] == [expected]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"object": "ordres"}, "ordres"),
        ({"key": ("idd",)}, "idd"),
        ({"exclude": ("colour",)}, "colour"),
        ({"incremental": Incremental(cursor="changed_at")}, "changed_at"),
    ],
    ids=["object", "key", "column", "cursor"],
)
def test_what_is_not_there_is_refused_with_31_and_named(
    shop: Shop, changes: dict[str, Any], named: str
) -> None:
    with _view(shop) as view, pytest.raises(SourceObjectError, match=named) as refused:
        view.describe(UNIT.model_copy(update=changes))
    assert refused.value.exit_code == 31


def test_a_refused_object_leaves_the_view_to_the_others(shop: Shop) -> None:
    shop.put("orders", _row(1))
    with _view(shop) as view:
        with pytest.raises(SourceObjectError):
            view.describe(UNIT.model_copy(update={"object": "nothing"}))

        assert _ids(_read(view, UNIT, None)) == [1]


def test_a_cursor_of_text_is_refused_with_20(shop: Shop) -> None:
    with _view(shop) as view, pytest.raises(SpecError, match="item"):
        view.describe(UNIT.model_copy(update={"incremental": Incremental(cursor="item")}))


def test_without_a_window_every_row_comes_once_and_as_it_is(shop: Shop) -> None:
    rows = [_row(3, 9), _row(1, None, None), _row(2, 4, "Tür")]
    shop.put("orders", *rows)

    with _view(shop) as view:
        found = _read(view, UNIT, None)

    assert sorted(found, key=lambda row: row["id"]) == sorted(rows, key=lambda row: row["id"])


def test_of_a_described_table_fewer_columns_can_be_read_alone(shop: Shop) -> None:
    shop.put("orders", _row(1), _row(2, 1, None))

    with _view(shop) as view:
        table = view.describe(UNIT)
        keys = replace(table, columns=(table.columns[0], table.columns[2]), cursor=None)
        rows = [row for batch in view.read(keys, None, None) for row in batch.rows.to_pylist()]
        whole = _read(view, UNIT, None)

    assert sorted(rows, key=lambda row: row["id"]) == [
        {"id": 1, "updated_at": _second(0)},
        {"id": 2, "updated_at": _second(1)},
    ]
    assert len(whole) == 2


def test_an_empty_table_gives_no_row(shop: Shop) -> None:
    with _view(shop) as view:
        assert _read(view, UNIT, None) == []
        assert _read(view, UNIT, _window(None, 10)) == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, 3, [1, 2]),
        (1, 3, [1, 2]),
        (2, 3, [2]),
        (2, 4, [2, 3]),
        (3, 4, [3]),
        (4, 99, []),
        (None, 1, []),
    ],
)
def test_a_window_holds_its_low_and_not_its_high(
    shop: Shop, low: int | None, high: int, expected: list[int]
) -> None:
    shop.put("orders", _row(1, 1), _row(2, 2), _row(3, 3))

    with _view(shop) as view:
        assert _ids(_read(view, UNIT, _window(low, high))) == expected


def test_windows_that_meet_bring_every_row_once(shop: Shop) -> None:
    shop.put("orders", *(_row(number, number % 7) for number in range(1, 40)))

    with _view(shop) as view:
        parts = [_read(view, UNIT, _window(at, at + 1)) for at in range(7)]

    assert sorted(_ids([row for part in parts for row in part])) == list(range(1, 40))


def test_within_a_window_rows_come_by_cursor_and_then_by_key(shop: Shop) -> None:
    shop.put("orders", _row(5, 1), _row(1, 2), _row(3, 1), _row(4, 0), _row(2, 2))

    with _view(shop) as view:
        assert _ids(_read(view, UNIT, _window(None, 10))) == [4, 3, 5, 1, 2]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_limit_is_kept_to_the_row(shop: Shop, limit: int) -> None:
    shop.put("orders", *(_row(number, number) for number in range(5)))

    with _view(shop) as view:
        assert len(_read(view, UNIT, None, limit)) == min(limit, 5)
        assert _ids(_read(view, UNIT, _window(None, 9), limit)) == list(range(min(limit, 5)))


def test_rows_without_a_cursor_are_counted_and_in_no_window(shop: Shop) -> None:
    shop.put("orders", _row(1, None), _row(2, 1), _row(3, None))

    with _view(shop) as view:
        assert view.count_null_cursor(view.describe(UNIT), "updated_at") == 2
        assert _ids(_read(view, UNIT, _window(None, 99))) == [2]


def test_a_cursor_that_cannot_be_null_has_none(shop: Shop) -> None:
    shop.put("orders", _row(1))

    with _view(shop) as view:
        assert view.count_null_cursor(view.describe(BY_NUMBER), "id") == 0


def test_the_greatest_cursor_of_an_empty_table_is_none(shop: Shop) -> None:
    with _view(shop) as view:
        assert view.max_cursor(view.describe(BY_NUMBER), "id") is None


def test_the_greatest_cursor_and_a_window_of_integers(shop: Shop) -> None:
    shop.put("orders", _row(7), _row(-3), _row(2**40))

    with _view(shop) as view:
        assert view.max_cursor(view.describe(BY_NUMBER), "id") == 2**40
        assert _ids(_read(view, BY_NUMBER, Window("id", "integer", "-3", "8"))) == [-3, 7]


def test_an_enforced_key_is_not_searched_for_duplicates(shop: Shop) -> None:
    shop.put("orders", _row(1), _row(1))

    with _view(shop) as view:
        assert view.duplicate_keys(view.describe(UNIT), None) == ()


def test_up_to_three_keys_that_occur_twice_are_named(shop: Shop) -> None:
    shop.put("loose", *(_row(number) for number in (1, 2, 3, 4, 5, 1, 3, 4, 5)))

    with _view(shop) as view:
        assert view.duplicate_keys(view.describe(_loose()), None) == ("id=1", "id=3", "id=4")


def test_only_keys_that_occur_twice_in_the_window_count(shop: Shop) -> None:
    shop.put("loose", _row(1, 1), _row(1, 5), _row(2, 5), _row(2, 6))

    with _view(shop) as view:
        table = view.describe(_loose())
        assert view.duplicate_keys(table, _window(5, 9)) == ("id=2",)
        assert view.duplicate_keys(table, _window(1, 5)) == ()


def test_rows_without_a_key_are_no_duplicates_of_each_other(shop: Shop) -> None:
    shop.put("loose", _row(1) | {"id": None}, _row(2) | {"id": None}, _row(3))

    with _view(shop) as view:
        assert view.duplicate_keys(view.describe(_loose()), None) == ()
        assert len(_read(view, _loose(), None)) == 3


def test_rows_of_the_future_are_counted_and_the_first_is_named(shop: Shop) -> None:
    now = datetime.now(UTC)
    for number, days in ((1, 0.5), (2, 3), (3, 2), (4, -1)):
        shop.put("orders", _row(number) | {"updated_at": now + timedelta(days=days)})

    with _view(shop) as view:
        assert view.count_future(view.describe(UNIT), "updated_at") == (2, "id=3")
        assert view.count_future(view.describe(BY_NUMBER), "id") == (0, "")


def test_what_is_written_after_the_snapshot_is_seen_by_the_next_one_only(shop: Shop) -> None:
    shop.put("orders", _row(1, None), _row(2, 2))
    with shop.open() as source:
        with source.snapshot() as view:
            shop.put("orders", _row(3, 3), _row(2, 9, "changed"), _row(4, None))

            assert _ids(_read(view, UNIT, _window(None, 99))) == [2]
            assert [row["item"] for row in _read(view, UNIT, None)] == ["pen", "pen"]
            assert view.count_null_cursor(view.describe(UNIT), "updated_at") == 1
            assert view.max_cursor(view.describe(BY_NUMBER), "id") == 2

        with source.snapshot() as later:
            assert _ids(_read(later, UNIT, _window(None, 99))) == [3, 2]
            assert later.max_cursor(later.describe(BY_NUMBER), "id") == 4


def test_all_units_read_the_same_view(shop: Shop) -> None:
    with _view(shop) as view:
        assert _read(view, UNIT, None) == []
        shop.put("orders", _row(1))
        shop.put("loose", _row(1))

        assert _read(view, _loose(), None) == []
        assert _read(view, UNIT, None) == []


def test_the_clock_is_read_before_the_view_opens(shop: Shop) -> None:
    with _view(shop) as view:
        assert view.clocks.clock_at <= view.snapshot_at
        assert view.clocks.clock_at.tzinfo is not None
        assert view.snapshot_id


def test_a_row_that_commits_late_lies_at_or_after_the_high_of_the_run_before(shop: Shop) -> None:
    shop.put("orders", _row(1, 1))
    incremental = Incremental(cursor="updated_at")

    with shop.late("orders", _row(2)), _view(shop) as view:
        table = view.describe(UNIT)
        window = decide_window(incremental, table.column("updated_at"), None, view.clocks)
        assert window is not None
        assert _ids(_read(view, UNIT, window)) == [1]

    with _view(shop) as view:
        missed = Window("updated_at", "timestamp", window.high, "2999-01-01T00:00:00.000000+00:00")
        assert _ids(_read(view, UNIT, missed)) == [2]


def test_a_source_without_open_writers_holds_no_window_back(shop: Shop) -> None:
    with _view(shop) as view:
        column = view.describe(UNIT).column("updated_at")
        window = decide_window(Incremental(cursor="updated_at"), column, None, view.clocks)

        assert window is not None
        high = datetime.fromisoformat(window.high)
        assert timedelta() <= view.clocks.clock_at - high <= timedelta(seconds=3)
