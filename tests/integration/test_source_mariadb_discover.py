"""What a real MariaDB's catalogue shows, what its optimiser guesses, and that a grant that is told
gives what is missing.
"""

from datetime import UTC, datetime, timedelta

import pytest

from dpp_core.handover import Incremental, Unit
from dpp_core.names import Reason
from dpp_extractor.batch import FoundObject, Window
from dpp_extractor.ports import Source
from mariadb_views import source_of, view_of
from servers.mariadb import MariaDb, Schema

TABLES = """
SET time_zone = '+00:00';
CREATE TABLE orders (
    id INT PRIMARY KEY, number VARCHAR(9) NOT NULL UNIQUE, updated_at TIMESTAMP(6) NOT NULL,
    KEY by_update (updated_at), FULLTEXT KEY words (number)
);
INSERT INTO orders SELECT seq, seq, '2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_1000;
CREATE TABLE `order.lines` (
    order_id INT, line INT, modified DATETIME, PRIMARY KEY (order_id, line), UNIQUE (modified)
);
CREATE TABLE notes (body VARCHAR(20), at INT, KEY (at) USING HASH) ENGINE = MEMORY;
CREATE TABLE parted (id INT, day DATE NOT NULL, PRIMARY KEY (id, day))
    PARTITION BY RANGE COLUMNS (day) (PARTITION p VALUES LESS THAN MAXVALUE);
CREATE SEQUENCE numbers;
CREATE VIEW open_orders AS SELECT * FROM orders;
ANALYZE TABLE orders
"""
ORDERS = Unit(
    dataset="orders", object="orders", key=("id",), incremental=Incremental(cursor="updated_at")
)


@pytest.fixture
def shop(schema: Schema) -> Schema:
    schema.execute(TABLES)
    return schema


def list_all(source: Source) -> dict[str, FoundObject]:
    return {each.object: each for each in source.discover(lambda name, full_name: True)}


def test_tables_and_views_come_with_key_size_and_the_indexes_that_serve(shop: Schema) -> None:
    with source_of(shop) as source:
        found = list_all(source)

    assert list(found) == ["notes", "open_orders", "order.lines", "orders", "parted"]
    orders = found["orders"]
    assert (orders.full_name, orders.kind, orders.key) == (f"{shop.name}.orders", "table", ("id",))
    assert orders.rows == pytest.approx(1000, rel=0.2)
    assert orders.size_bytes is not None
    assert orders.size_bytes >= 16_384
    assert {each.name: each.indexes for each in orders.columns} == {
        "id": ("PRIMARY",),
        "number": ("number",),
        "updated_at": ("by_update",),
    }
    assert found["order.lines"].key == ("order_id", "line")
    assert found["parted"].key == ("id", "day")
    assert (found["open_orders"].kind, found["open_orders"].key) == ("view", ())
    assert (found["notes"].key, found["notes"].columns[1].indexes) == ((), ())
    assert {each.grant for each in found.values()} == {""}


def test_only_what_is_wanted_is_told_also_of_other_databases(
    mariadb: MariaDb, shop: Schema
) -> None:
    other = mariadb.create_schema()
    other.execute("CREATE TABLE prices (id INT PRIMARY KEY)")
    mariadb.admin().execute(f"GRANT SELECT ON `{other.name}`.* TO '{shop.user}'")
    try:
        with source_of(shop) as source:
            found = source.discover(lambda _, full_name: full_name.startswith(f"{other.name}."))
    finally:
        mariadb.drop_schema(other)

    assert [(each.object, each.key) for each in found] == [(f"{other.name}.prices", ("id",))]


def test_a_table_that_may_be_written_but_not_read_comes_with_its_grant(
    mariadb: MariaDb, shop: Schema
) -> None:
    reader = mariadb.create_reader(shop, reads_all=False)
    admin = mariadb.admin()
    admin.execute(f"GRANT INSERT ON `{shop.name}`.`order.lines` TO '{reader.user}'")
    with source_of(reader) as source:
        before = list_all(source)
        admin.execute(before["order.lines"].grant)
        after = list_all(source)

    assert set(before) == {"order.lines"}
    assert (
        before["order.lines"].grant
        == f"GRANT SELECT ON `{shop.name}`.`order.lines` TO '{reader.user}'@'%';"
    )
    assert after["order.lines"].grant == ""


def test_rows_are_guessed_without_and_within_a_window(shop: Schema) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    low, high = (
        (start + timedelta(seconds=at)).isoformat(timespec="microseconds") for at in (11, 61)
    )
    with view_of(shop) as view:
        table = view.describe(ORDERS)
        whole = view.estimate_rows(table, None)
        part = view.estimate_rows(table, Window("updated_at", "timestamp", low, high))

    assert whole == pytest.approx(1000, rel=0.2)
    assert part == pytest.approx(50, rel=0.2)


def test_of_a_view_whose_tables_are_hidden_nothing_is_guessed_and_all_is_read(
    mariadb: MariaDb, shop: Schema
) -> None:
    reader = mariadb.create_reader(shop, reads_all=False)
    mariadb.admin().execute(f"GRANT SELECT ON `{shop.name}`.open_orders TO '{reader.user}'")
    with view_of(reader) as view:
        table = view.describe(Unit(dataset="v", object="open_orders"))
        guess = view.estimate_rows(table, None)
        read = sum(batch.rows.num_rows for batch in view.read(table, None, None))

    assert (guess, read) == (None, 1000)


def test_a_missing_horizon_comes_with_the_grant_that_gives_one(
    mariadb: MariaDb, shop: Schema
) -> None:
    reader = mariadb.create_reader(shop)
    with view_of(reader) as view:
        blind = view.clocks
    mariadb.admin().execute(blind.fix)
    with view_of(reader) as view:
        seeing = view.clocks

    assert blind.fix == f"GRANT PROCESS ON *.* TO '{reader.user}'@'%';"
    assert (blind.horizon_at, blind.reason) == (None, Reason.NO_HORIZON.value)
    assert seeing.horizon_at is not None
    assert (seeing.reason, seeing.fix) == ("", "")
